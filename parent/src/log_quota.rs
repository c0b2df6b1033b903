//! How many lines a daemon may have logged: a captured one must not fill the disk or hide what others say.
//!
//! Pure: the time is an argument. A quota belongs to a kind of daemon and outlives its processes, so that dying and
//! coming back refills nothing. [`BURST`] leaves room for a start with thousands of servers, one line each.

use std::time::Duration;

use config::model::units::MonoTime;

/// Lines that may come at once.
pub const BURST: u32 = 20_000;

/// Lines a second in the long run.
pub const RATE: u32 = 400;

/// Least time between two lines about suppressed ones.
pub const NOTICE: Duration = Duration::from_secs(10);

/// Time in which one line is earned.
const PER_LINE: Duration = Duration::from_micros(1_000_000 / 400);

/// What one daemon may still say.
#[derive(Debug)]
pub struct Quota {
    left: u32,
    counted_to: MonoTime,
    suppressed: u64,
    quiet_until: Option<MonoTime>,
}

impl Quota {
    /// A full one.
    #[must_use]
    pub fn new(now: MonoTime) -> Self {
        Self { left: BURST, counted_to: now, suppressed: 0, quiet_until: None }
    }

    /// True when a line may be written; otherwise it is counted.
    pub fn admits(&mut self, now: MonoTime) -> bool {
        let earned = now.since(self.counted_to).as_micros() / PER_LINE.as_micros();
        let earned = u32::try_from(earned).unwrap_or(BURST).min(BURST);
        self.left = self.left.saturating_add(earned).min(BURST);
        self.counted_to = if self.left == BURST { now } else { self.counted_to + PER_LINE * earned };
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.suppressed = self.suppressed.saturating_add(1);
                false
            }
        }
    }

    /// How many lines were suppressed since this was last told, every [`NOTICE`] at most.
    pub fn notice(&mut self, now: MonoTime) -> Option<u64> {
        if self.suppressed == 0 || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + NOTICE);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_flood_is_cut_at_the_burst_and_then_at_400_lines_a_second() {
        let mut quota = Quota::new(at(0));
        assert_eq!((0..100_000).filter(|_| quota.admits(at(0))).count(), 20_000);
        let second = (1..=1_000).flat_map(|ms| [ms; 50]).filter(|ms| quota.admits(at(*ms))).count();
        assert_eq!(second, 400);
    }

    #[test]
    fn a_flood_is_told_at_once_and_then_every_ten_seconds_with_its_number() {
        let mut quota = Quota::new(at(0));
        assert_eq!((0..20_000).filter(|_| quota.admits(at(0))).count(), 20_000);
        assert_eq!(quota.notice(at(0)), None);
        let mut told = Vec::new();
        for ms in 1..=15_000 {
            for _ in 0..10 {
                quota.admits(at(ms));
            }
            told.extend(quota.notice(at(ms)));
        }
        // Ten lines a millisecond, less the four tenths of one that are earned in it.
        assert_eq!(told, [10, 96_000]);
    }

    #[test]
    fn a_quiet_hour_earns_no_more_than_one_burst() {
        let mut quota = Quota::new(at(0));
        assert_eq!((0..50_000).filter(|_| quota.admits(at(3_600_000))).count(), 20_000);
    }
}
