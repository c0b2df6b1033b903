//! Keywords of `global_defs` that concern the named pipes, by which changes of state are told.

use super::*;

/// A named pipe as written.
#[derive(Debug, Default)]
pub(crate) struct FifoDraft {
    pub(crate) path: Option<Named>,
    pub(crate) owner: Option<UserWords>,
    pub(crate) script: Option<Command>,
}

fn fifo_path(draft: &mut FifoDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(path) = lowering.required(line, 1, "a path") else { return };
    if !path.text.starts_with('/') {
        lowering.error(code::BAD_TEXT, path.span, "a FIFO needs an absolute path");
        return;
    }
    draft.path = Some(Named::of(path));
    draft.owner = lowering.user(line, 2);
}

pub(super) fn notify_fifo(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    fifo_path(&mut draft.fifo, lowering, line);
}

pub(super) fn notify_fifo_script(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.fifo.script = lowering.command(line);
}

pub(super) fn vrrp_notify_fifo(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    fifo_path(&mut draft.vrrp_fifo, lowering, line);
}

pub(super) fn vrrp_notify_fifo_script(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.vrrp_fifo.script = lowering.command(line);
}

pub(super) fn lvs_notify_fifo(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    fifo_path(&mut draft.lvs_fifo, lowering, line);
}

pub(super) fn lvs_notify_fifo_script(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lvs_fifo.script = lowering.command(line);
}

pub(super) fn fifo_states(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.fifo_states = true;
}

pub(super) fn notify_priority_changes(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify_priority_changes = lowering.boolean(line, 1).unwrap_or(false);
}
