//! Frames: the 16-byte header before every message, and what the kernel answers to a request.
//!
//! Pure. Requests are built here and numbered by the socket; replies are read from the bytes of one datagram.
//! Called by [`crate::socket`]; the bytes read come from the kernel and are not trusted.
//!
//! ```text
//!  0               4       6       8               12              16
//! +---------------+-------+-------+---------------+---------------+----------
//! | length        | type  | flags | sequence      | port id       | payload
//! +---------------+-------+-------+---------------+---------------+----------
//! ```
//! All numbers are in host order.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::fmt;

use netlink_packet_core::NetlinkSerializable;
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

use crate::attribute::{Attributes, aligned};

/// A request without its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Message type: `RTM_*`, or the number of a generic family.
    pub kind: u16,
    /// Flags beside `NLM_F_REQUEST`, which is always set.
    pub flags: Flags,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// What the kernel shall do with a request beside reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// Do it and acknowledge.
    Ack,
    /// Create it, fail with EEXIST when it exists, acknowledge.
    Create,
    /// Create it unless it exists, acknowledge.
    Ensure,
    /// Create it or replace what exists, acknowledge.
    Replace,
    /// Append it to what exists (routes of IPv6, rules), acknowledge.
    Append,
    /// Create it in front of what exists (routes), acknowledge.
    Prepend,
    /// Answer with every object.
    Dump,
}

impl Flags {
    fn bits(self) -> u16 {
        NLM_F_REQUEST
            | match self {
                Self::Ack => NLM_F_ACK,
                Self::Create => NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                Self::Ensure => NLM_F_ACK | NLM_F_CREATE,
                Self::Replace => NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
                Self::Append => NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND,
                Self::Prepend => NLM_F_ACK | NLM_F_CREATE,
                Self::Dump => NLM_F_DUMP,
            }
    }
}

/// When the kernel answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As its flags say.
    Always,
    /// Only when it refuses.
    OnRefusal,
}

impl Message {
    /// A request of rtnetlink built from the crate netlink-packet-route: any link, address, route or rule.
    #[must_use]
    pub fn from_route(message: &RouteNetlinkMessage, flags: Flags) -> Self {
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        Self { kind: message.message_type(), flags, payload }
    }

    /// Appends the frame with its padding to `out`.
    pub(crate) fn encode(&self, sequence: u32, answer: Answer, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len().saturating_add(HEADER)).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        let flags = match answer {
            Answer::Always => self.flags.bits(),
            Answer::OnRefusal => self.flags.bits() & !NLM_F_ACK,
        };
        out.extend_from_slice(&flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.payload);
        out.resize(aligned(out.len()), 0);
    }
}

/// One message of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Number of the request that it answers; 0 for an event that no request caused.
    pub sequence: u32,
    /// What it says.
    pub content: Content<'a>,
}

/// What a message of the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// The request was done.
    Ack,
    /// The request was refused.
    Refused(KernelError),
    /// The dump is complete, or ended with an error.
    Done(Result<(), KernelError>),
    /// One object of a dump, the answer to a question, or an event.
    Object {
        /// Message type.
        kind: u16,
        /// The table changed while it was dumped: the dump must be done again.
        interrupted: bool,
        /// What follows the header.
        payload: &'a [u8],
    },
}

/// Why the kernel refused a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelError {
    /// The error number.
    pub errno: Errno,
    /// The kernel's own words (extended acknowledgement), at most 256 bytes; empty when it gave none.
    pub text: String,
}

impl KernelError {
    /// An error without words.
    #[must_use]
    pub fn bare(errno: Errno) -> Self {
        Self { errno, text: String::new() }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.errno.desc())?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

impl std::error::Error for KernelError {}

/// Walk over the messages of one datagram. Ends at the first that is cut off.
#[derive(Debug, Clone)]
pub struct Replies<'a> {
    rest: &'a [u8],
}

impl<'a> Replies<'a> {
    /// Walk over the bytes of one datagram.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Replies<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        loop {
            let header = Header::read(self.rest)?;
            let payload = self.rest.get(HEADER..header.length)?;
            self.rest = self.rest.get(aligned(header.length)..).unwrap_or_default();
            let content = match header.kind {
                NLMSG_NOOP => continue,
                NLMSG_ERROR => match status(payload, header.flags, Trailer::Request) {
                    Ok(()) => Content::Ack,
                    Err(error) => Content::Refused(error),
                },
                NLMSG_DONE => Content::Done(status(payload, header.flags, Trailer::Nothing)),
                NLMSG_OVERRUN => Content::Refused(KernelError::bare(Errno::ENOBUFS)),
                kind => Content::Object { kind, interrupted: header.flags & NLM_F_DUMP_INTR != 0, payload },
            };
            return Some(Reply { sequence: header.sequence, content });
        }
    }
}

struct Header {
    length: usize,
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<2>()?;
        let (flags, rest) = rest.split_first_chunk::<2>()?;
        let (sequence, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            length: usize::try_from(u32::from_ne_bytes(*length)).ok()?,
            kind: u16::from_ne_bytes(*kind),
            flags: u16::from_ne_bytes(*flags),
            sequence: u32::from_ne_bytes(*sequence),
        })
    }
}

/// What stands between the error number and the attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trailer {
    Request,
    Nothing,
}

/// Reads error number and words of `NLMSG_ERROR` and `NLMSG_DONE`. A number that is missing counts as success
/// in `NLMSG_DONE` (kernels send it without) and as EBADMSG otherwise.
fn status(payload: &[u8], flags: u16, trailer: Trailer) -> Result<(), KernelError> {
    let Some((number, rest)) = payload.split_first_chunk::<4>() else {
        return match trailer {
            Trailer::Nothing => Ok(()),
            Trailer::Request => Err(KernelError::bare(Errno::EBADMSG)),
        };
    };
    let number = i32::from_ne_bytes(*number);
    if number == 0 || (trailer == Trailer::Nothing && number > 0) {
        return Ok(());
    }
    let skipped = match trailer {
        Trailer::Nothing => 0,
        Trailer::Request if flags & NLM_F_CAPPED != 0 => HEADER,
        Trailer::Request => Header::read(rest).map_or(rest.len(), |header| aligned(header.length)),
    };
    let words = if flags & NLM_F_ACK_TLVS == 0 { None } else { rest.get(skipped..) };
    let text = words
        .and_then(|bytes| Attributes::new(bytes).find(|attribute| attribute.kind == NLMSGERR_ATTR_MSG))
        .map(|attribute| attribute.text(256))
        .unwrap_or_default();
    Err(KernelError { errno: Errno::from_raw(number.saturating_neg()), text })
}

const HEADER: usize = 16;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLM_F_DUMP: u16 = 0x300;
const NLMSGERR_ATTR_MSG: u16 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attribute::Writer;

    fn frame(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len() + 16).unwrap().to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_request_is_header_payload_and_padding() {
        let message = Message { kind: 0x14, flags: Flags::Create, payload: vec![1, 2, 3] };
        let mut bytes = Vec::new();
        message.encode(7, Answer::Always, &mut bytes);
        #[cfg(target_endian = "little")]
        assert_eq!(bytes, [19, 0, 0, 0, 0x14, 0, 0x05, 0x06, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0]);
        assert_eq!(bytes.len(), 20);
    }

    #[test]
    fn a_request_that_needs_no_answer_asks_for_none() {
        let message = Message { kind: 0x14, flags: Flags::Create, payload: Vec::new() };
        let mut bytes = Vec::new();
        message.encode(7, Answer::OnRefusal, &mut bytes);
        assert_eq!(bytes[6..8], 0x0601_u16.to_ne_bytes());
    }

    #[test]
    fn an_error_number_of_zero_is_the_acknowledgement() {
        let bytes = frame(2, NLM_F_CAPPED, 5, &[&0_i32.to_ne_bytes()[..], &[0; 16]].concat());
        let replies: Vec<_> = Replies::new(&bytes).collect();
        assert_eq!(replies, [Reply { sequence: 5, content: Content::Ack }]);
    }

    #[test]
    fn the_kernels_own_words_come_with_the_error() {
        let mut words = Writer::after(&[&(-22_i32).to_ne_bytes()[..], &[0; 16]].concat());
        words.put_text(1, "Invalid prefix for given prefix length");
        let bytes = frame(2, NLM_F_CAPPED | NLM_F_ACK_TLVS, 9, &words.into_bytes());
        let reply = Replies::new(&bytes).next().unwrap();
        assert_eq!(
            reply.content,
            Content::Refused(KernelError {
                errno: Errno::EINVAL,
                text: "Invalid prefix for given prefix length".into()
            })
        );
    }

    #[test]
    fn words_are_found_behind_a_request_that_is_returned_whole() {
        let request = frame(20, 5, 9, &[0; 9]);
        let mut words = Writer::after(&[&(-17_i32).to_ne_bytes()[..], &request].concat());
        words.put_text(1, "exists");
        let bytes = frame(2, NLM_F_ACK_TLVS, 9, &words.into_bytes());
        let reply = Replies::new(&bytes).next().unwrap();
        assert_eq!(
            reply.content,
            Content::Refused(KernelError { errno: Errno::EEXIST, text: "exists".into() })
        );
    }

    #[test]
    fn a_changed_table_marks_the_dump_as_interrupted() {
        let bytes = [frame(16, 0x10 | 2, 3, &[0; 4]), frame(3, 2, 3, &0_i32.to_ne_bytes())].concat();
        let replies: Vec<_> = Replies::new(&bytes).collect();
        assert_eq!(replies[0].content, Content::Object { kind: 16, interrupted: true, payload: &[0; 4] });
        assert_eq!(replies[1].content, Content::Done(Ok(())));
    }

    proptest! {
        #[test]
        fn any_bytes_end_the_walk_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Replies::new(&bytes).count() <= 25);
        }

        #[test]
        fn any_error_payload_is_read_without_panic(
            flags in any::<u16>(),
            done in any::<bool>(),
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = frame(if done { 3 } else { 2 }, flags, 1, &payload);
            prop_assert_eq!(Replies::new(&bytes).count(), 1);
        }
    }
}
