//! Configured addresses as requests to the kernel.
//!
//! Pure: builds requests, sends none. Called by the driver. Input is configuration.

use std::net::{IpAddr, Ipv4Addr};

use config::model::units::IfIndex;
use config::model::vrrp::{Broadcast, VirtualAddress};
use ipnetwork::IpNetwork;
use netlink::frame::Message;
use netlink::route::{AddressFlags, AddressScope, AddressSpec, Lifetime, RouteSpec};

use super::link::Place;

/// What the kernel shall do with an address or a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Let it exist.
    Add(AddressSpec),
    /// Let it not exist.
    Remove(AddressSpec),
    /// Let a route exist.
    AddRoute(RouteSpec),
    /// Let a route not exist.
    RemoveRoute(RouteSpec),
}

impl Order {
    pub(super) fn message(&self) -> Message {
        match self {
            Self::Add(spec) => spec.add(),
            Self::Remove(spec) => spec.delete(),
            Self::AddRoute(spec) => spec.add(),
            Self::RemoveRoute(spec) => spec.delete(),
        }
    }
}

/// Where a configured address lives on the interface with this index.
#[must_use]
pub fn place(address: &VirtualAddress, index: IfIndex) -> Place {
    Place { index, ip: address.network.ip(), prefix: address.network.prefix() }
}

/// The kernel's words for a configured address on the interface with this index. IPv6 addresses skip duplicate
/// detection, which would keep them from being used for a second; those with prefix length 128 are deprecated, so
/// that the node doesn't choose them for its own connections (keepalived.conf(5), preferred_lft).
#[must_use]
pub fn spec(address: &VirtualAddress, index: IfIndex) -> AddressSpec {
    let ip = address.network.ip();
    let prefix = address.network.prefix();
    let mut spec = AddressSpec::new(index.value(), ip, prefix);
    spec.scope = AddressScope::from(address.scope);
    spec.label.clone_from(&address.label);
    spec.broadcast = broadcast(address);
    if ip.is_ipv6() {
        spec.flags = AddressFlags::Nodad;
        if prefix == 128
            && let Ok(deprecated) = Lifetime::new(u32::MAX, 0)
        {
            spec.lifetime = deprecated;
        }
    }
    spec
}

fn broadcast(address: &VirtualAddress) -> Option<Ipv4Addr> {
    let IpNetwork::V4(network) = address.network else { return None };
    match address.broadcast {
        Broadcast::Unset => None,
        Broadcast::HostBits { ones: true } => Some(network.broadcast()),
        Broadcast::HostBits { ones: false } => Some(network.network()),
        Broadcast::Address(address) => Some(address),
    }
}

/// True for addresses that are announced by neighbour discovery.
#[must_use]
pub fn is_inet6(address: &VirtualAddress) -> bool {
    matches!(address.network.ip(), IpAddr::V6(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> VirtualAddress {
        VirtualAddress {
            network: text.parse().unwrap(),
            interface: None,
            scope: 0,
            broadcast: Broadcast::Unset,
            label: None,
            no_track: false,
        }
    }

    #[test]
    fn broadcast_plus_and_minus_are_the_ends_of_the_network() {
        let mut vip = address("192.0.2.10/24");
        vip.broadcast = Broadcast::HostBits { ones: true };
        assert_eq!(spec(&vip, IfIndex::new(2)).broadcast, Some(Ipv4Addr::new(192, 0, 2, 255)));
        vip.broadcast = Broadcast::HostBits { ones: false };
        assert_eq!(spec(&vip, IfIndex::new(2)).broadcast, Some(Ipv4Addr::new(192, 0, 2, 0)));
    }

    #[test]
    fn only_a_whole_ipv6_address_is_deprecated_from_the_start() {
        let lifetime = |text| spec(&address(text), IfIndex::new(2)).lifetime;
        assert_eq!(lifetime("2001:db8::50/128").preferred(), Some(0));
        assert_eq!(lifetime("2001:db8::50/128").valid(), None);
        assert_eq!(lifetime("2001:db8::50/64").preferred(), None);
        assert_eq!(lifetime("192.0.2.10/32").preferred(), None);
    }

    #[test]
    fn ipv6_skips_duplicate_detection() {
        assert_eq!(spec(&address("2001:db8::50/64"), IfIndex::new(2)).flags, AddressFlags::Nodad);
        assert_eq!(spec(&address("192.0.2.10/32"), IfIndex::new(2)).flags, AddressFlags::empty());
    }
}
