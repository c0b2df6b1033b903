//! `auth_hmac` of a `vrrp_instance`.

use super::*;
use crate::model::hmac::{AntiReplay, HmacMode};

/// `auth_hmac` as written.
#[derive(Debug, Default)]
pub(crate) struct HmacDraft {
    pub(crate) span: Span,
    pub(crate) keys: Vec<KeyText>,
    pub(crate) active: Option<(u8, Span)>,
    pub(crate) window: Option<u16>,
    pub(crate) anti_replay: Option<AntiReplay>,
    pub(crate) mode: Option<(HmacMode, Span)>,
}

/// One `key` as written.
pub(crate) struct KeyText {
    pub(crate) id: u8,
    pub(crate) value: String,
    pub(crate) span: Span,
}

impl std::fmt::Debug for KeyText {
    /// Never shows the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyText").field("id", &self.id).finish_non_exhaustive()
    }
}

fn key(draft: &mut HmacDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let id: Option<u8> = lowering.unsigned(line, 1, 1, 255);
    let value = lowering.required(line, 2, "a key");
    lowering.end(line, 3);
    let (Some(id), Some(value)) = (id, value) else { return };
    if draft.keys.iter().any(|key| key.id == id) {
        let problem = Problem::error(code::DUPLICATE, line.span, format!("auth_hmac has two keys {id}"));
        lowering.report(problem.fatal());
        return;
    }
    draft.keys.push(KeyText { id, value: value.text.to_owned(), span: line.keyword_span() });
}

fn active_key(draft: &mut HmacDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.active = lowering.unsigned(line, 1, 1, 255).map(|id| (id, line.span));
    lowering.end(line, 2);
}

fn time_window(draft: &mut HmacDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.window = lowering.unsigned(line, 1, 1, 300);
    lowering.end(line, 2);
}

fn anti_replay(draft: &mut HmacDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.anti_replay = lowering
        .choice(line, 1, &["time", "monotonic"])
        .map(|index| if index == 0 { AntiReplay::Time } else { AntiReplay::Monotonic });
    lowering.end(line, 2);
}

fn mode(draft: &mut HmacDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let mode = match lowering.choice(line, 1, &["enforce", "permissive", "receive-only"]) {
        Some(0) => HmacMode::Enforce,
        Some(1) => HmacMode::Permissive,
        Some(_) => HmacMode::ReceiveOnly,
        None => return,
    };
    draft.mode = Some((mode, line.span));
    lowering.end(line, 2);
}

/// Keywords of `auth_hmac`.
pub(super) static TABLE: &[Row<HmacDraft>] = &[
    active("key", key),
    active("active_key", active_key),
    active("time_window", time_window),
    active("anti_replay", anti_replay),
    active("mode", mode),
];
