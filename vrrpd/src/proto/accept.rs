//! Whether a datagram is an advert for an instance.
//!
//! Decides in the order of the checks of keepalived.conf(5) so that counters mean the same. Changes nothing but what
//! tells old adverts from new ([`Guard`]), and that only for authentic ones: a refused datagram costs its sender's
//! kernel more than us. Called by the driver for the instance that VRID, interface and addresses select. The datagram
//! comes from the network and isn't trusted.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::IpAddr;

use config::model::hmac::{HmacAuthentication, HmacMode};
use config::model::units::{AdvertInterval, IfIndex, Priority, Vrid};
use config::model::vrrp::{Authentication, ChecksumRule, Family, Instance, Transport, Version};

use super::advert::{self, Header};
use super::auth::ah::Sealed;
use super::auth::signature::{self, Binding, Invalid};
use super::auth::stamp::Clocks;
use super::auth::{self, Guard};

/// A received datagram and what the kernel said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Group or unicast address that it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Interface that it came in by.
    pub interface: IfIndex,
    /// VRRP message.
    pub payload: &'a [u8],
    /// The authentication header around it, if there was one.
    pub sealed: Option<Sealed<'a>>,
}

/// What an accepted advert tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Sender.
    pub source: IpAddr,
    /// Its priority.
    pub priority: Priority,
    /// Its interval.
    pub interval: AdvertInterval,
}

/// An accepted advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// What the machine hears.
    pub heard: Heard,
    /// Its addresses differ from ours: worth a line and a count, no reason for two Masters.
    pub mismatch: Option<Mismatch>,
    /// What else is worth a line.
    pub remark: Option<Remark>,
}

/// What is strange about an accepted advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Remark {
    /// `auth_hmac` doesn't ask for signatures yet.
    #[error("not signed")]
    Unsigned,
    /// More than half of the window.
    #[error("signature {0} s away from our clock")]
    ClockSkew(u32),
    /// The peer sums over the group's address instead of ours.
    #[error("checksum made for the multicast group")]
    OldChecksum,
}

/// How the addresses of an accepted advert differ from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Another number of them.
    Count {
        /// How many we carry.
        ours: usize,
        /// How many it carries.
        got: u8,
    },
    /// As many, but others.
    Set {
        /// Ours.
        vrid: Vrid,
        /// An address of ours that it doesn't carry.
        missing: IpAddr,
    },
}

impl Mismatch {
    /// The same in words, of an advert from `source`.
    #[must_use]
    pub fn told(&self, source: IpAddr) -> String {
        match self {
            Self::Count { ours, got } => format!("expected {ours} VIPs but received {got} source={source}"),
            Self::Set { vrid, missing } => {
                format!(
                    "ip address associated with VRID {vrid} not present in advert from {source}: {missing}"
                )
            }
        }
    }
}

/// Why a datagram is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// Shorter than a header, or not as long as its address count says.
    Length {
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// Multicast with a TTL that a router has touched (RFC 9568 section 5.1.1.3).
    Ttl(u8),
    /// Unicast from further away, or nearer, than its peer may be.
    PeerTtl {
        /// `min_ttl`.
        least: u8,
        /// `max_ttl`.
        most: u8,
        /// Found.
        got: u8,
    },
    /// Another VRRP version.
    Version {
        /// Configured.
        expected: u8,
        /// Found.
        got: u8,
    },
    /// VRRPv2 with another authentication type.
    AuthenticationType {
        /// Configured.
        expected: u8,
        /// Found.
        got: u8,
    },
    /// VRRPv2 with another password.
    Password,
    /// VRRPv2 with another interval, in seconds.
    Interval {
        /// Configured.
        expected: u8,
        /// Found.
        got: u8,
    },
    /// VRRPv3 with an interval of 0.
    NoInterval,
    /// Not an advertisement.
    Kind(u8),
    /// The message is damaged or was made for other addresses.
    Checksum(Version),
    /// Another virtual router, or none.
    Vrid(u8),
    /// Another interface or another family.
    Interface,
    /// Multicast to a unicast instance, unicast to a multicast one, or another group.
    Destination(IpAddr),
    /// From an address that is no configured peer.
    UnknownPeer(IpAddr),
    /// `auth_hmac` asks for a signature.
    Unsigned,
    /// Signed, but not well.
    Signature(Invalid),
    /// The authentication header was made with another key.
    Seal,
    /// The authentication header was heard before.
    Sequence {
        /// The latest one.
        last: u32,
        /// Found.
        got: u32,
    },
    /// `owner_ignore_adverts`.
    OwnerIgnores,
}

impl From<Invalid> for Reject {
    fn from(invalid: Invalid) -> Self {
        Self::Signature(invalid)
    }
}

impl Reject {
    /// The same in words, of a datagram from `source`.
    #[must_use]
    pub fn told(&self, source: IpAddr) -> String {
        let own = |words: String| format!("{words} source={source}");
        match self {
            Self::Length { expected, got } => {
                let deviation = if got < expected { "short" } else { "long" };
                format!("vrrp packet from {source} too {deviation}, length {got} and expect {expected}")
            }
            Self::Ttl(got) => format!("invalid TTL/HL from {source}. Received {got} and expect 255"),
            Self::PeerTtl { least, most, got } => {
                format!("TTL/HL {got} from {source} not in range [{least}, {most}]")
            }
            Self::Version { expected, got } => {
                format!("wrong VRRP version from {source}. Received {got} and expect {expected}")
            }
            Self::AuthenticationType { expected, got } => {
                format!("received a {got} auth from {source}, expecting {expected}!")
            }
            Self::Password => format!("received an invalid passwd from {source}!"),
            Self::Interval { expected, got } => {
                format!("advertisement interval mismatch with {source} mine={expected} sec rcv'd={got} sec")
            }
            Self::NoInterval => own("advertisement interval 0".to_owned()),
            Self::Kind(kind) => format!("Invalid packet type from {source}. {kind} and expect 1"),
            Self::Checksum(version) => {
                format!("Invalid VRRPv{} checksum from {source}", advert::version_number(*version))
            }
            Self::Vrid(vrid) => own(format!("VRID {vrid} is another virtual router")),
            Self::Interface => own("came in by another interface".to_owned()),
            Self::Destination(address) => {
                own(format!("sent to {address}, which the instance doesn't listen to"))
            }
            Self::UnknownPeer(address) => format!("unicast source address {address} not a unicast peer"),
            Self::Unsigned => own("not signed".to_owned()),
            Self::Signature(invalid) => own(invalid.to_string()),
            Self::Seal => own("authentication header wrong".to_owned()),
            Self::Sequence { last, got } => own(format!("sequence number {got}, last {last}")),
            Self::OwnerIgnores => own("an address owner hears nobody".to_owned()),
        }
    }

    /// Number of reasons.
    pub const KINDS: usize = ipc::messages::vrrpd::REJECT_REASONS.len();

    /// Number of the reason, 0..[`Self::KINDS`], for counters and log limits; its name stands at that position of
    /// `REJECT_REASONS`.
    #[must_use]
    pub fn kind(&self) -> usize {
        match self {
            Self::Length { .. } => 0,
            Self::Ttl(_) | Self::PeerTtl { .. } => 1,
            Self::Version { .. } => 2,
            Self::AuthenticationType { .. } => 3,
            Self::Password => 4,
            Self::Interval { .. } | Self::NoInterval => 5,
            Self::Kind(_) => 6,
            Self::Checksum(_) => 7,
            Self::Vrid(_) => 8,
            Self::Interface => 9,
            Self::Destination(_) => 10,
            Self::UnknownPeer(_) => 11,
            Self::Unsigned => 12,
            Self::Signature(Invalid::Malformed) => 13,
            Self::Signature(Invalid::Stale { .. }) => 14,
            Self::Signature(Invalid::UnknownKey(_)) => 15,
            Self::Signature(Invalid::Digest) | Self::Seal => 16,
            Self::Signature(Invalid::Replay) | Self::Sequence { .. } => 17,
            Self::OwnerIgnores => 18,
        }
    }
}

/// What an instance takes: the part of its configuration that judges datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `virtual_router_id`.
    pub vrid: Vrid,
    /// `version`.
    pub version: Version,
    /// Family of the adverts.
    pub family: Family,
    /// `advert_int`; VRRPv2 takes no other.
    pub interval: AdvertInterval,
    /// `authentication`, VRRPv2 only.
    pub authentication: Authentication,
    /// `auth_hmac`.
    pub hmac: Option<Box<HmacAuthentication>>,
    /// Checksum of VRRPv3 over IPv4.
    pub checksum: ChecksumRule,
    /// Multicast or unicast.
    pub transport: Transport,
    /// Interface of a multicast instance, once it is known.
    pub interface: Option<IfIndex>,
    /// Addresses that the instance carries, sorted.
    pub addresses: Vec<IpAddr>,
    /// `check_unicast_src`.
    pub check_unicast_source: bool,
    /// `skip_check_adv_addr`.
    pub skip_check_addresses: bool,
    /// `owner_ignore_adverts`.
    pub owner_ignores_adverts: bool,
}

impl Rules {
    /// Rules of a configured instance; `interface` is the index of its interface, if it exists.
    #[must_use]
    pub fn of(instance: &Instance, interface: Option<IfIndex>) -> Self {
        let mut addresses: Vec<IpAddr> =
            instance.addresses.iter().map(|address| address.network.ip()).collect();
        addresses.sort_unstable();
        Self {
            vrid: instance.vrid,
            version: instance.version,
            family: instance.family,
            interval: instance.advert_interval,
            authentication: instance.authentication,
            hmac: instance.hmac.clone(),
            checksum: instance.checksum,
            transport: instance.transport.clone(),
            interface,
            addresses,
            check_unicast_source: instance.check_unicast_source,
            skip_check_addresses: instance.skip_check_advert_addresses,
            owner_ignores_adverts: instance.owner_ignores_adverts,
        }
    }

    /// Other addresses are carried now.
    pub fn expect_addresses(&mut self, carried: &[IpAddr]) {
        self.addresses = carried.to_vec();
        self.addresses.sort_unstable();
    }

    /// Judges a datagram at the time that `clocks` tell. `master` is the sender of the last accepted advert while the
    /// instance is Backup: with `skip_check_adv_addr` its addresses are not compared again.
    ///
    /// # Errors
    /// The first reason that refuses it.
    pub fn accept(
        &self,
        datagram: &Datagram<'_>,
        master: Option<IpAddr>,
        clocks: Clocks,
        guard: &mut Guard,
    ) -> Result<Accepted, Reject> {
        let payload = datagram.payload;
        let expected = advert::message_length(self.version, self.family, self.authentication, 0);
        let short = Reject::Length { expected, got: payload.len() };
        let header = Header::parse(payload).ok_or(short)?;
        self.check_seal_presence(datagram)?;
        self.check_way(datagram)?;
        self.check_version(&header)?;
        let (message, signature) = self.split(&header, payload)?;
        let signed = self.check_signature(datagram.source, message, signature, clocks, guard)?;
        self.check_seal(datagram, guard)?;
        let interval = match self.version {
            Version::V2 => self.check_version_2(&header, message, short)?,
            Version::V3 => self.learn_interval(&header)?,
        };
        if header.kind != advert::TYPE_ADVERTISEMENT {
            return Err(Reject::Kind(header.kind));
        }
        let summed = self.check_sum(datagram, message)?;
        if header.vrid != self.vrid.value() {
            return Err(Reject::Vrid(header.vrid));
        }
        self.check_destination(datagram)?;
        if self.owner_ignores_adverts {
            return Err(Reject::OwnerIgnores);
        }
        let known = self.skip_check_addresses && master == Some(datagram.source);
        let mismatch = if known { None } else { self.compare_addresses(&header, message) };
        self.check_peer(datagram)?;
        let heard = Heard { source: datagram.source, priority: Priority::new(header.priority), interval };
        Ok(Accepted { heard, mismatch, remark: signed.or(summed) })
    }

    /// An instance with authentication headers takes nothing else, and the others don't take those.
    fn check_seal_presence(&self, datagram: &Datagram<'_>) -> Result<(), Reject> {
        let ours = auth::type_number(self.authentication);
        match (self.authentication, datagram.sealed) {
            (Authentication::Ah(_), None) => Err(Reject::AuthenticationType { expected: ours, got: 0 }),
            (Authentication::None | Authentication::Pass(_), Some(_)) => {
                Err(Reject::AuthenticationType { expected: ours, got: 2 })
            }
            (Authentication::Ah(_), Some(_)) | (Authentication::None | Authentication::Pass(_), None) => {
                Ok(())
            }
        }
    }

    fn check_seal(&self, datagram: &Datagram<'_>, guard: &mut Guard) -> Result<(), Reject> {
        let (Authentication::Ah(key), Some(sealed)) = (self.authentication, datagram.sealed) else {
            return Ok(());
        };
        if !sealed.is_by(&key) {
            return Err(Reject::Seal);
        }
        let (last, got) = (guard.sequence.last(), sealed.sequence());
        if guard.sequence.enter(got) { Ok(()) } else { Err(Reject::Sequence { last, got }) }
    }

    /// The message, as long as its address count says, and the signature behind it where one may stand.
    fn split<'b>(
        &self,
        header: &Header,
        payload: &'b [u8],
    ) -> Result<(&'b [u8], Option<&'b [u8; signature::LENGTH]>), Reject> {
        let expected = advert::message_length(self.version, self.family, self.authentication, header.count);
        let wrong = Reject::Length { expected, got: payload.len() };
        let (message, rest) = payload.split_at_checked(expected).ok_or(wrong)?;
        match (rest, &self.hmac) {
            ([], _) => Ok((message, None)),
            (rest, Some(_)) => Ok((message, Some(rest.try_into().map_err(|_| wrong)?))),
            (_, None) => Err(wrong),
        }
    }

    fn check_signature(
        &self,
        source: IpAddr,
        message: &[u8],
        signature: Option<&[u8; signature::LENGTH]>,
        clocks: Clocks,
        guard: &mut Guard,
    ) -> Result<Option<Remark>, Reject> {
        let Some(hmac) = &self.hmac else { return Ok(None) };
        let Some(signature) = signature else {
            return match hmac.mode {
                HmacMode::Enforce => Err(Reject::Unsigned),
                HmacMode::Permissive | HmacMode::ReceiveOnly => Ok(Some(Remark::Unsigned)),
            };
        };
        let binding = Binding { family: self.family, version: self.version, vrid: self.vrid, source };
        let skew = signature::verify_by_either(hmac, &binding, message, signature, clocks, guard)?;
        Ok((skew > u32::from(hmac.window / 2)).then_some(Remark::ClockSkew(skew)))
    }

    /// Over IPv4 the sum covers the message, over IPv6 everything behind the IP header.
    fn check_sum(&self, datagram: &Datagram<'_>, message: &[u8]) -> Result<Option<Remark>, Reject> {
        let covered = match self.family {
            Family::Inet => message,
            Family::Inet6 => datagram.payload,
        };
        let is_right =
            |destination| advert::checksum(self.version, datagram.source, destination, covered) == 0;
        if is_right(datagram.destination) {
            return Ok(None);
        }
        match (self.version, self.family, &self.transport, self.checksum) {
            (Version::V3, Family::Inet, _, ChecksumRule::NoPseudoHeader) => Ok(None),
            (
                Version::V3,
                Family::Inet,
                Transport::Unicast { group, .. },
                ChecksumRule::Detect | ChecksumRule::OldUnicast,
            ) if is_right(*group) => Ok(Some(Remark::OldChecksum)),
            (Version::V2 | Version::V3, Family::Inet | Family::Inet6, _, _) => {
                Err(Reject::Checksum(self.version))
            }
        }
    }

    fn check_way(&self, datagram: &Datagram<'_>) -> Result<(), Reject> {
        let families = (Family::of(&datagram.source), Family::of(&datagram.destination));
        if families != (self.family, self.family) {
            return Err(Reject::Interface);
        }
        if datagram.destination.is_multicast() {
            if self.interface.is_some_and(|ours| ours != datagram.interface) {
                return Err(Reject::Interface);
            }
            if datagram.ttl != u8::MAX {
                return Err(Reject::Ttl(datagram.ttl));
            }
        }
        Ok(())
    }

    fn check_version(&self, header: &Header) -> Result<(), Reject> {
        let expected = advert::version_number(self.version);
        if header.version == expected {
            Ok(())
        } else {
            Err(Reject::Version { expected, got: header.version })
        }
    }

    /// RFC 3768 section 7.1: authentication must match, and so must the interval.
    fn check_version_2(
        &self,
        header: &Header,
        payload: &[u8],
        short: Reject,
    ) -> Result<AdvertInterval, Reject> {
        let expected = auth::type_number(self.authentication);
        if header.fifth != expected {
            return Err(Reject::AuthenticationType { expected, got: header.fifth });
        }
        let data = advert::authentication_data(payload).ok_or(short)?;
        if !auth::matches(self.authentication, data) {
            return Err(Reject::Password);
        }
        if header.sixth != self.interval.whole_seconds() {
            let expected = self.interval.whole_seconds();
            return Err(Reject::Interval { expected, got: header.sixth });
        }
        Ok(self.interval)
    }

    /// RFC 9568 section 6.4.2: a Backup takes over the Master's interval; 0 is none.
    fn learn_interval(&self, header: &Header) -> Result<AdvertInterval, Reject> {
        AdvertInterval::from_centiseconds(header.centiseconds()).map_err(|_| Reject::NoInterval)
    }

    fn check_destination(&self, datagram: &Datagram<'_>) -> Result<(), Reject> {
        let listens = match &self.transport {
            Transport::Multicast { group, .. } => datagram.destination == *group,
            Transport::Unicast { .. } => !datagram.destination.is_multicast(),
        };
        if listens { Ok(()) } else { Err(Reject::Destination(datagram.destination)) }
    }

    fn compare_addresses(&self, header: &Header, payload: &[u8]) -> Option<Mismatch> {
        if usize::from(header.count) != self.addresses.len() {
            return Some(Mismatch::Count { ours: self.addresses.len(), got: header.count });
        }
        let mut theirs: Vec<IpAddr> = advert::addresses(payload, self.family, header.count).collect();
        theirs.sort_unstable();
        let missing = self.addresses.iter().find(|ours| theirs.binary_search(ours).is_err());
        missing.map(|missing| Mismatch::Set { vrid: self.vrid, missing: *missing })
    }

    fn check_peer(&self, datagram: &Datagram<'_>) -> Result<(), Reject> {
        let Transport::Unicast { peers, .. } = &self.transport else { return Ok(()) };
        match peers.iter().find(|peer| peer.address == datagram.source) {
            Some(peer) if !peer.takes(datagram.ttl) => {
                Err(Reject::PeerTtl { least: peer.min_ttl, most: peer.max_ttl, got: datagram.ttl })
            }
            None if self.check_unicast_source => Err(Reject::UnknownPeer(datagram.source)),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
