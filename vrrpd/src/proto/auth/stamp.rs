//! Time stamps of signed adverts: when, and in which order, one sender has signed.
//!
//! Pure: both clocks come in as arguments. All comparisons are serial (RFC 1982), so that the year 2106 is no
//! event.

use std::time::Duration;

use config::model::hmac::AntiReplay;
use config::model::units::MonoTime;

/// Seconds (32 bits), 1/65536 seconds (16 bits) and a tie breaker (16 bits) as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// Stamp of a wall-clock time since 1970, with no tie to break.
    #[must_use]
    pub fn at(wall: Duration) -> Self {
        let seconds = (wall.as_secs() & u64::from(u32::MAX)) << 32;
        let fraction = (u64::from(wall.subsec_nanos()) << 16) / 1_000_000_000;
        Self(seconds | (fraction << 16))
    }

    /// From the eight bytes on the wire, network byte order.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The eight bytes on the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// As a number, for slots.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// From a number of [`Self::number`].
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Whole seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }

    /// True when this one comes later than `other`.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead <= u64::MAX / 2
    }

    /// Whole seconds between two stamps, whichever is later.
    #[must_use]
    pub fn distance(self, other: Self) -> u32 {
        let ahead = self.seconds().wrapping_sub(other.seconds());
        ahead.min(ahead.wrapping_neg())
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Two opinions about the present time. They differ once somebody has set the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock.
    pub wall: Stamp,
    /// The wall clock as it would be if nobody had set it.
    pub steady: Stamp,
}

impl Clocks {
    /// Both agree.
    #[must_use]
    pub fn agreed(now: Stamp) -> Self {
        Self { wall: now, steady: now }
    }
}

/// Remembers what the wall clock said, so that a step of it doesn't part a node from its peers: who alone was set by an
/// hour would hear nobody, be heard by nobody, and be the second Master for as long as that lasts. Which of both clocks
/// is right is not known here; signed adverts of others tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    /// By how much the wall clock was ahead of the time since boot when it was believed last.
    ahead: Option<Duration>,
}

/// Corrections below this are followed at once.
const SMALL: Duration = Duration::from_millis(500);

impl Watch {
    /// Both clocks at an instant, given what the wall clock says.
    pub fn read(&mut self, wall: Duration, now: MonoTime) -> Clocks {
        let since_boot = Duration::from_nanos(now.nanos());
        let ahead = wall.saturating_sub(since_boot);
        let believed = self.ahead.get_or_insert(ahead);
        if believed.abs_diff(ahead) < SMALL {
            *believed = ahead;
        }
        Clocks { wall: Stamp::at(wall), steady: Stamp::at(since_boot.saturating_add(*believed)) }
    }

    /// Somebody who has the key signed by the time of the wall clock: it was set for a reason.
    pub fn believe_the_wall(&mut self) {
        self.ahead = None;
    }
}

/// Gives out the stamps of one sender, each later than the one before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pen {
    last: Option<Stamp>,
}

/// Stamps that a predecessor may have used without telling.
const RESERVED: u64 = 64;

impl Pen {
    /// Stamp of an advert that is signed at `now`. A clock that was set back is waited for, tie by tie, but never for
    /// longer than the window within which others would believe us, unless `anti_replay` is `monotonic`.
    pub fn next(&mut self, now: Stamp, anti_replay: AntiReplay, window: u16) -> Stamp {
        let stamp = match self.last {
            Some(last) if !now.is_after(last) => {
                let corrected = anti_replay == AntiReplay::Time && last.distance(now) > u32::from(window);
                if corrected { now } else { last.next() }
            }
            Some(_) | None => now,
        };
        self.last = Some(stamp);
        stamp
    }

    /// The last one given out.
    #[must_use]
    pub fn last(&self) -> Option<Stamp> {
        self.last
    }

    /// Goes on behind a predecessor's last one.
    pub fn resume(&mut self, last: Stamp) {
        self.last = Some(Stamp(last.0.wrapping_add(RESERVED)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Stamp {
        Stamp::at(Duration::from_millis(millis))
    }

    #[test]
    fn a_stamp_is_seconds_fraction_and_tie_breaker() {
        assert_eq!(at(1_500).to_bytes(), [0, 0, 0, 1, 0x80, 0, 0, 0]);
        assert_eq!(at(1_500).next().to_bytes(), [0, 0, 0, 1, 0x80, 0, 0, 1]);
        assert_eq!(Stamp::at(Duration::from_secs((1 << 32) + 7)).seconds(), 7);
    }

    #[test]
    fn order_survives_the_end_of_32_bits() {
        let (before, after) = (Stamp::at(Duration::from_secs(u64::from(u32::MAX))), at(0));
        assert!(after.is_after(before) && !before.is_after(after) && !after.is_after(after));
        assert_eq!(after.distance(before), 1);
        assert_eq!(before.distance(after), 1);
    }

    #[test]
    fn stamps_of_one_instant_differ_by_their_tie_breaker() {
        let mut pen = Pen::default();
        assert_eq!(pen.next(at(5_000), AntiReplay::Time, 5), at(5_000));
        assert_eq!(pen.next(at(5_000), AntiReplay::Time, 5), at(5_000).next());
        assert_eq!(pen.next(at(6_000), AntiReplay::Time, 5), at(6_000));
    }

    #[test]
    fn a_clock_set_back_within_the_window_is_waited_for() {
        let mut pen = Pen::default();
        pen.next(at(100_000), AntiReplay::Time, 5);
        assert_eq!(pen.next(at(95_500), AntiReplay::Time, 5), at(100_000).next());
    }

    #[test]
    fn a_clock_set_back_by_more_is_followed_but_by_a_monotonic_sender() {
        let mut pen = Pen::default();
        pen.next(at(3_600_000), AntiReplay::Time, 5);
        assert_eq!(pen.next(at(1_000), AntiReplay::Time, 5), at(1_000));
        let mut pen = Pen::default();
        pen.next(at(3_600_000), AntiReplay::Monotonic, 5);
        assert_eq!(pen.next(at(1_000), AntiReplay::Monotonic, 5), at(3_600_000).next());
    }

    #[test]
    fn a_step_of_the_wall_clock_is_followed_when_it_is_small_or_believed() {
        let (seconds, now) = (Duration::from_secs, |value: u64| MonoTime::from_nanos(value * 1_000_000_000));
        let mut watch = Watch::default();
        assert_eq!(watch.read(seconds(10_000), now(100)), Clocks::agreed(at(10_000_000)));
        let apart = Clocks { wall: at(13_601_000), steady: at(10_001_000) };
        assert_eq!(watch.read(seconds(13_601), now(101)), apart);
        assert_eq!(watch.read(Duration::from_millis(10_002_400), now(102)), Clocks::agreed(at(10_002_400)));
        assert_eq!(watch.read(seconds(6_403), now(103)).steady, at(10_003_400));
        watch.believe_the_wall();
        assert_eq!(watch.read(seconds(6_404), now(104)), Clocks::agreed(at(6_404_000)));
    }

    #[test]
    fn a_successor_signs_behind_its_predecessor() {
        let mut pen = Pen::default();
        pen.resume(at(10_000));
        assert!(pen.next(at(10_000), AntiReplay::Time, 5).is_after(at(10_000)));
    }
}
