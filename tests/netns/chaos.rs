//! Chaos on the host's kernel, beside Debian's keepalived as the peer: nobody notices anything, nothing piles up.
//!
//! `CHAOS_ROUNDS` and `CHAOS_SEED` make more of it: see `make chaos`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tests::chaos::{self, Crowd, DAEMONS, Deed, Dice, Noticed, Stage, deeds};
use tests::lab::answers::Service;
use tests::lab::clients::Targets;
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::web::WebServer;
use tests::lab::{Director, Echo, Failure, Lab, Lan, Subject, on_a_steady_machine, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
/// Port of the service whose connection stays.
const FLOW: u16 = 7070;

/// A pace of the protocol.
#[derive(Clone, Copy)]
struct Pace {
    word: &'static str,
    interval: Duration,
}

const FAST: Pace = Pace { word: "0.1", interval: Duration::from_millis(100) };
const SLOW: Pace = Pace { word: "1", interval: Duration::from_secs(1) };

/// The numbers differ in what a reload has to add and to remove: an address that isn't advertised and that nobody else
/// has, a virtual server, and a port of a check, which checkd may not reach without a wider confinement.
fn config(pace: Pace, priority: u8, number: u64) -> String {
    let mut instance = VrrpInstance::new(3, pace.word, priority, ADDRESS);
    instance.extra = format!("virtual_ipaddress_excluded {{\n10.77.0.{}/24 dev eth0\n}}", 60 + number % 40);
    let service = http_service(&format!("10.77.1.{}", number % 250), &["127.0.0.1"]);
    global("lab")
        + &instance.text()
        + &service.replace("127.0.0.1 80", &format!("127.0.0.1 {}", 80 + number % 2))
}

/// Two directors that serve, of which d1 holds the address; the deeds are done to d1.
fn act_out(lab: &Lab, pace: Pace, options: &[&str], deeds: &[Deed]) -> Result<Noticed, Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    for host in [d1, d2] {
        // Or who has lost the address passes questions on to the peer, and none is lost.
        host.sysctl("net.ipv4.ip_forward", "0")?;
    }
    let _echoes = (Echo::start(d1)?, Echo::start(d2)?);
    let _web = (WebServer::start(lab, d1)?, WebServer::start(lab, d2)?);
    let _flows = (Service::streams(d1, FLOW)?, Service::streams(d2, FLOW)?);
    let master = Director::start(lab, d1, Subject::Ours, &config(pace, 200, 0), options)?;
    let _peer = Director::start(lab, d2, Subject::C, &config(pace, 100, 0), &["-P"])?;
    wait_until("d1 alone holds the address", pace.interval * 5 + Duration::from_secs(20), || {
        d1.has(ADDRESS) && !d2.has(ADDRESS)
    })?;
    for daemon in DAEMONS {
        master.wait_daemon(daemon)?;
    }
    let stage = Stage {
        lan: &lan,
        master: &master,
        address: ADDRESS,
        interval: pace.interval,
        config: &|number| config(pace, 200, number),
        generation: 0,
        dice: Dice::new(1),
    };
    let crowd = Crowd {
        targets: Targets { web: SocketAddr::new(ADDRESS, 80), flow: SocketAddr::new(ADDRESS, FLOW) },
        clients: 5,
        pace: Duration::from_millis(15),
        least_rate: 200.0,
    };
    chaos::run(lab, stage, crowd, deeds)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Forty rounds make the whole of what `make test` runs of it, or as many as are asked for; this is a part of them.
fn unnoticed(pace: Pace, share: u64) {
    let seed = number("CHAOS_SEED").unwrap_or(1);
    let rounds = usize::try_from(number("CHAOS_ROUNDS").unwrap_or(40) * share / 40).unwrap_or(1);
    let patience = u32::try_from(200 + rounds * 20).unwrap_or(u32::MAX);
    sandboxed(patience, |lab| {
        let deeds = deeds(seed, rounds);
        on_a_steady_machine(pace.interval, || {
            let complaints = act_out(lab, pace, &[], &deeds)?.complaints();
            require(complaints.is_empty(), || {
                format!("seed {seed}, {rounds} rounds: {}\n{deeds:?}", complaints.join("\n"))
            })
        })
    });
}

#[test]
fn nobody_notices_chaos_at_100_ms_for_forty_rounds() {
    unnoticed(FAST, 40);
}

#[test]
fn nobody_notices_chaos_at_1_s_for_eight_rounds() {
    unnoticed(SLOW, 8);
}

/// The control: where nothing replaces a dead daemon, the same eyes must see it. At the slow pace the peer lets more
/// than half a second pass before it takes over: however late this machine is, somebody asks meanwhile.
#[test]
fn chaos_without_restarts_is_seen_by_every_client() {
    sandboxed(60, |lab| {
        let noticed = act_out(lab, SLOW, &["-R"], &[Deed::Kill("vrrpd")])?;
        require(noticed.probe.lost > 0, || "the probe lost nothing".to_owned())?;
        require(noticed.foreign_adverts > 0, || "the peer was silent".to_owned())?;
        require(noticed.probe.changes > 0, || "the same host answered all the time".to_owned())?;
        require(!noticed.clients.failed.is_empty(), || "no request failed".to_owned())?;
        require(noticed.clients.flow.is_some(), || "the connection stayed".to_owned())
    });
}
