//! What sync groups and priorities tell: scripts of a group beside Debian's keepalived, and pipes that are told of every
//! priority where an instance, its group or everything asks for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::VrrpInstance;
use tests::lab::failure::require;
use tests::lab::lan::{Cable, front4};
use tests::lab::{Director, Failure, Lab, Lan, Subject, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);
const TOLD: &str = "/run/lab/told";
const LOAD: &str = "/run/lab/load";

fn write(path: &str, text: &str) -> Result<(), Failure> {
    fs::create_dir_all("/run/lab")
        .and_then(|()| fs::write(path, text))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(|cause| Failure::instrument(path, cause))
}

fn told() -> Vec<String> {
    fs::read_to_string(TOLD).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Instance number `number` on an address of its own.
fn instance(number: u8, extra: &str) -> String {
    let vrid = 50_u8.saturating_add(number);
    let one = VrrpInstance::new(3, "0.2", 200, front4(vrid));
    VrrpInstance { name: format!("VI_{number}"), vrid, ..one }.with(extra).text()
}

/// Start, a cable that is pulled, and a stop, as the scripts of the group are told of them.
fn scripts_of_a_group(lab: &Lab, subject: Subject) -> Result<Vec<String>, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    write("/run/lab/tell.sh", &format!("#!/bin/sh\necho \"$@\" >>{TOLD}\n"))?;
    write(TOLD, "")?;
    let states = ["backup", "master", "fault", "stop"];
    let scripts = states.map(|state| format!("    notify_{state} \"/run/lab/tell.sh {state}\"\n")).concat();
    let config = format!(
        "global_defs {{\n    router_id lab\n    script_user root\n}}\nvrrp_sync_group G {{\n    group {{\n        VI_1\n        \
         VI_2\n    }}\n{scripts}    notify \"/run/lab/tell.sh any\"\n}}\n"
    );
    let config = config + &instance(1, "") + &instance(2, "");
    let director = Director::start(lab, d1, subject, &config, &[])?;
    let wait = |count: usize, what: &str| {
        wait_until(what, SOON, || told().len() >= count)
            .map_err(|failure| Failure::new(format!("{failure}: {:?}\n{}", told(), director.log())))
    };
    wait(4, "the group is Backup, then Master")?;
    lan.set_cable("d1", Cable::Pulled)?;
    wait(6, "the group is in trouble")?;
    director.stop()?;
    wait_until("the end is told", SOON, || told().len() >= 8)?;
    let mut told = told();
    told.sort();
    Ok(told)
}

#[test]
fn scripts_of_a_group_hear_what_those_of_keepalived_hear() {
    sandboxed(60, |lab| {
        let ours = scripts_of_a_group(lab, Subject::Ours)?;
        let expected = [
            "any GROUP G BACKUP 0",
            "any GROUP G FAULT 0",
            "any GROUP G MASTER 0",
            "any GROUP G STOP 0",
            "backup",
            "fault",
            "master",
            "stop",
        ];
        require(ours == expected, || format!("{ours:#?}"))?;
        let theirs = scripts_of_a_group(lab, Subject::C)?;
        require(ours == theirs, || format!("ours {ours:#?}\ntheirs {theirs:#?}"))
    });
}

/// One instance asks for itself, the group of another one for its members, and nobody for the third until a reload.
fn priorities(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    write("/run/lab/reader.sh", &format!("#!/bin/sh\nexec cat $1 >{TOLD}\n"))?;
    write(LOAD, "0\n")?;
    let config = |more: &str| {
        let track = "track_file {\n        load\n    }\n";
        let globals = format!(
            "global_defs {{\n    router_id lab\n    script_user root\n    vrrp_notify_fifo /run/lab/fifo\n    \
             vrrp_notify_fifo_script /run/lab/reader.sh\n{more}}}\n\
             vrrp_track_file load {{\n    file {LOAD}\n    weight 1\n}}\n"
        );
        let group = "vrrp_sync_group G {\n    group {\n        VI_2\n    }\n    sync_group_tracking_weight\n    \
                     notify_priority_changes\n}\n";
        let own = format!("{track}notify_priority_changes");
        globals + group + &instance(1, &own) + &instance(2, track) + &instance(3, track)
    };
    let director = Director::start(lab, d1, Subject::Ours, &config(""), &[])?;
    let has = |line: &str| told().iter().any(|found| found == line);
    let hears = |line: String| {
        wait_until(&format!("the pipe is told {line}"), SOON, || has(&line))
            .map_err(|failure| Failure::new(format!("{failure}: {:#?}\n{}", told(), director.log())))
    };
    for number in [1, 2, 3] {
        hears(format!("INSTANCE \"VI_{number}\" MASTER 200"))?;
    }
    write(LOAD, "-10\n")?;
    hears("INSTANCE \"VI_1\" MASTER_PRIORITY 190".to_owned())?;
    hears("INSTANCE \"VI_2\" MASTER_PRIORITY 190".to_owned())?;
    wait_until("the third follows the file", SOON, || {
        director.status().is_ok_and(|status| {
            let instances = status["instances"].as_array().cloned().unwrap_or_default();
            instances.iter().any(|one| one["name"] == "VI_3" && one["priority"] == 190)
        })
    })?;
    director.write_config(d1, &config("    vrrp_notify_priority_changes\n"))?;
    director.ctl(&["reload"])?;
    write(LOAD, "-20\n")?;
    for number in [1, 2, 3] {
        hears(format!("INSTANCE \"VI_{number}\" MASTER_PRIORITY 180"))?;
    }
    require(!has("INSTANCE \"VI_3\" MASTER_PRIORITY 190"), || format!("nobody asked for that: {:#?}", told()))
}

#[test]
fn pipes_hear_of_priorities_where_instance_group_or_everything_asks() {
    sandboxed(60, priorities);
}

/// What people look for in a detailed log, in its order, when the link of a unicast instance fails and comes back.
fn detailed_log(lab: &Lab, subject: Subject) -> Result<Vec<String>, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let peers = format!("unicast_peer {{\n        {}\n    }}", front4(2));
    let mut director = Director::start(lab, d1, subject, &instance(1, &peers), &["-l"])?;
    wait_until("d1 holds the address", SOON, || d1.has(front4(51)))?;
    lan.set_cable("d1", Cable::Pulled)?;
    wait_until("the fault is told", SOON, || director.logged("Entering FAULT") == 1)?;
    lan.set_cable("d1", Cable::Plugged)?;
    wait_until("it is Master again", SOON, || director.logged("Entering MASTER") == 2)?;
    wait_until("all is announced", SOON, || director.logged("Sending gratuitous ARP on") >= 10)?;
    director.signal(Signal::SIGTERM);
    director.wait_end(SOON)?;
    let asked = ["Entering", "Sending", "sending", "sent 0", "VIPs", "Registering Kernel"];
    let is_asked_for = |line: &&str| asked.iter().any(|words| line.contains(words));
    let text = |line: &str| line.get("Sun Nov 22 12:00:00 2026: ".len()..).unwrap_or(line).to_owned();
    Ok(director.log().lines().filter(is_asked_for).map(text).collect())
}

#[test]
fn a_detailed_log_has_the_lines_that_people_look_for() {
    sandboxed(60, |lab| {
        let (theirs, ours) = (detailed_log(lab, Subject::C)?, detailed_log(lab, Subject::Ours)?);
        require(theirs == ours, || format!("C says {theirs:#?}, ours says {ours:#?}"))
    });
}
