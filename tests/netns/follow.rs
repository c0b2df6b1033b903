//! What follows a state and what a state follows: notify scripts, tracked interfaces, reloads.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global, on_eth0};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Echo, Failure, Lab, Lan, Probe, Subject, pause, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const SECOND: IpAddr = front4(51);
const ELECTED: Duration = Duration::from_secs(20);

/// A script that appends its arguments to a file beside it.
fn recorder(mode: u32) -> Result<PathBuf, Failure> {
    let script = Path::new("/run/lab/record.sh");
    fs::create_dir_all("/run/lab")
        .and_then(|()| fs::write(script, "#!/bin/sh\necho \"$*\" >>/run/lab/record\n"))
        .and_then(|()| fs::set_permissions(script, fs::Permissions::from_mode(mode)))
        .map_err(|cause| Failure::instrument("script that records", cause))?;
    Ok(script.to_owned())
}

fn recorded() -> Vec<String> {
    let text = fs::read_to_string("/run/lab/record").unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn with_scripts(script: &Path) -> String {
    let script = script.display();
    let instance = VrrpInstance::new(3, "0.2", 200, ADDRESS)
        .with(&format!("notify \"{script} any\""))
        .with(&format!("notify_master \"{script} now-master\""))
        .with(&format!("notify_backup \"{script} now-backup\""))
        .with(&format!("notify_fault \"{script} now-fault\""))
        .with(&format!("notify_stop \"{script} now-stopped\""));
    "global_defs {\n    script_user root\n    enable_script_security\n}\n".to_owned() + &instance.text()
}

/// The same words in the same order, whoever runs the scripts.
fn scripts_are_told(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let director = Director::start(lab, d1, subject, &with_scripts(&recorder(0o755)?), &[])?;
    wait_until("d1 holds the address", ELECTED, || d1.has(ADDRESS))?;
    wait_until("two states are told", ELECTED, || recorded().len() == 4)?;
    d1.ip("link set eth0 down\n")?;
    wait_until("the fault is told", ELECTED, || recorded().len() == 6)?;
    director.stop()?;
    wait_until("the stop is told", ELECTED, || recorded().len() >= 8)?;
    let mut lines = recorded();
    // The two scripts of one change run side by side.
    lines.chunks_mut(2).for_each(<[String]>::sort);
    let expected = [
        "any INSTANCE VI_1 BACKUP 200",
        "now-backup",
        "any INSTANCE VI_1 MASTER 200",
        "now-master",
        "any INSTANCE VI_1 FAULT 200",
        "now-fault",
        "any INSTANCE VI_1 STOP 200",
        "now-stopped",
    ];
    require(lines == expected, || format!("recorded {lines:?}"))
}

#[test]
fn scripts_are_told_of_every_state_by_c() {
    sandboxed(60, |lab| scripts_are_told(lab, Subject::C));
}

#[test]
fn scripts_are_told_of_every_state_by_ours() {
    sandboxed(60, |lab| scripts_are_told(lab, Subject::Ours));
}

#[test]
fn a_script_that_others_can_write_never_runs_as_root() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let script = recorder(0o777)?;
        let mut director = Director::start(lab, d1, Subject::Ours, &with_scripts(&script), &[])?;
        // Either the configuration is refused, or the script is.
        let mut ended = false;
        wait_until("it ends, or d1 holds the address", ELECTED, || {
            ended = director.wait_end(Duration::ZERO).is_ok();
            ended || d1.has(ADDRESS)
        })?;
        if !ended {
            pause(Duration::from_secs(1));
        }
        require(recorded().is_empty(), || format!("it ran: {:?}", recorded()))?;
        let log = director.log();
        require(log.contains("record.sh"), || format!("the log doesn't name the script:\n{log}"))
    });
}

fn interface_is_followed(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let mut lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    lan.add_back_network(&[("d1", 1)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let tracked =
        VrrpInstance::new(3, "0.2", 200, ADDRESS).with("track_interface {\n        eth1\n    }").text();
    let plain = VrrpInstance::new(3, "0.2", 100, ADDRESS).text();
    let _first = Director::start(lab, d1, subject, &(global("d1") + &tracked), &[])?;
    let _second = Director::start(lab, d2, subject, &(global("d2") + &plain), &[])?;
    let at = |here: &tests::lab::Host, there: &tests::lab::Host| here.has(ADDRESS) && !there.has(ADDRESS);
    wait_until("d1 alone holds the address", ELECTED, || at(d1, d2))?;
    d1.ip("link set eth1 down\n")?;
    wait_until("it moves with the interface", ELECTED, || at(d2, d1))?;
    d1.ip("link set eth1 up\n")?;
    wait_until("it comes back with it", ELECTED, || at(d1, d2)).map(|_| ())
}

#[test]
fn the_address_follows_a_tracked_interface_with_c() {
    sandboxed(60, |lab| interface_is_followed(lab, Subject::C));
}

#[test]
fn the_address_follows_a_tracked_interface_with_ours() {
    sandboxed(60, |lab| interface_is_followed(lab, Subject::Ours));
}

/// What a reload doesn't change never leaves its state: the old address answers all the time while a new one comes
/// and goes.
#[test]
fn a_reload_loses_nothing_of_what_stays() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let _echo = Echo::start(d1)?;
        let one = VrrpInstance::new(3, "0.2", 200, ADDRESS);
        let mut two = one.clone();
        two.addresses.push(on_eth0(SECOND));
        let director = Director::start(lab, d1, Subject::Ours, &(global("d1") + &one.text()), &[])?;
        wait_until("d1 holds the address", ELECTED, || d1.has(ADDRESS))?;
        let before = director.transitions_in("Master")?;
        let probe = Probe::start(lan.host("client")?, ADDRESS, Duration::from_millis(1))?;
        for (text, there) in [(two.text(), true), (one.text(), false)] {
            director.write_config(d1, &(global("d1") + &text))?;
            director.ctl(&["reload"])?;
            wait_until("the second address follows", ELECTED, || d1.has(SECOND) == there)?;
            pause(Duration::from_millis(500));
        }
        let report = probe.finish()?;
        require(report.lost == 0, || format!("{} of {} questions lost", report.lost, report.sent))?;
        let after = director.transitions_in("Master")?;
        require(before == after, || format!("{before} transitions became {after}"))
    });
}

/// Another name and another priority are no reason to ask the neighbours anew.
#[test]
fn a_renamed_instance_goes_on_and_is_told_under_its_new_name() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let notify = format!("notify \"{} any\"", recorder(0o755)?.display());
        let known_as = |name: &str, priority| {
            let instance =
                VrrpInstance { name: name.to_owned(), ..VrrpInstance::new(3, "0.2", priority, ADDRESS) };
            "global_defs {\n    script_user root\n    enable_script_security\n}\n".to_owned()
                + &instance.with(&notify).text()
        };
        let director = Director::start(lab, d1, Subject::Ours, &known_as("old", 200), &[])?;
        wait_until("d1 holds the address", ELECTED, || d1.has(ADDRESS))?;
        wait_until("two states are told", ELECTED, || recorded().len() == 2)?;
        director.write_config(d1, &known_as("new", 150))?;
        director.ctl(&["reload"])?;
        let instance = director.status()?["instances"][0].clone();
        require(instance["name"] == "new" && instance["state"] == "Master", || format!("{instance}"))?;
        director.stop()?;
        wait_until("the stop is told", ELECTED, || recorded().len() > 2)?;
        let expected =
            ["any INSTANCE old BACKUP 200", "any INSTANCE old MASTER 200", "any INSTANCE new STOP 150"];
        require(recorded() == expected, || format!("recorded {:?}", recorded()))
    })
}

/// A lower priority that speaks up, a reload that changes nothing and one that removes the instance: told to the pipe
/// and to scripts.
#[test]
fn what_a_master_hears_and_a_removed_instance_are_told() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let script = recorder(0o755)?.display().to_string();
        let globals = "global_defs {\n    script_user root\n    enable_script_security\n    \
                       fifo_write_vrrp_states_on_reload\n}\n";
        let second =
            VrrpInstance { name: "VI_2".to_owned(), vrid: 52, ..VrrpInstance::new(3, "0.2", 200, SECOND) };
        let second = second.with(&format!("notify_deleted \"{script} gone\"\nnotify \"{script} any\""));
        let first = VrrpInstance::new(3, "0.2", 200, ADDRESS)
            .with(&format!("notify_master_rx_lower_pri \"{script} lower\""));
        let both = globals.to_owned() + &first.text() + &second.text();
        let weak = VrrpInstance::new(3, "0.2", 100, ADDRESS).text();
        let _lower = Director::start(lab, d2, Subject::Ours, &(global("d2") + &weak), &[])?;
        wait_until("d2 holds the address", ELECTED, || d2.has(ADDRESS))?;
        let director = Director::start(lab, d1, Subject::Ours, &both, &[])?;
        wait_until("d1 alone holds both addresses", ELECTED, || {
            d1.has(ADDRESS) && d1.has(SECOND) && !d2.has(ADDRESS)
        })?;
        // The last word of whom it has replaced is no news; a second Master behind a partition is.
        lan.switch().ip("link set f-d2 nomaster\n")?;
        wait_until("d2 is cut off and takes over", ELECTED, || d2.has(ADDRESS))?;
        require(!recorded().iter().any(|line| line == "lower"), || format!("told {:?}", recorded()))?;
        lan.switch().ip("link set f-d2 master br0\n")?;
        wait_until("the lower priority is told", ELECTED, || recorded().iter().any(|line| line == "lower"))?;
        director.write_config(d1, &(globals.to_owned() + &first.text()))?;
        director.ctl(&["reload"])?;
        let expected = ["any INSTANCE VI_2 DELETED 200", "gone"];
        let told = || expected.iter().all(|line| recorded().iter().any(|other| other == line));
        wait_until("the removed instance is told", ELECTED, told).map(|_| ())
    });
}
