//! Interfaces whose changes count only after a while (`interface_up_down_delays`).
//!
//! Pure: compares what an interface is with what counts of it, and says when that will change. One that is gone is
//! missing at once: nothing can be sent through it. Called by the driver with the table of links, after each change and
//! when a delay is over.

use std::collections::BTreeMap;

use config::model::units::MonoTime;
use config::model::vrrp::LinkDelay;

use super::link::{Condition, Links};

/// Delays and what they hold back.
#[derive(Debug, Default)]
pub struct Delays {
    configured: Vec<LinkDelay>,
    standing: BTreeMap<String, Standing>,
}

/// What counts of an interface.
#[derive(Debug, Clone, Copy)]
struct Standing {
    counts: Condition,
    /// What it is now counts from then on, unless it changes back.
    turns_at: Option<MonoTime>,
}

impl Delays {
    /// Other delays; what counts of an interface goes on counting.
    pub fn configure(&mut self, delays: Vec<LinkDelay>) {
        self.standing.retain(|name, _| delays.iter().any(|delay| delay.interface == *name));
        self.configured = delays;
    }

    /// Compares, and enters what counts into the table; true when that has changed.
    pub fn follow(&mut self, links: &mut Links, now: MonoTime) -> bool {
        let before = links.counted().clone();
        for LinkDelay { interface, down, up } in &self.configured {
            let is = links.present_condition(interface);
            let standing = self.standing.get(interface).copied();
            let mut standing = standing.unwrap_or(Standing { counts: is, turns_at: None });
            let delay = match is {
                Condition::Up => *up,
                Condition::Down => *down,
                Condition::Missing => std::time::Duration::ZERO,
            };
            if is == standing.counts {
                standing.turns_at = None;
            } else {
                let at = standing.turns_at.unwrap_or(now + delay);
                let turns = now >= at || delay.is_zero();
                standing = match turns {
                    true => Standing { counts: is, turns_at: None },
                    false => Standing { turns_at: Some(at), ..standing },
                };
            }
            self.standing.insert(interface.clone(), standing);
        }
        let counted: BTreeMap<String, Condition> =
            self.standing.iter().map(|(name, standing)| (name.clone(), standing.counts)).collect();
        let changed = counted != before;
        links.count(counted);
        changed
    }

    /// When [`Self::follow`] must be called again.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<MonoTime> {
        self.standing.values().filter_map(|standing| standing.turns_at).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixtures::link_up;
    use netlink::route::{LinkFlags, RouteEvent};

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    fn set(links: &mut Links, up: bool) {
        let mut event = link_up(2, "eth0");
        if let RouteEvent::LinkChanged(link) = &mut event
            && !up
        {
            link.flags = LinkFlags::empty();
        }
        links.apply(event);
    }

    fn eth0() -> (Delays, Links) {
        let (mut delays, mut links) = (Delays::default(), Links::default());
        set(&mut links, true);
        let (down, up) = (Duration::from_secs(3), Duration::from_secs(5));
        delays.configure(vec![LinkDelay { interface: "eth0".to_owned(), down, up }]);
        delays.follow(&mut links, at(0));
        (delays, links)
    }

    #[test]
    fn what_an_interface_is_at_first_counts_at_once() {
        let (delays, links) = eth0();
        assert_eq!((links.condition("eth0"), delays.poll_deadline()), (Condition::Up, None));
    }

    #[test]
    fn three_seconds_down_and_five_up_count_then() {
        let (mut delays, mut links) = eth0();
        set(&mut links, false);
        assert!(!delays.follow(&mut links, at(10)));
        assert_eq!((links.condition("eth0"), delays.poll_deadline()), (Condition::Up, Some(at(13))));
        assert!(delays.follow(&mut links, at(13)));
        assert_eq!(links.condition("eth0"), Condition::Down);
        set(&mut links, true);
        assert!(!delays.follow(&mut links, at(20)));
        assert!(!delays.follow(&mut links, at(24)));
        assert!(delays.follow(&mut links, at(25)));
        assert_eq!((links.condition("eth0"), delays.poll_deadline()), (Condition::Up, None));
    }

    #[test]
    fn an_interruption_shorter_than_the_delay_never_counts() {
        let (mut delays, mut links) = eth0();
        set(&mut links, false);
        delays.follow(&mut links, at(10));
        set(&mut links, true);
        delays.follow(&mut links, at(12));
        assert_eq!((links.condition("eth0"), delays.poll_deadline()), (Condition::Up, None));
        set(&mut links, false);
        delays.follow(&mut links, at(14));
        assert_eq!(delays.poll_deadline(), Some(at(17)));
    }

    #[test]
    fn one_that_is_gone_is_missing_at_once() {
        let (mut delays, mut links) = eth0();
        links.apply(RouteEvent::LinkGone(2));
        assert!(delays.follow(&mut links, at(10)));
        assert_eq!(links.condition("eth0"), Condition::Missing);
    }
}
