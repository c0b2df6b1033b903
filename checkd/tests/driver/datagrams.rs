//! DNS and UDP servers on loopback, good and hostile.

use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;

use config::model::check::{Check, CheckKind, DnsCheck, DnsRecord, UdpCheck, UdpReply};
use ipc::messages::checkd::CheckdToParent;
use ipc::messages::{FromDaemon, Refusal};

use crate::support::{Parent, check, endpoint, impatient, server, service, tcp};

/// A server that sends what `behaviour` makes of each datagram.
pub(super) fn answering(behaviour: fn(&[u8]) -> Vec<Vec<u8>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((got, from)) = socket.recv_from(&mut buffer) {
            for answer in behaviour(&buffer[..got]) {
                let _gone = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// A port on which nobody hears a checker: its socket is for another peer. It is taken all the same, or another test
/// may have it the next moment.
fn unbound() -> SocketAddr {
    static TAKEN: OnceLock<UdpSocket> = OnceLock::new();
    let taken = TAKEN.get_or_init(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.5:9").unwrap();
        socket
    });
    taken.local_addr().unwrap()
}

pub(super) fn dns(target: SocketAddr) -> Check {
    check(CheckKind::Dns(DnsCheck {
        endpoint: endpoint(target),
        name: "www.example.com".to_owned(),
        record: DnsRecord::A,
    }))
}

/// The question as an answer with a status.
pub(super) fn dns_answer(question: &[u8], status: u8) -> Vec<Vec<u8>> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80 | status;
    vec![answer]
}

fn of_another_id(question: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = dns_answer(question, 0);
    answers[0][1] ^= 1;
    answers
}

fn udp(target: SocketAddr, reply: Option<UdpReply>) -> Check {
    check(CheckKind::Udp(UdpCheck { endpoint: endpoint(target), payload: vec![0x01, 0x02], reply }))
}

fn starting_with(byte: u8) -> Option<UdpReply> {
    Some(UdpReply { bytes: vec![(byte, 0xff)], min_length: 0, max_length: 255 })
}

#[test]
fn datagrams_are_judged_by_their_answers() {
    let echo = |bytes: &[u8]| vec![bytes.to_vec()];
    let cases: [(Check, Option<&str>); 13] = [
        (dns(answering(|question| dns_answer(question, 0))), None),
        // A stray answer before the true one.
        (dns(answering(|q| [of_another_id(q), dns_answer(q, 0)].concat())), None),
        (
            dns(answering(|q| {
                let mut a = dns_answer(q, 0);
                a[0][2] |= 2;
                a[0].truncate(12);
                a
            })),
            None,
        ),
        (impatient(udp(answering(|_| vec![]), None)), None),
        (udp(answering(echo), starting_with(1)), None),
        (dns(answering(|question| dns_answer(question, 3))), Some("read error occurred. (rcode = 3)")),
        (impatient(dns(answering(of_another_id))), Some("read timeout from socket")),
        (impatient(dns(answering(|_| vec![b"nonsense".to_vec()]))), Some("read timeout from socket")),
        (dns(unbound()), Some("errno 111 (Connection refused)")),
        (udp(unbound(), None), Some("connection refused")),
        (udp(answering(echo), starting_with(2)), Some("reply differs")),
        (udp(answering(|_| vec![vec![1; 300]]), starting_with(1)), Some("reply of 300 bytes")),
        (impatient(udp(answering(|_| vec![]), starting_with(1))), Some("no complete answer in time")),
    ];
    let servers = (0..).zip(&cases).map(|(index, (check, _))| server(index, vec![check.clone()])).collect();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(servers)]);
    parent.until_judged(13, &[0, 1, 2, 3, 4].map(|server| (0, Some(server), 1)));
    for (index, (_, reason)) in (1000..).zip(&cases) {
        let Some(reason) = reason else { continue };
        let label = format!("[192.0.2.1]:tcp:{index}");
        let logs = parent.logs();
        let told = logs.iter().any(|line| line.contains(&label) && line.contains(reason));
        assert!(told, "{reason} of {label} in {logs:#?}");
    }
}

#[test]
fn the_question_is_as_configured() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![dns(socket.local_addr().unwrap())])])]);
    let mut buffer = [0; 512];
    let (got, _) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[2..got], b"\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01");
}

#[test]
fn the_first_check_over_udp_needs_a_wider_sandbox() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![tcp(([127, 0, 0, 1], 7).into())])])]);
    parent.prepare(2, &[service(vec![server(1, vec![udp(unbound(), None)])])]);
    parent.until(|message| {
        matches!(
            message,
            CheckdToParent::Common(FromDaemon::Refused { reason: Refusal::NeedsWiderSandbox, .. })
        )
    });
}
