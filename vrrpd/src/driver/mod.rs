//! The loop: listen, decide, speak, put addresses in place, announce; in this order, every turn.
//!
//! Performs what `proto` decides and tells it what happens. No wait, no unbounded work: at most 256 datagrams, one
//! step of addresses per instance, one slice of announcements per instance and one slice of a new configuration in a
//! turn. Called by `main`; the parent's messages are trusted as far as their types go, datagrams not at all.

mod act;
mod addresses;
mod conversation;
mod directory;
mod lease;
mod listen;
mod outbox;
mod preparation;
mod questions;
mod receivers;
mod rehearse;
mod say;
mod speak;
mod statics;
mod sync;
mod tracking;
mod watch;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Duration;

use config::model::buffers::Buffers;
use config::model::units::{Generation, InstanceId, MonoTime};
use ipc::daemon::{Lateness, Link};
use ipc::messages::vrrpd::{InstanceCounters, ParentToVrrpd, SocketKey, VrrpdToParent};
use ipc::messages::{FromDaemon, Level};
use ipc::reactor::{Reactor, Ready, now};
use ipc::slots::{Heartbeat, Slots};

use crate::explain;
use crate::handover;
use crate::kernel::Kernel;
use crate::kernel::address::Order;
use crate::log;
use crate::proto::limit::{Budget, LINES_PER_PROCESS, Reasons};
use crate::proto::machine::Input;
use crate::proto::pace::Pacer;
use crate::router::Router;
use crate::socket::announce::Herald;
use crate::socket::send::Sender;
use crate::statics::Standing;
use crate::trackers::Trackers;
use directory::Directory;
use outbox::Outbox;
use preparation::Preparation;
use receivers::Receivers;
use sync::Group;

/// What the process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Serve until told to end.
    Serve,
    /// Resign and withdraw what a predecessor held, then end.
    Release,
}

/// What the log is told beside what everybody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Telling {
    /// Addresses that come and go (`-a`).
    pub addresses: bool,
    /// Details (`-D`).
    pub details: bool,
}

/// The daemon.
#[derive(Debug)]
pub struct Driver {
    purpose: Purpose,
    tells_addresses: bool,
    /// Addresses that the log says adverts may come from.
    told_sources: Vec<(String, IpAddr)>,
    phase: Phase,
    reactor: Reactor,
    link: Link<VrrpdToParent, ParentToVrrpd>,
    outbox: Outbox,
    kernel: Kernel,
    link_readable: bool,
    kernel_readable: bool,
    tables_stale: bool,
    receivers: Receivers,
    sender: Sender,
    gathering: bool,
    /// Instances whose slots are to be written when their adverts have left.
    unwritten: Vec<usize>,
    herald: Herald,
    pacer: Pacer,
    message: Vec<u8>,
    packet: Vec<u8>,
    budget: Budget,
    generation: Generation,
    slots: Option<Slots>,
    turns: u64,
    turned_at: MonoTime,
    beat_at: MonoTime,
    /// Until when nobody takes part after the start of the suite.
    startup_ends: Option<MonoTime>,
    log_unknown_vrids: bool,
    buffers: Buffers,
    unknown_vrids: Box<Reasons<256>>,
    trackers: Trackers,
    routers: Vec<Router>,
    directory: Directory,
    next_step: usize,
    next_announcement: usize,
    statics: Standing,
    static_limits: Reasons<{ log::KINDS }>,
    renewals: VecDeque<(usize, Order)>,
    groups: Vec<Group>,
    settling: bool,
    judge_later: Vec<usize>,
    judge_all: bool,
    retry_at: Option<MonoTime>,
    rehearsed_at: Option<MonoTime>,
    counters_at: MonoTime,
    told: Vec<Option<InstanceCounters>>,
    refused_calls: u64,
    lateness: Lateness,
    incoming: Option<Incoming>,
    preparation: Option<Preparation>,
}

/// How far the process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No configuration is committed.
    Waiting,
    /// Takes part in elections.
    Running,
    /// A successor is about to take over: nothing is read, sent or changed.
    Quiesced,
    /// Everything is being withdrawn; `Stopped` follows.
    Stopping,
    /// The loop ends.
    Over,
}

/// Memory that came before its `Prepare`.
#[derive(Debug)]
struct Incoming {
    generation: Generation,
    inherited: bool,
    slots: Slots,
    sockets: Vec<(SocketKey, std::os::fd::OwnedFd)>,
}

const LINK: usize = 0;
const KERNEL: usize = 1;

/// Longest time between two signs of life.
const IDLE_BEAT: Duration = Duration::from_secs(1);
/// Least time between two signs of life while Master.
const SHORTEST_BEAT: Duration = Duration::from_millis(20);
/// Pause between two reports of counters, and between two tries to open a socket.
const SECOND: Duration = Duration::from_secs(1);
/// Longest time that a stop waits for the parent to read the answer.
const FAREWELL: Duration = Duration::from_secs(1);

impl Driver {
    /// The same daemon, which also logs this.
    #[must_use]
    pub fn telling(mut self, telling: Telling) -> Self {
        self.tells_addresses = telling.addresses;
        if telling.details {
            self.outbox.detail();
        }
        self
    }

    /// A daemon that waits for its first configuration.
    #[must_use]
    pub fn new(
        purpose: Purpose,
        link: Link<VrrpdToParent, ParentToVrrpd>,
        reactor: Reactor,
        kernel: Kernel,
    ) -> Self {
        let started = now();
        Self {
            purpose,
            tells_addresses: false,
            told_sources: Vec::new(),
            phase: Phase::Waiting,
            reactor,
            link,
            outbox: Outbox::default(),
            kernel,
            link_readable: true,
            kernel_readable: true,
            tables_stale: false,
            receivers: Receivers::default(),
            sender: Sender::default(),
            gathering: false,
            unwritten: Vec::new(),
            herald: Herald::default(),
            pacer: Pacer::default(),
            message: Vec::new(),
            packet: Vec::new(),
            budget: Budget::of(LINES_PER_PROCESS),
            generation: Generation::new(0),
            slots: None,
            turns: 0,
            turned_at: MonoTime::default(),
            beat_at: started,
            startup_ends: None,
            log_unknown_vrids: false,
            buffers: Buffers::default(),
            unknown_vrids: Box::default(),
            trackers: Trackers::default(),
            routers: Vec::new(),
            directory: Directory::default(),
            next_step: 0,
            next_announcement: 0,
            statics: Standing::default(),
            static_limits: Reasons::default(),
            renewals: VecDeque::new(),
            groups: Vec::new(),
            settling: false,
            judge_later: Vec::new(),
            judge_all: false,
            retry_at: None,
            rehearsed_at: None,
            counters_at: started,
            told: Vec::new(),
            refused_calls: 0,
            lateness: Lateness::asked_for(),
            incoming: None,
            preparation: None,
        }
    }

    /// Runs until the parent orders the end or is gone.
    pub fn run(mut self) -> ExitCode {
        let watched = self
            .reactor
            .watch(self.link.as_raw_fd(), LINK)
            .and_then(|()| self.reactor.watch_reads(self.kernel.events_fd(), KERNEL));
        if let Err(error) = watched {
            self.link.log(Level::Error, format!("event loop can't start: {error}"));
            return ExitCode::FAILURE;
        }
        self.say_channels();
        self.say_present_addresses();
        let mut ready = Vec::new();
        while self.phase != Phase::Over {
            let deadline = self.deadline();
            match self.reactor.turn(deadline, &mut ready) {
                Ok(now) => {
                    if let Some(message) = self.lateness.heed(self.reactor.lateness(), now) {
                        let _full_queue_has_other_news = self.link.tell(message);
                    }
                    self.turn(&ready, now);
                }
                Err(error) => {
                    self.link.log(Level::Error, format!("event loop failed: {error}"));
                    return ExitCode::FAILURE;
                }
            }
        }
        self.bid_farewell();
        ExitCode::SUCCESS
    }

    fn turn(&mut self, ready: &[Ready], now: MonoTime) {
        self.turns = self.turns.saturating_add(1);
        self.turned_at = now;
        for event in ready {
            match event.key {
                LINK => {
                    self.link_readable |= event.readable;
                    if event.writable && self.link.flush().is_err() {
                        self.parent_is_gone(now);
                    }
                }
                KERNEL => self.kernel_readable |= event.readable,
                key => self.receivers.mark(key),
            }
        }
        if self.link_readable {
            self.converse(now);
        }
        if self.kernel_readable {
            self.watch(now);
        }
        if self.phase == Phase::Running {
            self.end_delay(now);
            self.retry(now);
            self.rehearse(now);
            self.listen(now);
            self.gather(now, |driver| driver.tick(now));
            self.run_scripts(now);
            self.tick_processes(now);
        }
        if matches!(self.phase, Phase::Running | Phase::Stopping) {
            self.work(now);
        }
        self.prepare_slice();
        self.give_sign_of_life(now);
        self.outbox.flush(&mut self.link);
    }

    /// Deadlines of all machines and announcements.
    fn tick(&mut self, now: MonoTime) {
        self.queue_renewals(now);
        if self.statics.verify_at.take_if(|at| now >= *at).is_some() {
            self.statics.holdings.claim();
        }
        for position in 0..self.routers.len() {
            let Some(router) = self.routers.get_mut(position) else { continue };
            router.announcer.tick(now);
            let extra = router.announcer.takes_extra(now);
            let unsaid = router.unsaid.take_if(|at| now >= *at).is_some();
            if router.verify_at.take_if(|at| now >= *at).is_some() && router.machine.is_master() {
                router.holdings.verify();
            }
            if router.tries_again_at().is_some_and(|at| now >= at) {
                self.judge(position, now);
            }
            if extra {
                self.announce_elsewhere(position, now);
            }
            if unsaid {
                self.say_state(position, now);
            }
            let due = self.routers.get(position).and_then(|router| router.machine.poll_deadline());
            if due.is_some_and(|at| now >= at) {
                self.give(position, Input::Tick, now);
            }
        }
    }

    /// Sockets that could not be opened and tables that could not be read are tried again every second; a change of
    /// an interface that had to wait counts now.
    fn retry(&mut self, now: MonoTime) {
        if self.kernel.poll_deadline().is_some_and(|at| now >= at) {
            self.judge_all |= self.kernel.follow_delays(now);
        }
        if self.retry_at.take_if(|at| now >= *at).is_some() {
            if self.tables_stale {
                self.read_tables(now);
            }
            self.follow_paths(now);
            self.judge_all = true;
        }
        if std::mem::take(&mut self.judge_all) {
            for position in 0..self.routers.len() {
                self.judge(position, now);
            }
        }
    }

    /// When the loop must turn next.
    fn deadline(&self) -> Option<MonoTime> {
        let at_once = MonoTime::default();
        let reading = self.preparation.as_ref().is_some_and(Preparation::is_reading);
        if reading || self.kernel_readable || self.link_readable {
            return Some(at_once);
        }
        let mut deadline = Some(self.beat_at);
        let busy = |router: &Router| router.holdings.is_busy() || router.announcer.is_sending(self.turned_at);
        match self.phase {
            Phase::Running => {
                let busy = self.routers.iter().any(busy)
                    || self.statics.holdings.is_busy()
                    || !self.renewals.is_empty();
                if self.receivers.may_have_more() || self.judge_all || busy {
                    return Some(at_once);
                }
                let of_routers = self.routers.iter().flat_map(|router| {
                    [
                        router.wakes_at(),
                        router.announcer.poll_deadline(),
                        router.verify_at,
                        router.renew_at,
                        router.unsaid,
                        router.tries_again_at(),
                    ]
                });
                deadline = of_routers.flatten().chain(deadline).min();
                deadline = deadline.into_iter().chain(self.trackers.poll_deadline()).min();
                deadline = deadline.into_iter().chain(self.retry_at).chain(self.statics.verify_at).min();
                deadline = deadline.into_iter().chain(self.startup_ends).min();
                deadline = deadline.into_iter().chain(self.kernel.poll_deadline()).min();
            }
            Phase::Stopping => return Some(at_once),
            Phase::Waiting | Phase::Quiesced | Phase::Over => {}
        }
        deadline
    }

    /// Writes the heartbeat, at the latest a twelfth of the shortest patience after the last one while Master, and
    /// tells counters once a second.
    fn give_sign_of_life(&mut self, now: MonoTime) {
        if let Some(slots) = &self.slots
            && self.phase != Phase::Quiesced
        {
            // A sealed memfd takes every write inside its length.
            let _ = slots.beat(Heartbeat { turns: self.turns, at: now });
        }
        let shortest = self.routers.iter().filter(|router| router.machine.is_master());
        let shortest = shortest.map(|router| router.config.patience()).min();
        let pause = shortest.map_or(IDLE_BEAT, |patience| (patience / 12).max(SHORTEST_BEAT).min(IDLE_BEAT));
        self.beat_at = now + pause;
        if self.phase == Phase::Running && now >= self.counters_at {
            self.counters_at = now + SECOND;
            self.tell_counters();
            self.tell_refused_calls();
        }
    }

    fn tell_refused_calls(&mut self) {
        let (count, last) = sandbox::system::trap::unknown_calls();
        if count != self.refused_calls {
            self.refused_calls = count;
            self.tell(FromDaemon::UnknownCalls { count, last });
        }
    }

    fn tell_counters(&mut self) {
        let mut changed = Vec::new();
        self.told.resize(self.routers.len(), None);
        for ((position, router), told) in (0_u32..).zip(&self.routers).zip(&mut self.told) {
            let counters = router.counters;
            let now = InstanceCounters {
                instance: InstanceId::new(position),
                sent: counters.sent,
                received: counters.received,
                rejected: counters.rejected,
                became_master: counters.became_master,
                address_mismatches: counters.mismatches,
                zero_received: counters.zero_received,
                zero_sent: counters.zero_sent,
                view: explain::view(router),
            };
            if told.replace(now) != Some(now) {
                changed.push(now);
            }
        }
        for part in changed.chunks(MAX_COUNTERS) {
            self.outbox.send(VrrpdToParent::Counters(part.to_vec()));
        }
    }

    /// Writes what a successor needs to know of one instance.
    fn write_slot(&self, position: usize) {
        let Some((slots, router)) = self.slots.as_ref().zip(self.routers.get(position)) else { return };
        let slot = handover::slot(
            &router.machine,
            &router.config,
            router.last_advert,
            router.counters.became_master,
            router.guard.last(&router.config),
        );
        // A sealed memfd takes every write inside its length.
        let _ = slots.write(instance_id(position), &slot);
    }

    fn bid_farewell(&mut self) {
        let end = now() + FAREWELL;
        let mut ready = Vec::new();
        while matches!(self.link.flush(), Ok(false)) && now() < end {
            if self.reactor.turn(Some(end), &mut ready).is_err() {
                return;
            }
        }
    }

    fn tell(&mut self, message: FromDaemon) {
        self.outbox.send(VrrpdToParent::Common(message));
    }
}

fn instance_id(position: usize) -> InstanceId {
    InstanceId::new(u32::try_from(position).unwrap_or(u32::MAX))
}

/// Counters in one message: 64 KiB hold them, whatever they are.
const MAX_COUNTERS: usize = 224;
