//! `static_ipaddress`, `static_routes` and `track_group`.

use super::*;

/// What follows no instance, as written.
#[derive(Debug, Default)]
pub(crate) struct StaticsDraft {
    pub(crate) addresses: Vec<AddressDraft>,
    pub(crate) routes: Vec<RouteDraft>,
    pub(crate) groups: Vec<TrackGroupDraft>,
}

/// `track_group` as written.
#[derive(Debug, Default)]
pub(crate) struct TrackGroupDraft {
    pub(crate) name: Option<Named>,
    pub(crate) members: Vec<Named>,
}

pub(super) fn addresses(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let place = virtual_address::Place::Static;
    let addresses = &mut draft.statics.addresses;
    lowering.entries(line, |lowering, line| addresses.extend(virtual_address::read(lowering, line, place)));
}

pub(super) fn routes(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let routes = &mut draft.statics.routes;
    lowering.entries(line, |lowering, line| {
        routes.extend(virtual_route::read(lowering, line, &vocabulary::STATIC_ROUTE));
    });
}

pub(super) fn track_group(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.name(line) else { return };
    lowering.end(line, 2);
    let mut group = TrackGroupDraft { name: Some(Named::of(name)), members: Vec::new() };
    lowering.block("track_group", line, TRACK_GROUP, &mut group);
    draft.statics.groups.push(group);
}

fn members(draft: &mut TrackGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let members = &mut draft.members;
    lowering.entries(line, |_, line| members.extend(line.words.iter().map(|word| Named::of(*word))));
}

/// Keywords of `track_group`.
pub(super) static TRACK_GROUP: &[Row<TrackGroupDraft>] = &[active("group", members)];
