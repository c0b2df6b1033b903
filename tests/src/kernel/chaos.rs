//! Chaos where packets go through a real IPVS table: requests and a connection that stays are balanced by NAT.

use std::net::SocketAddr;
use std::time::Duration;

use crate::chaos::{self, Crowd, Deed, Dice, Noticed, Stage, deeds};
use crate::lab::answers::Service;
use crate::lab::clients::Targets;
use crate::lab::failure::require;
use crate::lab::site::{Site, VIP};
use crate::lab::{Director, Echo, Failure, Lab, Subject, ipvs, on_a_steady_machine, wait_until};

/// Port of the service whose connection stays.
const FLOW: u16 = 7070;
const START: Duration = Duration::from_secs(20);
const ROUNDS: usize = 12;
const INTERVAL: Duration = Duration::from_secs(1);

/// The numbers differ in an address that isn't advertised, and in a weight.
fn config(router: &str, priority: u8, number: u64) -> String {
    let text = Site::config(router, priority, "1");
    let excluded = format!("virtual_ipaddress_excluded {{\n10.77.0.{}/24 dev eth0\n}}\n", 60 + number % 40);
    let text = text.replacen("    virtual_ipaddress {", &format!("{excluded}    virtual_ipaddress {{"), 1);
    let weight = 1 + number % 7;
    text + &format!(
        "virtual_server {VIP} {FLOW} {{\n    lb_algo wrr\n    lb_kind NAT\n    protocol TCP\n    \
         real_server 10.78.0.11 {FLOW} {{\n        weight {weight}\n    }}\n    \
         real_server 10.78.0.12 {FLOW} {{\n        weight 1\n    }}\n}}\n"
    )
}

pub(super) fn nobody_notices(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let deeds = deeds(1, ROUNDS);
    on_a_steady_machine(INTERVAL, || {
        let complaints = act_out(lab, subject, &deeds)?.complaints();
        require(complaints.is_empty(), || format!("{}\n{deeds:?}", complaints.join("\n")))
    })
}

fn act_out(lab: &Lab, subject: Subject, deeds: &[Deed]) -> Result<Noticed, Failure> {
    let site = Site::new(lab)?;
    let (d1, d2) = (site.lan.host("d1")?, site.lan.host("d2")?);
    let _echoes = (Echo::start(d1)?, Echo::start(d2)?);
    let _flows =
        (Service::streams(site.lan.host("web1")?, FLOW)?, Service::streams(site.lan.host("web2")?, FLOW)?);
    let master = Director::start(lab, d1, subject, &config("d1", 200, 0), &[])?;
    let _peer = Director::start(lab, d2, Subject::C, &config("d2", 100, 0), &[])?;
    wait_until("d1 alone holds the address", START, || d1.has(VIP) && !d2.has(VIP))?;
    wait_until("both services have both servers", START, || {
        ipvs::table(d1).is_ok_and(|table| {
            table.len() == 2 && table.iter().all(|service| service.destinations.len() == 2)
        })
    })?;
    let stage = Stage {
        lan: &site.lan,
        master: &master,
        address: VIP,
        interval: INTERVAL,
        config: &|number| config("d1", 200, number),
        generation: 0,
        dice: Dice::new(1),
    };
    // The guest has one processor, and each of its system calls is several of the host's.
    let crowd = Crowd {
        targets: Targets { web: SocketAddr::new(VIP, 80), flow: SocketAddr::new(VIP, FLOW) },
        clients: 2,
        pace: Duration::from_millis(20),
        least_rate: 40.0,
    };
    chaos::run(lab, stage, crowd, deeds)
}
