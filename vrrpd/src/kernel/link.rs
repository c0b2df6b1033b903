//! Table of links and their addresses, kept up to date by the kernel's events.
//!
//! Pure. Answers questions by name and index; forgets what the kernel says is gone. Called by `kernel` and the
//! driver. Events come from the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use config::model::units::IfIndex;
use config::model::vrrp::Family;
use netlink::route::{Address, AddressScope, AddressSpec, Link, PROTOCOL_KEEPALIVED, RouteEvent};

/// Links and addresses.
#[derive(Debug, Default, Clone)]
pub struct Links {
    links: BTreeMap<u32, Link>,
    /// Index of the link that bears a name, by what was heard last.
    names: BTreeMap<String, u32>,
    addresses: BTreeMap<Place, Address>,
    /// Every place again, by its address.
    places: BTreeSet<(IpAddr, Place)>,
    /// Indexes of the links that forward IPv6.
    forwarding: BTreeSet<u32>,
    trusted: BTreeSet<IpAddr>,
    /// What counts of interfaces that have delays.
    counted: BTreeMap<String, Condition>,
}

/// What identifies an address in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Interface.
    pub index: IfIndex,
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
}

impl Place {
    /// Place of an address that the kernel tells of.
    #[must_use]
    pub fn of(address: &Address) -> Self {
        Self { index: IfIndex::new(address.index), ip: address.ip, prefix: address.prefix }
    }

    /// Place of an address that the kernel is told of.
    #[must_use]
    pub fn of_spec(spec: &AddressSpec) -> Self {
        Self { index: IfIndex::new(spec.index), ip: spec.ip, prefix: spec.prefix }
    }
}

/// Condition of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// There is none of this name.
    Missing,
    /// Off, or without carrier.
    Down,
    /// Carries packets.
    Up,
}

impl Links {
    /// Enters one event.
    pub fn apply(&mut self, event: RouteEvent) {
        match event {
            // Routes are no business of this table.
            RouteEvent::OwnRouteRemoved => {}
            RouteEvent::LinkChanged(link) => {
                self.unname(link.index);
                self.names.insert(link.name.clone(), link.index);
                self.links.insert(link.index, link);
            }
            RouteEvent::LinkGone(index) => {
                self.unname(index);
                self.links.remove(&index);
                self.forwarding.remove(&index);
                self.addresses.retain(|place, _| place.index.value() != index);
                self.places.retain(|(_, place)| place.index.value() != index);
            }
            RouteEvent::AddressAdded(address) => {
                let place = Place::of(&address);
                self.places.insert((place.ip, place));
                self.addresses.insert(place, address);
            }
            RouteEvent::AddressRemoved(address) => self.forget(&Place::of(&address)),
            RouteEvent::Forwarding(index, true) => {
                self.forwarding.insert(index);
            }
            RouteEvent::Forwarding(index, false) => {
                self.forwarding.remove(&index);
            }
        }
    }

    /// Every address, with the interface that has it.
    pub fn present_addresses(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        self.addresses.values().map(|address| (address.ip, address.index))
    }

    /// Name of an interface.
    #[must_use]
    pub fn name_of(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|link| link.name.as_str())
    }

    /// A link has another name now, or none; the name may have gone to another link already.
    fn unname(&mut self, index: u32) {
        if let Some(link) = self.links.get(&index)
            && self.names.get(&link.name) == Some(&index)
        {
            self.names.remove(&link.name);
        }
    }

    /// Link of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.links.get(self.names.get(name)?)
    }

    /// Link with this index.
    #[must_use]
    pub fn by_index(&self, index: IfIndex) -> Option<&Link> {
        self.links.get(&index.value())
    }

    /// True when packets of IPv6 pass from this interface to others: this machine is a router there.
    #[must_use]
    pub fn forwards(&self, index: IfIndex) -> bool {
        self.forwarding.contains(&index.value())
    }

    /// Condition of the interface of this name, as far as it counts.
    #[must_use]
    pub fn condition(&self, name: &str) -> Condition {
        self.counted.get(name).copied().unwrap_or_else(|| self.present_condition(name))
    }

    /// What counts of interfaces, whatever they are at present.
    pub fn count(&mut self, conditions: BTreeMap<String, Condition>) {
        self.counted = conditions;
    }

    /// What was given to [`Self::count`].
    #[must_use]
    pub fn counted(&self) -> &BTreeMap<String, Condition> {
        &self.counted
    }

    /// Condition of the interface of this name, whether it counts or not.
    #[must_use]
    pub fn present_condition(&self, name: &str) -> Condition {
        match self.by_name(name) {
            None => Condition::Missing,
            Some(link) if link.is_running() || (link.is_loopback() && link.is_up()) => Condition::Up,
            Some(_) => Condition::Down,
        }
    }

    /// The address at this place.
    #[must_use]
    pub fn address(&self, place: &Place) -> Option<&Address> {
        self.addresses.get(place)
    }

    /// True when some interface has this address, ready for use.
    #[must_use]
    pub fn has_ip(&self, ip: IpAddr) -> bool {
        let low = Place { index: IfIndex::new(0), ip, prefix: 0 };
        let places = self.places.range((ip, low)..).take_while(|(other, _)| *other == ip);
        places.filter_map(|(_, place)| self.addresses.get(place)).any(|address| !address.is_tentative())
    }

    /// Addresses that adverts may come from although keepalived added them.
    pub fn trust(&mut self, addresses: BTreeSet<IpAddr>) {
        self.trusted = addresses;
    }

    /// What was given to [`Self::trust`].
    #[must_use]
    pub fn trusted(&self) -> BTreeSet<IpAddr> {
        self.trusted.clone()
    }

    /// True when the table has this very address but for how long it stays.
    #[must_use]
    pub fn knows(&self, address: &Address) -> bool {
        let known = self.addresses.get(&Place::of(address));
        known.is_some_and(|known| Address { lifetime: address.lifetime, ..known.clone() } == *address)
    }

    /// True when adverts may come from this address although keepalived added it.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.contains(&ip)
    }

    /// An address is gone, whatever events will say of it.
    pub fn forget(&mut self, place: &Place) {
        self.places.remove(&(place.ip, *place));
        self.addresses.remove(place);
    }

    /// First address of an interface that adverts may come from: not one of `not`, not one that keepalived added
    /// unless it is trusted, ready for use, and of the wanted reach.
    #[must_use]
    pub fn source(&self, index: IfIndex, family: Family, reach: Reach, not: &[IpAddr]) -> Option<IpAddr> {
        let low = Place { index, ip: IpAddr::from([0, 0, 0, 0]), prefix: 0 };
        self.addresses
            .range(low..)
            .take_while(|(place, _)| place.index == index)
            .map(|(_, address)| address)
            .find(|address| {
                Family::of(&address.ip) == family
                    && (address.protocol != Some(PROTOCOL_KEEPALIVED) || self.trusts(address.ip))
                    && !not.contains(&address.ip)
                    && !address.is_tentative()
                    && !address.is_duplicate()
                    && reach.takes(address)
            })
            .map(|address| address.ip)
    }

    /// True when the kernel says who made an address (Linux 5.18 and later mark 127.0.0.1 so).
    #[must_use]
    pub fn tells_makers(&self) -> bool {
        self.addresses.values().any(|address| address.protocol.is_some())
    }
}

/// How far packets from an address go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Beyond the link: global scope.
    Global,
    /// The link only (IPv6).
    Link,
}

impl Reach {
    fn takes(self, address: &Address) -> bool {
        match self {
            Self::Global => matches!(address.scope, AddressScope::Universe | AddressScope::Site),
            Self::Link => address.scope == AddressScope::Link,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink::route::{AddressFlags, HardwareKind, Lifetime, LinkFlags};

    fn link(index: u32, name: &str, flags: LinkFlags) -> RouteEvent {
        RouteEvent::LinkChanged(Link {
            index,
            name: name.to_owned(),
            flags,
            mtu: 1500,
            hardware: HardwareKind::Ethernet,
            hardware_address: vec![2, 0, 0, 0, 0, 1],
            lower: None,
            controller: None,
            driver: None,
        })
    }

    fn address(index: u32, ip: &str, scope: AddressScope, protocol: Option<u8>) -> Address {
        Address {
            index,
            ip: ip.parse().unwrap(),
            prefix: 24,
            peer: None,
            scope,
            flags: AddressFlags::empty(),
            protocol,
            label: None,
            lifetime: Lifetime::FOREVER,
        }
    }

    fn table() -> Links {
        let mut links = Links::default();
        links.apply(link(2, "eth0", LinkFlags::Up | LinkFlags::Running));
        links.apply(RouteEvent::AddressAdded(address(2, "192.0.2.50", AddressScope::Universe, Some(18))));
        links.apply(RouteEvent::AddressAdded(address(2, "192.0.2.51", AddressScope::Universe, None)));
        links.apply(RouteEvent::AddressAdded(address(2, "192.0.2.60", AddressScope::Universe, None)));
        links.apply(RouteEvent::AddressAdded(address(2, "fe80::1", AddressScope::Link, None)));
        links
    }

    #[test]
    fn a_source_is_neither_ours_nor_a_virtual_address() {
        let not = ["192.0.2.51".parse().unwrap()];
        let source = table().source(IfIndex::new(2), Family::Inet, Reach::Global, &not);
        assert_eq!(source, Some("192.0.2.60".parse().unwrap()));
    }

    #[test]
    fn the_link_local_address_is_found_by_its_reach() {
        let links = table();
        let source = links.source(IfIndex::new(2), Family::Inet6, Reach::Link, &[]);
        assert_eq!(source, Some("fe80::1".parse().unwrap()));
        assert_eq!(links.source(IfIndex::new(2), Family::Inet6, Reach::Global, &[]), None);
    }

    #[test]
    fn an_interface_that_vanishes_takes_its_addresses_along() {
        let mut links = table();
        links.apply(RouteEvent::LinkGone(2));
        assert_eq!(links.condition("eth0"), Condition::Missing);
        assert!(!links.has_ip("192.0.2.60".parse().unwrap()));
    }

    #[test]
    fn a_renamed_interface_is_found_by_its_new_name_only() {
        let mut links = table();
        links.apply(link(2, "lan0", LinkFlags::Up));
        assert_eq!(links.condition("eth0"), Condition::Missing);
        assert_eq!(links.condition("lan0"), Condition::Down);
    }

    #[test]
    fn two_interfaces_that_swap_their_names_are_found_by_them() {
        let mut links = table();
        links.apply(link(3, "eth1", LinkFlags::Up));
        for (index, name) in [(2, "swap"), (3, "eth0"), (2, "eth1")] {
            links.apply(link(index, name, LinkFlags::Up));
        }
        let index = |name| links.by_name(name).map(|link| link.index);
        assert_eq!((index("eth0"), index("eth1"), index("swap")), (Some(3), Some(2), None));
    }

    #[test]
    fn a_name_that_was_given_to_another_interface_survives_the_end_of_the_first() {
        let mut links = table();
        links.apply(link(9, "eth0", LinkFlags::Up));
        links.apply(RouteEvent::LinkGone(2));
        assert_eq!(links.by_name("eth0").map(|link| link.index), Some(9));
    }

    #[test]
    fn an_address_on_two_interfaces_is_there_until_both_have_lost_it() {
        let mut links = table();
        let ip = "192.0.2.60".parse().unwrap();
        links.apply(link(3, "eth1", LinkFlags::Up));
        links.apply(RouteEvent::AddressAdded(address(3, "192.0.2.60", AddressScope::Universe, None)));
        links.apply(RouteEvent::LinkGone(2));
        assert!(links.has_ip(ip));
        links.apply(RouteEvent::AddressRemoved(address(3, "192.0.2.60", AddressScope::Universe, None)));
        assert!(!links.has_ip(ip));
    }

    #[test]
    fn an_interface_forwards_as_long_as_the_kernel_says_so() {
        let mut links = table();
        assert!(!links.forwards(IfIndex::new(2)));
        links.apply(RouteEvent::Forwarding(2, true));
        assert!(links.forwards(IfIndex::new(2)));
        links.apply(RouteEvent::Forwarding(2, false));
        assert!(!links.forwards(IfIndex::new(2)));
    }
}
