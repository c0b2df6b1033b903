//! What reloads tell and change while servers are down: servers, sorry servers and services that come, go and change.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::town::{Clockwork, Town};
use super::witness::Witness;
use super::{END, furnish, rest};
use crate::kernel::lasting::lasting_differences;
use crate::lab::failure::require;
use crate::lab::mail::MailServer;
use crate::lab::{Director, Failure, Lab, Lan, Subject, wait_until};

/// A virtual server: last byte of its address, what it has, and its real servers by the last byte of theirs, whose port
/// says whether they live, and what each has.
struct Service(u8, &'static str, &'static [(u8, u16, &'static str)]);

const ALIVE: u16 = 7111;
const DEAD: u16 = 7000;

/// A further check that fails: its first failure decides on a server that is down, and is forgiven on one that lives.
const ANOTHER: &str = "UDP_CHECK {\nconnect_port 7002\nretry 1\ndelay_before_retry 1\n}";

/// The file of the start, then those of the reloads.
const FILES: [&[Service]; 5] = [
    &[
        Service(1, "", &[(1, ALIVE, ""), (2, DEAD, ""), (3, DEAD, "inhibit_on_failure"), (4, ALIVE, "")]),
        Service(2, "sorry_server 10.99.9.1 80", &[(1, DEAD, "")]),
        Service(3, "alpha", &[(1, ALIVE, ""), (2, DEAD, "")]),
        Service(5, "", &[(1, DEAD, ""), (2, ALIVE, "")]),
    ],
    // Servers go; one comes that is dead. Checks come. The sorry server becomes another one while it serves.
    &[
        Service(1, "", &[(4, ALIVE, ""), (5, DEAD, "")]),
        Service(2, "sorry_server 10.99.9.2 80", &[(1, DEAD, "")]),
        Service(3, "alpha", &[(1, ALIVE, ""), (2, DEAD, "")]),
        Service(4, "alpha", &[(1, ALIVE, ""), (2, DEAD, "")]),
        Service(5, "", &[(1, DEAD, ANOTHER), (2, ALIVE, ANOTHER)]),
    ],
    // A service goes; the new sorry server is called by a quorum that is never reached.
    &[
        Service(1, "quorum 2", &[(4, ALIVE, ""), (1, ALIVE, "")]),
        Service(2, "", &[(1, DEAD, "")]),
        Service(4, "omega", &[(1, ALIVE, "")]),
    ],
    &[
        Service(1, "quorum 2\nhysteresis 1", &[(4, ALIVE, "weight 3"), (1, ALIVE, "")]),
        Service(2, "sorry_server 10.99.9.2 80\nsorry_server_inhibit", &[(1, DEAD, ""), (2, ALIVE, "")]),
    ],
    // One that doesn't serve becomes another one.
    &[Service(2, "sorry_server 10.99.9.3 80\nsorry_server_inhibit", &[(2, ALIVE, "")])],
];

fn config(host: &str, file: &[Service]) -> String {
    let mut text = format!(
        "global_defs {{\nscript_user root\nenable_script_security\nlvs_notify_fifo /run/lab/{host}.fifo\n\
         rs_init_notifies\n}}\n"
    );
    for Service(number, words, servers) in file {
        let service = format!(
            "virtual_server 10.98.0.{number} 80 {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\ndelay_loop 1\n\
             warmup 0\n{words}\nquorum_up \"%NOTE {number} up\"\nquorum_down \"%NOTE {number} down\"\n"
        );
        text.push_str(&service);
        for (last, port, words) in *servers {
            let server = format!(
                "real_server 10.99.0.{last} {port} {{\n{words}\nnotify_up \"%NOTE {number} {last} up\"\n\
                 notify_down \"%NOTE {number} {last} down\"\nTCP_CHECK {{\nretry 1\ndelay_before_retry 1\n}}\n}}\n"
            );
            text.push_str(&server);
        }
        text.push_str("}\n");
    }
    text.replace("%NOTE", &format!("/run/lab/{host}.note"))
}

/// Both programs over all files, beside each other.
pub(in crate::kernel) fn compare_reloads(lab: &Lab) -> Result<(), Failure> {
    let differences = lasting_differences([()], |_| Ok(vec![differences(lab)?]))?;
    if differences.is_empty() { Ok(()) } else { Err(Failure::new(differences)) }
}

fn differences(lab: &Lab) -> Result<String, Failure> {
    let lan = Lan::new(&[("theirs", 1), ("ours", 2)])?;
    furnish()?;
    let clockwork = Clockwork::default();
    let mut running = Vec::new();
    let mut towns = Vec::new();
    let mut witnesses = Vec::new();
    for (name, subject) in [("theirs", Subject::C), ("ours", Subject::Ours)] {
        let host = lan.host(name)?;
        host.ip("route add local 10.99.0.0/16 dev lo\n")?;
        towns.push(Town::start(host, &clockwork)?);
        witnesses.push(Witness::new(host, MailServer::start(host, 2525)?)?);
        let first = FILES.first().copied().unwrap_or_default();
        running.push((host, Director::start(lab, host, subject, &config(name, first), &[])?));
    }
    for (phase, file) in (0_u8..).zip(FILES) {
        for (host, director) in running.iter().filter(|_| phase > 0) {
            director.write_config(host, &config(host.name(), file))?;
            director.signal(Signal::SIGHUP);
        }
        for (_, director) in &running {
            wait_until("the file is in use", END, || {
                director.logged("Startup complete") + director.logged("Reload complete") > usize::from(phase)
            })?;
        }
        rest(&mut witnesses, phase, LEAST);
        for (witness, (host, director)) in witnesses.iter_mut().zip(&running) {
            witness.end_phase(phase, host, director)?;
        }
    }
    let mut seen =
        witnesses.iter().zip(&running).map(|(witness, (_, director))| witness.phases(&director.log()));
    let (theirs, ours) = (seen.next().unwrap_or_default(), seen.next().unwrap_or_default());
    drop(seen);
    for (_, director) in running {
        director.stop()?;
    }
    clockwork.end();
    let record = format!("keepalived: {theirs:#?}\nours: {ours:#?}\n");
    fs::write(lab.out.join("seen"), record).map_err(|cause| Failure::instrument("record", cause))?;
    let mut complaints = String::new();
    let kinds = ["told", "scripts", "log", "table"];
    for (position, kind) in kinds.iter().enumerate() {
        let seen = theirs.values().any(|phase| phase.get(position).is_some_and(|lines| !lines.is_empty()));
        require(seen, || format!("nothing of keepalived's {kind} was seen: nothing to compare"))?;
    }
    for (phase, theirs) in &theirs {
        let ours = ours.get(phase).cloned().unwrap_or_default();
        for (kind, (theirs, ours)) in kinds.iter().zip(theirs.iter().zip(&ours)) {
            if theirs != ours {
                let only = |these: &[String], those: &[String]| {
                    these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>()
                };
                let (theirs, ours) = (only(theirs, ours), only(ours, theirs));
                complaints.push_str(&format!(
                    "file {phase}, {kind}: only keepalived {theirs:#?}, only ours {ours:#?}\n"
                ));
            }
        }
    }
    Ok(complaints)
}

/// A first check, a retry and its end.
const LEAST: Duration = Duration::from_millis(3_500);
