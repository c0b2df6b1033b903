//! Scripts that daemons, changes of state and the suite itself want: started, awaited, and what came of them.
//!
//! Driver. How a script is run is [`crate::effects::script`]'s, which one and with which words the broker's and
//! [`crate::effects::notify`]'s. Daemons name scripts by their identifiers.

use std::collections::VecDeque;

use config::model::units::{Generation, MonoTime, ScriptId};
use ipc::messages::checkd::ParentToCheckd;
use ipc::messages::ctl::Daemon;
use ipc::messages::vrrpd::ParentToVrrpd;
use ipc::messages::{Level, RunOutcome};

use super::link::Link;
use super::{Source, Suite};
use crate::effects::notify::Job;
use crate::effects::script::{Ended, Purpose, RunError};

impl Suite {
    /// Runs a script that nobody waits for, or keeps it for its turn.
    pub(super) fn run_paced(&mut self, generation: Generation, script: ScriptId, now: MonoTime) {
        if self.paces.admits_or_keeps((generation, script), now) {
            self.run_notify(generation, script, now);
        }
    }

    fn run_notify(&mut self, generation: Generation, script: ScriptId, now: MonoTime) {
        let _told_already =
            self.start_script(&Job { generation, script, extra: Vec::new() }, Purpose::Nobody, now);
    }

    /// Runs a script for a daemon that waits for the outcome, at most as often as it may. What would come too soon, as
    /// from a successor that asks again, says nothing of what the script looks at.
    pub(super) fn run_awaited(
        &mut self,
        generation: Generation,
        script: ScriptId,
        purpose: Purpose,
        now: MonoTime,
    ) {
        let job = Job { generation, script, extra: Vec::new() };
        let outcome = if self.paces.admits((generation, script), now) {
            self.start_script(&job, purpose.clone(), now).err().and_then(|error| error.outcome())
        } else {
            Some(RunOutcome::NotStarted)
        };
        if let Some(outcome) = outcome {
            self.deliver(purpose, outcome);
        }
    }

    /// Scripts that came too soon after themselves have their turn.
    pub(super) fn tick_paces(&mut self, now: MonoTime) {
        for (generation, script) in self.paces.due(now) {
            self.run_notify(generation, script, now);
        }
    }

    /// Starts the scripts of one change of an instance.
    pub(super) fn start_jobs(&mut self, name: &str, jobs: Vec<Job>, now: MonoTime) {
        let mut jobs = VecDeque::from(jobs);
        while let Some(job) = jobs.pop_front() {
            if self.start_script(&job, Purpose::Instance(name.to_owned()), now).is_err() {
                jobs.extend(self.queues.ended(name, now));
            }
        }
    }

    /// Starts a script; the reason why it did not start is logged.
    pub(super) fn start_script(
        &mut self,
        job: &Job,
        purpose: Purpose,
        now: MonoTime,
    ) -> Result<(), RunError> {
        let part = self.broker.part_of(job.generation).cloned().ok_or(RunError::Unknown)?;
        let script = part.scripts.get(job.script.index()).ok_or(RunError::Unknown)?;
        let key = self.key(Source::Script);
        let asker = asker(&purpose);
        match self.runner.start(key, script, &job.extra, purpose, part.process.symlink_paths, now) {
            Ok(fd) => {
                if let Err(error) = self.reactor.watch_reads(fd, key) {
                    // Its end is seen when it comes to its time limit, at the latest.
                    self.say(Level::Error, &format!("script {} is not watched: {error}", script.name));
                }
                Ok(())
            }
            Err(error) => {
                self.sources.remove(&key);
                if !matches!(error, RunError::Busy | RunError::Awaited | RunError::Stuck) {
                    let text = format!("script {} did not run: {error}", script.name);
                    self.say_for(asker, Level::Error, &text);
                }
                Err(error)
            }
        }
    }

    /// A script's pidfd is readable.
    pub(super) fn on_script(&mut self, key: usize, now: MonoTime) {
        let Some(ended) = self.runner.ready(key) else { return };
        self.sources.remove(&key);
        self.end_script(ended, now);
    }

    /// Ends scripts that are out of time.
    pub(super) fn tick_scripts(&mut self, now: MonoTime) {
        for ended in self.runner.tick(now) {
            self.end_script(ended, now);
        }
    }

    fn end_script(&mut self, ended: Ended, now: MonoTime) {
        let Ended { purpose, name, outcome, not_executed, left_behind } = ended;
        let asker = asker(&purpose);
        if let Some(error) = not_executed.filter(|_| outcome != RunOutcome::TimedOut) {
            self.say_for(asker, Level::Error, &format!("script {name} did not run: {error}"));
        }
        if let Some(pid) = left_behind {
            let text = format!(
                "script {name} hangs in the kernel, process {pid} does not end; it is not run again before that"
            );
            self.say(Level::Error, &text);
        }
        // Whoever asked for a check tells what came of it; a reader ends with the suite.
        let is_told = match purpose {
            Purpose::Tracked(..) | Purpose::Check(..) => true,
            Purpose::FifoReader(_) => self.stopping.is_some(),
            Purpose::Instance(_) | Purpose::Nobody | Purpose::Startup => false,
        };
        if outcome == RunOutcome::TimedOut && !is_told {
            self.say_for(asker, Level::Warning, &format!("script {name} ran out of time and was ended"));
        }
        self.deliver(purpose.clone(), outcome);
        match purpose {
            Purpose::Instance(instance) => {
                let jobs = self.queues.ended(&instance, now);
                self.start_jobs(&instance, jobs, now);
            }
            Purpose::FifoReader(path) => {
                self.fifo_readers.remove(&path);
                if self.stopping.is_none() {
                    self.say(Level::Warning, &format!("the reader of FIFO {path} ended"));
                }
            }
            Purpose::Startup => self.end_startup(outcome, now),
            Purpose::Tracked(..) | Purpose::Check(..) | Purpose::Nobody => {}
        }
    }

    fn deliver(&mut self, purpose: Purpose, outcome: RunOutcome) {
        let daemon = match &purpose {
            Purpose::Tracked(..) => Daemon::Vrrpd,
            Purpose::Check(..) => Daemon::Checkd,
            Purpose::Instance(_) | Purpose::Nobody | Purpose::FifoReader(_) | Purpose::Startup => return,
        };
        let Some(serial) = self.supervisors.get(&daemon).and_then(|supervisor| supervisor.acting()) else {
            return;
        };
        let Some(process) = self.processes.get_mut(&serial) else { return };
        let sent = match (&mut process.link, purpose) {
            (Link::Vrrpd(channel), Purpose::Tracked(generation, script)) => {
                channel.send(&ParentToVrrpd::ScriptResult { generation, script, outcome }, &[])
            }
            (Link::Checkd(channel), Purpose::Check(generation, check, _)) => {
                channel.send(&ParentToCheckd::ScriptResult { generation, check, outcome }, &[])
            }
            _ => Ok(()),
        };
        self.check_sent(serial, sent);
    }
}

/// The daemon that wanted a run.
fn asker(purpose: &Purpose) -> Option<Daemon> {
    match purpose {
        Purpose::Tracked(..) | Purpose::Instance(_) => Some(Daemon::Vrrpd),
        Purpose::Check(..) | Purpose::Nobody => Some(Daemon::Checkd),
        Purpose::FifoReader(_) | Purpose::Startup => None,
    }
}
