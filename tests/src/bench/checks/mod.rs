//! What health checks cost, how regular they are and how fast they find out, on the host's kernel: beside a bare loop
//! over epoll in C, which does nothing but connect, and beside Debian's keepalived.

mod secure;
mod stage;

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::stage::{Checker, News, PORT, Stage, config, server};
use super::{Figure, median};
use crate::lab::clock::now;
use crate::lab::{Failure, Lab, Subject, pause, process, wait_until};

const TCP: &str = "TCP_CHECK {\n            connect_timeout 5\n        }";
/// Down at the first failure.
const ONCE: &str = "TCP_CHECK {\n            connect_timeout 5\n            retry 0\n        }";
/// The digest of what the server says: the body `hello` and a line feed.
const HTTP: &str = "HTTP_GET {\n            url {\n                path /status\n                status_code 200\n\
                    digest b1946ac92492d2347c6235b4d2611184\n            }\n            connect_timeout 5\n        }";
const SILENT: &str = "HTTP_GET {\n            url {\n                path /\n            }\n\
                      connect_timeout 10\n        }";
/// How long each of the turns of a load is measured.
const TURN: Duration = Duration::from_secs(4);
/// Turns of a load, an odd number: the machine is faster at one time than at another, by more than what is compared.
const TURNS: usize = 5;
/// A start, and one interval of warm-up.
const SETTLE: Duration = Duration::from_secs(3);

/// Every figure of this file.
pub fn figures(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let stage = Stage::new()?;
    let news = News::listen()?;
    let mut figures = Vec::new();
    for load in [
        Load { kind: "tcp", name: "TCP", check: TCP, checks: 1000, interval: Duration::from_secs(1) },
        Load { kind: "tcp", name: "TCP", check: TCP, checks: 5000, interval: Duration::from_secs(1) },
        Load { kind: "http", name: "HTTP", check: HTTP, checks: 1000, interval: Duration::from_secs(1) },
        Load { kind: "http", name: "HTTP", check: HTTP, checks: 5000, interval: Duration::from_secs(2) },
    ] {
        figures.extend(load.figures(lab, &stage)?);
    }
    figures.push(first_check(lab, &stage)?);
    figures.push(detection(lab, &stage, &news)?);
    figures.push(open_at_once(lab, &stage)?);
    figures.extend(all_die(lab, &stage, &news)?);
    figures.extend(secure::figures(lab, &stage)?);
    Ok(figures)
}

/// So many checks, each so often.
struct Load {
    kind: &'static str,
    name: &'static str,
    check: &'static str,
    checks: u16,
    interval: Duration,
}

/// What a load cost and how much of it was done.
struct Cost {
    /// Microseconds of processor time of each check.
    microseconds: f64,
    /// Per cent of the configured checks that were not made.
    missed: f64,
    /// Private memory of the process that checks, in MiB.
    memory: f64,
}

impl Cost {
    /// Of each figure its median.
    fn median(turns: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(&turns.iter().map(figure).collect::<Vec<f64>>());
        Self {
            microseconds: of(|turn| turn.microseconds),
            missed: of(|turn| turn.missed),
            memory: of(|turn| turn.memory),
        }
    }
}

impl Load {
    fn figures(&self, lab: &Lab, stage: &Stage) -> Result<Vec<Figure>, Failure> {
        let mut bare = Vec::new();
        let (mut ours, mut c) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            {
                let _server = stage.serve(self.kind)?;
                bare.push(stage.bare(self.kind, self.checks, self.interval, TURN)? / 1e3);
            }
            ours.push(self.run(lab, stage, Subject::Ours)?);
            c.push(self.run(lab, stage, Subject::C)?);
        }
        let (bare, ours, c) = (median(&bare), Cost::median(&ours), Cost::median(&c));
        let Self { name, checks, interval, .. } = self;
        let load = format!("{checks} {name} checks every {} s", interval.as_secs());
        let mut figures = vec![
            Figure {
                what: format!(
                    "{load}: processor time per 1 000 made, ms (median of 5); at most that of keepalived"
                ),
                target: Some(c.microseconds),
                ours: ours.microseconds,
                c: Some(c.microseconds),
            },
            Figure {
                what: format!("{load}: processor time beside a bare epoll loop in C, ratio"),
                target: Some(1.1),
                ours: ours.microseconds / bare,
                c: Some(c.microseconds / bare),
            },
            Figure {
                what: format!("{load}: not made, %"),
                target: Some(0.2),
                ours: ours.missed,
                c: Some(c.missed),
            },
        ];
        if *checks == 1000 {
            figures.push(Figure {
                what: format!("{load}: private memory of the process that checks, MiB"),
                target: Some(4.0),
                ours: ours.memory,
                c: Some(c.memory),
            });
        }
        Ok(figures)
    }

    fn run(&self, lab: &Lab, stage: &Stage, subject: Subject) -> Result<Cost, Failure> {
        let mut server = stage.serve(self.kind)?;
        let settings = format!("delay_loop {}", self.interval.as_secs());
        let checker = stage.start(lab, subject, &config(self.checks, PORT, &settings, self.check))?;
        pause(SETTLE + self.interval);
        let (begin, before, used) = (now(), server.counts()?.0, checker.processor_time()?);
        pause(TURN);
        let (after, used) = (server.counts()?.0, checker.processor_time()?.saturating_sub(used));
        let intervals = begin.elapsed().as_secs_f64() / self.interval.as_secs_f64();
        let made = count(after.saturating_sub(before));
        Ok(Cost {
            microseconds: count(used) / 1e3 / made.max(1.0),
            missed: (1.0 - made / (intervals * f64::from(self.checks))) * 100.0,
            memory: memory(&checker)?,
        })
    }
}

/// Milliseconds from the start of the program to the first check of 1 000 servers, whose first ones are spread over a
/// second.
fn first_check(lab: &Lab, stage: &Stage) -> Result<Figure, Failure> {
    let median_of = |subject| -> Result<f64, Failure> {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let mut server = stage.serve("tcp")?;
            let begun = now();
            let _checker = stage.start(lab, subject, &config(1000, PORT, "delay_loop 1", TCP))?;
            while server.counts()?.0 == 0 {
                if begun.elapsed() > PATIENCE {
                    return Err(Failure::new(format!("{} checks nothing", subject.word())));
                }
                pause(LOOK);
            }
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(&times))
    };
    Ok(Figure {
        what: "start of the program to the first check of 1 000 servers, ms (median of 5)".to_owned(),
        target: None,
        ours: median_of(Subject::Ours)?,
        c: Some(median_of(Subject::C)?),
    })
}

/// Milliseconds from the check that finds a server closed to the news of it, in the middle of servers that close
/// together: each is due at a moment of its own.
fn detection(lab: &Lab, stage: &Stage, news: &News) -> Result<Figure, Failure> {
    let median_of = |subject| -> Result<f64, Failure> {
        let mut beyond = Vec::new();
        for _ in 0..ROUNDS {
            beyond.extend(one_detection(lab, stage, news, subject)?);
        }
        Ok(median(&beyond))
    };
    Ok(Figure {
        what: "from the check that is due to the news of a closed server, ms (median of 80)".to_owned(),
        target: Some(1.0),
        ours: median_of(Subject::Ours)?,
        c: Some(median_of(Subject::C)?),
    })
}

fn one_detection(lab: &Lab, stage: &Stage, news: &News, subject: Subject) -> Result<Vec<f64>, Failure> {
    let settings = "delay_loop 1\n    warmup 1";
    let text = config(CLOSING, CLOSING_PORT, settings, ONCE);
    let (closed, last) = {
        let listeners = stage.host()?.enter(|| {
            (0..CLOSING)
                .map(|number| TcpListener::bind((server(number), CLOSING_PORT)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let listeners = listeners.map_err(|cause| Failure::instrument("listening", cause))?;
        let _checker = stage.start(lab, subject, &text)?;
        let last = last_visits(&listeners, Duration::from_millis(4_400))?;
        let closed = now();
        drop(listeners);
        news.forget();
        let deaths = news.deaths(usize::from(CLOSING), Duration::from_secs(4));
        (deaths, (closed, last))
    };
    let (moment, last) = last;
    let mut beyond = Vec::new();
    for (number, visited) in (0..CLOSING).zip(last) {
        let name = format!("RS [{}]:tcp:{CLOSING_PORT} ", server(number));
        let told = closed.iter().find(|(_, line)| line.starts_with(&name));
        let (Some(visited), Some((told, _))) = (visited, told) else {
            return Err(Failure::new(format!("no news of {name}from {}", subject.word())));
        };
        let due = visited + Duration::from_secs(1);
        // One that was due while the doors were closing may have met either.
        if due > moment + Duration::from_millis(5) {
            beyond.push(
                (told.saturating_duration_since(due).as_secs_f64()
                    - due.saturating_duration_since(*told).as_secs_f64())
                    * 1e3,
            );
        }
    }
    Ok(beyond)
}

/// When each listener was last visited, after so long.
fn last_visits(listeners: &[TcpListener], length: Duration) -> Result<Vec<Option<Instant>>, Failure> {
    let end = now() + length;
    let mut last = vec![None; listeners.len()];
    loop {
        let left = end.saturating_duration_since(now());
        if left.is_zero() {
            return Ok(last);
        }
        let mut doors: Vec<PollFd<'_>> =
            listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)).collect();
        let patience = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        poll(&mut doors, patience).map_err(|cause| Failure::instrument("poll", cause))?;
        let at = now();
        for ((door, listener), last) in doors.iter().zip(listeners).zip(&mut last) {
            if door.any().unwrap_or(false) {
                *last = Some(at);
                drop(listener.accept());
            }
        }
    }
}

/// Of 5 000 checks of servers that say nothing, those that are not open at the same time.
fn open_at_once(lab: &Lab, stage: &Stage) -> Result<Figure, Failure> {
    const CHECKS: u16 = 5000;
    let mut server = stage.serve("silent")?;
    let checker =
        stage.start(lab, Subject::Ours, &config(CHECKS, PORT, "delay_loop 60\n    warmup 2", SILENT))?;
    let mut most = 0;
    let all = wait_until("all checks are open", Duration::from_secs(9), || {
        most = most.max(server.counts().map_or(0, |(_, open)| open));
        most >= u64::from(CHECKS)
    });
    let threads = process::status_field(checker.pid()?, "Threads").unwrap_or_default();
    if threads != "1" {
        return Err(Failure::new(format!("checkd has {threads} threads")));
    }
    let missing = if all.is_ok() { 0 } else { u64::from(CHECKS).saturating_sub(most) };
    Ok(Figure {
        what: "5 000 checks of silent servers: not open at once, in one thread".to_owned(),
        target: Some(0.0),
        ours: count(missing),
        c: None,
    })
}

/// 10 000 servers that all refuse from one moment on; also the memory that they take before.
fn all_die(lab: &Lab, stage: &Stage, news: &News) -> Result<Vec<Figure>, Failure> {
    const SERVERS: u16 = 10_000;
    const INTERVAL: Duration = Duration::from_secs(2);
    let beyond = |subject| -> Result<(f64, f64), Failure> {
        let server = stage.serve("tcp")?;
        let checker = stage.start(lab, subject, &config(SERVERS, PORT, "delay_loop 2", ONCE))?;
        pause(SETTLE + INTERVAL + INTERVAL);
        let memory = memory(&checker)?;
        news.forget();
        let closed = now();
        drop(server);
        let deaths = news.deaths(usize::from(SERVERS), INTERVAL * 3);
        let last = deaths.last().filter(|_| deaths.len() == usize::from(SERVERS));
        let took = last.map_or(f64::INFINITY, |(at, _)| at.saturating_duration_since(closed).as_secs_f64());
        Ok(((took - INTERVAL.as_secs_f64()) * 1e3, memory))
    };
    let ((ours, ours_memory), (c, c_memory)) = (beyond(Subject::Ours)?, beyond(Subject::C)?);
    Ok(vec![
        Figure {
            what: "10 000 servers die at once: news of the last beyond delay_loop, ms".to_owned(),
            target: Some(100.0),
            ours,
            c: Some(c),
        },
        Figure {
            what: "10 000 servers: private memory of the process that checks, MiB".to_owned(),
            target: Some(12.0),
            ours: ours_memory,
            c: Some(c_memory),
        },
    ])
}

fn memory(checker: &Checker) -> Result<f64, Failure> {
    let kib = process::private_kib(checker.pid()?).ok_or_else(|| Failure::new("no smaps_rollup"))?;
    Ok(count(kib) / 1024.0)
}

#[expect(clippy::as_conversions, reason = "counts far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

const STARTS: usize = 5;
const LOOK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);
const ROUNDS: usize = 2;
/// Servers that close together.
const CLOSING: u16 = 40;
const CLOSING_PORT: u16 = 8081;
