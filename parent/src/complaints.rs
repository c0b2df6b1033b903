//! What the config worker passed over: values that keepalived starts without, and complains of.
//!
//! Pure. A start goes on with them, as keepalived does, since refusing would leave nothing that serves; a reload brings
//! none that were not there before. The worker's text is read, which quotes an operator's files.

use std::collections::BTreeMap;
use std::fmt;

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

/// Most complaints that are kept.
const KEPT: usize = 500;

/// Errors that were told as warnings in this text, without what is only a remark.
#[must_use]
pub fn passed_over(text: &str) -> Vec<Complaint> {
    let complaint = |line: &str| {
        let (place, said) = line.split_once(": warning[E")?;
        let (_code, message) = said.split_once("]: ")?;
        let mut parts = place.rsplitn(3, ':');
        let (_column, line, file) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Complaint { file: file.to_owned(), line, message: message.to_owned() })
    };
    text.lines().filter_map(complaint).take(KEPT).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(complaints: &[&Complaint]) -> Vec<String> {
        complaints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn errors_that_did_not_refuse_are_told_and_remarks_are_not() {
        let text = "/etc/k:d.conf:3:10: warning[E0205]: Invalid lvs_scheduler 'RR' - ignoring\n  3 | lb_algo RR\n    \
                    |         ^^  help: did you mean rr?\n    = ignored, as keepalived does\n\
                    /etc/k.conf:4:1: warning[W0603]: no scheduler set\n\
                    /etc/k.conf:5:1: error[E0101]: Unknown keyword 'x'\n";
        let complaints = passed_over(text);
        assert_eq!(
            told(&complaints.iter().collect::<Vec<_>>()),
            ["(/etc/k:d.conf: Line 3) Invalid lvs_scheduler 'RR' - ignoring"]
        );
    }

    #[test]
    fn what_stands_elsewhere_is_known_and_one_more_of_it_is_not() {
        let known = passed_over("/k:3:1: warning[E0203]: priority\n");
        assert_eq!(told(&unheard(&passed_over("/other:9:1: warning[E0203]: priority\n"), &known)), [""; 0]);
        let twice = passed_over("/k:3:1: warning[E0203]: priority\n/k:8:1: warning[E0203]: priority\n");
        assert_eq!(told(&unheard(&twice, &known)), ["(/k: Line 8) priority"]);
        let other = passed_over("/k:3:1: warning[E0203]: weight\n");
        assert_eq!(told(&unheard(&other, &known)), ["(/k: Line 3) weight"]);
        assert_eq!(told(&unheard(&[], &known)), [""; 0]);
    }
}
