//! Virtual servers, their groups and real servers.

use std::time::Duration;

use super::check::is_writable_limit;
use super::{Page, family_word, word};
use crate::model::check::{CheckKind, RealServer, VirtualServer};
use crate::model::ipvs::{Checksum, Encapsulation, Forwarding, Protocol, ServiceKey};

impl Page<'_> {
    pub(super) fn service(&mut self, service: &VirtualServer) {
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
    pub(super) fn group(&mut self, name: &str, service: &VirtualServer) {
        let model = self.model;
        let users = || model.virtual_servers.iter().filter(|user| group_name(user) == Some(name));
        if !users().next().is_some_and(|first| std::ptr::eq(first, service)) {
            return;
        }
        self.open("virtual_server_group", name);
        if let Some(marked) = &service.marked {
            for range in &marked.ranges {
                self.set(&format!("{}-{}", range.first, range.last), range.port);
            }
            return self.close();
        }
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

    pub(super) fn service_body(&mut self, service: &VirtualServer) {
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
        self.flag("ha_suspend", service.ha_suspend);
        self.boolean("smtp_alert", service.mail);
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

    pub(super) fn server(&mut self, server: &RealServer) {
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
        self.boolean("smtp_alert", server.mail);
        for check in &server.checks {
            self.check(check);
        }
        self.close();
    }
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
        | CheckKind::Udp(_)
        | CheckKind::Ping(_)
        | CheckKind::File(_) => None,
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
