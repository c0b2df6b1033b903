//! TLS and SMTP servers on loopback, good and hostile, and what a body must match.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use config::model::check::{
    BodyRegex, Check, CheckKind, HttpCheck, HttpProtocol, HttpUrl, RegexOptions, SmtpCheck, Sni, Tls,
};
use config::model::tls::{Authorities, Identity, Secret, TlsFiles, Verify};

use crate::servers::{answers_unasked, good, serve, silent};
use crate::support::{Parent, check, endpoint, http, impatient, sealed_tls, server, service};

/// Starts a web server of OpenSSL with an old certificate, which ends with the test.
pub(super) fn tls_server(options: &[&str]) -> SocketAddr {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "openssl", "s_server", "-www", "-accept", "127.0.0.1:0"])
        .args(["-cert", "old.der", "-certform", "DER", "-key", "old.key", "-keyform", "DER"])
        // A key of 1024 bits.
        .args(["-cipher", "ALL@SECLEVEL=0"])
        .args(options)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let place = |line: std::io::Result<String>| line.unwrap().strip_prefix("ACCEPT ")?.parse().ok();
    let address = lines.find_map(place).unwrap();
    std::thread::spawn(move || {
        for _line in lines {}
        let _reaped = child.wait();
    });
    address
}

pub(super) fn https(target: SocketAddr) -> Check {
    check(CheckKind::Http(HttpCheck {
        endpoint: endpoint(target),
        tls: Some(Tls { sni: Sni::Off, verify: None, shown: None }),
        protocol: HttpProtocol::Http10,
        urls: vec![HttpUrl::new("/")],
        fast_recovery: false,
    }))
}

pub(super) fn smtp(target: SocketAddr) -> Check {
    check(CheckKind::Smtp(SmtpCheck { endpoint: endpoint(target), helo_name: "checker.example".to_owned() }))
}

fn line(stream: &mut TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\n") && matches!(stream.read(&mut byte), Ok(1)) {
        line.extend(byte);
    }
    String::from_utf8_lossy(&line).into_owned()
}

fn say(stream: &mut TcpStream, text: &str) {
    let _gone = stream.write_all(text.as_bytes());
}

pub(super) fn mail_server(mut stream: TcpStream) {
    say(&mut stream, "220-mail.example\r\n220 ready\r\n");
    let helo = line(&mut stream);
    say(&mut stream, if helo == "HELO checker.example\r\n" { "250 hello\r\n" } else { "501 who?\r\n" });
    line(&mut stream);
    say(&mut stream, "221 bye\r\n");
}

fn refusing(mut stream: TcpStream) {
    say(&mut stream, "554 no service here\r\n");
}

fn dislikes_helo(mut stream: TcpStream) {
    say(&mut stream, "220 ready\r\n");
    line(&mut stream);
    say(&mut stream, "550 go away\r\n");
}

/// A line of the greeting whenever 20 ms have passed.
fn tarpit(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while stream.write_all(b"220-wait\r\n").is_ok() {
        if matches!(stream.read(&mut [0]), Ok(0)) {
            return;
        }
    }
}

fn endless_line(mut stream: TcpStream) {
    while stream.write_all(&[b'2'; 4096]).is_ok() {}
}

fn hangs_up(mut stream: TcpStream) {
    say(&mut stream, "220 ready\r\n");
    line(&mut stream);
}

/// Ends the connection behind the first words of the client: while they are unread, closing would reset it.
fn hears_and_ends(mut stream: TcpStream) {
    let _first = stream.read(&mut [0; 16384]);
}

fn matching(pattern: &str) -> Check {
    let mut check = http(serve(good), None);
    if let CheckKind::Http(http) = &mut check.kind {
        http.urls[0].regex = Some(BodyRegex {
            pattern: pattern.to_owned(),
            inverted: false,
            options: RegexOptions::default(),
            min_offset: 0,
            max_offset: None,
        });
    }
    check
}

fn compliant(mut check: Check) -> Check {
    if let CheckKind::Http(http) = &mut check.kind {
        http.urls[0].tls_compliant = true;
    }
    check
}

#[test]
fn conversations_are_judged_and_failures_explained() {
    let cases: [(Check, Option<&str>); 18] = [
        (https(tls_server(&["-tls1_2"])), None),
        (https(tls_server(&["-tls1_3"])), None),
        (compliant(https(tls_server(&[]))), None),
        (smtp(serve(mail_server)), None),
        (matching("h[aeiou]l+o$"), None),
        (https(serve(answers_unasked)), Some("answer is no TLS")),
        (impatient(https(serve(silent))), Some("no TLS handshake in time")),
        (https(serve(hears_and_ends)), Some("connection ended without close_notify")),
        (https(tls_server(&["-tls1_2", "-cipher", "AES128-SHA@SECLEVEL=0"])), Some("HandshakeFailure")),
        (https(tls_server(&["-tls1_1"])), Some("server sent alert")),
        (https(serve(mail_server)), Some("answer is no TLS")),
        (smtp(serve(refusing)), Some("Bad greeting banner from server")),
        (smtp(serve(dislikes_helo)), Some("Bad HELO response from server")),
        (impatient(smtp(serve(tarpit))), Some("SMTP_CHECK Read timeout from server")),
        (smtp(serve(endless_line)), Some("reply is too long")),
        (smtp(serve(hangs_up)), Some("no data received")),
        (smtp(serve(answers_unasked)), Some("Bad greeting banner from server")),
        (matching("^dead"), Some("body does not match as regex demands")),
    ];
    let servers = (0..).zip(&cases).map(|(index, (check, _))| server(index, vec![check.clone()])).collect();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(servers)]);
    parent.until_judged(18, &[0, 1, 2, 3, 4].map(|server| (0, Some(server), 1)));
    for (index, (check, reason)) in (1000..).zip(&cases) {
        let Some(reason) = reason else { continue };
        // Lines of SMTP name the place that was connected to, all others the real server.
        let connected = format!("[127.0.0.1]:{}", check.kind.endpoint().unwrap().target.port());
        let names = [format!("[192.0.2.1]:tcp:{index}"), connected];
        let logs = parent.logs();
        let told = |line: &&str| line.contains(reason) && names.iter().any(|name| line.contains(name));
        assert!(logs.iter().any(told), "{reason} of {names:?} in {logs:#?}");
    }
}

/// What a slow server waits for before it goes on: less than half of [`LEISURE`] would be no proof.
const SLOW: Duration = Duration::from_millis(2_200);
/// What its check waits for.
const LEISURE: Duration = Duration::from_secs(4);

/// Nothing else comes from a client that waits for an answer.
fn dawdle(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SLOW)).unwrap();
    let _nothing = stream.read(&mut [0]);
    stream.set_read_timeout(None).unwrap();
}

fn slow_mail_server(mut stream: TcpStream) {
    for reply in ["220 ready\r\n", "250 hello\r\n", "221 bye\r\n"] {
        dawdle(&mut stream);
        say(&mut stream, reply);
        line(&mut stream);
    }
}

fn slow_web_server(mut stream: TcpStream) {
    while !matches!(line(&mut stream).as_str(), "\r\n" | "") {}
    for piece in ["HTTP/1.0 200 OK\r\n\r\n", "hello"] {
        dawdle(&mut stream);
        say(&mut stream, piece);
    }
}

#[test]
fn a_server_that_is_slow_with_every_answer_passes() {
    let mut checks = [smtp(serve(slow_mail_server)), http(serve(slow_web_server), None)];
    for check in &mut checks {
        check.kind.endpoint_mut().unwrap().timeout = LEISURE;
    }
    let servers = (0..).zip(checks).map(|(index, check)| server(index, vec![check])).collect();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(servers)]);
    parent.until_judged(2, &[0, 1].map(|server| (0, Some(server), 1)));
}

#[test]
fn bind_port_gives_the_connection_its_source_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut check = smtp(listener.local_addr().unwrap());
    let endpoint = check.kind.endpoint_mut().unwrap();
    endpoint.bind_port = Some(free);
    endpoint.bind_interface = Some("lo".to_owned());
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![check])])]);
    let (_stream, from) = listener.accept().unwrap();
    assert_eq!(from.port(), free);
    parent.settle();
}

const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");

fn certificate(name: &str) -> Vec<u8> {
    std::fs::read(format!("{CERTIFICATES}/{name}")).unwrap()
}

fn authorities() -> Vec<Authorities> {
    vec![Authorities { path: "/ca".to_owned(), certificates: vec![certificate("authority.der")] }]
}

/// A server with that certificate, and a check that verifies it.
fn verified(name: &str, min_days: u16) -> Check {
    let mut check = https(tls_server(&["-cert", name, "-key", "verified.key"]));
    if let CheckKind::Http(HttpCheck { tls: Some(tls), .. }) = &mut check.kind {
        tls.verify = Some(Verify { authorities: 0, fingerprint: 1, min_days });
    }
    check
}

#[test]
fn a_certificate_is_verified_where_that_is_asked_for() {
    let cases = [
        (verified("verified.der", 30), None),
        (verified("expired.der", 0), Some("certificate has expired")),
        (verified("verified.der", u16::MAX), Some("certificate expires within min_cert_days")),
        (https(tls_server(&["-cert", "expired.der", "-key", "verified.key"])), None),
    ];
    let servers = (0..).zip(&cases).map(|(index, (check, _))| server(index, vec![check.clone()])).collect();
    let mut parent = Parent::start(false);
    let tls = TlsFiles { authorities: authorities(), identity: None };
    parent.load_file(1, sealed_tls(&[service(servers)], tls));
    parent.until_judged(4, &[0, 3].map(|server| (0, Some(server), 1)));
    for (index, (_, reason)) in (1000..).zip(&cases) {
        let Some(reason) = reason else { continue };
        let port = format!(":{index} failed");
        let logs = parent.logs();
        let told = logs.iter().any(|line| line.contains(&port) && line.contains(reason));
        assert!(told, "{reason} of {port} in {logs:#?}");
    }
}

#[test]
fn a_server_that_asks_is_shown_the_certificate_of_the_ssl_block() {
    let asks = ["-cert", "verified.der", "-key", "verified.key", "-CAstore", "authority.der", "-Verify", "1"];
    let strict = [&asks[..], &["-verify_return_error"]].concat();
    let check = https(tls_server(&strict));
    let identity = Identity {
        certificate: String::new(),
        key: String::new(),
        chain: vec![certificate("verified.der")],
        secret: Secret::Pkcs8(certificate("verified.key")),
    };
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![check.clone()])])]);
    parent.until_table(&[]);
    let tls = TlsFiles { authorities: vec![], identity: Some(identity) };
    let mut shown = check;
    if let CheckKind::Http(HttpCheck { tls: Some(tls), .. }) = &mut shown.kind {
        tls.shown = Some(1);
    }
    parent.load_file(2, sealed_tls(&[service(vec![server(1, vec![shown])])], tls));
    parent.until_table(&[(0, Some(0), 1)]);
}
