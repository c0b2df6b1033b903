//! Counters of a service or destination.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use crate::attribute::Attribute;

/// Counters since the entry was made, and rates that the kernel averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Connections per second.
    pub connections_per_second: u64,
    /// Packets from clients per second.
    pub packets_in_per_second: u64,
    /// Packets to clients per second.
    pub packets_out_per_second: u64,
    /// Bytes from clients per second.
    pub bytes_in_per_second: u64,
    /// Bytes to clients per second.
    pub bytes_out_per_second: u64,
}

impl Stats {
    /// Reads the older form: u32, the byte counters u64. Its values wrap, so the newer form wins over it.
    pub(super) fn read_32(&mut self, attribute: &Attribute<'_>) {
        if *self == Self::default() {
            self.read(attribute, |inner| inner.u32().map(u64::from).or_else(|| inner.u64()));
        }
    }

    /// Reads the form of kernels since 4.1: all u64.
    pub(super) fn read_64(&mut self, attribute: &Attribute<'_>) {
        *self = Self::default();
        self.read(attribute, |inner| inner.u64());
    }

    fn read(&mut self, attribute: &Attribute<'_>, number: impl Fn(&Attribute<'_>) -> Option<u64>) {
        for inner in attribute.nested() {
            let slot = match inner.kind {
                1 => &mut self.connections,
                2 => &mut self.packets_in,
                3 => &mut self.packets_out,
                4 => &mut self.bytes_in,
                5 => &mut self.bytes_out,
                6 => &mut self.connections_per_second,
                7 => &mut self.packets_in_per_second,
                8 => &mut self.packets_out_per_second,
                9 => &mut self.bytes_in_per_second,
                10 => &mut self.bytes_out_per_second,
                _ => continue,
            };
            *slot = number(&inner).unwrap_or(0);
        }
    }
}
