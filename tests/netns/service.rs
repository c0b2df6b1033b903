//! Two web servers share one address: a script lowers the priority of the node whose service is dead. The
//! configuration is the one that a student network runs, with other names.

use std::net::IpAddr;
use std::time::Duration;

use tests::lab::lan::front4;
use tests::lab::web::{WebServer, get};
use tests::lab::{Director, Failure, Lab, Lan, Subject, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
/// Two failed runs two seconds apart, the last of them up to a second long; then four adverts.
const MOVE: Duration = Duration::from_secs(20);

/// The file as it is used, with this laboratory's names.
const FILE: &str = include_str!("../corpus/two-web-one-address.conf");

fn config(service: &str, state: &str, priority: u8) -> String {
    FILE.replace("apache2", service)
        .replace("eth3", "eth0")
        .replace("192.0.2.175/26", "10.77.0.50/24")
        .replace("state MASTER", &format!("state {state}"))
        .replace("priority 101", &format!("priority {priority}"))
}

fn address_follows_the_service(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let web1 = WebServer::start_as(lab, d1, "lab-web1")?;
    let _web2 = WebServer::start_as(lab, d2, "lab-web2")?;
    let _first = Director::start(lab, d1, subject, &config("lab-web1", "MASTER", 101), &[])?;
    let _second = Director::start(lab, d2, subject, &config("lab-web2", "BACKUP", 100), &[])?;
    let answers = |name: &str| {
        let client = lan.host("client")?;
        wait_until(&format!("{name} answers at the address"), MOVE, || {
            let answer = client.enter(|| get("10.77.0.50", Duration::from_secs(1)));
            answer.is_ok_and(|answer| answer.is_ok_and(|from| from == name))
        })
    };

    answers("d1")?;
    web1.kill();
    wait_until("the address leaves d1 with its service", MOVE, || d2.has(ADDRESS) && !d1.has(ADDRESS))?;
    answers("d2")?;
    let _web1 = WebServer::start_as(lab, d1, "lab-web1")?;
    wait_until("the address returns", MOVE, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
    answers("d1").map(|_| ())
}

#[test]
fn the_address_follows_a_service_with_c() {
    sandboxed(90, |lab| address_follows_the_service(lab, Subject::C));
}

#[test]
fn the_address_follows_a_service_with_ours() {
    sandboxed(90, |lab| address_follows_the_service(lab, Subject::Ours));
}
