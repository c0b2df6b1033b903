//! What needs all of a real kernel: confinement and work at the same time (landlock, seccomp and IPVS), and events of
//! processes, which the kernel tells in its first network namespace only.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::health::{ask, one_director};
use crate::demo::confinement::{EXPECTED, daemon_status, holds_exactly};
use crate::lab::config_text::VrrpInstance;
use crate::lab::failure::require;
use crate::lab::lan::front4;
use crate::lab::site::{WEB1, WEB2};
use crate::lab::subject::Outfit;
use crate::lab::{Director, Failure, Lab, Lan, Subject, process, wait_until};

/// Under all of it the table follows the servers, and no system call was refused on the way.
pub(super) fn confined_and_serving(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (director, mut site) = one_director(lab, subject)?;
    ask(&site, "10.77.0.50", 4)?;
    site.kill_server(0);
    site.wait_table("d1", &[WEB2], Duration::from_secs(20))?;
    site.start_server(lab, 0)?;
    site.wait_table("d1", &[WEB1, WEB2], Duration::from_secs(20))?;
    for (name, capabilities, _) in EXPECTED {
        let pid = director.wait_daemon(name)?;
        require(holds_exactly(pid, capabilities), || format!("{name} holds other capabilities"))?;
        let seccomp = process::status_field(pid, "Seccomp").unwrap_or_default();
        require(seccomp == "2", || format!("{name} has Seccomp {seccomp}"))?;
        let status = daemon_status(&director, name).unwrap_or_default();
        require(status["confined"]["file_system"] == true, || format!("{name}: {}", status["confined"]))?;
        require(status["unknown_calls"] == 0, || {
            format!("{name} made {} calls that its page lacks", status["unknown_calls"])
        })?;
    }
    Ok(())
}

/// Stands on the kernel's first network.
const FIRST: [&str; 2] = ["nsenter", "--net=/proc/1/ns/net"];

/// A tracked process counts as soon as the kernel tells of it, through a queue of the size that is configured.
pub(super) fn events_of_processes(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let within = Duration::from_secs(30);
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let [nsenter, network] = FIRST;
    for line in ["add eth0 type veth peer name other", "set eth0 up", "set other up"] {
        let words: Vec<&str> = [network, "ip", "link"].into_iter().chain(line.split(' ')).collect();
        d1.run(nsenter, &words)?;
    }
    let config = |lines: &str| {
        let tracked = "track_process {\n        web\n    }";
        format!("global_defs {{\n    router_id lab\n    {lines}\n}}\n")
            + "vrrp_track_process web {\n    process tracked-sleep\n    weight 1\n}\n"
            + &VrrpInstance::new(3, "1", 100, front4(50)).with(tracked).text()
    };
    let forced = config("process_monitor_rcv_bufs 9000000\n    process_monitor_rcv_bufs_force");
    let outfit = Outfit { through: &FIRST, ..Outfit::default() };
    let director = Director::start_as(lab, d1, subject, &forced, &outfit)?;
    let queue = |bytes: &str| {
        let found = || process::receive_buffers(director.pid());
        wait_until(&format!("a queue of {bytes}"), within, || {
            found().is_ok_and(|found| found.contains(&format!("16 2 {bytes}\n")))
        })
        .map_err(|failure| Failure::new(format!("{failure}: {:?}\n{}", found(), director.log())))
    };
    queue("18000000")?;
    director.write_config(d1, &config("process_monitor_rcv_bufs 90000"))?;
    director.ctl(&["reload"])?;
    queue("180000")?;
    let priority = |wanted: u64| {
        wait_until(&format!("priority {wanted}"), within, || {
            director.status().is_ok_and(|status| status["instances"][0]["priority"] == wanted)
        })
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))
    };
    priority(100)?;
    let failed = |cause| Failure::instrument("starting a tracked process", cause);
    fs::copy("/bin/sleep", "/run/lab/tracked-sleep").map_err(failed)?;
    let mut child = Command::new("/run/lab/tracked-sleep").arg("1000").spawn().map_err(failed)?;
    let counted = priority(101);
    let ended = child.kill().and_then(|()| child.wait()).map_err(failed);
    counted.and(ended)?;
    priority(100).map(|_| ())
}
