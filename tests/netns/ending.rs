//! How the suite ends: in order, by a signal to everything at once, without its parent, and all at once. Nothing may
//! stay behind, and the peer is told whenever somebody is left to tell it.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::{
    Capture, Director, Failure, Group, Host, Lab, Lan, Lateness, Subject, capture, process, sandboxed,
    wait_until,
};

const ADDRESS: IpAddr = front4(50);
/// Seconds, on the wire: who hears priority 0 waits its skew, 156/256 of 0.5 s; who doesn't waits for 1.8 s.
const TOLD: f64 = 1.3;
const SOON: Duration = Duration::from_secs(20);

struct Pair {
    first: Director,
    _second: Director,
    capture: Capture,
    lan: Lan,
}

fn config(priority: u8) -> String {
    global("lab") + &VrrpInstance::new(3, "0.5", priority, ADDRESS).text()
}

fn pair(lab: &Lab) -> Result<Pair, Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let capture = Capture::start(lab, lan.switch(), "ending")?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let first = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
    let second = Director::start(lab, d2, Subject::C, &config(100), &[])?;
    wait_until("d1 alone holds the address", Duration::from_secs(20), || {
        d1.has(ADDRESS) && !d2.has(ADDRESS)
    })?;
    Ok(Pair { first, _second: second, capture, lan })
}

/// Priority 0 was heard, the address is gone from d1 and has come to d2 in time, and no process is left on d1.
fn ends_well(lab: &Lab, end: impl FnOnce(&mut Director)) -> Result<(), Failure> {
    ends_well_at_once(lab, |director, _| {
        end(director);
        Ok(())
    })
}

fn ends_well_at_once(
    lab: &Lab,
    end: impl FnOnce(&mut Director, &Host) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut pair = pair(lab)?;
    let (d1, d2) = (pair.lan.host("d1")?, pair.lan.host("d2")?);
    let lateness = Lateness::watch();
    end(&mut pair.first, d1)?;
    wait_until("d2 takes over", SOON, || d2.has(ADDRESS) && !d1.has(ADDRESS))?;
    let late = lateness.finish()?;
    pair.first.wait_end(Duration::from_secs(20))?;
    wait_until("no process is left on d1", Duration::from_secs(20), || d1.processes().is_empty())?;
    let adverts = capture::adverts(&pair.capture.stop()?)?;
    let waited = capture::succession(&adverts, "10.77.0.1")?;
    require(waited < TOLD + late.as_secs_f64(), || {
        format!("d2 waited for {waited:.3} s, the laboratory was late by {late:?}")
    })
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

/// What a service manager does to a group that it has lost patience with, or the kernel to one that has used up its
/// memory, and the command that the unit runs after it: nobody is left to resign but that.
#[test]
fn peers_are_told_of_a_group_that_was_killed_at_once() {
    sandboxed(60, |lab| {
        ends_well_at_once(lab, |director, d1| {
            let group = Group::new()?;
            let daemons = director.daemons().into_iter().map(|process| process.pid);
            daemons.chain([director.pid()]).try_for_each(|pid| group.add(pid))?;
            group.kill()?;
            require(d1.has(ADDRESS), || "somebody has outlived it: nothing to test".to_owned())?;
            director.withdraw_leftovers(d1)
        })
    });
}

/// Ctrl-C: the terminal signals its foreground group.
#[test]
fn an_interrupt_from_the_terminal_ends_in_order() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let capture = Capture::start(lab, lan.switch(), "terminal")?;
        let doing = |cause: std::io::Error| Failure::instrument("a terminal", cause);
        fs::create_dir_all("/run/lab")
            .and_then(|()| fs::write("/run/lab/d1.conf", config(200)))
            .map_err(doing)?;
        let program = install_ours()?.join("keepalived");
        let line = format!("{} -n -G -f /run/lab/d1.conf --run-dir /run/lab/d1.run", program.display());
        // script(1) gives it a terminal of its own and types what it reads.
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let mut terminal =
            d1.spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()))?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
        let mut keyboard = terminal.stdin.take().ok_or_else(|| Failure::new("no keyboard"))?;
        keyboard.write_all(b"\x03").and_then(|()| keyboard.flush()).map_err(doing)?;
        wait_until("nothing is left", Duration::from_secs(20), || {
            !d1.has(ADDRESS) && d1.processes().iter().all(|process| process.name == "script")
        })?;
        drop(keyboard);
        terminal.wait().map_err(doing)?;
        let adverts = capture::adverts(&capture.stop()?)?;
        require(adverts.last().is_some_and(|advert| advert.priority == 0), || {
            "the last advert is none of priority 0".to_owned()
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
            wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
            director.freeze_and_kill();
            require(d1.has(ADDRESS), || "the address went with the processes: nothing to test".to_owned())?;
            if by_next_start {
                let other = global("lab") + &VrrpInstance::new(3, "0.2", 100, front4(51)).text();
                let _next = Director::start(lab, d1, Subject::Ours, &other, &[])?;
                wait_until("the next start withdraws it", Duration::from_secs(20), || !d1.has(ADDRESS))?;
            } else {
                director.withdraw_leftovers(d1)?;
                require(!d1.has(ADDRESS), || "the address is still there".to_owned())?;
            }
        }
        Ok(())
    });
}

/// Scripts of an instance run one behind the other, and each of them hangs.
#[test]
fn a_stop_gives_scripts_that_waited_for_others_no_more_time_than_those() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let hangs = "notify \"/bin/sh -c 'sleep 1000'\" root";
        let config = global("lab") + &VrrpInstance::new(3, "0.5", 200, ADDRESS).with(hangs).text();
        let mut director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(ADDRESS))?;
        director.signal(Signal::SIGTERM);
        director.wait_end(SOON)?;
        // Those of BACKUP, MASTER and STOP.
        let ended = director.logged("VI_1 notify ran out of time and was ended");
        require(ended == 3 && d1.processes().is_empty(), || format!("{ended} of 3\n{}", director.log()))
    });
}
