//! Real servers on loopback, good and hostile, checked by a driver on a thread.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use config::model::check::Check;
use ipc::messages::checkd::CheckdToParent;
use ipc::messages::{FromDaemon, ToDaemon};
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::{Parent, http, impatient, server, service, tcp};

/// A server that treats every connection with `behaviour`, for as long as the test program runs.
pub(super) fn serve(behaviour: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || behaviour(stream));
        }
    });
    address
}

/// A port on which nobody listens. It is taken all the same: otherwise another test, or a connection of ours to itself,
/// may have it the next moment.
pub(super) fn closed() -> SocketAddr {
    static TAKEN: OnceLock<Socket> = OnceLock::new();
    let taken = TAKEN.get_or_init(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket
    });
    taken.local_addr().unwrap().as_socket().unwrap()
}

/// Reads the request; the client may be gone.
fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        request.extend(byte);
    }
}

fn answer(mut stream: TcpStream, text: &[u8]) {
    read_request(&mut stream);
    let _gone = stream.write_all(text);
}

/// Waits until the client closes.
fn wait_for_close(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest), Ok(1..)) {}
}

pub(super) fn good(stream: TcpStream) {
    answer(stream, b"HTTP/1.0 200 OK\r\nServer: test\r\n\r\nhello");
}

fn in_pieces(mut stream: TcpStream) {
    read_request(&mut stream);
    stream.set_nodelay(true).unwrap();
    for piece in b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello".chunks(3) {
        let _gone = stream.write_all(piece);
    }
}

fn keeps_open(mut stream: TcpStream) {
    read_request(&mut stream);
    let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    wait_for_close(&mut stream);
}

/// Its answer ends with the connection: while the request is unread, closing would reset it.
pub(super) fn answers_unasked(mut stream: TcpStream) {
    let _gone = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
    let _gone = stream.shutdown(Shutdown::Write);
    wait_for_close(&mut stream);
}

fn not_found(stream: TcpStream) {
    answer(stream, b"HTTP/1.0 404 Not Found\r\n\r\n");
}

fn not_http(stream: TcpStream) {
    answer(stream, b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
}

pub(super) fn silent(mut stream: TcpStream) {
    wait_for_close(&mut stream);
}

fn half_open(mut stream: TcpStream) {
    let _gone = stream.shutdown(Shutdown::Write);
    wait_for_close(&mut stream);
}

fn resets(mut stream: TcpStream) {
    read_request(&mut stream);
    let _gone = stream.write_all(b"HTTP/1.0 200 OK\r\nServer: te");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// One byte whenever 20 ms have passed, for ever.
fn drips(mut stream: TcpStream) {
    read_request(&mut stream);
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let _gone = stream.write_all(b"HTTP/1.0 200 OK\r\nX: ");
    while stream.write_all(b"x").is_ok() {
        if matches!(stream.read(&mut [0]), Ok(0)) {
            return;
        }
    }
}

fn endless_body(mut stream: TcpStream) {
    read_request(&mut stream);
    let _gone = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
    let piece = [b'x'; 4096];
    while stream.write_all(&piece).is_ok() {}
}

fn endless_header(mut stream: TcpStream) {
    read_request(&mut stream);
    let _gone = stream.write_all(b"HTTP/1.0 200 OK\r\n");
    while stream.write_all(b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").is_ok() {}
}

/// MD5 of `hello`.
const HELLO: [u8; 16] =
    [0x5d, 0x41, 0x40, 0x2a, 0xbc, 0x4b, 0x2a, 0x76, 0xb9, 0x71, 0x9d, 0x91, 0x10, 0x17, 0xc5, 0x92];

#[test]
fn good_servers_stay_and_hostile_ones_leave_with_a_reason() {
    let cases: [(Check, Option<&str>); 16] = [
        (tcp(serve(silent)), None),
        (http(serve(good), Some(HELLO)), None),
        (http(serve(in_pieces), Some(HELLO)), None),
        (http(serve(keeps_open), Some(HELLO)), None),
        (http(serve(answers_unasked), Some(HELLO)), None),
        (tcp(closed()), Some("connection refused")),
        (http(closed(), None), Some("connection refused")),
        (http(serve(good), Some([0; 16])), Some("MD5 digest differs")),
        (http(serve(not_found), None), Some("HTTP status code 404")),
        (http(serve(not_http), None), Some("answer has no status code")),
        (impatient(http(serve(silent), None)), Some("no answer in time")),
        (http(serve(half_open), None), Some("no data received")),
        (http(serve(resets), None), Some("connection reset")),
        (impatient(http(serve(drips), None)), Some("no complete answer in time")),
        (http(serve(endless_body), None), Some("no complete answer in time")),
        (http(serve(endless_header), None), Some("header of the answer is too long")),
    ];
    let servers = (0..).zip(&cases).map(|(index, (check, _))| server(index, vec![check.clone()])).collect();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(servers)]);
    assert_eq!(parent.table.len(), 16);
    parent.until_judged(16, &[0, 1, 2, 3, 4].map(|server| (0, Some(server), 1)));
    for (index, (_, reason)) in (1000..).zip(&cases) {
        let Some(reason) = reason else { continue };
        let label = format!("[192.0.2.1]:tcp:{index} failed");
        let line = parent.logs().into_iter().find(|line| line.contains(&label)).unwrap().to_owned();
        // A flood may end by its length or by its time, whichever comes first.
        let floods = line.contains("body of the answer is too long");
        assert!(line.contains(reason) || floods, "{line}, wanted {reason}");
    }
    assert_eq!(parent.end(), checkd::driver::End::ParentGone);
}

#[test]
fn a_server_leaves_when_it_stops_listening_and_comes_back() {
    // Nobody else takes a port of this address while it is free.
    let listener = TcpListener::bind("127.0.0.7:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![tcp(address)]), server(2, vec![])])]);
    parent.until_log("TCP connection to [192.0.2.1]:tcp:");
    drop(listener);
    parent.until_table(&[(0, Some(1), 1)]);
    parent.settle();
    assert_eq!(parent.notified(), [1000, 11]);
    let _listener = TcpListener::bind(address).unwrap();
    parent.until_table(&[(0, Some(0), 1), (0, Some(1), 1)]);
    parent.settle();
    assert_eq!(parent.notified(), [1000, 11, 10]);
    let verdicts: Vec<bool> = parent
        .seen
        .iter()
        .filter_map(|message| match message {
            CheckdToParent::Verdicts { verdicts, .. } => Some(verdicts),
            _ => None,
        })
        .flatten()
        .map(|verdict| verdict.up)
        .collect();
    assert_eq!(verdicts, [true, true, false, true]);
}

#[test]
fn bindto_gives_the_connection_its_source() {
    // Nobody else comes to this address, as to a port of 127.0.0.1 that another test has closed.
    let listener = TcpListener::bind("127.0.0.8:0").unwrap();
    let mut check = tcp(listener.local_addr().unwrap());
    if let config::model::check::CheckKind::Tcp(endpoint) = &mut check.kind {
        endpoint.bind_to = Some("127.0.0.9".parse().unwrap());
    }
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![check])])]);
    let (_stream, from) = listener.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.9");
    parent.send(ToDaemon::Ping(1));
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Pong(1)));
}

#[test]
fn a_thousand_servers_are_checked_by_one_thread() {
    let address = serve(drop);
    let servers = (0..1000)
        .map(|index| {
            let mut check = if index % 2 == 0 { tcp(address) } else { tcp(closed()) };
            check.warmup = Duration::from_millis(500);
            check.delay_loop = Duration::from_secs(5);
            server(index, vec![check])
        })
        .collect();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(servers)]);
    let wanted: Vec<_> = (0..1000).step_by(2).map(|server| (0, Some(server), 1)).collect();
    parent.until_table(&wanted);
}
