//! Two routers and one address: who holds it, and how fast the other one takes it. Ours and Debian's keepalived in
//! both roles; every frame on the wire is judged by tshark.

use std::net::IpAddr;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::{front4, front6};
use tests::lab::{
    Advert, Capture, Director, Failure, Lab, Lan, Lateness, Subject, capture, pause, sandboxed, wait_until,
};

/// One way to speak VRRP.
#[derive(Debug, Clone, Copy)]
struct Mode {
    version: u8,
    advert_int: &'static str,
    interval: Duration,
    address: IpAddr,
    /// Further lines of d1 and of d2.
    extra: [&'static str; 2],
}

fn v2() -> Mode {
    Mode { version: 2, advert_int: "1", interval: Duration::from_secs(1), ..v3() }
}

fn v3() -> Mode {
    Mode {
        version: 3,
        advert_int: "0.2",
        interval: Duration::from_millis(200),
        address: front4(50),
        extra: ["", ""],
    }
}

fn v3_over_ipv6() -> Mode {
    Mode { address: front6(0x50), ..v3() }
}

fn v2_with_password() -> Mode {
    let block = "authentication {\n        auth_type PASS\n        auth_pass secret12\n    }";
    Mode { extra: [block, block], ..v2() }
}

fn v2_with_header() -> Mode {
    let block = "authentication {\n        auth_type AH\n        auth_pass secret12\n    }";
    Mode { extra: [block, block], ..v2() }
}

fn unicast() -> Mode {
    let first = "unicast_src_ip 10.77.0.1\nunicast_peer {\n        10.77.0.2\n    }";
    let second = "unicast_src_ip 10.77.0.2\nunicast_peer {\n        10.77.0.1\n    }";
    Mode { extra: [first, second], ..v3() }
}

fn unicast_over_ipv6() -> Mode {
    let first = "unicast_src_ip fd77::1\nunicast_peer {\n        fd77::2\n    }";
    let second = "unicast_src_ip fd77::2\nunicast_peer {\n        fd77::1\n    }";
    Mode { extra: [first, second], ..v3_over_ipv6() }
}

/// Three intervals and the skew of priority 100 (156/256 of an interval).
fn down_interval(mode: Mode) -> Duration {
    mode.interval * 3 + skew(mode)
}

fn skew(mode: Mode) -> Duration {
    mode.interval * 156 / 256
}

/// For whatever isn't measured.
const SOON: Duration = Duration::from_secs(20);
/// What this machine may add to a time on the wire.
const SLACK: Duration = Duration::from_millis(1500);

/// The strong one is elected, resigns, comes back, and loses its power; after each the address is where it should
/// be within the protocol's bound.
fn election(lab: &Lab, mode: Mode, strong: Subject, weak: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let capture = Capture::start(lab, lan.switch(), "election")?;
    let lateness = Lateness::watch();
    let config = |priority| {
        let extra = mode.extra[usize::from(priority == 100)];
        let instance = VrrpInstance::new(mode.version, mode.advert_int, priority, mode.address);
        global("lab") + &instance.with(extra).text()
    };
    let first = Director::start(lab, d1, strong, &config(200), &[])?;
    let second = Director::start(lab, d2, weak, &config(100), &[])?;
    let holder = |name: &str| {
        let (own, other) = if name == "d1" { (d1, d2) } else { (d2, d1) };
        own.has(mode.address) && !other.has(mode.address)
    };

    wait_until("d1 alone holds the address", SOON, || holder("d1"))?;

    first.stop()?;
    require(!d1.has(mode.address), || "after a stop the address must be gone from d1".to_owned())?;
    wait_until("d2 takes over after priority 0", SOON, || holder("d2"))?;

    let first = Director::start(lab, d1, strong, &config(200), &[])?;
    wait_until("d1 preempts", SOON, || holder("d1"))?;

    lan.power_off("d1")?;
    drop(first);
    wait_until("d2 takes over after a power failure", SOON, || d2.has(mode.address))?;
    second.stop()?;
    require(!d2.has(mode.address), || "after a stop the address must be gone from d2".to_owned())?;

    let late = lateness.finish()?;
    let adverts = capture::adverts(&capture.stop()?)?;
    // The reference sends unicast over IPv6 with the host's own hop limit.
    let exempt = |advert: &Advert| {
        !mode.extra[0].is_empty() && [strong, weak][usize::from(advert.priority == 100)] == Subject::C
    };
    let short = adverts.iter().find(|advert| advert.ttl != "255" && advert.priority != 0 && !exempt(advert));
    require(short.is_none(), || format!("an advert must have TTL 255: {short:?}"))?;
    judge(mode, &adverts)?;
    in_time(mode, &adverts, late)
}

/// Frames of both, version, interval and addresses as configured, and one priority 0 for each orderly stop.
fn judge(mode: Mode, adverts: &[Advert]) -> Result<(), Failure> {
    let interval = if mode.version == 2 { "1" } else { "20" };
    for advert in adverts {
        let expected = (mode.version.to_string(), "51", interval, mode.address.to_string());
        let found = (
            advert.version.clone(),
            advert.vrid.as_str(),
            advert.interval.as_str(),
            advert.addresses.clone(),
        );
        require(found == expected, || format!("unexpected advert {advert:?}"))?;
        // What an unreachable host's ICMP error quotes has two of each.
        if advert.source.contains(',') {
            continue;
        }
        let peer = if advert.source.ends_with('1') { "2" } else { "1" };
        let is_for_peer =
            ["10.77.0.", "fd77::"].iter().any(|net| advert.destination == format!("{net}{peer}"));
        require(is_for_peer == mode.extra[0].contains("unicast_peer"), || format!("sent to {advert:?}"))?;
    }
    for priority in [200, 100] {
        require(adverts.iter().any(|advert| advert.priority == priority), || {
            format!("no advert of priority {priority} among {}", adverts.len())
        })?;
    }
    let resignations = adverts.iter().filter(|advert| advert.priority == 0).count();
    require(resignations == 2, || format!("{resignations} adverts of priority 0, expected 2"))
}

/// The weak one speaks a skew after the strong one has resigned, and a down interval after its power failed.
fn in_time(mode: Mode, adverts: &[Advert], late: Duration) -> Result<(), Failure> {
    let weak_after = |at: f64| {
        let next = adverts.iter().find(|advert| advert.at > at && advert.priority == 100);
        next.map(|advert| advert.at - at).ok_or_else(|| Failure::new("the weak one is silent"))
    };
    let resigned = adverts.iter().find(|advert| advert.priority == 0).map_or(0.0, |advert| advert.at);
    let dead = adverts.iter().rfind(|advert| advert.priority == 200).map_or(0.0, |advert| advert.at);
    for (what, end, bound) in [("priority 0", resigned, skew(mode)), ("a death", dead, down_interval(mode))] {
        let waited = weak_after(end)?;
        let bound = (bound + SLACK + late).as_secs_f64();
        require(waited < bound, || {
            format!("silence of {waited:.3} s after {what}, the laboratory was late by {late:?}")
        })?;
    }
    Ok(())
}

macro_rules! elections {
    ($($name:ident: $mode:expr, $strong:ident over $weak:ident;)*) => {
        $(#[test]
        fn $name() {
            sandboxed(90, |lab| election(lab, $mode, Subject::$strong, Subject::$weak));
        })*
    };
}

elections! {
    c_over_c_by_v2: v2(), C over C;
    c_over_c_by_v3: v3(), C over C;
    c_over_c_by_v3_over_ipv6: v3_over_ipv6(), C over C;
    ours_over_ours_by_v2: v2(), Ours over Ours;
    ours_over_ours_by_v3: v3(), Ours over Ours;
    ours_over_ours_by_v3_over_ipv6: v3_over_ipv6(), Ours over Ours;
    ours_over_c_by_v2: v2(), Ours over C;
    ours_over_c_by_v3: v3(), Ours over C;
    ours_over_c_by_v3_over_ipv6: v3_over_ipv6(), Ours over C;
    ours_over_c_by_v2_with_password: v2_with_password(), Ours over C;
    ours_over_c_by_v2_with_header: v2_with_header(), Ours over C;
    c_over_ours_by_v2_with_header: v2_with_header(), C over Ours;
    ours_over_ours_by_v2_with_header: v2_with_header(), Ours over Ours;
    ours_over_c_by_unicast: unicast(), Ours over C;
    ours_over_c_by_unicast_over_ipv6: unicast_over_ipv6(), Ours over C;
    c_over_ours_by_unicast: unicast(), C over Ours;
    c_over_ours_by_v2: v2(), C over Ours;
    c_over_ours_by_v3: v3(), C over Ours;
    c_over_ours_by_v3_over_ipv6: v3_over_ipv6(), C over Ours;
}

/// A Backup sends nothing, so its counter is final: it says as many adverts as were on the wire.
#[test]
fn every_advert_that_was_sent_is_on_the_wire() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let mode = v3();
        let config = |priority| {
            let instance = VrrpInstance::new(mode.version, mode.advert_int, priority, mode.address);
            global("lab") + &instance.text()
        };
        let capture = Capture::start(lab, lan.switch(), "count")?;
        let first = Director::start(lab, d1, Subject::Ours, &config(100), &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(mode.address))?;
        let counted =
            || first.status().map_or(0, |status| status["instances"][0]["sent"].as_u64().unwrap_or(0));
        wait_until("it has spoken often", SOON, || counted() >= 10)?;
        let _second = Director::start(lab, d2, Subject::C, &config(200), &[])?;
        wait_until("d1 yields", SOON, || d2.has(mode.address) && !d1.has(mode.address))?;
        pause(mode.interval * 2);
        let adverts = capture::adverts(&capture.stop()?)?;
        let seen = adverts.iter().filter(|advert| advert.source == "10.77.0.1").count();
        require(seen >= 10, || format!("{seen} adverts on the wire"))?;
        // Counters are told once a second.
        wait_until("as many are counted", SOON, || usize::try_from(counted()) == Ok(seen))
            .map(|_| ())
            .map_err(|failure| Failure::new(format!("{failure}: {seen} on the wire, {:?}", counted())))
    });
}

/// No standard says how version 2 speaks over IPv6: as keepalived does. Each is Master of one address of two.
#[test]
fn version_2_over_ipv6_is_understood_by_c_and_by_ours() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let addresses = [front6(0x51), front6(0x52)];
        let config = |priorities: [u8; 2]| {
            let number = |vrid: u8, priority, address| VrrpInstance {
                name: format!("VI_{vrid}"),
                vrid,
                ..VrrpInstance::new(2, "1", priority, address)
            };
            let [one, two] =
                [number(51, priorities[0], addresses[0]), number(52, priorities[1], addresses[1])];
            global("lab") + &one.text() + &two.text()
        };
        let _ours = Director::start(lab, d1, Subject::Ours, &config([200, 100]), &[])?;
        let _theirs = Director::start(lab, d2, Subject::C, &config([100, 200]), &[])?;
        let settled = || {
            [d1, d2].map(|host| addresses.map(|address| host.has(address))) == [[true, false], [false, true]]
        };
        wait_until("each holds its own address", SOON, settled)?;
        pause(Duration::from_secs(4));
        require(settled(), || "they don't hear each other".to_owned())
    });
}
