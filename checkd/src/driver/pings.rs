//! Pings under way: one socket from the parent per kind serves all, since an answer names its question.
//!
//! Does: send questions, take answers, bounded per turn. What silence means and when it has lasted long enough is
//! [`super::runs`]'s. Everything received is untrusted: an answer counts with our number, our token and the right
//! sender only.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use config::model::lent::LentSocket;
use ipc::reactor::Reactor;
use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, recvfrom};

use super::lent::Borrowed;
use crate::probe::ping;

/// The sockets for pings of one configuration.
#[derive(Debug)]
pub(super) struct Pings {
    pingers: Vec<Pinger>,
    token: u64,
}

#[derive(Debug)]
struct Pinger {
    kind: LentSocket,
    borrowed: Borrowed,
    /// Checker and target of each number under way.
    asked: HashMap<u16, (usize, IpAddr)>,
    last: u16,
    /// Answers may be left although no event will tell.
    unread: bool,
}

/// Why a question was not sent.
#[derive(Debug)]
pub(super) enum NotAsked {
    /// This machine could not try.
    Unprepared(io::Error),
    /// The kernel could not send it.
    Unsent(io::Error),
}

/// Which ping is meant: socket and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked(usize, u16);

/// The first of the keys under which these sockets are watched.
pub(super) const FIRST_KEY: usize = usize::MAX / 2;
/// Most answers taken from one socket in one turn.
const ANSWERS: usize = 256;
/// Room for an answer; longer ones lose their end, which says nothing.
const ROOM: usize = 256;

impl Pings {
    /// No socket yet; `token` should be unguessable.
    pub(super) fn new(token: u64) -> Self {
        Self { pingers: Vec::new(), token }
    }

    /// Takes the sockets of a configuration in place of those before.
    pub(super) fn replace(
        &mut self,
        sockets: Vec<(LentSocket, Borrowed)>,
        reactor: &Reactor,
    ) -> io::Result<()> {
        self.pingers.clear();
        for (kind, borrowed) in sockets {
            reactor.watch_reads(borrowed.socket.as_raw_fd(), FIRST_KEY.saturating_add(self.pingers.len()))?;
            self.pingers.push(Pinger { kind, borrowed, asked: HashMap::new(), last: 0, unread: false });
        }
        Ok(())
    }

    /// Takes another socket in place of one that has outlived its interface; false when none has.
    pub(super) fn renew(
        &mut self,
        kind: &LentSocket,
        borrowed: Borrowed,
        reactor: &Reactor,
    ) -> io::Result<bool> {
        let found = self.pingers.iter_mut().enumerate().find(|(_, pinger)| pinger.kind == *kind);
        let Some((index, pinger)) = found.filter(|(_, pinger)| pinger.borrowed.is_worn()) else {
            return Ok(false);
        };
        reactor.watch_reads(borrowed.socket.as_raw_fd(), FIRST_KEY.saturating_add(index))?;
        pinger.borrowed = borrowed;
        Ok(true)
    }

    /// Sends a question for the checker at `position`. `worn` gets the kind when the parent should open another socket.
    pub(super) fn ask(
        &mut self,
        kind: &LentSocket,
        target: SocketAddr,
        position: usize,
        worn: &mut Vec<LentSocket>,
    ) -> Result<Asked, NotAsked> {
        let missing = |what| NotAsked::Unprepared(io::Error::other(what));
        let found = self.pingers.iter_mut().enumerate().find(|(_, pinger)| pinger.kind == *kind);
        let (index, pinger) = found.ok_or_else(|| missing("the parent has opened no socket for them"))?;
        if pinger.borrowed.is_worn() {
            worn.push(kind.clone());
            return Err(missing("their interface was removed"));
        }
        pinger.borrowed.prepare().map_err(NotAsked::Unprepared)?;
        let number = pinger.free_number().ok_or_else(|| missing("too many pings are under way"))?;
        let question = ping::question(kind.family, number, self.token);
        let target = target.ip();
        let sent = pinger.borrowed.socket.send_to(&question, &SocketAddr::new(target, 0).into());
        sent.map_err(NotAsked::Unsent)?;
        pinger.asked.insert(number, (position, target));
        Ok(Asked(index, number))
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&mut self, asked: Asked) {
        if let Some(pinger) = self.pingers.get_mut(asked.0) {
            pinger.asked.remove(&asked.1);
        }
    }

    /// An event for the socket under `key`; false when that is none of ours.
    pub(super) fn ready(&mut self, key: usize) -> bool {
        let pinger = key.checked_sub(FIRST_KEY).and_then(|index| self.pingers.get_mut(index));
        pinger.is_some_and(|pinger| {
            pinger.unread = true;
            true
        })
    }

    /// Answers are left to be read.
    pub(super) fn has_unread(&self) -> bool {
        self.pingers.iter().any(|pinger| pinger.unread)
    }

    /// Reads what has come: checkers whose question was answered.
    pub(super) fn receive(&mut self, answered: &mut Vec<usize>) {
        for pinger in self.pingers.iter_mut().filter(|pinger| pinger.unread) {
            pinger.receive(self.token, answered);
        }
    }
}

fn address(sender: SockaddrStorage) -> Option<IpAddr> {
    let v4 = sender.as_sockaddr_in().map(|sender| sender.ip().into());
    v4.or_else(|| sender.as_sockaddr_in6().map(|sender| sender.ip().into()))
}

impl Pinger {
    /// The checker that waits for this answer.
    fn settle(&mut self, number: u16, sender: IpAddr) -> Option<usize> {
        let (position, target) = *self.asked.get(&number)?;
        if target != sender {
            return None;
        }
        self.asked.remove(&number);
        Some(position)
    }

    /// The next number that waits for no answer.
    fn free_number(&mut self) -> Option<u16> {
        (0..=u16::MAX).find_map(|_| {
            self.last = self.last.wrapping_add(1);
            (!self.asked.contains_key(&self.last)).then_some(self.last)
        })
    }

    fn receive(&mut self, token: u64, answered: &mut Vec<usize>) {
        let mut room = [0; ROOM];
        for _ in 0..ANSWERS {
            match recvfrom::<SockaddrStorage>(self.borrowed.socket.as_raw_fd(), &mut room) {
                Ok((got, sender)) => {
                    let bytes = room.get(..got).unwrap_or_default();
                    let number = ping::answered(self.kind.family, token, bytes);
                    answered.extend(number.and_then(|number| self.settle(number, address(sender?)?)));
                }
                Err(Errno::EINTR) => {}
                Err(_nothing_left) => {
                    self.unread = false;
                    return;
                }
            }
        }
    }
}
