//! The two units under a real systemd: start, reload, kills of every kind and stop, seen from systemd and from the peer.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{
    Capture, Director, Failure, Host, Lab, Lan, Lateness, Machine, Subject, capture, pause, sandboxed,
    wait_for, wait_until,
};

use crate::installation::{ROOT, install};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(20);
/// Seconds, on the wire: who hears priority 0 waits its skew, 0.61 s; who doesn't waits for 2.6 s at least.
const TOLD: f64 = 2.0;

fn config(priority: u8, script: &str) -> String {
    global("lab") + &VrrpInstance::new(3, "1", priority, ADDRESS).with(script).text()
}

/// A unit, and the script of its configuration: who runs it, and whether it can write to the system's own folders.
struct Unit {
    name: &'static str,
    script_user: &'static str,
    is_free: bool,
}

/// Leaves what the kernel says of the script's process in a folder below /run and in one below /var.
const SCRIPT: &str =
    "/bin/sh -c 'cp /proc/self/status /run/seen/status; cp /proc/self/status /var/lib/seen/status'";

impl Unit {
    /// The script does what it may and nothing else.
    fn script_did_what_it_may(&self, machine: &Machine) -> Result<(), Failure> {
        let status =
            || machine.run("cat", &["/run/seen/status"]).ok().filter(|text| text.contains("Seccomp:"));
        let (status, _) = wait_for("the script has run", SOON, status)?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value
                .map(|value| value.split_whitespace().next().unwrap_or_default().to_owned())
                .unwrap_or_default()
        };
        let user = machine.run("id", &["-u", self.script_user])?;
        require(field("Uid:") == user.trim(), || status.clone())?;
        require(field("NoNewPrivs:") == if self.is_free { "0" } else { "1" }, || status.clone())?;
        let holds_nothing = field("CapEff:").chars().all(|digit| digit == '0');
        require(holds_nothing != self.is_free, || status.clone())?;
        let wrote = machine.run("cat", &["/var/lib/seen/status"]).is_ok();
        require(wrote == self.is_free, || format!("{} wrote to /var: {wrote}", self.name))
    }
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
        let lateness = Lateness::watch();
        self.systemctl(order)?;
        wait_until(&format!("{what}: d2 alone holds the address"), SOON, || {
            self.d2.has(ADDRESS) && !self.d1.has(ADDRESS)
        })?;
        let late = lateness.finish()?;
        let adverts = capture::adverts(&capture.stop()?)?;
        let waited = capture::succession(&adverts, "10.77.0.1")
            .map_err(|failure| Failure::new(format!("{what}: {failure}")))?;
        require(waited < TOLD + late.as_secs_f64(), || {
            format!("{what}: d2 waited for {waited:.3} s, the laboratory was late by {late:?}")
        })
    }

    fn daemons(&self) -> Vec<String> {
        let names = self.d1.processes().into_iter().map(|process| process.name);
        names.filter(|name| ["keepalived", "vrrpd", "checkd", "ipvsd"].contains(&name.as_str())).collect()
    }
}

fn life(lab: &Lab, unit: &Unit) -> Result<(), Failure> {
    install()?;
    let script = format!("notify_master \"{SCRIPT}\" {}", unit.script_user);
    let place = Path::new(ROOT).join("etc/keepalived");
    fs::create_dir_all(&place)
        .and_then(|()| fs::write(place.join("keepalived.conf"), config(200, &script)))
        .map_err(|cause| Failure::instrument("configuration", cause))?;
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let _peer = Director::start(lab, d2, Subject::C, &config(100, ""), &[])?;
    let machine = Machine::boot(lab, d1, Path::new(ROOT))?;
    for folder in ["/run/seen", "/var/lib/seen"] {
        machine.run("install", &["--directory", "--owner", unit.script_user, folder])?;
    }
    let site = Site { lab, lan: &lan, unit: unit.name, machine: &machine, d1, d2 };
    let outcome = whole_life(&site).and_then(|()| unit.script_did_what_it_may(&machine));
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
    sandboxed(110, |lab| life(lab, &Unit { name: "keepalived.service", script_user: "root", is_free: true }));
}

#[test]
fn the_hardened_unit_starts_reloads_and_hands_over_whatever_ends_it() {
    sandboxed(110, |lab| {
        life(lab, &Unit { name: "keepalived-hardened.service", script_user: "daemon", is_free: false })
    });
}
