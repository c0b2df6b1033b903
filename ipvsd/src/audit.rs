//! Decides when the kernel's table is looked at although nothing has changed.
//!
//! Pure. All services about every second, the destinations of some services after those of others in turn; both as
//! seldom as it takes to spend at most one per cent of a processor on them. Called by [`crate::keeper`].

use std::time::Duration;

use config::model::units::MonoTime;
use netlink::ipvs::Key;

/// When to look at what.
#[derive(Debug, Clone, Copy)]
pub struct Audit {
    services_at: MonoTime,
    destinations_at: MonoTime,
    /// No look of either kind before: what the last one cost.
    rest_until: MonoTime,
    last: Option<Key>,
}

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The list of services.
    Services,
    /// The destinations of the services after this one, as many as [`share`] says.
    Destinations {
        /// The service that was looked at last.
        after: Option<Key>,
    },
}

impl Audit {
    /// The first look comes a second after `now`.
    #[must_use]
    pub fn new(now: MonoTime) -> Self {
        Self { services_at: now + SERVICES, destinations_at: now + SERVICES, rest_until: now, last: None }
    }

    /// What to look at now, if anything.
    #[must_use]
    pub fn due(&self, now: MonoTime) -> Option<Look> {
        if now < self.rest_until {
            return None;
        }
        if self.services_at <= now {
            return Some(Look::Services);
        }
        (self.destinations_at <= now).then_some(Look::Destinations { after: self.last })
    }

    /// When to ask [`Self::due`] again.
    #[must_use]
    pub fn next(&self) -> MonoTime {
        self.services_at.min(self.destinations_at).max(self.rest_until)
    }

    /// The services were read until `end`, for so much processor time.
    pub fn saw_services(&mut self, end: MonoTime, cost: Duration) {
        self.services_at = end + SERVICES.max(cost * SERVICES_SPARSENESS);
        self.rest_until = end + cost * SPARSENESS;
    }

    /// The destinations of so many of `services` were read until `end`, `last` the last of them, for so much processor
    /// time; `None` when there was nothing to read.
    pub fn saw_destinations(
        &mut self,
        last: Option<Key>,
        (read, services): (usize, usize),
        end: MonoTime,
        cost: Duration,
    ) {
        self.last = last;
        let count = |number: usize| u32::try_from(number.max(1)).unwrap_or(u32::MAX);
        let pause = ROUND * count(read) / count(services);
        self.destinations_at = end + pause.max(SHORTEST);
        self.rest_until = end + cost * SPARSENESS;
    }
}

/// How many of so many services have their destinations read in one look: each wakes the process up.
#[must_use]
pub fn share(services: usize) -> usize {
    services.div_ceil(LOOKS).max(1)
}

/// A look ends with the service that makes it so many destinations, which take some two milliseconds.
pub const DESTINATIONS: usize = 512;

const SERVICES: Duration = Duration::from_secs(1);

/// Aim for one round over all services.
const ROUND: Duration = Duration::from_millis(1800);

/// Looks in a round.
const LOOKS: usize = 20;

const SHORTEST: Duration = Duration::from_millis(20);

/// All looks together may take one per cent of a processor. What they cost is measured around reading and comparing;
/// waking up comes on top.
const SPARSENESS: u32 = 150;

/// Those at services a third of it.
const SERVICES_SPARSENESS: u32 = 450;

#[cfg(test)]
mod tests {
    use super::*;

    const START: MonoTime = MonoTime::from_nanos(5_000_000_000);

    fn after(millis: u64) -> MonoTime {
        START + Duration::from_millis(millis)
    }

    #[test]
    fn services_are_looked_at_every_second() {
        let mut audit = Audit::new(START);
        assert_eq!(audit.due(after(999)), None);
        assert_eq!(audit.due(after(1000)), Some(Look::Services));
        audit.saw_services(after(1001), Duration::from_millis(1));
        audit.saw_destinations(None, (0, 0), after(1001), Duration::from_millis(0));
        assert_eq!(audit.next(), after(2001));
    }

    #[test]
    fn a_dump_of_100_ms_is_followed_by_15_seconds_of_rest() {
        let mut audit = Audit::new(START);
        audit.saw_services(after(1100), Duration::from_millis(100));
        assert_eq!(audit.services_at, after(46_100));
        assert_eq!(audit.next(), after(16_100));
        assert_eq!(audit.due(after(16_099)), None);
        assert_eq!(audit.due(after(16_100)), Some(Look::Destinations { after: None }));
        audit.saw_destinations(None, (1, 3), after(16_200), Duration::from_millis(100));
        assert_eq!(audit.next(), after(31_200));
        assert_eq!(audit.due(after(31_200)), Some(Look::Destinations { after: None }));
        assert_eq!(audit.due(after(46_100)), Some(Look::Services));
    }

    #[test]
    fn a_round_over_all_services_takes_less_than_two_seconds() {
        assert_eq!([0, 1, 20, 21, 100, 1000].map(share), [1, 1, 1, 2, 5, 50]);
        let key = Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port: 80 };
        let mut audit = Audit::new(START);
        audit.saw_services(after(1000), Duration::from_millis(0));
        audit.saw_destinations(Some(key), (1, 10), after(1000), Duration::from_millis(0));
        assert_eq!(audit.due(after(1179)), None);
        assert_eq!(audit.due(after(1180)), Some(Look::Destinations { after: Some(key) }));
        audit.saw_destinations(Some(key), (5, 100), after(1180), Duration::from_millis(0));
        assert_eq!(audit.due(after(1270)), Some(Look::Destinations { after: Some(key) }));
        audit.saw_destinations(Some(key), (1, 1000), after(1270), Duration::from_millis(0));
        assert_eq!(audit.due(after(1289)), None);
        assert_eq!(audit.due(after(1290)), Some(Look::Destinations { after: Some(key) }));
    }
}
