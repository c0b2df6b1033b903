//! How often a line that a packet can trigger may be logged.
//!
//! Decides whether a line goes out and how many were kept back; writes nothing. One [`Reasons`] per instance, one
//! [`Budget`] per process. Input is a count of hostile events.

use std::time::Duration;

use config::model::units::MonoTime;

/// Pause between two lines for the same reason of the same instance.
pub const PAUSE: Duration = Duration::from_secs(60);

/// Lines that packets may cause in one [`BUDGET_WINDOW`], over all instances and reasons.
pub const BUDGET_LINES: u32 = 10;
/// Window of the budget.
pub const BUDGET_WINDOW: Duration = Duration::from_secs(5);

/// Lines that packets may still cause in the process.
#[derive(Debug, Default)]
pub struct Budget {
    window_ends: MonoTime,
    left: u32,
}

impl Budget {
    /// Whether a line that a packet causes may go out, whatever its reason.
    pub fn take(&mut self, now: MonoTime) -> bool {
        if now >= self.window_ends {
            self.window_ends = now + BUDGET_WINDOW;
            self.left = BUDGET_LINES;
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

/// Lines of one instance by reason.
#[derive(Debug)]
pub struct Reasons<const N: usize>([Reason; N]);

#[derive(Debug, Clone, Copy, Default)]
struct Reason {
    silent_until: MonoTime,
    suppressed: u64,
}

impl<const N: usize> Default for Reasons<N> {
    fn default() -> Self {
        Self([Reason::default(); N])
    }
}

impl<const N: usize> Reasons<N> {
    /// Whether a line for `reason` may go out now: `Some` with the number of lines kept back since the last one.
    pub fn allow(&mut self, reason: usize, now: MonoTime, budget: &mut Budget) -> Option<u64> {
        let reason = self.0.get_mut(reason)?;
        if now < reason.silent_until || !budget.take(now) {
            reason.suppressed = reason.suppressed.saturating_add(1);
            return None;
        }
        reason.silent_until = now + PAUSE;
        Some(std::mem::take(&mut reason.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_reason_speaks_once_a_minute_and_says_how_often_it_was_silenced() {
        let (mut reasons, mut budget) = (Reasons::<2>::default(), Budget::default());
        assert_eq!(reasons.allow(0, at(100), &mut budget), Some(0));
        assert_eq!(reasons.allow(0, at(101), &mut budget), None);
        assert_eq!(reasons.allow(0, at(159), &mut budget), None);
        assert_eq!(reasons.allow(1, at(159), &mut budget), Some(0));
        assert_eq!(reasons.allow(0, at(160), &mut budget), Some(2));
    }

    #[test]
    fn a_flood_over_a_thousand_instances_makes_ten_lines_in_five_seconds() {
        let mut budget = Budget::default();
        let lines =
            (0..1000).filter(|_| Reasons::<1>::default().allow(0, at(50), &mut budget).is_some()).count();
        assert_eq!(lines, 10);
        assert_eq!(Reasons::<1>::default().allow(0, at(54), &mut budget), None);
        assert_eq!(Reasons::<1>::default().allow(0, at(55), &mut budget), Some(0));
    }
}
