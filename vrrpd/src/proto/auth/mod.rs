//! Who may speak: passwords and authentication headers of VRRPv2, signatures of `auth_hmac`.
//!
//! The password is eight bytes at the end of an advert (RFC 2338 section 5.3.6.2); [`ah`] wraps the advert,
//! [`signature`] follows it; [`stamp`] and [`replay`] tell new from old. Compares, and says what stands in a header.
//! Called by `accept`, `advert` and the driver. One side of every comparison comes from the network and isn't trusted.

pub mod ah;
pub mod replay;
pub mod signature;
pub mod stamp;

use config::model::hmac::HmacAuthentication;
use config::model::vrrp::{Authentication, Instance};

use replay::Marks;
use stamp::{Pen, Stamp, Watch};

/// What an instance remembers of adverts that were sent and heard, so that none counts twice.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Numbers of authentication headers.
    pub sequence: ah::Sequence,
    /// Time stamps of our own signatures.
    pub pen: Pen,
    /// Time stamps of others.
    pub marks: Marks,
    /// What time signatures are made and judged by.
    pub watch: Watch,
}

impl Guard {
    /// Goes on where a predecessor stopped; `last` is what its [`Self::last`] said.
    pub fn resume(&mut self, last: u64, instance: &Instance) {
        if last == 0 {
            return;
        }
        match instance.authentication {
            Authentication::Ah(_) => self.sequence = ah::Sequence::resumed(u32::try_from(last).unwrap_or(0)),
            Authentication::None | Authentication::Pass(_) => self.pen.resume(Stamp::from_number(last)),
        }
    }

    /// What a successor has to know: the last number, or the last time stamp; 0 when there is none.
    #[must_use]
    pub fn last(&self, instance: &Instance) -> u64 {
        match instance.authentication {
            Authentication::Ah(_) => u64::from(self.sequence.last()),
            Authentication::None | Authentication::Pass(_) => self.pen.last().map_or(0, Stamp::number),
        }
    }
}

/// Bytes that authentication adds to an advert: header in front or signature behind.
#[must_use]
pub fn overhead(authentication: Authentication, hmac: Option<&HmacAuthentication>) -> usize {
    match (authentication, hmac) {
        (Authentication::Ah(_), _) => ah::LENGTH,
        (Authentication::None | Authentication::Pass(_), Some(_)) => signature::LENGTH,
        (Authentication::None | Authentication::Pass(_), None) => 0,
    }
}

/// Number of the type in the header: 0 none, 1 plain password, 2 authentication header.
#[must_use]
pub fn type_number(authentication: Authentication) -> u8 {
    match authentication {
        Authentication::None => 0,
        Authentication::Pass(_) => 1,
        Authentication::Ah(_) => 2,
    }
}

/// Bytes that follow the addresses.
#[must_use]
pub fn trailer(authentication: Authentication) -> [u8; 8] {
    match authentication {
        Authentication::None | Authentication::Ah(_) => [0; 8],
        Authentication::Pass(password) => password,
    }
}

/// Compares in a time that doesn't depend on where the difference lies.
#[must_use]
pub fn matches(authentication: Authentication, got: [u8; 8]) -> bool {
    match authentication {
        Authentication::None | Authentication::Ah(_) => true,
        Authentication::Pass(password) => {
            let difference = password.iter().zip(got).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
            std::hint::black_box(difference) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_itself_and_nothing_else() {
        let ours = Authentication::Pass(*b"secret\0\0");
        assert!(matches(ours, *b"secret\0\0"));
        assert!(!matches(ours, *b"secret\0x"));
        assert!(!matches(ours, *b"Secret\0\0"));
    }

    #[test]
    fn without_authentication_the_trailer_is_zero_and_not_looked_at() {
        assert_eq!(trailer(Authentication::None), [0; 8]);
        assert!(matches(Authentication::None, *b"whatever"));
    }
}
