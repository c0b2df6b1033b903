//! Configurations and tables for tests.

use std::time::Duration;

use config::model::units::{AdvertInterval, Priority, Vrid};
use config::model::vrrp::{
    Announce, Authentication, ChecksumRule, Family, Instance, Preempt, Removed, Transport, Version,
    VirtualAddress,
};
use netlink::route::{
    Address, AddressFlags, AddressScope, HardwareKind, Lifetime, Link, LinkFlags, RouteEvent,
};

use crate::kernel::link::Links;

/// A multicast IPv4 instance on eth0 with priority 100 and these addresses.
pub(crate) fn instance(addresses: &[&str]) -> Instance {
    Instance {
        name: "VI_1".to_owned(),
        vrid: Vrid::new(51).unwrap(),
        version: Version::V3,
        family: Family::Inet,
        interface: Some("eth0".to_owned()),
        dont_track_primary: false,
        track_source: false,
        wants_master: false,
        priority: Priority::new(100),
        advert_interval: AdvertInterval::from_centiseconds(100).unwrap(),
        preempt: Preempt::After(Duration::ZERO),
        accept: true,
        transport: Transport::Multicast { group: "224.0.0.18".parse().unwrap(), source: None },
        authentication: Authentication::None,
        hmac: None,
        strict: false,
        checksum: ChecksumRule::Detect,
        addresses: addresses.iter().map(|text| address(text)).collect(),
        excluded: Vec::new(),
        routes: Vec::new(),
        track_interfaces: Vec::new(),
        track_scripts: Vec::new(),
        track_files: Vec::new(),
        track_processes: Vec::new(),
        lease: None,
        removed: Removed::PutBack,
        promote_secondaries: false,
        receive_buffer: None,
        announce: Announce::default(),
        down_timer_adverts: 3,
        lower_priority_no_advert: false,
        higher_priority_send_advert: true,
        check_unicast_source: false,
        skip_check_advert_addresses: false,
        owner_ignores_adverts: false,
        timer_expired_backup: None,
    }
}

/// A virtual address on the instance's interface.
pub(crate) fn address(text: &str) -> VirtualAddress {
    VirtualAddress::new(text.parse().unwrap())
}

/// The event of a link that is up.
pub(crate) fn link_up(index: u32, name: &str) -> RouteEvent {
    link(index, name, LinkFlags::Up | LinkFlags::Running | LinkFlags::Multicast)
}

/// The event of a link that is up and takes packets of this length.
pub(crate) fn link_with_mtu(index: u32, name: &str, mtu: u32) -> RouteEvent {
    link_of(index, name, LinkFlags::Up | LinkFlags::Running | LinkFlags::Multicast, mtu)
}

/// The event of a link with these flags.
pub(crate) fn link(index: u32, name: &str, flags: LinkFlags) -> RouteEvent {
    link_of(index, name, flags, 1500)
}

fn link_of(index: u32, name: &str, flags: LinkFlags, mtu: u32) -> RouteEvent {
    RouteEvent::LinkChanged(Link {
        index,
        name: name.to_owned(),
        flags,
        mtu,
        hardware: HardwareKind::Ethernet,
        hardware_address: vec![2, 0, 0, 0, 0, 1],
        lower: None,
        controller: None,
        driver: None,
    })
}

/// The event of an address of global scope, made by `protocol`.
pub(crate) fn address_added(index: u32, text: &str, protocol: Option<u8>) -> RouteEvent {
    let network: ipnetwork::IpNetwork = text.parse().unwrap();
    let local = text.starts_with("fe80");
    RouteEvent::AddressAdded(Address {
        index,
        ip: network.ip(),
        prefix: network.prefix(),
        peer: None,
        scope: if local { AddressScope::Link } else { AddressScope::Universe },
        flags: AddressFlags::empty(),
        protocol,
        label: None,
        lifetime: Lifetime::FOREVER,
    })
}

/// eth0 (index 2) with 192.0.2.1/24 and fe80::1/64.
pub(crate) fn links() -> Links {
    let mut links = Links::default();
    links.apply(link_up(2, "eth0"));
    links.apply(address_added(2, "192.0.2.1/24", None));
    links.apply(address_added(2, "fe80::1/64", None));
    links
}
