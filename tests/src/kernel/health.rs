//! Health checks and the table that follows them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::lab::failure::require;
use crate::lab::site::{Site, VIP, WEB1, WEB2};
use crate::lab::web::get;
use crate::lab::{Director, Failure, Lab, Subject, ipvs, wait_until};

/// How long the table may take to follow: checks run every second, with one second for a connection.
const FOLLOW: Duration = Duration::from_secs(20);
/// Start of a director, election included.
const START: Duration = Duration::from_secs(30);

/// Who answers so many requests, each over a new connection.
pub(super) fn ask(site: &Site, vip: &str, count: u32) -> Result<BTreeMap<String, u32>, Failure> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let name = site.client()?.enter(|| get(vip, Duration::from_secs(2)))??;
        *answers.entry(name).or_default() += 1;
    }
    Ok(answers)
}

/// One director that serves both web servers.
pub(super) fn one_director(lab: &Lab, subject: Subject) -> Result<(Director, Site), Failure> {
    let site = Site::new(lab)?;
    let director = site.start(lab, "d1", subject, 200, "0.3", &[])?;
    let host = site.lan.host("d1")?;
    wait_until("d1 holds the address", START, || host.has(VIP))?;
    site.wait_table("d1", &[WEB1, WEB2], START)?;
    Ok((director, site))
}

pub(super) fn spread(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (_director, site) = one_director(lab, subject)?;
    let answers = ask(&site, "10.77.0.50", 20)?;
    let expected = BTreeMap::from([("web1".to_owned(), 10), ("web2".to_owned(), 10)]);
    require(answers == expected, || format!("round robin over two servers gave {answers:?}"))
}

pub(super) fn out_and_back(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (_director, mut site) = one_director(lab, subject)?;
    site.kill_server(0);
    site.wait_table("d1", &[WEB2], FOLLOW)?;
    let answers = ask(&site, "10.77.0.50", 6)?;
    require(answers == BTreeMap::from([("web2".to_owned(), 6)]), || format!("{answers:?} with web1 dead"))?;
    site.start_server(lab, 0)?;
    site.wait_table("d1", &[WEB1, WEB2], FOLLOW)?;
    let answers = ask(&site, "10.77.0.50", 6)?;
    require(answers.len() == 2, || format!("{answers:?} with web1 back"))
}

pub(super) fn sorry(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let mut site = Site::new(lab)?;
    let sorry = "virtual_server 10.77.0.50 80 {\n    sorry_server 10.78.0.12 80\n    quorum 1\n";
    let config = Site::config("d1", 200, "0.3").replace("virtual_server 10.77.0.50 80 {\n", sorry);
    // web2 is the sorry server here and web1 the only real one.
    let (head, _) = config.split_once("    real_server 10.78.0.12").unwrap_or((&config, ""));
    let config = format!("{head}}}\n");
    let _director = Director::start(lab, site.lan.host("d1")?, subject, &config, &[])?;
    site.wait_table("d1", &[WEB1], START)?;
    site.kill_server(0);
    let sorry_only = |list: &[String]| matches!(list, [one] if one.starts_with("10.78.0.12:80"));
    let host = site.lan.host("d1")?;
    wait_until("the sorry server stands alone in the table", FOLLOW, || {
        sorry_only(&ipvs::destinations(host))
    })?;
    let answers = ask(&site, "10.77.0.50", 3)?;
    require(answers == BTreeMap::from([("web2".to_owned(), 3)]), || format!("{answers:?} without quorum"))?;
    site.start_server(lab, 0)?;
    site.wait_table("d1", &[WEB1], FOLLOW).map(|_| ())
}

pub(super) fn misc_dynamic(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let site = Site::new(lab)?;
    let script = std::path::Path::new("/run/lab/weight.sh");
    let answer = |status: u8| -> Result<(), Failure> {
        let fresh = script.with_extension("new");
        fs::write(&fresh, format!("#!/bin/sh\nexit {status}\n"))
            .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)))
            .and_then(|()| fs::rename(&fresh, script))
            .map_err(|cause| Failure::instrument("check script", cause))
    };
    fs::create_dir_all("/run/lab").map_err(|cause| Failure::instrument("check script", cause))?;
    answer(7)?;
    let config = format!(
        "global_defs {{\n    script_user root\n    enable_script_security\n}}\n\
         virtual_server 10.77.0.50 80 {{\n    delay_loop 1\n    lvs_sched wrr\n    lvs_method NAT\n    \
         protocol TCP\n    real_server 10.78.0.11 80 {{\n        weight 3\n        MISC_CHECK {{\n            \
         misc_path {}\n            misc_dynamic\n        }}\n    }}\n}}\n",
        script.display()
    );
    let _director = Director::start(lab, site.lan.host("d1")?, subject, &config, &[])?;
    site.wait_table("d1", &["10.78.0.11:80 weight 5"], START)?;
    answer(12)?;
    site.wait_table("d1", &["10.78.0.11:80 weight 10"], FOLLOW)?;
    answer(1)?;
    site.wait_table("d1", &[], FOLLOW)?;
    answer(0)?;
    // Status 0 leaves the weight as it is configured.
    site.wait_table("d1", &["10.78.0.11:80 weight 3"], FOLLOW).map(|_| ())
}

pub(super) fn empty_after_stop(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (director, site) = one_director(lab, subject)?;
    director.stop()?;
    let host = site.lan.host("d1")?;
    let table = ipvs::table(host)?;
    require(table.is_empty(), || format!("after a stop the table holds {table:?}"))?;
    require(!host.has(VIP), || "after a stop the address is still there".to_owned())
}
