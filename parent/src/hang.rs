//! Decides whether a daemon hangs, without mistaking a starved machine for a hung daemon.
//!
//! Pure. A daemon hangs when it made no progress for its limit *while the parent's own loop ran on time*: a machine
//! that runs nobody is no reason to kill.

use std::time::Duration;

use config::model::units::MonoTime;

/// Least time without progress that counts as a hang of a daemon which is Master of something.
pub const FLOOR: Duration = Duration::from_millis(100);
/// Time without progress that counts as a hang of every other daemon.
pub const OTHERS: Duration = Duration::from_secs(5);

/// Watch over one process.
#[derive(Debug, Clone, Copy)]
pub struct HangWatch {
    on_time_since: MonoTime,
    next: MonoTime,
    progress: MonoTime,
}

/// A third of the shortest patience of any Master, at least [`FLOOR`]; [`OTHERS`] without a Master.
#[must_use]
pub fn limit(shortest_patience: Option<Duration>) -> Duration {
    shortest_patience.map_or(OTHERS, |patience| (patience / 3).max(FLOOR).min(OTHERS))
}

impl HangWatch {
    /// A process that was just committed.
    #[must_use]
    pub fn new(now: MonoTime) -> Self {
        Self { on_time_since: now, next: now, progress: now }
    }

    /// The process made progress at `at`.
    pub fn progress(&mut self, at: MonoTime) {
        self.progress = self.progress.max(at);
    }

    /// When [`Self::check`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> MonoTime {
        self.next
    }

    /// The limit may have become shorter since the last check: a Backup that became Master is watched at once.
    pub fn tighten(&mut self, limit: Duration, now: MonoTime) {
        self.next = self.next.min(now + limit / 4);
    }

    /// True when the process hangs. A call that comes late proves that this process was starved too, and starts
    /// the watch anew.
    pub fn check(&mut self, limit: Duration, now: MonoTime) -> bool {
        let step = limit / 4;
        if now.since(self.next) > step {
            self.on_time_since = now;
        }
        self.next = now + step;
        now.since(self.progress.max(self.on_time_since)) > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    const LIMIT: Duration = Duration::from_millis(100);

    #[test]
    fn the_limit_is_a_third_of_the_patience_but_100_ms_at_least() {
        assert_eq!(limit(Some(Duration::from_secs(3))), Duration::from_secs(1));
        assert_eq!(limit(Some(Duration::from_millis(30))), Duration::from_millis(100));
        assert_eq!(limit(None), Duration::from_secs(5));
    }

    #[test]
    fn no_progress_for_the_limit_is_a_hang() {
        let mut watch = HangWatch::new(at(0));
        for ms in [0, 25, 50, 75, 100] {
            assert!(!watch.check(LIMIT, at(ms)), "{ms}");
        }
        assert!(watch.check(LIMIT, at(125)));
    }

    #[test]
    fn a_shorter_limit_counts_from_now_on() {
        let mut watch = HangWatch::new(at(0));
        assert!(!watch.check(OTHERS, at(0)));
        watch.tighten(LIMIT, at(40));
        assert_eq!(watch.deadline(), at(65));
        watch.tighten(OTHERS, at(50));
        assert_eq!(watch.deadline(), at(65));
    }

    #[test]
    fn progress_keeps_it_alive() {
        let mut watch = HangWatch::new(at(0));
        for ms in (0..1_000).step_by(25) {
            watch.progress(at(ms));
            assert!(!watch.check(LIMIT, at(ms)), "{ms}");
        }
    }

    #[test]
    fn a_parent_that_was_starved_itself_kills_nobody() {
        let mut watch = HangWatch::new(at(0));
        assert!(!watch.check(LIMIT, at(0)));
        assert!(!watch.check(LIMIT, at(5_000)), "woke up late: the daemon had no chance either");
        assert!(!watch.check(LIMIT, at(5_025)));
        assert!(!watch.check(LIMIT, at(5_050)));
        assert!(!watch.check(LIMIT, at(5_075)));
        assert!(!watch.check(LIMIT, at(5_100)));
        assert!(watch.check(LIMIT, at(5_125)));
    }
}
