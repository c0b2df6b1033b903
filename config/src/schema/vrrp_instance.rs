//! `vrrp_instance` and its `authentication`, `unicast_peer` and `track_*` blocks.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::model::vrrp::{Peer, Removed};
use auth_hmac::HmacDraft;
pub(crate) use list::TrackDraft;

/// `vrrp_instance` as written.
#[derive(Debug, Default)]
pub(crate) struct InstanceDraft {
    pub(crate) name: String,
    pub(crate) span: Span,
    /// Something in its block was refused.
    pub(crate) damaged: bool,
    pub(crate) interface: Option<Named>,
    pub(crate) master: Option<bool>,
    pub(crate) vrid: Option<(u8, Span)>,
    pub(crate) priority: Option<(u8, Span)>,
    pub(crate) advert_int: Option<(Duration, Span)>,
    pub(crate) version: Option<i64>,
    pub(crate) native_ipv6: bool,
    pub(crate) nopreempt: Option<Span>,
    pub(crate) preempt_delay: Option<(Duration, Span)>,
    pub(crate) addresses: Vec<AddressDraft>,
    pub(crate) excluded: Vec<AddressDraft>,
    pub(crate) routes: Vec<RouteDraft>,
    pub(crate) peers: Vec<PeerDraft>,
    pub(crate) multicast_source: Option<(IpAddr, Span)>,
    pub(crate) unicast_source: Option<(IpAddr, Span)>,
    pub(crate) multicast_group: Option<(IpAddr, Span)>,
    pub(crate) unicast_ttl: Option<u8>,
    pub(crate) unicast_fault_no_peer: bool,
    /// A `unicast_peer` block stands there, were it empty.
    pub(crate) unicast_block: bool,
    pub(crate) auth_type: Option<(AuthKind, Span)>,
    pub(crate) auth_pass: Option<(String, Span)>,
    pub(crate) track_interfaces: Vec<TrackDraft>,
    pub(crate) track_scripts: Vec<TrackDraft>,
    pub(crate) track_files: Vec<TrackDraft>,
    pub(crate) track_processes: Vec<TrackDraft>,
    pub(crate) dont_track_primary: bool,
    pub(crate) track_source: bool,
    pub(crate) garp: GarpDraft,
    pub(crate) lease: Option<Lease>,
    pub(crate) removed: Option<Removed>,
    pub(crate) promote_secondaries: bool,
    pub(crate) receive_buffer: Option<u32>,
    pub(crate) down_timer_adverts: Option<u8>,
    pub(crate) lower_prio_no_advert: Option<bool>,
    pub(crate) higher_prio_send_advert: Option<bool>,
    pub(crate) check_unicast_src: bool,
    pub(crate) skip_check_adv_addr: Option<bool>,
    pub(crate) no_virtual_ipaddress: bool,
    pub(crate) hmac: Option<HmacDraft>,
    pub(crate) accept: bool,
    pub(crate) strict: Option<(bool, Span)>,
    pub(crate) old_unicast_checksum: Option<bool>,
    pub(crate) v3_checksum_as_v2: Option<bool>,
    pub(crate) owner_ignore_adverts: Option<bool>,
    pub(crate) sync_interface: Option<Named>,
    pub(crate) timer_expired_backup: Option<(u8, Span)>,
    pub(crate) notify: NotifyDraft,
}

impl garp::Announces for InstanceDraft {
    fn garp(&mut self) -> &mut GarpDraft {
        &mut self.garp
    }
}

/// Value of `auth_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthKind {
    /// Plain password.
    Pass,
    /// Authentication header.
    Ah,
}

/// One peer.
#[derive(Debug)]
pub(crate) struct PeerDraft {
    pub(crate) peer: Peer,
    pub(crate) span: Span,
}

impl notify::Told for InstanceDraft {
    fn notify(&mut self) -> &mut NotifyDraft {
        &mut self.notify
    }
}

/// keepalived.conf(5), priority.
const DEFAULT_PRIORITY: u8 = 100;

/// Reads one block.
pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.name(line) else { return };
    lowering.end(line, 2);
    let mut instance =
        InstanceDraft { name: name.text.to_owned(), span: name.span, ..InstanceDraft::default() };
    let damage = lowering.damage();
    lowering.block("vrrp_instance", line, TABLE, &mut instance);
    instance.damaged = lowering.damage() > damage;
    if let Some(interface) = instance.sync_interface.take() {
        sync_daemon(&mut draft.globals, lowering, interface, Named::of(name));
    }
    draft.instances.push(instance);
}

/// `lvs_sync_daemon_interface` is `lvs_sync_daemon` with this instance and the id 0, unless that is there already.
fn sync_daemon(globals: &mut GlobalDraft, lowering: &mut Lowering<'_>, interface: Named, instance: Named) {
    if globals.lvs_sync.is_some() {
        let message = "there is one lvs_sync_daemon, and it is defined already";
        lowering.report(Problem::warning(code::NO_EFFECT, interface.span, message));
        return;
    }
    globals.lvs_sync = Some(SyncDraft { id: Some(0), ..SyncDraft::plain(interface, Some(instance)) });
}

fn lvs_sync_daemon_interface(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.sync_interface = lowering.interface(line, 1);
    lowering.end(line, 2);
}

fn interface(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.interface = lowering.interface(line, 1);
    lowering.end(line, 2);
    if let Some(name) = draft.interface.as_ref().filter(|name| name.text == "lo") {
        let message = "VRRP can't run on lo: no peer hears it there";
        lowering.report(Problem::error(code::CONFLICT, name.span, message).fatal());
    }
}

fn state(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "MASTER or BACKUP") else { return };
    lowering.end(line, 2);
    draft.master = Some(word.text == "MASTER");
    if !matches!(word.text, "MASTER" | "BACKUP") {
        let message = format!("({}) unknown state '{}', defaulting to BACKUP", draft.name, word.text);
        let help = "state must be MASTER or BACKUP, in capitals";
        lowering.report(Problem::error(code::UNKNOWN_WORD, word.span, message).help(help));
    }
}

fn virtual_router_id(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(vrid) = lowering.unsigned(line, 1, 1, 255) {
        draft.vrid = Some((vrid, line.word(1).map_or(line.span, |word| word.span)));
    }
    lowering.end(line, 2);
}

fn priority(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    // Not that of an owner, which `state MASTER` without a priority is.
    let priority = lowering.unsigned(line, 1, 1, 255).unwrap_or(DEFAULT_PRIORITY);
    if let Some(word) = line.word(1) {
        draft.priority = Some((priority, word.span));
    }
    lowering.end(line, 2);
}

fn advert_int(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(interval) = lowering.seconds(line, 1, 10_000, 255_000_000) {
        draft.advert_int = Some((interval, line.word(1).map_or(line.span, |word| word.span)));
    }
    lowering.end(line, 2);
}

fn version(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.version = lowering.number(line, 1, 2, 3);
    lowering.end(line, 2);
}

fn native_ipv6(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.native_ipv6 = true;
}

fn preempt(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.nopreempt = None;
}

fn nopreempt(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.nopreempt = Some(line.span);
}

fn preempt_delay(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(delay) = lowering.seconds(line, 1, 0, 1_000_000_000) {
        draft.preempt_delay = Some((delay, line.span));
    }
    lowering.end(line, 2);
}

const IN_INSTANCE: virtual_address::Place = virtual_address::Place::Instance;

fn virtual_ipaddress(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let addresses = &mut draft.addresses;
    lowering
        .entries(line, |lowering, line| addresses.extend(virtual_address::read(lowering, line, IN_INSTANCE)));
}

fn virtual_ipaddress_excluded(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let excluded = &mut draft.excluded;
    lowering
        .entries(line, |lowering, line| excluded.extend(virtual_address::read(lowering, line, IN_INSTANCE)));
}

fn virtual_routes(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let routes = &mut draft.routes;
    lowering.entries(line, |lowering, line| {
        routes.extend(virtual_route::read(lowering, line, &vocabulary::ROUTE));
    });
}

fn unicast_peer(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.unicast_block = true;
    let peers = &mut draft.peers;
    lowering.entries(line, |lowering, line| peers.extend(peer(lowering, line)));
}

fn peer(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<PeerDraft> {
    let word = line.word(0)?;
    let mut peer = Peer::new(lowering.address("unicast_peer", word)?);
    let mut at = 1;
    while let Some(option) = line.word(at) {
        let bound = match option.text {
            "min_ttl" => &mut peer.min_ttl,
            "max_ttl" => &mut peer.max_ttl,
            other => {
                let message = format!("Unknown keyword '{other}' behind a peer");
                lowering.error(code::UNKNOWN_KEYWORD, option.span, message);
                return None;
            }
        };
        *bound = lowering.unsigned(line, at.saturating_add(1), 0, 255)?;
        at += 2;
    }
    if peer.min_ttl > peer.max_ttl {
        let message = format!("min_ttl {} is above max_ttl {}", peer.min_ttl, peer.max_ttl);
        lowering.error(code::OUT_OF_RANGE, line.span, message);
        return None;
    }
    Some(PeerDraft { peer, span: word.span })
}

fn unicast_fault_no_peer(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.unicast_fault_no_peer = true;
}

fn mcast_dst_ip(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(group) = lowering.address_at(line, 1) else { return };
    lowering.end(line, 2);
    if !group.is_multicast() {
        lowering.error(code::WRONG_FAMILY, line.span, format!("{group} is no multicast address"));
        return;
    }
    draft.multicast_group = Some((group, line.span));
}

fn mcast_src_ip(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.multicast_source = lowering.address_at(line, 1).map(|address| (address, line.span));
    lowering.end(line, 2);
}

fn unicast_src_ip(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.unicast_source = lowering.address_at(line, 1).map(|address| (address, line.span));
    lowering.end(line, 2);
}

fn unicast_ttl(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.unicast_ttl = lowering.unsigned(line, 1, 0, 255);
    lowering.end(line, 2);
}

fn authentication(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    lowering.block("authentication", line, AUTHENTICATION, draft);
}

fn auth_type(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "PASS or AH") else { return };
    match word.text {
        "PASS" => draft.auth_type = Some((AuthKind::Pass, line.span)),
        "AH" => draft.auth_type = Some((AuthKind::Ah, line.span)),
        other => {
            let message = format!("({}) unknown authentication type '{other}'", draft.name);
            let problem = Problem::error(code::UNKNOWN_WORD, word.span, message);
            let problem = problem.help("auth_type must be PASS or AH, in capitals");
            // Adverts in the clear are no substitute for signed ones; a password in the clear protects nothing.
            let was_signed = other.eq_ignore_ascii_case("AH");
            lowering.report(if was_signed { problem.fatal() } else { problem });
        }
    }
}

fn auth_pass(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a password") else { return };
    lowering.end(line, 2);
    if word.text.len() > 8 {
        let message = "only the first eight characters of auth_pass count";
        lowering.report(Problem::warning(code::ADJUSTED, word.span, message));
    }
    draft.auth_pass = Some((word.text.to_owned(), word.span));
}

fn track_interface(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_interfaces;
    lowering
        .entries(line, |lowering, line| tracked.extend(list::tracked(lowering, line, list::Reach::Priority)));
}

fn track_src_ip(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.track_source = true;
}

fn track_script(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_scripts;
    lowering
        .entries(line, |lowering, line| tracked.extend(list::tracked(lowering, line, list::Reach::Priority)));
}

fn track_file(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_files;
    lowering.entries(line, |lowering, line| {
        tracked.extend(list::tracked(lowering, line, list::Reach::Factor));
    });
}

fn track_process(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let tracked = &mut draft.track_processes;
    lowering.entries(line, |lowering, line| {
        tracked.extend(list::tracked(lowering, line, list::Reach::Priority));
    });
}

fn dont_track_primary(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.dont_track_primary = true;
}

fn down_timer_adverts(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.down_timer_adverts = lowering.unsigned(line, 1, 1, 100);
}

fn vip_restore(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.removed = global_defs::removed(lowering, line);
}

fn promote_secondaries(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.promote_secondaries = true;
}

fn kernel_rx_buf_size(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.receive_buffer = lowering.unsigned(line, 1, 0, 4_294_967_295).filter(|bytes| *bytes > 0);
    lowering.end(line, 2);
}

fn vip_lease(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lease = lease::read(lowering, line);
}

fn accept(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.accept = true;
}

fn strict_mode(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.strict = lowering.boolean(line, 1).map(|on| (on, line.span));
}

fn old_unicast_checksum(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.old_unicast_checksum = match line.word(1) {
        None => Some(true),
        Some(_) => lowering.choice(line, 1, &["never"]).map(|_| false),
    };
    lowering.end(line, 2);
}

fn v3_checksum_as_v2(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.v3_checksum_as_v2 = lowering.boolean(line, 1);
}

fn owner_ignore_adverts(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.owner_ignore_adverts = lowering.boolean(line, 1);
}

fn timer_expired_backup(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let priority = match line.word(1) {
        None => Some(254),
        Some(_) => lowering.unsigned(line, 1, 1, 254),
    };
    lowering.end(line, 2);
    draft.timer_expired_backup = priority.map(|priority| (priority, line.span));
}

fn auth_hmac(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    let mut hmac = HmacDraft { span: line.keyword_span(), ..HmacDraft::default() };
    lowering.block("auth_hmac", line, auth_hmac::TABLE, &mut hmac);
    draft.hmac = Some(hmac);
}

fn lower_prio_no_advert(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lower_prio_no_advert = lowering.boolean(line, 1);
}

fn higher_prio_send_advert(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.higher_prio_send_advert = lowering.boolean(line, 1);
}

fn check_unicast_src(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.check_unicast_src = true;
}

fn skip_check_adv_addr(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.skip_check_adv_addr = lowering.boolean(line, 1);
}

fn no_virtual_ipaddress(draft: &mut InstanceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.no_virtual_ipaddress = true;
}

/// Keywords of `authentication`.
pub(super) static AUTHENTICATION: &[Row<InstanceDraft>] =
    &[active("auth_type", auth_type).or_default(), active("auth_pass", auth_pass)];

/// Keywords of `vrrp_instance`.
pub(super) static TABLE: &[Row<InstanceDraft>] = &[
    active("unicast_peer", unicast_peer),
    active("check_unicast_src", check_unicast_src),
    active("native_ipv6", native_ipv6).old_for("an IPv6 address"),
    active("state", state).or_default().first_counts(),
    active("interface", interface),
    active("dont_track_primary", dont_track_primary),
    active("track_interface", track_interface),
    active("track_script", track_script),
    active("mcast_src_ip", mcast_src_ip),
    active("unicast_src_ip", unicast_src_ip),
    active("virtual_router_id", virtual_router_id),
    active("unicast_ttl", unicast_ttl).or_default(),
    active("version", version).or_default(),
    active("priority", priority).or_default(),
    active("advert_int", advert_int).or_default(),
    active("virtual_ipaddress", virtual_ipaddress),
    active("virtual_ipaddress_excluded", virtual_ipaddress_excluded),
    active("no_virtual_ipaddress", no_virtual_ipaddress),
    active("accept", accept),
    active("skip_check_adv_addr", skip_check_adv_addr).or_default(),
    active("preempt", preempt).old_for("not writing nopreempt"),
    active("nopreempt", nopreempt),
    active("preempt_delay", preempt_delay).or_default(),
    active("notify_backup", notify::backup).first_counts(),
    active("notify_master", notify::master).first_counts(),
    active("notify_fault", notify::fault).first_counts(),
    active("notify_stop", notify::stop).first_counts(),
    active("notify", notify::any).first_counts(),
    active("garp_master_delay", garp::delay).or_default(),
    active("garp_master_refresh", garp::refresh).or_default(),
    active("garp_master_repeat", garp::repeat).or_default(),
    active("garp_master_refresh_repeat", garp::refresh_repeat).or_default(),
    active("garp_lower_prio_delay", garp::lower_prio_delay).or_default(),
    active("garp_lower_prio_repeat", garp::lower_prio_repeat).or_default(),
    active("down_timer_adverts", down_timer_adverts).or_default(),
    active("lower_prio_no_advert", lower_prio_no_advert).or_default(),
    active("higher_prio_send_advert", higher_prio_send_advert).or_default(),
    active("authentication", authentication),
    refused(
        "use_vmac",
        Shape::Options(&vocabulary::USE_VMAC),
        "the virtual router would answer from another MAC address",
    ),
    refused("use_vmac_addr", Shape::Flag, "addresses would answer from another MAC address"),
    inactive("vmac_xmit_base", Shape::Flag),
    refused(
        "use_ipvlan",
        Shape::Options(&vocabulary::USE_IPVLAN),
        "adverts would leave from another address",
    ),
    active("unicast_fault_no_peer", unicast_fault_no_peer),
    active("old_unicast_checksum", old_unicast_checksum).or_default(),
    refused("vrf", Shape::Interface, "adverts would leave through another routing domain"),
    active("track_file", track_file),
    active("track_process", track_process),
    refused("track_bfd", Shape::Lines(&vocabulary::TRACK), "the session would not change who is Master"),
    active("mcast_dst_ip", mcast_dst_ip),
    active("track_src_ip", track_src_ip),
    active("promote_secondaries", promote_secondaries),
    silent("linkbeat_use_polling", Shape::Flag).old_for("linkbeat_interfaces"),
    active("v3_checksum_as_v2", v3_checksum_as_v2).or_default(),
    active("virtual_routes", virtual_routes),
    inactive("virtual_rules", Shape::Lines(&vocabulary::RULE)),
    refused("no_accept", Shape::Flag, "packets to the addresses would be accepted"),
    active("strict_mode", strict_mode).or_default(),
    silent("debug", Shape::Number(0, 4)),
    active("notify_deleted", notify::deleted).first_counts(),
    active("notify_master_rx_lower_pri", notify::lower_priority).first_counts(),
    active("smtp_alert", notify::mail).or_default(),
    active("notify_priority_changes", notify::priority_changes).or_default(),
    active("lvs_sync_daemon_interface", lvs_sync_daemon_interface).old_for("lvs_sync_daemon"),
    active("timer_expired_backup", timer_expired_backup),
    active("thread_timer_expired", timer_expired_backup).old_for("timer_expired_backup"),
    active("garp_extra_if", garp::extra_of_one).or_default(),
    active("vmac_garp_intvl", garp::extra_of_one).or_default().old_for("garp_extra_if"),
    active("owner_ignore_adverts", owner_ignore_adverts).or_default(),
    active("kernel_rx_buf_size", kernel_rx_buf_size).or_default(),
    active("auth_hmac", auth_hmac),
    active("vip_lease", vip_lease),
    active("vip_restore", vip_restore),
];
