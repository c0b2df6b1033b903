//! The process: one loop over the parent's socket, the checks' sockets and one timer.
//!
//! Does what the pure modules decide: starts and ends checks, tells the parent, follows its orders. Confines itself before
//! the first network byte, at the first configuration, because only then the ports are known. Messages come from the
//! parent, which is trusted; results that name nothing known are dropped and counted.

mod connection;
mod conversation;
mod lent;
mod load;
mod mailer;
mod outbox;
mod pings;
mod postponed;
mod run;
mod runs;
mod talk;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use config::model::lent::LentSocket;
use config::model::units::{FileId, Generation, MonoTime, ServiceId};
use ipc::channel::{ReceiveError, SendError};
use ipc::daemon::Lateness;
use ipc::messages::checkd::{CheckdToParent, QuorumState, Verdict};
use ipc::messages::{Confined, FromDaemon, Level, Refusal};
use ipc::reactor::{self, Reactor, Ready};
use sandbox::{ConfineError, Confinement, Grants};

use crate::desired::Effect;
use crate::roster::{Needs, Roster};
use crate::verdict::Next;
use load::{LoadError, Loading, Slice};
use mailer::{Mailer, Report};
pub use outbox::Link;
use outbox::{Deltas, Outbox};
use runs::{Runs, Step};

/// Why the process ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The loop can't be built, or can't wait.
    #[error("event loop: {0}")]
    Loop(#[from] io::Error),
    /// The parent broke the protocol.
    #[error("{0}")]
    Parent(ReceiveError),
    /// The confinement was refused, so that no check may run.
    #[error("confinement: {0}")]
    Confine(#[from] ConfineError),
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The parent ordered it.
    Stopped,
    /// The parent is gone.
    ParentGone,
}

/// Runs over a link that has greeted until the parent says stop or is gone. `confine` is called once, before the first check.
///
/// # Errors
/// [`DriverError`].
pub fn run(
    link: Link,
    confine: impl FnOnce(&Grants<'_>) -> Result<Confinement, ConfineError>,
) -> Result<End, DriverError> {
    let reactor = Reactor::new()?;
    reactor.watch(link.as_raw_fd(), LINK)?;
    let rest = Reactor::new()?;
    let seed = RandomState::new().hash_one(reactor::now().nanos());
    Driver {
        link,
        reactor,
        rest,
        confine: Some(confine),
        allowed: None,
        live: None,
        loading: None,
        prepared: None,
        remembered: None,
        lent: Vec::new(),
        here: Vec::new(),
        numbers: Vec::new(),
        runs: Runs::new(seed),
        outbox: Outbox::default(),
        mailer: Mailer::default(),
        phase: Phase::Working,
        outgrown: false,
        announced: 0,
        familiar: Vec::new(),
        unread: false,
        strays: 0,
        refused_calls: 0,
        lateness: Lateness::asked_for(),
    }
    .work()
}

struct Driver<C> {
    link: Link,
    reactor: Reactor,
    /// Watches nothing: what happens meanwhile is told together afterwards.
    rest: Reactor,
    confine: Option<C>,
    allowed: Option<Allowed>,
    live: Option<Roster>,
    loading: Option<Loading>,
    prepared: Option<Roster>,
    remembered: Option<Memory>,
    /// Sockets for the configuration that is being prepared.
    lent: Vec<(Generation, LentSocket, OwnedFd)>,
    /// Services of that configuration whose address is here.
    here: Vec<(Generation, ServiceId)>,
    /// Numbers in files, told ahead of the commit.
    numbers: Vec<(Generation, FileId, i64)>,
    runs: Runs,
    outbox: Outbox,
    mailer: Mailer,
    phase: Phase,
    /// The configuration in use needs a wider sandbox: no check starts and no letter leaves, a successor does that.
    outgrown: bool,
    /// Checkers whose start has been announced in the log, or passed over because it was.
    announced: usize,
    /// Whose start was announced under the configuration before: a reload announces only others.
    familiar: Vec<bool>,
    /// Messages may be left in the link although no event will tell.
    unread: bool,
    /// Results for checks that are not under way.
    strays: u64,
    refused_calls: u64,
    lateness: Lateness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// Another process is about to take over: no check starts.
    Quiet,
    /// What waits is sent, until this instant at most; then the process ends.
    Ending(MonoTime),
}

/// What the confinement in force lets through.
struct Allowed {
    needs: Needs,
    /// Ports are restricted at all.
    tcp: bool,
}

impl Allowed {
    fn covers(&self, needs: &Needs) -> bool {
        let ports = needs.tcp_ports.is_subset(&self.needs.tcp_ports)
            && needs.tcp_sources.is_subset(&self.needs.tcp_sources);
        (!self.tcp || ports) && (self.needs.udp || !needs.udp)
    }
}

/// What a predecessor had told.
struct Memory {
    generation: Generation,
    verdicts: Vec<Verdict>,
    quorums: Vec<QuorumState>,
}

impl Memory {
    fn new(generation: Generation) -> Self {
        Self { generation, verdicts: Vec::new(), quorums: Vec::new() }
    }

    /// Takes some more; false when that does not belong here or is too much.
    fn extend(&mut self, generation: Generation, verdicts: Vec<Verdict>, quorums: Vec<QuorumState>) -> bool {
        let verdict_count = self.verdicts.len().saturating_add(verdicts.len());
        let quorum_count = self.quorums.len().saturating_add(quorums.len());
        let fits = generation == self.generation && verdict_count.max(quorum_count) <= MAX_REMEMBERED;
        if fits {
            self.verdicts.extend(verdicts);
            self.quorums.extend(quorums);
        }
        fits
    }
}

/// Why the loop ends.
enum Halt {
    End(End),
    Error(DriverError),
}

impl From<DriverError> for Halt {
    fn from(error: DriverError) -> Self {
        Self::Error(error)
    }
}

impl From<SendError> for Halt {
    fn from(_: SendError) -> Self {
        Self::End(End::ParentGone)
    }
}

/// Least time from turn to turn while several servers are talked to.
const PACE: Duration = Duration::from_millis(1);
const LINK: usize = usize::MAX - 1;
/// Most lines about starting checkers in one turn.
const ANNOUNCEMENTS: usize = 64;
/// Bytes that may wait in the link before such lines are held back.
const ANNOUNCE_BELOW: usize = 64 * 1024;
/// Most remembered verdicts.
const MAX_REMEMBERED: usize = 1 << 20;

impl<C: FnOnce(&Grants<'_>) -> Result<Confinement, ConfineError>> Driver<C> {
    fn work(mut self) -> Result<End, DriverError> {
        let mut ready = Vec::new();
        let mut steps = Vec::new();
        let mut now = reactor::now();
        loop {
            match self.turn(&mut now, &mut ready, &mut steps) {
                Ok(()) => {}
                Err(Halt::End(end)) => return Ok(end),
                Err(Halt::Error(error)) => {
                    self.link.log(Level::Error, error.to_string());
                    // What can't be sent now has no reader.
                    let _flushed = self.link.flush();
                    return Err(error);
                }
            }
        }
    }

    fn turn(
        &mut self,
        now: &mut MonoTime,
        ready: &mut Vec<Ready>,
        steps: &mut Vec<Step>,
    ) -> Result<(), Halt> {
        let deadline = self.deadline(*now);
        self.rest(*now, deadline, ready)?;
        *now = self.reactor.turn(deadline, ready).map_err(DriverError::from)?;
        if let Some(message) = self.lateness.heed(self.reactor.lateness(), *now) {
            let _full_queue_has_other_news = self.link.tell(message);
        }
        let mut readable = std::mem::take(&mut self.unread);
        let mut reports = Vec::new();
        for event in ready.iter() {
            if let Some(slot) = Mailer::slot_of(event.key) {
                self.mailer.ready(slot, *now, &mut reports);
                continue;
            }
            match (event.key, &self.live) {
                (LINK, _) => readable |= event.readable,
                (_, Some(roster)) if self.phase == Phase::Working => {
                    self.runs.ready(*event, roster, *now, steps);
                }
                (_, _) => {}
            }
        }
        if let Some(roster) = &mut self.live {
            roster.tell_time(*now);
        }
        self.settle(steps, *now);
        if readable {
            self.receive(*now, steps)?;
        }
        self.load()?;
        if let (Some(roster), Phase::Working, false) = (&self.live, self.phase, self.outgrown) {
            self.runs.advance(roster, &self.reactor, *now, steps);
        }
        self.settle(steps, *now);
        if self.phase != Phase::Quiet && !self.outgrown {
            self.mailer.advance(&self.reactor, *now, &mut reports);
        }
        self.tell(reports);
        self.report(*now)?;
        self.outbox.send(&mut self.link, self.live.as_ref())?;
        self.announce();
        let sent = self.link.flush().map_err(|_| Halt::End(End::ParentGone))?;
        match self.phase {
            Phase::Ending(until)
                if (sent && self.outbox.is_empty() && self.mailer.is_idle(*now)) || *now >= until =>
            {
                Err(Halt::End(End::Stopped))
            }
            Phase::Ending(_) | Phase::Working | Phase::Quiet => Ok(()),
        }
    }

    /// While several servers are talked to, lets their answers gather: being woken for each would cost more than
    /// reading it. No deadline is missed for that.
    fn rest(
        &mut self,
        turned_at: MonoTime,
        deadline: Option<MonoTime>,
        ready: &mut Vec<Ready>,
    ) -> Result<(), Halt> {
        let until = turned_at + PACE;
        let urgent = deadline.is_some_and(|at| at <= until) || self.phase != Phase::Working;
        if !urgent && self.runs.expects_company() && reactor::now() < until {
            self.rest.turn(Some(until), ready).map_err(DriverError::from)?;
        }
        Ok(())
    }

    fn deadline(&mut self, now: MonoTime) -> Option<MonoTime> {
        let announcing = self.live.as_ref().is_some_and(|roster| self.announced < roster.checks());
        if self.unread || self.loading.is_some() || (announcing && self.link.queued() < ANNOUNCE_BELOW) {
            return Some(now);
        }
        let mail = self.mailer.deadline(now);
        match self.phase {
            Phase::Working if self.outgrown => None,
            Phase::Working => self.runs.deadline(now).into_iter().chain(mail).min(),
            Phase::Quiet => None,
            Phase::Ending(until) => mail.into_iter().chain([until]).min(),
        }
    }

    /// Tells the parent what became of letters.
    fn tell(&mut self, reports: Vec<Report>) {
        for report in reports {
            match report {
                Report::Log(level, text) => self.link.log(level, text),
                Report::Gone { number, delivered } => {
                    self.outbox.event(CheckdToParent::LetterGone { number, delivered });
                }
            }
        }
    }

    /// Carries out what the runs ask for, until nothing is left.
    fn settle(&mut self, steps: &mut Vec<Step>, now: MonoTime) {
        for step in steps.drain(..) {
            let Some(roster) = &mut self.live else { continue };
            let generation = roster.generation();
            match step {
                Step::Ended { position, due, .. } if roster.is_suspended(position) => {
                    let wait = roster.check(position).map_or(Duration::ZERO, |check| check.delay_loop);
                    self.runs.plan_next(position, due, Next::After(wait), roster, now);
                }
                Step::Ended { position, due, outcome } => {
                    let mut effects = Vec::new();
                    let Some(taken) = roster.take(position, outcome, &mut effects) else { continue };
                    self.runs.plan_next(position, due, taken.next, roster, now);
                    self.outbox.take(effects, generation, Deltas::Sent);
                    if taken.changed {
                        self.outbox.verdict(position);
                    }
                }
                Step::Measured { position, length } => {
                    let line =
                        if roster.is_suspended(position) { None } else { roster.measure(position, length) };
                    let effects = line.map(Effect::Log).into_iter().collect();
                    self.outbox.take(effects, generation, Deltas::Sent);
                }
                Step::Script(position) => {
                    let Some((check, script)) = roster.script(position) else { continue };
                    self.outbox.first(CheckdToParent::RunCheck { generation, check, script });
                }
            }
        }
    }

    /// One slice of a configuration under way.
    fn load(&mut self) -> Result<(), Halt> {
        let Some(loading) = self.loading.take() else { return Ok(()) };
        let generation = loading.generation();
        match loading.read() {
            Ok(Slice::More(loading)) => {
                self.loading = Some(loading);
                // A large configuration keeps no advert waiting for a processor.
                std::thread::yield_now();
            }
            Ok(Slice::Whole(roster)) => {
                let answer = if self.permits(&roster)? {
                    FromDaemon::Prepared(generation)
                } else {
                    FromDaemon::Refused { generation, reason: Refusal::NeedsWiderSandbox }
                };
                self.prepared = Some(roster);
                self.link.tell(answer)?;
            }
            Err(error) => self.refuse(generation, &error)?,
        }
        Ok(())
    }

    fn refuse(&mut self, generation: Generation, error: &LoadError) -> Result<(), Halt> {
        let reason = Refusal::Invalid(error.to_string());
        Ok(self.link.tell(FromDaemon::Refused { generation, reason })?)
    }

    /// Confines the process at the first configuration; later, says whether the confinement covers this one.
    fn permits(&mut self, roster: &Roster) -> Result<bool, Halt> {
        let needs = roster.needs();
        if let Some(allowed) = &self.allowed {
            return Ok(allowed.covers(&needs));
        }
        let connect: Vec<u16> = needs.tcp_ports.iter().copied().collect();
        let bind: Vec<u16> = needs.tcp_sources.iter().copied().collect();
        let grants = Grants { tcp_connect_ports: &connect, tcp_bind_ports: &bind, udp: needs.udp };
        let Some(confine) = self.confine.take() else { return Ok(false) };
        let reached = confine(&grants).map_err(DriverError::from)?;
        self.link.tell(FromDaemon::Confined(Confined {
            landlock_abi: reached.landlock_abi,
            file_system: reached.file_system,
            tcp: reached.tcp,
            scopes: reached.scopes,
            seccomp: reached.seccomp,
        }))?;
        self.allowed = Some(Allowed { needs, tcp: reached.tcp });
        Ok(true)
    }

    /// One that needs a wider sandbox is committed, too: what it changes in the states of servers is told by the process
    /// that knows them, and a successor checks.
    fn commit(&mut self, generation: Generation, now: MonoTime) -> Result<(), Halt> {
        let Some(mut roster) = self.prepared.take_if(|roster| roster.generation() == generation) else {
            self.strays = self.strays.saturating_add(1);
            return Ok(());
        };
        self.outgrown = !self.permits(&roster)?;
        let lent = std::mem::take(&mut self.lent).into_iter().filter(|(of, ..)| *of == generation);
        let lent = lent.map(|(_, kind, fd)| (kind, fd)).collect();
        self.runs.lend(generation.value(), lent, &self.reactor).map_err(DriverError::from)?;
        let here = std::mem::take(&mut self.here).into_iter().filter(|(of, _)| *of == generation);
        let here: Vec<ServiceId> = here.map(|(_, service)| service).collect();
        // The start of their checks is announced like any other.
        roster.set_here(&here, true, &mut Vec::new());
        let numbers = std::mem::take(&mut self.numbers).into_iter().filter(|(of, ..)| *of == generation);
        let numbers: Vec<(FileId, i64)> = numbers.map(|(_, file, value)| (file, value)).collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        match (self.live.take(), self.remembered.take()) {
            (Some(old), _) => {
                let old_generation = old.generation();
                let kept = roster.replace(old, &numbers, &mut before, &mut after);
                self.outbox.take(before, old_generation, Deltas::Dropped);
                self.runs.replan(&roster, &kept, now);
                let was_announced = |before: &Option<usize>| before.is_some_and(|at| at < self.announced);
                self.familiar = kept.iter().map(was_announced).collect();
            }
            (None, Some(memory)) if memory.generation == generation => {
                roster.resume(&memory.verdicts, &memory.quorums, &mut after);
                self.runs.plan(&roster, true, now);
            }
            (None, _) => {
                for (file, value) in &numbers {
                    roster.assume_number(*file, *value);
                }
                roster.start(&mut after);
                self.runs.plan(&roster, false, now);
            }
        }
        for (file, value) in &numbers {
            roster.take_number(*file, *value, &mut after);
        }
        let mut reports = Vec::new();
        self.mailer.configure(roster.mail(), now, &mut reports);
        self.tell(reports);
        if self.outgrown {
            self.mailer.halt();
        } else {
            self.outbox.confirm(generation);
        }
        self.outbox.commit(&roster);
        self.outbox.take(after, generation, Deltas::Dropped);
        self.announced = if self.outgrown { usize::MAX } else { 0 };
        self.live = Some(roster);
        Ok(())
    }

    fn announce(&mut self) {
        let Some(roster) = &self.live else { return };
        for _ in 0..ANNOUNCEMENTS {
            if self.announced >= roster.checks() || self.link.queued() >= ANNOUNCE_BELOW {
                return;
            }
            let is_familiar = self.familiar.get(self.announced).is_some_and(|familiar| *familiar);
            if let Some(line) = roster.activation(self.announced).filter(|_| !is_familiar) {
                self.link.log(Level::Info, line);
            }
            self.announced = self.announced.saturating_add(1);
        }
    }

    /// What is counted elsewhere and told when it grows.
    fn report(&mut self, now: MonoTime) -> Result<(), Halt> {
        if let Some((count, position, reason)) = self.runs.take_postponed(now) {
            let server =
                self.live.as_ref().and_then(|roster| roster.server_name(position)).unwrap_or_default();
            let text = format!(
                "{count} checks could not start and are postponed, the last of {server}. reason=\"{reason}\""
            );
            self.link.log(Level::Warning, text);
        }
        if let Some(generation) = self.live.as_ref().map(Roster::generation) {
            for kind in self.runs.take_worn(now) {
                self.outbox.first(CheckdToParent::Renew { generation, kind });
            }
        }
        let (count, last) = sandbox::system::trap::unknown_calls();
        if count > self.refused_calls {
            self.refused_calls = count;
            self.link.tell(FromDaemon::UnknownCalls { count, last })?;
        }
        Ok(())
    }
}
