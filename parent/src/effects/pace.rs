//! How often a daemon may have one script run: a captured one must not keep the machine busy with programs that start
//! and end.
//!
//! Pure: the time is an argument. A run that nobody waits for is not lost when it comes too soon: the last one waits
//! for its turn, so that what a script was told last is what holds. No program of keepalived's is wanted more often
//! than [`LEAST_GAP`] by a daemon that means well.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::{Generation, MonoTime, ScriptId};

/// Least time between the beginnings of two runs of one script.
pub const LEAST_GAP: Duration = Duration::from_millis(10);

/// A script of a configuration.
type Key = (Generation, ScriptId);

/// When scripts were started last, and which wait.
#[derive(Debug, Default)]
pub struct Paces {
    started: BTreeMap<Key, MonoTime>,
    waiting: BTreeMap<Key, MonoTime>,
}

impl Paces {
    /// True when a run may begin now; it is then counted as begun.
    pub fn admits(&mut self, key: Key, now: MonoTime) -> bool {
        let early = self.started.get(&key).is_some_and(|last| now.since(*last) < LEAST_GAP);
        if !early {
            self.started.insert(key, now);
        }
        !early
    }

    /// The same for a run that nobody waits for: one that comes too soon waits.
    pub fn admits_or_keeps(&mut self, key: Key, now: MonoTime) -> bool {
        if self.waiting.contains_key(&key) {
            return false;
        }
        let admitted = self.admits(key, now);
        if let Some(last) = self.started.get(&key).filter(|_| !admitted) {
            self.waiting.insert(key, *last + LEAST_GAP);
        }
        admitted
    }

    /// Runs whose turn has come, each counted as begun. Old beginnings are forgotten.
    pub fn due(&mut self, now: MonoTime) -> Vec<Key> {
        let due: Vec<Key> = self.waiting.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect();
        self.started.retain(|_, last| now.since(*last) < LEAST_GAP);
        for key in &due {
            self.waiting.remove(key);
            self.started.insert(*key, now);
        }
        due
    }

    /// When [`Self::due`] has something next.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.waiting.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (Generation::new(1), ScriptId::new(4));
    const OTHER: Key = (Generation::new(1), ScriptId::new(5));

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn one_script_begins_at_most_every_ten_milliseconds_and_others_do_not_wait_for_it() {
        let mut paces = Paces::default();
        let begun = (0..1_000).filter(|ms| paces.admits(KEY, at(*ms))).count();
        assert_eq!(begun, 100);
        assert!(paces.admits(OTHER, at(999)));
    }

    #[test]
    fn of_the_runs_that_come_too_soon_one_waits_for_its_turn() {
        let mut paces = Paces::default();
        assert!(paces.admits_or_keeps(KEY, at(0)));
        for ms in 1..10 {
            assert!(!paces.admits_or_keeps(KEY, at(ms)));
        }
        assert_eq!(paces.deadline(), Some(at(10)));
        assert_eq!(paces.due(at(9)), []);
        assert_eq!(paces.due(at(10)), [KEY]);
        assert_eq!((paces.due(at(30)), paces.deadline()), (Vec::new(), None));
    }

    #[test]
    fn what_has_begun_long_ago_is_forgotten() {
        let mut paces = Paces::default();
        for id in 0..1_000 {
            assert!(paces.admits((Generation::new(1), ScriptId::new(id)), at(0)));
        }
        assert_eq!(paces.due(at(10)), []);
        assert!(paces.started.is_empty());
    }
}
