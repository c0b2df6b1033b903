//! Log lines that somebody else can trigger: so many in so long, the rest counted.
//!
//! Pure. Called by [`crate::keeper`].

use std::time::Duration;

use config::model::units::MonoTime;

/// Limit on lines of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limited {
    since: MonoTime,
    told: u32,
    suppressed: u64,
}

impl Limited {
    /// Gives the line back if it may be logged, with the number of those that were suppressed before it.
    pub fn pass(&mut self, line: String, now: MonoTime) -> Option<String> {
        if now.since(self.since) >= WINDOW {
            self.since = now;
            self.told = 0;
        }
        if self.told >= BURST {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.told = self.told.saturating_add(1);
        match std::mem::take(&mut self.suppressed) {
            0 => Some(line),
            count => Some(format!("{line} suppressed={count}")),
        }
    }
}

const WINDOW: Duration = Duration::from_secs(5);
const BURST: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_twenty_lines_in_five_seconds_eight_pass_and_twelve_are_counted() {
        let mut limited = Limited::default();
        let start = MonoTime::from_nanos(60_000_000_000);
        let passed = (0..20).filter_map(|_| limited.pass("x".into(), start)).count();
        assert_eq!(passed, 8);
        assert_eq!(limited.pass("x".into(), start + Duration::from_millis(4_999)), None);
        let later = limited.pass("x".into(), start + Duration::from_secs(5));
        assert_eq!(later.as_deref(), Some("x suppressed=13"));
    }
}
