//! One end of a socketpair: framed messages out of a bounded queue, framed messages in.
//!
//! Never blocks. Whatever arrives is untrusted: a frame that is too long, doesn't decode or brings another number
//! of file descriptors than its message says is a [`ReceiveError::Violation`], after which the channel is done for.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use sandbox::system::fd::{receive_with_fds, send_with_fds};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CodecError, MAX_FRAME};

/// How many file descriptors travel with a message.
pub trait CarriesFds {
    /// Exact number, known from the message alone.
    fn fds(&self) -> usize;
}

/// Bytes that may wait for a peer that doesn't read.
pub const MAX_QUEUE: usize = 4 * 1024 * 1024;

/// Most file descriptors that wait for the frame they belong to.
pub const MAX_WAITING_FDS: usize = 160;

const HEADER: usize = 4;

/// Frames without descriptors are written together up to about so many bytes.
const MAX_RUN: usize = 32 * 1024;

/// Why a message was not queued.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The message doesn't fit a frame.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The peer doesn't read: the queue is full.
    #[error("peer doesn't read: {0} bytes are waiting")]
    Full(usize),
    /// The message says it carries another number of descriptors.
    #[error("message carries {expected} descriptors, got {got}")]
    Fds {
        /// What the message says.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// The socket failed; the peer is gone.
    #[error("sending to the peer: {0}")]
    Io(#[from] io::Error),
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The peer closed its end.
    #[error("peer closed the channel")]
    Closed,
    /// The peer broke the protocol.
    #[error("protocol violation: {0}")]
    Violation(Violation),
    /// The socket failed.
    #[error("receiving from the peer: {0}")]
    Io(#[from] io::Error),
}

/// How the peer broke the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// A frame announces more than 64 KiB.
    #[error("frame of {0} bytes")]
    FrameTooLong(usize),
    /// A frame doesn't decode.
    #[error(transparent)]
    Malformed(CodecError),
    /// A message came without the descriptors it carries.
    #[error("message carries {expected} descriptors, {got} came")]
    MissingFds {
        /// What the message says.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Descriptors came that no message carries.
    #[error("descriptors that no message carries")]
    StrayFds,
}

/// Frames that are written together.
#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// One end of a socketpair.
#[derive(Debug)]
pub struct Channel<Out, In> {
    socket: UnixStream,
    queue: VecDeque<Pending>,
    queued: usize,
    read: Vec<u8>,
    filled: usize,
    taken: usize,
    waiting_fds: VecDeque<OwnedFd>,
    accepts_fds: bool,
    corked: bool,
    messages: PhantomData<fn(Out) -> In>,
}

impl<Out: Serialize + CarriesFds, In: DeserializeOwned + CarriesFds> Channel<Out, In> {
    /// Takes a connected stream socket and makes it non-blocking. With `accepts_fds` false no control buffer is
    /// given to the kernel, so no descriptor can arrive.
    ///
    /// # Errors
    /// The socket can't be made non-blocking.
    pub fn new(socket: UnixStream, accepts_fds: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            queue: VecDeque::new(),
            queued: 0,
            read: Vec::new(),
            filled: 0,
            taken: 0,
            waiting_fds: VecDeque::new(),
            accepts_fds,
            corked: false,
            messages: PhantomData,
        })
    }

    /// Two connected ends, close-on-exec.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        UnixStream::pair()
    }

    /// Bytes that wait for the peer to read.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Queues a message and sends what the socket takes. Duplicates of `fds` travel with it. Call [`Self::flush`]
    /// when the socket becomes writable.
    ///
    /// # Errors
    /// The message is too long, the queue is full, or the peer is gone.
    pub fn send(&mut self, message: &Out, fds: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        if message.fds() != fds.len() {
            return Err(SendError::Fds { expected: message.fds(), got: fds.len() });
        }
        let body = codec::encode(message, MAX_FRAME)?;
        if self.queued.saturating_add(body.len()) > MAX_QUEUE {
            return Err(SendError::Full(self.queued));
        }
        let length = u32::try_from(body.len()).map_err(|_| CodecError::Unencodable)?;
        let mut bytes = Vec::with_capacity(body.len().saturating_add(HEADER));
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&body);
        let fds = fds.iter().map(|fd| fd.try_clone_to_owned()).collect::<io::Result<Vec<_>>>()?;
        self.queued = self.queued.saturating_add(bytes.len());
        match self.queue.back_mut() {
            Some(last) if fds.is_empty() && last.fds.is_empty() && last.bytes.len() < MAX_RUN => {
                last.bytes.append(&mut bytes);
            }
            Some(_) | None => self.queue.push_back(Pending { bytes, sent: 0, fds }),
        }
        if !self.corked {
            self.flush()?;
        }
        Ok(())
    }

    /// Messages wait from now on, so that many of them cost one system call and wake the peer once.
    pub fn cork(&mut self) {
        self.corked = true;
    }

    /// Messages are sent at once again; those that wait go out as [`Self::flush`] says.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn uncork(&mut self) -> io::Result<bool> {
        self.corked = false;
        self.flush()
    }

    /// Sends what the socket takes; true when nothing is left.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some(pending) = self.queue.front_mut() {
            let rest = pending.bytes.get(pending.sent..).unwrap_or_default();
            let fds: Vec<BorrowedFd<'_>> = pending.fds.iter().map(AsFd::as_fd).collect();
            match send_with_fds(self.socket.as_fd(), rest, &fds) {
                Ok(sent) => {
                    drop(fds);
                    pending.fds.clear();
                    pending.sent = pending.sent.saturating_add(sent);
                    self.queued = self.queued.saturating_sub(sent);
                    if pending.sent >= pending.bytes.len() {
                        self.queue.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Next message with its descriptors, or `None` when there is none yet. Call until `None` after each readable
    /// event.
    ///
    /// # Errors
    /// The peer closed its end or broke the protocol; the channel is of no more use.
    pub fn receive(&mut self) -> Result<Option<(In, Vec<OwnedFd>)>, ReceiveError> {
        loop {
            if let Some(message) = self.take_frame()? {
                return Ok(Some(message));
            }
            match self.fill() {
                Ok(0) => return Err(ReceiveError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(ReceiveError::Violation(Violation::StrayFds));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(ReceiveError::Closed);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<(In, Vec<OwnedFd>)>, ReceiveError> {
        let unread = self.read.get(self.taken..self.filled).unwrap_or_default();
        let Some((header, rest)) = unread.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(ReceiveError::Violation(Violation::FrameTooLong(length)));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message: In =
            codec::decode(body).map_err(|error| ReceiveError::Violation(Violation::Malformed(error)))?;
        self.taken = self.taken.saturating_add(HEADER).saturating_add(length);
        let expected = message.fds();
        if expected > self.waiting_fds.len() {
            let got = self.waiting_fds.len();
            return Err(ReceiveError::Violation(Violation::MissingFds { expected, got }));
        }
        let fds = self.waiting_fds.drain(..expected).collect();
        if self.taken >= self.filled && !self.waiting_fds.is_empty() {
            return Err(ReceiveError::Violation(Violation::StrayFds));
        }
        Ok(Some((message, fds)))
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.taken > 0 {
            self.read.copy_within(self.taken..self.filled, 0);
            self.filled = self.filled.saturating_sub(self.taken);
            self.taken = 0;
        }
        if self.read.len() < MAX_FRAME + HEADER {
            let wanted = self.filled.saturating_add(4096).max(self.announced()).min(MAX_FRAME + HEADER);
            self.read.resize(self.read.len().max(wanted), 0);
        }
        let room = self.read.get_mut(self.filled..).unwrap_or_default();
        let allowed =
            if self.accepts_fds { MAX_WAITING_FDS.saturating_sub(self.waiting_fds.len()) } else { 0 };
        let (got, fds) = receive_with_fds(self.socket.as_fd(), room, allowed)?;
        self.waiting_fds.extend(fds);
        self.filled = self.filled.saturating_add(got);
        Ok(got)
    }

    /// Bytes that the frame at the head of the buffer needs, as far as it is known.
    fn announced(&self) -> usize {
        let header = self.read.get(..self.filled).and_then(|read| read.first_chunk::<HEADER>());
        header.map_or(HEADER, |length| {
            usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX).saturating_add(HEADER)
        })
    }
}

impl<Out, In> AsRawFd for Channel<Out, In> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl<Out, In> AsFd for Channel<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::messages::vrrpd::{ParentToVrrpd, SocketKey, VrrpdToParent};
    use crate::messages::{FromDaemon, ToDaemon};
    use config::model::units::Generation;

    type Parent = Channel<ParentToVrrpd, VrrpdToParent>;
    type Daemon = Channel<VrrpdToParent, ParentToVrrpd>;

    fn pair() -> (Parent, Daemon) {
        let (a, b) = UnixStream::pair().unwrap();
        (Parent::new(a, true).unwrap(), Daemon::new(b, true).unwrap())
    }

    fn raw() -> (UnixStream, Parent) {
        let (a, b) = UnixStream::pair().unwrap();
        (a, Parent::new(b, true).unwrap())
    }

    #[test]
    fn messages_arrive_in_order_and_whole() {
        let (mut parent, mut daemon) = pair();
        for number in 0..100 {
            parent.send(&ParentToVrrpd::Common(ToDaemon::Ping(number)), &[]).unwrap();
        }
        for number in 0..100 {
            let (message, fds) = daemon.receive().unwrap().unwrap();
            assert_eq!(message, ParentToVrrpd::Common(ToDaemon::Ping(number)));
            assert!(fds.is_empty());
        }
        assert!(daemon.receive().unwrap().is_none());
    }

    #[test]
    fn descriptors_travel_with_their_message() {
        let (mut parent, mut daemon) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        let prepare = ParentToVrrpd::Common(ToDaemon::Prepare { generation: Generation::new(3) });
        parent.send(&ParentToVrrpd::Common(ToDaemon::Ping(1)), &[]).unwrap();
        parent.send(&prepare, &[file.as_fd()]).unwrap();
        assert_eq!(daemon.receive().unwrap().unwrap().1.len(), 0);
        assert_eq!(daemon.receive().unwrap().unwrap().1.len(), 1);
    }

    #[test]
    fn a_message_without_its_descriptors_is_not_sent() {
        let (mut parent, _daemon) = pair();
        let prepare = ParentToVrrpd::Common(ToDaemon::Prepare { generation: Generation::new(3) });
        assert!(matches!(parent.send(&prepare, &[]), Err(SendError::Fds { expected: 1, got: 0 })));
    }

    #[test]
    fn a_frame_over_64_kib_is_a_violation_from_its_header_alone() {
        let (mut peer, mut parent) = raw();
        peer.write_all(&65_537_u32.to_le_bytes()).unwrap();
        assert!(matches!(parent.receive(), Err(ReceiveError::Violation(Violation::FrameTooLong(65_537)))));
    }

    #[test]
    fn an_unknown_variant_is_a_violation() {
        let (mut peer, mut parent) = raw();
        peer.write_all(&[1, 0, 0, 0, 200]).unwrap();
        assert!(matches!(parent.receive(), Err(ReceiveError::Violation(Violation::Malformed(_)))));
    }

    #[test]
    fn descriptors_that_no_message_carries_are_a_violation() {
        let (peer, mut parent) = raw();
        let file = std::fs::File::open("/dev/null").unwrap();
        let body = codec::encode(&VrrpdToParent::Common(FromDaemon::Pong(1)), MAX_FRAME).unwrap();
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend(body);
        send_with_fds(peer.as_fd(), &frame, &[file.as_fd()]).unwrap();
        assert!(matches!(parent.receive(), Err(ReceiveError::Violation(Violation::StrayFds))));
    }

    #[test]
    fn a_message_that_claims_a_descriptor_which_did_not_come_is_a_violation() {
        let (mut peer, mut parent) = raw();
        let key = SocketKey { interface: "eth0".into(), inet6: false, group: String::new(), sealed: false };
        let body = codec::encode(&VrrpdToParent::Vault(key), MAX_FRAME).unwrap();
        peer.write_all(&u32::try_from(body.len()).unwrap().to_le_bytes()).unwrap();
        peer.write_all(&body).unwrap();
        assert!(matches!(
            parent.receive(),
            Err(ReceiveError::Violation(Violation::MissingFds { expected: 1, got: 0 }))
        ));
    }

    #[test]
    fn a_peer_that_does_not_read_fills_the_queue_and_no_more() {
        let (mut parent, _daemon) = pair();
        let mut sent = 0_u64;
        let full = loop {
            match parent.send(&ParentToVrrpd::Common(ToDaemon::Ping(u64::MAX - sent)), &[]) {
                Ok(()) => sent += 1,
                Err(SendError::Full(bytes)) => break bytes,
                Err(other) => panic!("{other}"),
            }
        };
        assert!(full <= MAX_QUEUE, "{full}");
    }

    #[test]
    fn a_closed_peer_is_told_apart_from_silence() {
        let (parent, mut daemon) = pair();
        assert!(daemon.receive().unwrap().is_none());
        drop(parent);
        assert!(matches!(daemon.receive(), Err(ReceiveError::Closed)));
    }

    #[test]
    fn a_frame_of_exactly_64_kib_that_arrives_in_pieces_is_one_message() {
        let (mut peer, mut parent) = raw();
        let text = "x".repeat(60_000);
        let line = VrrpdToParent::Common(FromDaemon::Log { level: crate::messages::Level::Info, text });
        let body = codec::encode(&line, MAX_FRAME).unwrap();
        peer.write_all(&u32::try_from(body.len()).unwrap().to_le_bytes()).unwrap();
        for piece in body.chunks(7_001) {
            assert!(parent.receive().unwrap().is_none());
            peer.write_all(piece).unwrap();
        }
        assert_eq!(parent.receive().unwrap().unwrap().0, line);
    }
}
