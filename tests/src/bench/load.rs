//! What 250 instances with ten adverts a second cost, how regular their adverts are, and how fast all of them fail over.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::measure::{BOUND, by_instance, many, sender};
use super::{Figure, median};
use crate::lab::clock::{epoch, now};
use crate::lab::{
    Advert, Capture, Director, Failure, Lab, Lan, Subject, capture, pause, process, wait_until,
};

const INSTANCES: u8 = 250;
const SECONDS: u64 = 5;
/// Quiet and asked spells, in turns.
const ROUNDS: usize = 31;
const SPELL: Duration = Duration::from_millis(320);
/// Milliseconds between two adverts of an instance.
const INTERVAL_MS: f64 = 100.0;

/// Every figure of this file.
pub fn figures(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let ours = steady(lab, Subject::Ours)?;
    let c = steady(lab, Subject::C)?;
    let worst = |subject| failover(lab, subject);
    Ok(vec![
        Figure {
            what: "processor time per advert, 250 instances at 0.1 s, µs".to_owned(),
            target: Some(10.0),
            ours: ours.microseconds,
            c: Some(c.microseconds),
        },
        Figure {
            what: "mean interval beside 100 ms, 250 instances at 0.1 s, error in ms".to_owned(),
            target: Some(0.05),
            ours: ours.error_ms,
            c: Some(c.error_ms),
        },
        Figure {
            what: "deviation of single intervals, 250 instances at 0.1 s, ms (median)".to_owned(),
            target: None,
            ours: ours.deviation_ms,
            c: Some(c.deviation_ms),
        },
        Figure {
            what:
                "what 100 questions a second add to the deviation of 99 of 100 intervals, ms (median of 31)"
                    .to_owned(),
            target: Some(1.0),
            ours: ours.asked_ms,
            c: None,
        },
        Figure {
            what: "250 instances fail over together: worst beyond the protocol's 361 ms, ms".to_owned(),
            target: Some(5.0),
            ours: worst(Subject::Ours)?,
            c: Some(worst(Subject::C)?),
        },
    ])
}

struct Steady {
    microseconds: f64,
    error_ms: f64,
    deviation_ms: f64,
    /// What questions over the control socket add to the 99th percentile of it.
    asked_ms: f64,
}

fn steady(lab: &Lab, subject: Subject) -> Result<Steady, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let director = Director::start(lab, d1, subject, &many(INSTANCES, "0.1", 200), &[])?;
    let last = IpAddr::from([10, 77, 1, INSTANCES]);
    wait_until("d1 holds the last address", Duration::from_secs(30), || d1.has(last))?;
    // The second burst of announcements is over by then.
    pause(Duration::from_secs(8));
    let speaker = sender(d1, &director)?;
    let ticks = || process::processor_ticks(speaker).ok_or_else(|| Failure::new("no processor time"));
    let capture = Capture::start(lab, lan.switch(), &format!("load.{}", subject.word()))?;
    let before = ticks()?;
    pause(Duration::from_secs(SECONDS));
    let used = ticks()?.saturating_sub(before);
    let errors = errors_of(&capture::adverts(&capture.stop()?)?);
    let deviations: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    let asked_ms = match subject {
        Subject::C => 0.0,
        Subject::Ours => asked(lab, &lan, &director)?,
    };
    let sent = u64::from(INSTANCES).saturating_mul(10).saturating_mul(SECONDS);
    #[expect(clippy::as_conversions, reason = "small counts")]
    let microseconds = used as f64 * 10_000.0 / sent as f64;
    #[expect(clippy::as_conversions, reason = "a few thousand")]
    let error_ms = (errors.iter().sum::<f64>() / errors.len().max(1) as f64).abs();
    Ok(Steady { microseconds, error_ms, deviation_ms: median(&deviations), asked_ms })
}

/// What questions over the control socket add: quiet spells and asked ones take turns in one capture, and the middle
/// one of their differences counts. The instances start together and their adverts leave in one burst: a single pause
/// of the machine that meets a burst moves more than a hundredth of all intervals of a spell, so spells are short and
/// many.
fn asked(lab: &Lab, lan: &Lan, director: &Director) -> Result<f64, Failure> {
    let capture = Capture::start(lab, lan.switch(), "load.asked")?;
    let mut spells = Vec::new();
    for _ in 0..ROUNDS {
        let begin = epoch();
        pause(SPELL);
        let between = epoch();
        ask(director, SPELL)?;
        spells.push([begin..between, between..epoch()]);
    }
    let adverts = capture::adverts(&capture.stop()?)?;
    let deviation = |spell: &Range<f64>| {
        let inside: Vec<Advert> =
            adverts.iter().filter(|advert| spell.contains(&advert.at)).cloned().collect();
        percentile_99(&errors_of(&inside).iter().map(|error| error.abs()).collect::<Vec<f64>>())
    };
    let added: Vec<f64> = spells.iter().map(|[quiet, asked]| deviation(asked) - deviation(quiet)).collect();
    Ok(median(&added).max(0.0))
}

/// Milliseconds by which single intervals differ from what they should be.
fn errors_of(adverts: &[Advert]) -> Vec<f64> {
    let instances = by_instance(adverts);
    let gaps = instances.values().flat_map(|times| times.windows(2));
    gaps.map(|pair| (pair[1] - pair[0]) * 1e3 - INTERVAL_MS).collect()
}

fn percentile_99(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_mul(99) / 100).copied().unwrap_or(0.0)
}

/// Asks for the whole status, a hundred times a second, and reads every answer.
fn ask(director: &Director, length: Duration) -> Result<(), Failure> {
    let doing = |cause: std::io::Error| Failure::instrument("asking for the status", cause);
    let socket = UnixStream::connect(director.run_dir().join("control.sock")).map_err(doing)?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).map_err(doing)?;
    let mut answers = BufReader::new(&socket);
    let (begin, mut due) = (now(), Duration::ZERO);
    while due < length {
        pause(due.saturating_sub(begin.elapsed()));
        due += Duration::from_millis(10);
        (&socket).write_all(b"{\"method\":\"org.keepalived.Control.GetStatus\"}\0").map_err(doing)?;
        let mut answer = Vec::new();
        answers.read_until(0, &mut answer).map_err(doing)?;
        if !answer.starts_with(b"{\"parameters\"") {
            return Err(Failure::new("a question was not answered"));
        }
    }
    Ok(())
}

/// From the last advert of each Master that lost its power to the first of its successor, the worst of all.
fn failover(lab: &Lab, subject: Subject) -> Result<f64, Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let last = IpAddr::from([10, 77, 1, INSTANCES]);
    let _first = Director::start(lab, d1, subject, &many(INSTANCES, "0.1", 200), &[])?;
    wait_until("d1 holds the last address", Duration::from_secs(30), || d1.has(last))?;
    let _second = Director::start(lab, d2, subject, &many(INSTANCES, "0.1", 100), &[])?;
    pause(Duration::from_secs(8));
    let capture = Capture::start(lab, lan.switch(), &format!("load.failover.{}", subject.word()))?;
    pause(Duration::from_millis(350));
    lan.power_off("d1")?;
    wait_until("d2 takes over", Duration::from_secs(10), || d2.has(last))?;
    pause(Duration::from_millis(300));
    let adverts = capture::adverts(&capture.stop()?)?;
    let (old, new): (Vec<Advert>, Vec<Advert>) =
        adverts.into_iter().partition(|advert| advert.priority == 200);
    let (old, new) = (by_instance(&old), by_instance(&new));
    let beyond = old.iter().filter_map(|(vrid, times)| {
        let silent = times.last()?;
        let next = new.get(vrid)?.iter().find(|at| *at > silent)?;
        Some((next - silent - BOUND) * 1e3)
    });
    Ok(beyond.fold(0.0, f64::max))
}
