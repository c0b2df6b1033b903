//! Kernel filter in front of a receive socket: only adverts of our own virtual routers wake us up.
//!
//! A flood of other VRIDs then can't fill the queue that a better Master's advert must pass. Builds classic BPF
//! programs; `receive` attaches them. Input is configuration.

use config::model::units::Vrid;
use config::model::vrrp::Family;
use socket2::SockFilter;

/// Program that accepts adverts with one of these VRIDs and drops everything else. The kernel shows it the IPv4
/// header, but not the IPv6 header, in front of the message; `sealed` ones have an authentication header there, too.
#[must_use]
pub fn only(vrids: &[Vrid], family: Family, sealed: bool) -> Vec<SockFilter> {
    let offset = if sealed { VRID_OFFSET + SEAL_LENGTH } else { VRID_OFFSET };
    let mut program = match family {
        Family::Inet => vec![
            SockFilter::new(LOAD_INDEX_HEADER_LENGTH, 0, 0, 0),
            SockFilter::new(LOAD_BYTE_INDEXED, 0, 0, offset),
        ],
        Family::Inet6 => vec![SockFilter::new(LOAD_BYTE, 0, 0, offset)],
    };
    for vrid in vrids {
        program.push(SockFilter::new(JUMP_IF_EQUAL, 0, 1, u32::from(vrid.value())));
        program.push(SockFilter::new(RETURN, 0, 0, WHOLE));
    }
    program.push(SockFilter::new(RETURN, 0, 0, NOTHING));
    program
}

/// Program that drops everything, for sockets that only send.
#[must_use]
pub fn nothing() -> [SockFilter; 1] {
    [SockFilter::new(RETURN, 0, 0, NOTHING)]
}

const VRID_OFFSET: u32 = 1;
/// RFC 2402 with 96 bits of digest.
const SEAL_LENGTH: u32 = 24;
const WHOLE: u32 = u32::MAX;
const NOTHING: u32 = 0;
// linux/bpf_common.h: class, size and mode of each instruction.
const LOAD_INDEX_HEADER_LENGTH: u16 = 0xb1;
const LOAD_BYTE_INDEXED: u16 = 0x50;
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_255_vrids_fit_the_kernels_limit_of_4096_instructions() {
        let vrids: Vec<_> = (1..=255).map(|vrid| Vrid::new(vrid).unwrap()).collect();
        assert_eq!(only(&vrids, Family::Inet, true).len(), 513);
        assert_eq!(only(&vrids, Family::Inet6, false).len(), 512);
    }
}
