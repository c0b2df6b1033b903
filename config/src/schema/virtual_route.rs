//! Lines of `virtual_routes`.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::*;
use crate::model::vrrp::{Family, RouteKind, VirtualRoute};

/// Words of a route line that work.
pub(super) const ACTIVE: &[&str] = &[
    "<DEST>",
    "to",
    "src",
    "via",
    "table",
    "scope",
    "metric",
    "priority",
    "preference",
    "dev",
    "oif",
    "onlink",
    "no_track",
];

/// Words that tune a route and do nothing yet: it is installed without them.
const TUNING: &[&str] = &[
    "mtu",
    "hoplimit",
    "advmss",
    "rtt",
    "rttvar",
    "reordering",
    "window",
    "cwnd",
    "ssthresh",
    "rto_min",
    "initcwnd",
    "initrwnd",
    "features",
    "quickack",
    "congctl",
    "fastopen_no_cookie",
    "prepend",
];

/// Reads one line. A route with a word that does nothing yet and would send packets elsewhere is left out.
pub(super) fn read(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<VirtualRoute> {
    let errors = lowering.problems.errors();
    vocabulary::ROUTE.check(lowering, line, 0);
    if errors != lowering.problems.errors() {
        return None;
    }
    let mut route = Draft { destination: None, kind: RouteKind::Unicast, route: VirtualRoute::default() };
    let mut at = 0;
    while let Some(word) = line.word(at) {
        at += 1 + read_word(lowering, line, at, word, &mut route)?;
    }
    let Some((destination, span)) = route.destination else {
        lowering.error(code::MISSING_VALUE, line.span, "a route needs a destination");
        return None;
    };
    finish(lowering, route, destination, span)
}

struct Draft {
    destination: Option<(Destination, Span)>,
    kind: RouteKind,
    route: VirtualRoute,
}

#[derive(Clone, Copy)]
enum Destination {
    Default,
    Network(IpNetwork),
}

/// Reads one word; returns how many words behind it belong to it.
fn read_word(
    lowering: &mut Lowering<'_>,
    line: &Line<'_>,
    at: usize,
    word: Word<'_>,
    draft: &mut Draft,
) -> Option<usize> {
    let value = line.word(at.saturating_add(1));
    let route = &mut draft.route;
    match word.text {
        "to" | "unicast" => return Some(0),
        "blackhole" => draft.kind = RouteKind::Blackhole,
        "unreachable" => draft.kind = RouteKind::Unreachable,
        "prohibit" => draft.kind = RouteKind::Prohibit,
        "throw" => draft.kind = RouteKind::Throw,
        "onlink" => route.on_link = true,
        "no_track" => route.no_track = true,
        "dev" | "oif" => {
            route.interface = Some(value?.text.to_owned());
            return Some(1);
        }
        "src" => {
            route.source = lowering.address("src", value?);
            return Some(1);
        }
        "via" => {
            let skip = usize::from(matches!(value?.text, "inet" | "inet6"));
            route.gateway = Some(lowering.address("via", line.word(at.saturating_add(1 + skip))?)?);
            return Some(1 + skip);
        }
        "metric" | "priority" | "preference" => {
            let metric = lowering.number_word(word.text, value?, 0, 4_294_967_295)?;
            route.metric = u32::try_from(metric).ok();
            return Some(1);
        }
        "table" => {
            route.table = table(lowering, value?)?;
            return Some(1);
        }
        "scope" => {
            route.scope = virtual_address::scope(lowering, value?)?;
            return Some(1);
        }
        tuning if TUNING.contains(&tuning) => {
            tell(lowering, word, "the route is installed without it");
            let locked = value.is_some_and(|value| value.text == "lock");
            return Some(if tuning == "prepend" { 0 } else { 1 + usize::from(locked) });
        }
        text => match destination(text) {
            Some(found) if draft.destination.is_none() => draft.destination = Some((found, word.span)),
            _ => {
                tell(lowering, word, "the route is not installed");
                return None;
            }
        },
    }
    Some(0)
}

fn tell(lowering: &mut Lowering<'_>, word: Word<'_>, outcome: &str) {
    let message = format!("{}: accepted, not active yet: {outcome}", word.text);
    lowering.report(Problem::warning(code::NOT_ACTIVE, word.span, message));
}

fn destination(text: &str) -> Option<Destination> {
    if text == "default" {
        return Some(Destination::Default);
    }
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let ip: IpAddr = address.parse().ok()?;
    let length = match length {
        None => {
            if ip.is_ipv4() {
                32
            } else {
                128
            }
        }
        Some(length) => length.parse().ok()?,
    };
    IpNetwork::new(ip, length).ok().map(Destination::Network)
}

/// Table by name or number.
fn table(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<u32> {
    match word.text {
        "main" => Some(254),
        "default" => Some(253),
        "local" => Some(255),
        _ => u32::try_from(lowering.number_word("table", word, 1, 4_294_967_295)?).ok(),
    }
}

fn finish(
    lowering: &mut Lowering<'_>,
    draft: Draft,
    destination: Destination,
    span: Span,
) -> Option<VirtualRoute> {
    let mut route = draft.route;
    let told = route.gateway.or(route.source).map(|ip| Family::of(&ip));
    let (any, longest): (IpAddr, u8) = match told {
        Some(Family::Inet6) => (std::net::Ipv6Addr::UNSPECIFIED.into(), 128),
        Some(Family::Inet) | None => (std::net::Ipv4Addr::UNSPECIFIED.into(), 32),
    };
    let network = match destination {
        Destination::Default => IpNetwork::new(any, 0).ok()?,
        Destination::Network(network) => network,
    };
    let family = Family::of(&network.ip());
    if [route.gateway, route.source].iter().flatten().any(|ip| Family::of(ip) != family) {
        lowering.error(code::WRONG_FAMILY, span, "destination, via and src of a route are of one family");
        return None;
    }
    if network.network() != network.ip() {
        let message = format!("{network} has bits beyond its prefix length of at most {longest}");
        lowering.error(code::BAD_ADDRESS, span, message);
        return None;
    }
    let needs = draft.kind == RouteKind::Unicast && route.gateway.is_none() && route.interface.is_none();
    if needs {
        lowering.error(code::MISSING_VALUE, span, "a unicast route needs via or dev");
        return None;
    }
    route.destination = network;
    route.kind = draft.kind;
    Some(route)
}
