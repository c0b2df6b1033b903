//! VRRPv2 authentication: the eight bytes of a plain password (RFC 2338 section 5.3.6.2).
//!
//! Compares, and says what stands in a header; keeps no secret. Called by `accept` and `advert`. One side of the
//! comparison comes from the network and isn't trusted.

use config::model::vrrp::Authentication;

/// Number of the type in the header: 0 none, 1 plain password.
#[must_use]
pub fn type_number(authentication: Authentication) -> u8 {
    match authentication {
        Authentication::None => 0,
        Authentication::Pass(_) => 1,
    }
}

/// Bytes that follow the addresses.
#[must_use]
pub fn trailer(authentication: Authentication) -> [u8; 8] {
    match authentication {
        Authentication::None => [0; 8],
        Authentication::Pass(password) => password,
    }
}

/// Compares in a time that doesn't depend on where the difference lies.
#[must_use]
pub fn matches(authentication: Authentication, got: [u8; 8]) -> bool {
    match authentication {
        Authentication::None => true,
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
