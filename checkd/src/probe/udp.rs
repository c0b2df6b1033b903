//! `UDP_CHECK`: a datagram that nobody refuses is a pass; with `require_reply` it takes a reply.
//!
//! Called by the driver for the datagram, with the first reply, or when time is up. The reply is untrusted and only compared.

use config::model::check::{UdpCheck, UdpReply};

use super::{DynamicWeight, Failure, Outcome};

/// What is sent where the configuration has no `payload`.
const PAYLOAD: &[u8; 32] = b"keepalived check - keepalived ch";

/// The datagram.
#[must_use]
pub fn question(check: &UdpCheck) -> Vec<u8> {
    if check.payload.is_empty() { PAYLOAD.to_vec() } else { check.payload.clone() }
}

/// What a reply means.
#[must_use]
pub fn judge(check: &UdpCheck, reply: &[u8]) -> Outcome {
    match &check.reply {
        Some(wanted) if !wanted.bytes.is_empty() => compare(wanted, reply),
        Some(_) | None => Outcome::Pass(DynamicWeight::Untouched),
    }
}

/// What it means that no reply came in time.
#[must_use]
pub fn silence(check: &UdpCheck) -> Outcome {
    match check.reply {
        Some(_) => Outcome::Fail(Failure::AnswerTimeout),
        None => Outcome::Pass(DynamicWeight::Untouched),
    }
}

/// Length bounds, then the bytes that both have (upstream compares over the shorter length).
fn compare(wanted: &UdpReply, reply: &[u8]) -> Outcome {
    let bounds = usize::from(wanted.min_length)..=usize::from(wanted.max_length);
    if !bounds.contains(&reply.len()) {
        return Outcome::Fail(Failure::ReplyLength(u16::try_from(reply.len()).unwrap_or(u16::MAX)));
    }
    let alike = wanted.bytes.iter().zip(reply).all(|(&(value, mask), &byte)| byte & mask == value & mask);
    if alike { Outcome::Pass(DynamicWeight::Untouched) } else { Outcome::Fail(Failure::ReplyDiffers) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::model::check::Endpoint;

    use super::*;

    const PASS: Outcome = Outcome::Pass(DynamicWeight::Untouched);

    fn check(reply: Option<UdpReply>) -> UdpCheck {
        let endpoint = Endpoint::new("192.0.2.1:1812".parse().unwrap(), Duration::from_secs(5));
        UdpCheck { endpoint, payload: vec![1, 2], reply }
    }

    fn wanting(bytes: &[(u8, u8)]) -> UdpCheck {
        check(Some(UdpReply { bytes: bytes.to_vec(), min_length: 2, max_length: 4 }))
    }

    #[test]
    fn a_check_without_payload_sends_words_of_its_own() {
        let empty = UdpCheck { payload: Vec::new(), ..check(None) };
        assert_eq!(question(&empty), b"keepalived check - keepalived ch");
        assert_eq!(question(&check(None)), [1, 2]);
    }

    #[test]
    fn silence_passes_unless_a_reply_is_required() {
        assert_eq!(silence(&check(None)), PASS);
        assert_eq!(silence(&wanting(&[])), Outcome::Fail(Failure::AnswerTimeout));
    }

    #[test]
    fn any_reply_will_do_where_no_bytes_are_given() {
        assert_eq!(judge(&check(None), b""), PASS);
        assert_eq!(judge(&wanting(&[]), b"123456789"), PASS);
    }

    #[test]
    fn masked_bits_do_not_matter() {
        let check = wanting(&[(0x12, 0xff), (0x30, 0xf0)]);
        assert_eq!(judge(&check, &[0x12, 0x3f, 9]), PASS);
        assert_eq!(judge(&check, &[0x12, 0x40]), Outcome::Fail(Failure::ReplyDiffers));
        assert_eq!(judge(&check, &[0x13, 0x30]), Outcome::Fail(Failure::ReplyDiffers));
    }

    #[test]
    fn length_bounds_hold_where_bytes_are_given() {
        let check = wanting(&[(1, 0xff)]);
        assert_eq!(judge(&check, &[1]), Outcome::Fail(Failure::ReplyLength(1)));
        assert_eq!(judge(&check, &[1, 2, 3, 4, 5]), Outcome::Fail(Failure::ReplyLength(5)));
    }

    #[test]
    fn bytes_beyond_the_shorter_of_both_are_not_compared() {
        assert_eq!(judge(&wanting(&[(1, 0xff), (2, 0xff), (3, 0xff)]), &[1, 2]), PASS);
    }
}
