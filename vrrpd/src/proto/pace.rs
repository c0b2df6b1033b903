//! How fast announcements may follow each other on an interface (`vrrp_garp_interval`, `garp_group`).
//!
//! Pure. Interfaces of a group share one clock, every other interface has its own; ARP and neighbour advertisements
//! are counted apart. Asked by the driver before each announcement.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::MonoTime;
use config::model::vrrp::{AnnouncePaces, Family};

/// Clocks of all interfaces.
#[derive(Debug, Default)]
pub struct Pacer {
    config: AnnouncePaces,
    next: BTreeMap<(Clock, Family), MonoTime>,
}

/// Whose clock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    Group(usize),
    Interface(String),
}

impl Pacer {
    /// Takes another configuration; clocks start anew.
    pub fn configure(&mut self, config: AnnouncePaces) {
        if config != self.config {
            self.config = config;
            self.next.clear();
        }
    }

    /// Lets one announcement through, or says when it may be tried again.
    ///
    /// # Errors
    /// The time before which nothing may be sent on this interface.
    pub fn admit(&mut self, interface: &str, family: Family, now: MonoTime) -> Result<(), MonoTime> {
        let group =
            self.config.groups.iter().position(|group| group.interfaces.iter().any(|i| i == interface));
        let pace = group
            .and_then(|group| self.config.groups.get(group))
            .map_or(self.config.every, |group| group.pace);
        let interval = match family {
            Family::Inet => pace.arp,
            Family::Inet6 => pace.neighbour,
        };
        if interval == Duration::ZERO {
            return Ok(());
        }
        let clock = group.map_or_else(|| Clock::Interface(interface.to_owned()), Clock::Group);
        let next = self.next.entry((clock, family)).or_default();
        if now < *next {
            return Err(*next);
        }
        *next = now + interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::vrrp::{Pace, PaceGroup};

    fn at_ms(value: u64) -> MonoTime {
        MonoTime::from_nanos(value * 1_000_000)
    }

    fn pacer() -> Pacer {
        let pace = |arp| Pace { arp: Duration::from_millis(arp), neighbour: Duration::ZERO };
        let interfaces = vec!["eth1".to_owned(), "eth2".to_owned()];
        let groups = vec![PaceGroup { interfaces, pace: pace(500) }];
        let mut pacer = Pacer::default();
        pacer.configure(AnnouncePaces { every: pace(100), groups });
        pacer
    }

    #[test]
    fn each_interface_outside_groups_has_a_clock_of_its_own() {
        let mut pacer = pacer();
        assert_eq!(pacer.admit("eth0", Family::Inet, at_ms(1_000)), Ok(()));
        assert_eq!(pacer.admit("eth0", Family::Inet, at_ms(1_099)), Err(at_ms(1_100)));
        assert_eq!(pacer.admit("eth9", Family::Inet, at_ms(1_099)), Ok(()));
        assert_eq!(pacer.admit("eth0", Family::Inet, at_ms(1_100)), Ok(()));
    }

    #[test]
    fn interfaces_of_a_group_share_one() {
        let mut pacer = pacer();
        assert_eq!(pacer.admit("eth1", Family::Inet, at_ms(1_000)), Ok(()));
        assert_eq!(pacer.admit("eth2", Family::Inet, at_ms(1_400)), Err(at_ms(1_500)));
    }

    #[test]
    fn a_family_without_interval_never_waits() {
        let mut pacer = pacer();
        for _ in 0..3 {
            assert_eq!(pacer.admit("eth1", Family::Inet6, at_ms(1_000)), Ok(()));
        }
    }
}
