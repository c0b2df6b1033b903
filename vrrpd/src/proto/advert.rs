//! Wire form of an advert, VRRPv2 (RFC 3768 section 5.1) and VRRPv3 (RFC 9568 section 5.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |Version| Type  |     VRID      |   Priority    | Address count |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! v2: | Auth type | Interval, s   |           Checksum            |
//! v3: |  0  | Interval, cs (12 bit)|          Checksum            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      Addresses, 4 or 16 bytes each, network byte order        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! v2: |          Authentication data, 8 bytes                     |
//! ```
//!
//! Turns bytes into fields and fields into bytes. Judges nothing: `accept` does. Bytes come from the network and
//! aren't trusted: every access is checked.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::model::units::{AdvertInterval, Priority, Vrid};
use config::model::vrrp::{Authentication, Family, Version};

use super::auth;

/// IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;
/// Length of the fixed part.
pub const HEADER_LENGTH: usize = 8;
/// Length of the authentication data that ends every VRRPv2 advert.
pub const AUTHENTICATION_LENGTH: usize = 8;
/// The only message type.
pub const TYPE_ADVERTISEMENT: u8 = 1;

/// Where the checksum stands.
pub const CHECKSUM_AT: std::ops::Range<usize> = 6..8;

/// The fixed part of a received advert, fields as they stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Version, 0..=15.
    pub version: u8,
    /// Type, 0..=15; 1 is an advertisement.
    pub kind: u8,
    /// Virtual router identifier; 0 is invalid.
    pub vrid: u8,
    /// Priority of the sender; 0 resigns.
    pub priority: u8,
    /// Number of addresses that follow.
    pub count: u8,
    /// Authentication type (v2), or reserved bits and the high part of the interval (v3).
    pub fifth: u8,
    /// Interval in seconds (v2), or the low part of the interval in centiseconds (v3).
    pub sixth: u8,
}

impl Header {
    /// Reads the fixed part; `None` when there are fewer than 8 bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, vrid, priority, count, fifth, sixth, _, _] = *bytes.first_chunk::<HEADER_LENGTH>()?;
        Some(Self { version: first >> 4, kind: first & 0x0f, vrid, priority, count, fifth, sixth })
    }

    /// Interval of a VRRPv3 advert in centiseconds, 0..=4095.
    #[must_use]
    pub fn centiseconds(&self) -> u16 {
        u16::from_be_bytes([self.fifth & 0x0f, self.sixth])
    }
}

/// Bytes behind the addresses. VRRPv2 over IPv6 is no standard: keepalived leaves out its authentication data, and so
/// does this suite, unless there is a password.
fn trailer_length(version: Version, family: Family, authentication: Authentication) -> usize {
    match (version, family, authentication) {
        (Version::V3, _, _) | (Version::V2, Family::Inet6, Authentication::None) => 0,
        (Version::V2, Family::Inet, _)
        | (Version::V2, Family::Inet6, Authentication::Pass(_) | Authentication::Ah(_)) => {
            AUTHENTICATION_LENGTH
        }
    }
}

/// Length of a whole advert with this many addresses.
#[must_use]
pub fn message_length(version: Version, family: Family, authentication: Authentication, count: u8) -> usize {
    let trailer = trailer_length(version, family, authentication);
    usize::from(count)
        .saturating_mul(address_length(family))
        .saturating_add(HEADER_LENGTH)
        .saturating_add(trailer)
}

/// Addresses that an advert can carry over a link with this MTU. keepalived counts the Ethernet header in, although
/// the MTU doesn't; routers that back each other up must count alike.
#[must_use]
pub fn most_addresses(
    version: Version,
    family: Family,
    authentication: Authentication,
    mtu: u32,
    overhead: usize,
) -> usize {
    const ETHERNET_HEADER: usize = 14;
    let ip_header = match family {
        Family::Inet => 20,
        Family::Inet6 => 40,
    };
    let fixed = message_length(version, family, authentication, 0)
        .saturating_add(ETHERNET_HEADER)
        .saturating_add(ip_header)
        .saturating_add(overhead);
    let room = usize::try_from(mtu).unwrap_or(usize::MAX).saturating_sub(fixed);
    room.checked_div(address_length(family)).unwrap_or(0).min(usize::from(u8::MAX))
}

/// Number of the version in the header.
#[must_use]
pub fn version_number(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

/// The addresses after the fixed part, at most `count` of them and no more than there are bytes for.
pub fn addresses(bytes: &[u8], family: Family, count: u8) -> impl Iterator<Item = IpAddr> + '_ {
    let body = bytes.get(HEADER_LENGTH..).unwrap_or_default();
    body.chunks_exact(address_length(family)).take(usize::from(count)).filter_map(address)
}

/// The eight bytes that end a VRRPv2 advert; `None` when it is shorter than a header and those.
#[must_use]
pub fn authentication_data(bytes: &[u8]) -> Option<[u8; AUTHENTICATION_LENGTH]> {
    bytes.get(HEADER_LENGTH..)?.last_chunk::<AUTHENTICATION_LENGTH>().copied()
}

/// An advert to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Version of the header.
    pub version: Version,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Priority; [`Priority::RESIGN`] gives up the role.
    pub priority: Priority,
    /// Interval: whole seconds in VRRPv2, at most 4095 centiseconds in VRRPv3.
    pub interval: AdvertInterval,
    /// Addresses of one family; what exceeds 255 is left out.
    pub addresses: &'a [IpAddr],
    /// VRRPv2 authentication.
    pub authentication: Authentication,
}

impl Outgoing<'_> {
    /// Writes the message into `out`, which is cleared first; its checksum is zero until [`set_checksum`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        let listed = self.addresses.iter().take(usize::from(u8::MAX));
        let count = u8::try_from(listed.len()).unwrap_or(u8::MAX);
        let [fifth, sixth] = match self.version {
            Version::V2 => [auth::type_number(self.authentication), self.interval.whole_seconds()],
            Version::V3 => self.interval.centiseconds().min(AdvertInterval::V3_MAX).to_be_bytes(),
        };
        let first = (version_number(self.version) << 4) | TYPE_ADVERTISEMENT;
        out.extend([first, self.vrid.value(), self.priority.value(), count, fifth, sixth, 0, 0]);
        for address in listed {
            match address {
                IpAddr::V4(address) => out.extend(address.octets()),
                IpAddr::V6(address) => out.extend(address.octets()),
            }
        }
        let family = self.addresses.first().map_or(Family::Inet, Family::of);
        if trailer_length(self.version, family, self.authentication) > 0 {
            out.extend(auth::trailer(self.authentication));
        }
    }
}

/// Puts the checksum of the first `covered` bytes in its place, for one destination.
pub fn set_checksum(
    version: Version,
    source: IpAddr,
    destination: IpAddr,
    covered: usize,
    message: &mut [u8],
) {
    if let Some(field) = message.get_mut(CHECKSUM_AT) {
        field.fill(0);
    }
    let sum = checksum(version, source, destination, message.get(..covered).unwrap_or_default());
    if let Some(field) = message.get_mut(CHECKSUM_AT) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// Checksum of a message (RFC 9568 section 5.2.8, RFC 3768 section 5.3.8): 0 for a received message that is whole,
/// the value of the field for a message whose field is 0.
#[must_use]
pub fn checksum(version: Version, source: IpAddr, destination: IpAddr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut sum = Sum::default();
    match (source, destination, version) {
        (IpAddr::V4(_), _, Version::V2) => {}
        (IpAddr::V4(source), IpAddr::V4(destination), Version::V3) => {
            sum.add(&source.octets());
            sum.add(&destination.octets());
            sum.add(&u32::from(PROTOCOL).to_be_bytes());
            sum.add(&length.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination), _) => {
            sum.add(&source.octets());
            sum.add(&destination.octets());
            sum.add(&length.to_be_bytes());
            sum.add(&u32::from(PROTOCOL).to_be_bytes());
        }
        // Families are never mixed: the two addresses come from one IP header or one instance.
        (IpAddr::V4(_), IpAddr::V6(_), Version::V3) | (IpAddr::V6(_), IpAddr::V4(_), _) => {}
    }
    sum.add(message);
    sum.finish()
}

/// Ones' complement sum of 16-bit words (RFC 1071). Parts must be of even length, except the last.
#[derive(Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds the words of `bytes`; an odd last byte is padded with zero.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(2) {
            let value = match *word {
                [high, low] => u16::from_be_bytes([high, low]),
                [high] => u16::from_be_bytes([high, 0]),
                _ => 0,
            };
            self.0 = self.0.saturating_add(u64::from(value));
        }
    }

    /// Folds and inverts.
    pub(super) fn finish(self) -> u16 {
        // 2^16 is 1 modulo 2^16 - 1: the remainder is the folded sum, but that 0 and 0xffff are one there.
        let folded = self.0 % 0xffff;
        let folded = if folded == 0 && self.0 != 0 { 0xffff } else { folded };
        !u16::try_from(folded).unwrap_or(u16::MAX)
    }
}

fn address_length(family: Family) -> usize {
    match family {
        Family::Inet => 4,
        Family::Inet6 => 16,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(version: Version, addresses: &[IpAddr], authentication: Authentication) -> Outgoing<'_> {
        Outgoing {
            version,
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(100),
            interval: AdvertInterval::from_centiseconds(100).unwrap(),
            addresses,
            authentication,
        }
    }

    fn whole(outgoing: &Outgoing<'_>, source: &str, destination: &str, out: &mut Vec<u8>) {
        outgoing.encode(out);
        set_checksum(outgoing.version, ip(source), ip(destination), out.len(), out);
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn golden_version_2_with_password() {
        let addresses = [ip("192.0.2.10")];
        let mut out = Vec::new();
        whole(
            &outgoing(Version::V2, &addresses, Authentication::Pass(*b"1111\0\0\0\0")),
            "192.0.2.1",
            "224.0.0.18",
            &mut out,
        );
        // 2133+6401+0101+c000+020a+3131+3131 = 1aaa1 -> aaa2 -> !aaa2 = 555d
        let golden = [
            0x21, 0x33, 0x64, 0x01, 0x01, 0x01, 0x55, 0x5d, 192, 0, 2, 10, 0x31, 0x31, 0x31, 0x31, 0, 0, 0, 0,
        ];
        assert_eq!(out, golden);
    }

    #[test]
    fn golden_version_3_over_ipv4() {
        let addresses = [ip("192.0.2.10")];
        let mut out = Vec::new();
        whole(&outgoing(Version::V3, &addresses, Authentication::None), "192.0.2.1", "224.0.0.18", &mut out);
        // c000+0201+e000+0012+0070+000c+3133+6401+0064+c000+020a = 2fa31 -> fa33 -> !fa33 = 05cc
        assert_eq!(out, [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0x05, 0xcc, 192, 0, 2, 10]);
    }

    #[test]
    fn golden_version_3_over_ipv6_carries_the_link_local_first() {
        let addresses = [ip("fe80::50"), ip("2001:db8::50")];
        let mut out = Vec::new();
        whole(&outgoing(Version::V3, &addresses, Authentication::None), "fe80::1", "ff02::12", &mut out);
        assert_eq!(out.len(), 40);
        assert_eq!(&out[..6], &[0x31, 0x33, 0x64, 0x02, 0x00, 0x64]);
        assert_eq!(&out[8..12], &[0xfe, 0x80, 0, 0]);
        assert_eq!(checksum(Version::V3, ip("fe80::1"), ip("ff02::12"), &out), 0);
    }

    #[test]
    fn the_pseudo_header_binds_a_version_3_advert_to_its_addresses() {
        let addresses = [ip("192.0.2.10")];
        let mut out = Vec::new();
        let advert = outgoing(Version::V3, &addresses, Authentication::None);
        whole(&advert, "192.0.2.1", "192.0.2.2", &mut out);
        assert_eq!(checksum(Version::V3, ip("192.0.2.1"), ip("192.0.2.2"), &out), 0);
        assert_ne!(checksum(Version::V3, ip("192.0.2.1"), ip("192.0.2.3"), &out), 0);
    }

    #[test]
    fn an_interval_of_4095_centiseconds_fills_twelve_bits() {
        let mut advert = outgoing(Version::V3, &[], Authentication::None);
        advert.interval = AdvertInterval::from_centiseconds(4095).unwrap();
        let mut out = Vec::new();
        whole(&advert, "192.0.2.1", "224.0.0.18", &mut out);
        assert_eq!(&out[4..6], &[0x0f, 0xff]);
        assert_eq!(Header::parse(&out).unwrap().centiseconds(), 4095);
    }

    #[test]
    fn lengths_follow_version_and_family() {
        let (open, password) = (Authentication::None, Authentication::Pass(*b"1111\0\0\0\0"));
        assert_eq!(message_length(Version::V2, Family::Inet, open, 1), 20);
        assert_eq!(message_length(Version::V3, Family::Inet, open, 255), 1028);
        assert_eq!(message_length(Version::V3, Family::Inet6, open, 2), 40);
        assert_eq!(message_length(Version::V2, Family::Inet6, open, 1), 24);
        assert_eq!(message_length(Version::V2, Family::Inet6, password, 1), 32);
    }

    #[test]
    fn version_2_over_ipv6_ends_with_its_addresses() {
        let addresses = ["fe80::5".parse().unwrap()];
        let mut out = Vec::new();
        whole(&outgoing(Version::V2, &addresses, Authentication::None), "fe80::1", "ff02::12", &mut out);
        assert_eq!(out.len(), 24);
        assert_eq!(out[8..], [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn seven_bytes_are_no_header() {
        assert_eq!(Header::parse(&[0x31, 1, 100, 0, 0, 100, 0]), None);
    }

    #[test]
    fn a_claimed_count_yields_no_address_that_is_not_there() {
        let bytes = [0x31, 1, 100, 255, 0, 100, 0, 0, 192, 0, 2, 10, 192, 0];
        let found: Vec<_> = addresses(&bytes, Family::Inet, 255).collect();
        assert_eq!(found, [ip("192.0.2.10")]);
    }

    #[test]
    fn an_independent_library_agrees_with_our_sum() {
        let mut sum = Sum::default();
        let text = b"every advert is summed twice, here and there!";
        sum.add(text);
        let theirs = etherparse::checksum::Sum16BitWords::new().add_slice(text).ones_complement().to_be();
        assert_eq!(sum.finish(), theirs);
    }
}
