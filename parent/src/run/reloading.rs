//! A new configuration: read by the worker, prepared by all daemons, then committed or given up as a whole.
//!
//! Driver. Whether answers make a commit or an abort is [`crate::reload`]'s decision, what goes on unchanged the
//! broker's and the daemons'. The worker is believed; daemons may refuse, die or stay silent, and hold up a reload for
//! no longer than its deadlines.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::Duration;

use config::model::process::ProcessSettings;
use config::model::units::{Generation, MonoTime};
use ipc::messages::ctl::events::EventKind;
use ipc::messages::ctl::{Daemon, Reloaded};
use ipc::messages::vrrpd::ParentToVrrpd;
use ipc::messages::{Level, Refusal, ToDaemon};
use ipc::slots::Slots;

use super::launch::is_started_otherwise;
use super::link::Link;
use super::own::FILES;
use super::processes::lend;
use super::{Source, Suite};
use crate::boot;
use crate::environment;
use crate::findings::{self, Report};
use crate::reload::{Outcome, Reload};
use crate::service;
use crate::supervisor::{Fault, Serial};
use crate::worker::{self, Loading, Parts, WorkerError};

/// Where a reload stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// The worker reads; its socket is watched under this key.
    Loading(Box<Loading>, usize),
    /// It has been read, but a daemon is being started: it will be asked when it runs.
    Held(Box<Parts>, Report),
    /// The daemons prepare.
    Preparing(Box<Preparing>),
}

/// A configuration that daemons prepare.
#[derive(Debug)]
pub(super) struct Preparing {
    reload: Reload,
    parts: Rc<Parts>,
    slots: Slots,
    report: Report,
    asked: Vec<(Daemon, Serial)>,
    /// All are ready, these but for their sandboxes: what is left to wait for are files that it tracks.
    agreed: Option<BTreeSet<Daemon>>,
    /// How long those are waited for.
    files_until: MonoTime,
}

/// A configuration whose confirmation is awaited.
#[derive(Debug)]
pub(super) struct Committing {
    waiting: BTreeSet<Daemon>,
    report: Report,
    deadline: MonoTime,
    /// Transitions of each instance before: what stays the same may have to be told again.
    transitions: BTreeMap<String, u64>,
}

/// Time that a daemon may take from `Commit` to `Committed`.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

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
        let busy =
            self.stage.is_some() || self.committing.is_some() || self.is_starting() || self.is_held_up();
        if busy || !self.reload_again || self.stopping.is_some() {
            return;
        }
        self.reload_again = false;
        service::reloading();
        self.show_reload(true);
        self.say(Level::Info, "Reloading ...");
        for line in boot::opening(&self.settings.config.path) {
            self.say(Level::Info, &line);
        }
        let identity = self.settings.identities.map(|all| all[3]);
        let settings = &self.settings;
        let started = Loading::start(&settings.daemon_dir, identity, &settings.config, now);
        match started {
            Ok(loading) => self.watch_worker(loading),
            Err(error) => self.end_reload(Err(error.to_string())),
        }
    }

    /// True while a daemon has been started but does not act yet, or is about to be.
    fn is_starting(&self) -> bool {
        self.releasing.is_some()
            || self
                .supervisors
                .values()
                .any(|supervisor| matches!(supervisor.phase_word(), "starting" | "replacing"))
    }

    fn watch_worker(&mut self, loading: Loading) {
        let keys = [self.key(Source::Worker), self.key(Source::Doomed)];
        let watched = self
            .reactor
            .watch_reads(loading.fd(), keys[0])
            .and_then(|()| self.reactor.watch_reads(loading.process.pidfd.as_raw_fd(), keys[1]));
        match watched {
            Ok(()) => self.stage = Some(Stage::Loading(Box::new(loading), keys[0])),
            Err(error) => {
                self.abandon(loading.process, keys);
                self.end_reload(Err(error.to_string()));
            }
        }
    }

    /// The worker's socket is readable.
    pub(super) fn on_worker(&mut self, key: usize, now: MonoTime) {
        let Some(Stage::Loading(loading, current)) = &mut self.stage else { return };
        if *current != key {
            return;
        }
        let outcome = match loading.ready() {
            Ok(None) => return,
            other => other,
        };
        self.retire_worker();
        match outcome {
            Ok(Some(worker::Outcome { parts: Some(parts), report, .. })) => {
                self.note_check(&report.text);
                if let Some(why) = self.new_complaints(&parts) {
                    return self.end_reload(Err(why));
                }
                self.save_configuration(&parts);
                self.stage = Some(Stage::Held(Box::new(parts), report));
                self.ask_when_settled(now);
            }
            Ok(Some(refused)) => {
                let text = refused.report.text;
                self.note_check(&text);
                for line in text.lines() {
                    self.say(Level::Error, line);
                }
                self.end_reload(Err(text));
            }
            Ok(None) => {}
            Err(error) => self.end_reload(Err(error.to_string())),
        }
    }

    /// What a start would pass over but the configuration in use doesn't have, in words: nothing is lost by refusing it.
    fn new_complaints(&mut self, parts: &Parts) -> Option<String> {
        if self.settings.config.compatible {
            return None;
        }
        let unheard = findings::unheard(&parts.complaints, &self.parts.complaints);
        let lines: Vec<String> = unheard.into_iter().map(ToString::to_string).collect();
        for line in &lines {
            self.say(Level::Error, line);
        }
        (!lines.is_empty()).then(|| lines.join("\n") + "\n")
    }

    /// The worker has done its work, or is out of time.
    fn retire_worker(&mut self) {
        if let Some(Stage::Loading(loading, key)) = self.stage.take() {
            self.sources.remove(&key);
            loading.end();
            self.doomed.push(loading.process.pidfd);
        }
    }

    /// Everything ends: whatever is under way for a new configuration is given up.
    pub(super) fn cancel_reload(&mut self) {
        match &self.stage {
            Some(Stage::Loading(..)) => self.retire_worker(),
            Some(Stage::Preparing(_)) => self.abort_reload("the suite stops".to_owned()),
            Some(Stage::Held(..)) | None => {}
        }
        self.stage = None;
        self.reload_again = false;
        if self.committing.take().is_some() || !self.reload_waiters.is_empty() {
            self.end_reload(Err("the suite stops".to_owned()));
        }
    }

    /// Asks the daemons to prepare what the worker has read, once none of them is being started: that one would know
    /// the configuration before only.
    fn ask_when_settled(&mut self, now: MonoTime) {
        if !matches!(self.stage, Some(Stage::Held(..))) || self.is_starting() {
            return;
        }
        if let Some(Stage::Held(parts, report)) = self.stage.take() {
            self.ask_to_prepare(*parts, report, now);
        }
    }

    fn ask_to_prepare(&mut self, parts: Parts, report: Report, now: MonoTime) {
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
            let concerned = match daemon {
                Daemon::Vrrpd => parts.has_vrrp,
                // Without anything to check it ends, but tells first what the reload takes from it.
                Daemon::Checkd => true,
                Daemon::Ipvsd => parts.has_checks || parts.has_sync,
            };
            let Some(supervisor) = self.supervisors.get(&daemon) else { continue };
            let Some(serial) = supervisor.acting().filter(|_| supervisor.is_running() && concerned) else {
                continue;
            };
            let Some(process) = self.processes.get_mut(&serial) else { continue };
            let (memory, model) = match (&mut process.link, daemon) {
                (Link::Vrrpd(channel), _) => {
                    let memory = ParentToVrrpd::Memory { generation, inherited: true, sockets: Vec::new() };
                    (channel.send(&memory, &[slots.as_fd()]), parts.vrrpd.as_fd())
                }
                (Link::Checkd(channel), _) => {
                    let sent = lend(
                        channel,
                        generation,
                        &parts.parent.sockets,
                        &self.settings.place.run_dir,
                        &mut self.log,
                    );
                    (sent, parts.checkd.as_fd())
                }
                _ => (Ok(()), parts.ipvsd.as_fd()),
            };
            let sent = memory.and_then(|()| process.link.tell(ToDaemon::Prepare { generation }, &[model]));
            self.check_sent(serial, sent);
            asked.push((daemon, serial));
        }
        for look in self.files.foresee(&parts.parent.files) {
            self.errands.ask(look);
        }
        let reload = Reload::new(generation, asked.iter().map(|(daemon, _)| *daemon), now);
        let outcome = reload.outcome();
        let (agreed, files_until) = (None, now + FILES);
        let preparing = Preparing { reload, parts, slots, report, asked, agreed, files_until };
        self.stage = Some(Stage::Preparing(Box::new(preparing)));
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
            let report = std::mem::take(&mut committing.report);
            let before = std::mem::take(&mut committing.transitions);
            self.committing = None;
            self.repeat_states(&before);
            self.end_reload(Ok(report));
        }
    }

    fn decide_reload(&mut self, outcome: Outcome, now: MonoTime) {
        match outcome {
            Outcome::Pending => {}
            Outcome::Commit(wider) => {
                if let Some(Stage::Preparing(preparing)) = &mut self.stage {
                    preparing.agreed = Some(wider);
                }
                self.commit_when_foreseen(now);
            }
            Outcome::Interrupted(why) if !self.reload_interrupted => {
                self.reload_interrupted = true;
                self.say(Level::Warning, &format!("Reload is tried again: {why}"));
                self.recall_preparing();
                // It begins once the successor runs; who has asked for it waits on.
                self.reload_again = true;
            }
            Outcome::Abort(why) | Outcome::Interrupted(why) => self.abort_reload(why),
        }
    }

    /// Commits what all are ready for, once it is known what its tracked files hold, or they don't answer.
    pub(super) fn commit_when_foreseen(&mut self, now: MonoTime) {
        let Some(Stage::Preparing(preparing)) = &mut self.stage else { return };
        if self.files.is_foreseeing() && now < preparing.files_until {
            return;
        }
        if let Some(wider) = preparing.agreed.take() {
            self.commit_reload(&wider, now);
        }
    }

    fn abort_reload(&mut self, why: String) {
        self.recall_preparing();
        self.end_reload(Err(why));
    }

    /// Nobody is to use what is being prepared.
    fn recall_preparing(&mut self) {
        let Some(Stage::Preparing(preparing)) = self.stage.take() else { return };
        let generation = preparing.reload.generation();
        for (_, serial) in preparing.asked {
            self.tell(serial, ToDaemon::Abort(generation));
        }
    }

    fn commit_reload(&mut self, wider: &BTreeSet<Daemon>, now: MonoTime) {
        let Some(Stage::Preparing(preparing)) = self.stage.take() else { return };
        let Preparing { reload, parts, slots, report, asked, .. } = *preparing;
        let generation = reload.generation();
        self.notify_removed(&parts, now);
        self.warn_of_reduced_root(&parts);
        let old = Rc::clone(self.broker.part());
        // vrrpd has written on since the slots were copied for it.
        if let Err(error) = self.vault.copy_slots(&slots, &old.instances, &parts.parent.instances) {
            self.say(Level::Error, &format!("slots: {error}"));
        }
        self.vault.use_slots(slots);
        self.show_reload(false);
        self.settle_processes(&old.process, &parts.parent.process);
        self.broker.commit(generation, Rc::clone(&parts.parent));
        self.parts = parts;
        let statuses = self.broker.instance_status().into_iter();
        let transitions = statuses.map(|status| (status.name, status.transitions)).collect();
        self.watch_addresses();
        self.settle_kernel();
        self.watch_tracked(now);
        let mut waiting = BTreeSet::new();
        for (daemon, serial) in asked {
            waiting.insert(daemon);
            let tuned = is_started_otherwise(&old.process, &self.parts.parent.process, daemon);
            let replaced = (tuned || wider.contains(&daemon)) && self.is_needed(daemon);
            // checkd alone knows what the reload means for the states of servers, and tells before it is replaced.
            if replaced && daemon != Daemon::Checkd {
                self.tell(serial, ToDaemon::Abort(generation));
            } else {
                self.tell_all_here(serial);
                self.tell_files_ahead(serial);
                self.tell(serial, ToDaemon::Commit(generation));
                self.tell_tracked(serial);
                self.tell_failovers(serial);
            }
            if replaced {
                let successor = self.serial();
                self.with_supervisor(daemon, |supervisor, out| supervisor.replace(successor, now, out));
            }
        }
        let deadline = now + COMMIT_PATIENCE;
        self.committing = Some(Committing { waiting: waiting.clone(), report, deadline, transitions });
        self.note_addresses();
        self.open_pipes();
        self.start_needed(now);
        if waiting.is_empty() {
            self.reload_confirmed(Daemon::Vrrpd);
        }
    }

    /// What of the process settings takes effect by a reload, and what needs a start.
    fn settle_processes(&mut self, old: &ProcessSettings, new: &ProcessSettings) {
        let mask = self.settings.umask.or(new.umask).unwrap_or(environment::UMASK);
        environment::set_umask(mask);
        for supervisor in self.supervisors.values_mut() {
            supervisor.set_stop_patience(new.child_wait_time);
        }
        if let Some(name) = new.names.parent.as_ref().filter(|name| old.names.parent.as_ref() != Some(*name))
            && let Err(error) = sandbox::name_process(name)
        {
            self.say(Level::Warning, &format!("process_name: {error}"));
        }
        let fixed = [
            ("net_namespace", old.namespace != new.namespace),
            ("net_namespace_ipvs", old.ipvs_namespace != new.ipvs_namespace),
            ("instance", old.instance != new.instance),
            ("use_pid_dir", old.use_pid_dir != new.use_pid_dir),
            ("daemon_uid_range", old.daemon_uid_range != new.daemon_uid_range),
            ("control_group", old.control_group != new.control_group),
            ("status_group", old.status_group != new.status_group),
        ];
        for (keyword, _) in fixed.into_iter().filter(|(_, changed)| *changed) {
            self.say(
                Level::Warning,
                &format!("{keyword} can't change by a reload: it waits for the next start"),
            );
        }
    }

    fn warn_of_reduced_root(&mut self, parts: &Parts) {
        let by_root = parts.parent.scripts.iter().find(|script| script.identity.is_root());
        if let Some(script) = by_root.filter(|_| self.settings.bounding_reduced) {
            let text = format!(
                "script {} runs as root with the few capabilities that this process has kept, until keepalived is \
                 started anew",
                script.name
            );
            self.say(Level::Warning, &text);
        }
    }

    /// A daemon that had to be replaced for the new configuration was not: a fresh start brings it there.
    pub(super) fn reload_missed(&mut self, daemon: Daemon) {
        if self.committing.as_ref().is_some_and(|committing| committing.waiting.contains(&daemon)) {
            self.start_afresh(daemon);
        }
    }

    fn start_afresh(&mut self, daemon: Daemon) {
        self.with_supervisor(daemon, |supervisor, out| {
            if let Some(serial) = supervisor.acting() {
                supervisor.faulty(serial, Fault::Late, out);
            }
        });
    }

    /// Answers everybody who asked.
    fn end_reload(&mut self, result: Result<Report, String>) {
        let generation = self.broker.generation();
        self.show_reload(false);
        self.reload_interrupted = false;
        let waiters = std::mem::take(&mut self.reload_waiters);
        if self.stopping.is_none() {
            service::ready("running");
        }
        match result {
            Ok(report) => {
                for line in &report.warnings {
                    self.say(Level::Warning, line);
                }
                self.say(Level::Info, "Reload complete");
                self.say(Level::Info, &format!("Configuration reloaded generation={generation}"));
                self.last_reload = Some(format!("generation {generation} is in use"));
                let text = format!("generation {generation}");
                self.note_event(EventKind::Suite, "keepalived", "reloaded", &text);
                self.reload_answers.keep(
                    waiters,
                    &Reloaded { generation, warnings: report.text },
                    ipc::reactor::now(),
                );
            }
            Err(why) => {
                let first = why.lines().next().unwrap_or_default().to_owned();
                self.say(Level::Error, &format!("Reload refused, the old configuration stays: {first}"));
                self.note_event(EventKind::Suite, "keepalived", "reload refused", &first);
                self.last_reload = Some(format!("refused: {first}"));
                for client in waiters {
                    self.control.fail(client, "org.keepalived.Control.NotReloaded", &why);
                }
            }
        }
    }

    pub(super) fn reload_deadline(&self) -> Option<MonoTime> {
        match &self.stage {
            Some(Stage::Loading(loading, _)) => Some(loading.deadline),
            Some(Stage::Preparing(preparing)) if preparing.agreed.is_some() => Some(preparing.files_until),
            Some(Stage::Preparing(preparing)) => Some(preparing.reload.deadline()),
            Some(Stage::Held(..)) | None => self.committing.as_ref().map(|committing| committing.deadline),
        }
    }

    /// When the next slice of what the worker has written is read.
    pub(super) fn reading_deadline(&self, now: MonoTime) -> Option<MonoTime> {
        matches!(&self.stage, Some(Stage::Loading(loading, _)) if loading.is_reading()).then_some(now)
    }

    pub(super) fn tick_reload(&mut self, now: MonoTime) {
        if let Some(Stage::Loading(loading, key)) = &self.stage
            && loading.is_reading()
        {
            self.on_worker(*key, now);
        }
        match &self.stage {
            Some(Stage::Loading(loading, _)) if now >= loading.deadline => {
                self.retire_worker();
                self.end_reload(Err(WorkerError::Late.to_string()));
            }
            Some(Stage::Preparing(preparing)) if preparing.agreed.is_some() => self.commit_when_foreseen(now),
            Some(Stage::Preparing(preparing)) => {
                let outcome = preparing.reload.tick(now);
                if now >= preparing.reload.deadline() {
                    self.decide_reload(outcome, now);
                }
            }
            Some(Stage::Held(..)) => self.ask_when_settled(now),
            Some(Stage::Loading(..)) | None => {}
        }
        if let Some(committing) = &mut self.committing
            && now >= committing.deadline
        {
            committing.deadline = now + COMMIT_PATIENCE;
            for daemon in committing.waiting.clone() {
                self.start_afresh(daemon);
            }
        }
        self.begin_reload(now);
    }
}
