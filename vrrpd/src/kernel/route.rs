//! Configured routes as requests to the kernel.
//!
//! Pure: builds requests, sends none. Called by `holdings`. Input is configuration.

use config::model::vrrp::{NextHop, Placement, RouteKind, VirtualRoute};
use netlink::route::{Hop, Precedence, RouteSpec};

use super::link::Links;

/// The kernel's words for a route; `None` while an interface of it doesn't exist.
#[must_use]
pub fn spec(route: &VirtualRoute, links: &Links) -> Option<RouteSpec> {
    let index = |name: &Option<String>| match name {
        Some(name) => links.by_name(name).map(|link| Some(link.index)),
        None => Some(None),
    };
    let hop = |hop: &NextHop| {
        Some(Hop {
            gateway: hop.gateway,
            interface: index(&hop.interface)?,
            weight_less_one: hop.weight_less_one,
            on_link: hop.on_link,
        })
    };
    let congestion = route.congestion.as_ref();
    let locked = route.metrics.iter().filter(|metric| metric.locked).map(|metric| metric.kind.number());
    let locked = locked.chain(congestion.filter(|congestion| congestion.locked).map(|_| CONGESTION));
    Some(RouteSpec {
        kind: kind(route.kind),
        from: route.from.map(|network| (network.ip(), network.prefix())),
        tos: route.tos,
        gateway: route.gateway,
        interface: index(&route.interface)?,
        source: route.source,
        scope: if route.destination.is_ipv4() { route.scope } else { 0 },
        table: route.table,
        protocol: route.protocol,
        metric: route.metric,
        on_link: route.on_link,
        expires: route.expires,
        preference: route.preference,
        ttl_propagate: route.ttl_propagate,
        realms: route.realms,
        metrics: route.metrics.iter().map(|metric| (metric.kind.number(), metric.value)).collect(),
        congestion: congestion.map(|congestion| congestion.name.clone()),
        locked: locked.fold(0, |bits, number| bits | 1_u32.checked_shl(u32::from(number)).unwrap_or(0)),
        next_hops: route.next_hops.iter().map(hop).collect::<Option<Vec<Hop>>>()?,
        precedence: match route.placement {
            Placement::Prepend => Precedence::First,
            Placement::Append => Precedence::Last,
            Placement::Alone => Precedence::Only,
        },
        ..RouteSpec::to(route.destination.ip(), route.destination.prefix())
    })
}

/// RTAX_CC_ALGO.
const CONGESTION: u16 = 16;

/// Numbers of include/uapi/linux/rtnetlink.h.
fn kind(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Unicast => 1,
        RouteKind::Local => 2,
        RouteKind::Broadcast => 3,
        RouteKind::Anycast => 4,
        RouteKind::Multicast => 5,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
    }
}
