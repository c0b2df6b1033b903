//! What ipvsd does, on a kernel without IPVS: the same requests, which that kernel refuses. Where there is IPVS, the suite
//! `kernel` sees no call refused.

use sandbox::profile::IPVSD;
use sandbox::seccomp::Extras;
use tests::calls::Shown;
use tests::lab::{Failure, Host, Lab, sandboxed, wait_until};

use super::{PATIENCE, Scenario, Watched, death_of, prove, service, signal_to, small};

#[test]
fn every_call_that_ipvsd_may_make_is_used_and_no_other() {
    sandboxed(200, |lab| {
        // The last one leaves the probe where ipvsd was.
        let scenarios: [(&str, Scenario); 4] =
            [("tables", tables), ("mass", mass), ("snare", snare), ("demise", demise)];
        prove(lab, include_str!("ipvsd.tsv"), &IPVSD, Extras::default(), &scenarios)
    });
}

/// The kernel's table and marks of nftables, counters that are asked for, a reload, the stop.
fn tables(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let config = "global_defs {\n nftables_ipvs\n lvs_netlink_cmd_rcv_bufs 100000\n}\n".to_owned()
        + "virtual_server_group site {\n 10.77.0.60-62 81\n}\n"
        + &small()
        + "virtual_server group site {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server 10.99.0.1 80 {\n }\n}\n";
    let watched = Watched::start(lab, host, &config)?;
    wait_until("the server is down", PATIENCE, || watched.director.logged("Lost quorum") > 0)?;
    watched.director.ctl(&["stats"])?;
    watched.director.write_config(host, &small())?;
    watched.director.ctl(&["reload"])?;
    watched.end("ipvsd", Extras::default())
}

/// A large list after a small one: the first is read before the process is confined.
fn mass(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let watched = Watched::start(lab, host, &small())?;
    wait_until("the server is down", PATIENCE, || watched.director.logged("Lost quorum") > 0)?;
    watched.director.write_config(host, &many())?;
    watched.director.ctl(&["reload"])?;
    watched.end("ipvsd", Extras::default())
}

/// Many services of some servers.
fn many() -> String {
    let servers: Vec<String> = (1..=4).map(|last| format!("10.99.1.{last}")).collect();
    let servers: Vec<(&str, &str)> = servers.iter().map(|server| (server.as_str(), "")).collect();
    (1..=2500)
        .map(|number| service(&format!("10.98.{}.{}", number / 250, number % 250 + 1), &servers))
        .collect()
}

fn snare(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    signal_to("ipvsd", Watched::start(lab, host, &small())?, "Removing service")
}

fn demise(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    death_of("ipvsd", &["-C"], &small(), lab, host)
}
