//! Listening before speaking: queues are drained, to a bound, before any deadline is looked at.
//!
//! An advert counts from when the kernel took it in, not from when this process got round to reading it.
//! Finds the instance that a datagram is for, has it judged, and hands what is accepted to its machine. Datagrams
//! come from the network and aren't trusted.

use std::time::Duration;

use config::model::units::{MonoTime, Priority};
use ipc::messages::Level;
use ipc::reactor::wall_clock;

use super::Driver;
use crate::log;
use crate::proto::accept::{Datagram, Heard, Reject, Remark};
use crate::proto::advert::Header;
use crate::proto::auth::stamp::{Clocks, Stamp};
use crate::proto::machine::{Input, State};
use crate::router::Router;
use crate::socket::receive::{BUFFER, Read};

/// Datagrams that are read in one turn: a flood can't keep a Master from sending.
pub(super) const MAX_DATAGRAMS: usize = 256;

/// Longest time in a queue that is believed: a longer one is a step of the clock, or a stall that is no merit of the
/// sender.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// Datagrams that are read from one socket before the next one has its turn.
const MAX_AT_ONCE: usize = 32;

impl Driver {
    pub(super) fn listen(&mut self, now: MonoTime) {
        let due = |router: &Router| router.machine.poll_deadline().is_some_and(|at| now >= at);
        if self.routers.iter().any(due) {
            self.receivers.mark_all();
        }
        let mut buffer = [0_u8; BUFFER];
        let mut left = MAX_DATAGRAMS;
        while left > 0 {
            let readable = self.receivers.readable();
            if readable.is_empty() {
                return;
            }
            for key in readable {
                let share = left.min(MAX_AT_ONCE);
                left = left.saturating_sub(self.drain(key, share, &mut buffer, now));
            }
        }
    }

    /// Reads one socket; returns how many datagrams it had.
    fn drain(&mut self, key: usize, share: usize, buffer: &mut [u8; BUFFER], now: MonoTime) -> usize {
        for count in 0..share {
            let Some(receiver) = self.receivers.receiver(key) else { return count };
            let heard = match receiver.read(buffer) {
                Read::Empty => {
                    self.receivers.emptied(key);
                    return count;
                }
                Read::Garbage => None,
                Read::Datagram(datagram, arrived) => {
                    match self.directory.addressee(&self.routers, &datagram) {
                        Some(position) => {
                            self.hear(position, &datagram, now).map(|heard| (position, heard, arrived))
                        }
                        None => {
                            self.note_unknown(&datagram, now);
                            None
                        }
                    }
                }
            };
            if let Some((position, heard, arrived)) = heard {
                let waited = arrived.map_or(Duration::ZERO, |arrived| waited(arrived, wall_clock()));
                self.give(position, Input::Advert(heard), now - waited);
            }
        }
        share
    }

    fn hear(&mut self, position: usize, datagram: &Datagram<'_>, now: MonoTime) -> Option<Heard> {
        let router = self.routers.get_mut(position)?;
        let clocks = match router.config.hmac {
            Some(_) => router.guard.watch.read(wall_clock(), now),
            None => Clocks::agreed(Stamp::from_number(0)),
        };
        let Router { rules, machine, guard, .. } = router;
        let accepted = match rules.accept(datagram, machine.master(), clocks, guard) {
            Ok(accepted) => accepted,
            Err(reject) => {
                self.refuse(position, datagram, reject, now);
                return None;
            }
        };
        let before = router.trail.heard.map(|heard| heard.source).or(router.machine.master());
        router.trail.hear(accepted.heard);
        router.counters.received = router.counters.received.saturating_add(1);
        if accepted.heard.priority == Priority::RESIGN {
            router.counters.zero_received = router.counters.zero_received.saturating_add(1);
        }
        if let Some(text) = log::master_heard(&router.config.name, before, accepted.heard.source)
            && matches!(router.machine.state(), State::Backup(_))
            && let Some(suppressed) = router.limits.allow(log::MASTER_HEARD, now, &mut self.budget)
        {
            self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
        }
        if let Some(mismatch) = accepted.mismatch {
            router.counters.mismatches = router.counters.mismatches.saturating_add(1);
            if let Some(suppressed) = router.limits.allow(log::MISMATCH, now, &mut self.budget) {
                let name = &router.config.name;
                let text = format!("({name}) {}", mismatch.told(datagram.source));
                self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
            }
        }
        // Peers are followed in both directions: one forged advert must not mislead us for good.
        router.old_checksum = accepted.remark == Some(Remark::OldChecksum);
        if let Some(remark) = accepted.remark
            && let Some(suppressed) = router.limits.allow(log::REMARK, now, &mut self.budget)
        {
            let name = &router.config.name;
            let text = format!("({name}) advert from {}: {remark}", datagram.source);
            self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
        }
        // A successor must know the number, or a copy of this advert would count once more.
        if datagram.sealed.is_some() {
            self.write_slot(position);
        }
        Some(accepted.heard)
    }

    /// `log_unknown_vrids`: once a minute for each virtual router that isn't ours.
    fn note_unknown(&mut self, datagram: &Datagram<'_>, now: MonoTime) {
        let Some(vrid) = Header::parse(datagram.payload).map(|header| header.vrid) else { return };
        if !self.log_unknown_vrids {
            return;
        }
        if let Some(suppressed) = self.unknown_vrids.allow(usize::from(vrid), now, &mut self.budget) {
            let links = self.kernel.links();
            let interface = links.by_index(datagram.interface).map_or("?", |link| &link.name);
            let text = format!("advert for unknown VRID {vrid} from {} on {interface}", datagram.source);
            self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
        }
    }

    /// A refused datagram costs a counter and at most one line a minute; it changes no timer and no state.
    fn refuse(&mut self, position: usize, datagram: &Datagram<'_>, reject: Reject, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        let kind = reject.kind();
        if let Some(count) = router.counters.rejected.get_mut(kind) {
            *count = count.saturating_add(1);
        }
        if let Some(suppressed) = router.limits.allow(kind, now, &mut self.budget) {
            let name = &router.config.name;
            let text = format!("({name}) {}", reject.told(datagram.source));
            self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
        }
    }
}

/// How long a datagram has waited that came at `arrived`; both times are those of a clock that may jump.
fn waited(arrived: Duration, wall: Duration) -> Duration {
    wall.checked_sub(arrived).filter(|wait| *wait <= LONGEST_WAIT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_moves_no_advert() {
        let second = Duration::from_secs;
        let micros = Duration::from_micros;
        assert_eq!(waited(second(100), second(100) + micros(250)), micros(250));
        assert_eq!(waited(second(100), second(3700)), Duration::ZERO);
        assert_eq!(waited(second(3700), second(100)), Duration::ZERO);
    }
}
