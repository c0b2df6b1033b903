//! Ways of adverts that customers use: peers without an interface, addresses on lo, bounds of the TTL, a group of
//! one's own.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, sandboxed, wait_until};

const ELECTED: Duration = Duration::from_secs(20);
const ON_LO: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0xff, 0, 0, 0, 0, 0, 1));

/// As a node that announces its address by a routing daemon has it: the address on lo; no interface, which Debian's
/// keepalived can't do yet.
fn unicast_gateway(subject: Subject, own: u8, peer: u8, priority: u8) -> String {
    let interface = if subject == Subject::C { "interface eth0" } else { "" };
    format!(
        "vrrp_instance gateway1 {{\n    state BACKUP\n    {interface}\n    virtual_router_id 12\n    priority {priority}\n    \
         advert_int 0.2\n    unicast_src_ip fd77::{own}\n    unicast_peer {{\n        fd77::{peer}\n    }}\n    \
         virtual_ipaddress {{\n        {ON_LO}/64 dev lo\n    }}\n}}\n"
    )
}

fn on_lo(host: &Host) -> bool {
    host.run("ip", &["-6", "addr", "show", "dev", "lo"]).is_ok_and(|text| text.contains("fd77:ff::1/64"))
}

fn lo_follows_the_election(lab: &Lab, strong: Subject, weak: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let first = Director::start(lab, d1, strong, &unicast_gateway(strong, 1, 2, 200), &[])?;
    let _second = Director::start(lab, d2, weak, &unicast_gateway(weak, 2, 1, 100), &[])?;
    wait_until("d1 alone has the address on lo", ELECTED, || on_lo(d1) && !on_lo(d2))?;
    first.stop()?;
    wait_until("d2 has it", ELECTED, || on_lo(d2) && !on_lo(d1)).map(|_| ())
}

#[test]
fn an_address_on_lo_follows_unicast_over_ipv6_without_an_interface() {
    sandboxed(60, |lab| {
        lo_follows_the_election(lab, Subject::Ours, Subject::C)?;
        lo_follows_the_election(lab, Subject::C, Subject::Ours)
    });
}

#[test]
fn adverts_pass_over_a_vxlan_that_replicates_to_peers() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        for (host, own, peer) in [(d1, 1, 2), (d2, 2, 1)] {
            host.ip(&format!(
                "link add keepalived6 type vxlan id 6 dstport 4789 local fd77::{own} dev eth0 nolearning\n\
                 link set keepalived6 up\n"
            ))?;
            let dst = format!("fd77::{peer}");
            host.run("bridge", &["fdb", "append", "00:00:00:00:00:00", "dev", "keepalived6", "dst", &dst])?;
        }
        let config = |own: u8, priority: u8| {
            format!(
                "vrrp_instance gateway1 {{\n    interface keepalived6\n    mcast_src_ip fd77::{own}\n    \
                 virtual_router_id 12\n    priority {priority}\n    advert_int 0.2\n    virtual_ipaddress {{\n        \
                 {ON_LO}/64 dev lo\n    }}\n}}\n"
            )
        };
        let first = Director::start(lab, d1, Subject::Ours, &config(1, 200), &[])?;
        let _second = Director::start(lab, d2, Subject::C, &config(2, 100), &[])?;
        let settled = || on_lo(d1) && !on_lo(d2);
        wait_until("d1 alone has the address", ELECTED, settled)?;
        pause(Duration::from_secs(1));
        require(settled(), || "they don't hear each other".to_owned())?;
        first.stop()?;
        wait_until("d2 has it", ELECTED, || on_lo(d2)).map(|_| ())
    });
}

fn unicast(peer: u8, priority: u8, bounds: &str, ttl: u8) -> String {
    let lines = format!("unicast_ttl {ttl}\nunicast_peer {{\n        10.77.0.{peer} {bounds}\n    }}");
    global("lab") + &VrrpInstance::new(3, "0.2", priority, front4(50)).with(&lines).text()
}

#[test]
fn adverts_beyond_the_bounds_of_their_peer_are_not_heard() {
    sandboxed(60, |lab| {
        for (ttl, heard) in [(254, true), (253, false)] {
            let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
            let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
            let _strong = Director::start(lab, d1, Subject::Ours, &unicast(2, 200, "", ttl), &[])?;
            wait_until("d1 holds the address", ELECTED, || d1.has(front4(50)))?;
            let bounds = "min_ttl 254 max_ttl 255";
            let weak = Director::start(lab, d2, Subject::Ours, &unicast(1, 100, bounds, 255), &[])?;
            if heard {
                pause(Duration::from_secs(2));
                require(!d2.has(front4(50)), || "d2 doesn't hear d1".to_owned())?;
            } else {
                wait_until("d2 doesn't hear d1", ELECTED, || d2.has(front4(50)))?;
                let line = "TTL/HL 253 from 10.77.0.1 not in range [254, 255]";
                wait_until(line, ELECTED, || weak.logged(line) > 0)?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_group_of_its_own_is_heard_by_c_and_by_ours() {
    sandboxed(60, |lab| {
        for (strong, weak) in [(Subject::Ours, Subject::C), (Subject::C, Subject::Ours)] {
            let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
            let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
            let config = |subject: Subject, priority| {
                let instance = VrrpInstance::new(3, "0.2", priority, front4(50));
                match subject {
                    Subject::Ours => global("lab") + &instance.with("mcast_dst_ip 224.0.0.77").text(),
                    Subject::C => {
                        "global_defs {\n    vrrp_mcast_group4 224.0.0.77\n}\n".to_owned() + &instance.text()
                    }
                }
            };
            let _first = Director::start(lab, d1, strong, &config(strong, 200), &[])?;
            let _second = Director::start(lab, d2, weak, &config(weak, 100), &[])?;
            let settled = || d1.has(front4(50)) && !d2.has(front4(50));
            wait_until("d1 alone holds the address", ELECTED, settled)?;
            pause(Duration::from_secs(1));
            require(settled(), || "they don't hear each other".to_owned())?;
        }
        Ok(())
    });
}

#[test]
fn an_instance_without_peers_is_faulty_when_that_is_asked_for() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let instance = VrrpInstance::new(3, "0.2", 200, front4(50))
            .with("unicast_fault_no_peer")
            .with("unicast_peer {\n    }");
        let director = Director::start(lab, d1, Subject::Ours, &(global("lab") + &instance.text()), &[])?;
        wait_until("it says why", ELECTED, || director.log().contains("no unicast_peer"))?;
        pause(Duration::from_secs(1));
        require(!d1.has(front4(50)), || "it holds the address".to_owned())
    });
}
