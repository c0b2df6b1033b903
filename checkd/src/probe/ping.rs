//! `PING_CHECK`: an ICMP echo that is answered is a pass.
//!
//! ```text
//! 0        8        16               31
//! +--------+--------+----------------+
//! |  type  |  code  |    checksum    |
//! +--------+--------+----------------+
//! |   identifier    |     number     |
//! +-----------------+----------------+
//! |              token               |
//! |                                  |
//! +----------------------------------+
//! ```
//! RFC 792 and RFC 4443 section 4. The kernel fills in identifier and checksum of an ICMP datagram socket and delivers
//! only what bears that identifier. Called by the driver; what comes in is untrusted.

use config::model::vrrp::Family;

/// Length of a question in bytes: what a common ping sends.
pub const LENGTH: usize = 64;

const TOKEN: std::ops::Range<usize> = 8..16;

/// The question with this number.
#[must_use]
pub fn question(family: Family, number: u16, token: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let (kind, _) = types(family);
    let [high, low] = number.to_be_bytes();
    if let Some(head) = bytes.first_chunk_mut::<8>() {
        *head = [kind, 0, 0, 0, 0, 0, high, low];
    }
    if let Some(place) = bytes.get_mut(TOKEN) {
        place.copy_from_slice(&token.to_be_bytes());
    }
    bytes
}

/// Number of the question that this answers; `None` for anything else.
#[must_use]
pub fn answered(family: Family, token: u64, bytes: &[u8]) -> Option<u16> {
    let (_, wanted) = types(family);
    let [kind, code, _, _, _, _, high, low] = *bytes.first_chunk::<8>()?;
    let ours = bytes.get(TOKEN)? == token.to_be_bytes();
    (kind == wanted && code == 0 && ours).then_some(u16::from_be_bytes([high, low]))
}

/// Types of question and answer.
fn types(family: Family) -> (u8, u8) {
    match family {
        Family::Inet => (8, 0),
        Family::Inet6 => (128, 129),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_an_echo_request_with_number_and_token() {
        let bytes = question(Family::Inet, 0x1234, 0x0102_0304_0506_0708);
        assert_eq!(bytes[..16], [8, 0, 0, 0, 0, 0, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(question(Family::Inet6, 1, 0)[0], 128);
    }

    #[test]
    fn only_an_answer_with_our_token_counts() {
        let mut bytes = question(Family::Inet, 7, 99);
        assert_eq!(answered(Family::Inet, 99, &bytes), None);
        bytes[0] = 0;
        assert_eq!(answered(Family::Inet, 99, &bytes), Some(7));
        assert_eq!(answered(Family::Inet, 98, &bytes), None);
        assert_eq!(answered(Family::Inet6, 99, &bytes), None);
        bytes[1] = 1;
        assert_eq!(answered(Family::Inet, 99, &bytes), None);
    }

    #[test]
    fn a_short_answer_is_none() {
        let mut bytes = question(Family::Inet6, 7, 99);
        bytes[0] = 129;
        assert_eq!(answered(Family::Inet6, 99, &bytes[..16]), Some(7));
        assert_eq!(answered(Family::Inet6, 99, &bytes[..15]), None);
        assert_eq!(answered(Family::Inet6, 99, &[]), None);
    }
}
