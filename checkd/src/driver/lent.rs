//! Sockets from the parent: what checkd may not open itself.
//!
//! Does: keep those of one configuration, lend them to connections one at a time and take them back. Pings are
//! [`super::pings`]'s. Called by [`super::runs`].

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use config::model::lent::LentSocket;
use sandbox::system::fd::disconnect;
use socket2::Socket;

/// Free sockets by kind.
#[derive(Debug, Default)]
pub(super) struct Shelves(BTreeMap<LentSocket, Vec<Borrowed>>);

/// A socket that goes back to its shelf.
#[derive(Debug)]
pub(super) struct Borrowed {
    pub(super) socket: Socket,
    kind: LentSocket,
    /// Configuration that it came with: another one's shelves don't take it back.
    edition: u64,
    on_interface: bool,
}

impl Borrowed {
    /// A socket as it came from the parent.
    pub(super) fn new(kind: &LentSocket, fd: OwnedFd, edition: u64) -> Self {
        Self { socket: Socket::from(fd), kind: kind.clone(), edition, on_interface: false }
    }

    /// Binds it to its interface, once: a second time takes NET_RAW (socket(7), SO_BINDTODEVICE).
    pub(super) fn bind_interface(&mut self) -> io::Result<()> {
        if let (Some(name), false) = (&self.kind.bind_interface, self.on_interface) {
            self.socket.bind_device(Some(name.as_bytes()))?;
            self.on_interface = true;
        }
        Ok(())
    }
}

impl Shelves {
    /// Puts a socket on its shelf.
    pub(super) fn put(&mut self, borrowed: Borrowed) {
        self.0.entry(borrowed.kind.clone()).or_default().push(borrowed);
    }

    /// Lends a socket.
    pub(super) fn take(&mut self, kind: &LentSocket) -> io::Result<Borrowed> {
        let shelf = self
            .0
            .get_mut(kind)
            .ok_or_else(|| io::Error::other("the parent has opened no socket for them"))?;
        let mut borrowed = shelf.pop().ok_or_else(|| io::Error::other("all borrowed sockets are in use"))?;
        if let Err(error) = borrowed.bind_interface() {
            shelf.push(borrowed);
            return Err(error);
        }
        Ok(borrowed)
    }

    /// Takes a socket back, ready for its next connection. One of another edition is closed.
    pub(super) fn give_back(&mut self, borrowed: Borrowed, edition: u64) {
        if borrowed.edition == edition && disconnect(borrowed.socket.as_fd()).is_ok() {
            self.put(borrowed);
        }
    }
}
