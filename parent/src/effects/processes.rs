//! Tracked processes: counts those that run, by name or command line.
//!
//! Driver. The kernel tells of each process that starts, changes or ends (process connector); where it doesn't,
//! `/proc` is read through again and again, in slices, at most once a second and for at most about 1 % of the time.
//! What a count means is vrrpd's business. Names and command lines are what processes say of themselves: they are
//! compared, never used for anything else.

use std::collections::BTreeMap;
use std::fs::{self, ReadDir};
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use config::model::buffers::Buffer;
use config::model::track::{Parameters, ProcessPattern};
use config::model::units::{MonoTime, ProcessId};
use netlink::process_events::{ProcessEvent, ProcessEvents};

/// All tracked processes of a configuration.
#[derive(Debug, Default)]
pub struct Processes {
    patterns: Vec<ProcessPattern>,
    /// What each process that is counted counts for.
    matching: BTreeMap<i32, Vec<usize>>,
    counts: Vec<Count>,
    /// The counts are those of a finished scan, and events since.
    known: bool,
    buffer: Buffer,
    events: Option<ProcessEvents>,
    listening: bool,
    scan: Option<Scan>,
    scan_at: Option<MonoTime>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    now: u32,
    told: Option<u32>,
    rested: MonoTime,
}

/// A look through all processes.
#[derive(Debug)]
struct Scan {
    entries: ReadDir,
    started: MonoTime,
    found: BTreeMap<i32, Vec<usize>>,
    /// Events came meanwhile: what was found of these processes may be wrong.
    touched: Vec<i32>,
}

/// Processes that are looked at in one turn.
const SLICE: usize = 64;
/// Events that are taken in one turn.
const MAX_EVENTS: usize = 128;
/// Least time between two scans.
const PAUSE: Duration = Duration::from_secs(1);
/// A scan is followed by a pause so many times as long.
const SHARE: u32 = 100;
/// Least time between two messages about one count.
const REST: Duration = Duration::from_millis(20);
/// Receive buffer of the connector: ten thousand events.
const BUFFER: usize = 4 << 20;
/// Bytes that are read of a command line.
const LONGEST: u64 = 4096;

impl Processes {
    /// Takes the patterns of a configuration. False when nothing changed.
    pub fn configure(&mut self, wanted: &[ProcessPattern], buffer: Buffer, now: MonoTime) -> bool {
        if self.patterns == wanted && self.buffer == buffer {
            return false;
        }
        *self = Self {
            patterns: wanted.to_vec(),
            buffer,
            counts: vec![Count::default(); wanted.len()],
            ..Self::default()
        };
        if !self.patterns.is_empty() {
            self.scan_at = Some(now);
            self.events = ProcessEvents::open().ok();
            if let Some(events) = &mut self.events {
                match buffer.bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
                    Some(bytes) if buffer.forced => events.enlarge(bytes),
                    Some(bytes) => events.resize(bytes),
                    None => events.enlarge(BUFFER),
                }
            }
        }
        true
    }

    /// The descriptor to watch for reading; another one after each [`Self::configure`].
    #[must_use]
    pub fn fd(&self) -> Option<RawFd> {
        self.events.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// How many processes match; `None` until all have been looked at once.
    #[must_use]
    pub fn count(&self, process: ProcessId) -> Option<u32> {
        self.counts.get(process.index()).filter(|_| self.known).map(|count| count.now)
    }

    /// The descriptor is readable: takes some events. True when more may be waiting.
    pub fn ready(&mut self, now: MonoTime) -> bool {
        for _ in 0..MAX_EVENTS {
            let Some(events) = &mut self.events else { return false };
            match events.receive() {
                Ok(None) => return false,
                Ok(Some(None)) => {}
                Ok(Some(Some(event))) => self.happened(event),
                Err(_) => self.scan_at = Some(now),
            }
        }
        true
    }

    /// Goes on with a scan, or begins one that is due; returns counts that have changed.
    pub fn tick(&mut self, now: MonoTime) -> Vec<ProcessId> {
        if self.scan.is_none() && self.scan_at.is_some_and(|at| now >= at) {
            self.scan_at = None;
            match fs::read_dir("/proc") {
                Ok(entries) => {
                    let (found, touched) = (BTreeMap::new(), Vec::new());
                    self.scan = Some(Scan { entries, started: now, found, touched });
                }
                Err(_) => self.scan_at = Some(now + PAUSE),
            }
        }
        self.go_on(now);
        let mut changed = Vec::new();
        for (count, position) in self.counts.iter_mut().zip(0_u32..).filter(|_| self.known) {
            if count.told != Some(count.now) && now >= count.rested {
                count.told = Some(count.now);
                count.rested = now + REST;
                changed.push(ProcessId::new(position));
            }
        }
        changed
    }

    /// When [`Self::tick`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        if self.scan.is_some() {
            return Some(MonoTime::default());
        }
        let untold = self.counts.iter().filter(|count| self.known && count.told != Some(count.now));
        untold.map(|count| count.rested).chain(self.scan_at).min()
    }

    fn happened(&mut self, event: ProcessEvent) {
        let pid = match event {
            ProcessEvent::Listening => {
                self.listening = true;
                return;
            }
            ProcessEvent::Forked { parent, child } => {
                let inherited = self.matching.get(&parent).cloned().unwrap_or_default();
                self.enter(child, inherited);
                child
            }
            ProcessEvent::Executed(pid) | ProcessEvent::Renamed(pid) => {
                let matching = look_at(pid, &self.patterns);
                self.enter(pid, matching);
                pid
            }
            ProcessEvent::Ended(pid) => {
                self.enter(pid, Vec::new());
                pid
            }
        };
        if let Some(scan) = &mut self.scan {
            scan.touched.push(pid);
        }
    }

    /// A process counts for these patterns from now on.
    fn enter(&mut self, pid: i32, matching: Vec<usize>) {
        let before = self.matching.remove(&pid).unwrap_or_default();
        for position in before {
            if let Some(count) = self.counts.get_mut(position) {
                count.now = count.now.saturating_sub(1);
            }
        }
        for position in &matching {
            if let Some(count) = self.counts.get_mut(*position) {
                count.now = count.now.saturating_add(1);
            }
        }
        if !matching.is_empty() {
            self.matching.insert(pid, matching);
        }
    }

    /// Looks at the next processes of a scan.
    fn go_on(&mut self, now: MonoTime) {
        let Some(scan) = &mut self.scan else { return };
        for _ in 0..SLICE {
            let Some(entry) = scan.entries.next() else {
                self.finish_scan(now);
                return;
            };
            let pid = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
            let Some(pid) = pid else { continue };
            let matching = look_at(pid, &self.patterns);
            if !matching.is_empty() {
                scan.found.insert(pid, matching);
            }
        }
    }

    fn finish_scan(&mut self, now: MonoTime) {
        let Some(Scan { mut found, touched, started, .. }) = self.scan.take() else { return };
        for pid in touched {
            found.remove(&pid);
            if let Some(matching) = self.matching.get(&pid) {
                found.insert(pid, matching.clone());
            }
        }
        for pid in self.matching.keys().copied().collect::<Vec<_>>() {
            if !found.contains_key(&pid) {
                self.enter(pid, Vec::new());
            }
        }
        for (pid, matching) in found {
            self.enter(pid, matching);
        }
        self.known = true;
        if !self.listening {
            let took = now.since(started);
            self.scan_at = Some(now + PAUSE.max(took.saturating_mul(SHARE)));
        }
    }
}

/// Positions of the patterns that a process matches; none for one that has ended.
fn look_at(pid: i32, patterns: &[ProcessPattern]) -> Vec<usize> {
    let Some((name, state)) = name_and_state(pid) else { return Vec::new() };
    if matches!(state, 'Z' | 'X' | 'x') {
        return Vec::new();
    }
    let needs_command = patterns.iter().any(|pattern| pattern.parameters != Parameters::NameOnly);
    let command = if needs_command { command_line(pid) } else { Vec::new() };
    let arguments: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    let matching = patterns.iter().enumerate().filter(|(_, pattern)| matches(pattern, &name, &arguments));
    matching.map(|(position, _)| position).collect()
}

/// `pid (name) state ...` (proc(5)); a name may hold anything.
fn name_and_state(pid: i32) -> Option<(Vec<u8>, char)> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open.checked_add(1)?..close)?.to_vec();
    Some((name, char::from(*stat.get(close.checked_add(2)?)?)))
}

/// Arguments with a NUL byte between each two.
fn command_line(pid: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = fs::File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// Longest name that the kernel keeps of a process, in bytes.
const NAME: usize = 15;

fn matches(pattern: &ProcessPattern, name: &[u8], arguments: &[&[u8]]) -> bool {
    let wanted = pattern.program.as_bytes();
    if pattern.parameters == Parameters::NameOnly {
        let base = wanted.rsplit(|byte| *byte == b'/').next().unwrap_or(wanted);
        return base.get(..NAME).unwrap_or(base) == name;
    }
    let Some((program, given)) = arguments.split_first() else { return false };
    if *program != wanted {
        return false;
    }
    let same = |(wanted, given): (&String, &&[u8])| wanted.as_bytes() == *given;
    match &pattern.parameters {
        Parameters::NameOnly | Parameters::Any => true,
        Parameters::Exactly(wanted) => wanted.len() == given.len() && wanted.iter().zip(given).all(same),
        Parameters::First(wanted) => wanted.len() <= given.len() && wanted.iter().zip(given).all(same),
        Parameters::Beginning(wanted) => {
            let Some((last, before)) = wanted.split_last() else { return true };
            wanted.len() <= given.len()
                && before.iter().zip(given).all(same)
                && given.get(before.len()).is_some_and(|given| given.starts_with(last.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::reactor::now;
    use nix::sys::socket::{getsockopt, sockopt};
    use std::process::{Child, Command};

    fn pattern(program: &str, parameters: Parameters) -> ProcessPattern {
        ProcessPattern { name: "p".to_owned(), program: program.to_owned(), parameters }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_name_is_compared_as_far_as_the_kernel_keeps_it() {
        let by_name = |program: &str, name: &str| {
            matches(&pattern(program, Parameters::NameOnly), name.as_bytes(), &[])
        };
        assert!(by_name("nginx", "nginx"));
        assert!(by_name("/usr/sbin/nginx", "nginx"));
        assert!(by_name("a_very_long_process", "a_very_long_pro"));
        assert!(!by_name("ngin", "nginx"));
    }

    #[test]
    fn parameters_are_compared_as_param_match_says() {
        let arguments: Vec<&[u8]> = vec![b"/bin/x", b"-c", b"file"];
        let by = |parameters| matches(&pattern("/bin/x", parameters), b"x", &arguments);
        assert!(by(Parameters::Any));
        assert!(by(Parameters::Exactly(words(&["-c", "file"]))));
        assert!(!by(Parameters::Exactly(words(&["-c"]))));
        assert!(!by(Parameters::Exactly(words(&[]))));
        assert!(by(Parameters::First(words(&["-c"]))));
        assert!(!by(Parameters::First(words(&["-c", "fi"]))));
        assert!(by(Parameters::Beginning(words(&["-c", "fi"]))));
        assert!(!by(Parameters::Beginning(words(&["-d", "fi"]))));
        assert!(!matches(&pattern("x", Parameters::Any), b"x", &arguments));
    }

    /// Counts until `wanted` is reached. A second of the time that is told passes with each turn: pauses between scans,
    /// which grow with what a busy machine makes of a scan, cost nothing.
    fn wait_for(processes: &mut Processes, told: &mut MonoTime, wanted: u32) {
        let end = now() + Duration::from_secs(120);
        while processes.count(ProcessId::new(0)) != Some(wanted) {
            assert!(now() < end, "{:?}", processes.count(ProcessId::new(0)));
            *told = *told + PAUSE;
            processes.ready(*told);
            processes.tick(*told);
            std::thread::yield_now();
        }
    }

    fn started(argument: &str) -> Child {
        Command::new("/bin/sleep").arg(argument).spawn().unwrap()
    }

    #[test]
    fn the_queue_of_events_is_what_the_configuration_says() {
        let mut processes = Processes::default();
        let buffer = Buffer { bytes: Some(70_000), forced: true };
        processes.configure(&[pattern("/bin/sleep", Parameters::Any)], buffer, now());
        // The kernel counts twice what it is asked for, its own book-keeping included.
        let size = processes.events.as_ref().map(|events| getsockopt(events, sockopt::RcvBuf).unwrap());
        assert_eq!(size, Some(140_000));
    }

    fn counts_come_and_go(listens: bool) {
        let argument = format!("100{}", std::process::id());
        let mut processes = Processes::default();
        processes.configure(
            &[pattern("/bin/sleep", Parameters::Exactly(vec![argument.clone()]))],
            Buffer::default(),
            MonoTime::default(),
        );
        if !listens {
            processes.events = None;
        }
        let mut told = MonoTime::default();
        let mut wait_for = |wanted| wait_for(&mut processes, &mut told, wanted);
        wait_for(0);
        let (mut first, mut second) = (started(&argument), started(&argument));
        wait_for(2);
        first.kill().unwrap();
        first.wait().unwrap();
        wait_for(1);
        second.kill().unwrap();
        second.wait().unwrap();
        wait_for(0);
    }

    #[test]
    fn processes_are_counted_by_what_the_kernel_tells_or_else_by_scans() {
        counts_come_and_go(true);
    }

    #[test]
    fn processes_are_counted_by_scans_alone() {
        counts_come_and_go(false);
    }
}
