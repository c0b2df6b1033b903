//! What one program did with the cases: told verdicts, scripts, table, and what its servers heard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::STOP;
use super::cases::CASES;
use super::town::{Heard, Town};
use crate::lab::clock::now;
use crate::lab::{Failure, Host};

/// One case, compared as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Lines of the FIFO in their order, by phase.
    pub(super) told: BTreeMap<u8, Vec<String>>,
    /// Arguments of scripts, sorted, by phase: they run side by side.
    pub(super) scripts: BTreeMap<u8, Vec<String>>,
    /// What `ipvsadm -Sn` says at the end of a phase.
    pub(super) table: BTreeMap<u8, Vec<String>>,
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
    tables: BTreeMap<u8, Vec<String>>,
}

impl Witness {
    /// Makes the FIFO that the program writes to.
    pub(super) fn new(host: &Host) -> Result<Self, Failure> {
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
        Ok(Self {
            fifo,
            unread: String::new(),
            told: Vec::new(),
            notes,
            noted: Vec::new(),
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
        self.told.len() + self.notes().len()
    }

    /// Ends a phase: what stands in the table now is its outcome.
    pub(super) fn end_phase(&mut self, phase: u8, host: &Host) -> Result<(), Failure> {
        self.look(phase);
        self.noted.push(self.notes().len());
        let table = host.run("ipvsadm", &["-S", "-n"])?;
        self.tables.insert(phase, table.lines().map(|line| line.trim().to_owned()).collect());
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.notes).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Sorts what was seen by case.
    pub(super) fn report(&self, town: &Town) -> Vec<Seen> {
        let notes = self.notes();
        let mut cases: Vec<Seen> = (0..CASES.len()).map(|_| Seen::default()).collect();
        for (number, seen) in cases.iter_mut().enumerate() {
            let name = CASES.get(number).map_or("", |case| case.name);
            let (service, entry) = (format!("[{}]:tcp:80", vip(number)), format!("{}:80", vip(number)));
            for (phase, _, line) in self.told.iter().filter(|(.., line)| line.contains(&service)) {
                seen.told.entry(*phase).or_default().push(line.clone());
            }
            for (at, line) in notes.iter().enumerate() {
                let phase = self.noted.iter().filter(|noted| at >= **noted).count();
                if let (Some(rest), Ok(phase)) =
                    (line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')), u8::try_from(phase))
                {
                    seen.scripts.entry(phase).or_default().push(rest.to_owned());
                }
            }
            seen.scripts.values_mut().for_each(|lines| lines.sort());
            for (phase, table) in &self.tables {
                let mut lines: Vec<String> =
                    table.iter().filter(|line| line.split(' ').any(|word| word == entry)).cloned().collect();
                lines.sort();
                seen.table.insert(*phase, lines);
            }
            town.heard(|heard| {
                let own = |question: &&Heard| question.server == Some(server('A', number));
                seen.asked = heard.iter().filter(own).map(|question| question.text.clone()).collect();
                for phase in (0..STOP).filter(|_| PACED.contains(&name)) {
                    let verdict =
                        self.told.iter().find(|(of, _, line)| *of == phase && line.contains(&service));
                    let Some((_, at, _)) = verdict else { continue };
                    let before = |question: &&Heard| question.phase == phase && question.at <= *at;
                    let times: Vec<Instant> =
                        heard.iter().filter(own).filter(before).map(|question| question.at).collect();
                    let gaps = times.iter().zip(times.iter().skip(1));
                    let steps = gaps.map(|(one, next)| (*next - *one).as_secs_f64() / STEP.as_secs_f64());
                    seen.pace.insert(phase, steps.map(|steps| format!("{steps:.0}")).collect());
                }
            });
        }
        cases
    }
}

/// Address of a case's virtual server.
pub(super) fn vip(number: usize) -> String {
    format!("10.98.0.{}", number + 1)
}

/// Address of a case's server.
pub(super) fn server(letter: char, number: usize) -> std::net::IpAddr {
    let third = u8::try_from(u32::from(letter) - u32::from('A')).unwrap_or(0);
    std::net::IpAddr::from([10, 99, third, u8::try_from(number + 1).unwrap_or(0)])
}

/// The cases whose retries are timed, in steps of this length: half of one is what a busy machine may be late.
const PACED: &[&str] = &["http-retry", "retry-of-outer-blocks"];
const STEP: Duration = Duration::from_secs(2);
