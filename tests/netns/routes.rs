//! Routes that follow the Master, of ours and of Debian's keepalived.

use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, sandboxed, wait_until};

const MOVE: Duration = Duration::from_secs(20);
const ROUTES: &str = "virtual_routes {
        default via 10.77.0.100 dev eth0 src 10.77.0.50 table 200 metric 5
        198.51.100.0/24 via 10.77.0.100
        blackhole 203.0.113.0/24
        2001:db8:1::/48 dev eth0
    }";

fn config(priority: u8) -> String {
    global("lab") + &VrrpInstance::new(3, "0.2", priority, front4(50)).with(ROUTES).text()
}

/// Every route of the test that a host has.
fn routes(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for (family, table) in [("-4", "200"), ("-4", "main"), ("-6", "main")] {
        let listed = host.run("ip", &[family, "route", "show", "table", table, "proto", "18"]);
        found.extend(listed.unwrap_or_default().lines().map(|line| line.trim().to_owned()));
    }
    found
}

fn routes_follow_the_master(lab: &Lab, strong: Subject, weak: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let first = Director::start(lab, d1, strong, &config(200), &[])?;
    let _second = Director::start(lab, d2, weak, &config(100), &[])?;
    wait_until("d1 has four routes", MOVE, || routes(d1).len() == 4)?;
    require(routes(d2).is_empty(), || format!("the Backup has {:?}", routes(d2)))?;
    if strong == Subject::Ours {
        d1.ip("route del 198.51.100.0/24\nroute del default table 200\n")?;
        wait_until("removed routes return", MOVE, || routes(d1).len() == 4)?;
        let before = first.logged("Entering");
        first.ctl(&["restart", "vrrpd"])?;
        require(routes(d1).len() == 4, || format!("after a restart d1 has {:?}", routes(d1)))?;
        d1.ip("route del 198.51.100.0/24\n")?;
        wait_until("the successor puts routes back, too", MOVE, || routes(d1).len() == 4)?;
        let resumed = || before > 0 && first.logged("Entering MASTER STATE (resumed)") == 1;
        wait_until("it says that it goes on", MOVE, resumed)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", first.log())))?;
    }
    first.stop()?;
    require(routes(d1).is_empty(), || format!("after a stop d1 has {:?}", routes(d1)))?;
    wait_until("d2 has four routes", MOVE, || routes(d2).len() == 4).map(|_| ())
}

#[test]
fn routes_follow_ours_over_c() {
    sandboxed(60, |lab| routes_follow_the_master(lab, Subject::Ours, Subject::C));
}

#[test]
fn routes_follow_c_over_ours() {
    sandboxed(60, |lab| routes_follow_the_master(lab, Subject::C, Subject::Ours));
}
