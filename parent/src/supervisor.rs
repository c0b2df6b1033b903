//! Decides when a daemon is started, replaced, killed and given up: one supervisor per daemon.
//!
//! Pure: processes are serial numbers, time is an argument, and what is to be done comes back as [`Action`]s. The
//! loop in `run` performs them and tells what happened. Nothing here trusts the daemon: every step has a deadline.

mod death;

use std::time::Duration;

use config::model::units::MonoTime;
use ipc::messages::Level;
use ipc::messages::ctl::Daemon;

use death::BackOff;

/// Number of a process among all that this parent has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(pub u64);

/// Why the supervisor itself killed a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It broke the protocol.
    Violation,
    /// Its loop stood still; somebody had stopped the process by a signal.
    Stopped,
    /// Its loop stood still by itself.
    Hung,
    /// It did not get ready in time.
    Late,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a process.
    Spawn(Serial),
    /// Hand over the committed configuration; `inherited` says whether a predecessor's state counts.
    Prepare {
        /// To whom.
        serial: Serial,
        /// Its predecessor's state counts.
        inherited: bool,
    },
    /// It may act on the world.
    Commit(Serial),
    /// It must stop acting on the world but stay.
    Quiesce(Serial),
    /// It goes on after all.
    Resume(Serial),
    /// It ends and leaves everything in place.
    Leave(Serial),
    /// It ends and withdraws everything.
    Withdraw(Serial),
    /// SIGKILL.
    Kill(Serial),
    /// Withdraw in its place what the dead process held.
    Release,
    /// A line for the log.
    Log(Level, String),
    /// The process that did the work died of this; it is succeeded unless [`Action::GiveUp`] follows.
    Died(Serial, String),
    /// The ordered restart is complete.
    Replaced {
        /// Process that ended.
        old: Serial,
        /// Process that took over.
        new: Serial,
        /// From order to completion.
        took: Duration,
    },
    /// The ordered restart failed; the old process goes on.
    NotReplaced(String),
    /// Restarts are switched off and the daemon is dead: the suite ends.
    GiveUp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Absent,
    Waiting {
        until: MonoTime,
        died: MonoTime,
        cause: String,
    },
    Starting {
        serial: Serial,
        step: Step,
        deadline: MonoTime,
        origin: Option<(MonoTime, String)>,
    },
    Running {
        serial: Serial,
        since: MonoTime,
    },
    Replacing {
        old: Serial,
        old_since: MonoTime,
        new: Serial,
        step: Step,
        deadline: MonoTime,
        ordered: MonoTime,
    },
    Stopping {
        serial: Serial,
        deadline: MonoTime,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Preparing,
    Quiescing,
    Committing,
}

/// Supervisor of one daemon.
#[derive(Debug)]
pub struct Supervisor {
    daemon: Daemon,
    respawn: bool,
    stop_patience: Duration,
    phase: Phase,
    /// It is starting and shall end as soon as it acts.
    ending: bool,
    /// A process that has been replaced and ought to end, and when it is made to.
    leaving: Option<(Serial, MonoTime)>,
    fault: Option<(Serial, Fault)>,
    early_deaths: u8,
    /// Starts in a row that somebody else ended before the daemon acted.
    killed_starts: u8,
    back_off: BackOff,
    restarts: u64,
    last_restart: Option<String>,
}

/// Time from spawn to `Committed` that a daemon may take.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Time that a replaced process has to end by itself.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);
/// Time after which a start that was late inside the kernel is looked at again; it may wait for several locks in a row.
const EXCUSE: Duration = Duration::from_millis(200);
/// Time that a quiesced daemon may take to say so.
const QUIESCE_PATIENCE: Duration = Duration::from_secs(2);

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an input that doesn't fit the phase changes nothing, whatever the phase"
)]
impl Supervisor {
    /// Nothing runs yet. With `respawn` false the first death ends the suite (`-R`).
    #[must_use]
    pub fn new(daemon: Daemon, respawn: bool, stop_patience: Duration) -> Self {
        Self {
            daemon,
            respawn,
            stop_patience,
            phase: Phase::Absent,
            ending: false,
            leaving: None,
            fault: None,
            early_deaths: 0,
            killed_starts: 0,
            back_off: BackOff::default(),
            restarts: 0,
            last_restart: None,
        }
    }

    /// Time that a stop gives the daemon from now on.
    pub fn set_stop_patience(&mut self, patience: Duration) {
        self.stop_patience = patience;
    }

    /// The configuration needs this daemon.
    pub fn start(&mut self, serial: Serial, now: MonoTime, out: &mut Vec<Action>) {
        self.ending = false;
        if self.phase == Phase::Absent {
            self.spawn(serial, now, START_PATIENCE, None, out);
        }
    }

    /// The configuration no longer needs it, or everything ends. A process that is starting goes on until it acts:
    /// only then it can withdraw what its predecessor held.
    pub fn stop(&mut self, now: MonoTime, out: &mut Vec<Action>) {
        let deadline = now + self.stop_patience;
        match self.phase {
            Phase::Absent | Phase::Stopping { .. } => {}
            Phase::Waiting { .. } => {
                out.push(Action::Release);
                self.phase = Phase::Absent;
            }
            Phase::Starting { deadline: ref mut until, .. } => {
                *until = deadline.min(*until);
                self.ending = true;
            }
            Phase::Running { serial, .. } => {
                out.push(Action::Withdraw(serial));
                self.phase = Phase::Stopping { serial, deadline };
            }
            Phase::Replacing { old, new, step, .. } => {
                out.push(Action::Kill(new));
                if step == Step::Committing {
                    out.push(Action::Resume(old));
                }
                out.push(Action::Withdraw(old));
                out.push(Action::NotReplaced("the suite stops".to_owned()));
                self.phase = Phase::Stopping { serial: old, deadline };
            }
        }
    }

    /// An operator orders a restart: make before break.
    pub fn replace(&mut self, serial: Serial, now: MonoTime, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Running { serial: old, since } => {
                out.push(Action::Spawn(serial));
                self.phase = Phase::Replacing {
                    old,
                    old_since: since,
                    new: serial,
                    step: Step::Greeting,
                    deadline: now + START_PATIENCE,
                    ordered: now,
                };
            }
            Phase::Absent => {
                out.push(Action::NotReplaced(format!(
                    "{} isn't needed by this configuration",
                    self.daemon.name()
                )));
            }
            Phase::Waiting { .. }
            | Phase::Starting { .. }
            | Phase::Replacing { .. }
            | Phase::Stopping { .. } => {
                out.push(Action::NotReplaced(format!("{} is being started or stopped", self.daemon.name())));
            }
        }
    }

    /// A process greeted in a protocol that this parent speaks.
    pub fn greeted(&mut self, serial: Serial, out: &mut Vec<Action>) {
        let inherited = self.inherits();
        match &mut self.phase {
            Phase::Starting { serial: current, step: step @ Step::Greeting, .. } if *current == serial => {
                *step = Step::Preparing;
                out.push(Action::Prepare { serial, inherited });
            }
            Phase::Replacing { new, step: step @ Step::Greeting, .. } if *new == serial => {
                *step = Step::Preparing;
                out.push(Action::Prepare { serial, inherited: true });
            }
            _ => {}
        }
    }

    /// A process greeted in another protocol, or refused the configuration.
    pub fn unusable(&mut self, serial: Serial, why: &str, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Replacing { old, old_since, new, .. } if new == serial => {
                out.push(Action::Kill(new));
                out.push(Action::NotReplaced(why.to_owned()));
                self.phase = Phase::Running { serial: old, since: old_since };
            }
            Phase::Starting { serial: current, .. } if current == serial => {
                out.push(Action::Log(Level::Error, format!("{} can't be used: {why}", self.daemon.name())));
                out.push(Action::Kill(serial));
                self.fault = Some((serial, Fault::Violation));
            }
            _ => {}
        }
    }

    /// A starting process stands ready with the committed configuration.
    pub fn prepared(&mut self, serial: Serial, now: MonoTime, out: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Starting { serial: current, step: step @ Step::Preparing, .. } if *current == serial => {
                *step = Step::Committing;
                out.push(Action::Commit(serial));
            }
            Phase::Replacing { old, new, step: step @ Step::Preparing, deadline, .. } if *new == serial => {
                *step = Step::Quiescing;
                *deadline = now + QUIESCE_PATIENCE;
                out.push(Action::Quiesce(*old));
            }
            _ => {}
        }
    }

    /// The old process of a replacement acts no more. The new one has `patience` to take over, or the old one goes on.
    pub fn quiesced(&mut self, serial: Serial, patience: Duration, now: MonoTime, out: &mut Vec<Action>) {
        if let Phase::Replacing { old, new, step: step @ Step::Quiescing, deadline, .. } = &mut self.phase
            && *old == serial
        {
            *step = Step::Committing;
            *deadline = now + patience.min(START_PATIENCE);
            out.push(Action::Commit(*new));
        }
    }

    /// A process acts on the world with the committed configuration.
    pub fn committed(&mut self, serial: Serial, now: MonoTime, out: &mut Vec<Action>) {
        if self.is_current(serial) {
            self.killed_starts = 0;
        }
        match &self.phase {
            Phase::Starting { serial: current, step: Step::Committing, origin, .. } if *current == serial => {
                if let Some((died, cause)) = origin {
                    let took = now.since(*died);
                    let resumed = if self.early_deaths < 2 { "resumed" } else { "started afresh" };
                    let text = format!("{cause}: {resumed} after {} ms", took.as_millis());
                    out.push(Action::Log(Level::Warning, format!("{} {text}", self.daemon.name())));
                    self.last_restart = Some(text);
                }
                if std::mem::take(&mut self.ending) {
                    out.push(Action::Withdraw(serial));
                    self.phase = Phase::Stopping { serial, deadline: now + self.stop_patience };
                } else {
                    self.phase = Phase::Running { serial, since: now };
                }
            }
            Phase::Replacing { old, new, step: Step::Committing, ordered, .. } if *new == serial => {
                let took = now.since(*ordered);
                out.push(Action::Leave(*old));
                if let Some((earlier, _)) = self.leaving.replace((*old, now + LEAVE_PATIENCE)) {
                    out.push(Action::Kill(earlier));
                }
                out.push(Action::Replaced { old: *old, new: *new, took });
                self.restarts = self.restarts.saturating_add(1);
                self.last_restart = Some(format!("ordered restart: took over after {} ms", took.as_millis()));
                self.phase = Phase::Running { serial, since: now };
            }
            _ => {}
        }
    }

    /// A running or starting process is beyond help: it is killed, its death follows.
    pub fn faulty(&mut self, serial: Serial, fault: Fault, out: &mut Vec<Action>) {
        if self.is_current(serial) && self.fault.is_none_or(|(found, _)| found != serial) {
            self.fault = Some((serial, fault));
            out.push(Action::Kill(serial));
        }
    }

    /// The process whose start is late at `now`, for whoever can tell why it is.
    #[must_use]
    pub fn late(&self, now: MonoTime) -> Option<Serial> {
        match self.phase {
            Phase::Starting { serial, deadline, .. } if now >= deadline => Some(serial),
            _ => None,
        }
    }

    /// The start that is late waits inside the kernel, where no signal ends it and its successor would wait, too. It has
    /// until the next look; what it finds then is its own to judge, by the time of the last advert.
    pub fn excuse(&mut self, now: MonoTime) {
        if let Phase::Starting { deadline, .. } = &mut self.phase {
            *deadline = now + EXCUSE;
        }
    }

    /// Deadlines. Call when [`Self::deadline`] has come.
    pub fn tick(&mut self, next: Serial, now: MonoTime, out: &mut Vec<Action>) {
        if let Some((left, deadline)) = &mut self.leaving
            && now >= *deadline
        {
            out.push(Action::Kill(*left));
            *deadline = now + LEAVE_PATIENCE;
        }
        match self.phase.clone() {
            Phase::Waiting { until, died, cause } if now >= until => {
                self.spawn(next, now, START_PATIENCE, Some((died, cause)), out);
            }
            Phase::Starting { serial, deadline, .. } if now >= deadline => {
                self.faulty(serial, Fault::Late, out);
                self.postpone(now);
            }
            Phase::Stopping { serial, deadline } if now >= deadline => {
                out.push(Action::Log(Level::Warning, format!("{} doesn't stop: killed", self.daemon.name())));
                out.push(Action::Kill(serial));
                self.postpone(now);
            }
            Phase::Replacing { old, old_since, new, step, deadline, .. } if now >= deadline => {
                out.push(Action::Kill(new));
                if step == Step::Committing || step == Step::Quiescing {
                    out.push(Action::Resume(old));
                }
                out.push(Action::NotReplaced(format!("the new {} wasn't ready in time", self.daemon.name())));
                self.phase = Phase::Running { serial: old, since: old_since };
            }
            _ => {}
        }
    }

    /// When [`Self::tick`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        let phase = match &self.phase {
            Phase::Waiting { until, .. } => Some(*until),
            Phase::Starting { deadline, .. }
            | Phase::Stopping { deadline, .. }
            | Phase::Replacing { deadline, .. } => Some(*deadline),
            Phase::Absent | Phase::Running { .. } => None,
        };
        phase.into_iter().chain(self.leaving.map(|(_, deadline)| deadline)).min()
    }

    /// The process that acts on the world, if one does.
    #[must_use]
    pub fn acting(&self) -> Option<Serial> {
        match &self.phase {
            Phase::Running { serial, .. } | Phase::Stopping { serial, .. } => Some(*serial),
            Phase::Replacing { old, new, step, .. } => {
                Some(if *step == Step::Committing { *new } else { *old })
            }
            Phase::Starting { serial, step: Step::Committing, .. } => Some(*serial),
            Phase::Starting { .. } | Phase::Absent | Phase::Waiting { .. } => None,
        }
    }

    /// True while the process with this number is awaited: it has been ordered and has not been given up since.
    #[must_use]
    pub fn awaits(&self, serial: Serial) -> bool {
        match &self.phase {
            Phase::Starting { serial: awaited, .. } => *awaited == serial && !self.ending,
            Phase::Replacing { new, .. } => *new == serial,
            Phase::Absent | Phase::Waiting { .. } | Phase::Running { .. } | Phase::Stopping { .. } => false,
        }
    }

    /// True when one process runs and nothing is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// True when nothing runs and nothing will.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.phase == Phase::Absent
    }

    /// Word for status.
    #[must_use]
    pub fn phase_word(&self) -> &'static str {
        match self.phase {
            Phase::Absent => "stopped",
            Phase::Waiting { .. } => "waiting",
            Phase::Starting { .. } => "starting",
            Phase::Running { .. } => "running",
            Phase::Replacing { .. } => "replacing",
            Phase::Stopping { .. } => "stopping",
        }
    }

    /// Restarts since the parent's start.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Cause and delay of the last restart.
    #[must_use]
    pub fn last_restart(&self) -> Option<&str> {
        self.last_restart.as_deref()
    }

    fn inherits(&self) -> bool {
        self.restarts > 0 && self.early_deaths < 2
    }

    fn is_current(&self, serial: Serial) -> bool {
        match &self.phase {
            Phase::Absent | Phase::Waiting { .. } => false,
            Phase::Starting { serial: current, .. }
            | Phase::Running { serial: current, .. }
            | Phase::Stopping { serial: current, .. } => *current == serial,
            Phase::Replacing { old, new, .. } => *old == serial || *new == serial,
        }
    }

    fn spawn(
        &mut self,
        serial: Serial,
        now: MonoTime,
        patience: Duration,
        origin: Option<(MonoTime, String)>,
        out: &mut Vec<Action>,
    ) {
        out.push(Action::Spawn(serial));
        self.phase = Phase::Starting { serial, step: Step::Greeting, deadline: now + patience, origin };
    }

    /// A kill was sent; its effect comes as a death, but should it not, the deadline comes again.
    fn postpone(&mut self, now: MonoTime) {
        if let Phase::Starting { deadline, .. } | Phase::Stopping { deadline, .. } = &mut self.phase {
            *deadline = now + START_PATIENCE;
        }
    }
}

#[cfg(test)]
mod tests;
