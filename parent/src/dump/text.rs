//! The files for people, in keepalived's words, so that what reads them goes on reading them.
//!
//! Pure, like all of [`super`]: from a [`Snapshot`]. Instances, trackers, checks and globals have files of their own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use config::model::process::{Identity, InstanceNotify, Script};
use config::model::units::ScriptId;
use config::model::vrrp::{Instance, VrrpGlobal};
use ipc::messages::ctl::InstanceStatus;
use ipc::messages::vrrpd::VrrpState;

use super::globals::globals;
use super::instance::{address_line, instance, route_line};
use super::trackers::trackers;
use super::{Snapshot, quoted, refused, seconds};

/// Lines of a page; writing to a string never fails.
macro_rules! line {
    ($page:expr, $($text:tt)*) => {{ let _infallible = writeln!($page, $($text)*); }};
}
pub(super) use line;

/// `keepalived_parent.data`.
#[must_use]
pub fn parent(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    globals(&mut page, snapshot);
    page
}

/// `keepalived.data`.
#[must_use]
pub fn vrrp(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    globals(&mut page, snapshot);
    paces(&mut page, &snapshot.head.global);
    statics(&mut page, snapshot);
    line!(page, "------< VRRP Topology >------");
    let instances = snapshot.instances.iter().zip(&snapshot.notify).zip(&snapshot.seen);
    for (((known, status), notify), seen) in instances {
        let group = snapshot.groups.iter().find(|group| group.members.contains(&known.name));
        instance(&mut page, snapshot, (known, status, seen), group.map(|group| group.name.as_str()));
        line!(page, "   Using smtp notification = {}", if notify.mail { "yes" } else { "no" });
        line!(page, "   Notify deleted = {}", if notify.tells_deleted { "Deleted" } else { "Fault" });
        following(&mut page, &snapshot.commands, notify);
        line!(page, "   Notify priority changes = {}", notify.priority_changes);
    }
    if !snapshot.groups.is_empty() {
        line!(page, "------< VRRP Sync groups >------");
    }
    for group in &snapshot.groups {
        line!(page, " VRRP Sync Group = {}, {}", group.name, group.state.unwrap_or(VrrpState::Init).word());
        let members = || snapshot.instances.iter().filter(|(known, _)| group.members.contains(&known.name));
        let number = |state| members().filter(|(_, status)| status.state == state).count();
        let (faults, starting) = (number(VrrpState::Fault), number(VrrpState::Init));
        line!(page, "   Num member fault {faults}, num member init {starting}");
        line!(page, "   VRRP member instances :");
        for member in &group.members {
            line!(page, "     {member}");
        }
        line!(page, "   Using smtp notification = {}", if group.notify.mail { "yes" } else { "no" });
        following(&mut page, &snapshot.commands, &group.notify);
    }
    trackers(&mut page, snapshot);
    page
}

/// Scripts of an instance or group.
fn following(page: &mut String, commands: &BTreeMap<ScriptId, Script>, notify: &InstanceNotify) {
    for (title, id) in [
        ("Backup", notify.backup),
        ("Master", notify.master),
        ("Fault", notify.fault),
        ("Stop", notify.stop),
        ("Deleted", notify.deleted),
        ("Generic", notify.any),
        ("Master rx lower pri", notify.lower_priority),
    ] {
        if let Some(script) = id.and_then(|id| commands.get(&id)) {
            let Identity { uid, gid, .. } = script.identity;
            line!(page, "   {title} state transition script = {}, uid:gid {uid}:{gid}", quoted(script));
        }
    }
}

/// How fast announcements may follow each other.
fn paces(page: &mut String, global: &VrrpGlobal) {
    let groups = &global.paces.groups;
    if groups.is_empty() {
        return;
    }
    line!(page, "------< Gratuitous ARP delays >------");
    for group in groups {
        line!(page, "------< GARP delay group >------");
        for (title, interval) in [("GARP", group.pace.arp), ("GNA", group.pace.neighbour)] {
            if !interval.is_zero() {
                line!(page, " {title} interval = {}", seconds(interval));
            }
        }
        line!(page, " Interfaces");
        for interface in &group.interfaces {
            line!(page, "  {interface}");
        }
    }
}

/// What belongs to no instance: it is always there.
fn statics(page: &mut String, snapshot: &Snapshot) {
    let statics = &snapshot.head.statics;
    if !statics.addresses.is_empty() {
        line!(page, "------< Static Addresses >------");
    }
    for address in &statics.addresses {
        line!(page, "     {}", address_line(address, "", VrrpState::Master));
    }
    if !statics.routes.is_empty() {
        line!(page, "------< Static Routes >------");
    }
    for route in &statics.routes {
        line!(page, "     {}", route_line(route));
    }
    if !statics.groups.is_empty() {
        line!(page, "------< Static Track groups >------");
    }
    for group in &statics.groups {
        line!(page, " Static Track Group = {}", group.name);
        line!(page, "   VRRP member instances :");
        for (instance, _) in group.members.iter().filter_map(|id| snapshot.instances.get(id.index())) {
            line!(page, "     {}", instance.name);
        }
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
