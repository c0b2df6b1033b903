//! `global_defs`: settings of the whole suite.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::global_fifo::{self as fifo, FifoDraft};
use super::global_ipvs::{self as ipvs, MarksDraft, SyncDraft};
use super::global_process as process;
use super::*;
use crate::model::buffers::{Buffer, Buffers};
use crate::model::ipvs::ConnectionTimeouts;
use crate::model::vrrp::Removed;

/// `global_defs` as written.
#[derive(Debug, Default)]
pub(crate) struct GlobalDraft {
    pub(crate) router_id: Option<String>,
    pub(crate) version: Option<i64>,
    pub(crate) group4: Option<Ipv4Addr>,
    pub(crate) group6: Option<Ipv6Addr>,
    pub(crate) startup_delay: Option<Duration>,
    pub(crate) garp: GarpDraft,
    pub(crate) lease: Option<Lease>,
    pub(crate) garp_interval: Option<Duration>,
    pub(crate) gna_interval: Option<Duration>,
    pub(crate) min_garp: bool,
    pub(crate) down_timer_adverts: Option<u8>,
    pub(crate) lower_prio_no_advert: Option<bool>,
    pub(crate) higher_prio_send_advert: Option<bool>,
    pub(crate) check_unicast_src: bool,
    pub(crate) delay_after_boot: Option<Duration>,
    pub(crate) log_unknown_vrids: bool,
    pub(crate) strict: bool,
    pub(crate) v3_checksum_as_v2: bool,
    pub(crate) owner_ignore_adverts: bool,
    pub(crate) skip_check_adv_addr: Option<bool>,
    pub(crate) script_user: Option<UserWords>,
    pub(crate) script_security: bool,
    pub(crate) log_all_failures: bool,
    pub(crate) init_notifies: bool,
    pub(crate) uid_range: Option<(u32, u32)>,
    pub(crate) control_group: Option<Named>,
    pub(crate) status_group: Option<Named>,
    pub(crate) exit_on_unknown_call: bool,
    pub(crate) fifo: FifoDraft,
    pub(crate) vrrp_fifo: FifoDraft,
    pub(crate) lvs_fifo: FifoDraft,
    pub(crate) notify_priority_changes: bool,
    pub(crate) fifo_states: bool,
    pub(crate) lvs_timeouts: ConnectionTimeouts,
    pub(crate) lvs_flush: bool,
    pub(crate) lvs_flush_on_stop: bool,
    pub(crate) lvs_sync: Option<SyncDraft>,
    pub(crate) marks: MarksDraft,
    pub(crate) default_interface: Option<String>,
    pub(crate) dynamic_interfaces: bool,
    pub(crate) iproute_etc: Option<String>,
    pub(crate) iproute_usr: Option<String>,
    pub(crate) process: ProcessDraft,
    pub(crate) buffers: Buffers,
    pub(crate) process_buffer: Buffer,
    pub(crate) disable_local_igmp: bool,
    pub(crate) removed: Option<Removed>,
    pub(crate) lvs_buffer: Option<u32>,
    pub(crate) lvs_buffer_forced: bool,
    pub(crate) mail: MailDraft,
}

/// Reads one `global_defs`; several of them add up.
pub(super) fn read(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    lowering.block("global_defs", line, TABLE, draft);
}

fn router_id(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.router_id = lowering.required(line, 1, "a name").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn vrrp_version(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.version = lowering.number(line, 1, 2, 3);
    lowering.end(line, 2);
}

fn mcast_group4(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    match lowering.address_at(line, 1) {
        Some(IpAddr::V4(address)) if address.is_multicast() => draft.group4 = Some(address),
        Some(_) => {
            lowering.error(code::WRONG_FAMILY, line.span, "vrrp_mcast_group4 needs an IPv4 multicast address")
        }
        None => {}
    }
}

fn mcast_group6(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    match lowering.address_at(line, 1) {
        Some(IpAddr::V6(address)) if address.is_multicast() => draft.group6 = Some(address),
        Some(_) => {
            lowering.error(code::WRONG_FAMILY, line.span, "vrrp_mcast_group6 needs an IPv6 multicast address")
        }
        None => {}
    }
}

fn startup_delay(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.startup_delay = lowering.seconds(line, 1, 1_000, 4_294_967_295);
    lowering.end(line, 2);
}

fn delay_after_boot(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.delay_after_boot = lowering.seconds(line, 1, 1_000, 4_294_967_295);
    lowering.end(line, 2);
}

fn log_unknown_vrids(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.log_unknown_vrids = true;
}

fn vrrp_strict(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.strict = lowering.boolean(line, 1).unwrap_or(false);
}

fn v3_checksum_as_v2(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.v3_checksum_as_v2 = true;
}

fn owner_ignore_adverts(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.owner_ignore_adverts = lowering.boolean(line, 1).unwrap_or(false);
}

impl garp::Announces for GlobalDraft {
    fn garp(&mut self) -> &mut GarpDraft {
        &mut self.garp
    }
}

fn garp_interval(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.garp_interval = garp::interval(lowering, line);
}

fn gna_interval(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.gna_interval = garp::interval(lowering, line);
}

fn min_garp(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.min_garp = lowering.boolean(line, 1).unwrap_or(false);
}

fn down_timer_adverts(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.down_timer_adverts = lowering.unsigned(line, 1, 1, 100);
}

fn lower_prio_no_advert(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lower_prio_no_advert = lowering.boolean(line, 1);
}

fn higher_prio_send_advert(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.higher_prio_send_advert = lowering.boolean(line, 1);
}

fn check_unicast_src(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.check_unicast_src = true;
}

fn skip_check_adv_addr(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.skip_check_adv_addr = lowering.boolean(line, 1);
}

fn script_user(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if lowering.required(line, 1, "a user").is_some() {
        draft.script_user = lowering.user(line, 1);
    }
}

fn script_security(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.script_security = true;
}

fn log_all_failures(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.log_all_failures = lowering.boolean(line, 1).unwrap_or(false);
}

fn uid_range(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let first: Option<u32> = lowering.unsigned(line, 1, 1, 4_294_967_293);
    let last: Option<u32> = lowering.unsigned(line, 2, 1, 4_294_967_293);
    let (Some(first), Some(last)) = (first, last) else { return };
    if last.saturating_sub(first) < 3 {
        lowering.error(code::OUT_OF_RANGE, line.span, "daemon_uid_range needs at least four user ids");
        return;
    }
    draft.uid_range = Some((first, last));
}

fn control_group(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.control_group = lowering.required(line, 1, "a group").map(Named::of);
}

fn status_group(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.status_group = lowering.required(line, 1, "a group").map(Named::of);
}

fn seccomp_unknown(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.exit_on_unknown_call = lowering.choice(line, 1, &["enosys", "exit"]) == Some(1);
}

fn disable_local_igmp(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.disable_local_igmp = true;
}

fn vip_restore(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.removed = removed(lowering, line);
}

/// What becomes of a Master whose address somebody else removes.
pub(super) fn removed(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Removed> {
    let choices = [Removed::PutBack, Removed::StepDown];
    let found = lowering.choice(line, 1, &["restore", "upstream"])?;
    lowering.end(line, 2);
    choices.get(found).copied()
}

fn vip_lease(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lease = lease::read(lowering, line);
}

/// Interfaces may always come later here: what it adds is that nobody is told of those that are missing.
fn dynamic_interfaces(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if line.word(1).is_some() {
        lowering.choice(line, 1, &["allow_if_changes"]);
    }
    lowering.end(line, 2);
    draft.dynamic_interfaces = true;
}

fn default_interface(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.default_interface = lowering.interface(line, 1).map(|name| name.text);
    lowering.end(line, 2);
}

fn iproute_usr_dir(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.iproute_usr = lowering.required(line, 1, "a directory").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn iproute_etc_dir(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.iproute_etc = lowering.required(line, 1, "a directory").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn rs_init_notifies(draft: &mut GlobalDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.init_notifies = lowering.boolean(line, 1).unwrap_or(false);
}

/// Keywords of `global_defs`.
pub(super) static TABLE: &[Row<GlobalDraft>] = &[
    active("router_id", router_id),
    active("checker_log_all_failures", log_all_failures).or_default(),
    active("vrrp_mcast_group4", mcast_group4),
    active("vrrp_mcast_group6", mcast_group6),
    active("vrrp_garp_master_delay", garp::delay).or_default(),
    active("vrrp_garp_master_repeat", garp::repeat).or_default(),
    active("vrrp_garp_master_refresh", garp::refresh).or_default(),
    active("vrrp_garp_master_refresh_repeat", garp::refresh_repeat).or_default(),
    active("vrrp_garp_lower_prio_delay", garp::lower_prio_delay).or_default(),
    active("vrrp_garp_lower_prio_repeat", garp::lower_prio_repeat).or_default(),
    active("vrrp_down_timer_adverts", down_timer_adverts).or_default(),
    active("vrrp_min_garp", min_garp).or_default(),
    active("vrrp_lower_prio_no_advert", lower_prio_no_advert).or_default(),
    active("vrrp_higher_prio_send_advert", higher_prio_send_advert).or_default(),
    active("vrrp_version", vrrp_version).or_default(),
    active("vrrp_check_unicast_src", check_unicast_src),
    active("vrrp_skip_check_adv_addr", skip_check_adv_addr).or_default(),
    active("script_user", script_user),
    active("enable_script_security", script_security),
    active("vrrp_startup_delay", startup_delay).or_default(),
    active("process_names", process::process_names),
    active("process_name", process::process_name),
    active("vrrp_process_name", process::vrrp_process_name),
    active("checker_process_name", process::checker_process_name),
    active("lvs_process_name", process::checker_process_name).old_for("checker_process_name"),
    active("bfd_process_name", process::bfd_process_name),
    active("use_symlink_paths", process::use_symlink_paths).or_default(),
    active("set_supplementary_groups", process::supplementary_groups),
    active("startup_script", process::startup_script).first_counts(),
    active("startup_script_timeout", process::startup_timeout).or_default(),
    active("shutdown_script", process::shutdown_script).first_counts(),
    active("shutdown_script_timeout", process::shutdown_timeout).or_default(),
    active("notification_email_from", mail::sender),
    active("smtp_server", mail::server),
    active("smtp_helo_name", mail::helo_name),
    active("smtp_connect_timeout", mail::timeout).or_default(),
    active("notification_email", mail::recipients),
    active("smtp_alert", mail::alert).or_default(),
    active("max_auto_priority", process::max_auto_priority).or_default(),
    active("min_auto_priority_delay", process::min_auto_priority_delay).or_default(),
    active("smtp_alert_vrrp", mail::alert_vrrp).or_default(),
    active("smtp_alert_checker", mail::alert_checker).or_default(),
    active("dynamic_interfaces", dynamic_interfaces).or_default(),
    active("no_email_faults", mail::no_faults),
    active("default_interface", default_interface),
    active("disable_local_igmp", disable_local_igmp),
    active("v3_checksum_as_v2", v3_checksum_as_v2).or_default(),
    active("lvs_timeouts", ipvs::lvs_timeouts).or_default(),
    active("lvs_flush", ipvs::lvs_flush).or_default(),
    active("lvs_flush_on_stop", ipvs::lvs_flush_on_stop).or_default(),
    active("lvs_flush_onstop", ipvs::lvs_flush_on_stop).or_default().old_for("lvs_flush_on_stop"),
    active("lvs_sync_daemon", ipvs::lvs_sync_daemon).first_counts(),
    active("vrrp_garp_interval", garp_interval).or_default(),
    active("vrrp_gna_interval", gna_interval).or_default(),
    active("vrrp_garp_extra_if", garp::extra_of_all).or_default(),
    active("vrrp_vmac_garp_intvl", garp::extra_of_all).or_default().old_for("vrrp_garp_extra_if"),
    inactive("vrrp_iptables", Shape::Words(0, 2)),
    inactive("vrrp_ipsets", Shape::Words(0, 6)),
    inactive("nftables", Shape::Words(0, 1)),
    inactive("nftables_priority", Shape::Number(-2_147_483_648, 2_147_483_647)),
    inactive("nftables_ifindex", Shape::Flag),
    active("vrrp_strict", vrrp_strict),
    active("vrrp_priority", process::vrrp_priority).or_default(),
    active("vrrp_no_swap", process::vrrp_no_swap).or_default(),
    active("vrrp_rt_priority", process::vrrp_rt_priority).or_default(),
    active("vrrp_cpu_affinity", process::vrrp_cpu_affinity).or_default(),
    active("vrrp_rlimit_rttime", process::vrrp_rlimit_rttime).or_default(),
    active("vrrp_rlimit_rtime", process::vrrp_rlimit_rttime).or_default().old_for("vrrp_rlimit_rttime"),
    active("nftables_ipvs", ipvs::nftables_ipvs),
    active("nftables_ipvs_priority", ipvs::nftables_ipvs_priority),
    active("nftables_ipvs_start_fwmark", ipvs::nftables_ipvs_start_fwmark),
    active("nftables_counters", ipvs::nftables_counters),
    active("notify_fifo", fifo::notify_fifo).first_counts(),
    active("notify_fifo_script", fifo::notify_fifo_script).first_counts(),
    active("vrrp_notify_fifo", fifo::vrrp_notify_fifo).first_counts(),
    active("vrrp_notify_fifo_script", fifo::vrrp_notify_fifo_script).first_counts(),
    active("vrrp_notify_priority_changes", fifo::notify_priority_changes).or_default(),
    active("fifo_write_vrrp_states_on_reload", fifo::fifo_states).or_default(),
    active("lvs_notify_fifo", fifo::lvs_notify_fifo).first_counts(),
    active("lvs_notify_fifo_script", fifo::lvs_notify_fifo_script).first_counts(),
    active("checker_priority", process::checker_priority).or_default(),
    active("checker_no_swap", process::checker_no_swap).or_default(),
    active("checker_rt_priority", process::checker_rt_priority).or_default(),
    active("checker_cpu_affinity", process::checker_cpu_affinity).or_default(),
    active("checker_rlimit_rttime", process::checker_rlimit_rttime).or_default(),
    active("checker_rlimit_rtime", process::checker_rlimit_rttime)
        .or_default()
        .old_for("checker_rlimit_rttime"),
    active("bfd_priority", process::bfd_priority).or_default(),
    active("bfd_no_swap", process::bfd_no_swap).or_default(),
    active("bfd_rt_priority", process::bfd_rt_priority).or_default(),
    active("bfd_cpu_affinity", process::bfd_cpu_affinity).or_default(),
    active("bfd_rlimit_rttime", process::bfd_rlimit_rttime).or_default(),
    active("bfd_rlimit_rtime", process::bfd_rlimit_rttime).or_default().old_for("bfd_rlimit_rttime"),
    inactive("snmp_socket", Shape::Words(1, 1)),
    inactive("enable_traps", Shape::Flag),
    inactive("enable_snmp_vrrp", Shape::Flag),
    inactive("enable_snmp_keepalived", Shape::Flag).old_for("enable_snmp_vrrp"),
    inactive("enable_snmp_rfc", Shape::Flag),
    inactive("enable_snmp_rfcv2", Shape::Flag),
    inactive("enable_snmp_rfcv3", Shape::Flag),
    inactive("enable_snmp_checker", Shape::Flag),
    inactive("snmp_vs_stats_update_interval", Shape::Decimal(1_000, 30_000_000)),
    inactive("snmp_rs_stats_update_interval", Shape::Decimal(1_000, 30_000_000)),
    inactive("enable_dbus", Shape::Flag),
    inactive("dbus_service_name", Shape::Words(1, 1)),
    inactive("dbus_no_interface_name", Shape::Words(1, 1)),
    active("vrrp_netlink_cmd_rcv_bufs", buffers::requests).or_default(),
    active("vrrp_netlink_cmd_rcv_bufs_force", buffers::requests_forced).or_default(),
    active("vrrp_netlink_monitor_rcv_bufs", buffers::events).or_default(),
    active("vrrp_netlink_monitor_rcv_bufs_force", buffers::events_forced).or_default(),
    active("process_monitor_rcv_bufs", buffers::processes).or_default(),
    active("process_monitor_rcv_bufs_force", buffers::processes_forced).or_default(),
    active("lvs_netlink_cmd_rcv_bufs", ipvs::lvs_buffer).or_default(),
    active("lvs_netlink_cmd_rcv_bufs_force", ipvs::lvs_buffer_forced).or_default(),
    silent("lvs_netlink_monitor_rcv_bufs", Shape::Number(0, 4_294_967_295)),
    silent("lvs_netlink_monitor_rcv_bufs_force", Shape::Bool),
    active("rs_init_notifies", rs_init_notifies).or_default(),
    active("no_checker_emails", mail::servers_only).or_default(),
    active("vrrp_rx_bufs_policy", buffers::policy).or_default(),
    active("vrrp_rx_bufs_multiplier", buffers::multiplier).or_default(),
    active("vrrp_delay_after_boot", delay_after_boot).or_default(),
    active("log_unknown_vrids", log_unknown_vrids),
    active("vrrp_owner_ignore_adverts", owner_ignore_adverts).or_default(),
    inactive("vmac_prefix", Shape::Words(1, 1)),
    inactive("vmac_addr_prefix", Shape::Words(1, 1)),
    active("umask", process::umask).or_default(),
    silent("random_seed", Shape::Number(0, 4_294_967_295)),
    active("reload_check_config", process::reload_check_config),
    active("reload_time_file", process::reload_time_file),
    active("reload_repeat", process::reload_repeat).or_default(),
    active("reload_file", process::reload_file),
    silent("include_check", Shape::Options(&vocabulary::INCLUDE_CHECK)),
    active("config_save_dir", process::config_save_dir),
    // What the worker has read travels in sealed memory on every kernel that this suite starts on.
    silent("tmp_config_directory", Shape::Words(1, 1)),
    active("data_use_instance", process::data_use_instance),
    active("json_version", process::json_version),
    active("iproute_usr_dir", iproute_usr_dir),
    active("iproute_etc_dir", iproute_etc_dir),
    active("state_dump_file", process::state_dump_file),
    active("stats_dump_file", process::stats_dump_file),
    active("json_dump_file", process::json_dump_file),
    active("daemon_uid_range", uid_range),
    active("control_group", control_group),
    active("status_group", status_group),
    active("seccomp_unknown", seccomp_unknown),
    active("vip_lease", vip_lease),
    active("vip_restore", vip_restore),
];
