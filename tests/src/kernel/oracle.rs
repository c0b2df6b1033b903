//! The kernel's table after Debian's keepalived and after ours, for every file of `corpus/ipvs` and every sequence of
//! reloads in `corpus/reloads`.
//!
//! What counts is what `ipvsadm` says after the start, after each reload or other event, and after the end. Words of the
//! first file's head: `# before:` arguments of an `ipvsadm` that runs first, `# address:` one that the machine has,
//! `# options:` for the program, `# differs:` words that stand in `docs/differences.md`; what differs without them
//! fails, and so does what has them and doesn't.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::lasting::lasting_differences;
use crate::lab::clock::now;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, wait_until};

const DIFFERENCES: &str = include_str!("../../../docs/differences.md");

/// One file, or the files of a sequence.
struct Case {
    name: String,
    /// The configuration of the start, then what happens.
    steps: Vec<Step>,
}

/// What happens at a place of a sequence.
enum Step {
    /// `N.conf`: the program starts with this configuration, or reloads it.
    Config(String),
    /// `N.sh`: a shell runs this on the machine; servers fail and come back by its addresses.
    Event(String),
}

impl Step {
    fn text(&self) -> &str {
        match self {
            Self::Config(text) | Self::Event(text) => text,
        }
    }
}

impl Case {
    fn word<'a>(&'a self, word: &str) -> Vec<&'a str> {
        let lines = self.steps.iter().flat_map(|step| step.text().lines());
        let lines = lines.filter_map(|line| line.strip_prefix("# "));
        lines.filter_map(|line| line.strip_prefix(word)?.strip_prefix(": ")).collect()
    }

    fn says(&self, word: &str) -> bool {
        self.steps.iter().any(|step| step.text().contains(word))
    }

    /// Servers fail in it.
    fn has_events(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Event(_)))
    }

    /// Reloads up to this step.
    fn reloads(&self, step: usize) -> usize {
        let steps = self.steps.iter().skip(1).take(step);
        steps.filter(|step| matches!(step, Step::Config(_))).count()
    }

    /// How long its table takes to become what it stays: servers are checked, or an election is held.
    fn patience(&self) -> Duration {
        let slow = ["delay_loop", "vrrp_instance"].iter().any(|word| self.says(word));
        if slow { CHECKED } else { QUICK }
    }
}

/// What `ipvsadm` said.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// After the start and after each reload.
    running: Vec<Vec<String>>,
    ended: Vec<String>,
}

/// Runs the files whose position, counted over all, leaves this remainder: half of them per machine.
pub(super) fn compare(lab: &Lab, half: usize) -> Result<(), Failure> {
    let mut cases = files().map_err(|cause| Failure::instrument("corpus/ipvs", cause))?;
    cases.sort_by_key(|case| (case.patience(), case.name.clone()));
    let half = cases.iter().enumerate().filter(|(place, _)| place % 2 == half).map(|(_, case)| case);
    complain(lasting_differences(half, |cases| compare_all(lab, cases))?)
}

/// Runs the sequences of reloads alone that take so long after each step.
pub(super) fn compare_reloads(lab: &Lab, patience: Duration) -> Result<(), Failure> {
    let mut cases = sequences().map_err(|cause| Failure::instrument("corpus/reloads", cause))?;
    cases.retain(|case| case.patience() == patience && !case.has_events());
    cases.sort_by_key(|case| (case.patience(), case.steps.len(), case.name.clone()));
    complain(lasting_differences(&cases, |cases| compare_all(lab, cases))?)
}

/// Runs the sequences in which servers fail and come back.
pub(super) fn compare_failures(lab: &Lab) -> Result<(), Failure> {
    let mut cases = sequences().map_err(|cause| Failure::instrument("corpus/reloads", cause))?;
    cases.retain(Case::has_events);
    cases.sort_by_key(|case| (case.steps.len(), case.name.clone()));
    complain(lasting_differences(&cases, |cases| compare_all(lab, cases))?)
}

fn complain(differences: String) -> Result<(), Failure> {
    if differences.is_empty() { Ok(()) } else { Err(Failure::new(differences)) }
}

fn compare_all(lab: &Lab, cases: &[&Case]) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    for batch in cases.chunks(BATCH) {
        let names: Vec<String> = (1..=batch.len()).map(|place| format!("n{place}")).collect();
        let hosts: Vec<(&str, u8)> = names.iter().map(String::as_str).zip(1..).collect();
        let lan = Lan::new(&hosts)?;
        let hosts = names.iter().map(|name| lan.host(name)).collect::<Result<Vec<_>, _>>()?;
        let theirs = observe(lab, batch, &hosts, Subject::C)?;
        let ours = observe(lab, batch, &hosts, Subject::Ours)?;
        for ((case, theirs), ours) in batch.iter().zip(theirs).zip(ours) {
            complaints.push(judge(case, &theirs, &ours));
            let record = format!("keepalived: {theirs:#?}\nours: {ours:#?}\n");
            fs::write(lab.out.join(format!("{}.tables", case.name)), record)
                .map_err(|cause| Failure::instrument("record of tables", cause))?;
        }
    }
    Ok(complaints)
}

fn folder(name: &str) -> std::io::Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn files() -> std::io::Result<Vec<Case>> {
    let read = |path: PathBuf| {
        Ok(Case { name: name_of(&path), steps: vec![Step::Config(fs::read_to_string(path)?)] })
    };
    folder("ipvs")?.into_iter().map(read).collect()
}

/// Each folder holds `1.conf`, which the program starts with, `2.conf` or `2.sh`, and so on.
fn sequences() -> std::io::Result<Vec<Case>> {
    let read = |path: PathBuf| {
        let step = |number: u32| -> std::io::Result<Option<Step>> {
            let [config, event] = ["conf", "sh"].map(|kind| path.join(format!("{number}.{kind}")));
            match (config.exists(), event.exists()) {
                (true, _) => fs::read_to_string(config).map(|text| Some(Step::Config(text))),
                (false, true) => fs::read_to_string(event).map(|text| Some(Step::Event(text))),
                (false, false) => Ok(None),
            }
        };
        let steps = (1..).map_while(|number| step(number).transpose()).collect::<Result<_, _>>()?;
        Ok(Case { name: name_of(&path), steps })
    };
    folder("reloads")?.into_iter().map(read).collect()
}

/// Runs one subject on every host with the files of the same place.
fn observe(lab: &Lab, cases: &[&Case], hosts: &[&Host], subject: Subject) -> Result<Vec<Seen>, Failure> {
    let mut started;
    let patience = cases.iter().map(|case| case.patience()).max().unwrap_or_default();
    let mut directors = Vec::new();
    for (case, host) in cases.iter().zip(hosts) {
        reset(host);
        for address in case.word("address") {
            // It stays on the host from one subject to the next.
            host.ip(&format!("addr replace {address} dev lo\n"))?;
        }
        for arguments in case.word("before") {
            host.run("ipvsadm", &arguments.split(' ').collect::<Vec<_>>())?;
        }
        let options: Vec<&str> = case.word("options").iter().flat_map(|options| options.split(' ')).collect();
        let text = case.steps.first().map_or("", Step::text);
        directors.push(Director::start(lab, host, subject, text, &options)?);
    }
    for (case, director) in cases.iter().zip(&directors) {
        wait_until(&format!("{} starts", case.name), STARTED, || director.logged("Startup complete") > 0)?;
    }
    started = now();
    let mut running = vec![Vec::new(); cases.len()];
    for step in 0..cases.iter().map(|case| case.steps.len()).max().unwrap_or(0) {
        if step > 0 {
            started = now();
            for ((case, host), director) in cases.iter().zip(hosts).zip(&directors) {
                match case.steps.get(step) {
                    Some(Step::Config(text)) => {
                        director.write_config(host, text)?;
                        director.signal(Signal::SIGHUP);
                    }
                    Some(Step::Event(commands)) => drop(host.run("sh", &["-c", commands])?),
                    None => {}
                }
            }
        }
        for (case, director) in cases.iter().zip(&directors).filter(|(case, _)| step < case.steps.len()) {
            wait_until(&format!("{} uses file {}", case.name, step + 1), LONGEST, || {
                director.logged(reloaded(subject)) >= case.reloads(step)
            })?;
        }
        settle(hosts, started, patience);
        for ((case, host), seen) in cases.iter().zip(hosts).zip(&mut running) {
            if step < case.steps.len() {
                seen.push(table(host)?);
            }
        }
    }
    for director in &directors {
        director.signal(Signal::SIGTERM);
    }
    for mut director in directors {
        director.wait_end(END)?;
    }
    let ended = hosts.iter().map(|host| table(host)).collect::<Result<Vec<_>, _>>()?;
    Ok(running.into_iter().zip(ended).map(|(running, ended)| Seen { running, ended }).collect())
}

/// What each reload ends with in the log.
fn reloaded(subject: Subject) -> &'static str {
    match subject {
        Subject::Ours => "Configuration reloaded",
        Subject::C => "Reload complete",
    }
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
    let lacks = |wanted: &str, line: fn(&String) -> bool| {
        case.says(wanted) && !theirs.running.iter().flatten().any(line)
    };
    if lacks("real_server", |line| line.starts_with("-A")) || lacks("lvs_sync", |line| line.contains("mcast"))
    {
        writeln!(text, "{}: keepalived's table lacks what the file asks for: {theirs:?}", case.name).ok();
    }
    match (theirs == ours, reasons.is_empty()) {
        (true, false) => {
            writeln!(text, "{}: no difference any more", case.name).ok();
        }
        (false, true) => {
            writeln!(text, "{}: the tables differ", case.name).ok();
            for (step, (theirs, ours)) in (1..).zip(theirs.running.iter().zip(&ours.running)) {
                contrast(&format!("after step {step}"), theirs, ours, &mut text);
            }
            contrast("ended", &theirs.ended, &ours.ended, &mut text);
        }
        (true, true) | (false, false) => {}
    }
    text
}

fn contrast(when: &str, theirs: &[String], ours: &[String], text: &mut String) {
    for line in theirs.iter().filter(|line| !ours.contains(line)) {
        writeln!(text, "  {when}: only keepalived: {line}").ok();
    }
    for line in ours.iter().filter(|line| !theirs.contains(line)) {
        writeln!(text, "  {when}: only ours: {line}").ok();
    }
}

/// How long a table takes to become what it stays, without checks and elections.
pub(super) const QUICK: Duration = Duration::from_millis(1_500);
/// And with them.
pub(super) const CHECKED: Duration = Duration::from_secs(5);

/// Programs that run at the same time.
const BATCH: usize = 9;
const LONGEST: Duration = Duration::from_secs(12);
/// Nine programs on one processor that others use too.
const STARTED: Duration = Duration::from_secs(40);
const END: Duration = Duration::from_secs(20);
