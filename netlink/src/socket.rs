//! Sockets: requests numbered and sent, replies received, with an answer for every number.
//!
//! Does: non-blocking sockets with extended and capped acknowledgements, batches, and, for callers that may
//! wait, requests and dumps that end when the caller's patience does. Does not: read a clock, retry, log.
//!
//! vrrpd uses [`Socket::send_batch`] and [`Socket::receive`] inside its loop and never waits; ipvsd, and both at
//! start, may use [`Socket::request`] and [`Socket::dump`]. A wait is a poll(2) of at most the time that the
//! caller says is left, so that a lost acknowledgement costs a bounded time. Frames come from the kernel
//! alone: datagrams of other processes are dropped.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use netlink_sys::{SocketAddr, protocols};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};

use crate::frame::{Answer, Content, KernelError, Message, Replies};
use crate::nftables;

/// Part of the kernel that a socket speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, rules.
    Route,
    /// Families with a number of their own, IPVS among them.
    Generic,
    /// nftables.
    Netfilter,
}

/// A netlink socket. Non-blocking; register it with mio by its `AsRawFd`.
///
/// A socket that has joined groups should send nothing: an event that a request causes carries that request's
/// number and can't be told from its answer.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens and binds.
    ///
    /// # Errors
    /// No such protocol in this kernel, no descriptor left, or refused by the process's own confinement.
    pub fn open(protocol: Protocol) -> Result<Self, OpenError> {
        let number = match protocol {
            Protocol::Route => protocols::NETLINK_ROUTE,
            Protocol::Generic => protocols::NETLINK_GENERIC,
            Protocol::Netfilter => protocols::NETLINK_NETFILTER,
        };
        let step = |what: &'static str| move |error: io::Error| OpenError { what, errno: errno_of(&error) };
        let mut inner = netlink_sys::Socket::new(number).map_err(step("open a netlink socket"))?;
        inner.set_non_blocking(true).map_err(step("make a netlink socket non-blocking"))?;
        inner.bind_auto().map_err(step("bind a netlink socket"))?;
        inner.set_ext_ack(true).map_err(step("ask for extended acknowledgements"))?;
        inner.set_cap_ack(true).map_err(step("ask for capped acknowledgements"))?;
        Ok(Self { inner, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Subscribes to a group of events.
    ///
    /// # Errors
    /// The kernel has no such group.
    pub fn join(&mut self, group: u32) -> Result<(), OpenError> {
        self.inner
            .add_membership(group)
            .map_err(|error| OpenError { what: "join a netlink group", errno: errno_of(&error) })
    }

    /// Asks for a receive buffer of `bytes`, beyond the system's limit where CAP_NET_ADMIN allows it. A failure
    /// isn't told: a smaller buffer costs an overrun, which is told.
    pub fn enlarge(&mut self, bytes: usize) {
        if setsockopt(&self.inner, sockopt::RcvBufForce, &bytes).is_err() {
            let _smaller_is_told_as_overrun = setsockopt(&self.inner, sockopt::RcvBuf, &bytes);
        }
    }

    /// Asks for a receive buffer of exactly `bytes`, within the system's limit. A failure isn't told, as for
    /// [`Self::enlarge`].
    pub fn resize(&mut self, bytes: usize) {
        let _what_it_was_is_kept = setsockopt(&self.inner, sockopt::RcvBuf, &bytes);
    }

    /// Sends one request and returns its number.
    ///
    /// # Errors
    /// As for [`Self::send_batch`].
    pub fn send(&mut self, message: &Message) -> Result<u32, SendError> {
        self.send_batch(std::slice::from_ref(message)).map(|numbers| numbers.start)
    }

    /// Sends requests in one datagram and returns their numbers, in order. The kernel does them one after the
    /// other, goes on after one that fails, and answers each; the answers come from [`Self::receive`].
    ///
    /// # Errors
    /// More than [`MAX_BATCH`] requests or [`MAX_BATCH_BYTES`], or the kernel took none of them.
    pub fn send_batch(&mut self, messages: &[Message]) -> Result<Range<u32>, SendError> {
        self.send_frames(messages, Answer::Always)
    }

    /// The last message is answered in any case.
    fn send_frames(&mut self, messages: &[Message], others: Answer) -> Result<Range<u32>, SendError> {
        let bytes = messages.iter().fold(0_usize, |sum, message| {
            sum.saturating_add(message.payload.len()).saturating_add(FRAME_OVERHEAD)
        });
        if messages.len() > MAX_BATCH || bytes > MAX_BATCH_BYTES {
            return Err(SendError::TooLarge { messages: messages.len(), bytes });
        }
        if messages.is_empty() {
            return Ok(0..0);
        }
        let numbers = self.numbers(messages.len());
        let mut frames = Vec::with_capacity(bytes);
        for (sequence, message) in numbers.clone().zip(messages) {
            let answer = if sequence.checked_add(1) == Some(numbers.end) { Answer::Always } else { others };
            message.encode(sequence, answer, &mut frames);
        }
        self.send_bytes(&frames).map(|()| numbers)
    }

    /// The next numbers, so many of them.
    fn numbers(&mut self, count: usize) -> Range<u32> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let first = match self.sequence.checked_add(1) {
            Some(first) if first.checked_add(count).is_some() => first,
            Some(_) | None => 1,
        };
        let end = first.saturating_add(count);
        self.sequence = end.saturating_sub(1);
        first..end
    }

    fn send_bytes(&self, frames: &[u8]) -> Result<(), SendError> {
        loop {
            match self.inner.send_to(frames, &SocketAddr::new(0, 0), MsgFlags::MSG_NOSIGNAL.bits()) {
                Ok(_) => return Ok(()),
                Err(error) if errno_of(&error) == Errno::EINTR => {}
                Err(error) => return Err(SendError::Os(errno_of(&error))),
            }
        }
    }

    /// Takes one datagram. `None` means that nothing is waiting; call again until it does, because mio tells of
    /// readiness once.
    ///
    /// # Errors
    /// See [`ReceiveError`]; the socket stays usable after each of them.
    pub fn receive(&mut self) -> Result<Option<Replies<'_>>, ReceiveError> {
        for _ in 0..MAX_FOREIGN {
            self.buffer.clear();
            self.buffer.reserve(BUFFER);
            match self.inner.recv_from(&mut self.buffer, MsgFlags::MSG_TRUNC.bits()) {
                Ok((_, sender)) if sender.port_number() != 0 => {}
                Ok((length, _)) if length > self.buffer.len() => {
                    return Err(ReceiveError::Truncated { length });
                }
                Ok(_) => return Ok(Some(Replies::new(&self.buffer))),
                Err(error) if errno_of(&error) == Errno::EAGAIN => return Ok(None),
                Err(error) if errno_of(&error) == Errno::EINTR => {}
                Err(error) if errno_of(&error) == Errno::ENOBUFS => return Err(ReceiveError::Overrun),
                Err(error) => return Err(ReceiveError::Os(errno_of(&error))),
            }
        }
        Ok(None)
    }

    /// Sends requests in as many datagrams as they need and waits for what became of each. The kernel answers those
    /// that it refuses, and the last of a datagram: a refusal that was lost would be told as an overrun, so the
    /// others are done. Reading an answer for each costs more than the requests. `left` is asked before every wait;
    /// when it gives zero, what is unanswered stays [`Outcome::Unanswered`] and what is unsent isn't
    /// sent: the caller reads the kernel's state again.
    ///
    /// # Errors
    /// The socket failed. Requests sent before that may have been done.
    pub fn request(
        &mut self,
        messages: &[Message],
        mut left: impl FnMut() -> Duration,
    ) -> Result<Vec<Outcome>, RequestError> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for batch in batches(messages) {
            if left().is_zero() {
                outcomes.resize(outcomes.len().saturating_add(batch.len()), Outcome::Unanswered);
                continue;
            }
            let numbers = self.send_frames(batch, Answer::OnRefusal)?;
            self.collect(numbers, &mut left, &mut outcomes)?;
        }
        Ok(outcomes)
    }

    fn collect(
        &mut self,
        numbers: Range<u32>,
        left: &mut impl FnMut() -> Duration,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), RequestError> {
        let base = outcomes.len();
        outcomes.extend(numbers.clone().map(|_| Outcome::Unanswered));
        let mut complete = false;
        while !complete {
            let Some(replies) = self.receive()? else {
                if !self.wait(left())? {
                    return Ok(());
                }
                continue;
            };
            for reply in replies.filter(|reply| numbers.contains(&reply.sequence)) {
                let outcome = match reply.content {
                    Content::Ack => Outcome::Done,
                    Content::Refused(error) => Outcome::Refused(error),
                    Content::Done(_) | Content::Object { .. } => continue,
                };
                let position = usize::try_from(reply.sequence.saturating_sub(numbers.start));
                let place = base.saturating_add(position.unwrap_or(usize::MAX));
                if let Some(slot) = outcomes.get_mut(place) {
                    *slot = outcome;
                }
                complete |= reply.sequence.checked_add(1) == Some(numbers.end);
            }
        }
        for outcome in outcomes.iter_mut().skip(base).filter(|outcome| **outcome == Outcome::Unanswered) {
            *outcome = Outcome::Done;
        }
        Ok(())
    }

    /// Sends requests to nftables that it does as a whole or not at all, and waits for what became of them.
    ///
    /// # Errors
    /// One of them was refused, so that none is done, or the time is up and all may have been done or none.
    pub fn transact(
        &mut self,
        messages: &[Message],
        mut left: impl FnMut() -> Duration,
    ) -> Result<(), RequestError> {
        let (begin, end) = nftables::frame_of_transaction();
        let numbers = self.numbers(messages.len().saturating_add(2));
        let last = numbers.end.saturating_sub(2);
        let mut frames = Vec::new();
        for (sequence, message) in numbers.clone().zip([&begin].into_iter().chain(messages).chain([&end])) {
            let answer = if sequence == last { Answer::Always } else { Answer::OnRefusal };
            message.encode(sequence, answer, &mut frames);
        }
        // The kernel takes a datagram only whole.
        let _refused_below = setsockopt(&self.inner, sockopt::SndBufForce, &frames.len().saturating_mul(2));
        self.send_bytes(&frames)?;
        let mut refused = None;
        loop {
            let Some(replies) = self.receive()? else {
                if !self.wait(left())? {
                    return Err(RequestError::TimedOut);
                }
                continue;
            };
            let mut answered = false;
            for reply in replies.filter(|reply| numbers.contains(&reply.sequence)) {
                // A refusal as a whole bears the number of its begin and may be the only answer.
                answered |= reply.sequence == last;
                if let Content::Refused(error) = reply.content {
                    answered |= reply.sequence == numbers.start;
                    refused.get_or_insert(error);
                }
            }
            if answered {
                return refused.map_or(Ok(()), |error| Err(RequestError::Refused(error)));
            }
        }
    }

    /// Sends a question and gives every object of the answer to `each`, with its message type, until the kernel
    /// says that the answer is complete. Works for dumps ([`crate::frame::Flags::Dump`]) and for questions about
    /// one thing ([`crate::frame::Flags::Ack`]). Memory is the caller's to bound.
    ///
    /// # Errors
    /// Refused, interrupted by a change, overrun, or out of patience. Objects given before that aren't the whole.
    pub fn dump(
        &mut self,
        question: &Message,
        mut left: impl FnMut() -> Duration,
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), RequestError> {
        let number = self.send(question)?;
        let mut changed = false;
        loop {
            let Some(replies) = self.receive()? else {
                if !self.wait(left())? {
                    return Err(RequestError::TimedOut);
                }
                continue;
            };
            for reply in replies.filter(|reply| reply.sequence == number) {
                match reply.content {
                    Content::Object { kind, interrupted, payload } => {
                        changed |= interrupted;
                        each(kind, payload);
                    }
                    Content::Refused(error) | Content::Done(Err(error)) => {
                        return Err(RequestError::Refused(error));
                    }
                    Content::Ack | Content::Done(Ok(())) if changed => return Err(RequestError::Interrupted),
                    Content::Ack | Content::Done(Ok(())) => return Ok(()),
                }
            }
        }
    }

    /// Waits until something is readable; false when the time is up.
    fn wait(&self, left: Duration) -> Result<bool, RequestError> {
        if left.is_zero() {
            return Ok(false);
        }
        let millis = left.as_millis().saturating_add(1);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.inner.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) => Ok(false),
            Ok(_) | Err(Errno::EINTR) => Ok(true),
            Err(errno) => Err(RequestError::Receive(ReceiveError::Os(errno))),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// Cuts requests into runs that [`Socket::send_batch`] takes.
fn batches(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0_usize;
        let fit = rest
            .iter()
            .take(MAX_BATCH)
            .take_while(|message| {
                bytes = bytes.saturating_add(message.payload.len()).saturating_add(FRAME_OVERHEAD);
                bytes <= MAX_BATCH_BYTES
            })
            .count()
            .max(1);
        if rest.is_empty() {
            return None;
        }
        let (batch, later) = rest.split_at_checked(fit)?;
        rest = later;
        Some(batch)
    })
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Refused.
    Refused(KernelError),
    /// No answer in time: it may have been done or not.
    Unanswered,
}

/// A socket could not be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("can't {what}: {errno}")]
pub struct OpenError {
    /// What was being done.
    pub what: &'static str,
    /// Error number.
    pub errno: Errno,
}

/// Requests were not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// More than one datagram may hold.
    #[error("a batch of {messages} requests with {bytes} bytes is larger than 64 requests or 32768 bytes")]
    TooLarge {
        /// Requests in the batch.
        messages: usize,
        /// Bytes with headers.
        bytes: usize,
    },
    /// The kernel refused the datagram.
    #[error("netlink send: {0}")]
    Os(Errno),
}

/// A datagram was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The receive buffer was full and messages are lost: dump again.
    #[error("netlink messages were lost because the receive buffer was full")]
    Overrun,
    /// A datagram was longer than the buffer and is lost: dump again.
    #[error("a netlink datagram of {length} bytes is longer than 65536")]
    Truncated {
        /// Its length.
        length: usize,
    },
    /// The socket failed.
    #[error("netlink receive: {0}")]
    Os(Errno),
}

/// A request that was waited for has failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Answers were lost.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The kernel refused.
    #[error("the kernel refused: {0}")]
    Refused(KernelError),
    /// The table changed while it was dumped: dump again.
    #[error("the table changed while it was read")]
    Interrupted,
    /// No answer in time.
    #[error("the kernel did not answer in time")]
    TimedOut,
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Most requests in one batch: so many acknowledgements fit into the smallest usual receive buffer (208 KiB;
/// the kernel counts about 1.3 KiB for each).
pub const MAX_BATCH: usize = 64;

/// Most bytes in one batch, headers included.
pub const MAX_BATCH_BYTES: usize = 32 * 1024;

/// The kernel sends no datagram above 32 KiB.
const BUFFER: usize = 64 * 1024;

/// Header and padding of a frame at most.
const FRAME_OVERHEAD: usize = 20;

/// Datagrams of other processes that one call of `receive` drops.
const MAX_FOREIGN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Flags;

    fn message(bytes: usize) -> Message {
        Message { kind: 20, flags: Flags::Ack, payload: vec![0; bytes] }
    }

    #[test]
    fn requests_are_cut_into_batches_by_number() {
        let messages = vec![message(8); 130];
        let sizes: Vec<_> = batches(&messages).map(<[Message]>::len).collect();
        assert_eq!(sizes, [64, 64, 2]);
    }

    #[test]
    fn requests_are_cut_into_batches_by_size() {
        let messages = vec![message(10_000); 7];
        let sizes: Vec<_> = batches(&messages).map(<[Message]>::len).collect();
        assert_eq!(sizes, [3, 3, 1]);
    }

    #[test]
    fn a_request_too_large_for_any_batch_is_passed_on_alone_to_be_refused() {
        let messages = vec![message(40_000), message(8)];
        let sizes: Vec<_> = batches(&messages).map(<[Message]>::len).collect();
        assert_eq!(sizes, [1, 1]);
    }
}
