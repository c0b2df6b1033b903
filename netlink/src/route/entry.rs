//! Routes: the requests that add and remove one, and the news that one of ours is gone.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::PROTOCOL_KEEPALIVED;
use crate::frame::{Flags, Message};

/// A route that shall exist, or shall not; marked as ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// Number of its type (`RTN_*`).
    pub kind: u8,
    /// Address of the destination.
    pub destination: IpAddr,
    /// Bits of the destination; 0 is the default route.
    pub prefix: u8,
    /// Next hop, of the family of the destination.
    pub gateway: Option<IpAddr>,
    /// Index of the interface.
    pub interface: Option<u32>,
    /// Preferred source, of the family of the destination.
    pub source: Option<IpAddr>,
    /// Number of its scope; IPv6 knows none.
    pub scope: u8,
    /// Table.
    pub table: u32,
    /// Metric.
    pub metric: Option<u32>,
    /// The next hop is reachable although no address says so.
    pub on_link: bool,
}

impl RouteSpec {
    /// Adds it in front of others to the same destination; EEXIST when this very route is there.
    #[must_use]
    pub fn add(&self) -> Message {
        Message::from_route(&RouteNetlinkMessage::NewRoute(self.message()), Flags::Prepend)
    }

    /// Removes it; ESRCH when it isn't there. A route that somebody else made is another one.
    #[must_use]
    pub fn delete(&self) -> Message {
        Message::from_route(&RouteNetlinkMessage::DelRoute(self.message()), Flags::Ack)
    }

    fn message(&self) -> RouteMessage {
        let header = RouteHeader {
            address_family: if self.destination.is_ipv4() {
                AddressFamily::Inet
            } else {
                AddressFamily::Inet6
            },
            destination_prefix_length: self.prefix,
            // Tables above the first byte fit into the attribute only.
            table: u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
            protocol: RouteProtocol::from(PROTOCOL_KEEPALIVED),
            scope: RouteScope::from(self.scope),
            kind: RouteType::from(self.kind),
            flags: if self.on_link { RouteFlags::Onlink } else { RouteFlags::empty() },
            ..RouteHeader::default()
        };
        let mut message = RouteMessage::default();
        message.header = header;
        let attributes = &mut message.attributes;
        if self.prefix > 0 {
            attributes.push(RouteAttribute::Destination(RouteAddress::from(self.destination)));
        }
        attributes.extend(self.gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))));
        attributes.extend(self.source.map(|ip| RouteAttribute::PrefSource(RouteAddress::from(ip))));
        attributes.extend(self.interface.map(RouteAttribute::Oif));
        attributes.extend(self.metric.map(RouteAttribute::Priority));
        attributes.push(RouteAttribute::Table(self.table));
        message
    }
}

/// True when the payload of `RTM_DELROUTE` is about a route that we made.
pub(super) fn is_ours(payload: &[u8]) -> bool {
    payload.get(PROTOCOL_AT) == Some(&PROTOCOL_KEEPALIVED)
}

/// Place of the protocol in the header of a route.
const PROTOCOL_AT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_default_route_names_gateway_interface_and_table() {
        let spec = RouteSpec {
            kind: 1,
            destination: "0.0.0.0".parse().unwrap(),
            prefix: 0,
            gateway: Some("192.0.2.1".parse().unwrap()),
            interface: Some(3),
            source: None,
            scope: 0,
            table: 300,
            metric: None,
            on_link: true,
        };
        let message = spec.add();
        assert_eq!((message.kind, message.flags), (24, Flags::Prepend));
        #[rustfmt::skip]
        assert_eq!(message.payload, [
            2, 0, 0, 0, 0, 18, 0, 1, 4, 0, 0, 0,
            8, 0, 5, 0, 192, 0, 2, 1,
            8, 0, 4, 0, 3, 0, 0, 0,
            8, 0, 15, 0, 44, 1, 0, 0,
        ]);
        assert_eq!(spec.delete().kind, 25);
        assert!(is_ours(&message.payload));
        assert!(!is_ours(&[2, 0, 0, 0, 0, 4]));
    }
}
