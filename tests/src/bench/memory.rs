//! Memory: the sum of the proportional set sizes of all processes of a suite, and what the process that speaks VRRP has
//! for itself.

use std::time::Duration;

use super::Figure;
use super::measure::{many, sender};
use crate::lab::site::{Site, VIP, WEB1, WEB2};
use crate::lab::{Director, Failure, Lab, Lan, Subject, pause, process, wait_until};

/// VRRP alone, on this kernel.
pub fn vrrp_alone(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for instances in [1, 250] {
        let of = |subject| -> Result<(f64, f64), Failure> {
            let lan = Lan::new(&[("d1", 1)])?;
            let d1 = lan.host("d1")?;
            let director = Director::start(lab, d1, subject, &many(instances, "1", 200), &[])?;
            let last = std::net::IpAddr::from([10, 77, 1, instances]);
            wait_until("d1 holds the last address", Duration::from_secs(30), || d1.has(last))?;
            pause(Duration::from_secs(2));
            let speaker = sender(d1, &director)?;
            let private = process::private_kib(speaker).ok_or_else(|| missing(speaker))?;
            Ok((pss_mib(&director)?, mib(private)))
        };
        let ((ours, ours_private), (c, c_private)) = (of(Subject::Ours)?, of(Subject::C)?);
        figures.push(Figure {
            what: format!("memory (PSS) of all processes, {instances} instance(s) of VRRP, MiB"),
            target: None,
            ours,
            c: Some(c),
        });
        figures.push(Figure {
            what: format!("private memory of the process that speaks VRRP, {instances} instance(s), MiB"),
            target: Some(3.0),
            ours: ours_private,
            c: Some(c_private),
        });
    }
    Ok(figures)
}

/// VRRP and health checks, on a kernel with IPVS.
pub fn whole_site(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let sum = |subject| -> Result<f64, Failure> {
        let site = Site::new(lab)?;
        let director = site.start(lab, "d1", subject, 200, "0.5", &[])?;
        let d1 = site.lan.host("d1")?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(VIP))?;
        site.wait_table("d1", &[WEB1, WEB2], Duration::from_secs(20))?;
        pause(Duration::from_secs(2));
        pss_mib(&director)
    };
    Ok(vec![Figure {
        what: "memory (PSS) of all processes, VRRP and health checks, MiB".to_owned(),
        target: None,
        ours: sum(Subject::Ours)?,
        c: Some(sum(Subject::C)?),
    }])
}

fn pss_mib(director: &Director) -> Result<f64, Failure> {
    let mut pids = vec![director.pid()];
    pids.extend(director.daemons().iter().map(|process| process.pid));
    let mut sum = 0.0;
    for pid in pids {
        sum += mib(process::pss_kib(pid).ok_or_else(|| missing(pid))?);
    }
    Ok(sum)
}

fn missing(pid: i32) -> Failure {
    Failure::new(format!("no smaps_rollup of {pid}"))
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
