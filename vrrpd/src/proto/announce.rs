//! When gratuitous ARP and neighbour advertisements go out, and how many.
//!
//! Decides bursts and the order of addresses within them; builds and sends nothing. One [`Announcer`] per instance,
//! driven by the driver after the kernel has acknowledged the addresses. A burst goes round robin over all addresses
//! and is handed out one by one, so that it never holds up an advert.

use std::time::Duration;

use config::model::units::MonoTime;
use config::model::vrrp::Announce;

/// Least time between two bursts that a neighbour's adverts cause.
pub const CONFLICT_PAUSE: Duration = Duration::from_secs(1);

/// Schedule of one instance.
#[derive(Debug, Clone)]
pub struct Announcer {
    config: Announce,
    burst: Option<Burst>,
    again: Option<(MonoTime, u32)>,
    refresh_at: Option<MonoTime>,
    quiet_until: MonoTime,
    conflict_waits: bool,
    extra_at: Option<MonoTime>,
    held_until: MonoTime,
}

#[derive(Debug, Clone, Copy)]
struct Burst {
    rounds: u32,
    position: usize,
    /// No address has come back to its turn yet.
    first: bool,
}

impl Announcer {
    /// Nothing is announced until [`Self::claimed`].
    #[must_use]
    pub fn new(config: Announce) -> Self {
        Self {
            config,
            burst: None,
            again: None,
            refresh_at: None,
            quiet_until: MonoTime::default(),
            conflict_waits: false,
            extra_at: None,
            held_until: MonoTime::default(),
        }
    }

    /// Other parameters at a reload. What is under way goes on; a refresh starts or ends with its parameter.
    pub fn configure(&mut self, config: Announce, announcing: bool, now: MonoTime) {
        if config.refresh != self.config.refresh {
            self.refresh_at = (announcing && config.refresh > Duration::ZERO).then(|| now + config.refresh);
        }
        if config.extra != self.config.extra {
            self.extra_at = (announcing && config.extra > Duration::ZERO).then(|| now + config.extra);
        }
        self.config = config;
    }

    /// The addresses exist: a burst now, another after garp_master_delay, then refreshes.
    pub fn claimed(&mut self, now: MonoTime) {
        let Announce { delay, repeat, refresh, .. } = self.config;
        self.start(repeat);
        self.again = (delay > Duration::ZERO).then(|| (now + delay, repeat));
        self.refresh_at = (refresh > Duration::ZERO).then(|| now + delay + refresh);
        self.start_extra(now);
    }

    /// The addresses have been ours all the time (a successor found them): refreshes only.
    pub fn resumed(&mut self, now: MonoTime) {
        let refresh = self.config.refresh;
        self.refresh_at = (refresh > Duration::ZERO).then(|| now + refresh);
        self.start_extra(now);
    }

    fn start_extra(&mut self, now: MonoTime) {
        let extra = self.config.extra;
        self.extra_at = (extra > Duration::ZERO).then(|| now + extra);
    }

    /// True when one address of each other interface is to be announced now (`garp_extra_if`).
    pub fn takes_extra(&mut self, now: MonoTime) -> bool {
        let due = self.extra_at.is_some_and(|at| now >= at);
        if due {
            self.extra_at = Some(now + self.config.extra);
        }
        due
    }

    /// The interface of the next address may not be used before then; the address keeps its turn.
    pub fn hold(&mut self, until: MonoTime) {
        self.held_until = until;
    }

    /// The adverts were silent for longer than an interval: one message per address.
    pub fn late(&mut self) {
        self.start(1);
    }

    /// Another router believes that it is Master: garp_lower_prio_repeat messages now and after
    /// garp_lower_prio_delay, but at most one such burst per second. One that comes too early waits: its router may
    /// have announced the addresses after our last burst.
    pub fn conflict(&mut self, now: MonoTime) {
        let Announce { lower_priority_delay, lower_priority_repeat, .. } = self.config;
        if lower_priority_repeat == 0 {
            return;
        }
        self.conflict_waits = now < self.quiet_until;
        if self.conflict_waits {
            return;
        }
        self.quiet_until = now + CONFLICT_PAUSE;
        self.start(lower_priority_repeat);
        if lower_priority_delay > Duration::ZERO {
            self.again = Some((now + lower_priority_delay, lower_priority_repeat));
        }
    }

    /// The addresses are no longer ours: nothing more is said about them.
    pub fn released(&mut self) {
        self.burst = None;
        self.again = None;
        self.refresh_at = None;
        self.extra_at = None;
        self.conflict_waits = false;
    }

    /// Starts what is due.
    pub fn tick(&mut self, now: MonoTime) {
        if let Some((_, repeat)) = self.again.take_if(|(at, _)| now >= *at) {
            self.start(repeat);
        }
        if self.conflict_waits && now >= self.quiet_until {
            self.conflict(now);
        }
        if self.refresh_at.is_some_and(|at| now >= at) {
            self.refresh_at = Some(now + self.config.refresh);
            self.start(self.config.refresh_repeat);
        }
    }

    /// Position of the next address to announce, of `count` addresses in all; stays the same until
    /// [`Self::announced`].
    pub fn next(&mut self, count: usize) -> Option<usize> {
        let burst = self.burst.as_mut()?;
        if burst.position >= count {
            burst.position = 0;
            burst.first = false;
            burst.rounds = burst.rounds.saturating_sub(1);
        }
        if burst.rounds == 0 || count == 0 {
            self.burst = None;
        }
        self.burst.map(|burst| burst.position)
    }

    /// The address that [`Self::next`] named had its turn; there are `count` addresses.
    pub fn announced(&mut self, count: usize) {
        if let Some(burst) = &mut self.burst {
            burst.position = burst.position.saturating_add(1);
        }
        // Ends a burst whose last round is complete.
        self.next(count);
    }

    /// True while each address has its first turn of a burst.
    #[must_use]
    pub fn is_first_round(&self) -> bool {
        self.burst.is_some_and(|burst| burst.first)
    }

    /// True while [`Self::next`] has more to give at once.
    #[must_use]
    pub fn is_sending(&self, now: MonoTime) -> bool {
        self.burst.is_some() && now >= self.held_until
    }

    /// When [`Self::tick`] is to be called next.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<MonoTime> {
        let held = self.burst.map(|_| self.held_until);
        let conflict = self.conflict_waits.then_some(self.quiet_until);
        let times = [self.again.map(|(at, _)| at), self.refresh_at, self.extra_at, conflict, held];
        times.into_iter().flatten().min()
    }

    fn start(&mut self, rounds: u32) {
        // A burst under way is extended, never doubled.
        let left = self.burst.map_or(0, |burst| burst.rounds);
        let position = self.burst.map_or(0, |burst| burst.position);
        if rounds > left {
            self.burst = Some(Burst { rounds, position, first: true });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(value: u64) -> MonoTime {
        MonoTime::from_nanos(value * 1_000_000)
    }

    fn drain(announcer: &mut Announcer, count: usize) -> Vec<usize> {
        let mut all = Vec::new();
        while let Some(position) = announcer.next(count) {
            all.push(position);
            announcer.announced(count);
        }
        all
    }

    #[test]
    fn five_rounds_over_all_addresses_then_five_more_after_five_seconds() {
        let mut announcer = Announcer::new(Announce::default());
        announcer.claimed(at_ms(1_000));
        assert!(announcer.is_first_round());
        assert_eq!(drain(&mut announcer, 2), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(announcer.poll_deadline(), Some(at_ms(6_000)));
        assert!(!announcer.is_first_round());
        announcer.tick(at_ms(6_000));
        assert!(announcer.is_first_round());
        announcer.next(2);
        announcer.announced(2);
        assert!(announcer.is_first_round());
        announcer.announced(2);
        assert!(!announcer.is_first_round());
        assert_eq!(drain(&mut announcer, 2).len(), 8);
        assert_eq!(announcer.poll_deadline(), None);
    }

    #[test]
    fn an_address_that_must_wait_keeps_its_turn() {
        let mut announcer = Announcer::new(Announce::default());
        announcer.claimed(at_ms(1_000));
        assert_eq!(announcer.next(3), Some(0));
        announcer.announced(3);
        announcer.hold(at_ms(1_500));
        assert!(!announcer.is_sending(at_ms(1_499)));
        assert_eq!(announcer.poll_deadline(), Some(at_ms(1_500)));
        assert!(announcer.is_sending(at_ms(1_500)));
        assert_eq!(drain(&mut announcer, 3), [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert!(!announcer.is_sending(at_ms(1_500)));
    }

    #[test]
    fn other_interfaces_have_their_turn_every_interval_while_the_addresses_are_ours() {
        let config = Announce { extra: Duration::from_secs(10), ..Announce::default() };
        let mut announcer = Announcer::new(config);
        announcer.resumed(at_ms(0));
        assert_eq!(announcer.poll_deadline(), Some(at_ms(10_000)));
        assert!(!announcer.takes_extra(at_ms(9_999)));
        assert!(announcer.takes_extra(at_ms(10_000)));
        assert!(!announcer.takes_extra(at_ms(10_000)));
        announcer.released();
        assert!(!announcer.takes_extra(at_ms(30_000)));
    }

    #[test]
    fn refresh_comes_first_after_delay_plus_refresh() {
        let config = Announce { refresh: Duration::from_secs(60), ..Announce::default() };
        let mut announcer = Announcer::new(config);
        announcer.claimed(at_ms(0));
        drain(&mut announcer, 1);
        announcer.tick(at_ms(5_000));
        drain(&mut announcer, 1);
        assert_eq!(announcer.poll_deadline(), Some(at_ms(65_000)));
        announcer.tick(at_ms(65_000));
        assert_eq!(drain(&mut announcer, 1), [0]);
        assert_eq!(announcer.poll_deadline(), Some(at_ms(125_000)));
    }

    #[test]
    fn a_thousand_conflicts_in_a_second_cause_one_burst() {
        let mut announcer = Announcer::new(Announce::default());
        let mut sent = 0;
        for millisecond in 0..1000 {
            announcer.conflict(at_ms(10_000 + millisecond));
            sent += drain(&mut announcer, 1).len();
        }
        assert_eq!(sent, 5);
        announcer.conflict(at_ms(11_000));
        assert_eq!(drain(&mut announcer, 1).len(), 5);
    }

    #[test]
    fn a_conflict_within_the_second_is_answered_at_its_end() {
        let mut announcer = Announcer::new(Announce::default());
        announcer.conflict(at_ms(10_000));
        drain(&mut announcer, 1);
        announcer.conflict(at_ms(10_800));
        assert_eq!(drain(&mut announcer, 1), [0; 0]);
        assert_eq!(announcer.poll_deadline(), Some(at_ms(11_000)));
        announcer.tick(at_ms(11_000));
        assert_eq!(drain(&mut announcer, 1).len(), 5);
        assert_eq!(announcer.poll_deadline(), Some(at_ms(16_000)));
    }

    #[test]
    fn a_late_node_says_each_address_once() {
        let mut announcer = Announcer::new(Announce::default());
        announcer.late();
        assert_eq!(drain(&mut announcer, 3), [0, 1, 2]);
    }

    #[test]
    fn released_addresses_are_never_announced() {
        let config = Announce { refresh: Duration::from_secs(60), ..Announce::default() };
        let mut announcer = Announcer::new(config);
        announcer.claimed(at_ms(0));
        announcer.released();
        assert_eq!(drain(&mut announcer, 2), [0; 0]);
        assert_eq!(announcer.poll_deadline(), None);
    }

    #[test]
    fn no_addresses_end_a_burst_at_once() {
        let mut announcer = Announcer::new(Announce::default());
        announcer.claimed(at_ms(0));
        assert_eq!(drain(&mut announcer, 0), [0; 0]);
        assert!(!announcer.is_sending(at_ms(0)));
    }
}
