//! Groups that nftables marks: the kernel's tables beside those of Debian's keepalived, and packets.

use std::time::Duration;

use super::traffic::{FRONT4, Place, VIP, owns, service};
use crate::lab::failure::require;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, wait_until};

/// Both families, all protocols, ranges and prefixes, one group in two virtual servers, one with a mark of its own.
const GROUPS: &str = "
virtual_server_group site {
    10.77.0.50 80
    10.77.0.51 80
    10.77.0.60-62 81
    10.77.0.72/30 82
    10.77.0.90-10.77.0.95 83
}
virtual_server_group six {
    fd77::50 80
    fd77::60-65 81
    fd77:1::/64 82
}
virtual_server_group own {
    fwmark 5
    10.77.0.150 80
}
";

fn services() -> String {
    let block = |group: &str, kind: &str, protocol: &str, server: &str| {
        let lines = format!("    lb_algo rr\n    lb_kind {kind}\n    protocol {protocol}\n");
        service(&format!("group {group}"), &lines, &[server])
    };
    block("site", "DR", "TCP", "10.78.0.11 80")
        + &block("site", "DR", "UDP", "10.78.0.12 80")
        + &block("site", "DR", "SCTP", "10.78.0.13 80")
        + &block("six", "NAT", "TCP", "fd78::11 8080")
        + &block("own", "DR", "TCP", "10.78.0.14 80")
}

/// Services and rules of a host, in an order of their own.
fn tables(host: &Host) -> Result<Vec<String>, Failure> {
    let text = host.run("ipvsadm", &["-S", "-n"])? + &host.run("nft", &["list", "ruleset"])?;
    let clean = |line: &str| {
        line.trim().trim_start_matches("elements = { ").trim_end_matches([',', ' ', '}']).to_owned()
    };
    let mut lines: Vec<String> = text.lines().map(clean).filter(|line| !line.is_empty()).collect();
    lines.sort();
    Ok(lines)
}

/// Waits until both hosts say the same, and enough of it.
fn agree(what: &str, hosts: [&Host; 2], least: usize) -> Result<(), Failure> {
    let mut last = [Vec::new(), Vec::new()];
    wait_until(&format!("{what}: the tables are those of keepalived"), START, || {
        if let [Ok(theirs), Ok(ours)] = hosts.map(tables) {
            last = [theirs, ours];
        }
        last[0] == last[1] && last[0].len() >= least
    })
    .map(drop)
    .map_err(|failure| Failure::new(format!("{failure}\nkeepalived: {:#?}\nours: {:#?}", last[0], last[1])))
}

pub(super) fn equal(lab: &Lab, _: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("n1", 1), ("n2", 2)])?;
    let hosts = [lan.host("n1")?, lan.host("n2")?];
    for settings in [
        "nftables_ipvs\nnftables_counters",
        "nftables_ipvs mine\nnftables_ipvs_priority -5\nnftables_ipvs_start_fwmark 2000",
    ] {
        let text = format!("global_defs {{\n{settings}\n}}\n{GROUPS}{}", services());
        let theirs = Director::start(lab, hosts[0], Subject::C, &text, &[])?;
        let ours = Director::start(lab, hosts[1], Subject::Ours, &text, &[])?;
        agree("after the start", hosts, 40)?;
        let text = text.replace("    10.77.0.51 80\n", "").replace("10.77.0.60-62", "10.77.0.60-64");
        for (director, host) in [&theirs, &ours].into_iter().zip(hosts) {
            director.write_config(host, &text)?;
            director.signal(nix::sys::signal::Signal::SIGHUP);
        }
        wait_until("the reload takes an address away", START, || {
            tables(hosts[1]).is_ok_and(|lines| !lines.iter().any(|line| line.contains("10.77.0.51")))
        })?;
        agree("after a reload", hosts, 40)?;
        theirs.stop()?;
        ours.stop()?;
        agree("after the stop", hosts, 0)?;
    }
    Ok(())
}

/// What somebody else does to the table, small as it may be.
const EDITS: [&[&str]; 4] = [
    &["flush", "ruleset"],
    &["delete", "element", "ip", "keepalived_ipvs", "tcp_map", "{ 10.77.0.50-10.77.0.52 . 3000 }"],
    &["add", "element", "ip", "keepalived_ipvs", "tcp_map", "{ 10.77.0.60 . 3000 : 1000 }"],
    &["insert", "rule", "ip", "keepalived_ipvs", "in", "drop"],
];

/// Requests are spread by the mark, also over restarts and after somebody else has edited nftables.
pub(super) fn packets(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::new()?.serve(|host| owns(host, "lo"))?;
    let lines = "    lb_algo rr\n    lb_kind DR\n    protocol TCP\n";
    let groups = "global_defs {\nnftables_ipvs\n}\nvirtual_server_group site {\n    10.77.0.50-52 3000\n}\n";
    let director =
        place.start(lab, subject, &(groups.to_owned() + &service("group site", lines, &FRONT4)))?;
    place.both(VIP)?;
    let host = place.host()?;
    let rules = || host.run("nft", &["list", "ruleset"]);
    let whole = rules()?;
    for edit in EDITS {
        host.run("nft", edit)?;
        wait_until(&format!("nft {edit:?} is undone"), START, || rules().is_ok_and(|rules| rules == whole))?;
    }
    let told = || director.logged("was changed by something else");
    wait_until("every edit is told of", START, || told() >= EDITS.len())?;
    require(told() == EDITS.len(), || format!("{} edits were told of", told()))?;
    // Tables of others are theirs.
    host.run("nft", &["add", "table", "ip", "other"])?;
    pause(Duration::from_secs(2));
    require(rules()?.contains("table ip other"), || "somebody else's table was removed".to_owned())?;
    let old = director.wait_daemon("ipvsd")?;
    director.ctl(&["restart", "ipvsd"])?;
    director.wait_successor("ipvsd", old)?;
    place.both(VIP)
}

const START: Duration = Duration::from_secs(30);
