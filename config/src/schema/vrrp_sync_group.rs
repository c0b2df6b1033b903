//! `vrrp_sync_group`: instances that change state together, what all of them track, and who is told.

use super::*;
use crate::schema::list;

/// `vrrp_sync_group` as written.
#[derive(Debug)]
pub(crate) struct SyncGroupDraft {
    pub(crate) name: Named,
    pub(crate) members: Vec<Named>,
    pub(crate) tracking_weight: bool,
    pub(crate) track_interfaces: Vec<TrackDraft>,
    pub(crate) track_scripts: Vec<TrackDraft>,
    pub(crate) track_files: Vec<TrackDraft>,
    pub(crate) track_processes: Vec<TrackDraft>,
    pub(crate) notify: NotifyDraft,
}

impl notify::Told for SyncGroupDraft {
    fn notify(&mut self) -> &mut NotifyDraft {
        &mut self.notify
    }
}

/// Reads one block.
pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.name(line) else { return };
    lowering.end(line, 2);
    let mut group = SyncGroupDraft {
        name: Named::of(name),
        members: Vec::new(),
        tracking_weight: false,
        track_interfaces: Vec::new(),
        track_scripts: Vec::new(),
        track_files: Vec::new(),
        track_processes: Vec::new(),
        notify: NotifyDraft::default(),
    };
    lowering.block("vrrp_sync_group", line, TABLE, &mut group);
    draft.sync_groups.push(group);
}

fn group(draft: &mut SyncGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let members = &mut draft.members;
    lowering.entries(line, |_, line| members.extend(line.words.iter().map(|word| Named::of(*word))));
}

fn track_interface(draft: &mut SyncGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_interfaces;
    lowering
        .entries(line, |lowering, line| tracked.extend(list::tracked(lowering, line, list::Reach::Priority)));
}

fn track_script(draft: &mut SyncGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_scripts;
    lowering
        .entries(line, |lowering, line| tracked.extend(list::tracked(lowering, line, list::Reach::Priority)));
}

fn track_file(draft: &mut SyncGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_files;
    lowering.entries(line, |lowering, line| {
        tracked.extend(list::tracked(lowering, line, list::Reach::Factor));
    });
}

fn track_process(draft: &mut SyncGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_processes;
    lowering.entries(line, |lowering, line| {
        tracked.extend(list::tracked(lowering, line, list::Reach::Priority));
    });
}

fn tracking_weight(draft: &mut SyncGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.tracking_weight = true;
}

/// Keywords of `vrrp_sync_group`.
pub(super) static TABLE: &[Row<SyncGroupDraft>] = &[
    active("group", group),
    active("track_interface", track_interface),
    active("track_script", track_script),
    active("track_file", track_file),
    active("track_process", track_process),
    refused("track_bfd", Shape::Lines(&vocabulary::TRACK), "the session would not change who is Master"),
    active("notify_backup", notify::backup).first_counts(),
    active("notify_master", notify::master).first_counts(),
    active("notify_fault", notify::fault).first_counts(),
    active("notify_stop", notify::stop).first_counts(),
    active("notify", notify::any).first_counts(),
    active("smtp_alert", notify::mail).or_default(),
    active("global_tracking", tracking_weight).old_for("sync_group_tracking_weight"),
    active("sync_group_tracking_weight", tracking_weight),
    active("notify_priority_changes", notify::priority_changes).or_default(),
];
