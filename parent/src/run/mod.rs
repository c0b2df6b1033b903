//! The parent's loop: waits, hands what happened to the deciding modules, and does what they say.
//!
//! Driver. Decisions stand in `supervisor` (processes), `broker` (messages), `reload` (configurations), `hang` and
//! `effects::notify`; this module owns descriptors and calls them. No turn may block: everything slow happens in
//! other processes.

mod dumping;
mod errands;
mod failover;
mod handing;
mod launch;
mod lines;
mod link;
mod mail;
mod messages;
mod news;
mod orders;
mod own;
mod presence;
mod processes;
mod questions;
mod release;
mod reload_answers;
mod reloading;
mod saving;
mod scripts;
mod status;
mod stopping;
mod table;
mod tracking;
mod urgency;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use config::model::units::{Generation, MonoTime};
use ipc::messages::Level;
use ipc::messages::ctl::events::EventKind;
use ipc::messages::ctl::{Daemon, ParentCounters};
use ipc::reactor::{self, Reactor, Ready};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sandbox::system::process::with_realtime_signals;
use sandbox::user::Ids;

use crate::broker::Broker;
use crate::control::{Access, Control};
use crate::effects::errand::Errands;
use crate::effects::fifo::Pipes;
use crate::effects::files::Files;
use crate::effects::kernel_settings::KernelSettings;
use crate::effects::mail::Postbox;
use crate::effects::notify::Queues;
use crate::effects::pace::Paces;
use crate::effects::processes::Processes;
use crate::effects::script::Runner;
use crate::events::Ring;
use crate::log_quota::Quota;
use crate::log_sink::{LogSink, Speaker};
use crate::pid_file::PidFile;
use crate::place::Place;
use crate::record::Record;
use crate::service;
use crate::supervisor::{Action, Serial, Supervisor};
use crate::vault::Vault;
use crate::worker::{Parts, What};
use dumping::Dumping;
use failover::Failovers;
use handing::Handing;
use own::Schedule;
use presence::Watching;
use processes::Process;
use questions::Questions;
use release::Releasing;
use reload_answers::Answers;
use reloading::{Committing, Stage};
use status::Answering;
use stopping::Stopping;
use table::TableTalk;

/// What boot found out.
#[derive(Debug)]
pub struct Settings {
    /// Configuration file and how to read it.
    pub config: What,
    /// Where the executables of the daemons and of the config worker are.
    pub daemon_dir: PathBuf,
    /// Users of vrrpd, checkd, ipvsd and the worker; `None` in degraded mode.
    pub identities: Option<[Ids; 4]>,
    /// Not `-R`.
    pub respawn: bool,
    /// Not `-C`.
    pub vrrp: bool,
    /// Not `-P`.
    pub checks: bool,
    /// `-V`: addresses stay when the suite stops.
    pub keep_addresses: bool,
    /// `--all`: every daemon runs, whatever the configuration needs.
    pub all: bool,
    /// `-I`: the kernel's table stays when the suite stops.
    pub keep_table: bool,
    /// `--ignore-sigint`.
    pub ignore_interrupt: bool,
    /// The bounding set was reduced at start, because no script ran as root then.
    pub bounding_reduced: bool,
    /// Network namespace of the table of IPVS, where it isn't this process's.
    pub ipvs_network: Option<OwnedFd>,
    /// Parts of the confinement that this machine doesn't give.
    pub degraded: Vec<String>,
    /// Where its files are.
    pub place: Place,
    /// Where state files go.
    pub dump_dir: PathBuf,
    /// `-u`, which comes before the configuration's.
    pub umask: Option<u16>,
    /// `-a`: vrrpd tells of addresses that come and go.
    pub address_monitoring: bool,
}

/// What a descriptor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Listener(Access),
    Client,
    Channel(Serial),
    Pidfd(Serial),
    Script,
    Files,
    Errand,
    Processes,
    Worker,
    Doomed,
    Release,
    ReleasePidfd,
    Addresses,
}

/// The suite while it runs.
#[derive(Debug)]
pub struct Suite {
    settings: Settings,
    reactor: Reactor,
    sources: BTreeMap<usize, Source>,
    next_key: usize,
    unfinished: Vec<usize>,
    signals: SignalFd,
    log: LogSink,
    quotas: BTreeMap<Daemon, Quota>,
    control: Control,
    record: Record,
    pid_file: Option<PidFile>,
    runner: Runner,
    queues: Queues,
    paces: Paces,
    postbox: Postbox,
    mail_quiet_until: MonoTime,
    errands: Errands,
    pipes: Pipes,
    fifo_readers: BTreeSet<String>,
    files: Files,
    counted: Processes,
    kernel_settings: KernelSettings,
    /// The kernel's settings of an interface may not be what the configuration asks for.
    unsettled: bool,
    broker: Broker,
    vault: Vault,
    parts: Rc<Parts>,
    supervisors: BTreeMap<Daemon, Supervisor>,
    processes: BTreeMap<Serial, Process>,
    next_serial: u64,
    actions: VecDeque<(Daemon, Action)>,
    stage: Option<Stage>,
    /// Processes that were killed and are watched by nobody.
    doomed: Vec<OwnedFd>,
    reload_again: bool,
    /// The reload under way was interrupted once.
    reload_interrupted: bool,
    committing: Option<Committing>,
    reload_waiters: Vec<usize>,
    reload_answers: Answers,
    restart_waiters: BTreeMap<Daemon, usize>,
    stop_waiters: Vec<usize>,
    last_reload: Option<String>,
    last_generation: Generation,
    releasing: Option<Releasing>,
    after_release: Vec<(Daemon, Serial)>,
    stopping: Option<Stopping>,
    table_talk: TableTalk,
    handing: Handing,
    /// Answers that are being written, the oldest first.
    answering: VecDeque<Answering>,
    dumping: Dumping,
    /// Copies of configurations that were kept.
    saved: u32,
    events: Ring,
    questions: Questions,
    failovers: Failovers,
    schedule: Schedule,
    /// The start script runs: no daemon is started yet.
    starting_up: bool,
    /// Until when the daemons' start waits for what tracked files say.
    awaiting_files: Option<MonoTime>,
    /// Every daemon has taken up its work once, which was told.
    is_complete: bool,
    /// Only where a service has `ha_suspend`.
    watching: Option<Watching>,
    counters: ParentCounters,
    started: MonoTime,
    exit: Option<u8>,
}

/// Blocks every signal that keepalived obeys, and those that it passes over, before anything else is done: they wait for
/// the loop, and none of them ends the process.
///
/// # Errors
/// What pthread_sigmask(3) says; none is known.
pub fn block_signals() -> io::Result<SigSet> {
    let mut mask = SigSet::empty();
    for signal in [
        Signal::SIGHUP,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGCHLD,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGQUIT,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGSTKFLT,
        Signal::SIGTRAP,
        // abort(3) lets it through.
        Signal::SIGABRT,
    ] {
        mask.add(signal);
    }
    let mask = with_realtime_signals(&mask);
    mask.thread_block()?;
    Ok(mask)
}

/// Longest sleep of the loop, so that pings and orphans have their turn.
const PULSE: Duration = Duration::from_secs(1);

impl Suite {
    /// Takes over what boot prepared.
    ///
    /// # Errors
    /// Descriptors are missing.
    pub fn new(
        settings: Settings,
        parts: Parts,
        log: LogSink,
        control: Control,
        (record, pid_file): (Record, Option<PidFile>),
        mask: SigSet,
    ) -> io::Result<Self> {
        let reactor = Reactor::new()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let generation = Generation::new(1);
        let part = Rc::clone(&parts.parent);
        let vault = Vault::new(part.instances.len())?;
        let supervisors = Daemon::ALL
            .map(|daemon| (daemon, Supervisor::new(daemon, settings.respawn, part.process.child_wait_time)));
        let now = reactor::now();
        Ok(Self {
            settings,
            reactor,
            sources: BTreeMap::new(),
            next_key: 0,
            unfinished: Vec::new(),
            signals,
            log,
            quotas: BTreeMap::new(),
            control,
            record,
            pid_file,
            runner: Runner::default(),
            queues: Queues::default(),
            paces: Paces::default(),
            postbox: Postbox::default(),
            mail_quiet_until: now,
            errands: Errands::default(),
            pipes: Pipes::default(),
            fifo_readers: BTreeSet::new(),
            files: Files::default(),
            counted: Processes::default(),
            kernel_settings: KernelSettings::default(),
            unsettled: false,
            broker: Broker::new(generation, part),
            vault,
            parts: Rc::new(parts),
            supervisors: supervisors.into(),
            processes: BTreeMap::new(),
            next_serial: 1,
            actions: VecDeque::new(),
            stage: None,
            doomed: Vec::new(),
            reload_again: false,
            reload_interrupted: false,
            committing: None,
            reload_waiters: Vec::new(),
            reload_answers: Answers::default(),
            restart_waiters: BTreeMap::new(),
            stop_waiters: Vec::new(),
            last_reload: None,
            last_generation: generation,
            releasing: None,
            after_release: Vec::new(),
            stopping: None,
            table_talk: TableTalk::default(),
            handing: Handing::default(),
            answering: VecDeque::new(),
            dumping: Dumping::default(),
            saved: 0,
            events: Ring::default(),
            questions: Questions::default(),
            failovers: Failovers::default(),
            schedule: Schedule::default(),
            starting_up: false,
            awaiting_files: None,
            is_complete: false,
            watching: None,
            counters: ParentCounters::default(),
            started: now,
            exit: None,
        })
    }

    /// Runs until the suite has stopped.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn run(mut self) -> io::Result<ExitCode> {
        use std::os::fd::AsRawFd;
        let signals = self.key(Source::Signals);
        self.reactor.watch_reads(self.signals.as_raw_fd(), signals)?;
        for (access, fd) in self.control.fds().collect::<Vec<_>>() {
            let listener = self.key(Source::Listener(access));
            self.reactor.watch_reads(fd, listener)?;
        }
        self.save_configuration(&Rc::clone(&self.parts));
        self.note_addresses();
        self.watch_addresses();
        let now = reactor::now();
        self.open_pipes();
        self.settle_kernel();
        self.watch_tracked(now);
        self.note_event(EventKind::Suite, "keepalived", "started", env!("CARGO_PKG_VERSION"));
        self.propose_auto_priority();
        self.begin(now);
        self.perform(now);
        self.tick_errands(now);
        service::ready("running");
        let mut ready = Vec::new();
        while self.exit.is_none() {
            let deadline =
                if self.unfinished.is_empty() { self.deadline(reactor::now()) } else { reactor::now() };
            let now = self.reactor.turn(Some(deadline), &mut ready)?;
            let used = reactor::processor_time();
            self.turn(&ready, now);
            self.count_turn(reactor::now().since(now), reactor::processor_time().saturating_sub(used));
        }
        if self.supervisors.get(&Daemon::Vrrpd).is_none_or(Supervisor::is_absent) {
            self.record.remove();
        }
        self.wind_up();
        Ok(ExitCode::from(self.exit.unwrap_or(0)))
    }

    fn count_turn(&mut self, took: Duration, cost: Duration) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counters.turns = self.counters.turns.saturating_add(1);
        self.counters.longest_turn_us = self.counters.longest_turn_us.max(micros(took));
        self.counters.dearest_turn_us = self.counters.dearest_turn_us.max(micros(cost));
    }

    fn turn(&mut self, ready: &[Ready], now: MonoTime) {
        self.errands.begin_turn();
        self.broker.tell_time(reactor::wall_ms());
        let unfinished: BTreeSet<usize> = std::mem::take(&mut self.unfinished).into_iter().collect();
        for key in unfinished {
            self.on_ready(Ready::again(key), now);
        }
        for &event in ready {
            self.on_ready(event, now);
        }
        self.tick(now);
        self.perform(now);
        // What that asks for doesn't wait for the next turn, unless it started a daemon.
        self.tick_errands(now);
    }

    fn on_ready(&mut self, event: Ready, now: MonoTime) {
        let Some(&source) = self.sources.get(&event.key) else { return };
        match source {
            Source::Signals => self.on_signals(now),
            Source::Listener(access) => self.on_connection(event.key, access),
            Source::Client => self.on_client(event, now),
            Source::Channel(serial) => self.on_channel(serial, event, now),
            Source::Pidfd(serial) => self.on_death(serial, now),
            Source::Script => self.on_script(event.key, now),
            Source::Files => self.on_files(event.key, now),
            Source::Errand => self.on_errand(event.key, now),
            Source::Processes => self.on_processes(event.key, now),
            Source::Worker => self.on_worker(event.key, now),
            // Only to be woken: `tick` reaps.
            Source::Doomed => {
                self.sources.remove(&event.key);
            }
            Source::Release => self.on_release(event, now),
            Source::ReleasePidfd => self.on_release_end(now),
            Source::Addresses => self.on_addresses(event.key),
        }
    }

    fn tick(&mut self, now: MonoTime) {
        self.reap_doomed();
        self.reap_orphans();
        for daemon in Daemon::ALL {
            if self.is_held(daemon) {
                continue;
            }
            let next = self.serial();
            let excused = self.is_late_inside_the_kernel(daemon, now);
            self.with_supervisor(daemon, |supervisor, out| {
                if excused {
                    supervisor.excuse(now);
                }
                if supervisor.deadline().is_some_and(|deadline| now >= deadline) {
                    supervisor.tick(next, now, out);
                }
            });
        }
        self.watch_over(now);
        self.tick_scripts(now);
        for (name, jobs) in self.queues.tick(now) {
            self.start_jobs(&name, jobs, now);
        }
        if std::mem::take(&mut self.unsettled) {
            self.settle_kernel();
        }
        self.tick_paces(now);
        self.tell_suppressed(now);
        self.tick_tracked(now);
        self.tick_reload(now);
        self.tick_release(now);
        self.tick_mail(now);
        self.tick_stop(now);
        self.tick_status(now);
        self.tick_table(now);
        self.tick_handing();
        self.tick_answers(now);
        self.tick_schedule(now);
        self.tick_failovers(now);
        self.tick_errands(now);
        self.tick_start(now);
        self.answer_questions(now);
        self.control.feed(&self.events);
        for client in self.control.take_answered() {
            self.unfinished.push(client);
        }
    }

    fn deadline(&self, now: MonoTime) -> MonoTime {
        let supervisors = self
            .supervisors
            .iter()
            .filter(|(daemon, _)| !self.is_held(**daemon))
            .filter_map(|(_, supervisor)| supervisor.deadline());
        let processes = self.processes.values().map(|process| process.next_check());
        let others = [
            self.runner.deadline(),
            self.queues.deadline(),
            self.paces.deadline(),
            self.files.deadline(),
            self.errands.deadline(),
            self.awaiting_files,
            self.counted.deadline(),
            self.reload_deadline(),
            self.reading_deadline(now),
            self.releasing.as_ref().map(|releasing| releasing.deadline),
            self.stopping.as_ref().map(|stopping| stopping.deadline),
            self.table_talk.deadline(),
            self.handing.deadline(now),
            self.reload_answers.deadline(),
            (!self.answering.is_empty()).then_some(now),
            self.questions.deadline(),
            self.failovers.deadline(),
        ];
        supervisors.chain(processes).chain(others.into_iter().flatten()).fold(now + PULSE, MonoTime::min)
    }

    /// A daemon that waits for its restart goes on waiting while a configuration is prepared: it starts with the one
    /// that is in use afterwards.
    fn is_held(&self, daemon: Daemon) -> bool {
        matches!(self.stage, Some(Stage::Preparing(_)))
            && self.supervisors.get(&daemon).is_some_and(|supervisor| supervisor.phase_word() == "waiting")
    }

    /// Lets a supervisor decide and queues what it wants done.
    fn with_supervisor(&mut self, daemon: Daemon, decide: impl FnOnce(&mut Supervisor, &mut Vec<Action>)) {
        let mut out = Vec::new();
        if let Some(supervisor) = self.supervisors.get_mut(&daemon) {
            decide(supervisor, &mut out);
        }
        self.actions.extend(out.into_iter().map(|action| (daemon, action)));
    }

    fn key(&mut self, source: Source) -> usize {
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        self.sources.insert(key, source);
        key
    }

    fn serial(&mut self) -> Serial {
        let serial = Serial(self.next_serial);
        self.next_serial = self.next_serial.saturating_add(1);
        serial
    }

    fn say(&mut self, level: Level, text: &str) {
        self.log.write(Speaker::Parent, None, level, text);
    }

    /// Enters something into the ring of events.
    fn note_event(&mut self, kind: EventKind, name: &str, what: &str, reason: &str) {
        self.events.enter(reactor::wall_ms(), kind, name, what, reason);
    }

    /// Remembers on disk what a successor of the whole suite would have to withdraw.
    fn note_addresses(&mut self) {
        if let Err(error) = self.record.write(self.broker.part().held()) {
            self.say(
                Level::Error,
                &format!("run directory: {error}; leftovers can't be withdrawn by the next start"),
            );
        }
    }

    fn is_needed(&self, daemon: Daemon) -> bool {
        match daemon {
            _ if self.settings.all => true,
            Daemon::Vrrpd => self.settings.vrrp && self.parts.has_vrrp,
            Daemon::Checkd => (self.settings.checks && self.parts.has_checks) || self.parts.has_mail,
            Daemon::Ipvsd => (self.settings.checks && self.parts.has_checks) || self.parts.has_sync,
        }
    }

    /// Starts what the configuration needs and stops what it doesn't.
    fn start_needed(&mut self, now: MonoTime) {
        if self.stopping.is_some() || self.is_held_up() {
            return;
        }
        for daemon in Daemon::ALL {
            let needed = self.is_needed(daemon);
            let serial = self.serial();
            self.with_supervisor(daemon, |supervisor, out| {
                if needed {
                    supervisor.start(serial, now, out);
                } else {
                    supervisor.stop(now, out);
                }
            });
        }
    }
}
