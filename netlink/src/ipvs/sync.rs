//! The kernel's daemons that tell other directors of connections.
//!
//! At most one per role. A sender that was just started and is stopped at once gives no answer: ask with a deadline,
//! then read what is there.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::net::IpAddr;

use crate::attribute::{Attributes, Writer};

use super::service::IpFamily;

/// What a daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SyncRole {
    /// It sends.
    Master,
    /// It listens.
    Backup,
}

impl SyncRole {
    fn number(self) -> u32 {
        match self {
            Self::Master => 1,
            Self::Backup => 2,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Master),
            2 => Some(Self::Backup),
            _ => None,
        }
    }
}

/// A daemon as it shall be, or as it is. What is `None` is left to the kernel when it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncDaemon {
    /// What it does.
    pub role: SyncRole,
    /// Interface of its messages, at most 15 bytes.
    pub interface: String,
    /// Number of the group of directors, 0..=255; a listener with 0 takes every number.
    pub id: u32,
    /// Longest message in bytes; by default what fits the interface.
    pub max_length: Option<u16>,
    /// UDP port, by default 8848.
    pub port: Option<u16>,
    /// Hops, by default 1.
    pub ttl: Option<u8>,
    /// Multicast group, by default 224.0.0.81.
    pub group: Option<IpAddr>,
}

impl SyncDaemon {
    pub(super) fn encode(&self) -> Writer {
        let mut out = encode_role(self.role);
        out.put_text(INTERFACE, &self.interface).put(ID, &self.id.to_ne_bytes());
        if let Some(length) = self.max_length {
            out.put(MAX_LENGTH, &length.to_ne_bytes());
        }
        match self.group {
            Some(IpAddr::V4(group)) => {
                out.put(GROUP, &group.octets());
            }
            Some(IpAddr::V6(group)) => {
                out.put(GROUP6, &group.octets());
            }
            None => {}
        }
        if let Some(port) = self.port {
            out.put(PORT, &port.to_ne_bytes());
        }
        if let Some(ttl) = self.ttl {
            out.put(TTL, &[ttl]);
        }
        out
    }

    pub(super) fn decode(attributes: Attributes<'_>) -> Option<Self> {
        let (mut role, mut id) = (None, None);
        let mut found = Self {
            role: SyncRole::Backup,
            interface: String::new(),
            id: 0,
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        };
        for attribute in attributes {
            match attribute.kind {
                STATE => role = attribute.u32().and_then(SyncRole::from_number),
                INTERFACE => found.interface = attribute.text(15),
                ID => id = attribute.u32(),
                MAX_LENGTH => found.max_length = attribute.u16(),
                PORT => found.port = attribute.u16(),
                TTL => found.ttl = attribute.value.first().copied(),
                GROUP => found.group = IpFamily::V4.address(attribute.value),
                GROUP6 => found.group = IpFamily::V6.address(attribute.value),
                _ => {}
            }
        }
        Some(Self { role: role?, id: id?, ..found })
    }
}

pub(super) fn encode_role(role: SyncRole) -> Writer {
    let mut out = Writer::default();
    out.put(STATE, &role.number().to_ne_bytes());
    out
}

const STATE: u16 = 1;
const INTERFACE: u16 = 2;
const ID: u16 = 3;
const MAX_LENGTH: u16 = 4;
const GROUP: u16 = 5;
const GROUP6: u16 = 6;
const PORT: u16 = 7;
const TTL: u16 = 8;
