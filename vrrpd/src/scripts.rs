//! Tracked scripts: when they are due, and what their results mean.
//!
//! Pure: the driver asks the parent to run what is due and enters the results. A script that still runs isn't asked
//! for again. Input is configuration and outcomes from the parent.

use std::time::Duration;

use config::model::units::{MonoTime, ScriptId};
use config::model::vrrp::TrackedScript;
use ipc::messages::RunOutcome;

use crate::proto::priority::{Health, ScriptHealth};

/// All tracked scripts of a generation.
#[derive(Debug, Default)]
pub struct Scripts(Vec<Tracked>);

#[derive(Debug)]
struct Tracked {
    config: TrackedScript,
    health: ScriptHealth,
    due: MonoTime,
    asked: Option<MonoTime>,
    last: Option<RunOutcome>,
}

/// Time beyond a script's own limit after which its answer counts as lost.
const ANSWER_GRACE: Duration = Duration::from_secs(15);

impl Scripts {
    /// Scripts of a new generation; what is known of a script goes on under its name.
    #[must_use]
    pub fn replaced(self, configs: Vec<TrackedScript>, now: MonoTime) -> Self {
        let mut old = self.0;
        let fresh = configs.into_iter().map(|config| {
            let known = old.iter().position(|tracked| tracked.config.name == config.name);
            let fresh = ScriptHealth::new(config.rise, config.fall, config.init_fail);
            match known.map(|known| old.swap_remove(known)) {
                Some(known) if known.config.interval == config.interval => Tracked {
                    health: known.health.with_thresholds(config.rise, config.fall, config.init_fail),
                    due: known.due,
                    asked: None,
                    last: known.last,
                    config,
                },
                Some(known) => Tracked {
                    health: known.health.with_thresholds(config.rise, config.fall, config.init_fail),
                    due: now,
                    asked: None,
                    last: known.last,
                    config,
                },
                None => Tracked { health: fresh, due: now, asked: None, last: None, config },
            }
        });
        Self(fresh.collect())
    }

    /// Names, for faults in words.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|tracked| tracked.config.name.clone()).collect()
    }

    /// Condition of a script by its position in the model.
    #[must_use]
    pub fn health(&self, tracked: u32) -> Health {
        let tracked = usize::try_from(tracked).ok().and_then(|position| self.0.get(position));
        tracked.map_or(Health::Bad, |tracked| tracked.health.health())
    }

    /// Scripts to run now. Their instants are absolute; those that were missed are not made up for.
    pub fn due(&mut self, now: MonoTime) -> Vec<ScriptId> {
        let mut due = Vec::new();
        for tracked in self.0.iter_mut().filter(|tracked| now >= tracked.due) {
            let next = tracked.due + tracked.config.interval;
            tracked.due = if next > now { next } else { now + tracked.config.interval };
            let lost = tracked.config.timeout.saturating_add(ANSWER_GRACE);
            if tracked.asked.is_none_or(|asked| now >= asked + lost) {
                tracked.asked = Some(now);
                due.push(tracked.config.script);
            }
        }
        due
    }

    /// When [`Self::due`] has something next.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<MonoTime> {
        self.0.iter().map(|tracked| tracked.due).min()
    }

    /// Enters a result; returns lines for the log. Unknown scripts are none of ours.
    pub fn record(&mut self, script: ScriptId, outcome: RunOutcome) -> Vec<String> {
        let mut lines = Vec::new();
        for tracked in self.0.iter_mut().filter(|tracked| tracked.config.script == script) {
            tracked.asked = None;
            if outcome == RunOutcome::NotStarted {
                continue;
            }
            let name = &tracked.config.name;
            let before = tracked.health.health();
            tracked.health.record(outcome == RunOutcome::Exited(0));
            if let RunOutcome::Exited(status) = outcome
                && tracked.last.unwrap_or(RunOutcome::Exited(0)) != outcome
            {
                lines.push(format!("Script `{name}` now returning {status}"));
            }
            tracked.last = Some(outcome);
            let after = tracked.health.health();
            if before != after {
                let words = match (after, outcome) {
                    (Health::Good, _) => "succeeded".to_owned(),
                    (Health::Bad | Health::Unknown, outcome) => failure(outcome),
                };
                lines.push(format!("VRRP_Script({name}) {words}"));
            }
        }
        lines
    }
}

fn failure(outcome: RunOutcome) -> String {
    match outcome {
        RunOutcome::Exited(status) => format!("failed (exited with status {status})"),
        RunOutcome::Signalled(signal) => format!("failed (due to signal {signal})"),
        RunOutcome::TimedOut => "timed_out".to_owned(),
        RunOutcome::NotRun | RunOutcome::NotStarted => "failed (it could not run)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(value: u64) -> MonoTime {
        MonoTime::from_nanos(value * 1_000_000)
    }

    fn config(name: &str, id: u32) -> TrackedScript {
        TrackedScript {
            name: name.to_owned(),
            script: ScriptId::new(id),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            rise: 1,
            fall: 2,
            init_fail: false,
            weight: 0,
            reverse: false,
        }
    }

    #[test]
    fn a_script_runs_at_once_and_then_every_interval_while_it_answers() {
        let mut scripts = Scripts::default().replaced(vec![config("chk", 4)], at_ms(1_000));
        assert_eq!(scripts.due(at_ms(1_000)), [ScriptId::new(4)]);
        assert_eq!(scripts.due(at_ms(3_000)), [], "still running");
        scripts.record(ScriptId::new(4), RunOutcome::Exited(0));
        assert_eq!(scripts.due(at_ms(4_999)), []);
        assert_eq!(scripts.due(at_ms(5_000)), [ScriptId::new(4)]);
    }

    #[test]
    fn an_answer_that_never_comes_is_given_up_after_timeout_and_grace() {
        let mut scripts = Scripts::default().replaced(vec![config("chk", 4)], at_ms(0));
        assert_eq!(scripts.due(at_ms(0)).len(), 1);
        assert_eq!(scripts.due(at_ms(16_000)).len(), 0);
        assert_eq!(scripts.due(at_ms(18_000)).len(), 1);
    }

    #[test]
    fn results_are_told_when_they_change() {
        let mut scripts = Scripts::default().replaced(vec![config("chk", 4)], at_ms(0));
        let id = ScriptId::new(4);
        assert_eq!(scripts.record(id, RunOutcome::Exited(0)), ["VRRP_Script(chk) succeeded"]);
        assert_eq!(scripts.record(id, RunOutcome::Exited(1)), ["Script `chk` now returning 1"]);
        assert_eq!(scripts.record(id, RunOutcome::TimedOut), ["VRRP_Script(chk) timed_out"]);
    }

    #[test]
    fn a_run_that_this_machine_could_not_start_says_nothing() {
        let mut scripts = Scripts::default().replaced(vec![config("chk", 4)], at_ms(0));
        let id = ScriptId::new(4);
        assert_eq!(scripts.due(at_ms(0)), [id]);
        assert_eq!(scripts.record(id, RunOutcome::NotStarted), [""; 0]);
        assert_eq!(scripts.health(0), Health::Unknown);
        assert_eq!(scripts.due(at_ms(2_000)), [id], "it is tried again");
        scripts.record(id, RunOutcome::Exited(0));
        for _ in 0..3 {
            scripts.record(id, RunOutcome::NotStarted);
        }
        assert_eq!(scripts.health(0), Health::Good);
    }

    #[test]
    fn a_first_failure_is_told_with_its_status() {
        let mut scripts = Scripts::default().replaced(vec![config("chk", 4)], at_ms(0));
        assert_eq!(
            scripts.record(ScriptId::new(4), RunOutcome::Exited(1)),
            ["Script `chk` now returning 1", "VRRP_Script(chk) failed (exited with status 1)"]
        );
    }

    #[test]
    fn a_reload_keeps_condition_and_schedule_by_name() {
        let mut scripts = Scripts::default().replaced(vec![config("chk", 4)], at_ms(0));
        scripts.due(at_ms(0));
        scripts.record(ScriptId::new(4), RunOutcome::Exited(0));
        let scripts = scripts.replaced(vec![config("new", 0), config("chk", 9)], at_ms(500));
        assert_eq!(scripts.health(1), Health::Good);
        assert_eq!(scripts.health(0), Health::Unknown);
        assert_eq!(scripts.poll_deadline(), Some(at_ms(500)));
    }
}
