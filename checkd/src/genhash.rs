//! What `genhash` prints: the MD5 digest that HTTP_GET and SSL_GET compare, and on request what it was made from.
//!
//! Pure: the answer's bytes go through the same [`Exchange`] as those of a check, so that both agree on where the body
//! begins and ends. Called by the program; every byte of the answer is untrusted.

use std::fmt::Write;

use config::model::check::{HttpCheck, HttpUrl};
use md5::{Digest, Md5};

use crate::probe::http::Exchange;
use crate::probe::{Failure, Outcome};

/// One page on its way.
pub struct Page {
    exchange: Exchange,
    url: HttpUrl,
    received: Vec<u8>,
}

/// A url whose answer may have any status.
#[must_use]
pub fn any_answer(path: &str, virtual_host: Option<String>) -> HttpUrl {
    HttpUrl { status: vec![(0, 999)], virtual_host, ..HttpUrl::new(path) }
}

impl Page {
    /// Appends the request to `output`.
    #[must_use]
    pub fn start(check: &HttpCheck, url: HttpUrl, output: &mut Vec<u8>) -> Self {
        Self { exchange: Exchange::start(check, &url, output), url, received: Vec::new() }
    }

    /// Name for the Host header and for SNI, if one was given.
    #[must_use]
    pub fn virtual_host(&self) -> Option<&str> {
        self.url.virtual_host.as_deref()
    }

    /// Takes the next bytes; true when the page is complete.
    ///
    /// # Errors
    /// What came is no answer.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        self.received.extend_from_slice(bytes);
        match self.exchange.receive(&self.url, bytes) {
            None => Ok(false),
            Some(Outcome::Pass(_)) => Ok(true),
            Some(Outcome::Fail(failure)) => Err(failure),
        }
    }

    /// The connection ended.
    ///
    /// # Errors
    /// The answer had not begun.
    pub fn close(&mut self) -> Result<(), Failure> {
        match self.exchange.close(&self.url) {
            Outcome::Pass(_) => Ok(()),
            Outcome::Fail(failure) => Err(failure),
        }
    }

    /// Everything up to the empty line behind the header.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        let body = self.exchange.body();
        self.received.get(..body.start).unwrap_or_default()
    }

    /// The body as it came, chunk framing included.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.received.get(self.exchange.body()).unwrap_or_default()
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        Md5::digest(self.body()).into()
    }

    /// The digest in hexadecimal digits, as one line; with `verbose` also what it was made from.
    #[must_use]
    pub fn report(&self, verbose: bool) -> String {
        let digest = self.digest();
        let digits = digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        if !verbose {
            return format!("{digits}\n");
        }
        format!(
            "{}{}{}{}\n{}{}\n{}{}{}{digits}\n\n",
            title("    HTTP Header Buffer    "),
            dump(self.header()),
            title(" HTTP Header Ascii Buffer "),
            String::from_utf8_lossy(self.header()),
            title("        HTML Buffer        "),
            dump(self.body()),
            title("    HTML hash resulting    "),
            dump(&digest),
            title(" HTML hash final resulting "),
        )
    }
}

fn title(text: &str) -> String {
    format!("-----------------------[{text}]-----------------------\n")
}

/// Sixteen bytes a line: offset, hexadecimal, characters.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, row) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:04}  ", line.saturating_mul(16));
        for column in 0..16 {
            match row.get(column) {
                Some(byte) => {
                    let _ = write!(out, "{byte:02x} ");
                }
                None => out.push_str("   "),
            }
            if column == 7 {
                out.push_str("- ");
            }
        }
        out.push_str("  ");
        for column in 0..16 {
            out.push(match row.get(column) {
                Some(byte @ b' '..=b'~') => char::from(*byte),
                Some(_) => '.',
                None => ' ',
            });
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::model::check::{Endpoint, HttpProtocol};

    use super::*;

    fn page(answer: &[u8]) -> (Page, Result<bool, Failure>) {
        let target = "127.0.0.1:80".parse().unwrap();
        let check = HttpCheck {
            endpoint: Endpoint::new(target, Duration::from_secs(1)),
            tls: None,
            protocol: HttpProtocol::Http10,
            urls: vec![],
            fast_recovery: false,
        };
        let mut page = Page::start(&check, any_answer("/", None), &mut Vec::new());
        let result = page.receive(answer);
        (page, result)
    }

    #[test]
    fn the_digest_is_that_of_the_body_whatever_the_status() {
        let (page, complete) = page(b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\nhelloEXTRA");
        assert_eq!(complete, Ok(true));
        assert_eq!(page.report(false), "5d41402abc4b2a76b9719d911017c592\n");
    }

    #[test]
    fn without_a_length_the_body_ends_with_the_connection() {
        let (mut page, complete) = page(b"HTTP/1.1 200 OK\r\n\r\nhel");
        assert_eq!(complete, Ok(false));
        assert_eq!(page.receive(b"lo"), Ok(false));
        assert_eq!(page.close(), Ok(()));
        assert_eq!(page.report(false), "5d41402abc4b2a76b9719d911017c592\n");
    }

    #[test]
    fn chunks_count_with_their_framing() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let (page, _) = page(answer);
        assert_eq!(page.report(false), "79e9489e3bd3f0cb0158215341de046d\n");
    }

    #[test]
    fn an_answer_that_never_began_is_told() {
        let (mut page, _) = page(b"HTTP/1.1 200");
        assert_eq!(page.close(), Err(Failure::NoData));
    }

    #[test]
    fn interim_answers_belong_to_the_header() {
        let (page, _) = page(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(page.body(), b"hello");
    }

    #[test]
    fn dumps_have_sixteen_bytes_a_line() {
        assert_eq!(
            dump(b"close\r\n\r\n\xff0123456"),
            "0000  63 6c 6f 73 65 0d 0a 0d - 0a ff 30 31 32 33 34 35   close.....012345\n\
             0016  36                      -                           6               \n"
        );
    }
}
