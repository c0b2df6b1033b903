//! A reload of a large file beside adverts at the shortest interval there is.

use std::net::IpAddr;
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global, resting_services};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{
    Capture, Director, Failure, Lab, Lan, Subject, capture, clock, on_a_steady_machine, pause, sandboxed,
    wait_until,
};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(20);
/// What a peer waits at least at 10 ms.
const PATIENCE: Duration = Duration::from_millis(30);
/// How long reload follows reload: about 100 adverts.
const SPAN: Duration = Duration::from_secs(1);

/// What the machine takes from every process at once, it takes from the peer too: the peer is the judge.
fn config(priority: u8) -> String {
    let urgent = "global_defs {\n    vrrp_rt_priority 20\n}\n";
    global("lab") + urgent + &VrrpInstance::new(3, "0.01", priority, ADDRESS).text()
}

#[test]
fn reloads_of_ten_thousand_servers_pass_below_the_patience_of_a_peer_at_10_ms() {
    sandboxed(100, |lab| on_a_steady_machine(PATIENCE, || reloads(lab)));
}

fn reloads(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let large = |weight| config(200) + &resting_services(100, 100, weight);
    let first = Director::start(lab, d1, Subject::Ours, &large(1), &[])?;
    wait_until("d1 holds the address", SOON, || d1.has(ADDRESS))?;
    let _peer = Director::start(lab, d2, Subject::Ours, &config(100), &[])?;
    pause(Duration::from_secs(1));
    let capture = Capture::start(lab, lan.switch(), "reloads")?;
    let began = clock::now();
    let weights = (2..).take_while(|weight| *weight < 6 || began.elapsed() < SPAN);
    for weight in weights {
        first.write_config(d1, &large(weight))?;
        first.ctl(&["reload"])?;
    }
    let adverts = capture::adverts(&capture.stop()?)?;
    require(adverts.len() > 20, || format!("only {} adverts", adverts.len()))?;
    // The status of so many servers is written in parts, and is whole.
    let status = first.status()?;
    let services = status["services"].as_array().cloned().unwrap_or_default();
    let servers: Vec<usize> =
        services.iter().map(|service| service["servers"].as_array().map_or(0, Vec::len)).collect();
    require(servers == [100; 100] && services[99]["name"] != services[98]["name"], || {
        format!("{servers:?}")
    })?;
    let others = adverts.iter().filter(|advert| advert.priority != 200).count();
    require(others == 0 && !d2.has(ADDRESS), || format!("{others} adverts of another Master"))
}
