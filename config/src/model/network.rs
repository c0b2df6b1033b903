//! Addresses and routes: those of a Master, and static ones.
//!
//! Ranges are checked by type or by the schema; names (scopes, tables, protocols) are numbers here.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::units::InstanceId;

/// An address that the Master holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// Address and prefix length (default /32, /128).
    pub network: IpNetwork,
    /// `dev`; otherwise the instance's interface.
    pub interface: Option<String>,
    /// `scope`, the number of rt_scopes (global 0, link 253, host 254); IPv4 only.
    pub scope: u8,
    /// `brd`.
    pub broadcast: Broadcast,
    /// `label`, at most 15 bytes; IPv4 only.
    pub label: Option<String>,
    /// `peer`: the other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// Options that the kernel keeps as flags.
    pub options: AddressOptions,
    /// `preferred_lft`; IPv6 only.
    pub preferred: PreferredLifetime,
    /// `no_track`: the state of its interface doesn't matter.
    pub no_track: bool,
    /// `no_lease`: it stays when nobody renews it.
    pub no_lease: bool,
}

impl VirtualAddress {
    /// An address without options.
    #[must_use]
    pub fn new(network: IpNetwork) -> Self {
        Self {
            network,
            interface: None,
            scope: 0,
            broadcast: Broadcast::Unset,
            label: None,
            peer: None,
            options: AddressOptions::default(),
            preferred: PreferredLifetime::Usual,
            no_track: false,
            no_lease: false,
        }
    }
}

/// Options of an address that the kernel keeps as flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressOptions {
    /// `home`: a home address of Mobile IPv6.
    pub home: bool,
    /// `-nodad`: duplicate address detection of IPv6 takes place.
    pub detect_duplicates: bool,
    /// `mngtmpaddr`: temporary addresses are made from it.
    pub manage_temporary: bool,
    /// `noprefixroute`: the kernel makes no route to its network.
    pub no_prefix_route: bool,
    /// `autojoin`: the kernel joins this multicast group.
    pub auto_join: bool,
}

/// `preferred_lft`: how long an IPv6 address is used for new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreferredLifetime {
    /// Not at all with prefix length 128, for ever with any other.
    Usual,
    /// For ever.
    Forever,
    /// Seconds after it was added.
    Seconds(u32),
}

/// `brd` of an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Broadcast {
    /// None.
    Unset,
    /// `+` or `-`: host bits all ones or all zeroes.
    HostBits {
        /// True for `+`.
        ones: bool,
    },
    /// An address.
    Address(Ipv4Addr),
}

/// One line of `virtual_routes` or `static_routes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualRoute {
    /// What becomes of packets.
    pub kind: RouteKind,
    /// Destination; prefix length 0 is the default route.
    pub destination: IpNetwork,
    /// `from`: only packets from there; IPv6 only.
    pub from: Option<IpNetwork>,
    /// `tos`.
    pub tos: u8,
    /// `via`.
    pub gateway: Option<IpAddr>,
    /// `dev`.
    pub interface: Option<String>,
    /// `src`.
    pub source: Option<IpAddr>,
    /// `scope`, default 0 (global); IPv4 only.
    pub scope: u8,
    /// `table`, default 254 (main).
    pub table: u32,
    /// `protocol`, default 18 (keepalived).
    pub protocol: u8,
    /// `metric`.
    pub metric: Option<u32>,
    /// `onlink`.
    pub on_link: bool,
    /// `expires`, seconds; IPv6 only.
    pub expires: Option<u32>,
    /// `pref`: 0 medium, 1 high, 3 low; IPv6 only.
    pub preference: Option<u8>,
    /// `ttl-propagate`.
    pub ttl_propagate: Option<bool>,
    /// `realms`: source and destination; IPv4 only.
    pub realms: Option<(u16, u16)>,
    /// Settings of connections over it, each at most once.
    pub metrics: Vec<Metric>,
    /// `congctl`.
    pub congestion: Option<Congestion>,
    /// `nexthop`: several next hops instead of `via` and `dev`.
    pub next_hops: Vec<NextHop>,
    /// `add`, `append` or `prepend`.
    pub placement: Placement,
    /// `no_track`: the state of its interface doesn't matter.
    pub no_track: bool,
}

impl VirtualRoute {
    /// A unicast route of the main table without next hop.
    #[must_use]
    pub fn to(destination: IpNetwork) -> Self {
        Self {
            kind: RouteKind::Unicast,
            destination,
            from: None,
            tos: 0,
            gateway: None,
            interface: None,
            source: None,
            scope: 0,
            table: 254,
            protocol: 18,
            metric: None,
            on_link: false,
            expires: None,
            preference: None,
            ttl_propagate: None,
            realms: None,
            metrics: Vec::new(),
            congestion: None,
            next_hops: Vec::new(),
            placement: Placement::Prepend,
            no_track: false,
        }
    }
}

/// What becomes of packets that a route matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteKind {
    /// They go to the next hop.
    Unicast,
    /// They are this host's.
    Local,
    /// They are this host's, as broadcasts.
    Broadcast,
    /// They are this host's, and may be another's.
    Anycast,
    /// They go to a group.
    Multicast,
    /// They vanish.
    Blackhole,
    /// They vanish and the sender is told that the host is unreachable.
    Unreachable,
    /// They vanish and the sender is told that it is not allowed.
    Prohibit,
    /// The search goes on in the next table.
    Throw,
}

impl RouteKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Unicast,
        Self::Local,
        Self::Broadcast,
        Self::Anycast,
        Self::Multicast,
        Self::Blackhole,
        Self::Unreachable,
        Self::Prohibit,
        Self::Throw,
    ];

    /// Word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
        }
    }
}

/// A setting of connections over a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Which one.
    pub kind: MetricKind,
    /// Its value, in the unit that the kernel keeps.
    pub value: u32,
    /// `lock`: connections don't change it.
    pub locked: bool,
}

/// Settings of connections over a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MetricKind {
    /// `mtu`, bytes.
    Mtu,
    /// `window`, bytes.
    Window,
    /// `rtt`, eighths of a millisecond.
    Rtt,
    /// `rttvar`, quarters of a millisecond.
    RttVariance,
    /// `ssthresh`, segments.
    SlowStart,
    /// `cwnd`, segments.
    CongestionWindow,
    /// `advmss`, bytes.
    AdvertisedSegment,
    /// `reordering`, segments.
    Reordering,
    /// `hoplimit`.
    HopLimit,
    /// `initcwnd`, segments.
    InitialWindow,
    /// `features`: 1 is ECN.
    Features,
    /// `rto_min`, milliseconds.
    LeastTimeout,
    /// `initrwnd`, segments.
    InitialReceiveWindow,
    /// `quickack`: 0 or 1.
    QuickAcknowledge,
    /// `fastopen_no_cookie`: 0 or 1.
    FastOpenWithoutCookie,
}

impl MetricKind {
    /// Every setting.
    pub const ALL: [Self; 15] = [
        Self::Mtu,
        Self::Window,
        Self::Rtt,
        Self::RttVariance,
        Self::SlowStart,
        Self::CongestionWindow,
        Self::AdvertisedSegment,
        Self::Reordering,
        Self::HopLimit,
        Self::InitialWindow,
        Self::Features,
        Self::LeastTimeout,
        Self::InitialReceiveWindow,
        Self::QuickAcknowledge,
        Self::FastOpenWithoutCookie,
    ];

    /// Word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Mtu => "mtu",
            Self::Window => "window",
            Self::Rtt => "rtt",
            Self::RttVariance => "rttvar",
            Self::SlowStart => "ssthresh",
            Self::CongestionWindow => "cwnd",
            Self::AdvertisedSegment => "advmss",
            Self::Reordering => "reordering",
            Self::HopLimit => "hoplimit",
            Self::InitialWindow => "initcwnd",
            Self::Features => "features",
            Self::LeastTimeout => "rto_min",
            Self::InitialReceiveWindow => "initrwnd",
            Self::QuickAcknowledge => "quickack",
            Self::FastOpenWithoutCookie => "fastopen_no_cookie",
        }
    }

    /// The kernel's number (`RTAX_*`).
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Mtu => 2,
            Self::Window => 3,
            Self::Rtt => 4,
            Self::RttVariance => 5,
            Self::SlowStart => 6,
            Self::CongestionWindow => 7,
            Self::AdvertisedSegment => 8,
            Self::Reordering => 9,
            Self::HopLimit => 10,
            Self::InitialWindow => 11,
            Self::Features => 12,
            Self::LeastTimeout => 13,
            Self::InitialReceiveWindow => 14,
            Self::QuickAcknowledge => 15,
            Self::FastOpenWithoutCookie => 17,
        }
    }

    /// Milliseconds are kept by the kernel as this many parts each; `None` for what is no time.
    #[must_use]
    pub fn parts_of_a_millisecond(self) -> Option<u32> {
        match self {
            Self::Rtt => Some(8),
            Self::RttVariance => Some(4),
            Self::LeastTimeout => Some(1),
            Self::Mtu
            | Self::Window
            | Self::SlowStart
            | Self::CongestionWindow
            | Self::AdvertisedSegment
            | Self::Reordering
            | Self::HopLimit
            | Self::InitialWindow
            | Self::Features
            | Self::InitialReceiveWindow
            | Self::QuickAcknowledge
            | Self::FastOpenWithoutCookie => None,
        }
    }
}

/// `congctl` of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Congestion {
    /// Name of the algorithm, at most 15 bytes.
    pub name: String,
    /// `lock`: connections don't change it.
    pub locked: bool,
}

/// One `nexthop` of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHop {
    /// `via`.
    pub gateway: Option<IpAddr>,
    /// `dev`.
    pub interface: Option<String>,
    /// `weight`, less one.
    pub weight_less_one: u8,
    /// `onlink`.
    pub on_link: bool,
}

/// Place of a route among others to the same destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// In front of them.
    Prepend,
    /// Behind them.
    Append,
    /// There may be no other.
    Alone,
}

/// Addresses and routes that are there whatever the state of instances is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Statics {
    /// `static_ipaddress`; every one names its interface.
    pub addresses: Vec<VirtualAddress>,
    /// `track_group` of each address, a position in `groups`.
    pub address_groups: Vec<Option<u32>>,
    /// `static_routes`.
    pub routes: Vec<VirtualRoute>,
    /// `track_group` of each route.
    pub route_groups: Vec<Option<u32>>,
    /// `track_group` blocks.
    pub groups: Vec<TrackGroup>,
}

impl Statics {
    /// True when there is neither address nor route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty()
    }
}

/// One `track_group`: instances that are faulty while a static item of the group is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackGroup {
    /// Name of the block.
    pub name: String,
    /// Its instances.
    pub members: Vec<InstanceId>,
}
