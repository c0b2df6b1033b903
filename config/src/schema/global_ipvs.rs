//! Keywords of `global_defs` that concern the kernel's table of IPVS: time-outs, flushing, its synchronisation daemons, marks
//! by nftables.

use std::net::IpAddr;

use super::*;

/// `nftables_ipvs` and what belongs to it, as written.
#[derive(Debug, Default)]
pub(crate) struct MarksDraft {
    pub(crate) table: Option<String>,
    pub(crate) priority: Option<i32>,
    pub(crate) first: Option<u32>,
    pub(crate) counters: bool,
}

/// `lvs_sync_daemon` as written.
#[derive(Debug)]
pub(crate) struct SyncDraft {
    pub(crate) interface: Named,
    pub(crate) instance: Option<Named>,
    pub(crate) id: Option<u8>,
    pub(crate) max_length: Option<u16>,
    pub(crate) port: Option<u16>,
    pub(crate) ttl: Option<u8>,
    pub(crate) group: Option<IpAddr>,
}

impl SyncDraft {
    /// With nothing but what it needs.
    pub(super) fn plain(interface: Named, instance: Option<Named>) -> Self {
        Self { interface, instance, id: None, max_length: None, port: None, ttl: None, group: None }
    }
}

pub(super) fn lvs_timeouts(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let mut at = 1;
    lowering.required(line, at, "tcp, tcpfin or udp, and seconds");
    while line.word(at).is_some() {
        let Some(which) = lowering.choice(line, at, &["tcp", "tcpfin", "udp"]) else { return };
        let Some(seconds) = lowering.unsigned(line, at.saturating_add(1), 0, 2_678_400) else { return };
        let timeouts = &mut draft.lvs_timeouts;
        let slot = match which {
            0 => &mut timeouts.tcp,
            1 => &mut timeouts.tcp_fin,
            _ => &mut timeouts.udp,
        };
        *slot = seconds;
        at = at.saturating_add(2);
    }
}

pub(super) fn lvs_flush(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.lvs_flush = true;
}

/// With `VS` services go without their servers being taken out before, which is what happens in any case.
pub(super) fn lvs_flush_on_stop(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lvs_flush_on_stop = match line.word(1) {
        None => true,
        Some(_) => {
            lowering.choice(line, 1, &["VS"]);
            false
        }
    };
    lowering.end(line, 2);
}

pub(super) fn lvs_buffer(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lvs_buffer = lowering.unsigned(line, 1, 0, 4_294_967_295);
    lowering.end(line, 2);
}

pub(super) fn lvs_buffer_forced(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lvs_buffer_forced = lowering.boolean(line, 1).unwrap_or(false);
}

pub(super) fn nftables_ipvs(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let name = line.word(1).map_or("keepalived_ipvs", |word| word.text);
    draft.marks.table = Some(name.to_owned());
    if name.is_empty() || name.len() > 255 {
        lowering.error(code::BAD_TEXT, line.span, "nftables_ipvs takes a name of 1 to 255 bytes");
        draft.marks.table = None;
    }
    lowering.end(line, 2);
}

pub(super) fn nftables_ipvs_priority(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let priority = lowering.number(line, 1, i64::from(i32::MIN), i64::from(i32::MAX));
    draft.marks.priority = priority.and_then(|priority| i32::try_from(priority).ok());
    lowering.end(line, 2);
}

pub(super) fn nftables_ipvs_start_fwmark(
    draft: &mut GlobalDraft,
    lowering: &mut Lowering<'_>,
    line: &Line<'_>,
) {
    draft.marks.first = lowering.unsigned(line, 1, 1, 4_294_967_295);
    lowering.end(line, 2);
}

pub(super) fn nftables_counters(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.marks.counters = true;
    lowering.end(line, 1);
}

pub(super) fn lvs_sync_daemon(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(interface) = lowering.interface(line, 1) else { return };
    let mut sync = SyncDraft::plain(interface, None);
    let mut at = 2;
    while let Some(word) = line.word(at) {
        let value = at.saturating_add(1);
        let taken = match word.text {
            "inst" => lowering.required(line, value, "the name of an instance").map(|word| {
                sync.instance = Some(Named::of(word));
            }),
            "id" => lowering.unsigned(line, value, 0, 255).map(|id| sync.id = Some(id)),
            "maxlen" => lowering.unsigned(line, value, 1, 65_507).map(|max| sync.max_length = Some(max)),
            "port" => lowering.unsigned(line, value, 1, 65_535).map(|port| sync.port = Some(port)),
            "ttl" => lowering.unsigned(line, value, 1, 255).map(|ttl| sync.ttl = Some(ttl)),
            "group" => sync_group(lowering, line, value).map(|group| sync.group = Some(group)),
            _ => {
                let Some(()) = old_sync_word(&mut sync, lowering, word, at) else { return };
                at = value;
                continue;
            }
        };
        if taken.is_none() {
            return;
        }
        at = value.saturating_add(1);
    }
    draft.lvs_sync = Some(sync);
}

fn sync_group(lowering: &mut Lowering<'_>, line: &Line<'_>, at: usize) -> Option<IpAddr> {
    let group = lowering.address_at(line, at)?;
    if !group.is_multicast() {
        let message = format!("lvs_sync_daemon needs a multicast address, got {group}");
        lowering.error(code::WRONG_FAMILY, line.span, message);
        return None;
    }
    Some(group)
}

/// Instance and id could once be written without their words, in this order.
fn old_sync_word(sync: &mut SyncDraft, lowering: &mut Lowering<'_>, word: Word<'_>, at: usize) -> Option<()> {
    match at {
        2 => sync.instance = Some(Named::of(word)),
        3 if sync.instance.is_some() => {
            sync.id = Some(u8::try_from(lowering.number_word("id", word, 0, 255)?).ok()?);
        }
        _ => {
            let message = format!("unknown option '{}' of lvs_sync_daemon", word.text);
            let known = ["inst", "id", "maxlen", "port", "ttl", "group"].into_iter();
            let problem = Problem::error(code::UNKNOWN_KEYWORD, word.span, message);
            lowering.report(match suggest::nearest(word.text, known) {
                Some(name) => problem.help(format!("did you mean {name}?")),
                None => problem,
            });
            return None;
        }
    }
    Some(())
}
