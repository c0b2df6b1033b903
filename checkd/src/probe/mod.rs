//! What a checker says to a server and what it makes of the answer: one file per kind.
//!
//! Pure: bytes and events go in, bytes and an [`Outcome`] come out. Connecting, deadlines and reading are the driver's;
//! how often a failure is forgiven is [`crate::verdict`]'s. All received bytes are untrusted.

use std::io;

use config::model::units::Weight;

pub mod body;
pub mod certificate;
pub mod dns;
pub mod file;
pub mod http;
mod key_exchange;
pub mod misc;
pub mod ping;
pub mod smtp;
pub mod tcp;
pub mod tls;
pub mod udp;

/// What one run of a checker found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server does its work.
    Pass(DynamicWeight),
    /// It doesn't.
    Fail(Failure),
}

/// What a passed check says of the server's weight (`misc_dynamic`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicWeight {
    /// Nothing.
    Untouched,
    /// It should be as configured.
    Configured,
    /// It should be this.
    Set(Weight),
}

/// Why a run failed, in words for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection before the deadline.
    #[error("connection timed out")]
    ConnectTimeout,
    /// The connection was refused or could not be tried.
    #[error("{0}")]
    Connect(io::ErrorKind),
    /// A number in a file that means down.
    #[error("file holds {0}")]
    FileValue(i64),
    /// No answer to a ping before the deadline.
    #[error("no answer")]
    NoEcho,
    /// No TLS session before the deadline.
    #[error("no TLS handshake in time")]
    HandshakeTimeout,
    /// Not a byte of an answer over HTTP before the deadline.
    #[error("no answer in time")]
    NoAnswer,
    /// No complete answer before the deadline.
    #[error("no complete answer in time")]
    AnswerTimeout,
    /// The connection broke while the request was sent.
    #[error("request not sent: {0}")]
    Send(io::ErrorKind),
    /// The connection broke while the answer was received.
    #[error("{0}")]
    Receive(io::ErrorKind),
    /// The connection ended before the header of the answer did.
    #[error("no data received")]
    NoData,
    /// The server took leave by close_notify before the header of the answer ended.
    #[error("session ended before the answer")]
    EndedEarly,
    /// The header of the answer is longer than [`http::HEADER_LIMIT`].
    #[error("header of the answer is too long")]
    HeaderTooLong,
    /// The body of the answer is longer than [`http::BODY_LIMIT`].
    #[error("body of the answer is too long")]
    BodyTooLong,
    /// No status code where one should be.
    #[error("answer has no status code")]
    NoStatus,
    /// A status code outside the accepted ranges.
    #[error("HTTP status code {0}")]
    Status(u16),
    /// Another body than `digest` says.
    #[error("MD5 digest differs")]
    Digest,
    /// The body does not match `regex`, or does with `regex_no_match`.
    #[error("body does not match as regex demands")]
    Regex,
    /// Matching the body took too many steps.
    #[error("regex takes too many steps on this body")]
    RegexSteps,
    /// TLS failed.
    #[error("{0}")]
    Tls(#[from] tls::TlsFailure),
    /// A greeting with another reply code than 220.
    #[error("greeting has reply code {0}")]
    Greeting(u16),
    /// An answer to HELO with another reply code than 250.
    #[error("HELO is answered with reply code {0}")]
    Helo(u16),
    /// A greeting that is no reply.
    #[error("greeting has no reply code")]
    GreetingGarbled,
    /// An answer to HELO that is no reply.
    #[error("answer to HELO has no reply code")]
    HeloGarbled,
    /// A reply longer than [`smtp::REPLY_LIMIT`].
    #[error("reply is too long")]
    ReplyTooLong,
    /// A DNS error (RFC 1035 section 4.1.1, RCODE).
    #[error("DNS answers with error {0}")]
    DnsStatus(u8),
    /// A reply outside `min_reply_length` and `max_reply_length`.
    #[error("reply of {0} bytes")]
    ReplyLength(u16),
    /// A reply that is not as `require_reply` says.
    #[error("reply differs")]
    ReplyDiffers,
    /// A script's exit status.
    #[error("exited with status {0}")]
    Exit(u8),
    /// A script's end by a signal.
    #[error("due to signal {0}")]
    Signal(u8),
    /// A script was still running at its time limit.
    #[error("timed out")]
    ScriptTimeout,
    /// A script could not or may not be run.
    #[error("could not be run")]
    ScriptNotRun,
}
