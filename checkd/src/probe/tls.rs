//! The TLS of `SSL_GET`, without its socket: records in, records out, plain bytes in between.
//!
//! Whom it believes is [`super::certificate`]'s. Called by the driver for each piece that arrives; every byte is untrusted
//! and rustls bounds its buffers. Whoever has an answer closes without a word of leave, as keepalived does: the server, which
//! ends first, would answer it with a reset.

use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use config::model::check::{HttpCheck, HttpUrl, Sni, Tls};
use rustls::client::{
    ClientConfig, ClientConnection, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, Error, NamedGroup};

use super::certificate::{self, Trust};

/// Why TLS failed, in words for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// The server does not speak TLS.
    #[error("answer is no TLS")]
    NotTls,
    /// The server ended it with this alert (RFC 8446 section 6.2).
    #[error("server sent alert {0:?}")]
    Alert(AlertDescription),
    /// Nothing that both can do.
    #[error("no TLS version, cipher or key exchange in common")]
    NothingInCommon,
    /// The server broke the protocol.
    #[error("server broke the TLS protocol")]
    Protocol,
    /// The server's certificate is not what `tls_verify` asks for.
    #[error("certificate {0}")]
    Certificate(&'static str),
    /// The connection ended without the alert that should announce it.
    #[error("connection ended without close_notify")]
    Truncated,
    /// Our own side could not begin.
    #[error("TLS could not begin")]
    Internal,
}

/// Settings of one checker, with the session that it may resume.
#[derive(Debug, Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Settings without a session yet. `None` when the library refuses its own defaults, or what the configuration
    /// trusts or shows.
    #[must_use]
    pub fn new(trust: &mut Trust, tls: &Tls) -> Option<Self> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(trust.provider()))
            .with_safe_default_protocol_versions()
            .ok()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(trust.verifier(tls)?);
        let mut config = match trust.identity() {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).ok()?,
            None => builder.with_no_client_auth(),
        };
        // A session that goes on shows no certificate.
        config.resumption = if tls.verify.is_some() {
            Resumption::disabled()
        } else {
            Resumption::store(Arc::new(OneSession::default()))
        };
        Some(Self(Arc::new(config)))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    connection: ClientConnection,
    /// close_notify came.
    ended: bool,
}

impl Session {
    /// Starts with `request`, which is sent once the handshake is done.
    ///
    /// # Errors
    /// [`TlsFailure::Internal`].
    pub fn start(
        client: &TlsClient,
        check: &HttpCheck,
        url: &HttpUrl,
        request: &[u8],
    ) -> Result<Self, TlsFailure> {
        let name = server_name(check, url);
        let mut connection =
            ClientConnection::new(Arc::clone(&client.0), name).map_err(|_| TlsFailure::Internal)?;
        connection.writer().write_all(request).map_err(|_| TlsFailure::Internal)?;
        Ok(Self { connection, ended: false })
    }

    /// Takes records of the server; appends plain bytes to `plain`.
    ///
    /// # Errors
    /// [`TlsFailure`]; an alert for the server may wait in [`Self::output`].
    pub fn receive(&mut self, mut records: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsFailure> {
        while !records.is_empty() {
            let taken = self.connection.read_tls(&mut records).map_err(|_| TlsFailure::Protocol)?;
            let state = self.connection.process_new_packets();
            // Bytes that came before the fault count.
            self.read_plain(plain);
            self.ended |= state.map_err(|error| explain(&error))?.peer_has_closed();
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The server has announced that nothing more will come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The connection ended.
    ///
    /// # Errors
    /// [`TlsFailure::Truncated`] when nothing had announced that.
    pub fn close(&mut self) -> Result<(), TlsFailure> {
        let _no_bytes = self.connection.read_tls(&mut [].as_slice());
        match self.connection.reader().read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(TlsFailure::Truncated),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Takes leave (RFC 8446 section 6.1, close_notify).
    pub fn leave(&mut self, output: &mut Vec<u8>) {
        self.connection.send_close_notify();
        self.output(output);
    }

    /// Appends what the server should get.
    pub fn output(&mut self, output: &mut Vec<u8>) {
        while self.connection.wants_write()
            && self.connection.write_tls(output).is_ok_and(|written| written > 0)
        {}
    }

    /// The handshake is not done yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn read_plain(&mut self, plain: &mut Vec<u8>) {
        let mut piece = [0; 4096];
        while let Ok(got @ 1..) = self.connection.reader().read(&mut piece) {
            plain.extend_from_slice(piece.get(..got).unwrap_or_default());
        }
    }
}

fn explain(error: &Error) -> TlsFailure {
    if let Error::AlertReceived(alert) = error {
        TlsFailure::Alert(*alert)
    } else if let Error::InvalidCertificate(trouble) = error {
        TlsFailure::Certificate(certificate::explain(trouble))
    } else if matches!(error, Error::InvalidMessage(_)) {
        TlsFailure::NotTls
    } else if matches!(error, Error::PeerIncompatible(_)) {
        TlsFailure::NothingInCommon
    } else {
        TlsFailure::Protocol
    }
}

/// The name for server name indication, or the address, for which none is sent.
fn server_name(check: &HttpCheck, url: &HttpUrl) -> ServerName<'static> {
    let name = match check.tls.as_ref().map(|tls| &tls.sni) {
        Some(Sni::Name(name)) => Some(name.as_str()),
        Some(Sni::VirtualHost) => url.virtual_host.as_deref().map(without_port),
        Some(Sni::Off) | None => None,
    };
    let address: IpAddr = check.endpoint.target.ip();
    name.and_then(|name| ServerName::try_from(name.to_owned()).ok())
        .unwrap_or_else(|| ServerName::from(address))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        Some(_) | None => host,
    }
}

/// The newest session of one checker: more would cost memory for each of ten thousand.
#[derive(Debug, Default)]
struct OneSession(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    name: Option<ServerName<'static>>,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Option<Tls13ClientSessionValue>,
}

impl OneSession {
    fn with<T>(&self, name: &ServerName<'_>, act: impl FnOnce(&mut Remembered) -> T) -> Option<T> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (remembered.name.as_ref() == Some(name)).then(|| act(&mut remembered))
    }

    fn keep(&self, name: ServerName<'static>, act: impl FnOnce(&mut Remembered)) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.name.as_ref() != Some(&name) {
            *remembered = Remembered { name: Some(name), ..Remembered::default() };
        }
        act(&mut remembered);
    }
}

impl ClientSessionStore for OneSession {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.keep(name, |remembered| remembered.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(name, |remembered| remembered.group)?
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.keep(name, |remembered| remembered.tls12 = Some(value));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(name, |remembered| remembered.tls12.clone())?
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.with(name, |remembered| remembered.tls12 = None);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.keep(name, |remembered| remembered.tls13 = Some(value));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(name, |remembered| remembered.tls13.take())?
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
