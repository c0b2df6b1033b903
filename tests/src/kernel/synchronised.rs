//! Synchronisation daemons: connections that outlive their director, and a kernel that leaves an order unanswered.

use std::time::Duration;

use config::model::ipvs as model;
use ipvsd::kernel::{KernelTable, Netlink, SYNC_PATIENCE};
use ipvsd::sync::{Step, Sync, SyncOperation};
use netlink::socket::Outcome;

use super::traffic::{FRONT4, FRONT6, VIP, VIP6, owns, service};
use crate::lab::answers::{Flow, Service};
use crate::lab::failure::require;
use crate::lab::lan::Cable;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, ipvs, pause, wait_until};

const PORT: u16 = 3000;

/// A director of two services by direct routing; the Master sends its connections, the Backup listens.
fn director(priority: u8) -> String {
    let lines = "    lb_algo rr\n    lb_kind DR\n    protocol TCP\n";
    format!(
        "global_defs {{\n    lvs_sync_daemon eth0 inst front\n}}\n\
         vrrp_instance front {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    \
         priority {priority}\n    advert_int 0.3\n    version 3\n    virtual_ipaddress {{\n        {VIP}/32\n    }}\n    \
         virtual_ipaddress_excluded {{\n        {VIP6}/128\n    }}\n}}\n"
    ) + &service("10.77.0.50 3000", lines, &FRONT4)
        + &service("fd77::50 3000", lines, &FRONT6)
}

fn daemons(host: &Host) -> String {
    host.run("ipvsadm", &["-L", "-n", "--daemon"]).unwrap_or_default()
}

/// Connections of both families to one of two servers go on over the death of their director, and over its return.
pub(super) fn takeover(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2), ("w1", 11), ("w2", 12)])?;
    let mut services = Vec::new();
    for name in ["w1", "w2"] {
        let host = lan.host(name)?;
        host.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
        host.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
        owns(host, "lo")?;
        services.push(Service::streams(host, PORT)?);
    }
    let client = lan.host("client")?;
    let start = |name: &str, priority: u8| -> Result<Director, Failure> {
        let host = lan.host(name)?;
        let director = Director::start(lab, host, subject, &director(priority), &[])?;
        wait_until(&format!("the table of {name} is full"), START, || {
            ipvs::table(host).is_ok_and(|table| {
                table.len() == 2 && table.iter().all(|service| service.destinations.len() == 2)
            })
        })?;
        Ok(director)
    };
    let roles = |master: &str, backup: &str| {
        wait_until(&format!("{master} sends, {backup} listens"), START, || {
            lan.host(master).is_ok_and(|host| daemons(host).starts_with("master"))
                && lan.host(backup).is_ok_and(|host| daemons(host).starts_with("backup"))
        })
    };
    let first = start("d1", 200)?;
    let second = start("d2", 100)?;
    roles("d1", "d2")?;
    let mut flows = Vec::new();
    for vip in [VIP, VIP6] {
        for _ in 0..2 {
            let mut flow = Flow::open(client, (vip, PORT).into())?;
            flows.push((flow.ask()?, flow));
        }
    }
    // The kernel tells of a connection at its third packet and at every fiftieth after that.
    let talk = |flows: &mut Vec<(String, Flow)>, rounds: u32, when: &str| -> Result<(), Failure> {
        for _ in 0..rounds {
            for (name, flow) in flows.iter_mut() {
                let now = flow.ask().map_err(|failure| Failure::new(format!("{when}: {failure}")))?;
                require(now == *name, || format!("{when}: {now} answers instead of {name}"))?;
            }
            pause(Duration::from_millis(50));
        }
        Ok(())
    };
    talk(&mut flows, 40, "before")?;
    wait_until("d2 has heard of every connection", START, || {
        let known = lan.host("d2").and_then(|host| host.proc_net("ip_vs_conn")).unwrap_or_default();
        known.lines().filter(|line| line.contains("ESTABLISHED")).count() == flows.len()
    })?;
    lan.power_off("d1")?;
    drop(first);
    talk(&mut flows, 5, "after the death of d1")?;
    lan.set_cable("d1", Cable::Plugged)?;
    let host = lan.host("d1")?;
    host.run("ipvsadm", &["-C"])?;
    for role in ["master", "backup"] {
        host.run("ipvsadm", &["--stop-daemon", role]).ok();
    }
    host.ip(&format!("addr flush dev eth0 to {VIP}/32\naddr flush dev eth0 to {VIP6}/128\n"))?;
    // It returns as the weaker one and hears of the connections before the other one dies.
    let _returned = start("d1", 50)?;
    roles("d2", "d1")?;
    talk(&mut flows, 60, "after the return of d1")?;
    lan.power_off("d2")?;
    drop(second);
    talk(&mut flows, 5, "after the death of d2")
}

/// A daemon that is started and ended at once: the kernel ends it and says nothing. What the daemon knows of its kernel
/// drives the real one here; every round ends with what was asked for, and rounds without an answer come.
pub(super) fn unanswered(_: &Lab, _: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let host = lan.host("d1")?;
    host.run("modprobe", &["ip_vs"])?;
    let settings = model::SyncDaemon {
        interface: "eth0".to_owned(),
        instance: None,
        id: 7,
        max_length: None,
        port: None,
        ttl: None,
        group: None,
    };
    let silent = host.enter(|| -> Result<usize, Failure> {
        let mut kernel = Netlink::new(ipc::reactor::now, Duration::default)
            .map_err(|cause| Failure::instrument("netlink", cause))?;
        kernel.open().map_err(|cause| Failure::instrument("IPVS", cause))?;
        let (mut sync, mut silent) = (Sync::default(), 0);
        for round in 0..ROUNDS {
            let wanted = (round % 2 == 0).then_some(&settings);
            sync.configure(wanted, kernel.now());
            silent += settle(&mut sync, &mut kernel)?;
            let running = kernel.sync_daemons().map_err(|cause| Failure::instrument("daemons", cause))?;
            let expected = if wanted.is_some() { 2 } else { 0 };
            require(running.len() == expected, || format!("round {round}: {running:?} run"))?;
            if silent >= ENOUGH && wanted.is_none() {
                return Ok(silent);
            }
        }
        Ok(silent)
    })??;
    require(silent > 0, || format!("the kernel answered every order of {ROUNDS} rounds"))
}

/// Does what is due until nothing is; returns how many orders were left unanswered.
fn settle(sync: &mut Sync, kernel: &mut Netlink) -> Result<usize, Failure> {
    let mut silent = 0;
    for _ in 0..STEPS {
        let before = kernel.now();
        match sync.due(before) {
            None => return Ok(silent),
            Some(Step::Read) => {
                let running = kernel.sync_daemons().map_err(|cause| Failure::instrument("daemons", cause))?;
                sync.found(running, kernel.now());
            }
            Some(Step::Write(operation)) => {
                let outcome = kernel.sync(&operation);
                let took = kernel.now().since(before);
                if outcome == Outcome::Unanswered {
                    silent += 1;
                    let ends = matches!(operation, SyncOperation::Stop(_));
                    require(ends, || format!("{operation:?} was left unanswered"))?;
                    require(took >= SYNC_PATIENCE, || format!("given up after {took:?}"))?;
                    require(took < SYNC_PATIENCE * 50, || format!("waited for {took:?}"))?;
                }
                let complaint = sync.learn(&operation, &outcome, kernel.now());
                require(complaint.is_none(), || format!("{complaint:?}"))?;
            }
        }
    }
    Err(Failure::new("no end after so many steps"))
}

const START: Duration = Duration::from_secs(20);
const ROUNDS: usize = 400;
/// Orders without an answer after which it is shown.
const ENOUGH: usize = 3;
const STEPS: usize = 20;
