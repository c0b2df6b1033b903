//! The kernel kills whoever needs memory that there isn't: a daemon, which is replaced and nobody notices, and the
//! parent, whose addresses go to the peer at once and leave nothing behind.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global, http_service, resting_services};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{
    Capture, Director, Echo, Failure, Lab, Lan, Lateness, Probe, Scarcity, Subject, capture, pause, process,
    sandboxed, wait_until,
};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(500);
/// Seconds, on the wire: who hears priority 0 waits its skew, 156/256 of 0.5 s; who doesn't waits for 1.8 s.
const TOLD: f64 = 1.3;

fn config(priority: u8) -> String {
    global("lab")
        + &VrrpInstance::new(3, "0.5", priority, ADDRESS).text()
        + &http_service("10.77.1.1", &["127.0.0.1"])
}

/// The same with so much more that every process needs memory to read it.
fn large() -> String {
    let mut text = config(200) + &resting_services(20, 100, 1);
    for number in 60..250 {
        writeln!(
            text,
            "vrrp_instance OTHER_{number} {{\n    interface eth0\n    virtual_router_id {number}\n    \
             priority 100\n    virtual_ipaddress {{\n        10.88.0.{number}/32\n    }}\n}}"
        )
        .ok();
    }
    text
}

/// Takes the memory of a process away and lets it need some: a reload begins, and the kernel ends who may have none.
/// Where no memory can be taken away the same signal comes from here.
fn starve(director: &Director, lan: &Lan, pid: i32) -> Result<(), Failure> {
    let scarce = Scarcity::new()?;
    if let Some(scarce) = &scarce {
        scarce.add(pid)?;
    }
    director.write_config(lan.host("d1")?, &large())?;
    director.signal(Signal::SIGHUP);
    match &scarce {
        Some(scarce) => {
            wait_until("the kernel has killed it", SOON, || scarce.killed() > 0 && !process::is_alive(pid))
                .map(|_| ())
        }
        None => {
            process::signal(pid, Signal::SIGKILL);
            Ok(())
        }
    }
}

fn pair(lab: &Lab) -> Result<(Lan, Director, Director), Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let first = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
    let second = Director::start(lab, d2, Subject::C, &config(100), &["-P"])?;
    wait_until("d1 alone holds the address", SOON, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
    Ok((lan, first, second))
}

fn nobody_notices(lab: &Lab, name: &str) -> Result<(), Failure> {
    let (lan, first, second) = pair(lab)?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let _echoes = (Echo::start(d1)?, Echo::start(d2)?);
    for daemon in ["vrrpd", "checkd", "ipvsd"] {
        first.wait_daemon(daemon)?;
    }
    let masters = second.logged("Entering MASTER STATE");
    let probe = Probe::start(lan.host("client")?, ADDRESS, Duration::from_millis(1))?;
    pause(INTERVAL);
    let old = first.wait_daemon(name)?;
    starve(&first, &lan, old)?;
    first.wait_successor(name, old)?;
    pause(INTERVAL * 5);
    let report = probe.finish()?;
    require(report.lost == 0 && report.changes == 0, || format!("{report:?}\n{}", first.log()))?;
    require(second.logged("Entering MASTER STATE") == masters, || second.log())?;
    require(first.logged("died by signal 9") > 0, || first.log())?;
    // It obeys again.
    first.write_config(d1, &config(200).replace("10.77.1.1", "10.77.1.2"))?;
    wait_until("a reload is done", SOON, || first.ctl(&["reload"]).is_ok())
        .map_err(|failure| Failure::new(format!("{failure}\n{}", first.log())))?;
    first.stop().map(|_| ())
}

#[test]
fn nobody_notices_a_vrrpd_that_runs_out_of_memory() {
    sandboxed(90, |lab| nobody_notices(lab, "vrrpd"));
}

#[test]
fn nobody_notices_a_checkd_that_runs_out_of_memory() {
    sandboxed(90, |lab| nobody_notices(lab, "checkd"));
}

#[test]
fn nobody_notices_an_ipvsd_that_runs_out_of_memory() {
    sandboxed(90, |lab| nobody_notices(lab, "ipvsd"));
}

#[test]
fn a_parent_that_runs_out_of_memory_leaves_the_address_to_the_peer_at_once() {
    sandboxed(90, |lab| {
        let (lan, mut first, _second) = pair(lab)?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let capture = Capture::start(lab, lan.switch(), "memory")?;
        let lateness = Lateness::watch();
        starve(&first, &lan, first.pid())?;
        wait_until("d2 takes over", SOON, || d2.has(ADDRESS) && !d1.has(ADDRESS))?;
        let late = lateness.finish()?;
        first.wait_end(SOON)?;
        wait_until("no process is left on d1", SOON, || d1.processes().is_empty())?;
        let waited = capture::succession(&capture::adverts(&capture.stop()?)?, "10.77.0.1")?;
        require(waited < TOLD + late.as_secs_f64(), || {
            format!("d2 waited for {waited:.3} s, the laboratory was late by {late:?}")
        })
    });
}
