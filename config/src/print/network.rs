//! Addresses and routes, of instances and static ones.

use std::fmt::Write;

use super::{Page, word};
use crate::model::network::{
    Broadcast, Metric, NextHop, Placement, PreferredLifetime, Statics, VirtualAddress, VirtualRoute,
};

impl Page<'_> {
    pub(super) fn statics(&mut self) {
        let Statics { addresses, address_groups, routes, route_groups, groups } = &self.model.statics;
        for group in groups {
            self.open("track_group", &group.name);
            self.open("group", "");
            for member in &group.members {
                let name = self.model.instances.get(member.index()).map_or("", |known| &known.name);
                self.line(&word(name));
            }
            self.close();
            self.close();
        }
        let named = |group: &Option<u32>| {
            let group = group.and_then(|group| groups.get(usize::try_from(group).ok()?));
            group.map_or_else(String::new, |group| format!(" track_group {}", word(&group.name)))
        };
        let addresses = addresses.iter().zip(address_groups);
        self.lines("static_ipaddress", addresses.map(|(one, group)| address(one) + &named(group)));
        let routes = routes.iter().zip(route_groups);
        self.lines("static_routes", routes.map(|(one, group)| route(one) + &named(group)));
    }

    pub(super) fn addresses(&mut self, keyword: &str, addresses: &[VirtualAddress]) {
        self.lines(keyword, addresses.iter().map(address));
    }

    pub(super) fn routes(&mut self, keyword: &str, routes: &[VirtualRoute]) {
        self.lines(keyword, routes.iter().map(route));
    }

    /// A block of lines; nothing at all without lines.
    fn lines(&mut self, keyword: &str, lines: impl Iterator<Item = String>) {
        let lines: Vec<String> = lines.collect();
        if lines.is_empty() {
            return;
        }
        self.open(keyword, "");
        for line in lines {
            self.line(&line);
        }
        self.close();
    }
}

fn address(address: &VirtualAddress) -> String {
    let mut line = format!("{}/{}", address.network.ip(), address.network.prefix());
    if let Some(interface) = &address.interface {
        let _ = write!(line, " dev {}", word(interface));
    }
    if address.scope != 0 {
        let _ = write!(line, " scope {}", address.scope);
    }
    match address.broadcast {
        Broadcast::Unset => {}
        Broadcast::HostBits { ones: true } => line.push_str(" brd +"),
        Broadcast::HostBits { ones: false } => line.push_str(" brd -"),
        Broadcast::Address(broadcast) => {
            let _ = write!(line, " brd {broadcast}");
        }
    }
    if let Some(label) = &address.label {
        let _ = write!(line, " label {}", word(label));
    }
    if let Some(peer) = &address.peer {
        let _ = write!(line, " peer {peer}");
    }
    match address.preferred {
        PreferredLifetime::Usual => {}
        PreferredLifetime::Forever => line.push_str(" preferred_lft forever"),
        PreferredLifetime::Seconds(seconds) => {
            let _ = write!(line, " preferred_lft {seconds}");
        }
    }
    let options = &address.options;
    for (option, on) in [
        ("home", options.home),
        ("-nodad", options.detect_duplicates),
        ("mngtmpaddr", options.manage_temporary),
        ("noprefixroute", options.no_prefix_route),
        ("autojoin", options.auto_join),
        ("no_track", address.no_track),
        ("no_lease", address.no_lease),
    ] {
        if on {
            let _ = write!(line, " {option}");
        }
    }
    line
}

fn route(route: &VirtualRoute) -> String {
    let network = route.destination;
    let mut line = format!("{} {}/{}", route.kind.word(), network.ip(), network.prefix());
    let optional = |option: &str, value: Option<String>| value.map(|value| format!(" {option} {value}"));
    let shown = [
        optional("from", route.from.map(|from| from.to_string())),
        optional("via", route.gateway.map(|gateway| gateway.to_string())),
        optional("dev", route.interface.as_deref().map(word)),
        optional("src", route.source.map(|source| source.to_string())),
        optional("tos", (route.tos != 0).then(|| route.tos.to_string())),
        optional("scope", route.destination.is_ipv4().then(|| route.scope.to_string())),
        optional("table", Some(route.table.to_string())),
        optional("protocol", (route.protocol != 18).then(|| route.protocol.to_string())),
        optional("metric", route.metric.map(|metric| metric.to_string())),
        optional("expires", route.expires.map(|expires| expires.to_string())),
        optional("pref", route.preference.map(|preference| preference.to_string())),
        optional(
            "ttl-propagate",
            route.ttl_propagate.map(|on| if on { "enabled" } else { "disabled" }.to_owned()),
        ),
        optional("realms", route.realms.map(|(source, destination)| format!("{source}/{destination}"))),
    ];
    line.extend(shown.into_iter().flatten());
    for Metric { kind, value, locked } in &route.metrics {
        let lock = if *locked { "lock " } else { "" };
        let value = if kind.word() == "features" { "ecn".to_owned() } else { value.to_string() };
        let _ = write!(line, " {} {lock}{value}", kind.word());
    }
    if let Some(congestion) = &route.congestion {
        let lock = if congestion.locked { "lock " } else { "" };
        let _ = write!(line, " congctl {lock}{}", word(&congestion.name));
    }
    let placed = [(Placement::Append, "append"), (Placement::Alone, "add")];
    let placement = placed.into_iter().find(|(placement, _)| *placement == route.placement);
    let flags = [("onlink", route.on_link), ("no_track", route.no_track)];
    let flags = flags.into_iter().filter(|(_, on)| *on).map(|(flag, _)| flag);
    for flag in flags.chain(placement.map(|(_, word)| word)) {
        let _ = write!(line, " {flag}");
    }
    for hop in &route.next_hops {
        next_hop(&mut line, hop);
    }
    line
}

fn next_hop(line: &mut String, hop: &NextHop) {
    line.push_str(" nexthop");
    if let Some(gateway) = hop.gateway {
        let _ = write!(line, " via {gateway}");
    }
    if let Some(interface) = &hop.interface {
        let _ = write!(line, " dev {}", word(interface));
    }
    let _ = write!(line, " weight {}", u16::from(hop.weight_less_one).saturating_add(1));
    if hop.on_link {
        line.push_str(" onlink");
    }
}
