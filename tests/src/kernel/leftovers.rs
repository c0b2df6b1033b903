//! What a killed C keepalived has left in the table: adopted, brought up to date, or withdrawn with the stop.

use std::time::Duration;

use crate::lab::failure::require;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, ipvs, wait_until};

const SOON: Duration = Duration::from_secs(20);

const SYNC: &str = "global_defs {\nrouter_id lab\nlvs_sync_daemon eth0 inst VI_1 id 7\nscript_user root\n}\n";
const ADDRESS: &str = "vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 51\npriority 100\nversion 3\n\
                       advert_int 0.2\nvirtual_ipaddress {\n10.77.0.50/24\n}\n}\n";
const WEB: &str = "virtual_server 10.77.0.50 80 {\nlvs_sched wrr\nlvs_method NAT\nprotocol TCP\n\
                   real_server 10.78.0.11 80 {\nweight 3\n}\nreal_server 10.78.0.12 80 {\nweight 5\n}\n}\n";
const OTHERS: &str = "virtual_server_group group {\n10.77.0.51-52 443\nfwmark 7\n}\n\
                      virtual_server group group {\nlvs_sched rr\nlvs_method DR\nprotocol TCP\n\
                      persistence_timeout 60\nreal_server 10.78.0.13 443 {\n}\n}\n\
                      virtual_server fd77::50 80 {\nlvs_sched lc\nlvs_method NAT\nprotocol TCP\n\
                      sorry_server fd78::19 80\nalpha\nreal_server fd78::11 80 {\nTCP_CHECK {\n}\n}\n}\n";

/// Its table as `ipvsadm` writes it, sorted, and its sync daemons.
fn table(host: &Host) -> Result<Vec<String>, Failure> {
    let text = host.run("ipvsadm", &["-S", "-n"])? + &host.run("ipvsadm", &["-L", "--daemon"])?;
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort();
    Ok(lines)
}

/// Runs C until it is Master with everything, and kills it so that nothing is withdrawn; what it has left.
fn killed(lab: &Lab, host: &Host, config: &str) -> Result<Vec<String>, Failure> {
    let mut c = Director::start(lab, host, Subject::C, config, &[])?;
    wait_until("C has everything", SOON, || {
        let table = table(host).unwrap_or_default();
        table.iter().any(|line| line.contains("master sync daemon")) && table.len() == WHOLE
    })
    .map_err(|failure| Failure::new(format!("{failure}\n{:#?}\n{}", table(host), c.log())))?;
    c.freeze_and_kill();
    let left = table(host)?;
    require(left.len() == WHOLE, || format!("the table went with the processes: {left:#?}"))?;
    Ok(left)
}

pub(super) fn of_a_killed_c(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let whole = [SYNC, ADDRESS, WEB, OTHERS].concat();

    // The same configuration: everything is ours, and goes with a stop.
    let left = killed(lab, d1, &whole)?;
    let ours = Director::start(lab, d1, Subject::Ours, &whole, &[])?;
    wait_until("ours is Master", SOON, || ours.logged("Entering MASTER STATE") == 1)?;
    wait_until("the table is as C left it", SOON, || table(d1).is_ok_and(|table| table == left))
        .map_err(|failure| Failure::new(format!("{failure}\n{left:#?}\n{:#?}", table(d1))))?;
    ours.stop()?;
    let after = table(d1)?;
    require(after.is_empty(), || format!("a stop has left {after:#?}"))?;

    // A server less, other weights, another scheduler; services that the configuration doesn't name are somebody else's.
    killed(lab, d1, &whole)?;
    let changed = WEB.replace("wrr", "wlc").replace("weight 3", "weight 4");
    let (changed, _) = changed.split_once("real_server 10.78.0.12").unwrap_or((&changed, ""));
    let fewer = [SYNC, ADDRESS, changed, "}\n"].concat();
    let ours = Director::start(lab, d1, Subject::Ours, &fewer, &[])?;
    wait_until("the service is as configured", SOON, || {
        let services = ipvs::table(d1).unwrap_or_default();
        services.iter().any(|service| {
            let weights: Vec<u32> = service.destinations.iter().map(|found| found.weight).collect();
            service.name == "TCP 10.77.0.50:80" && service.scheduler == "wlc" && weights == [4]
        })
    })
    .map_err(|failure| Failure::new(format!("{failure}\n{:#?}\n{}", table(d1), ours.log())))?;
    let is_others = |line: &&String| !line.contains("10.77.0.50:80") && !line.contains("sync daemon");
    let kept = |table: &[String]| table.iter().filter(is_others).cloned().collect::<Vec<_>>();
    require(kept(&table(d1)?) == kept(&left), || format!("services of others: {:#?}", table(d1)))?;
    ours.stop()?;
    let after = table(d1)?;
    require(after == kept(&left), || format!("a stop has left {after:#?}"))?;

    // With lvs_flush nothing of them stays.
    d1.run("ipvsadm", &["-C"])?;
    killed(lab, d1, &whole)?;
    let flushing = fewer.replace("router_id lab\n", "router_id lab\nlvs_flush\n");
    let ours = Director::start(lab, d1, Subject::Ours, &flushing, &[])?;
    wait_until("one service is there", SOON, || {
        let services = ipvs::table(d1).unwrap_or_default();
        services.len() == 1 && services.iter().all(|service| service.destinations.len() == 1)
    })?;
    ours.stop().map(|_| ())
}

/// Lines of the whole configuration's table: six services, six destinations, a sync daemon.
const WHOLE: usize = 12;
