//! A new configuration: read by the worker, prepared by all daemons, then committed or given up as a whole.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use config::model::process::InstanceNotify;
use config::model::units::{Generation, MonoTime, Priority};
use ipc::messages::ctl::{Daemon, Reloaded};
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpState};
use ipc::messages::{Level, Refusal, ToDaemon};
use ipc::slots::Slots;

use super::processes::Link;
use super::{Source, Suite};
use crate::effects::notify::{self, Told};
use crate::reload::{Outcome, Reload};
use crate::service;
use crate::supervisor::Serial;
use crate::worker::{self, Loading, Parts, WorkerError};

/// Where a reload stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// The worker reads.
    Loading(Box<Loading>),
    /// The daemons prepare.
    Preparing(Box<Preparing>),
}

/// A configuration that daemons prepare.
#[derive(Debug)]
pub(super) struct Preparing {
    reload: Reload,
    parts: Rc<Parts>,
    slots: Slots,
    warnings: String,
    asked: Vec<(Daemon, Serial)>,
}

/// A configuration whose confirmation is awaited.
#[derive(Debug)]
pub(super) struct Committing {
    waiting: BTreeSet<Daemon>,
    warnings: String,
}

impl Suite {
    /// Somebody wants the configuration to be read again. `client` is answered at the end.
    pub(super) fn order_reload(&mut self, client: Option<usize>, now: MonoTime) {
        if self.stopping.is_some() {
            if let Some(client) = client {
                self.control.fail(client, "org.keepalived.Control.NotReloaded", "the suite stops");
            }
            return;
        }
        self.reload_waiters.extend(client);
        self.reload_again = true;
        self.begin_reload(now);
    }

    /// Starts the reload that was asked for, unless something else is under way.
    fn begin_reload(&mut self, now: MonoTime) {
        let busy = self.stage.is_some()
            || self.committing.is_some()
            || self.releasing.is_some()
            || self
                .supervisors
                .values()
                .any(|supervisor| matches!(supervisor.phase_word(), "starting" | "replacing"));
        if busy || !self.reload_again || self.stopping.is_some() {
            return;
        }
        self.reload_again = false;
        service::reloading();
        self.say(Level::Info, "Reloading ...");
        let identity = self.settings.identities.map(|all| all[3]);
        let settings = &self.settings;
        let started = Loading::start(
            &settings.executable,
            identity,
            &settings.config_path,
            settings.config_id.as_deref(),
            now,
        );
        match started.and_then(|loading| self.watch_worker(loading)) {
            Ok(loading) => self.stage = Some(Stage::Loading(Box::new(loading))),
            Err(error) => self.end_reload(Err(error.to_string())),
        }
    }

    fn watch_worker(&mut self, loading: Loading) -> Result<Loading, WorkerError> {
        let key = self.key(Source::Worker);
        self.reactor.watch_reads(loading.fd(), key)?;
        let key = self.key(Source::WorkerPidfd);
        self.reactor.watch_reads(loading.process.pidfd.as_raw_fd(), key)?;
        Ok(loading)
    }

    /// The worker's socket is readable.
    pub(super) fn on_worker(&mut self, now: MonoTime) {
        let Some(Stage::Loading(loading)) = &mut self.stage else { return };
        let outcome = match loading.ready() {
            Ok(None) => return,
            other => other,
        };
        self.retire_worker();
        match outcome {
            Ok(Some(worker::Outcome { parts: Some(parts), text, .. })) => {
                self.ask_to_prepare(parts, text, now)
            }
            Ok(Some(refused)) => {
                for line in refused.text.lines() {
                    self.say(Level::Error, line);
                }
                self.end_reload(Err(refused.text));
            }
            Ok(None) => {}
            Err(error) => self.end_reload(Err(error.to_string())),
        }
    }

    /// The worker's process ended: reaped here unless its outcome is still awaited.
    pub(super) fn on_worker_end(&mut self, key: usize) {
        if let Some(Stage::Loading(loading)) = &self.stage {
            let _reaped = sandbox::system::process::wait_pidfd(loading.process.pidfd.as_fd());
        }
        self.sources.remove(&key);
    }

    /// The worker has done its work, or is out of time.
    fn retire_worker(&mut self) {
        if let Some(Stage::Loading(loading)) = self.stage.take() {
            loading.end();
            self.retired_workers.push(*loading);
        }
    }

    fn ask_to_prepare(&mut self, parts: Parts, warnings: String, now: MonoTime) {
        let generation = Generation::new(self.last_generation.value().saturating_add(1));
        self.last_generation = generation;
        let old = Rc::clone(self.broker.part());
        let slots = match self.vault.slots_for(&old.instances, &parts.parent.instances) {
            Ok(slots) => slots,
            Err(error) => return self.end_reload(Err(error.to_string())),
        };
        let parts = Rc::new(parts);
        let mut asked = Vec::new();
        for daemon in Daemon::ALL {
            let still_needed = match daemon {
                Daemon::Vrrpd => parts.has_vrrp,
                Daemon::Checkd | Daemon::Ipvsd => parts.has_checks,
            };
            let Some(supervisor) = self.supervisors.get(&daemon) else { continue };
            let Some(serial) = supervisor.acting().filter(|_| supervisor.is_running() && still_needed) else {
                continue;
            };
            let Some(process) = self.processes.get_mut(&serial) else { continue };
            let (memory, model) = match (&mut process.link, daemon) {
                (Link::Vrrpd(channel), _) => {
                    let memory = ParentToVrrpd::Memory { generation, inherited: true, sockets: Vec::new() };
                    (channel.send(&memory, &[slots.as_fd()]), parts.vrrpd.as_fd())
                }
                (_, Daemon::Checkd) => (Ok(()), parts.checkd.as_fd()),
                _ => (Ok(()), parts.ipvsd.as_fd()),
            };
            let sent = memory.and_then(|()| process.link.tell(ToDaemon::Prepare { generation }, &[model]));
            self.check_sent(serial, sent);
            asked.push((daemon, serial));
        }
        let reload = Reload::new(generation, asked.iter().map(|(daemon, _)| *daemon), now);
        let outcome = reload.outcome();
        self.stage = Some(Stage::Preparing(Box::new(Preparing { reload, parts, slots, warnings, asked })));
        self.decide_reload(outcome, now);
    }

    pub(super) fn reload_prepared(&mut self, daemon: Daemon, generation: Generation, now: MonoTime) {
        if let Some(Stage::Preparing(preparing)) = &mut self.stage {
            let outcome = preparing.reload.prepared(daemon, generation);
            self.decide_reload(outcome, now);
        }
    }

    pub(super) fn reload_refused(
        &mut self,
        daemon: Daemon,
        generation: Generation,
        reason: &Refusal,
        now: MonoTime,
    ) {
        if let Some(Stage::Preparing(preparing)) = &mut self.stage {
            let outcome = preparing.reload.refused(daemon, generation, reason);
            self.decide_reload(outcome, now);
        }
    }

    pub(super) fn reload_saw_death(&mut self, daemon: Daemon, now: MonoTime) {
        if let Some(Stage::Preparing(preparing)) = &mut self.stage
            && preparing.asked.iter().any(|(asked, _)| *asked == daemon)
        {
            let outcome = preparing.reload.died(daemon);
            self.decide_reload(outcome, now);
        }
        self.reload_confirmed(daemon);
    }

    /// A daemon uses the new configuration, or a successor of it will.
    pub(super) fn reload_confirmed(&mut self, daemon: Daemon) {
        let Some(committing) = &mut self.committing else { return };
        committing.waiting.remove(&daemon);
        if committing.waiting.is_empty() {
            let warnings = std::mem::take(&mut committing.warnings);
            self.committing = None;
            self.end_reload(Ok(warnings));
        }
    }

    fn decide_reload(&mut self, outcome: Outcome, now: MonoTime) {
        match outcome {
            Outcome::Pending => {}
            Outcome::Commit(wider) => self.commit_reload(&wider, now),
            Outcome::Abort(why) => self.abort_reload(why),
        }
    }

    fn abort_reload(&mut self, why: String) {
        let Some(Stage::Preparing(preparing)) = self.stage.take() else { return };
        let generation = preparing.reload.generation();
        for (_, serial) in preparing.asked {
            self.tell(serial, ToDaemon::Abort(generation));
        }
        self.end_reload(Err(why));
    }

    fn commit_reload(&mut self, wider: &BTreeSet<Daemon>, now: MonoTime) {
        let Some(Stage::Preparing(preparing)) = self.stage.take() else { return };
        let Preparing { reload, parts, slots, warnings, asked } = *preparing;
        let generation = reload.generation();
        self.notify_removed(&parts, now);
        self.vault.use_slots(slots);
        self.broker.commit(generation, Rc::new(parts.parent.clone()));
        self.parts = parts;
        let mut waiting = BTreeSet::new();
        for (daemon, serial) in asked {
            waiting.insert(daemon);
            if wider.contains(&daemon) {
                self.tell(serial, ToDaemon::Abort(generation));
                let successor = self.serial();
                self.with_supervisor(daemon, |supervisor, out| supervisor.replace(successor, now, out));
            } else {
                self.tell(serial, ToDaemon::Commit(generation));
            }
        }
        self.committing = Some(Committing { waiting: waiting.clone(), warnings });
        self.note_addresses();
        self.open_pipes(now);
        self.start_needed(now);
        if waiting.is_empty() {
            self.reload_confirmed(Daemon::Vrrpd);
        }
    }

    /// Without `notify_deleted`, scripts of an instance that the new file no longer has are told FAULT.
    fn notify_removed(&mut self, parts: &Parts, now: MonoTime) {
        let old = Rc::clone(self.broker.part());
        let generation = self.broker.generation();
        let kept: BTreeSet<&str> =
            parts.parent.instances.iter().map(|instance| instance.name.as_str()).collect();
        for instance in old.instances.iter().filter(|instance| !kept.contains(instance.name.as_str())) {
            let scripts: &InstanceNotify = &instance.notify;
            let told = Told::State(VrrpState::Fault);
            let jobs = notify::jobs(scripts, generation, &instance.name, told, Priority::RESIGN);
            let jobs = self.queues.push(&instance.name, jobs, now);
            self.start_jobs(&instance.name, jobs, now);
        }
    }

    /// Answers everybody who asked.
    fn end_reload(&mut self, result: Result<String, String>) {
        let generation = self.broker.generation();
        let waiters = std::mem::take(&mut self.reload_waiters);
        service::ready("running");
        match result {
            Ok(warnings) => {
                self.say(Level::Info, &format!("Configuration reloaded generation={generation}"));
                self.last_reload = Some(format!("generation {generation} is in use"));
                for client in waiters {
                    self.control.reply(client, Reloaded { generation, warnings: warnings.clone() });
                }
            }
            Err(why) => {
                let first = why.lines().next().unwrap_or_default().to_owned();
                self.say(Level::Error, &format!("Reload refused, the old configuration stays: {first}"));
                self.last_reload = Some(format!("refused: {first}"));
                for client in waiters {
                    self.control.fail(client, "org.keepalived.Control.NotReloaded", &why);
                }
            }
        }
    }

    pub(super) fn reload_deadline(&self) -> Option<MonoTime> {
        match &self.stage {
            Some(Stage::Loading(loading)) => Some(loading.deadline),
            Some(Stage::Preparing(preparing)) => Some(preparing.reload.deadline()),
            None => None,
        }
    }

    pub(super) fn tick_reload(&mut self, now: MonoTime) {
        self.retired_workers.retain(|worker| {
            matches!(sandbox::system::process::wait_pidfd(worker.process.pidfd.as_fd()), Ok(None))
        });
        match &self.stage {
            Some(Stage::Loading(loading)) if now >= loading.deadline => {
                self.retire_worker();
                self.end_reload(Err(WorkerError::Late.to_string()));
            }
            Some(Stage::Preparing(preparing)) => {
                let outcome = preparing.reload.tick(now);
                if now >= preparing.reload.deadline() {
                    self.decide_reload(outcome, now);
                }
            }
            Some(Stage::Loading(_)) | None => {}
        }
        self.begin_reload(now);
    }
}
