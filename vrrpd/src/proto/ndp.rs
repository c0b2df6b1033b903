//! Unsolicited neighbour advertisement (RFC 4861 section 4.4): "this address is here now".
//!
//! ```text
//! Ethernet: destination 33:33:00:00:00:01 (6)  source (6)  type 0x86dd (2)
//! IPv6:     0x60000000 (4)  payload length 32 (2)  next header 58  hop limit 255  source (16)  ff02::1 (16)
//! ICMPv6:   type 136  code 0  checksum (2)  flags R.O. or ..O. (4)  target (16)
//!           option 2, length 1 (2)  link-layer address (6)
//! ```
//!
//! Builds the frame and nothing else; `announce` decides when. Input is configuration and a link's address.

use std::net::Ipv6Addr;

use super::advert::Sum;

/// Length of the frame.
pub const FRAME_LENGTH: usize = 86;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const PAYLOAD_LENGTH: u8 = 32;
const ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// Override flag.
const OVERRIDE: u8 = 0x20;
/// Router flag. RFC 9568 section 6.4.1 takes for granted that a VRRP router forwards; where it does not, hosts must
/// not be told that it is a router (RFC 4861 section 4.4), and keepalived doesn't either.
const ROUTER: u8 = 0x80;

/// Frame that announces `target` at the link-layer address `hardware`, to all nodes, from the target itself;
/// `router` when this machine forwards there.
#[must_use]
pub fn unsolicited(hardware: [u8; 6], target: Ipv6Addr, router: bool) -> Vec<u8> {
    let flags = if router { ROUTER | OVERRIDE } else { OVERRIDE };
    let mut frame = Vec::with_capacity(FRAME_LENGTH);
    frame.extend([0x33, 0x33, 0, 0, 0, 1]);
    frame.extend(hardware);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, PAYLOAD_LENGTH, ICMPV6, 255]);
    frame.extend(target.octets());
    frame.extend(ALL_NODES.octets());
    let sum = checksum(&message(flags, hardware, target, [0, 0]), target).to_be_bytes();
    frame.extend(message(flags, hardware, target, sum));
    frame
}

fn message(flags: u8, hardware: [u8; 6], target: Ipv6Addr, sum: [u8; 2]) -> Vec<u8> {
    let [high, low] = sum;
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, high, low, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend([TARGET_LINK_LAYER_ADDRESS, 1]);
    message.extend(hardware);
    message
}

fn checksum(message: &[u8], source: Ipv6Addr) -> u16 {
    let mut sum = Sum::default();
    sum.add(&source.octets());
    sum.add(&ALL_NODES.octets());
    sum.add(&[0, 0, 0, PAYLOAD_LENGTH, 0, 0, 0, ICMPV6]);
    sum.add(message);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_independent_parser_reads_the_frame_and_agrees_with_its_checksum() {
        let target: Ipv6Addr = "2001:db8::50".parse().unwrap();
        let frame = unsolicited([2, 0x77, 0, 0, 0, 1], target, true);
        assert_eq!(frame.len(), 86);
        let parsed = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(etherparse::TransportSlice::Icmpv6(icmp)) = parsed.transport else {
            panic!("not ICMPv6: {parsed:?}");
        };
        assert_eq!(icmp.type_u8(), 136);
        let destination = "ff02::1".parse::<Ipv6Addr>().unwrap().octets();
        assert!(icmp.is_checksum_valid(target.octets(), destination));
        assert_eq!(frame[58], 0xa0, "router and override");
        assert_eq!(unsolicited([2, 0x77, 0, 0, 0, 1], target, false)[58], 0x20, "override only");
        assert_eq!(&frame[78..], &[2, 1, 2, 0x77, 0, 0, 0, 1]);
    }
}
