//! Each system call that checkd's profile allows is used by a scenario; no daemon is seen to make one that its profile
//! doesn't allow.
//!
//! One table per profile, beside this file; scenarios run under strace. Another daemon joins with a table and scenarios.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use sandbox::profile::{CHECKD, VRRPD};
use sandbox::seccomp::{Extras, allowed};
use tests::calls::{Ledger, Shown, sort, tracer, traces};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::sandbox::build_directory;
use tests::lab::subject::{Outfit, install_ours};
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, process, sandboxed, wait_until};

/// Everything under strace takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a suite on a host and tells what the daemon did.
type Scenario = fn(&Lab, &Host) -> Result<Shown, Failure>;

/// A suite whose processes' calls are written down.
struct Watched {
    director: Director,
    folder: PathBuf,
}

impl Watched {
    fn start(lab: &Lab, host: &Host, config: &str) -> Result<Self, Failure> {
        Self::start_with(lab, host, config, &["-C"])
    }

    fn start_with(lab: &Lab, host: &Host, config: &str, options: &[&str]) -> Result<Self, Failure> {
        let folder = lab.out.join(host.name());
        fs::create_dir_all(&folder).map_err(|cause| Failure::instrument("a folder for traces", cause))?;
        let through = tracer(&folder);
        let through: Vec<&str> = through.iter().map(String::as_str).collect();
        let outfit = Outfit { options, through: &through, ..Outfit::default() };
        let director = Director::start_as(lab, host, Subject::Ours, config, &outfit)?;
        Ok(Self { director, folder })
    }

    /// Ends the suite and sorts what this daemon did.
    fn end(self, daemon: &str, extras: Extras) -> Result<Shown, Failure> {
        self.director.stop()?;
        let traces = traces(&self.folder, daemon)?;
        require(!traces.is_empty(), || format!("no trace of {daemon} in {}", self.folder.display()))?;
        let profile = if daemon == "vrrpd" { &VRRPD } else { &CHECKD };
        Ok(sort(&traces, &allowed(profile, extras)))
    }
}

const UDP: Extras = Extras { reading: false, udp: true };

#[test]
fn every_call_that_checkd_may_make_is_used_and_no_other() {
    sandboxed(200, |lab| {
        // The last one leaves the probe where checkd was.
        let scenarios: [(&str, Scenario); 4] =
            [("checks", checks), ("crowd", crowd), ("signal", signal), ("death", death)];
        let places: Vec<(&str, u8)> = scenarios.iter().map(|(name, _)| *name).zip(1..).collect();
        let lan = Lan::new(&places)?;
        let mut shown = BTreeMap::new();
        for (name, scenario) in scenarios {
            let host = lan.host(name)?;
            host.ip("route add local 10.99.0.0/16 dev lo\nroute add local fd99::/64 dev lo\n")?;
            shown.insert(name, scenario(lab, host)?);
        }
        let ledger = Ledger::read(include_str!("calls/checkd.tsv"));
        let complaints = ledger.complaints(&allowed(&CHECKD, UDP), &shown);
        require(complaints.is_empty(), || complaints.join("\n"))
    });
}

/// One check of every kind that has a socket of its own, mail, a reload, the stop.
fn checks(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let config = format!(
        "global_defs {{\n    smtp_server 10.99.0.1 2525\n    smtp_alert\n    notification_email {{\n        \
         a@example.com\n    }}\n}}\n{}{}",
        service(
            "10.98.0.1",
            &[
                ("10.99.0.1", "TCP_CHECK {\n bindto 10.77.0.1\n }"),
                ("10.99.0.2", "TCP_CHECK {\n bind_if lo\n }"),
                ("10.99.0.3", "TCP_CHECK {\n bind_port 7000\n }"),
                ("10.99.0.4", "HTTP_GET {\n url {\n path /\n regex b\n }\n }"),
                ("10.99.0.5", "SSL_GET {\n url {\n path /\n }\n }"),
                ("10.99.0.6", "SMTP_CHECK {\n }"),
                ("10.99.0.7", "DNS_CHECK {\n }"),
                ("10.99.0.8", "UDP_CHECK {\n payload 00\n }"),
                ("10.99.0.9", "PING_CHECK {\n }"),
                ("10.99.0.10", "TCP_CHECK {\n bind_port 700\n }"),
                ("10.99.0.11", "TCP_CHECK {\n fwmark 7\n }"),
            ]
        ),
        service(
            "fd98::1",
            &[("fd99::1", "TCP_CHECK {\n bindto fd77::1\n }"), ("fd99::2", "DNS_CHECK {\n }"),]
        )
    );
    greet(host)?;
    let watched = Watched::start(lab, host, &config)?;
    wait_until("every server has been found wanting, or not", PATIENCE, || {
        ["10.99.0.3", "10.99.0.4", "10.99.0.7", "10.99.0.8", "fd99::2"]
            .iter()
            .all(|server| watched.director.logged(&format!("Removing service [{server}]")) > 0)
            && watched.director.logged("Remote SMTP server") > 0
    })?;
    watched.director.ctl(&["reload"])?;
    watched.end("checkd", UDP)
}

/// Many servers, which come and go.
fn crowd(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let watched = Watched::start(lab, host, &large())?;
    wait_until("the servers are down", PATIENCE, || watched.director.logged("Removing service") >= 1000)?;
    watched.director.write_config(host, &small())?;
    watched.director.ctl(&["reload"])?;
    watched.end("checkd", Extras::default())
}

/// A SIGSYS that no filter raised.
fn signal(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let watched = Watched::start(lab, host, &small())?;
    wait_until("the server is down", PATIENCE, || watched.director.logged("Removing service") > 0)?;
    let pid = watched.director.wait_daemon("checkd")?;
    require(process::signal(pid, Signal::SIGSYS), || "checkd is gone".to_owned())?;
    watched.end("checkd", Extras::default())
}

/// Ends that no scenario can bring about in a daemon: the probe stands in its place, panics and aborts.
fn death(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    death_of("checkd", &["-C"], &small(), lab, host)
}

fn death_of(daemon: &str, options: &[&str], config: &str, lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let suite = install_ours()?;
    let doing = "the probe's place";
    let failed = |cause| Failure::instrument(doing, cause);
    let results = suite.join("probe-results");
    fs::create_dir_all(&results)
        .and_then(|()| fs::set_permissions(&results, fs::Permissions::from_mode(0o777)))
        .and_then(|()| fs::write(results.join("acts"), "panic"))
        .and_then(|()| fs::copy(build_directory().join("confinement-probe"), suite.join(daemon)))
        .map_err(failed)?;
    let watched = Watched::start_with(lab, host, config, options)?;
    for (word, died) in [("panic", "exit status 134"), ("abort", "signal 6")] {
        fs::write(results.join("acts"), word).map_err(failed)?;
        wait_until(&format!("the probe dies by {word}"), PATIENCE, || watched.director.logged(died) > 0)?;
    }
    watched.end(daemon, Extras::default())
}

fn small() -> String {
    service("10.98.0.1", &[("10.99.0.1", "TCP_CHECK {\n }")])
}

fn large() -> String {
    let address = |number: u32| format!("10.99.{}.{}", number / 250, number % 250 + 1);
    let servers: Vec<String> = (0..3000).map(address).collect();
    let servers: Vec<(&str, &str)> =
        servers.iter().map(|server| (server.as_str(), "TCP_CHECK {\n }")).collect();
    service("10.98.0.1", &servers)
}

fn service(address: &str, servers: &[(&str, &str)]) -> String {
    let mut text = format!(
        "virtual_server {address} 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n delay_loop 1\n warmup 0\n \
         connect_timeout 1\n"
    );
    for (server, check) in servers {
        text.push_str(&format!(" real_server {server} 80 {{\n {check}\n }}\n"));
    }
    text + "}\n"
}

/// What listens to port 80 of some servers: a large page on one, greetings in the words of SMTP on the others.
fn greet(host: &Host) -> Result<(), Failure> {
    let page = format!("HTTP/1.0 200 OK\r\n\r\n{}", "a".repeat(400_000));
    for (server, words) in [
        ("10.99.0.4:80", page.as_str()),
        ("10.99.0.5:80", "220 ready\r\n"),
        ("10.99.0.6:80", "220 ready\r\n"),
        ("10.99.0.11:80", "220 ready\r\n"),
    ] {
        let listener = host
            .enter(|| TcpListener::bind(server))?
            .map_err(|cause| Failure::instrument("listening", cause))?;
        let words = words.to_owned();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.write_all(words.as_bytes()));
                // A close with unread bytes would be a reset, which takes the rest with it.
                drop(stream.shutdown(Shutdown::Write));
                drop(std::io::copy(&mut stream, &mut std::io::sink()));
            }
        });
    }
    Ok(())
}

#[test]
fn vrrpd_makes_the_calls_of_its_table_and_none_outside_its_profile() {
    sandboxed(200, |lab| {
        let scenarios: [(&str, Scenario); 4] =
            [("elections", elections), ("flock", flock), ("trap", trap), ("end", end)];
        let places: Vec<(&str, u8)> = scenarios.iter().map(|(name, _)| *name).zip(1..).collect();
        let lan = Lan::new(&places)?;
        let mut shown = BTreeMap::new();
        for (name, scenario) in scenarios {
            shown.insert(name, scenario(lab, lan.host(name)?)?);
        }
        let ledger = Ledger::read(include_str!("calls/vrrpd.tsv"));
        let mut complaints = ledger.complaints(&allowed(&VRRPD, Extras::default()), &shown);
        // The table holds what these scenarios show; the profile is wider.
        complaints.retain(|complaint| !complaint.contains("no row says what shows it"));
        require(complaints.is_empty(), || complaints.join("\n"))
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

/// Both families, both ways to send, routes and scripts; a reload, a death and a replacement; the stop.
fn elections(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let routes = "version 2\n virtual_routes {\n 198.51.100.0/24 dev eth0\n }";
    let config = "vrrp_script good {\n script \"/bin/true x\"\n interval 1\n user root\n}\n".to_owned()
        + &router("A", 1, "10.77.0.50/24", routes)
        + &router("B", 2, "fe80::50\n fd77::50/64", "version 3")
        + &router("C", 3, "10.77.0.51/24", "unicast_peer {\n 10.77.0.200\n }")
        + &router("D", 4, "10.77.0.52/24", "track_script {\n good\n }");
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

/// A SIGSYS that no filter raised.
fn trap(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    let watched = Watched::start_with(lab, host, &router("A", 1, "10.77.0.55/24", ""), NO_CHECKS)?;
    wait_until("the address is held", PATIENCE, || host.has(front4(55)))?;
    let pid = watched.director.wait_daemon("vrrpd")?;
    require(process::signal(pid, Signal::SIGSYS), || "vrrpd is gone".to_owned())?;
    watched.end("vrrpd", Extras::default())
}

/// The ends of the probe in the place of vrrpd.
fn end(lab: &Lab, host: &Host) -> Result<Shown, Failure> {
    death_of("vrrpd", NO_CHECKS, &router("A", 1, "10.77.0.56/24", ""), lab, host)
}
