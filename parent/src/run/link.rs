//! Channels to the daemons, each typed by its conversation.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use ipc::channel::{Channel, ReceiveError, SendError};
use ipc::messages::ToDaemon;
use ipc::messages::checkd::{CheckdToParent, ParentToCheckd};
use ipc::messages::ctl::Daemon;
use ipc::messages::ipvsd::{IpvsdToParent, ParentToIpvsd};
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpdToParent};

/// Channel to a daemon, typed by conversation.
#[derive(Debug)]
pub(super) enum Link {
    Vrrpd(Channel<ParentToVrrpd, VrrpdToParent>),
    Checkd(Channel<ParentToCheckd, CheckdToParent>),
    Ipvsd(Channel<ParentToIpvsd, IpvsdToParent>),
}

/// A message of a daemon, typed by conversation.
#[derive(Debug)]
pub(super) enum Incoming {
    Vrrpd(VrrpdToParent, Vec<OwnedFd>),
    Checkd(CheckdToParent),
    Ipvsd(IpvsdToParent),
}

impl Link {
    pub(super) fn new(daemon: Daemon, socket: UnixStream) -> io::Result<Self> {
        Ok(match daemon {
            Daemon::Vrrpd => Self::Vrrpd(Channel::new(socket, true)?),
            Daemon::Checkd => Self::Checkd(Channel::new(socket, false)?),
            Daemon::Ipvsd => Self::Ipvsd(Channel::new(socket, false)?),
        })
    }

    /// Queues what every daemon understands.
    pub(super) fn tell(&mut self, message: ToDaemon, fds: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        match self {
            Self::Vrrpd(channel) => channel.send(&message.into(), fds),
            Self::Checkd(channel) => channel.send(&message.into(), fds),
            Self::Ipvsd(channel) => channel.send(&message.into(), fds),
        }
    }

    /// Next message, if one is there.
    pub(super) fn receive(&mut self) -> Result<Option<Incoming>, ReceiveError> {
        Ok(match self {
            Self::Vrrpd(channel) => channel.receive()?.map(|(message, fds)| Incoming::Vrrpd(message, fds)),
            Self::Checkd(channel) => channel.receive()?.map(|(message, _)| Incoming::Checkd(message)),
            Self::Ipvsd(channel) => channel.receive()?.map(|(message, _)| Incoming::Ipvsd(message)),
        })
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        let _peer_gone_is_seen_by_pidfd = match self {
            Self::Vrrpd(channel) => channel.flush(),
            Self::Checkd(channel) => channel.flush(),
            Self::Ipvsd(channel) => channel.flush(),
        };
    }

    pub(super) fn fd(&self) -> RawFd {
        match self {
            Self::Vrrpd(channel) => channel.as_raw_fd(),
            Self::Checkd(channel) => channel.as_raw_fd(),
            Self::Ipvsd(channel) => channel.as_raw_fd(),
        }
    }
}
