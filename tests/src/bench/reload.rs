//! What a reload of a large file does to adverts of 0.01 s: the same instance, quiet and reloaded again and again.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Figure;
use crate::lab::clock::now;
use crate::lab::config_text::{VrrpInstance, global, resting_services};
use crate::lab::lan::front4;
use crate::lab::{Capture, Director, Failure, Host, Lab, Lan, Subject, capture, pause, wait_until};

const ADDRESS: IpAddr = front4(50);
/// How long adverts are watched, quiet and under reloads.
const WATCHED: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(400);
/// Three adverts of 0.01 s and the skew of priority 100, in ms: what a peer forgives.
const PATIENCE_MS: f64 = 30.0 + 10.0 * 156.0 / 256.0;

/// Every figure of this file.
pub fn figures(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let ours = gaps(lab, Subject::Ours)?;
    // Without IPVS the reference can't start its health checker: it reads the same file for VRRP alone.
    let c = gaps(lab, Subject::C)?;
    Ok(vec![
        Figure {
            what: "10 000 real servers in the file, adverts of 0.01 s: p99 of the pauses under reloads beyond the \
                   quiet ones, ms"
                .to_owned(),
            target: Some(1.0),
            ours: ours.p99_ms - ours.quiet_p99_ms,
            c: Some(c.p99_ms - c.quiet_p99_ms),
        },
        Figure {
            what: "the longest of those pauses, ms (a peer waits 36)".to_owned(),
            target: Some(PATIENCE_MS),
            ours: ours.longest_ms,
            c: Some(c.longest_ms),
        },
    ])
}

#[derive(Debug)]
struct Gaps {
    quiet_p99_ms: f64,
    p99_ms: f64,
    longest_ms: f64,
}

fn gaps(lab: &Lab, subject: Subject) -> Result<Gaps, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let options: &[&str] = if subject == Subject::C { &["-P"] } else { &[] };
    let director = Director::start(lab, d1, subject, &large(1), options)?;
    wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
    // The second burst of announcements is over by then.
    pause(Duration::from_secs(8));
    let quiet = watch(lab, &lan, subject, "quiet", || {
        pause(WATCHED);
        Ok(())
    })?;
    let loaded = watch(lab, &lan, subject, "reloads", || reload_again_and_again(&director, d1, subject))?;
    let p99 = |gaps: &[f64]| gaps.get(gaps.len() * 99 / 100).copied().unwrap_or(f64::INFINITY);
    Ok(Gaps {
        quiet_p99_ms: p99(&quiet),
        p99_ms: p99(&loaded),
        longest_ms: loaded.last().copied().unwrap_or(f64::INFINITY),
    })
}

fn reload_again_and_again(director: &Director, host: &Host, subject: Subject) -> Result<(), Failure> {
    let start = now();
    for weight in 2_u32.. {
        director.write_config(host, &large(weight))?;
        match subject {
            Subject::Ours => drop(director.ctl(&["reload"])?),
            Subject::C => drop(director.signal(Signal::SIGHUP)),
        }
        pause(PAUSE);
        if start.elapsed() > WATCHED {
            break;
        }
    }
    Ok(())
}

/// All pauses between two adverts, in ms, the longest last.
fn watch(
    lab: &Lab,
    lan: &Lan,
    subject: Subject,
    name: &str,
    meanwhile: impl FnOnce() -> Result<(), Failure>,
) -> Result<Vec<f64>, Failure> {
    let capture = Capture::start(lab, lan.switch(), &format!("reload.{}.{name}", subject.word()))?;
    meanwhile()?;
    let times = capture::times_of(&capture.stop()?, "10.77.0.1")?;
    let mut gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) * 1e3).collect();
    gaps.sort_by(f64::total_cmp);
    Ok(gaps)
}

fn large(weight: u32) -> String {
    let instance = VrrpInstance::new(3, "0.01", 200, ADDRESS);
    global("bench") + &instance.text() + &resting_services(100, 100, weight)
}
