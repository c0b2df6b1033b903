//! Whom SSL_GET believes, and what it shows of itself.
//!
//! By default it accepts whatever certificate a server shows, as keepalived does, and skips the signature over the
//! handshake too: a check asks whether the server answers, not who it is, and old certificates (X.509 v1, RSA of
//! 1024 bits) must not fail it. With `tls_verify` the certificate is verified for the name that the server was told, or
//! for its address, now and `min_cert_days` from now. Certificates come from servers and are untrusted; authorities and
//! the own key come from the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::model::check::Tls;
use config::model::tls::{Secret, TlsFiles, Verify};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer, ServerName,
    UnixTime,
};
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    SupportedCipherSuite,
};

use super::key_exchange;

/// Algorithms, authorities and the own certificate: what the settings of checkers are made from.
#[derive(Debug)]
pub struct Trust {
    provider: Arc<CryptoProvider>,
    files: Arc<TlsFiles>,
    /// One for all checks with the same authorities.
    verifiers: BTreeMap<u16, Arc<WebPkiServerVerifier>>,
}

impl Trust {
    /// That of a configuration.
    #[must_use]
    pub fn new(files: Arc<TlsFiles>) -> Self {
        let mut provider = ring::default_provider();
        // Processors have instructions for SHA-256, not for the SHA-384 of the suites with AES-256: a handshake hashes
        // more than a check has to encrypt.
        let (quick, other): (Vec<_>, Vec<_>) = provider.cipher_suites.drain(..).partition(is_quick);
        provider.cipher_suites = quick.into_iter().chain(other).collect();
        provider.kx_groups = key_exchange::groups();
        Self { provider: Arc::new(provider), files, verifiers: BTreeMap::new() }
    }

    /// The library's algorithms.
    #[must_use]
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// What judges certificates for a check. `None` when its authorities can't be used.
    pub(super) fn verifier(&mut self, tls: &Tls) -> Option<Arc<dyn ServerCertVerifier>> {
        let Some(verify) = tls.verify else {
            let schemes = self.provider.signature_verification_algorithms.supported_schemes();
            return Some(Arc::new(AcceptAnyone { schemes }));
        };
        let inner = self.authorities(verify)?;
        match verify.min_days {
            0 => Some(inner),
            days => Some(Arc::new(Ahead { inner, ahead: DAY.saturating_mul(u32::from(days)) })),
        }
    }

    fn authorities(&mut self, verify: Verify) -> Option<Arc<WebPkiServerVerifier>> {
        if let Some(known) = self.verifiers.get(&verify.authorities) {
            return Some(Arc::clone(known));
        }
        let authorities = self.files.authorities.get(usize::from(verify.authorities))?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.certificates.iter().cloned().map(CertificateDer::from));
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
        let verifier = builder.build().ok()?;
        self.verifiers.insert(verify.authorities, Arc::clone(&verifier));
        Some(verifier)
    }

    /// Certificate and key for servers that ask.
    pub(super) fn identity(&self) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let identity = self.files.identity.as_ref()?;
        let chain = identity.chain.iter().cloned().map(CertificateDer::from).collect();
        let key = match identity.secret.clone() {
            Secret::Pkcs1(der) => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
            Secret::Sec1(der) => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
            Secret::Pkcs8(der) => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
        };
        Some((chain, key))
    }
}

/// Suites of TLS 1.3 and 1.2 with AES-128.
fn is_quick(suite: &SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate that is good now and not at the end of `min_cert_days`.
#[derive(Debug, thiserror::Error)]
#[error("certificate expires within min_cert_days")]
pub(super) struct Expiring;

/// What is wrong with a certificate, in words for the log.
pub(super) fn explain(error: &CertificateError) -> &'static str {
    let is_expiring = matches!(error, CertificateError::Other(OtherError(other)) if other.is::<Expiring>());
    let words = [
        (matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. }), "has expired"),
        (
            matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }),
            "is not valid yet",
        ),
        (
            matches!(
                error,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ),
            "is for another name",
        ),
        (matches!(error, CertificateError::UnknownIssuer), "is of no trusted authority"),
        (is_expiring, "expires within min_cert_days"),
    ];
    words.iter().find(|(is, _)| *is).map_or("is not accepted", |(_, words)| words)
}

/// Verifies now and some days ahead.
#[derive(Debug)]
struct Ahead {
    inner: Arc<WebPkiServerVerifier>,
    ahead: Duration,
}

impl ServerCertVerifier for Ahead {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()).saturating_add(self.ahead));
        let expiring = |_| CertificateError::Other(OtherError(Arc::new(Expiring)));
        self.inner.verify_server_cert(certificate, intermediates, name, ocsp, later).map_err(expiring)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Verifies nothing: see the head of this file.
#[derive(Debug)]
struct AcceptAnyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
