//! Authentication header around a VRRPv2 advert: HMAC-MD5-96 (RFC 2402, RFC 2403) the way keepalived speaks it.
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | Next: 112     |  Length: 4    |           zero                |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     Security parameters index: the sender's address           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     Sequence number                                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     First 12 bytes of the HMAC-MD5, three words               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! The digest covers the IPv4 header (type of service, fragment and checksum fields as zero, TTL and identification as
//! they are), this header (digest as zero) and the advert. All routers of one virtual router share one sequence: who
//! becomes Master goes on behind the last number that was heard. Received bytes aren't trusted.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::Ipv4Addr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use crate::proto::advert;
use crate::proto::ipv4::{HEADER_LENGTH, Packet, TOS};

/// IP protocol number.
pub const PROTOCOL: u8 = 51;
/// Length of the header.
pub const LENGTH: usize = 24;
/// Length of the digest in it.
const DIGEST: usize = 12;
/// Length field: words of 32 bits, less two.
const WORDS: u8 = 4;

/// A received packet that holds an advert in an authentication header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    outer: [u8; HEADER_LENGTH],
    header: [u8; LENGTH],
    message: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Splits a packet as a raw socket delivers it; `None` when there is no such header, or IP options.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<(Packet<'a>, Self)> {
        let packet = Packet::parse(bytes)?;
        let outer = *bytes.first_chunk::<HEADER_LENGTH>()?;
        let (header, message) = packet.payload.split_first_chunk::<LENGTH>()?;
        let [next, words, ..] = *header;
        if outer.first() != Some(&0x45) || (next, words) != (advert::PROTOCOL, WORDS) {
            return None;
        }
        Some((Packet { payload: message, ..packet }, Self { outer, header: *header, message }))
    }

    /// Sequence number.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// True when the digest is that of this key. Compares in a time that doesn't depend on where the difference lies.
    #[must_use]
    pub fn is_by(&self, key: &[u8; 8]) -> bool {
        let digest: Option<&[u8; DIGEST]> = self.header.last_chunk();
        match (mac(key, &self.outer, &self.header, self.message), digest) {
            (Some(mac), Some(digest)) => mac.verify_truncated_left(digest).is_ok(),
            _ => false,
        }
    }
}

/// Where a sealed packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Sender.
    pub source: Ipv4Addr,
    /// Group or peer.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
}

/// Writes a whole IPv4 packet with a complete advert in an authentication header into `out`, which is cleared first.
pub fn seal(key: &[u8; 8], route: &Route, sequence: u32, message: &[u8], out: &mut Vec<u8>) {
    let total = message.len().saturating_add(HEADER_LENGTH).saturating_add(LENGTH);
    let [high, low] = u16::try_from(total).unwrap_or(u16::MAX).to_be_bytes();
    let [.., id_high, id_low] = sequence.to_be_bytes();
    // The kernel would put a number of its own in the place of 0, after the digest was made.
    let id_low = if (id_high, id_low) == (0, 0) { 1 } else { id_low };
    let mut outer = [0_u8; HEADER_LENGTH];
    let mut header = [0_u8; LENGTH];
    for (slot, byte) in outer.iter_mut().zip(
        [0x45, TOS, high, low, id_high, id_low, 0, 0, route.ttl, PROTOCOL, 0, 0]
            .into_iter()
            .chain(route.source.octets())
            .chain(route.destination.octets()),
    ) {
        *slot = byte;
    }
    for (slot, byte) in header.iter_mut().zip(
        [advert::PROTOCOL, WORDS, 0, 0]
            .into_iter()
            .chain(route.source.octets())
            .chain(sequence.to_be_bytes()),
    ) {
        *slot = byte;
    }
    if let Some(mac) = mac(key, &outer, &header, message) {
        let digest = mac.finalize().into_bytes();
        for (slot, byte) in header.iter_mut().rev().take(DIGEST).rev().zip(digest) {
            *slot = byte;
        }
    }
    out.clear();
    out.extend(outer);
    out.extend(header);
    out.extend(message);
}

/// No key length is wrong for an HMAC, so that `None` never happens.
fn mac(
    key: &[u8; 8],
    outer: &[u8; HEADER_LENGTH],
    header: &[u8; LENGTH],
    message: &[u8],
) -> Option<Hmac<Md5>> {
    let mut outer = *outer;
    for (position, byte) in outer.iter_mut().enumerate() {
        if matches!(position, 1 | 6 | 7 | 10 | 11) {
            *byte = 0;
        }
    }
    let mut mac = Hmac::<Md5>::new_from_slice(key).ok()?;
    mac.update(&outer);
    mac.update(header.get(..LENGTH.saturating_sub(DIGEST))?);
    mac.update(&[0; DIGEST]);
    mac.update(message);
    Some(mac)
}

/// The numbers of one virtual router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sequence {
    last: u32,
    reserved: u32,
}

/// Numbers that a predecessor may have used without telling.
const RESERVED: u32 = 64;

impl Sequence {
    /// Goes on where a predecessor stopped.
    #[must_use]
    pub fn resumed(last: u32) -> Self {
        Self { last, reserved: RESERVED }
    }

    /// The last number that was sent or heard.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Number of the next advert. Who has heard nobody starts at the seconds of the wall clock, since its peers may
    /// remember what it has sent before it was switched off.
    pub fn next(&mut self, wall: Duration) -> u32 {
        let behind = match self.last {
            0 => u32::try_from(wall.as_secs()).unwrap_or(0),
            last => last.saturating_add(self.reserved),
        };
        self.reserved = 0;
        self.last = behind.checked_add(1).unwrap_or(1);
        self.last
    }

    /// Enters a number that was heard, digest and all; false when it was heard before.
    #[must_use]
    pub fn enter(&mut self, heard: u32) -> bool {
        if heard <= self.last {
            return false;
        }
        *self = Self { last: heard, reserved: 0 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sent by keepalived 2.2.7 for VRID 51 with priority 100 and the password "1234".
    const CAPTURE: [u8; 64] = [
        0x45, 0xc0, 0x00, 0x40, 0x00, 0x01, 0x00, 0x00, 0xff, 0x33, 0xd0, 0x69, 0x0a, 0x4d, 0x00, 0x01, 0xe0,
        0x00, 0x00, 0x12, 0x70, 0x04, 0x00, 0x00, 0x0a, 0x4d, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x71, 0x71,
        0x44, 0x74, 0xd9, 0x8c, 0x99, 0x5f, 0x31, 0x04, 0x93, 0x13, 0x21, 0x33, 0x64, 0x01, 0x02, 0x01, 0x6e,
        0x4b, 0x0a, 0x4d, 0x00, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn keepaliveds_own_packet_is_by_its_key_and_no_other() {
        let (packet, sealed) = Sealed::parse(&CAPTURE).unwrap();
        assert_eq!((packet.ttl, sealed.sequence(), packet.payload.len()), (255, 1, 20));
        assert!(sealed.is_by(b"1234\0\0\0\0"));
        assert!(!sealed.is_by(b"1235\0\0\0\0"));
    }

    #[test]
    fn what_is_sealed_is_keepaliveds_packet_bit_by_bit() {
        let route = Route {
            source: Ipv4Addr::new(10, 77, 0, 1),
            destination: Ipv4Addr::new(224, 0, 0, 18),
            ttl: 255,
        };
        let mut out = Vec::new();
        seal(b"1234\0\0\0\0", &route, 1, &CAPTURE[44..], &mut out);
        // The kernel fills in the checksum of the IPv4 header.
        out[10..12].copy_from_slice(&CAPTURE[10..12]);
        assert_eq!(out, CAPTURE);
    }

    #[test]
    fn every_changed_bit_breaks_the_seal_but_those_that_routers_change() {
        for position in 0..CAPTURE.len() {
            let mut bytes = CAPTURE;
            bytes[position] ^= 1;
            let intact = Sealed::parse(&bytes).is_some_and(|(_, sealed)| sealed.is_by(b"1234\0\0\0\0"));
            assert_eq!(intact, matches!(position, 1 | 6 | 7 | 10 | 11), "byte {position}");
        }
    }

    #[test]
    fn a_number_counts_once_and_the_next_master_goes_on_behind_it() {
        let mut sequence = Sequence::default();
        assert!(sequence.enter(8));
        assert!(!sequence.enter(8) && !sequence.enter(7));
        assert_eq!(sequence.next(Duration::from_secs(1_000_000)), 9);
    }

    #[test]
    fn who_has_heard_nobody_starts_at_the_clock() {
        assert_eq!(Sequence::default().next(Duration::from_secs(1_700_000_000)), 1_700_000_001);
    }

    #[test]
    fn a_successor_sends_behind_its_predecessor_and_hears_what_follows_it() {
        assert_eq!(Sequence::resumed(100).next(Duration::ZERO), 165);
        let mut backup = Sequence::resumed(100);
        assert!(!backup.enter(100) && backup.enter(101));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some((_, sealed)) = Sealed::parse(&bytes) {
                prop_assert!(!sealed.is_by(b"12345678"));
            }
        }
    }
}
