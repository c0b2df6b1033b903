//! The model as canonical text, which reads back as the same model.
//!
//! Every default is written out, every inherited value stands where it counts, every script names its user.
//! Serves `keepalivectl config print` and the property that nothing is lost between text and model. Shows
//! passwords, as the text that it was read from did.

use std::fmt::Write;
use std::time::Duration;

use crate::model::Model;
use crate::model::check::{
    Check, CheckKind, Endpoint, HttpCheck, HttpProtocol, HttpUrl, RealServer, Sni, UdpCheck, VirtualServer,
};
use crate::model::ipvs::{Checksum, ConnectionTimeouts, Encapsulation, Forwarding, Protocol, ServiceKey};
use crate::model::process::{InstanceNotify, Script, UnknownCall};
use crate::model::units::ScriptId;
use crate::model::vrrp::{
    Authentication, Broadcast, Family, Instance, Preempt, SyncGroup, TrackedScript, Transport, Version,
    VirtualAddress, VirtualRoute,
};
use crate::schema::shown_seconds;

/// Canonical text of a model.
#[must_use]
pub fn print(model: &Model) -> String {
    let mut page = Page { model, text: String::new(), depth: 0 };
    page.globals();
    for script in &model.tracked_scripts {
        page.tracked_script(script);
    }
    for (instance, notify) in model.instances.iter().zip(&model.instance_notify) {
        page.open("vrrp_instance", &instance.name);
        page.instance(instance);
        page.notify(notify);
        page.close();
    }
    for (group, notify) in model.sync_groups.iter().zip(&model.group_notify) {
        page.sync_group(group, notify);
    }
    for service in &model.virtual_servers {
        page.service(service);
    }
    page.text
}

struct Page<'m> {
    model: &'m Model,
    text: String,
    depth: usize,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = self.depth.saturating_mul(4));
    }

    fn set(&mut self, keyword: &str, value: impl std::fmt::Display) {
        self.line(&format!("{keyword} {value}"));
    }

    fn flag(&mut self, keyword: &str, on: bool) {
        if on {
            self.line(keyword);
        }
    }

    fn boolean(&mut self, keyword: &str, on: bool) {
        self.set(keyword, if on { "true" } else { "false" });
    }

    fn time(&mut self, keyword: &str, time: Duration) {
        self.set(keyword, shown_seconds(time));
    }

    fn open(&mut self, keyword: &str, name: &str) {
        if name.is_empty() {
            self.line(&format!("{keyword} {{"));
        } else {
            self.line(&format!("{keyword} {} {{", word(name)));
        }
        self.depth = self.depth.saturating_add(1);
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.line("}");
    }

    fn globals(&mut self) {
        let process = &self.model.process;
        let vrrp = &self.model.vrrp_global;
        self.set("child_wait_time", process.child_wait_time.as_secs());
        self.open("global_defs", "");
        self.set("router_id", word(&process.router_id));
        self.set("vrrp_mcast_group4", vrrp.multicast_group4);
        self.set("vrrp_mcast_group6", vrrp.multicast_group6);
        if !vrrp.startup_delay.is_zero() {
            self.time("vrrp_startup_delay", vrrp.startup_delay);
        }
        self.flag("enable_script_security", process.script_security);
        if let Some((first, last)) = process.daemon_uid_range {
            self.set("daemon_uid_range", format!("{first} {last}"));
        }
        if let Some(group) = process.control_group {
            self.set("control_group", group);
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

    fn ipvs(&mut self) {
        let ipvs = &self.model.ipvs;
        let timeouts = ipvs.timeouts;
        if timeouts != ConnectionTimeouts::default() {
            let (tcp, fin, udp) = (timeouts.tcp, timeouts.tcp_fin, timeouts.udp);
            self.set("lvs_timeouts", format!("tcp {tcp} tcpfin {fin} udp {udp}"));
        }
        self.flag("lvs_flush", ipvs.flush_at_start);
        self.flag("lvs_flush_on_stop", ipvs.flush_on_stop);
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

    fn script(&self, id: ScriptId) -> Option<&Script> {
        self.model.scripts.get(id.index())
    }

    fn command(&mut self, keyword: &str, script: Option<ScriptId>) {
        if let Some(script) = script.and_then(|id| self.script(id)) {
            let line = format!("{keyword} {} {}", command(&script.argv), user(script));
            self.line(&line);
        }
    }

    fn notify(&mut self, notify: &InstanceNotify) {
        for (keyword, script) in [
            ("notify_master", notify.master),
            ("notify_backup", notify.backup),
            ("notify_fault", notify.fault),
            ("notify_stop", notify.stop),
            ("notify", notify.any),
        ] {
            self.command(keyword, script);
        }
        self.boolean("notify_priority_changes", notify.priority_changes);
    }

    /// Weights stand in the members; the group must not drop them again.
    fn sync_group(&mut self, group: &SyncGroup, notify: &InstanceNotify) {
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

    fn tracked_script(&mut self, tracked: &TrackedScript) {
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
        self.close();
    }

    fn instance(&mut self, instance: &Instance) {
        self.set("version", if instance.version == Version::V2 { 2 } else { 3 });
        if let Some(interface) = &instance.interface {
            self.set("interface", word(interface));
        }
        self.flag("dont_track_primary", instance.dont_track_primary);
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
        if let Authentication::Pass(bytes) = instance.authentication {
            self.open("authentication", "");
            self.set("auth_type", "PASS");
            let text = String::from_utf8_lossy(&bytes);
            self.set("auth_pass", word(text.trim_end_matches('\0')));
            self.close();
        }
        if instance.addresses.is_empty() {
            self.line("no_virtual_ipaddress");
        }
        self.addresses("virtual_ipaddress", &instance.addresses);
        self.addresses("virtual_ipaddress_excluded", &instance.excluded);
        self.routes(&instance.routes);
        self.trackers(instance);
        self.announce(instance);
    }

    fn transport(&mut self, instance: &Instance) {
        let told = !instance.addresses.is_empty();
        match &instance.transport {
            Transport::Multicast { source, .. } => {
                if let Some(source) = source {
                    self.set("mcast_src_ip", source);
                } else if !told && instance.family == Family::Inet6 {
                    self.line("native_ipv6");
                }
            }
            Transport::Unicast { source, peers, ttl } => {
                if let Some(source) = source {
                    self.set("unicast_src_ip", source);
                }
                self.set("unicast_ttl", ttl);
                self.open("unicast_peer", "");
                for peer in peers {
                    self.line(&peer.to_string());
                }
                self.close();
            }
        }
        self.flag("check_unicast_src", instance.check_unicast_source);
    }

    fn addresses(&mut self, keyword: &str, addresses: &[VirtualAddress]) {
        if addresses.is_empty() {
            return;
        }
        self.open(keyword, "");
        for address in addresses {
            let mut line = format!("{}/{}", address.network.ip(), address.network.prefix());
            if let Some(interface) = &address.interface {
                let _ = write!(line, " dev {}", word(interface));
            }
            if address.scope != 0 {
                let _ = write!(line, " scope {}", address.scope);
            }
            match address.broadcast {
                Broadcast::Unset => {}
                Broadcast::HostBits { ones: true } => line.push_str(" brd +"),
                Broadcast::HostBits { ones: false } => line.push_str(" brd -"),
                Broadcast::Address(broadcast) => {
                    let _ = write!(line, " brd {broadcast}");
                }
            }
            if let Some(label) = &address.label {
                let _ = write!(line, " label {}", word(label));
            }
            if address.no_track {
                line.push_str(" no_track");
            }
            self.line(&line);
        }
        self.close();
    }

    fn routes(&mut self, routes: &[VirtualRoute]) {
        if routes.is_empty() {
            return;
        }
        self.open("virtual_routes", "");
        for route in routes {
            let network = route.destination;
            let mut line = format!("{} {}/{}", route.kind.word(), network.ip(), network.prefix());
            if let Some(gateway) = route.gateway {
                let _ = write!(line, " via {gateway}");
            }
            if let Some(interface) = &route.interface {
                let _ = write!(line, " dev {}", word(interface));
            }
            if let Some(source) = route.source {
                let _ = write!(line, " src {source}");
            }
            let _ = write!(line, " scope {} table {}", route.scope, route.table);
            if let Some(metric) = route.metric {
                let _ = write!(line, " metric {metric}");
            }
            for (option, on) in [("onlink", route.on_link), ("no_track", route.no_track)] {
                if on {
                    let _ = write!(line, " {option}");
                }
            }
            self.line(&line);
        }
        self.close();
    }

    fn trackers(&mut self, instance: &Instance) {
        if !instance.track_interfaces.is_empty() {
            self.open("track_interface", "");
            for track in &instance.track_interfaces {
                let reverse = if track.reverse { " reverse" } else { "" };
                self.line(&format!("{} weight {}{reverse}", word(&track.interface), track.weight));
            }
            self.close();
        }
        if !instance.track_scripts.is_empty() {
            self.open("track_script", "");
            for track in &instance.track_scripts {
                let position = usize::try_from(track.tracked).unwrap_or(usize::MAX);
                let name = self.model.tracked_scripts.get(position).map_or("", |tracked| &tracked.name);
                let reverse = if track.reverse { "reverse" } else { "noreverse" };
                let line = format!("{} weight {} {reverse}", word(name), track.weight);
                self.line(&line);
            }
            self.close();
        }
    }

    fn announce(&mut self, instance: &Instance) {
        let announce = &instance.announce;
        self.time("garp_master_delay", announce.delay);
        self.set("garp_master_repeat", announce.repeat);
        self.time("garp_master_refresh", announce.refresh);
        self.set("garp_master_refresh_repeat", announce.refresh_repeat);
        self.time("garp_lower_prio_delay", announce.lower_priority_delay);
        self.set("garp_lower_prio_repeat", announce.lower_priority_repeat);
        self.set("down_timer_adverts", instance.down_timer_adverts);
        self.boolean("lower_prio_no_advert", instance.lower_priority_no_advert);
        self.boolean("higher_prio_send_advert", instance.higher_priority_send_advert);
        self.boolean("skip_check_adv_addr", instance.skip_check_advert_addresses);
    }

    fn service(&mut self, service: &VirtualServer) {
        match (group_name(service), service.keys.first()) {
            (Some(name), _) => {
                self.group(name, service);
                self.line(&format!("virtual_server group {} {{", word(name)));
            }
            (None, Some(ServiceKey::Address { address, port, .. })) => {
                self.line(&format!("virtual_server {address} {port} {{"));
            }
            (None, Some(ServiceKey::Mark { mark, .. })) => {
                self.line(&format!("virtual_server fwmark {mark} {{"))
            }
            (None, None) => return,
        }
        self.depth = self.depth.saturating_add(1);
        self.service_body(service);
        self.close();
    }

    /// Defines the group of a virtual server before the first one that uses it.
    fn group(&mut self, name: &str, service: &VirtualServer) {
        let model = self.model;
        let users = || model.virtual_servers.iter().filter(|user| group_name(user) == Some(name));
        if !users().next().is_some_and(|first| std::ptr::eq(first, service)) {
            return;
        }
        self.open("virtual_server_group", name);
        for (position, key) in service.keys.iter().enumerate() {
            match key {
                ServiceKey::Address { address, port, .. } => self.set(&address.to_string(), port),
                // Where virtual servers read a mark as different families, it told none.
                ServiceKey::Mark { mark, family } => {
                    if users().all(|user| user.keys.get(position) == Some(key)) {
                        self.set("fwmark", format!("{mark} {}", family_word(*family)));
                    } else {
                        self.set("fwmark", mark);
                    }
                }
            }
        }
        self.close();
    }

    fn service_body(&mut self, service: &VirtualServer) {
        let mark = service.keys.iter().find(|key| matches!(key, ServiceKey::Mark { .. }));
        if let Some(mark) = mark {
            self.set("ip_family", family_word(mark.family()));
        }
        let protocol = service.keys.iter().find_map(|key| match key {
            ServiceKey::Address { protocol, .. } => Some(*protocol),
            ServiceKey::Mark { .. } => None,
        });
        self.set("protocol", protocol.unwrap_or(Protocol::Udp).name().to_ascii_uppercase());
        self.set("lb_algo", &service.options.scheduler);
        let forwarding = service.real_servers.first().map_or(Forwarding::Nat, |s| s.destination.forwarding);
        self.set("lb_kind", method(forwarding));
        if let Some(timeout) = service.options.persistence_timeout {
            self.set("persistence_timeout", timeout);
        }
        if let Some(prefix) = service.options.persistence_prefix {
            self.set("persistence_granularity", prefix);
        }
        if let Some(engine) = &service.options.persistence_engine {
            self.set("persistence_engine", word(engine));
        }
        self.flag("ops", service.options.one_packet);
        self.flag("flag-1", service.options.flag1);
        self.flag("flag-2", service.options.flag2);
        self.flag("flag-3", service.options.flag3);
        if let Some(limit) = unwritable_limit(service) {
            self.time("delay_loop", limit);
        }
        self.set("quorum", service.quorum);
        self.set("hysteresis", service.hysteresis);
        self.flag("alpha", service.alpha);
        self.flag("omega", service.omega);
        self.command("quorum_up", service.quorum_up);
        self.command("quorum_down", service.quorum_down);
        if let Some(sorry) = &service.sorry_server {
            self.set("sorry_server", format!("{} {}", sorry.address, sorry.port));
            self.set("sorry_server_lvs_method", method(sorry.forwarding));
            self.flag("sorry_server_inhibit", service.sorry_server_inhibit);
        }
        for server in &service.real_servers {
            self.server(server);
        }
    }

    fn server(&mut self, server: &RealServer) {
        let destination = &server.destination;
        self.line(&format!("real_server {} {} {{", destination.address, destination.port));
        self.depth = self.depth.saturating_add(1);
        self.set("weight", server.weight);
        self.set("lvs_method", method(destination.forwarding));
        self.set("uthreshold", destination.upper_threshold);
        self.set("lthreshold", destination.lower_threshold);
        self.boolean("inhibit_on_failure", server.inhibit_on_failure);
        self.command("notify_up", server.notify_up);
        self.command("notify_down", server.notify_down);
        for check in &server.checks {
            self.check(check);
        }
        self.close();
    }

    fn check(&mut self, check: &Check) {
        match &check.kind {
            CheckKind::Tcp(endpoint) => {
                self.open("TCP_CHECK", "");
                self.endpoint(endpoint);
            }
            CheckKind::Http(http) => self.http_check(http),
            CheckKind::Smtp(smtp) => {
                self.open("SMTP_CHECK", "");
                self.endpoint(&smtp.endpoint);
                self.set("helo_name", word(&smtp.helo_name));
            }
            CheckKind::Dns(dns) => {
                self.open("DNS_CHECK", "");
                self.endpoint(&dns.endpoint);
                self.set("type", dns.record.name());
                self.set("name", word(&format!("{}.", dns.name)));
            }
            CheckKind::Udp(udp) => {
                self.open("UDP_CHECK", "");
                self.endpoint(&udp.endpoint);
                self.udp_check(udp);
            }
            CheckKind::Misc { script, timeout, dynamic, command: _ } => {
                self.open("MISC_CHECK", "");
                self.command("misc_path", Some(*script));
                if is_writable_limit(*timeout) {
                    self.set("misc_timeout", timeout.as_secs());
                }
                self.flag("misc_dynamic", *dynamic);
            }
        }
        self.boolean("alpha", check.alpha);
        self.time("delay_loop", check.delay_loop);
        self.set("retry", check.retry);
        self.time("delay_before_retry", check.delay_before_retry);
        self.time("warmup", check.warmup);
        self.boolean("log_all_failures", check.log_all_failures);
        self.close();
    }

    fn http_check(&mut self, http: &HttpCheck) {
        self.open(if http.tls.is_some() { "SSL_GET" } else { "HTTP_GET" }, "");
        self.endpoint(&http.endpoint);
        self.set(
            "http_protocol",
            match http.protocol {
                HttpProtocol::Http10 => "1.0",
                HttpProtocol::Http10Close => "1.0C",
                HttpProtocol::Http11 => "1.1",
            },
        );
        self.boolean("fast_recovery", http.fast_recovery);
        match http.tls.as_ref().map(|tls| &tls.sni) {
            Some(Sni::Name(name)) => self.set("sni_name", word(name)),
            Some(Sni::VirtualHost) => self.line("enable_sni"),
            Some(Sni::Off) | None => {}
        }
        for url in &http.urls {
            self.url(url, http.tls.is_some());
        }
    }

    fn url(&mut self, url: &HttpUrl, tls: bool) {
        self.open("url", "");
        self.set("path", word(&url.path));
        if let Some(host) = &url.virtual_host {
            self.set("virtualhost", word(host));
        }
        let status: Vec<String> = url.status.iter().map(|(low, high)| format!("{low}-{high}")).collect();
        self.set("status_code", status.join(" "));
        if let Some(digest) = url.digest {
            self.set("digest", format!("{:032x}", u128::from_be_bytes(digest)));
        }
        if let Some(regex) = &url.regex {
            self.set("regex", quoted(&regex.pattern));
            self.flag("regex_no_match", regex.inverted);
            let options = &regex.options;
            for (name, on) in [
                ("caseless", options.caseless),
                ("dotall", options.dot_all),
                ("extended", options.extended),
                ("multiline", options.multi_line),
                ("ungreedy", options.ungreedy),
                ("utf", options.unicode),
            ] {
                self.flag(&format!("regex_options {name}"), on);
            }
            self.set("regex_min_offset", regex.min_offset);
            if let Some(last) = regex.max_offset {
                self.set("regex_max_offset", last);
            }
        }
        if tls {
            self.boolean("tls_compliant", url.tls_compliant);
        }
        self.close();
    }

    fn udp_check(&mut self, udp: &UdpCheck) {
        if !udp.payload.is_empty() {
            let bytes: Vec<String> = udp.payload.iter().map(|byte| format!("{byte:02x}")).collect();
            self.set("payload", bytes.concat());
        }
        let Some(reply) = &udp.reply else { return };
        let nibble = |value: u8, mask: u8| {
            if mask == 0 { 'X' } else { char::from_digit(u32::from(value), 16).unwrap_or('X') }
        };
        let bytes: Vec<String> = reply
            .bytes
            .iter()
            .map(|(value, mask)| {
                [nibble(value >> 4, mask >> 4), nibble(value & 15, mask & 15)].iter().collect()
            })
            .collect();
        self.line(format!("require_reply {}", bytes.concat()).trim_end());
        self.set("min_reply_length", reply.min_length);
        self.set("max_reply_length", reply.max_length);
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.set("connect_ip", endpoint.target.ip());
        self.set("connect_port", endpoint.target.port());
        if let Some(source) = endpoint.bind_to {
            self.set("bindto", source);
        }
        if let Some(port) = endpoint.bind_port {
            self.set("bind_port", port);
        }
        if let Some(interface) = &endpoint.bind_interface {
            self.set("bind_if", word(interface));
        }
        self.time("connect_timeout", endpoint.timeout);
    }
}

/// `misc_timeout` takes whole seconds; other limits came from the virtual server's delay_loop.
fn is_writable_limit(timeout: Duration) -> bool {
    timeout.subsec_nanos() == 0 && (1..=4294).contains(&timeout.as_secs())
}

fn unwritable_limit(service: &VirtualServer) -> Option<Duration> {
    let checks = service.real_servers.iter().flat_map(|server| &server.checks);
    checks.into_iter().find_map(|check| match check.kind {
        CheckKind::Misc { timeout, .. } if !is_writable_limit(timeout) => Some(timeout),
        CheckKind::Misc { .. }
        | CheckKind::Tcp(_)
        | CheckKind::Http(_)
        | CheckKind::Smtp(_)
        | CheckKind::Dns(_)
        | CheckKind::Udp(_) => None,
    })
}

/// Name of the group that a virtual server stands for.
fn group_name(service: &VirtualServer) -> Option<&str> {
    let (name, rest) = service.name.strip_prefix('[')?.rsplit_once("]:")?;
    let is_group = matches!(rest, "0" | "tcp:0" | "udp:0" | "sctp:0")
        && (rest == "0" || service.keys.len() > 1 || name.parse::<std::net::IpAddr>().is_err());
    is_group.then_some(name)
}

fn method(forwarding: Forwarding) -> String {
    let text = match forwarding {
        Forwarding::Nat => "NAT",
        Forwarding::DirectRouting => "DR",
        Forwarding::Tunnel(Encapsulation::Ipip) => "TUN type ipip",
        Forwarding::Tunnel(Encapsulation::Gre { checksum: false }) => "TUN type gre",
        Forwarding::Tunnel(Encapsulation::Gre { checksum: true }) => "TUN type gre csum",
        Forwarding::Tunnel(Encapsulation::Gue { port, checksum }) => {
            let checksum = match checksum {
                Checksum::None => "nocsum",
                Checksum::Outer => "csum",
                Checksum::Remote => "remcsum",
            };
            return format!("TUN type gue port {port} {checksum}");
        }
    };
    text.to_owned()
}

fn family_word(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
    }
}

/// A word, in quotes where it would not be read as one.
fn word(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '+' | '=' | '%' | ',')
    };
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("\"{text}\"") }
}

/// A word in quotes whose escapes are decoded once.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' | '"' | '$' | '\x00'..='\x1f' | '\x7f' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A command in one pair of double quotes, each argument in single quotes.
fn command(argv: &[String]) -> String {
    let mut out = String::from("\"");
    for (index, argument) in argv.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=+,%@".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            out.push_str(argument);
            continue;
        }
        out.push('\'');
        for c in argument.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\'' | '"' | '$' | '\x00'..='\x1f' | '\x7f' => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        out.push('\'');
    }
    out.push('"');
    out
}

fn user(script: &Script) -> String {
    let identity = &script.identity;
    let colon = if identity.groups.is_empty() { "" } else { ":" };
    format!("{} {colon}{}", identity.uid, identity.gid)
}
