//! Certificates and keys of `SSL_GET`: read by the config worker, so that the checker needs no file.
//!
//! Checks name them by position and carry a fingerprint of their content, so that a file that has changed makes another
//! check. Keys are secrets, which no `Debug` shows.

use serde::{Deserialize, Serialize};

/// Everything that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsFiles {
    /// What servers are verified against, each file once.
    pub authorities: Vec<Authorities>,
    /// `certificate` and `key` of `SSL`: what servers that ask are shown.
    pub identity: Option<Identity>,
}

/// Certificates of authorities from one file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorities {
    /// Where they came from.
    pub path: String,
    /// Their certificates, at least one.
    pub certificates: Vec<Vec<u8>>,
}

/// Who this machine says it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Where the certificate came from.
    pub certificate: String,
    /// Where the key came from.
    pub key: String,
    /// The certificate, then those that lead to its authority.
    pub chain: Vec<Vec<u8>>,
    /// The key.
    pub secret: Secret,
}

impl std::fmt::Debug for Identity {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A private key in one of its encodings.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secret {
    /// PKCS #1.
    Pkcs1(Vec<u8>),
    /// SEC 1.
    Sec1(Vec<u8>),
    /// PKCS #8.
    Pkcs8(Vec<u8>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// `tls_verify`: what a server's certificate must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// Position in [`TlsFiles::authorities`].
    pub authorities: u16,
    /// Of their content.
    pub fingerprint: u64,
    /// `min_cert_days`: it must be valid so many days from now, too.
    pub min_days: u16,
}
