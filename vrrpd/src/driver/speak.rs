//! Sending adverts: one message, signed once, with a checksum for each destination or an authentication header. Those
//! that are due together leave together.

use std::io;
use std::net::IpAddr;

use config::model::units::{MonoTime, Priority};
use config::model::vrrp::Authentication;
use ipc::messages::Level;
use ipc::reactor::{now as clock, wall_clock};

use super::Driver;
use crate::log;
use crate::proto::auth::ah::{self, Route};
use crate::socket::send::Letter;

impl Driver {
    /// Has an advert of an instance gathered; [`Self::post`] sends it.
    pub(super) fn send_advert(&mut self, position: usize, priority: Priority) {
        let Some(router) = self.routers.get_mut(position) else { return };
        router.advert(priority).encode(&mut self.message);
        let length = self.message.len();
        router.sign(&mut self.message, wall_clock(), clock());
        let seal = match router.config.authentication {
            Authentication::Ah(key) => Some((key, router.guard.sequence.next(wall_clock()))),
            Authentication::None | Authentication::Pass(_) => None,
        };
        for way in router.ways() {
            router.set_checksum(&way, length, &mut self.message);
            match (seal, way.source, way.destination) {
                (Some((key, sequence)), IpAddr::V4(source), IpAddr::V4(destination)) => {
                    let route = Route { source, destination, ttl: way.ttl };
                    ah::seal(&key, &route, sequence, &self.message, &mut self.packet);
                    self.sender.add_packet(position, priority, way, &self.packet);
                }
                // Authentication headers are known for IPv4 only.
                (Some(_), _, _) => {}
                (None, _, _) => self.sender.add(position, priority, way, &self.message),
            }
        }
    }

    /// Has all deadlines that are due looked at by `look`, and sends the adverts that come of it together.
    pub(super) fn gather(&mut self, now: MonoTime, look: impl FnOnce(&mut Self)) {
        self.gathering = true;
        look(self);
        self.gathering = false;
        self.post(now);
    }

    /// Sends what was gathered and writes the slots of those that it changed.
    pub(super) fn post(&mut self, now: MonoTime) {
        let outcomes = self.sender.send();
        for letters in outcomes.chunk_by(|(one, _), (other, _)| one.position == other.position) {
            self.take_outcome(letters, now);
        }
        for position in std::mem::take(&mut self.unwritten) {
            self.write_slot(position);
        }
    }

    /// What became of one or several adverts of an instance to each of its destinations.
    fn take_outcome(&mut self, letters: &[(Letter, io::Result<()>)], now: MonoTime) {
        let Some((letter, _)) = letters.first() else { return };
        let Some(router) = self.routers.get_mut(letter.position) else { return };
        let priority = letter.priority;
        let mut failure = None;
        let mut sent = 0_u64;
        for (letter, outcome) in letters {
            match outcome {
                Ok(()) => {
                    sent = sent.saturating_add(1);
                    let resigns = u64::from(letter.priority == Priority::RESIGN);
                    router.counters.zero_sent = router.counters.zero_sent.saturating_add(resigns);
                }
                Err(error) => failure = Some((letter.way.destination, error)),
            }
        }
        router.counters.sent = router.counters.sent.saturating_add(sent);
        if sent > 0 {
            router.last_advert = Some(now);
            if std::mem::take(&mut router.send_failed) && priority != Priority::RESIGN {
                router.announcer.late();
            }
        }
        let name = &router.config.name;
        let resigns = priority == Priority::RESIGN;
        if let Some((destination, error)) = failure {
            router.send_failed = true;
            // A farewell on a link that is down reaches nobody: no news beside the fault itself.
            let is_expected = resigns && is_unreachable(error);
            let allowed = (!is_expected)
                .then(|| router.limits.allow(log::SEND_FAILED, now, &mut self.budget))
                .flatten();
            if let Some(suppressed) = allowed {
                let text = log::unsent(name, !router.config.transport.is_unicast(), destination, error);
                self.outbox.log(Level::Warning, log::with_suppressed(text, suppressed));
            }
        }
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown)
}
