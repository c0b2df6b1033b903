//! Two routers and one address: who holds it, and how fast the other one takes it. Ours and Debian's keepalived in
//! both roles; every frame on the wire is judged by tshark.

use std::net::IpAddr;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::{front4, front6};
use tests::lab::{Capture, Director, Failure, Lab, Lan, Subject, capture, sandboxed, wait_until};

/// One way to speak VRRP.
#[derive(Debug, Clone, Copy)]
struct Mode {
    version: u8,
    advert_int: &'static str,
    interval: Duration,
    address: IpAddr,
}

fn v2() -> Mode {
    Mode { version: 2, advert_int: "1", interval: Duration::from_secs(1), address: front4(50) }
}

fn v3() -> Mode {
    Mode { version: 3, advert_int: "0.2", interval: Duration::from_millis(200), address: front4(50) }
}

fn v3_over_ipv6() -> Mode {
    Mode { version: 3, advert_int: "0.2", interval: Duration::from_millis(200), address: front6(0x50) }
}

/// Three intervals and the skew of priority 100 (156/256 of an interval), and what this machine may add.
fn down_interval(mode: Mode) -> Duration {
    mode.interval * 3 + mode.interval * 156 / 256 + SLACK
}

const SLACK: Duration = Duration::from_millis(1500);

/// The strong one is elected, resigns, comes back, and loses its power; after each the address is where it should
/// be within the protocol's bound.
fn election(lab: &Lab, mode: Mode, strong: Subject, weak: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let capture = Capture::start(lab, lan.switch(), "election")?;
    let config = |priority| {
        global("lab") + &VrrpInstance::new(mode.version, mode.advert_int, priority, mode.address).text()
    };
    let first = Director::start(lab, d1, strong, &config(200), &[])?;
    let second = Director::start(lab, d2, weak, &config(100), &[])?;
    let holder = |name: &str| {
        let (own, other) = if name == "d1" { (d1, d2) } else { (d2, d1) };
        own.has(mode.address) && !other.has(mode.address)
    };

    wait_until("d1 alone holds the address", down_interval(mode) + mode.interval, || holder("d1"))?;

    first.stop()?;
    require(!d1.has(mode.address), || "after a stop the address must be gone from d1".to_owned())?;
    let resigned = mode.interval * 156 / 256 + SLACK;
    wait_until("d2 takes over after priority 0", resigned, || holder("d2"))?;

    let first = Director::start(lab, d1, strong, &config(200), &[])?;
    wait_until("d1 preempts", down_interval(mode) + mode.interval, || holder("d1"))?;

    lan.power_off("d1")?;
    drop(first);
    wait_until("d2 takes over after a power failure", down_interval(mode), || d2.has(mode.address))?;
    second.stop()?;
    require(!d2.has(mode.address), || "after a stop the address must be gone from d2".to_owned())?;

    let adverts = capture::adverts(&capture.stop()?)?;
    judge(mode, &adverts)
}

/// Frames of both, version, interval and addresses as configured, and one priority 0 for each orderly stop.
fn judge(mode: Mode, adverts: &[tests::lab::Advert]) -> Result<(), Failure> {
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
    }
    for priority in [200, 100] {
        require(adverts.iter().any(|advert| advert.priority == priority), || {
            format!("no advert of priority {priority} among {}", adverts.len())
        })?;
    }
    let resignations = adverts.iter().filter(|advert| advert.priority == 0).count();
    require(resignations == 2, || format!("{resignations} adverts of priority 0, expected 2"))
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
    c_over_ours_by_v2: v2(), C over Ours;
    c_over_ours_by_v3: v3(), C over Ours;
    c_over_ours_by_v3_over_ipv6: v3_over_ipv6(), C over Ours;
}
