//! What the config worker found: text for people, warnings for the log, and complaints.
//!
//! Pure. A complaint is of a value that keepalived starts without. A start goes on with them, as keepalived does, since
//! refusing would leave nothing that serves; a reload brings none that were not there before. The worker quotes an
//! operator's files and is not trusted: all texts are bounded, and control characters become blanks.

use std::collections::BTreeMap;
use std::fmt;

use ipc::messages::worker::{Finding, FindingKind};

use crate::plain::plain;

/// An error that did not refuse the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    file: String,
    line: u32,
    message: String,
}

impl fmt::Display for Complaint {
    /// As keepalived tells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}: Line {}) {}", self.file, self.line, self.message)
    }
}

/// What people are told of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything, with excerpts and advice.
    pub text: String,
    /// One line for each of the first warnings that have a place.
    pub warnings: Vec<String>,
}

/// Collects findings in their order, as many as there is room for.
#[derive(Debug, Default)]
pub struct Findings {
    report: Report,
    complaints: Vec<Complaint>,
    count: usize,
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, finding: &Finding) {
        self.count = self.count.saturating_add(1);
        self.add_text(&finding.heading);
        finding.details.lines().for_each(|line| self.add_text(line));
        let Some(place) = &finding.place else { return };
        if finding.kind != FindingKind::Error && self.report.warnings.len() < WARNINGS {
            self.report.warnings.push(plain(&finding.heading, LONGEST));
        }
        if finding.kind == FindingKind::PassedOver && self.complaints.len() < COMPLAINTS {
            let (file, message) = (plain(&place.file, LONGEST), plain(&finding.words, LONGEST));
            self.complaints.push(Complaint { file, line: place.line, message });
        }
    }

    /// There is no room for more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count >= COUNT || self.report.text.len() >= TEXT
    }

    /// All that was collected.
    #[must_use]
    pub fn finish(self) -> (Report, Vec<Complaint>) {
        (self.report, self.complaints)
    }

    fn add_text(&mut self, line: &str) {
        let room = TEXT.saturating_sub(self.report.text.len());
        if room > 0 {
            self.report.text.push_str(&plain(line, LONGEST.min(room)));
            self.report.text.push('\n');
        }
    }
}

/// Those that are not among the known ones, wherever these stand.
#[must_use]
pub fn unheard<'c>(complaints: &'c [Complaint], known: &[Complaint]) -> Vec<&'c Complaint> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for complaint in known {
        let count = counts.entry(&complaint.message).or_default();
        *count = count.saturating_add(1);
    }
    let mut unheard = Vec::new();
    for complaint in complaints {
        match counts.get_mut(complaint.message.as_str()) {
            Some(left) if *left > 0 => *left = left.saturating_sub(1),
            Some(_) | None => unheard.push(complaint),
        }
    }
    unheard
}

/// Most bytes of text that are shown, but for the last line break.
const TEXT: usize = 1024 * 1024;
/// Most bytes of one line: more than a line of a configuration and what is said of it.
const LONGEST: usize = 32 * 1024;
/// Most findings that are taken: more than are made of errors and warnings together.
const COUNT: usize = 2000;
/// Most complaints that are kept.
const COMPLAINTS: usize = 500;
/// Most warnings that are logged.
const WARNINGS: usize = 50;

#[cfg(test)]
mod tests {
    use ipc::messages::worker::FindingPlace;

    use super::*;

    fn finding(kind: FindingKind, file: &str, line: u32, words: &str) -> Finding {
        let place = (line > 0).then(|| FindingPlace { file: file.to_owned(), line });
        Finding {
            kind,
            place,
            words: words.to_owned(),
            heading: format!("{line}: {words}"),
            details: String::new(),
        }
    }

    fn complaints(lines: &[(&str, u32, &str)]) -> Vec<Complaint> {
        let mut findings = Findings::default();
        for (file, line, words) in lines {
            findings.add(&finding(FindingKind::PassedOver, file, *line, words));
        }
        findings.finish().1
    }

    fn told<'c>(complaints: impl IntoIterator<Item = &'c Complaint>) -> Vec<String> {
        complaints.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn errors_that_did_not_refuse_are_complained_of_and_remarks_are_not() {
        let mut findings = Findings::default();
        findings.add(&finding(
            FindingKind::PassedOver,
            "/etc/k:d.conf",
            3,
            "Invalid lvs_scheduler 'RR' - ignoring",
        ));
        findings.add(&finding(FindingKind::Warning, "/etc/k.conf", 4, "no scheduler set"));
        findings.add(&finding(FindingKind::Error, "/etc/k.conf", 5, "Unknown keyword 'x'"));
        findings.add(&finding(FindingKind::Warning, "", 0, "9 more of this severity are not shown"));
        let (said, complaints) = findings.finish();
        assert_eq!(told(&complaints), ["(/etc/k:d.conf: Line 3) Invalid lvs_scheduler 'RR' - ignoring"]);
        assert_eq!(said.warnings, ["3: Invalid lvs_scheduler 'RR' - ignoring", "4: no scheduler set"]);
        assert_eq!(
            said.text,
            "3: Invalid lvs_scheduler 'RR' - ignoring\n4: no scheduler set\n5: Unknown keyword 'x'\n\
             0: 9 more of this severity are not shown\n"
        );
    }

    #[test]
    fn what_stands_elsewhere_is_known_and_one_more_of_it_is_not() {
        let known = complaints(&[("/k", 3, "priority")]);
        assert_eq!(told(unheard(&complaints(&[("/other", 9, "priority")]), &known)), [""; 0]);
        let twice = complaints(&[("/k", 3, "priority"), ("/k", 8, "priority")]);
        assert_eq!(told(unheard(&twice, &known)), ["(/k: Line 8) priority"]);
        assert_eq!(told(unheard(&complaints(&[("/k", 3, "weight")]), &known)), ["(/k: Line 3) weight"]);
        assert_eq!(told(unheard(&[], &known)), [""; 0]);
    }

    #[test]
    fn a_worker_gone_bad_fills_no_memory_and_drives_no_terminal() {
        let mut findings = Findings::default();
        let mut bad = finding(FindingKind::PassedOver, "a\nb", 1, &format!("\x1b{}", "x".repeat(40_000)));
        bad.details = "\x1b[2J\nsecond\n".to_owned();
        while !findings.is_full() {
            findings.add(&bad);
        }
        let (said, complaints) = findings.finish();
        assert_eq!(said.text.len(), 1024 * 1024 + 1);
        assert!(said.text.contains("\n [2J\nsecond\n1:  xxx") && !said.text.contains('\x1b'));
        let first = complaints.first().map(ToString::to_string).unwrap_or_default();
        assert!(first.starts_with("(a b: Line 1)  xxx"), "{}", &first[..40]);
        assert_eq!(first.len(), "(a b: Line 1) ".len() + 32 * 1024);
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let mut findings = Findings::default();
        let short = finding(FindingKind::PassedOver, "/k", 1, "x");
        let taken = std::iter::from_fn(|| (!findings.is_full()).then(|| findings.add(&short))).count();
        let (said, complaints) = findings.finish();
        assert_eq!((taken, complaints.len(), said.warnings.len()), (2000, 500, 50));
    }
}
