//! What should be in the kernel's table, what is believed to be in it, and what went wrong.
//!
//! Pure: decides what must be read and what must be written next, and learns from the outcome. Holds the committed
//! list and one prepared aside. Nothing is written before the committed list has been told as a whole. Called by
//! [`crate::keeper`], which does the reading and writing; entries come from the parent, untrusted.
//!
//! A key is *unread* until the kernel has been asked for it, *dirty* while it may differ from what is wanted, and
//! *retiring* when only the previous list had it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use config::model::units::{Generation, MonoTime, ServiceId};
use ipc::messages::checkd::DesiredEntry;
use ipc::messages::ipvsd::TableState;
use netlink::ipvs::{Destination, Key, Service};
use netlink::socket::Outcome;
use nix::errno::Errno;

use crate::believed::Believed;
use crate::list::List;
use crate::reconcile::{Entry, Operation, Subject, reconcile};

/// The state of ipvsd.
#[derive(Debug, Default)]
pub struct Ledger {
    committed: Option<List>,
    /// The generation before the committed one: entries for it may be on their way.
    replaced: Option<Generation>,
    prepared: Option<List>,
    believed: Believed,
    unread: BTreeSet<Key>,
    dirty: BTreeSet<Key>,
    retiring: BTreeSet<Key>,
    failures: BTreeMap<Subject, Failure>,
    last_failure: String,
    repairing: BTreeSet<Key>,
    repaired: u64,
    written: u64,
}

#[derive(Debug)]
struct Failure {
    operation: Operation,
    attempts: u32,
    /// Attempts by which the kernel contradicted what was believed.
    surprises: u32,
    retry_at: MonoTime,
}

/// Why the kernel is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Some keys are unread.
    Learn,
    /// To see whether somebody else has edited the table.
    Audit,
}

impl Ledger {
    /// Sets a list aside; it replaces one that was aside before.
    pub fn prepare(&mut self, mut list: List) {
        if let Some(committed) = &self.committed {
            list.keep_marks(committed);
        }
        self.prepared = Some(list);
    }

    /// Forgets the list of `generation` that was set aside.
    pub fn abort(&mut self, generation: Generation) {
        self.prepared.take_if(|list| list.generation() == generation);
    }

    /// Takes the list of `generation` into use. False when no such list was set aside; nothing changes then.
    pub fn commit(&mut self, generation: Generation) -> bool {
        let Some(list) = self.prepared.take_if(|list| list.generation() == generation) else {
            return self.committed.as_ref().is_some_and(|list| list.generation() == generation);
        };
        let held: BTreeSet<Key> =
            self.committed.iter().flat_map(List::keys).chain(self.retiring.iter().copied()).collect();
        self.unread.extend(list.keys().filter(|key| !held.contains(key)));
        self.retiring = held.iter().filter(|key| !list.has(key)).copied().collect();
        self.dirty = held.into_iter().chain(list.keys()).collect();
        self.replaced = self.committed.replace(list).map(|list| list.generation());
        true
    }

    /// The list in use.
    #[must_use]
    pub fn committed(&self) -> Option<&List> {
        self.committed.as_ref()
    }

    /// Takes entries for the committed or the prepared list and returns how many were refused; all of them when the
    /// generation is neither. Entries for the list that was replaced last are dropped and refused to nobody: they were
    /// on their way when it was replaced.
    pub fn desire(&mut self, generation: Generation, entries: &[DesiredEntry], complete: bool) -> u64 {
        let is_it = |list: &&mut List| list.generation() == generation;
        let (list, committed) = match self.committed.as_mut().filter(is_it) {
            Some(list) => (list, true),
            None => match self.prepared.as_mut().filter(is_it) {
                Some(list) => (list, false),
                None if self.replaced == Some(generation) => return 0,
                None => return u64::try_from(entries.len()).unwrap_or(u64::MAX).max(1),
            },
        };
        let (mut refused, mut changed) = (0_u64, Vec::<ServiceId>::new());
        for entry in entries {
            match list.take(entry) {
                Ok(true) => changed.push(entry.service),
                Ok(false) => {}
                Err(_) => refused = refused.saturating_add(1),
            }
        }
        if complete {
            changed.extend(list.end_whole());
        }
        if committed {
            changed.dedup();
            self.dirty.extend(changed.into_iter().flat_map(|service| list.keys_of(service)));
        }
        refused
    }

    /// True when the kernel may be written.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.committed.as_ref().is_some_and(List::is_whole)
    }

    /// True when the kernel must be read before it is written.
    #[must_use]
    pub fn must_read(&self) -> bool {
        self.is_told() && !self.unread.is_empty()
    }

    /// True for keys that are worth remembering from a dump.
    #[must_use]
    pub fn concerns(&self, key: &Key) -> bool {
        let listed = self.committed.as_ref().is_some_and(|list| list.has(key) || list.owns_mark(key));
        listed || self.retiring.contains(key)
    }

    /// A service that only a predecessor can have made: it goes as if the list before had had it.
    fn inherit(&mut self, service: &Service) {
        let key = service.key;
        self.believed.insert(Entry { service: service.clone(), destinations: BTreeMap::new() });
        self.retiring.insert(key);
        self.dirty.insert(key);
    }

    /// Keys whose destinations an audit may read, after `last`; wraps around.
    #[must_use]
    pub fn next_key(&self, last: Option<Key>) -> Option<Key> {
        self.believed.next_key(last)
    }

    /// Learns from a dump of all services that [`Self::concerns`] says matter; returns those whose destinations must
    /// be read now.
    pub fn found_services(&mut self, found: &BTreeMap<Key, Service>, purpose: Purpose) -> Vec<Service> {
        let mut to_read = Vec::new();
        if purpose == Purpose::Audit {
            let known = self.believed.services().map(|service| service.key);
            let gone: Vec<Key> = known.filter(|key| !found.contains_key(key)).collect();
            for key in gone {
                self.believed.remove(&key);
                self.put_right(key);
            }
        }
        for (key, service) in found {
            let listed = self.committed.as_ref().is_some_and(|list| list.has(key));
            if !listed && !self.retiring.contains(key) {
                if purpose == Purpose::Learn {
                    self.inherit(service);
                }
                continue;
            }
            if self.believed.get(key).is_some() && !self.unread.contains(key) {
                if purpose == Purpose::Audit && self.believed.correct(service) {
                    self.put_right(*key);
                }
                continue;
            }
            if purpose == Purpose::Audit {
                self.repairing.insert(*key);
            }
            to_read.push(service.clone());
        }
        let absent: Vec<Key> = self.unread.iter().filter(|key| !found.contains_key(key)).copied().collect();
        for key in absent {
            self.unread.remove(&key);
            self.believed.remove(&key);
            self.dirty.insert(key);
        }
        to_read
    }

    /// Learns a service's destinations.
    pub fn found_destinations(&mut self, service: Service, found: Vec<Destination>, purpose: Purpose) {
        let key = service.key;
        let destinations = found.into_iter().map(|server| (server.endpoint, server)).collect();
        let entry = Entry { service, destinations };
        let known = !self.unread.remove(&key);
        if known && self.believed.get(&key) == Some(&entry) {
            return;
        }
        if purpose == Purpose::Audit {
            self.repairing.insert(key);
        }
        self.dirty.insert(key);
        self.believed.insert(entry);
    }

    /// The service of a believed entry, for an audit of its destinations.
    #[must_use]
    pub fn believed_service(&self, key: &Key) -> Option<Service> {
        self.believed.get(key).map(|entry| entry.service.clone())
    }

    /// Number of services believed to be in the table.
    #[must_use]
    pub fn believed_services(&self) -> usize {
        self.believed.len()
    }

    /// Asks for everything to be read again: somebody else may have written, or the kernel lost its table.
    pub fn doubt_everything(&mut self) {
        self.believed.clear();
        let keys: Vec<Key> =
            self.committed.iter().flat_map(List::keys).chain(self.retiring.iter().copied()).collect();
        self.unread.extend(keys.iter().copied());
        self.dirty.extend(keys);
    }

    /// The next changes of the kernel's table, at most `limit`, in the order in which they must be done: that of their
    /// phases within each service, and services that go after all others. Call again after [`Self::learn`] until
    /// there are none.
    pub fn operations(&mut self, now: MonoTime, limit: usize) -> Vec<Operation> {
        if !self.is_told() {
            return Vec::new();
        }
        let due = self.failures.iter().filter(|(_, failure)| failure.retry_at <= now);
        self.dirty.extend(due.map(|(subject, _)| subject.key()));
        let (mut operations, mut retirements) = (Vec::new(), Vec::new());
        let keys: Vec<Key> = self.dirty.iter().filter(|key| !self.unread.contains(key)).copied().collect();
        for key in keys {
            // Of the rest nothing would be done now: looking at it in every slice would make a large table slow.
            if operations.len() >= limit {
                break;
            }
            match self.committed.as_ref().and_then(|list| list.entry(&key)) {
                Some(wanted) => {
                    if !self.settle(&wanted, now, &mut operations) {
                        self.dirty.remove(&key);
                        self.repairing.remove(&key);
                    }
                }
                None => self.retire(key, now, &mut retirements),
            }
        }
        if operations.is_empty() {
            operations = retirements;
        }
        operations.sort_by_key(Operation::phase);
        operations.truncate(limit);
        operations
    }

    /// Appends what turns the entry into `wanted` and isn't held back; true when there is something.
    fn settle(&mut self, wanted: &Entry, now: MonoTime, out: &mut Vec<Operation>) -> bool {
        let key = wanted.service.key;
        let mut operations = Vec::new();
        reconcile(wanted, self.believed.get(&key), &mut operations);
        self.drop_failures_beside(key, &operations);
        let mut free = operations.iter().filter(|operation| !self.is_held(operation, now)).peekable();
        let service_first = operations.iter().any(|operation| matches!(operation, Operation::AddService(_)));
        if service_first && !matches!(free.peek(), Some(Operation::AddService(_))) {
            return false;
        }
        let before = out.len();
        out.extend(free.cloned());
        out.len() > before
    }

    fn retire(&mut self, key: Key, now: MonoTime, out: &mut Vec<Operation>) {
        let operation = Operation::DeleteService(key);
        if !self.retiring.contains(&key) || self.believed.get(&key).is_none() {
            self.forget(&key);
        } else if self.is_held(&operation, now) {
            self.dirty.remove(&key);
        } else {
            out.push(operation);
        }
    }

    fn forget(&mut self, key: &Key) {
        self.retiring.remove(key);
        self.believed.remove(key);
        self.unread.remove(key);
        self.dirty.remove(key);
        self.repairing.remove(key);
        self.drop_failures_beside(*key, &[]);
    }

    /// Failures of what is no longer to be done are no failures.
    fn drop_failures_beside(&mut self, key: Key, operations: &[Operation]) {
        if self.failures.is_empty() {
            return;
        }
        let wanted: BTreeSet<Subject> = operations.iter().map(Operation::subject).collect();
        self.failures.retain(|subject, _| subject.key() != key || wanted.contains(subject));
    }

    fn is_held(&self, operation: &Operation, now: MonoTime) -> bool {
        let failure = self.failures.get(&operation.subject());
        failure.is_some_and(|failure| failure.operation == *operation && failure.retry_at > now)
    }

    /// Learns what became of operations; returns what should be logged.
    pub fn learn(&mut self, operations: &[Operation], outcomes: &[Outcome], now: MonoTime) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut missing = BTreeSet::new();
        for (operation, outcome) in operations.iter().zip(outcomes) {
            let key = operation.subject().key();
            match outcome {
                Outcome::Refused(error)
                    if operation.deletes() && matches!(error.errno, Errno::ENOENT | Errno::ESRCH) =>
                {
                    self.succeeded(operation);
                }
                Outcome::Done => self.succeeded(operation),
                Outcome::Refused(_) if missing.contains(&key) => {}
                Outcome::Refused(error) => {
                    if matches!(operation, Operation::AddService(_)) {
                        missing.insert(key);
                    }
                    let surprise = matches!(error.errno, Errno::EEXIST | Errno::ENOENT | Errno::ESRCH);
                    complaints.extend(self.failed(operation, &error.to_string(), surprise, now));
                }
                Outcome::Unanswered => {
                    self.unread.insert(key);
                    complaints.extend(self.failed(operation, "no answer in time", false, now));
                }
            }
        }
        complaints
    }

    fn succeeded(&mut self, operation: &Operation) {
        let subject = operation.subject();
        self.believed.apply(operation);
        self.written = self.written.saturating_add(1);
        self.failures.remove(&subject);
        if self.repairing.contains(&subject.key()) {
            self.repaired = self.repaired.saturating_add(1);
        }
    }

    /// `surprise`: the kernel contradicts what is believed, so it is read and the operation tried again at once, the
    /// first time that it does. Returns a line for the log when there is news.
    fn failed(
        &mut self,
        operation: &Operation,
        error: &str,
        surprise: bool,
        now: MonoTime,
    ) -> Option<String> {
        let subject = operation.subject();
        let key = subject.key();
        let before = self.failures.remove(&subject).filter(|failure| failure.operation == *operation);
        let (attempts, surprises) = before.map_or((0, 0), |failure| (failure.attempts, failure.surprises));
        let attempts = attempts.saturating_add(1);
        let surprises = surprises.saturating_add(u32::from(surprise));
        if surprise {
            self.unread.insert(key);
            self.repairing.insert(key);
        }
        let wait = if surprise && surprises == 1 { Duration::ZERO } else { backoff(attempts) };
        let text = format!("IPVS cmd {operation} error: {error}");
        let news = if surprise { surprises == 2 } else { attempts.saturating_sub(surprises) == 1 };
        self.last_failure.clone_from(&text);
        self.dirty.insert(key);
        let failure = Failure { operation: operation.clone(), attempts, surprises, retry_at: now + wait };
        self.failures.insert(subject, failure);
        news.then_some(text)
    }

    /// When a held operation may be tried again.
    #[must_use]
    pub fn next_retry(&self) -> Option<MonoTime> {
        self.failures.values().map(|failure| failure.retry_at).min()
    }

    /// Nothing is left to read or to write but what is held back.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_told() && self.dirty.is_empty() && self.unread.is_empty()
    }

    /// Removes everything that is ours, whatever is believed.
    #[must_use]
    pub fn withdrawal(&self) -> Vec<Operation> {
        let keys: BTreeSet<Key> =
            self.committed.iter().flat_map(List::keys).chain(self.retiring.iter().copied()).collect();
        keys.into_iter().map(Operation::DeleteService).collect()
    }

    /// Condition of the table; `None` while it is being brought into step.
    #[must_use]
    pub fn condition(&self) -> Option<TableState> {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        if !self.is_settled() {
            return None;
        }
        if !self.failures.is_empty() {
            let pending = count(self.failures.len());
            return Some(TableState::Failing { last: self.last_failure.clone(), pending });
        }
        Some(TableState::InStep {
            services: count(self.believed.len()),
            destinations: count(self.believed.destinations()),
            repaired: self.repaired,
        })
    }

    /// Entries put right because somebody else had edited them, since start.
    #[must_use]
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Entries made, changed or removed since start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    fn put_right(&mut self, key: Key) {
        self.repairing.insert(key);
        self.dirty.insert(key);
    }
}

/// 1, 2, 4 .. 60 s.
fn backoff(attempts: u32) -> Duration {
    let seconds = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(60);
    Duration::from_secs(seconds.min(60))
}

#[cfg(test)]
mod tests;
