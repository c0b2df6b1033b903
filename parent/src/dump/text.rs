//! The files for people, in keepalived's words, so that what reads them goes on reading them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use config::model::process::{Identity, InstanceNotify, ProcessSettings, Script};
use config::model::units::{FileId, ProcessId, ScriptId};
use config::model::vrrp::{
    Authentication, Broadcast, Family, Instance, Peer, Placement, Preempt, PreferredLifetime, RouteKind,
    Transport, Version, VirtualAddress, VirtualRoute, VrrpGlobal,
};
use ipc::messages::ctl::InstanceStatus;
use ipc::messages::vrrpd::VrrpState;

use super::json::wants_master;
use super::{Snapshot, quoted, refused};

/// Lines of a page; writing to a string never fails.
macro_rules! line {
    ($page:expr, $($text:tt)*) => {{ let _infallible = writeln!($page, $($text)*); }};
}
pub(super) use line;

/// `keepalived_parent.data`.
#[must_use]
pub fn parent(process: &ProcessSettings, global: &VrrpGlobal) -> String {
    let mut page = String::new();
    globals(&mut page, process, global);
    page
}

/// `keepalived.data`.
#[must_use]
pub fn vrrp(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    globals(&mut page, &snapshot.process, &snapshot.head.global);
    line!(page, "------< VRRP Topology >------");
    for ((instance, status), notify) in snapshot.instances.iter().zip(&snapshot.notify) {
        let group = snapshot.groups.iter().find(|group| group.members.contains(&instance.name));
        topology(&mut page, snapshot, instance, status, group.map(|group| group.name.as_str()));
        following(&mut page, &snapshot.commands, notify);
        line!(page, "   Notify priority changes = {}", notify.priority_changes);
    }
    if !snapshot.groups.is_empty() {
        line!(page, "------< VRRP Sync groups >------");
    }
    for group in &snapshot.groups {
        line!(page, " VRRP Sync Group = {}, {}", group.name, group.state.unwrap_or(VrrpState::Init).word());
        line!(page, "   VRRP member instances :");
        for member in &group.members {
            line!(page, "     {member}");
        }
        following(&mut page, &snapshot.commands, &group.notify);
    }
    trackers(&mut page, snapshot);
    page
}

/// Mail and scripts of an instance or group.
fn following(page: &mut String, commands: &BTreeMap<ScriptId, Script>, notify: &InstanceNotify) {
    line!(page, "   Using smtp notification = {}", if notify.mail { "yes" } else { "no" });
    line!(page, "   Notify deleted = {}", if notify.tells_deleted { "Deleted" } else { "Fault" });
    for (title, id) in [
        ("Backup state transition", notify.backup),
        ("Master state transition", notify.master),
        ("Fault state transition", notify.fault),
        ("Stop state transition", notify.stop),
        ("Deleted state transition", notify.deleted),
        ("Master rx lower pri", notify.lower_priority),
        ("Generic state transition", notify.any),
    ] {
        if let Some(script) = id.and_then(|id| commands.get(&id)) {
            let Identity { uid, gid, .. } = script.identity;
            line!(page, "   {title} script = {}, uid:gid {uid}:{gid}", quoted(script));
        }
    }
}

/// Scripts, files and processes that instances track.
fn trackers(page: &mut String, snapshot: &Snapshot) {
    let tracking = |weight: &dyn Fn(&Instance) -> Option<(i16, bool)>| -> Vec<String> {
        let instances = snapshot.instances.iter();
        instances
            .filter_map(|(instance, _)| Some((&instance.name, weight(instance)?)))
            .map(|(name, (weight, reverse))| format!("{name}, {}", weighted(weight, reverse)))
            .collect()
    };
    let list = |page: &mut String, lines: Vec<String>| {
        line!(page, "   Tracking instances :");
        for text in lines {
            line!(page, "     {text}");
        }
    };
    if !snapshot.head.tracked_scripts.is_empty() {
        line!(page, "------< VRRP Scripts >------");
    }
    for (index, script) in (0_u32..).zip(&snapshot.head.tracked_scripts) {
        line!(page, " VRRP Script = {}", script.name);
        if let Some(command) = snapshot.commands.get(&script.script) {
            line!(page, "   Command = {}", quoted(command));
            line!(page, "   Script uid:gid = {}:{}", command.identity.uid, command.identity.gid);
        }
        line!(page, "   Interval = {} sec", script.interval.as_secs_f64());
        line!(page, "   Timeout = {} sec", script.timeout.as_secs_f64());
        line!(page, "   Rise = {}", script.rise);
        line!(page, "   Fall = {}", script.fall);
        line!(page, "   Init state = {}", if script.init_fail { "failed" } else { "unknown" });
        list(
            page,
            tracking(&|instance| {
                let found = instance.track_scripts.iter().find(|track| track.tracked == index);
                found.map(|track| (track.weight, track.reverse))
            }),
        );
    }
    if !snapshot.head.files.is_empty() {
        line!(page, "------< VRRP Track files >------");
    }
    for ((id, name), (path, value)) in
        (0_u32..).map(FileId::new).zip(&snapshot.head.files).zip(&snapshot.files)
    {
        line!(page, " Track file = {name}");
        line!(page, "   File = {path}");
        line!(page, "   Status = {value}");
        list(
            page,
            tracking(&|instance| {
                let found = instance.track_files.iter().find(|track| track.file == id);
                found.map(|track| (track.weight, track.reverse))
            }),
        );
    }
    if !snapshot.processes.is_empty() {
        line!(page, "------< VRRP Track processes >------");
    }
    let processes = snapshot.processes.iter().zip(&snapshot.head.tracked_processes);
    for (id, ((pattern, count), config)) in (0_u32..).map(ProcessId::new).zip(processes) {
        line!(page, " VRRP Track process = {}", pattern.name);
        line!(page, "   Process = {}", pattern.program);
        line!(page, "   Min processes = {}", config.quorum);
        if let Some(max) = config.quorum_max {
            line!(page, "   Max processes = {max}");
        }
        let count = count.unwrap_or(0);
        line!(page, "   Current processes = {count}");
        let enough = (config.quorum..=config.quorum_max.unwrap_or(u32::MAX)).contains(&count);
        line!(page, "   Have quorum = {enough}");
        line!(page, "   Weight = {}", config.weight);
        line!(page, "   Terminate delay = {:.6}s", config.terminate_delay.as_secs_f64());
        line!(page, "   Fork delay = {:.6}s", config.fork_delay.as_secs_f64());
        list(
            page,
            tracking(&|instance| {
                let found = instance.track_processes.iter().find(|track| track.process == id);
                found.map(|track| (track.weight, track.reverse))
            }),
        );
    }
}

fn weighted(weight: i16, reverse: bool) -> String {
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

pub(super) fn globals(page: &mut String, process: &ProcessSettings, global: &VrrpGlobal) {
    line!(page, "------< Global definitions >------");
    if let Some(directory) = &process.save_dir {
        line!(page, " Config save dir = {directory}");
    }
    line!(page, " Network namespace = {}", process.namespace.as_deref().unwrap_or("(default)"));
    if let Some(instance) = &process.instance {
        line!(page, " Instance name = {instance}");
    }
    let names = &process.names;
    for (title, name) in [
        ("Process", &names.parent),
        ("VRRP process", &names.vrrp),
        ("LVS process", &names.checker),
        ("BFD process", &names.bfd),
    ] {
        if let Some(name) = name {
            line!(page, " {title} name = {name}");
        }
    }
    line!(page, " Router ID = {}", process.router_id);
    line!(page, " VRRP notify priority changes = {}", process.notify_priority_changes);
    line!(page, " VRRP IPv4 mcast group = {}", global.multicast_group4);
    line!(page, " VRRP IPv6 mcast group = {}", global.multicast_group6);
    let tunings =
        [("VRRP", &process.vrrp_tuning), ("Checker", &process.checker_tuning), ("BFD", &process.bfd_tuning)];
    for (name, tuning) in tunings {
        line!(page, " {name} process priority = {}", tuning.nice.unwrap_or(0));
        line!(page, " {name} don't swap = {}", tuning.lock_memory);
        line!(page, " {name} realtime priority = {}", tuning.realtime.unwrap_or(0));
        if !tuning.processors.is_empty() {
            let numbers: Vec<String> = tuning.processors.iter().map(u16::to_string).collect();
            line!(page, " {name} CPU Affinity = {}", numbers.join(" "));
        }
        line!(page, " {name} realtime limit = {}", tuning.realtime_limit_us);
    }
    line!(page, " Script security {}", if process.script_security { "enabled" } else { "disabled" });
    line!(page, " umask = 0{:o}", process.umask.unwrap_or(0o177));
}

fn topology(
    page: &mut String,
    snapshot: &Snapshot,
    instance: &Instance,
    status: &InstanceStatus,
    group: Option<&str>,
) {
    let interface = instance.interface.as_deref().unwrap_or_default();
    let announce = &instance.announce;
    line!(page, " VRRP Instance = {}", instance.name);
    line!(page, "   VRRP Version = {}", if instance.version == Version::V2 { 2 } else { 3 });
    if let Some(group) = group {
        line!(page, "   Sync group = {group}");
    }
    if instance.family == Family::Inet6 {
        line!(page, "   Using Native IPv6");
    }
    line!(page, "   State = {}", status.state.word());
    match &instance.transport {
        Transport::Multicast { .. } => line!(page, "   Flags: none"),
        Transport::Unicast { .. } => line!(page, "   Flags:\n     Using unicast"),
    }
    line!(page, "   Wantstate = {}", if wants_master(instance, status) { "MASTER" } else { "BACKUP" });
    if !status.reason.is_empty() {
        line!(page, "   Fault reason = {}", status.reason);
    }
    let (seconds, fraction) = (status.last_transition_ms / 1000, status.last_transition_ms % 1000);
    line!(page, "   Last transition = {seconds}.{fraction:03}000");
    line!(page, "   Interface = {interface}");
    if let Some(source) = instance.transport.source() {
        line!(page, "   Using src_ip = {source} (from configuration)");
    }
    if let Transport::Multicast { group, .. } = &instance.transport {
        line!(page, "   Multicast address {group}");
    }
    line!(page, "   Gratuitous ARP delay = {}", announce.delay.as_secs());
    line!(page, "   Gratuitous ARP repeat = {}", announce.repeat);
    line!(page, "   Gratuitous ARP refresh = {}", announce.refresh.as_secs());
    line!(page, "   Gratuitous ARP refresh repeat = {}", announce.refresh_repeat);
    line!(page, "   Gratuitous ARP lower priority delay = {}", announce.lower_priority_delay.as_secs());
    line!(page, "   Gratuitous ARP lower priority repeat = {}", announce.lower_priority_repeat);
    line!(page, "   Down timer adverts = {}", instance.down_timer_adverts);
    line!(
        page,
        "   Send advert after receive lower priority advert = {}",
        !instance.lower_priority_no_advert
    );
    line!(
        page,
        "   Send advert after receive higher priority advert = {}",
        instance.higher_priority_send_advert
    );
    line!(page, "   Virtual Router ID = {}", instance.vrid.value());
    line!(page, "   Priority = {}", instance.priority.value());
    line!(page, "   Effective priority = {}", status.priority);
    line!(page, "   Total priority = {}", status.priority);
    let interval = instance.advert_interval.duration();
    if interval.subsec_nanos() == 0 {
        line!(page, "   Advert interval = {} sec", interval.as_secs());
    } else {
        line!(page, "   Advert interval = {} milli-sec", interval.as_millis());
    }
    line!(page, "   Accept = {}", if instance.accept { "enabled" } else { "disabled" });
    match instance.preempt {
        Preempt::Never => line!(page, "   Preempt = disabled"),
        Preempt::After(delay) => {
            line!(page, "   Preempt = enabled");
            if !delay.is_zero() {
                line!(page, "   Preempt delay = {} secs", delay.as_secs_f64());
            }
        }
    }
    line!(page, "   Promote_secondaries = disabled");
    match instance.authentication {
        Authentication::None => {}
        Authentication::Pass(_) => line!(page, "   Authentication type = SIMPLE_PASSWORD"),
        Authentication::Ah(_) => line!(page, "   Authentication type = IPSEC_AH"),
    }
    if !instance.addresses.is_empty() {
        line!(page, "   Virtual IP ({}):", instance.addresses.len());
    }
    for address in &instance.addresses {
        line!(page, "     {}", address_line(address, interface, status.state));
    }
    if !instance.excluded.is_empty() {
        line!(page, "   Virtual IP Excluded :");
    }
    for address in &instance.excluded {
        line!(page, "     {}", address_line(address, interface, status.state));
    }
    if let Transport::Unicast { peers, ttl, .. } = &instance.transport {
        line!(page, "   Unicast TTL = {ttl}");
        line!(page, "   Check unicast src : {}", if instance.check_unicast_source { "yes" } else { "no" });
        line!(page, "   Unicast Peer :");
        for Peer { address, min_ttl, max_ttl } in peers {
            line!(page, "     {address} min_ttl {min_ttl} max_ttl {max_ttl}");
        }
    }
    if !instance.routes.is_empty() {
        line!(page, "   Virtual Routes :");
    }
    for route in &instance.routes {
        line!(page, "     {}", route_line(route));
    }
    tracked(page, snapshot, instance);
}

/// `10.77.0.50/24 dev eth0 scope global set`.
pub(super) fn address_line(address: &VirtualAddress, interface: &str, state: VrrpState) -> String {
    let network = address.network;
    let whole = network.prefix() == if network.is_ipv4() { 32 } else { 128 };
    let mut text = if whole { network.ip().to_string() } else { network.to_string() };
    text.push_str(&format!(" dev {}", address.interface.as_deref().unwrap_or(interface)));
    match address.broadcast {
        Broadcast::Address(broadcast) => text.push_str(&format!(" brd {broadcast}")),
        Broadcast::Unset | Broadcast::HostBits { .. } => {}
    }
    text.push_str(&format!(" scope {}", scope(address.scope)));
    if let Some(label) = &address.label {
        text.push_str(&format!(" label {label}"));
    }
    let never_preferred = match address.preferred {
        PreferredLifetime::Usual => whole && network.is_ipv6(),
        PreferredLifetime::Seconds(seconds) => seconds == 0,
        PreferredLifetime::Forever => false,
    };
    if never_preferred {
        text.push_str(" deprecated");
    }
    if state == VrrpState::Master {
        text.push_str(" set");
    }
    text
}

/// `prepend 10.99.0.0/24 via inet 10.77.0.9 dev eth0 proto 18`.
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
        text.push_str(&format!(" via {} {gateway}", if gateway.is_ipv4() { "inet" } else { "inet6" }));
    }
    if let Some(interface) = &route.interface {
        text.push_str(&format!(" dev {interface}"));
    }
    text.push_str(&format!(" proto {}", route.protocol));
    if let Some(source) = route.source {
        text.push_str(&format!(" src {source}"));
    }
    if route.table != 254 {
        text.push_str(&format!(" table {}", route.table));
    }
    if let Some(metric) = route.metric {
        text.push_str(&format!(" metric {metric}"));
    }
    text
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

/// `keepalived.stats`.
#[must_use]
pub fn statistics(instances: &[(Instance, InstanceStatus)]) -> String {
    let mut page = String::new();
    for (instance, status) in instances {
        line!(page, "VRRP Instance: {}", instance.name);
        line!(page, "  Advertisements:");
        line!(page, "    Received: {}", status.received);
        line!(page, "    Sent: {}", status.sent);
        line!(page, "  Became master: {}", status.became_master);
        line!(page, "  Released master: {}", status.released_master);
        line!(page, "  Packet Errors:");
        line!(page, "    Length: {}", refused(status, "length"));
        line!(page, "    TTL: {}", refused(status, "ttl"));
        line!(page, "    Invalid Type: {}", refused(status, "type"));
        line!(page, "    Advertisement Interval: {}", refused(status, "interval"));
        line!(page, "    Address List: {}", status.address_mismatches);
        line!(page, "  Authentication Errors:");
        line!(page, "    Invalid Type: 0");
        line!(page, "    Type Mismatch: {}", refused(status, "auth_type"));
        line!(page, "    Failure: {}", refused(status, "auth_failure"));
        line!(page, "  Priority Zero:");
        line!(page, "    Received: {}", status.zero_received);
        line!(page, "    Sent: {}", status.zero_sent);
    }
    page
}
