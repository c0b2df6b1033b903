//! Steps of the wall clock, which only a kernel of its own can make: nobody's timers follow them.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime, clock_settime};

use crate::lab::config_text::{VrrpInstance, global};
use crate::lab::failure::require;
use crate::lab::lan::front4;
use crate::lab::{Director, Failure, Lab, Lan, Subject, pause, wait_until};

const PLAIN: IpAddr = front4(50);
const SIGNED: IpAddr = front4(51);
const HMAC: &str = "auth_hmac {\n        key 7 an-ascii-key-of-thirty-two-bytes\n        active_key 7\n    }";
const HOUR: i64 = 3_600;

/// Two instances: one whose adverts are signed with the time of day, and one without signatures.
fn config(priority: u8) -> String {
    let mut signed = VrrpInstance::new(3, "0.5", priority, SIGNED).with(HMAC);
    (signed.name, signed.vrid) = ("VI_2".to_owned(), 52);
    global("lab") + &VrrpInstance::new(3, "0.5", priority, PLAIN).text() + &signed.text()
}

fn step(seconds: i64) -> Result<(), Failure> {
    let clock = ClockId::CLOCK_REALTIME;
    let stepped =
        clock_gettime(clock).and_then(|time| clock_settime(clock, time + TimeSpec::seconds(seconds)));
    stepped.map_err(|errno| Failure::instrument("the wall clock", errno))
}

/// States of both instances, and how often they have changed.
fn standing(director: &Director) -> Result<Vec<(String, u64)>, Failure> {
    let status = director.status()?;
    let instances = status["instances"].as_array().cloned().unwrap_or_default();
    let seen = instances.iter().map(|instance| {
        (instance["state"].to_string(), instance["transitions"].as_u64().unwrap_or(u64::MAX))
    });
    Ok(seen.collect())
}

/// An hour forward, two back, one forward: both nodes keep their states, signatures with their window included.
pub(super) fn steps_of_an_hour(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let first = Director::start(lab, d1, subject, &config(200), &[])?;
    let second = Director::start(lab, d2, subject, &config(100), &[])?;
    let settled = || [PLAIN, SIGNED].iter().all(|address| d1.has(*address) && !d2.has(*address));
    wait_until("d1 alone holds both addresses", Duration::from_secs(20), settled)?;
    pause(Duration::from_secs(2));
    let before = (standing(&first)?, standing(&second)?);
    require(before.0.len() == 2 && before.1.len() == 2, || format!("{before:?}"))?;
    for seconds in [HOUR, -2 * HOUR, HOUR] {
        step(seconds)?;
        // Longer than a Backup waits, and than the window of five seconds.
        pause(Duration::from_secs(7));
        let after = (standing(&first)?, standing(&second)?);
        require(after == before && settled(), || {
            format!("a step of {seconds} s moved something: {after:?}, before: {before:?}")
        })?;
    }
    Ok(())
}
