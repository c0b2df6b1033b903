//! `vrrp_instance` and what belongs to it, as vrrpd sees it.
//!
//! Ranges are checked here by type or by the schema; meanings are those of keepalived.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buffers::Buffers;
use super::hmac::HmacAuthentication;
pub use super::network::{
    AddressOptions, Broadcast, Congestion, Metric, MetricKind, NextHop, Placement, PreferredLifetime,
    RouteKind, VirtualAddress, VirtualRoute,
};
use super::track::{TrackFile, TrackProcess};
use super::units::{AdvertInterval, InstanceId, Priority, ScriptId, Vrid};

/// Protocol version of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Version {
    /// RFC 3768, IPv4 (and, as an extension of the field, IPv6).
    V2,
    /// RFC 9568.
    V3,
}

/// Address family of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// Family of an address.
    #[must_use]
    pub fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }
}

/// Settings that all instances share (`global_defs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpGlobal {
    /// `router_id`, default the host name.
    pub router_id: String,
    /// `vrrp_mcast_group4`, default 224.0.0.18.
    pub multicast_group4: Ipv4Addr,
    /// `vrrp_mcast_group6`, default ff02::12.
    pub multicast_group6: Ipv6Addr,
    /// `vrrp_startup_delay`: no instance takes part in an election before it has passed.
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`: nor before the machine has been up for so long.
    pub delay_after_boot: Duration,
    /// `log_unknown_vrids`: adverts of virtual routers that aren't ours are worth a line.
    pub log_unknown_vrids: bool,
    /// How fast announcements may follow each other on an interface.
    pub paces: AnnouncePaces,
    /// Receive buffers.
    pub buffers: Buffers,
    /// `interface_up_down_delays`.
    pub link_delays: Vec<LinkDelay>,
}

/// How long an interface must be down or up before that counts (`interface_up_down_delays`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDelay {
    /// Its name.
    pub interface: String,
    /// 0..=255 s.
    pub down: Duration,
    /// 0..=255 s.
    pub up: Duration,
}

/// Least times between two announcements on one interface (`vrrp_garp_interval`, `vrrp_gna_interval`, `garp_group`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AnnouncePaces {
    /// Of interfaces that are in no group.
    pub every: Pace,
    /// Groups.
    pub groups: Vec<PaceGroup>,
}

/// Least time between two announcements; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Gratuitous ARP.
    pub arp: Duration,
    /// Unsolicited neighbour advertisements.
    pub neighbour: Duration,
}

/// `garp_group`: interfaces that share one pace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaceGroup {
    /// Names of the interfaces.
    pub interfaces: Vec<String>,
    /// Their pace.
    pub pace: Pace,
}

impl Default for VrrpGlobal {
    fn default() -> Self {
        Self {
            router_id: String::new(),
            multicast_group4: Ipv4Addr::new(224, 0, 0, 18),
            multicast_group6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            startup_delay: Duration::ZERO,
            paces: AnnouncePaces::default(),
            link_delays: Vec::new(),
            delay_after_boot: Duration::ZERO,
            log_unknown_vrids: false,
            buffers: Buffers::default(),
        }
    }
}

/// One `vrrp_instance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Name of the block; the identity of the instance across reloads.
    pub name: String,
    /// `virtual_router_id`.
    pub vrid: Vrid,
    /// `version`, after its defaults.
    pub version: Version,
    /// Family of the adverts.
    pub family: Family,
    /// `interface`; absent only for unicast instances with a source address.
    pub interface: Option<String>,
    /// `dont_track_primary`: the own interface going down is no fault.
    pub dont_track_primary: bool,
    /// `track_src_ip`: the configured source address being absent is a fault.
    pub track_source: bool,
    /// `state`, a wish only: see keepalived.conf(5).
    pub wants_master: bool,
    /// `priority`, 1..=255, after its defaults.
    pub priority: Priority,
    /// `advert_int`.
    pub advert_interval: AdvertInterval,
    /// `nopreempt` and `preempt_delay`.
    pub preempt: Preempt,
    /// `accept`: the Master answers for the addresses (always so for an owner).
    pub accept: bool,
    /// How adverts travel.
    pub transport: Transport,
    /// `authentication`, VRRPv2 only.
    pub authentication: Authentication,
    /// `auth_hmac`; never beside `authentication`.
    pub hmac: Option<Box<HmacAuthentication>>,
    /// `strict_mode`: the letter of the standard; its effects are in the other fields.
    pub strict: bool,
    /// Checksum of VRRPv3 over IPv4.
    pub checksum: ChecksumRule,
    /// `virtual_ipaddress`, in the order of the file: carried in adverts.
    pub addresses: Vec<VirtualAddress>,
    /// `virtual_ipaddress_excluded`: held with the others, not carried in adverts.
    pub excluded: Vec<VirtualAddress>,
    /// `virtual_routes`: installed after the addresses, withdrawn before them.
    pub routes: Vec<VirtualRoute>,
    /// `track_interface`.
    pub track_interfaces: Vec<TrackInterface>,
    /// `track_script`.
    pub track_scripts: Vec<TrackScript>,
    /// `track_file`.
    pub track_files: Vec<TrackFile>,
    /// `track_process`.
    pub track_processes: Vec<TrackProcess>,
    /// `vip_lease`: the kernel removes addresses that were not renewed for so many seconds.
    pub lease: Option<u32>,
    /// `vip_restore`: what becomes of a Master whose address somebody else removes.
    pub removed: Removed,
    /// `promote_secondaries`: the parent has the kernel keep the other addresses of a network whose first one goes.
    pub promote_secondaries: bool,
    /// `kernel_rx_buf_size`: bytes that it adds to the receive buffer of the socket that hears its adverts.
    pub receive_buffer: Option<u32>,
    /// `garp_*`: gratuitous ARP and unsolicited neighbour advertisements.
    pub announce: Announce,
    /// `down_timer_adverts`, 1..=100: missed adverts before a Backup takes over.
    pub down_timer_adverts: u8,
    /// `lower_prio_no_advert`: a Master doesn't answer a lower priority.
    pub lower_priority_no_advert: bool,
    /// `higher_prio_send_advert`: a Master sends one advert before it yields. Always on unless upstream's
    /// silent behaviour is asked for; see docs/differences.md.
    pub higher_priority_send_advert: bool,
    /// `check_unicast_src`, or a TTL bound of any peer: an advert from an address that is no configured peer is
    /// refused.
    pub check_unicast_source: bool,
    /// `skip_check_adv_addr`.
    pub skip_check_advert_addresses: bool,
    /// `owner_ignore_adverts`: an address owner hears nobody.
    pub owner_ignores_adverts: bool,
    /// `timer_expired_backup`: a Master that wakes up so late that a Backup of this priority has taken over
    /// leaves in silence.
    pub timer_expired_backup: Option<Priority>,
}

/// What makes a virtual router the same one after a reload. It may speak another version: whoever moves a pair from 2 to
/// 3 keeps the service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouterIdentity {
    /// `virtual_router_id`.
    pub vrid: Vrid,
    /// Family of the adverts.
    pub family: Family,
    /// `interface`.
    pub interface: Option<String>,
    /// Group that adverts go to; none for unicast.
    pub group: Option<IpAddr>,
}

/// What becomes of a Master whose address somebody else removes (`vip_restore`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Removed {
    /// `restore`: the address is put back, and that is all.
    #[default]
    PutBack,
    /// `upstream`: it resigns, removes the others and is elected again.
    StepDown,
}

/// Checksum of VRRPv3 over IPv4: what its pseudo header holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumRule {
    /// The true destination; unicast peers that sum over the group instead are recognised and followed.
    Detect,
    /// The true destination (`old_unicast_checksum never`).
    Standard,
    /// The group, though adverts are unicast (`old_unicast_checksum`).
    OldUnicast,
    /// There is none, and received sums don't count (`v3_checksum_as_v2`).
    NoPseudoHeader,
}

/// One `vrrp_sync_group` with at least one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncGroup {
    /// Name of the block.
    pub name: String,
    /// Instances that change state together, in the order of the file.
    pub members: Vec<InstanceId>,
}

/// Whether a Backup with a higher priority takes over from a living Master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preempt {
    /// Yes, this long after the first lower-priority advert (0: at once).
    After(Duration),
    /// `nopreempt`.
    Never,
}

/// How adverts travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// To the group of the instance's family, TTL 255.
    Multicast {
        /// Destination group.
        group: IpAddr,
        /// `mcast_src_ip`; otherwise the interface's first suitable address.
        source: Option<IpAddr>,
    },
    /// To each peer.
    Unicast {
        /// `unicast_src_ip`; otherwise the interface's first suitable address.
        source: Option<IpAddr>,
        /// `unicast_peer`; none makes the instance faulty (`unicast_fault_no_peer`).
        peers: Vec<Peer>,
        /// `unicast_ttl`, default 255.
        ttl: u8,
        /// Group of the family: old checksums are made for it.
        group: IpAddr,
    },
}

impl Transport {
    /// The address that adverts are told to come from.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Multicast { source, .. } | Self::Unicast { source, .. } => *source,
        }
    }

    /// True when adverts go to peers, not to a group.
    #[must_use]
    pub fn is_unicast(&self) -> bool {
        matches!(self, Self::Unicast { .. })
    }
}

/// One line of `unicast_peer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Where adverts go, and where they may come from.
    pub address: IpAddr,
    /// `min_ttl`, default 0: adverts from further away are refused.
    pub min_ttl: u8,
    /// `max_ttl`, default 255.
    pub max_ttl: u8,
}

impl Peer {
    /// A peer whose TTL doesn't matter.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self { address, min_ttl: 0, max_ttl: u8::MAX }
    }

    /// True when an advert from it with this TTL may be heard.
    #[must_use]
    pub fn takes(&self, ttl: u8) -> bool {
        (self.min_ttl..=self.max_ttl).contains(&ttl)
    }
}

/// VRRPv2 authentication (RFC 2338 section 5.3.6).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// Type 0.
    None,
    /// Type 1: eight bytes, zero padded.
    Pass([u8; 8]),
    /// Type 2: HMAC-MD5-96 in an authentication header (RFC 2402), by this key, zero padded; IPv4 only.
    Ah([u8; 8]),
}

impl std::fmt::Debug for Authentication {
    /// Never shows the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Pass(_) => f.write_str("Pass(..)"),
            Self::Ah(_) => f.write_str("Ah(..)"),
        }
    }
}

/// One line of `track_interface`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackInterface {
    /// Interface name.
    pub interface: String,
    /// Effect on the priority, -253..=253; 0 means FAULT while down.
    pub weight: i16,
    /// `reverse`.
    pub reverse: bool,
}

/// One line of `track_script`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackScript {
    /// Position in `tracked_scripts`.
    pub tracked: u32,
    /// Effect on the priority, -253..=253; 0 means FAULT while failing.
    pub weight: i16,
    /// `reverse`.
    pub reverse: bool,
}

/// One `vrrp_script`: when it runs and how its results count. The command is the parent's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedScript {
    /// Name of the block.
    pub name: String,
    /// What the parent is asked to run.
    pub script: ScriptId,
    /// `interval`, default 1 s.
    pub interval: Duration,
    /// `timeout`, default the interval.
    pub timeout: Duration,
    /// `rise`, at least 1.
    pub rise: u32,
    /// `fall`, at least 1.
    pub fall: u32,
    /// `init_fail`: failed until it first succeeds.
    pub init_fail: bool,
    /// `weight`: what lines of `track_script` without one have. State files show it.
    pub weight: i16,
    /// `reverse` behind it.
    pub reverse: bool,
}

/// When and how often an address is announced (keepalived.conf(5), `garp_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// `garp_master_delay`: the second burst comes this long after the first; 0 means none.
    pub delay: Duration,
    /// `garp_master_repeat`: messages per address in a burst, at least 1.
    pub repeat: u32,
    /// `garp_master_refresh`: 0 means never.
    pub refresh: Duration,
    /// `garp_master_refresh_repeat`, at least 1.
    pub refresh_repeat: u32,
    /// `garp_lower_prio_delay`.
    pub lower_priority_delay: Duration,
    /// `garp_lower_prio_repeat`; 0 means none.
    pub lower_priority_repeat: u32,
    /// `garp_extra_if all`: one message for each other interface with an address; 0 means never.
    pub extra: Duration,
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            repeat: 5,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_priority_delay: Duration::from_secs(5),
            lower_priority_repeat: 5,
            extra: Duration::ZERO,
        }
    }
}

impl Instance {
    /// The least time that any Backup waits for the next advert before it takes over: `down_timer_adverts`
    /// intervals (RFC 9568 section 6.1 without the skew, which is least for the highest priority).
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.advert_interval.duration().saturating_mul(u32::from(self.down_timer_adverts))
    }

    /// What makes it the same virtual router after a reload.
    #[must_use]
    pub fn identity(&self) -> RouterIdentity {
        let group = match &self.transport {
            Transport::Multicast { group, .. } => Some(*group),
            Transport::Unicast { .. } => None,
        };
        RouterIdentity { vrid: self.vrid, family: self.family, interface: self.interface.clone(), group }
    }

    /// Seconds of a lease that nobody has chosen: longer than any Backup waits, so that the address goes when its
    /// successor is there, and at least two.
    #[must_use]
    pub fn usual_lease(&self) -> u32 {
        let patience = self.patience();
        let seconds = patience.as_secs().saturating_add(u64::from(patience.subsec_nanos() > 0));
        u32::try_from(seconds.saturating_add(1)).unwrap_or(u32::MAX).max(2)
    }
}
