//! Handshakes with a server in memory, endings in and out of order, and garbage.

use std::time::Duration;

use config::model::check::{Endpoint, HttpProtocol};
use config::model::tls::{Authorities, Identity, Secret, TlsFiles, Verify};
use proptest::prelude::*;
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("../../tests/certificates/modern.der");
const KEY: &[u8] = include_bytes!("../../tests/certificates/modern.key");

fn tls(sni: Sni) -> Tls {
    Tls { sni, verify: None, shown: None }
}

fn trust() -> Trust {
    Trust::new(Arc::default())
}

fn check(sni: Sni) -> HttpCheck {
    HttpCheck {
        endpoint: Endpoint::new("192.0.2.1:443".parse().unwrap(), Duration::from_secs(5)),
        tls: Some(tls(sni)),
        protocol: HttpProtocol::Http10,
        urls: vec![],
        fast_recovery: false,
    }
}

fn host(name: &str) -> HttpUrl {
    HttpUrl { virtual_host: Some(name.to_owned()), ..HttpUrl::new("/") }
}

fn server_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(KEY.to_vec()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(trust().provider()));
    let builder = builder.with_protocol_versions(versions).unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![CERTIFICATE.into()], key).unwrap())
}

struct Pair {
    session: Session,
    server: ServerConnection,
    plain: Vec<u8>,
}

impl Pair {
    fn new(client: &TlsClient, config: &Arc<ServerConfig>, check: &HttpCheck, url: &HttpUrl) -> Self {
        let session = Session::start(client, check, url, b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let server = ServerConnection::new(Arc::clone(config)).unwrap();
        Self { session, server, plain: Vec::new() }
    }

    /// Carries records to and fro, a byte at a time to the client, until neither has more.
    fn exchange(&mut self) {
        loop {
            let mut to_server = Vec::new();
            self.session.output(&mut to_server);
            let mut records = to_server.as_slice();
            while !records.is_empty() {
                self.server.read_tls(&mut records).unwrap();
                self.server.process_new_packets().unwrap();
            }
            let mut to_client = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut to_client).unwrap();
            }
            if to_server.is_empty() && to_client.is_empty() {
                return;
            }
            for byte in to_client {
                self.session.receive(&[byte], &mut self.plain).unwrap();
            }
        }
    }

    fn request(&mut self) -> Vec<u8> {
        let mut request = vec![0; 1024];
        let got = self.server.reader().read(&mut request).unwrap();
        request.truncate(got);
        request
    }
}

#[test]
fn both_versions_carry_the_request_and_the_answer() {
    for versions in [[&TLS12], [&TLS13]] {
        let client = TlsClient::new(&mut trust(), &tls(Sni::Off)).unwrap();
        let config = server_config(&versions);
        let mut pair = Pair::new(&client, &config, &check(Sni::Off), &HttpUrl::new("/"));
        pair.exchange();
        assert_eq!(pair.request(), b"GET / HTTP/1.0\r\n\r\n");
        pair.server.writer().write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
        pair.exchange();
        assert_eq!(pair.plain, b"HTTP/1.0 200 OK\r\n\r\n");
        assert!(!pair.session.is_handshaking());
    }
}

#[test]
fn the_second_connection_of_a_checker_resumes_the_session_of_the_first() {
    for versions in [[&TLS12], [&TLS13]] {
        let client = TlsClient::new(&mut trust(), &tls(Sni::Off)).unwrap();
        let config = server_config(&versions);
        let kinds: Vec<_> = (0..2)
            .map(|_| {
                let mut pair = Pair::new(&client, &config, &check(Sni::Off), &HttpUrl::new("/"));
                pair.exchange();
                pair.server.handshake_kind().unwrap()
            })
            .collect();
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
    }
}

fn told_name(sni: Sni, url: &HttpUrl) -> Option<String> {
    let client = TlsClient::new(&mut trust(), &tls(Sni::Off)).unwrap();
    let mut pair = Pair::new(&client, &server_config(&[&TLS13]), &check(sni), url);
    pair.exchange();
    pair.server.server_name().map(str::to_owned)
}

#[test]
fn the_server_is_told_a_name_only_when_that_is_configured() {
    let url = host("www.example.com:8443");
    assert_eq!(told_name(Sni::Off, &url), None);
    assert_eq!(told_name(Sni::VirtualHost, &url).as_deref(), Some("www.example.com"));
    assert_eq!(told_name(Sni::Name("other.example".to_owned()), &url).as_deref(), Some("other.example"));
    assert_eq!(told_name(Sni::VirtualHost, &HttpUrl::new("/")), None);
    assert_eq!(told_name(Sni::VirtualHost, &host("not a name")), None);
}

#[test]
fn an_end_that_close_notify_announced_is_told_from_one_that_it_did_not() {
    let client = TlsClient::new(&mut trust(), &tls(Sni::Off)).unwrap();
    let config = server_config(&[&TLS13]);
    let mut pair = Pair::new(&client, &config, &check(Sni::Off), &HttpUrl::new("/"));
    pair.exchange();
    assert_eq!(pair.session.close(), Err(TlsFailure::Truncated));
    let mut pair = Pair::new(&client, &config, &check(Sni::Off), &HttpUrl::new("/"));
    pair.exchange();
    pair.server.send_close_notify();
    assert!(!pair.session.has_ended());
    pair.exchange();
    assert!(pair.session.has_ended());
    assert_eq!(pair.session.close(), Ok(()));
}

#[test]
fn failures_say_what_the_server_did() {
    let client = TlsClient::new(&mut trust(), &tls(Sni::Off)).unwrap();
    let fail = |bytes: &[u8]| {
        let mut session = Session::start(&client, &check(Sni::Off), &HttpUrl::new("/"), b"").unwrap();
        session.receive(bytes, &mut Vec::new()).unwrap_err()
    };
    assert_eq!(fail(b"HTTP/1.0 400 Bad Request\r\n\r\n"), TlsFailure::NotTls);
    assert_eq!(fail(b"\x15\x03\x03\x00\x02\x02\x28"), TlsFailure::Alert(AlertDescription::HandshakeFailure));
}

proptest! {
    #[test]
    fn any_records_end_or_wait_and_none_is_taken_for_an_answer(
        parts in prop::collection::vec(prop_oneof![
            Just(b"\x16\x03\x03".to_vec()), Just(b"\x15\x03\x03\x00\x02\x01\x00".to_vec()),
            Just(b"\x14\x03\x03\x00\x01\x01".to_vec()), Just(b"\x17\x03\x03\x00\x01x".to_vec()),
            Just(vec![2, 0, 0, 4]), prop::collection::vec(any::<u8>(), 0..40),
        ], 0..12)
    ) {
        let client = TlsClient::new(&mut trust(), &tls(Sni::Off)).unwrap();
        let mut session = Session::start(&client, &check(Sni::Off), &HttpUrl::new("/"), b"x").unwrap();
        let mut plain = Vec::new();
        for part in parts {
            if session.receive(&part, &mut plain).is_err() {
                break;
            }
        }
        let _ending = session.close();
        prop_assert_eq!(plain, Vec::<u8>::new());
    }
}

const AUTHORITY: &[u8] = include_bytes!("../../tests/certificates/authority.der");
const VERIFIED: &[u8] = include_bytes!("../../tests/certificates/verified.der");
const EXPIRED: &[u8] = include_bytes!("../../tests/certificates/expired.der");
const VERIFIED_KEY: &[u8] = include_bytes!("../../tests/certificates/verified.key");

fn verifying(certificate: &[u8], host_name: &str, min_days: u16) -> Result<(), TlsFailure> {
    let authorities = vec![Authorities { path: String::new(), certificates: vec![AUTHORITY.to_vec()] }];
    let mut trust = Trust::new(Arc::new(TlsFiles { authorities, identity: None }));
    let verify = Some(Verify { authorities: 0, fingerprint: 0, min_days });
    let client = TlsClient::new(&mut trust, &Tls { verify, ..tls(Sni::VirtualHost) }).unwrap();
    let key = PrivateKeyDer::try_from(VERIFIED_KEY.to_vec()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(trust.provider()));
    let builder = builder.with_protocol_versions(&[&TLS12]).unwrap().with_no_client_auth();
    let config = builder.with_single_cert(vec![certificate.to_vec().into()], key).unwrap();
    let url = if host_name.is_empty() { HttpUrl::new("/") } else { host(host_name) };
    let session = Session::start(&client, &check(Sni::VirtualHost), &url, b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let server = ServerConnection::new(Arc::new(config)).unwrap();
    let mut pair = Pair { session, server, plain: Vec::new() };
    loop {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        pair.session.output(&mut to_server);
        let mut records = to_server.as_slice();
        while !records.is_empty() {
            pair.server.read_tls(&mut records).unwrap();
            pair.server.process_new_packets().unwrap();
        }
        while pair.server.wants_write() {
            pair.server.write_tls(&mut to_client).unwrap();
        }
        if to_server.is_empty() && to_client.is_empty() {
            return Ok(());
        }
        pair.session.receive(&to_client, &mut pair.plain)?;
    }
}

#[test]
fn tls_verify_takes_a_certificate_of_the_authority_for_the_name_or_the_address() {
    assert_eq!(verifying(VERIFIED, "www.example.com", 0), Ok(()));
    assert_eq!(verifying(VERIFIED, "", 30), Ok(()));
    let failed = |words| Err(TlsFailure::Certificate(words));
    assert_eq!(verifying(VERIFIED, "www.example.org", 0), failed("is for another name"));
    assert_eq!(verifying(EXPIRED, "www.example.com", 0), failed("has expired"));
    assert_eq!(verifying(VERIFIED, "www.example.com", u16::MAX), failed("expires within min_cert_days"));
}

#[test]
fn a_certificate_of_another_authority_or_none_is_refused() {
    let words = TlsFailure::Certificate("is of no trusted authority").to_string();
    assert_eq!(words, "certificate is of no trusted authority");
    let mut trust = trust();
    let verify = Some(Verify { authorities: 3, fingerprint: 0, min_days: 0 });
    assert!(TlsClient::new(&mut trust, &Tls { verify, ..tls(Sni::Off) }).is_none());
}

#[test]
fn a_server_that_asks_is_shown_the_own_certificate() {
    let identity = Identity {
        certificate: String::new(),
        key: String::new(),
        chain: vec![VERIFIED.to_vec()],
        secret: Secret::Pkcs8(VERIFIED_KEY.to_vec()),
    };
    let mut trust = Trust::new(Arc::new(TlsFiles { authorities: vec![], identity: Some(identity) }));
    let client = TlsClient::new(&mut trust, &tls(Sni::Off)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.to_vec().into()).unwrap();
    let provider = Arc::clone(trust.provider());
    let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&TLS13]).unwrap();
    let builder = builder.with_client_cert_verifier(asks.build().unwrap());
    let key = PrivateKeyDer::try_from(KEY.to_vec()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![CERTIFICATE.into()], key).unwrap());
    let mut pair = Pair::new(&client, &config, &check(Sni::Off), &HttpUrl::new("/"));
    pair.exchange();
    let shown = pair.server.peer_certificates().unwrap();
    assert_eq!(shown.first().map(AsRef::as_ref), Some(VERIFIED));
}
