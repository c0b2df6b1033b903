//! Decides whether a daemon hangs, without mistaking a starved machine for a hung daemon.
//!
//! Pure. A daemon hangs when it made no progress for its limit *while the parent's own loop ran on time*, and while
//! it could have run itself: a machine that runs nobody, or everybody else, is no reason to kill.

use std::time::Duration;

use config::model::units::MonoTime;

/// Least time without progress that counts as a hang of a daemon which is Master of something.
pub const FLOOR: Duration = Duration::from_millis(100);
/// Time without progress that counts as a hang of every other daemon.
pub const OTHERS: Duration = Duration::from_secs(5);

/// Processor time that a daemon may use without progress and still count as starved: a turn of its loop takes less.
pub const MOST_RAN: Duration = Duration::from_millis(10);

/// What the scheduler has done with a process so far (the first two fields of /proc/PID/schedstat), and what the
/// machine beneath this one has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduled {
    /// Time on a processor. What was stolen meanwhile may count as such.
    pub ran: Duration,
    /// Time that it was ready to run and another one ran. The wait that it is in now is not in it: the kernel counts
    /// a wait when it has ended.
    pub waited: Duration,
    /// It is ready to run, or runs.
    pub ready: bool,
    /// The processor that it is on.
    pub processor: u32,
    /// Time that a hypervisor has stolen from that processor.
    pub stolen: Duration,
}

/// Watch over one process.
#[derive(Debug, Clone, Copy)]
pub struct HangWatch {
    on_time_since: MonoTime,
    next: MonoTime,
    progress: MonoTime,
    doubt: Option<(MonoTime, Scheduled)>,
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
        Self { on_time_since: now, next: now, progress: now, doubt: None }
    }

    /// The process made progress at `at`.
    pub fn progress(&mut self, at: MonoTime) {
        if at > self.progress {
            self.progress = at;
            self.doubt = None;
        }
    }

    /// True when half of the limit has passed without progress: [`Self::note`] wants to know how it was scheduled.
    /// Whoever asks also wakes the process: one that sleeps because its timer is late runs, or becomes ready.
    #[must_use]
    pub fn doubts(&self, limit: Duration, now: MonoTime) -> bool {
        self.doubt.is_none() && now.since(self.progress) > limit / 2
    }

    /// How the process had been scheduled when doubt arose.
    pub fn note(&mut self, scheduled: Scheduled, now: MonoTime) {
        self.doubt = Some((now, scheduled));
    }

    /// True when the process can't be blamed: since doubt arose it has not had a processor for longer than a turn takes,
    /// and it wants one now, or has waited for one most of the time, be it that another process had it or another
    /// machine. Asked after [`Self::check`]; the watch begins anew.
    pub fn was_starved(&mut self, scheduled: Scheduled, now: MonoTime) -> bool {
        let Some((at, before)) = self.doubt else { return false };
        let stolen = match scheduled.processor == before.processor {
            true => scheduled.stolen.saturating_sub(before.stolen),
            false => Duration::ZERO,
        };
        let ran = scheduled.ran.saturating_sub(before.ran).saturating_sub(stolen);
        let waited = scheduled.waited.saturating_sub(before.waited).saturating_add(stolen);
        let starved = ran < MOST_RAN && (scheduled.ready || waited > now.since(at) / 2);
        if starved {
            self.begin_anew(now);
        }
        starved
    }

    /// The limit counts from now on.
    pub fn begin_anew(&mut self, now: MonoTime) {
        self.on_time_since = now;
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

    fn scheduled(ran_ms: u64, waited_ms: u64) -> Scheduled {
        let (ran, waited) = (Duration::from_millis(ran_ms), Duration::from_millis(waited_ms));
        Scheduled { ran, waited, ready: false, processor: 1, stolen: Duration::from_millis(7_000) }
    }

    /// The watch when it has found a hang at 125 ms; doubt arose at 75 ms.
    fn suspicious() -> HangWatch {
        let mut watch = HangWatch::new(at(0));
        for ms in [0, 25, 50] {
            assert!(!watch.check(LIMIT, at(ms)) && !watch.doubts(LIMIT, at(ms)), "{ms}");
        }
        assert!(watch.doubts(LIMIT, at(75)));
        watch.note(scheduled(500, 1_000), at(75));
        for ms in [75, 100] {
            assert!(!watch.check(LIMIT, at(ms)) && !watch.doubts(LIMIT, at(ms)), "{ms}");
        }
        assert!(watch.check(LIMIT, at(125)));
        watch
    }

    #[test]
    fn a_daemon_that_waits_for_a_processor_is_not_blamed() {
        let mut watch = suspicious();
        assert!(watch.was_starved(scheduled(501, 1_045), at(125)));
        assert!(!watch.check(LIMIT, at(150)), "the limit counts anew");
    }

    #[test]
    fn a_daemon_whose_wait_for_a_processor_has_not_ended_is_not_blamed() {
        let waiting = Scheduled { ready: true, ..scheduled(500, 1_000) };
        assert!(suspicious().was_starved(waiting, at(125)));
        let spinning = Scheduled { ready: true, ..scheduled(512, 1_000) };
        assert!(!suspicious().was_starved(spinning, at(125)));
    }

    #[test]
    fn a_daemon_whose_processor_was_stolen_is_not_blamed() {
        let stolen = Duration::from_millis(7_040);
        assert!(suspicious().was_starved(Scheduled { stolen, ..scheduled(545, 1_000) }, at(125)));
        // What was stolen from another processor says nothing.
        let elsewhere = Scheduled { stolen, processor: 0, ..scheduled(545, 1_000) };
        assert!(!suspicious().was_starved(elsewhere, at(125)));
        let little = Duration::from_millis(7_010);
        assert!(!suspicious().was_starved(Scheduled { stolen: little, ..scheduled(545, 1_000) }, at(125)));
    }

    #[test]
    fn a_daemon_that_sleeps_or_spins_is_blamed() {
        assert!(!suspicious().was_starved(scheduled(500, 1_000), at(125)), "it slept");
        assert!(!suspicious().was_starved(scheduled(512, 1_038), at(125)), "it had its turn and did nothing");
    }

    #[test]
    fn a_daemon_that_spins_on_a_starved_machine_is_found_out_in_the_end() {
        let mut watch = suspicious();
        assert!(watch.was_starved(scheduled(506, 1_044), at(125)));
        assert!(!watch.was_starved(scheduled(512, 1_138), at(250)), "it has had 12 ms altogether");
    }

    #[test]
    fn progress_ends_doubt() {
        let mut watch = suspicious();
        watch.progress(at(120));
        assert!(!watch.was_starved(scheduled(501, 1_045), at(125)));
        assert!(watch.doubts(LIMIT, at(175)));
    }
}
