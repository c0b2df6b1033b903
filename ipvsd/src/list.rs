//! The list of one generation: which services and servers may stand in the table, and what should be said of each.
//!
//! Pure. Checks the list when it is read and every entry that names a place on it. Called by [`crate::ledger`] and,
//! while a list is being read, by [`crate::driver`]. Entries come from checkd and are untrusted; memory is bounded by
//! the list itself, because an entry fills a place and makes none.

use std::collections::{BTreeMap, BTreeSet};

use config::model::ipvs as model;
use config::model::parts::{IpvsService, Presence, ServerRef};
use config::model::units::{Generation, ServerId, ServiceId};
use config::model::vrrp::Family;
use ipc::messages::checkd::DesiredEntry;
use netlink::ipvs::{Destination, Endpoint, Forwarding, IpFamily, Key, Service, ServiceFlags, Tunnel};

use crate::reconcile::Entry;

/// The list of one generation.
#[derive(Debug, Clone)]
pub struct List {
    generation: Generation,
    services: Vec<Listed>,
    /// Services that stand under a key: one, or several that share a mark.
    places: BTreeMap<Key, Vec<usize>>,
    whole: bool,
    settings: model::IpvsSettings,
}

#[derive(Debug, Clone)]
struct Listed {
    name: String,
    keys: Vec<Key>,
    marked: Option<model::Marked>,
    options: model::ServiceOptions,
    servers: Vec<Place>,
    sorry: Option<Place>,
}

/// A server and what should be said of it.
#[derive(Debug, Clone)]
struct Place {
    destination: model::Destination,
    presence: Presence,
    /// Named since the last whole ended.
    named: bool,
}

/// Why a list can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Two services claim one address, or one claims a key twice.
    #[error("{0} stands on the list twice")]
    Duplicate(model::ServiceKey),
    /// A key that the kernel can't have.
    #[error("{0} has mark 0")]
    NoMark(String),
    /// The scheduler's name is empty or longer than 15 bytes.
    #[error("{0} names no scheduler that the kernel could have")]
    Scheduler(String),
    /// A name that no interface can have.
    #[error("'{0}' is no name of an interface")]
    Interface(String),
    /// A name that no table of nftables can have.
    #[error("'{0}' is no table of nftables")]
    MarkTable(String),
    /// The name of the persistence engine is empty or longer than 15 bytes.
    #[error("{0} names no persistence engine that the kernel could have")]
    Engine(String),
    /// The persistence prefix is longer than an address.
    #[error("{name} has a persistence prefix of {prefix} bits")]
    Prefix {
        /// Name of the service.
        name: String,
        /// The prefix.
        prefix: u8,
    },
}

/// Why an entry was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The list has no such service.
    #[error("unknown service")]
    Service,
    /// The service has no such server.
    #[error("unknown server")]
    Server,
    /// The kernel would read the weight as negative.
    #[error("weight out of range")]
    Weight,
}

impl List {
    /// An empty list.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        Self {
            generation,
            services: Vec::new(),
            places: BTreeMap::new(),
            whole: false,
            settings: model::IpvsSettings::default(),
        }
    }

    /// Takes the settings of the table as a whole.
    ///
    /// # Errors
    /// The kernel could not have them.
    pub fn set(&mut self, settings: model::IpvsSettings) -> Result<(), ListError> {
        if let Some(sync) = &settings.sync
            && (sync.interface.is_empty() || sync.interface.len() > 15 || sync.interface.contains('\0'))
        {
            return Err(ListError::Interface(sync.interface.clone()));
        }
        if let Some(marks) = &settings.marks
            && (marks.name.is_empty()
                || marks.name.len() > 255
                || marks.name.contains('\0')
                || marks.first == 0)
        {
            return Err(ListError::MarkTable(marks.name.clone()));
        }
        self.settings = settings;
        Ok(())
    }

    /// Settings of the table as a whole.
    #[must_use]
    pub fn settings(&self) -> &model::IpvsSettings {
        &self.settings
    }

    /// Appends the next service; its position is its [`ServiceId`].
    ///
    /// # Errors
    /// The kernel could not have it; the list is of no use then.
    pub fn add(&mut self, service: IpvsService) -> Result<(), ListError> {
        let IpvsService { name, keys, marked, options, destinations, sorry } = service;
        if options.scheduler.is_empty() || options.scheduler.len() > 15 || options.scheduler.contains('\0') {
            return Err(ListError::Scheduler(name));
        }
        let engine = options.persistence_engine.as_deref();
        if engine.is_some_and(|name| name.is_empty() || name.len() > 15 || name.contains('\0')) {
            return Err(ListError::Engine(name));
        }
        let position = self.services.len();
        let mut listed = Vec::with_capacity(keys.len());
        for wanted in &keys {
            let key = key_of(wanted).ok_or_else(|| ListError::NoMark(name.clone()))?;
            if let Some(prefix) = options.persistence_prefix.filter(|prefix| *prefix > key.family().bits()) {
                return Err(ListError::Prefix { name, prefix });
            }
            let claims = self.places.entry(key).or_default();
            let may_share = matches!(key, Key::Mark { .. }) && !claims.contains(&position);
            if !claims.is_empty() && !may_share {
                return Err(ListError::Duplicate(*wanted));
            }
            claims.push(position);
            listed.push(key);
        }
        let place = |destination| Place { destination, presence: None, named: false };
        self.services.push(Listed {
            name,
            keys: listed,
            marked,
            options,
            servers: destinations.into_iter().map(place).collect(),
            sorry: sorry.map(place),
        });
        Ok(())
    }

    /// Number of the configuration.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Number of services so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// True when there is no service.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// A whole has been told at least once, or there is nothing to tell.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole || self.services.is_empty()
    }

    /// Keys of the table that the list claims.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.places.keys().copied()
    }

    /// True when the list claims this key.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.places.contains_key(key)
    }

    /// Addresses that nftables marks for services.
    pub fn marked(&self) -> impl Iterator<Item = &model::Marked> {
        self.services.iter().filter_map(|service| service.marked.as_ref())
    }

    /// nftables marks packets for a service.
    #[must_use]
    pub fn marks_packets(&self) -> bool {
        self.settings.marks.is_some() && self.marked().next().is_some()
    }

    /// The mark lies among those that are the suite's, whatever the list says.
    #[must_use]
    pub fn owns_mark(&self, key: &Key) -> bool {
        let first = self.settings.marks.as_ref().filter(|_| self.marks_packets()).map(|marks| marks.first);
        match (key, first) {
            (Key::Mark { mark, .. }, Some(first)) => (first..=first.saturating_add(OWN_MARKS)).contains(mark),
            (Key::Mark { .. } | Key::Address { .. }, _) => false,
        }
    }

    /// Services that nftables marks packets for keep the marks that they have in `old`: between the writing of two
    /// tables no packet is sent to the servers of another service. Call before entries are taken.
    pub fn keep_marks(&mut self, old: &Self) {
        let first = |list: &Self| list.settings.marks.as_ref().map(|marks| marks.first);
        let Some(start) = first(self).filter(|_| first(self) == first(old)) else { return };
        let with_mark = |service: &Listed| Some((service.name.clone(), service.marked.as_ref()?.mark));
        let held: BTreeMap<String, u32> = old.services.iter().filter_map(with_mark).collect();
        let own = self.services.iter().filter(|service| service.marked.is_none());
        let mut taken: BTreeSet<u32> = own.flat_map(|service| &service.keys).filter_map(mark_of).collect();
        let mut wants: Vec<Option<u32>> = Vec::with_capacity(self.services.len());
        for service in &self.services {
            let held = held.get(&service.name).filter(|_| service.marked.is_some());
            wants.push(held.copied().filter(|mark| taken.insert(*mark)));
        }
        // Packets get the mark of a service that goes until its addresses have left the tables.
        taken.extend(held.values());
        let mut free = (start..=u32::MAX).filter(|mark| !taken.contains(mark));
        for (position, (service, held)) in self.services.iter_mut().zip(wants).enumerate() {
            let Some(marked) = &mut service.marked else { continue };
            let Some(mark) = held.or_else(|| free.next()) else { continue };
            marked.mark = mark;
            for key in &mut service.keys {
                if self.places.get(key).is_some_and(|places| places.as_slice() == [position]) {
                    self.places.remove(key);
                }
                *key = Key::Mark { mark, family: key.family() };
            }
        }
        for (position, service) in self.services.iter().enumerate().filter(|(_, s)| s.marked.is_some()) {
            for key in &service.keys {
                self.places.insert(*key, vec![position]);
            }
        }
    }

    /// Takes one entry; true when it changes what should be said.
    ///
    /// # Errors
    /// It names no place on the list, or a weight that the kernel can't have.
    pub fn take(&mut self, entry: &DesiredEntry) -> Result<bool, EntryError> {
        let service = self.services.get_mut(entry.service.index()).ok_or(EntryError::Service)?;
        let place = match entry.server {
            ServerRef::Real(server) => service.servers.get_mut(server.index()),
            ServerRef::Sorry => service.sorry.as_mut(),
        };
        let place = place.ok_or(EntryError::Server)?;
        if entry.presence.is_some_and(|weight| weight.value() > MAX_WEIGHT) {
            return Err(EntryError::Weight);
        }
        place.named = true;
        let changed = place.presence != entry.presence;
        place.presence = entry.presence;
        Ok(changed)
    }

    /// Ends a whole: what wasn't named since the last whole is absent. Returns the services that this changed.
    pub fn end_whole(&mut self) -> Vec<ServiceId> {
        self.whole = true;
        let mut changed = Vec::new();
        for (position, service) in self.services.iter_mut().enumerate() {
            let mut touched = false;
            for place in service.servers.iter_mut().chain(service.sorry.as_mut()) {
                if !place.named && place.presence.take().is_some() {
                    touched = true;
                }
                place.named = false;
            }
            if touched {
                changed.extend(u32::try_from(position).map(ServiceId::new));
            }
        }
        changed
    }

    /// Keys under which a service stands.
    #[must_use]
    pub fn keys_of(&self, service: ServiceId) -> &[Key] {
        self.services.get(service.index()).map_or(&[], |service| service.keys.as_slice())
    }

    /// Servers of a service and where each stands under one of its keys; of two at one endpoint only the first.
    pub fn endpoints(&self, service: ServiceId, key: &Key) -> BTreeMap<ServerRef, Endpoint> {
        let Some(service) = self.services.get(service.index()) else { return BTreeMap::new() };
        let real = (0..).map(|number| ServerRef::Real(ServerId::new(number))).zip(&service.servers);
        let mut taken = BTreeSet::new();
        real.chain(service.sorry.iter().map(|place| (ServerRef::Sorry, place)))
            .map(|(server, place)| (server, destination_under(key, &place.destination, 0).endpoint))
            .filter(|(_, endpoint)| taken.insert(*endpoint))
            .collect()
    }

    /// What the table should say under a key. Where several services share a mark, the first says how it is
    /// scheduled. Where two servers come to one endpoint, the first that is present counts, the sorry server last.
    #[must_use]
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        let services: Vec<&Listed> =
            self.places.get(key)?.iter().filter_map(|position| self.services.get(*position)).collect();
        let first = services.first()?;
        let mut destinations = BTreeMap::new();
        for place in services.iter().flat_map(|service| service.servers.iter().chain(&service.sorry)) {
            if let Some(weight) = place.presence {
                let destination = destination_under(key, &place.destination, weight.value());
                destinations.entry(destination.endpoint).or_insert(destination);
            }
        }
        Some(Entry { service: service_under(key, &first.options), destinations })
    }
}

fn mark_of(key: &Key) -> Option<u32> {
    match key {
        Key::Mark { mark, .. } => Some(*mark),
        Key::Address { .. } => None,
    }
}

fn key_of(key: &model::ServiceKey) -> Option<Key> {
    match key {
        model::ServiceKey::Address { address, port, protocol } => {
            Some(Key::Address { protocol: protocol.number(), ip: *address, port: *port })
        }
        model::ServiceKey::Mark { mark: 0, .. } => None,
        model::ServiceKey::Mark { mark, family } => {
            let family = match family {
                Family::Inet => IpFamily::V4,
                Family::Inet6 => IpFamily::V6,
            };
            Some(Key::Mark { mark: *mark, family })
        }
    }
}

fn service_under(key: &Key, options: &model::ServiceOptions) -> Service {
    let mut flags = ServiceFlags::none();
    for (set, flag) in [
        (options.persistence_timeout.is_some(), ServiceFlags::PERSISTENT),
        (options.one_packet, ServiceFlags::ONE_PACKET),
        (options.flag1, ServiceFlags::FALLBACK),
        (options.flag2, ServiceFlags::HASH_PORT),
        (options.flag3, ServiceFlags::THIRD),
    ] {
        if set {
            flags = flags.with(flag);
        }
    }
    Service {
        flags,
        persistence_timeout: options.persistence_timeout.unwrap_or(0),
        persistence_prefix: options.persistence_prefix.unwrap_or_else(|| key.family().bits()),
        persistence_engine: options.persistence_engine.clone(),
        ..Service::new(*key, &options.scheduler)
    }
}

/// Packets for direct routing and tunnels keep their port, so the destination has the key's (0 under a mark).
fn destination_under(key: &Key, server: &model::Destination, weight: u32) -> Destination {
    let kept = match key {
        Key::Address { port, .. } => *port,
        Key::Mark { .. } => 0,
    };
    let (forwarding, port) = match server.forwarding {
        model::Forwarding::Nat => (Forwarding::Nat, server.port),
        model::Forwarding::DirectRouting => (Forwarding::DirectRouting, kept),
        model::Forwarding::Tunnel(outer) => (Forwarding::Tunnel(tunnel(outer)), kept),
    };
    Destination {
        endpoint: Endpoint { ip: server.address, port },
        forwarding,
        weight,
        upper_threshold: server.upper_threshold,
        lower_threshold: server.lower_threshold,
    }
}

fn tunnel(outer: model::Encapsulation) -> Tunnel {
    match outer {
        model::Encapsulation::Ipip => Tunnel::ipip(),
        model::Encapsulation::Gue { port, checksum } => Tunnel {
            kind: Tunnel::GUE,
            port,
            flags: match checksum {
                model::Checksum::None => 0,
                model::Checksum::Outer => Tunnel::CHECKSUM,
                model::Checksum::Remote => Tunnel::REMOTE_CHECKSUM,
            },
        },
        model::Encapsulation::Gre { checksum } => {
            Tunnel { kind: Tunnel::GRE, port: 0, flags: if checksum { Tunnel::CHECKSUM } else { 0 } }
        }
    }
}

const MAX_WEIGHT: u32 = 2_147_483_647;

/// Marks from the first on that no one else uses.
const OWN_MARKS: u32 = 65_535;

#[cfg(test)]
mod tests {
    use config::model::units::{ServerId, Weight};

    use super::*;
    use crate::samples::{entry, mark, marked_list, service, tcp};

    fn list(service: IpvsService) -> List {
        let mut list = List::new(Generation::new(1));
        list.add(service).unwrap();
        list
    }

    fn key(service: &model::ServiceKey) -> Key {
        key_of(service).unwrap()
    }

    #[test]
    fn direct_routing_takes_the_port_of_the_key_and_nat_its_own() {
        let mut web = service(&[tcp(1, 80), tcp(1, 443), mark(7)], 2);
        web.destinations[0].forwarding = model::Forwarding::Nat;
        web.destinations[1].forwarding = model::Forwarding::DirectRouting;
        let mut list = list(web);
        list.take(&entry(0, 0, Some(1))).unwrap();
        list.take(&entry(0, 1, Some(1))).unwrap();
        let ports = |wanted: model::ServiceKey| {
            let entry = list.entry(&key(&wanted)).unwrap();
            entry.destinations.keys().map(|endpoint| endpoint.port).collect::<Vec<_>>()
        };
        assert_eq!(ports(tcp(1, 80)), [8080, 80]);
        assert_eq!(ports(tcp(1, 443)), [8080, 443]);
        assert_eq!(ports(mark(7)), [8080, 0]);
    }

    #[test]
    fn a_server_that_nobody_named_is_absent_after_a_whole() {
        let mut list = list(service(&[tcp(1, 80)], 2));
        list.take(&entry(0, 0, Some(1))).unwrap();
        list.take(&entry(0, 1, Some(1))).unwrap();
        assert_eq!(list.end_whole(), []);
        list.take(&entry(0, 1, Some(1))).unwrap();
        assert_eq!(list.end_whole(), [ServiceId::new(0)]);
        assert_eq!(list.entry(&key(&tcp(1, 80))).unwrap().destinations.len(), 1);
    }

    #[test]
    fn entries_that_name_nothing_on_the_list_are_refused() {
        let mut list = list(service(&[tcp(1, 80)], 2));
        assert_eq!(list.take(&entry(1, 0, Some(1))), Err(EntryError::Service));
        assert_eq!(list.take(&entry(0, 2, Some(1))), Err(EntryError::Server));
        let sorry = DesiredEntry {
            service: ServiceId::new(0),
            server: ServerRef::Sorry,
            presence: Some(Weight::ZERO),
        };
        assert_eq!(list.take(&sorry), Err(EntryError::Server));
    }

    #[test]
    fn a_weight_that_the_kernel_would_read_as_negative_is_refused() {
        let bytes = ipc::codec::encode(&3_000_000_000_u32, 64).unwrap();
        let weight: Weight = ipc::codec::decode(&bytes).unwrap();
        let mut list = list(service(&[tcp(1, 80)], 1));
        let forged = DesiredEntry { presence: Some(weight), ..entry(0, 0, None) };
        assert_eq!(list.take(&forged), Err(EntryError::Weight));
        assert_eq!(list.entry(&key(&tcp(1, 80))).unwrap().destinations.len(), 0);
    }

    #[test]
    fn a_key_that_stands_twice_refuses_the_list() {
        let mut list = list(service(&[tcp(1, 80)], 1));
        assert_eq!(list.add(service(&[tcp(1, 80)], 1)), Err(ListError::Duplicate(tcp(1, 80))));
    }

    #[test]
    fn a_service_keeps_its_mark_when_another_comes_before_it_or_goes() {
        let marks = |list: &List| list.marked().map(|marked| marked.mark).collect::<Vec<_>>();
        let one: &[(&str, u16)] = &[("192.0.2.1", 80)];
        let old = marked_list(1, &[("a", one), ("b", one)]);
        let mut new = marked_list(2, &[("c", one), ("b", one), ("a", one)]);
        new.keep_marks(&old);
        assert_eq!(marks(&new), [1002, 1001, 1000]);
        assert_eq!(new.keys().collect::<Vec<_>>(), [key(&mark(1000)), key(&mark(1001)), key(&mark(1002))]);
        assert_eq!(new.keys_of(ServiceId::new(0)), [key(&mark(1002))]);
        let mut last = marked_list(3, &[("d", one), ("c", one)]);
        last.keep_marks(&new);
        assert_eq!(marks(&last), [1003, 1002]);
    }

    #[test]
    fn services_that_share_a_mark_put_their_servers_together() {
        let mut udp = service(&[mark(7)], 2);
        udp.destinations[1].address = "10.0.0.9".parse().unwrap();
        let mut list = list(service(&[mark(7)], 1));
        list.add(udp).unwrap();
        for named in [entry(0, 0, Some(1)), entry(1, 0, Some(4)), entry(1, 1, Some(2))] {
            list.take(&named).unwrap();
        }
        let entry = list.entry(&key(&mark(7))).unwrap();
        let weights: Vec<_> = entry.destinations.values().map(|server| server.weight).collect();
        assert_eq!(weights, [1, 2]);
        assert_eq!(list.keys_of(ServiceId::new(1)), [key(&mark(7))]);
    }

    #[test]
    fn flags_and_tunnels_come_into_the_table_as_configured() {
        let mut web = service(&[tcp(1, 80)], 3);
        web.options =
            model::ServiceOptions { flag1: true, flag2: true, ..model::ServiceOptions::plain("mh") };
        let gue = model::Encapsulation::Gue { port: 6080, checksum: model::Checksum::Remote };
        for (server, outer) in [model::Encapsulation::Ipip, gue, model::Encapsulation::Gre { checksum: true }]
            .into_iter()
            .enumerate()
        {
            web.destinations[server].forwarding = model::Forwarding::Tunnel(outer);
        }
        let mut list = list(web);
        for server in 0..3 {
            list.take(&entry(0, server, Some(1))).unwrap();
        }
        let entry = list.entry(&key(&tcp(1, 80))).unwrap();
        assert_eq!(entry.service.flags, ServiceFlags::FALLBACK.with(ServiceFlags::HASH_PORT));
        let tunnels: Vec<_> = entry.destinations.values().map(|server| server.forwarding).collect();
        assert_eq!(
            tunnels,
            [
                Forwarding::Tunnel(Tunnel { kind: 0, port: 0, flags: 0 }),
                Forwarding::Tunnel(Tunnel { kind: 1, port: 6080, flags: 2 }),
                Forwarding::Tunnel(Tunnel { kind: 2, port: 0, flags: 1 }),
            ]
        );
    }

    #[test]
    fn a_sorry_server_that_is_also_a_real_server_gives_way_to_it() {
        let mut web = service(&[tcp(1, 80)], 1);
        web.sorry = Some(web.destinations[0]);
        let mut list = list(web);
        let sorry = DesiredEntry {
            service: ServiceId::new(0),
            server: ServerRef::Sorry,
            presence: Some(Weight::new(1).unwrap()),
        };
        list.take(&sorry).unwrap();
        list.take(&DesiredEntry { server: ServerRef::Real(ServerId::new(0)), ..entry(0, 0, Some(9)) })
            .unwrap();
        let weights: Vec<_> = list
            .entry(&key(&tcp(1, 80)))
            .unwrap()
            .destinations
            .values()
            .map(|server| server.weight)
            .collect();
        assert_eq!(weights, [9]);
    }

    #[test]
    fn persistence_sets_flag_time_and_all_bits() {
        let mut web = service(&[tcp(1, 80)], 1);
        web.options.persistence_timeout = Some(360);
        let wanted = list(web).entry(&key(&tcp(1, 80))).unwrap().service;
        assert_eq!(wanted.flags, ServiceFlags::PERSISTENT);
        assert_eq!((wanted.persistence_timeout, wanted.persistence_prefix), (360, 32));
    }
}
