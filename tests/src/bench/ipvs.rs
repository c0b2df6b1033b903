//! How fast the kernel's table is written, on a kernel with IPVS, beside the reference.
//!
//! A look at the table costs time on the only processor of the guest, so it asks for one service and its
//! destinations, never for the whole table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use netlink::generic;
use netlink::ipvs::{FAMILY, Ipvs, Key};
use netlink::socket::{Protocol, Socket};

use super::{Figure, median};
use crate::lab::clock::now;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, process, wait_until};

/// A table: so many services with so many servers each.
#[derive(Clone, Copy)]
struct Shape {
    services: usize,
    servers: usize,
}

impl Shape {
    const SMALL: Self = Self { services: 20, servers: 50 };
    const LARGE: Self = Self { services: 100, servers: 50 };
    const HUGE: Self = Self { services: 1000, servers: 50 };

    fn destinations(self) -> f64 {
        f64::from(u32::try_from(self.services * self.servers).unwrap_or(u32::MAX))
    }

    fn key(service: usize) -> Key {
        let byte = |value: usize| u8::try_from(value).unwrap_or(u8::MAX);
        let ip = [10, 100, byte(service / 250), byte(service % 250)];
        Key::Address { protocol: 6, ip: ip.into(), port: 80 }
    }

    /// The configuration; `odd` is the weight of the last server, all others have 1.
    fn config(self, odd: u32) -> String {
        let mut text = String::new();
        for service in 0..self.services {
            let (high, low) = (service / 250, service % 250);
            writeln!(text, "virtual_server 10.100.{high}.{low} 80 {{").ok();
            text.push_str("    lb_algo wlc\n    lb_kind DR\n    protocol TCP\n");
            for server in 1..=self.servers {
                let last = service + 1 == self.services && server == self.servers;
                let weight = if last { odd } else { 1 };
                writeln!(
                    text,
                    "    real_server 10.200.{low}.{server} 80 {{\n        weight {weight}\n    }}"
                )
                .ok();
            }
            text.push_str("}\n");
        }
        text
    }
}

/// Every figure of this kernel.
pub fn figures(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    let small = fill(lab, Shape::SMALL, 5)?;
    figures.push(figure(
        "1 000 destinations in 20 services, first to last, s (median of 5)",
        Some(0.03),
        small.0,
    ));
    let (filling, starting, stopping) = fill(lab, Shape::LARGE, 3)?;
    figures.extend([
        figure("5 000 destinations in 100 services, first to last, s (median of 3)", Some(0.4), filling),
        figure("start of the program to the last of 5 000 destinations, s (median of 3)", None, starting),
        figure("TERM to the end of the program, with 5 000 destinations, s (median of 3)", None, stopping),
    ]);
    figures.extend(changes(lab)?);
    figures.push(repair(lab)?);
    figures.extend(huge(lab)?);
    Ok(figures)
}

/// Ours, and that of Debian's keepalived.
type Pair = (f64, f64);

fn figure(what: &str, target: Option<f64>, (ours, c): Pair) -> Figure {
    Figure { what: what.to_owned(), target, ours, c: Some(c) }
}

/// Medians: first entry to last, start to last, TERM to the end.
fn fill(lab: &Lab, shape: Shape, rounds: usize) -> Result<(Pair, Pair, Pair), Failure> {
    let times = |subject| -> Result<[f64; 3], Failure> {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            let lan = Lan::new(&[("d1", 1)])?;
            let started = start(lab, lan.host("d1")?, subject, shape)?;
            let asked = now();
            started.director.stop()?;
            let took = [started.filling, started.starting, asked.elapsed()];
            for (list, took) in times.iter_mut().zip(took) {
                list.push(took.as_secs_f64());
            }
        }
        Ok(times.map(|times| median(&times)))
    };
    let ([filling, starting, stopping], c) = (times(Subject::Ours)?, times(Subject::C)?);
    Ok(((filling, c[0]), (starting, c[1]), (stopping, c[2])))
}

/// A director whose table is full.
struct Started {
    director: Director,
    /// From the first entry to the last.
    filling: Duration,
    /// From the start of its program to the last entry.
    starting: Duration,
}

/// Starts a director on an empty table.
fn start(lab: &Lab, host: &Host, subject: Subject, shape: Shape) -> Result<Started, Failure> {
    host.run("modprobe", &["-a", "ip_vs", "ip_vs_wlc"])?;
    let begun = now();
    let director = Director::start(lab, host, subject, &shape.config(1), &[])?;
    let filling = host.enter(|| watch(shape))??;
    let starting = begun.elapsed();
    let table = host.proc_net("ip_vs")?;
    let count = table.lines().filter(|line| line.starts_with("  -> ")).skip(1).count();
    if count == shape.services * shape.servers {
        return Ok(Started { director, filling, starting });
    }
    Err(Failure::new(format!("the last service is complete, the table has {count} destinations")))
}

fn watch(shape: Shape) -> Result<Duration, Failure> {
    let started = now();
    let mut table = Table::open()?;
    let mut first: Option<Instant> = None;
    while started.elapsed() < PATIENCE {
        match first {
            None if table.has_services()? => first = Some(now()),
            None => {}
            Some(first) => {
                let last = Shape::key(shape.services.saturating_sub(1));
                if table.destinations(&last)? == shape.servers {
                    return Ok(first.elapsed());
                }
            }
        }
        pause(LOOK);
    }
    Err(Failure::new(format!("the table is not full after {PATIENCE:?}")))
}

/// The kernel's table, asked without any code of the daemons.
struct Table {
    socket: Socket,
    ipvs: Ipvs,
}

impl Table {
    fn open() -> Result<Self, Failure> {
        let mut socket =
            Socket::open(Protocol::Generic).map_err(|cause| Failure::instrument("netlink", cause))?;
        let family = generic::resolve(&mut socket, FAMILY, || ANSWER)
            .map_err(|cause| Failure::instrument("IPVS of the guest", cause))?;
        Ok(Self { socket, ipvs: Ipvs::new(family) })
    }

    fn has_services(&mut self) -> Result<bool, Failure> {
        self.count(&self.ipvs.dump_services()).map(|count| count > 0)
    }

    fn destinations(&mut self, key: &Key) -> Result<usize, Failure> {
        self.count(&self.ipvs.dump_destinations(key))
    }

    fn count(&mut self, question: &netlink::frame::Message) -> Result<usize, Failure> {
        let mut count = 0;
        match self.socket.dump(question, || ANSWER, |_, _| count += 1) {
            // What is being written changes while it is read: the next look sees it.
            Ok(()) | Err(netlink::socket::RequestError::Interrupted) => Ok(count),
            Err(cause) => Err(Failure::instrument("looking at the table", cause)),
        }
    }
}

/// Reloads of 5 000 destinations: of the same file, and of one that changes a weight.
fn changes(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let host = lan.host("d1")?;
    let shape = Shape::LARGE;
    let director = start(lab, host, Subject::Ours, shape)?.director;
    settled(&director)?;
    director.ctl(&["reload"])?;
    let (before, _) = settled(&director)?;
    director.ctl(&["reload"])?;
    let (after, _) = settled(&director)?;
    let unchanged = after - before;
    let (mut writes, mut times) = (0.0_f64, Vec::new());
    for weight in [7, 3, 9, 2, 5] {
        director.write_config(host, &shape.config(weight))?;
        let (before, _) = settled(&director)?;
        director.ctl(&["reload"])?;
        let (after, took) = settled(&director)?;
        writes = writes.max(after - before);
        times.push(took / 1e3);
    }
    let ours =
        |what: &str, target, ours| Figure { what: what.to_owned(), target: Some(target), ours, c: None };
    Ok(vec![
        ours("entries written by a reload of 5 000 unchanged destinations", 0.0, unchanged),
        ours("entries written by a reload that changes one weight of 5 000", 1.0, writes),
        ours("from Commit to that weight in the table, ms (median of 5)", 20.0, median(&times)),
    ])
}

/// How long a table of 1 000 destinations that somebody empties stays incomplete.
fn repair(lab: &Lab) -> Result<Figure, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let host = lan.host("d1")?;
    let shape = Shape::SMALL;
    let director = start(lab, host, Subject::Ours, shape)?.director;
    settled(&director)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        host.run("ipvsadm", &["-C"])?;
        let emptied = now();
        let full = || -> Result<bool, Failure> {
            let mut table = Table::open()?;
            for service in 0..shape.services {
                if table.destinations(&Shape::key(service))? != shape.servers {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        wait_until("the table is back", PATIENCE, || {
            host.enter(full).is_ok_and(|full| full.unwrap_or(false))
        })?;
        times.push(emptied.elapsed().as_secs_f64());
    }
    Ok(Figure {
        what: "ipvsadm -C to the whole table of 1 000 destinations, s (median of 5)".to_owned(),
        target: Some(2.0),
        ours: median(&times),
        c: None,
    })
}

/// Entries written so far, and the microseconds that the last change took, once the table is in step.
fn settled(director: &Director) -> Result<(f64, f64), Failure> {
    let mut last = None;
    wait_until("the table is in step", PATIENCE, || {
        // Two answers alike: the daemon tells it after the reload has been confirmed.
        let Ok(status) = director.status() else { return false };
        let in_step = status["table"].get("InStep").is_some();
        let seen = (status["written"]["entries"].as_f64(), status["written"]["took_us"].as_f64());
        let same = last == Some(seen);
        last = Some(seen);
        same && in_step
    })?;
    match last {
        Some((Some(entries), Some(took))) => Ok((entries, took)),
        _ => Err(Failure::new("the status doesn't say what was written")),
    }
}

/// A table ten times as large: time per destination beside that of the large one, measured in turns because pages that
/// the guest has never touched cost its host time; what looking after it costs, and its memory.
fn huge(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let mut ratios = Vec::new();
    let [mut busy, mut bytes] = [0.0, 0.0];
    for round in 0..HUGE_ROUNDS {
        let each = |shape: Shape| -> Result<(Lan, Started, f64), Failure> {
            let lan = Lan::new(&[("d1", 1)])?;
            let started = start(lab, lan.host("d1")?, Subject::Ours, shape)?;
            let share = started.filling.as_secs_f64() / shape.destinations();
            Ok((lan, started, share))
        };
        let (_, large, share) = each(Shape::LARGE)?;
        large.director.stop()?;
        let (_lan, huge, huge_share) = each(Shape::HUGE)?;
        ratios.push(huge_share / share);
        if round + 1 == HUGE_ROUNDS {
            settled(&huge.director)?;
            let pid = huge.director.wait_daemon("ipvsd")?;
            let before = processor_ticks(pid)?;
            pause(AUDITED);
            let ticks = processor_ticks(pid)? - before;
            busy = ticks / (TICKS_PER_SECOND * AUDITED.as_secs_f64()) * 100.0;
            let kib = process::private_kib(pid).ok_or_else(|| Failure::new("ipvsd is gone"))?;
            bytes = f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) * 1024.0 / Shape::HUGE.destinations();
        }
        huge.director.stop()?;
    }
    let ours = |what: &str, target, ours| Figure { what: what.to_owned(), target, ours, c: None };
    Ok(vec![
        ours(
            "50 000 destinations: time of each beside its time among 5 000, ratio (median of 5)",
            Some(1.5),
            median(&ratios),
        ),
        ours("auditing 50 000 destinations, % of a processor", Some(1.0), busy),
        ours("private memory of ipvsd for each of 50 000 destinations, bytes", None, bytes),
    ])
}

fn processor_ticks(pid: i32) -> Result<f64, Failure> {
    process::processor_ticks(pid)
        .map(|ticks| f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)))
        .ok_or_else(|| Failure::new(format!("process {pid} is gone")))
}

const LOOK: Duration = Duration::from_millis(1);
const ANSWER: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(90);
const AUDITED: Duration = Duration::from_secs(20);
const HUGE_ROUNDS: usize = 5;
const TICKS_PER_SECOND: f64 = 100.0;
