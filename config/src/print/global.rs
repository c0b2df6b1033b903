//! global_defs: what holds for the whole suite.

use super::{Page, word};
use crate::model::buffers::Queue;
use crate::model::defaults::Defaults;
use crate::model::ipvs::ConnectionTimeouts;
use crate::model::mail::Mailbox;
use crate::model::process::{
    AutoPriority, Ceiling, IpvsNamespace, JsonLayout, ReloadFile, Tuning, UnknownCall,
};
use crate::model::vrrp::{Pace, Version};
use crate::schema::shown_seconds;
use std::fmt::Write;

impl Page<'_> {
    pub(super) fn globals(&mut self) {
        let process = &self.model.process;
        let vrrp = &self.model.vrrp_global;
        self.set("child_wait_time", process.child_wait_time.as_secs());
        if let Some(namespace) = &process.namespace {
            self.set("net_namespace", word(namespace));
        }
        match &process.ipvs_namespace {
            None => {}
            Some(IpvsNamespace::Initial) => self.line("net_namespace_ipvs"),
            Some(IpvsNamespace::Named(name)) => self.set("net_namespace_ipvs", word(name)),
        }
        if let Some(instance) = &process.instance {
            self.set("instance", word(instance));
        }
        self.flag("use_pid_dir", process.use_pid_dir);
        self.open("global_defs", "");
        self.processes();
        self.set("router_id", word(&process.router_id));
        self.set("vrrp_mcast_group4", vrrp.multicast_group4);
        self.set("vrrp_mcast_group6", vrrp.multicast_group6);
        if !vrrp.startup_delay.is_zero() {
            self.time("vrrp_startup_delay", vrrp.startup_delay);
        }
        if !vrrp.delay_after_boot.is_zero() {
            self.time("vrrp_delay_after_boot", vrrp.delay_after_boot);
        }
        self.flag("log_unknown_vrids", vrrp.log_unknown_vrids);
        self.buffers();
        self.flag("disable_local_igmp", process.disable_local_igmp);
        self.pace("vrrp_garp_interval", "vrrp_gna_interval", vrrp.paces.every);
        self.defaults(&process.defaults);
        self.flag("enable_script_security", process.script_security);
        if let Some((first, last)) = process.daemon_uid_range {
            self.set("daemon_uid_range", format!("{first} {last}"));
        }
        if let Some(group) = process.control_group {
            self.set("control_group", group);
        }
        if let Some(group) = process.status_group {
            self.set("status_group", group);
        }
        for (keyword, fifo) in [
            ("notify_fifo", &process.fifos.all),
            ("vrrp_notify_fifo", &process.fifos.vrrp),
            ("lvs_notify_fifo", &process.fifos.checks),
        ] {
            let Some(fifo) = fifo else { continue };
            self.set(keyword, format!("{} {} {}", word(&fifo.path), fifo.uid, fifo.gid));
            self.command(&format!("{keyword}_script"), fifo.script);
        }
        self.flag("vrrp_notify_priority_changes", process.notify_priority_changes);
        self.flag("fifo_write_vrrp_states_on_reload", process.fifo_states_on_reload);
        self.flag("rs_init_notifies", self.model.init_notifies);
        self.mail();
        self.ipvs();
        self.set(
            "seccomp_unknown",
            match process.unknown_call {
                UnknownCall::Enosys => "enosys",
                UnknownCall::Exit => "exit",
            },
        );
        self.close();
    }

    fn defaults(&mut self, defaults: &Defaults) {
        if *defaults == Defaults::default() {
            return;
        }
        let announce = &defaults.announce;
        self.time("vrrp_garp_master_delay", announce.delay);
        self.set("vrrp_garp_master_repeat", announce.repeat);
        self.time("vrrp_garp_master_refresh", announce.refresh);
        self.set("vrrp_garp_master_refresh_repeat", announce.refresh_repeat);
        self.time("vrrp_garp_lower_prio_delay", announce.lower_priority_delay);
        self.set("vrrp_garp_lower_prio_repeat", announce.lower_priority_repeat);
        if !announce.extra.is_zero() {
            self.set("vrrp_garp_extra_if", format!("all {}", shown_seconds(announce.extra)));
        }
        self.set("vrrp_down_timer_adverts", defaults.down_timer_adverts);
        self.boolean("vrrp_lower_prio_no_advert", defaults.lower_priority_no_advert);
        self.boolean("vrrp_higher_prio_send_advert", defaults.higher_priority_send_advert);
        self.set("vrrp_version", if defaults.version == Version::V2 { 2 } else { 3 });
        self.flag("vrrp_check_unicast_src", defaults.check_unicast_source);
        self.boolean("vrrp_skip_check_adv_addr", defaults.skip_check_advert_addresses);
        self.boolean("vrrp_strict", defaults.strict);
        self.flag("v3_checksum_as_v2", defaults.v3_checksum_as_v2);
        self.boolean("vrrp_owner_ignore_adverts", defaults.owner_ignores_adverts);
        self.boolean("checker_log_all_failures", defaults.log_all_failures);
        self.flag("dynamic_interfaces", defaults.dynamic_interfaces);
        for (keyword, mail) in [
            ("smtp_alert", defaults.mail),
            ("smtp_alert_vrrp", defaults.mail_vrrp),
            ("smtp_alert_checker", defaults.mail_checker),
        ] {
            if let Some(mail) = mail {
                self.boolean(keyword, mail);
            }
        }
    }

    fn buffers(&mut self) {
        let buffers = self.model.vrrp_global.buffers;
        for (keyword, buffer) in [
            ("vrrp_netlink_cmd_rcv_bufs", buffers.requests),
            ("vrrp_netlink_monitor_rcv_bufs", buffers.events),
            ("process_monitor_rcv_bufs", self.model.process.process_buffer),
        ] {
            if let Some(bytes) = buffer.bytes {
                self.set(keyword, bytes);
            }
            self.flag(&format!("{keyword}_force"), buffer.forced);
        }
        match buffers.adverts {
            Some(Queue::Mtu) => self.line("vrrp_rx_bufs_policy MTU"),
            Some(Queue::Advert) => self.line("vrrp_rx_bufs_policy ADVERT"),
            Some(Queue::Bytes(bytes)) => self.set("vrrp_rx_bufs_policy", bytes),
            None => {}
        }
        self.set("vrrp_rx_bufs_multiplier", buffers.multiplier);
    }

    fn pace(&mut self, arp: &str, neighbour: &str, pace: Pace) {
        for (keyword, interval) in [(arp, pace.arp), (neighbour, pace.neighbour)] {
            if !interval.is_zero() {
                self.time(keyword, interval);
            }
        }
    }

    pub(super) fn garp_groups(&mut self) {
        for group in &self.model.vrrp_global.paces.groups {
            self.open("garp_group", "");
            self.pace("garp_interval", "gna_interval", group.pace);
            self.open("interfaces", "");
            for interface in &group.interfaces {
                self.line(&word(interface));
            }
            self.close();
            self.close();
        }
    }

    pub(super) fn link_delays(&mut self) {
        let delays = &self.model.vrrp_global.link_delays;
        if delays.is_empty() {
            return;
        }
        self.open("interface_up_down_delays", "");
        for delay in delays {
            let (down, up) = (shown_seconds(delay.down), shown_seconds(delay.up));
            self.line(&format!("{} {down} {up}", word(&delay.interface)));
        }
        self.close();
    }

    fn processes(&mut self) {
        let process = &self.model.process;
        for (keyword, name) in [
            ("process_name", &process.names.parent),
            ("vrrp_process_name", &process.names.vrrp),
            ("checker_process_name", &process.names.checker),
            ("bfd_process_name", &process.names.bfd),
        ] {
            if let Some(name) = name {
                self.set(keyword, word(name));
            }
        }
        self.flag("process_names", process.names.ipvs.is_some());
        self.tuning("vrrp", &process.vrrp_tuning);
        self.tuning("checker", &process.checker_tuning);
        self.tuning("bfd", &process.bfd_tuning);
        self.auto_priority(process.auto_priority);
        for (keyword, script) in
            [("startup_script", process.startup_script), ("shutdown_script", process.shutdown_script)]
        {
            self.command(keyword, script);
            let known = script.and_then(|id| self.model.scripts.get(id.index()));
            if let Some(timeout) = known.and_then(|script| script.timeout) {
                self.set(&format!("{keyword}_timeout"), timeout.as_secs());
            }
        }
        if let Some(umask) = process.umask {
            self.set("umask", format!("0{umask:o}"));
        }
        self.flag("use_symlink_paths", process.symlink_paths);
        match &process.reload.file {
            Some(ReloadFile::BesidePidFile) => self.line("reload_file"),
            Some(ReloadFile::At(path)) => self.set("reload_file", word(path)),
            None => {}
        }
        self.flag("reload_repeat", process.reload.repeat);
        self.flag("data_use_instance", process.dumps.tag.is_some());
        if process.dumps.layout == JsonLayout::InstancesAndProcesses {
            self.set("json_version", 2);
        }
        for (keyword, path) in [
            ("reload_time_file", &process.reload.time_file),
            ("reload_check_config", &process.reload.check_log),
            ("state_dump_file", &process.dumps.state),
            ("stats_dump_file", &process.dumps.statistics),
            ("json_dump_file", &process.dumps.json),
            ("config_save_dir", &process.save_dir),
        ] {
            if let Some(path) = path {
                self.set(keyword, word(path));
            }
        }
    }

    fn auto_priority(&mut self, auto: AutoPriority) {
        match auto.ceiling {
            Ceiling::Off => {}
            Ceiling::OffSilently => self.set("max_auto_priority", -1),
            Ceiling::UpTo(most) => self.set("max_auto_priority", most),
        }
        if auto.least_delay_us != AutoPriority::default().least_delay_us {
            self.set("min_auto_priority_delay", auto.least_delay_us);
        }
    }

    fn tuning(&mut self, prefix: &str, tuning: &Tuning) {
        if let Some(nice) = tuning.nice {
            self.set(&format!("{prefix}_priority"), nice);
        }
        if let Some(priority) = tuning.realtime {
            self.set(&format!("{prefix}_rt_priority"), priority);
        }
        self.set(&format!("{prefix}_rlimit_rttime"), tuning.realtime_limit_us);
        if !tuning.processors.is_empty() {
            let numbers: Vec<String> = tuning.processors.iter().map(u16::to_string).collect();
            self.set(&format!("{prefix}_cpu_affinity"), numbers.join(" "));
        }
        self.flag(&format!("{prefix}_no_swap"), tuning.lock_memory);
    }

    fn mail(&mut self) {
        self.flag("no_email_faults", self.model.process.no_email_faults);
        let Some(mail) = &self.model.mail else { return };
        self.set("smtp_server", format!("{} {}", mail.server.ip(), mail.server.port()));
        self.set("smtp_helo_name", word(&mail.helo_name));
        self.set("smtp_connect_timeout", mail.timeout.as_secs());
        self.set("notification_email_from", mailbox(&mail.from));
        self.open("notification_email", "");
        for recipient in &mail.recipients {
            self.line(&mailbox(recipient));
        }
        self.close();
        self.flag("no_checker_emails", mail.servers_only);
    }

    pub(super) fn ipvs(&mut self) {
        let ipvs = &self.model.ipvs;
        let timeouts = ipvs.timeouts;
        if timeouts != ConnectionTimeouts::default() {
            let (tcp, fin, udp) = (timeouts.tcp, timeouts.tcp_fin, timeouts.udp);
            self.set("lvs_timeouts", format!("tcp {tcp} tcpfin {fin} udp {udp}"));
        }
        self.flag("lvs_flush", ipvs.flush_at_start);
        self.flag("lvs_flush_on_stop", ipvs.flush_on_stop);
        if let Some(bytes) = ipvs.receive_buffer {
            self.set("lvs_netlink_cmd_rcv_bufs", bytes);
        }
        self.flag("lvs_netlink_cmd_rcv_bufs_force", ipvs.receive_buffer_forced);
        if let Some(marks) = &ipvs.marks {
            self.set("nftables_ipvs", word(&marks.name));
            self.set("nftables_ipvs_priority", marks.priority);
            self.set("nftables_ipvs_start_fwmark", marks.first);
            self.flag("nftables_counters", marks.counters);
        }
        let Some(sync) = &ipvs.sync else { return };
        let mut line = format!("lvs_sync_daemon {}", word(&sync.interface));
        let name = sync.instance.and_then(|id| self.model.instances.get(id.index()));
        let options = [
            ("inst", name.map(|instance| word(&instance.name))),
            ("id", Some(sync.id.to_string())),
            ("maxlen", sync.max_length.map(|length| length.to_string())),
            ("port", sync.port.map(|port| port.to_string())),
            ("ttl", sync.ttl.map(|ttl| ttl.to_string())),
            ("group", sync.group.map(|group| group.to_string())),
        ];
        for (option, value) in options {
            if let Some(value) = value {
                let _ = write!(line, " {option} {value}");
            }
        }
        self.line(&line);
    }
}

fn mailbox(mailbox: &Mailbox) -> String {
    if mailbox.name.is_empty() {
        return word(&mailbox.address);
    }
    word(&format!("{} <{}>", mailbox.name, mailbox.address))
}
