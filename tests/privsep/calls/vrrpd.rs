//! What vrrpd does.

use nix::sys::signal::Signal;
use sandbox::profile::VRRPD;
use sandbox::seccomp::Extras;
use tests::calls::Shown;
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Failure, Host, Lab, process, sandboxed, wait_until};

use super::{PATIENCE, Scenario, Watched, death_of, prove, signal_to};

#[test]
fn every_call_that_vrrpd_may_make_is_used_and_no_other() {
    sandboxed(200, |lab| {
        // The last one leaves the probe where vrrpd was.
        let scenarios: [(&str, Scenario); 4] =
            [("elections", elections), ("flock", flock), ("trap", trap), ("end", end)];
        prove(lab, include_str!("vrrpd.tsv"), &VRRPD, Extras::default(), &scenarios)
    });
}

const NO_CHECKS: &[&str] = &["-P"];

/// An instance of an address, with more lines.
fn router(name: &str, vrid: u8, address: &str, extra: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n state MASTER\n interface eth0\n virtual_router_id {vrid}\n priority 255\n \
         {extra}\n virtual_ipaddress {{\n {address}\n }}\n}}\n"
    )
}

/// Both families, both ways to send, authentication headers, routes and scripts; a reload, a death and a replacement; the stop.
fn elections(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let routes = "version 2\n virtual_routes {\n 198.51.100.0/24 dev eth0\n }";
    let config = "vrrp_script good {\n script \"/bin/true x\"\n interval 1\n user root\n}\n".to_owned()
        + &router("A", 1, "10.77.0.50/24", routes)
        + &router("B", 2, "fe80::50\n fd77::50/64", "version 3")
        + &router("C", 3, "10.77.0.51/24", "unicast_peer {\n 10.77.0.200\n }")
        + &router("D", 4, "10.77.0.52/24", "track_script {\n good\n }")
        + &router(
            "E",
            5,
            "10.77.0.57/24",
            "version 2\n authentication {\n auth_type AH\n auth_pass secret12\n }",
        );
    let watched = Watched::start_with(lab, host, &config, NO_CHECKS)?;
    let held = || [50, 51, 52].iter().all(|last| host.has(front4(*last)));
    wait_until("every address is held", PATIENCE, held)?;
    watched.director.write_config(host, &config.replace("10.77.0.52", "10.77.0.53"))?;
    watched.director.ctl(&["reload"])?;
    wait_until("the new address is held", PATIENCE, || host.has(front4(53)))?;
    let old = watched.director.wait_daemon("vrrpd")?;
    require(process::signal(old, Signal::SIGKILL), || "vrrpd is gone".to_owned())?;
    let second = watched.director.wait_successor("vrrpd", old)?;
    wait_until("it acts", PATIENCE, || watched.director.ctl(&["restart", "vrrpd"]).is_ok())?;
    watched.director.wait_successor("vrrpd", second)?;
    watched.end("vrrpd", Extras::default())
}

/// Many instances, which come and go.
fn flock(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let many: String =
        (1..=250).map(|id| router(&format!("V{id}"), id, &format!("10.77.9.{id}"), "")).collect();
    let watched = Watched::start_with(lab, host, &many, NO_CHECKS)?;
    let last = std::net::IpAddr::from([10, 77, 9, 250]);
    wait_until("the last address is held", PATIENCE, || host.has(last))?;
    watched.director.write_config(host, &router("A", 1, "10.77.0.54/24", ""))?;
    watched.director.ctl(&["reload"])?;
    wait_until("all of them have gone", PATIENCE, || !host.has(last) && host.has(front4(54)))?;
    watched.end("vrrpd", Extras::default())
}

fn trap(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let config = router("A", 1, "10.77.0.55/24", "");
    signal_to("vrrpd", Watched::start_with(lab, host, &config, NO_CHECKS)?, "Entering MASTER STATE")
}

fn end(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    death_of("vrrpd", NO_CHECKS, &router("A", 1, "10.77.0.56/24", ""), lab, host)
}
