//! `SMTP_CHECK`.

use super::*;

/// `SMTP_CHECK` as written.
#[derive(Debug, Default)]
pub(crate) struct SmtpDraft {
    pub(crate) helo_name: Option<String>,
    /// `host` blocks, whose kind says nothing.
    pub(crate) hosts: Vec<CheckDraft>,
}

/// Reads an `SMTP_CHECK`.
pub(in crate::schema) fn smtp_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "SMTP_CHECK", CheckerKind::Smtp(Box::default()), &SMTP_CHECK);
}

fn helo_name(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a host name") else { return };
    lowering.end(line, 2);
    if word.text.chars().any(|c| c.is_control() || c == ' ') || word.text.is_empty() {
        lowering.error(code::BAD_TEXT, word.span, format!("'{}' can't be a host name", word.text));
    } else if let Some(smtp) = draft.smtp() {
        smtp.helo_name = Some(word.text.to_owned());
    }
}

fn host(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    let mut host = CheckDraft::new(CheckerKind::Tcp, line.span);
    lowering.block("host", line, &SMTP_HOST, &mut host);
    if let Some(smtp) = draft.smtp() {
        smtp.hosts.push(host);
    }
}

/// Keywords of `virtual_server/real_server/SMTP_CHECK`.
pub(in crate::schema) static SMTP_CHECK: [Row<CheckDraft>; 15] =
    connecting([active("helo_name", helo_name), active("host", host).old_for("several SMTP_CHECK blocks")]);

/// Keywords of `virtual_server/real_server/SMTP_CHECK/host`.
pub(in crate::schema) static SMTP_HOST: [Row<CheckDraft>; 13] = CONNECTING;
