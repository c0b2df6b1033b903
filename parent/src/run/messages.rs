//! Messages of daemons: the common ones go to supervisor and sink, the others through the broker.

use std::time::Duration;

use config::model::process::InstanceNotify;
use config::model::units::{Generation, MonoTime, ScriptId};
use ipc::channel::ReceiveError;
use ipc::handshake;
use ipc::messages::checkd::{CheckdToParent, ParentToCheckd};
use ipc::messages::ctl::Daemon;
use ipc::messages::ctl::events::EventKind;
use ipc::messages::ipvsd::{IpvsdToParent, TableState};
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpdToParent};
use ipc::messages::{FromDaemon, Hello, Level, Refusal, RunOutcome};
use ipc::reactor::{self, Ready};

use super::link::{Incoming, Link};
use super::questions::server_name;
use super::{Source, Suite};
use crate::broker::{Effect, Whose};
use crate::effects::fifo::{self, Subject};
use crate::effects::notify::{self, Job, News, Told};
use crate::effects::script::{Ended, Purpose, RunError};
use crate::plain::plain;
use crate::supervisor::{Fault, Serial, Supervisor};

/// Messages of one daemon that are handled in one turn, so that a talkative one starves nobody.
const PER_TURN: usize = 256;
/// What one daemon's messages may take of one turn; scripts are started by them.
const SHARE: Duration = Duration::from_millis(1);
/// Messages of a dead process that are still handled: more than a socket's queue holds.
const LAST_WORDS: usize = 4096;
/// What is kept of a daemon's name for its build, in bytes.
const LONGEST_BUILD: usize = 64;
/// What is kept of a daemon's reasons, in bytes.
const LONGEST_WHY: usize = 256;
/// Least time that a replacement has to take over from a vrrpd that has quiesced.
const LEAST_TAKE_OVER: Duration = Duration::from_millis(200);

impl Suite {
    /// A daemon's socket is ready.
    pub(super) fn on_channel(&mut self, serial: Serial, event: Ready, now: MonoTime) {
        if event.writable
            && let Some(process) = self.processes.get_mut(&serial)
        {
            process.link.flush();
        }
        if !event.readable {
            return;
        }
        let end = reactor::now() + SHARE;
        for _message in 0..PER_TURN {
            if !self.receive_one(serial, now) {
                return;
            }
            if reactor::now() >= end {
                break;
            }
        }
        self.unfinished.push(event.key);
    }

    /// Everything that a dead process has said.
    pub(super) fn drain(&mut self, serial: Serial, now: MonoTime) {
        for _message in 0..LAST_WORDS {
            if !self.receive_one(serial, now) {
                return;
            }
        }
    }

    fn receive_one(&mut self, serial: Serial, now: MonoTime) -> bool {
        let Some(process) = self.processes.get_mut(&serial) else { return false };
        let (daemon, pid) = (process.daemon, process.pid);
        match process.link.receive() {
            Ok(None) | Err(ReceiveError::Closed) => false,
            Ok(Some(Incoming::Vrrpd(message, fds))) => {
                self.on_vrrpd(serial, message, fds, now);
                true
            }
            Ok(Some(Incoming::Checkd(message))) => {
                self.on_checkd(serial, message, now);
                true
            }
            Ok(Some(Incoming::Ipvsd(message))) => {
                self.on_ipvsd(serial, message, now);
                true
            }
            Err(error) => {
                self.say(Level::Alert, &format!("{}[{pid}]: {error}", daemon.name()));
                self.with_supervisor(daemon, |supervisor, out| {
                    supervisor.faulty(serial, Fault::Violation, out)
                });
                false
            }
        }
    }

    fn on_vrrpd(
        &mut self,
        serial: Serial,
        message: VrrpdToParent,
        fds: Vec<std::os::fd::OwnedFd>,
        now: MonoTime,
    ) {
        match message {
            VrrpdToParent::Common(message) => self.on_common(serial, message, now),
            VrrpdToParent::Vault(key) => {
                let kept = fds.into_iter().next().map(|socket| self.vault.put(key, socket));
                if kept != Some(Ok(())) {
                    self.refuse(serial);
                }
            }
            VrrpdToParent::Unvault(key) => self.vault.drop_socket(&key),
            VrrpdToParent::Explained { generation, instance, election } => {
                self.on_election(serial, generation, instance, &election, now);
            }
            other @ (VrrpdToParent::Transition { .. }
            | VrrpdToParent::PriorityChanged { .. }
            | VrrpdToParent::LowerPriorityHeard { .. }
            | VrrpdToParent::RunScript { .. }
            | VrrpdToParent::Counters(_)) => {
                // Its interface may have come just now, with the kernel's own settings.
                self.unsettled |= matches!(other, VrrpdToParent::Transition { .. })
                    && !self.broker.part().promoted.is_empty();
                let mut effects = Vec::new();
                if self.broker.vrrpd(other, &mut effects).is_err() {
                    self.refuse(serial);
                }
                self.apply(effects, now);
            }
        }
    }

    fn on_checkd(&mut self, serial: Serial, message: CheckdToParent, now: MonoTime) {
        if let CheckdToParent::Common(message) = message {
            return self.on_common(serial, message, now);
        }
        if let CheckdToParent::Letter { subject, body } = message {
            if !self.mail_of_checkd(&subject, &body) {
                self.refuse(serial);
            }
            return;
        }
        if let CheckdToParent::LetterGone { number, delivered } = message {
            return self.postbox.gone(number, delivered);
        }
        if let CheckdToParent::Explained { generation, service, server, checks } = message {
            return self.on_checks(serial, generation, (service, server), &checks, now);
        }
        if let CheckdToParent::Renew { generation, kind } = message {
            return self.renew_sockets(serial, generation, &kind, now);
        }
        let mut effects = Vec::new();
        if self.broker.checkd(message, &mut effects).is_err() {
            self.refuse(serial);
        }
        self.apply(effects, now);
    }

    fn on_ipvsd(&mut self, serial: Serial, message: IpvsdToParent, now: MonoTime) {
        match message {
            IpvsdToParent::Common(message) => self.on_common(serial, message, now),
            IpvsdToParent::Table(state) => {
                if let Some(process) = self.processes.get_mut(&serial) {
                    process.table = Some(bounded(state));
                }
            }
            IpvsdToParent::Written(written) => {
                if let Some(process) = self.processes.get_mut(&serial) {
                    process.written = Some(written);
                }
            }
            IpvsdToParent::Statistics { generation, entries, complete } => {
                self.on_statistics(serial, generation, &entries, complete, now);
            }
            IpvsdToParent::RefusedEntries(count) => {
                let pid = self.processes.get(&serial).map_or(0, |process| process.pid);
                let text = format!("refused {count} entries that aren't configured");
                self.relay(Daemon::Ipvsd, pid, Level::Warning, &text);
            }
        }
    }

    /// A message that named what it may not name: dropped and counted.
    pub(super) fn refuse(&mut self, serial: Serial) {
        if let Some(process) = self.processes.get_mut(&serial) {
            process.refused = process.refused.saturating_add(1);
        }
    }

    fn on_common(&mut self, serial: Serial, message: FromDaemon, now: MonoTime) {
        let Some(process) = self.processes.get_mut(&serial) else { return };
        let (daemon, pid) = (process.daemon, process.pid);
        process.progress(now);
        match message {
            FromDaemon::Hello(hello) => self.on_hello(serial, daemon, hello),
            FromDaemon::Confined(confined) => process.confined = confined,
            FromDaemon::Prepared(generation) => self.on_prepared(serial, daemon, generation, now),
            FromDaemon::Refused { generation, reason } => {
                self.on_refused(serial, daemon, generation, &plainly(reason), now)
            }
            FromDaemon::Committed(generation) => self.on_committed(serial, daemon, generation, now),
            FromDaemon::Quiesced => {
                // Peers wait for adverts alone.
                let peers = (daemon == Daemon::Vrrpd).then(|| self.vault.shortest_patience()).flatten();
                let patience = peers.map_or(Duration::MAX, |peers| (peers / 2).max(LEAST_TAKE_OVER));
                self.with_supervisor(daemon, |supervisor, out| {
                    supervisor.quiesced(serial, patience, now, out)
                })
            }
            FromDaemon::Pong(_) | FromDaemon::Stopped => {}
            FromDaemon::Late(micros) => self.on_late(serial, micros),
            FromDaemon::Log { level, text } => self.relay(daemon, pid, level, &text),
            FromDaemon::LogDropped(count) => {
                process.dropped_lines = process.dropped_lines.saturating_add(count);
                self.relay(daemon, pid, Level::Warning, &format!("{count} log lines were dropped"));
            }
            FromDaemon::UnknownCalls { count, last } => {
                process.unknown_calls = (count, last);
                let text = format!("system call {last} refused by the filter, {count} refusals since start");
                self.relay(daemon, pid, Level::Warning, &text);
            }
        }
    }

    fn on_hello(&mut self, serial: Serial, daemon: Daemon, hello: Hello) {
        let usable = handshake::is_compatible(&hello);
        let why = format!("its build speaks protocol {}, this one {}", hello.protocol, handshake::PROTOCOL);
        if let Some(process) = self.processes.get_mut(&serial) {
            process.build = plain(&hello.build, LONGEST_BUILD);
        }
        self.with_supervisor(daemon, |supervisor, out| {
            if usable {
                supervisor.greeted(serial, out);
            } else {
                supervisor.unusable(serial, &why, out);
            }
        });
    }

    fn on_prepared(&mut self, serial: Serial, daemon: Daemon, generation: Generation, now: MonoTime) {
        if generation == self.broker.generation() {
            self.with_supervisor(daemon, |supervisor, out| supervisor.prepared(serial, now, out));
        } else {
            self.reload_prepared(daemon, generation, now);
        }
    }

    fn on_refused(
        &mut self,
        serial: Serial,
        daemon: Daemon,
        generation: Generation,
        reason: &Refusal,
        now: MonoTime,
    ) {
        if generation == self.broker.generation() {
            let why = match reason {
                Refusal::Invalid(text) => text.clone(),
                Refusal::NeedsWiderSandbox => "its sandbox is too narrow".to_owned(),
            };
            self.with_supervisor(daemon, |supervisor, out| supervisor.unusable(serial, &why, out));
        } else {
            self.reload_refused(daemon, generation, reason, now);
        }
    }

    fn on_committed(&mut self, serial: Serial, daemon: Daemon, generation: Generation, now: MonoTime) {
        if generation != self.broker.generation() {
            return self.refuse(serial);
        }
        self.broker.confirmed(daemon);
        self.with_supervisor(daemon, |supervisor, out| supervisor.committed(serial, now, out));
        self.reload_confirmed(daemon);
        self.note_complete();
    }

    /// Tells once that the whole suite works.
    fn note_complete(&mut self) {
        let works = |supervisor: &Supervisor| supervisor.is_absent() || supervisor.is_running();
        if !self.is_complete && self.supervisors.values().all(works) {
            self.is_complete = true;
            self.say(Level::Info, "Startup complete");
        }
    }

    fn run_notify(&mut self, generation: Generation, script: ScriptId, now: MonoTime) {
        let _told_already =
            self.start_script(&Job { generation, script, extra: Vec::new() }, Purpose::Nobody, now);
    }

    /// Runs a script for a daemon that waits for the outcome, at most as often as it may. What would come too soon, as
    /// from a successor that asks again, says nothing of what the script looks at.
    fn run_awaited(&mut self, generation: Generation, script: ScriptId, purpose: Purpose, now: MonoTime) {
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

    /// Does what the broker has found out.
    pub(super) fn apply(&mut self, effects: Vec<Effect>, now: MonoTime) {
        for effect in effects {
            match effect {
                Effect::RunTracked(generation, script) => {
                    self.run_awaited(generation, script, Purpose::Tracked(generation, script), now);
                }
                Effect::RunCheck(generation, check, script) => {
                    self.run_awaited(generation, script, Purpose::Check(generation, check, script), now);
                }
                Effect::RunNotify(generation, script) => {
                    if self.paces.admits_or_keeps((generation, script), now) {
                        self.run_notify(generation, script, now);
                    }
                }
                Effect::ServiceChanged { service, server, up } => {
                    let word = if up { "UP" } else { "DOWN" };
                    match &server {
                        Some(server) => {
                            self.note_event(EventKind::Server, &server_name(&service, server), word, "");
                        }
                        None => self.note_event(EventKind::Service, &service, word, ""),
                    }
                    self.pipes.write(Subject::Checks, &fifo::service_record(&service, server.as_deref(), up));
                }
                Effect::PriorityChanged { name, state, priority } => {
                    let word = format!("{}_PRIORITY", state.word());
                    let record = fifo::record(Whose::Instance, &name, &word, priority);
                    self.pipes.write(Subject::Vrrp, &record);
                }
                Effect::LowerPriorityHeard { name, priority, scripts, generation } => {
                    let told = Told::LowerPriority;
                    let news = News { whose: Whose::Instance, name: &name, told, priority };
                    // However often it is heard, no change of state waits for it.
                    if self.queues.is_idle(&news.queue()) {
                        self.tell_news(&news, &scripts, generation, now);
                    } else {
                        self.pipes
                            .write(Subject::Vrrp, &fifo::record(news.whose, &name, told.word(), priority));
                    }
                }
                Effect::Notify { whose, name, state, priority, scripts, generation } => {
                    let kind = match whose {
                        Whose::Instance => EventKind::Instance,
                        Whose::Group => EventKind::Group,
                    };
                    let because = self.broker.because(&name).filter(|_| whose == Whose::Instance);
                    let because = because.unwrap_or_default().to_owned();
                    self.note_event(kind, &name, state.word(), &because);
                    let news = News { whose, name: &name, told: Told::State(state), priority };
                    self.tell_news(&news, &scripts, generation, now);
                }
                Effect::Desired(generation, entries) => self.pass_on(generation, entries),
                Effect::Whole => self.pass_on_whole(),
            }
        }
    }

    /// Tells a change of state to FIFOs and scripts.
    pub(super) fn tell_news(
        &mut self,
        news: &News<'_>,
        scripts: &InstanceNotify,
        generation: Generation,
        now: MonoTime,
    ) {
        let record = fifo::record(news.whose, news.name, news.told.word(), news.priority);
        self.pipes.write(Subject::Vrrp, &record);
        let queue = news.queue();
        let jobs = self.queues.push(&queue, notify::jobs(scripts, generation, news), now);
        self.start_jobs(&queue, jobs, now);
        if news.told != Told::Stop {
            self.mail_news(news, scripts);
        }
    }

    /// Starts the scripts of one change of an instance.
    pub(super) fn start_jobs(&mut self, name: &str, jobs: Vec<Job>, now: MonoTime) {
        let mut jobs = std::collections::VecDeque::from(jobs);
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
        let unknown = || RunError::Unsafe("it is not configured".to_owned());
        let part = self.broker.part_of(job.generation).cloned().ok_or_else(unknown)?;
        let script = part.scripts.get(job.script.index()).ok_or_else(unknown)?;
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

/// The same with a text that may be shown to an operator.
fn plainly(reason: Refusal) -> Refusal {
    match reason {
        Refusal::Invalid(text) => Refusal::Invalid(plain(&text, LONGEST_WHY)),
        Refusal::NeedsWiderSandbox => reason,
    }
}

/// The same with bounded texts.
fn bounded(state: TableState) -> TableState {
    match state {
        TableState::Unavailable(why) => TableState::Unavailable(plain(&why, LONGEST_WHY)),
        TableState::Failing { last, pending } => {
            TableState::Failing { last: plain(&last, LONGEST_WHY), pending }
        }
        TableState::InStep { .. } => state,
    }
}
