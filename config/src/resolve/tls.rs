//! Files of certificates and keys: each is read once, and what checks need of it goes into the model.
//!
//! Decides what counts as a usable file. Contents are the operator's; a broken one refuses the configuration.

use std::hash::{DefaultHasher, Hash, Hasher};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Context;
use super::key::{self, KeyProblem};
use crate::diagnostic::{Problem, code};
use crate::model::tls::{Authorities, Identity, TlsFiles, Verify};
use crate::schema::{Named, SslDraft, VerifyDraft};
use crate::text::Span;

/// Files that systems keep their authorities in, when nothing else is said.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Most certificates of one file or directory.
const MOST: usize = 4_096;

/// What has been read so far.
#[derive(Default)]
pub(super) struct Tls {
    files: TlsFiles,
    ca: Option<Named>,
}

impl Context<'_> {
    /// Takes the `SSL` block.
    pub(super) fn define_tls(&mut self, draft: Option<SslDraft>) {
        let Some(SslDraft { span, password, ca, certificate, key }) = draft else { return };
        if let Some(ca) = &ca {
            // It must be usable even while no check names it.
            self.certificates(ca);
        }
        self.tls.ca = ca;
        self.tls.files.identity = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => self.own_certificate(certificate, key, password),
            (Some(_), None) | (None, Some(_)) => {
                let message = "SSL shows servers nothing unless it has both a certificate and its key";
                self.report(Problem::warning(code::NO_EFFECT, span, message));
                None
            }
        };
    }

    /// Everything that was read.
    pub(super) fn finish_tls(&mut self) -> TlsFiles {
        std::mem::take(&mut self.tls.files)
    }

    /// Fingerprint of what servers that ask are shown.
    pub(super) fn shown(&self) -> Option<u64> {
        self.tls.files.identity.as_ref().map(|identity| fingerprint(&identity.chain))
    }

    /// What a check asks of certificates, if it asks anything.
    pub(super) fn verify(&mut self, draft: &VerifyDraft, span: Span) -> Option<Verify> {
        let wanted = draft.on.unwrap_or(draft.authorities.is_some() || draft.min_days.is_some());
        if !wanted {
            return None;
        }
        let named = draft.authorities.clone().or_else(|| self.tls.ca.clone());
        let path = named.unwrap_or_else(|| {
            let found = SYSTEM.iter().find(|path| self.source.exists(path));
            Named { text: (*found.unwrap_or(&SYSTEM[0])).to_owned(), span }
        });
        let known = self.tls.files.authorities.iter().position(|known| known.path == path.text);
        let position = match known {
            Some(position) => position,
            None => {
                let certificates = self.certificates(&path)?;
                self.tls.files.authorities.push(Authorities { path: path.text, certificates });
                self.tls.files.authorities.len().saturating_sub(1)
            }
        };
        let fingerprint = fingerprint(&self.tls.files.authorities.get(position)?.certificates);
        let authorities = u16::try_from(position).ok()?;
        Some(Verify { authorities, fingerprint, min_days: draft.min_days.unwrap_or(0) })
    }

    fn own_certificate(
        &mut self,
        certificate: Named,
        key: Named,
        password: Option<Named>,
    ) -> Option<Identity> {
        let chain = self.certificates(&certificate)?;
        let text = self.pem(&key)?;
        if self.source.is_exposed(&key.text) {
            let message = format!("SSL key: others than its owner may read {}", key.text);
            self.report(Problem::warning(code::EXPOSED_KEY, key.span, message).help("chmod 0400"));
        }
        let secret = match key::open(&text, password.as_ref().map(|password| password.text.as_str())) {
            Ok(secret) => secret,
            Err(problem) => {
                let message = format!("{} {problem}", key.text);
                self.report(Problem::error(code::UNREADABLE, key.span, message).help(help(problem)));
                return None;
            }
        };
        Some(Identity { certificate: certificate.text, key: key.text, chain, secret })
    }

    /// The certificates of a file, or of the files of a directory.
    fn certificates(&mut self, path: &Named) -> Option<Vec<Vec<u8>>> {
        let mut names = self.source.list(&path.text);
        names.sort();
        let mut found = Vec::new();
        if names.is_empty() {
            let text = self.pem(path)?;
            found.extend(in_pem(&text));
        }
        for name in names.iter().take(MOST) {
            let file = format!("{}/{name}", path.text.trim_end_matches('/'));
            found.extend(self.source.read(&file).map(|text| in_pem(&text)).unwrap_or_default());
        }
        found.truncate(MOST);
        if found.is_empty() {
            let message = format!("{} holds no certificate in PEM", path.text);
            self.report(Problem::error(code::UNREADABLE, path.span, message));
            return None;
        }
        Some(found)
    }

    fn pem(&mut self, path: &Named) -> Option<Vec<u8>> {
        match self.source.read(&path.text) {
            Ok(text) => Some(text),
            Err(problem) => {
                let message = format!("{}: {problem}", path.text);
                self.report(Problem::error(code::UNREADABLE, path.span, message));
                None
            }
        }
    }
}

fn help(problem: KeyProblem) -> &'static str {
    match problem {
        KeyProblem::NoKey => "a key in PEM is wanted",
        KeyProblem::Locked => "give SSL the password, or write the key without it: openssl pkey -in FILE",
        KeyProblem::WrongPassword => "to try one: openssl pkey -in FILE -noout",
        KeyProblem::UnknownCipher => "to encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE",
    }
}

fn in_pem(text: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(text).take(MOST).flatten().map(|der| der.to_vec()).collect()
}

fn fingerprint(certificates: &[Vec<u8>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    certificates.hash(&mut hasher);
    hasher.finish()
}
