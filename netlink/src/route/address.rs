//! Addresses: what the kernel says of one, and the requests that add, renew and remove one.
//!
//! ```text
//!  0        1        2        3        4               8
//! +--------+--------+--------+--------+---------------+-----------
//! | family | prefix | flags  | scope  | index         | attributes
//! +--------+--------+--------+--------+---------------+-----------
//! ```

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage, AddressProtocol,
    AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::attribute::Attributes;
use crate::frame::{Flags, Message};

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Index of the interface.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
    /// Address of the other end, where it differs.
    pub peer: Option<IpAddr>,
    /// How far it is valid.
    pub scope: AddressScope,
    /// All flags; the questions below read them.
    pub flags: AddressFlags,
    /// Who made it (IFA_PROTO); `None` when nobody said, and on kernels before 5.18.
    pub protocol: Option<u8>,
    /// Label of IPv4, at most 15 bytes.
    pub label: Option<String>,
    /// How long it stays.
    pub lifetime: Lifetime,
}

impl Address {
    /// Reads the payload of `RTM_NEWADDR` or `RTM_DELADDR`.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = payload.split_first_chunk::<HEADER>()?;
        let [family, prefix, flags, scope, i0, i1, i2, i3] = *header;
        let (mut local, mut remote) = (None, None);
        let mut address = Self {
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            prefix,
            peer: None,
            scope: AddressScope::from(scope),
            flags: AddressFlags::from_bits_retain(u32::from(flags)),
            protocol: None,
            label: None,
            lifetime: Lifetime::FOREVER,
        };
        for attribute in Attributes::new(attributes) {
            match attribute.kind {
                IFA_ADDRESS => remote = attribute.ip(),
                IFA_LOCAL => local = attribute.ip(),
                IFA_LABEL => address.label = Some(attribute.text(MAX_LABEL)),
                IFA_CACHEINFO => address.lifetime = Lifetime::decode(attribute.value)?,
                IFA_FLAGS => address.flags = AddressFlags::from_bits_retain(attribute.u32()?),
                IFA_PROTO => address.protocol = attribute.u8().filter(|protocol| *protocol != 0),
                _ => {}
            }
        }
        address.ip = local.or(remote)?;
        address.peer = remote.filter(|remote| *remote != address.ip);
        let (expected, longest) = if address.ip.is_ipv4() { (AF_INET, 32) } else { (AF_INET6, 128) };
        (family == expected && prefix <= longest && address.index != 0).then_some(address)
    }

    /// Duplicate address detection is under way; nothing may be sent from it yet.
    #[must_use]
    pub fn is_tentative(&self) -> bool {
        self.flags.contains(AddressFlags::Tentative) && !self.flags.contains(AddressFlags::Optimistic)
    }

    /// Duplicate address detection found another owner.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.flags.contains(AddressFlags::Dadfailed)
    }

    /// Not used for new connections.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        self.flags.contains(AddressFlags::Deprecated)
    }
}

/// How long an address stays: seconds, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    valid: u32,
    preferred: u32,
}

impl Lifetime {
    /// No end.
    pub const FOREVER: Self = Self { valid: u32::MAX, preferred: u32::MAX };

    /// The kernel removes the address after `valid` seconds and prefers others after `preferred`.
    ///
    /// # Errors
    /// What the kernel refuses: `valid` 0, `preferred` above `valid`.
    pub fn new(valid: u32, preferred: u32) -> Result<Self, InvalidLifetime> {
        if valid == 0 || preferred > valid {
            return Err(InvalidLifetime { valid, preferred });
        }
        Ok(Self { valid, preferred })
    }

    /// Seconds until the kernel removes it; `None` is never.
    #[must_use]
    pub fn valid(self) -> Option<u32> {
        (self.valid != u32::MAX).then_some(self.valid)
    }

    /// Seconds until it is deprecated; `None` is never.
    #[must_use]
    pub fn preferred(self) -> Option<u32> {
        (self.preferred != u32::MAX).then_some(self.preferred)
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (preferred, rest) = value.split_first_chunk::<4>()?;
        let (valid, _) = rest.split_first_chunk::<4>()?;
        Some(Self { valid: u32::from_ne_bytes(*valid), preferred: u32::from_ne_bytes(*preferred) })
    }
}

/// A lifetime that the kernel would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a valid lifetime of {valid} s with a preferred lifetime of {preferred} s")]
pub struct InvalidLifetime {
    /// Valid lifetime, seconds.
    pub valid: u32,
    /// Preferred lifetime, seconds.
    pub preferred: u32,
}

/// An address that shall exist, or shall not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSpec {
    /// Index of the interface.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
    /// Address of the other end; of the family of `ip`.
    pub peer: Option<IpAddr>,
    /// How far it is valid.
    pub scope: AddressScope,
    /// Broadcast address, IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// Label, IPv4 only, at most 15 bytes; must begin with the interface's name.
    pub label: Option<String>,
    /// `Nodad`, `Noprefixroute` and the like.
    pub flags: AddressFlags,
    /// Who makes it (IFA_PROTO); older kernels ignore it.
    pub protocol: Option<u8>,
    /// How long it stays.
    pub lifetime: Lifetime,
}

impl AddressSpec {
    /// An address of global scope that stays for ever, marked as ours.
    #[must_use]
    pub fn new(index: u32, ip: IpAddr, prefix: u8) -> Self {
        Self {
            index,
            ip,
            prefix,
            peer: None,
            scope: AddressScope::Universe,
            broadcast: None,
            label: None,
            flags: AddressFlags::empty(),
            protocol: Some(PROTOCOL_KEEPALIVED),
            lifetime: Lifetime::FOREVER,
        }
    }

    /// Adds it; EEXIST when it is there.
    #[must_use]
    pub fn add(&self) -> Message {
        Message::from_route(&RouteNetlinkMessage::NewAddress(self.message()), Flags::Create)
    }

    /// Adds it, or renews the lifetime of the one that is there.
    #[must_use]
    pub fn replace(&self) -> Message {
        Message::from_route(&RouteNetlinkMessage::NewAddress(self.message()), Flags::Replace)
    }

    /// Removes it; EADDRNOTAVAIL when it isn't there. Only interface, address, prefix and label count.
    #[must_use]
    pub fn delete(&self) -> Message {
        let mut message = AddressMessage::default();
        message.header = self.header();
        message.attributes = self.identity();
        message.attributes.extend(self.label.clone().map(AddressAttribute::Label));
        Message::from_route(&RouteNetlinkMessage::DelAddress(message), Flags::Ack)
    }

    fn message(&self) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header = self.header();
        message.attributes = self.identity();
        message.attributes.extend(self.broadcast.map(AddressAttribute::Broadcast));
        message.attributes.extend(self.label.clone().map(AddressAttribute::Label));
        if !self.flags.is_empty() {
            message.attributes.push(AddressAttribute::Flags(self.flags));
        }
        message.attributes.extend(self.protocol.map(AddressProtocol::from).map(AddressAttribute::Protocol));
        if self.lifetime != Lifetime::FOREVER {
            let mut info = CacheInfo::default();
            info.ifa_valid = self.lifetime.valid;
            info.ifa_preferred = self.lifetime.preferred;
            message.attributes.push(AddressAttribute::CacheInfo(info));
        }
        message
    }

    fn header(&self) -> AddressHeader {
        let family = if self.ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        // Flags above the first byte fit into the attribute only.
        let [low, ..] = self.flags.bits().to_le_bytes();
        AddressHeader {
            family,
            prefix_len: self.prefix,
            flags: AddressHeaderFlags::from_bits_retain(low),
            scope: self.scope,
            index: self.index,
        }
    }

    fn identity(&self) -> Vec<AddressAttribute> {
        let peer = self.peer.filter(|peer| peer.is_ipv4() == self.ip.is_ipv4()).unwrap_or(self.ip);
        vec![AddressAttribute::Local(self.ip), AddressAttribute::Address(peer)]
    }
}

/// Number in IFA_PROTO and in the protocol of routes that marks what keepalived has made.
pub const PROTOCOL_KEEPALIVED: u8 = 18;

const HEADER: usize = 8;
const MAX_LABEL: usize = 15;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Writer;

    fn vip() -> AddressSpec {
        AddressSpec::new(3, "192.0.2.10".parse().unwrap(), 24)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_added_address_names_itself_twice_and_says_who_made_it() {
        let message = vip().add();
        assert_eq!(message.kind, 20);
        assert_eq!(message.flags, Flags::Create);
        #[rustfmt::skip]
        assert_eq!(message.payload, [
            2, 24, 0, 0, 3, 0, 0, 0,
            8, 0, 2, 0, 192, 0, 2, 10,
            8, 0, 1, 0, 192, 0, 2, 10,
            5, 0, 11, 0, 18, 0, 0, 0,
        ]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let spec = AddressSpec {
            scope: AddressScope::Link,
            label: Some("eth0:vip".into()),
            broadcast: Some(Ipv4Addr::new(192, 0, 2, 255)),
            flags: AddressFlags::Noprefixroute,
            lifetime: Lifetime::new(4, 4).unwrap(),
            ..vip()
        };
        let read = Address::decode(&spec.replace().payload).unwrap();
        assert_eq!(
            read,
            Address {
                index: 3,
                ip: "192.0.2.10".parse().unwrap(),
                prefix: 24,
                peer: None,
                scope: AddressScope::Link,
                flags: AddressFlags::Noprefixroute,
                protocol: Some(18),
                label: Some("eth0:vip".into()),
                lifetime: Lifetime::new(4, 4).unwrap(),
            }
        );
        assert_eq!(read.lifetime.valid(), Some(4));
    }

    #[test]
    fn a_removal_carries_no_lifetime_and_no_protocol() {
        let spec = AddressSpec { lifetime: Lifetime::new(4, 4).unwrap(), ..vip() };
        let message = spec.delete();
        assert_eq!(message.kind, 21);
        assert_eq!(message.payload.len(), 24);
    }

    #[test]
    fn an_ipv6_address_has_no_local_part_in_the_kernels_words() {
        let mut writer = Writer::after(&[10, 64, 0xc0, 253, 2, 0, 0, 0]);
        writer.put(1, &"fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        let bytes = writer.into_bytes();
        let address = Address::decode(&bytes).unwrap();
        assert_eq!(address.ip, "fe80::1".parse::<IpAddr>().unwrap());
        assert!(address.is_tentative());
        assert!(!address.is_duplicate());
        assert_eq!(address.lifetime, Lifetime::FOREVER);
    }

    #[test]
    fn a_family_that_contradicts_the_address_is_refused() {
        let mut writer = Writer::after(&[10, 24, 0, 0, 2, 0, 0, 0]);
        writer.put(2, &[192, 0, 2, 1]);
        assert_eq!(Address::decode(&writer.into_bytes()), None);
    }

    #[test]
    fn a_lifetime_that_the_kernel_refuses_does_not_construct() {
        assert_eq!(Lifetime::new(0, 0), Err(InvalidLifetime { valid: 0, preferred: 0 }));
        assert_eq!(Lifetime::new(3, 4), Err(InvalidLifetime { valid: 3, preferred: 4 }));
    }
}
