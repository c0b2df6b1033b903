//! Settings that are seen from outside: on the wire, on interfaces, in routing tables, on files and processes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use tests::lab::capture::{Advert, adverts, announcements, bursts};
use tests::lab::failure::require;
use tests::lab::lan::{front4, front6};
use tests::lab::{Capture, Director, Failure, Lab, Lan, Subject, process, sandboxed, wait_until};

const CONFIG: &str = "child_wait_time 4
global_defs {
    vrrp_mcast_group4 224.0.0.77
    vrrp_mcast_group6 ff02::77
    vrrp_garp_master_delay 1
    vrrp_garp_master_repeat 2
    vrrp_garp_master_refresh 1
    vrrp_garp_master_refresh_repeat 3
    vrrp_version 3
    daemon_uid_range 61000 61009
    control_group 5
    script_user root
    notify_fifo /run/lab/all.fifo
    notify_fifo_script /run/lab/reader.sh
    vrrp_notify_fifo /run/lab/vrrp.fifo
    vrrp_notify_fifo_script /run/lab/reader.sh
    lvs_notify_fifo /run/lab/lvs.fifo
    lvs_notify_fifo_script /run/lab/reader.sh
    seccomp_unknown exit
}
vrrp_instance V4 {
    interface eth0
    virtual_router_id 51
    advert_int 0.2
    mcast_src_ip 10.77.0.1
    virtual_ipaddress {
        10.77.0.50/24 dev eth0 label eth0:vip brd 10.77.0.99
    }
    virtual_ipaddress_excluded {
        10.79.0.51/24 dev eth0 scope link autojoin
    }
    virtual_routes {
        198.51.100.0/24 via 192.0.2.9 dev eth0 onlink preference 77 no_track
        198.51.101.0/24 dev eth0 scope link metric 9
    }
}
vrrp_instance V6 {
    interface eth0
    virtual_router_id 52
    advert_int 0.2
    native_ipv6
    virtual_ipaddress {
        fd77::50/64
    }
}
vrrp_instance UNICAST {
    interface eth0
    virtual_router_id 53
    advert_int 0.2
    unicast_src_ip 10.77.0.1
    unicast_ttl 77
    unicast_peer {
        10.77.0.2
    }
    virtual_ipaddress {
        10.77.0.53/24
    }
}
";

fn is_about(vrid: &'static str) -> impl Fn(&&Advert) -> bool {
    move |advert| advert.vrid == vrid
}

/// The packets: groups, sources, TTL, and how often an address is announced.
fn on_the_wire(file: &Path) -> Result<(), Failure> {
    let all = adverts(file)?;
    let first = |vrid: &'static str| {
        all.iter().find(is_about(vrid)).ok_or_else(|| Failure::new(format!("no advert of {vrid}")))
    };
    let (v4, v6, unicast) = (first("51")?, first("52")?, first("53")?);
    let seen = |advert: &Advert| (advert.destination.clone(), advert.ttl.clone());
    let expected = |to: &str, ttl: &str| (to.to_owned(), ttl.to_owned());
    require(seen(v4) == expected("224.0.0.77", "255") && v4.source == "10.77.0.1", || format!("{v4:?}"))?;
    require(v4.addresses == "10.77.0.50" && v4.version == "3", || format!("{v4:?}"))?;
    require(seen(v6) == expected("ff02::77", "255"), || format!("{v6:?}"))?;
    require(seen(unicast) == expected("10.77.0.2", "77"), || format!("{unicast:?}"))?;
    // Two at once; two after a second; then three each second.
    let times = announcements(file, "10.77.0.50")?;
    let sizes = bursts(&times, 0.4);
    require(matches!(sizes[..], [2, 2, 3, ..] | [2, 5, 3, ..]), || format!("bursts {sizes:?}: {times:?}"))
}

fn on_the_machine(lan: &Lan, director: &Director) -> Result<(), Failure> {
    let d1 = lan.host("d1")?;
    let addresses = d1.run("ip", &["-4", "address", "show", "dev", "eth0"])?;
    require(addresses.contains("10.77.0.50/24 brd 10.77.0.99 scope global secondary eth0:vip"), || {
        addresses.clone()
    })?;
    require(addresses.contains("10.79.0.51/24 scope link eth0"), || addresses.clone())?;
    let routes = d1.run("ip", &["route", "show", "proto", "18"])?;
    require(
        [
            "198.51.100.0/24 via 192.0.2.9 dev eth0 metric 77 onlink",
            "198.51.101.0/24 dev eth0 scope link metric 9",
        ]
        .iter()
        .all(|route| routes.contains(route)),
        || routes.clone(),
    )?;
    for daemon in ["vrrpd", "checkd", "ipvsd"] {
        let Some(pid) = director.daemon(daemon) else { continue };
        let uids = process::status_field(pid, "Uid").unwrap_or_default();
        require(uids.starts_with("6100"), || format!("{daemon} runs as {uids}"))?;
    }
    let about = fs::metadata("/run/lab/d1.run/control.sock")
        .map_err(|cause| Failure::instrument("control.sock", cause))?;
    require(about.gid() == 5, || format!("the control socket belongs to group {}", about.gid()))
}

#[test]
fn settings_are_seen_on_the_wire_and_on_the_machine() {
    sandboxed(60, |lab: &Lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let d1 = lan.host("d1")?;
        let script = Path::new("/run/lab/reader.sh");
        fs::create_dir_all("/run/lab")
            .and_then(|()| fs::write(script, "#!/bin/sh\necho $# >$1.read\nexec cat $1 >/dev/null\n"))
            .and_then(|()| fs::set_permissions(script, fs::Permissions::from_mode(0o755)))
            .map_err(|cause| Failure::instrument("the script behind the pipe", cause))?;
        let capture = Capture::start(lab, lan.switch(), "settings")?;
        let director = Director::start(lab, d1, Subject::Ours, CONFIG, &[])?;
        let held = [front4(50), front6(0x50), front4(53)];
        wait_until("every instance is Master", Duration::from_secs(20), || {
            held.iter().all(|address| d1.has(*address))
        })
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
        on_the_machine(&lan, &director)?;
        for pipe in ["all", "vrrp", "lvs"] {
            wait_until(&format!("a script reads the pipe {pipe}"), Duration::from_secs(20), || {
                fs::read_to_string(format!("/run/lab/{pipe}.fifo.read")).is_ok_and(|text| text == "1\n")
            })?;
        }
        capture.wait_until("its address is announced again and again", |file| {
            Ok(bursts(&announcements(file, "10.77.0.50")?, 0.4).len() > 3)
        })?;
        director.stop()?;
        on_the_wire(&capture.stop()?)
    });
}
