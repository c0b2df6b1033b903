//! Counters of services and destinations, as they were read last.
//!
//! Pure. Holds what comes along when the table is read for other reasons, so that showing counters costs no reading.
//! Called by [`crate::keeper`]; memory is bounded by what the list allows in the table.

use std::collections::BTreeMap;

use config::model::units::ServiceId;
use ipc::messages::ipvsd::{Counters, StatisticsEntry};
use netlink::ipvs::{DestinationEntry, Endpoint, Key, ServiceEntry, Stats};

use crate::list::List;

/// What was counted.
#[derive(Debug, Default)]
pub struct Statistics {
    services: BTreeMap<Key, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    service: Counters,
    servers: BTreeMap<Endpoint, Counters>,
}

impl Statistics {
    /// All services that are ours were read; what isn't among them is forgotten.
    pub fn saw_services(&mut self, found: &BTreeMap<Key, ServiceEntry>) {
        self.services.retain(|key, _| found.contains_key(key));
        for (key, entry) in found {
            self.services.entry(*key).or_default().service = counters(&entry.stats);
        }
    }

    /// The destinations of a service were read.
    pub fn saw_destinations(&mut self, key: Key, found: &[DestinationEntry]) {
        let server = |entry: &DestinationEntry| {
            let counters = Counters {
                active: entry.active.into(),
                inactive: entry.inactive.into(),
                persistent: entry.persistent.into(),
                ..counters(&entry.stats)
            };
            (entry.destination.endpoint, counters)
        };
        self.services.entry(key).or_default().servers = found.iter().map(server).collect();
    }

    /// What is known of the services and servers on a list.
    #[must_use]
    pub fn entries(&self, list: &List) -> Vec<StatisticsEntry> {
        let mut out = Vec::new();
        for (service, _) in (0..).map(ServiceId::new).zip(0..list.len()) {
            let (mut sum, mut known) = (Counters::default(), false);
            let mut servers = BTreeMap::<_, Counters>::new();
            for key in list.keys_of(service) {
                let Some(seen) = self.services.get(key) else { continue };
                known = true;
                sum += seen.service;
                for (server, endpoint) in list.endpoints(service, key) {
                    if let Some(counters) = seen.servers.get(&endpoint) {
                        *servers.entry(server).or_default() += *counters;
                    }
                }
            }
            if known {
                out.push(StatisticsEntry { service, server: None, counters: sum });
            }
            let entry = |(server, counters)| StatisticsEntry { service, server: Some(server), counters };
            out.extend(servers.into_iter().map(entry));
        }
        out
    }
}

fn counters(stats: &Stats) -> Counters {
    Counters {
        connections: stats.connections,
        packets_in: stats.packets_in,
        packets_out: stats.packets_out,
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
        ..Counters::default()
    }
}

#[cfg(test)]
mod tests {
    use config::model::parts::ServerRef;
    use config::model::units::{Generation, ServerId};
    use netlink::ipvs::{Destination, Forwarding, Service};

    use super::*;
    use crate::samples::{service, tcp};

    fn key(port: u16) -> Key {
        Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port }
    }

    fn destination(last: u8, connections: u64, active: u32) -> DestinationEntry {
        DestinationEntry {
            destination: Destination {
                endpoint: Endpoint { ip: format!("10.0.0.{last}").parse().unwrap(), port: 8080 },
                forwarding: Forwarding::Nat,
                weight: 1,
                upper_threshold: 0,
                lower_threshold: 0,
            },
            active,
            inactive: 0,
            persistent: 0,
            stats: Stats { connections, ..Stats::default() },
        }
    }

    #[test]
    fn counters_of_a_groups_entries_are_added_up() {
        let mut list = List::new(Generation::new(1));
        list.add(service(&[tcp(1, 80), tcp(1, 81)], 2)).unwrap();
        let mut statistics = Statistics::default();
        let found = [80, 81].map(|port| {
            let stats = Stats { connections: 10, ..Stats::default() };
            (key(port), ServiceEntry { service: Service::new(key(port), "rr"), stats })
        });
        statistics.saw_services(&found.into());
        statistics.saw_destinations(key(80), &[destination(1, 7, 2), destination(2, 3, 0)]);
        statistics.saw_destinations(key(81), &[destination(1, 10, 1), destination(9, 99, 9)]);
        let told: Vec<_> = statistics
            .entries(&list)
            .iter()
            .map(|entry| (entry.server, entry.counters.connections, entry.counters.active))
            .collect();
        let server = |number| Some(ServerRef::Real(ServerId::new(number)));
        assert_eq!(told, [(None, 20, 0), (server(0), 17, 3), (server(1), 3, 0)]);
    }

    #[test]
    fn a_service_that_is_gone_is_forgotten() {
        let mut statistics = Statistics::default();
        statistics.saw_destinations(key(80), &[destination(1, 7, 2)]);
        statistics.saw_services(&BTreeMap::new());
        assert!(statistics.services.is_empty());
    }
}
