//! The files for people, in keepalived's words, so that what reads them goes on reading them.

use std::fmt::Write as _;

use config::model::process::ProcessSettings;
use config::model::vrrp::{
    Authentication, Broadcast, Instance, Preempt, RouteKind, Transport, Version, VirtualAddress,
    VirtualRoute, VrrpGlobal,
};
use ipc::messages::ctl::{InstanceStatus, ServiceStatus};
use ipc::messages::vrrpd::VrrpState;

use super::{Snapshot, refused};

/// Lines of a page; writing to a string never fails.
macro_rules! line {
    ($page:expr, $($text:tt)*) => {{ let _infallible = writeln!($page, $($text)*); }};
}

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
    globals(&mut page, &snapshot.process, &snapshot.global);
    line!(page, "------< VRRP Topology >------");
    for (instance, status) in &snapshot.instances {
        let member = |members: &[String]| members.contains(&instance.name);
        let group = snapshot.groups.iter().find(|(_, _, members)| member(members));
        topology(&mut page, instance, status, group.map(|(name, _, _)| name.as_str()));
    }
    if !snapshot.groups.is_empty() {
        line!(page, "------< VRRP Sync groups >------");
    }
    for (name, state, members) in &snapshot.groups {
        line!(page, " VRRP Sync Group = {name}, {}", state.unwrap_or(VrrpState::Init).word());
        line!(page, "   VRRP member instances :");
        for member in members {
            line!(page, "     {member}");
        }
    }
    page
}

fn globals(page: &mut String, process: &ProcessSettings, global: &VrrpGlobal) {
    line!(page, "------< Global definitions >------");
    line!(page, " Network namespace = {}", process.namespace.as_deref().unwrap_or("(default)"));
    if let Some(instance) = &process.instance {
        line!(page, " Instance name = {instance}");
    }
    line!(page, " Router ID = {}", process.router_id);
    line!(page, " VRRP notify priority changes = {}", process.notify_priority_changes);
    line!(page, " VRRP IPv4 mcast group = {}", global.multicast_group4);
    line!(page, " VRRP IPv6 mcast group = {}", global.multicast_group6);
    for (name, tuning) in [("VRRP", &process.vrrp_tuning), ("Checker", &process.checker_tuning)] {
        line!(page, " {name} process priority = {}", tuning.nice.unwrap_or(0));
        line!(page, " {name} don't swap = {}", tuning.lock_memory);
        line!(page, " {name} realtime priority = {}", tuning.realtime.unwrap_or(0));
        line!(page, " {name} realtime limit = {}", tuning.realtime_limit_us);
    }
    line!(page, " Script security {}", if process.script_security { "enabled" } else { "disabled" });
    line!(page, " umask = 0{:o}", process.umask.unwrap_or(0o177));
}

fn topology(page: &mut String, instance: &Instance, status: &InstanceStatus, group: Option<&str>) {
    let interface = instance.interface.as_deref().unwrap_or_default();
    let announce = &instance.announce;
    line!(page, " VRRP Instance = {}", instance.name);
    line!(page, "   VRRP Version = {}", if instance.version == Version::V2 { 2 } else { 3 });
    if let Some(group) = group {
        line!(page, "   Sync group = {group}");
    }
    line!(page, "   State = {}", status.state.word());
    line!(page, "   Wantstate = {}", if instance.wants_master { "MASTER" } else { "BACKUP" });
    if !status.reason.is_empty() {
        line!(page, "   Fault reason = {}", status.reason);
    }
    let (seconds, fraction) = (status.last_transition_ms / 1000, status.last_transition_ms % 1000);
    line!(page, "   Last transition = {seconds}.{fraction:03}000");
    line!(page, "   Interface = {interface}");
    match &instance.transport {
        Transport::Multicast { group, .. } => line!(page, "   Multicast address {group}"),
        Transport::Unicast { peers, .. } => {
            line!(page, "   Unicast Peer :");
            for peer in peers {
                line!(page, "     {}", peer.address);
            }
        }
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
    let interval = instance.advert_interval.duration().as_secs_f64();
    line!(page, "   Advert interval = {interval} sec");
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
    match instance.authentication {
        Authentication::None => {}
        Authentication::Pass(_) => line!(page, "   Authentication type = SIMPLE_PASSWORD"),
        Authentication::Ah(_) => line!(page, "   Authentication type = IPSEC_AH"),
    }
    for (title, addresses) in
        [("Virtual IP", &instance.addresses), ("Virtual IP Excluded", &instance.excluded)]
    {
        if !addresses.is_empty() {
            line!(page, "   {title} ({}):", addresses.len());
        }
        for address in addresses {
            line!(page, "     {}", address_line(address, interface, status.state));
        }
    }
    if !instance.routes.is_empty() {
        line!(page, "   Virtual Routes :");
    }
    for route in &instance.routes {
        line!(page, "     {}", route_line(route));
    }
}

/// `10.77.0.50/24 dev eth0 scope global set`.
pub(super) fn address_line(address: &VirtualAddress, interface: &str, state: VrrpState) -> String {
    let mut text = format!("{} dev {}", address.network, address.interface.as_deref().unwrap_or(interface));
    match address.broadcast {
        Broadcast::Address(broadcast) => text.push_str(&format!(" brd {broadcast}")),
        Broadcast::Unset | Broadcast::HostBits { .. } => {}
    }
    text.push_str(&format!(" scope {}", scope(address.scope)));
    if let Some(label) = &address.label {
        text.push_str(&format!(" label {label}"));
    }
    if state == VrrpState::Master {
        text.push_str(" set");
    }
    text
}

/// `10.99.0.0/24 via inet 10.77.0.9 dev eth0`.
pub(super) fn route_line(route: &VirtualRoute) -> String {
    let mut text = String::new();
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

/// `keepalived_check.data`.
#[must_use]
pub fn checks(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    globals(&mut page, &snapshot.process, &snapshot.global);
    line!(page, "------< LVS Topology >------");
    for service in &snapshot.services {
        virtual_server(&mut page, service);
    }
    page
}

fn virtual_server(page: &mut String, service: &ServiceStatus) {
    let up = |up: Option<bool>| match up {
        Some(true) => "UP",
        Some(false) => "DOWN",
        None => "not known yet",
    };
    line!(page, " VirtualServer = {}", service.name);
    line!(page, "   State = {}", up(service.up));
    if let Some(weight) = service.sorry_weight {
        line!(page, "   Sorry server in use, weight = {}", weight.value());
    }
    for server in &service.servers {
        line!(page, "   RealServer = {}", server.name);
        line!(page, "     State = {}", up(server.up));
        match server.weight {
            Some(weight) => line!(page, "     Weight = {}", weight.value()),
            None => line!(page, "     not in the table"),
        }
    }
}
