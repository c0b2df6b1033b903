//! `HTTP_GET`: the request for one url and the judgement of the answer.
//!
//! Decides from the header's status code and the MD5 of the body bytes exactly as they came, chunk framing included,
//! as keepalived and genhash do. `ureq-proto` writes the request and reads the header; an answer that it refuses but
//! that carries `WORD NNN ` where the status belongs is still judged by that code. Called by the driver for each
//! piece that arrives; every byte is untrusted, the header is capped and the body is counted, never stored.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::http::{Request, Version};
use config::model::check::{HttpCheck, HttpProtocol, HttpUrl};
use fancy_regex::Regex;
use ureq_proto::client::state::RecvResponse;
use ureq_proto::client::{Call, SendRequestResult, header_raw};

use super::body::Body;
use super::{Failure, Outcome};

/// Longest header of an answer, in bytes, interim answers included.
pub const HEADER_LIMIT: usize = 16 * 1024;
/// Longest body of an answer, in bytes.
pub const BODY_LIMIT: u64 = 64 * 1024 * 1024;

const USER_AGENT: &str = "KeepAliveClient";

/// How long a body is that was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// As its header says, if that says anything.
    AsSaid,
    /// Another one, as far as that was seen.
    Odd {
        /// What the header says.
        said: u64,
        /// What came.
        received: u64,
    },
}

/// One exchange with a server.
pub struct Exchange {
    state: State,
    length: Option<BodyLength>,
    call: Option<Call<RecvResponse>>,
    pattern: Option<Arc<Regex>>,
}

enum State {
    Head { buffer: Vec<u8>, taken: usize },
    Body { head: Head, body: Body, received: u64, start: usize },
}

#[derive(Clone, Copy)]
struct Head {
    status: u16,
    length: Option<u64>,
}

impl Exchange {
    /// Starts an exchange: appends the request for `url` to `output`.
    #[must_use]
    pub fn start(check: &HttpCheck, url: &HttpUrl, output: &mut Vec<u8>) -> Self {
        let host = host(check.endpoint.target, url.virtual_host.as_deref());
        let call = proto_request(check, url, &host, output);
        if call.is_none() {
            plain_request(check.protocol, &url.path, &host, output);
        }
        Self { state: State::Head { buffer: Vec::new(), taken: 0 }, length: None, call, pattern: None }
    }

    /// The same with the pattern of the url compiled already.
    #[must_use]
    pub fn with(self, pattern: Option<Arc<Regex>>) -> Self {
        Self { pattern, ..self }
    }

    /// Takes the next bytes of the answer. `None` means that more is needed; after an outcome the exchange is over.
    pub fn receive(&mut self, url: &HttpUrl, mut bytes: &[u8]) -> Option<Outcome> {
        loop {
            match &mut self.state {
                State::Head { buffer, taken } => {
                    let room = HEADER_LIMIT.saturating_sub(*taken).min(bytes.len());
                    let (piece, rest) = bytes.split_at_checked(room)?;
                    let searched = buffer.len().saturating_sub(2);
                    buffer.extend_from_slice(piece);
                    let Some(end) = head_end(buffer, searched) else {
                        *taken = taken.saturating_add(piece.len());
                        return (*taken >= HEADER_LIMIT).then_some(Outcome::Fail(Failure::HeaderTooLong));
                    };
                    // Bytes behind the header that came with this piece belong to what follows.
                    let surplus = buffer.len().saturating_sub(end);
                    let used = piece.len().saturating_sub(surplus);
                    *taken = taken.saturating_add(used);
                    buffer.truncate(end);
                    bytes = bytes.get(used..).unwrap_or(rest);
                    let read = read_head(self.call.as_mut(), buffer);
                    match read {
                        Read::Interim => buffer.clear(),
                        Read::Unreadable => return Some(Outcome::Fail(Failure::NoStatus)),
                        Read::Final(head) => {
                            if !accepts(url, head.status) {
                                return Some(Outcome::Fail(Failure::Status(head.status)));
                            }
                            let start = *taken;
                            let body = Body::new(url).with(self.pattern.take());
                            self.state = State::Body { head, body, received: 0, start };
                        }
                    }
                }
                State::Body { head, body, received, start: _ } => {
                    let before = *received;
                    let outcome = take_body(*head, body, received, url, bytes);
                    if head.length.is_some_and(|said| *received >= said) {
                        let came = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                        self.length = Some(head.compared_with(before.saturating_add(came)));
                    }
                    return outcome;
                }
            }
        }
    }

    /// The whole header of an answer has come.
    #[must_use]
    pub fn has_head(&self) -> bool {
        matches!(&self.state, State::Body { .. })
    }

    /// Bytes of an answer have come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        matches!(&self.state, State::Head { taken: 1.., .. } | State::Body { .. })
    }

    /// Which of the bytes received so far are the body; empty before it begins.
    #[must_use]
    pub fn body(&self) -> std::ops::Range<usize> {
        match &self.state {
            State::Head { taken, .. } => *taken..*taken,
            State::Body { received, start, .. } => {
                *start..start.saturating_add(usize::try_from(*received).unwrap_or(usize::MAX))
            }
        }
    }

    /// The connection ended, in order or not: what came so far is all.
    #[must_use]
    pub fn close(&mut self, url: &HttpUrl) -> Outcome {
        match &mut self.state {
            State::Head { .. } => Outcome::Fail(Failure::NoData),
            State::Body { head, body, received, .. } => {
                self.length = Some(head.compared_with(*received));
                body.judge(url)
            }
        }
    }

    /// How long the body was, once it is judged.
    #[must_use]
    pub fn length(&self) -> Option<BodyLength> {
        self.length
    }
}

impl Head {
    fn compared_with(self, received: u64) -> BodyLength {
        match self.length {
            Some(said) if said != received => BodyLength::Odd { said, received },
            Some(_) | None => BodyLength::AsSaid,
        }
    }
}

fn take_body(
    head: Head,
    body: &mut Body,
    received: &mut u64,
    url: &HttpUrl,
    bytes: &[u8],
) -> Option<Outcome> {
    let wanted = head.length.unwrap_or(u64::MAX).saturating_sub(*received);
    let counted = usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len());
    body.take(bytes, counted);
    *received = received.saturating_add(u64::try_from(counted).unwrap_or(u64::MAX));
    if *received > BODY_LIMIT {
        return Some(Outcome::Fail(Failure::BodyTooLong));
    }
    let complete = head.length.is_some_and(|length| *received >= length);
    complete.then(|| body.judge(url))
}

fn accepts(url: &HttpUrl, status: u16) -> bool {
    url.status.iter().any(|&(first, last)| (first..=last).contains(&status))
}

/// `Host` header: the virtual host as configured, else the target with its port.
fn host(target: SocketAddr, virtual_host: Option<&str>) -> String {
    match (virtual_host, target.ip()) {
        (Some(name), _) => name.to_owned(),
        (None, IpAddr::V4(address)) => format!("{address}:{}", target.port()),
        (None, IpAddr::V6(address)) => format!("[{address}]:{}", target.port()),
    }
}

/// `None` when `ureq-proto` refuses the path or the host; nothing is written then. A path without its slash would become
/// part of the host.
fn proto_request(
    check: &HttpCheck,
    url: &HttpUrl,
    host: &str,
    output: &mut Vec<u8>,
) -> Option<Call<RecvResponse>> {
    if !url.path.starts_with('/') {
        return None;
    }
    let version = match check.protocol {
        HttpProtocol::Http10 | HttpProtocol::Http10Close => Version::HTTP_10,
        HttpProtocol::Http11 => Version::HTTP_11,
    };
    let uri = format!("http://{}{}", check.endpoint.target, url.path);
    let mut builder = Request::get(uri).version(version);
    builder = header_raw(builder, "User-Agent", USER_AGENT.as_bytes());
    if closes(check.protocol) {
        builder = header_raw(builder, "Connection", b"close");
    }
    builder = header_raw(builder, "Host", host.as_bytes());
    let mut call = Call::new(builder.body(()).ok()?).ok()?.proceed();
    let start = output.len();
    // Longer than the longest line, which is what ureq-proto needs to make progress.
    let room = url.path.len().saturating_add(host.len()).saturating_add(256);
    while !call.can_proceed() {
        let filled = output.len();
        output.resize(filled.saturating_add(room), 0);
        let written = output.get_mut(filled..).and_then(|free| call.write(free).ok()).unwrap_or(0);
        output.truncate(filled.saturating_add(written));
        if written == 0 {
            output.truncate(start);
            return None;
        }
    }
    match call.proceed() {
        Ok(Some(SendRequestResult::RecvResponse(call))) => Some(call),
        Ok(Some(SendRequestResult::SendBody(_) | SendRequestResult::Await100(_)) | None) | Err(_) => {
            output.truncate(start);
            None
        }
    }
}

/// The request as it stands in the configuration, for a path that a strict writer refuses.
fn plain_request(protocol: HttpProtocol, path: &str, host: &str, output: &mut Vec<u8>) {
    let version = if protocol == HttpProtocol::Http11 { "1.1" } else { "1.0" };
    let close = if closes(protocol) { "Connection: close\r\n" } else { "" };
    output.extend_from_slice(
        format!("GET {path} HTTP/{version}\r\nUser-Agent: {USER_AGENT}\r\n{close}Host: {host}\r\n\r\n")
            .as_bytes(),
    );
}

fn closes(protocol: HttpProtocol) -> bool {
    matches!(protocol, HttpProtocol::Http10Close | HttpProtocol::Http11)
}

/// Length of the header with its empty line: a line feed, perhaps a carriage return, a line feed.
/// `from` is where the search starts: the last two bytes of what was searched before.
fn head_end(buffer: &[u8], from: usize) -> Option<usize> {
    let tail = buffer.get(from..)?;
    tail.iter().enumerate().filter(|&(_, byte)| *byte == b'\n').find_map(|(at, _)| {
        let length = match tail.get(at.saturating_add(1)..)? {
            [b'\n', ..] => 2,
            [b'\r', b'\n', ..] => 3,
            _ => return None,
        };
        Some(from.saturating_add(at).saturating_add(length))
    })
}

enum Read {
    Final(Head),
    Interim,
    Unreadable,
}

fn read_head(call: Option<&mut Call<RecvResponse>>, head: &[u8]) -> Read {
    match call.map(|call| call.try_response(head, false)) {
        Some(Ok((used, Some(response)))) if used == head.len() => {
            let length = response
                .headers()
                .get(::http::header::CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Read::Final(Head { status: response.status().as_u16(), length })
        }
        Some(Ok((used, None))) if used == head.len() => Read::Interim,
        Some(Ok(_) | Err(_)) | None => lenient_head(head).map_or(Read::Unreadable, Read::Final),
    }
}

/// Header of an answer that is no proper HTTP/1: a word, one space, three digits, one space.
fn lenient_head(head: &[u8]) -> Option<Head> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(3, |byte| *byte == b' ');
    let (_word, code, _reason) = (words.next()?, words.next()?, words.next()?);
    let [hundreds @ b'0'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = code else { return None };
    let digit = |byte: &u8| u16::from(byte.saturating_sub(b'0'));
    let status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
    let length = lines.find_map(content_length);
    Some(Head { status, length })
}

fn content_length(line: &[u8]) -> Option<u64> {
    let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
