//! When each checker is due: one absolute instant per checker, spread so that they don't run as a herd.
//!
//! Decides instants only; what is done at them is the driver's. A checker has one alarm at a time, either the start of
//! its next run or the deadline of the running one, so one heap holds both. Input is the configuration's, not the network's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use config::model::units::MonoTime;

/// How much before its time a run may start, at most: those that are due together cost one wake-up and find the caches
/// warm. The rhythm stays.
pub const EARLY: Duration = Duration::from_millis(20);
/// The same as a part of the wait.
const EARLY_PART: u32 = 50;

/// Alarms of all checkers, by position.
#[derive(Debug, Default)]
pub struct Alarms {
    heap: BinaryHeap<Reverse<(MonoTime, usize)>>,
    due: Vec<Option<MonoTime>>,
    armed: usize,
}

impl Alarms {
    /// No alarm set, for `length` checkers.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self { heap: BinaryHeap::new(), due: vec![None; length], armed: 0 }
    }

    /// Sets the alarm of a checker, in place of the one it had. Positions outside the length are ignored.
    pub fn set(&mut self, position: usize, at: MonoTime) {
        let Some(due) = self.due.get_mut(position) else { return };
        if due.replace(at).is_none() {
            self.armed = self.armed.saturating_add(1);
        }
        self.heap.push(Reverse((at, position)));
        self.drop_replaced();
    }

    /// When the alarm of a checker is set for.
    #[must_use]
    pub fn at(&self, position: usize) -> Option<MonoTime> {
        self.due.get(position).copied().flatten()
    }

    /// The earliest alarm, which is when to call [`Self::pop_due`] next.
    #[must_use]
    pub fn earliest(&mut self) -> Option<MonoTime> {
        while let Some(&Reverse((at, position))) = self.heap.peek() {
            if self.at(position) == Some(at) {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes one alarm that is due: the checker and the instant that it was set for.
    pub fn pop_due(&mut self, now: MonoTime) -> Option<(usize, MonoTime)> {
        let at = self.earliest().filter(|at| *at <= now)?;
        let Reverse((_, position)) = self.heap.pop()?;
        if let Some(due) = self.due.get_mut(position) {
            *due = None;
            self.armed = self.armed.saturating_sub(1);
        }
        Some((position, at))
    }

    /// Replaced alarms stay in the heap until their time; they never outnumber the live ones for long.
    fn drop_replaced(&mut self) {
        if self.heap.len() > self.armed.saturating_mul(2).saturating_add(64) {
            let due = &self.due;
            self.heap.retain(|Reverse((at, position))| due.get(*position) == Some(&Some(*at)));
        }
    }
}

/// First run of a checker: after 1 s and a random part of `warmup` (keepalived.conf(5) warmup).
#[must_use]
pub fn first_run(now: MonoTime, warmup: Duration, spread: &mut Spread) -> MonoTime {
    now + Duration::from_secs(1) + spread.part_of(warmup)
}

/// Next run: `wait` after the instant that the last one was due at. When that has passed already, the first instant of
/// the same rhythm that has not: missed runs are left out, and checkers keep their distance from each other.
#[must_use]
pub fn next_run(due: MonoTime, wait: Duration, now: MonoTime) -> MonoTime {
    let next = due + wait;
    if next > now {
        return next;
    }
    let Ok(step) = u64::try_from(wait.as_nanos()) else { return now };
    let late = now.nanos().saturating_sub(next.nanos());
    match late.checked_div(step) {
        Some(missed) => {
            let skipped = missed.saturating_add(1).saturating_mul(step);
            MonoTime::from_nanos(next.nanos().saturating_add(skipped))
        }
        None => now,
    }
}

/// Next run of a script: as [`next_run`], but at once when that instant has passed, as keepalived does: what hangs is
/// asked again the sooner.
#[must_use]
pub fn next_script(due: MonoTime, wait: Duration, now: MonoTime) -> MonoTime {
    now.max(due + wait)
}

/// Random parts of intervals: xorshift, seeded by the caller. Nothing secret depends on it.
#[derive(Debug, Clone)]
pub struct Spread(u64);

impl Spread {
    /// Any seed will do.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        // The generator's only bad state is 0.
        Self(seed ^ 0x9e37_79b9_7f4a_7c15 | 1)
    }

    /// A random length of time from zero up to `whole`.
    pub fn part_of(&mut self, whole: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let part = whole.as_nanos().saturating_mul(u128::from(self.0)) >> 64;
        Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

/// How much before its time a run may start that waited for `interval`, or to be tried again for `retry`, which zero
/// ends at once.
#[must_use]
pub fn early(interval: Duration, retry: Duration) -> Duration {
    let wait = if retry.is_zero() { interval } else { retry.min(interval) };
    EARLY.min(wait / EARLY_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn alarms_come_in_the_order_of_their_time() {
        let mut alarms = Alarms::new(3);
        alarms.set(0, at(30));
        alarms.set(1, at(10));
        alarms.set(2, at(20));
        assert_eq!(alarms.earliest(), Some(at(10)));
        assert_eq!(alarms.pop_due(at(9)), None);
        assert_eq!(alarms.pop_due(at(25)), Some((1, at(10))));
        assert_eq!(alarms.pop_due(at(25)), Some((2, at(20))));
        assert_eq!(alarms.pop_due(at(25)), None);
        assert_eq!(alarms.earliest(), Some(at(30)));
    }

    #[test]
    fn a_new_alarm_takes_the_place_of_the_old_one() {
        let mut alarms = Alarms::new(1);
        alarms.set(0, at(10));
        alarms.set(0, at(50));
        assert_eq!(alarms.pop_due(at(20)), None);
        assert_eq!(alarms.at(0), Some(at(50)));
        assert_eq!(alarms.pop_due(at(50)), Some((0, at(50))));
        assert_eq!(alarms.earliest(), None);
    }

    #[test]
    fn replaced_alarms_do_not_pile_up() {
        let mut alarms = Alarms::new(2);
        for second in 0..10_000 {
            alarms.set(0, at(second + 1_000));
        }
        assert!(alarms.heap.len() <= 67, "{}", alarms.heap.len());
        assert_eq!(alarms.earliest(), Some(at(10_999)));
    }

    #[test]
    fn the_first_run_comes_after_one_second_and_a_part_of_warmup() {
        let mut spread = Spread::seeded(7);
        assert_eq!(first_run(at(5), Duration::ZERO, &mut spread), at(6));
        let mut buckets = [0_u32; 10];
        for _ in 0..10_000 {
            let first = first_run(at(0), Duration::from_secs(10), &mut spread);
            assert!(first >= at(1) && first < at(11));
            buckets[usize::try_from(first.since(at(1)).as_secs()).unwrap()] += 1;
        }
        assert!(buckets.iter().all(|count| (800..1_200).contains(count)), "{buckets:?}");
    }

    #[test]
    fn the_next_run_counts_from_when_the_last_one_was_due() {
        assert_eq!(next_run(at(100), Duration::from_secs(6), at(103)), at(106));
    }

    #[test]
    fn after_a_late_loop_missed_runs_are_left_out() {
        assert_eq!(next_run(at(100), Duration::from_secs(6), at(131)), at(136));
        assert_eq!(next_run(at(100), Duration::from_secs(6), at(106)), at(112));
    }

    #[test]
    fn a_script_that_took_too_long_runs_again_at_once() {
        assert_eq!(next_script(at(100), Duration::from_secs(6), at(103)), at(106));
        assert_eq!(next_script(at(100), Duration::from_secs(6), at(107)), at(107));
    }

    #[test]
    fn no_wait_means_now() {
        assert_eq!(next_run(at(100), Duration::ZERO, at(131)), at(131));
    }

    #[test]
    fn a_run_starts_early_by_a_fiftieth_of_its_wait_and_by_20_ms_at_most() {
        let milliseconds = Duration::from_millis;
        for (interval, retry, expected) in [
            (60_000, 1_000, 20),
            (1_000, 3_000, 20),
            (500, 3_000, 10),
            (60_000, 250, 5),
            (60_000, 0, 20),
            (100, 0, 2),
        ] {
            let early = early(milliseconds(interval), milliseconds(retry));
            assert_eq!(early, milliseconds(expected), "{interval} {retry}");
        }
    }
}
