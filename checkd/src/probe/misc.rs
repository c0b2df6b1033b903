//! `MISC_CHECK`: what a program's end says of a server (keepalived.conf(5) misc_dynamic).
//!
//! The program is run by the parent, which is trusted to report its end; called by the driver with that report.

use config::model::units::Weight;
use ipc::messages::RunOutcome;

use super::{DynamicWeight, Failure, Outcome};

/// What the end of a script means; `None` where it says nothing of the server. With `dynamic`, exit statuses 2..=255
/// pass and set the weight to the status less 2, and 0 puts the configured weight back.
#[must_use]
pub fn judge(dynamic: bool, outcome: RunOutcome) -> Option<Outcome> {
    Some(match outcome {
        RunOutcome::Exited(0) if dynamic => Outcome::Pass(DynamicWeight::Configured),
        RunOutcome::Exited(0) => Outcome::Pass(DynamicWeight::Untouched),
        RunOutcome::Exited(status) if dynamic && status >= 2 => {
            Outcome::Pass(DynamicWeight::Set(Weight::clamped(i64::from(status) - 2)))
        }
        RunOutcome::Exited(status) => Outcome::Fail(Failure::Exit(status)),
        RunOutcome::Signalled(signal) => Outcome::Fail(Failure::Signal(signal)),
        RunOutcome::TimedOut => Outcome::Fail(Failure::ScriptTimeout),
        RunOutcome::NotRun => Outcome::Fail(Failure::ScriptNotRun),
        RunOutcome::NotStarted => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(weight: u32) -> Option<Outcome> {
        Some(Outcome::Pass(DynamicWeight::Set(Weight::new(weight).unwrap())))
    }

    #[test]
    fn without_misc_dynamic_only_status_0_passes() {
        assert_eq!(judge(false, RunOutcome::Exited(0)), Some(Outcome::Pass(DynamicWeight::Untouched)));
        assert_eq!(judge(false, RunOutcome::Exited(2)), Some(Outcome::Fail(Failure::Exit(2))));
    }

    #[test]
    fn misc_dynamic_sets_the_weight_to_the_status_less_two() {
        assert_eq!(judge(true, RunOutcome::Exited(0)), Some(Outcome::Pass(DynamicWeight::Configured)));
        assert_eq!(judge(true, RunOutcome::Exited(1)), Some(Outcome::Fail(Failure::Exit(1))));
        assert_eq!(judge(true, RunOutcome::Exited(2)), set(0));
        assert_eq!(judge(true, RunOutcome::Exited(255)), set(253));
    }

    #[test]
    fn signals_time_limits_and_refusals_fail() {
        assert_eq!(judge(true, RunOutcome::Signalled(9)), Some(Outcome::Fail(Failure::Signal(9))));
        assert_eq!(judge(true, RunOutcome::TimedOut), Some(Outcome::Fail(Failure::ScriptTimeout)));
        assert_eq!(judge(false, RunOutcome::NotRun), Some(Outcome::Fail(Failure::ScriptNotRun)));
    }

    #[test]
    fn what_this_machine_could_not_start_says_nothing() {
        assert_eq!(judge(true, RunOutcome::NotStarted), None);
    }
}
