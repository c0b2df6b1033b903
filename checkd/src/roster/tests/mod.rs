//! What the roster's tests share: configurations by the handful, and what effects say.

mod files;
mod mail;
mod properties;
mod results;
mod succession;

use std::time::Duration;

use config::model::check::{Endpoint, FileCheck};
use config::model::ipvs::{Destination, Forwarding, Protocol, ServiceKey, ServiceOptions};
use config::model::parts::ServerRef;
use config::model::units::{ScriptId, ServerId};

use super::*;
use crate::probe::DynamicWeight;

const PASS: Outcome = Outcome::Pass(DynamicWeight::Untouched);
const FAIL: Outcome = Outcome::Fail(Failure::Connect(std::io::ErrorKind::ConnectionRefused));

fn tcp(port: u16) -> CheckKind {
    CheckKind::Tcp(Endpoint::new(([192, 0, 2, 1], port).into(), Duration::from_secs(5)))
}

fn check(kind: CheckKind) -> Check {
    Check {
        id: CheckId::new(0),
        kind,
        alpha: false,
        delay_loop: Duration::from_secs(10),
        retry: 1,
        delay_before_retry: Duration::from_secs(1),
        warmup: Duration::from_secs(10),
        log_all_failures: false,
    }
}

fn number(weight: i32) -> CheckKind {
    CheckKind::File(FileCheck { file: FileId::new(0), name: "load".to_owned(), weight, reverse: false })
}

fn server(last: u8, checks: Vec<Check>) -> RealServer {
    RealServer {
        name: format!("[192.0.2.{last}]:tcp:80"),
        destination: Destination {
            address: std::net::Ipv4Addr::new(192, 0, 2, last).into(),
            port: 80,
            forwarding: Forwarding::Nat,
            upper_threshold: 0,
            lower_threshold: 0,
        },
        weight: Weight::new(1).unwrap(),
        inhibit_on_failure: false,
        notify_up: Some(ScriptId::new(u32::from(last) * 10)),
        notify_down: Some(ScriptId::new(u32::from(last) * 10 + 1)),
        mail: false,
        checks,
    }
}

fn service(port: u16, real_servers: Vec<RealServer>) -> VirtualServer {
    VirtualServer {
        name: format!("[198.51.100.1]:tcp:{port}"),
        keys: vec![ServiceKey::Address {
            address: "198.51.100.1".parse().unwrap(),
            port,
            protocol: Protocol::Tcp,
        }],
        options: ServiceOptions::plain("rr"),
        quorum: 1,
        hysteresis: 0,
        alpha: false,
        omega: false,
        marked: None,
        ha_suspend: false,
        quorum_up: None,
        quorum_down: None,
        sorry_server: None,
        sorry_server_inhibit: false,
        mail: false,
        real_servers,
    }
}

/// Numbers the checkers as the config worker does.
fn roster(generation: u64, mut services: Vec<VirtualServer>) -> Roster {
    let checks = services.iter_mut().flat_map(|s| &mut s.real_servers).flat_map(|server| &mut server.checks);
    for (id, check) in (0..).zip(checks) {
        check.id = CheckId::new(id);
    }
    let mut roster = Roster::new(Generation::new(generation));
    for service in services {
        roster.add(service).unwrap();
    }
    roster
}

fn started(services: Vec<VirtualServer>) -> Roster {
    let mut roster = roster(1, services);
    roster.start(&mut Vec::new());
    roster
}

fn take(roster: &mut Roster, position: usize, outcome: Outcome) -> (Taken, Vec<Effect>) {
    let mut out = Vec::new();
    (roster.take(position, outcome, &mut out).unwrap(), out)
}

fn logs(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Log(text) = effect { Some(text.as_str()) } else { None })
        .collect()
}

fn table(roster: &Roster) -> Vec<(u32, u32, u32)> {
    roster
        .table()
        .map(|entry| {
            let server = match entry.server {
                ServerRef::Real(id) => id.value(),
                ServerRef::Sorry => 999,
            };
            (entry.service.value(), server, entry.presence.unwrap().value())
        })
        .collect()
}

fn notified(effects: &[Effect]) -> Vec<u32> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Notify(script) = effect { Some(script.value()) } else { None })
        .collect()
}
