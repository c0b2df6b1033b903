//! Listening before speaking: queues are drained, to a bound, before any deadline is looked at.
//!
//! Finds the instance that a datagram is for, has it judged, and hands what is accepted to its machine. Datagrams
//! come from the network and aren't trusted.

use config::model::units::MonoTime;
use config::model::vrrp::{Family, Transport};
use ipc::messages::Level;

use super::Driver;
use crate::log;
use crate::proto::accept::{Datagram, Heard, Reject};
use crate::proto::advert::Header;
use crate::proto::machine::Input;
use crate::router::Router;
use crate::socket::receive::{BUFFER, Read};

/// Datagrams that are read in one turn: a flood can't keep a Master from sending.
pub(super) const MAX_DATAGRAMS: usize = 256;

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
                Read::Datagram(datagram) => addressee(&self.routers, &datagram)
                    .and_then(|position| Some((position, self.hear(position, &datagram, now)?))),
            };
            if let Some((position, heard)) = heard {
                self.give(position, Input::Advert(heard), now);
            }
        }
        share
    }

    fn hear(&mut self, position: usize, datagram: &Datagram<'_>, now: MonoTime) -> Option<Heard> {
        let router = self.routers.get_mut(position)?;
        let accepted = match router.rules.accept(datagram, router.machine.master()) {
            Ok(accepted) => accepted,
            Err(reject) => {
                self.refuse(position, datagram, reject, now);
                return None;
            }
        };
        router.counters.received = router.counters.received.saturating_add(1);
        if let Some(mismatch) = accepted.mismatch {
            router.counters.mismatches = router.counters.mismatches.saturating_add(1);
            if let Some(suppressed) = router.limits.allow(log::MISMATCH, now, &mut self.budget) {
                let name = &router.config.name;
                let text = format!("({name}) advert from {}: {mismatch}", datagram.source);
                self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
            }
        }
        Some(accepted.heard)
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
            let text = format!("({name}) advert from {} refused: {reject}", datagram.source);
            self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
        }
    }
}

/// Instance that a datagram is for, by VRID, family, and interface or own address. Among several unicast instances
/// the one that has the sender as a peer comes first.
fn addressee(routers: &[Router], datagram: &Datagram<'_>) -> Option<usize> {
    let vrid = Header::parse(datagram.payload)?.vrid;
    let family = Family::of(&datagram.source);
    let mut fallback = None;
    for (position, router) in routers.iter().enumerate() {
        if router.config.vrid.value() != vrid || router.config.family != family {
            continue;
        }
        match &router.config.transport {
            Transport::Multicast { group, .. } => {
                if router.path.interface != Some(datagram.interface) {
                    continue;
                }
                if datagram.destination == *group {
                    return Some(position);
                }
                fallback = fallback.or(Some(position));
            }
            Transport::Unicast { peers, .. } => {
                if router.path.source != Some(datagram.destination) {
                    continue;
                }
                if peers.iter().any(|peer| peer.address == datagram.source) {
                    return Some(position);
                }
                fallback = Some(position);
            }
        }
    }
    fallback
}
