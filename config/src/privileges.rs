//! What each feature that a configuration enables needs of the system: capability, path, user, kernel part.
//!
//! Serves `keepalivectl config privileges`. Derived from the model alone; the profiles that grant these things
//! are the sandbox's. Decides nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::Model;
use crate::model::check::{Carrier, VirtualServer};
use crate::model::ipvs::ServiceKey;
use crate::model::lent::{FIRST_FREE_PORT, LentSocket};
use crate::model::process::{Identity, ProcessSettings, Script};
use crate::model::vrrp::{Authentication, Instance, Transport};

/// Something that a feature needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A capability of the process.
    Capability(&'static str),
    /// A raw or packet socket, in words.
    Socket(&'static str),
    /// A part of the kernel.
    Kernel(&'static str),
    /// A program that is run.
    Program(String),
    /// Whom a program runs as.
    RunAs(u32, u32),
    /// A TCP connection to this address.
    Connect(String),
    /// A file or directory.
    Path(&'static str),
    /// A file that is read, and watched in its directory.
    File(String),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(name) => write!(f, "capability {name}"),
            Self::Socket(what) => write!(f, "socket: {what}"),
            Self::Kernel(what) => write!(f, "kernel: {what}"),
            Self::Program(path) => write!(f, "program {path}"),
            Self::RunAs(uid, gid) => write!(f, "run as user id {uid}, group id {gid}"),
            Self::Connect(address) => write!(f, "connect to {address}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Path(path) => write!(f, "path {path}"),
        }
    }
}

/// What one feature needs in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privilege {
    /// Which process needs it.
    pub process: &'static str,
    /// The feature, in the configuration's words.
    pub feature: &'static str,
    /// What it needs, sorted, each once.
    pub needs: Vec<Need>,
    /// How many things of the configuration use the feature.
    pub uses: usize,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}): ", self.process, self.feature, self.uses)?;
        let needs: Vec<String> = self.needs.iter().map(ToString::to_string).collect();
        f.write_str(&needs.join("; "))
    }
}

/// Everything that a configuration needs, by process and feature.
#[must_use]
pub fn privileges(model: &Model) -> Vec<Privilege> {
    let mut list = List::default();
    for instance in &model.instances {
        vrrp(&mut list, instance);
    }
    for script in &model.scripts {
        program(&mut list, script);
    }
    for file in &model.files {
        list.add("keepalived", "track_file", [Need::File(file.path.clone())]);
    }
    for _ in &model.process_patterns {
        let needs = [Need::Capability("NET_ADMIN"), Need::Kernel("process connector"), Need::Path("/proc")];
        list.add("keepalived", "track_process", needs);
    }
    for service in &model.virtual_servers {
        balancing(&mut list, service);
    }
    processes(&mut list, &model.process);
    if model.process.ipvs_namespace.is_some() {
        let needs = [Need::Capability("SYS_ADMIN"), Need::Path("/run/netns")];
        list.add("keepalived", "net_namespace_ipvs", needs);
    }
    if model.process.control_group.is_some() {
        list.add("keepalived", "control_group", [Need::Capability("CHOWN"), Need::Path("/run/keepalived")]);
    }
    if model.process.status_group.is_some() {
        list.add("keepalived", "status_group", [Need::Capability("CHOWN"), Need::Path("/run/keepalived")]);
    }
    if let Some(mail) = &model.mail {
        list.add("checkd", "mail", [Need::Connect(mail.server.to_string())]);
    }
    list.finish()
}

/// What the parent needs to start daemons as the configuration wants them.
fn processes(list: &mut List, process: &ProcessSettings) {
    if process.auto_priority.most().is_some() {
        list.add("keepalived", "max_auto_priority", [Need::Capability("SYS_NICE")]);
    }
    for tuning in [&process.vrrp_tuning, &process.checker_tuning] {
        if tuning.realtime.is_some() || tuning.nice.is_some_and(|nice| nice < 0) {
            list.add("keepalived", "real-time priority, nice value below 0", [Need::Capability("SYS_NICE")]);
        }
        if tuning.lock_memory {
            list.add("keepalived", "locked memory", [Need::Capability("SYS_RESOURCE")]);
        }
    }
    if process.disable_local_igmp {
        let needs =
            [Need::Capability("NET_ADMIN"), Need::Path("/proc/sys/net/ipv4/igmp_link_local_mcast_reports")];
        list.add("keepalived", "disable_local_igmp", needs);
    }
    if process.namespace.is_some() {
        list.add("keepalived", "net_namespace", [Need::Capability("SYS_ADMIN"), Need::Path("/run/netns")]);
    }
}

/// Features found so far.
#[derive(Default)]
struct List(BTreeMap<(&'static str, &'static str), (Vec<Need>, usize)>);

impl List {
    fn add(&mut self, process: &'static str, feature: &'static str, needs: impl IntoIterator<Item = Need>) {
        let (known, uses) = self.0.entry((process, feature)).or_default();
        known.extend(needs);
        *uses = uses.saturating_add(1);
    }

    fn finish(self) -> Vec<Privilege> {
        let features = self.0.into_iter().map(|((process, feature), (mut needs, uses))| {
            needs.sort();
            needs.dedup();
            Privilege { process, feature, needs, uses }
        });
        features.collect()
    }
}

fn vrrp(list: &mut List, instance: &Instance) {
    let adverts = match instance.transport {
        Transport::Multicast { .. } => "multicast adverts",
        Transport::Unicast { .. } => "unicast adverts",
    };
    list.add("vrrpd", adverts, [Need::Capability("NET_RAW"), Need::Socket("raw, IP protocol 112")]);
    if !instance.addresses.is_empty() || !instance.excluded.is_empty() {
        let needs = [
            Need::Capability("NET_ADMIN"),
            Need::Capability("NET_RAW"),
            Need::Socket("packet, ARP and ND"),
            Need::Socket("rtnetlink"),
        ];
        list.add("vrrpd", "virtual_ipaddress", needs);
    }
    if instance.promote_secondaries {
        let needs = [Need::Capability("NET_ADMIN"), Need::Path("/proc/sys/net/ipv4/conf")];
        list.add("keepalived", "promote_secondaries", needs);
    }
    match instance.authentication {
        Authentication::None => {}
        Authentication::Pass(_) => list.add("vrrpd", "authentication PASS", []),
        Authentication::Ah(_) => {
            list.add("vrrpd", "authentication AH", [Need::Socket("raw, IP protocol 51")]);
        }
    }
}

fn program(list: &mut List, script: &Script) {
    let Identity { uid, gid, .. } = script.identity;
    let path = script.argv.first().cloned().unwrap_or_default();
    let mut needs = vec![Need::Program(path), Need::RunAs(uid, gid)];
    if !script.identity.is_root() {
        needs.extend([Need::Capability("SETUID"), Need::Capability("SETGID"), Need::Capability("KILL")]);
    }
    list.add("keepalived", if uid == 0 { "scripts as root" } else { "scripts" }, needs);
}

fn balancing(list: &mut List, service: &VirtualServer) {
    let kind = match service.keys.first() {
        Some(ServiceKey::Mark { .. }) => "virtual_server fwmark",
        Some(ServiceKey::Address { .. }) | None => "virtual_server",
    };
    let needs = [Need::Capability("NET_ADMIN"), Need::Socket("generic netlink IPVS"), Need::Kernel("ip_vs")];
    list.add("ipvsd", kind, needs);
    if service.marked.is_some() {
        let needs = [Need::Capability("NET_ADMIN"), Need::Socket("nfnetlink"), Need::Kernel("nf_tables")];
        list.add("ipvsd", "nftables_ipvs", needs);
    }
    for check in service.real_servers.iter().flat_map(|server| &server.checks) {
        let mut needs: Vec<Need> = Vec::new();
        if let Some(endpoint) = check.kind.endpoint() {
            needs.push(Need::Connect(endpoint.target.to_string()));
        }
        match check.kind.carrier() {
            Some(Carrier::Udp) => needs.push(Need::Socket("UDP")),
            Some(Carrier::Icmp) => needs.push(Need::Socket("ICMP echo")),
            Some(Carrier::Tcp) | None => {}
        }
        if let Some(socket) = check.kind.lent() {
            list.add("keepalived", "sockets for checks", lending(&socket));
        }
        list.add("checkd", check.kind.keyword(), needs);
    }
}

/// What it takes to open a socket for checkd.
fn lending(socket: &LentSocket) -> Vec<Need> {
    let mut needs = Vec::new();
    if socket.carrier == Carrier::Icmp {
        needs.push(Need::Path("/proc/sys/net/ipv4/ping_group_range"));
    }
    if socket.mark != 0 {
        needs.push(Need::Capability("NET_ADMIN"));
    }
    if socket.bind_port.is_some_and(|port| port < FIRST_FREE_PORT) {
        needs.push(Need::Capability("NET_BIND_SERVICE"));
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::OfflineNames;
    use crate::source::Memory;

    fn lines(text: &str) -> Vec<String> {
        let source = Memory::new().with("/k", text);
        let loaded = crate::load(&source, &OfflineNames, "/k", &crate::LoadOptions::default());
        privileges(&loaded.model.unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_needs_nothing() {
        assert_eq!(lines(""), [""; 0]);
    }

    #[test]
    fn each_feature_names_its_process_and_what_it_needs() {
        let text = "vrrp_instance A { interface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.1 }\n\
                    notify /opt/x root root\n}\nvirtual_server 192.0.2.1 80 { lb_algo rr\nlb_kind NAT\n\
                    protocol TCP\nreal_server 203.0.113.1 80 { TCP_CHECK { } }\n\
                    real_server 203.0.113.2 80 { TCP_CHECK { } }\n}\n";
        assert_eq!(
            lines(text),
            [
                "checkd: TCP_CHECK (2): connect to 203.0.113.1:80; connect to 203.0.113.2:80",
                "ipvsd: virtual_server (1): capability NET_ADMIN; socket: generic netlink IPVS; kernel: ip_vs",
                "keepalived: scripts as root (1): program /opt/x; run as user id 0, group id 0",
                "vrrpd: multicast adverts (1): capability NET_RAW; socket: raw, IP protocol 112",
                "vrrpd: virtual_ipaddress (1): capability NET_ADMIN; capability NET_RAW; \
                 socket: packet, ARP and ND; socket: rtnetlink",
            ]
        );
    }
}
