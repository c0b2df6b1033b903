//! Packets through every form of tunnel that the kernel has, of both families inside and outside.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::traffic::{FRONT4, FRONT6, Place, VIP, VIP6, owns, service};
use crate::lab::failure::require;
use crate::lab::lan::{front4, front6};
use crate::lab::{Failure, Host, Lab, Subject, ipvs, wait_until};

/// Takes whatever comes in a packet of IPv6.
fn far_end6(host: &Host) -> Result<(), Failure> {
    host.run("modprobe", &["ip6_tunnel"])?;
    let own = if host.name() == "w1" { "fd77::11" } else { "fd77::12" };
    host.ip(&format!("link add in6 type ip6tnl mode any local {own} remote ::\nlink set in6 up\n"))?;
    owns(host, "in6")?;
    host.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
    host.sysctl("net.ipv4.conf.in6.rp_filter", "0")
}

const TUNNEL: &str = "    lb_algo rr\n    lb_kind TUN\n    protocol TCP\n";

pub(super) fn through_ipv6(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::new()?.serve(far_end6)?;
    let text = service("fd77::50 3000", TUNNEL, &FRONT6) + &service("10.77.0.50 3000", TUNNEL, &FRONT6);
    let _director = place.start(lab, subject, &text)?;
    place.both(VIP6)?;
    place.both(VIP)
}

pub(super) fn ipv6_through_ipv4(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::new()?.serve(|host| {
        host.run("modprobe", &["sit"])?;
        host.ip("link set sit0 up\n")?;
        owns(host, "sit0")
    })?;
    let _director = place.start(lab, subject, &service("fd77::50 3000", TUNNEL, &FRONT4))?;
    place.both(VIP6)
}

/// Other addresses of the servers: one end of a tunnel takes GRE with checksums, another GRE without.
const SUMMED4: [&str; 2] = ["10.77.0.21 3000", "10.77.0.22 3000"];
const SUMMED6: [&str; 2] = ["fd77::21 3000", "fd77::22 3000"];

/// `lb_kind` of each service; each has an address of its own in both families.
const FORMS: [&str; 6] = [
    "TUN",
    "TUN type gre",
    "TUN type gre csum",
    "TUN type gue port 6080",
    "TUN type gue port 6080 csum",
    "TUN type gue port 6080 remcsum",
];

/// Addresses of the services of one family: those whose servers are reached over IPv4, then those over IPv6.
fn addresses(of: fn(u8) -> IpAddr) -> impl Iterator<Item = IpAddr> {
    (0x70..0x70 + 2 * u8::try_from(FORMS.len()).unwrap_or(u8::MAX)).map(of)
}

fn v4(number: u8) -> IpAddr {
    front4(number)
}

fn v6(number: u8) -> IpAddr {
    front6(number.into())
}

/// The server takes packets out of every form and owns every address behind them.
fn takes_every_form(host: &Host) -> Result<(), Failure> {
    let modules = ["-a", "ipip", "sit", "ip6_tunnel", "ip_gre", "ip6_gre", "fou", "fou6"];
    host.run("modprobe", &modules)?;
    far_end6(host)?;
    let devices = ["tunl0", "sit0", "gre0", "ip6gre0"];
    let byte = if host.name() == "w1" { 21 } else { 22 };
    let summed = format!(
        "addr add 10.77.0.{byte}/24 dev eth0\naddr add fd77::{byte}/64 dev eth0 nodad\n\
         link add sum4 type gre local 10.77.0.{byte} icsum ocsum\nlink set sum4 up\n\
         link add sum6 type ip6gre local fd77::{byte} remote :: icsum ocsum\nlink set sum6 up\n"
    );
    host.ip(&summed)?;
    let mut lines: String = devices.iter().map(|device| format!("link set {device} up\n")).collect();
    for address in addresses(v4) {
        writeln!(lines, "addr add {address}/32 dev lo").ok();
    }
    for address in addresses(v6) {
        writeln!(lines, "addr add {address}/128 dev lo nodad").ok();
    }
    host.ip(&lines)?;
    for device in devices {
        host.sysctl(&format!("net.ipv4.conf.{device}.rp_filter"), "0")?;
    }
    host.run("ip", &["fou", "add", "port", "6080", "gue"])?;
    host.run("ip", &["-6", "fou", "add", "port", "6080", "gue"]).map(drop)
}

pub(super) fn every_form(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::new()?.serve(takes_every_form)?;
    let (mut text, mut lines) = (String::new(), String::new());
    for of in [v4, v6] {
        let ends = |front, summed| {
            let end = move |form: &&'static str| if *form == "TUN type gre csum" { summed } else { front };
            FORMS.iter().map(move |form| (form, end(form)))
        };
        let outer = ends(&FRONT4, &SUMMED4).chain(ends(&FRONT6, &SUMMED6));
        for (address, (form, servers)) in addresses(of).zip(outer) {
            let kind = format!("    lb_algo rr\n    lb_kind {form}\n    protocol TCP\n");
            text.push_str(&service(&format!("{address} 3000"), &kind, servers));
            let rest = if address.is_ipv4() { "/32 dev eth0" } else { "/128 dev eth0 nodad preferred_lft 0" };
            writeln!(lines, "addr add {address}{rest}").ok();
        }
    }
    place.host()?.ip(&lines)?;
    let _director = place.start(lab, subject, &text)?;
    let host = place.host()?;
    wait_until("the table is full", START, || {
        let full = |service: &ipvs::Service| service.destinations.len() == 2;
        ipvs::table(host).is_ok_and(|table| table.len() == 4 * FORMS.len() && table.iter().all(full))
    })?;
    let mut complaints = Vec::new();
    for address in addresses(v4).chain(addresses(v6)) {
        if let Err(failure) = place.both_now(address) {
            complaints.push(format!("{address}: {failure}"));
        }
    }
    require(complaints.is_empty(), || complaints.join("\n"))
}

const START: Duration = Duration::from_secs(30);
