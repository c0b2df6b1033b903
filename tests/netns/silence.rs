//! A file system that has stopped answering under what a configuration names: it costs what hangs on it, and neither an
//! advert nor a command.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::clock::now;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Capture, Director, Failure, Lab, Lan, Lateness, Silent, Subject, capture};
use tests::lab::{pause, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const SOON: Duration = Duration::from_secs(20);
/// What a peer of priority 100 waits at 0.2 s.
const PATIENCE: f64 = 0.6 + 0.2 * 156.0 / 256.0;
const SHARE: &str = "/run/lab/share";

fn program(path: &str, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(|cause| Failure::instrument(path, cause))
}

/// Runs `keepalivectl` and fails if the answer takes longer than a person would wait.
fn answered(director: &Director, arguments: &[&str]) -> Result<String, Failure> {
    let asked = now();
    let answer = director.ctl(arguments)?;
    let took = asked.elapsed();
    require(took < Duration::from_secs(8), || format!("{arguments:?} took {took:?}"))?;
    Ok(answer)
}

/// Nothing but the one script hangs: not the other script, not adverts, not a restart, not a reload, not the stop.
fn a_silent_share(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    fs::create_dir_all(SHARE).map_err(|cause| Failure::instrument(SHARE, cause))?;
    program(&format!("{SHARE}/check"), "#!/bin/sh\nexit 0\n")?;
    program("/run/lab/near", "#!/bin/sh\necho run >> /run/lab/near.runs\n")?;
    let scripts = format!(
        "vrrp_script far {{\n    script {SHARE}/check\n    interval 1\n    timeout 1\n    weight -10\n}}\n\
         vrrp_script near {{\n    script /run/lab/near\n    interval 1\n    weight -20\n}}\n"
    );
    let instance = |scripts: &str, lines: &str| {
        global("d1") + scripts + &VrrpInstance::new(3, "0.2", 200, ADDRESS).with(lines).text()
    };
    let notified = format!("track_script {{\n    far\n    near\n}}\nnotify {SHARE}/check");
    let director = Director::start(lab, d1, Subject::Ours, &instance(&scripts, &notified), &[])?;
    wait_until("both scripts run", SOON, || {
        d1.has(ADDRESS)
            && director.instance("VI_1")["priority"] == 200
            && fs::exists("/run/lab/near.runs").is_ok_and(|there| there)
    })?;
    let runs = || fs::read_to_string("/run/lab/near.runs").unwrap_or_default().lines().count();

    let silent = Silent::over(SHARE)?;
    let capture = Capture::start(lab, lan.switch(), "silence")?;
    let lateness = Lateness::watch();
    wait_until("somebody looks at it", SOON, || silent.asked() > 0)?;
    wait_until("the script has failed", SOON, || director.instance("VI_1")["priority"] == 190)?;
    wait_until("its process is given up", SOON, || director.logged("hangs in the kernel") == 1)?;
    let before = runs();
    let old = director.wait_daemon("vrrpd")?;
    answered(&director, &["restart", "vrrpd"])?;
    director.wait_successor("vrrpd", old)?;
    // The worker hangs on the path, and nothing waits for it: the signal asks, the commands are answered meanwhile.
    director.signal(Signal::SIGHUP);
    for _ in 0..4 {
        answered(&director, &["status"])?;
        pause(Duration::from_millis(250));
    }
    wait_until("the reload is refused", SOON, || director.logged("Reload refused") == 1)?;
    director.write_config(d1, &instance("", ""))?;
    answered(&director, &["reload"])?;
    wait_until("the other script has run meanwhile", SOON, || runs() >= before + 5)?;
    let late = lateness.finish()?;
    let gap = capture::longest_gap(&capture::adverts(&capture.stop()?)?);
    require(gap < PATIENCE + late.as_secs_f64(), || {
        format!("a pause of {gap:.3} s, the laboratory was late by {late:?}")
    })?;
    require(director.logged("hangs in the kernel") == 1, || director.log())?;
    let asked = now();
    director.stop()?;
    require(asked.elapsed() < Duration::from_secs(10), || "the stop waited for the script".to_owned())
}

#[test]
fn a_share_that_does_not_answer_costs_its_scripts_alone() {
    sandboxed(90, a_silent_share);
}

/// What is written, watched and read there hangs from the start; the service and the commands do not.
fn a_silent_state_directory(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    fs::create_dir_all(SHARE).map_err(|cause| Failure::instrument(SHARE, cause))?;
    let settings = format!(
        "global_defs {{\n    vrrp_notify_fifo {SHARE}/fifo\n    reload_file {SHARE}/reload\n    \
         reload_time_file {SHARE}/time\n    reload_check_config {SHARE}/check.log\n}}\n\
         vrrp_track_file load {{\n    file {SHARE}/load\n    weight 1\n    init_file 3\n}}\n"
    );
    let lines = "track_file {\n    load weight 1\n}";
    let config = settings + &VrrpInstance::new(3, "0.2", 200, ADDRESS).with(lines).text();
    let silent = Silent::over(SHARE)?;
    let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
    wait_until("d1 holds the address", SOON, || d1.has(ADDRESS))?;
    wait_until("what hangs is told", SOON, || {
        ["FIFO", "track_file load", "reload_time_file"].iter().all(|what| {
            director.log().lines().any(|line| line.contains(what) && line.contains("does not answer"))
        })
    })?;
    answered(&director, &["status"])?;
    answered(&director, &["reload"])?;
    let old = director.wait_daemon("vrrpd")?;
    answered(&director, &["restart", "vrrpd"])?;
    director.wait_successor("vrrpd", old)?;
    require(silent.asked() > 0 && d1.has(ADDRESS), || "nobody looked, or the address has gone".to_owned())?;
    let asked = now();
    director.stop()?;
    require(asked.elapsed() < Duration::from_secs(10), || "the stop waited".to_owned())
}

#[test]
fn a_state_directory_that_does_not_answer_costs_neither_the_start_nor_a_command() {
    sandboxed(90, a_silent_state_directory);
}

/// What the suite itself writes hangs from the start or from then on: log, pid files, state files, copies of the
/// configuration. Neither that nor its end keeps an advert, a command or the stop waiting.
fn a_silent_log_directory(lab: &Lab) -> Result<(), Failure> {
    const LATER: &str = "/run/lab/later";
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    for directory in [SHARE, LATER] {
        fs::create_dir_all(directory).map_err(|cause| Failure::instrument(directory, cause))?;
    }
    let settings = format!(
        "global_defs {{\n    config_save_dir {SHARE}/copies\n    state_dump_file {SHARE}/state\n    \
         stats_dump_file {SHARE}/stats\n    json_dump_file {SHARE}/json\n}}\n"
    );
    let config = settings + &VrrpInstance::new(3, "0.2", 200, ADDRESS).text();
    let silent = Silent::over(SHARE)?;
    let [log, vrrp, checkers, own] = [
        ("-g", SHARE, "log"),
        ("-r", LATER, "vrrp.pid"),
        ("-c", LATER, "checkers.pid"),
        ("-p", LATER, "pid"),
    ]
    .map(|(option, directory, name)| format!("{option}{directory}/{name}"));
    let director = Director::start(lab, d1, Subject::Ours, &config, &[&log, &vrrp, &checkers, &own])?;
    wait_until("d1 holds the address", SOON, || d1.has(ADDRESS))?;
    // A start looks at pid files, to know whether another suite runs, and waits for them.
    let silent_later = Silent::over(LATER)?;
    let capture = Capture::start(lab, lan.switch(), "silent-log")?;
    let lateness = Lateness::watch();
    let old = director.wait_daemon("vrrpd")?;
    answered(&director, &["restart", "vrrpd"])?;
    director.wait_successor("vrrpd", old)?;
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGUSR1] {
        director.signal(signal);
        answered(&director, &["status"])?;
    }
    answered(&director, &["reload"])?;
    wait_until("what hangs is told", SOON, || {
        ["pid file", "config_save_dir"].iter().all(|what| {
            director.log().lines().any(|line| line.contains(what) && line.contains("does not answer"))
        })
    })?;
    require(silent.asked() > 0 && silent_later.asked() > 0, || "nobody looked".to_owned())?;
    require(d1.has(ADDRESS), || "the address has gone".to_owned())?;
    let late = lateness.finish()?;
    let gap = capture::longest_gap(&capture::adverts(&capture.stop()?)?);
    require(gap < PATIENCE + late.as_secs_f64(), || {
        format!("a pause of {gap:.3} s, the laboratory was late by {late:?}")
    })?;
    let asked = now();
    director.stop()?;
    require(asked.elapsed() < Duration::from_secs(10), || "the stop waited".to_owned())
}

#[test]
fn logs_pid_files_and_state_files_that_hang_keep_neither_a_command_nor_the_stop_waiting() {
    sandboxed(90, a_silent_log_directory);
}
