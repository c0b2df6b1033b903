//! What one program did with the cases: told verdicts, scripts, table, and what its servers heard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::cases::{Case, Kind};
use super::town::{Heard, Town};
use super::{Numbered, STOP};
use crate::lab::clock::now;
use crate::lab::mail::MailServer;
use crate::lab::{Director, Failure, Host};

/// One case, compared as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Lines of the FIFO in their order, by phase.
    pub(super) told: BTreeMap<u8, Vec<String>>,
    /// Arguments of scripts, sorted, by phase: they run side by side.
    pub(super) scripts: BTreeMap<u8, Vec<String>>,
    /// What `ipvsadm -Sn` says at the end of a phase.
    pub(super) table: BTreeMap<u8, Vec<String>>,
    /// Subjects and bodies of letters, sorted, by phase.
    pub(super) letters: BTreeMap<u8, Vec<String>>,
    /// Lines of the log, each once, by phase.
    pub(super) logged: BTreeMap<u8, BTreeSet<String>>,
    /// Questions to its servers, each once.
    pub(super) asked: BTreeSet<String>,
    /// For cases that are timed: how many steps lie between the questions of a phase, up to its first verdict.
    pub(super) pace: BTreeMap<u8, Vec<String>>,
}

/// Looks at one program.
pub(super) struct Witness {
    fifo: File,
    unread: String,
    told: Vec<(u8, Instant, String)>,
    notes: PathBuf,
    /// Lines of notes that had been seen at the end of each phase.
    noted: Vec<usize>,
    mail: MailServer,
    /// Letters that had come at the end of each phase.
    came: Vec<usize>,
    /// Lines of the log at the end of each phase.
    logged: Vec<usize>,
    tables: BTreeMap<u8, Vec<String>>,
}

impl Witness {
    /// Makes the FIFO that the program writes to.
    pub(super) fn new(host: &Host, mail: MailServer) -> Result<Self, Failure> {
        let fifo = PathBuf::from(format!("/run/lab/{}.fifo", host.name()));
        drop(fs::remove_file(&fifo));
        mkfifo(&fifo, Mode::from_bits_truncate(0o600))
            .map_err(|cause| Failure::instrument("fifo of verdicts", cause))?;
        let fifo = File::options()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(&fifo)
            .map_err(|cause| Failure::instrument("fifo of verdicts", cause))?;
        let notes = PathBuf::from(format!("/run/lab/{}.notes", host.name()));
        drop(fs::remove_file(&notes));
        Ok(Self {
            fifo,
            unread: String::new(),
            told: Vec::new(),
            notes,
            noted: Vec::new(),
            came: Vec::new(),
            mail,
            logged: Vec::new(),
            tables: BTreeMap::new(),
        })
    }

    /// Takes what was told since; how much is known in all, which grows while something happens.
    pub(super) fn look(&mut self, phase: u8) -> usize {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = self.fifo.read(&mut buffer) {
            self.unread.push_str(&String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()));
        }
        while let Some((line, rest)) = self.unread.split_once('\n') {
            let line = line.trim_matches('\0').to_owned();
            self.unread = rest.to_owned();
            self.told.push((phase, now(), line));
        }
        self.told.len() + self.notes().len() + self.mail.taken().len()
    }

    /// Ends a phase: what stands in the table now is its outcome.
    pub(super) fn end_phase(&mut self, phase: u8, host: &Host, director: &Director) -> Result<(), Failure> {
        self.look(phase);
        self.noted.push(self.notes().len());
        self.came.push(self.mail.taken().len());
        self.logged.push(director.log().lines().count());
        let table = host.run("ipvsadm", &["-S", "-n"])?;
        self.tables.insert(phase, table.lines().map(|line| line.trim().to_owned()).collect());
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.notes).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What was told, run, logged and in the table, by phase; the first two sorted.
    pub(super) fn phases(&self, log: &str) -> BTreeMap<u8, [Vec<String>; 4]> {
        let mut phases: BTreeMap<u8, [Vec<String>; 4]> = self
            .tables
            .iter()
            .map(|(phase, table)| (*phase, [vec![], vec![], vec![], table.clone()]))
            .collect();
        for (phase, _, line) in &self.told {
            phases.entry(*phase).or_default()[0].push(line.clone());
        }
        for (phase, line) in by_phase(&self.noted, &self.notes()) {
            phases.entry(phase).or_default()[1].push(line.clone());
        }
        let log: Vec<&str> = log.lines().collect();
        for (phase, line) in by_phase(&self.logged, &log) {
            let line = line.split_once(": ").map_or(*line, |(_, text)| text);
            let speaks = ["service [", "VS [", "Server ["].iter().any(|words| line.contains(words));
            if let Some(line) = steady(line).filter(|_| speaks && !line.contains("healthchecker")) {
                phases.entry(phase).or_default()[2].push(line);
            }
        }
        phases.values_mut().flatten().for_each(|lines| lines.sort());
        phases
    }

    /// Sorts what was seen by case.
    pub(super) fn report(&self, cases: &[Numbered], town: &Town, log: &str) -> Vec<Seen> {
        cases.iter().map(|(number, case)| self.seen(*number, case, town, log)).collect()
    }

    fn seen(&self, number: u8, case: &Case, town: &Town, log: &str) -> Seen {
        let mut seen = Seen::default();
        let service = service(case.kind, number);
        let mine = |line: &str| line.contains(&service);
        for (phase, _, line) in self.told.iter().filter(|(.., line)| mine(line)) {
            seen.told.entry(*phase).or_default().push(line.clone());
        }
        if UNORDERED.contains(&case.name) {
            seen.told.values_mut().for_each(|lines| lines.sort());
        }
        for (phase, line) in by_phase(&self.noted, &self.notes()) {
            if let Some(rest) = line.strip_prefix(case.name).and_then(|rest| rest.strip_prefix(' ')) {
                seen.scripts.entry(phase).or_default().push(rest.to_owned());
            }
        }
        for (phase, letter) in by_phase(&self.came, &self.mail.taken()) {
            let text = format!("{} | {}", letter.subject(), letter.body.join(" | "));
            // Later versions than Debian's name both kinds of check.
            let text = text.replace(": HTTP request", ": HTTP/SSL request");
            if mine(&text) {
                seen.letters.entry(phase).or_default().push(text);
            }
        }
        seen.scripts.values_mut().chain(seen.letters.values_mut()).for_each(|lines| lines.sort());
        let servers = ['A', 'B', 'C', 'P'].map(|letter| format!("[{}]:", server(letter, number)));
        let log: Vec<&str> = log.lines().collect();
        for (phase, line) in by_phase(&self.logged, &log) {
            let line = line.split_once(": ").map_or(*line, |(_, text)| text);
            let is_ours = mine(line) || servers.iter().any(|server| line.contains(server));
            if let Some(line) = steady(line).filter(|_| is_ours && !UNSTEADY.contains(&case.name)) {
                seen.logged.entry(phase).or_default().insert(line);
            }
        }
        let entry = entry(case.kind, number);
        for (phase, table) in &self.tables {
            let lines = table.iter().filter(|line| line.split(' ').any(|word| word == entry));
            let mut lines: Vec<String> = lines.cloned().collect();
            lines.sort();
            seen.table.insert(*phase, lines);
        }
        town.heard(|heard| {
            let asked = ['A', 'P'].map(|letter| Some(server(letter, number)));
            let own: Vec<&Heard> = heard.iter().filter(|question| asked.contains(&question.server)).collect();
            seen.asked = own.iter().map(|question| question.text.clone()).collect();
            for phase in (0..STOP).filter(|_| PACED.contains(&case.name)) {
                let verdict = self.told.iter().find(|(of, _, line)| *of == phase && mine(line));
                let Some((_, at, _)) = verdict else { continue };
                let before = own.iter().filter(|question| question.phase == phase && question.at <= *at);
                let times: Vec<Instant> = before.map(|question| question.at).collect();
                let gaps = times.iter().zip(times.iter().skip(1));
                let steps = gaps.map(|(one, next)| (*next - *one).as_secs_f64() / STEP.as_secs_f64());
                seen.pace.insert(phase, steps.map(|steps| format!("{steps:.0}")).collect());
            }
        });
        seen
    }
}

/// What of a line both write at any speed of the machine: a run that was late once may be forgiven. Our reasons stand
/// behind keepalived's words, some of which later versions than Debian's have for checks with TLS.
fn steady(line: &str) -> Option<String> {
    let passes =
        ["imeout", "Warning: ", "warning[", " is duplicated"].iter().all(|words| !line.contains(words));
    let words = line.split_once(" reason=\"").map_or(line, |(words, _)| words);
    passes.then(|| words.replace("SSL_CHECK on", "HTTP_CHECK on").replace("HTTP/SSL_CHECK -", "HTTP_CHECK -"))
}

/// Each item with its phase, where `ends` says how many there were at the end of each.
fn by_phase<'a, T>(ends: &'a [usize], items: &'a [T]) -> impl Iterator<Item = (u8, &'a T)> {
    items.iter().enumerate().map(|(at, item)| (ends.iter().map(|end| u8::from(at >= *end)).sum(), item))
}

/// The line that begins a case's virtual server, with the group that it names.
pub(super) fn head(kind: Kind, number: u8) -> String {
    let (vip, vip6) = (vip(number), vip6(number));
    match kind {
        Kind::Tcp => format!("virtual_server {vip} 80 {{\nprotocol TCP"),
        Kind::Tcp6 => format!("virtual_server {vip6} 80 {{\nprotocol TCP"),
        Kind::Udp => format!("virtual_server {vip} 80 {{\nprotocol UDP"),
        Kind::Mark => format!("virtual_server fwmark {} {{\nprotocol TCP", mark(number)),
        Kind::Group => {
            let name = group(number);
            format!(
                "virtual_server_group {name} {{\n{vip} 80\n}}\nvirtual_server group {name} {{\nprotocol TCP"
            )
        }
    }
}

/// What a virtual server is called.
fn service(kind: Kind, number: u8) -> String {
    match kind {
        Kind::Tcp => format!("[{}]:tcp:80", vip(number)),
        Kind::Tcp6 => format!("[{}]:tcp:80", vip6(number)),
        Kind::Udp => format!("[{}]:udp:80", vip(number)),
        Kind::Mark => format!("FWM {}", mark(number)),
        Kind::Group => format!("[{}]:0", group(number)),
    }
}

/// What `ipvsadm` calls it.
fn entry(kind: Kind, number: u8) -> String {
    match kind {
        Kind::Tcp | Kind::Udp | Kind::Group => format!("{}:80", vip(number)),
        Kind::Tcp6 => format!("[{}]:80", vip6(number)),
        Kind::Mark => mark(number).to_string(),
    }
}

fn mark(number: u8) -> u32 {
    1_000 + u32::from(number)
}

fn group(number: u8) -> String {
    format!("group-{number}-of-all")
}

/// Address of a case's virtual server.
pub(super) fn vip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 98, 0, number.saturating_add(1))
}

/// The same of IPv6.
pub(super) fn vip6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd98, 0, 0, 0, 0, 0, 0, u16::from(number) + 1)
}

/// Address of a case's server, of IPv6 for `P` and `T`.
pub(super) fn server(letter: char, number: u8) -> IpAddr {
    let third = u8::try_from(u32::from(letter) - u32::from('A')).unwrap_or(0);
    match letter {
        'P' | 'T' => Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, third.into(), u16::from(number) + 1).into(),
        _ => Ipv4Addr::new(10, 99, third, number.saturating_add(1)).into(),
    }
}

/// Cases whose log says which of several things came first: the end of a connection or its reset, an answer or the end
/// of its time, a script or a file.
const UNSTEADY: &[&str] =
    &["http-refused", "ssl-refused", "alpha-of-http", "dns-short", "misc-dynamic-and-file"];

/// Cases with servers that change in the same phase, each by a check of its own: nobody says which is told first.
const UNORDERED: &[&str] = &[
    "http-two-checks",
    "quorum-hysteresis-at-start",
    "quorum-hysteresis-reached",
    "sorry-is-a-server",
    "suspended-while-down",
    "udp-service",
];

/// The cases whose retries are timed, in steps of this length: half of one is what a busy machine may be late.
const PACED: &[&str] =
    &["http-retry", "retry-of-outer-blocks", "smtp-retry", "smtp-retry-at-start", "dns-retry"];
const STEP: Duration = Duration::from_secs(2);
