//! Sockets from the parent: what checkd may not open itself.
//!
//! Does: keep those of one configuration, lend them to connections one at a time and take them back, and find out which
//! ones have outlived their interface. Pings are [`super::pings`]'s. Called by [`super::runs`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use config::model::lent::LentSocket;
use config::model::vrrp::Family;
use sandbox::system::fd::disconnect;
use socket2::{Domain, Protocol, Socket, Type};

/// Free sockets by kind.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    free: BTreeMap<LentSocket, Vec<Borrowed>>,
    /// Kinds whose sockets have outlived their interface: others were asked for.
    worn: BTreeSet<LentSocket>,
}

/// A socket that goes back to its shelf.
#[derive(Debug)]
pub(super) struct Borrowed {
    pub(super) socket: Socket,
    kind: LentSocket,
    /// Configuration that it came with: another one's shelves don't take it back.
    edition: u64,
}

impl Borrowed {
    /// A socket as it came from the parent.
    pub(super) fn new(kind: &LentSocket, fd: OwnedFd, edition: u64) -> Self {
        Self { socket: Socket::from(fd), kind: kind.clone(), edition }
    }

    /// Makes sure that it can be used now: its interface and its source address are here.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        // Only while it is bound to none: another time takes NET_RAW (socket(7), SO_BINDTODEVICE). A datagram socket that
        // is disconnected loses its interface.
        if let Some(name) = &self.kind.bind_interface
            && self.socket.device()?.is_none()
        {
            self.socket.bind_device(Some(name.as_bytes()))?;
        }
        source_is_here(&self.kind)
    }

    /// It stands on an interface that was removed since, or has another name: the kernel knows it by its number, and
    /// one that is made anew has another.
    pub(super) fn is_worn(&self) -> bool {
        let Some(name) = &self.kind.bind_interface else { return false };
        !matches!(self.socket.device(), Ok(device) if device.as_ref().is_none_or(|device| device == name.as_bytes()))
    }
}

/// The parent binds to addresses that may come later, and what the kernel does while they are away depends on family and
/// version: datagrams leave nevertheless, or no network is reached. A socket of one's own finds out.
fn source_is_here(kind: &LentSocket) -> io::Result<()> {
    let Some(address) = kind.bind_to else { return Ok(()) };
    let domain = match kind.family {
        Family::Inet => Domain::IPV4,
        Family::Inet6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(name) = &kind.bind_interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    socket.bind(&SocketAddr::new(address, 0).into())
}

impl Shelves {
    /// Puts a socket on its shelf.
    pub(super) fn put(&mut self, borrowed: Borrowed) {
        self.free.entry(borrowed.kind.clone()).or_default().push(borrowed);
    }

    /// Puts other sockets on a shelf whose own have outlived their interface; false when those of this kind have not.
    pub(super) fn renew(&mut self, kind: &LentSocket, sockets: Vec<Borrowed>) -> bool {
        let is_wanted = self.worn.remove(kind);
        if is_wanted {
            sockets.into_iter().for_each(|borrowed| self.put(borrowed));
        }
        is_wanted
    }

    /// Lends a socket. `worn` gets its kind when the parent should open others.
    pub(super) fn take(&mut self, kind: &LentSocket, worn: &mut Vec<LentSocket>) -> io::Result<Borrowed> {
        let shelf = self
            .free
            .get_mut(kind)
            .ok_or_else(|| io::Error::other("the parent has opened no socket for them"))?;
        if shelf.last().is_some_and(Borrowed::is_worn) {
            shelf.clear();
            self.worn.insert(kind.clone());
        }
        let Some(mut borrowed) = shelf.pop() else {
            if self.worn.contains(kind) {
                worn.push(kind.clone());
                return Err(io::Error::other("their interface was removed"));
            }
            return Err(io::Error::other("all borrowed sockets are in use"));
        };
        if let Err(error) = borrowed.prepare() {
            shelf.push(borrowed);
            return Err(error);
        }
        Ok(borrowed)
    }

    /// Takes a socket back, ready for its next connection. One of another edition, or without interface, is closed.
    pub(super) fn give_back(&mut self, borrowed: Borrowed, edition: u64) {
        if borrowed.edition != edition {
            return;
        }
        if borrowed.is_worn() {
            self.worn.insert(borrowed.kind);
        } else if disconnect(borrowed.socket.as_fd()).is_ok() {
            self.put(borrowed);
        }
    }
}
