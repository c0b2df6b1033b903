//! Which system calls a confined process makes, beside those that its profile allows.
//!
//! A suite runs under strace, which writes one file per process with the number of each call and its arguments as the
//! kernel gets them. Counted is what follows the installation of the last filter. A [`Ledger`] says of each call of a
//! profile, and of each alternative of its arguments, which scenario shows that it is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sandbox::profile::{Compare, QUIETLY_REFUSED, Rule, Test};

use crate::lab::Failure;

/// A rule of a profile and, counted from 1, which alternative of it: 0 where arguments don't matter.
pub type Entry = (i64, usize);

/// What stands before a program so that its calls, and those of what it starts, are written to files `FOLDER/call.PID`.
#[must_use]
pub fn tracer(folder: &Path) -> Vec<String> {
    let prefix = folder.join("call").display().to_string();
    // -D: the program is the laboratory's own child, and strace watches from aside.
    ["strace", "-D", "-ff", "-n", "-qq", "-s", "256", "-e", "signal=none", "-e", "raw=!execve", "-o", &prefix]
        .map(str::to_owned)
        .to_vec()
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    number: i64,
    name: String,
    arguments: Vec<u64>,
}

/// What one process did while confined.
#[derive(Debug)]
pub struct Trace {
    pid: u32,
    calls: Vec<Call>,
}

/// The traces of every process that ran this program (`checkd`) and confined itself.
pub fn traces(folder: &Path, program: &str) -> Result<Vec<Trace>, Failure> {
    let failed = |cause| Failure::instrument("reading what strace wrote", cause);
    let mut traces = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let text = fs::read_to_string(&path).map_err(failed)?;
        let pid = path.extension().and_then(|end| end.to_str()?.parse().ok());
        let started = format!("/{program}\", [");
        let Some((_, run)) = text.split_once(&started) else { continue };
        let mut confined: Option<Vec<Call>> = None;
        for call in run.lines().filter_map(parse) {
            match &mut confined {
                _ if call.name == "seccomp" => confined = Some(Vec::new()),
                Some(calls) => calls.push(call),
                None => {}
            }
        }
        if let (Some(pid), Some(calls)) = (pid, confined) {
            traces.push(Trace { pid, calls });
        }
    }
    Ok(traces)
}

/// `[ 41] socket(0x2, 0x80801, 0x6) = 0x9`
fn parse(line: &str) -> Option<Call> {
    let (number, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (name, rest) = rest.split_once('(')?;
    let arguments = rest.split_once(')').map_or(rest, |(arguments, _)| arguments);
    let arguments = arguments.split(", ").filter_map(|word| match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    });
    Some(Call { number: number.trim().parse().ok()?, name: name.to_owned(), arguments: arguments.collect() })
}

/// What traces show of a profile.
#[derive(Debug, Default)]
pub struct Shown {
    /// What was used of it.
    pub used: BTreeSet<Entry>,
    /// Calls that it doesn't allow, in words.
    pub outside: BTreeSet<String>,
}

/// Sorts the calls of traces by the rules that allow them.
#[must_use]
pub fn sort(traces: &[Trace], rules: &[&Rule]) -> Shown {
    let mut shown = Shown::default();
    for trace in traces {
        for call in &trace.calls {
            let allowed: Vec<Entry> = rules
                .iter()
                .filter(|rule| rule.call == call.number)
                .flat_map(|rule| matches(rule, call, trace.pid))
                .collect();
            let quiet = QUIETLY_REFUSED.iter().any(|rule| rule.call == call.number);
            if allowed.is_empty() && !quiet {
                shown.outside.insert(format!("{} ({}) {:x?}", call.name, call.number, call.arguments));
            }
            shown.used.extend(allowed);
        }
    }
    shown
}

fn matches(rule: &Rule, call: &Call, pid: u32) -> Vec<Entry> {
    if rule.alternatives.is_empty() {
        return vec![(rule.call, 0)];
    }
    let holds = |tests: &[Test]| tests.iter().all(|test| passes(test, call, pid));
    let places = (1..).zip(rule.alternatives).filter(|(_, tests)| holds(tests));
    places.map(|(place, _)| (rule.call, place)).collect()
}

/// The kernel compares the low half of an argument, and so does this.
fn passes(test: &Test, call: &Call, pid: u32) -> bool {
    let argument = call.arguments.get(usize::from(test.argument)).copied().unwrap_or(0);
    let value = u32::try_from(argument & u64::from(u32::MAX)).unwrap_or(0);
    match test.compare {
        Compare::Is(wanted) => value == wanted,
        Compare::IsNot(unwanted) => value != unwanted,
        Compare::Below(bound) => value < bound,
        Compare::Masked { mask, value: wanted } => value & mask == wanted,
        Compare::OwnPid => value == pid,
    }
}

/// Every entry of a list of rules.
#[must_use]
pub fn entries(rules: &[&Rule]) -> BTreeSet<Entry> {
    let places = |rule: &Rule| match rule.alternatives.len() {
        0 => 0..=0,
        count => 1..=count,
    };
    rules.iter().flat_map(|rule| places(rule).map(|place| (rule.call, place))).collect()
}

/// A table `number, name, alternative, scenario, what for`, separated by tabs; lines that begin with `#` are comments.
/// The scenario [`ELSEWHERE`] is for what not every machine or build does.
#[derive(Debug)]
pub struct Ledger<'a> {
    rows: BTreeMap<Entry, (&'a str, &'a str)>,
    faults: Vec<String>,
}

/// Scenario of calls that only other builds or machines make: their C library, processor or kernel.
pub const ELSEWHERE: &str = "elsewhere";

impl<'a> Ledger<'a> {
    /// Reads a table.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let mut ledger = Self { rows: BTreeMap::new(), faults: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [number, name, alternative, scenario, what] = columns[..] else {
                ledger.faults.push(format!("not five columns: {line}"));
                continue;
            };
            let place = if alternative == "-" { Ok(0) } else { alternative.parse() };
            match (number.parse(), place, what.is_empty()) {
                (Ok(number), Ok(place), false) => {
                    if ledger.rows.insert((number, place), (name, scenario)).is_some() {
                        ledger.faults.push(format!("twice: {line}"));
                    }
                }
                (_, _, _) => ledger.faults.push(format!("unreadable: {line}")),
            }
        }
        ledger
    }

    /// What is wrong between the table, the rules of a profile and what scenarios showed; empty when all agree.
    #[must_use]
    pub fn complaints(&self, rules: &[&Rule], shown: &BTreeMap<&str, Shown>) -> Vec<String> {
        let mut complaints = self.faults.clone();
        let allowed = entries(rules);
        for entry in &allowed {
            if !self.rows.contains_key(entry) {
                complaints
                    .push(format!("call {} alternative {}: no row says what shows it", entry.0, entry.1));
            }
        }
        for (entry, (name, scenario)) in &self.rows {
            let what = format!("{name} alternative {}", entry.1);
            let seen_in: Vec<&str> =
                shown.iter().filter(|(_, shown)| shown.used.contains(entry)).map(|(name, _)| *name).collect();
            match (allowed.contains(entry), *scenario, shown.get(scenario)) {
                (false, _, _) => complaints.push(format!("{what}: the profile doesn't list it")),
                (true, ELSEWHERE, _) => {}
                (true, _, None) => complaints.push(format!("{what}: there is no scenario {scenario}")),
                (true, _, Some(shown)) if !shown.used.contains(entry) => {
                    complaints.push(format!("{what}: not seen in {scenario}, but in {seen_in:?}"));
                }
                (true, _, Some(_)) => {}
            }
        }
        for (scenario, shown) in shown {
            complaints
                .extend(shown.outside.iter().map(|call| format!("{scenario}: {call} is not in the profile")));
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use sandbox::profile::{CHECKD, Calls};

    use super::*;

    fn checkd() -> Vec<&'static Rule> {
        let Calls::Listed(lists) = CHECKD.calls else { panic!("checkd has a list") };
        lists.iter().copied().flatten().collect()
    }

    fn trace(lines: &str) -> Trace {
        Trace { pid: 77, calls: lines.lines().filter_map(parse).collect() }
    }

    #[test]
    fn a_call_is_sorted_by_number_and_arguments() {
        let trace = trace("[  41] socket(0x2, 0x80801, 0x6) = 0x9\n[   3] close(0x9) = 0\n");
        let shown = sort(&[trace], &checkd());
        assert!(shown.outside.is_empty(), "{:?}", shown.outside);
        assert_eq!(shown.used.len(), 2);
        assert!(shown.used.contains(&(3, 0)));
    }

    #[test]
    fn a_listed_call_with_other_arguments_is_outside() {
        let shown = sort(&[trace("[  41] socket(0x10, 0x80803, 0x10) = 0x9\n")], &checkd());
        assert_eq!(shown.outside.iter().collect::<Vec<_>>(), ["socket (41) [10, 80803, 10]"]);
    }

    #[test]
    fn a_ledger_misses_what_no_scenario_showed() {
        let rules = checkd();
        let mut shown = BTreeMap::new();
        shown.insert("start", sort(&[trace("[   3] close(0x9) = 0\n")], &rules));
        let close: Vec<&Rule> = rules.into_iter().filter(|rule| rule.call == 3).collect();
        let complaints = |text: &str| Ledger::read(text).complaints(&close, &shown).len();
        assert_eq!(complaints("3\tclose\t-\tstart\tdescriptors"), 0);
        assert_eq!(complaints("3\tclose\t-\tstop\tdescriptors"), 1);
        assert_eq!(complaints("3\tclose\t-\telsewhere\tdescriptors"), 0);
        assert_eq!(complaints("# nothing"), 1);
    }
}
