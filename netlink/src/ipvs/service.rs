//! Services: what the kernel knows one by, and what it does for it.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::attribute::{Attributes, Writer};

use super::stats::Stats;

/// Address family of a service or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// Family of an address.
    #[must_use]
    pub fn of(ip: &IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bits of an address.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    pub(super) fn number(self) -> u16 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    pub(super) fn from_number(number: u16) -> Option<Self> {
        match number {
            2 => Some(Self::V4),
            10 => Some(Self::V6),
            _ => None,
        }
    }

    /// Reads the 16 bytes in which the kernel keeps an address of either family.
    pub(super) fn address(self, value: &[u8]) -> Option<IpAddr> {
        match self {
            Self::V4 => value.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))),
            Self::V6 => value.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets))),
        }
    }
}

/// The 16 bytes in which the kernel keeps an address; IPv4 stands in the first 4.
pub(super) fn union_bytes(ip: &IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// What the kernel knows a service by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Address, protocol and port.
    Address {
        /// IP protocol number: 6, 17 or 132.
        protocol: u16,
        /// Virtual address.
        ip: IpAddr,
        /// Port in host order; 0 is any.
        port: u16,
    },
    /// Packet mark and family.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// The family.
        family: IpFamily,
    },
}

impl Key {
    /// Family of the service.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        match self {
            Self::Address { ip, .. } => IpFamily::of(ip),
            Self::Mark { family, .. } => *family,
        }
    }

    pub(super) fn encode(&self) -> Writer {
        let mut out = Writer::default();
        out.put(AF, &self.family().number().to_ne_bytes());
        match self {
            Self::Address { protocol, ip, port } => out
                .put(PROTOCOL, &protocol.to_ne_bytes())
                .put(ADDR, &union_bytes(ip))
                .put(PORT, &port.to_be_bytes()),
            Self::Mark { mark, .. } => out.put(FWMARK, &mark.to_ne_bytes()),
        };
        out
    }
}

/// Flags of a service; the kernel's own bookkeeping bit is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ServiceFlags(u32);

impl ServiceFlags {
    /// Connections of one client go to one destination.
    pub const PERSISTENT: Self = Self(0x1);
    /// Each packet is scheduled by itself (UDP).
    pub const ONE_PACKET: Self = Self(0x4);
    /// The scheduler's first flag: `sh` and `mh` fall back to another destination.
    pub const FALLBACK: Self = Self(0x8);
    /// The scheduler's second flag: `sh` and `mh` include the port.
    pub const HASH_PORT: Self = Self(0x10);
    /// The scheduler's third flag, which none uses yet.
    pub const THIRD: Self = Self(0x20);

    const HASHED: u32 = 0x2;

    /// No flag.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A service as it shall be, or as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// What the kernel knows it by.
    pub key: Key,
    /// Name of the scheduler, at most 15 bytes.
    pub scheduler: String,
    /// Flags.
    pub flags: ServiceFlags,
    /// Persistence in seconds; 0 without persistence.
    pub persistence_timeout: u32,
    /// Bits of the client's address that persistence looks at: 32 or 128 for all.
    pub persistence_prefix: u8,
    /// Persistence engine, `sip` or none.
    pub persistence_engine: Option<String>,
}

impl Service {
    /// A service without persistence.
    #[must_use]
    pub fn new(key: Key, scheduler: &str) -> Self {
        Self {
            key,
            scheduler: scheduler.to_owned(),
            flags: ServiceFlags::none(),
            persistence_timeout: 0,
            persistence_prefix: key.family().bits(),
            persistence_engine: None,
        }
    }

    pub(super) fn encode(&self) -> Writer {
        let mut out = self.key.encode();
        let [f0, f1, f2, f3] = self.flags.0.to_ne_bytes();
        out.put_text(SCHED_NAME, &self.scheduler);
        if let Some(engine) = &self.persistence_engine {
            out.put_text(PE_NAME, engine);
        }
        out.put(FLAGS, &[f0, f1, f2, f3, 0xff, 0xff, 0xff, 0xff])
            .put(TIMEOUT, &self.persistence_timeout.to_ne_bytes())
            .put(NETMASK, &self.netmask());
        out
    }

    /// IPv4: the mask in network order. IPv6: the prefix length in host order.
    fn netmask(&self) -> [u8; 4] {
        match self.key.family() {
            IpFamily::V4 => {
                let host_bits = 32_u32.saturating_sub(u32::from(self.persistence_prefix));
                u32::MAX.checked_shl(host_bits).unwrap_or(0).to_be_bytes()
            }
            IpFamily::V6 => u32::from(self.persistence_prefix).to_ne_bytes(),
        }
    }
}

fn read_netmask(family: IpFamily, value: [u8; 4]) -> Option<u8> {
    let bits = match family {
        IpFamily::V4 => u32::from_be_bytes(value).leading_ones(),
        IpFamily::V6 => u32::from_ne_bytes(value),
    };
    u8::try_from(bits).ok()
}

/// A service as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The service.
    pub service: Service,
    /// Its counters.
    pub stats: Stats,
}

impl ServiceEntry {
    pub(super) fn decode(attributes: Attributes<'_>) -> Option<Self> {
        let (mut family, mut protocol, mut address, mut port, mut mark) = (None, None, None, None, None);
        let (mut scheduler, mut engine, mut netmask) = (String::new(), None, None);
        let (mut flags, mut timeout, mut stats) = (0, 0, Stats::default());
        for attribute in attributes {
            match attribute.kind {
                AF => family = IpFamily::from_number(attribute.u16()?),
                PROTOCOL => protocol = attribute.u16(),
                ADDR => address = Some(attribute.value),
                PORT => port = attribute.u16_be(),
                FWMARK => mark = attribute.u32().filter(|mark| *mark != 0),
                SCHED_NAME => scheduler = attribute.text(MAX_NAME),
                PE_NAME => engine = Some(attribute.text(MAX_NAME)),
                FLAGS => flags = u32::from_ne_bytes(*attribute.value.first_chunk()?),
                TIMEOUT => timeout = attribute.u32()?,
                NETMASK => netmask = Some(*attribute.value.first_chunk::<4>()?),
                STATS => stats.read_32(&attribute),
                STATS64 => stats.read_64(&attribute),
                _ => {}
            }
        }
        let family = family?;
        let key = match mark {
            Some(mark) => Key::Mark { mark, family },
            None => Key::Address { protocol: protocol?, ip: family.address(address?)?, port: port? },
        };
        let service = Service {
            key,
            scheduler,
            flags: ServiceFlags(flags & !ServiceFlags::HASHED),
            persistence_timeout: timeout,
            persistence_prefix: netmask.map_or(Some(family.bits()), |mask| read_netmask(family, mask))?,
            persistence_engine: engine,
        };
        Some(Self { service, stats })
    }
}

const MAX_NAME: usize = 15;
const AF: u16 = 1;
const PROTOCOL: u16 = 2;
const ADDR: u16 = 3;
const PORT: u16 = 4;
const FWMARK: u16 = 5;
const SCHED_NAME: u16 = 6;
const FLAGS: u16 = 7;
const TIMEOUT: u16 = 8;
const NETMASK: u16 = 9;
const STATS: u16 = 10;
const PE_NAME: u16 = 11;
const STATS64: u16 = 12;
