//! `vrrp_instance` drafts into instances.
//!
//! Decides the defaults of one instance and what its keywords exclude together; what two of them can't share on the
//! wire is [`super::same_router`]'s, keys are [`super::authentication`]'s. Called by [`super::resolve`] with what the
//! operator wrote.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::same_router::OnWire;
use super::{Context, Tracked};
use crate::diagnostic::{Problem, code};
use crate::model::Model;
use crate::model::process::{InstanceNotify, Purpose};
use crate::model::units::{AdvertInterval, Priority, Vrid};
use crate::model::vrrp::{
    Announce, ChecksumRule, Family, Instance, Peer, Preempt, TrackInterface, TrackScript, Transport, Version,
    VirtualAddress, VrrpGlobal,
};
use crate::schema::{Extra, GarpDraft, GlobalDraft, InstanceDraft, Lease, NotifyDraft, TrackDraft};
use crate::text::Span;

/// Addresses that one advert can carry.
const ADVERT_ADDRESSES: usize = 255;

/// Resolves all instances into the model.
pub(super) fn resolve(
    context: &mut Context<'_>,
    drafts: Vec<InstanceDraft>,
    scripts: &mut HashMap<String, Tracked>,
    model: &mut Model,
) {
    let mut names: HashSet<String> = HashSet::with_capacity(drafts.len());
    let mut on_wire = OnWire::default();
    for mut draft in drafts {
        if !names.insert(draft.name.clone()) {
            let message = format!("vrrp_instance {} is defined twice", draft.name);
            context.report(Problem::error(code::DUPLICATE, draft.span, message));
            continue;
        }
        context.without_owners_weights(&mut draft, scripts);
        let notify = std::mem::take(&mut draft.notify);
        let tracked = std::mem::take(&mut draft.track_scripts);
        let files = std::mem::take(&mut draft.track_files);
        let processes = std::mem::take(&mut draft.track_processes);
        let (name, span) = (draft.name.clone(), draft.span);
        let notify = context.notify(&name, notify);
        let tracked = context.track_scripts(&name, tracked, scripts, model);
        let files = context.track_files(&name, files);
        let processes = context.track_processes(&name, processes);
        let Some(mut instance) = context.instance(draft) else { continue };
        instance.track_files = files;
        instance.track_processes = processes;
        instance.track_scripts = tracked;
        context.distinct(&mut on_wire, &instance, span);
        model.instances.push(instance);
        model.instance_notify.push(notify);
    }
}

impl Context<'_> {
    pub(super) fn notify(&mut self, instance: &str, draft: NotifyDraft) -> InstanceNotify {
        let mut one = |keyword: &str, command| {
            self.optional_script(&format!("{instance} {keyword}"), command, Purpose::InstanceNotify)
        };
        InstanceNotify {
            master: one("notify_master", draft.master),
            backup: one("notify_backup", draft.backup),
            fault: one("notify_fault", draft.fault),
            stop: one("notify_stop", draft.stop),
            any: one("notify", draft.any),
            tells_deleted: draft.tells_deleted,
            deleted: one("notify_deleted", draft.deleted),
            lower_priority: one("notify_master_rx_lower_pri", draft.lower_priority),
            priority_changes: draft.priority_changes.unwrap_or(self.globals.notify_priority_changes),
            mail: self.mail_defaults.vrrp(draft.mail),
        }
    }

    fn track_scripts(
        &mut self,
        instance: &str,
        lines: Vec<TrackDraft>,
        scripts: &mut HashMap<String, Tracked>,
        model: &mut Model,
    ) -> Vec<TrackScript> {
        let mut out: Vec<TrackScript> = Vec::with_capacity(lines.len());
        let mut seen = HashSet::new();
        for line in lines {
            let Some(script) = scripts.get_mut(&line.name.text) else {
                let message = format!("{instance} tracks script {}, which nothing defines", line.name.text);
                let problem = Problem::error(code::UNDEFINED_NAME, line.name.span, message);
                self.report(problem.help("define it with vrrp_script"));
                continue;
            };
            let weight = line.weight.unwrap_or(script.block.weight);
            let reverse = line.reverse.unwrap_or(script.block.reverse);
            let Some(tracked) = self.tracked(script, model) else { continue };
            if !seen.insert(tracked) {
                let message = format!("{instance} tracks script {} twice", line.name.text);
                self.report(Problem::warning(code::GIVEN_TWICE, line.name.span, message));
                continue;
            }
            out.push(TrackScript { tracked, weight, reverse });
        }
        out
    }

    fn instance(&mut self, mut draft: InstanceDraft) -> Option<Instance> {
        self.missing_interfaces_of(&draft);
        let family = family(&draft);
        let priority = self.priority(&draft);
        let strict = self.strict(&mut draft, priority);
        let version = self.version(&draft, family, strict);
        let wants_master = draft.master.unwrap_or(priority == Priority::OWNER);
        let wants_master = wants_master && !self.hears_first(&draft, priority, version, strict);
        let transport = self.transport(&draft, family)?;
        let addresses = self.addresses(&mut draft, family, version);
        let Some((vrid, _)) = draft.vrid else {
            let message = format!("vrrp_instance {} has no virtual_router_id", draft.name);
            self.report(Problem::error(code::MISSING_KEYWORD, draft.span, message).fatal());
            return None;
        };
        let preempt = self.preempt(&draft, wants_master, priority);
        let authentication = self.authentication(&draft, version, family, strict);
        let advert_interval = self.advert_interval(&draft, version)?;
        let hmac = match draft.hmac.take() {
            Some(hmac) => Some(Box::new(self.hmac(&draft.name, hmac, advert_interval, strict)?)),
            None => None,
        };
        let timer_expired_backup = self.timer_expired_backup(&draft, preempt);
        self.check_first_address(&draft, family, &addresses.0);
        let announce = self.announce(&draft.garp);
        let track_interfaces = self.track_interfaces(&draft);
        let excluded = std::mem::take(&mut draft.excluded).into_iter().map(|one| self.virtual_address(one));
        let excluded: Vec<VirtualAddress> = excluded.collect();
        let routes = std::mem::take(&mut draft.routes).into_iter().filter_map(|one| self.virtual_route(one));
        let routes = routes.collect();
        let span = draft.span;
        let globals = &self.globals;
        let bounded = draft.peers.iter().any(|peer| peer.peer != Peer::new(peer.peer.address));
        let checksum = checksum(&draft, globals);
        let (advertised, mut excess) = addresses;
        excess.extend(excluded);
        let lease = draft.lease.or(globals.lease);
        let mut instance = Instance {
            vrid: Vrid::new(vrid).ok()?,
            version,
            family,
            interface: draft.interface.map(|name| name.text),
            dont_track_primary: draft.dont_track_primary,
            track_source: draft.track_source,
            wants_master,
            priority,
            advert_interval,
            preempt,
            accept: true,
            transport,
            authentication,
            hmac,
            strict,
            checksum,
            addresses: advertised,
            excluded: excess,
            routes,
            track_interfaces,
            track_scripts: Vec::new(),
            track_files: Vec::new(),
            track_processes: Vec::new(),
            announce,
            down_timer_adverts: draft.down_timer_adverts.or(globals.down_timer_adverts).unwrap_or(3),
            lower_priority_no_advert: draft
                .lower_prio_no_advert
                .or(globals.lower_prio_no_advert)
                .unwrap_or(false),
            higher_priority_send_advert: draft
                .higher_prio_send_advert
                .or(globals.higher_prio_send_advert)
                .unwrap_or(true),
            check_unicast_source: draft.check_unicast_src || globals.check_unicast_src || bounded,
            skip_check_advert_addresses: draft
                .skip_check_adv_addr
                .or(globals.skip_check_adv_addr)
                .unwrap_or(false),
            owner_ignores_adverts: priority == Priority::OWNER
                && draft.owner_ignore_adverts.unwrap_or(globals.owner_ignore_adverts),
            timer_expired_backup,
            lease: None,
            removed: draft.removed.or(globals.removed).unwrap_or_default(),
            promote_secondaries: draft.promote_secondaries,
            receive_buffer: draft.receive_buffer,
            name: draft.name,
        };
        instance.lease = match lease {
            None | Some(Lease::Off) => None,
            Some(Lease::Usual) => Some(instance.usual_lease()),
            Some(Lease::Seconds(seconds)) => Some(self.long_enough(&instance, seconds, span)),
        };
        Some(instance)
    }

    /// A lease that ends before a Backup takes over leaves nobody with the address.
    fn long_enough(&mut self, instance: &Instance, seconds: u32, span: Span) -> u32 {
        let least = instance.usual_lease();
        if seconds < least {
            let message = format!("{}: vip_lease is taken as {least} s: peers wait longer", instance.name);
            self.report(Problem::warning(code::ADJUSTED, span, message));
        }
        seconds.max(least)
    }

    fn version(&mut self, draft: &InstanceDraft, family: Family, strict: bool) -> Version {
        let chosen = draft.version.or(match family {
            Family::Inet => self.globals.version,
            Family::Inet6 => None,
        });
        match (chosen, family) {
            (Some(3), _) | (None, Family::Inet6) => Version::V3,
            (Some(_), Family::Inet6) if strict => {
                let message = format!("{}: strict_mode takes version 3 for IPv6", draft.name);
                self.report(Problem::warning(code::ADJUSTED, draft.span, message));
                Version::V3
            }
            (Some(_), Family::Inet6) => {
                let message = format!("{}: version 2 with IPv6 is no standard", draft.name);
                self.report(Problem::warning(code::NO_EFFECT, draft.span, message).help("use version 3"));
                Version::V2
            }
            (Some(_) | None, Family::Inet) => Version::V2,
        }
    }

    /// The priority with upstream's defaults: `state MASTER` alone makes an address owner.
    fn priority(&mut self, draft: &InstanceDraft) -> Priority {
        match (draft.priority, draft.master) {
            (Some((value, _)), _) => Priority::new(value),
            (None, Some(true)) if draft.damaged => {
                // A misspelt priority must never end in priority 255.
                let message =
                    format!("{}: state MASTER without priority beside a line that is refused", draft.name);
                let help = "write the priority";
                self.report(Problem::error(code::MISSING_KEYWORD, draft.span, message).help(help).fatal());
                Priority::new(100)
            }
            (None, Some(true)) => {
                let message = format!(
                    "{}: state MASTER without priority makes this node the address owner, priority 255",
                    draft.name
                );
                let help = "write the priority; 255 can't be lowered by any tracker";
                self.report(Problem::warning(code::DEFAULTED, draft.span, message).help(help));
                Priority::OWNER
            }
            (None, _) => Priority::new(100),
        }
    }

    fn transport(&mut self, draft: &InstanceDraft, family: Family) -> Option<Transport> {
        let source = self.source(draft, family);
        let mut peers = Vec::with_capacity(draft.peers.len());
        let mut seen = HashSet::new();
        for peer in &draft.peers {
            let address = peer.peer.address;
            if Family::of(&address) != family {
                let message = format!("{}: peer {address} is not of the instance's family", draft.name);
                self.report(Problem::error(code::WRONG_FAMILY, peer.span, message));
            } else if !seen.insert(address) {
                let message = format!("{}: peer {address} is listed twice", draft.name);
                self.report(Problem::warning(code::GIVEN_TWICE, peer.span, message));
            } else {
                peers.push(peer.peer);
            }
        }
        let asks_for_unicast =
            draft.unicast_block || draft.unicast_source.is_some() || draft.unicast_ttl.is_some();
        let unicast = !draft.peers.is_empty() || (draft.unicast_fault_no_peer && asks_for_unicast);
        let needs_interface = !unicast || source.is_none();
        if draft.interface.is_none() && needs_interface {
            let message = format!("vrrp_instance {} has no interface", draft.name);
            let help = "only an instance with unicast_peer and unicast_src_ip can do without";
            self.report(Problem::error(code::MISSING_KEYWORD, draft.span, message).help(help).fatal());
            return None;
        }
        if !unicast {
            if asks_for_unicast {
                let message =
                    format!("{}: no unicast_peer, so adverts go to the multicast group", draft.name);
                let help = "unicast_fault_no_peer makes it faulty instead";
                self.report(Problem::warning(code::NO_EFFECT, draft.span, message).help(help));
            }
            return Some(Transport::Multicast { group: self.group(draft, family)?, source });
        }
        if peers.is_empty() {
            let message = format!("{}: no unicast_peer: it stays in FAULT", draft.name);
            self.report(Problem::warning(code::NO_EFFECT, draft.span, message));
        }
        if let Some((_, span)) = draft.multicast_group {
            let message = format!("{}: mcast_dst_ip has no effect with unicast_peer", draft.name);
            self.report(Problem::warning(code::NO_EFFECT, span, message));
        }
        Some(Transport::Unicast {
            source,
            peers,
            ttl: draft.unicast_ttl.unwrap_or(255),
            group: self.group(draft, family)?,
        })
    }

    /// Group of the adverts: the instance's own, the global one of its family, or the standard's.
    fn group(&mut self, draft: &InstanceDraft, family: Family) -> Option<IpAddr> {
        let standard = VrrpGlobal::default();
        let Some((group, span)) = draft.multicast_group else {
            return Some(match family {
                Family::Inet => IpAddr::V4(self.globals.group4.unwrap_or(standard.multicast_group4)),
                Family::Inet6 => IpAddr::V6(self.globals.group6.unwrap_or(standard.multicast_group6)),
            });
        };
        let near = match group {
            IpAddr::V4(_) => true,
            // RFC 4291 section 2.7: the scope is the low half of the second byte.
            IpAddr::V6(group) => group.octets().get(1).is_some_and(|byte| byte & 0x0f == 2),
        };
        if Family::of(&group) == family && near {
            return Some(group);
        }
        let (code, what) = if near {
            (code::WRONG_FAMILY, "of its family")
        } else {
            (code::BAD_ADDRESS, "of link-local scope")
        };
        self.report(Problem::error(
            code,
            span,
            format!("{}: mcast_dst_ip {group} is not {what}", draft.name),
        ));
        None
    }

    /// Source address: the keyword of the transport in use first, the other one as upstream does.
    fn source(&mut self, draft: &InstanceDraft, family: Family) -> Option<IpAddr> {
        let (first, second) = if draft.peers.is_empty() {
            (draft.multicast_source, draft.unicast_source)
        } else {
            (draft.unicast_source, draft.multicast_source)
        };
        let (address, span) = first.or(second)?;
        if Family::of(&address) != family {
            let message = format!("{}: source address {address} is not of the instance's family", draft.name);
            self.report(Problem::error(code::WRONG_FAMILY, span, message));
            return None;
        }
        Some(address)
    }

    /// Advertised addresses, and those beyond what an advert can carry.
    fn addresses(
        &mut self,
        draft: &mut InstanceDraft,
        family: Family,
        version: Version,
    ) -> (Vec<VirtualAddress>, Vec<VirtualAddress>) {
        self.without_repeats(draft);
        let name = &draft.name;
        draft.addresses.retain(|address| {
            let ip = address.address.network.ip();
            let fits = Family::of(&ip) == family;
            if !fits {
                let message = format!("{name}: address {ip} is not of the family of the first one");
                let help = "addresses of the other family belong in virtual_ipaddress_excluded";
                self.problems.report(Problem::error(code::WRONG_FAMILY, address.span, message).help(help));
            }
            fits
        });
        if draft.addresses.is_empty() && !draft.no_virtual_ipaddress {
            let message = format!("vrrp_instance {} has no virtual_ipaddress", draft.name);
            self.report(match version {
                Version::V3 => Problem::error(code::MISSING_KEYWORD, draft.span, message).fatal(),
                Version::V2 => Problem::warning(code::DEFAULTED, draft.span, message),
            });
        }
        let listed = std::mem::take(&mut draft.addresses).into_iter();
        let mut all: Vec<VirtualAddress> = listed.map(|address| self.virtual_address(address)).collect();
        let excess = all.split_off(all.len().min(ADVERT_ADDRESSES));
        if !excess.is_empty() {
            let message = format!(
                "{}: an advert carries at most {ADVERT_ADDRESSES} addresses; {} are held but not advertised",
                draft.name,
                excess.len()
            );
            self.report(Problem::warning(code::ADJUSTED, draft.span, message));
        }
        (all, excess)
    }

    /// Drops addresses that are listed twice, the later ones.
    fn without_repeats(&mut self, draft: &mut InstanceDraft) {
        let InstanceDraft { name, addresses, excluded, .. } = draft;
        let mut seen = HashSet::with_capacity(addresses.len().saturating_add(excluded.len()));
        for list in [addresses, excluded] {
            list.retain(|address| {
                let first = seen.insert((address.address.network.ip(), address.address.interface.clone()));
                if !first {
                    let message = format!("{name}: address {} is listed twice", address.address.network.ip());
                    self.problems.report(Problem::warning(code::GIVEN_TWICE, address.span, message));
                }
                first
            });
        }
    }

    fn preempt(&mut self, draft: &InstanceDraft, wants_master: bool, priority: Priority) -> Preempt {
        let owner = priority == Priority::OWNER;
        let mut no_effect = |span: Span, what: &str, why: &str| {
            let message = format!("{}: {what} has no effect with {why}", draft.name);
            self.report(Problem::warning(code::NO_EFFECT, span, message));
        };
        let nopreempt = match draft.nopreempt {
            Some(span) if owner => {
                no_effect(span, "nopreempt", "priority 255");
                None
            }
            Some(span) if wants_master => {
                no_effect(span, "nopreempt", "state MASTER");
                None
            }
            other => other,
        };
        match draft.preempt_delay {
            Some((_, span)) if wants_master => {
                no_effect(span, "preempt_delay", "state MASTER");
                if nopreempt.is_some() { Preempt::Never } else { Preempt::After(Duration::ZERO) }
            }
            Some((_, span)) if nopreempt.is_some() => {
                no_effect(span, "preempt_delay", "nopreempt");
                Preempt::Never
            }
            Some((delay, _)) => Preempt::After(delay),
            None if nopreempt.is_some() => Preempt::Never,
            None => Preempt::After(Duration::ZERO),
        }
    }

    /// Only a router that leaves a lower Master alone is kept from taking the addresses back at once.
    fn timer_expired_backup(&mut self, draft: &InstanceDraft, preempt: Preempt) -> Option<Priority> {
        let (priority, span) = draft.timer_expired_backup?;
        if preempt == Preempt::Never {
            return Some(Priority::new(priority));
        }
        let message = format!("{}: timer_expired_backup has no effect without nopreempt", draft.name);
        self.report(Problem::warning(code::NO_EFFECT, span, message));
        None
    }

    /// Rounded to what the wire can carry: whole seconds in version 2, hundredths in version 3.
    fn advert_interval(&mut self, draft: &InstanceDraft, version: Version) -> Option<AdvertInterval> {
        let Some((written, span)) = draft.advert_int else {
            return AdvertInterval::from_centiseconds(100).ok();
        };
        let micros = written.as_micros();
        let (centiseconds, unit) = match version {
            Version::V2 => {
                let seconds = micros.saturating_add(500_000) / 1_000_000;
                (seconds.clamp(1, 255).saturating_mul(100), "whole seconds 1..=255")
            }
            Version::V3 => {
                let rounded = micros.saturating_add(5_000) / 10_000;
                (rounded.clamp(1, u128::from(AdvertInterval::V3_MAX)), "hundredths of a second up to 40.95")
            }
        };
        let interval = AdvertInterval::from_centiseconds(u16::try_from(centiseconds).ok()?).ok()?;
        if interval.duration() != written {
            let shown = crate::schema::shown_seconds(interval.duration());
            let message = format!("{}: advert_int is taken as {shown} s: adverts carry {unit}", draft.name);
            self.report(Problem::warning(code::ADJUSTED, span, message));
        }
        Some(interval)
    }

    /// When addresses are announced, with these settings of their own.
    pub(super) fn announce(&self, own: &GarpDraft) -> Announce {
        let all = &self.globals.garp;
        let reduced = |normal: u32, least: u32| if self.globals.min_garp { least } else { normal };
        let delay = all.delay.unwrap_or_else(|| reduced(5, 0));
        let repeat = all.repeat.unwrap_or_else(|| reduced(5, 1));
        let seconds = |value: u32| Duration::from_secs(u64::from(value));
        let extra = own.extra.or(all.extra).filter(|(_, which)| *which == Extra::All);
        Announce {
            delay: seconds(own.delay.unwrap_or(delay)),
            repeat: own.repeat.unwrap_or(repeat),
            refresh: seconds(own.refresh.or(all.refresh).unwrap_or(0)),
            refresh_repeat: own.refresh_repeat.or(all.refresh_repeat).unwrap_or(1),
            lower_priority_delay: seconds(own.lower_prio_delay.or(all.lower_prio_delay).unwrap_or(delay)),
            lower_priority_repeat: own.lower_prio_repeat.or(all.lower_prio_repeat).unwrap_or(repeat),
            extra: seconds(extra.map_or(0, |(interval, _)| interval)),
        }
    }

    fn track_interfaces(&mut self, draft: &InstanceDraft) -> Vec<TrackInterface> {
        let mut out: Vec<TrackInterface> = Vec::with_capacity(draft.track_interfaces.len());
        let mut seen = HashSet::new();
        for line in &draft.track_interfaces {
            let name = &line.name.text;
            if draft.interface.as_ref().is_some_and(|own| own.text == *name) {
                let message = format!("{}: {name} is its own interface, which is tracked anyway", draft.name);
                self.report(Problem::warning(code::NO_EFFECT, line.name.span, message));
            } else if !seen.insert(name.as_str()) {
                let message = format!("{}: {name} is tracked twice", draft.name);
                self.report(Problem::warning(code::GIVEN_TWICE, line.name.span, message));
            } else {
                out.push(TrackInterface {
                    interface: name.clone(),
                    weight: line.weight.unwrap_or(0),
                    reverse: line.reverse.unwrap_or(false),
                });
            }
        }
        out
    }
}

fn checksum(draft: &InstanceDraft, globals: &GlobalDraft) -> ChecksumRule {
    match draft.old_unicast_checksum {
        _ if draft.v3_checksum_as_v2.unwrap_or(globals.v3_checksum_as_v2) => ChecksumRule::NoPseudoHeader,
        Some(true) => ChecksumRule::OldUnicast,
        Some(false) => ChecksumRule::Standard,
        None => ChecksumRule::Detect,
    }
}

/// Family of the first address that tells it.
fn family(draft: &InstanceDraft) -> Family {
    if draft.native_ipv6 {
        return Family::Inet6;
    }
    let vip = draft.addresses.first().map(|address| address.address.network.ip());
    let source =
        draft.multicast_source.or(draft.unicast_source).or(draft.multicast_group).map(|(address, _)| address);
    let peer = draft.peers.first().map(|peer| peer.peer.address);
    vip.or(source).or(peer).map_or(Family::Inet, |address| Family::of(&address))
}
