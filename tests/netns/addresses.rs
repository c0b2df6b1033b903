//! Options of addresses and routes in the kernel's tables, and what follows no instance.

use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, sandboxed, wait_until};

const MOVE: Duration = Duration::from_secs(20);

const STATIC: &str = "static_ipaddress {
    198.51.100.5/24 dev eth0
    2001:db8:5::5/64 dev eth0
}
static_routes {
    203.0.113.0/24 via 10.77.0.100 dev eth0 table 77
}
";

const OPTIONS: &str = "virtual_ipaddress_excluded {
        10.77.0.60 peer 10.77.0.160 dev eth0
        fd77::60/64 dev eth0 -nodad home
        fd77::61/64 dev eth0 noprefixroute preferred_lft 500
        fd77::62/128 dev eth0
        fd77::63/128 dev eth0 preferred_lft forever
        fd77::64/64 dev eth0 mngtmpaddr
        10.77.0.61/24 dev eth0 broadcast 10.77.0.250
    }
    virtual_routes {
        198.51.101.0/24 via 10.77.0.100 mtu lock 1400 advmss 1300 initcwnd 12 quickack 1 features ecn rto_min 1s
        198.51.102.0/24 via 10.77.0.100 dev eth0 tos 0x10 realms 3/4 metric 7
        2001:db8:7::/48 via fd77::100 dev eth0 hoplimit 9 pref high
        local 198.51.103.1 dev eth0 table 77
        blackhole 198.51.104.0/24 protocol 77 no_track
    }";

/// What a host's tables say, without what passes with time or differs between hosts.
fn tables(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    let questions: [&[&str]; 5] = [
        &["-o", "addr", "show", "dev", "eth0"],
        &["-4", "route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["-4", "route", "show", "table", "77"],
        &["-6", "route", "show", "table", "main"],
    ];
    for question in questions {
        let listed = host.run("ip", question).unwrap_or_default();
        let ours = |line: &&str| {
            ["198.51.", "203.0.113", "2001:db8", "10.77.0.5", "10.77.0.6", "10.77.0.16", "fd77::6"]
                .iter()
                .any(|part| line.contains(part))
        };
        let plain = |line: &str| {
            let line = line.replace(" proto keepalived", "").replace(" proto 18", "");
            let line = line.split(" preferred_lft 4").next().unwrap_or("").trim().to_owned();
            line.split_once(": eth0").map_or(line.clone(), |(_, rest)| rest.trim().to_owned())
        };
        found.extend(listed.lines().filter(ours).map(plain));
    }
    found.sort();
    found.dedup();
    found
}

fn config(priority: u8) -> String {
    global("lab") + STATIC + &VrrpInstance::new(3, "0.2", priority, front4(50)).with(OPTIONS).text()
}

fn master_tables(lab: &Lab, subject: Subject) -> Result<Vec<String>, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let director = Director::start(lab, d1, subject, &config(200), &[])?;
    let last = "198.51.104.0/24";
    wait_until("the last route is there", MOVE, || tables(d1).iter().any(|line| line.contains(last)))?;
    let held = tables(d1);
    director.stop()?;
    // keepalived 2.2.7 leaves addresses with a peer behind.
    let left = tables(d1);
    require(subject == Subject::C || left.is_empty(), || format!("after the stop {left:#?}"))?;
    Ok(held)
}

#[test]
fn options_of_addresses_and_routes_reach_the_kernel_as_with_c() {
    sandboxed(60, |lab| {
        let ours = master_tables(lab, Subject::Ours)?;
        let reference = master_tables(lab, Subject::C)?;
        require(ours == reference, || format!("ours {ours:#?}\nkeepalived {reference:#?}"))?;
        require(ours.len() >= 12, || format!("only {ours:#?}"))
    });
}

#[test]
fn static_items_are_put_back_and_their_track_group_suffers_meanwhile() {
    sandboxed(60, |lab| {
        let mut lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        lan.add_back_network(&[("d1", 1)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let text = "track_group G {\n    group {\n        VI_1\n    }\n}\n\
                    static_ipaddress {\n    198.51.100.5/24 dev eth1 track_group G\n}\n\
                    static_routes {\n    203.0.113.0/24 dev eth1 track_group G\n}\n";
        let first = VrrpInstance::new(3, "0.2", 200, front4(50)).text();
        let second = VrrpInstance::new(3, "0.2", 100, front4(50)).text();
        let director = Director::start(lab, d1, Subject::Ours, &(global("d1") + text + &first), &[])?;
        let _peer = Director::start(lab, d2, Subject::Ours, &(global("d2") + &second), &[])?;
        wait_until("d1 holds the address", MOVE, || d1.has(front4(50)))?;
        let statics = || {
            let address = d1.run("ip", &["addr", "show", "dev", "eth1"]).unwrap_or_default();
            let route = d1.run("ip", &["route", "show", "203.0.113.0/24"]).unwrap_or_default();
            (address.contains("198.51.100.5/24"), route.contains("203.0.113.0/24"))
        };
        require(statics() == (true, true), || format!("{:?}", statics()))?;
        d1.ip("addr del 198.51.100.5/24 dev eth1\nroute del 203.0.113.0/24\n")?;
        wait_until("both are put back", MOVE, || statics() == (true, true))?;
        let pid = director.wait_daemon("vrrpd")?;
        director.ctl(&["restart", "vrrpd"])?;
        director.wait_successor("vrrpd", pid)?;
        require(statics() == (true, true), || format!("after a restart {:?}", statics()))?;
        d1.ip("link set eth1 down\n")?;
        wait_until("the address moves", MOVE, || d2.has(front4(50)) && !d1.has(front4(50)))?;
        d1.ip("link set eth1 up\n")?;
        wait_until("it comes back", MOVE, || d1.has(front4(50)) && statics() == (true, true))?;
        director.stop()?;
        require(statics() == (false, false), || format!("after the stop {:?}", statics()))
    });
}

#[test]
fn a_killed_suite_leaves_nothing_that_its_successor_would_not_withdraw() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let mut director = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
        wait_until("everything is there", MOVE, || tables(d1).len() >= 12 && d1.has(front4(50)))?;
        director.freeze_and_kill();
        director.withdraw_leftovers(d1)?;
        let left = tables(d1);
        require(left.is_empty(), || format!("{left:#?}"))
    });
}

#[test]
fn an_address_that_no_kernel_takes_leaves_the_others_in_service() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        // The first address of a network on an interface says which scope the others have.
        let instance = VrrpInstance::new(3, "0.2", 200, front4(50))
            .with("virtual_ipaddress_excluded {\n    10.77.0.60/24 dev eth0 scope link\n}");
        let director = Director::start(lab, d1, Subject::Ours, &(global("d1") + &instance.text()), &[])?;
        wait_until("the good address is there", MOVE, || d1.has(front4(50)))?;
        wait_until("the other is told", MOVE, || {
            director.logged("(VI_1) the kernel refused address 10.77.0.60/24: ") == 1
        })?;
        require(director.logged("FAULT") == 0 && !d1.has(front4(60)), || director.log())
    });
}

#[test]
fn who_loses_the_source_address_says_farewell_in_its_name() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let config = |name, priority| global(name) + &VrrpInstance::new(3, "1", priority, front4(50)).text();
        let weak = Director::start(lab, d2, Subject::Ours, &config("d2", 100), &[])?;
        let _strong = Director::start(lab, d1, Subject::Ours, &config("d1", 200), &[])?;
        wait_until("d1 holds the address", MOVE, || d1.has(front4(50)))?;
        d1.ip("addr del 10.77.0.1/24 dev eth0\n")?;
        wait_until("d2 holds it", MOVE, || d2.has(front4(50)))?;
        let heard = "(VI_1) Backup received priority 0 advertisement";
        wait_until("it has heard the farewell", MOVE, || weak.logged(heard) == 1).map(drop)
    });
}

#[test]
fn addresses_that_others_add_and_remove_are_logged_when_asked_for() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = global("lab") + &VrrpInstance::new(3, "0.2", 200, front4(50)).text();
        let director = Director::start(lab, d1, Subject::Ours, &config, &["-a"])?;
        let told = |words: &str| {
            let line = format!("Netlink reflector reports IP {words} eth0");
            wait_until(&line, MOVE, || director.logged(&line) > 0)
        };
        told("10.77.0.1 added to")?;
        wait_until("d1 holds the address", MOVE, || d1.has(front4(50)))?;
        d1.ip("addr add 10.77.0.99/24 dev eth0\n")?;
        told("10.77.0.99 added to")?;
        d1.ip("addr del 10.77.0.99/24 dev eth0\n")?;
        told("10.77.0.99 removed from")?;
        d1.ip("addr del 10.77.0.50/24 dev eth0\n")?;
        told("10.77.0.50 removed from")?;
        wait_until("the address is back", MOVE, || d1.has(front4(50)))?;
        Ok(())
    });
}
