//! Decides when the kernel's table is looked at although nothing has changed.
//!
//! Pure. All services about every second, the destinations of one service after the other in turn; both as seldom as it
//! takes to spend at most one per cent of the time on them. Called by [`crate::keeper`].

use std::time::Duration;

use config::model::units::MonoTime;
use netlink::ipvs::Key;

/// When to look at what.
#[derive(Debug, Clone, Copy)]
pub struct Audit {
    services_at: MonoTime,
    destinations_at: MonoTime,
    last: Option<Key>,
}

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The list of services.
    Services,
    /// The destinations of the service after this one.
    Destinations {
        /// The service that was looked at last.
        after: Option<Key>,
    },
}

impl Audit {
    /// The first look comes a second after `now`.
    #[must_use]
    pub fn new(now: MonoTime) -> Self {
        Self { services_at: now + SERVICES, destinations_at: now + SERVICES, last: None }
    }

    /// What to look at now, if anything.
    #[must_use]
    pub fn due(&self, now: MonoTime) -> Option<Look> {
        if self.services_at <= now {
            return Some(Look::Services);
        }
        (self.destinations_at <= now).then_some(Look::Destinations { after: self.last })
    }

    /// When to ask [`Self::due`] again.
    #[must_use]
    pub fn next(&self) -> MonoTime {
        self.services_at.min(self.destinations_at)
    }

    /// The services were read from `start` to `end`.
    pub fn saw_services(&mut self, start: MonoTime, end: MonoTime) {
        self.services_at = end + SERVICES.max(end.since(start) * SPARSENESS);
    }

    /// The destinations of `key`, one of `services`, were read from `start` to `end`; `None` when there was nothing to
    /// read.
    pub fn saw_destinations(&mut self, key: Option<Key>, services: usize, start: MonoTime, end: MonoTime) {
        self.last = key;
        let share = ROUND / u32::try_from(services.max(1)).unwrap_or(u32::MAX);
        self.destinations_at = end + share.max(SHORTEST).max(end.since(start) * SPARSENESS);
    }
}

const SERVICES: Duration = Duration::from_secs(1);

/// Aim for one round over all services.
const ROUND: Duration = Duration::from_secs(2);

const SHORTEST: Duration = Duration::from_millis(20);

/// Each of the two kinds of look may take half a per cent of the time.
const SPARSENESS: u32 = 200;

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
        audit.saw_services(after(1000), after(1001));
        audit.saw_destinations(None, 0, after(1001), after(1001));
        assert_eq!(audit.next(), after(2001));
    }

    #[test]
    fn a_dump_of_100_ms_is_repeated_after_20_seconds() {
        let mut audit = Audit::new(START);
        audit.saw_services(after(1000), after(1100));
        assert_eq!(audit.services_at, after(21_100));
        audit.saw_destinations(None, 3, after(1000), after(1100));
        assert_eq!(audit.destinations_at, after(21_100));
    }

    #[test]
    fn ten_services_are_looked_at_in_turn_within_two_seconds() {
        let key = Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port: 80 };
        let mut audit = Audit::new(START);
        audit.saw_services(after(1000), after(1000));
        audit.saw_destinations(Some(key), 10, after(1000), after(1000));
        assert_eq!(audit.due(after(1199)), None);
        assert_eq!(audit.due(after(1200)), Some(Look::Destinations { after: Some(key) }));
    }
}
