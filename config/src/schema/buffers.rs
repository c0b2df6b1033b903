//! Keywords of receive buffers in `global_defs`.

use super::*;
use crate::model::buffers::{Buffer, Queue};

const MOST: i64 = 4_294_967_295;

fn bytes(buffer: &mut Buffer, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    // 0 is what the system thinks fit.
    buffer.bytes = lowering.unsigned(line, 1, 0, MOST).filter(|bytes| *bytes > 0);
    lowering.end(line, 2);
}

fn forced(buffer: &mut Buffer, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    buffer.forced = lowering.boolean(line, 1).unwrap_or(false);
}

pub(super) fn requests(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    bytes(&mut draft.buffers.requests, lowering, line);
}

pub(super) fn requests_forced(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    forced(&mut draft.buffers.requests, lowering, line);
}

pub(super) fn events(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    bytes(&mut draft.buffers.events, lowering, line);
}

pub(super) fn events_forced(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    forced(&mut draft.buffers.events, lowering, line);
}

pub(super) fn processes(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    bytes(&mut draft.process_buffer, lowering, line);
}

pub(super) fn processes_forced(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    forced(&mut draft.process_buffer, lowering, line);
}

pub(super) fn policy(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "MTU, ADVERT or bytes") else { return };
    lowering.end(line, 2);
    draft.buffers.adverts = match word.text {
        "MTU" => Some(Queue::Mtu),
        "ADVERT" => Some(Queue::Advert),
        _ => lowering.unsigned(line, 1, 0, MOST).filter(|bytes| *bytes > 0).map(Queue::Bytes),
    };
}

pub(super) fn multiplier(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(count) = lowering.unsigned::<u32>(line, 1, 0, MOST) {
        draft.buffers.multiplier = count.max(1);
    }
    lowering.end(line, 2);
}
