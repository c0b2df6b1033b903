//! The files for people, in keepalived's words, so that what reads them goes on reading them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use config::model::process::{Identity, InstanceNotify, Script};
use config::model::units::{FileId, ProcessId, ScriptId};
use config::model::vrrp::{Instance, VrrpGlobal};
use ipc::messages::ctl::InstanceStatus;
use ipc::messages::vrrpd::VrrpState;

use super::globals::globals;
use super::instance::{address_line, instance, route_line, weighted};
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
        let command = snapshot.commands.get(&script.script);
        if let Some(command) = command {
            line!(page, "   Command = {}", quoted(command));
        }
        line!(page, "   Interval = {} sec", thousandths(script.interval));
        line!(page, "   Timeout = {} sec", thousandths(script.timeout));
        line!(page, "   Weight = {}", factor(script.weight, script.reverse));
        line!(page, "   Rise = {}", script.rise);
        line!(page, "   Fall = {}", script.fall);
        line!(page, "   Init state = {}", if script.init_fail { "failed" } else { "unknown" });
        if let Some(Identity { uid, gid, .. }) = command.map(|command| &command.identity) {
            line!(page, "   Script uid:gid = {uid}:{gid}");
        }
        list(
            page,
            tracking(&|instance| {
                let found = instance.track_scripts.iter().find(|track| track.tracked == index);
                found.map(|track| (track.weight, track.reverse))
            }),
        );
    }
    let files =
        || (0_u32..).map(FileId::new).zip(&snapshot.files).filter(|(_, (file, _))| file.audience.vrrpd);
    if files().next().is_some() {
        line!(page, "------< VRRP Track files >------");
    }
    for (id, (file, value)) in files() {
        line!(page, " Track file = {}", file.name);
        line!(page, "   File = {}", file.path);
        line!(page, "   Status = {value}");
        line!(page, "   Weight = {}", factor(file.weight, file.reverse));
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

/// Whole seconds, or with three digits behind the point.
fn thousandths(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => duration.as_secs().to_string(),
        rest => format!("{}.{rest:03}", duration.as_secs()),
    }
}

fn factor(weight: i16, reverse: bool) -> String {
    format!("{weight}{}", if reverse { " reverse" } else { "" })
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
