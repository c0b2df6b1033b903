//! `MISC_CHECK`.

use super::*;

/// `MISC_CHECK` as written.
#[derive(Debug, Default)]
pub(crate) struct MiscDraft {
    pub(crate) command: Option<Command>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dynamic: bool,
    pub(crate) user: Option<UserWords>,
}

/// Reads a `MISC_CHECK`.
pub(in crate::schema) fn misc_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "MISC_CHECK", CheckerKind::Misc(Box::default()), MISC_CHECK);
}

fn misc_path(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let command = lowering.command(line);
    if let Some(misc) = draft.misc() {
        misc.command = command;
    }
}

fn misc_timeout(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let timeout = lowering.unsigned(line, 1, 0, 4294).filter(|seconds| *seconds > 0);
    lowering.end(line, 2);
    if let Some(misc) = draft.misc() {
        misc.timeout = timeout.map(Duration::from_secs);
    }
}

fn misc_dynamic(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    if let Some(misc) = draft.misc() {
        misc.dynamic = true;
    }
}

fn user(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.required(line, 1, "a user");
    let user = lowering.user(line, 1);
    if let Some(misc) = draft.misc() {
        misc.user = user;
    }
}

/// Keywords of `virtual_server/real_server/MISC_CHECK`.
pub(in crate::schema) static MISC_CHECK: &[Row<CheckDraft>] = &[
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("misc_path", misc_path),
    active("misc_timeout", misc_timeout).or_default(),
    active("misc_dynamic", misc_dynamic).or_default(),
    active("user", user),
];
