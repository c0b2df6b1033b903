//! Destinations: where a service sends its connections.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::net::IpAddr;

use crate::attribute::{Attributes, Writer};

use super::service::{IpFamily, union_bytes};
use super::stats::Stats;

/// How packets reach a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Forwarding {
    /// Masquerading.
    Nat,
    /// The destination is this machine; older kernels tell so, whatever was written.
    Local,
    /// In an outer packet.
    Tunnel(Tunnel),
    /// Direct routing.
    DirectRouting,
    /// Any other number.
    Other(u32),
}

/// What the outer packet of a tunnel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tunnel {
    /// [`Self::IPIP`], [`Self::GUE`] or [`Self::GRE`].
    pub kind: u8,
    /// UDP port of GUE in host order; 0 for the others.
    pub port: u16,
    /// [`Self::CHECKSUM`] or [`Self::REMOTE_CHECKSUM`], 0 for none.
    pub flags: u16,
}

impl Tunnel {
    /// IP in IP, or IPv6 in IP and so on, as the families ask for.
    pub const IPIP: u8 = 0;
    /// Generic UDP encapsulation.
    pub const GUE: u8 = 1;
    /// Generic routing encapsulation.
    pub const GRE: u8 = 2;
    /// The outer packet has a checksum.
    pub const CHECKSUM: u16 = 1;
    /// The inner checksum is computed by the far end (GUE).
    pub const REMOTE_CHECKSUM: u16 = 2;

    /// IP in IP.
    #[must_use]
    pub const fn ipip() -> Self {
        Self { kind: Self::IPIP, port: 0, flags: 0 }
    }
}

impl Forwarding {
    fn number(self) -> u32 {
        match self {
            Self::Nat => 0,
            Self::Local => 1,
            Self::Tunnel(_) => 2,
            Self::DirectRouting => 3,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u32, tunnel: Tunnel) -> Self {
        match number {
            0 => Self::Nat,
            1 => Self::Local,
            2 => Self::Tunnel(tunnel),
            3 => Self::DirectRouting,
            other => Self::Other(other),
        }
    }
}

/// What the kernel knows a destination of a service by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Port in host order.
    pub port: u16,
}

impl Endpoint {
    pub(super) fn encode(&self) -> Writer {
        let mut out = Writer::default();
        out.put(ADDR_FAMILY, &IpFamily::of(&self.ip).number().to_ne_bytes())
            .put(ADDR, &union_bytes(&self.ip))
            .put(PORT, &self.port.to_be_bytes());
        out
    }
}

/// A destination as it shall be, or as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// What the kernel knows it by.
    pub endpoint: Endpoint,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Weight, 0..=2147483647; 0 takes no new connection.
    pub weight: u32,
    /// Connections above which it takes no new one; 0 is no limit.
    pub upper_threshold: u32,
    /// Connections below which it takes new ones again.
    pub lower_threshold: u32,
}

impl Destination {
    pub(super) fn encode(&self) -> Writer {
        let mut out = self.endpoint.encode();
        out.put(FWD_METHOD, &self.forwarding.number().to_ne_bytes())
            .put(WEIGHT, &self.weight.to_ne_bytes())
            .put(U_THRESH, &self.upper_threshold.to_ne_bytes())
            .put(L_THRESH, &self.lower_threshold.to_ne_bytes());
        // Kernels before 5.3 have no such attributes and know IP in IP only, which is what their absence means.
        if let Forwarding::Tunnel(tunnel) = self.forwarding
            && tunnel != Tunnel::ipip()
        {
            out.put(TUN_TYPE, &[tunnel.kind])
                .put(TUN_PORT, &tunnel.port.to_be_bytes())
                .put(TUN_FLAGS, &tunnel.flags.to_ne_bytes());
        }
        out
    }
}

/// A destination as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestinationEntry {
    /// The destination.
    pub destination: Destination,
    /// Connections that are open.
    pub active: u32,
    /// Connections that wait to be forgotten.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// Its counters.
    pub stats: Stats,
}

impl DestinationEntry {
    pub(super) fn decode(attributes: Attributes<'_>, service: IpFamily) -> Option<Self> {
        let (mut family, mut address, mut port) = (service, None, None);
        let (mut forwarding, mut weight, mut upper, mut lower) = (None, None, 0, 0);
        let mut tunnel = Tunnel::ipip();
        let (mut active, mut inactive, mut persistent, mut stats) = (0, 0, 0, Stats::default());
        for attribute in attributes {
            match attribute.kind {
                ADDR => address = Some(attribute.value),
                PORT => port = attribute.u16_be(),
                FWD_METHOD => forwarding = attribute.u32(),
                WEIGHT => weight = attribute.u32(),
                U_THRESH => upper = attribute.u32()?,
                L_THRESH => lower = attribute.u32()?,
                ACTIVE => active = attribute.u32()?,
                INACTIVE => inactive = attribute.u32()?,
                PERSISTENT => persistent = attribute.u32()?,
                ADDR_FAMILY => family = IpFamily::from_number(attribute.u16()?)?,
                TUN_TYPE => tunnel.kind = *attribute.value.first()?,
                TUN_PORT => tunnel.port = attribute.u16_be()?,
                TUN_FLAGS => tunnel.flags = attribute.u16()?,
                STATS => stats.read_32(&attribute),
                STATS64 => stats.read_64(&attribute),
                _ => {}
            }
        }
        let endpoint = Endpoint { ip: family.address(address?)?, port: port? };
        let destination = Destination {
            endpoint,
            forwarding: Forwarding::from_number(forwarding?, tunnel),
            weight: weight?,
            upper_threshold: upper,
            lower_threshold: lower,
        };
        Some(Self { destination, active, inactive, persistent, stats })
    }
}

const ADDR: u16 = 1;
const PORT: u16 = 2;
const FWD_METHOD: u16 = 3;
const WEIGHT: u16 = 4;
const U_THRESH: u16 = 5;
const L_THRESH: u16 = 6;
const ACTIVE: u16 = 7;
const INACTIVE: u16 = 8;
const PERSISTENT: u16 = 9;
const STATS: u16 = 10;
const ADDR_FAMILY: u16 = 11;
const STATS64: u16 = 12;
const TUN_TYPE: u16 = 13;
const TUN_PORT: u16 = 14;
const TUN_FLAGS: u16 = 15;
