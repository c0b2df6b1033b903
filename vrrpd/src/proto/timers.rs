//! How long to wait: skew, master down interval, and the schedule of adverts.
//!
//! Decides lengths of time and the next instant; starts no timer. Called by `machine`. Input is configuration and
//! the interval of an accepted advert.

use std::time::Duration;

use config::model::units::{AdvertInterval, MonoTime, Priority};
use config::model::vrrp::Version;

/// Wait that grows as priority falls: `(256 - priority) / 256` of the Master's interval in VRRPv3
/// (RFC 9568 section 6.1), of one second in VRRPv2 (RFC 3768 section 6.1).
#[must_use]
pub fn skew_time(version: Version, priority: Priority, master: AdvertInterval) -> Duration {
    let whole = match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => master.duration(),
    };
    whole * (256 - u32::from(priority.value())) / 256
}

/// Silence after which the Master counts as gone: `adverts` intervals of the Master plus the skew
/// (RFC 9568 section 6.1, `Active_Down_Interval`; `adverts` is 3 there, down_timer_adverts here).
#[must_use]
pub fn master_down_interval(
    version: Version,
    priority: Priority,
    master: AdvertInterval,
    adverts: u8,
) -> Duration {
    master.duration() * u32::from(adverts) + skew_time(version, priority, master)
}

/// Wait before the first timer: `vrrp_startup_delay`, or what is left of `vrrp_delay_after_boot`, the longer of the two.
/// [`MonoTime`] counts from the boot of the machine.
#[must_use]
pub fn startup_delay(startup: Duration, after_boot: Duration, now: MonoTime) -> Duration {
    startup.max(after_boot.saturating_sub(now.since(MonoTime::default())))
}

/// Whether an advert goes out in its turn or after a stall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Punctuality {
    /// Less than one interval after its instant.
    OnTime,
    /// One interval or more after it: adverts are missing on the wire.
    Late,
}

/// How `now` stands to the instant at which an advert was due.
#[must_use]
pub fn punctuality(due: MonoTime, interval: AdvertInterval, now: MonoTime) -> Punctuality {
    if now >= due + interval.duration() { Punctuality::Late } else { Punctuality::OnTime }
}

/// Instant of the advert after the one that was due at `due` and is sent at `now`: absolute, so that it doesn't
/// drift, and counted from `now` after a stall, so that missed adverts aren't made up for in a burst.
#[must_use]
pub fn next_advert(due: MonoTime, interval: AdvertInterval, now: MonoTime) -> MonoTime {
    match punctuality(due, interval, now) {
        Punctuality::OnTime => due + interval.duration(),
        Punctuality::Late => now + interval.duration(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cs(value: u16) -> AdvertInterval {
        AdvertInterval::from_centiseconds(value).unwrap()
    }

    fn at_ms(value: u64) -> MonoTime {
        MonoTime::from_nanos(value * 1_000_000)
    }

    #[test]
    fn priority_100_at_one_second_waits_3_609375_s() {
        let wait = master_down_interval(Version::V3, Priority::new(100), cs(100), 3);
        assert_eq!(wait, Duration::from_micros(3_609_375));
        let wait = master_down_interval(Version::V2, Priority::new(100), cs(100), 3);
        assert_eq!(wait, Duration::from_micros(3_609_375));
    }

    #[test]
    fn version_2_skews_by_parts_of_a_second_whatever_the_interval() {
        assert_eq!(skew_time(Version::V2, Priority::new(128), cs(500)), Duration::from_millis(500));
        assert_eq!(skew_time(Version::V3, Priority::new(128), cs(500)), Duration::from_millis(2_500));
    }

    #[test]
    fn a_machine_that_has_been_up_for_long_waits_for_the_startup_delay_alone() {
        let (startup, boot) = (Duration::from_secs(2), Duration::from_secs(60));
        assert_eq!(startup_delay(startup, boot, at_ms(10_000)), Duration::from_secs(50));
        assert_eq!(startup_delay(startup, boot, at_ms(59_000)), Duration::from_secs(2));
        assert_eq!(startup_delay(Duration::ZERO, boot, at_ms(90_000)), Duration::ZERO);
    }

    #[test]
    fn an_owner_at_a_tenth_of_a_second_skews_by_390625_ns() {
        assert_eq!(skew_time(Version::V3, Priority::OWNER, cs(10)), Duration::from_nanos(390_625));
    }

    #[test]
    fn down_timer_adverts_of_five_at_ten_milliseconds_waits_five_intervals_and_the_skew() {
        let wait = master_down_interval(Version::V3, Priority::new(128), cs(1), 5);
        assert_eq!(wait, Duration::from_millis(55));
    }

    #[test]
    fn an_advert_40_ms_late_does_not_move_the_next_one() {
        assert_eq!(next_advert(at_ms(1_000), cs(100), at_ms(1_040)), at_ms(2_000));
    }

    #[test]
    fn after_a_stall_of_eight_intervals_the_next_advert_is_one_interval_away() {
        assert_eq!(next_advert(at_ms(1_000), cs(100), at_ms(9_300)), at_ms(10_300));
        assert_eq!(punctuality(at_ms(1_000), cs(100), at_ms(9_300)), Punctuality::Late);
    }

    #[test]
    fn a_whole_interval_late_is_late() {
        assert_eq!(punctuality(at_ms(1_000), cs(100), at_ms(1_999)), Punctuality::OnTime);
        assert_eq!(punctuality(at_ms(1_000), cs(100), at_ms(2_000)), Punctuality::Late);
    }
}
