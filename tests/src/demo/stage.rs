//! The site in operation: election, load balancing, dead servers, restarts, a bad reload, power failure.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::Report;
use crate::lab::clock::now;
use crate::lab::site::{Site, VIP, WEB1, WEB2};
use crate::lab::web::{Load, answers, get, lost};
use crate::lab::{Director, Failure, Lab, Lateness, Subject, pause, process, wait_until};

/// Whether the demo is to be broken on purpose, to see that it notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarts {
    /// As it is delivered.
    On,
    /// The Master runs with `-R`: what dies is not replaced.
    Off,
}

/// `advert_int` of the site: half a second.
const ADVERT_INT: &str = "0.5";
/// Three adverts, the skew of priority 200 (56/256 of an advert), and two seconds in which two suites start on one
/// processor. What the machine is late by is added here as to all that follow.
const ELECTION: Duration = Duration::from_millis(1500 + 110 + 2000);
/// Three adverts, the skew of priority 100 (156/256 of an advert), and a second for one processor and its clients.
const FAILOVER: Duration = Duration::from_millis(1500 + 305 + 1000);
/// A check every second, a second for its connection, and one for a busy machine.
const CHECK: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);
const ADDRESS: &str = "10.77.0.50";

/// Plays the whole site; the lines are in the report afterwards, whatever happened.
pub fn play(lab: &Lab, restarts: Restarts, report: &mut Report) -> Result<(), Failure> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    report.say(&format!("kernel {} with IPVS; two directors, two web servers, a client", kernel.trim()));
    let mut site = Site::new(lab)?;
    let options: &[&str] = if restarts == Restarts::Off { &["-R"] } else { &[] };
    report.say(&format!("d1 (priority 200) and d2 (priority 100) start, advert_int {ADVERT_INT}"));
    let first = site.start(lab, "d1", Subject::Ours, 200, ADVERT_INT, options)?;
    let second = site.start(lab, "d2", Subject::Ours, 100, ADVERT_INT, &[])?;

    election(&site, report);
    spread(&site, report);
    dead_server(lab, &mut site, report);
    for name in ["checkd", "vrrpd", "ipvsd"] {
        planned_restart(&site, &first, name, report);
    }
    for name in ["checkd", "vrrpd", "ipvsd"] {
        kill(&site, &first, name, report);
    }
    bad_reload(&site, &first, report);
    power_failure(&site, report);
    stop(&site, second, report);
    Ok(())
}

fn election(site: &Site, report: &mut Report) {
    report.step("election", "d1 alone within 3.6 s", |_| {
        let (d1, d2) = (site.lan.host("d1")?, site.lan.host("d2")?);
        let late = Lateness::watch();
        let took = wait_until("d1 alone holds the address", PATIENCE, || d1.has(VIP) && !d2.has(VIP))?;
        Ok((format!("d1 after {:.2} s", took.as_secs_f64()), took <= ELECTION + late.finish()?))
    });
}

fn spread(site: &Site, report: &mut Report) {
    report.step("requests spread", "40 answered, 20 by each", |report| {
        site.wait_table("d1", &[WEB1, WEB2], PATIENCE)?;
        site.wait_table("d2", &[WEB1, WEB2], PATIENCE)?;
        report.say("both directors have found both servers alive");
        let (mut web1, mut web2) = (0, 0);
        for _ in 0..40 {
            match site.client()?.enter(|| get(ADDRESS, Duration::from_secs(2)))??.as_str() {
                "web1" => web1 += 1,
                "web2" => web2 += 1,
                _ => (),
            }
        }
        Ok((format!("{web1} by web1, {web2} by web2"), web1 == 20 && web2 == 20))
    });
}

fn dead_server(lab: &Lab, site: &mut Site, report: &mut Report) {
    report.say("the web server of web1 is killed");
    site.kill_server(0);
    report.step("dead server out", "within 3 s", |_| {
        let late = Lateness::watch();
        let took = site.wait_table("d1", &[WEB2], PATIENCE)?;
        Ok((format!("after {:.2} s", took.as_secs_f64()), took <= CHECK + late.finish()?))
    });
    report.step("service without it", "0 requests lost", |_| {
        let load = client_asks(site)?;
        pause(Duration::from_secs(1));
        tally(load, 20)
    });
    report.say("the web server of web1 is started again");
    let started = site.start_server(lab, 0);
    report.step("server back in", "within 3 s", |_| {
        started?;
        let late = Lateness::watch();
        let took = site.wait_table("d1", &[WEB1, WEB2], PATIENCE)?;
        Ok((format!("after {:.2} s", took.as_secs_f64()), took <= CHECK + late.finish()?))
    });
}

fn planned_restart(site: &Site, director: &Director, name: &str, report: &mut Report) {
    report.step(&format!("keepalivectl restart {name}"), "new process, 0 requests lost", |_| {
        let old = director.wait_daemon(name)?;
        let load = client_asks(site)?;
        let ordered = now();
        director.ctl(&["restart", name])?;
        let took = ordered.elapsed();
        let new = director.wait_successor(name, old)?;
        pause(Duration::from_secs(2));
        let (seen, held) = tally(load, 40)?;
        Ok((format!("pid {old} -> {new} in {} ms, {seen}", took.as_millis()), held && !moved(site)?))
    });
}

fn kill(site: &Site, director: &Director, name: &str, report: &mut Report) {
    report.step(&format!("kill -9 of {name}"), "successor, 0 requests lost", |_| {
        let old = director.wait_daemon(name)?;
        let load = client_asks(site)?;
        let killed = now();
        process::signal(old, Signal::SIGKILL);
        let successor = director.wait_successor(name, old);
        let took = killed.elapsed();
        pause(Duration::from_secs(2));
        let (seen, held) = tally(load, 40)?;
        match successor {
            Ok(new) => {
                Ok((format!("pid {old} -> {new} in {} ms, {seen}", took.as_millis()), held && !moved(site)?))
            }
            Err(failure) => Ok((format!("{failure}, {seen}"), false)),
        }
    });
}

fn bad_reload(site: &Site, director: &Director, report: &mut Report) {
    report.step("reload with an error", "refused by name, 0 requests lost", |_| {
        let host = site.lan.host("d1")?;
        let good = Site::config("d1", 200, ADVERT_INT);
        director.write_config(host, &good.replace("virtual_router_id 51", "virtual_router_id 300"))?;
        let load = client_asks(site)?;
        let answer = director.ctl(&["reload"]);
        pause(Duration::from_secs(1));
        director.write_config(host, &good)?;
        let (seen, held) = tally(load, 20)?;
        match answer {
            Ok(_) => Ok((format!("taken, {seen}"), false)),
            Err(refusal) => {
                let named = refusal.to_string().contains("virtual_router_id");
                Ok((format!("refused, {seen}"), held && named && !moved(site)?))
            }
        }
    });
}

fn power_failure(site: &Site, report: &mut Report) {
    report.step("power failure of d1", "first answer within 2.8 s", |report| {
        let load = client_asks(site)?;
        pause(Duration::from_secs(1));
        report.say("d1 loses its power: links cut, every process killed");
        let late = Lateness::watch();
        let cut = site.lan.power_off("d1")?;
        let answered = |load: &Load| {
            load.so_far()
                .iter()
                .find(|request| request.at > cut && request.outcome.is_ok())
                .map(|request| request.done)
        };
        wait_until("an answer after the power failure", PATIENCE, || answered(&load).is_some())?;
        let first = answered(&load).map_or(PATIENCE, |done| done - cut);
        let late = late.finish()?;
        pause(Duration::from_secs(1));
        let requests = load.finish()?;
        let after: Vec<_> = requests.into_iter().filter(|request| request.at > cut + first).collect();
        let both = answers(&after).len() == 2 && lost(&after).is_empty();
        let seen = format!(
            "first answer after {:.2} s, then {} of {} answered",
            first.as_secs_f64(),
            after.len() - lost(&after).len(),
            after.len()
        );
        Ok((seen, first <= FAILOVER + late && both))
    });
}

fn stop(site: &Site, director: Director, report: &mut Report) {
    report.step("orderly stop of d2", "address and table withdrawn", |_| {
        director.stop()?;
        let host = site.lan.host("d2")?;
        let table = crate::lab::ipvs::table(host)?;
        let clean = !host.has(VIP) && table.is_empty();
        Ok((if clean { "nothing left".to_owned() } else { format!("left behind: {table:?}") }, clean))
    });
}

/// A request every 20 ms, each over a new connection, each given two seconds and no second try.
fn client_asks(site: &Site) -> Result<Load, Failure> {
    Load::start(site.client()?, ADDRESS, Duration::from_millis(20), Duration::from_secs(2))
}

/// Ends a load when it has at least so many requests; the promise is that none of them was lost.
fn tally(load: Load, at_least: usize) -> Result<(String, bool), Failure> {
    wait_until("enough requests", PATIENCE, || load.so_far().len() >= at_least)?;
    let requests = load.finish()?;
    let lost = lost(&requests).len();
    Ok((format!("{lost} of {} requests lost", requests.len()), lost == 0))
}

/// Whether the address has left d1.
fn moved(site: &Site) -> Result<bool, Failure> {
    Ok(!site.lan.host("d1")?.has(VIP) || site.lan.host("d2")?.has(VIP))
}
