//! Links: what the kernel says of a network interface.
//!
//! ```text
//!  0        1        2        4               8               12              16
//! +--------+--------+--------+---------------+---------------+---------------+-----------
//! | family | 0      | type   | index         | flags         | change mask   | attributes
//! +--------+--------+--------+---------------+---------------+---------------+-----------
//! ```

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use netlink_packet_route::link::LinkFlags;

use crate::attribute::Attributes;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Index in its network namespace, never 0.
    pub index: u32,
    /// Name, at most 15 bytes.
    pub name: String,
    /// All flags; the questions below read them.
    pub flags: LinkFlags,
    /// Greatest packet in bytes.
    pub mtu: u32,
    /// Kind of hardware address.
    pub hardware: HardwareKind,
    /// Hardware address, at most 32 bytes; empty when it has none.
    pub hardware_address: Vec<u8>,
    /// Index of the link below (VLAN, macvlan, vxlan).
    pub lower: Option<u32>,
    /// Index of the bond, bridge or VRF that it belongs to.
    pub controller: Option<u32>,
    /// Word of its driver where it has one: `macvlan`, `bond`, `vrf`, ...
    pub driver: Option<String>,
}

/// Kind of hardware address (`ARPHRD_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardwareKind {
    /// 1: addresses of six bytes; what VRRP's virtual MAC needs.
    Ethernet,
    /// 32
    Infiniband,
    /// 772
    Loopback,
    /// Any other.
    Other(u16),
}

impl Link {
    /// Reads the payload of `RTM_NEWLINK`. `None` without index or name.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = payload.split_first_chunk::<HEADER>()?;
        let [_, _, kind_0, kind_1, i0, i1, i2, i3, f0, f1, f2, f3, _, _, _, _] = *header;
        let mut link = Self {
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            name: String::new(),
            flags: LinkFlags::from_bits_retain(u32::from_ne_bytes([f0, f1, f2, f3])),
            mtu: 0,
            hardware: HardwareKind::from_number(u16::from_ne_bytes([kind_0, kind_1])),
            hardware_address: Vec::new(),
            lower: None,
            controller: None,
            driver: None,
        };
        for attribute in Attributes::new(attributes) {
            match attribute.kind {
                IFLA_ADDRESS => {
                    let length = attribute.value.len().min(MAX_ADDRESS);
                    link.hardware_address = attribute.value.get(..length).unwrap_or_default().to_vec();
                }
                IFLA_IFNAME => link.name = attribute.text(MAX_NAME),
                IFLA_MTU => link.mtu = attribute.u32().unwrap_or(0),
                IFLA_LINK => link.lower = attribute.u32().filter(|index| *index != 0),
                IFLA_MASTER => link.controller = attribute.u32().filter(|index| *index != 0),
                IFLA_LINKINFO => {
                    let driver = attribute.nested().find(|inner| inner.kind == IFLA_INFO_KIND);
                    link.driver = driver.map(|inner| inner.text(MAX_NAME));
                }
                _ => {}
            }
        }
        (link.index != 0 && !link.name.is_empty()).then_some(link)
    }

    /// Somebody has switched it on.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags.contains(LinkFlags::Up)
    }

    /// On, and the kernel calls it operational (carrier, not dormant).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.flags.contains(LinkFlags::Up | LinkFlags::Running)
    }

    /// It is `lo`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.flags.contains(LinkFlags::Loopback)
    }

    /// It resolves no neighbours: no gratuitous ARP.
    #[must_use]
    pub fn is_noarp(&self) -> bool {
        self.flags.contains(LinkFlags::Noarp)
    }

    /// It carries multicast.
    #[must_use]
    pub fn is_multicast(&self) -> bool {
        self.flags.contains(LinkFlags::Multicast)
    }

    /// The Ethernet address, if it has one.
    #[must_use]
    pub fn ethernet_address(&self) -> Option<[u8; 6]> {
        (self.hardware == HardwareKind::Ethernet).then(|| self.hardware_address.as_slice().try_into().ok())?
    }
}

/// Reads the index of `RTM_DELLINK`. `None` for notices of bridge ports and the like, which tell that the link
/// left the bridge, not that it is gone.
pub(super) fn decode_gone(payload: &[u8]) -> Option<u32> {
    let (header, _) = payload.split_first_chunk::<HEADER>()?;
    let [family, _, _, _, i0, i1, i2, i3, ..] = *header;
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    (family == 0 && index != 0).then_some(index)
}

impl HardwareKind {
    fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Ethernet,
            32 => Self::Infiniband,
            772 => Self::Loopback,
            other => Self::Other(other),
        }
    }
}

const HEADER: usize = 16;
const MAX_ADDRESS: usize = 32;
const MAX_NAME: usize = 15;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Writer;

    fn header(family: u8, kind: u16, index: u32, flags: u32) -> Vec<u8> {
        let mut bytes = vec![family, 0];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&index.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    #[test]
    fn a_macvlan_decodes_with_its_lower_link_and_address() {
        let mut info = Writer::default();
        info.put_text(1, "macvlan");
        let mut writer = Writer::after(&header(0, 1, 7, 0x1_1043));
        writer
            .put_text(3, "vrrp.51")
            .put(4, &1500_u32.to_ne_bytes())
            .put(1, &[0, 0, 0x5e, 0, 1, 51])
            .put(5, &2_u32.to_ne_bytes())
            .put_nested(18, &info);
        let link = Link::decode(&writer.into_bytes()).unwrap();
        assert_eq!(link.index, 7);
        assert_eq!(link.name, "vrrp.51");
        assert_eq!(link.mtu, 1500);
        assert_eq!(link.ethernet_address(), Some([0, 0, 0x5e, 0, 1, 51]));
        assert_eq!(link.lower, Some(2));
        assert_eq!(link.controller, None);
        assert_eq!(link.driver.as_deref(), Some("macvlan"));
        assert!(link.is_up() && link.is_running() && link.is_multicast());
        assert!(!link.is_loopback() && !link.is_noarp());
    }

    #[test]
    fn the_loopback_has_no_ethernet_address() {
        let mut writer = Writer::after(&header(0, 772, 1, 0x1_0049));
        writer.put_text(3, "lo").put(1, &[0; 6]);
        let link = Link::decode(&writer.into_bytes()).unwrap();
        assert!(link.is_loopback());
        assert_eq!(link.ethernet_address(), None);
    }

    #[test]
    fn a_message_without_a_name_is_no_link() {
        assert_eq!(Link::decode(&header(0, 1, 7, 0)), None);
    }

    #[test]
    fn a_link_that_left_its_bridge_is_not_gone() {
        assert_eq!(decode_gone(&header(7, 1, 4, 0)), None);
        assert_eq!(decode_gone(&header(0, 1, 4, 0)), Some(4));
    }
}
