//! Lines of `virtual_routes` and `static_routes`.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::vocabulary::Vocabulary;
use super::*;
use crate::model::vrrp::{
    Congestion, Family, Metric, MetricKind, NextHop, Placement, RouteKind, VirtualRoute,
};
use crate::numbers::NumberTable;

/// Words of a route line that do nothing yet: a route with one of them is left out.
pub(super) const INACTIVE: &[&str] = &["vrf", "encap"];

/// One route as written.
#[derive(Debug)]
pub(crate) struct RouteDraft {
    /// The route; what its names stand for is in the fields below.
    pub(crate) route: VirtualRoute,
    pub(crate) span: Span,
    pub(crate) table: Option<Numbered>,
    pub(crate) scope: Option<Numbered>,
    pub(crate) protocol: Option<Numbered>,
    pub(crate) tos: Option<Numbered>,
    /// Source and destination.
    pub(crate) realms: Option<(Option<Numbered>, Numbered)>,
    pub(crate) group: Option<Named>,
    destination: Option<Destination>,
    family: Option<Family>,
}

#[derive(Debug, Clone, Copy)]
enum Destination {
    Default,
    Network(IpNetwork),
}

/// Reads one line of a block with this vocabulary. A route with a word that does nothing yet is left out.
pub(super) fn read(
    lowering: &mut Lowering<'_>,
    line: &Line<'_>,
    vocabulary: &'static Vocabulary,
) -> Option<RouteDraft> {
    let errors = lowering.problems.errors();
    vocabulary.check(lowering, line, 0);
    if errors != lowering.problems.errors() {
        return None;
    }
    let any = IpNetwork::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0).ok()?;
    let mut draft = RouteDraft {
        route: VirtualRoute::to(any),
        span: line.span,
        table: None,
        scope: None,
        protocol: None,
        tos: None,
        realms: None,
        group: None,
        destination: None,
        family: None,
    };
    let mut words = Words { line, at: 0 };
    while let Some(word) = words.next() {
        read_word(lowering, word, &mut words, &mut draft)?;
    }
    finish(lowering, draft)
}

/// The words of a line, one after the other.
struct Words<'l, 't> {
    line: &'l Line<'t>,
    at: usize,
}

impl<'t> Words<'_, 't> {
    fn next(&mut self) -> Option<Word<'t>> {
        let word = self.line.word(self.at)?;
        self.at += 1;
        Some(word)
    }

    /// Passes over a word if it is one of these; true when it was.
    fn skip(&mut self, these: &[&str]) -> bool {
        let found = self.line.word(self.at).is_some_and(|word| these.contains(&word.text));
        self.at += usize::from(found);
        found
    }
}

fn read_word(
    lowering: &mut Lowering<'_>,
    word: Word<'_>,
    words: &mut Words<'_, '_>,
    draft: &mut RouteDraft,
) -> Option<()> {
    let route = &mut draft.route;
    match word.text {
        "to" => {}
        "inet" => draft.family = Some(Family::Inet),
        "inet6" => draft.family = Some(Family::Inet6),
        "onlink" => route.on_link = true,
        "no_track" => route.no_track = true,
        "add" => route.placement = Placement::Alone,
        "append" => route.placement = Placement::Append,
        "prepend" => route.placement = Placement::Prepend,
        "dev" | "oif" => route.interface = Some(lowering.interface_word(words.next()?)?.text),
        "src" => route.source = Some(lowering.address("src", words.next()?)?),
        "via" => route.gateway = Some(gateway(lowering, words)?),
        "gw" => {
            old_spelling(lowering, word, "via");
            route.gateway = Some(gateway(lowering, words)?);
        }
        "or" => {
            old_spelling(lowering, word, "nexthop");
            second_gateway(lowering, words, route)?;
        }
        "from" => route.from = Some(network(lowering, words.next()?)?),
        "metric" | "priority" | "preference" => {
            route.metric = Some(number(lowering, word.text, words.next()?, 4_294_967_295)?);
        }
        "expires" => route.expires = Some(number(lowering, word.text, words.next()?, 4_294_967_295)?),
        "pref" => route.preference = Some(preference(lowering, words.next()?)?),
        "ttl-propagate" => {
            let value = words.next()?;
            route.ttl_propagate = Some(one_of(lowering, word.text, value, &["disabled", "enabled"])? == 1);
        }
        "table" => draft.table = Some(lowering.numbered(NumberTable::Tables, words.next()?)?),
        "scope" => draft.scope = Some(lowering.numbered(NumberTable::Scopes, words.next()?)?),
        "protocol" => draft.protocol = Some(lowering.numbered(NumberTable::Protocols, words.next()?)?),
        "tos" | "dsfield" => draft.tos = Some(lowering.numbered(NumberTable::ServiceTypes, words.next()?)?),
        "realms" => draft.realms = Some(realms(lowering, words.next()?)?),
        "track_group" => draft.group = Some(Named::of(words.next()?)),
        "congctl" => {
            let locked = words.skip(&["lock"]);
            route.congestion = Some(Congestion { name: congestion(lowering, words.next()?)?, locked });
        }
        "as" => {
            words.skip(&["to"]);
            words.next()?;
            let message = "'as' changes nothing";
            lowering.report(Problem::warning(code::NO_EFFECT, word.span, message));
        }
        "nexthop" => next_hops(lowering, words, route)?,
        text => return keyless(lowering, word, text, words, draft),
    }
    Some(())
}

/// A metric, a type, or the destination.
fn keyless(
    lowering: &mut Lowering<'_>,
    word: Word<'_>,
    text: &str,
    words: &mut Words<'_, '_>,
    draft: &mut RouteDraft,
) -> Option<()> {
    if let Some(kind) = MetricKind::ALL.into_iter().find(|kind| kind.word() == text) {
        let locked = words.skip(&["lock"]);
        let value = metric(lowering, kind, words.next()?)?;
        draft.route.metrics.retain(|known| known.kind != kind);
        draft.route.metrics.push(Metric { kind, value, locked });
    } else if let Some(kind) = RouteKind::ALL.into_iter().find(|kind| kind.word() == text) {
        draft.route.kind = kind;
    } else if let Some(found) = destination(text).filter(|_| draft.destination.is_none()) {
        draft.destination = Some(found);
    } else if INACTIVE.contains(&text) {
        let message = format!("{}: accepted, not active yet: the route is not installed", word.text);
        lowering.report(Problem::warning(code::NOT_ACTIVE, word.span, message));
        return None;
    } else {
        let expected = if draft.destination.is_none() { "a destination or an option" } else { "an option" };
        let message = format!("unknown route keyword {}: expected {expected}", word.text);
        lowering.report(Problem::error(code::UNKNOWN_WORD, word.span, message));
        return None;
    }
    Some(())
}

fn number(lowering: &mut Lowering<'_>, what: &str, word: Word<'_>, most: i64) -> Option<u32> {
    u32::try_from(lowering.number_word(what, word, 0, most)?).ok()
}

fn gateway(lowering: &mut Lowering<'_>, words: &mut Words<'_, '_>) -> Option<IpAddr> {
    words.skip(&["inet", "inet6"]);
    lowering.address("via", words.next()?)
}

fn old_spelling(lowering: &mut Lowering<'_>, word: Word<'_>, instead: &str) {
    let message = format!("{} is the old spelling of {instead}", word.text);
    lowering.report(Problem::warning(code::DEPRECATED, word.span, message));
}

/// The old way to write two next hops.
fn second_gateway(
    lowering: &mut Lowering<'_>,
    words: &mut Words<'_, '_>,
    route: &mut VirtualRoute,
) -> Option<()> {
    let second = lowering.address("or", words.next()?)?;
    for gateway in route.gateway.take().into_iter().chain([second]) {
        let hop = NextHop { gateway: Some(gateway), interface: None, weight_less_one: 0, on_link: false };
        route.next_hops.push(hop);
    }
    Some(())
}

/// Everything from the first `nexthop` to the end of the line.
fn next_hops(lowering: &mut Lowering<'_>, words: &mut Words<'_, '_>, route: &mut VirtualRoute) -> Option<()> {
    let mut hop = NextHop { gateway: None, interface: None, weight_less_one: 0, on_link: false };
    while let Some(word) = words.next() {
        match word.text {
            "nexthop" => {
                let fresh = NextHop { gateway: None, interface: None, weight_less_one: 0, on_link: false };
                route.next_hops.push(std::mem::replace(&mut hop, fresh));
            }
            "via" => hop.gateway = Some(gateway(lowering, words)?),
            "dev" | "oif" => {
                let name = lowering.required(words.line, words.at, "an interface name")?;
                hop.interface = Some(lowering.interface_word(name)?.text);
                words.at += 1;
            }
            "weight" => {
                let value = lowering.required(words.line, words.at, "a weight")?;
                let weight = lowering.number_word("weight", value, 1, 256)?;
                hop.weight_less_one = u8::try_from(weight.saturating_sub(1)).ok()?;
                words.at += 1;
            }
            "onlink" => hop.on_link = true,
            "encap" | "realms" => {
                let message = format!("{}: accepted, not active yet: the route is not installed", word.text);
                lowering.report(Problem::warning(code::NOT_ACTIVE, word.span, message));
                return None;
            }
            other => {
                let message = format!("Unknown keyword '{other}' behind nexthop");
                lowering.error(code::UNKNOWN_KEYWORD, word.span, message);
                return None;
            }
        }
    }
    route.next_hops.push(hop);
    Some(())
}

fn one_of(lowering: &mut Lowering<'_>, what: &str, word: Word<'_>, words: &[&str]) -> Option<usize> {
    let found = words.iter().position(|choice| *choice == word.text);
    if found.is_none() {
        let message = format!("{what} must be {}, got '{}'", words.join(" or "), word.text);
        lowering.error(code::UNKNOWN_WORD, word.span, message);
    }
    found
}

/// The kernel's numbers of RFC 4191 section 2.1.
fn preference(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<u8> {
    match word.text {
        "low" => Some(3),
        "medium" => Some(0),
        "high" => Some(1),
        _ => u8::try_from(number(lowering, "pref", word, 255)?).ok(),
    }
}

fn realms(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<(Option<Numbered>, Numbered)> {
    let part =
        |lowering: &mut Lowering<'_>, text| lowering.numbered(NumberTable::Realms, Word { text, ..word });
    match word.text.split_once('/') {
        Some((source, destination)) => Some((Some(part(lowering, source)?), part(lowering, destination)?)),
        None => Some((None, part(lowering, word.text)?)),
    }
}

fn congestion(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<String> {
    if word.text.is_empty() || word.text.len() > 15 {
        let message = format!("congctl has 1 to 15 characters, got '{}'", word.text);
        lowering.error(code::BAD_TEXT, word.span, message);
        return None;
    }
    Some(word.text.to_owned())
}

fn metric(lowering: &mut Lowering<'_>, kind: MetricKind, word: Word<'_>) -> Option<u32> {
    if let Some(parts) = kind.parts_of_a_millisecond() {
        return time(lowering, kind, parts, word);
    }
    match kind {
        MetricKind::Features => {
            one_of(lowering, "features", word, &["ecn"])?;
            Some(1)
        }
        MetricKind::HopLimit => number(lowering, kind.word(), word, 255),
        MetricKind::QuickAcknowledge | MetricKind::FastOpenWithoutCookie => {
            number(lowering, kind.word(), word, 1)
        }
        MetricKind::Mtu
        | MetricKind::Window
        | MetricKind::Rtt
        | MetricKind::RttVariance
        | MetricKind::SlowStart
        | MetricKind::CongestionWindow
        | MetricKind::AdvertisedSegment
        | MetricKind::Reordering
        | MetricKind::InitialWindow
        | MetricKind::LeastTimeout
        | MetricKind::InitialReceiveWindow => number(lowering, kind.word(), word, 4_294_967_295),
    }
}

/// A time with `s` or `ms`; without either the number is the kernel's.
fn time(lowering: &mut Lowering<'_>, kind: MetricKind, parts: u32, word: Word<'_>) -> Option<u32> {
    let (digits, factor) = match word.text.strip_suffix("ms") {
        Some(digits) => (digits, parts),
        None => match word.text.strip_suffix('s') {
            Some(digits) => (digits, parts.saturating_mul(1_000)),
            None => (word.text, 1),
        },
    };
    let written = Word { text: digits, ..word };
    let most = i64::from(u32::MAX.checked_div(factor).unwrap_or(u32::MAX));
    number(lowering, kind.word(), written, most).map(|value| value.saturating_mul(factor))
}

fn destination(text: &str) -> Option<Destination> {
    match text {
        "default" | "any" | "all" => Some(Destination::Default),
        "default6" => parse("::/0").map(Destination::Network),
        _ => parse(text).map(Destination::Network),
    }
}

fn parse(text: &str) -> Option<IpNetwork> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let ip: IpAddr = address.parse().ok()?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    IpNetwork::new(ip, length.map_or(Some(longest), |length| length.parse().ok())?).ok()
}

fn network(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<IpNetwork> {
    let network = parse(word.text);
    if network.is_none() {
        lowering.error(code::BAD_ADDRESS, word.span, format!("'{}' is no network", word.text));
    }
    network
}

fn finish(lowering: &mut Lowering<'_>, mut draft: RouteDraft) -> Option<RouteDraft> {
    let span = draft.span;
    let Some(destination) = draft.destination else {
        lowering.error(code::MISSING_VALUE, span, "a route needs a destination");
        return None;
    };
    let route = &mut draft.route;
    let hops = route.next_hops.iter().filter_map(|hop| hop.gateway);
    let from = route.from.map(|network| network.ip());
    let told: Vec<IpAddr> = route.gateway.into_iter().chain(route.source).chain(from).chain(hops).collect();
    route.destination = match destination {
        Destination::Network(network) => network,
        Destination::Default => {
            let family = draft.family.or(told.first().map(Family::of)).unwrap_or(Family::Inet);
            let any: IpAddr = match family {
                Family::Inet => std::net::Ipv4Addr::UNSPECIFIED.into(),
                Family::Inet6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
            };
            IpNetwork::new(any, 0).ok()?
        }
    };
    let network = route.destination;
    let family = Family::of(&network.ip());
    if draft.family.is_some_and(|said| said != family) {
        let message = format!("{network} is of the other family: inet or inet6 has no effect");
        lowering.report(Problem::warning(code::NO_EFFECT, span, message));
    }
    if told.iter().any(|ip| Family::of(ip) != family) {
        lowering.error(code::WRONG_FAMILY, span, "the addresses of a route are of one family");
        return None;
    }
    if network.network() != network.ip() {
        let message = format!("{network} has bits beyond its prefix length");
        lowering.error(code::BAD_ADDRESS, span, message);
        return None;
    }
    let nowhere = route.gateway.is_none() && route.interface.is_none() && route.next_hops.is_empty();
    if route.kind == RouteKind::Unicast && nowhere {
        lowering.error(code::MISSING_VALUE, span, "a unicast route needs via, dev or nexthop");
        return None;
    }
    fit(lowering, &mut draft, family);
    Some(draft)
}

/// What the kernel knows for the other family only is told and left out.
fn fit(lowering: &mut Lowering<'_>, draft: &mut RouteDraft, family: Family) {
    let span = draft.span;
    let route = &mut draft.route;
    let mut without = |is_meant: bool, what: &str| {
        if is_meant {
            lowering.report(Problem::warning(code::NO_EFFECT, span, what));
        }
        is_meant
    };
    match family {
        Family::Inet => {
            if without(route.from.is_some(), "from is for IPv6 routes") {
                route.from = None;
            }
            if without(route.expires.is_some(), "expires is for IPv6 routes") {
                route.expires = None;
            }
            if without(route.preference.is_some(), "pref is for IPv6 routes") {
                route.preference = None;
            }
        }
        Family::Inet6 => {
            if without(draft.scope.is_some(), "scope is for IPv4 routes") {
                draft.scope = None;
            }
            if without(draft.realms.is_some(), "realms are for IPv4 routes") {
                draft.realms = None;
            }
        }
    }
    route.metrics.sort_by_key(|metric| metric.kind);
}
