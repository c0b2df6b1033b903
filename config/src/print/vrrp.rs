//! Tracked scripts, VRRP instances and sync groups.

use std::time::Duration;

use super::{Page, command, user, word};
use crate::model::process::{InstanceNotify, Script};
use crate::model::track::{Parameters, ProcessPattern, TrackedProcess, WatchedFile};
use crate::model::units::ScriptId;
use crate::model::vrrp::{Family, Instance, Preempt, Removed, SyncGroup, TrackedScript, Transport, Version};
use crate::schema::shown_seconds;

impl Page<'_> {
    pub(super) fn script(&self, id: ScriptId) -> Option<&Script> {
        self.model.scripts.get(id.index())
    }

    pub(super) fn command(&mut self, keyword: &str, script: Option<ScriptId>) {
        if let Some(script) = script.and_then(|id| self.script(id)) {
            let line = format!("{keyword} {} {}", command(&script.argv), user(script));
            self.line(&line);
        }
    }

    pub(super) fn notify(&mut self, notify: &InstanceNotify) {
        for (keyword, script) in [
            ("notify_master", notify.master),
            ("notify_backup", notify.backup),
            ("notify_fault", notify.fault),
            ("notify_stop", notify.stop),
            ("notify", notify.any),
            ("notify_deleted", notify.deleted),
            ("notify_master_rx_lower_pri", notify.lower_priority),
        ] {
            self.command(keyword, script);
        }
        self.flag("notify_deleted", notify.tells_deleted && notify.deleted.is_none());
        self.boolean("notify_priority_changes", notify.priority_changes);
        self.boolean("smtp_alert", notify.mail);
    }

    /// Weights stand in the members; the group must not drop them again.
    pub(super) fn sync_group(&mut self, group: &SyncGroup, notify: &InstanceNotify) {
        self.open("vrrp_sync_group", &group.name);
        self.open("group", "");
        for member in &group.members {
            let name = self.model.instances.get(member.index()).map_or("", |instance| &instance.name);
            let name = word(name);
            self.line(&name);
        }
        self.close();
        self.line("sync_group_tracking_weight");
        self.notify(notify);
        self.close();
    }

    pub(super) fn tracked_script(&mut self, tracked: &TrackedScript) {
        self.open("vrrp_script", &tracked.name);
        if let Some(script) = self.script(tracked.script) {
            let (argv, user) = (command(&script.argv), user(script));
            self.set("script", argv);
            self.set("user", user);
        }
        self.time("interval", tracked.interval);
        self.time("timeout", tracked.timeout);
        self.set("rise", tracked.rise);
        self.set("fall", tracked.fall);
        self.flag("init_fail", tracked.init_fail);
        if tracked.weight != 0 || tracked.reverse {
            self.weight(tracked.weight, tracked.reverse);
        }
        self.close();
    }

    fn weight(&mut self, weight: i16, reverse: bool) {
        let reverse = if reverse { "reverse" } else { "noreverse" };
        self.line(&format!("weight {weight} {reverse}"));
    }

    pub(super) fn file(&mut self, file: &WatchedFile) {
        self.open("track_file", &file.name);
        self.set("file", word(&file.path));
        if let Some(initial) = file.initial {
            let overwrite = if initial.overwrite { " overwrite" } else { "" };
            self.line(&format!("init_file {}{overwrite}", initial.value));
        }
        if file.weight != 1 || file.reverse {
            self.weight(file.weight, file.reverse);
        }
        self.close();
    }

    pub(super) fn process(&mut self, pattern: &ProcessPattern, tracked: &TrackedProcess) {
        self.open("vrrp_track_process", &tracked.name);
        let (matching, parameters) = match &pattern.parameters {
            Parameters::NameOnly => (None, None),
            Parameters::Any => (Some("full_command"), None),
            Parameters::Exactly(parameters) => (Some("param_match"), Some(parameters)),
            Parameters::First(parameters) => (Some("param_match partial"), Some(parameters)),
            Parameters::Beginning(parameters) => (Some("param_match initial"), Some(parameters)),
        };
        let mut line = format!("process {}", word(&pattern.program));
        for parameter in parameters.into_iter().flatten() {
            line.push_str(&format!(" {}", word(parameter)));
        }
        self.line(&line);
        if let Some(matching) = matching {
            self.line(matching);
        }
        if tracked.quorum > 0 {
            self.set("quorum", tracked.quorum);
        }
        if tracked.weight != 0 {
            self.set("weight", tracked.weight);
        }
        if let Some(most) = tracked.quorum_max {
            self.set("quorum_max", most);
        }
        for (keyword, delay) in
            [("fork_delay", tracked.fork_delay), ("terminate_delay", tracked.terminate_delay)]
        {
            if !delay.is_zero() {
                self.time(keyword, delay);
            }
        }
        self.close();
    }

    pub(super) fn instance(&mut self, instance: &Instance) {
        self.set("version", if instance.version == Version::V2 { 2 } else { 3 });
        if let Some(interface) = &instance.interface {
            self.set("interface", word(interface));
        }
        self.flag("dont_track_primary", instance.dont_track_primary);
        self.flag("track_src_ip", instance.track_source);
        self.set("state", if instance.wants_master { "MASTER" } else { "BACKUP" });
        self.set("virtual_router_id", instance.vrid);
        self.set("priority", instance.priority);
        self.time("advert_int", instance.advert_interval.duration());
        match instance.preempt {
            Preempt::Never => self.line("nopreempt"),
            Preempt::After(Duration::ZERO) => {}
            Preempt::After(delay) => self.time("preempt_delay", delay),
        }
        self.transport(instance);
        self.authentication(instance);
        if instance.addresses.is_empty() {
            self.line("no_virtual_ipaddress");
        }
        self.addresses("virtual_ipaddress", &instance.addresses);
        self.addresses("virtual_ipaddress_excluded", &instance.excluded);
        self.routes("virtual_routes", &instance.routes);
        self.trackers(instance);
        self.announce(instance);
    }

    pub(super) fn transport(&mut self, instance: &Instance) {
        let told = !instance.addresses.is_empty();
        match &instance.transport {
            Transport::Multicast { source, group } => {
                self.set("mcast_dst_ip", group);
                if let Some(source) = source {
                    self.set("mcast_src_ip", source);
                } else if !told && instance.family == Family::Inet6 {
                    self.line("native_ipv6");
                }
            }
            Transport::Unicast { source, peers, ttl, .. } => {
                if let Some(source) = source {
                    self.set("unicast_src_ip", source);
                } else if !told && peers.is_empty() && instance.family == Family::Inet6 {
                    self.line("native_ipv6");
                }
                self.set("unicast_ttl", ttl);
                self.open("unicast_peer", "");
                for peer in peers {
                    self.line(&format!("{} min_ttl {} max_ttl {}", peer.address, peer.min_ttl, peer.max_ttl));
                }
                self.close();
                self.flag("unicast_fault_no_peer", peers.is_empty());
            }
        }
        self.flag("check_unicast_src", instance.check_unicast_source);
    }

    pub(super) fn trackers(&mut self, instance: &Instance) {
        if !instance.track_interfaces.is_empty() {
            self.open("track_interface", "");
            for track in &instance.track_interfaces {
                let reverse = if track.reverse { " reverse" } else { "" };
                self.line(&format!("{} weight {}{reverse}", word(&track.interface), track.weight));
            }
            self.close();
        }
        let model = self.model;
        let scripts = instance.track_scripts.iter().map(|track| {
            let position = usize::try_from(track.tracked).unwrap_or(usize::MAX);
            let name = model.tracked_scripts.get(position).map(|tracked| tracked.name.clone());
            (name.unwrap_or_default(), track.weight, track.reverse)
        });
        self.track_list("track_script", scripts);
        let files = instance.track_files.iter().map(|track| {
            let name = model.files.get(track.file.index()).map(|file| file.name.clone());
            (name.unwrap_or_default(), track.weight, track.reverse)
        });
        self.track_list("track_file", files);
        let processes = instance.track_processes.iter().map(|track| {
            let name = model.process_patterns.get(track.process.index()).map(|known| known.name.clone());
            (name.unwrap_or_default(), track.weight, track.reverse)
        });
        self.track_list("track_process", processes);
    }

    fn track_list(&mut self, keyword: &str, lines: impl Iterator<Item = (String, i16, bool)>) {
        let mut lines = lines.peekable();
        if lines.peek().is_none() {
            return;
        }
        self.open(keyword, "");
        for (name, weight, reverse) in lines {
            let reverse = if reverse { "reverse" } else { "noreverse" };
            self.line(&format!("{} weight {weight} {reverse}", word(&name)));
        }
        self.close();
    }

    pub(super) fn announce(&mut self, instance: &Instance) {
        let announce = &instance.announce;
        self.time("garp_master_delay", announce.delay);
        self.set("garp_master_repeat", announce.repeat);
        match instance.lease {
            Some(seconds) => self.set("vip_lease", seconds),
            None => self.line("vip_lease off"),
        }
        self.set(
            "vip_restore",
            match instance.removed {
                Removed::PutBack => "restore",
                Removed::StepDown => "upstream",
            },
        );
        self.flag("promote_secondaries", instance.promote_secondaries);
        if let Some(bytes) = instance.receive_buffer {
            self.set("kernel_rx_buf_size", bytes);
        }
        self.time("garp_master_refresh", announce.refresh);
        self.set("garp_master_refresh_repeat", announce.refresh_repeat);
        self.time("garp_lower_prio_delay", announce.lower_priority_delay);
        self.set("garp_lower_prio_repeat", announce.lower_priority_repeat);
        let extra = [announce.extra, self.model.process.defaults.announce.extra];
        if extra.iter().any(|extra| !extra.is_zero()) {
            self.set("garp_extra_if", format!("all {}", shown_seconds(announce.extra)));
        }
        self.set("down_timer_adverts", instance.down_timer_adverts);
        self.boolean("lower_prio_no_advert", instance.lower_priority_no_advert);
        self.boolean("higher_prio_send_advert", instance.higher_priority_send_advert);
        self.boolean("skip_check_adv_addr", instance.skip_check_advert_addresses);
        self.boolean("owner_ignore_adverts", instance.owner_ignores_adverts);
        if let Some(priority) = instance.timer_expired_backup {
            self.set("timer_expired_backup", priority);
        }
    }
}
