//! What a reload would do: the difference of two models by identity.
//!
//! An instance is known by its name, a virtual server by its key, a real server by its address and port. What
//! keeps its identity keeps its state; only what is listed here is touched. Decides nothing about timing.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::model::Model;
use crate::model::check::VirtualServer;
use crate::model::identity;
use crate::model::ipvs::{AddressRange, IpvsSettings};
use crate::model::network::Statics;
use crate::model::process::{InstanceNotify, Script};
use crate::model::track::{ProcessPattern, TrackedProcess};
use crate::model::units::{FileId, InstanceId, ProcessId, ScriptId};
use crate::model::vrrp::Instance;

/// What happens to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is new.
    Added,
    /// It goes away.
    Removed,
    /// It keeps its state and gets new settings.
    Changed,
}

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Process settings and `global_defs`.
    Globals,
    /// A `vrrp_instance`.
    Instance,
    /// A `vrrp_sync_group`.
    SyncGroup,
    /// A `virtual_server`.
    VirtualServer,
    /// A `real_server`.
    RealServer,
}

/// One thing that a reload touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name; for a real server that of its virtual server, an arrow and its own.
    pub name: String,
    /// What happens to it.
    pub fate: Fate,
    /// The settings that differ, in the configuration's words; empty when it comes or goes.
    pub settings: Vec<&'static str>,
    /// Routers that back this one up would discard adverts until they are changed too.
    pub breaks_peers: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Globals => "global_defs",
            Kind::Instance => "vrrp_instance",
            Kind::SyncGroup => "vrrp_sync_group",
            Kind::VirtualServer => "virtual_server",
            Kind::RealServer => "real_server",
        };
        f.write_str(kind)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        match self.fate {
            Fate::Added => f.write_str(" is added")?,
            Fate::Removed => f.write_str(" is removed")?,
            Fate::Changed => write!(f, " changes {}", self.settings.join(", "))?,
        }
        if self.breaks_peers {
            f.write_str("; peers discard its adverts until they are changed too")?;
        }
        Ok(())
    }
}

/// Everything that a reload from one model to another touches; empty when nothing does.
#[must_use]
pub fn diff(old: &Model, new: &Model) -> Vec<Change> {
    let mut out = Vec::new();
    let mut settings = Vec::new();
    differ(&mut settings, "process settings", &old.process, &new.process);
    differ(&mut settings, "VRRP settings", &old.vrrp_global, &new.vrrp_global);
    differ(&mut settings, "IPVS settings", &ipvs(old), &ipvs(new));
    differ(&mut settings, "static addresses and routes", &statics(old), &statics(new));
    differ(&mut settings, "rs_init_notifies", &old.init_notifies, &new.init_notifies);
    differ(&mut settings, "mail settings", &old.mail, &new.mail);
    differ(&mut settings, "certificates and keys", &old.tls, &new.tls);
    changed(&mut out, Kind::Globals, "", settings, false);
    instances(&mut out, old, new);
    sync_groups(&mut out, old, new);
    services(&mut out, old, new);
    out
}

/// IPVS settings by content: the instance by its name, not by a position that shifts.
fn ipvs(model: &Model) -> (IpvsSettings, Option<&str>) {
    let mut settings = model.ipvs.clone();
    let instance = settings.sync.as_mut().and_then(|sync| sync.instance.take());
    let name = instance.and_then(|id| model.instances.get(id.index())).map(|instance| instance.name.as_str());
    (settings, name)
}

/// Static items by content: members of track groups by their names.
fn statics(model: &Model) -> (Statics, Vec<Vec<Option<&str>>>) {
    let mut statics = model.statics.clone();
    let name = |id: InstanceId| model.instances.get(id.index()).map(|instance| instance.name.as_str());
    let names = statics.groups.iter_mut().map(|group| group.members.drain(..).map(name).collect());
    let names = names.collect();
    (statics, names)
}

fn changed(out: &mut Vec<Change>, kind: Kind, name: &str, settings: Vec<&'static str>, breaks_peers: bool) {
    if !settings.is_empty() {
        out.push(Change { kind, name: name.to_owned(), fate: Fate::Changed, settings, breaks_peers });
    }
}

fn comes_or_goes(out: &mut Vec<Change>, kind: Kind, name: &str, fate: Fate) {
    out.push(Change { kind, name: name.to_owned(), fate, settings: Vec::new(), breaks_peers: false });
}

fn differ<T: PartialEq>(settings: &mut Vec<&'static str>, name: &'static str, old: &T, new: &T) {
    if old != new {
        settings.push(name);
    }
}

fn instances(out: &mut Vec<Change>, old: &Model, new: &Model) {
    let before: HashMap<&str, (&Instance, &InstanceNotify)> = old
        .instances
        .iter()
        .zip(&old.instance_notify)
        .map(|(instance, notify)| (instance.name.as_str(), (instance, notify)))
        .collect();
    let after: HashMap<&str, ()> = new.instances.iter().map(|i| (i.name.as_str(), ())).collect();
    for gone in old.instances.iter().filter(|instance| !after.contains_key(instance.name.as_str())) {
        comes_or_goes(out, Kind::Instance, &gone.name, Fate::Removed);
    }
    for (instance, notify) in new.instances.iter().zip(&new.instance_notify) {
        let Some((was, was_notify)) = before.get(instance.name.as_str()) else {
            comes_or_goes(out, Kind::Instance, &instance.name, Fate::Added);
            continue;
        };
        let mut settings = instance_settings(was, instance);
        if tracked(old, was) != tracked(new, instance) {
            settings.push("track_script");
        }
        if tracked_processes(old, was) != tracked_processes(new, instance) {
            settings.push("track_process");
        }
        if tracked_files(old, was) != tracked_files(new, instance) {
            settings.push("track_file");
        }
        if notify_scripts(old, was_notify) != notify_scripts(new, notify) {
            settings.push("notify scripts");
        }
        differ(&mut settings, "smtp_alert", &was_notify.mail, &notify.mail);
        let breaks = ["virtual_router_id", "version", "adverts", "authentication"];
        let breaks_peers = settings.iter().any(|setting| breaks.contains(setting))
            || (settings.contains(&"advert_int") && instance.version == crate::model::vrrp::Version::V2);
        changed(out, Kind::Instance, &instance.name, settings, breaks_peers);
    }
}

fn sync_groups(out: &mut Vec<Change>, old: &Model, new: &Model) {
    fn of(model: &Model) -> HashMap<&str, (Vec<&str>, &InstanceNotify)> {
        let groups = model.sync_groups.iter().zip(&model.group_notify);
        groups
            .map(|(group, notify)| {
                let members = group.members.iter().filter_map(|member| model.instances.get(member.index()));
                let members = members.map(|instance| instance.name.as_str()).collect();
                (group.name.as_str(), (members, notify))
            })
            .collect()
    }
    let (before, after) = (of(old), of(new));
    for gone in old.sync_groups.iter().filter(|group| !after.contains_key(group.name.as_str())) {
        comes_or_goes(out, Kind::SyncGroup, &gone.name, Fate::Removed);
    }
    for group in &new.sync_groups {
        let Some((members, notify)) = after.get(group.name.as_str()) else { continue };
        let Some((was_members, was_notify)) = before.get(group.name.as_str()) else {
            comes_or_goes(out, Kind::SyncGroup, &group.name, Fate::Added);
            continue;
        };
        let mut settings = Vec::new();
        differ(&mut settings, "group", was_members, members);
        if notify_scripts(old, was_notify) != notify_scripts(new, notify) {
            settings.push("notify scripts");
        }
        differ(&mut settings, "smtp_alert", &was_notify.mail, &notify.mail);
        changed(out, Kind::SyncGroup, &group.name, settings, false);
    }
}

fn instance_settings(was: &Instance, is: &Instance) -> Vec<&'static str> {
    let mut out = Vec::new();
    differ(&mut out, "virtual_router_id", &was.vrid, &is.vrid);
    differ(&mut out, "version", &(was.version, was.family), &(is.version, is.family));
    differ(&mut out, "interface", &was.interface, &is.interface);
    differ(&mut out, "track_src_ip", &was.track_source, &is.track_source);
    differ(&mut out, "dont_track_primary", &was.dont_track_primary, &is.dont_track_primary);
    differ(&mut out, "state", &was.wants_master, &is.wants_master);
    differ(&mut out, "priority", &was.priority, &is.priority);
    differ(&mut out, "advert_int", &was.advert_interval, &is.advert_interval);
    differ(&mut out, "preemption", &was.preempt, &is.preempt);
    differ(&mut out, "accept", &was.accept, &is.accept);
    differ(&mut out, "adverts", &was.transport, &is.transport);
    differ(&mut out, "authentication", &was.authentication, &is.authentication);
    differ(&mut out, "virtual_ipaddress", &was.addresses, &is.addresses);
    differ(&mut out, "virtual_ipaddress_excluded", &was.excluded, &is.excluded);
    differ(&mut out, "virtual_routes", &was.routes, &is.routes);
    differ(&mut out, "track_interface", &was.track_interfaces, &is.track_interfaces);
    differ(&mut out, "vip_lease", &was.lease, &is.lease);
    differ(&mut out, "vip_restore", &was.removed, &is.removed);
    differ(&mut out, "promote_secondaries", &was.promote_secondaries, &is.promote_secondaries);
    differ(&mut out, "kernel_rx_buf_size", &was.receive_buffer, &is.receive_buffer);
    differ(&mut out, "garp settings", &was.announce, &is.announce);
    differ(&mut out, "down_timer_adverts", &was.down_timer_adverts, &is.down_timer_adverts);
    differ(&mut out, "lower_prio_no_advert", &was.lower_priority_no_advert, &is.lower_priority_no_advert);
    differ(
        &mut out,
        "higher_prio_send_advert",
        &was.higher_priority_send_advert,
        &is.higher_priority_send_advert,
    );
    differ(&mut out, "check_unicast_src", &was.check_unicast_source, &is.check_unicast_source);
    differ(
        &mut out,
        "skip_check_adv_addr",
        &was.skip_check_advert_addresses,
        &is.skip_check_advert_addresses,
    );
    out
}

/// What an instance tracks, without positions that shift when others come and go.
fn tracked<'m>(model: &'m Model, instance: &'m Instance) -> Vec<(i16, bool, Option<TrackedView<'m>>)> {
    let view = |position: u32| {
        let tracked = model.tracked_scripts.get(usize::try_from(position).ok()?)?;
        let times = (tracked.interval, tracked.timeout, tracked.rise, tracked.fall, tracked.init_fail);
        Some((tracked.name.as_str(), times, script(model, Some(tracked.script))))
    };
    instance.track_scripts.iter().map(|track| (track.weight, track.reverse, view(track.tracked))).collect()
}

/// Processes that an instance tracks, by their content.
fn tracked_processes<'m>(model: &'m Model, instance: &Instance) -> Vec<(i16, bool, Option<ProcessView<'m>>)> {
    let view = |id: ProcessId| {
        Some((model.process_patterns.get(id.index())?, model.tracked_processes.get(id.index())?))
    };
    let lines = instance.track_processes.iter();
    lines.map(|track| (track.weight, track.reverse, view(track.process))).collect()
}

/// A tracked process by its content.
type ProcessView<'m> = (&'m ProcessPattern, &'m TrackedProcess);

/// Files that an instance tracks, by their content.
fn tracked_files<'m>(model: &'m Model, instance: &Instance) -> Vec<(i16, bool, Option<[&'m str; 2]>)> {
    let content =
        |id: FileId| model.files.get(id.index()).map(|file| [file.name.as_str(), file.path.as_str()]);
    instance.track_files.iter().map(|track| (track.weight, track.reverse, content(track.file))).collect()
}

/// A tracked script by its content.
type TrackedView<'m> =
    (&'m str, (std::time::Duration, std::time::Duration, u32, u32, bool), Option<&'m Script>);

fn script(model: &Model, id: Option<ScriptId>) -> Option<&Script> {
    model.scripts.get(id?.index())
}

fn notify_scripts<'m>(model: &'m Model, notify: &InstanceNotify) -> (bool, [Option<&'m Script>; 7]) {
    let InstanceNotify { master, backup, fault, stop, any, deleted, lower_priority, .. } = notify;
    let scripts = [master, backup, fault, stop, any, deleted, lower_priority];
    (notify.tells_deleted, scripts.map(|id| script(model, *id)))
}

/// Addresses that nftables marks; which mark they get is no setting.
fn ranges(service: &VirtualServer) -> Option<&[AddressRange]> {
    service.marked.as_ref().map(|marked| marked.ranges.as_slice())
}

fn services(out: &mut Vec<Change>, old: &Model, new: &Model) {
    let continued = identity::continued(&old.virtual_servers, &new.virtual_servers);
    let stays: HashSet<usize> = continued.iter().copied().flatten().collect();
    for (position, gone) in old.virtual_servers.iter().enumerate() {
        if !stays.contains(&position) {
            comes_or_goes(out, Kind::VirtualServer, &gone.name, Fate::Removed);
        }
    }
    for (service, was) in new.virtual_servers.iter().zip(continued) {
        let Some(was) = was.and_then(|position| old.virtual_servers.get(position)) else {
            comes_or_goes(out, Kind::VirtualServer, &service.name, Fate::Added);
            continue;
        };
        let mut settings = Vec::new();
        differ(&mut settings, "addresses", &(&was.keys, ranges(was)), &(&service.keys, ranges(service)));
        differ(&mut settings, "scheduling", &was.options, &service.options);
        differ(&mut settings, "quorum", &(was.quorum, was.hysteresis), &(service.quorum, service.hysteresis));
        differ(&mut settings, "alpha or omega", &(was.alpha, was.omega), &(service.alpha, service.omega));
        differ(&mut settings, "ha_suspend", &was.ha_suspend, &service.ha_suspend);
        differ(
            &mut settings,
            "sorry_server",
            &(was.sorry_server, was.sorry_server_inhibit),
            &(service.sorry_server, service.sorry_server_inhibit),
        );
        differ(
            &mut settings,
            "quorum scripts",
            &[script(old, was.quorum_up), script(old, was.quorum_down)],
            &[script(new, service.quorum_up), script(new, service.quorum_down)],
        );
        differ(&mut settings, "smtp_alert", &was.mail, &service.mail);
        changed(out, Kind::VirtualServer, &service.name, settings, false);
        servers(out, (old, was), (new, service));
    }
}

fn servers(out: &mut Vec<Change>, (old, was): (&Model, &VirtualServer), (new, is): (&Model, &VirtualServer)) {
    let before: HashMap<&str, _> =
        was.real_servers.iter().map(|server| (server.name.as_str(), server)).collect();
    let after: HashMap<&str, ()> = is.real_servers.iter().map(|server| (server.name.as_str(), ())).collect();
    let full = |name: &str| format!("{} -> {name}", is.name);
    for gone in was.real_servers.iter().filter(|server| !after.contains_key(server.name.as_str())) {
        comes_or_goes(out, Kind::RealServer, &full(&gone.name), Fate::Removed);
    }
    for server in &is.real_servers {
        let Some(was) = before.get(server.name.as_str()) else {
            comes_or_goes(out, Kind::RealServer, &full(&server.name), Fate::Added);
            continue;
        };
        let mut settings = Vec::new();
        differ(&mut settings, "weight", &was.weight, &server.weight);
        differ(&mut settings, "inhibit_on_failure", &was.inhibit_on_failure, &server.inhibit_on_failure);
        differ(&mut settings, "forwarding or thresholds", &was.destination, &server.destination);
        differ(
            &mut settings,
            "notify scripts",
            &[script(old, was.notify_up), script(old, was.notify_down)],
            &[script(new, server.notify_up), script(new, server.notify_down)],
        );
        let checks = |model, server| comparable_checks(model, server);
        if checks(old, was) != checks(new, server) {
            settings.push("checks");
        }
        differ(&mut settings, "smtp_alert", &was.mail, &server.mail);
        changed(out, Kind::RealServer, &full(&server.name), settings, false);
    }
}

/// Checks without the numbers that shift when others come and go.
fn comparable_checks<'m>(
    model: &'m Model,
    server: &crate::model::check::RealServer,
) -> Vec<(crate::model::check::Check, Option<&'m Script>)> {
    use crate::model::check::CheckKind;
    let comparable = server.checks.iter().map(|check| {
        let mut check = check.clone();
        check.id = crate::model::units::CheckId::new(0);
        let command = match &mut check.kind {
            CheckKind::Misc { script: id, .. } => {
                let command = script(model, Some(*id));
                *id = ScriptId::new(0);
                command
            }
            CheckKind::File(file) => {
                file.file = crate::model::units::FileId::new(0);
                None
            }
            CheckKind::Tcp(_)
            | CheckKind::Http(_)
            | CheckKind::Smtp(_)
            | CheckKind::Dns(_)
            | CheckKind::Udp(_)
            | CheckKind::Ping(_) => None,
        };
        (check, command)
    });
    comparable.collect()
}
