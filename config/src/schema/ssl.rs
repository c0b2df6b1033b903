//! `SSL`: what SSL_GET shows to servers that ask, and whom it trusts.

use super::*;

/// `SSL` as written.
#[derive(Debug, Default)]
pub(crate) struct SslDraft {
    pub(crate) span: Span,
    pub(crate) password: Option<Named>,
    pub(crate) ca: Option<Named>,
    pub(crate) certificate: Option<Named>,
    pub(crate) key: Option<Named>,
}

pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    let ssl = draft.ssl.get_or_insert_default();
    ssl.span = line.span;
    lowering.block("SSL", line, TABLE, ssl);
}

/// The path behind a keyword.
pub(super) fn path(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Named> {
    let path = lowering.required(line, 1, "a path").map(Named::of);
    lowering.end(line, 2);
    path
}

fn password(draft: &mut SslDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.password = lowering.required(line, 1, "a password").map(Named::of);
    lowering.end(line, 2);
}

fn ca(draft: &mut SslDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.ca = path(lowering, line);
}

fn certificate(draft: &mut SslDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.certificate = path(lowering, line);
}

fn key(draft: &mut SslDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.key = path(lowering, line);
}

/// Keywords of `SSL`.
pub(super) static TABLE: &[Row<SslDraft>] =
    &[active("password", password), active("ca", ca), active("certificate", certificate), active("key", key)];
