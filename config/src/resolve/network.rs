//! Addresses and routes: names into numbers, and what belongs to no instance.
//!
//! Called by [`super::instance`] and [`super::resolve`] with what the operator wrote. Whether the kernel takes it is
//! vrrpd's to find out.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::diagnostic::{Problem, code};
use crate::model::Model;
use crate::model::network::{Statics, TrackGroup};
use crate::model::units::InstanceId;
use crate::model::vrrp::{VirtualAddress, VirtualRoute};
use crate::numbers::{ETC_DIRECTORY, NumberTable, USR_DIRECTORY};
use crate::schema::{AddressDraft, Named, Numbered, RouteDraft, StaticsDraft, TrackGroupDraft};

/// Number of routes that keepalived makes (rt_protos).
const OWN_PROTOCOL: u8 = 18;

/// Where static addresses go that name no interface, without `default_interface`.
const DEFAULT_INTERFACE: &str = "eth0";

/// Resolves what follows no instance; instances are resolved already.
pub(super) fn statics(context: &mut Context<'_>, draft: StaticsDraft, model: &Model) -> Statics {
    let groups = groups(context, draft.groups, model);
    let mut statics = Statics::default();
    let mut seen = HashSet::new();
    for address in draft.addresses {
        let (span, group) = (address.span, address.group.clone());
        let mut address = context.virtual_address(address);
        let ip = address.network.ip();
        if address.interface.is_none() {
            let default = context.globals.default_interface.clone().unwrap_or_else(|| {
                let message = format!("static address {ip} names no interface: {DEFAULT_INTERFACE} is used");
                let problem = Problem::warning(code::DEFAULTED, span, message);
                context.report(problem.help("add dev, or default_interface to global_defs"));
                DEFAULT_INTERFACE.to_owned()
            });
            address.interface = Some(default);
        }
        if !seen.insert((ip, address.interface.clone())) {
            let message = format!("static address {ip} is listed twice");
            context.report(Problem::warning(code::GIVEN_TWICE, span, message));
        } else {
            statics.address_groups.push(group.and_then(|name| position(context, &groups, &name)));
            statics.addresses.push(address);
        }
    }
    for route in draft.routes {
        let group = route.group.clone();
        let Some(route) = context.virtual_route(route) else { continue };
        statics.route_groups.push(group.and_then(|name| position(context, &groups, &name)));
        statics.routes.push(route);
    }
    statics.groups = groups;
    statics
}

fn groups(context: &mut Context<'_>, drafts: Vec<TrackGroupDraft>, model: &Model) -> Vec<TrackGroup> {
    let instances: HashMap<&str, InstanceId> = model
        .instances
        .iter()
        .zip(0..)
        .map(|(known, id)| (known.name.as_str(), InstanceId::new(id)))
        .collect();
    let mut groups: Vec<TrackGroup> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let Some(name) = draft.name else { continue };
        if groups.iter().any(|group| group.name == name.text) {
            let message = format!("track_group {} is defined twice", name.text);
            context.report(Problem::error(code::DUPLICATE, name.span, message));
            continue;
        }
        let mut members = Vec::with_capacity(draft.members.len());
        for member in draft.members {
            match instances.get(member.text.as_str()) {
                Some(id) => members.push(*id),
                None => {
                    let message = format!("{}: there is no vrrp_instance {}", name.text, member.text);
                    context.report(Problem::warning(code::NO_EFFECT, member.span, message));
                }
            }
        }
        groups.push(TrackGroup { name: name.text, members });
    }
    groups
}

fn position(context: &mut Context<'_>, groups: &[TrackGroup], name: &Named) -> Option<u32> {
    let found = groups.iter().position(|group| group.name == name.text);
    if found.is_none() {
        let message = format!("there is no track_group {}", name.text);
        context.report(Problem::warning(code::NO_EFFECT, name.span, message));
    }
    u32::try_from(found?).ok()
}

impl Context<'_> {
    pub(super) fn virtual_address(&mut self, draft: AddressDraft) -> VirtualAddress {
        let mut address = draft.address;
        address.scope = self.byte(draft.scope.as_ref()).unwrap_or(0);
        address
    }

    /// A route without names; `None` when one of them is unknown.
    pub(super) fn virtual_route(&mut self, draft: RouteDraft) -> Option<VirtualRoute> {
        let problems = self.problems.faults();
        let mut route = draft.route;
        if let Some(table) = &draft.table {
            route.table = self.number(table).unwrap_or(0);
        }
        route.scope = self.byte(draft.scope.as_ref()).unwrap_or(0);
        route.tos = self.byte(draft.tos.as_ref()).unwrap_or(0);
        if let Some((source, destination)) = &draft.realms {
            let source = source.as_ref().and_then(|source| self.number(source)).unwrap_or(0);
            let destination = self.number(destination).unwrap_or(0);
            route.realms = Some((u16::try_from(source).ok()?, u16::try_from(destination).ok()?));
        }
        if let Some(protocol) = self.byte(draft.protocol.as_ref()) {
            if protocol == OWN_PROTOCOL || route.no_track {
                route.protocol = protocol;
            } else {
                let message =
                    format!("protocol {protocol} is taken as {OWN_PROTOCOL}: others can't be tracked");
                let problem = Problem::warning(code::ADJUSTED, draft.span, message);
                self.report(problem.help("add no_track to keep it"));
            }
        }
        if route.interface.is_none() && !route.no_track {
            let message =
                format!("cannot track route {} with no interface specified, not tracking", route.destination);
            let problem = Problem::warning(code::NO_EFFECT, draft.span, message);
            self.report(problem.help("name the interface with dev, or add no_track"));
        }
        (problems == self.problems.faults()).then_some(route)
    }

    fn byte(&mut self, numbered: Option<&Numbered>) -> Option<u8> {
        u8::try_from(self.number(numbered?)?).ok()
    }

    fn number(&mut self, numbered: &Numbered) -> Option<u32> {
        let (table, name) = match numbered {
            Numbered::Number(number) => return Some(*number),
            Numbered::Name(table, name) => (*table, name),
        };
        let etc = self.globals.iproute_etc.as_deref().unwrap_or(ETC_DIRECTORY);
        let usr = self.globals.iproute_usr.as_deref().unwrap_or(USR_DIRECTORY);
        let found = self.names.number(table, &name.text, &[etc, usr]);
        if found.is_none() {
            let what = match table {
                NumberTable::Scopes => "scope",
                NumberTable::Tables => "routing table",
                NumberTable::Protocols => "routing protocol",
                NumberTable::Realms => "realm",
                NumberTable::ServiceTypes => "type of service",
            };
            let message = format!("there is no {what} {} in {etc}/{} or {usr}", name.text, table.file());
            self.report(Problem::error(code::UNDEFINED_NAME, name.span, message));
        }
        found
    }
}
