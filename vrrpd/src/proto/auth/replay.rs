//! Which signed adverts were heard before: the latest time stamp of each sender.
//!
//! Pure and bounded. Called by `signature` once a digest was right, so that strangers can't fill the table.

use std::net::IpAddr;

use config::model::hmac::AntiReplay;

use super::stamp::Stamp;

/// Latest stamps of the senders heard last.
#[derive(Debug, Clone)]
pub struct Marks {
    /// The sender heard last stands at the end.
    entries: Vec<(IpAddr, Stamp)>,
    limit: usize,
}

/// Senders that are remembered beside configured peers.
const STRANGERS: usize = 4;

impl Default for Marks {
    fn default() -> Self {
        Self::for_peers(0)
    }
}

impl Marks {
    /// Room for so many configured peers and four others.
    #[must_use]
    pub fn for_peers(peers: usize) -> Self {
        Self { entries: Vec::new(), limit: peers.saturating_add(STRANGERS) }
    }

    /// Changes the room; what is known stays, the latest first.
    pub fn resize(&mut self, peers: usize) {
        self.limit = peers.saturating_add(STRANGERS);
        let surplus = self.entries.len().saturating_sub(self.limit);
        self.entries.drain(..surplus);
    }

    /// Enters a stamp; false when it isn't later than the sender's last one. With `anti_replay time` a last one that
    /// lies outside the window itself is forgotten: its sender's clock, or ours, was corrected since.
    #[must_use]
    pub fn enter(
        &mut self,
        source: IpAddr,
        stamp: Stamp,
        now: Stamp,
        anti_replay: AntiReplay,
        window: u16,
    ) -> bool {
        let found = self.entries.iter().position(|(known, _)| *known == source);
        if let Some((_, mark)) = found.and_then(|position| self.entries.get(position)) {
            let forgotten = anti_replay == AntiReplay::Time && mark.distance(now) > u32::from(window);
            if !forgotten && !stamp.is_after(*mark) {
                return false;
            }
        }
        match found {
            Some(position) => drop(self.entries.remove(position)),
            None if self.entries.len() >= self.limit => drop(self.entries.remove(0)),
            None => {}
        }
        self.entries.push((source, stamp));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn at(seconds: u64) -> Stamp {
        Stamp::at(Duration::from_secs(seconds))
    }

    fn sender(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    #[test]
    fn the_same_stamp_counts_once_for_each_sender() {
        let mut marks = Marks::default();
        for number in 1..=4 {
            assert!(marks.enter(sender(number), at(100), at(100), AntiReplay::Time, 5));
            assert!(!marks.enter(sender(number), at(100), at(100), AntiReplay::Time, 5));
            assert!(!marks.enter(sender(number), at(99), at(100), AntiReplay::Time, 5));
            assert!(marks.enter(sender(number), at(100).next(), at(100), AntiReplay::Time, 5));
        }
    }

    #[test]
    fn a_fifth_sender_displaces_the_one_heard_longest_ago() {
        let mut marks = Marks::default();
        for number in 1..=4 {
            assert!(marks.enter(sender(number), at(100), at(100), AntiReplay::Time, 5));
        }
        assert!(marks.enter(sender(1), at(101), at(101), AntiReplay::Time, 5));
        assert!(marks.enter(sender(5), at(101), at(101), AntiReplay::Time, 5));
        assert!(!marks.enter(sender(1), at(101), at(101), AntiReplay::Time, 5), "heard again meanwhile");
        assert!(marks.enter(sender(2), at(100), at(101), AntiReplay::Time, 5), "forgotten");
    }

    #[test]
    fn a_sender_recovers_from_a_clock_that_was_an_hour_ahead() {
        let mut marks = Marks::default();
        assert!(marks.enter(sender(1), at(7_200), at(7_200), AntiReplay::Time, 5));
        assert!(marks.enter(sender(1), at(3_600), at(3_600), AntiReplay::Time, 5));
        let mut marks = Marks::default();
        assert!(marks.enter(sender(1), at(7_200), at(7_200), AntiReplay::Monotonic, 5));
        assert!(!marks.enter(sender(1), at(3_600), at(3_600), AntiReplay::Monotonic, 5));
    }
}
