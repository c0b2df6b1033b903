//! `virtual_server_group` drafts: what the virtual servers that use them stand for.
//!
//! Decides which addresses and marks a group has and who uses it; how it is marked is [`super::marking`]'s. Called by
//! [`super::service`] with what the operator wrote.

use std::collections::HashMap;

use super::Context;
use super::marking::Marking;
use crate::diagnostic::{Problem, code};
use crate::model::ipvs::{Protocol, ServiceKey, addresses};
use crate::model::vrrp::Family;
use crate::schema::{GroupDraft, GroupEntry, ServiceDraft, ServiceTarget};

/// A group, until all virtual servers that use it are known.
pub(super) struct Group {
    pub(super) draft: GroupDraft,
    /// At least one does.
    pub(super) used: bool,
    /// Several virtual servers use it.
    pub(super) is_shared: bool,
    pub(super) marking: Marking,
}

impl Context<'_> {
    /// Groups by their names, with what those who use them have to know.
    pub(super) fn groups(
        &mut self,
        services: &[ServiceDraft],
        drafts: Vec<GroupDraft>,
    ) -> HashMap<String, Group> {
        let mut users: HashMap<&str, usize> = HashMap::new();
        for service in services {
            if let ServiceTarget::Group(name) = &service.target {
                let count = users.entry(&name.text).or_default();
                *count = count.saturating_add(1);
            }
        }
        let mut known: HashMap<String, Group> = HashMap::with_capacity(drafts.len());
        for draft in drafts {
            let name = draft.name.text.clone();
            if known.contains_key(&name) {
                let message = format!("virtual_server_group {name} is defined twice");
                self.report(Problem::error(code::DUPLICATE, draft.name.span, message));
                continue;
            }
            let is_shared = users.get(name.as_str()).is_some_and(|count| *count > 1);
            let marking = self.marking(&draft);
            known.insert(name, Group { draft, used: false, is_shared, marking });
        }
        known
    }

    /// Those that nobody uses were written for a purpose.
    pub(super) fn unused_groups(&mut self, known: HashMap<String, Group>) {
        let mut unused: Vec<GroupDraft> =
            known.into_values().filter(|group| !group.used).map(|group| group.draft).collect();
        unused.sort_by(|a, b| a.name.text.cmp(&b.name.text));
        for group in unused {
            let message = format!("virtual_server_group {} is used by no virtual_server", group.name.text);
            self.report(Problem::warning(code::UNUSED, group.name.span, message));
        }
    }
}

/// Every address and mark of a group; `family` is that of marks which don't tell theirs.
pub(super) fn group_keys(group: &GroupDraft, protocol: Protocol, family: Family) -> Vec<ServiceKey> {
    let mut keys = Vec::with_capacity(group.entries.len());
    for entry in &group.entries {
        match entry {
            GroupEntry::Addresses { first, last, port } => {
                keys.extend(addresses(*first, *last).map(|address| ServiceKey::Address {
                    address,
                    port: *port,
                    protocol,
                }))
            }
            GroupEntry::Mark { mark, family: own } => {
                keys.push(ServiceKey::Mark { mark: *mark, family: own.unwrap_or(family) });
            }
        }
    }
    keys
}
