//! Sockets that checkd may not open itself: the parent opens them and hands them over.
//!
//! Decides which check needs which socket, and how many of one kind there are. Opening is the parent's, use is checkd's.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Model;
use super::check::{Carrier, CheckKind};
use super::vrrp::Family;

/// What distinguishes one such socket from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LentSocket {
    /// What it carries.
    pub carrier: Carrier,
    /// Family of its addresses.
    pub family: Family,
    /// `fwmark`, 0 for none: a mark takes NET_ADMIN.
    pub mark: u32,
    /// `bindto`.
    pub bind_to: Option<IpAddr>,
    /// `bind_port`: below 1024 it takes NET_BIND_SERVICE.
    pub bind_port: Option<u16>,
    /// `bind_if`; checkd binds to it when it first uses the socket, since the interface may come late.
    pub bind_interface: Option<String>,
}

impl fmt::Display for LentSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Inet => "IPv4",
            Family::Inet6 => "IPv6",
        };
        let carrier = match self.carrier {
            Carrier::Tcp => "TCP",
            Carrier::Udp => "UDP",
            Carrier::Icmp => "ICMP",
        };
        write!(f, "{carrier} over {family}")?;
        if self.mark != 0 {
            write!(f, " fwmark {}", self.mark)?;
        }
        if let Some(address) = self.bind_to {
            write!(f, " bindto {address}")?;
        }
        if let Some(port) = self.bind_port {
            write!(f, " bind_port {port}")?;
        }
        self.bind_interface.as_ref().map_or(Ok(()), |name| write!(f, " bind_if {name}"))
    }
}

/// Most sockets of one kind: so many checks of that kind are under way at once.
pub const MOST_LENT: u16 = 128;

/// Most kinds of sockets in one configuration.
pub const MOST_LENT_KINDS: usize = 512;

/// Ports below this one are root's (ip(7), `ip_unprivileged_port_start`).
pub const FIRST_FREE_PORT: u16 = 1024;

impl CheckKind {
    /// The socket that this check borrows, if it can't open its own.
    #[must_use]
    pub fn lent(&self) -> Option<LentSocket> {
        let (endpoint, carrier) = (self.endpoint()?, self.carrier()?);
        let privileged_port = endpoint.bind_port.is_some_and(|port| port < FIRST_FREE_PORT);
        let needed = carrier == Carrier::Icmp || endpoint.mark != 0 || privileged_port;
        needed.then(|| LentSocket {
            carrier,
            family: Family::of(&endpoint.target.ip()),
            mark: endpoint.mark,
            bind_to: endpoint.bind_to,
            bind_port: endpoint.bind_port,
            bind_interface: endpoint.bind_interface.clone(),
        })
    }
}

impl Model {
    /// The sockets that checks borrow, and how many of each: one per check within bounds, but a single one for all
    /// pings of a kind, since an answer names its question.
    #[must_use]
    pub fn lent_sockets(&self) -> BTreeMap<LentSocket, u16> {
        let mut kinds: BTreeMap<LentSocket, u16> = BTreeMap::new();
        let servers = self.virtual_servers.iter().flat_map(|service| &service.real_servers);
        for socket in servers.flat_map(|server| &server.checks).filter_map(|check| check.kind.lent()) {
            let most = if socket.carrier == Carrier::Icmp { 1 } else { MOST_LENT };
            let count = kinds.entry(socket).or_default();
            *count = count.saturating_add(1).min(most);
        }
        // Few kinds get many sockets each, many kinds few: together they stay a bounded number of descriptors.
        let share = u16::try_from(MOST_LENT_KINDS.checked_div(kinds.len()).unwrap_or(1)).unwrap_or(1).max(1);
        kinds.values_mut().for_each(|count| *count = (*count).min(share));
        kinds
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::check::Endpoint;

    fn endpoint() -> Endpoint {
        Endpoint::new("192.0.2.1:80".parse().unwrap(), Duration::from_secs(5))
    }

    #[test]
    fn a_plain_check_opens_its_own_socket() {
        assert_eq!(CheckKind::Tcp(endpoint()).lent(), None);
        assert_eq!(CheckKind::Tcp(Endpoint { bind_port: Some(1024), ..endpoint() }).lent(), None);
    }

    #[test]
    fn pings_marks_and_low_ports_are_lent() {
        let socket = LentSocket {
            carrier: Carrier::Tcp,
            family: Family::Inet,
            mark: 0,
            bind_to: None,
            bind_port: None,
            bind_interface: None,
        };
        let marked = CheckKind::Tcp(Endpoint { mark: 7, ..endpoint() });
        assert_eq!(marked.lent(), Some(LentSocket { mark: 7, ..socket.clone() }));
        let low = CheckKind::Tcp(Endpoint { bind_port: Some(1023), ..endpoint() });
        assert_eq!(low.lent(), Some(LentSocket { bind_port: Some(1023), ..socket.clone() }));
        let ping = CheckKind::Ping(endpoint());
        assert_eq!(ping.lent(), Some(LentSocket { carrier: Carrier::Icmp, ..socket }));
    }
}
