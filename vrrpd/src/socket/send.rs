//! Raw sockets that send adverts: one per family, which hear nothing.
//!
//! Writes the IPv4 header itself, so that source, TTL and type of service are what the configuration says; gives
//! IPv6 the same by ancillary data. Adverts are not looped back to this host's other sockets. What is due together
//! is gathered and leaves by one system call. Called by the driver.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::os::fd::AsFd;

use config::model::units::{IfIndex, Priority};
use config::model::vrrp::Family;
use nix::libc::c_int;
use nix::sys::socket::{setsockopt, sockopt};
use sandbox::system::fd::{Datagram, Delivery, send_datagrams};
use socket2::{Domain, Protocol, Socket, Type};

use super::{VRRP, filter};
use crate::proto::ipv4::{HEADER_LENGTH, TOS};

/// How one advert travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Sender.
    pub source: IpAddr,
    /// Group or peer, of the same family.
    pub destination: IpAddr,
    /// Interface; absent when the routing table decides.
    pub interface: Option<IfIndex>,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// An advert to one destination.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Position of the instance that sends it.
    pub position: usize,
    /// Priority that it bears.
    pub priority: Priority,
    /// How it travels.
    pub way: Way,
    bytes: Range<usize>,
}

impl Letter {
    fn datagram<'a>(&self, bytes: &'a [u8]) -> Datagram<'a> {
        Datagram {
            bytes: bytes.get(self.bytes.clone()).unwrap_or_default(),
            destination: self.way.destination,
            source: self.way.source,
            if_index: self.way.interface.map_or(0, IfIndex::value),
            hops: self.way.ttl,
        }
    }
}

/// Sending sockets, opened when first needed, and what is to leave through them.
#[derive(Debug, Default)]
pub struct Sender {
    inet: Option<Socket>,
    inet6: Option<Socket>,
    letters: Vec<Letter>,
    bytes: Vec<u8>,
}

/// Place of adverts in the queues of an interface: TC_PRIO_CONTROL (linux/pkt_sched.h), in front of all others.
const PRIORITY: c_int = 6;

/// Letters that one system call takes; that many are sent without waiting for more.
const BATCH: usize = 128;

/// Letters of a rehearsal that go their way: one is as good as many.
const REHEARSED: usize = 1;

impl Sender {
    /// Adds an advert.
    pub fn add(&mut self, position: usize, priority: Priority, way: Way, message: &[u8]) {
        let start = self.bytes.len();
        if let (IpAddr::V4(source), IpAddr::V4(destination)) = (way.source, way.destination) {
            write_header(&mut self.bytes, way.ttl, source, destination, message.len());
        }
        self.bytes.extend_from_slice(message);
        self.letters.push(Letter { position, priority, way, bytes: start..self.bytes.len() });
    }

    /// Adds an IPv4 packet that is complete but for the checksum of its header.
    pub fn add_packet(&mut self, position: usize, priority: Priority, way: Way, packet: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet);
        self.letters.push(Letter { position, priority, way, bytes: start..self.bytes.len() });
    }

    /// True when no more should be gathered.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.letters.len() >= BATCH
    }

    /// Sends everything, and says of each letter whether it left: no route, interface down, no buffer, or (never by
    /// our own making) mixed families.
    pub fn send(&mut self) -> Vec<(Letter, io::Result<()>)> {
        let letters = std::mem::take(&mut self.letters);
        let bytes = std::mem::take(&mut self.bytes);
        let mut outcomes = Vec::with_capacity(letters.len());
        let mut rest = letters.as_slice();
        while let Some(first) = rest.first() {
            let family = Family::of(&first.way.destination);
            let same = |letter: &&Letter| Family::of(&letter.way.destination) == family;
            let run = rest.iter().take(BATCH).take_while(same).count();
            let (now, later) = rest.split_at(run.min(rest.len()));
            self.send_run(family, now, &bytes, &mut outcomes);
            rest = later;
        }
        self.bytes = bytes;
        self.bytes.clear();
        letters.into_iter().zip(outcomes).collect()
    }

    /// Goes the way of everything that was added as far as the kernel's last step, and drops it.
    pub fn rehearse(&mut self) {
        let letters = std::mem::take(&mut self.letters);
        let mut bytes = std::mem::take(&mut self.bytes);
        for letter in letters.iter().take(REHEARSED) {
            if let Ok(socket) = self.socket(Family::of(&letter.way.destination)) {
                // What is wrong with the way is told when an advert must take it.
                let _ = send_datagrams(socket.as_fd(), &[letter.datagram(&bytes)], Delivery::Rehearsal);
            }
        }
        bytes.clear();
        self.bytes = bytes;
    }

    /// Sends letters of one family. One that can't leave doesn't stop the others.
    fn send_run(
        &mut self,
        family: Family,
        letters: &[Letter],
        bytes: &[u8],
        outcomes: &mut Vec<io::Result<()>>,
    ) {
        let socket = match self.socket(family) {
            Ok(socket) => socket,
            Err(error) => {
                outcomes.extend(letters.iter().map(|_| Err(io::Error::from(error.kind()))));
                return;
            }
        };
        let datagrams: Vec<Datagram<'_>> = letters.iter().map(|letter| letter.datagram(bytes)).collect();
        let mut rest = datagrams.as_slice();
        while !rest.is_empty() {
            let done = match send_datagrams(socket.as_fd(), rest, Delivery::Now) {
                Ok(sent) => {
                    outcomes.extend((0..sent).map(|_| Ok(())));
                    sent
                }
                Err(error) => {
                    outcomes.push(Err(error));
                    1
                }
            };
            rest = rest.get(done.max(1)..).unwrap_or_default();
        }
    }

    /// The socket of a family, opened when first asked for, so that no advert waits for it.
    ///
    /// # Errors
    /// The kernel refuses; the next advert tries again.
    pub fn socket(&mut self, family: Family) -> io::Result<&Socket> {
        let (socket, open): (_, fn() -> io::Result<Socket>) = match family {
            Family::Inet => (&mut self.inet, open_inet),
            Family::Inet6 => (&mut self.inet6, open_inet6),
        };
        match socket {
            Some(socket) => Ok(socket),
            None => Ok(socket.insert(open()?)),
        }
    }
}

fn open_inet() -> io::Result<Socket> {
    let socket = open(Domain::IPV4)?;
    socket.set_header_included_v4(true)?;
    socket.set_multicast_loop_v4(false)?;
    Ok(socket)
}

fn open_inet6() -> io::Result<Socket> {
    let socket = open(Domain::IPV6)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_freebind_v6(true)?;
    setsockopt(&socket, sockopt::Ipv6TClass, &i32::from(TOS))?;
    Ok(socket)
}

fn open(domain: Domain) -> io::Result<Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = Socket::new_raw(domain, kind, Some(Protocol::from(VRRP)))?;
    socket.attach_filter(&filter::nothing())?;
    setsockopt(&socket, sockopt::Priority, &PRIORITY)?;
    Ok(socket)
}

/// IPv4 header (RFC 791 section 3.1) of a message. Identification and checksum are left to the kernel (raw(7)).
fn write_header(out: &mut Vec<u8>, ttl: u8, source: Ipv4Addr, destination: Ipv4Addr, length: usize) {
    let total = u16::try_from(length.saturating_add(HEADER_LENGTH)).unwrap_or(u16::MAX);
    let [high, low] = total.to_be_bytes();
    out.extend([0x45, TOS, high, low, 0, 0, 0, 0, ttl, crate::proto::advert::PROTOCOL, 0, 0]);
    out.extend(source.octets());
    out.extend(destination.octets());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ipv4::Packet;

    #[test]
    fn what_is_written_reads_back() {
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(224, 0, 0, 18));
        let way = Way { source: source.into(), destination: destination.into(), interface: None, ttl: 255 };
        let mut sender = Sender::default();
        sender.add(0, Priority::new(100), way, &[9, 9]);
        sender.add(1, Priority::new(100), way, &[1, 2, 3]);
        let out = sender.bytes.get(sender.letters[1].bytes.clone()).unwrap();
        assert_eq!(out[..10], [0x45, 0xc0, 0, 23, 0, 0, 0, 0, 255, 112]);
        assert_eq!(Packet::parse(out), Some(Packet { source, destination, ttl: 255, payload: &[1, 2, 3] }));
    }
}
