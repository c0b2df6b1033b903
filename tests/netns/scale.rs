//! Four thousand virtual routers on one machine, sixteen interfaces with 250 each, against as many on another one.

use std::fmt::Write as _;
use std::time::Duration;

use tests::lab::capture::{self, Capture};
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::Cable;
use tests::lab::{Director, Failure, Host, Lan, Subject, pause, process, sandboxed, wait_until};

const INTERFACES: u8 = 16;
const EACH: u8 = 250;
const START: Duration = Duration::from_secs(40);
/// MiB of vrrpd's own memory: 4 KiB for each virtual router, and what it needs without any.
const MEMORY: u64 = 24;

/// Interfaces e1 to e15 beside eth0, each on a switch of its own.
fn add_interfaces(lan: &Lan, names: &[(&str, u8)]) -> Result<(), Failure> {
    for number in 1..INTERFACES {
        let bridge = format!("many{number}");
        let mut lines = String::new();
        writeln!(lines, "link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0").ok();
        writeln!(lines, "link set {bridge} up").ok();
        for (name, _) in names {
            writeln!(lines, "link add {name}.{number} type veth peer name e{number} netns {name}").ok();
            writeln!(lines, "link set {name}.{number} master {bridge} up").ok();
        }
        lan.switch().ip(&lines)?;
    }
    for (name, byte) in names {
        let mut lines = String::new();
        for number in 1..INTERFACES {
            writeln!(lines, "link set e{number} up\naddr add 10.{}.0.{byte}/24 dev e{number}", 100 + number)
                .ok();
        }
        lan.host(name)?.ip(&lines)?;
    }
    Ok(())
}

fn config(priority: u8) -> String {
    let mut text = global("lab");
    for number in 0..INTERFACES {
        let interface = if number == 0 { "eth0".to_owned() } else { format!("e{number}") };
        for vrid in 1..=EACH {
            let address = std::net::IpAddr::from([10, 100 + number, 1, vrid]);
            let mut instance = VrrpInstance::new(3, "1", priority, address);
            instance.name = format!("VI_{number}_{vrid}");
            instance.vrid = vrid;
            instance.addresses = vec![format!("{address}/32 dev {interface}")];
            text.push_str(&instance.text().replace("interface eth0", &format!("interface {interface}")));
        }
    }
    text
}

/// Virtual addresses that a host holds.
fn held(host: &Host) -> usize {
    let is_virtual =
        |address: &std::net::IpAddr| matches!(address, std::net::IpAddr::V4(v4) if v4.octets()[2] == 1);
    host.addresses().iter().filter(|address| is_virtual(address)).count()
}

#[test]
fn four_thousand_instances_miss_no_advert_and_fail_over_together() {
    sandboxed(150, |lab| {
        let names = [("d1", 1), ("d2", 2)];
        let lan = Lan::new(&names)?;
        add_interfaces(&lan, &names)?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let all = usize::from(INTERFACES) * usize::from(EACH);
        let first = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
        wait_until("d1 holds four thousand addresses", START, || held(d1) == all)?;
        let second = Director::start(lab, d2, Subject::Ours, &config(100), &[])?;
        wait_until("d2 has its configuration", START, || {
            second
                .status()
                .is_ok_and(|status| status["instances"].as_array().is_some_and(|known| known.len() == all))
        })?;
        let vrrpd = first.wait_daemon("vrrpd")?;
        let capture = Capture::start(lab, lan.switch(), "steady")?;
        // Longer than a Backup waits.
        pause(Duration::from_secs(5));
        let adverts = capture::adverts(&capture.stop()?)?;
        require(adverts.len() >= 2 * usize::from(EACH), || format!("{} adverts", adverts.len()))?;
        require(adverts.iter().all(|advert| advert.priority == 200), || "a Backup spoke".to_owned())?;
        require(held(d2) == 0, || "a Backup took an address".to_owned())?;
        let memory = process::status_field(vrrpd, "RssAnon").unwrap_or_default();
        let kib: u64 =
            memory.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(u64::MAX);
        require(kib < MEMORY * 1024, || format!("vrrpd has {memory} of its own"))?;

        for number in 1..INTERFACES {
            lan.switch().ip(&format!("link set d1.{number} down\n"))?;
        }
        lan.set_cable("d1", Cable::Pulled)?;
        wait_until("d2 holds four thousand addresses", START, || held(d2) == all).map(|_| ())
    });
}
