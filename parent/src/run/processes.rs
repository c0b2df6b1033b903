//! Processes of the daemons: started, watched, told what their supervisor decided.
//!
//! Driver. When one starts, ends or is replaced is [`crate::supervisor`]'s decision; what a process says is read in
//! `messages`. A daemon is not trusted: what it holds or wants comes from this process's own tables alone.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use config::model::lent::LentSocket;
use config::model::process::UnknownCall;
use config::model::units::{Generation, MonoTime};
use ipc::channel::{Channel, SendError};
use ipc::daemon::{LATE_ARGUMENT, STRICT_ARGUMENT};
use ipc::messages::checkd::{CheckdToParent, MAX_BATCH, ParentToCheckd};
use ipc::messages::ctl::events::EventKind;
use ipc::messages::ctl::{Daemon, Restarted};
use ipc::messages::ipvsd::{ParentToIpvsd, TableState, Written};
use ipc::messages::vrrpd::ParentToVrrpd;
use ipc::messages::{Confined, Level, StopMode, ToDaemon};
use sandbox::spawn::{Attempt, Missing, SpawnError, Spawned};
use sandbox::system::process::{Ending, pidfd_send_signal, wait_pidfd};

use super::launch::{launch, tuning, watched_delay};
use super::link::Link;
use super::{Source, Suite};
use crate::effects::ping_range::PingRange;
use crate::effects::sockets;
use crate::hang::HangWatch;
use crate::log_sink::{LogSink, Speaker};
use crate::supervisor::{Action, Fault, Serial};

/// A daemon's process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) daemon: Daemon,
    pub(super) pid: i32,
    pidfd: OwnedFd,
    attempt: Attempt,
    pub(super) link: Link,
    pub(super) keys: [usize; 2],
    pub(super) started: MonoTime,
    pub(super) build: String,
    pub(super) confined: Confined,
    pub(super) unknown_calls: (u64, u32),
    pub(super) dropped_lines: u64,
    pub(super) refused: u64,
    pub(super) table: Option<TableState>,
    pub(super) written: Option<Written>,
    pub(super) watch: Option<HangWatch>,
    pub(super) next_ping: MonoTime,
    pub(super) pings: u64,
    /// Real-time priority; 0 for ordinary scheduling.
    pub(super) urgency: u8,
    /// When sockets may be opened anew for it, by the position of their kind.
    pub(super) renewals: BTreeMap<usize, MonoTime>,
}

/// Least time between two openings of the same kind of sockets; checkd asks as seldom.
const RENEWAL: Duration = Duration::from_millis(500);
/// Pause between two pings.
pub(super) const PING: Duration = Duration::from_secs(1);

impl Process {
    /// When supervision wants to look at it again.
    pub(super) fn next_check(&self) -> MonoTime {
        self.watch.map_or(self.next_ping, |watch| watch.deadline().min(self.next_ping))
    }

    /// A sign of life.
    pub(super) fn progress(&mut self, at: MonoTime) {
        if let Some(watch) = &mut self.watch {
            watch.progress(at);
        }
    }
}

impl Suite {
    /// Does what supervisors decided, until nothing is left.
    pub(super) fn perform(&mut self, now: MonoTime) {
        while let Some((daemon, action)) = self.actions.pop_front() {
            match action {
                Action::Spawn(serial) => self.spawn(daemon, serial, now),
                Action::Prepare { serial, inherited } => self.prepare(serial, inherited),
                Action::Commit(serial) => self.commit(serial),
                Action::Quiesce(serial) => self.tell(serial, ToDaemon::Quiesce),
                Action::Resume(serial) => self.resume(daemon, serial),
                Action::Leave(serial) => self.tell(serial, ToDaemon::Stop(StopMode::Leave)),
                Action::Withdraw(serial) => {
                    let mode = self.stop_mode(daemon);
                    self.tell(serial, ToDaemon::Stop(mode));
                }
                Action::Kill(serial) => self.kill(serial),
                Action::Release => self.release(daemon, now),
                Action::Log(level, text) => self.say(level, &text),
                Action::Died(serial, cause) => self.report_death(daemon, serial, &cause),
                Action::Replaced { old, new, took } => self.report_replacement(daemon, old, new, took),
                Action::NotReplaced(why) => self.report_failure(daemon, &why),
                // With the exit code of a stop by order, as keepalived.
                Action::GiveUp => self.begin_stop(0, now),
            }
        }
    }

    fn stop_mode(&self, daemon: Daemon) -> StopMode {
        let keep = match daemon {
            Daemon::Vrrpd => self.settings.keep_addresses,
            Daemon::Ipvsd => self.settings.keep_table,
            Daemon::Checkd => false,
        };
        if keep && self.stopping.is_some() { StopMode::Leave } else { StopMode::Withdraw }
    }

    fn spawn(&mut self, daemon: Daemon, serial: Serial, now: MonoTime) {
        if daemon == Daemon::Vrrpd && self.releasing.is_some() {
            self.after_release.push((daemon, serial));
            return;
        }
        if !self.supervisors.get(&daemon).is_some_and(|supervisor| supervisor.awaits(serial)) {
            return self.bury(daemon, serial, Ending::Exited(0), now);
        }
        match self.try_spawn(daemon, serial, now) {
            Ok(pid) => {
                let title = title(daemon);
                self.say(Level::Info, &format!("Starting {title} child process, pid={pid}"));
                self.note_event(EventKind::Daemon, daemon.name(), "started", &format!("pid {pid}"));
            }
            Err(error) => {
                self.say(Level::Error, &in_words(&error));
                self.bury(daemon, serial, Ending::Exited(127), now);
            }
        }
    }

    fn try_spawn(&mut self, daemon: Daemon, serial: Serial, now: MonoTime) -> Result<i32, SpawnError> {
        let failed = |source| SpawnError::Execute { executable: daemon.name().to_owned(), source };
        let arguments = self.arguments(daemon);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let settings = &self.broker.part().process;
        let realtime = tuning(settings, daemon).and_then(|tuning| tuning.realtime);
        let (spawned, socket) = launch(&self.settings, settings, daemon, &arguments)?;
        self.errands.put_off();
        let keys = [self.key(Source::Channel(serial)), self.key(Source::Pidfd(serial))];
        let link = Link::new(daemon, socket).and_then(|link| {
            self.reactor.watch(link.fd(), keys[0])?;
            self.reactor.watch_reads(spawned.pidfd.as_raw_fd(), keys[1])?;
            Ok(link)
        });
        let link = match link {
            Ok(link) => link,
            Err(source) => {
                self.abandon(spawned, keys);
                return Err(failed(source));
            }
        };
        let known =
            |missing: &Missing| matches!(missing, Missing::Realtime | Missing::Nice | Missing::LockedMemory);
        let missing: Vec<Missing> = spawned.missing.into_iter().filter(known).collect();
        let process = Process {
            daemon,
            pid: spawned.pid,
            pidfd: spawned.pidfd,
            attempt: spawned.attempt,
            link,
            keys,
            started: now,
            build: String::new(),
            confined: Confined::default(),
            unknown_calls: (0, 0),
            dropped_lines: 0,
            refused: 0,
            table: None,
            written: None,
            watch: None,
            next_ping: now + PING,
            pings: 0,
            urgency: realtime.unwrap_or(0),
            renewals: BTreeMap::new(),
        };
        let pid = process.pid;
        self.processes.insert(serial, process);
        if !missing.is_empty() {
            self.say(Level::Warning, &format!("{} runs without {missing:?}", daemon.name()));
        }
        self.note_daemon_pid(daemon, pid);
        Ok(pid)
    }

    /// What a daemon is told before it has a configuration.
    fn arguments(&self, daemon: Daemon) -> Vec<String> {
        let settings = &self.broker.part().process;
        let speaks = daemon == Daemon::Vrrpd;
        let options = [
            (settings.unknown_call == UnknownCall::Exit, STRICT_ARGUMENT),
            (speaks && self.settings.address_monitoring, "--address-monitoring"),
            (speaks && self.log.is_detailed(), "--log-detail"),
        ];
        let delay = tuning(settings, daemon).and_then(|_| watched_delay(settings));
        let delay = delay.map(|microseconds| format!("{LATE_ARGUMENT}{microseconds}"));
        let given = options.into_iter().filter(|(given, _)| *given).map(|(_, word)| word.to_owned());
        given.chain(delay).collect()
    }

    /// Ends a process that can't be watched; [`Self::reap_doomed`] waits for it.
    pub(super) fn abandon(&mut self, process: Spawned, keys: [usize; 2]) {
        let _already_gone = pidfd_send_signal(process.pidfd.as_fd(), 9);
        for key in keys {
            self.sources.remove(&key);
        }
        self.doomed.push(process.pidfd);
    }

    /// Reaps what has been killed and is watched by nobody.
    pub(super) fn reap_doomed(&mut self) {
        self.doomed.retain(|pidfd| matches!(wait_pidfd(pidfd.as_fd()), Ok(None)));
    }

    fn prepare(&mut self, serial: Serial, inherited: bool) {
        let generation = self.broker.generation();
        let Some(process) = self.processes.get_mut(&serial) else { return };
        if !inherited && process.daemon == Daemon::Vrrpd {
            self.vault.empty();
        }
        let model = match process.daemon {
            Daemon::Vrrpd => self.parts.vrrpd.as_fd(),
            Daemon::Checkd => self.parts.checkd.as_fd(),
            Daemon::Ipvsd => self.parts.ipvsd.as_fd(),
        };
        let memory = match &mut process.link {
            Link::Vrrpd(channel) => {
                let memory = ParentToVrrpd::Memory { generation, inherited, sockets: self.vault.keys() };
                channel.send(&memory, &self.vault.fds())
            }
            Link::Checkd(channel) => {
                let sent = lend(
                    channel,
                    generation,
                    &self.broker.part().sockets,
                    &self.settings.place.run_dir,
                    &mut self.log,
                );
                let verdicts: Vec<_> = self.broker.verdicts().collect();
                let quorums: Vec<_> = self.broker.quorums().collect();
                let silent = verdicts.is_empty() && quorums.is_empty() && self.broker.has_told_whole();
                let verdicts = verdicts.chunks(MAX_BATCH).map(|batch| (batch, [].as_slice()));
                let quorums = quorums.chunks(MAX_BATCH).map(|batch| ([].as_slice(), batch));
                // An empty message says that there was a predecessor, whose words are not repeated.
                let greeting = silent.then_some(([].as_slice(), [].as_slice()));
                let mut batches = verdicts.chain(quorums).chain(greeting);
                sent.and_then(|()| {
                    batches.try_for_each(|(verdicts, quorums)| {
                        let (verdicts, quorums) = (verdicts.to_vec(), quorums.to_vec());
                        channel.send(&ParentToCheckd::Remembered { generation, verdicts, quorums }, &[])
                    })
                })
            }
            Link::Ipvsd(_) => Ok(()),
        };
        let sent = memory.and_then(|()| process.link.tell(ToDaemon::Prepare { generation }, &[model]));
        self.check_sent(serial, sent);
    }

    fn commit(&mut self, serial: Serial) {
        let generation = self.broker.generation();
        let flush = self.broker.part().flush_at_start;
        if let Some(Process { link: Link::Ipvsd(channel), .. }) = self.processes.get_mut(&serial)
            && self.table_talk.first_start()
            && flush
        {
            let sent = channel.send(&ParentToIpvsd::Flush, &[]);
            self.check_sent(serial, sent);
        }
        self.tell_all_here(serial);
        self.tell_files_ahead(serial);
        self.tell(serial, ToDaemon::Commit(generation));
        self.tell_tracked(serial);
        self.tell_failovers(serial);
        self.hand_letters(serial);
        let Some(process) = self.processes.get_mut(&serial) else { return };
        process.watch = None;
        if process.daemon == Daemon::Ipvsd {
            self.hand_whole(serial);
        }
    }

    /// What was told meanwhile, a process that had taken its place may have heard alone.
    fn resume(&mut self, daemon: Daemon, serial: Serial) {
        self.tell(serial, ToDaemon::Resume);
        if daemon == Daemon::Ipvsd {
            self.hand_whole(serial);
        }
    }

    /// Queues a message; a peer that doesn't read is as good as hung.
    pub(super) fn tell(&mut self, serial: Serial, message: ToDaemon) {
        if let Some(process) = self.processes.get_mut(&serial) {
            let sent = process.link.tell(message, &[]);
            self.check_sent(serial, sent);
        }
    }

    pub(super) fn check_sent(&mut self, serial: Serial, sent: Result<(), SendError>) {
        let Some(process) = self.processes.get(&serial) else { return };
        let daemon = process.daemon;
        match sent {
            Ok(()) | Err(SendError::Io(_)) => {}
            Err(error) => {
                self.say(Level::Error, &format!("message to {}: {error}", daemon.name()));
                self.with_supervisor(daemon, |supervisor, out| supervisor.faulty(serial, Fault::Hung, out));
            }
        }
    }

    fn kill(&mut self, serial: Serial) {
        if let Some(process) = self.processes.get(&serial) {
            let _already_gone = pidfd_send_signal(process.pidfd.as_fd(), 9);
        }
    }

    /// A pidfd is readable.
    pub(super) fn on_death(&mut self, serial: Serial, now: MonoTime) {
        // Before it is reaped: what it says may be answered by its number, which nobody else has until then.
        self.drain(serial, now);
        let Some(process) = self.processes.get(&serial) else { return };
        let daemon = process.daemon;
        let ending = match wait_pidfd(process.pidfd.as_fd()) {
            Ok(Some(ending)) => ending,
            Ok(None) => return,
            Err(_) => Ending::Exited(255),
        };
        if let Some(error) = process.attempt.failure() {
            self.say(Level::Error, &in_words(&error));
        }
        self.bury(daemon, serial, ending, now);
        self.perform(now);
        if let Some(process) = self.processes.remove(&serial) {
            for key in process.keys {
                self.sources.remove(&key);
            }
        }
    }

    fn bury(&mut self, daemon: Daemon, serial: Serial, ending: Ending, now: MonoTime) {
        let acting = self.supervisors.get(&daemon).and_then(|supervisor| supervisor.acting());
        if acting == Some(serial) {
            self.reload_saw_death(daemon, now);
        }
        let next = self.serial();
        let masters = if daemon == Daemon::Vrrpd { self.vault.patience_left(now) } else { None };
        self.with_supervisor(daemon, |supervisor, out| {
            supervisor.died(serial, next, ending, masters, now, out)
        });
    }

    fn report_death(&mut self, daemon: Daemon, serial: Serial, cause: &str) {
        let pid = self.processes.get(&serial).map_or(0, |process| process.pid);
        self.note_event(EventKind::Daemon, daemon.name(), "died", cause);
        let next = if self.settings.respawn { "Respawning" } else { "Exiting" };
        let text = format!("{} child process({pid}) died: {next} cause=\"{cause}\"", title(daemon));
        self.say(Level::Alert, &text);
    }

    fn report_replacement(&mut self, daemon: Daemon, old: Serial, new: Serial, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let old_pid = self.processes.get(&old).map(|process| process.pid);
        let Some(process) = self.processes.get(&new) else { return };
        let restarted = Restarted { old_pid, new_pid: process.pid, build: process.build.clone(), took_ms };
        self.note_event(EventKind::Daemon, daemon.name(), "replaced", &format!("took {took_ms} ms"));
        self.say(
            Level::Notice,
            &format!("{} replaced: pid={} took_ms={took_ms}", daemon.name(), restarted.new_pid),
        );
        if let Some(client) = self.restart_waiters.remove(&daemon) {
            self.control.reply(client, restarted);
        }
    }

    fn report_failure(&mut self, daemon: Daemon, why: &str) {
        self.say(Level::Error, &format!("{} not replaced: {why}", daemon.name()));
        self.note_event(EventKind::Daemon, daemon.name(), "not replaced", why);
        self.reload_missed(daemon);
        if let Some(client) = self.restart_waiters.remove(&daemon) {
            self.control.fail(client, "org.keepalived.Control.NotRestarted", why);
        }
    }
}

impl Suite {
    /// checkd wants other sockets of a kind: it gets them if they are configured, no sooner than [`RENEWAL`] after the
    /// last.
    pub(super) fn renew_sockets(
        &mut self,
        serial: Serial,
        generation: Generation,
        kind: &LentSocket,
        now: MonoTime,
    ) {
        let part = self.broker.part_of(generation).cloned();
        let known = part.as_ref().and_then(|part| part.sockets.iter().position(|(known, _)| known == kind));
        let Some((part, position)) = part.as_ref().zip(known) else { return self.refuse(serial) };
        let Some(process) = self.processes.get_mut(&serial) else { return };
        let (Link::Checkd(channel), Some(entry)) = (&mut process.link, part.sockets.get(position)) else {
            return;
        };
        let next = process.renewals.entry(position).or_default();
        if now < *next {
            return;
        }
        *next = now + RENEWAL;
        let run_dir = &self.settings.place.run_dir;
        let sent = lend(channel, generation, std::slice::from_ref(entry), run_dir, &mut self.log);
        self.check_sent(serial, sent);
    }
}

/// Opens the sockets that checks of a configuration borrow and hands them over, ahead of its `Prepare`.
pub(super) fn lend(
    channel: &mut Channel<ParentToCheckd, CheckdToParent>,
    generation: Generation,
    kinds: &[(LentSocket, u16)],
    run_dir: &Path,
    log: &mut LogSink,
) -> Result<(), SendError> {
    let range = PingRange::of(run_dir);
    for (kind, count) in kinds {
        match sockets::open(kind, *count, &range) {
            Ok(sockets) => {
                let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
                let message = ParentToCheckd::Sockets { generation, kind: kind.clone(), count: *count };
                channel.send(&message, &fds)?;
            }
            Err(error) => {
                let what = format!("sockets for checks can't be opened, those wait: {kind}: {error}");
                log.write(Speaker::Parent, None, Level::Error, &what);
            }
        }
    }
    Ok(())
}

fn in_words(error: &SpawnError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

fn title(daemon: Daemon) -> &'static str {
    match daemon {
        Daemon::Vrrpd => "VRRP",
        Daemon::Checkd => "Healthcheck",
        Daemon::Ipvsd => "IPVS",
    }
}
