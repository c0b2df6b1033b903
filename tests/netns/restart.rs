//! vrrpd dies, hangs or is replaced while a client asks the address a thousand times a second: nothing is lost,
//! the peer never moves, and the adverts never pause longer than a peer waits.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{
    Advert, Capture, Director, Echo, Failure, Lab, Lan, Probe, ProbeReport, Subject, capture, clock,
    on_a_steady_machine, pause, process, sandboxed, wait_until,
};

/// What happens to vrrpd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Kill,
    Hang,
    PlannedRestart,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Case {
    disturbance: Disturbance,
    advert_int: &'static str,
    interval: Duration,
    peer: Subject,
    options: &'static [&'static str],
}

fn case(disturbance: Disturbance, peer: Subject) -> Case {
    Case { disturbance, advert_int: "0.1", interval: Duration::from_millis(100), peer, options: &[] }
}

fn slow_case(disturbance: Disturbance, peer: Subject) -> Case {
    Case { disturbance, advert_int: "1", interval: Duration::from_secs(1), peer, options: &[] }
}

const ADDRESS: IpAddr = front4(50);

/// What instruments saw of one disturbance.
struct Observation {
    report: ProbeReport,
    adverts: Vec<Advert>,
    struck: f64,
    successor: Result<(), Failure>,
}

/// Disturbs vrrpd of the Master once, under the eyes of a client, a peer and a capture.
fn disturb(lab: &Lab, case: Case) -> Result<Observation, Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let _echoes = (Echo::start(d1)?, Echo::start(d2)?);
    let config = |priority| global("lab") + &VrrpInstance::new(3, case.advert_int, priority, ADDRESS).text();
    let master = Director::start(lab, d1, Subject::Ours, &config(200), case.options)?;
    let _peer = Director::start(lab, d2, case.peer, &config(100), &[])?;
    wait_until("d1 holds the address", case.interval * 5 + Duration::from_secs(20), || {
        d1.has(ADDRESS) && !d2.has(ADDRESS)
    })?;
    let old = master.wait_daemon("vrrpd")?;

    let capture = Capture::start(lab, lan.switch(), "restart")?;
    let probe = Probe::start(lan.host("client")?, ADDRESS, Duration::from_millis(1))?;
    pause(case.interval * 3);
    let struck = clock::epoch();
    let successor = strike(case.disturbance, &master, old);
    // Long enough for a peer that has lost patience to act, and for the successor to prove itself.
    pause(case.interval * 10);
    let report = probe.finish()?;
    let adverts = capture::adverts(&capture.stop()?)?;
    let successor = successor.and_then(|pid| require_new_sender(&master, pid));
    Ok(Observation { report, adverts, struck, successor })
}

/// Fails if anybody could have noticed.
fn require_unnoticed(case: Case, seen: &Observation) -> Result<(), Failure> {
    let report = &seen.report;
    require(report.lost == 0, || format!("{} of {} questions lost", report.lost, report.sent))?;
    require(report.changes == 0, || format!("who answers changed: {:?}", report.answers))?;
    require(report.answers.contains_key("d1"), || format!("d1 must answer: {:?}", report.answers))?;
    let adverts = &seen.adverts;
    require(adverts.iter().all(|advert| advert.source == "10.77.0.1"), || "d2 sent an advert".to_owned())?;
    require(adverts.iter().all(|advert| advert.priority == 200), || "d1 resigned".to_owned())?;
    require_no_pause(seen, case.interval)?;
    seen.successor.clone()
}

fn nobody_notices(lab: &Lab, case: Case) -> Result<(), Failure> {
    on_a_steady_machine(case.interval, || require_unnoticed(case, &disturb(lab, case)?))
}

fn strike(disturbance: Disturbance, master: &Director, old: i32) -> Result<i32, Failure> {
    match disturbance {
        Disturbance::Kill => process::signal(old, Signal::SIGKILL),
        Disturbance::Hang => process::signal(old, Signal::SIGSTOP),
        Disturbance::PlannedRestart => {
            master.ctl(&["restart", "vrrpd"])?;
            true
        }
    };
    master.wait_successor("vrrpd", old)
}

/// Three intervals are the least that any peer waits, and what this machine takes from everybody it takes from peers.
fn require_no_pause(seen: &Observation, interval: Duration) -> Result<(), Failure> {
    let (gap, late) = (capture::longest_gap(&seen.adverts), seen.report.own_lateness);
    require(gap < (interval * 3 + late).as_secs_f64(), || {
        format!("adverts paused for {:.0} ms, the laboratory was late by {late:?}", gap * 1e3)
    })?;
    let later = seen.struck + interval.as_secs_f64();
    let after = seen.adverts.iter().filter(|advert| advert.at > later).count();
    require(after >= 4, || format!("only {after} adverts in the nine intervals after the disturbance"))
}

fn require_new_sender(master: &Director, successor: i32) -> Result<(), Failure> {
    let status = master.status()?;
    let daemon = status["daemons"]
        .as_array()
        .and_then(|daemons| daemons.iter().find(|daemon| daemon["daemon"] == "vrrpd"))
        .ok_or_else(|| Failure::new("status names no vrrpd"))?;
    require(daemon["pid"] == successor, || format!("status shows pid {}, not {successor}", daemon["pid"]))?;
    // Counters are told once a second.
    wait_until("the new process counts its adverts", Duration::from_secs(20), || {
        let sent = |status: &serde_json::Value| status["instances"][0]["sent"].as_u64().unwrap_or(0);
        master.status().is_ok_and(|status| sent(&status) >= 3)
    })
    .map(|_| ())
}

macro_rules! undisturbed {
    ($($name:ident: $case:expr;)*) => {
        $(#[test]
        fn $name() {
            sandboxed(60, |lab| nobody_notices(lab, $case));
        })*
    };
}

undisturbed! {
    kill_at_100_ms_goes_unnoticed_by_c: case(Disturbance::Kill, Subject::C);
    kill_at_100_ms_goes_unnoticed_by_ours: case(Disturbance::Kill, Subject::Ours);
    hang_at_100_ms_goes_unnoticed_by_c: case(Disturbance::Hang, Subject::C);
    planned_restart_at_100_ms_goes_unnoticed_by_c: case(Disturbance::PlannedRestart, Subject::C);
    kill_at_1_s_goes_unnoticed_by_c: slow_case(Disturbance::Kill, Subject::C);
    hang_at_1_s_goes_unnoticed_by_c: slow_case(Disturbance::Hang, Subject::C);
    planned_restart_at_1_s_goes_unnoticed_by_ours: slow_case(Disturbance::PlannedRestart, Subject::Ours);
}

/// The control: the same measurement must fail where nothing replaces the dead daemon.
#[test]
fn without_restarts_the_same_measurement_fails() {
    sandboxed(60, |lab| {
        let case = Case { options: &["-R"], ..case(Disturbance::Kill, Subject::C) };
        let seen = disturb(lab, case)?;
        require(require_unnoticed(case, &seen).is_err(), || {
            "the measurement passed without a successor: it measures nothing".to_owned()
        })
    });
}
