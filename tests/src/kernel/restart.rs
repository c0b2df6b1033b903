//! Daemons go and come back while a client asks; nothing that was decided is forgotten.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::health::{ask, one_director};
use crate::lab::failure::require;
use crate::lab::site::{Site, VIP, WEB1, WEB2};
use crate::lab::web::{Load, lost};
use crate::lab::{Director, Failure, Lab, Lateness, Subject, ipvs, pause, process, wait_for, wait_until};

const DAEMONS: [&str; 3] = ["checkd", "ipvsd", "vrrpd"];
const START: Duration = Duration::from_secs(30);

/// Both directors serve, d1 is Master.
fn two_directors(lab: &Lab, subject: Subject) -> Result<(Director, Director, Site), Failure> {
    let site = Site::new(lab)?;
    let first = site.start(lab, "d1", subject, 200, "0.5", &[])?;
    let second = site.start(lab, "d2", subject, 100, "0.5", &[])?;
    let (d1, d2) = (site.lan.host("d1")?, site.lan.host("d2")?);
    wait_until("d1 alone holds the address", START, || d1.has(VIP) && !d2.has(VIP))?;
    site.wait_table("d1", &[WEB1, WEB2], START)?;
    site.wait_table("d2", &[WEB1, WEB2], START)?;
    Ok((first, second, site))
}

pub(super) fn power_failure(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (_first, _second, site) = two_directors(lab, subject)?;
    let load =
        Load::start(site.client()?, "10.77.0.50", Duration::from_millis(20), Duration::from_millis(500))?;
    pause(Duration::from_millis(500));
    let lateness = Lateness::watch();
    let cut = site.lan.power_off("d1")?;
    let answered = || load.so_far().into_iter().find(|request| request.at > cut && request.outcome.is_ok());
    let (first, _) = wait_for("an answer after the power failure", START, answered)?;
    let (took, late) = (first.done - cut, lateness.finish()?);
    // Three adverts and the skew of priority 100, and what a busy machine adds.
    require(took < Duration::from_millis(1500 + 305 + 1500) + late, || {
        format!("the first answer came after {took:?}, the laboratory was late by {late:?}")
    })?;
    drop(load.finish()?);
    let answers = ask(&site, "10.77.0.50", 10)?;
    require(answers.len() == 2, || format!("after the failover {answers:?}"))
}

pub(super) fn nothing_lost(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (first, _second, site) = two_directors(lab, subject)?;
    let load = Load::start(site.client()?, "10.77.0.50", Duration::from_millis(20), Duration::from_secs(2))?;
    for name in DAEMONS {
        let old = first.wait_daemon(name)?;
        first.ctl(&["restart", name])?;
        let new = first.wait_successor(name, old)?;
        pause(Duration::from_secs(1));
        process::signal(new, Signal::SIGKILL);
        first.wait_successor(name, new)?;
        pause(Duration::from_secs(1));
    }
    wait_until("many requests are made", START, || load.so_far().len() > 100)?;
    let requests = load.finish()?;
    let lost = lost(&requests);
    require(lost.is_empty(), || {
        format!("{} of {} requests lost, first: {:?}", lost.len(), requests.len(), lost.first())
    })?;
    let d2 = site.lan.host("d2")?;
    require(!d2.has(VIP), || "the peer took the address".to_owned())
}

/// A successor of checkd or ipvsd never puts a server back that its predecessor knew to be dead.
pub(super) fn stays_out(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (director, mut site) = one_director(lab, subject)?;
    site.kill_server(0);
    site.wait_table("d1", &[WEB2], START)?;
    let host = site.lan.host("d1")?;
    for name in ["checkd", "ipvsd"] {
        let old = director.wait_daemon(name)?;
        process::signal(old, Signal::SIGKILL);
        let deadline = crate::lab::clock::now() + Duration::from_secs(3);
        while crate::lab::clock::now() < deadline {
            let table = ipvs::destinations(host);
            require(table == [WEB2], || format!("after the death of {name} the table holds {table:?}"))?;
            pause(Duration::from_millis(10));
        }
        director.wait_successor(name, old)?;
    }
    Ok(())
}

pub(super) fn bad_reload(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (director, site) = one_director(lab, subject)?;
    let before = director.status()?;
    let good = Site::config("d1", 200, "0.3");
    let bad = good.replace("virtual_router_id 51", "virtual_router_id 300");
    director.write_config(site.lan.host("d1")?, &bad)?;
    let Err(refusal) = director.ctl(&["reload"]) else {
        return Err(Failure::new("a configuration with an error was taken"));
    };
    require(refusal.to_string().contains("300"), || {
        format!("the refusal doesn't name the error: {refusal}")
    })?;
    let after = director.status()?;
    require(before["generation"] == after["generation"], || "the generation changed".to_owned())?;
    site.wait_table("d1", &[WEB1, WEB2], START)?;
    ask(&site, "10.77.0.50", 4)?;
    // A good one is taken: web2 goes.
    let (head, _) = good.split_once("    real_server 10.78.0.12").unwrap_or((&good, ""));
    director.write_config(site.lan.host("d1")?, &format!("{head}}}\n"))?;
    director.ctl(&["reload"])?;
    site.wait_table("d1", &[WEB1], START).map(|_| ())
}

/// A service that the configuration doesn't name is somebody else's.
pub(super) fn foreign_service(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (director, site) = one_director(lab, subject)?;
    let host = site.lan.host("d1")?;
    host.run("ipvsadm", &["-A", "-t", "10.77.0.99:81", "-s", "wlc"])?;
    let old = director.wait_daemon("ipvsd")?;
    director.ctl(&["restart", "ipvsd"])?;
    director.wait_successor("ipvsd", old)?;
    director.stop()?;
    let table = ipvs::table(host)?;
    let names: Vec<&str> = table.iter().map(|service| service.name.as_str()).collect();
    require(names == ["TCP 10.77.0.99:81"], || format!("after a stop the table holds {names:?}"))
}
