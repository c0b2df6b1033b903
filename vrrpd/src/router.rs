//! One virtual router at run time: its machine and everything that the driver keeps beside it.
//!
//! Pure: finds the path of adverts; [`judge`] says whether it may take part. Called by the driver.

mod judge;

use std::net::IpAddr;
use std::time::Duration;

use config::model::buffers::{Buffers, Queue};
use config::model::hmac::HmacMode;
use config::model::units::{IfIndex, MonoTime, Priority};
use config::model::vrrp::{Authentication, ChecksumRule, Family, Instance, Peer, Transport, Version};
use ipc::messages::vrrpd::SocketKey;

use crate::explain::Trail;
use crate::holdings::{self, Holdings, Restores};
use crate::kernel::address::Order;
use crate::kernel::link::{Links, Reach};
use crate::log;
use crate::proto::accept::{Reject, Rules};
use crate::proto::advert::{self, Outgoing};
use crate::proto::announce::Announcer;
use crate::proto::auth::replay::Marks;
use crate::proto::auth::signature::{self, Binding};
use crate::proto::auth::{self, Guard};
use crate::proto::faults::Reason;
use crate::proto::limit::{Budget, LINES_PER_INSTANCE, Reasons};
use crate::proto::machine::{Machine, Settings, State};
use crate::proto::sync_group::Standing;
use crate::socket::send::Way;

pub use judge::Verdict;

/// A virtual router.
#[derive(Debug)]
pub struct Router {
    /// Its configuration.
    pub config: Instance,
    /// Decides.
    pub machine: Machine,
    /// Says when to announce.
    pub announcer: Announcer,
    /// Judges datagrams.
    pub rules: Rules,
    /// Its addresses in the kernel.
    pub holdings: Holdings,
    /// Limits its log lines.
    pub limits: Reasons<{ log::KINDS }>,
    /// Limits its log lines about changes of state.
    pub transitions: Budget,
    /// When the state that it is in will be told: the line about it was kept back.
    pub unsaid: Option<MonoTime>,
    /// Counts.
    pub counters: Counters,
    /// How its adverts leave.
    pub path: Path,
    /// The kernel has refused an address.
    pub refusal: Option<Refusal>,
    /// When its last advert left.
    pub last_advert: Option<MonoTime>,
    /// Its last advert could not be sent: neighbours may have forgotten us.
    pub send_failed: bool,
    /// It has said farewell, and the log doesn't say so yet.
    pub untold_farewell: bool,
    /// The machine has been started.
    pub started: bool,
    /// Its start waited for a script: for the log and its peers it comes from elsewhere, as from FAULT.
    pub waited: bool,
    /// Effective priority of the predecessor, until all scripts have reported.
    pub assumed: Option<Priority>,
    /// A reload has brought addresses that are not in place yet.
    pub sets_addresses: bool,
    /// News of Master that waits until the addresses are in place.
    pub master_news: bool,
    /// When it last became Master.
    pub master_since: Option<MonoTime>,
    /// When to look for missing addresses.
    pub verify_at: Option<MonoTime>,
    /// When the lease of its addresses is to be renewed.
    pub renew_at: Option<MonoTime>,
    /// How often addresses are put back.
    pub restores: Restores,
    /// The sync group that it belongs to.
    pub group: Option<Membership>,
    /// What tells old adverts from new.
    pub guard: Guard,
    /// A peer sums its adverts in the old way, so ours are, too.
    pub old_checksum: bool,
    /// By order of an operator it has the least priority.
    pub gives_way: bool,
    /// What explains its state.
    pub trail: Trail,
    carried: Vec<IpAddr>,
    /// The source address of before, while there is none: the farewell is still said in its name.
    lost_source: Option<IpAddr>,
}

/// Belonging to a sync group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Position of the group.
    pub group: usize,
    /// All members are owners that are configured as Master.
    pub eager: bool,
}

/// Counts since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Adverts sent.
    pub sent: u64,
    /// Adverts accepted.
    pub received: u64,
    /// Datagrams refused, by [`Reject::kind`].
    pub rejected: [u64; Reject::KINDS],
    /// Adverts accepted whose addresses differ from ours.
    pub mismatches: u64,
    /// Times it became Master.
    pub became_master: u64,
    /// Adverts of priority 0 accepted.
    pub zero_received: u64,
    /// Adverts of priority 0 sent.
    pub zero_sent: u64,
}

/// How adverts leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path {
    /// Interface, when one is configured and exists.
    pub interface: Option<IfIndex>,
    /// Sender.
    pub source: Option<IpAddr>,
    /// Longest packet that the interface takes.
    pub mtu: Option<u32>,
}

/// The kernel has refused an address; another try comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// When the instance may try again.
    pub until: MonoTime,
    /// How long this wait is; the next one is twice as long, up to [`Refusal::LONGEST`].
    pub wait: Duration,
}

impl Refusal {
    const FIRST: Duration = Duration::from_secs(1);
    /// Longest wait: every try costs the peer that serves a short interruption.
    pub const LONGEST: Duration = Duration::from_secs(600);

    /// Wait after a refusal, given the one before.
    #[must_use]
    pub fn after(before: Option<Self>, now: MonoTime) -> Self {
        let wait = before.map_or(Self::FIRST, |before| (before.wait * 2).min(Self::LONGEST));
        Self { until: now + wait, wait }
    }
}

impl Router {
    /// A router that has not been started.
    #[must_use]
    pub fn new(config: Instance, links: &Links) -> Self {
        let path = Path::find(&config, links);
        let carried = carried(&config, path.mtu);
        let mut rules = Rules::of(&config, path.interface);
        rules.expect_addresses(&carried);
        Self {
            machine: Machine::new(Settings::of(&config, path.source)),
            announcer: Announcer::new(config.announce),
            rules,
            holdings: Holdings::new(&config),
            limits: Reasons::default(),
            transitions: Budget::of(LINES_PER_INSTANCE),
            unsaid: None,
            counters: Counters::default(),
            path,
            refusal: None,
            last_advert: None,
            send_failed: false,
            untold_farewell: false,
            started: false,
            waited: false,
            assumed: None,
            sets_addresses: false,
            master_news: false,
            verify_at: None,
            renew_at: None,
            restores: Restores::default(),
            group: None,
            guard: Guard { marks: Marks::for_peers(peers(&config)), ..Guard::default() },
            old_checksum: false,
            gives_way: false,
            trail: Trail::default(),
            lost_source: None,
            master_since: None,
            carried,
            config,
        }
    }

    /// What the machine has to know of the configuration.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let settings = Settings::of(&self.config, self.path.source);
        match self.group {
            Some(membership) => settings.in_group(membership.eager),
            None => settings,
        }
    }

    /// What it is to its sync group.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.machine.state() {
            State::Init | State::Fault(_) => Standing::Out,
            State::Backup(_) if self.machine.is_ready() => Standing::Ready,
            State::Backup(_) => Standing::Held,
            State::Master { .. } => Standing::Master,
        }
    }

    /// True right after a takeover: a lower priority heard now is the last word of whom it has replaced.
    #[must_use]
    pub fn has_just_won(&self, now: MonoTime) -> bool {
        let pause = self.config.advert_interval.duration().min(FAREWELL);
        self.master_since.is_some_and(|since| now < since + pause)
    }

    /// When the loop must be awake for the machine. A Backup's is a little early: a sleeper that is woken late, and
    /// runs code that it hasn't run for long, would add its delay to an outage. It waits out the rest awake, which
    /// costs nothing as long as the Master speaks.
    #[must_use]
    pub fn wakes_at(&self) -> Option<MonoTime> {
        let due = self.machine.poll_deadline()?;
        Some(match self.machine.state() {
            State::Backup(_) => due - HEAD_START,
            State::Init | State::Master { .. } | State::Fault(_) => due,
        })
    }

    /// True while the loop is awake for the end of a Backup's wait, and that end has not come.
    #[must_use]
    pub fn is_about_to_act(&self, now: MonoTime) -> bool {
        let due = self.machine.poll_deadline();
        due.is_some_and(|due| now < due) && self.wakes_at().is_some_and(|at| now >= at)
    }

    /// What an advert of this priority says.
    #[must_use]
    pub fn advert(&self, priority: Priority) -> Outgoing<'_> {
        Outgoing {
            version: self.config.version,
            vrid: self.config.vrid,
            priority,
            interval: self.config.advert_interval,
            addresses: self.carried(),
            authentication: self.config.authentication,
        }
    }

    /// Addresses that adverts carry.
    #[must_use]
    pub fn carried(&self) -> &[IpAddr] {
        &self.carried
    }

    /// Takes other parameters of the same virtual router. Returns orders that remove what is no longer configured.
    pub fn reconfigure(&mut self, config: Instance, links: &Links, now: MonoTime) -> Vec<Order> {
        let removed = self.holdings.reconfigure(&self.config, &config);
        self.guard.marks.resize(peers(&config));
        self.old_checksum &= config.checksum == self.config.checksum;
        self.announcer.configure(config.announce, self.machine.is_master(), now);
        if config.lease != self.config.lease && self.machine.is_master() {
            self.renew_at = Some(now);
        }
        self.config = config;
        self.path = Path::find(&self.config, links);
        self.rules = Rules::of(&self.config, self.path.interface);
        self.carry();
        removed
    }

    /// Looks up interface and source again; true when either has changed.
    pub fn refresh_path(&mut self, links: &Links) -> bool {
        let path = Path::find(&self.config, links);
        if path == self.path {
            return false;
        }
        self.lost_source = self.speaker();
        self.path = path;
        self.rules.interface = path.interface;
        self.carry();
        true
    }

    fn carry(&mut self) {
        self.carried = carried(&self.config, self.path.mtu);
        self.rules.expect_addresses(&self.carried);
    }

    /// Addresses that are held and, for want of room in an advert, not advertised.
    #[must_use]
    pub fn unadvertised(&self) -> usize {
        self.config.addresses.len().saturating_sub(self.carried.len())
    }

    /// The socket that hears its adverts; `None` while its interface doesn't exist.
    #[must_use]
    pub fn socket_key(&self) -> Option<SocketKey> {
        let inet6 = self.config.family == Family::Inet6;
        let sealed = matches!(self.config.authentication, Authentication::Ah(_));
        match &self.config.transport {
            Transport::Multicast { group, .. } => {
                self.path.interface?;
                let interface = self.config.interface.clone()?;
                Some(SocketKey { interface, inet6, group: group.to_string(), sealed })
            }
            Transport::Unicast { .. } => {
                Some(SocketKey { interface: String::new(), inet6, group: String::new(), sealed })
            }
        }
    }

    /// Bytes that it adds to the queue of the socket that hears its adverts, when the configuration says how many.
    #[must_use]
    pub fn queue(&self, buffers: &Buffers) -> Option<usize> {
        let packets =
            |length: usize| usize::try_from(buffers.multiplier).unwrap_or(usize::MAX).saturating_mul(length);
        let bytes = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        if let Some(size) = self.config.receive_buffer {
            return Some(bytes(size));
        }
        Some(match buffers.adverts? {
            Queue::Bytes(size) => bytes(size),
            Queue::Mtu => packets(self.path.mtu.map_or(USUAL_MTU, bytes)),
            Queue::Advert => packets(self.advert_length()),
        })
    }

    /// Length of the packet that bears an advert.
    fn advert_length(&self) -> usize {
        let Instance { version, family, authentication, hmac, .. } = &self.config;
        let header = match family {
            Family::Inet => 20,
            Family::Inet6 => 40,
        };
        let count = u8::try_from(self.carried.len()).unwrap_or(u8::MAX);
        let message = advert::message_length(*version, *family, *authentication, count);
        message.saturating_add(header).saturating_add(auth::overhead(*authentication, hmac.as_deref()))
    }

    /// In whose name adverts are sent. Peers that are told nothing when the address goes would wait for a whole
    /// down interval.
    fn speaker(&self) -> Option<IpAddr> {
        self.path.source.or(self.lost_source)
    }

    /// Ways of one advert: to the group, or to each peer.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        let Some(source) = self.speaker() else { return Vec::new() };
        let interface = self.path.interface;
        match &self.config.transport {
            Transport::Multicast { group, .. } => {
                vec![Way { source, destination: *group, interface, ttl: u8::MAX }]
            }
            Transport::Unicast { peers, ttl, .. } => {
                let way = |peer: &Peer| Way {
                    source,
                    destination: peer.address,
                    interface: self.way_out(peer.address),
                    ttl: *ttl,
                };
                peers.iter().map(way).collect()
            }
        }
    }

    /// Appends the signature that `auth_hmac` asks for to a message whose checksum is zero.
    pub fn sign(&mut self, message: &mut Vec<u8>, wall: Duration, now: MonoTime) {
        let speaker = self.speaker();
        let Self { config, guard, .. } = self;
        let (Some(hmac), Some(source)) = (&config.hmac, speaker) else { return };
        if hmac.mode == HmacMode::ReceiveOnly {
            return;
        }
        let stamp = guard.pen.next(guard.watch.read(wall, now).steady, hmac.anti_replay, hmac.window);
        let (family, version, vrid) = (config.family, config.version, config.vrid);
        signature::append(hmac, &Binding { family, version, vrid, source }, stamp, message);
    }

    /// Puts the checksum for one destination in its place; `length` is that of the message without signature.
    pub fn set_checksum(&self, way: &Way, length: usize, message: &mut [u8]) {
        let covered = match self.config.family {
            Family::Inet => length,
            Family::Inet6 => message.len(),
        };
        let (mut version, mut destination) = (self.config.version, way.destination);
        if (version, self.config.family) == (Version::V3, Family::Inet) {
            match (self.config.checksum, &self.config.transport) {
                // Version 2 has no pseudo header.
                (ChecksumRule::NoPseudoHeader, _) => version = Version::V2,
                (ChecksumRule::OldUnicast, Transport::Unicast { group, .. }) => destination = *group,
                (ChecksumRule::Detect, Transport::Unicast { group, .. }) if self.old_checksum => {
                    destination = *group;
                }
                (ChecksumRule::Detect | ChecksumRule::OldUnicast | ChecksumRule::Standard, _) => {}
            }
        }
        advert::set_checksum(version, way.source, destination, covered, message);
    }

    /// Only link-local peers need an interface; all others are the routing table's business.
    fn way_out(&self, peer: IpAddr) -> Option<IfIndex> {
        match peer {
            IpAddr::V6(peer) if peer.is_unicast_link_local() => self.path.interface,
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    /// When an instance that is in FAULT because the kernel refused an address may try again.
    #[must_use]
    pub fn tries_again_at(&self) -> Option<MonoTime> {
        match self.machine.state() {
            State::Fault(faults) if faults.contains(Reason::AddressRefused) => {
                self.refusal.map(|refusal| refusal.until)
            }
            State::Init | State::Backup(_) | State::Master { .. } | State::Fault(_) => None,
        }
    }
}

/// MTU of an interface that isn't there.
const USUAL_MTU: usize = 1500;

/// How long before the end of its wait a Backup is awake.
const HEAD_START: Duration = Duration::from_micros(300);

/// Longest time that a farewell may take to arrive.
const FAREWELL: Duration = Duration::from_secs(1);

fn peers(config: &Instance) -> usize {
    match &config.transport {
        Transport::Multicast { .. } => 0,
        Transport::Unicast { peers, .. } => peers.len(),
    }
}

impl Path {
    fn find(instance: &Instance, links: &Links) -> Self {
        let link = instance.interface.as_deref().and_then(|name| links.by_name(name));
        let interface = link.map(|link| IfIndex::new(link.index));
        let chosen = || {
            let virtual_addresses: Vec<IpAddr> =
                holdings::all(instance).map(|address| address.network.ip()).collect();
            links.source(interface?, instance.family, reach(instance), &virtual_addresses)
        };
        let source = match &instance.transport {
            Transport::Multicast { source, .. } => source.or_else(chosen),
            Transport::Unicast { source: Some(source), .. } => Some(*source).filter(|ip| links.has_ip(*ip)),
            Transport::Unicast { source: None, .. } => chosen(),
        };
        Self { interface, source, mtu: link.map(|link| link.mtu) }
    }
}

/// The addresses that fit into an advert.
fn carried(config: &Instance, mtu: Option<u32>) -> Vec<IpAddr> {
    let overhead = auth::overhead(config.authentication, config.hmac.as_deref());
    let Instance { version, family, authentication, .. } = config;
    let mtu = mtu.unwrap_or(u32::MAX);
    let most = advert::most_addresses(*version, *family, *authentication, mtu, overhead);
    config.addresses.iter().take(most).map(|address| address.network.ip()).collect()
}

/// IPv6 adverts come from the link-local address (RFC 9568 section 5.1.2.1), but to peers beyond the link.
fn reach(instance: &Instance) -> Reach {
    match (instance.family, &instance.transport) {
        (Family::Inet, _) => Reach::Global,
        (Family::Inet6, Transport::Multicast { .. }) => Reach::Link,
        (Family::Inet6, Transport::Unicast { peers, .. }) => {
            let near = |peer: &Peer| match peer.address {
                IpAddr::V6(peer) => peer.is_unicast_link_local(),
                IpAddr::V4(_) => false,
            };
            if peers.iter().all(near) { Reach::Link } else { Reach::Global }
        }
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
