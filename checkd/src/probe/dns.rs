//! `DNS_CHECK`: one question, recursion desired; an answer without an error is a pass, however many records it holds.
//!
//! ```text
//!  0      2       4         6         8         10        12
//! +------+-------+---------+---------+---------+---------+------------------+------+-------+
//! |  id  | flags | QDCOUNT | ANCOUNT | NSCOUNT | ARCOUNT | name (labels, 0) | type | class |   RFC 1035 section 4.1
//! +------+-------+---------+---------+---------+---------+------------------+------+-------+
//! ```
//! Decides from the first twelve bytes of an answer; a truncated one counts, another id does not. Called by the driver for
//! each datagram; every byte is untrusted.

use config::model::check::DnsCheck;

use super::{DynamicWeight, Failure, Outcome};

const HEADER: usize = 12;
const ANSWER: u8 = 0x80;
const RECURSION_DESIRED: u8 = 0x01;
const CLASS_IN: u16 = 1;

/// The question, under `id`. Labels longer than 63 bytes were refused with the configuration.
#[must_use]
pub fn question(check: &DnsCheck, id: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER.saturating_add(check.name.len()).saturating_add(6));
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in check.name.split('.').filter(|label| !label.is_empty()) {
        let length = u8::try_from(label.len()).unwrap_or(0).min(63);
        out.push(length);
        out.extend(label.bytes().take(usize::from(length)));
    }
    out.push(0);
    out.extend_from_slice(&check.record.number().to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    out
}

/// What a datagram says. `None`: it is no answer, or one to another question, so that ours may still be answered.
#[must_use]
pub fn judge(id: u16, datagram: &[u8]) -> Option<Outcome> {
    let (header, _) = datagram.split_first_chunk::<HEADER>()?;
    let [id_high, id_low, flags, status, ..] = *header;
    if u16::from_be_bytes([id_high, id_low]) != id || flags & ANSWER == 0 {
        return None;
    }
    Some(match status & 0x0f {
        0 => Outcome::Pass(DynamicWeight::Untouched),
        code => Outcome::Fail(Failure::DnsStatus(code)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::model::check::{DnsRecord, Endpoint};
    use proptest::prelude::*;

    use super::*;

    fn check(name: &str, record: DnsRecord) -> DnsCheck {
        let endpoint = Endpoint::new("192.0.2.53:53".parse().unwrap(), Duration::from_secs(5));
        DnsCheck { endpoint, name: name.to_owned(), record }
    }

    #[test]
    fn the_default_question_asks_for_the_soa_of_the_root() {
        assert_eq!(
            question(&check("", DnsRecord::Soa), 0x1234),
            [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1]
        );
    }

    #[test]
    fn labels_stand_behind_their_lengths() {
        let question = question(&check("www.example", DnsRecord::Aaaa), 1);
        assert_eq!(question.get(12..), Some(b"\x03www\x07example\x00\x00\x1c\x00\x01".as_slice()));
    }

    #[test]
    fn an_answer_without_error_passes_even_when_it_is_empty_or_truncated() {
        let pass = Some(Outcome::Pass(DynamicWeight::Untouched));
        assert_eq!(judge(7, &[0, 7, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]), pass);
        assert_eq!(judge(7, &[0, 7, 0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]), pass);
    }

    #[test]
    fn an_error_fails_with_its_number() {
        let refused = judge(7, &[0, 7, 0x81, 0x85, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(refused, Some(Outcome::Fail(Failure::DnsStatus(5))));
    }

    #[test]
    fn an_answer_to_another_question_is_passed_over() {
        assert_eq!(judge(7, &[0, 8, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn what_is_no_answer_is_passed_over() {
        assert_eq!(judge(7, b"\0\x07\x81"), None);
        let echo = question(&check("", DnsRecord::Soa), 7);
        assert_eq!(judge(7, &echo), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_judged(id: u16, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let outcome = judge(id, &bytes);
            prop_assert!(bytes.len() >= 12 || outcome.is_none());
        }
    }
}
