//! Configured routes as requests to the kernel.
//!
//! Pure: builds requests, sends none. Called by `holdings`. Input is configuration.

use config::model::vrrp::{RouteKind, VirtualRoute};
use netlink::route::RouteSpec;

use super::link::Links;

/// The kernel's words for a route; `None` while its interface doesn't exist.
#[must_use]
pub fn spec(route: &VirtualRoute, links: &Links) -> Option<RouteSpec> {
    let interface = match &route.interface {
        Some(name) => Some(links.by_name(name)?.index),
        None => None,
    };
    Some(RouteSpec {
        kind: kind(route.kind),
        destination: route.destination.ip(),
        prefix: route.destination.prefix(),
        gateway: route.gateway,
        interface,
        source: route.source,
        scope: if route.destination.is_ipv4() { route.scope } else { 0 },
        table: route.table,
        metric: route.metric,
        on_link: route.on_link,
    })
}

/// Numbers of include/uapi/linux/rtnetlink.h.
fn kind(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Unicast => 1,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
    }
}
