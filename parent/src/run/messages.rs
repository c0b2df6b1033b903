//! Messages of daemons: the common ones go to supervisor and sink, the others through the broker.
//!
//! Driver. Daemons are not trusted: what they may name is checked by the broker, and their texts are bounded here.

use std::os::fd::OwnedFd;
use std::time::Duration;

use config::model::units::{Generation, MonoTime};
use ipc::channel::ReceiveError;
use ipc::handshake;
use ipc::messages::checkd::CheckdToParent;
use ipc::messages::ctl::Daemon;
use ipc::messages::ipvsd::{IpvsdToParent, TableState};
use ipc::messages::vrrpd::VrrpdToParent;
use ipc::messages::{FromDaemon, Hello, Level, Refusal};
use ipc::reactor::{self, Ready};

use super::Suite;
use super::link::Incoming;
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

    fn on_vrrpd(&mut self, serial: Serial, message: VrrpdToParent, fds: Vec<OwnedFd>, now: MonoTime) {
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
