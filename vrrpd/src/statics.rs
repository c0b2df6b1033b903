//! Static addresses and routes at run time: what is in place, and which instances suffer when something isn't.
//!
//! Pure: `holdings` turns wishes into orders, the driver has them done. They are there from start to end whatever the
//! state of instances is; what somebody else removes is put back.

use config::model::network::Statics;
use config::model::units::{InstanceId, MonoTime};

use crate::holdings::{Holdings, Restores, Trust};
use crate::kernel::address::Order;
use crate::kernel::link::{Condition, Links};

/// Static items of the running configuration.
#[derive(Debug)]
pub struct Standing {
    /// What shall be there.
    pub config: Statics,
    /// What is there.
    pub holdings: Holdings,
    /// How often items are put back.
    pub restores: Restores,
    /// When to look for missing items.
    pub verify_at: Option<MonoTime>,
}

impl Default for Standing {
    fn default() -> Self {
        let config = Statics::default();
        let holdings = Holdings::tolerant(&config);
        Self { config, holdings, restores: Restores::default(), verify_at: None }
    }
}

impl Standing {
    /// Takes another configuration. Returns orders that remove what is no longer configured.
    pub fn reconfigure(&mut self, config: Statics) -> Vec<Order> {
        let removed = self.holdings.reconfigure(&self.config, &config);
        self.config = config;
        removed
    }

    /// A predecessor has put the items in place.
    pub fn adopt(&mut self, links: &Links) {
        self.holdings.adopt(&self.config, links, Trust::Predecessor);
    }

    /// Something has changed that may concern an item.
    pub fn verify(&mut self, now: MonoTime) {
        if self.config.is_empty() {
            return;
        }
        let at = self.restores.next(now);
        if at <= now {
            self.holdings.claim();
        } else {
            self.verify_at = Some(at);
        }
    }

    /// True when an item that this instance depends on is not in place.
    #[must_use]
    pub fn fails(&self, instance: InstanceId, links: &Links) -> bool {
        let depends = |group: &Option<u32>| {
            let group = group.and_then(|group| self.config.groups.get(usize::try_from(group).ok()?));
            group.is_some_and(|group| group.members.contains(&instance))
        };
        let down =
            |name: &Option<String>| name.as_ref().is_some_and(|name| links.condition(name) != Condition::Up);
        let addresses = self.config.addresses.iter().zip(&self.config.address_groups).enumerate();
        let address_fails = addresses
            .filter(|(_, (_, group))| depends(group))
            .any(|(position, (address, _))| down(&address.interface) || !self.holdings.has(position));
        let first = self.config.addresses.len();
        let routes = self.config.routes.iter().zip(&self.config.route_groups).enumerate();
        let route_fails = routes.filter(|(_, (_, group))| depends(group)).any(|(position, (route, _))| {
            down(&route.interface) || !self.holdings.has(first.saturating_add(position))
        });
        address_fails || route_fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::links;
    use crate::kernel::Answer;
    use config::model::network::{TrackGroup, VirtualAddress};

    fn standing() -> Standing {
        let mut standing = Standing::default();
        let mut address = VirtualAddress::new("198.51.100.1/24".parse().unwrap());
        address.interface = Some("eth0".to_owned());
        let removed = standing.reconfigure(Statics {
            addresses: vec![address],
            address_groups: vec![Some(0)],
            groups: vec![TrackGroup { name: "G".to_owned(), members: vec![InstanceId::new(1)] }],
            ..Statics::default()
        });
        assert_eq!(removed, []);
        standing
    }

    #[test]
    fn only_instances_of_its_track_group_suffer_from_a_missing_address() {
        let mut standing = standing();
        standing.holdings.claim();
        let fails = |standing: &Standing, instance| standing.fails(InstanceId::new(instance), &links());
        assert!(fails(&standing, 1));
        assert!(!fails(&standing, 0));
        let step = standing.holdings.step(&standing.config, &links());
        standing.holdings.advance(&step, &[Answer::Done], &links());
        assert!(!fails(&standing, 1));
        assert!(standing.fails(InstanceId::new(1), &Links::default()));
    }

    #[test]
    fn a_refused_address_is_a_complaint_and_the_others_follow() {
        let mut standing = standing();
        standing.holdings.claim();
        let step = standing.holdings.step(&standing.config, &links());
        standing.holdings.advance(&step, &[Answer::Refused("no".to_owned())], &links());
        assert_eq!(standing.holdings.complaints(), ["address 198.51.100.1/24: no"]);
        assert!(standing.fails(InstanceId::new(1), &links()));
    }
}
