//! The two units under a real systemd: start, reload, kills of every kind and stop, seen from systemd and from the peer.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{
    Capture, Director, Failure, Host, Lab, Lan, Machine, Subject, capture, pause, sandboxed, wait_until,
};

use crate::installation::{ROOT, install};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(20);
/// Seconds, on the wire: who hears priority 0 waits its skew, 0.61 s; who doesn't waits for 2.6 s at least.
const TOLD: f64 = 2.0;

fn config(priority: u8) -> String {
    global("lab") + &VrrpInstance::new(3, "1", priority, ADDRESS).text()
}

struct Site<'a> {
    lab: &'a Lab,
    lan: &'a Lan,
    unit: &'static str,
    machine: &'a Machine,
    d1: &'a Host,
    d2: &'a Host,
}

impl Site<'_> {
    fn settled(&self) -> Result<(), Failure> {
        wait_until("the unit is active, d1 alone holds the address", SOON, || {
            let active = self.machine.property(self.unit, "ActiveState").is_ok_and(|state| state == "active");
            active && self.d1.has(ADDRESS) && !self.d2.has(ADDRESS)
        })?;
        // A whole interval after the last transition, so that the peer's patience is the longest there is.
        pause(Duration::from_millis(1_100));
        Ok(())
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<(), Failure> {
        self.machine.run("systemctl", &[arguments, &[self.unit]].concat()).map(drop)
    }

    /// The peer hears of it and takes over in time, and nothing stays.
    fn hands_over(&self, what: &str, order: &[&str]) -> Result<(), Failure> {
        let capture = Capture::start(self.lab, self.lan.switch(), what)?;
        self.systemctl(order)?;
        wait_until(&format!("{what}: d2 alone holds the address"), SOON, || {
            self.d2.has(ADDRESS) && !self.d1.has(ADDRESS)
        })?;
        let adverts = capture::adverts(&capture.stop()?)?;
        let waited = capture::succession(&adverts, "10.77.0.1")
            .map_err(|failure| Failure::new(format!("{what}: {failure}")))?;
        require(waited < TOLD, || format!("{what}: d2 waited for {waited:.3} s"))
    }

    fn daemons(&self) -> Vec<String> {
        let names = self.d1.processes().into_iter().map(|process| process.name);
        names.filter(|name| ["keepalived", "vrrpd", "checkd", "ipvsd"].contains(&name.as_str())).collect()
    }
}

fn life(lab: &Lab, unit: &'static str) -> Result<(), Failure> {
    install()?;
    let place = Path::new(ROOT).join("etc/keepalived");
    fs::create_dir_all(&place)
        .and_then(|()| fs::write(place.join("keepalived.conf"), config(200)))
        .map_err(|cause| Failure::instrument("configuration", cause))?;
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let _peer = Director::start(lab, d2, Subject::C, &config(100), &[])?;
    let machine = Machine::boot(lab, d1, Path::new(ROOT))?;
    let site = Site { lab, lan: &lan, unit, machine: &machine, d1, d2 };
    let outcome = whole_life(&site);
    outcome.map_err(|failure| Failure::new(format!("{failure}\n{}", machine.journal())))
}

fn whole_life(site: &Site<'_>) -> Result<(), Failure> {
    let Site { unit, machine, .. } = *site;
    site.systemctl(&["start"])?;
    let started = machine.property(unit, "StatusText")?;
    require(machine.property(unit, "ActiveState")? == "active", || format!("not active: {started}"))?;
    site.settled()?;
    let parent = machine.property(unit, "MainPID")?;
    // The order returns at once; systemd learns from the parent when it is done.
    site.systemctl(&["reload"])?;
    wait_until("it has been reloaded", SOON, || {
        let said = machine.run("keepalivectl", &["events", "--last", "5"]).unwrap_or_default();
        let state = machine.property(unit, "ActiveState").unwrap_or_default();
        said.contains("reloaded: generation 2") && state == "active"
    })?;
    require(machine.property(unit, "MainPID")? == parent, || "another parent".to_owned())?;
    site.hands_over("parent", &["kill", "--kill-who=main", "--signal=KILL"])?;
    site.settled()?;
    site.hands_over("group", &["kill", "--signal=KILL"])?;
    site.settled()?;
    site.hands_over("terminated", &["kill", "--signal=TERM"])?;
    require(site.daemons().is_empty(), || format!("{:?} run", site.daemons()))?;
    require(machine.property(unit, "Result")? == "success", || "an order isn't a failure".to_owned())?;
    site.systemctl(&["start"])?;
    site.settled()?;
    site.hands_over("stopped", &["stop"])?;
    require(site.daemons().is_empty(), || format!("{:?} run", site.daemons()))
}

#[test]
fn the_unit_starts_reloads_and_hands_over_whatever_ends_it() {
    sandboxed(110, |lab| life(lab, "keepalived.service"));
}

#[test]
fn the_hardened_unit_starts_reloads_and_hands_over_whatever_ends_it() {
    sandboxed(110, |lab| life(lab, "keepalived-hardened.service"));
}
