//! `keepalived_check.data`: virtual servers, real servers and checkers, in keepalived's words.
//!
//! What a checker inherits is written with the checker alone, where it counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use config::model::check::{
    Check, CheckKind, DnsCheck, Endpoint, FileCheck, HttpCheck, HttpProtocol, HttpUrl, RealServer, SmtpCheck,
    Sni, UdpCheck, VirtualServer,
};
use config::model::ipvs::{
    Checksum, Encapsulation, Forwarding, IpvsSettings, Protocol, ServiceKey, ServiceOptions,
};
use config::model::mail::MailSettings;
use config::model::process::Script;
use config::model::units::{CheckId, FileId, ScriptId, Weight};
use config::model::vrrp::Family;
use ipc::messages::checkd::Verdict;
use ipc::messages::ctl::{ServerStatus, ServiceStatus};

use super::globals::globals;
use super::text::line;
use super::{Snapshot, quoted};

/// Everything that is known of the virtual servers.
#[derive(Debug, Default)]
pub struct Services {
    /// Settings of the kernel's table.
    pub ipvs: IpvsSettings,
    /// Where mail goes, if any is sent.
    pub mail: Option<Box<MailSettings>>,
    /// `rs_init_notifies`.
    pub init_notifies: bool,
    /// Each of them with its state.
    pub all: Vec<(VirtualServer, ServiceStatus)>,
    /// What checkers have found.
    pub verdicts: BTreeMap<CheckId, Verdict>,
}

impl Services {
    fn verdict(&self, check: &Check) -> Option<&Verdict> {
        self.verdicts.get(&check.id)
    }

    fn is_up(&self, check: &Check) -> bool {
        self.verdict(check).map_or(!check.alpha, |verdict| verdict.up)
    }

    /// The weight that scripts and files leave of the configured one.
    fn weight(&self, server: &RealServer) -> i64 {
        let configured = i64::from(server.weight.value());
        let (mut weight, mut added) = (configured, 0_i64);
        for check in &server.checks {
            let Some(told) = self.verdict(check).and_then(|verdict| verdict.weight) else { continue };
            match as_file(check) {
                Some(_) => added = added.saturating_add(difference(told, configured)),
                None => weight = i64::from(told.value()),
            }
        }
        i64::from(Weight::clamped(weight.saturating_add(added)).value())
    }
}

fn difference(told: Weight, configured: i64) -> i64 {
    i64::from(told.value()).saturating_sub(configured)
}

/// The whole file.
#[must_use]
pub fn checks(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    let services = &snapshot.services;
    globals(&mut page, snapshot);
    line!(page, "------< LVS Topology >------");
    for (service, status) in &services.all {
        virtual_server(&mut page, snapshot, service, status);
    }
    let all = || {
        let servers = services.all.iter().flat_map(|(service, _)| {
            service.real_servers.iter().map(move |server| (service.name.as_str(), server))
        });
        servers.flat_map(|(service, server)| server.checks.iter().map(move |check| (service, server, check)))
    };
    if all().next().is_some() {
        line!(page, "------< Health checkers >------");
    }
    // Those of files stand behind all others.
    for files in [false, true] {
        for (service, server, check) in all().filter(|(.., check)| as_file(check).is_some() == files) {
            line!(page, " {service} -> {}", server.name);
            checker(&mut page, snapshot, server, check);
        }
    }
    tracked_files(&mut page, snapshot);
    page
}

fn virtual_server(page: &mut String, snapshot: &Snapshot, service: &VirtualServer, status: &ServiceStatus) {
    let on = |flag: bool| if flag { "ON" } else { "OFF" };
    let key = service.keys.first();
    let is_group = key.is_none_or(|key| key.to_string() != service.name);
    line!(page, " ------< Virtual server >------");
    match key {
        Some(ServiceKey::Address { address, port, .. }) if !is_group => {
            line!(page, " VS VIP = {address}, VPORT = {port}");
        }
        Some(ServiceKey::Mark { mark, .. }) if !is_group => line!(page, " VS FWMARK = {mark}"),
        _ => line!(page, " VS GROUP = {}", service.name),
    }
    let inet6 = key.is_some_and(|key| key.family() == Family::Inet6);
    line!(page, "   Address family = {}", if inet6 { "inet6" } else { "inet" });
    scheduling(page, &service.options, inet6);
    let protocol = service.keys.iter().find_map(|key| match key {
        ServiceKey::Address { protocol, .. } => Some(*protocol),
        ServiceKey::Mark { .. } => None,
    });
    let shown = protocol.map_or_else(|| "none".to_owned(), |known: Protocol| known.name().to_uppercase());
    line!(page, "   protocol = {shown}");
    line!(page, "   alpha is {}", on(service.alpha));
    line!(page, "   omega is {}", on(service.omega));
    line!(page, "   quorum = {}, hysteresis = {}", service.quorum, service.hysteresis);
    for (word, script) in [("up", service.quorum_up), ("down", service.quorum_down)] {
        notify(page, &format!("   Quorum {word} notify script"), script, &snapshot.commands);
    }
    if service.ha_suspend {
        line!(page, "   Using HA suspend");
    }
    line!(page, "   Using smtp notification = {}", if service.mail { "yes" } else { "no" });
    if let Some(sorry) = &service.sorry_server {
        let protocol = protocol.map_or("none", Protocol::name);
        line!(page, "   sorry server = [{}]:{protocol}:{}", sorry.address, sorry.port);
        line!(page, "     forwarding method = {}", forwarding(sorry.forwarding));
        line!(page, "     Inhibit on failure is {}", on(service.sorry_server_inhibit));
    }
    line!(page, "   alive = 1");
    line!(page, "   quorum_state_up = {}", u8::from(status.up == Some(true)));
    for (server, status) in service.real_servers.iter().zip(&status.servers) {
        real_server(page, snapshot, (service, server), status);
    }
}

/// How connections are given to servers, and kept there.
fn scheduling(page: &mut String, options: &ServiceOptions, inet6: bool) {
    let enabled = |flag: bool| if flag { "enabled" } else { "disabled" };
    line!(page, "   lvs_sched = {}", options.scheduler);
    for (flag, name) in flags(options) {
        line!(page, "   {name} = {}", enabled(flag));
    }
    line!(page, "   One packet scheduling = {}", enabled(options.one_packet));
    if let Some(seconds) = options.persistence_timeout {
        line!(page, "   persistence timeout = {seconds}");
    }
    if let Some(prefix) = options.persistence_prefix {
        let bits = u32::MAX.checked_shl(u32::from(32_u8.saturating_sub(prefix))).unwrap_or(0);
        let mask = std::net::Ipv4Addr::from(bits);
        match inet6 {
            true => line!(page, "   persistence granularity = {prefix}"),
            false => line!(page, "   persistence granularity = {mask}"),
        }
    }
    if let Some(engine) = &options.persistence_engine {
        line!(page, "   persistence engine = {engine}");
    }
}

/// The scheduler's flags under the names that it gives them.
fn flags(options: &ServiceOptions) -> Vec<(bool, String)> {
    match options.scheduler.as_str() {
        named @ ("sh" | "mh") => {
            vec![(options.flag2, format!("{named}-port")), (options.flag1, format!("{named}-fallback"))]
        }
        _ => [options.flag1, options.flag2, options.flag3]
            .into_iter()
            .zip(1..)
            .map(|(flag, number)| (flag, format!("flag-{number}")))
            .collect(),
    }
}

fn notify(page: &mut String, title: &str, script: Option<ScriptId>, commands: &BTreeMap<ScriptId, Script>) {
    if let Some(script) = script.and_then(|id| commands.get(&id)) {
        line!(page, "{title} = {}, uid:gid {}:{}", quoted(script), script.identity.uid, script.identity.gid);
    }
}

fn forwarding(method: Forwarding) -> String {
    match method {
        Forwarding::Nat => "NAT".to_owned(),
        Forwarding::DirectRouting => "DR".to_owned(),
        Forwarding::Tunnel(Encapsulation::Ipip) => "TUN, type = IPIP".to_owned(),
        Forwarding::Tunnel(Encapsulation::Gre { checksum }) => {
            format!("TUN, type = GRE, {}", if checksum { "checksum" } else { "no checksum" })
        }
        Forwarding::Tunnel(Encapsulation::Gue { port, checksum }) => {
            let checksum = match checksum {
                Checksum::None => "no checksum",
                Checksum::Outer => "checksum",
                Checksum::Remote => "remote checksum",
            };
            format!("TUN, type = GUE, port = {port}, {checksum}")
        }
    }
}

fn real_server(
    page: &mut String,
    snapshot: &Snapshot,
    (service, server): (&VirtualServer, &RealServer),
    status: &ServerStatus,
) {
    let services = &snapshot.services;
    let on = |flag: bool| if flag { "ON" } else { "OFF" };
    let weight = services.weight(server);
    let to = &server.destination;
    line!(page, "   ------< Real server >------");
    line!(page, "   RIP = {}, RPORT = {}, WEIGHT = {weight} EFF WEIGHT = {weight}", to.address, to.port);
    line!(page, "   forwarding method = {}", forwarding(to.forwarding));
    line!(page, "   Alpha is {}", on(service.alpha));
    line!(page, "   connection limit range = {} -> {}", to.lower_threshold, to.upper_threshold);
    line!(page, "   Inhibit on failure is {}", on(server.inhibit_on_failure));
    for (word, script) in [("up", server.notify_up), ("down", server.notify_down)] {
        notify(page, &format!("     RS {word} notify script"), script, &snapshot.commands);
    }
    line!(page, "   Using smtp notification = {}", if server.mail { "yes" } else { "no" });
    line!(page, "   initial weight = {}", server.weight.value());
    line!(page, "   effective weight = {weight}");
    let failed = server.checks.iter().filter(|check| !services.is_up(check)).count();
    line!(page, "   alive = {}", u8::from(failed == 0));
    line!(page, "   num failed checkers = {failed}");
    line!(page, "   RS set = {}", u8::from(status.weight.is_some()));
    let files: Vec<_> = server.checks.iter().filter_map(as_file).collect();
    if !files.is_empty() {
        line!(page, "   Tracked Files");
    }
    for file in files {
        line!(page, "     {}, {}", file.name, weighted(file));
    }
}

fn as_file(check: &Check) -> Option<&FileCheck> {
    match &check.kind {
        CheckKind::File(file) => Some(file),
        CheckKind::Tcp(_)
        | CheckKind::Http(_)
        | CheckKind::Smtp(_)
        | CheckKind::Dns(_)
        | CheckKind::Udp(_)
        | CheckKind::Ping(_)
        | CheckKind::Misc { .. } => None,
    }
}

fn weighted(file: &FileCheck) -> String {
    format!("weight {}{}", file.weight, if file.reverse { " reverse" } else { "" })
}

fn checker(page: &mut String, snapshot: &Snapshot, server: &RealServer, check: &Check) {
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let services = &snapshot.services;
    let verdict = services.verdict(check);
    line!(page, "   Up = {}", yes(services.is_up(check)));
    line!(page, "   Has run = {}", yes(verdict.is_some_and(|verdict| verdict.tested)));
    let told = verdict.and_then(|verdict| verdict.weight);
    let added = told.map_or(0, |told| difference(told, i64::from(server.weight.value())));
    line!(page, "   Current weight = {added}");
    if as_file(check).is_none() {
        line!(page, "   Alpha = {}", yes(check.alpha));
        line!(page, "   Delay loop = {} us", check.delay_loop.as_micros());
        line!(page, "   Warmup = {} us", check.warmup.as_micros());
        line!(page, "   Retries = {}", check.retry);
        if check.retry > 0 {
            line!(page, "   Delay before retry = {} us", check.delay_before_retry.as_micros());
        }
    }
    line!(page, "   Log all failures = {}", yes(check.log_all_failures));
    if let Some(endpoint) = check.kind.endpoint() {
        connection(page, endpoint);
    }
    match &check.kind {
        CheckKind::Http(http) => http_method(page, check.kind.keyword(), http),
        kind @ (CheckKind::Tcp(_)
        | CheckKind::Smtp(_)
        | CheckKind::Dns(_)
        | CheckKind::Udp(_)
        | CheckKind::Ping(_)
        | CheckKind::File(_)
        | CheckKind::Misc { .. }) => line!(page, "   Keepalive method = {}", kind.keyword()),
    }
    match &check.kind {
        CheckKind::Tcp(_) | CheckKind::Ping(_) | CheckKind::Http(_) => {}
        CheckKind::Smtp(SmtpCheck { helo_name, .. }) => line!(page, "   helo = {helo_name}"),
        CheckKind::Dns(DnsCheck { name, record, .. }) => {
            line!(page, "   Type = {}", record.name());
            line!(page, "   Name = {name}");
        }
        CheckKind::Udp(udp) => datagrams(page, udp),
        CheckKind::File(FileCheck { name, .. }) => line!(page, "     Tracked file = {name}"),
        CheckKind::Misc { script, timeout, dynamic, .. } => {
            if let Some(script) = snapshot.commands.get(script) {
                line!(page, "   script = {}", quoted(script));
            }
            line!(page, "   timeout = {}", timeout.as_secs());
            line!(page, "   dynamic = {}", if *dynamic { "YES" } else { "NO" });
            if let Some(script) = snapshot.commands.get(script) {
                line!(page, "   uid:gid = {}:{}", script.identity.uid, script.identity.gid);
            }
        }
    }
}

fn connection(page: &mut String, endpoint: &Endpoint) {
    line!(page, "   Connection");
    line!(page, "     Dest = [{}]:{}", endpoint.target.ip(), endpoint.target.port());
    if let Some(address) = endpoint.bind_to {
        line!(page, "     Bind to = [{address}]:{}", endpoint.bind_port.unwrap_or(0));
    }
    if let Some(interface) = &endpoint.bind_interface {
        line!(page, "     Bind i/f = {interface}");
    }
    if endpoint.mark != 0 {
        line!(page, "     Mark = {}", endpoint.mark);
    }
    line!(page, "     Timeout = {:.6}", endpoint.timeout.as_secs_f64());
}

fn http_method(page: &mut String, keyword: &str, http: &HttpCheck) {
    let protocol = match http.protocol {
        HttpProtocol::Http10 => "1.0",
        HttpProtocol::Http10Close => "1.0C",
        HttpProtocol::Http11 => "1.1",
    };
    line!(page, "   Keepalive method = {keyword}, http protocol {protocol}");
    let sni = http.tls.as_ref().is_some_and(|tls| tls.sni != Sni::Off);
    line!(page, "   Enable SNI {}", if sni { "set" } else { "unset" });
    line!(page, "   Fast recovery {}", if http.fast_recovery { "set" } else { "unset" });
    http.urls.iter().for_each(|url| checked_url(page, url));
}

fn checked_url(page: &mut String, url: &HttpUrl) {
    line!(page, "   Checked url = {}", url.path);
    if let Some(digest) = url.digest {
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        line!(page, "     digest = {digits}");
    }
    if !url.status.is_empty() {
        line!(page, "     HTTP Status Code(s)");
    }
    for (first, last) in &url.status {
        match first == last {
            true => line!(page, "       {first}"),
            false => line!(page, "       {first}-{last}"),
        }
    }
    if let Some(host) = &url.virtual_host {
        line!(page, "     Virtual host = {host}");
    }
    if let Some(regex) = &url.regex {
        line!(page, "     Regex = \"{}\"", regex.pattern);
        if regex.inverted {
            line!(page, "     Regex no match");
        }
        if regex.min_offset != 0 || regex.max_offset.is_some() {
            let most = regex.max_offset.unwrap_or(0);
            line!(page, "     Regex min offset = {}, max_offset = {most}", regex.min_offset);
        }
    }
}

fn datagrams(page: &mut String, udp: &UdpCheck) {
    match udp.payload.len() {
        0 => line!(page, "   Payload specified = no"),
        length => line!(page, "   Payload len = {length}"),
    }
    line!(page, "   Require reply = {}", if udp.reply.is_some() { "yes" } else { "no" });
    let Some(reply) = &udp.reply else { return };
    line!(page, "     Min reply length = {}", reply.min_length);
    line!(page, "     Max reply length = {}", reply.max_length);
    if !reply.bytes.is_empty() {
        line!(page, "     Reply data len = {}", reply.bytes.len());
        let masked = reply.bytes.iter().any(|(_, mask)| *mask != u8::MAX);
        line!(page, "     Reply data mask = {}", if masked { "yes" } else { "no" });
    }
}

/// Files that checkers follow, each with those who do.
fn tracked_files(page: &mut String, snapshot: &Snapshot) {
    let followed: Vec<(String, &FileCheck)> = snapshot
        .services
        .all
        .iter()
        .flat_map(|(service, _)| service.real_servers.iter().map(move |server| (service, server)))
        .flat_map(|(service, server)| {
            let who = format!("{} -> {}", service.name, server.name);
            server.checks.iter().filter_map(as_file).map(move |file| (who.clone(), file))
        })
        .collect();
    if !followed.is_empty() {
        line!(page, "------< Checker track files >------");
    }
    for (id, (watched, value)) in (0_u32..).map(FileId::new).zip(&snapshot.files) {
        let mut of_this = followed.iter().filter(|(_, file)| file.file == id).peekable();
        let Some((_, file)) = of_this.peek() else { continue };
        line!(page, " Track file = {}", file.name);
        line!(page, "   File = {}", watched.path);
        line!(page, "   Status = {value}");
        line!(page, "   Tracking instances :");
        for (who, file) in of_this {
            line!(page, "     {who}, {}", weighted(file));
        }
    }
}
