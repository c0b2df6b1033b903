//! Routes: the requests that add and remove one, and the news that one of ours is gone.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteProtocol, RouteRealm, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::PROTOCOL_KEEPALIVED;
use crate::frame::{Flags, Message};

/// A route that shall exist, or shall not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// Number of its type (`RTN_*`).
    pub kind: u8,
    /// Address of the destination.
    pub destination: IpAddr,
    /// Bits of the destination; 0 is the default route.
    pub prefix: u8,
    /// Only packets from this network, IPv6 only.
    pub from: Option<(IpAddr, u8)>,
    /// Only packets with this type of service.
    pub tos: u8,
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
    /// Who makes it.
    pub protocol: u8,
    /// Metric.
    pub metric: Option<u32>,
    /// The next hop is reachable although no address says so.
    pub on_link: bool,
    /// Seconds until the kernel removes it, IPv6 only.
    pub expires: Option<u32>,
    /// Number of its preference (RFC 4191 section 2.1), IPv6 only.
    pub preference: Option<u8>,
    /// Whether the time to live travels through MPLS.
    pub ttl_propagate: Option<bool>,
    /// Realms of source and destination.
    pub realms: Option<(u16, u16)>,
    /// Settings of connections over it: number (`RTAX_*`) and value.
    pub metrics: Vec<(u16, u32)>,
    /// Algorithm of congestion control.
    pub congestion: Option<String>,
    /// Settings that connections don't change: bit n is setting n.
    pub locked: u32,
    /// Several next hops instead of one.
    pub next_hops: Vec<Hop>,
    /// Its place among others to the same destination.
    pub precedence: Precedence,
}

/// One of several next hops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Index of the interface.
    pub interface: Option<u32>,
    /// Weight, less one.
    pub weight_less_one: u8,
    /// The next hop is reachable although no address says so.
    pub on_link: bool,
}

/// Place of a route among others to the same destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// In front of them; EEXIST when this very route is there.
    First,
    /// Behind them.
    Last,
    /// EEXIST when there is any.
    Only,
}

impl RouteSpec {
    /// A unicast route of the main table without next hop, marked as ours.
    #[must_use]
    pub fn to(destination: IpAddr, prefix: u8) -> Self {
        Self {
            kind: 1,
            destination,
            prefix,
            from: None,
            tos: 0,
            gateway: None,
            interface: None,
            source: None,
            scope: 0,
            table: 254,
            protocol: PROTOCOL_KEEPALIVED,
            metric: None,
            on_link: false,
            expires: None,
            preference: None,
            ttl_propagate: None,
            realms: None,
            metrics: Vec::new(),
            congestion: None,
            locked: 0,
            next_hops: Vec::new(),
            precedence: Precedence::First,
        }
    }

    /// Adds it; EEXIST when this very route is there.
    #[must_use]
    pub fn add(&self) -> Message {
        let flags = match self.precedence {
            Precedence::First => Flags::Prepend,
            Precedence::Last => Flags::Append,
            Precedence::Only => Flags::Create,
        };
        Message::from_route(&RouteNetlinkMessage::NewRoute(self.message()), flags)
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
            source_prefix_length: self.from.map_or(0, |(_, prefix)| prefix),
            tos: self.tos,
            // Tables above the first byte fit into the attribute only.
            table: u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
            protocol: RouteProtocol::from(self.protocol),
            scope: RouteScope::from(self.scope),
            kind: RouteType::from(self.kind),
            flags: if self.on_link { RouteFlags::Onlink } else { RouteFlags::empty() },
        };
        let mut message = RouteMessage::default();
        message.header = header;
        let attributes = &mut message.attributes;
        if self.prefix > 0 {
            attributes.push(RouteAttribute::Destination(RouteAddress::from(self.destination)));
        }
        attributes.extend(self.from.map(|(ip, _)| RouteAttribute::Source(RouteAddress::from(ip))));
        attributes.extend(self.gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))));
        attributes.extend(self.source.map(|ip| RouteAttribute::PrefSource(RouteAddress::from(ip))));
        attributes.extend(self.interface.map(RouteAttribute::Oif));
        attributes.extend(self.metric.map(RouteAttribute::Priority));
        attributes.push(RouteAttribute::Table(self.table));
        attributes.extend(self.expires.map(RouteAttribute::Expires));
        attributes.extend(self.preference.map(|value| RouteAttribute::Preference(value.into())));
        attributes.extend(self.ttl_propagate.map(|on| RouteAttribute::TtlPropagate(u8::from(on).into())));
        attributes.extend(
            self.realms
                .map(|(source, destination)| RouteAttribute::Realm(RouteRealm { source, destination })),
        );
        let metrics = self.route_metrics();
        if !metrics.is_empty() {
            attributes.push(RouteAttribute::Metrics(metrics));
        }
        if !self.next_hops.is_empty() {
            attributes.push(RouteAttribute::MultiPath(self.next_hops.iter().map(Hop::message).collect()));
        }
        message
    }

    fn route_metrics(&self) -> Vec<RouteMetric> {
        let own = |(kind, value): &(u16, u32)| {
            RouteMetric::Other(DefaultNla::new(*kind, value.to_ne_bytes().to_vec()))
        };
        let mut metrics: Vec<RouteMetric> = self.metrics.iter().map(own).collect();
        metrics.extend(self.congestion.clone().map(RouteMetric::CcAlgo));
        if self.locked != 0 {
            metrics.push(RouteMetric::Lock(self.locked));
        }
        metrics
    }
}

impl Hop {
    fn message(&self) -> RouteNextHop {
        let mut hop = RouteNextHop::default();
        hop.hops = self.weight_less_one;
        hop.interface_index = self.interface.unwrap_or(0);
        if self.on_link {
            hop.flags = RouteNextHopFlags::Onlink;
        }
        hop.attributes.extend(self.gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))));
        hop
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
            gateway: Some("192.0.2.1".parse().unwrap()),
            interface: Some(3),
            table: 300,
            on_link: true,
            ..RouteSpec::to("0.0.0.0".parse().unwrap(), 0)
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

    #[test]
    #[cfg(target_endian = "little")]
    fn settings_of_connections_and_next_hops_are_nested() {
        let hop = |gateway: &str, weight_less_one| Hop {
            gateway: Some(gateway.parse().unwrap()),
            interface: None,
            weight_less_one,
            on_link: false,
        };
        let spec = RouteSpec {
            metrics: vec![(2, 1400)],
            locked: 4,
            next_hops: vec![hop("192.0.2.1", 2), hop("192.0.2.2", 0)],
            ..RouteSpec::to("198.51.100.0".parse().unwrap(), 24)
        };
        #[rustfmt::skip]
        assert_eq!(spec.add().payload, [
            2, 24, 0, 0, 254, 18, 0, 1, 0, 0, 0, 0,
            8, 0, 1, 0, 198, 51, 100, 0,
            8, 0, 15, 0, 254, 0, 0, 0,
            20, 0, 8, 0, 8, 0, 2, 0, 120, 5, 0, 0, 8, 0, 1, 0, 4, 0, 0, 0,
            36, 0, 9, 0,
            16, 0, 0, 2, 0, 0, 0, 0, 8, 0, 5, 0, 192, 0, 2, 1,
            16, 0, 0, 0, 0, 0, 0, 0, 8, 0, 5, 0, 192, 0, 2, 2,
        ]);
    }
}
