//! Which kernel settings a configuration needs, and what goes wrong without them.
//!
//! Pure: asks a [`Host`] for values. A finding is *needed* when service fails without it, otherwise advice.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use config::model::Model;
use config::model::ipvs::{Forwarding, ServiceKey};
use config::model::vrrp::{Family, Transport, VirtualAddress};

/// What is asked of the machine.
pub(super) trait Host {
    /// Value of a setting below `/proc/sys`, blanks folded; `None` when the kernel has none of this name.
    fn setting(&self, path: &str) -> Option<String>;
    /// True when the kernel's load balancer is loaded.
    fn has_ipvs(&self) -> bool;
    /// Addresses of an interface.
    fn addresses_of(&self, interface: &str) -> Vec<IpAddr>;
}

/// A setting that should be another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Name as sysctl(8) writes it, or the module that is missing.
    pub(super) setting: String,
    /// What it is.
    pub(super) value: String,
    /// What it should be.
    pub(super) wanted: &'static str,
    /// Service fails without it.
    pub(super) needed: bool,
    /// What goes wrong.
    pub(super) reason: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.needed { "needed" } else { "advice" };
        let Self { setting, value, wanted, reason, .. } = self;
        write!(f, "{weight}: {setting} is {value}, should be {wanted}: {reason}")
    }
}

/// Everything that should be changed for this configuration, what is needed first.
pub(super) fn advise(model: &Model, host: &impl Host) -> Vec<Finding> {
    let mut advice = Advice { host, findings: Vec::new() };
    advice.balancing(model);
    advice.addresses(model);
    advice.connections(model);
    advice.findings.sort_by_key(|finding| !finding.needed);
    advice.findings
}

struct Advice<'h, H> {
    host: &'h H,
    findings: Vec<Finding>,
}

impl<H: Host> Advice<'_, H> {
    fn number(&self, path: &str) -> Option<i64> {
        self.host.setting(path)?.parse().ok()
    }

    /// Reports a setting that is below `least`; one that the kernel doesn't have is passed over.
    fn at_least(&mut self, path: &str, least: i64, wanted: &'static str, needed: bool, reason: &'static str) {
        let Some(value) = self.number(path).filter(|value| *value < least) else { return };
        self.findings.push(Finding {
            setting: path.replace('/', "."),
            value: value.to_string(),
            wanted,
            needed,
            reason,
        });
    }

    fn balancing(&mut self, model: &Model) {
        if model.virtual_servers.is_empty() {
            return;
        }
        if !self.host.has_ipvs() {
            self.findings.push(Finding {
                setting: "module ip_vs".to_owned(),
                value: "not loaded".to_owned(),
                wanted: "loaded",
                needed: true,
                reason: "the kernel can't balance; modprobe ip_vs, or name it in modules-load.d(5)",
            });
        }
        let reason = "answers of real servers behind NAT are not passed on to the clients";
        for family in families_by_nat(model) {
            match family {
                Family::Inet => self.at_least("net/ipv4/ip_forward", 1, "1", true, reason),
                Family::Inet6 => self.at_least("net/ipv6/conf/all/forwarding", 1, "1", true, reason),
            }
        }
        let reason = "a connection to a server that was removed hangs until its time-out";
        self.at_least("net/ipv4/vs/expire_nodest_conn", 1, "1", false, reason);
    }

    fn addresses(&mut self, model: &Model) {
        let held = || {
            model.instances.iter().flat_map(|instance| instance.addresses.iter().chain(&instance.excluded))
        };
        let reason = "a program that binds to a virtual address can't start while this node is Backup";
        if held().any(|address| address.network.is_ipv4()) {
            self.at_least("net/ipv4/ip_nonlocal_bind", 1, "1", false, reason);
        }
        if held().any(|address| address.network.is_ipv6()) {
            self.at_least("net/ipv6/ip_nonlocal_bind", 1, "1", false, reason);
        }
        if self.serves_from_loopback(model) {
            let reason = "this machine answers ARP for an address that is on lo only to serve it";
            self.on_networks(model, "arp_ignore", 1, "1", reason);
            let reason = "this machine asks for neighbours in the name of an address that is on lo";
            self.on_networks(model, "arp_announce", 2, "2", reason);
        }
        for interface in multicast_interfaces(model) {
            self.reverse_path(interface);
        }
        for interface in shared_networks(model) {
            let all = self.number("net/ipv4/conf/all/promote_secondaries");
            if all.is_none_or(|value| value == 0) {
                let reason =
                    "an instance that withdraws the first address of a network takes those of others along";
                let path = format!("net/ipv4/conf/{interface}/promote_secondaries");
                self.at_least(&path, 1, "1", false, reason);
            }
        }
    }

    /// A setting that every interface of an instance needs. The kernel takes the greater one of the interface's value
    /// and that of `all` (ip-sysctl, `arp_ignore`).
    fn on_networks(
        &mut self,
        model: &Model,
        name: &str,
        least: i64,
        wanted: &'static str,
        reason: &'static str,
    ) {
        let interfaces: BTreeSet<&str> =
            model.instances.iter().filter_map(|instance| instance.interface.as_deref()).collect();
        let value = |interface: &str| self.number(&format!("net/ipv4/conf/{interface}/{name}"));
        let is_met = !interfaces.is_empty()
            && interfaces.iter().all(|interface| value(interface).is_some_and(|value| value >= least));
        if !is_met {
            self.at_least(&format!("net/ipv4/conf/all/{name}"), least, wanted, true, reason);
        }
    }

    /// The kernel takes the greater of both values (ip-sysctl, `rp_filter`).
    fn reverse_path(&mut self, interface: &str) {
        let path = format!("net/ipv4/conf/{interface}/rp_filter");
        let values = [self.number("net/ipv4/conf/all/rp_filter"), self.number(&path)];
        if values.into_iter().flatten().max() == Some(1) {
            self.findings.push(Finding {
                setting: path.replace('/', "."),
                value: "1".to_owned(),
                wanted: "2",
                needed: false,
                reason: "adverts from an address that is routed by another interface are dropped unseen",
            });
        }
    }

    /// A virtual address of a service, or one that an instance puts there, is on `lo`: this director is a real
    /// server too.
    fn serves_from_loopback(&self, model: &Model) -> bool {
        let local = self.host.addresses_of("lo");
        let services = model.virtual_servers.iter().flat_map(|service| &service.keys);
        let mut addresses = services.filter_map(|key| match key {
            ServiceKey::Address { address, .. } => Some(*address),
            ServiceKey::Mark { .. } => None,
        });
        addresses.any(|address| address.is_ipv4() && local.contains(&address))
    }

    fn connections(&mut self, model: &Model) {
        let limit = self.number("net/netfilter/nf_conntrack_max");
        let count = self.number("net/netfilter/nf_conntrack_count");
        if let (Some(limit), Some(count)) = (limit, count)
            && count.saturating_mul(10) >= limit.saturating_mul(8)
        {
            self.findings.push(Finding {
                setting: "net.netfilter.nf_conntrack_max".to_owned(),
                value: format!("{limit} with {count} in use"),
                wanted: "more",
                needed: true,
                reason: "new connections are dropped when the table is full",
            });
        }
        if !model.instances.is_empty() {
            let reason = "connections that were open before a takeover are invalid to this machine's filter";
            self.at_least("net/netfilter/nf_conntrack_tcp_loose", 1, "1", false, reason);
        }
        // These choose the same server on every director, so that the packets of an open connection still fit.
        let hashed = |name: &str| matches!(name, "sh" | "mh");
        let hashes = model.virtual_servers.iter().any(|service| hashed(&service.options.scheduler));
        if !model.instances.is_empty() && hashes && model.ipvs.sync.is_none() {
            let reason =
                "without lvs_sync_daemon, TCP connections that were open before a takeover are reset";
            self.at_least("net/ipv4/vs/sloppy_tcp", 1, "1", false, reason);
        }
    }
}

fn families_by_nat(model: &Model) -> BTreeSet<Family> {
    let services = model.virtual_servers.iter();
    services
        .flat_map(|service| {
            let nat =
                service.real_servers.iter().any(|server| server.destination.forwarding == Forwarding::Nat);
            service.keys.iter().filter(move |_| nat).map(ServiceKey::family)
        })
        .collect()
}

fn multicast_interfaces(model: &Model) -> BTreeSet<&str> {
    let instances = model.instances.iter().filter(|instance| instance.family == Family::Inet);
    instances
        .filter(|instance| matches!(instance.transport, Transport::Multicast { .. }))
        .filter_map(|instance| instance.interface.as_deref())
        .collect()
}

/// Interfaces on which several instances hold IPv4 addresses of one network.
fn shared_networks(model: &Model) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    let mut shared = BTreeSet::new();
    for instance in &model.instances {
        let mut own = BTreeSet::new();
        for address in instance.addresses.iter().chain(&instance.excluded) {
            if let Some(place) = network_of(address, instance.interface.as_deref()) {
                own.insert(place);
            }
        }
        for place in own {
            if !seen.insert(place) {
                shared.insert(place.0);
            }
        }
    }
    shared
}

fn network_of<'m>(address: &'m VirtualAddress, interface: Option<&'m str>) -> Option<(&'m str, IpAddr, u8)> {
    let interface = address.interface.as_deref().or(interface)?;
    let network = address.network;
    (network.is_ipv4() && network.prefix() < 32).then(|| (interface, network.network(), network.prefix()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use config::LoadOptions;
    use config::names::OfflineNames;
    use config::source::Memory;

    use super::*;

    struct Fake {
        settings: BTreeMap<&'static str, &'static str>,
        ipvs: bool,
        loopback: Vec<IpAddr>,
    }

    impl Host for Fake {
        fn setting(&self, path: &str) -> Option<String> {
            self.settings.get(path).map(|value| (*value).to_owned())
        }

        fn has_ipvs(&self) -> bool {
            self.ipvs
        }

        fn addresses_of(&self, interface: &str) -> Vec<IpAddr> {
            if interface == "lo" { self.loopback.clone() } else { Vec::new() }
        }
    }

    fn model(text: &str) -> Model {
        let source = Memory::new().with("/k", text);
        config::load(&source, &OfflineNames, "/k", &LoadOptions::default()).model.unwrap()
    }

    fn said(
        text: &str,
        settings: &[(&'static str, &'static str)],
        ipvs: bool,
        loopback: &[&str],
    ) -> Vec<String> {
        let host = Fake {
            settings: settings.iter().copied().collect(),
            ipvs,
            loopback: loopback.iter().map(|ip| ip.parse().unwrap()).collect(),
        };
        let findings = advise(&model(text), &host);
        findings
            .iter()
            .map(|finding| format!("{} {} {}", finding.needed, finding.setting, finding.value))
            .collect()
    }

    const NAT: &str = "virtual_server 192.0.2.1 80 { lb_algo rr\nlb_kind NAT\nprotocol TCP\n\
                       real_server 203.0.113.1 80 { } }\n";
    const DR: &str = "virtual_server 192.0.2.1 80 { lb_algo rr\nlb_kind DR\nprotocol TCP\n\
                      real_server 203.0.113.1 80 { } }\n";

    fn instance(name: &str, vrid: u8, address: &str) -> String {
        format!(
            "vrrp_instance {name} {{ interface eth0\nvirtual_router_id {vrid}\nvirtual_ipaddress {{ {address} }} }}\n"
        )
    }

    #[test]
    fn a_director_by_nat_must_forward_and_have_the_balancer() {
        let off = [("net/ipv4/ip_forward", "0"), ("net/ipv6/conf/all/forwarding", "0")];
        assert_eq!(
            said(NAT, &off, false, &[]),
            ["true module ip_vs not loaded", "true net.ipv4.ip_forward 0"]
        );
        assert_eq!(said(NAT, &[("net/ipv4/ip_forward", "1")], true, &[]), [""; 0]);
        assert_eq!(said(DR, &off, true, &[]), [""; 0]);
    }

    #[test]
    fn a_director_that_serves_from_lo_must_not_answer_arp_for_it() {
        let loud = [("net/ipv4/conf/all/arp_ignore", "0"), ("net/ipv4/conf/all/arp_announce", "0")];
        assert_eq!(said(DR, &loud, true, &[]), [""; 0]);
        assert_eq!(
            said(DR, &loud, true, &["127.0.0.1", "192.0.2.1"]),
            ["true net.ipv4.conf.all.arp_ignore 0", "true net.ipv4.conf.all.arp_announce 0"]
        );
        let quiet_there = [
            ("net/ipv4/conf/all/arp_ignore", "0"),
            ("net/ipv4/conf/eth0/arp_ignore", "1"),
            ("net/ipv4/conf/all/arp_announce", "2"),
            ("net/ipv4/conf/eth0/arp_announce", "0"),
        ];
        let text = DR.to_owned() + &instance("A", 1, "192.0.2.1");
        assert_eq!(said(&text, &quiet_there, true, &["192.0.2.1"]), [""; 0]);
    }

    #[test]
    fn a_strict_reverse_path_filter_is_named_where_adverts_come_in() {
        let text = instance("A", 1, "192.0.2.1");
        let strict = [("net/ipv4/conf/all/rp_filter", "1"), ("net/ipv4/conf/eth0/rp_filter", "0")];
        assert_eq!(said(&text, &strict, false, &[]), ["false net.ipv4.conf.eth0.rp_filter 1"]);
        let loose = [("net/ipv4/conf/all/rp_filter", "2"), ("net/ipv4/conf/eth0/rp_filter", "1")];
        assert_eq!(said(&text, &loose, false, &[]), [""; 0]);
    }

    #[test]
    fn two_instances_in_one_network_need_secondaries_to_be_promoted() {
        let off =
            [("net/ipv4/conf/all/promote_secondaries", "0"), ("net/ipv4/conf/eth0/promote_secondaries", "0")];
        let apart = instance("A", 1, "192.0.2.1/24") + &instance("B", 2, "192.0.2.2/32");
        assert_eq!(said(&apart, &off, false, &[]), [""; 0]);
        let together = instance("A", 1, "192.0.2.1/24") + &instance("B", 2, "192.0.2.2/24");
        assert_eq!(said(&together, &off, false, &[]), ["false net.ipv4.conf.eth0.promote_secondaries 0"]);
    }

    #[test]
    fn a_full_table_of_connections_is_an_outage() {
        let full = [("net/netfilter/nf_conntrack_max", "1000"), ("net/netfilter/nf_conntrack_count", "800")];
        assert_eq!(said("", &full, false, &[]), ["true net.netfilter.nf_conntrack_max 1000 with 800 in use"]);
        let free = [("net/netfilter/nf_conntrack_max", "1000"), ("net/netfilter/nf_conntrack_count", "799")];
        assert_eq!(said("", &free, false, &[]), [""; 0]);
    }
}
