//! Attributes: the type-length-value records that follow every fixed header.
//!
//! Pure. The reader gives what is well formed and stops at the first record that is not; the writer bounds
//! every length. Called by the codecs of this crate; the bytes read come from the kernel and are not trusted.
//!
//! ```text
//!  0               2               4
//! +---------------+---------------+-------------------+---------+
//! | length (with  | type, 0x8000  | value             | padding |
//! | these 4 bytes)| = nested      |                   | to 4    |
//! +---------------+---------------+-------------------+---------+
//! ```
//! Both numbers are in host order.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One attribute as it stands in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Type without the nested and byte-order bits.
    pub kind: u16,
    /// Value without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as u8, if its length says so.
    #[must_use]
    pub fn u8(&self) -> Option<u8> {
        self.value.try_into().ok().map(u8::from_ne_bytes)
    }

    /// The value as u16 in host order, if its length says so.
    #[must_use]
    pub fn u16(&self) -> Option<u16> {
        self.value.try_into().ok().map(u16::from_ne_bytes)
    }

    /// The value as u16 in network order, if its length says so.
    #[must_use]
    pub fn u16_be(&self) -> Option<u16> {
        self.value.try_into().ok().map(u16::from_be_bytes)
    }

    /// The value as u32 in host order, if its length says so.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The value as u64 in host order, if its length says so.
    #[must_use]
    pub fn u64(&self) -> Option<u64> {
        self.value.try_into().ok().map(u64::from_ne_bytes)
    }

    /// The value as text up to its first NUL and at most `limit` bytes; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self, limit: usize) -> String {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        let bytes = self.value.get(..end.min(limit)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The value as an address: 4 bytes are IPv4, 16 are IPv6.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        if let Ok(octets) = <[u8; 4]>::try_from(self.value) {
            return Some(IpAddr::V4(Ipv4Addr::from(octets)));
        }
        <[u8; 16]>::try_from(self.value).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
    }

    /// The attributes inside this one.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes { rest: self.value }
    }
}

/// Walk over attributes. Ends at the first that is cut off.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Walk over `bytes`, which begin with an attribute.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (length, rest) = self.rest.split_first_chunk::<2>()?;
        let (kind, _) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        Some(Attribute { kind: u16::from_ne_bytes(*kind) & KIND_MASK, value })
    }
}

/// Builder of a run of attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins after `header`, whose length is a multiple of 4.
    #[must_use]
    pub fn after(header: &[u8]) -> Self {
        Self { bytes: header.to_vec() }
    }

    /// Appends an attribute. A value of more than 65531 bytes can't be carried and is left out; no value that
    /// this crate writes is longer than a name.
    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let Ok(length) = u16::try_from(value.len().saturating_add(HEADER)) else { return self };
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self
    }

    /// Appends text with the NUL that ends it.
    pub fn put_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Appends attributes inside one of type `kind`.
    pub fn put_nested(&mut self, kind: u16, inside: &Self) -> &mut Self {
        self.put(kind | NESTED, &inside.bytes)
    }

    /// The bytes so far.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// `length` rounded up to a multiple of 4.
#[must_use]
pub(crate) fn aligned(length: usize) -> usize {
    length.checked_next_multiple_of(4).unwrap_or(usize::MAX)
}

const HEADER: usize = 4;
const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_of_five_bytes_is_padded_to_twelve() {
        let mut writer = Writer::default();
        writer.put(7, b"abcde").put(8, &9_u32.to_ne_bytes());
        let bytes = writer.into_bytes();
        assert_eq!(bytes.len(), 20);
        assert_eq!(bytes[4..12], *b"abcde\0\0\0");
        let read: Vec<_> = Attributes::new(&bytes).collect();
        assert_eq!(read[0], Attribute { kind: 7, value: b"abcde" });
        assert_eq!(read[1].u32(), Some(9));
    }

    #[test]
    fn a_record_longer_than_the_message_ends_the_walk() {
        let bytes = [200_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat();
        assert_eq!(Attributes::new(&bytes).count(), 0);
    }

    #[test]
    fn a_record_shorter_than_its_header_ends_the_walk() {
        for length in 0..4_u16 {
            let bytes = [length.to_ne_bytes(), 1_u16.to_ne_bytes(), [0; 2], [0; 2]].concat();
            assert_eq!(Attributes::new(&bytes).count(), 0);
        }
    }

    #[test]
    fn the_nested_bit_is_no_part_of_the_type() {
        let mut inside = Writer::default();
        inside.put(3, &[1]);
        let mut writer = Writer::default();
        writer.put_nested(2, &inside);
        let bytes = writer.into_bytes();
        assert_eq!(u16::from_ne_bytes([bytes[2], bytes[3]]), 0x8002);
        let outer = Attributes::new(&bytes).next().unwrap();
        assert_eq!(outer.kind, 2);
        assert_eq!(outer.nested().next().unwrap().u8(), Some(1));
    }

    proptest! {
        #[test]
        fn any_bytes_end_the_walk_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Attributes::new(&bytes).count() <= 75);
        }
    }
}
