//! Scripts that follow a state: the same keywords in `vrrp_instance` and `vrrp_sync_group`.

use super::*;

/// The scripts of an instance or a group as written.
#[derive(Debug, Default)]
pub(crate) struct NotifyDraft {
    pub(crate) master: Option<Command>,
    pub(crate) backup: Option<Command>,
    pub(crate) fault: Option<Command>,
    pub(crate) stop: Option<Command>,
    pub(crate) any: Option<Command>,
    pub(crate) deleted: Option<Command>,
    /// `notify_deleted` is there, with or without a script.
    pub(crate) tells_deleted: bool,
    pub(crate) lower_priority: Option<Command>,
    pub(crate) priority_changes: Option<bool>,
    pub(crate) mail: Option<bool>,
}

/// A block whose state is told.
pub(super) trait Told {
    /// Its scripts.
    fn notify(&mut self) -> &mut NotifyDraft;
}

pub(super) fn master<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().master = lowering.command(line);
}

pub(super) fn backup<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().backup = lowering.command(line);
}

pub(super) fn fault<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().fault = lowering.command(line);
}

pub(super) fn stop<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().stop = lowering.command(line);
}

pub(super) fn any<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().any = lowering.command(line);
}

/// Without a script it only says which word is told.
pub(super) fn deleted<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().tells_deleted = true;
    if line.text.trim_end().len() > line.keyword().len() {
        draft.notify().deleted = lowering.command(line);
    }
}

pub(super) fn lower_priority<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().lower_priority = lowering.command(line);
}

pub(super) fn priority_changes<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().priority_changes = lowering.boolean(line, 1);
}

pub(super) fn mail<B: Told>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify().mail = lowering.boolean(line, 1);
}
