//! Keywords of `global_defs` that concern mail.

use std::time::Duration;

use super::*;
use crate::model::mail::Mailbox;

/// Those keywords as written.
#[derive(Debug, Default)]
pub(crate) struct MailDraft {
    pub(crate) server: Option<(Named, u16)>,
    pub(crate) helo_name: Option<String>,
    pub(crate) from: Option<Mailbox>,
    pub(crate) recipients: Vec<Mailbox>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) alert: Option<bool>,
    pub(crate) alert_vrrp: Option<bool>,
    pub(crate) alert_checker: Option<bool>,
    pub(crate) no_faults: bool,
    pub(crate) servers_only: bool,
}

/// Port of SMTP.
const PORT: u16 = 25;

fn mailbox(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<Mailbox> {
    let found = Mailbox::parse(word.text);
    if found.is_none() {
        let message = format!("'{}' is no address that mail can be sent to", word.text);
        let problem = Problem::error(code::BAD_TEXT, word.span, message);
        lowering.report(problem.help("write a@example.org or \"Name <a@example.org>\""));
    }
    found
}

pub(super) fn sender(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "an address") else { return };
    draft.mail.from = mailbox(lowering, word);
    lowering.end(line, 2);
}

pub(super) fn recipients(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let all = &mut draft.mail.recipients;
    lowering.entries(line, |lowering, line| {
        for word in &line.words {
            all.extend(mailbox(lowering, *word));
        }
    });
}

pub(super) fn server(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(host) = lowering.required(line, 1, "an address or a name") else { return };
    let port = match line.word(2) {
        None => PORT,
        Some(_) => lowering.unsigned(line, 2, 1, 65_535).unwrap_or(PORT),
    };
    draft.mail.server = Some((Named::of(host), port));
    lowering.end(line, 3);
}

pub(super) fn helo_name(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.required(line, 1, "a name") else { return };
    if name.text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        lowering.error(code::BAD_TEXT, name.span, "a name for HELO has no blanks");
        return;
    }
    draft.mail.helo_name = Some(name.text.to_owned());
    lowering.end(line, 2);
}

pub(super) fn timeout(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let seconds: Option<u64> = lowering.unsigned(line, 1, 0, 4294);
    if seconds == Some(0) {
        let message = "smtp_connect_timeout 0 is taken as 1";
        lowering.report(Problem::warning(code::ADJUSTED, line.span, message));
    }
    draft.mail.timeout = seconds.map(|seconds| Duration::from_secs(seconds.max(1)));
    lowering.end(line, 2);
}

pub(super) fn alert(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.mail.alert = lowering.boolean(line, 1);
}

pub(super) fn alert_vrrp(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.mail.alert_vrrp = lowering.boolean(line, 1);
}

pub(super) fn alert_checker(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.mail.alert_checker = lowering.boolean(line, 1);
}

pub(super) fn no_faults(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.mail.no_faults = true;
}

pub(super) fn servers_only(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.mail.servers_only = lowering.boolean(line, 1).unwrap_or(false);
}
