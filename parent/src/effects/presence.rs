//! Which addresses of virtual servers are on this machine: `ha_suspend` follows them.
//!
//! Driver. Reads the kernel's address events; what they lead to is decided in `run::presence`. Only addresses that
//! somebody asked for are remembered, and a turn reads a bounded number of events. The kernel is trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use config::model::units::MonoTime;
use netlink::frame::Content;
use netlink::route::{self, Group, RouteEvent};
use netlink::socket::{OpenError, Protocol, ReceiveError, RequestError, Socket};

/// The addresses asked for, and the interfaces that each stands on.
#[derive(Debug)]
pub struct Presence {
    socket: Socket,
    holders: BTreeMap<IpAddr, BTreeSet<u32>>,
}

/// Why the addresses are not known.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// There is no socket.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// They can't be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Events can't be read.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

/// Whether events may be left in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// They may: read again.
    More,
    /// None.
    Nothing,
}

/// Longest time that reading all addresses may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// Most datagrams of events read in one turn.
const DATAGRAMS: usize = 64;

impl Presence {
    /// Subscribes to address events and finds out which of these addresses are here.
    ///
    /// # Errors
    /// What the kernel or its socket said.
    pub fn open(wanted: BTreeSet<IpAddr>, now: impl Fn() -> MonoTime) -> Result<Self, PresenceError> {
        let mut socket = Socket::open(Protocol::Route)?;
        for group in [Group::Ipv4Address, Group::Ipv6Address] {
            socket.join(group.number())?;
        }
        let mut presence =
            Self { socket, holders: wanted.into_iter().map(|wanted| (wanted, BTreeSet::new())).collect() };
        presence.look(now)?;
        Ok(presence)
    }

    /// Its descriptor, to be watched for reading.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The address is on this machine.
    #[must_use]
    pub fn is_here(&self, address: &IpAddr) -> bool {
        self.holders.get(address).is_some_and(|interfaces| !interfaces.is_empty())
    }

    /// Takes the events that have come.
    ///
    /// # Errors
    /// The addresses could not be read again after an overrun.
    pub fn read(&mut self, now: impl Fn() -> MonoTime) -> Result<Rest, PresenceError> {
        for _ in 0..DATAGRAMS {
            match self.socket.receive() {
                Ok(None) => return Ok(Rest::Nothing),
                Ok(Some(replies)) => {
                    for reply in replies {
                        if let Content::Object { kind, payload, .. } = reply.content {
                            note(&mut self.holders, kind, payload);
                        }
                    }
                }
                Err(ReceiveError::Overrun | ReceiveError::Truncated { .. }) => self.look(&now)?,
                Err(error @ ReceiveError::Os(_)) => return Err(error.into()),
            }
        }
        Ok(Rest::More)
    }

    /// Reads all addresses, through another socket: events that come meanwhile wait in ours.
    fn look(&mut self, now: impl Fn() -> MonoTime) -> Result<(), PresenceError> {
        let deadline = now() + PATIENCE;
        let holders = &mut self.holders;
        holders.values_mut().for_each(BTreeSet::clear);
        let mut read = |kind: u16, payload: &[u8]| note(holders, kind, payload);
        let mut socket = Socket::open(Protocol::Route)?;
        Ok(socket.dump(&route::dump_addresses(), || deadline.since(now()), &mut read)?)
    }
}

fn note(holders: &mut BTreeMap<IpAddr, BTreeSet<u32>>, kind: u16, payload: &[u8]) {
    match route::decode(kind, payload) {
        Some(RouteEvent::AddressAdded(address)) => {
            if let Some(interfaces) = holders.get_mut(&address.ip) {
                interfaces.insert(address.index);
            }
        }
        Some(RouteEvent::AddressRemoved(address)) => {
            if let Some(interfaces) = holders.get_mut(&address.ip) {
                interfaces.remove(&address.index);
            }
        }
        Some(
            RouteEvent::LinkChanged(_)
            | RouteEvent::LinkGone(_)
            | RouteEvent::OwnRouteRemoved
            | RouteEvent::Forwarding(..),
        )
        | None => {}
    }
}
