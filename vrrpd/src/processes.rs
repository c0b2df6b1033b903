//! Tracked processes: what their number means, and when.
//!
//! Pure. Numbers come from the parent; a quorum that is reached or lost counts after its delay.

use std::time::Duration;

use config::model::track::TrackedProcess;
use config::model::units::{MonoTime, ProcessId};

use crate::proto::priority::Health;

/// All tracked processes of a generation.
#[derive(Debug, Default)]
pub struct Processes(Vec<Tracked>);

#[derive(Debug)]
struct Tracked {
    config: TrackedProcess,
    count: Option<u32>,
    health: Health,
    /// Its condition changes then, unless the number changes again.
    turns_at: Option<MonoTime>,
}

impl Processes {
    /// Processes of a new generation; what is known goes on under its name.
    #[must_use]
    pub fn replaced(self, configs: Vec<TrackedProcess>, now: MonoTime) -> Self {
        let mut old = self.0;
        let fresh = configs.into_iter().map(|config| {
            let known = old.iter().position(|tracked| tracked.config.name == config.name);
            match known.map(|known| old.swap_remove(known)) {
                Some(known) => {
                    let mut tracked = Tracked { config, ..known };
                    tracked.consider(now);
                    tracked
                }
                None => Tracked { config, count: None, health: Health::Unknown, turns_at: None },
            }
        });
        Self(fresh.collect())
    }

    /// Names, for faults in words.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|tracked| tracked.config.name.clone()).collect()
    }

    /// Condition of a tracked process.
    #[must_use]
    pub fn health(&self, process: ProcessId) -> Health {
        self.0.get(process.index()).map_or(Health::Bad, |tracked| tracked.health)
    }

    /// Enters a number; true when a condition has changed.
    pub fn record(&mut self, process: ProcessId, count: u32, now: MonoTime) -> bool {
        let Some(tracked) = self.0.get_mut(process.index()) else { return false };
        tracked.count = Some(count);
        tracked.consider(now)
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<MonoTime> {
        self.0.iter().filter_map(|tracked| tracked.turns_at).min()
    }

    /// Changes conditions whose delay is over; returns lines for the log.
    pub fn tick(&mut self, now: MonoTime) -> Vec<String> {
        let mut lines = Vec::new();
        for tracked in self.0.iter_mut().filter(|tracked| tracked.turns_at.is_some_and(|at| now >= at)) {
            tracked.turn();
            lines.push(tracked.line());
        }
        lines
    }

    /// The condition of a tracked process in a line for the log.
    #[must_use]
    pub fn line(&self, process: ProcessId) -> String {
        self.0.get(process.index()).map(Tracked::line).unwrap_or_default()
    }
}

impl Tracked {
    fn wanted(&self) -> Health {
        match self.count {
            None => Health::Unknown,
            Some(count) if count < self.config.quorum => Health::Bad,
            Some(count) if self.config.quorum_max.is_some_and(|most| count > most) => Health::Bad,
            Some(_) => Health::Good,
        }
    }

    /// Turns at once or later; true when the condition has changed. What is not known yet needs no delay.
    fn consider(&mut self, now: MonoTime) -> bool {
        let delay = match (self.health, self.wanted()) {
            (health, wanted) if health == wanted => {
                self.turns_at = None;
                return false;
            }
            (Health::Unknown, _) => Duration::ZERO,
            (_, Health::Good) => self.config.fork_delay,
            (_, Health::Bad | Health::Unknown) => self.config.terminate_delay,
        };
        if delay.is_zero() {
            self.turn();
            return true;
        }
        self.turns_at.get_or_insert(now + delay);
        false
    }

    fn turn(&mut self) {
        self.turns_at = None;
        self.health = self.wanted();
    }

    fn line(&self) -> String {
        let word = if self.health == Health::Good { "gained" } else { "lost" };
        let count = self.count.unwrap_or(0);
        format!("Process tracking of {} {word} its quorum count={count}", self.config.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ProcessId = ProcessId::new(0);

    fn at(milliseconds: u64) -> MonoTime {
        MonoTime::from_nanos(milliseconds * 1_000_000)
    }

    fn tracked(quorum_max: Option<u32>, fork_ms: u64, terminate_ms: u64) -> Processes {
        let config = TrackedProcess {
            name: "web".to_owned(),
            quorum: 2,
            quorum_max,
            fork_delay: Duration::from_millis(fork_ms),
            terminate_delay: Duration::from_millis(terminate_ms),
            weight: 0,
        };
        Processes::default().replaced(vec![config], at(0))
    }

    #[test]
    fn the_number_lies_between_quorum_and_quorum_max() {
        let mut processes = tracked(Some(3), 0, 0);
        assert_eq!(processes.health(ID), Health::Unknown);
        for (count, health) in [(1, Health::Bad), (2, Health::Good), (3, Health::Good), (4, Health::Bad)] {
            processes.record(ID, count, at(1));
            assert_eq!(processes.health(ID), health, "{count}");
        }
    }

    #[test]
    fn the_first_number_counts_at_once_and_later_ones_after_their_delay() {
        let mut processes = tracked(None, 100, 500);
        assert!(processes.record(ID, 2, at(0)));
        assert!(!processes.record(ID, 1, at(1_000)));
        assert!(!processes.record(ID, 0, at(1_200)), "the delay runs from the loss on");
        assert_eq!(processes.poll_deadline(), Some(at(1_500)));
        assert_eq!(processes.tick(at(1_499)), [""; 0]);
        assert_eq!(processes.tick(at(1_500)), ["Process tracking of web lost its quorum count=0"]);
        assert!(!processes.record(ID, 2, at(2_000)));
        assert_eq!(processes.poll_deadline(), Some(at(2_100)));
    }

    #[test]
    fn a_process_that_is_restarted_within_the_delay_is_not_missed() {
        let mut processes = tracked(None, 0, 500);
        processes.record(ID, 2, at(0));
        processes.record(ID, 1, at(1_000));
        processes.record(ID, 2, at(1_400));
        assert_eq!((processes.poll_deadline(), processes.health(ID)), (None, Health::Good));
    }
}
