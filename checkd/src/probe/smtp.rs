//! `SMTP_CHECK`: the server greets with 220, takes HELO with 250, and says something to QUIT.
//!
//! Decides from reply codes alone (RFC 5321 section 4.2). Called by the driver for each piece that arrives; every byte is
//! untrusted, and a reply is bounded in length.

use super::{DynamicWeight, Failure, Outcome};

/// Longest reply, all of its lines together, in bytes.
pub const REPLY_LIMIT: usize = 16 * 1024;

const PASS: Outcome = Outcome::Pass(DynamicWeight::Untouched);

/// One exchange with a server.
#[derive(Debug, Default)]
pub struct Dialogue {
    stage: Stage,
    line: Vec<u8>,
    /// Bytes of the reply so far.
    taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Greeting,
    Helo,
    Quit,
}

impl Dialogue {
    /// Takes the next bytes of the server and appends what to say to `output`. `None` means that more is needed; after
    /// an outcome the exchange is over, but for what `output` holds.
    pub fn receive(&mut self, helo_name: &str, bytes: &[u8], output: &mut Vec<u8>) -> Option<Outcome> {
        for &byte in bytes {
            self.taken = self.taken.saturating_add(1);
            if self.taken > REPLY_LIMIT {
                return Some(Outcome::Fail(Failure::ReplyTooLong));
            }
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let Some((code, more)) = reply(&line) else { return Some(self.garbled()) };
            if more {
                continue;
            }
            self.taken = 0;
            match (self.stage, code) {
                (Stage::Greeting, 220) => {
                    self.stage = Stage::Helo;
                    output.extend_from_slice(format!("HELO {helo_name}\r\n").as_bytes());
                }
                (Stage::Helo, 250) => {
                    self.stage = Stage::Quit;
                    output.extend_from_slice(b"QUIT\r\n");
                }
                (Stage::Greeting, code) => return Some(Outcome::Fail(Failure::Greeting(code))),
                (Stage::Helo, code) => return Some(Outcome::Fail(Failure::Helo(code))),
                (Stage::Quit, _) => return Some(PASS),
            }
        }
        None
    }

    /// Replies that have come in full, of those before the last.
    #[must_use]
    pub fn replies(&self) -> u8 {
        match self.stage {
            Stage::Greeting => 0,
            Stage::Helo => 1,
            Stage::Quit => 2,
        }
    }

    /// A line that is no reply, which is as good as any behind QUIT.
    fn garbled(&self) -> Outcome {
        match self.stage {
            Stage::Greeting => Outcome::Fail(Failure::GreetingGarbled),
            Stage::Helo => Outcome::Fail(Failure::HeloGarbled),
            Stage::Quit => PASS,
        }
    }
}

/// Code of a reply line, and whether further lines follow.
pub(crate) fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (code, rest) = line.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = str::from_utf8(code).ok()?.parse().ok()?;
    match rest.first() {
        None | Some(b' ') => Some((code, false)),
        Some(b'-') => Some((code, true)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn talk(pieces: &[&[u8]]) -> (Option<Outcome>, String) {
        let (mut dialogue, mut output) = (Dialogue::default(), Vec::new());
        for piece in pieces {
            let outcome = dialogue.receive("me.example", piece, &mut output);
            if outcome.is_some() {
                return (outcome, String::from_utf8(output).unwrap());
            }
        }
        (None, String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_server_that_greets_and_takes_helo_passes() {
        let (outcome, said) = talk(&[b"220 mail ready\r\n", b"250 hello\r\n", b"221 bye\r\n"]);
        assert_eq!((outcome, said.as_str()), (Some(PASS), "HELO me.example\r\nQUIT\r\n"));
    }

    #[test]
    fn quit_takes_an_answer_whatever_it_says() {
        let greeted = [b"220 a\r\n".as_slice(), b"250 b\r\n"];
        assert_eq!(talk(&greeted), (None, "HELO me.example\r\nQUIT\r\n".to_owned()));
        for answer in [b"500 what\r\n".as_slice(), b"farewell\n"] {
            assert_eq!(talk(&[greeted[0], greeted[1], answer]).0, Some(PASS));
        }
    }

    #[test]
    fn replies_of_several_lines_count_once() {
        let (outcome, said) = talk(&[b"220-mail\r\n220-of many words\n220\r\n250-a\r\n250 b\r\n221 c\r\n"]);
        assert_eq!((outcome, said.as_str()), (Some(PASS), "HELO me.example\r\nQUIT\r\n"));
    }

    #[test]
    fn other_codes_fail_with_their_number() {
        assert_eq!(talk(&[b"554 no service\r\n"]).0, Some(Outcome::Fail(Failure::Greeting(554))));
        assert_eq!(talk(&[b"220 a\r\n501 b\r\n"]).0, Some(Outcome::Fail(Failure::Helo(501))));
    }

    #[test]
    fn what_is_no_reply_fails() {
        for line in [b"SSH-2.0-x\r\n".as_slice(), b"22\r\n", b"220x\r\n", b"\n"] {
            assert_eq!(talk(&[line]).0, Some(Outcome::Fail(Failure::GreetingGarbled)));
            assert_eq!(talk(&[b"220 a\r\n", line]).0, Some(Outcome::Fail(Failure::HeloGarbled)));
        }
    }

    #[test]
    fn a_reply_without_end_fails_at_16_kib() {
        assert_eq!(talk(&[&[b'2'; 16_385]]).0, Some(Outcome::Fail(Failure::ReplyTooLong)));
        assert_eq!(talk(&[&b"220-x\r\n".repeat(3000)]).0, Some(Outcome::Fail(Failure::ReplyTooLong)));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_outcome(
            parts in prop::collection::vec(prop_oneof![
                Just(b"220 a\r\n".to_vec()), Just(b"250-b\r\n".to_vec()), Just(b"250 c\n".to_vec()),
                prop::collection::vec(any::<u8>(), 0..9),
            ], 0..8)
        ) {
            let whole = parts.concat();
            let bytes: Vec<_> = whole.chunks(1).collect();
            prop_assert_eq!(talk(&[&whole]), talk(&bytes));
        }
    }
}
