//! The checks that are under way, and the alarms of all.
//!
//! Starts what is due, a bounded number per turn, ends what is late, and keeps sockets over a reload. What an outcome
//! means is [`crate::roster`]'s. Called by the driver with events and the time.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use config::model::check::{Carrier, CheckKind, Endpoint};
use config::model::lent::LentSocket;
use config::model::units::MonoTime;
use ipc::messages::RunOutcome;
use ipc::reactor::{Reactor, Ready};

use super::connection::{Connection, Opened, Progress, is_ours};
use super::lent::{Borrowed, Shelves};
use super::pings::{NotAsked, Pings};
use super::postponed::Postponed;
use super::run::{Run, Work};
use super::talk::{Subject, client};
use crate::probe::body::Patterns;
use crate::probe::certificate::Trust;
use crate::probe::http::BodyLength;
use crate::probe::tls::TlsClient;
use crate::probe::{DynamicWeight, Failure, Outcome, misc};
use crate::roster::Roster;
use crate::schedule::{Alarms, EARLY, Spread, early, first_run, next_run, next_script};
use crate::verdict::Next;

/// Runs and alarms, by the checkers' positions.
pub(super) struct Runs {
    alarms: Alarms,
    /// Place in `table` of each checker's run.
    active: Vec<Option<usize>>,
    table: Vec<Option<Run>>,
    free: Vec<usize>,
    /// Connections of `table` over which something is said.
    conversations: usize,
    unfinished: VecDeque<usize>,
    /// Keys and checkers of the connections that this turn has begun.
    begun: Vec<(usize, usize)>,
    spread: Spread,
    buffer: Vec<u8>,
    postponed: Postponed,
    /// What TLS settings are made from, at the first use.
    trust: Option<Trust>,
    /// TLS settings and session of each checker that has used some.
    tls: BTreeMap<usize, TlsClient>,
    /// Number of the last datagram sent.
    last_id: u16,
    shelves: Shelves,
    /// Kinds of sockets that the parent should open anew.
    worn: Vec<LentSocket>,
    worn_told: MonoTime,
    /// Borrowed sockets that connections have left, still watched.
    returned: Vec<Borrowed>,
    /// Number of the configuration whose sockets are in use.
    edition: u64,
    pings: Pings,
    patterns: Patterns,
    answered: Vec<usize>,
}

/// Something that the driver has to do for a run.
pub(super) enum Step {
    /// A run ended.
    Ended {
        /// Checker.
        position: usize,
        /// When the run was due.
        due: MonoTime,
        /// How it ended.
        outcome: Outcome,
    },
    /// The body of an answer was so long; its run ends next.
    Measured {
        /// Checker.
        position: usize,
        /// Its length.
        length: BodyLength,
    },
    /// The parent should run a checker's script.
    Script(usize),
}

/// Most runs started in one turn.
const STARTS: usize = 128;
/// When a run that could not start is tried again.
const POSTPONE: Duration = Duration::from_secs(1);
/// How much later than its time limit the end of a script may be reported: the parent ends it by TERM, then KILL.
const SCRIPT_GRACE: Duration = Duration::from_secs(5);
const BUFFER: usize = 16 * 1024;

impl Runs {
    /// No checker yet.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            alarms: Alarms::new(0),
            active: Vec::new(),
            table: Vec::new(),
            free: Vec::new(),
            conversations: 0,
            unfinished: VecDeque::new(),
            begun: Vec::new(),
            spread: Spread::seeded(seed),
            buffer: vec![0; BUFFER],
            postponed: Postponed::default(),
            trust: None,
            tls: BTreeMap::new(),
            last_id: u16::from_ne_bytes(seed.to_ne_bytes().first_chunk().copied().unwrap_or_default()),
            shelves: Shelves::default(),
            worn: Vec::new(),
            worn_told: MonoTime::default(),
            returned: Vec::new(),
            edition: 0,
            pings: Pings::new(seed.rotate_left(32)),
            patterns: Patterns::default(),
            answered: Vec::new(),
        }
    }

    /// Plans the first run of every checker: after warm-up, or, for the successor of a daemon that tested them,
    /// within their usual interval.
    pub(super) fn plan(&mut self, roster: &Roster, resumed: bool, now: MonoTime) {
        self.resize(roster.checks());
        for position in 0..roster.checks() {
            let Some(check) = roster.check(position) else { continue };
            let at = if resumed {
                now + self.spread.part_of(check.delay_loop)
            } else {
                first_run(now, check.warmup, &mut self.spread)
            };
            self.alarms.set(position, at);
        }
    }

    /// Takes over alarms and connections of the checkers that a reload keeps; the others are planned or dropped.
    pub(super) fn replan(&mut self, roster: &Roster, kept: &[Option<usize>], now: MonoTime) {
        let old_alarms = std::mem::take(&mut self.alarms);
        let old_active = std::mem::take(&mut self.active);
        self.resize(roster.checks());
        self.keep_sessions(kept);
        let mut stays = vec![false; self.table.len()];
        for (position, old) in kept.iter().enumerate() {
            let Some(check) = roster.check(position) else { continue };
            let key = old.and_then(|old| old_active.get(old).copied().flatten());
            let run = key.and_then(|key| self.table.get_mut(key)?.as_mut());
            let mut at = old.and_then(|old| old_alarms.at(old));
            match (run, key) {
                (Some(Run { work: Work::Script | Work::Ping(_), due, .. }), _) => {
                    // The answer would carry a number of the old configuration, or come to a socket that is gone.
                    at = Some(next_run(*due, check.delay_loop, now));
                }
                (Some(run), Some(key)) => {
                    run.position = position;
                    if let (Some(stays), Some(active)) = (stays.get_mut(key), self.active.get_mut(position)) {
                        *stays = true;
                        *active = Some(key);
                    }
                }
                (Some(_) | None, _) => {}
            }
            let at = at.unwrap_or_else(|| first_run(now, check.warmup, &mut self.spread));
            self.alarms.set(position, at);
        }
        for (key, _) in stays.into_iter().enumerate().filter(|(_, stays)| !stays) {
            // Its socket is of the configuration before: closed with it.
            drop(self.remove(key));
        }
    }

    /// Drops every run; their checkers are planned again, within a second or their interval, whichever is less.
    pub(super) fn cancel(&mut self, roster: &Roster, now: MonoTime) {
        for position in 0..self.active.len() {
            if self.close(position).is_some() {
                let wait = roster.check(position).map_or(POSTPONE, |check| check.delay_loop.min(POSTPONE));
                self.alarms.set(position, now + self.spread.part_of(wait));
            }
        }
    }

    /// When a checker runs next; `None` while it does.
    pub(super) fn next_at(&self, position: usize) -> Option<MonoTime> {
        let idle = self.active.get(position).copied().flatten().is_none();
        self.alarms.at(position).filter(|_| idle)
    }

    /// When [`Self::advance`] has work without an event.
    pub(super) fn deadline(&mut self, now: MonoTime) -> Option<MonoTime> {
        let idle = self.unfinished.is_empty() && !self.pings.has_unread();
        if idle { self.alarms.earliest() } else { Some(now) }
    }

    /// Events that come close together are likely: several servers are being talked to.
    pub(super) fn expects_company(&self) -> bool {
        self.conversations > 1
    }

    /// An event for a connection.
    pub(super) fn ready(&mut self, event: Ready, roster: &Roster, now: MonoTime, steps: &mut Vec<Step>) {
        if !self.pings.ready(event.key) {
            self.go_on(event.key, Some(event), roster, now, steps);
        }
    }

    /// Goes on with a connection after an event, or without one when its deadline has come.
    fn go_on(
        &mut self,
        key: usize,
        event: Option<Ready>,
        roster: &Roster,
        now: MonoTime,
        steps: &mut Vec<Step>,
    ) {
        let Some(Some(run)) = self.table.get_mut(key) else { return };
        let position = run.position;
        let Work::Connection(connection) = &mut run.work else { return };
        let Some(check) = roster.check(position) else { return };
        let url = roster.url(position);
        let tls = client(&mut self.trust, &mut self.tls, position, &check.kind, roster);
        let subject = Subject { kind: &check.kind, url, tls, patterns: &self.patterns };
        // Each stage begins at once: the event that it would wait for may have come already.
        let goes_on = loop {
            let progress = match event {
                Some(event) => connection.advance(event, &subject, &mut self.buffer),
                None => connection.take_unheard(key, &subject, &mut self.buffer),
            };
            match progress {
                Progress::Waiting => break false,
                Progress::Connected => {
                    self.conversations = self.conversations.saturating_add(1);
                    if let Some(endpoint) = check.kind.endpoint() {
                        run.deadline = now + endpoint.timeout;
                        self.alarms.set(position, run.deadline);
                    }
                }
                Progress::Unfinished => break true,
                Progress::Done(outcome) => {
                    steps.extend(connection.length().map(|length| Step::Measured { position, length }));
                    self.end(position, outcome, steps);
                    return;
                }
            }
        };
        let reached = connection.milestones();
        if let Some(endpoint) = check.kind.endpoint().filter(|_| reached > run.milestones) {
            run.milestones = reached;
            run.deadline = now + endpoint.timeout;
        }
        if goes_on && !std::mem::replace(&mut run.unfinished, true) {
            self.unfinished.push_back(key);
        }
    }

    /// Goes on with unfinished connections, ends late runs, starts due ones.
    pub(super) fn advance(
        &mut self,
        roster: &Roster,
        reactor: &Reactor,
        now: MonoTime,
        steps: &mut Vec<Step>,
    ) {
        for _ in 0..self.unfinished.len() {
            let Some(key) = self.unfinished.pop_front() else { break };
            // The run that waited may have ended, and its key may be another's now.
            let waits = self.table.get_mut(key).and_then(Option::as_mut).map(|run| &mut run.unfinished);
            if waits.is_some_and(std::mem::take) {
                self.ready(Ready::again(key), roster, now, steps);
            }
        }
        self.take_answers(steps);
        self.start_due(roster, reactor, now, steps);
        self.look_again(roster, reactor, now, steps);
    }

    fn start_due(&mut self, roster: &Roster, reactor: &Reactor, now: MonoTime, steps: &mut Vec<Step>) {
        // Only a run that is due takes others along: one whose turn is about something else would split their group.
        let mut horizon = now;
        for _ in 0..STARTS {
            let Some((position, at)) = self.alarms.pop_due(horizon) else { return };
            let runs = self.active.get(position).copied().flatten().is_some();
            // A time-out is never early.
            let early = roster
                .check(position)
                .filter(|_| !runs)
                .map_or(Duration::ZERO, |check| early(check.delay_loop, check.delay_before_retry));
            if at > now + early {
                return self.alarms.set(position, at);
            }
            match runs {
                true => self.late(position, roster, now, steps),
                false => {
                    horizon = now + EARLY;
                    self.start(position, at, roster, reactor, now, steps);
                }
            }
        }
    }

    /// The parent reports the end of a script, or that it could not start it. False when no such script runs.
    pub(super) fn script_ended(
        &mut self,
        position: usize,
        outcome: RunOutcome,
        roster: &Roster,
        now: MonoTime,
        steps: &mut Vec<Step>,
    ) -> bool {
        let run = self.active.get(position).copied().flatten().and_then(|key| self.table.get(key));
        let Some(Some(Run { work: Work::Script, .. })) = run else { return false };
        let Some(CheckKind::Misc { dynamic, .. }) = roster.check(position).map(|check| &check.kind) else {
            return false;
        };
        match misc::judge(*dynamic, outcome) {
            Some(outcome) => self.end(position, outcome, steps),
            None => {
                self.close(position);
                self.postpone(position, io::Error::other("its script could not be started"), now);
            }
        }
        true
    }

    /// Plans the next run of a checker whose run ended.
    pub(super) fn plan_next(
        &mut self,
        position: usize,
        due: MonoTime,
        next: Next,
        roster: &Roster,
        now: MonoTime,
    ) {
        let at = match next {
            Next::After(wait) if roster.script(position).is_some() => next_script(due, wait, now),
            Next::After(wait) => next_run(due, wait, now),
            Next::Pause(wait) => now + wait,
            Next::AtOnce => now,
        };
        self.alarms.set(position, at);
    }

    /// How many runs could not start since the last call that said so, the last one's checker and why; now and then.
    pub(super) fn take_postponed(&mut self, now: MonoTime) -> Option<(u64, usize, io::Error)> {
        self.postponed.take(now)
    }

    fn start(
        &mut self,
        position: usize,
        due: MonoTime,
        roster: &Roster,
        reactor: &Reactor,
        now: MonoTime,
        steps: &mut Vec<Step>,
    ) {
        let Some(check) = roster.check(position) else { return };
        if matches!(check.kind, CheckKind::File(_)) {
            // The parent tells its number when there is news.
            return;
        }
        if roster.is_suspended(position) {
            return self.alarms.set(position, next_run(due, check.delay_loop, now));
        }
        let Some(endpoint) = check.kind.endpoint() else {
            let CheckKind::Misc { timeout, .. } = &check.kind else { return };
            let deadline = now + *timeout + SCRIPT_GRACE;
            self.insert(Run::new(position, due, deadline, Work::Script));
            self.alarms.set(position, deadline);
            steps.push(Step::Script(position));
            return;
        };
        let lent = check.kind.lent();
        if let (CheckKind::Ping(_), Some(kind)) = (&check.kind, &lent) {
            return self.ping(position, due, endpoint, kind, now, steps);
        }
        self.reclaim(reactor);
        let borrowed = match lent.map(|kind| self.shelves.take(&kind, &mut self.worn)).transpose() {
            Ok(borrowed) => borrowed,
            Err(error) => return self.postpone(position, error, now),
        };
        self.last_id = self.last_id.wrapping_add(1);
        match Connection::open(&check.kind, endpoint, self.last_id, borrowed) {
            Opened::Pending(connection) => {
                let deadline = now + endpoint.timeout;
                let key = self.insert(Run::new(position, due, deadline, Work::Connection(connection)));
                self.begun.push((key, position));
                self.alarms.set(position, deadline);
            }
            Opened::Done(outcome, borrowed) => {
                self.give_back(borrowed);
                steps.push(Step::Ended { position, due, outcome });
            }
            Opened::NotTried(error, borrowed) => {
                self.give_back(borrowed);
                self.postpone(position, error, now);
            }
        }
    }

    /// Ends the begun connections that are over already, and waits for events of the others.
    fn look_again(&mut self, roster: &Roster, reactor: &Reactor, now: MonoTime, steps: &mut Vec<Step>) {
        let mut begun = std::mem::take(&mut self.begun);
        for (key, position) in begun.drain(..) {
            // A key may be another run's already.
            let run = self.table.get(key).and_then(Option::as_ref).filter(|run| run.position == position);
            let Some(Run { work: Work::Connection(connection), .. }) = run else { continue };
            let outcome = roster.check(position).and_then(|check| connection.look_again(&check.kind));
            if let Some(outcome) = outcome {
                self.end(position, outcome, steps);
            } else if let Err(error) = reactor.watch(connection.as_raw_fd(), key) {
                self.close(position);
                self.postpone(position, error, now);
            }
        }
        self.begun = begun;
    }

    fn ping(
        &mut self,
        position: usize,
        due: MonoTime,
        endpoint: &Endpoint,
        kind: &LentSocket,
        now: MonoTime,
        steps: &mut Vec<Step>,
    ) {
        match self.pings.ask(kind, endpoint.target, position, &mut self.worn) {
            Ok(asked) => {
                let deadline = now + endpoint.timeout;
                self.insert(Run::new(position, due, deadline, Work::Ping(asked)));
                self.alarms.set(position, deadline);
            }
            Err(NotAsked::Unprepared(error)) => self.postpone(position, error, now),
            Err(NotAsked::Unsent(error)) if is_ours(&error) => self.postpone(position, error, now),
            Err(NotAsked::Unsent(error)) => {
                let outcome = Outcome::Fail(Failure::Connect(error.kind()));
                steps.push(Step::Ended { position, due, outcome });
            }
        }
    }

    fn take_answers(&mut self, steps: &mut Vec<Step>) {
        if !self.pings.has_unread() {
            return;
        }
        let mut answered = std::mem::take(&mut self.answered);
        self.pings.receive(&mut answered);
        for position in answered.drain(..) {
            self.end(position, Outcome::Pass(DynamicWeight::Untouched), steps);
        }
        self.answered = answered;
    }

    /// Takes the sockets that the parent opened for a configuration in place of those before; its patterns, and
    /// what it trusts, are new.
    pub(super) fn lend(
        &mut self,
        edition: u64,
        sockets: Vec<(LentSocket, OwnedFd)>,
        reactor: &Reactor,
    ) -> io::Result<()> {
        self.edition = edition;
        self.patterns.clear();
        self.trust = None;
        self.shelves = Shelves::default();
        self.worn.clear();
        self.postponed.forget();
        let mut pingers = Vec::new();
        for (kind, fd) in sockets {
            let borrowed = Borrowed::new(&kind, fd, edition);
            match kind.carrier {
                Carrier::Icmp => pingers.push((kind, borrowed)),
                Carrier::Tcp | Carrier::Udp => self.shelves.put(borrowed),
            }
        }
        self.pings.replace(pingers, reactor)
    }

    /// Takes sockets that the parent opened in place of those that have outlived their interface; false when none have.
    pub(super) fn renew(
        &mut self,
        kind: &LentSocket,
        fds: Vec<OwnedFd>,
        reactor: &Reactor,
    ) -> io::Result<bool> {
        let mut sockets = fds.into_iter().map(|fd| Borrowed::new(kind, fd, self.edition));
        match (kind.carrier, sockets.next()) {
            (Carrier::Icmp, Some(socket)) => self.pings.renew(kind, socket, reactor),
            (Carrier::Tcp | Carrier::Udp, Some(first)) => {
                Ok(self.shelves.renew(kind, std::iter::once(first).chain(sockets).collect()))
            }
            (_, None) => Ok(false),
        }
    }

    /// Kinds of sockets that the parent should open anew, each once; now and then.
    pub(super) fn take_worn(&mut self, now: MonoTime) -> Vec<LentSocket> {
        if self.worn.is_empty() || now < self.worn_told + POSTPONE {
            return Vec::new();
        }
        self.worn_told = now;
        let mut worn = std::mem::take(&mut self.worn);
        worn.sort_unstable();
        worn.dedup();
        worn
    }

    /// Puts borrowed sockets back on their shelves once nobody watches them.
    fn reclaim(&mut self, reactor: &Reactor) {
        for borrowed in self.returned.drain(..) {
            // One that was never watched is as good.
            let _forgotten = reactor.forget(borrowed.socket.as_raw_fd());
            self.shelves.give_back(borrowed, self.edition);
        }
    }

    fn give_back(&mut self, borrowed: Option<Borrowed>) {
        self.returned.extend(borrowed);
    }

    fn postpone(&mut self, position: usize, error: io::Error, now: MonoTime) {
        self.postponed.add(position, error);
        self.alarms.set(position, now + POSTPONE + self.spread.part_of(POSTPONE));
    }

    /// The alarm of a run has come: its deadline may be a later one by now, and what the server said may wait behind so
    /// many other events that it was not heard, after this process or the whole machine stood still.
    fn late(&mut self, position: usize, roster: &Roster, now: MonoTime, steps: &mut Vec<Step>) {
        let Some(key) = self.active.get(position).copied().flatten() else { return };
        if self.table.get(key).and_then(Option::as_ref).is_some_and(|run| run.deadline <= now) {
            self.go_on(key, None, roster, now, steps);
        }
        let Some(run) = self.table.get(key).and_then(Option::as_ref) else { return };
        if run.deadline > now {
            return self.alarms.set(position, run.deadline);
        }
        let Some(check) = roster.check(position) else { return };
        self.end(position, run.timed_out(&check.kind), steps);
    }

    fn end(&mut self, position: usize, outcome: Outcome, steps: &mut Vec<Step>) {
        if let Some(due) = self.close(position) {
            steps.push(Step::Ended { position, due, outcome });
        }
    }

    fn insert(&mut self, run: Run) -> usize {
        let position = run.position;
        let key = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            self.table.len().saturating_sub(1)
        });
        if let (Some(slot), Some(active)) = (self.table.get_mut(key), self.active.get_mut(position)) {
            *slot = Some(run);
            *active = Some(key);
        }
        key
    }

    /// Ends a run and tells when it was due. Closing a socket also takes it out of the reactor.
    fn close(&mut self, position: usize) -> Option<MonoTime> {
        let key = self.active.get_mut(position)?.take()?;
        let run = self.remove(key)?;
        match run.work {
            Work::Connection(connection) => self.give_back(connection.into_borrowed()),
            Work::Ping(asked) => self.pings.forget(asked),
            Work::Script => {}
        }
        Some(run.due)
    }

    /// Takes a run out of the table.
    fn remove(&mut self, key: usize) -> Option<Run> {
        let run = self.table.get_mut(key)?.take()?;
        self.free.push(key);
        if matches!(&run.work, Work::Connection(connection) if connection.is_conversation()) {
            self.conversations = self.conversations.saturating_sub(1);
        }
        Some(run)
    }

    /// Sessions go on with the checkers that a reload keeps.
    fn keep_sessions(&mut self, kept: &[Option<usize>]) {
        let mut old = std::mem::take(&mut self.tls);
        let kept = kept.iter().enumerate();
        self.tls = kept.filter_map(|(position, was)| Some((position, old.remove(was.as_ref()?)?))).collect();
    }

    fn resize(&mut self, checks: usize) {
        self.alarms = Alarms::new(checks);
        self.active = vec![None; checks];
    }
}
