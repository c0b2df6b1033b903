//! The ways by which a packet reaches a real server.

use std::time::Duration;

use crate::lab::failure::require;
use crate::lab::web::{WebServer, get};
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, wait_until};

const START: Duration = Duration::from_secs(30);

/// Servers that stand on the client's network, with the directors.
struct Flat {
    _servers: Vec<WebServer>,
    lan: Lan,
}

impl Flat {
    fn new(lab: &Lab) -> Result<Self, Failure> {
        let lan = Lan::new(&[("client", 100), ("d1", 1), ("web1", 11), ("web2", 12)])?;
        let mut servers = Vec::new();
        for name in ["web1", "web2"] {
            let host = lan.host(name)?;
            // A server that holds the address too never says so.
            host.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
            host.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
            servers.push(WebServer::start(lab, host)?);
        }
        Ok(Self { _servers: servers, lan })
    }

    fn each_server(&self, prepare: impl Fn(&Host) -> Result<(), Failure>) -> Result<(), Failure> {
        for name in ["web1", "web2"] {
            prepare(self.lan.host(name)?)?;
        }
        Ok(())
    }

    /// Requests reach both servers once the director has found them alive.
    fn both_answer(&self, vip: &str) -> Result<(), Failure> {
        let client = self.lan.host("client")?;
        let mut seen = std::collections::BTreeSet::new();
        wait_until(&format!("both servers answer at {vip}"), START, || {
            if let Ok(Ok(name)) = client.enter(|| get(vip, Duration::from_secs(1))) {
                seen.insert(name);
            }
            seen.len() == 2
        })
        .map_err(|failure| Failure::new(format!("{failure}; answers came from {seen:?}")))?;
        // And from then on, with no exception.
        for _ in 0..8 {
            client.enter(|| get(vip, Duration::from_secs(2)))??;
        }
        Ok(())
    }
}

fn config(service: &str, method: &str, servers: [&str; 2], port: &str) -> String {
    let mut text = format!(
        "virtual_server {service} {{\n    delay_loop 1\n    lvs_sched rr\n    lvs_method {method}\n    \
         protocol TCP\n"
    );
    for server in servers {
        text.push_str(&format!(
            "    real_server {server} {port} {{\n        weight 1\n        TCP_CHECK {{\n            \
             connect_timeout 1\n            connect_port 80\n        }}\n    }}\n"
        ));
    }
    text.push_str("}\n");
    text
}

pub(super) fn direct(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let flat = Flat::new(lab)?;
    flat.each_server(|host| host.ip("addr add 10.77.0.50/32 dev lo\n"))?;
    let d1 = flat.lan.host("d1")?;
    d1.ip("addr add 10.77.0.50/32 dev eth0\n")?;
    let text = config("10.77.0.50 80", "DR", ["10.77.0.11", "10.77.0.12"], "80");
    let _director = Director::start(lab, d1, subject, &text, &[])?;
    flat.both_answer("10.77.0.50")
}

pub(super) fn tunnel(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let flat = Flat::new(lab)?;
    flat.each_server(end_of_tunnel)?;
    let d1 = flat.lan.host("d1")?;
    d1.ip("addr add 10.77.0.50/32 dev eth0\n")?;
    let text = config("10.77.0.50 80", "TUN", ["10.77.0.11", "10.77.0.12"], "80");
    let _director = Director::start(lab, d1, subject, &text, &[])?;
    flat.both_answer("10.77.0.50")
}

pub(super) fn mark(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let flat = Flat::new(lab)?;
    flat.each_server(end_of_tunnel)?;
    let d1 = flat.lan.host("d1")?;
    d1.ip("addr add 10.77.0.50/32 dev eth0\n")?;
    let rule = ["-t", "mangle", "-A", "PREROUTING", "-d", "10.77.0.50", "-p", "tcp"];
    let rule = [&rule[..], &["--dport", "80", "-j", "MARK", "--set-mark", "7"]].concat();
    d1.run("iptables-legacy", &rule)?;
    let text = config("fwmark 7", "TUN", ["10.77.0.11", "10.77.0.12"], "0");
    let _director = Director::start(lab, d1, subject, &text, &[])?;
    flat.both_answer("10.77.0.50")?;
    let table = crate::lab::ipvs::table(d1)?;
    require(table.iter().any(|service| service.name == "FWM 7"), || format!("no mark in {table:?}"))
}

pub(super) fn nat6(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let mut lan = Lan::new(&[("client", 100), ("d1", 1)])?;
    lan.add_back_network(&[("d1", 1), ("web1", 11), ("web2", 12)])?;
    let mut servers = Vec::new();
    for name in ["web1", "web2"] {
        let host = lan.host(name)?;
        host.ip("route add default via fd78::1 dev eth1\n")?;
        servers.push(WebServer::start(lab, host)?);
    }
    let flat = Flat { _servers: servers, lan };
    let d1 = flat.lan.host("d1")?;
    d1.ip("addr add fd77::50/128 dev eth0 nodad\n")?;
    let text = config("fd77::50 80", "NAT", ["fd78::11", "fd78::12"], "80");
    let _director = Director::start(lab, d1, subject, &text, &[])?;
    flat.both_answer("[fd77::50]")
}

/// The server takes packets out of IP in IP and owns the address behind it.
fn end_of_tunnel(host: &Host) -> Result<(), Failure> {
    host.run("modprobe", &["ipip"])?;
    host.ip("link set tunl0 up\naddr add 10.77.0.50/32 dev tunl0\n")?;
    host.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
    host.sysctl("net.ipv4.conf.tunl0.rp_filter", "0")
}
