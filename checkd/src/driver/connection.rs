//! One socket of one check: connect, send, receive, never waiting.
//!
//! Does what a check asks of the network and hands bytes to [`crate::probe`]; knows neither deadlines nor what an outcome
//! leads to. Called by [`super::runs`]. Everything read is untrusted; reads are bounded per call.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use config::model::check::{CheckKind, Endpoint, HttpCheck, HttpUrl};
use socket2::{Domain, Protocol, Socket, Type};

use crate::probe::http::Exchange;
use crate::probe::{Failure, Outcome, tcp};

/// A connection under way.
pub(super) struct Connection {
    socket: Socket,
    stage: Stage,
}

enum Stage {
    Connecting,
    Sending { exchange: Box<Exchange>, request: Vec<u8>, sent: usize },
    Receiving(Box<Exchange>),
}

/// How a connection attempt began.
pub(super) enum Opened {
    /// It is under way.
    Pending(Connection),
    /// The outcome is known at once.
    Done(Outcome),
    /// This machine could not try; that says nothing of the server.
    NotTried(io::Error),
}

/// Where a connection stands after a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for the server.
    Waiting,
    /// It stands; its request has yet to be sent. A new deadline begins.
    Connected,
    /// The request is sent.
    Sent,
    /// The share of this turn is used up; call again without waiting for an event.
    Unfinished,
    /// The check is over.
    Done(Outcome),
}

/// Most reads of one connection in one turn.
const READS: usize = 2;

impl Connection {
    /// Starts to connect.
    pub(super) fn open(endpoint: &Endpoint) -> Opened {
        let socket = match socket(endpoint) {
            Ok(socket) => socket,
            Err(error) => return Opened::NotTried(error),
        };
        match socket.connect(&endpoint.target.into()) {
            Ok(()) => Opened::Pending(Self { socket, stage: Stage::Connecting }),
            Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {
                Opened::Pending(Self { socket, stage: Stage::Connecting })
            }
            Err(error) if is_ours(&error) => Opened::NotTried(error),
            Err(error) => Opened::Done(tcp::judge(Err(error.kind()))),
        }
    }

    /// Goes on after an event, or after [`Progress::Unfinished`].
    pub(super) fn advance(&mut self, kind: &CheckKind, url: Option<&HttpUrl>, buffer: &mut [u8]) -> Progress {
        match (&mut self.stage, kind, url) {
            (Stage::Connecting, CheckKind::Http(http), Some(url)) => self.connected(Some((http, url))),
            (Stage::Connecting, _, _) => self.connected(None),
            (Stage::Sending { .. }, _, _) => self.send(),
            (Stage::Receiving(exchange), _, Some(url)) => receive(&self.socket, exchange, url, buffer),
            (Stage::Receiving(_), _, None) => Progress::Done(Outcome::Fail(Failure::NoData)),
        }
    }

    /// What it means that the deadline came in this stage.
    pub(super) fn timed_out(&self) -> Outcome {
        Outcome::Fail(match self.stage {
            Stage::Connecting => Failure::ConnectTimeout,
            Stage::Sending { .. } | Stage::Receiving(_) => Failure::AnswerTimeout,
        })
    }

    fn connected(&mut self, http: Option<(&HttpCheck, &HttpUrl)>) -> Progress {
        match self.socket.take_error() {
            Ok(Some(error)) | Err(error) => return Progress::Done(tcp::judge(Err(error.kind()))),
            Ok(None) => {}
        }
        let Some((check, url)) = http else { return Progress::Done(tcp::judge(Ok(()))) };
        let mut request = Vec::new();
        let exchange = Box::new(Exchange::start(check, url, &mut request));
        self.stage = Stage::Sending { exchange, request, sent: 0 };
        Progress::Connected
    }

    fn send(&mut self) -> Progress {
        let Stage::Sending { request, sent, .. } = &mut self.stage else { return Progress::Waiting };
        while let Some(rest) = request.get(*sent..).filter(|rest| !rest.is_empty()) {
            match (&self.socket).write(rest) {
                Ok(written) => *sent = sent.saturating_add(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A server may answer and close without reading: what it said counts.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    break;
                }
                Err(error) => return Progress::Done(Outcome::Fail(Failure::Send(error.kind()))),
            }
        }
        if let Stage::Sending { exchange, .. } = std::mem::replace(&mut self.stage, Stage::Connecting) {
            self.stage = Stage::Receiving(exchange);
        }
        Progress::Sent
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn receive(socket: &Socket, exchange: &mut Exchange, url: &HttpUrl, buffer: &mut [u8]) -> Progress {
    for _ in 0..READS {
        let mut source = socket;
        match source.read(buffer) {
            Ok(0) => return Progress::Done(exchange.close(url)),
            Ok(got) => {
                if let Some(outcome) = exchange.receive(url, buffer.get(..got).unwrap_or_default()) {
                    return Progress::Done(outcome);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waiting,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // As upstream: an answer is judged by what came before the connection broke.
            Err(_) => return Progress::Done(exchange.close(url)),
        }
    }
    Progress::Unfinished
}

fn socket(endpoint: &Endpoint) -> io::Result<Socket> {
    let domain = Domain::for_address(endpoint.target);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(address) = endpoint.bind_to {
        socket.bind(&source(address).into())?;
    }
    Ok(socket)
}

fn source(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}

/// Errors of a connect that tell of this machine only: nothing was sent to the server.
fn is_ours(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::EADDRNOTAVAIL | nix::libc::ENOBUFS | nix::libc::ENOMEM | nix::libc::EAGAIN)
    )
}
