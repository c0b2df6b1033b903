//! Which scripts follow a change of state, with which arguments, in which order.
//!
//! Pure. Scripts of one change start together, as upstream's do; those of the next change of the same instance
//! wait for them, so that a slow MASTER script can't overtake a BACKUP script. The wait is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use config::model::process::InstanceNotify;
use config::model::units::{Generation, MonoTime, Priority, ScriptId};
use ipc::messages::vrrpd::VrrpState;

use crate::broker::Whose;

/// State that scripts are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A state of the election.
    State(VrrpState),
    /// The suite stops.
    Stop,
    /// A reload has removed the instance.
    Deleted,
    /// A Master has heard a lower priority.
    LowerPriority,
}

impl Told {
    /// Word of scripts and FIFOs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::State(state) => state.word(),
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::LowerPriority => "MASTER_RX_LOWER_PRI",
        }
    }
}

/// One script to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Configuration of the script.
    pub generation: Generation,
    /// Which script.
    pub script: ScriptId,
    /// Arguments behind the configured ones.
    pub extra: Vec<String>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Vec<Job>>,
    running: usize,
    since: MonoTime,
}

/// Queues, one per instance.
#[derive(Debug, Default)]
pub struct Queues {
    lines: BTreeMap<String, Line>,
    dropped: u64,
}

/// Changes of one instance that may wait; beyond it the oldest is dropped, since the newest says how things are.
const MAX_WAITING: usize = 32;
/// Longest that a change waits for the scripts of the one before.
const PATIENCE: Duration = Duration::from_secs(30);

/// One change of state that is told.
#[derive(Debug, Clone, Copy)]
pub struct News<'n> {
    /// Whether it is an instance's or a group's.
    pub whose: Whose,
    /// Its name.
    pub name: &'n str,
    /// New state.
    pub told: Told,
    /// Effective priority, 0 for a group.
    pub priority: Priority,
}

impl News<'_> {
    /// Name of the queue in which its scripts wait for each other.
    #[must_use]
    pub fn queue(&self) -> String {
        match self.whose {
            Whose::Instance => self.name.to_owned(),
            Whose::Group => format!("group {}", self.name),
        }
    }
}

/// Scripts of one change (keepalived.conf(5), `notify`): the specific one first, then the general one with
/// `INSTANCE` or `GROUP`, name, state and priority behind its own arguments.
#[must_use]
pub fn jobs(scripts: &InstanceNotify, generation: Generation, news: &News<'_>) -> Vec<Job> {
    let News { whose, name, told, priority } = *news;
    let specific = match told {
        Told::State(VrrpState::Master) => scripts.master,
        Told::State(VrrpState::Backup) => scripts.backup,
        Told::State(VrrpState::Fault) => scripts.fault,
        Told::State(VrrpState::Init) => None,
        Told::Stop => scripts.stop,
        Told::Deleted => scripts.deleted,
        Told::LowerPriority => scripts.lower_priority,
    };
    // What a Master hears is no change of its state.
    let general = scripts.any.filter(|_| told != Told::LowerPriority).map(|script| {
        let extra = [whose.word(), name, told.word()].map(str::to_owned);
        let extra = extra.into_iter().chain([priority.to_string()]).collect();
        Job { generation, script, extra }
    });
    specific.map(|script| Job { generation, script, extra: Vec::new() }).into_iter().chain(general).collect()
}

impl Queues {
    /// A change of `name`; returns what is to be started now.
    pub fn push(&mut self, name: &str, jobs: Vec<Job>, now: MonoTime) -> Vec<Job> {
        if jobs.is_empty() {
            return jobs;
        }
        let line = self.lines.entry(name.to_owned()).or_default();
        if line.waiting.len() >= MAX_WAITING {
            line.waiting.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        line.waiting.push_back(jobs);
        line.next(now)
    }

    /// True when no script of `name` runs or waits.
    #[must_use]
    pub fn is_idle(&self, name: &str) -> bool {
        self.lines.get(name).is_none_or(|line| line.running == 0 && line.waiting.is_empty())
    }

    /// A script of `name` ended or did not start; returns what is to be started now.
    pub fn ended(&mut self, name: &str, now: MonoTime) -> Vec<Job> {
        let Some(line) = self.lines.get_mut(name) else { return Vec::new() };
        line.running = line.running.saturating_sub(1);
        line.next(now)
    }

    /// Starts what has waited too long.
    pub fn tick(&mut self, now: MonoTime) -> Vec<(String, Vec<Job>)> {
        let late = self.lines.iter_mut().filter(|(_, line)| line.is_late(now));
        late.map(|(name, line)| {
            line.running = 0;
            (name.clone(), line.next(now))
        })
        .collect()
    }

    /// When [`Self::tick`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.lines.values().filter(|line| !line.waiting.is_empty()).map(|line| line.since + PATIENCE).min()
    }

    /// Changes whose scripts were dropped since start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Line {
    fn next(&mut self, now: MonoTime) -> Vec<Job> {
        if self.running > 0 {
            return Vec::new();
        }
        let jobs = self.waiting.pop_front().unwrap_or_default();
        self.running = jobs.len();
        self.since = now;
        jobs
    }

    fn is_late(&self, now: MonoTime) -> bool {
        !self.waiting.is_empty() && now >= self.since + PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts() -> InstanceNotify {
        InstanceNotify {
            master: Some(ScriptId::new(1)),
            backup: Some(ScriptId::new(2)),
            any: Some(ScriptId::new(3)),
            ..InstanceNotify::default()
        }
    }

    fn news(name: &str, told: Told, priority: u8) -> News<'_> {
        News { whose: Whose::Instance, name, told, priority: Priority::new(priority) }
    }

    #[test]
    fn a_group_is_told_as_group_with_priority_0_in_a_queue_of_its_own() {
        let told = Told::State(VrrpState::Backup);
        let news = News { whose: Whose::Group, ..news("VG_1", told, 0) };
        assert_eq!(jobs(&scripts(), G, &news)[1].extra, ["GROUP", "VG_1", "BACKUP", "0"]);
        assert_eq!(news.queue(), "group VG_1");
    }

    const G: Generation = Generation::new(1);

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_general_script_gets_four_arguments_and_the_specific_one_none() {
        let jobs = jobs(&scripts(), G, &news("VI_1", Told::State(VrrpState::Master), 150));
        assert_eq!(jobs[0], Job { generation: G, script: ScriptId::new(1), extra: vec![] });
        assert_eq!(jobs[1].extra, ["INSTANCE", "VI_1", "MASTER", "150"]);
    }

    #[test]
    fn a_stop_is_told_as_stop() {
        let jobs = jobs(&scripts(), G, &news("VI_1", Told::Stop, 150));
        assert_eq!(jobs[0].extra, ["INSTANCE", "VI_1", "STOP", "150"]);
    }

    #[test]
    fn a_lower_priority_that_is_heard_runs_its_own_script_alone() {
        let scripts = InstanceNotify { lower_priority: Some(ScriptId::new(9)), ..scripts() };
        let heard = jobs(&scripts, G, &news("VI_1", Told::LowerPriority, 150));
        assert_eq!(heard, [Job { generation: G, script: ScriptId::new(9), extra: vec![] }]);
        let deleted = jobs(&scripts, G, &news("VI_1", Told::Deleted, 150));
        assert_eq!(deleted[0].extra, ["INSTANCE", "VI_1", "DELETED", "150"]);
    }

    #[test]
    fn the_next_change_waits_for_all_scripts_of_the_one_before() {
        let mut queues = Queues::default();
        let change = |state| jobs(&scripts(), G, &news("VI_1", Told::State(state), 1));
        assert_eq!(queues.push("VI_1", change(VrrpState::Master), at(0)).len(), 2);
        assert_eq!(queues.push("VI_1", change(VrrpState::Backup), at(1)).len(), 0);
        assert_eq!(queues.push("VI_2", change(VrrpState::Backup), at(1)).len(), 2, "another instance");
        assert_eq!(queues.ended("VI_1", at(2)).len(), 0);
        assert_eq!(queues.ended("VI_1", at(2)).first().unwrap().script, ScriptId::new(2));
    }

    #[test]
    fn a_script_that_hangs_holds_the_next_change_up_for_30_seconds() {
        let mut queues = Queues::default();
        let change = |state| jobs(&scripts(), G, &news("VI_1", Told::State(state), 1));
        queues.push("VI_1", change(VrrpState::Master), at(0));
        queues.push("VI_1", change(VrrpState::Backup), at(1));
        assert_eq!(queues.deadline(), Some(at(30)));
        assert_eq!(queues.tick(at(29)).len(), 0);
        assert_eq!(queues.tick(at(30))[0].1.len(), 2);
    }

    #[test]
    fn a_flapping_instance_keeps_the_newest_32_changes() {
        let mut queues = Queues::default();
        let change = |state| jobs(&scripts(), G, &news("VI_1", Told::State(state), 1));
        for _ in 0..40 {
            queues.push("VI_1", change(VrrpState::Master), at(0));
        }
        assert_eq!(queues.dropped(), 7);
    }
}
