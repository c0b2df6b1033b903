//! Which instance a datagram is for: by VRID, family, and interface or own address.
//!
//! Pure. Thousands of instances share at most 255 VRIDs, so a datagram is compared with a few of them only. Made anew
//! with every configuration; paths are looked at afresh. Datagrams come from the network and aren't trusted.

use std::collections::BTreeMap;

use config::model::vrrp::{Family, Transport};

use crate::proto::accept::Datagram;
use crate::proto::advert::Header;
use crate::router::Router;

/// Positions of the instances of each VRID and family.
#[derive(Debug, Default)]
pub(super) struct Directory(BTreeMap<(Family, u8), Vec<usize>>);

impl Directory {
    /// Of these instances, in this order.
    #[must_use]
    pub(super) fn of(routers: &[Router]) -> Self {
        let mut positions: BTreeMap<(Family, u8), Vec<usize>> = BTreeMap::new();
        for (position, router) in routers.iter().enumerate() {
            let key = (router.config.family, router.config.vrid.value());
            positions.entry(key).or_default().push(position);
        }
        Self(positions)
    }

    /// Instance that a datagram is for. Among several unicast instances the one that has the sender as a peer comes
    /// first.
    #[must_use]
    pub(super) fn addressee(&self, routers: &[Router], datagram: &Datagram<'_>) -> Option<usize> {
        let vrid = Header::parse(datagram.payload)?.vrid;
        let mut fallback = None;
        for position in self.0.get(&(Family::of(&datagram.source), vrid))? {
            let Some(router) = routers.get(*position) else { continue };
            match &router.config.transport {
                Transport::Multicast { group, .. } => {
                    if router.path.interface != Some(datagram.interface) {
                        continue;
                    }
                    if datagram.destination == *group {
                        return Some(*position);
                    }
                    fallback = fallback.or(Some(*position));
                }
                Transport::Unicast { peers, .. } => {
                    if router.path.source != Some(datagram.destination) {
                        continue;
                    }
                    if peers.iter().any(|peer| peer.address == datagram.source) {
                        return Some(*position);
                    }
                    fallback = Some(*position);
                }
            }
        }
        fallback
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{instance, link_up};
    use crate::kernel::link::Links;
    use config::model::units::{IfIndex, Vrid};

    fn datagram(interface: u32, payload: &[u8]) -> Datagram<'_> {
        Datagram {
            source: "192.0.2.7".parse().unwrap(),
            destination: "224.0.0.18".parse().unwrap(),
            ttl: 255,
            interface: IfIndex::new(interface),
            payload,
            sealed: None,
        }
    }

    #[test]
    fn one_vrid_on_two_interfaces_is_two_instances() {
        let mut links = Links::default();
        links.apply(link_up(2, "eth0"));
        links.apply(link_up(3, "eth1"));
        let mut second = instance(&["192.0.2.50/24"]);
        second.interface = Some("eth1".to_owned());
        let mut third = second.clone();
        third.vrid = Vrid::new(52).unwrap();
        let routers: Vec<Router> = [instance(&["192.0.2.50/24"]), second, third]
            .into_iter()
            .map(|config| Router::new(config, &links))
            .collect();
        let directory = Directory::of(&routers);
        let advert = |vrid| [0x31, vrid, 100, 1, 0, 100, 0, 0, 192, 0, 2, 50];
        let found = |interface, vrid| directory.addressee(&routers, &datagram(interface, &advert(vrid)));
        assert_eq!((found(2, 51), found(3, 51), found(3, 52)), (Some(0), Some(1), Some(2)));
        assert_eq!((found(2, 52), found(4, 51), found(2, 53)), (None, None, None));
    }
}
