//! Links and addresses over rtnetlink.
//!
//! Does: questions, requests and the reading of replies and events, typed. Does not: hold a socket, keep a
//! table, decide. vrrpd calls it; requests go through [`crate::socket::Socket`]. Messages beyond these (rules,
//! links to be made) are built with the crate netlink-packet-route and wrapped by
//! [`crate::frame::Message::from_route`]. The crate rtnetlink is left out: without its asynchronous handle it
//! adds only thin builders over the same types.
//!
//! Replies are read here attribute by attribute: a link carries some sixty and five are needed, and one that a
//! newer kernel shapes differently must not cost the whole message.

mod address;
mod entry;
mod forwarding;
mod link;

pub use address::{Address, AddressSpec, InvalidLifetime, Lifetime, PROTOCOL_KEEPALIVED};
pub use entry::{Hop, Precedence, RouteSpec};
pub use link::{HardwareKind, Link};
pub use netlink_packet_route::address::{AddressFlags, AddressScope};
pub use netlink_packet_route::link::LinkFlags;

use crate::frame::{Flags, Message};

/// A change, or one object of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteEvent {
    /// A link exists with these properties.
    LinkChanged(Link),
    /// The link with this index is gone.
    LinkGone(u32),
    /// An address exists with these properties.
    AddressAdded(Address),
    /// An address is gone.
    AddressRemoved(Address),
    /// A route that we made is gone.
    OwnRouteRemoved,
    /// The interface with this index forwards IPv6, or not.
    Forwarding(u32, bool),
}

/// Reads a reply's object. `None` for other message types, for addresses of families
/// other than IPv4 and IPv6, for routes of others, and for messages that don't hold what they must.
#[must_use]
pub fn decode(kind: u16, payload: &[u8]) -> Option<RouteEvent> {
    match kind {
        RTM_NEWLINK => Link::decode(payload).map(RouteEvent::LinkChanged),
        RTM_DELLINK => link::decode_gone(payload).map(RouteEvent::LinkGone),
        RTM_NEWADDR => Address::decode(payload).map(RouteEvent::AddressAdded),
        RTM_DELADDR => Address::decode(payload).map(RouteEvent::AddressRemoved),
        RTM_DELROUTE => entry::is_ours(payload).then_some(RouteEvent::OwnRouteRemoved),
        RTM_NEWNETCONF => {
            forwarding::decode(payload).map(|(index, forwards)| RouteEvent::Forwarding(index, forwards))
        }
        _ => None,
    }
}

/// Asks for all links; the answers decode to [`RouteEvent::LinkChanged`].
#[must_use]
pub fn dump_links() -> Message {
    Message { kind: RTM_GETLINK, flags: Flags::Dump, payload: vec![0; 16] }
}

/// Asks for all addresses of both families; the answers decode to [`RouteEvent::AddressAdded`].
#[must_use]
pub fn dump_addresses() -> Message {
    Message { kind: RTM_GETADDR, flags: Flags::Dump, payload: vec![0; 8] }
}

/// Asks which interfaces forward IPv6; the answers decode to [`RouteEvent::Forwarding`]. A kernel without IPv6
/// refuses.
#[must_use]
pub fn dump_forwarding() -> Message {
    Message { kind: RTM_GETNETCONF, flags: Flags::Dump, payload: vec![forwarding::AF_INET6, 0, 0, 0] }
}

/// Asks nothing; the kernel acknowledges it and takes no lock (netlink(7), `NLMSG_NOOP`).
#[must_use]
pub fn nothing() -> Message {
    Message { kind: NLMSG_NOOP, flags: Flags::Ack, payload: Vec::new() }
}

/// Groups of events, for [`crate::socket::Socket::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Links.
    Link,
    /// Addresses of IPv4.
    Ipv4Address,
    /// Routes of IPv4.
    Ipv4Route,
    /// Rules of IPv4.
    Ipv4Rule,
    /// Addresses of IPv6.
    Ipv6Address,
    /// Routes of IPv6.
    Ipv6Route,
    /// Rules of IPv6.
    Ipv6Rule,
    /// Settings of interfaces for IPv6.
    Ipv6Settings,
}

impl Group {
    /// Groups that tell what [`decode`] reads.
    pub const LINKS_AND_ADDRESSES: [Self; 3] = [Self::Link, Self::Ipv4Address, Self::Ipv6Address];

    /// Group that tells which interfaces forward IPv6.
    pub const FORWARDING: Self = Self::Ipv6Settings;

    /// Groups that tell of removed routes.
    pub const ROUTES: [Self; 2] = [Self::Ipv4Route, Self::Ipv6Route];

    /// The kernel's number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Link => 1,
            Self::Ipv4Address => 5,
            Self::Ipv4Route => 7,
            Self::Ipv4Rule => 8,
            Self::Ipv6Address => 9,
            Self::Ipv6Route => 11,
            Self::Ipv6Rule => 19,
            Self::Ipv6Settings => 25,
        }
    }
}

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const NLMSG_NOOP: u16 = 1;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWNETCONF: u16 = 80;
const RTM_GETNETCONF: u16 = 82;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_reply_decodes_without_panic(
            kind in 15..24_u16,
            payload in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let _either_way = decode(kind, &payload);
        }
    }
}
