//! The words of the kernel's IPVS table: what a service and a destination are.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::vrrp::Family;

/// Transport protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// 6
    Tcp,
    /// 17
    Udp,
    /// 132
    Sctp,
}

impl Protocol {
    /// IP protocol number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Name as in log lines and FIFO records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// What the kernel knows a service by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServiceKey {
    /// Address, protocol and port; port 0 is any port and needs persistence.
    Address {
        /// Virtual address.
        address: IpAddr,
        /// Port in host order.
        port: u16,
        /// Transport.
        protocol: Protocol,
    },
    /// Packet mark.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// Family, which the mark itself doesn't tell.
        family: Family,
    },
}

impl ServiceKey {
    /// Family of the service.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(address),
            Self::Mark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    /// `[ADDR]:proto:PORT` or `FWM n`, as in upstream's log lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, port, protocol } => write!(f, "[{address}]:{}:{port}", protocol.name()),
            Self::Mark { mark, .. } => write!(f, "FWM {mark}"),
        }
    }
}

/// How packets reach a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Forwarding {
    /// Masquerading.
    Nat,
    /// Direct routing.
    DirectRouting,
    /// IP in IP.
    Tunnel,
}

/// Attributes of a service that its virtual_server block sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceOptions {
    /// Name of the scheduler, at most 15 bytes.
    pub scheduler: String,
    /// `persistence_timeout` in seconds; `None` is off.
    pub persistence_timeout: Option<u32>,
    /// `persistence_granularity` as a prefix length; `None` is all bits.
    pub persistence_prefix: Option<u8>,
    /// `ops`: one-packet scheduling.
    pub one_packet: bool,
}

/// One destination of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Destination {
    /// Address of the server.
    pub address: IpAddr,
    /// Port in host order; 0 for a service by mark with DR or tunnel.
    pub port: u16,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// `uthreshold`, 0 is none.
    pub upper_threshold: u32,
    /// `lthreshold`, 0 is none.
    pub lower_threshold: u32,
}
