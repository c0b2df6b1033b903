//! Keeps the kernel's table in step: opens, reads, writes, audits, in this order.
//!
//! Does what [`crate::ledger`] decides, in turns that end within a bounded number of operations, and tells what should
//! be logged. Does not know the parent. Called by [`crate::driver`] once per turn of the loop.

use std::time::Duration;

use config::model::units::MonoTime;
use ipc::messages::Level;
use ipc::messages::ipvsd::TableState;
use netlink::socket::Outcome;

use crate::audit::{Audit, Look};
use crate::kernel::{KernelTable, Trouble};
use crate::ledger::{Ledger, Purpose};
use crate::limited::Limited;
use crate::reconcile::Operation;

/// Keeper of a kernel's table.
#[derive(Debug)]
pub struct Keeper<K> {
    kernel: K,
    /// What should be there; the driver passes on to it what the parent says.
    pub ledger: Ledger,
    audit: Audit,
    access: Access,
    pace: Pace,
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
            audit,
            access: Access::Untried,
            pace: Pace::Working,
            lines: Vec::new(),
            told_repaired: 0,
            complaints: Limited::default(),
            repairs: Limited::default(),
        }
    }

    /// Does what is due; returns what should be logged. Call when something was told to the ledger, and at
    /// [`Self::next`].
    pub fn turn(&mut self) -> Vec<(Level, String)> {
        if self.pace == Pace::Working && self.open() {
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
            if let Err(trouble) = self.look() {
                self.close(&trouble);
            }
            self.tell_repairs();
        }
        std::mem::take(&mut self.lines)
    }

    /// When [`Self::turn`] has something to do by itself.
    #[must_use]
    pub fn next(&self) -> Option<MonoTime> {
        match (&self.access, self.pace) {
            (_, Pace::Paused) => None,
            (Access::Untried, _) => Some(self.kernel.now()),
            (Access::Closed { retry_at, .. }, _) => Some(*retry_at),
            (Access::Open, _) if !self.ledger.is_told() => None,
            (Access::Open, _) if !self.ledger.is_settled() => Some(self.kernel.now()),
            (Access::Open, _) => {
                let audit = self.audit.next();
                Some(self.ledger.next_retry().map_or(audit, |retry| retry.min(audit)))
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

    /// Writes no more, until [`Self::resume`].
    pub fn pause(&mut self) {
        self.pace = Pace::Paused;
    }

    /// Writes again; somebody else may have written meanwhile.
    pub fn resume(&mut self) {
        if self.pace == Pace::Paused {
            self.pace = Pace::Working;
            self.ledger.doubt_everything();
        }
    }

    /// Removes all services that are ours, the only time that it is done in one go. Returns what should be logged.
    pub fn withdraw(&mut self) -> Vec<(Level, String)> {
        if self.open() {
            for operations in self.ledger.withdrawal().chunks(SLICE) {
                let outcomes = self.kernel.write(operations);
                let now = self.kernel.now();
                self.complain(operations, &outcomes, now);
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

    /// Reads what must be read, writes some operations; false when nothing is left.
    fn slice(&mut self) -> Result<bool, Trouble> {
        if self.ledger.must_read() {
            self.read(Purpose::Learn)?;
        }
        let operations = self.ledger.operations(self.kernel.now(), SLICE);
        if operations.is_empty() {
            return Ok(self.ledger.must_read());
        }
        let outcomes = self.kernel.write(&operations);
        let now = self.kernel.now();
        self.complain(&operations, &outcomes, now);
        Ok(true)
    }

    fn complain(&mut self, operations: &[Operation], outcomes: &[Outcome], now: MonoTime) {
        for line in self.ledger.learn(operations, outcomes, now) {
            self.lines.extend(self.complaints.pass(line, now).map(|line| (Level::Error, line)));
        }
    }

    fn read(&mut self, purpose: Purpose) -> Result<(), Trouble> {
        let ledger = &self.ledger;
        let found = self.kernel.services(&|key| ledger.concerns(key))?;
        for service in self.ledger.found_services(&found, purpose) {
            let destinations = self.kernel.destinations(&service.key)?;
            self.ledger.found_destinations(service, destinations, purpose);
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Trouble> {
        let start = self.kernel.now();
        if !self.ledger.is_settled() {
            return Ok(());
        }
        match self.audit.due(start) {
            None => return Ok(()),
            Some(Look::Services) => {
                self.read(Purpose::Audit)?;
                self.audit.saw_services(start, self.kernel.now());
            }
            Some(Look::Destinations { after }) => {
                let key = self.ledger.next_key(after);
                if let Some(service) = key.and_then(|key| self.ledger.believed_service(&key)) {
                    let destinations = self.kernel.destinations(&service.key)?;
                    self.ledger.found_destinations(service, destinations, Purpose::Audit);
                }
                self.audit.saw_destinations(key, self.ledger.believed_services(), start, self.kernel.now());
            }
        }
        Ok(())
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

/// From one try to open the table to the next.
const RETRY: Duration = Duration::from_secs(5);

/// Operations written at once; each takes the kernel some 20 us.
const SLICE: usize = 1024;

/// Slices per turn.
const SLICES: usize = 4;

#[cfg(test)]
mod tests;
