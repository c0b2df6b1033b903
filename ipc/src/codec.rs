//! Bytes of messages and records: the only file that knows the encoding.
//!
//! Decides nothing about meaning. Input is not trusted: lengths are capped before anything is allocated and a
//! message must use its frame to the last byte.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes in the body of a frame.
pub const MAX_FRAME: usize = 64 * 1024;

/// Most bytes in one record of a memfd: a virtual server with 20 000 real servers takes about 6 MiB.
pub const MAX_RECORD: usize = 64 * 1024 * 1024;

/// Why bytes are no message, or a message can't be bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The body would be longer than its cap.
    #[error("message of {got} bytes, at most {limit} fit")]
    TooLong {
        /// Bytes needed.
        got: usize,
        /// The cap.
        limit: usize,
    },
    /// The body doesn't decode.
    #[error("message doesn't decode: {0}")]
    Malformed(#[from] DecodeFailure),
    /// The body goes on after the message.
    #[error("{0} bytes left over after the message")]
    LeftOver(usize),
    /// The value can't be encoded.
    #[error("message can't be encoded")]
    Unencodable,
}

/// What the decoder said; kept as text, because the decoder's own error type is no part of our interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeFailure(String);

/// Most bytes that the values of a frame may take in memory: a byte of a frame is a word of eight at most.
const MAX_DECODED: usize = 8 * MAX_FRAME;

fn settings() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_RECORD>()
}

/// Body of a message.
///
/// # Errors
/// Longer than `limit` bytes.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, settings()).map_err(|_error| CodecError::Unencodable)?;
    if bytes.len() > limit {
        return Err(CodecError::TooLong { got: bytes.len(), limit });
    }
    Ok(bytes)
}

/// Message of a body.
///
/// # Errors
/// Bytes that are no `T`, or more of them than `T` needs.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    // What a length announces is counted before it is allocated.
    let decoded = match bytes.len() {
        0..=MAX_FRAME => {
            let settings = bincode::config::standard().with_limit::<MAX_DECODED>();
            bincode::serde::decode_from_slice(bytes, settings)
        }
        _ => bincode::serde::decode_from_slice(bytes, settings()),
    };
    let (value, used) = decoded.map_err(|error| DecodeFailure(error.to_string()))?;
    match bytes.len().checked_sub(used) {
        Some(0) => Ok(value),
        left => Err(CodecError::LeftOver(left.unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::vrrpd::VrrpdToParent;
    use proptest::prelude::*;

    #[test]
    fn a_body_over_the_limit_is_refused_before_it_is_sent() {
        assert_eq!(encode(&vec![7_u8; 100], 50), Err(CodecError::TooLong { got: 101, limit: 50 }));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&5_u32, 100).unwrap();
        bytes.push(0);
        assert_eq!(decode::<u32>(&bytes), Err(CodecError::LeftOver(1)));
    }

    #[test]
    fn a_length_that_no_frame_can_hold_allocates_nothing() {
        // A string of 32 MiB, by its announcement.
        let announced = |bytes: &[u8]| decode::<String>(bytes).unwrap_err().to_string();
        assert!(announced(&[252, 0, 0, 0, 2]).contains("LimitExceeded"));
        // Eight bytes of each word: the densest frame still decodes.
        let words = vec![0_u64; 60_000];
        assert_eq!(decode::<Vec<u64>>(&encode(&words, MAX_FRAME).unwrap()), Ok(words));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _: Result<VrrpdToParent, _> = decode(&bytes);
        }
    }
}
