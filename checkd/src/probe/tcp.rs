//! `TCP_CHECK`: a connection that is accepted is a pass; no byte is sent or read.
//!
//! Called by the driver when a connection attempt ended. Its input is the kernel's word, which a server can
//! only make good or bad.

use std::io;

use super::{DynamicWeight, Failure, Outcome};

/// What a finished connection attempt means.
#[must_use]
pub fn judge(attempt: Result<(), io::ErrorKind>) -> Outcome {
    match attempt {
        Ok(()) => Outcome::Pass(DynamicWeight::Untouched),
        Err(kind) => Outcome::Fail(Failure::Connect(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_connection_passes() {
        assert_eq!(judge(Ok(())), Outcome::Pass(DynamicWeight::Untouched));
    }

    #[test]
    fn a_refused_connection_fails_in_words() {
        let Outcome::Fail(failure) = judge(Err(io::ErrorKind::ConnectionRefused)) else { panic!("passed") };
        assert_eq!(failure.to_string(), "connection refused");
    }
}
