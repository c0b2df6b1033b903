//! How a death is judged: whose fault it was, and when its successor starts.
//!
//! Pure: the time is an argument. Called by [`super`] with what the kernel said of the end, which is trusted.

use std::time::Duration;

use config::model::units::MonoTime;
use ipc::messages::Level;
use sandbox::system::process::Ending;

use super::{Action, Fault, Phase, START_PATIENCE, Serial, Step, Supervisor};

/// What a successor has at least, however short the patience of the peers: an earlier kill would come too early for a
/// start on a loaded machine and too late for the peers.
const LEAST_START_PATIENCE: Duration = Duration::from_secs(1);
/// What a start takes on a loaded machine, for the decision to release before a wait.
const START_ESTIMATE: Duration = Duration::from_millis(60);
/// What a start takes at least. A release takes as long and gives the addresses away for certain.
const QUICKEST_START: Duration = Duration::from_millis(5);
/// Starts in a row that are tried again at once though somebody else has ended each before it acted: where there is no
/// memory for a daemon, the kernel does so for ever.
const MOST_KILLED_STARTS: u8 = 10;
/// The wait before each further one.
const KILLED_PAUSE: Duration = Duration::from_secs(1);
/// A successor that lived this long after its commit has ended its first send cycle.
const PROVEN: Duration = Duration::from_secs(2);

/// Deaths that count, and the wait before the next start.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    counted: Vec<MonoTime>,
    step: u32,
}

impl BackOff {
    const WINDOW: Duration = Duration::from_secs(60);
    const IMMEDIATE: usize = 3;

    /// Wait before the restart that follows a death at `now` which counts.
    fn delay(&mut self, now: MonoTime) -> Duration {
        self.counted.retain(|&death| now.since(death) < Self::WINDOW);
        self.counted.push(now);
        if self.counted.len() <= Self::IMMEDIATE {
            self.step = 0;
            return Duration::ZERO;
        }
        let delay = Duration::from_secs(1_u64.checked_shl(self.step).unwrap_or(u64::MAX).min(60));
        self.step = self.step.saturating_add(1).min(6);
        delay
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a death that doesn't fit the phase changes nothing, whatever the phase"
)]
impl Supervisor {
    /// A process has ended. `masters` is the shortest patience that peers still have with any Master instance.
    pub fn died(
        &mut self,
        serial: Serial,
        next: Serial,
        ending: Ending,
        masters: Option<Duration>,
        now: MonoTime,
        out: &mut Vec<Action>,
    ) {
        let fault = self.fault.take_if(|(found, _)| *found == serial).map(|(_, fault)| fault);
        let _has_left = self.leaving.take_if(|(left, _)| *left == serial);
        match self.phase.clone() {
            Phase::Stopping { serial: current, .. } if current == serial => {
                if ending != Ending::Exited(0) {
                    out.push(Action::Release);
                }
                self.phase = Phase::Absent;
            }
            Phase::Starting { serial: current, .. } if current == serial && self.ending => {
                out.push(Action::Release);
                self.ending = false;
                self.phase = Phase::Absent;
            }
            Phase::Replacing { old, old_since, new, step, .. } if new == serial => {
                if step == Step::Committing {
                    out.push(Action::Resume(old));
                }
                let why = format!("the new {} {}", self.daemon.name(), describe(ending, fault));
                out.push(Action::NotReplaced(why));
                self.phase = Phase::Running { serial: old, since: old_since };
            }
            Phase::Replacing { old, new, step, deadline, ordered, .. } if old == serial => {
                if step == Step::Quiescing {
                    out.push(Action::Commit(new));
                }
                let step = if step == Step::Quiescing { Step::Committing } else { step };
                let cause = format!("old process {}", describe(ending, fault));
                self.restarts = self.restarts.saturating_add(1);
                out.push(Action::Replaced { old, new, took: now.since(ordered) });
                self.phase = Phase::Starting { serial: new, step, deadline, origin: Some((now, cause)) };
            }
            Phase::Starting { serial: current, .. } if current == serial => {
                self.restart((serial, next), ending, fault, true, masters, now, out);
            }
            Phase::Running { serial: current, since } if current == serial => {
                let early = self.last_restart.is_some() && now.since(since) < PROVEN;
                if !early {
                    self.early_deaths = 0;
                }
                self.restart((serial, next), ending, fault, early, masters, now, out);
            }
            _ => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one death, all needed by the rule")]
    fn restart(
        &mut self,
        (dead, next): (Serial, Serial),
        ending: Ending,
        fault: Option<Fault>,
        early: bool,
        masters: Option<Duration>,
        now: MonoTime,
        out: &mut Vec<Action>,
    ) {
        let cause = describe(ending, fault);
        out.push(Action::Died(dead, cause.clone()));
        if !self.respawn {
            out.push(Action::Release);
            out.push(Action::GiveUp);
            self.phase = Phase::Absent;
            return;
        }
        let own = is_own_fault(ending, fault);
        if own && early {
            self.early_deaths = self.early_deaths.saturating_add(1);
        }
        if !own && matches!(self.phase, Phase::Starting { .. }) {
            self.killed_starts = self.killed_starts.saturating_add(1);
        }
        let delay = match own {
            true => self.back_off.delay(now),
            false if self.killed_starts > MOST_KILLED_STARTS => KILLED_PAUSE,
            false => Duration::ZERO,
        };
        let estimate = if delay.is_zero() { QUICKEST_START } else { START_ESTIMATE };
        let too_slow = masters.is_some_and(|patience| delay.saturating_add(estimate) > patience);
        let released = too_slow || self.early_deaths >= 2;
        if released {
            out.push(Action::Release);
        }
        self.restarts = self.restarts.saturating_add(1);
        if delay.is_zero() {
            // Peers take over when their patience ends: a successor that hangs must not hold the addresses for long. What
            // was released holds nobody up, and the release comes first.
            let patience = masters
                .filter(|_| !released)
                .map_or(START_PATIENCE, |left| left.clamp(LEAST_START_PATIENCE, START_PATIENCE));
            self.spawn(next, now, patience, Some((now, cause)), out);
        } else {
            let text = format!("{} is restarted in {} s", self.daemon.name(), delay.as_secs());
            out.push(Action::Log(Level::Warning, text));
            self.phase = Phase::Waiting { until: now + delay, died: now, cause };
        }
    }
}

/// True for a death that the daemon brought about: it counts for back-off and poison. SIGKILL and SIGTERM from
/// outside don't; a fault signal does, wherever it came from.
fn is_own_fault(ending: Ending, fault: Option<Fault>) -> bool {
    match (ending, fault) {
        (_, Some(Fault::Stopped)) => false,
        (_, Some(Fault::Violation | Fault::Hung | Fault::Late)) | (Ending::Exited(_), None) => true,
        (Ending::Signalled(signal), None) => signal != SIGKILL && signal != SIGTERM,
    }
}

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

fn describe(ending: Ending, fault: Option<Fault>) -> String {
    match (fault, ending) {
        (Some(Fault::Violation), _) => "broke the protocol and was killed".to_owned(),
        (Some(Fault::Stopped), _) => "was stopped by a signal and replaced".to_owned(),
        (Some(Fault::Hung), _) => "hung and was killed".to_owned(),
        (Some(Fault::Late), _) => "wasn't ready in time and was killed".to_owned(),
        (None, Ending::Exited(status)) => format!("died with exit status {status}"),
        (None, Ending::Signalled(signal)) => format!("died by signal {signal}"),
    }
}
