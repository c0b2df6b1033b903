//! Rules of the protocol that a whole suite must keep: owners, strictness, checksums of old peers, delays.

use std::net::IpAddr;
use std::time::Duration;

use tests::lab::config_text::VrrpInstance;
use tests::lab::failure::require;
use tests::lab::lan::{front4, front6};
use tests::lab::{Capture, Director, Lan, Subject, capture, clock, pause, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const PATIENCE: Duration = Duration::from_secs(20);

fn config(globals: &str, priority: u8, extra: &str) -> String {
    let instance = VrrpInstance::new(3, "0.2", priority, ADDRESS).with(extra).text();
    format!("global_defs {{\n    router_id lab\n    {globals}\n}}\n{instance}")
}

/// keepalived's old checksum of unicast adverts covers the group instead of the peer: heard, and answered alike.
#[test]
fn a_peer_that_sums_over_the_group_is_followed() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let peers = |own: u8, other: u8| {
            format!("unicast_src_ip 10.77.0.{own}\nunicast_peer {{\n        10.77.0.{other}\n    }}")
        };
        let old = format!("old_unicast_checksum\n{}", peers(2, 1));
        let theirs = Director::start(lab, d2, Subject::C, &config("", 100, &old), &[])?;
        wait_until("the old one is Master", PATIENCE, || d2.has(ADDRESS))?;
        let ours = Director::start(lab, d1, Subject::Ours, &config("", 200, &peers(1, 2)), &[])?;
        wait_until("we preempt, and are believed", PATIENCE, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
        wait_until("it is told", PATIENCE, || ours.logged("checksum made for the multicast group") == 1)?;
        pause(Duration::from_millis(1_500));
        require(d1.has(ADDRESS) && !d2.has(ADDRESS), || theirs.log())
    });
}

/// As over IPv4: routers that look at the class let adverts pass before all else.
#[test]
fn adverts_over_ipv6_are_of_the_class_of_network_control() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let address = front6(0x50);
        let instance = VrrpInstance::new(3, "0.2", 200, address).text();
        let config = format!("global_defs {{\n    router_id lab\n}}\n{instance}");
        for subject in [Subject::C, Subject::Ours] {
            let capture = Capture::start(lab, lan.switch(), "class")?;
            let director = Director::start(lab, d1, subject, &config, &[])?;
            wait_until("it is Master", PATIENCE, || d1.has(address))?;
            director.stop()?;
            let classes = capture::classes(&capture.stop()?)?;
            let control = !classes.is_empty() && classes.iter().all(|class| class == "0x000000c0");
            require(control, || format!("{subject:?}: {classes:?}"))?;
        }
        Ok(())
    });
}

/// The owner of an address, strict as the standard: Master at once, deaf to a higher address of equal priority.
#[test]
fn a_strict_owner_is_master_at_once_and_hears_nobody() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let capture = Capture::start(lab, lan.switch(), "strict")?;
        let owner = |globals| config(globals, 255, "").replace("state BACKUP", "state MASTER");
        let strict = Director::start(lab, d1, Subject::Ours, &owner("vrrp_strict"), &[])?;
        wait_until("the owner is Master", Duration::from_secs(20), || d1.has(ADDRESS))?;
        // It listens, has the higher address, and gives way in the end.
        let other = Director::start(lab, d2, Subject::Ours, &owner(""), &[])?;
        let believes = "(VI_1) Entering MASTER STATE";
        wait_until("the other one believes to be the owner", PATIENCE, || other.logged(believes) > 0)?;
        wait_until("the other one gives way", PATIENCE, || !d2.has(ADDRESS))?;
        require(d1.has(ADDRESS), || strict.log())?;
        wait_until("it says why", PATIENCE, || other.logged("claims to own the addresses, too") == 1)?;
        strict.stop()?;
        wait_until("the other one is the owner again", PATIENCE, || d2.has(ADDRESS))?;
        other.stop()?;
        let adverts = capture::adverts(&capture.stop()?)?;
        let strange =
            |advert: &&capture::Advert| advert.source == "10.77.0.1" && !matches!(advert.priority, 0 | 255);
        let strange = adverts.iter().find(strange);
        require(strange.is_none(), || format!("a strict owner speaks with 255: {strange:?}"))
    });
}

/// Even an owner waits; what is left of `vrrp_delay_after_boot` counts in the same way.
#[test]
fn nobody_takes_part_before_the_startup_delay_is_over() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let globals = "vrrp_startup_delay 3\n    vrrp_delay_after_boot 0.5";
        let began = clock::now();
        let _director = Director::start(lab, d1, Subject::Ours, &config(globals, 255, ""), &[])?;
        wait_until("the owner is Master", PATIENCE, || d1.has(ADDRESS))?;
        let waited = began.elapsed();
        require(waited > Duration::from_secs(3), || format!("Master after {waited:?}"))
    });
}

/// The delay is for the start of the suite: an instance that a reload brings doesn't wait, whatever is written then.
#[test]
fn the_end_of_the_startup_delay_is_told_and_a_reload_begins_no_other() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let director =
            Director::start(lab, d1, Subject::Ours, &config("vrrp_startup_delay 1", 100, ""), &[])?;
        wait_until("the first is Master", PATIENCE, || d1.has(ADDRESS))?;
        require(director.logged("Delayed start completed") == 1, || director.log())?;
        let mut second = VrrpInstance::new(3, "0.2", 100, front4(60));
        (second.name, second.vrid) = ("SECOND".to_owned(), 52);
        let text = format!("{}{}", config("vrrp_startup_delay 60", 100, ""), second.text());
        director.write_config(d1, &text)?;
        director.ctl(&["reload"])?;
        wait_until("the second is Master, too", PATIENCE, || d1.has(front4(60)))?;
        require(director.logged("Delaying startup") == 1, || director.log())
    });
}

/// keepalived has read tracked files before an instance begins, and says so by `(init)`.
#[test]
fn an_instance_that_tracks_a_file_begins_in_the_words_of_any_other() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let tracked = "track_file load {\n    file /run/lab/load\n    init_file 0\n}\n";
        let text = format!("{tracked}{}", config("", 100, "track_file {\n        load\n    }"));
        for subject in [Subject::Ours, Subject::C] {
            let director = Director::start(lab, d1, subject, &text, &[])?;
            wait_until("it is Master", PATIENCE, || d1.has(ADDRESS))?;
            require(director.logged("Entering BACKUP STATE (init)") == 1, || director.log())?;
            director.stop()?;
        }
        Ok(())
    });
}

#[test]
fn adverts_of_unknown_virtual_routers_are_told_where_that_is_asked_for() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let mut stranger = VrrpInstance::new(3, "0.2", 100, front4(60));
        stranger.vrid = 77;
        let ours = Director::start(lab, d1, Subject::Ours, &config("log_unknown_vrids", 200, ""), &[])?;
        let text = format!("global_defs {{\n    router_id other\n}}\n{}", stranger.text());
        let _other = Director::start(lab, d2, Subject::C, &text, &[])?;
        let line = "advert for unknown VRID 77 from 10.77.0.2 on eth0";
        wait_until("the stranger is told", PATIENCE, || ours.logged(line) == 1)?;
        pause(Duration::from_secs(1));
        require(ours.logged(line) == 1, || "once a minute is enough".to_owned())
    });
}
