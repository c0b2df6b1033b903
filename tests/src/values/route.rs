//! A route as words that have no order: `dest 10.0.0.0/8`, `metric 3`.

use config::model::network::{MetricKind, NextHop, RouteKind, VirtualRoute};

/// The words of one of our routes.
#[must_use]
pub fn ours(route: &VirtualRoute) -> String {
    let mut words = vec![format!("dest {}", plain(&route.destination.to_string()))];
    if route.kind != RouteKind::Unicast {
        words.push(route.kind.word().to_owned());
    }
    let numbers = [
        ("table", Some(route.table).filter(|table| *table != 254)),
        ("tos", Some(u32::from(route.tos)).filter(|tos| *tos != 0)),
        ("scope", Some(u32::from(route.scope)).filter(|scope| *scope != 0)),
        ("metric", route.metric),
    ];
    words.extend(numbers.iter().filter_map(|(name, number)| Some(format!("{name} {}", (*number)?))));
    words.extend(route.expires.map(|seconds| format!("expires {seconds}sec")));
    words.extend(route.gateway.map(|gateway| format!("via {gateway}")));
    words.extend(route.interface.iter().map(|name| format!("dev {name}")));
    words.extend(route.source.map(|source| format!("src {source}")));
    words.extend(route.from.map(|from| format!("from {from}")));
    words.extend(route.on_link.then(|| "onlink".to_owned()));
    words.extend(route.realms.map(|(from, to)| format!("realms {from}/{to}")));
    let preferences = ["medium", "high", "", "low"];
    let preference = route.preference.and_then(|number| preferences.get(usize::from(number)));
    words.extend(preference.map(|word| format!("pref {word}")));
    words.extend(route.congestion.iter().map(|congestion| format!("congctl {}", congestion.name)));
    words.extend(
        route.ttl_propagate.map(|on| format!("ttl-propagate {}", if on { "enabled" } else { "disabled" })),
    );
    for metric in &route.metrics {
        let lock = if metric.locked { "lock " } else { "" };
        let value = match metric.kind {
            MetricKind::Rtt => format!("{}ms", metric.value / 8),
            MetricKind::RttVariance => format!("{}ms", metric.value / 4),
            MetricKind::LeastTimeout if metric.value % 1000 == 0 => format!("{}s", metric.value / 1000),
            MetricKind::LeastTimeout => format!("{}ms", metric.value),
            MetricKind::Features => "ecn".to_owned(),
            MetricKind::Mtu
            | MetricKind::Window
            | MetricKind::SlowStart
            | MetricKind::CongestionWindow
            | MetricKind::AdvertisedSegment
            | MetricKind::Reordering
            | MetricKind::HopLimit
            | MetricKind::InitialWindow
            | MetricKind::InitialReceiveWindow
            | MetricKind::QuickAcknowledge
            | MetricKind::FastOpenWithoutCookie => metric.value.to_string(),
        };
        words.push(format!("{} {lock}{value}", metric.kind.word()));
    }
    words.extend(route.next_hops.iter().map(hop));
    words.sort();
    words.join(", ")
}

fn hop(hop: &NextHop) -> String {
    let via = hop.gateway.map_or(String::new(), |gateway| format!(" via {gateway}"));
    let dev = hop.interface.as_ref().map_or(String::new(), |name| format!(" dev {name}"));
    format!("nexthop{via}{dev} weight {}", u16::from(hop.weight_less_one) + 1)
}

/// The same of a line of the dump.
#[must_use]
pub fn theirs(line: &str) -> String {
    let mut rest = line.split_whitespace().filter(|word| !SILENT.contains(word)).peekable();
    let mut words = Vec::new();
    let mut hops: Vec<String> = Vec::new();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().unwrap_or("").to_owned();
        let said = match word {
            "proto" => {
                value();
                continue;
            }
            "nexthop" => {
                hops.push("nexthop".to_owned());
                continue;
            }
            kind if RouteKind::ALL.iter().any(|known| known.word() == kind) => kind.to_owned(),
            "onlink" => word.to_owned(),
            _ if words.iter().all(|said: &String| !said.starts_with("dest"))
                && word.contains(['/', '.', ':']) =>
            {
                format!("dest {}", plain(word))
            }
            "default" => "dest default".to_owned(),
            _ => match value() {
                lock if lock == "lock" => format!("{word} lock {}", value()),
                value => format!("{word} {value}"),
            },
        };
        match hops.last_mut() {
            Some(hop) => {
                hop.push(' ');
                hop.push_str(&said);
            }
            None => words.push(said),
        }
    }
    words.extend(hops);
    words.sort();
    words.join(", ")
}

/// An address of all its bits without their number.
fn plain(network: &str) -> &str {
    match network.strip_suffix("/32").or_else(|| network.strip_suffix("/128")) {
        Some(address) if address.contains(':') != network.ends_with("/32") => address,
        _ => network,
    }
}

/// What the dump says that a model doesn't: where a route goes among others, whose protocol it has, its family.
const SILENT: [&str; 6] = ["prepend", "add", "append", "inet", "inet6", "no_track"];
