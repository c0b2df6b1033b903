//! One socket of one check: connect, send, receive, never waiting.
//!
//! Does what a check asks of the network and hands bytes to [`crate::probe`]; knows neither deadlines nor what an outcome
//! leads to. Called by [`super::runs`]. Everything read is untrusted; reads are bounded per call.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use config::model::check::{Carrier, CheckKind, Endpoint};
use ipc::reactor::Ready;
use socket2::{Domain, Protocol, Socket, Type};

use super::lent::Borrowed;
use super::talk::{Said, Subject, Talk};
use crate::probe::http::BodyLength;
use crate::probe::{Failure, Outcome, dns, tcp, udp};

/// A connection under way.
pub(super) struct Connection {
    held: Held,
    stage: Stage,
}

/// Whose socket it is.
enum Held {
    Own(Socket),
    Lent(Borrowed),
}

impl Held {
    fn socket(&self) -> &Socket {
        match self {
            Self::Own(socket) => socket,
            Self::Lent(borrowed) => &borrowed.socket,
        }
    }

    fn into_borrowed(self) -> Option<Borrowed> {
        match self {
            Self::Own(_) => None,
            Self::Lent(borrowed) => Some(borrowed),
        }
    }
}

enum Stage {
    Connecting,
    Talking(Box<Talk>),
    /// A datagram is out; the number tells our question from others.
    Asked(u16),
}

/// How a connection attempt began.
pub(super) enum Opened {
    /// It is under way.
    Pending(Connection),
    /// The outcome is known at once; a borrowed socket comes back.
    Done(Outcome, Option<Borrowed>),
    /// This machine could not try; that says nothing of the server.
    NotTried(io::Error, Option<Borrowed>),
}

/// Where a connection stands after a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for the server.
    Waiting,
    /// It stands; its request has yet to be sent. A new deadline begins.
    Connected,
    /// The share of this turn is used up; call again without waiting for an event.
    Unfinished,
    /// The check is over.
    Done(Outcome),
}

/// Most datagrams that are dropped before a borrowed socket is used again.
const STALE: usize = 256;
/// Most reads of one connection in one turn.
const READS: usize = 2;

impl Connection {
    /// Starts to connect, through the borrowed socket if there is one; over UDP that sends already, under the number
    /// `id`.
    pub(super) fn open(kind: &CheckKind, endpoint: &Endpoint, id: u16, lent: Option<Borrowed>) -> Opened {
        let held =
            match lent.map_or_else(|| socket(kind, endpoint).map(Held::Own), |lent| Ok(Held::Lent(lent))) {
                Ok(held) => held,
                Err(error) => return Opened::NotTried(error, None),
            };
        match held.socket().connect(&endpoint.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
            Err(error) => return failed(error, held),
        }
        let Some(datagram) = question(kind, id) else {
            return Opened::Pending(Self { held, stage: Stage::Connecting });
        };
        if let Held::Lent(borrowed) = &held {
            drain(&borrowed.socket);
        }
        match held.socket().send(&datagram) {
            Ok(_) => Opened::Pending(Self { held, stage: Stage::Asked(id) }),
            Err(error) => failed(error, held),
        }
    }

    /// How a check ended that only wants to connect, asked without an event: a server near by answers while others are
    /// asked. `None`: not yet, or it has more to do.
    pub(super) fn look_again(&self, kind: &CheckKind) -> Option<Outcome> {
        let (Stage::Connecting, CheckKind::Tcp(endpoint)) = (&self.stage, kind) else { return None };
        self.connects(endpoint).map(tcp::judge)
    }

    /// Goes on with what may have come and waits behind other events, now that the deadline is here.
    pub(super) fn take_unheard(&mut self, key: usize, subject: &Subject<'_>, buffer: &mut [u8]) -> Progress {
        let (Stage::Connecting, Some(endpoint)) = (&self.stage, subject.kind.endpoint()) else {
            return self.advance(Ready::again(key), subject, buffer);
        };
        match self.connects(endpoint) {
            None => Progress::Waiting,
            Some(Ok(())) => self.begin(subject),
            Some(Err(kind)) => Progress::Done(tcp::judge(Err(kind))),
        }
    }

    /// Whether a connection that was begun stands, or why it won't; `None`: that isn't decided.
    fn connects(&self, endpoint: &Endpoint) -> Option<Result<(), ErrorKind>> {
        match self.held.socket().connect(&endpoint.target.into()) {
            Ok(()) => Some(Ok(())),
            Err(error) if error.raw_os_error() == Some(nix::libc::EISCONN) => Some(Ok(())),
            Err(error) if error.raw_os_error() == Some(nix::libc::EALREADY) => None,
            Err(error) => Some(Err(error.kind())),
        }
    }

    /// It stands, and something is said over it.
    pub(super) fn is_conversation(&self) -> bool {
        matches!(self.stage, Stage::Talking(_))
    }

    /// How far the server has come: see [`Talk::milestones`].
    pub(super) fn milestones(&self) -> u8 {
        if let Stage::Talking(talk) = &self.stage { talk.milestones() } else { 0 }
    }

    /// How long the body of an answer was, once it is judged.
    pub(super) fn length(&self) -> Option<BodyLength> {
        if let Stage::Talking(talk) = &self.stage { talk.length() } else { None }
    }

    /// The socket, if it has to go back.
    pub(super) fn into_borrowed(self) -> Option<Borrowed> {
        self.held.into_borrowed()
    }

    /// Goes on after an event, or after [`Progress::Unfinished`].
    pub(super) fn advance(&mut self, event: Ready, subject: &Subject<'_>, buffer: &mut [u8]) -> Progress {
        match &mut self.stage {
            Stage::Connecting => self.connected(event, subject),
            Stage::Talking(talk) => exchange(self.held.socket(), talk, event, subject, buffer),
            Stage::Asked(id) => answered(self.held.socket(), *id, subject.kind, buffer),
        }
    }

    /// What it means that the deadline came in this stage.
    pub(super) fn timed_out(&self, kind: &CheckKind) -> Outcome {
        match (&self.stage, kind) {
            (Stage::Asked(_), CheckKind::Udp(check)) => udp::silence(check),
            (Stage::Connecting, _) => Outcome::Fail(Failure::ConnectTimeout),
            (Stage::Talking(talk), _) if talk.is_handshaking() => Outcome::Fail(Failure::HandshakeTimeout),
            (Stage::Talking(talk), _) if talk.is_unanswered() => Outcome::Fail(Failure::NoAnswer),
            (Stage::Asked(_) | Stage::Talking(_), _) => Outcome::Fail(Failure::AnswerTimeout),
        }
    }

    fn connected(&mut self, event: Ready, subject: &Subject<'_>) -> Progress {
        if !event.is_connected()
            && let Ok(Some(error)) | Err(error) = self.held.socket().take_error()
        {
            return Progress::Done(tcp::judge(Err(error.kind())));
        }
        self.begin(subject)
    }

    /// The connection stands.
    fn begin(&mut self, subject: &Subject<'_>) -> Progress {
        match Talk::start(subject) {
            Ok(Some(talk)) => {
                self.stage = Stage::Talking(Box::new(talk));
                Progress::Connected
            }
            Ok(None) => Progress::Done(tcp::judge(Ok(()))),
            Err(failure) => Progress::Done(Outcome::Fail(failure)),
        }
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.held.socket().as_raw_fd()
    }
}

/// The datagram that asks, for a check that sends one.
fn question(kind: &CheckKind, id: u16) -> Option<Vec<u8>> {
    if let CheckKind::Dns(check) = kind {
        return Some(dns::question(check, id));
    }
    if let CheckKind::Udp(check) = kind { Some(udp::question(check)) } else { None }
}

fn exchange(
    socket: &Socket,
    talk: &mut Talk,
    event: Ready,
    subject: &Subject<'_>,
    buffer: &mut [u8],
) -> Progress {
    let mut stream = socket;
    // What comes behind this event, or behind a read that had room left, is told by another event.
    let mut more = event.readable;
    for _ in 0..READS {
        if let Err(kind) = flush(socket, talk) {
            return Progress::Done(Outcome::Fail(Failure::Send(kind)));
        }
        if !more {
            return Progress::Waiting;
        }
        let said = match stream.read(buffer) {
            Ok(0) => Said::End,
            Ok(got) => {
                more = event.ended || got == buffer.len();
                Said::Bytes(buffer.get(..got).unwrap_or_default())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Said::Broken(error.kind()),
        };
        if let Some(outcome) = talk.receive(subject, &said) {
            let _last_word_may_be_lost = flush(socket, talk);
            return Progress::Done(outcome);
        }
    }
    Progress::Unfinished
}

/// Sends what waits, as far as it goes.
fn flush(socket: &Socket, talk: &mut Talk) -> Result<(), ErrorKind> {
    let mut stream = socket;
    while !talk.output().is_empty() {
        match stream.write(talk.output()) {
            Ok(written) => talk.sent(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A server may answer and close without reading: what it said counts.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                talk.sent(usize::MAX);
            }
            Err(error) => return Err(error.kind()),
        }
    }
    Ok(())
}

fn answered(socket: &Socket, id: u16, kind: &CheckKind, buffer: &mut [u8]) -> Progress {
    let mut stream = socket;
    for _ in 0..READS {
        match stream.read(buffer) {
            Ok(got) => {
                let datagram = buffer.get(..got).unwrap_or_default();
                let outcome = if let CheckKind::Udp(check) = kind {
                    Some(udp::judge(check, datagram))
                } else {
                    dns::judge(id, datagram)
                };
                if let Some(outcome) = outcome {
                    return Progress::Done(outcome);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Progress::Done(tcp::judge(Err(error.kind()))),
        }
    }
    Progress::Unfinished
}

fn socket(kind: &CheckKind, endpoint: &Endpoint) -> io::Result<Socket> {
    let (style, protocol) = match kind.carrier() {
        Some(Carrier::Udp) => (Type::DGRAM, Protocol::UDP),
        Some(Carrier::Tcp | Carrier::Icmp) | None => (Type::STREAM, Protocol::TCP),
    };
    let domain = Domain::for_address(endpoint.target);
    let socket = Socket::new(domain, style.nonblocking(), Some(protocol))?;
    if let Some(interface) = &endpoint.bind_interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if endpoint.bind_to.is_some() || endpoint.bind_port.is_some() {
        if endpoint.bind_port.is_some() {
            socket.set_reuse_address(true)?;
        }
        let any: IpAddr = if endpoint.target.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let source = SocketAddr::new(endpoint.bind_to.unwrap_or(any), endpoint.bind_port.unwrap_or_default());
        socket.bind(&source.into())?;
    }
    Ok(socket)
}

/// A connection could not be begun.
fn failed(error: io::Error, held: Held) -> Opened {
    match is_ours(&error) {
        true => Opened::NotTried(error, held.into_borrowed()),
        false => Opened::Done(tcp::judge(Err(error.kind())), held.into_borrowed()),
    }
}

/// Drops what a borrowed socket has received for an earlier check.
fn drain(socket: &Socket) {
    let (mut stream, mut room) = (socket, [0; 1]);
    let _emptied = (0..STALE).any(|_| stream.read(&mut room).is_err());
}

/// Errors that tell of this machine only: nothing was sent to the server. EINVAL: the source address isn't here yet.
pub(super) fn is_ours(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        None | Some(
            nix::libc::EADDRNOTAVAIL
                | nix::libc::ENOBUFS
                | nix::libc::ENOMEM
                | nix::libc::EAGAIN
                | nix::libc::EINVAL
        )
    )
}
