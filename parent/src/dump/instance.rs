//! What `keepalived.data` says of an instance, in keepalived's words and order.
//!
//! Descriptors, sockets and timers of the process stay out: they are of another implementation.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use config::model::vrrp::{
    Authentication, Broadcast, ChecksumRule, Family, Instance, Peer, Placement, Preempt, PreferredLifetime,
    RouteKind, Transport, Version, VirtualAddress, VirtualRoute,
};
use ipc::messages::ctl::InstanceStatus;
use ipc::messages::vrrpd::{ElectionView, VrrpState};

use super::json::wanted;
use super::text::line;
use super::{Seen, Snapshot, dated, seconds};

/// Everything but the scripts that follow its state.
pub(super) fn instance(
    page: &mut String,
    snapshot: &Snapshot,
    (instance, status, seen): (&Instance, &InstanceStatus, &Seen),
    group: Option<&str>,
) {
    let view = seen.view.unwrap_or_default();
    election(page, instance, status, &view, group);
    path(page, instance, &view);
    announcements(page, instance);
    numbers(page, instance, status, seen);
    line!(page, "   Accept = {}", enabled(instance.accept));
    match instance.preempt {
        Preempt::Never => line!(page, "   Preempt = disabled"),
        Preempt::After(delay) => {
            line!(page, "   Preempt = enabled");
            if !delay.is_zero() {
                line!(page, "   Preempt delay = {} secs", delay.as_secs_f64());
            }
        }
    }
    line!(page, "   Promote_secondaries = {}", enabled(instance.promote_secondaries));
    if instance.version == Version::V3 && instance.family == Family::Inet {
        let as_v2 = instance.checksum == ChecksumRule::NoPseudoHeader;
        line!(page, "   VRRPv3 uses VRRPv2 checksum = {}", enabled(as_v2));
    }
    if let Some(bytes) = instance.receive_buffer {
        line!(page, "   Kernel rx buffer size = {bytes}");
    }
    match instance.authentication {
        Authentication::None if instance.version == Version::V3 => {}
        Authentication::None => line!(page, "   Authentication type = none"),
        Authentication::Pass(_) => line!(page, "   Authentication type = SIMPLE_PASSWORD"),
        Authentication::Ah(_) => line!(page, "   Authentication type = IPSEC_AH"),
    }
    holdings(page, instance, status.state);
    peers(page, instance);
    if !instance.routes.is_empty() {
        line!(page, "   Virtual Routes :");
    }
    for route in &instance.routes {
        line!(page, "     {}", route_line(route));
    }
    tracked(page, snapshot, instance);
}

fn enabled(flag: bool) -> &'static str {
    if flag { "enabled" } else { "disabled" }
}

/// State, what led to it, and who is Master.
fn election(
    page: &mut String,
    instance: &Instance,
    status: &InstanceStatus,
    view: &ElectionView,
    group: Option<&str>,
) {
    line!(page, " VRRP Instance = {}", instance.name);
    line!(page, "   VRRP Version = {}", if instance.version == Version::V2 { 2 } else { 3 });
    if let Some(group) = group {
        line!(page, "   Sync group = {group}");
    }
    if instance.family == Family::Inet6 {
        line!(page, "   Using Native IPv6");
    }
    line!(page, "   State = {}", status.state.word());
    if status.state == VrrpState::Backup {
        line!(page, "   Master router = {}", or_none(view.heard.map(|(address, _)| address)));
        line!(page, "   Master priority = {}", view.heard.map_or(0, |(_, priority)| priority.value()));
        if instance.version == Version::V3 && view.heard.is_some() {
            line!(page, "   Master advert interval = {} milli-sec", view.interval_us / 1_000);
        }
    }
    match &instance.transport {
        Transport::Multicast { .. } => line!(page, "   Flags: none"),
        Transport::Unicast { .. } => line!(page, "   Flags:\n     Using unicast"),
    }
    line!(page, "   Wantstate = {}", wanted(instance, status).word());
    line!(page, "   Number of config faults = 0");
    let faults = view.faults;
    line!(page, "   Number of tracker faults = {}", faults.trackers);
    let kinds = [
        (faults.other, "unspecified"),
        (faults.interface_down, "i/f down"),
        (faults.no_source, "no source IP address"),
    ];
    if kinds.iter().any(|(is_fault, _)| *is_fault) {
        line!(page, "   Flags of interface faults:");
    } else {
        line!(page, "   Flags of interface faults - (none)");
    }
    for (_, kind) in kinds.iter().filter(|(is_fault, _)| *is_fault) {
        line!(page, "     {kind}");
    }
    if !status.reason.is_empty() {
        line!(page, "   Fault reason = {}", status.reason);
    }
    line!(page, "   Last transition = {}", dated(Duration::from_millis(status.last_transition_ms)));
    line!(page, "   Master down timer = {} usecs", view.patience_us);
}

fn or_none(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "(none)".to_owned(), |address| address.to_string())
}

/// How adverts leave.
fn path(page: &mut String, instance: &Instance, view: &ElectionView) {
    line!(page, "   Interface = {}", instance.interface.as_deref().unwrap_or_default());
    if instance.dont_track_primary {
        line!(page, "   VRRP interface tracking disabled");
    }
    if instance.strict {
        line!(page, "   Enforcing strict VRRP compliance");
    }
    match instance.transport.source() {
        Some(source) => line!(page, "   Using src_ip = {source} (from configuration)"),
        None => line!(page, "   Using src_ip = {}", or_none(view.source)),
    }
    if let Transport::Multicast { group, .. } = &instance.transport {
        line!(page, "   Multicast address {group}");
    }
}

fn announcements(page: &mut String, instance: &Instance) {
    let announce = &instance.announce;
    line!(page, "   Gratuitous ARP delay = {}", announce.delay.as_secs());
    line!(page, "   Gratuitous ARP repeat = {}", announce.repeat);
    line!(page, "   Gratuitous ARP refresh = {}", announce.refresh.as_secs());
    line!(page, "   Gratuitous ARP refresh repeat = {}", announce.refresh_repeat);
    line!(page, "   Gratuitous ARP lower priority delay = {}", announce.lower_priority_delay.as_secs());
    line!(page, "   Gratuitous ARP lower priority repeat = {}", announce.lower_priority_repeat);
    if !announce.extra.is_zero() {
        line!(page, "   Gratuitous ARP for each secondary i/f = {}", announce.extra.as_secs());
    }
}

/// Priorities and times.
fn numbers(page: &mut String, instance: &Instance, status: &InstanceStatus, seen: &Seen) {
    line!(page, "   Down timer adverts = {}", instance.down_timer_adverts);
    let answers = !instance.lower_priority_no_advert;
    line!(page, "   Send advert after receive lower priority advert = {answers}");
    let speaks = instance.higher_priority_send_advert;
    line!(page, "   Send advert after receive higher priority advert = {speaks}");
    if instance.owner_ignores_adverts {
        line!(page, "   Address owner ignores received adverts = true");
    }
    line!(page, "   Virtual Router ID = {}", instance.vrid.value());
    line!(page, "   Priority = {}", instance.priority.value());
    line!(page, "   Effective priority = {}", status.priority);
    line!(page, "   Total priority = {}", status.priority);
    if instance.preempt == Preempt::Never || instance.timer_expired_backup.is_some() {
        let highest = instance.timer_expired_backup.map_or(0, |priority| priority.value());
        line!(page, "   Highest other priority = {highest}");
    }
    let interval = instance.advert_interval.duration();
    match instance.version {
        Version::V2 if interval.subsec_nanos() == 0 => {
            line!(page, "   Advert interval = {} sec", interval.as_secs());
        }
        Version::V2 | Version::V3 => line!(page, "   Advert interval = {} milli-sec", interval.as_millis()),
    }
    line!(page, "   Last advert sent = {}", seconds(seen.last_advert.unwrap_or_default()));
}

fn holdings(page: &mut String, instance: &Instance, state: VrrpState) {
    let interface = instance.interface.as_deref().unwrap_or_default();
    if !instance.addresses.is_empty() {
        line!(page, "   Virtual IP ({}):", instance.addresses.len());
    }
    for address in &instance.addresses {
        line!(page, "     {}", address_line(address, interface, state));
    }
    if !instance.excluded.is_empty() {
        line!(page, "   Virtual IP Excluded :");
    }
    for address in &instance.excluded {
        line!(page, "     {}", address_line(address, interface, state));
    }
}

fn peers(page: &mut String, instance: &Instance) {
    let Transport::Unicast { peers, ttl, .. } = &instance.transport else { return };
    line!(page, "   Unicast TTL = {ttl}");
    line!(page, "   Check unicast src : {}", if instance.check_unicast_source { "yes" } else { "no" });
    line!(page, "   Unicast Peer :");
    for Peer { address, min_ttl, max_ttl } in peers {
        line!(page, "     {address} min_ttl {min_ttl} max_ttl {max_ttl}");
    }
    if instance.version == Version::V3 && instance.family == Family::Inet {
        let compatible = match instance.checksum {
            ChecksumRule::Detect | ChecksumRule::NoPseudoHeader => "no",
            ChecksumRule::Standard => "never",
            ChecksumRule::OldUnicast => "config",
        };
        line!(page, "   Unicast checksum compatibility = {compatible}");
    }
}

pub(super) fn weighted(weight: i16, reverse: bool) -> String {
    format!("weight {weight}{}", if reverse { " reverse" } else { "" })
}

/// What an instance tracks, each kind under its title.
fn tracked(page: &mut String, snapshot: &Snapshot, instance: &Instance) {
    let list = |page: &mut String, title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            line!(page, "   Tracked {title} :");
        }
        for text in lines {
            line!(page, "     {text}");
        }
    };
    let interfaces = instance.track_interfaces.iter();
    let interfaces =
        interfaces.map(|track| format!("{} {}", track.interface, weighted(track.weight, track.reverse)));
    list(page, "interfaces", interfaces.collect());
    let scripts = instance.track_scripts.iter().filter_map(|track| {
        let script = snapshot.head.tracked_scripts.get(usize::try_from(track.tracked).ok()?)?;
        Some(format!("{} {}", script.name, weighted(track.weight, track.reverse)))
    });
    list(page, "scripts", scripts.collect());
    let files = instance.track_files.iter().filter_map(|track| {
        let name = snapshot.head.files.get(track.file.index())?;
        Some(format!("{name}, {}", weighted(track.weight, track.reverse)))
    });
    list(page, "files", files.collect());
    let processes = instance.track_processes.iter().filter_map(|track| {
        let (pattern, _) = snapshot.processes.get(track.process.index())?;
        Some(format!("{}, {}", pattern.name, weighted(track.weight, track.reverse)))
    });
    list(page, "processes", processes.collect());
}

/// `10.77.0.50/24 brd 10.77.0.255 dev eth0 scope global set`.
pub(super) fn address_line(address: &VirtualAddress, interface: &str, state: VrrpState) -> String {
    let network = address.network;
    let whole = network.prefix() == if network.is_ipv4() { 32 } else { 128 };
    let mut text = if whole { network.ip().to_string() } else { network.to_string() };
    match address.broadcast {
        Broadcast::Address(broadcast) => text.push_str(&format!(" brd {broadcast}")),
        Broadcast::Unset | Broadcast::HostBits { .. } => {}
    }
    text.push_str(&format!(" dev {}", address.interface.as_deref().unwrap_or(interface)));
    text.push_str(&format!(" scope {}", scope(address.scope)));
    if let Some(label) = &address.label {
        text.push_str(&format!(" label {label}"));
    }
    if address.no_track {
        text.push_str(" no_track");
    }
    if let Some(peer) = address.peer {
        text.push_str(&format!(" peer {peer}/{}", if peer.is_ipv4() { 32 } else { 128 }));
    }
    match address.preferred {
        PreferredLifetime::Usual if network.is_ipv4() => {}
        PreferredLifetime::Usual if whole => text.push_str(" deprecated"),
        PreferredLifetime::Seconds(0) => text.push_str(" deprecated"),
        PreferredLifetime::Seconds(seconds) => text.push_str(&format!(" preferred_lft {seconds}")),
        PreferredLifetime::Usual | PreferredLifetime::Forever => text.push_str(" preferred_lft forever"),
    }
    if state == VrrpState::Master {
        text.push_str(" set");
    }
    text
}

/// `prepend 10.99.0.0/24 via inet 10.77.0.9 src 10.77.0.1 dev eth0 table 5 proto 18 metric 7`.
pub(super) fn route_line(route: &VirtualRoute) -> String {
    let mut text = match route.placement {
        Placement::Prepend => "prepend ",
        Placement::Append => "append ",
        Placement::Alone => "add ",
    }
    .to_owned();
    if route.kind != RouteKind::Unicast {
        text.push_str(route.kind.word());
        text.push(' ');
    }
    text.push_str(&route.destination.to_string());
    if let Some(gateway) = route.gateway {
        text.push_str(&via(gateway));
    }
    if let Some(source) = route.source {
        text.push_str(&format!(" src {source}"));
    }
    if route.tos != 0 {
        text.push_str(&format!(" tos {}", route.tos));
    }
    if let Some(interface) = &route.interface {
        text.push_str(&format!(" dev {interface}"));
    }
    if route.table != 254 {
        text.push_str(&format!(" table {}", route.table));
    }
    if route.scope != 0 {
        text.push_str(&format!(" scope {}", route.scope));
    }
    text.push_str(&format!(" proto {}", route.protocol));
    if let Some(metric) = route.metric {
        text.push_str(&format!(" metric {metric}"));
    }
    for hop in &route.next_hops {
        text.push_str(" nexthop");
        text.push_str(&hop.gateway.map(via).unwrap_or_default());
        if let Some(interface) = &hop.interface {
            text.push_str(&format!(" dev {interface}"));
        }
        if hop.weight_less_one > 0 {
            text.push_str(&format!(" weight {}", u16::from(hop.weight_less_one).saturating_add(1)));
        }
    }
    if route.no_track {
        text.push_str(" no_track");
    }
    text
}

fn via(gateway: IpAddr) -> String {
    format!(" via {} {gateway}", if gateway.is_ipv4() { "inet" } else { "inet6" })
}

fn scope(number: u8) -> String {
    match number {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    }
}
