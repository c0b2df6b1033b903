//! How often a line that a packet can trigger may be logged.
//!
//! Decides whether a line goes out and how many were kept back; writes nothing. One [`Reasons`] and one [`Budget`] for
//! changes of state per instance, one [`Budget`] for everything else per process: fewer than 20 lines in 5 s per
//! attacked instance. Input is a count of hostile events.

use std::time::Duration;

use config::model::units::MonoTime;

/// Pause between two lines for the same reason of the same instance.
pub const PAUSE: Duration = Duration::from_secs(60);

/// Lines that packets may cause in one [`WINDOW`] beside changes of state, over all instances and reasons.
pub const LINES_PER_PROCESS: u32 = 10;
/// Lines about changes of state in one [`WINDOW`] and instance.
pub const LINES_PER_INSTANCE: u32 = 9;
/// Window of a budget.
pub const WINDOW: Duration = Duration::from_secs(5);

/// Lines that may still go out in the present window.
#[derive(Debug)]
pub struct Budget {
    lines: u32,
    window_ends: MonoTime,
    left: u32,
    suppressed: u64,
}

impl Budget {
    /// So many lines in each [`WINDOW`].
    #[must_use]
    pub fn of(lines: u32) -> Self {
        Self { lines, window_ends: MonoTime::default(), left: 0, suppressed: 0 }
    }

    /// Whether a line may go out now: `Some` with the number of lines kept back since the last one.
    pub fn allow(&mut self, now: MonoTime) -> Option<u64> {
        if now >= self.window_ends {
            self.window_ends = now + WINDOW;
            self.left = self.lines;
        }
        if self.left == 0 {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }

    /// When a line that was kept back may go out.
    #[must_use]
    pub fn reopens(&self) -> MonoTime {
        self.window_ends
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
        if now < reason.silent_until || budget.allow(now).is_none() {
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
        let (mut reasons, mut budget) = (Reasons::<2>::default(), Budget::of(10));
        assert_eq!(reasons.allow(0, at(100), &mut budget), Some(0));
        assert_eq!(reasons.allow(0, at(101), &mut budget), None);
        assert_eq!(reasons.allow(0, at(159), &mut budget), None);
        assert_eq!(reasons.allow(1, at(159), &mut budget), Some(0));
        assert_eq!(reasons.allow(0, at(160), &mut budget), Some(2));
    }

    #[test]
    fn a_flood_over_a_thousand_instances_makes_ten_lines_in_five_seconds() {
        let mut budget = Budget::of(10);
        let lines =
            (0..1000).filter(|_| Reasons::<1>::default().allow(0, at(50), &mut budget).is_some()).count();
        assert_eq!(lines, 10);
        assert_eq!(Reasons::<1>::default().allow(0, at(54), &mut budget), None);
        assert_eq!(Reasons::<1>::default().allow(0, at(55), &mut budget), Some(0));
    }

    #[test]
    fn a_flapping_instance_says_how_many_lines_it_kept_back() {
        let mut budget = Budget::of(2);
        let lines: Vec<_> = (0..5).map(|_| budget.allow(at(50))).collect();
        assert_eq!(lines, [Some(0), Some(0), None, None, None]);
        assert_eq!(budget.reopens(), at(55));
        assert_eq!(budget.allow(at(55)), Some(3));
    }
}
