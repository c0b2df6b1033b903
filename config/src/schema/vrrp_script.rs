//! `vrrp_script`: a program whose result instances track.

use std::time::Duration;

use super::*;

/// `vrrp_script` as written.
#[derive(Debug)]
pub(crate) struct ScriptBlockDraft {
    pub(crate) name: Named,
    pub(crate) command: Option<Command>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Option<Duration>,
    pub(crate) weight: i16,
    pub(crate) reverse: bool,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    pub(crate) user: Option<UserWords>,
    pub(crate) init_fail: bool,
}

impl ScriptBlockDraft {
    /// Says the same as another block, wherever both stand.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let argv = |draft: &Self| draft.command.as_ref().map(|command| command.argv.clone());
        let words = |words: &UserWords| {
            (
                words.user.text.clone(),
                words.group.as_ref().map(|group| group.text.clone()),
                words.supplementary,
            )
        };
        let own = |draft: &Self| draft.command.as_ref().and_then(|command| command.user.as_ref()).map(words);
        let user = |draft: &Self| draft.user.as_ref().map(words);
        let rest = |draft: &Self| {
            let Self { interval, timeout, weight, reverse, rise, fall, init_fail, .. } = draft;
            (*interval, *timeout, *weight, *reverse, *rise, *fall, *init_fail)
        };
        argv(self) == argv(other)
            && own(self) == own(other)
            && user(self) == user(other)
            && rest(self) == rest(other)
    }
}

/// Reads one block.
pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.name(line) else { return };
    lowering.end(line, 2);
    let mut script = ScriptBlockDraft {
        name: Named::of(name),
        command: None,
        interval: Duration::from_secs(1),
        timeout: None,
        weight: 0,
        reverse: false,
        rise: 1,
        fall: 1,
        user: None,
        init_fail: false,
    };
    lowering.block("vrrp_script", line, TABLE, &mut script);
    draft.scripts.push(script);
}

fn script(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.command = lowering.command(line);
}

fn interval(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(interval) = positive(lowering, line) {
        draft.interval = interval;
    }
}

fn timeout(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timeout = positive(lowering, line);
}

/// Seconds whose zero becomes one second, with a warning.
fn positive(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Duration> {
    let word = lowering.required(line, 1, "a time in seconds")?;
    lowering.end(line, 2);
    if word.text == "0" {
        let message = format!("{} 0 is taken as 1", line.keyword());
        lowering.report(Problem::warning(code::ADJUSTED, word.span, message));
        return Some(Duration::from_secs(1));
    }
    lowering.seconds(line, 1, 1_000, 4_294_000_000)
}

fn weight(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some((weight, reverse)) = list::weight_line(lowering, line, list::Reach::Priority) {
        draft.weight = weight;
        draft.reverse = reverse;
    }
}

fn rise(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(rise) = lowering.unsigned(line, 1, 1, 2_147_483_647) {
        draft.rise = rise;
    }
    lowering.end(line, 2);
}

fn fall(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(fall) = lowering.unsigned(line, 1, 1, 2_147_483_647) {
        draft.fall = fall;
    }
    lowering.end(line, 2);
}

fn user(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if lowering.required(line, 1, "a user").is_some() {
        draft.user = lowering.user(line, 1);
    }
}

fn init_fail(draft: &mut ScriptBlockDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.init_fail = true;
}

/// Keywords of `vrrp_script`.
pub(super) static TABLE: &[Row<ScriptBlockDraft>] = &[
    active("script", script),
    active("interval", interval).or_default(),
    active("timeout", timeout).or_default(),
    active("weight", weight),
    active("rise", rise).or_default(),
    active("fall", fall).or_default(),
    active("user", user),
    active("init_fail", init_fail),
];
