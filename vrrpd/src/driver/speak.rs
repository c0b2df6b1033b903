//! Sending adverts: one message, signed once, with a checksum for each destination or an authentication header.

use std::io;
use std::net::IpAddr;

use config::model::units::{MonoTime, Priority};
use config::model::vrrp::Authentication;
use ipc::messages::Level;
use ipc::reactor::wall_clock;

use super::Driver;
use crate::log;
use crate::proto::advert::Outgoing;
use crate::proto::auth::ah::{self, Route};
use crate::socket::send::{Sender, Way};

impl Driver {
    pub(super) fn send_advert(&mut self, position: usize, priority: Priority, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        let outgoing = Outgoing {
            version: router.config.version,
            vrid: router.config.vrid,
            priority,
            interval: router.config.advert_interval,
            addresses: router.carried(),
            authentication: router.config.authentication,
        };
        outgoing.encode(&mut self.message);
        let length = self.message.len();
        router.sign(&mut self.message, wall_clock());
        let seal = match router.config.authentication {
            Authentication::Ah(key) => Some((key, router.guard.sequence.next(wall_clock()))),
            Authentication::None | Authentication::Pass(_) => None,
        };
        let mut failure = None;
        let mut sent = 0_u64;
        for way in router.ways() {
            router.set_checksum(&way, length, &mut self.message);
            let outcome = match seal {
                Some((key, sequence)) => {
                    send_sealed(&mut self.sender, &mut self.packet, &way, (&key, sequence), &self.message)
                }
                None => self.sender.send(&way, &self.message),
            };
            match outcome {
                Ok(()) => sent = sent.saturating_add(1),
                Err(error) => failure = Some((way.destination, error)),
            }
        }
        router.counters.sent = router.counters.sent.saturating_add(sent);
        if priority == Priority::RESIGN {
            router.counters.zero_sent = router.counters.zero_sent.saturating_add(sent);
        }
        if sent > 0 {
            router.last_advert = Some(now);
            if std::mem::take(&mut router.send_failed) && priority != Priority::RESIGN {
                router.announcer.late();
            }
        }
        let name = &router.config.name;
        if let Some((destination, error)) = failure {
            router.send_failed = true;
            if let Some(suppressed) = router.limits.allow(log::SEND_FAILED, now, &mut self.budget) {
                let text = format!("({name}) sending advert to {destination} failed: {error}");
                self.outbox.log(Level::Warning, log::with_suppressed(text, suppressed));
            }
        } else if priority == Priority::RESIGN {
            self.outbox.log(Level::Debug, format!("({name}) sent 0 priority"));
        }
    }
}

fn send_sealed(
    sender: &mut Sender,
    packet: &mut Vec<u8>,
    way: &Way,
    (key, sequence): (&[u8; 8], u32),
    message: &[u8],
) -> io::Result<()> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (way.source, way.destination) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    ah::seal(key, &Route { source, destination, ttl: way.ttl }, sequence, message, packet);
    sender.send_packet(way, destination, packet)
}
