//! The words of the kernel's IPVS table: what a service and a destination are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::units::InstanceId;
use super::vrrp::Family;

/// `global_defs` of the table as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct IpvsSettings {
    /// `lvs_timeouts`.
    pub timeouts: ConnectionTimeouts,
    /// `lvs_flush`: the table is emptied when the suite starts, other people's services included.
    pub flush_at_start: bool,
    /// `lvs_flush_on_stop` without `VS`: the same when it stops.
    pub flush_on_stop: bool,
    /// `lvs_sync_daemon`.
    pub sync: Option<SyncDaemon>,
    /// `lvs_netlink_cmd_rcv_bufs`: receive buffer of the socket to the kernel, in bytes.
    pub receive_buffer: Option<u32>,
    /// `lvs_netlink_cmd_rcv_bufs_force`: also beyond the system's limit.
    pub receive_buffer_forced: bool,
    /// `nftables_ipvs`: the addresses of a group get a mark, and the mark is the service.
    pub marks: Option<MarkTable>,
}

/// The table of nftables that marks packets for groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkTable {
    /// Its name, 1 to 255 bytes.
    pub name: String,
    /// `nftables_ipvs_priority`: of its chain among those of the input hook.
    pub priority: i32,
    /// `nftables_ipvs_start_fwmark`: this mark and those above it are the suite's.
    pub first: u32,
    /// `nftables_counters`: its rules and elements count packets.
    pub counters: bool,
}

/// Addresses whose packets get the mark of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// The mark, not 0.
    pub mark: u32,
    /// Transport.
    pub protocol: Protocol,
    /// The addresses as they were written.
    pub ranges: Vec<AddressRange>,
}

/// Addresses from first to last, with one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AddressRange {
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same family.
    pub last: IpAddr,
    /// Port in host order, 0 for any.
    pub port: u16,
}

/// Seconds after which the kernel forgets an idle connection; 0 leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ConnectionTimeouts {
    /// `tcp`
    pub tcp: u32,
    /// `tcpfin`
    pub tcp_fin: u32,
    /// `udp`
    pub udp: u32,
}

/// `lvs_sync_daemon`: the kernel tells other directors of its connections, or listens to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    /// Interface of its messages, at most 15 bytes.
    pub interface: String,
    /// `inst`: it sends while this instance is Master and listens while it isn't. Without one it does both.
    pub instance: Option<InstanceId>,
    /// `id`, default the instance's `virtual_router_id`, else 0.
    pub id: u8,
    /// `maxlen` in bytes.
    pub max_length: Option<u16>,
    /// `port`
    pub port: Option<u16>,
    /// `ttl`
    pub ttl: Option<u8>,
    /// `group`, a multicast address.
    pub group: Option<IpAddr>,
}

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
    /// In an outer packet; the server may be of the other family.
    Tunnel(Encapsulation),
}

/// What the outer packet of a tunnel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Encapsulation {
    /// `type ipip`: IP in IP.
    Ipip,
    /// `type gue`: generic UDP encapsulation.
    Gue {
        /// UDP port, not 0.
        port: u16,
        /// Checksums.
        checksum: Checksum,
    },
    /// `type gre`.
    Gre {
        /// `csum`: with a checksum.
        checksum: bool,
    },
}

/// Checksums of generic UDP encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Checksum {
    /// `nocsum`
    None,
    /// `csum`: the outer packet has one.
    Outer,
    /// `remcsum`: the far end computes the inner one.
    Remote,
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
    /// `persistence_engine`, at most 15 bytes.
    pub persistence_engine: Option<String>,
    /// `ops`: one-packet scheduling.
    pub one_packet: bool,
    /// `flag-1`, `sh-fallback`, `mh-fallback`.
    pub flag1: bool,
    /// `flag-2`, `sh-port`, `mh-port`.
    pub flag2: bool,
    /// `flag-3`.
    pub flag3: bool,
}

impl ServiceOptions {
    /// A scheduler and nothing else.
    #[must_use]
    pub fn plain(scheduler: &str) -> Self {
        Self {
            scheduler: scheduler.to_owned(),
            persistence_timeout: None,
            persistence_prefix: None,
            persistence_engine: None,
            one_packet: false,
            flag1: false,
            flag2: false,
            flag3: false,
        }
    }
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

/// Every address from first to last.
pub(crate) fn addresses(first: IpAddr, last: IpAddr) -> impl Iterator<Item = IpAddr> {
    (number(first)..=number(last)).map(move |value| address_of(first, value))
}

/// Address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Number as an address of the same family as another.
pub(crate) fn address_of(like: IpAddr, value: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(value).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(value)),
    }
}
