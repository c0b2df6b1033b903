//! Keeps the kernel's table in step: opens, reads, writes, audits, in this order.
//!
//! Does what [`crate::ledger`] decides, in turns that end within a bounded number of operations, and tells what should
//! be logged. Does not know the parent. Called by [`crate::driver`] once per turn of the loop.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::{Generation, MonoTime};
use ipc::messages::Level;
use ipc::messages::ipvsd::{StatisticsEntry, SyncRole, TableState, Written};
use netlink::ipvs::{Destination, Key, Service, Timeouts};
use netlink::socket::{OpenError, Outcome};

use crate::audit::{self, Audit, Look};
use crate::kernel::{KernelTable, ReceiveBuffer, Trouble};
use crate::ledger::{Ledger, Purpose};
use crate::limited::Limited;
use crate::list::List;
use crate::marks::{Marking, Marks};
use crate::reconcile::Operation;
use crate::statistics::Statistics;
use crate::sync::{Step, Sync};

/// Keeper of a kernel's table.
#[derive(Debug)]
pub struct Keeper<K> {
    kernel: K,
    /// What should be there; the driver passes on to it what the parent says.
    pub ledger: Ledger,
    sync: Sync,
    statistics: Statistics,
    /// Receive buffer that is set.
    buffer: Option<ReceiveBuffer>,
    /// Time-outs to be set.
    timeouts: Option<Timeouts>,
    /// Time-outs that were set.
    set_timeouts: Timeouts,
    /// What they were before; a stop sets them again.
    former_timeouts: Option<Timeouts>,
    /// The table is to be emptied.
    flush: bool,
    marks: Marks,
    audit: Audit,
    access: Access,
    pace: Pace,
    /// Since when the table has been brought into step.
    ordered: Option<MonoTime>,
    took: Duration,
    lines: Vec<(Level, String)>,
    told_repaired: u64,
    complaints: Limited,
    repairs: Limited,
}

#[derive(Debug)]
enum Access {
    /// Not tried yet.
    Untried,
    /// The kernel has IPVS.
    Open,
    /// It has not, or didn't answer.
    Closed { why: String, retry_at: MonoTime },
}

/// Whether the process can still open sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confined {
    /// It can.
    Not,
    /// It can't.
    Already,
}

/// Whether the table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Working,
    /// Another process writes.
    Paused,
}

impl<K: KernelTable> Keeper<K> {
    /// For a kernel that hasn't been asked anything yet.
    pub fn new(kernel: K) -> Self {
        let audit = Audit::new(kernel.now());
        Self {
            kernel,
            ledger: Ledger::default(),
            sync: Sync::default(),
            statistics: Statistics::default(),
            buffer: None,
            timeouts: None,
            set_timeouts: Timeouts::default(),
            former_timeouts: None,
            flush: false,
            marks: Marks::default(),
            audit,
            access: Access::Untried,
            pace: Pace::Working,
            ordered: None,
            took: Duration::ZERO,
            lines: Vec::new(),
            told_repaired: 0,
            complaints: Limited::default(),
            repairs: Limited::default(),
        }
    }

    /// Takes the list of `generation` into use, with its settings. False when it was not prepared.
    pub fn commit(&mut self, generation: Generation) -> bool {
        if !self.ledger.commit(generation) {
            return false;
        }
        self.ordered = Some(self.kernel.now());
        if let Some(list) = self.ledger.committed() {
            self.marks.configure(list);
            let settings = list.settings();
            let wanted = settings.timeouts;
            let wanted = Timeouts { tcp: wanted.tcp, tcp_fin: wanted.tcp_fin, udp: wanted.udp };
            self.timeouts = (wanted != self.set_timeouts).then_some(wanted);
            self.sync.configure(settings.sync.as_ref(), self.kernel.now());
            let buffer = settings.receive_buffer.map(|bytes| {
                if settings.receive_buffer_forced {
                    ReceiveBuffer::Forced(bytes)
                } else {
                    ReceiveBuffer::WithinLimit(bytes)
                }
            });
            if self.buffer != buffer {
                self.buffer = buffer;
                self.kernel.buffer(buffer);
            }
        }
        true
    }

    /// The instance that the synchronisation daemon follows is Master or isn't.
    pub fn follow(&mut self, role: SyncRole) {
        self.sync.follow(role, self.kernel.now());
    }

    /// Empties the whole table before anything else is done.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Counters of everything on the committed list, as they were read last.
    #[must_use]
    pub fn statistics(&self) -> (Generation, Vec<StatisticsEntry>) {
        self.ledger.committed().map_or_else(
            || (Generation::new(0), Vec::new()),
            |list| (list.generation(), self.statistics.entries(list)),
        )
    }

    /// Does what is due; returns what should be logged. Call when something was told to the ledger, and at
    /// [`Self::next`].
    pub fn turn(&mut self) -> Vec<(Level, String)> {
        if self.pace == Pace::Working && self.open() {
            if self.ordered.is_none() && !self.ledger.is_settled() {
                self.ordered = Some(self.kernel.now());
            }
            self.set();
            self.look_at_marks();
            if let Err(trouble) = self.synchronise() {
                self.close(&trouble);
            }
            for _ in 0..SLICES {
                match self.slice() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(trouble) => {
                        self.close(&trouble);
                        break;
                    }
                }
            }
            if self.ledger.is_settled()
                && let Some(ordered) = self.ordered.take()
            {
                self.took = self.kernel.now().since(ordered);
            }
            if let Err(trouble) = self.look() {
                self.close(&trouble);
            }
            self.tell_repairs();
        }
        std::mem::take(&mut self.lines)
    }

    /// Makes ready for a list that has been read, before the process is confined; false when it is too late for that.
    ///
    /// # Errors
    /// The socket that it needs can't be opened.
    pub fn open_for(&mut self, list: &List, confinement: Confined) -> Result<bool, OpenError> {
        if !list.marks_packets() || self.kernel.can_mark() {
            return Ok(true);
        }
        match confinement {
            Confined::Not => self.kernel.open_marks().map(|()| true),
            Confined::Already => Ok(false),
        }
    }

    /// When [`Self::turn`] has something to do by itself.
    #[must_use]
    pub fn next(&self) -> Option<MonoTime> {
        match (&self.access, self.pace) {
            (_, Pace::Paused) => None,
            (Access::Untried, _) => Some(self.kernel.now()),
            (Access::Closed { retry_at, .. }, _) => Some(*retry_at),
            (Access::Open, _) if !self.ledger.is_told() => self.sync.next(),
            (Access::Open, _) if !self.ledger.is_settled() => Some(self.kernel.now()),
            (Access::Open, _) => {
                let times =
                    [Some(self.audit.next()), self.ledger.next_retry(), self.sync.next(), self.marks.next()];
                times.into_iter().flatten().min()
            }
        }
    }

    /// Condition of the table, `None` while it is being brought into step.
    #[must_use]
    pub fn condition(&self) -> Option<TableState> {
        match &self.access {
            Access::Closed { why, .. } => Some(TableState::Unavailable(why.clone())),
            Access::Open => self.ledger.condition(),
            Access::Untried => None,
        }
    }

    /// What was written, `None` while the table is being brought into step.
    #[must_use]
    pub fn written(&self) -> Option<Written> {
        let took_us = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX);
        let settled = self.ordered.is_none() && self.ledger.is_settled();
        settled.then(|| Written { entries: self.ledger.written(), took_us })
    }

    /// Writes no more, until [`Self::resume`].
    pub fn pause(&mut self) {
        self.pace = Pace::Paused;
    }

    /// Writes again; somebody else may have written meanwhile.
    pub fn resume(&mut self) {
        if self.pace == Pace::Paused {
            self.pace = Pace::Working;
            self.ledger.doubt_everything();
            self.sync.doubt();
        }
    }

    /// Ends the synchronisation and removes all services that are ours, or empties the table when the configuration
    /// says so; the only time that it is done in one go. Returns what should be logged.
    pub fn withdraw(&mut self) -> Vec<(Level, String)> {
        if self.open() {
            for operation in self.sync.withdrawal() {
                let outcome = self.kernel.sync(&operation);
                let now = self.kernel.now();
                let line = self.sync.learn(&operation, &outcome, now);
                self.lines.extend(line.map(|line| (Level::Error, line)));
            }
            if let Some(former) = self.former_timeouts.take()
                && let Some(error) = failure(&self.kernel.set_timeouts(&former))
            {
                self.lines.push((Level::Error, format!("IPVS cmd set timeouts error: {error}")));
            }
            let everything = self.ledger.committed().is_some_and(|list| list.settings().flush_on_stop);
            let emptied = everything && self.kernel.flush() == Outcome::Done;
            let left = if emptied { Vec::new() } else { self.ledger.withdrawal() };
            for operations in left.chunks(SLICE) {
                let outcomes = self.kernel.write(operations);
                let now = self.kernel.now();
                self.complain(operations, &outcomes, now);
            }
            for marking in self.marks.withdrawal() {
                self.mark_one(&marking);
            }
        }
        self.pace = Pace::Paused;
        std::mem::take(&mut self.lines)
    }

    fn open(&mut self) -> bool {
        let now = self.kernel.now();
        match &self.access {
            Access::Open => return true,
            Access::Closed { retry_at, .. } if *retry_at > now => return false,
            Access::Closed { .. } | Access::Untried => {}
        }
        match self.kernel.open() {
            Ok(()) => {
                if matches!(self.access, Access::Closed { .. }) {
                    self.lines.push((Level::Info, "Initializing ipvs".into()));
                }
                self.access = Access::Open;
                self.ledger.doubt_everything();
                self.sync.doubt();
                true
            }
            Err(trouble) => {
                self.close(&trouble);
                false
            }
        }
    }

    /// One line when the reason is news, and another try later.
    fn close(&mut self, trouble: &Trouble) {
        let why = trouble.to_string();
        if !matches!(&self.access, Access::Closed { why: before, .. } if *before == why) {
            self.lines.push((Level::Error, format!("IPVS: Can't initialize ipvs: {why}")));
        }
        self.access = Access::Closed { why, retry_at: self.kernel.now() + RETRY };
    }

    /// What is done once, before the table is written: time-outs and emptying.
    fn set(&mut self) {
        if std::mem::take(&mut self.flush) {
            if let Some(error) = failure(&self.kernel.flush()) {
                self.lines.push((Level::Error, format!("IPVS cmd flush error: {error}")));
            }
            self.ledger.doubt_everything();
        }
        if let Some(timeouts) = self.timeouts.take() {
            if self.former_timeouts.is_none() {
                self.former_timeouts = self.kernel.timeouts().ok();
            }
            let sent = with_former(&timeouts, &self.set_timeouts, self.former_timeouts.as_ref());
            match failure(&self.kernel.set_timeouts(&sent)) {
                None => self.set_timeouts = timeouts,
                Some(error) => {
                    self.lines.push((Level::Error, format!("IPVS cmd set timeouts error: {error}")));
                }
            }
        }
    }

    fn synchronise(&mut self) -> Result<(), Trouble> {
        for _ in 0..SYNC_STEPS {
            let now = self.kernel.now();
            match self.sync.due(now) {
                None => return Ok(()),
                Some(Step::Read) => {
                    let running = self.kernel.sync_daemons()?;
                    self.sync.found(running, self.kernel.now());
                }
                Some(Step::Write(operation)) => {
                    let outcome = self.kernel.sync(&operation);
                    let now = self.kernel.now();
                    let line = self.sync.learn(&operation, &outcome, now);
                    self.lines.extend(line.map(|line| (Level::Error, line)));
                }
            }
        }
        Ok(())
    }

    /// All services that are ours, their counters noted.
    fn read_services(&mut self) -> Result<BTreeMap<Key, Service>, Trouble> {
        let ledger = &self.ledger;
        let found = self.kernel.services(&|key| ledger.concerns(key))?;
        self.statistics.saw_services(&found);
        Ok(found.into_iter().map(|(key, entry)| (key, entry.service)).collect())
    }

    /// The destinations of a service, their counters noted.
    fn read_destinations(&mut self, key: &Key) -> Result<Vec<Destination>, Trouble> {
        let found = self.kernel.destinations(key)?;
        self.statistics.saw_destinations(*key, &found);
        Ok(found.into_iter().map(|entry| entry.destination).collect())
    }

    /// Reads what must be read, writes some operations; false when nothing is left.
    fn slice(&mut self) -> Result<bool, Trouble> {
        if self.ledger.must_read() {
            self.read(Purpose::Learn)?;
        }
        let operations = self.ledger.operations(self.kernel.now(), SLICE);
        // Services get their packets once they stand, and go after they get none.
        if operations.first().is_none_or(|operation| matches!(operation, Operation::DeleteService(_))) {
            self.mark();
        }
        if operations.is_empty() {
            return Ok(self.ledger.must_read());
        }
        let outcomes = self.kernel.write(&operations);
        let now = self.kernel.now();
        self.complain(&operations, &outcomes, now);
        Ok(true)
    }

    /// Writes the tables that mark packets, if they are others than before.
    fn mark(&mut self) {
        if !self.ledger.is_told() {
            return;
        }
        for marking in self.marks.due(self.kernel.now()) {
            self.mark_one(&marking);
        }
    }

    fn mark_one(&mut self, marking: &Marking) {
        let outcome = self.kernel.mark(marking);
        let line = self.marks.learn(marking, &outcome, self.kernel.now());
        self.lines.extend(line.map(|line| (Level::Error, line)));
        // Every later look compares with what stands there now.
        if let (Marking::Replace(table), Outcome::Done) = (marking, &outcome)
            && let Ok(found) = self.kernel.marks_found(table)
        {
            self.marks.found(table, found);
        }
    }

    /// Looks whether somebody else has changed the tables that mark packets.
    fn look_at_marks(&mut self) {
        if !self.marks.is_look_due(self.kernel.now()) {
            return;
        }
        let before = self.kernel.spent();
        // What can't be read now is read at the next look.
        if let Ok(generation) = self.kernel.marks_generation() {
            for table in self.marks.unread(generation) {
                let Ok(found) = self.kernel.marks_found(&table) else {
                    self.marks.forget_generation();
                    continue;
                };
                if self.marks.found(&table, found) {
                    let line = format!("nftables: table {} was changed by something else", table.name);
                    self.lines.push((Level::Warning, line));
                }
            }
        }
        let cost = self.kernel.spent().saturating_sub(before);
        self.marks.looked(self.kernel.now(), cost);
    }

    fn complain(&mut self, operations: &[Operation], outcomes: &[Outcome], now: MonoTime) {
        for line in self.ledger.learn(operations, outcomes, now) {
            self.lines.extend(self.complaints.pass(line, now).map(|line| (Level::Error, line)));
        }
    }

    fn read(&mut self, purpose: Purpose) -> Result<(), Trouble> {
        let found = self.read_services()?;
        for service in self.ledger.found_services(&found, purpose) {
            let destinations = self.read_destinations(&service.key)?;
            self.ledger.found_destinations(service, destinations, purpose);
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Trouble> {
        let before = self.kernel.spent();
        if !self.ledger.is_settled() {
            return Ok(());
        }
        match self.audit.due(self.kernel.now()) {
            None => return Ok(()),
            Some(Look::Services) => {
                self.read(Purpose::Audit)?;
                let cost = self.kernel.spent().saturating_sub(before);
                self.audit.saw_services(self.kernel.now(), cost);
            }
            Some(Look::Destinations { after }) => {
                let services = self.ledger.believed_services();
                let (last, read) = self.look_at_destinations(after, audit::share(services))?;
                let cost = self.kernel.spent().saturating_sub(before);
                self.audit.saw_destinations(last, (read, services), self.kernel.now(), cost);
            }
        }
        Ok(())
    }

    /// Reads the destinations of at most `count` services after this one, fewer when they are many or not as they should
    /// be. Returns the last of the services, and how many they were.
    fn look_at_destinations(
        &mut self,
        after: Option<Key>,
        count: usize,
    ) -> Result<(Option<Key>, usize), Trouble> {
        let (mut last, mut read, mut destinations) = (after, 0_usize, 0_usize);
        while read < count && destinations < audit::DESTINATIONS && self.ledger.is_settled() {
            let next = self.ledger.next_key(last);
            let Some(service) = next.and_then(|key| self.ledger.believed_service(&key)) else { break };
            let found = self.read_destinations(&service.key)?;
            destinations = destinations.saturating_add(found.len());
            self.ledger.found_destinations(service, found, Purpose::Audit);
            (last, read) = (next, read.saturating_add(1));
        }
        Ok((last, read))
    }

    fn tell_repairs(&mut self) {
        let repaired = self.ledger.repaired();
        let count = repaired.saturating_sub(self.told_repaired);
        if count > 0 {
            self.told_repaired = repaired;
            let line = format!("IPVS: entries changed by something else were put back, count={count}");
            let line = self.repairs.pass(line, self.kernel.now());
            self.lines.extend(line.map(|line| (Level::Warning, line)));
        }
    }
}

/// Time-outs that are no longer `wanted` become again what they were before they were `set`.
fn with_former(wanted: &Timeouts, set: &Timeouts, former: Option<&Timeouts>) -> Timeouts {
    let one = |wanted: u32, set: u32, former: Option<u32>| match wanted {
        0 if set > 0 => former.unwrap_or(0),
        other => other,
    };
    Timeouts {
        tcp: one(wanted.tcp, set.tcp, former.map(|former| former.tcp)),
        tcp_fin: one(wanted.tcp_fin, set.tcp_fin, former.map(|former| former.tcp_fin)),
        udp: one(wanted.udp, set.udp, former.map(|former| former.udp)),
    }
}

fn failure(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Done => None,
        Outcome::Refused(error) => Some(error.to_string()),
        Outcome::Unanswered => Some("no answer in time".to_owned()),
    }
}

/// Steps of synchronisation in one turn: reads, ends, starts, with one of them to be done again.
const SYNC_STEPS: usize = 8;

/// From one try to open the table to the next.
const RETRY: Duration = Duration::from_secs(5);

/// Operations written at once; each takes the kernel some 20 us.
const SLICE: usize = 1024;

/// Slices per turn.
const SLICES: usize = 4;

#[cfg(test)]
mod tests;
