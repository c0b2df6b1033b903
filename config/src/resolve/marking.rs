//! Groups whose addresses nftables marks (`nftables_ipvs`): which they are, and the mark of each virtual server.
//!
//! A group that has marks of its own is served by its addresses, as in keepalived. Marks are given in the order of the
//! file; ipvsd lets a virtual server keep the one that it has over a reload.

use std::collections::HashSet;

use super::Context;
use crate::diagnostic::{Problem, code};
use crate::model::check::VirtualServer;
use crate::model::ipvs::{AddressRange, MarkTable, Protocol, ServiceKey};
use crate::schema::{GROUP_ADDRESSES, GROUP_LINES, GroupDraft, GroupEntry};
use crate::text::Span;

/// How the virtual servers of a group stand in the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marking {
    /// By each of its addresses and marks.
    None,
    /// By one mark, which nftables gives to its addresses.
    ByNftables,
}

/// The address lines of a group.
pub(super) fn ranges(group: &GroupDraft) -> Vec<AddressRange> {
    let range = |entry: &GroupEntry| match *entry {
        GroupEntry::Addresses { first, last, port } => Some(AddressRange { first, last, port }),
        GroupEntry::Mark { .. } => None,
    };
    group.entries.iter().filter_map(range).collect()
}

/// The first address of each line.
pub(super) fn firsts(group: &GroupDraft, protocol: Protocol) -> Vec<ServiceKey> {
    let key = |range: AddressRange| ServiceKey::Address { address: range.first, port: range.port, protocol };
    ranges(group).into_iter().map(key).collect()
}

impl Context<'_> {
    /// The table that marks, with what is not written taken as keepalived takes it.
    pub(super) fn mark_table(&self) -> Option<MarkTable> {
        let draft = &self.globals.marks;
        Some(MarkTable {
            name: draft.table.clone()?,
            priority: draft.priority.unwrap_or(-1),
            first: draft.first.unwrap_or(1000),
            counters: draft.counters,
        })
    }

    /// How a group is served; tells when it is too long for that.
    pub(super) fn marking(&mut self, group: &GroupDraft) -> Marking {
        let by_mark = group.entries.iter().any(|entry| matches!(entry, GroupEntry::Mark { .. }));
        if self.globals.marks.table.is_some() && !by_mark && group.entries.len() < GROUP_LINES {
            return Marking::ByNftables;
        }
        if let Some(span) = group.too_long {
            let message = format!("{} holds more than {GROUP_ADDRESSES} entries", group.name.text);
            self.report(Problem::error(code::OUT_OF_RANGE, span, message).fatal());
        }
        Marking::None
    }

    /// Gives marks that nothing else in the file uses. `spans` are the places of the virtual servers.
    pub(super) fn mark(&mut self, services: &mut [VirtualServer], spans: &[Span]) {
        let Some(table) = self.mark_table() else { return };
        self.tell_overlaps(services, spans);
        let keys = services.iter().flat_map(|service| &service.keys);
        let own = keys.filter_map(|key| match key {
            ServiceKey::Mark { mark, .. } => Some(*mark),
            ServiceKey::Address { .. } => None,
        });
        let taken: HashSet<u32> = own.collect();
        let mut free = (table.first..=u32::MAX).filter(|mark| !taken.contains(mark));
        for (service, span) in services.iter_mut().zip(spans) {
            let Some(marked) = &mut service.marked else { continue };
            match free.next() {
                Some(mark) => marked.mark = mark,
                None => {
                    let message = format!("{}: no mark is left", service.name);
                    self.report(Problem::error(code::OUT_OF_RANGE, *span, message));
                }
            }
        }
    }

    /// The kernel takes no two ranges of which a packet could mean both.
    fn tell_overlaps(&mut self, services: &[VirtualServer], spans: &[Span]) {
        let mut all: Vec<(Protocol, AddressRange, usize)> = Vec::new();
        for (position, service) in services.iter().enumerate() {
            let Some(marked) = &service.marked else { continue };
            all.extend(marked.ranges.iter().map(|range| (marked.protocol, *range, position)));
        }
        all.sort_unstable_by_key(|(protocol, range, _)| (*protocol, range.port, range.first));
        let any: Vec<(Protocol, AddressRange)> = all
            .iter()
            .filter(|(_, range, _)| range.port == 0)
            .map(|(protocol, range, _)| (*protocol, *range))
            .collect();
        let mut before: Option<(Protocol, AddressRange)> = None;
        for (protocol, range, position) in all {
            let same = before.filter(|(other, last)| *other == protocol && last.port == range.port);
            let twice = same.is_some_and(|(_, last)| range.first <= last.last)
                || (range.port != 0 && meets(&any, protocol, &range));
            if twice {
                let name = services.get(position).map_or("", |service| service.name.as_str());
                let message = format!("{name}: {}-{} is marked twice", range.first, range.last);
                let span = spans.get(position).copied().unwrap_or_default();
                self.report(Problem::error(code::DUPLICATE, span, message));
            }
            let reaches = same.map_or(range.last, |(_, last)| last.last.max(range.last));
            before = Some((protocol, AddressRange { last: reaches, ..range }));
        }
    }
}

/// One of the ranges without port, which are sorted, has an address of this one.
fn meets(any: &[(Protocol, AddressRange)], protocol: Protocol, range: &AddressRange) -> bool {
    let end = any.partition_point(|(other, known)| (*other, known.first) <= (protocol, range.last));
    let last = end.checked_sub(1).and_then(|at| any.get(at));
    last.is_some_and(|(other, known)| *other == protocol && known.last >= range.first)
}
