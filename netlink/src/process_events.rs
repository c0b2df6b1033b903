//! Events of processes: the kernel's process connector (CONFIG_PROC_EVENTS).
//!
//! Does: asks for the events and reads them. Does not: find out what a process is, keep a table, read a clock. The
//! kernel answers in its first network and process namespaces only; elsewhere [`ProcessEvents::open`] fails, or
//! [`ProcessEvent::Listening`] never comes. Needs CAP_NET_ADMIN. Datagrams of other processes are dropped.
//!
//! A frame is a netlink header (16 bytes), a connector header (20) and an event: what (4), processor (4), time (8),
//! and what belongs to it.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::{SocketAddr, protocols};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};

use crate::socket::OpenError;

/// What happened to a process. Threads are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEvent {
    /// The kernel tells of processes from now on.
    Listening,
    /// A process has made another one, which is what its parent is.
    Forked {
        /// The process.
        parent: i32,
        /// The new one.
        child: i32,
    },
    /// A process executes another program.
    Executed(i32),
    /// A process calls itself otherwise.
    Renamed(i32),
    /// A process has ended.
    Ended(i32),
}

/// Events were lost: what is known of processes is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events of processes were lost: {errno}")]
pub struct Lost {
    /// What the kernel said.
    pub errno: Errno,
}

/// A socket that is told of processes. Non-blocking.
#[derive(Debug)]
pub struct ProcessEvents {
    inner: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl ProcessEvents {
    /// Opens the socket and asks for events; [`ProcessEvent::Listening`] is the kernel's answer.
    ///
    /// # Errors
    /// This kernel has no connector, not in this namespace, or the process may not ask.
    pub fn open() -> Result<Self, OpenError> {
        let step = |what: &'static str| move |error: io::Error| OpenError { what, errno: errno_of(&error) };
        let mut inner = netlink_sys::Socket::new(protocols::NETLINK_CONNECTOR)
            .map_err(step("open the process connector"))?;
        inner.set_non_blocking(true).map_err(step("make the process connector non-blocking"))?;
        inner.bind(&SocketAddr::new(0, GROUP)).map_err(step("bind the process connector"))?;
        inner
            .send_to(&request(), &SocketAddr::new(0, 0), MsgFlags::MSG_NOSIGNAL.bits())
            .map_err(step("ask for events of processes"))?;
        Ok(Self { inner, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Asks for a receive buffer of `bytes`, beyond the system's limit where CAP_NET_ADMIN allows it.
    pub fn enlarge(&mut self, bytes: usize) {
        if setsockopt(&self.inner, sockopt::RcvBufForce, &bytes).is_err() {
            let _smaller_is_told_as_lost = setsockopt(&self.inner, sockopt::RcvBuf, &bytes);
        }
    }

    /// Asks for a receive buffer of exactly `bytes`, within the system's limit. A failure isn't told: what it was is
    /// kept.
    pub fn resize(&mut self, bytes: usize) {
        let _what_it_was_is_kept = setsockopt(&self.inner, sockopt::RcvBuf, &bytes);
    }

    /// Takes datagrams until one says something; `None` means that nothing is waiting. `Some(None)` is one that says
    /// nothing of interest.
    ///
    /// # Errors
    /// Events were lost; the socket stays usable.
    pub fn receive(&mut self) -> Result<Option<Option<ProcessEvent>>, Lost> {
        self.buffer.clear();
        self.buffer.reserve(BUFFER);
        match self.inner.recv_from(&mut self.buffer, MsgFlags::MSG_DONTWAIT.bits()) {
            Ok((_, sender)) if sender.port_number() != 0 => Ok(Some(None)),
            Ok(_) => Ok(Some(parse(&self.buffer))),
            Err(error) if errno_of(&error) == Errno::EAGAIN => Ok(None),
            Err(error) if errno_of(&error) == Errno::EINTR => Ok(Some(None)),
            Err(error) => Err(Lost { errno: errno_of(&error) }),
        }
    }
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for ProcessEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

/// Group of the process connector (CN_IDX_PROC); CN_VAL_PROC is the same number.
const GROUP: u32 = 1;
/// An event has 76 bytes.
const BUFFER: usize = 256;
/// Bytes in front of an event.
const HEADERS: usize = 36;

/// `PROC_CN_MCAST_LISTEN` with both headers.
fn request() -> Vec<u8> {
    const NLMSG_DONE: u16 = 3;
    const LISTEN: u32 = 1;
    let mut frame = Vec::with_capacity(40);
    frame.extend(40_u32.to_ne_bytes());
    frame.extend(NLMSG_DONE.to_ne_bytes());
    frame.extend([0; 10]);
    frame.extend(GROUP.to_ne_bytes());
    frame.extend(GROUP.to_ne_bytes());
    frame.extend([0; 8]);
    frame.extend(4_u16.to_ne_bytes());
    frame.extend([0; 2]);
    frame.extend(LISTEN.to_ne_bytes());
    frame
}

fn parse(frame: &[u8]) -> Option<ProcessEvent> {
    let connector = (word(frame, 16)?, word(frame, 20)?);
    if connector != (GROUP, GROUP) {
        return None;
    }
    let field = |number: usize| {
        let at = number.checked_mul(4)?.checked_add(HEADERS)?.checked_add(16)?;
        i32::try_from(word(frame, at)?).ok()
    };
    // A thread's own number differs from that of its process.
    let process = |thread: usize, group: usize| {
        let (thread, group) = (field(thread)?, field(group)?);
        (thread == group).then_some(group)
    };
    match word(frame, HEADERS)? {
        0 => (word(frame, 52)? == 0).then_some(ProcessEvent::Listening),
        1 => Some(ProcessEvent::Forked { parent: field(1)?, child: process(2, 3)? }),
        2 => Some(ProcessEvent::Executed(field(1)?)),
        0x200 => Some(ProcessEvent::Renamed(process(0, 1)?)),
        0x8000_0000 => Some(ProcessEvent::Ended(process(0, 1)?)),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with these words in its event, the first of which says what it is.
    fn frame(what: u32, words: &[u32]) -> Vec<u8> {
        let mut frame = vec![0; 16];
        for word in [1_u32, 1, 0, 0, 40, what, 0, 0, 0].iter().chain(words) {
            frame.extend(word.to_ne_bytes());
        }
        frame
    }

    #[test]
    fn the_answer_to_the_request_is_an_event_without_error() {
        assert_eq!(parse(&frame(0, &[0])), Some(ProcessEvent::Listening));
        assert_eq!(parse(&frame(0, &[1])), None);
    }

    #[test]
    fn processes_are_told_and_threads_are_not() {
        let forked = ProcessEvent::Forked { parent: 7, child: 9 };
        assert_eq!(parse(&frame(1, &[8, 7, 9, 9])), Some(forked));
        assert_eq!(parse(&frame(1, &[8, 7, 10, 9])), None);
        assert_eq!(parse(&frame(2, &[9, 9])), Some(ProcessEvent::Executed(9)));
        assert_eq!(parse(&frame(0x200, &[9, 9])), Some(ProcessEvent::Renamed(9)));
        assert_eq!(parse(&frame(0x200, &[10, 9])), None);
        assert_eq!(parse(&frame(0x8000_0000, &[9, 9, 0, 17])), Some(ProcessEvent::Ended(9)));
        assert_eq!(parse(&frame(0x8000_0000, &[10, 9, 0, 17])), None);
    }

    #[test]
    fn what_is_cut_off_or_of_another_connector_says_nothing() {
        let whole = frame(1, &[8, 7, 9, 9]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        let mut other = whole;
        other[16] = 2;
        assert_eq!(parse(&other), None);
    }
}
