//! The receive sockets of all instances: opened when needed, adopted from a predecessor, closed when not.
//!
//! Keeps the vault in step. Called by the driver; decides nothing about adverts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use config::model::units::{IfIndex, Vrid};
use ipc::messages::Level;
use ipc::messages::vrrpd::{MAX_VAULT, ParentToVrrpd, SocketKey, VrrpdToParent};
use ipc::reactor::Reactor;

use crate::socket::receive::Receiver;
use ipc::daemon::Link;

/// First reactor key of a receive socket.
pub(super) const FIRST_KEY: usize = 16;

/// All receive sockets.
#[derive(Debug)]
pub(super) struct Receivers {
    open: BTreeMap<usize, Entry>,
    inherited: Vec<(SocketKey, OwnedFd)>,
    deaf: Vec<SocketKey>,
    next: usize,
}

#[derive(Debug)]
struct Entry {
    receiver: Receiver,
    readable: bool,
    vaulted: bool,
}

/// A socket that is wanted, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Which socket.
    pub(super) key: SocketKey,
    /// Interface that the key's name stands for now.
    pub(super) index: Option<IfIndex>,
    /// Virtual routers that listen to it.
    pub(super) vrids: Vec<Vrid>,
    /// Bytes of its queue, when the configuration says how many.
    pub(super) queue: Option<usize>,
}

impl Default for Receivers {
    fn default() -> Self {
        Self { open: BTreeMap::new(), inherited: Vec::new(), deaf: Vec::new(), next: FIRST_KEY }
    }
}

impl Receivers {
    /// Sockets of a predecessor, to be adopted by the next [`Self::refresh`] and closed when nobody wants them.
    pub(super) fn inherit(&mut self, sockets: Vec<(SocketKey, OwnedFd)>) {
        self.inherited = sockets;
    }

    /// Sockets that are wanted and could not be opened.
    #[must_use]
    pub(super) fn deaf(&self) -> &[SocketKey] {
        &self.deaf
    }

    /// Opens what is wanted and missing, closes what isn't wanted.
    pub(super) fn refresh(
        &mut self,
        wanted: &[Wanted],
        reactor: &Reactor,
        link: &mut Link<VrrpdToParent, ParentToVrrpd>,
    ) {
        self.close_unwanted(wanted, reactor, link);
        let deaf_before = std::mem::take(&mut self.deaf);
        for wish in wanted {
            let found = self.open.values_mut().find(|entry| entry.receiver.key() == &wish.key);
            let outcome = match found {
                Some(entry) => {
                    entry.receiver.size(wish.queue);
                    entry.receiver.listen_to(wish.vrids.clone())
                }
                None => self.add(wish, reactor, link),
            };
            if let Err(error) = outcome {
                if !deaf_before.contains(&wish.key) {
                    let name = describe(&wish.key);
                    link.log(Level::Error, format!("can't open a socket for adverts on {name}: {error}"));
                }
                self.deaf.push(wish.key.clone());
            }
        }
        for (key, _) in self.inherited.drain(..) {
            if !wanted.iter().any(|wish| wish.key == key) {
                // A full queue means a parent that is gone or will kill us; nothing better can be done here.
                let _ = link.send(&VrrpdToParent::Unvault(key), &[]);
            }
        }
    }

    fn add(
        &mut self,
        wish: &Wanted,
        reactor: &Reactor,
        link: &mut Link<VrrpdToParent, ParentToVrrpd>,
    ) -> std::io::Result<()> {
        let inherited = self.inherited.iter().position(|(key, _)| key == &wish.key);
        let adopted = inherited.map(|position| self.inherited.swap_remove(position)).and_then(|(key, fd)| {
            let group = group(&key);
            Receiver::adopt(key, wish.index, group, wish.vrids.clone(), fd)
        });
        let vaulted = adopted.is_some();
        let mut receiver = match adopted {
            Some(receiver) => receiver,
            None => Receiver::open(wish.key.clone(), wish.index, group(&wish.key))?,
        };
        receiver.size(wish.queue);
        receiver.listen_to(wish.vrids.clone())?;
        reactor.watch_reads(receiver.as_raw_fd(), self.next)?;
        let mut entry = Entry { receiver, readable: true, vaulted };
        if !entry.vaulted && self.open.values().filter(|entry| entry.vaulted).count() < MAX_VAULT {
            let message = VrrpdToParent::Vault(entry.receiver.key().clone());
            entry.vaulted = link.send(&message, &[entry.receiver.as_fd()]).is_ok();
        }
        self.open.insert(self.next, entry);
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    fn close_unwanted(
        &mut self,
        wanted: &[Wanted],
        reactor: &Reactor,
        link: &mut Link<VrrpdToParent, ParentToVrrpd>,
    ) {
        self.open.retain(|_, entry| {
            let receiver = &entry.receiver;
            let keep =
                wanted.iter().any(|wish| &wish.key == receiver.key() && wish.index == receiver.index());
            if !keep {
                // The parent's duplicate keeps the socket alive: the poller must be told.
                let _ = reactor.forget(receiver.as_raw_fd());
                if entry.vaulted {
                    let _ = link.send(&VrrpdToParent::Unvault(receiver.key().clone()), &[]);
                }
            }
            keep
        });
    }

    /// The poller says that a socket has something.
    pub(super) fn mark(&mut self, key: usize) {
        if let Some(entry) = self.open.get_mut(&key) {
            entry.readable = true;
        }
    }

    /// Every socket may have something: listen before speaking.
    pub(super) fn mark_all(&mut self) {
        for entry in self.open.values_mut() {
            entry.readable = true;
        }
    }

    /// True when a socket may have more than was read.
    #[must_use]
    pub(super) fn may_have_more(&self) -> bool {
        self.open.values().any(|entry| entry.readable)
    }

    /// Sockets that may have something, with their reactor keys.
    #[must_use]
    pub(super) fn readable(&self) -> Vec<usize> {
        self.open.iter().filter(|(_, entry)| entry.readable).map(|(key, _)| *key).collect()
    }

    /// One socket.
    #[must_use]
    pub(super) fn receiver(&self, key: usize) -> Option<&Receiver> {
        self.open.get(&key).map(|entry| &entry.receiver)
    }

    /// A socket has been read until nothing waited.
    pub(super) fn emptied(&mut self, key: usize) {
        if let Some(entry) = self.open.get_mut(&key) {
            entry.readable = false;
        }
    }
}

fn group(key: &SocketKey) -> Option<IpAddr> {
    key.group.parse().ok()
}

fn describe(key: &SocketKey) -> &str {
    if key.interface.is_empty() { "any interface" } else { &key.interface }
}
