//! Elections with FRR's vrrpd, in both roles; every frame on the wire is judged by tshark.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global, on_eth0};
use tests::lab::failure::require;
use tests::lab::frr::{Frr, Settings};
use tests::lab::lan::{front4, front6};
use tests::lab::{Capture, Director, Failure, Host, Lan, Subject, capture, sandboxed, wait_until};

const LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50));
const INET: &[IpAddr] = &[front4(50)];
const INET6: &[IpAddr] = &[LOCAL, front6(0x50)];
/// Longer than any down interval at one second.
const PATIENCE: Duration = Duration::from_secs(20);

/// Our configuration: one instance for each family.
fn config(version: u8, priority: u8, families: &[&[IpAddr]]) -> String {
    let interval = if version == 2 { "1" } else { "0.2" };
    let blocks = families.iter().zip(["VI_1", "VI_2"]).map(|(addresses, name)| {
        let mut instance = VrrpInstance::new(version, interval, priority, addresses[0]);
        instance.name = name.to_owned();
        instance.addresses = addresses.iter().map(|address| on_eth0(*address)).collect();
        instance.text()
    });
    global("lab") + &blocks.collect::<String>()
}

fn settings<'a>(version: u8, priority: u8, addresses: &'a [IpAddr]) -> Settings<'a> {
    Settings { version, priority, interval: if version == 2 { 1000 } else { 200 }, addresses }
}

fn holds(host: &Host, addresses: &[IpAddr]) -> bool {
    let held = host.addresses();
    addresses.iter().all(|address| held.contains(address))
}

fn holds_none(host: &Host, addresses: &[IpAddr]) -> bool {
    let held = host.addresses();
    addresses.iter().all(|address| !held.contains(address))
}

/// We are stronger: elected against a living Master, obeyed when we resign, preempting when we come back, and
/// replaced when we die.
fn ours_over_frr(version: u8, families: &[&[IpAddr]]) {
    sandboxed(90, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let addresses = families.concat();
        let capture = Capture::start(lab, lan.switch(), "frr")?;
        let frr = Frr::start(lab, d2, &settings(version, 100, &addresses))?;
        wait_until("FRR alone is Master", PATIENCE, || frr.is(d2, "Master"))?;
        let config = config(version, 200, families);
        let ours = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("we take over", PATIENCE, || holds(d1, &addresses))?;
        wait_until("FRR is Backup", PATIENCE, || frr.is(d2, "Backup"))?;
        ours.stop()?;
        wait_until("FRR takes over after priority 0", PATIENCE, || frr.is(d2, "Master"))?;
        let mut ours = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("we preempt", PATIENCE, || holds(d1, &addresses) && frr.is(d2, "Backup"))?;
        ours.freeze_and_kill();
        wait_until("FRR takes over after our death", PATIENCE, || frr.is(d2, "Master"))?;
        judge(version, families, &capture::adverts(&capture.stop()?)?, 1)
    });
}

/// FRR is stronger: we yield to it, and take over when it resigns and when it dies.
fn frr_over_ours(version: u8, families: &[&[IpAddr]]) {
    sandboxed(90, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let addresses = families.concat();
        let capture = Capture::start(lab, lan.switch(), "frr")?;
        let ours = Director::start(lab, d1, Subject::Ours, &config(version, 100, families), &[])?;
        wait_until("we alone are Master", PATIENCE, || holds(d1, &addresses))?;
        let frr = Frr::start(lab, d2, &settings(version, 200, &addresses))?;
        wait_until("we yield", PATIENCE, || holds_none(d1, &addresses) && frr.is(d2, "Master"))?;
        frr.stop()?;
        wait_until("we take over after FRR's stop", PATIENCE, || holds(d1, &addresses))?;
        let _frr = Frr::start(lab, d2, &settings(version, 200, &addresses))?;
        wait_until("we yield again", PATIENCE, || holds_none(d1, &addresses))?;
        lan.power_off("d2")?;
        wait_until("we take over after a power failure", PATIENCE, || holds(d1, &addresses))?;
        ours.stop()?;
        judge(version, families, &capture::adverts(&capture.stop()?)?, 1)
    });
}

/// Frames of both have the configured contents, and we have resigned so often for each family.
fn judge(
    version: u8,
    families: &[&[IpAddr]],
    adverts: &[capture::Advert],
    resigned: usize,
) -> Result<(), Failure> {
    let interval = if version == 2 { "1" } else { "20" };
    let lists: Vec<String> = families
        .iter()
        .map(|addresses| addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(","))
        .collect();
    for advert in adverts {
        let good =
            (advert.version.as_str(), advert.vrid.as_str(), advert.interval.as_str(), advert.ttl.as_str())
                == (version.to_string().as_str(), "51", interval, "255")
                && lists.contains(&advert.addresses);
        require(good, || format!("unexpected advert {advert:?}"))?;
    }
    for priority in [200, 100] {
        let seen = adverts.iter().any(|advert| advert.priority == priority);
        require(seen, || format!("no advert of priority {priority} among {}", adverts.len()))?;
    }
    let local = |advert: &&capture::Advert| advert.priority == 0 && is_ours(&advert.source);
    let ours = adverts.iter().filter(local).count();
    require(ours == resigned * families.len(), || format!("{ours} adverts of priority 0 from us"))
}

/// d1: 10.77.0.1, and the link-local address made of its MAC address 02:77:00:00:00:01.
fn is_ours(source: &str) -> bool {
    source == "10.77.0.1" || source == "fe80::77:ff:fe00:1"
}

#[test]
fn ours_over_frr_by_v2() {
    ours_over_frr(2, &[INET]);
}

#[test]
fn ours_over_frr_by_v3_over_both_families() {
    ours_over_frr(3, &[INET, INET6]);
}

#[test]
fn frr_over_ours_by_v2() {
    frr_over_ours(2, &[INET]);
}

#[test]
fn frr_over_ours_by_v3_over_both_families() {
    frr_over_ours(3, &[INET, INET6]);
}
