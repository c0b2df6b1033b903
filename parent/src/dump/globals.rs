//! The global definitions of all state files, in keepalived's words and order.
//!
//! What this suite doesn't have (SNMP, D-Bus, packet filters) is left out.

use std::fmt::Write as _;

use config::model::buffers::{Buffer, Queue};
use config::model::defaults::Defaults;
use config::model::mail::Mailbox;
use config::model::process::{
    AutoPriority, Ceiling, FifoSettings, IpvsNamespace, JsonLayout, ProcessSettings, ReloadFile, Tuning,
};
use config::model::units::ScriptId;
use config::model::vrrp::{Version, VrrpGlobal};

use super::text::line;
use super::{Services, Snapshot, quoted, seconds};

/// Their section.
pub(super) fn globals(page: &mut String, snapshot: &Snapshot) {
    let (process, global) = (&snapshot.process, &snapshot.head.global);
    line!(page, "------< Global definitions >------");
    names(page, process);
    line!(page, " Router ID = {}", process.router_id);
    mail(page, snapshot);
    suite_scripts(page, snapshot);
    line!(page, " Checkers log all failures = {}", process.defaults.log_all_failures);
    files(page, process);
    table(page, &snapshot.services);
    for (name, fifo) in
        [("Global", &process.fifos.all), ("VRRP", &process.fifos.vrrp), ("LVS", &process.fifos.checks)]
    {
        if let Some(fifo) = fifo {
            pipe(page, snapshot, name, fifo);
        }
    }
    line!(page, " FIFO write vrrp states on reload = {}", process.fifo_states_on_reload);
    line!(page, " VRRP notify priority changes = {}", process.notify_priority_changes);
    vrrp(page, &process.defaults, global);
    scheduling(page, process);
    line!(page, " Script security {}", if process.script_security { "enabled" } else { "disabled" });
    buffers(page, snapshot);
    line!(page, " umask = 0{:o}", process.umask.unwrap_or(0o177));
    if !global.startup_delay.is_zero() {
        line!(page, " vrrp_startup_delay = {}", global.startup_delay.as_secs_f64());
    }
    if global.log_unknown_vrids {
        line!(page, " log_unknown_vrids");
    }
    if process.defaults.owner_ignores_adverts {
        line!(page, " vrrp_owner_ignore_adverts");
    }
    let layout = match process.dumps.layout {
        JsonLayout::Instances => 1,
        JsonLayout::InstancesAndProcesses => 2,
    };
    line!(page, " json_version {layout}");
}

fn names(page: &mut String, process: &ProcessSettings) {
    if let Some(directory) = &process.save_dir {
        line!(page, " Config save dir = {directory}");
    }
    line!(page, " Network namespace = {}", process.namespace.as_deref().unwrap_or("(default)"));
    let ipvs = match &process.ipvs_namespace {
        None => "(main namespace)",
        Some(IpvsNamespace::Initial) => "(default)",
        Some(IpvsNamespace::Named(name)) => name,
    };
    line!(page, " Network namespace ipvs = {ipvs}");
    if let Some(instance) = &process.instance {
        line!(page, " Instance name = {instance}");
    }
    let names = &process.names;
    for (title, name) in
        [("Parent", &names.parent), ("VRRP", &names.vrrp), ("LVS", &names.checker), ("BFD", &names.bfd)]
    {
        if let Some(name) = name {
            line!(page, " {title} process name = {name}");
        }
    }
    line!(page, " {} symlinks in script paths", if process.symlink_paths { "Keep" } else { "Replace" });
}

fn mail(page: &mut String, snapshot: &Snapshot) {
    if let Some(mail) = &snapshot.services.mail {
        line!(page, " Smtp server = {}", mail.server.ip());
        line!(page, " Smtp server port = {}", mail.server.port());
        line!(page, " Smtp HELO name = {}", mail.helo_name);
        line!(page, " Smtp server connection timeout = {}", mail.timeout.as_secs());
        line!(page, " Email notification from = {}", mailbox(&mail.from));
        line!(page, " Email notification to:");
        for recipient in &mail.recipients {
            line!(page, "   {}", mailbox(recipient));
        }
    }
    let defaults = &snapshot.process.defaults;
    for (keyword, given) in [
        ("smtp_alert", defaults.mail),
        ("smtp_alert_vrrp", defaults.mail_vrrp),
        ("smtp_alert_checker", defaults.mail_checker),
    ] {
        let word = given.map_or("unset", |given| if given { "on" } else { "off" });
        line!(page, " Default {keyword} = {word}");
    }
}

fn mailbox(mailbox: &Mailbox) -> String {
    match mailbox.name.as_str() {
        "" => mailbox.address.clone(),
        name => format!("{name} <{}>", mailbox.address),
    }
}

fn suite_scripts(page: &mut String, snapshot: &Snapshot) {
    let process = &snapshot.process;
    for (title, id) in [("Startup", process.startup_script), ("Shutdown", process.shutdown_script)] {
        let Some(script) = id.and_then(|id| snapshot.commands.get(&id)) else { continue };
        let seconds = script.timeout.unwrap_or_default().as_secs();
        let who = format!("uid:gid {}:{}", script.identity.uid, script.identity.gid);
        line!(page, " {title} script = {}, {who}, timeout {seconds}", quoted(script));
    }
}

/// Files that are read or written beside the configuration.
fn files(page: &mut String, process: &ProcessSettings) {
    let reload = &process.reload;
    match &reload.check_log {
        Some(path) => line!(page, " Test config before reload, log to {path}"),
        None => line!(page, " No test config before reload"),
    }
    if let Some(path) = &reload.time_file {
        line!(page, " Reload time file = {path}{}", if reload.repeat { " (repeat)" } else { "" });
    }
    match &reload.file {
        Some(ReloadFile::At(path)) => line!(page, " Reload_file = {path}"),
        Some(ReloadFile::BesidePidFile) | None => {}
    }
    line!(page, " keep script symlinks = {}", process.symlink_paths);
    if process.dumps.tag.is_some() {
        line!(page, " Use instance name in data dumps");
    }
    line!(page, " Dynamic interfaces = {}", process.defaults.dynamic_interfaces);
    if process.no_email_faults {
        line!(page, " Send emails for fault transitions = off");
    }
    line!(page, " Disable local IGMP = {}", yes(process.disable_local_igmp));
    line!(page, " Use VRRPv2 checksum for VRRPv3 IPv4 = {}", yes(process.defaults.v3_checksum_as_v2));
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// The kernel's table.
fn table(page: &mut String, services: &Services) {
    let timeouts = services.ipvs.timeouts;
    let named = [("TCP", timeouts.tcp), ("TCP FIN", timeouts.tcp_fin), ("UDP", timeouts.udp)];
    for (name, seconds) in named.into_iter().filter(|(_, seconds)| *seconds != 0) {
        line!(page, " LVS {name} timeout = {seconds}");
    }
    line!(page, " LVS flush = {}", services.ipvs.flush_at_start);
    line!(page, " LVS flush on stop = {}", if services.ipvs.flush_on_stop { "full" } else { "disabled" });
}

fn pipe(page: &mut String, snapshot: &Snapshot, name: &str, fifo: &FifoSettings) {
    line!(page, " {name} notify fifo = {}, uid:gid {}:{}", fifo.path, fifo.uid, fifo.gid);
    let command = |id: ScriptId| snapshot.commands.get(&id);
    if let Some(script) = fifo.script.and_then(command) {
        let who = format!("uid:gid {}:{}", script.identity.uid, script.identity.gid);
        line!(page, " {name} notify fifo script = {} '{}', {who}", quoted(script), fifo.path);
    }
}

fn vrrp(page: &mut String, defaults: &Defaults, global: &VrrpGlobal) {
    line!(page, " VRRP IPv4 mcast group = {}", global.multicast_group4);
    line!(page, " VRRP IPv6 mcast group = {}", global.multicast_group6);
    let announce = &defaults.announce;
    line!(page, " Gratuitous ARP delay = {}", announce.delay.as_secs());
    line!(page, " Gratuitous ARP repeat = {}", announce.repeat);
    line!(page, " Gratuitous ARP refresh timer = {}", announce.refresh.as_secs());
    line!(page, " Gratuitous ARP refresh repeat = {}", announce.refresh_repeat);
    line!(page, " Gratuitous ARP lower priority delay = {}", announce.lower_priority_delay.as_secs());
    line!(page, " Gratuitous ARP lower priority repeat = {}", announce.lower_priority_repeat);
    line!(page, " Num adverts before down = {}", defaults.down_timer_adverts);
    if !announce.extra.is_zero() {
        line!(page, " Gratuitous ARP for each secondary i/f = {}s", announce.extra.as_secs());
    }
    let answers = !defaults.lower_priority_no_advert;
    line!(page, " Send advert after receive lower priority advert = {answers}");
    let speaks = defaults.higher_priority_send_advert;
    line!(page, " Send advert after receive higher priority advert = {speaks}");
    line!(page, " Gratuitous ARP interval = {}", seconds(global.paces.every.arp));
    line!(page, " Gratuitous NA interval = {}", seconds(global.paces.every.neighbour));
    line!(page, " VRRP default protocol version = {}", if defaults.version == Version::V2 { 2 } else { 3 });
    line!(page, " VRRP check unicast_src = {}", defaults.check_unicast_source);
    line!(page, " VRRP skip check advert addresses = {}", defaults.skip_check_advert_addresses);
    line!(page, " VRRP strict mode = {}", defaults.strict);
}

fn scheduling(page: &mut String, process: &ProcessSettings) {
    let AutoPriority { ceiling, least_delay_us } = process.auto_priority;
    match ceiling {
        Ceiling::OffSilently => line!(page, " Max auto priority = Disabled"),
        Ceiling::Off => line!(page, " Max auto priority = 0"),
        Ceiling::UpTo(most) => line!(page, " Max auto priority = {most}"),
    }
    line!(page, " Min auto priority delay = {least_delay_us} usecs");
    for (name, tuning) in
        [("VRRP", &process.vrrp_tuning), ("Checker", &process.checker_tuning), ("BFD", &process.bfd_tuning)]
    {
        let Tuning { nice, realtime, realtime_limit_us, processors, lock_memory } = tuning;
        line!(page, " {name} process priority = {}", nice.unwrap_or(0));
        line!(page, " {name} don't swap = {lock_memory}");
        line!(page, " {name} realtime priority = {}", realtime.unwrap_or(0));
        if !processors.is_empty() {
            let numbers: Vec<String> = processors.iter().map(u16::to_string).collect();
            line!(page, " {name} CPU Affinity = {}", numbers.join(" "));
        }
        line!(page, " {name} realtime limit = {realtime_limit_us}");
    }
}

/// Receive buffers, and what stands between them.
fn buffers(page: &mut String, snapshot: &Snapshot) {
    let buffers = &snapshot.head.global.buffers;
    let services = &snapshot.services;
    let requests =
        Buffer { bytes: services.ipvs.receive_buffer, forced: services.ipvs.receive_buffer_forced };
    for (keyword, buffer) in [
        ("vrrp_netlink_cmd_rcv_bufs", buffers.requests),
        ("vrrp_netlink_monitor_rcv_bufs", buffers.events),
        ("process_monitor_rcv_bufs", snapshot.process.process_buffer),
        ("lvs_netlink_cmd_rcv_bufs", requests),
    ] {
        line!(page, " {keyword} = {}", buffer.bytes.unwrap_or(0));
        line!(page, " {keyword}_force = {}", u8::from(buffer.forced));
    }
    line!(page, " rs_init_notifies = {}", u8::from(services.init_notifies));
    let servers_only = services.mail.as_ref().is_some_and(|mail| mail.servers_only);
    line!(page, " no_checker_emails = {}", u8::from(servers_only));
    match buffers.adverts {
        Some(Queue::Mtu) => line!(page, " rx_bufs_policy = MTU"),
        Some(Queue::Advert) => line!(page, " rx_bufs_policy = ADVERT"),
        Some(Queue::Bytes(bytes)) => line!(page, " rx_bufs_size = {bytes}"),
        None => {}
    }
    line!(page, " rx_bufs_multiples = {}", buffers.multiplier);
}
