//! Each system call that the profile of a daemon allows is used by a scenario; no daemon is seen to make one that its
//! profile doesn't allow. The configuration worker has no list of calls, but only of those that end it.
//!
//! One table per profile, beside this file; scenarios run under strace.

mod checkd;
mod ipvsd;
mod vrrpd;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use sandbox::profile::{CHECKD, IPVSD, Profile, VRRPD};
use sandbox::seccomp::{Extras, allowed};
use tests::calls::{Ledger, Shown, sort, tracer, traces};
use tests::lab::failure::require;
use tests::lab::sandbox::build_directory;
use tests::lab::subject::{Outfit, install_ours};
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, process, wait_until};

const PROFILES: [&Profile; 3] = [&CHECKD, &IPVSD, &VRRPD];

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
        let profile = PROFILES.iter().find(|profile| profile.name == daemon);
        let profile = profile.ok_or_else(|| Failure::new(format!("no profile of {daemon}")))?;
        Ok(sort(&traces, &allowed(profile, extras)))
    }
}

/// Runs the scenarios, each on a host of its own, and compares what they show with the table of a profile.
fn prove(
    lab: &Lab,
    table: &str,
    profile: &Profile,
    extras: Extras,
    scenarios: &[(&str, Scenario)],
) -> Result<(), Failure> {
    let places: Vec<(&str, u8)> = scenarios.iter().map(|(name, _)| *name).zip(1..).collect();
    let lan = Lan::new(&places)?;
    let mut shown = BTreeMap::new();
    for (name, scenario) in scenarios {
        let host = lan.host(name)?;
        host.ip("route add local 10.99.0.0/16 dev lo\nroute add local fd99::/64 dev lo\n")?;
        shown.insert(*name, scenario(lab, host)?);
    }
    let complaints = Ledger::read(table).complaints(&allowed(profile, extras), &shown);
    require(complaints.is_empty(), || complaints.join("\n"))
}

/// A SIGSYS that no filter raised, once `ready` stands in the log.
fn signal_to(daemon: &str, watched: Watched, ready: &str) -> Result<Shown, Failure> {
    wait_until(ready, PATIENCE, || watched.director.logged(ready) > 0)?;
    let pid = watched.director.wait_daemon(daemon)?;
    require(process::signal(pid, Signal::SIGSYS), || format!("{daemon} is gone"))?;
    watched.end(daemon, Extras::default())
}

/// Ends that no scenario can bring about in a daemon: the probe stands in its place, panics and aborts.
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
