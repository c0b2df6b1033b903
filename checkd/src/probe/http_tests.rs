//! Answers good, bad and hostile, and the property that cutting an answer into pieces changes nothing.

use std::time::Duration;

use config::model::check::Endpoint;
use proptest::prelude::*;

use super::*;
use crate::probe::DynamicWeight;

const PASS: Outcome = Outcome::Pass(DynamicWeight::Untouched);

fn check(target: &str, protocol: HttpProtocol) -> HttpCheck {
    HttpCheck {
        endpoint: Endpoint::new(target.parse().unwrap(), Duration::from_secs(5)),
        tls: None,
        protocol,
        urls: vec![url("/")],
        fast_recovery: false,
    }
}

fn url(path: &str) -> HttpUrl {
    HttpUrl::new(path)
}

/// MD5 of `hello`.
fn hello() -> HttpUrl {
    HttpUrl {
        digest: Some([
            0x5d, 0x41, 0x40, 0x2a, 0xbc, 0x4b, 0x2a, 0x76, 0xb9, 0x71, 0x9d, 0x91, 0x10, 0x17, 0xc5, 0x92,
        ]),
        ..url("/")
    }
}

fn request(check: &HttpCheck, url: &HttpUrl) -> String {
    let mut output = Vec::new();
    let _exchange = Exchange::start(check, url, &mut output);
    String::from_utf8(output).unwrap()
}

fn judge(url: &HttpUrl, pieces: &[&[u8]]) -> Outcome {
    let mut output = Vec::new();
    let mut exchange = Exchange::start(&check("192.0.2.1:80", HttpProtocol::Http10), url, &mut output);
    for piece in pieces {
        if let Some(outcome) = exchange.receive(url, piece) {
            return outcome;
        }
    }
    exchange.close(url)
}

fn lines(request: &str) -> Vec<&str> {
    let mut lines: Vec<_> = request.split("\r\n").collect();
    lines[1..].sort_unstable();
    lines
}

#[test]
fn a_request_of_http_1_0_has_no_connection_header() {
    let request = request(&check("192.0.2.1:8080", HttpProtocol::Http10), &url("/alive?x=1"));
    assert_eq!(
        lines(&request),
        ["GET /alive?x=1 HTTP/1.0", "", "", "Host: 192.0.2.1:8080", "User-Agent: KeepAliveClient"]
    );
}

#[test]
fn http_1_0c_and_1_1_ask_for_the_connection_to_be_closed() {
    let close = request(&check("[2001:db8::1]:80", HttpProtocol::Http10Close), &url("/"));
    assert_eq!(
        lines(&close),
        [
            "GET / HTTP/1.0",
            "",
            "",
            "Connection: close",
            "Host: [2001:db8::1]:80",
            "User-Agent: KeepAliveClient"
        ]
    );
    assert!(
        request(&check("192.0.2.1:80", HttpProtocol::Http11), &url("/")).starts_with("GET / HTTP/1.1\r\n")
    );
}

#[test]
fn a_virtual_host_stands_in_the_host_header_as_configured() {
    let url = HttpUrl { virtual_host: Some("www.example.com:81".to_owned()), ..url("/") };
    let request = request(&check("192.0.2.1:80", HttpProtocol::Http11), &url);
    assert_eq!(request.matches("Host: www.example.com:81\r\n").count(), 1);
    assert_eq!(request.to_ascii_lowercase().matches("host:").count(), 1);
}

#[test]
fn a_path_that_strict_writers_refuse_is_sent_as_configured() {
    for path in ["/a b", "*", "status", "'/status'", "http://www.example.com/", "?a=/b"] {
        let request = request(&check("192.0.2.1:80", HttpProtocol::Http10), &url(path));
        let expected =
            format!("GET {path} HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 192.0.2.1:80\r\n\r\n");
        assert_eq!(request, expected);
    }
}

#[test]
fn status_200_passes_at_the_end_of_the_stream() {
    assert_eq!(judge(&url("/"), &[b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello"]), PASS);
}

#[test]
fn status_codes_outside_the_ranges_fail_at_once() {
    let url = HttpUrl { status: vec![(200, 200), (301, 302)], ..url("/") };
    assert_eq!(judge(&url, &[b"HTTP/1.1 302 Found\r\n\r\n"]), PASS);
    assert_eq!(judge(&url, &[b"HTTP/1.1 303 See\r\n\r\n"]), Outcome::Fail(Failure::Status(303)));
    assert_eq!(judge(&url, &[b"HTTP/1.1 201 Made\r\n\r\n"]), Outcome::Fail(Failure::Status(201)));
}

#[test]
fn the_digest_covers_the_body_up_to_its_stated_length() {
    assert_eq!(judge(&hello(), &[b"HTTP/1.0 200 OK\r\n\r\nhello"]), PASS);
    assert_eq!(judge(&hello(), &[b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello, world"]), PASS);
    assert_eq!(judge(&hello(), &[b"HTTP/1.0 200 OK\r\n\r\nhellO"]), Outcome::Fail(Failure::Digest));
    assert_eq!(judge(&hello(), &[b"HTTP/1.0 200 OK\r\n\r\n"]), Outcome::Fail(Failure::Digest));
}

#[test]
fn chunk_framing_is_part_of_the_digest() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(judge(&hello(), &[chunked]), Outcome::Fail(Failure::Digest));
    assert_eq!(judge(&url("/"), &[chunked]), PASS);
}

#[test]
fn the_stated_length_ends_an_exchange_that_the_server_keeps_open() {
    let mut output = Vec::new();
    let url = url("/");
    let mut exchange = Exchange::start(&check("192.0.2.1:80", HttpProtocol::Http11), &url, &mut output);
    assert_eq!(exchange.receive(&url, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"), None);
    assert_eq!(exchange.receive(&url, b"c"), Some(PASS));
}

#[test]
fn a_body_of_another_length_than_stated_is_known_once_it_is_judged() {
    let length = |pieces: &[&[u8]]| {
        let (url, mut output) = (url("/"), Vec::new());
        let mut exchange = Exchange::start(&check("192.0.2.1:80", HttpProtocol::Http10), &url, &mut output);
        if pieces.iter().all(|piece| exchange.receive(&url, piece).is_none()) {
            let _judged = exchange.close(&url);
        }
        exchange.length()
    };
    let odd = |said, received| Some(BodyLength::Odd { said, received });
    let head = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n".as_slice();
    assert_eq!(length(&[head, b"one"]), Some(BodyLength::AsSaid));
    assert_eq!(length(&[head, b"on"]), odd(3, 2));
    assert_eq!(length(&[head, b"o", b"netwo"]), odd(3, 6));
    assert_eq!(length(&[b"HTTP/1.0 200 OK\r\n\r\n", b"one"]), Some(BodyLength::AsSaid));
    assert_eq!(length(&[b"HTTP/1.0 404 No\r\nContent-Length: 3\r\n\r\n", b"on"]), None);
    assert_eq!(length(&[head.get(..20).unwrap()]), None);
}

#[test]
fn a_stream_that_ends_inside_the_header_brought_no_data() {
    assert_eq!(judge(&url("/"), &[]), Outcome::Fail(Failure::NoData));
    assert_eq!(judge(&url("/"), &[b"HTTP/1.0 200 OK\r\nServer"]), Outcome::Fail(Failure::NoData));
}

#[test]
fn interim_answers_are_passed_over() {
    assert_eq!(judge(&url("/"), &[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"]), PASS);
}

#[test]
fn answers_that_are_no_proper_http_1_are_judged_by_their_code() {
    assert_eq!(judge(&url("/"), &[b"HTTP/2 200 OK\r\n\r\n"]), PASS);
    assert_eq!(judge(&url("/"), &[b"ICY 200 OK\nbad header line\n\n"]), PASS);
    assert_eq!(judge(&url("/"), &[b"ICY 404 Gone\n\n"]), Outcome::Fail(Failure::Status(404)));
    assert_eq!(
        judge(&hello(), &[b"HTTP/1.1 200 OK\r\nb@d h\xffader\r\nContent-Length: 5\r\n\r\nhello!"]),
        PASS
    );
    assert_eq!(judge(&url("/"), &[b"220 mail ESMTP\r\n\r\n"]), Outcome::Fail(Failure::NoStatus));
    assert_eq!(judge(&url("/"), &[b"HTTP/9 200\r\n\r\n"]), Outcome::Fail(Failure::NoStatus));
}

#[test]
fn a_bad_content_length_is_no_content_length() {
    assert_eq!(judge(&hello(), &[b"HTTP/1.0 200 OK\r\nContent-Length: five\r\n\r\nhello"]), PASS);
}

#[test]
fn a_header_of_16_kib_without_an_end_fails() {
    let mut answer = b"HTTP/1.0 200 OK\r\nX: ".to_vec();
    answer.resize(16 * 1024, b'x');
    assert_eq!(judge(&url("/"), &[&answer]), Outcome::Fail(Failure::HeaderTooLong));
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    assert_eq!(judge(&url("/"), &[&interim]), Outcome::Fail(Failure::HeaderTooLong));
}

#[test]
fn an_endless_body_fails_at_64_mib() {
    let mut output = Vec::new();
    let url = url("/");
    let mut exchange = Exchange::start(&check("192.0.2.1:80", HttpProtocol::Http10), &url, &mut output);
    assert_eq!(exchange.receive(&url, b"HTTP/1.0 200 OK\r\n\r\n"), None);
    let piece = vec![0; 1024 * 1024];
    for _ in 0..64 {
        assert_eq!(exchange.receive(&url, &piece), None);
    }
    assert_eq!(exchange.receive(&url, &piece), Some(Outcome::Fail(Failure::BodyTooLong)));
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        Just(b"HTTP/2 204 \r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"hello".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_cut_of_any_answer_gives_the_same_outcome(
        answer in answer(), cuts in prop::collection::vec(0_usize..200, 0..6)
    ) {
        let url = hello();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(answer.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&answer[from..cut]);
            from = cut;
        }
        pieces.push(&answer[from..]);
        let bytes: Vec<_> = answer.chunks(1).collect();
        let whole = judge(&url, &[&answer]);
        prop_assert_eq!(judge(&url, &pieces), whole);
        prop_assert_eq!(judge(&url, &bytes), whole);
    }
}
