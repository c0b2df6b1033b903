//! Keywords of gratuitous ARP and neighbour advertisements: the same for all instances and for one, and `garp_group`.

use std::time::Duration;

use super::*;

/// When addresses are announced, as written for all instances or for one.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct GarpDraft {
    pub(crate) delay: Option<u32>,
    pub(crate) repeat: Option<u32>,
    pub(crate) refresh: Option<u32>,
    pub(crate) refresh_repeat: Option<u32>,
    pub(crate) lower_prio_delay: Option<u32>,
    pub(crate) lower_prio_repeat: Option<u32>,
    /// Seconds between announcements on other interfaces; with `all` those without virtual MAC too.
    pub(crate) extra: Option<(u32, Extra)>,
}

/// Which interfaces `garp_extra_if` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Those with a virtual MAC address.
    Virtual,
    /// All.
    All,
}

/// A block with these keywords.
pub(super) trait Announces {
    /// Its draft.
    fn garp(&mut self) -> &mut GarpDraft;
}

pub(super) fn delay<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().delay = lowering.unsigned(line, 1, 0, 4294);
}

pub(super) fn repeat<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().repeat = at_least_one(lowering, line);
}

pub(super) fn refresh<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().refresh = lowering.unsigned(line, 1, 0, 4_294_967_295);
}

pub(super) fn refresh_repeat<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().refresh_repeat = at_least_one(lowering, line);
}

pub(super) fn lower_prio_delay<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().lower_prio_delay = lowering.unsigned(line, 1, 0, 4294);
}

pub(super) fn lower_prio_repeat<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().lower_prio_repeat = lowering.unsigned(line, 1, 0, 2_147_483_647);
}

/// For all instances 0 is no interval; for one instance it switches off what is set for all.
pub(super) fn extra_of_all<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().extra = extra(lowering, line, 1);
}

pub(super) fn extra_of_one<B: Announces>(draft: &mut B, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp().extra = extra(lowering, line, 0);
}

fn extra(lowering: &mut Lowering<'_>, line: &Line<'_>, least: i64) -> Option<(u32, Extra)> {
    let all = line.word(1).is_some_and(|word| word.text == "all");
    let at = if all { 2 } else { 1 };
    let seconds = lowering.unsigned(line, at, least, 86_400)?;
    lowering.end(line, at.saturating_add(1));
    if !all && seconds > 0 {
        let message = format!("{} is for virtual MAC addresses, which nothing has", line.keyword());
        let help = "write all in front of the seconds for every other interface";
        lowering.report(Problem::warning(code::NO_EFFECT, line.span, message).help(help));
    }
    Some((seconds, if all { Extra::All } else { Extra::Virtual }))
}

/// A count whose zero becomes one, with a warning.
fn at_least_one(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<u32> {
    let count: u32 = lowering.unsigned(line, 1, 0, 4_294_967_295)?;
    if count == 0 {
        let message = format!("{} 0 is taken as 1", line.keyword());
        lowering.report(Problem::warning(code::ADJUSTED, line.span, message));
    }
    Some(count.max(1))
}

/// Least time between two announcements; 0 is none.
pub(super) fn interval(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Duration> {
    if line.word(1).is_some_and(|word| word.text == "0") {
        let message = format!("{} 0 sets no limit, as leaving it out does", line.keyword());
        lowering.report(Problem::warning(code::NO_EFFECT, line.span, message));
        return None;
    }
    let interval = lowering.seconds(line, 1, 1, 4_294_967_295);
    lowering.end(line, 2);
    interval.filter(|interval| !interval.is_zero())
}

/// `garp_group` as written.
#[derive(Debug, Default)]
pub(crate) struct GarpGroupDraft {
    pub(crate) span: Span,
    pub(crate) arp: Option<Duration>,
    pub(crate) neighbour: Option<Duration>,
    pub(crate) interfaces: Vec<Named>,
}

pub(super) fn group(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    let mut group = GarpGroupDraft { span: line.span, ..GarpGroupDraft::default() };
    lowering.block("garp_group", line, GARP_GROUP, &mut group);
    draft.garp_groups.push(group);
}

fn group_arp(draft: &mut GarpGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.arp = interval(lowering, line);
}

fn group_neighbour(draft: &mut GarpGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.neighbour = interval(lowering, line);
}

fn group_interface(draft: &mut GarpGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.interfaces.extend(lowering.interface(line, 1));
    lowering.end(line, 2);
}

fn group_interfaces(draft: &mut GarpGroupDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let interfaces = &mut draft.interfaces;
    lowering.entries(line, |lowering, line| {
        for word in &line.words {
            interfaces.extend(lowering.interface_word(*word));
        }
    });
}

/// Keywords of `garp_group`.
pub(super) static GARP_GROUP: &[Row<GarpGroupDraft>] = &[
    active("garp_interval", group_arp),
    active("gna_interval", group_neighbour),
    active("interface", group_interface),
    active("interfaces", group_interfaces),
];
