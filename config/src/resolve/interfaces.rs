//! Interfaces that a configuration names and this machine doesn't have.
//!
//! That is no error: a bond, a VLAN or a tunnel may come later, and whoever needs it waits in FAULT. It is told once for
//! each interface, unless `dynamic_interfaces` says that it is meant, or the daemons run in another namespace, whose
//! interfaces nobody knows here.

use std::collections::HashSet;

use super::Context;
use crate::diagnostic::{Problem, code};
use crate::schema::{GarpGroupDraft, InstanceDraft, StaticsDraft};
use crate::text::Span;

/// Which interfaces were told.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    /// Nothing is told.
    silent: bool,
    told: HashSet<String>,
}

impl Interfaces {
    pub(super) fn new(silent: bool) -> Self {
        Self { silent, told: HashSet::new() }
    }
}

impl Context<'_> {
    /// Tells of what is missing for announcements and static items.
    pub(super) fn missing_interfaces(&mut self, groups: &[GarpGroupDraft], statics: &StaticsDraft) {
        for group in groups {
            for interface in &group.interfaces {
                self.needs_interface(&interface.text, interface.span, "garp_group");
            }
        }
        for address in &statics.addresses {
            if let Some(interface) = &address.address.interface {
                self.needs_interface(interface, address.span, "a static address");
            }
        }
        for route in &statics.routes {
            if let Some(interface) = &route.route.interface {
                self.needs_interface(interface, route.span, "a static route");
            }
        }
    }

    /// Tells of what is missing for an instance.
    pub(super) fn missing_interfaces_of(&mut self, draft: &InstanceDraft) {
        let name = &draft.name;
        if let Some(interface) = &draft.interface {
            self.needs_interface(&interface.text, interface.span, &format!("vrrp_instance {name}"));
        }
        for line in &draft.track_interfaces {
            self.needs_interface(&line.name.text, line.name.span, &format!("track_interface of {name}"));
        }
        for address in draft.addresses.iter().chain(&draft.excluded) {
            if let Some(interface) = &address.address.interface {
                self.needs_interface(interface, address.span, &format!("an address of {name}"));
            }
        }
        for route in &draft.routes {
            if let Some(interface) = &route.route.interface {
                self.needs_interface(interface, route.span, &format!("a route of {name}"));
            }
        }
    }

    fn needs_interface(&mut self, interface: &str, span: Span, user: &str) {
        let silent = self.interfaces.silent || self.globals.dynamic_interfaces;
        if silent || self.names.interface(interface) || !self.interfaces.told.insert(interface.to_owned()) {
            return;
        }
        let message = format!("interface {interface} for {user} doesn't exist");
        self.report(Problem::warning(code::INTERFACE_ABSENT, span, message));
    }
}
