//! Whether an interface forwards IPv6: what the kernel says of its settings (`RTM_NEWNETCONF`).
//!
//! ```text
//!  0        4
//! +--------+-----------
//! | family | attributes
//! +--------+-----------
//! ```

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use crate::attribute::Attributes;

/// Reads the payload of `RTM_NEWNETCONF`: index of the interface, and whether packets pass from it to others.
/// `None` for IPv4, for the settings of all and of future interfaces, and for notices of other settings.
pub(super) fn decode(payload: &[u8]) -> Option<(u32, bool)> {
    let ([family, ..], attributes) = payload.split_first_chunk::<HEADER>()?;
    if *family != AF_INET6 {
        return None;
    }
    let (mut index, mut forwards) = (None, None);
    for attribute in Attributes::new(attributes) {
        match attribute.kind {
            NETCONFA_IFINDEX => index = attribute.u32(),
            NETCONFA_FORWARDING => forwards = attribute.u32(),
            _ => {}
        }
    }
    // -1 and -2 stand for all interfaces and for the default.
    let index = index.filter(|index| i32::try_from(*index).is_ok_and(|index| index > 0))?;
    Some((index, forwards? != 0))
}

/// `struct netconfmsg`, padded.
const HEADER: usize = 4;
pub(super) const AF_INET6: u8 = 10;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Writer;

    fn notice(family: u8, index: i32, forwards: i32) -> Vec<u8> {
        let mut writer = Writer::after(&[family, 0, 0, 0]);
        writer.put(1, &index.to_ne_bytes()).put(2, &forwards.to_ne_bytes());
        writer.into_bytes()
    }

    #[test]
    fn forwarding_of_one_interface_decodes() {
        assert_eq!(decode(&notice(10, 3, 1)), Some((3, true)));
        assert_eq!(decode(&notice(10, 3, 0)), Some((3, false)));
    }

    #[test]
    fn other_families_and_the_settings_of_all_interfaces_are_passed_over() {
        assert_eq!(decode(&notice(2, 3, 1)), None);
        assert_eq!(decode(&notice(10, -1, 1)), None);
        assert_eq!(decode(&notice(10, -2, 1)), None);
        assert_eq!(decode(&[10]), None);
    }
}
