//! Configured addresses as requests to the kernel.
//!
//! Pure: builds requests, sends none. Called by the driver. Input is configuration.

use std::net::Ipv4Addr;

use config::model::units::IfIndex;
use config::model::vrrp::{AddressOptions, Broadcast, PreferredLifetime, VirtualAddress};
use ipnetwork::IpNetwork;
use netlink::frame::Message;
use netlink::route::{AddressFlags, AddressScope, AddressSpec, Lifetime, RouteSpec};

use super::link::Place;

/// What the kernel shall do with an address or a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Let it exist.
    Add(AddressSpec),
    /// Let it exist for another lease.
    Renew(AddressSpec),
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
            Self::Renew(spec) => spec.replace(),
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
/// detection, which would keep them from being used for a second, unless it is asked for; those with prefix length
/// 128 are deprecated, so that the node doesn't choose them for its own connections (keepalived.conf(5),
/// preferred_lft). With a lease the kernel removes it after so many seconds.
#[must_use]
pub fn spec(address: &VirtualAddress, index: IfIndex, lease: Option<u32>) -> AddressSpec {
    let ip = address.network.ip();
    let prefix = address.network.prefix();
    let mut spec = AddressSpec::new(index.value(), ip, prefix);
    spec.scope = AddressScope::from(address.scope);
    spec.label.clone_from(&address.label);
    spec.broadcast = broadcast(address);
    spec.peer = address.peer;
    spec.flags = flags(address);
    let preferred = match address.preferred {
        PreferredLifetime::Usual if ip.is_ipv6() && prefix == 128 => 0,
        PreferredLifetime::Usual | PreferredLifetime::Forever => u32::MAX,
        PreferredLifetime::Seconds(seconds) => seconds,
    };
    let valid = lease.filter(|_| is_leased(address)).unwrap_or(u32::MAX);
    if let Ok(lifetime) = Lifetime::new(valid, preferred.min(valid)) {
        spec.lifetime = lifetime;
    }
    spec
}

/// True when a lease may end the address. A renewal would begin a `preferred_lft` of seconds anew.
#[must_use]
pub fn is_leased(address: &VirtualAddress) -> bool {
    !address.no_lease && !matches!(address.preferred, PreferredLifetime::Seconds(_))
}

fn flags(address: &VirtualAddress) -> AddressFlags {
    let AddressOptions { home, detect_duplicates, manage_temporary, no_prefix_route, auto_join } =
        address.options;
    [
        (AddressFlags::Nodad, address.network.is_ipv6() && !detect_duplicates),
        (AddressFlags::Homeaddress, home),
        (AddressFlags::Managetempaddr, manage_temporary),
        (AddressFlags::Noprefixroute, no_prefix_route),
        (AddressFlags::Mcautojoin, auto_join),
    ]
    .into_iter()
    .filter(|(_, on)| *on)
    .map(|(flag, _)| flag)
    .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(address: &VirtualAddress, index: IfIndex) -> AddressSpec {
        super::spec(address, index, None)
    }

    fn address(text: &str) -> VirtualAddress {
        VirtualAddress::new(text.parse().unwrap())
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
    fn options_become_flags_and_a_lifetime() {
        let mut vip = address("2001:db8::50/64");
        vip.options = AddressOptions {
            home: true,
            detect_duplicates: true,
            manage_temporary: true,
            no_prefix_route: true,
            auto_join: false,
        };
        vip.preferred = PreferredLifetime::Seconds(50);
        let spec = spec(&vip, IfIndex::new(2));
        let flags = AddressFlags::Homeaddress | AddressFlags::Managetempaddr | AddressFlags::Noprefixroute;
        assert_eq!((spec.flags, spec.lifetime.preferred()), (flags, Some(50)));
    }

    #[test]
    fn a_lease_bounds_both_lifetimes() {
        let lifetime = |text| super::spec(&address(text), IfIndex::new(2), Some(4)).lifetime;
        let of = |text| (lifetime(text).valid(), lifetime(text).preferred());
        assert_eq!(of("192.0.2.10/32"), (Some(4), Some(4)));
        assert_eq!(of("2001:db8::50/128"), (Some(4), Some(0)));
        let mut kept = address("192.0.2.10/32");
        kept.no_lease = true;
        assert_eq!(super::spec(&kept, IfIndex::new(2), Some(4)).lifetime, Lifetime::FOREVER);
    }

    #[test]
    fn ipv6_skips_duplicate_detection() {
        assert_eq!(spec(&address("2001:db8::50/64"), IfIndex::new(2)).flags, AddressFlags::Nodad);
        assert_eq!(spec(&address("192.0.2.10/32"), IfIndex::new(2)).flags, AddressFlags::empty());
    }
}
