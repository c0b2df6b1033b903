//! The IPv4 header that a raw socket delivers in front of the payload (RFC 791 section 3.1).
//!
//! Finds source, destination, TTL and payload; judges none of them. Called by the receiver. The kernel has checked
//! version, lengths and checksum, but nothing here relies on it.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::Ipv4Addr;

/// Length of a header without options.
pub const HEADER_LENGTH: usize = 20;

/// Type of service of adverts: internetwork control.
pub const TOS: u8 = 0xc0;

/// What a received IPv4 packet says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Sender.
    pub source: Ipv4Addr,
    /// Group or unicast address.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Payload, cut to the total length of the header.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Splits a packet; `None` when its lengths contradict each other.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [first, _, high, low, _, _, _, _, ttl, _, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
            *bytes.first_chunk::<HEADER_LENGTH>()?;
        let header = usize::from(first & 0x0f).saturating_mul(4);
        if first >> 4 != 4 || header < HEADER_LENGTH {
            return None;
        }
        let total = usize::from(u16::from_be_bytes([high, low]));
        let payload = bytes.get(header..total)?;
        Some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            ttl,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet() -> Vec<u8> {
        let mut bytes = vec![0x45, 0xc0, 0, 24, 0, 0, 0, 0, 255, 112, 0, 0, 192, 0, 2, 1, 224, 0, 0, 18];
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn ethernet_padding_is_cut_off() {
        let mut bytes = packet();
        bytes.extend([0; 22]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.payload, [1, 2, 3, 4]);
        assert_eq!((packet.ttl, packet.destination), (255, Ipv4Addr::new(224, 0, 0, 18)));
    }

    #[test]
    fn options_are_skipped() {
        let mut bytes = packet();
        bytes[0] = 0x46;
        assert!(Packet::parse(&bytes).unwrap().payload.is_empty());
    }

    #[test]
    fn a_total_length_beyond_the_bytes_is_no_packet() {
        let mut bytes = packet();
        bytes[3] = 25;
        assert_eq!(Packet::parse(&bytes), None);
        bytes[3] = 19;
        assert_eq!(Packet::parse(&bytes), None);
        assert_eq!(Packet::parse(&[0x41; 24]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_split_into_no_more_than_they_are(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(packet) = Packet::parse(&bytes) {
                prop_assert!(packet.payload.len() <= bytes.len().saturating_sub(20));
            }
        }
    }
}
