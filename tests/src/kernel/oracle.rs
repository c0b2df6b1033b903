//! The kernel's table after Debian's keepalived and after ours, for every file of `corpus/ipvs`.
//!
//! What counts is what `ipvsadm` says while the program runs and after it has ended. Words of a file's head: `# before:`
//! arguments of an `ipvsadm` that runs first, `# options:` for the program, `# differs:` words that stand in
//! `docs/differences.md`; a file that differs without them fails, and so does one that has them and doesn't.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::clock::now;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, pause};

const DIFFERENCES: &str = include_str!("../../../docs/differences.md");

/// One file.
struct Case {
    name: String,
    text: String,
}

impl Case {
    fn word<'a>(&'a self, word: &str) -> Vec<&'a str> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("# "));
        lines.filter_map(|line| line.strip_prefix(word)?.strip_prefix(": ")).collect()
    }

    /// How long its table takes to become what it stays: servers are checked, or an election is held.
    fn patience(&self) -> Duration {
        let slow = self.text.contains("delay_loop") || self.text.contains("vrrp_instance");
        Duration::from_millis(if slow { 5_000 } else { 1_500 })
    }
}

/// What `ipvsadm` said.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    running: Vec<String>,
    ended: Vec<String>,
}

/// Runs the files whose position, counted over all, leaves this remainder: half of them per machine.
pub(super) fn compare(lab: &Lab, half: usize) -> Result<(), Failure> {
    let mut cases = corpus()?;
    cases.sort_by_key(|case| (case.patience(), case.name.clone()));
    let cases: Vec<Case> =
        cases.into_iter().enumerate().filter(|(place, _)| place % 2 == half).map(|(_, case)| case).collect();
    let mut complaints = String::new();
    for batch in cases.chunks(BATCH) {
        let names: Vec<String> = (1..=batch.len()).map(|place| format!("n{place}")).collect();
        let hosts: Vec<(&str, u8)> = names.iter().map(String::as_str).zip(1..).collect();
        let lan = Lan::new(&hosts)?;
        let hosts = names.iter().map(|name| lan.host(name)).collect::<Result<Vec<_>, _>>()?;
        let theirs = observe(lab, batch, &hosts, Subject::C)?;
        let ours = observe(lab, batch, &hosts, Subject::Ours)?;
        for ((case, theirs), ours) in batch.iter().zip(theirs).zip(ours) {
            complaints.push_str(&judge(case, &theirs, &ours));
            let record = format!("keepalived: {theirs:#?}\nours: {ours:#?}\n");
            fs::write(lab.out.join(format!("{}.tables", case.name)), record)
                .map_err(|cause| Failure::instrument("record of tables", cause))?;
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(Failure::new(complaints)) }
}

fn corpus() -> Result<Vec<Case>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/ipvs");
    let read = |path: PathBuf| -> std::io::Result<Case> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Case { name, text: fs::read_to_string(path)? })
    };
    let entries = fs::read_dir(&folder).map_err(|cause| Failure::instrument("corpus", cause))?;
    entries
        .map(|entry| entry.and_then(|entry| read(entry.path())))
        .collect::<Result<_, _>>()
        .map_err(|cause| Failure::instrument("corpus", cause))
}

/// Runs one subject on every host with the file of the same place.
fn observe(lab: &Lab, cases: &[Case], hosts: &[&Host], subject: Subject) -> Result<Vec<Seen>, Failure> {
    let started = now();
    let mut directors = Vec::new();
    for (case, host) in cases.iter().zip(hosts) {
        reset(host);
        for arguments in case.word("before") {
            host.run("ipvsadm", &arguments.split(' ').collect::<Vec<_>>())?;
        }
        let options: Vec<&str> = case.word("options").iter().flat_map(|options| options.split(' ')).collect();
        directors.push(Director::start(lab, host, subject, &case.text, &options)?);
    }
    settle(hosts, started, cases.iter().map(Case::patience).max().unwrap_or_default());
    let running = hosts.iter().map(|host| table(host)).collect::<Result<Vec<_>, _>>()?;
    for director in &directors {
        director.signal(Signal::SIGTERM);
    }
    for mut director in directors {
        director.wait_end(END)?;
    }
    let ended = hosts.iter().map(|host| table(host)).collect::<Result<Vec<_>, _>>()?;
    Ok(running.into_iter().zip(ended).map(|(running, ended)| Seen { running, ended }).collect())
}

/// Whatever the subject before has left.
fn reset(host: &Host) {
    for arguments in [
        &["-C"][..],
        &["--set", "900", "120", "300"],
        &["--stop-daemon", "master"],
        &["--stop-daemon", "backup"],
    ] {
        // A daemon that doesn't run can't be stopped.
        host.run("ipvsadm", arguments).ok();
    }
}

/// Waits at least `patience` and until no table has changed for a second, at most [`LONGEST`].
fn settle(hosts: &[&Host], started: std::time::Instant, patience: Duration) {
    let tables = || hosts.iter().map(|host| host.proc_net("ip_vs").unwrap_or_default()).collect::<Vec<_>>();
    let (mut last, mut since) = (tables(), now());
    while started.elapsed() < LONGEST {
        pause(Duration::from_millis(100));
        let found = tables();
        if found != last {
            (last, since) = (found, now());
        }
        if started.elapsed() >= patience && since.elapsed() >= Duration::from_secs(1) {
            return;
        }
    }
}

/// Services, destinations, synchronisation daemons and time-outs, sorted.
fn table(host: &Host) -> Result<Vec<String>, Failure> {
    let mut lines: Vec<String> = Vec::new();
    for arguments in [&["-S", "-n"][..], &["-L", "-n", "--daemon"], &["-L", "-n", "--timeout"]] {
        let said = host.run("ipvsadm", arguments)?;
        lines.extend(said.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
    }
    lines.sort();
    Ok(lines)
}

fn judge(case: &Case, theirs: &Seen, ours: &Seen) -> String {
    let reasons = case.word("differs");
    let unknown = reasons.iter().find(|reason| !DIFFERENCES.contains(**reason));
    let mut text = String::new();
    if let Some(reason) = unknown {
        writeln!(text, "{}: docs/differences.md doesn't say '{reason}'", case.name).ok();
    }
    let serves =
        case.text.contains("real_server") && !theirs.running.iter().any(|line| line.starts_with("-A"));
    let synchronises =
        case.text.contains("lvs_sync") && !theirs.running.iter().any(|line| line.contains("mcast"));
    if serves || synchronises {
        writeln!(text, "{}: keepalived's table lacks what the file asks for: {theirs:?}", case.name).ok();
    }
    match (theirs == ours, reasons.is_empty()) {
        (true, false) => {
            writeln!(text, "{}: no difference any more", case.name).ok();
        }
        (false, true) => {
            writeln!(text, "{}: the tables differ", case.name).ok();
            for (when, theirs, ours) in
                [("running", &theirs.running, &ours.running), ("ended", &theirs.ended, &ours.ended)]
            {
                for line in theirs.iter().filter(|line| !ours.contains(line)) {
                    writeln!(text, "  {when}: only keepalived: {line}").ok();
                }
                for line in ours.iter().filter(|line| !theirs.contains(line)) {
                    writeln!(text, "  {when}: only ours: {line}").ok();
                }
            }
        }
        (true, true) | (false, false) => {}
    }
    text
}

/// Programs that run at the same time.
const BATCH: usize = 9;
const LONGEST: Duration = Duration::from_secs(12);
const END: Duration = Duration::from_secs(20);
