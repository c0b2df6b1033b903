//! Decides which operations turn what the kernel's table says into what it should say.
//!
//! Pure. Edits rather than deletes and adds, so that connections survive; [`Operation::phase`] orders operations so
//! that capacity is added before it is taken away. Called by [`crate::ledger`], one service at a time.

use std::collections::BTreeMap;
use std::fmt;

use netlink::ipvs::{Destination, Endpoint, Forwarding, Key, Service};

/// A service with its destinations, as it should be or as it is believed to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The service.
    pub service: Service,
    /// Its destinations.
    pub destinations: BTreeMap<Endpoint, Destination>,
}

/// One change of the kernel's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Make a service.
    AddService(Service),
    /// Change a service's scheduler, flags or persistence.
    EditService(Service),
    /// Give a service a destination.
    AddDestination(Key, Destination),
    /// Change a destination; the weight doesn't fall.
    RaiseDestination(Key, Destination),
    /// Change a destination; the weight falls.
    LowerDestination(Key, Destination),
    /// Take a destination away.
    DeleteDestination(Key, Endpoint),
    /// Remove a service with its destinations.
    DeleteService(Key),
}

/// What an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A service.
    Service(Key),
    /// A destination of a service.
    Destination(Key, Endpoint),
}

impl Subject {
    /// The service that is changed or whose destination is changed.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Service(key) | Self::Destination(key, _) => *key,
        }
    }
}

impl Operation {
    /// What it changes.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::AddService(service) | Self::EditService(service) => Subject::Service(service.key),
            Self::DeleteService(key) => Subject::Service(*key),
            Self::AddDestination(key, destination)
            | Self::RaiseDestination(key, destination)
            | Self::LowerDestination(key, destination) => Subject::Destination(*key, destination.endpoint),
            Self::DeleteDestination(key, endpoint) => Subject::Destination(*key, *endpoint),
        }
    }

    /// Its place among others: services first, then what adds capacity, then what takes it away.
    #[must_use]
    pub fn phase(&self) -> u8 {
        match self {
            Self::AddService(_) => 0,
            Self::EditService(_) => 1,
            Self::AddDestination(..) => 2,
            Self::RaiseDestination(..) => 3,
            Self::LowerDestination(..) => 4,
            Self::DeleteDestination(..) => 5,
            Self::DeleteService(_) => 6,
        }
    }

    /// True when nothing is left to do if the kernel doesn't know its subject.
    #[must_use]
    pub fn deletes(&self) -> bool {
        matches!(self, Self::DeleteDestination(..) | Self::DeleteService(_))
    }

    /// Does it to a believed table.
    pub fn apply(&self, table: &mut BTreeMap<Key, Entry>) {
        match self {
            Self::AddService(service) => {
                table.insert(service.key, Entry { service: service.clone(), destinations: BTreeMap::new() });
            }
            Self::EditService(service) => {
                if let Some(entry) = table.get_mut(&service.key) {
                    entry.service = service.clone();
                }
            }
            Self::AddDestination(key, destination)
            | Self::RaiseDestination(key, destination)
            | Self::LowerDestination(key, destination) => {
                if let Some(entry) = table.get_mut(key) {
                    entry.destinations.insert(destination.endpoint, *destination);
                }
            }
            Self::DeleteDestination(key, endpoint) => {
                if let Some(entry) = table.get_mut(key) {
                    entry.destinations.remove(endpoint);
                }
            }
            Self::DeleteService(key) => {
                table.remove(key);
            }
        }
    }
}

impl fmt::Display for Operation {
    /// What was tried, for log lines: `add server 10.0.0.1:80 to [192.0.2.1]:tcp:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService(service) => write!(f, "add service {}", Shown(&service.key)),
            Self::EditService(service) => write!(f, "edit service {}", Shown(&service.key)),
            Self::DeleteService(key) => write!(f, "delete service {}", Shown(key)),
            Self::AddDestination(key, destination) => {
                write!(f, "add server {} to {}", Shown(&destination.endpoint), Shown(key))
            }
            Self::RaiseDestination(key, destination) | Self::LowerDestination(key, destination) => {
                write!(f, "edit server {} of {}", Shown(&destination.endpoint), Shown(key))
            }
            Self::DeleteDestination(key, endpoint) => {
                write!(f, "delete server {} from {}", Shown(endpoint), Shown(key))
            }
        }
    }
}

struct Shown<'a, T>(&'a T);

impl fmt::Display for Shown<'_, Key> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Key::Mark { mark, .. } => write!(f, "FWM {mark}"),
            Key::Address { protocol, ip, port } => match protocol {
                6 => write!(f, "[{ip}]:tcp:{port}"),
                17 => write!(f, "[{ip}]:udp:{port}"),
                132 => write!(f, "[{ip}]:sctp:{port}"),
                other => write!(f, "[{ip}]:{other}:{port}"),
            },
        }
    }
}

impl fmt::Display for Shown<'_, Endpoint> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]:{}", self.0.ip, self.0.port)
    }
}

/// Appends what turns `believed` into `wanted`, in no particular order.
pub fn reconcile(wanted: &Entry, believed: Option<&Entry>, out: &mut Vec<Operation>) {
    let key = wanted.service.key;
    match believed {
        None => out.push(Operation::AddService(wanted.service.clone())),
        Some(entry) if entry.service != wanted.service => {
            out.push(Operation::EditService(wanted.service.clone()));
        }
        Some(_) => {}
    }
    let nothing = BTreeMap::new();
    let present = believed.map_or(&nothing, |entry| &entry.destinations);
    for (endpoint, destination) in &wanted.destinations {
        match present.get(endpoint) {
            None => out.push(Operation::AddDestination(key, *destination)),
            Some(found) if same(destination, found) => {}
            Some(found) if destination.weight < found.weight => {
                out.push(Operation::LowerDestination(key, *destination));
            }
            Some(_) => out.push(Operation::RaiseDestination(key, *destination)),
        }
    }
    let unwanted = present.keys().filter(|endpoint| !wanted.destinations.contains_key(endpoint));
    out.extend(unwanted.map(|endpoint| Operation::DeleteDestination(key, *endpoint)));
}

/// Older kernels tell "local" of a destination that is this machine, whatever was written.
fn same(wanted: &Destination, found: &Destination) -> bool {
    let forwarding = match found.forwarding {
        Forwarding::Local => wanted.forwarding,
        Forwarding::Nat | Forwarding::Tunnel(_) | Forwarding::DirectRouting | Forwarding::Other(_) => {
            found.forwarding
        }
    };
    Destination { forwarding, ..*found } == *wanted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port: 80 }
    }

    fn server(last: u8, weight: u32) -> Destination {
        Destination {
            endpoint: Endpoint { ip: format!("10.0.0.{last}").parse().unwrap(), port: 80 },
            forwarding: Forwarding::DirectRouting,
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    fn entry(scheduler: &str, servers: &[Destination]) -> Entry {
        Entry {
            service: Service::new(key(), scheduler),
            destinations: servers.iter().map(|server| (server.endpoint, *server)).collect(),
        }
    }

    fn ordered(wanted: &Entry, believed: Option<&Entry>) -> Vec<Operation> {
        let mut operations = Vec::new();
        reconcile(wanted, believed, &mut operations);
        operations.sort_by_key(Operation::phase);
        operations
    }

    #[test]
    fn a_missing_service_is_made_before_its_servers() {
        let wanted = entry("rr", &[server(1, 1)]);
        assert_eq!(
            ordered(&wanted, None),
            [Operation::AddService(wanted.service.clone()), Operation::AddDestination(key(), server(1, 1))]
        );
    }

    #[test]
    fn a_table_that_says_what_it_should_is_left_alone() {
        let table = entry("rr", &[server(1, 1), server(2, 5)]);
        assert_eq!(ordered(&table, Some(&table)), []);
    }

    #[test]
    fn a_changed_weight_is_an_edit_and_never_a_delete_and_add() {
        let operations = ordered(&entry("rr", &[server(1, 7)]), Some(&entry("rr", &[server(1, 3)])));
        assert_eq!(operations, [Operation::RaiseDestination(key(), server(1, 7))]);
    }

    #[test]
    fn a_changed_scheduler_is_an_edit_of_the_service() {
        let wanted = entry("wlc", &[server(1, 1)]);
        let operations = ordered(&wanted, Some(&entry("rr", &[server(1, 1)])));
        assert_eq!(operations, [Operation::EditService(wanted.service.clone())]);
    }

    #[test]
    fn capacity_is_added_before_it_is_taken_away() {
        let wanted = entry("rr", &[server(1, 1), server(2, 9), server(4, 1)]);
        let believed = entry("rr", &[server(1, 5), server(2, 3), server(3, 1)]);
        assert_eq!(
            ordered(&wanted, Some(&believed)),
            [
                Operation::AddDestination(key(), server(4, 1)),
                Operation::RaiseDestination(key(), server(2, 9)),
                Operation::LowerDestination(key(), server(1, 1)),
                Operation::DeleteDestination(key(), server(3, 1).endpoint),
            ]
        );
    }

    #[test]
    fn a_destination_that_the_kernel_calls_local_is_as_it_should_be() {
        let local = Destination { forwarding: Forwarding::Local, ..server(1, 1) };
        assert_eq!(ordered(&entry("rr", &[server(1, 1)]), Some(&entry("rr", &[local]))), []);
    }

    #[test]
    fn an_operation_names_what_it_was_tried_on() {
        assert_eq!(
            Operation::AddDestination(key(), server(1, 1)).to_string(),
            "add server [10.0.0.1]:80 to [192.0.2.1]:tcp:80"
        );
    }

    fn table() -> impl Strategy<Value = Entry> {
        let servers = proptest::collection::vec((0..6_u8, 0..4_u32), 0..6);
        (prop_oneof![Just("rr"), Just("wlc")], servers).prop_map(|(scheduler, servers)| {
            entry(scheduler, &servers.iter().map(|(last, weight)| server(*last, *weight)).collect::<Vec<_>>())
        })
    }

    proptest! {
        #[test]
        fn doing_the_operations_in_order_gives_what_is_wanted(
            wanted in table(),
            believed in proptest::option::of(table()),
        ) {
            let operations = ordered(&wanted, believed.as_ref());
            let mut kernel: BTreeMap<Key, Entry> = believed.map(|entry| (key(), entry)).into_iter().collect();
            for operation in &operations {
                operation.apply(&mut kernel);
            }
            prop_assert_eq!(kernel.get(&key()), Some(&wanted));
            prop_assert_eq!(ordered(&wanted, kernel.get(&key())), []);
        }
    }
}
