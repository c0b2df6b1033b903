//! The kernel's table as it was read or written last.
//!
//! Pure. Keeps count of the destinations, which is asked for after every turn: going through tens of thousands each
//! time would cost more than looking after them. Called by [`crate::ledger`].

use std::collections::BTreeMap;
use std::ops::Bound;

use netlink::ipvs::{Key, Service};

use crate::reconcile::{Entry, Operation};

/// Services with their destinations.
#[derive(Debug, Default)]
pub struct Believed {
    entries: BTreeMap<Key, Entry>,
    destinations: usize,
}

impl Believed {
    /// What is believed of a service.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// All services, in order.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.entries.values().map(|entry| &entry.service)
    }

    /// The key after `last`, or the first.
    #[must_use]
    pub fn next_key(&self, last: Option<Key>) -> Option<Key> {
        let after =
            last.and_then(|last| self.entries.range((Bound::Excluded(last), Bound::Unbounded)).next());
        after.or_else(|| self.entries.iter().next()).map(|(key, _)| *key)
    }

    /// Number of services.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is no service.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of destinations of all services.
    #[must_use]
    pub fn destinations(&self) -> usize {
        self.destinations
    }

    /// A service was read whole.
    pub fn insert(&mut self, entry: Entry) {
        let key = entry.service.key;
        self.counted(key, |entries| {
            entries.insert(key, entry);
        });
    }

    /// A service was read without its destinations; false when nothing else was believed of it.
    pub fn correct(&mut self, service: &Service) -> bool {
        match self.entries.get_mut(&service.key) {
            Some(entry) if entry.service != *service => {
                entry.service = service.clone();
                true
            }
            Some(_) | None => false,
        }
    }

    /// A service isn't there.
    pub fn remove(&mut self, key: &Key) {
        self.counted(*key, |entries| {
            entries.remove(key);
        });
    }

    /// Nothing is known any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// An operation was done.
    pub fn apply(&mut self, operation: &Operation) {
        self.counted(operation.subject().key(), |entries| operation.apply(entries));
    }

    /// Does a change that concerns `key` alone.
    fn counted(&mut self, key: Key, change: impl FnOnce(&mut BTreeMap<Key, Entry>)) {
        let count =
            |entries: &BTreeMap<Key, Entry>| entries.get(&key).map_or(0, |entry| entry.destinations.len());
        let before = count(&self.entries);
        change(&mut self.entries);
        self.destinations = self.destinations.saturating_sub(before).saturating_add(count(&self.entries));
    }
}

#[cfg(test)]
mod tests {
    use netlink::ipvs::{Destination, Endpoint, Forwarding};

    use super::*;

    fn key(port: u16) -> Key {
        Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port }
    }

    fn destination(last: u8) -> Destination {
        Destination {
            endpoint: Endpoint { ip: format!("10.0.0.{last}").parse().unwrap(), port: 80 },
            forwarding: Forwarding::Nat,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    fn entry(port: u16, servers: u8) -> Entry {
        let destinations = (1..=servers).map(destination).map(|server| (server.endpoint, server)).collect();
        Entry { service: Service::new(key(port), "rr"), destinations }
    }

    #[test]
    fn destinations_are_counted_through_every_change() {
        let mut believed = Believed::default();
        believed.insert(entry(80, 3));
        believed.insert(entry(81, 2));
        assert_eq!((believed.len(), believed.destinations()), (2, 5));
        believed.insert(entry(80, 1));
        assert_eq!(believed.destinations(), 3);
        believed.apply(&Operation::AddDestination(key(80), destination(7)));
        believed.apply(&Operation::RaiseDestination(key(80), destination(7)));
        assert_eq!(believed.destinations(), 4);
        believed.apply(&Operation::DeleteDestination(key(81), destination(2).endpoint));
        believed.apply(&Operation::AddDestination(key(99), destination(2)));
        assert_eq!(believed.destinations(), 3);
        assert!(believed.correct(&Service::new(key(81), "wrr")));
        assert!(!believed.correct(&Service::new(key(99), "wrr")));
        believed.apply(&Operation::DeleteService(key(80)));
        believed.remove(&key(99));
        assert_eq!((believed.len(), believed.destinations()), (1, 1));
        believed.remove(&key(81));
        assert_eq!((believed.is_empty(), believed.destinations()), (true, 0));
    }

    #[test]
    fn keys_are_gone_through_in_a_circle() {
        let mut believed = Believed::default();
        assert_eq!(believed.next_key(None), None);
        believed.insert(entry(80, 0));
        believed.insert(entry(81, 0));
        assert_eq!(believed.next_key(None), Some(key(80)));
        assert_eq!(believed.next_key(Some(key(80))), Some(key(81)));
        assert_eq!(believed.next_key(Some(key(81))), Some(key(80)));
    }
}
