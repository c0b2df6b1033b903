//! How the suite ends: in order, by a signal to everything at once, without its parent, and all at once. Nothing may
//! stay behind, and the peer is told whenever somebody is left to tell it.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Capture, Director, Failure, Lab, Lan, Subject, capture, process, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
/// The peer hears priority 0 and waits its skew: 156/256 of 0.2 s, and what this machine may add.
const TOLD: Duration = Duration::from_millis(122 + 300);

struct Pair {
    first: Director,
    _second: Director,
    capture: Capture,
    lan: Lan,
}

fn config(priority: u8) -> String {
    global("lab") + &VrrpInstance::new(3, "0.2", priority, ADDRESS).text()
}

fn pair(lab: &Lab) -> Result<Pair, Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let capture = Capture::start(lab, lan.switch(), "ending")?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let first = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
    let second = Director::start(lab, d2, Subject::C, &config(100), &[])?;
    wait_until("d1 alone holds the address", Duration::from_secs(5), || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
    Ok(Pair { first, _second: second, capture, lan })
}

/// Priority 0 was heard, the address is gone from d1 and has come to d2 in time, and no process is left on d1.
fn ends_well(lab: &Lab, end: impl FnOnce(&Director)) -> Result<(), Failure> {
    let mut pair = pair(lab)?;
    let (d1, d2) = (pair.lan.host("d1")?, pair.lan.host("d2")?);
    end(&pair.first);
    wait_until("d2 takes over", TOLD, || d2.has(ADDRESS) && !d1.has(ADDRESS))?;
    pair.first.wait_end(Duration::from_secs(5))?;
    wait_until("no process is left on d1", Duration::from_secs(5), || d1.processes().is_empty())?;
    let adverts = capture::adverts(&pair.capture.stop()?)?;
    require(adverts.iter().any(|advert| advert.priority == 0), || "no advert of priority 0".to_owned())
}

#[test]
fn a_termination_signal_ends_in_order() {
    sandboxed(60, |lab| {
        ends_well(lab, |director| {
            director.signal(Signal::SIGTERM);
        })
    });
}

#[test]
fn an_interrupt_ends_in_order() {
    sandboxed(60, |lab| {
        ends_well(lab, |director| {
            director.signal(Signal::SIGINT);
        })
    });
}

/// A service manager may signal every process at once: vrrpd must live long enough to resign.
#[test]
fn a_termination_signal_to_every_process_ends_in_order() {
    sandboxed(60, |lab| {
        ends_well(lab, |director| {
            let daemons = director.daemons();
            for daemon in daemons {
                process::signal(daemon.pid, Signal::SIGTERM);
            }
            director.signal(Signal::SIGTERM);
        })
    });
}

#[test]
fn daemons_resign_and_end_when_their_parent_is_killed() {
    sandboxed(60, |lab| {
        ends_well(lab, |director| {
            director.signal(Signal::SIGKILL);
        })
    });
}

/// Everything is killed at once: what is left on the interfaces is withdrawn by the command that the service manager
/// runs after a stop, and by the next start.
#[test]
fn leftovers_of_a_massacre_are_withdrawn() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        for by_next_start in [false, true] {
            let mut director = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
            wait_until("d1 holds the address", Duration::from_secs(5), || d1.has(ADDRESS))?;
            director.freeze_and_kill();
            require(d1.has(ADDRESS), || "the address went with the processes: nothing to test".to_owned())?;
            if by_next_start {
                let other = global("lab") + &VrrpInstance::new(3, "0.2", 100, front4(51)).text();
                let _next = Director::start(lab, d1, Subject::Ours, &other, &[])?;
                wait_until("the next start withdraws it", Duration::from_secs(5), || !d1.has(ADDRESS))?;
            } else {
                director.withdraw_leftovers(d1)?;
                require(!d1.has(ADDRESS), || "the address is still there".to_owned())?;
            }
        }
        Ok(())
    });
}
