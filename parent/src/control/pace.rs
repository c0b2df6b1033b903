//! How fast requests may come: a bucket of tokens for each socket.
//!
//! Pure. Who only asks can't keep those from being heard who order: they knock at another socket.

use std::time::Duration;

use config::model::units::MonoTime;

/// Requests of one moment.
const BURST: u32 = 200;
/// Time after which another one may come.
const PAUSE: Duration = Duration::from_millis(5);

/// The bucket of one socket.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When all requests so far would have come, had they kept the pause.
    paid_until: MonoTime,
}

impl Pace {
    /// True when one more request may come now.
    pub(super) fn admit(&mut self, now: MonoTime) -> bool {
        let start = self.paid_until.max(now);
        let paid_until = start + PAUSE;
        if paid_until.since(now) > PAUSE * BURST {
            return false;
        }
        self.paid_until = paid_until;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn two_hundred_may_come_at_once_and_one_every_five_milliseconds_after_that() {
        let mut pace = Pace::default();
        assert_eq!((0..250).filter(|_| pace.admit(at(1_000))).count(), 200);
        assert!(!pace.admit(at(1_004)));
        assert!(pace.admit(at(1_005)));
        assert!(!pace.admit(at(1_005)));
        assert_eq!((0..250).filter(|_| pace.admit(at(9_000))).count(), 200);
    }
}
