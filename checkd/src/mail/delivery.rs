//! One letter's way into a mail server: HELO, sender, recipients, text (RFC 5321 section 3.3).
//!
//! Decides from reply codes alone, as keepalived does, but a recipient that is refused doesn't keep the others from
//! their mail. Called by the driver for each piece that arrives; every byte is untrusted, and a reply is bounded.

use std::io;

use config::model::mail::{MailSettings, Mailbox};
use ipc::messages::checkd::Letter;

use super::message::message;
use crate::probe::smtp::{REPLY_LIMIT, reply};

/// What kept a letter back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No connection.
    Connect(io::ErrorKind),
    /// No connection in time.
    ConnectTimeout,
    /// No reply in time.
    ReplyTimeout,
    /// The server hung up.
    Closed,
    /// What came is no reply.
    NoReply,
    /// A reply longer than [`REPLY_LIMIT`].
    ReplyTooLong,
    /// A reply other than the one expected.
    Reply {
        /// The command it answers.
        command: &'static str,
        /// Its code.
        code: u16,
    },
}

impl Trouble {
    /// In the words that keepalived's log has for it.
    #[must_use]
    pub fn told(&self, server: &str) -> String {
        match self {
            Self::Connect(kind) => format!("SMTP connection ERROR to {server}: {kind}"),
            Self::ConnectTimeout => format!("Timeout connecting SMTP server {server}"),
            Self::ReplyTimeout => format!("Timeout reading data to remote SMTP server {server}"),
            Self::Closed => format!("Remote SMTP server {server} has closed the connection"),
            Self::NoReply => format!("Remote SMTP server {server} sent no reply code"),
            Self::ReplyTooLong => format!("Remote SMTP server {server} sent too long a reply"),
            Self::Reply { command, code } => {
                format!("Error processing {command} cmd on SMTP server {server}. SMTP status code = {code}")
            }
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The server took the letter.
    Delivered {
        /// Recipients that it wants to be asked for again later.
        later: Vec<Mailbox>,
        /// Recipients that it refused, and the last code.
        refused: u32,
        /// Code of the last refusal.
        code: u16,
    },
    /// It may take it later.
    Later(Trouble),
    /// It won't.
    Never(Trouble),
}

/// One attempt.
#[derive(Debug)]
pub struct Delivery {
    stage: Stage,
    line: Vec<u8>,
    taken: usize,
    recipients: Vec<Mailbox>,
    /// Recipient that was named last.
    at: usize,
    accepted: u32,
    refused: u32,
    later: Vec<Mailbox>,
    last_trouble: Option<Trouble>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Helo,
    Mail,
    Recipient,
    Data,
    Text,
}

impl Stage {
    fn command(self) -> &'static str {
        match self {
            Self::Greeting => "(E)SMTP",
            Self::Helo => "HELO",
            Self::Mail => "MAIL",
            Self::Recipient => "RCPT",
            Self::Data => "DATA",
            Self::Text => "BODY",
        }
    }
}

impl Delivery {
    /// An attempt for these recipients, at least one.
    #[must_use]
    pub fn new(recipients: Vec<Mailbox>) -> Self {
        Self {
            stage: Stage::Greeting,
            line: Vec::new(),
            taken: 0,
            recipients,
            at: 0,
            accepted: 0,
            refused: 0,
            later: Vec::new(),
            last_trouble: None,
        }
    }

    /// Takes the next bytes of the server and appends what to say to `output`. `None` means that more is needed; after
    /// an end nothing more is expected, and `output` takes leave.
    pub fn receive(
        &mut self,
        settings: &MailSettings,
        letter: &Letter,
        bytes: &[u8],
        output: &mut Vec<u8>,
    ) -> Option<End> {
        for &byte in bytes {
            self.taken = self.taken.saturating_add(1);
            if self.taken > REPLY_LIMIT {
                return Some(End::Later(Trouble::ReplyTooLong));
            }
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let Some((code, more)) = reply(&line) else { return Some(End::Later(Trouble::NoReply)) };
            if more {
                continue;
            }
            self.taken = 0;
            if let Some(end) = self.answer(settings, letter, code, output) {
                output.extend_from_slice(b"QUIT\r\n");
                return Some(end);
            }
        }
        None
    }

    fn answer(
        &mut self,
        settings: &MailSettings,
        letter: &Letter,
        code: u16,
        output: &mut Vec<u8>,
    ) -> Option<End> {
        let mut say = |text: &str| output.extend_from_slice(text.as_bytes());
        let trouble = Trouble::Reply { command: self.stage.command(), code };
        self.stage = match (self.stage, code) {
            (Stage::Greeting, 220) => {
                say(&format!("HELO {}\r\n", settings.helo_name));
                Stage::Helo
            }
            (Stage::Helo, 250) => {
                say(&format!("MAIL FROM:<{}>\r\n", settings.from.address));
                Stage::Mail
            }
            (Stage::Mail, 250) => {
                self.name_recipient(output);
                Stage::Recipient
            }
            (Stage::Recipient, 421) => return Some(End::Later(trouble)),
            (Stage::Recipient, code) => {
                self.judge_recipient(code, trouble);
                self.at = self.at.saturating_add(1);
                if self.at < self.recipients.len() {
                    self.name_recipient(output);
                    Stage::Recipient
                } else if self.accepted > 0 {
                    say("DATA\r\n");
                    Stage::Data
                } else if self.later.is_empty() {
                    return Some(End::Never(self.last_trouble.unwrap_or(trouble)));
                } else {
                    return Some(End::Later(self.last_trouble.unwrap_or(trouble)));
                }
            }
            (Stage::Data, 354) => {
                say(&message(settings, letter));
                Stage::Text
            }
            (Stage::Text, 250) => {
                let later = std::mem::take(&mut self.later);
                return Some(End::Delivered { later, refused: self.refused, code: self.last_code() });
            }
            (Stage::Mail | Stage::Data | Stage::Text, 500..=599) => return Some(End::Never(trouble)),
            (Stage::Greeting | Stage::Helo | Stage::Mail | Stage::Data | Stage::Text, _) => {
                return Some(End::Later(trouble));
            }
        };
        None
    }

    fn name_recipient(&self, output: &mut Vec<u8>) {
        let address = self.recipients.get(self.at).map_or("", |mailbox| &mailbox.address);
        output.extend_from_slice(format!("RCPT TO:<{address}>\r\n").as_bytes());
    }

    fn judge_recipient(&mut self, code: u16, trouble: Trouble) {
        match code {
            200..=299 => self.accepted = self.accepted.saturating_add(1),
            500..=599 => {
                self.refused = self.refused.saturating_add(1);
                self.last_trouble = Some(trouble);
            }
            _ => {
                self.later.extend(self.recipients.get(self.at).cloned());
                self.last_trouble = Some(trouble);
            }
        }
    }

    fn last_code(&self) -> u16 {
        match self.last_trouble {
            Some(Trouble::Reply { code, .. }) => code,
            Some(
                Trouble::Connect(_)
                | Trouble::ConnectTimeout
                | Trouble::ReplyTimeout
                | Trouble::Closed
                | Trouble::NoReply
                | Trouble::ReplyTooLong,
            )
            | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn mailbox(address: &str) -> Mailbox {
        Mailbox { name: String::new(), address: address.to_owned() }
    }

    fn talk(replies: &[&str]) -> (Option<End>, String) {
        let settings = MailSettings {
            server: "192.0.2.1:25".parse().unwrap(),
            helo_name: "lb1".to_owned(),
            from: mailbox("root@lb1"),
            recipients: vec![mailbox("a@x"), mailbox("b@x")],
            timeout: Duration::from_secs(30),
            servers_only: false,
        };
        let letter = Letter { number: 1, sent: 0, offset: 0, subject: "S".to_owned(), body: "B".to_owned() };
        let mut delivery = Delivery::new(settings.recipients.clone());
        let mut output = Vec::new();
        for reply in replies {
            let end = delivery.receive(&settings, &letter, reply.as_bytes(), &mut output);
            if end.is_some() {
                return (end, String::from_utf8(output).unwrap());
            }
        }
        (None, String::from_utf8(output).unwrap())
    }

    fn delivered(later: &[&str], refused: u32, code: u16) -> Option<End> {
        let later = later.iter().map(|address| mailbox(address)).collect();
        Some(End::Delivered { later, refused, code })
    }

    const HEAD: &str = "220 mail\r\n250 hello\r\n250 sender\r\n";

    #[test]
    fn a_server_that_takes_everything_hears_the_whole_letter() {
        let (end, said) = talk(&[HEAD, "250 a\r\n250 b\r\n354 go\r\n", "250-queued\r\n250 as 7\r\n"]);
        assert_eq!(end, delivered(&[], 0, 0));
        let (before, text) = said.split_once("DATA\r\n").unwrap();
        assert_eq!(before, "HELO lb1\r\nMAIL FROM:<root@lb1>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\n");
        assert!(text.ends_with("\r\n\r\nB\r\n\r\n.\r\nQUIT\r\n"), "{text}");
    }

    #[test]
    fn a_refused_recipient_does_not_keep_the_others_from_their_mail() {
        assert_eq!(talk(&[HEAD, "550 no\r\n250 b\r\n354 go\r\n250 ok\r\n"]).0, delivered(&[], 1, 550));
        assert_eq!(talk(&[HEAD, "451 no\r\n250 b\r\n354 go\r\n250 ok\r\n"]).0, delivered(&["a@x"], 0, 451));
    }

    #[test]
    fn without_a_recipient_the_letter_waits_or_is_given_up() {
        let reply = |code| Trouble::Reply { command: "RCPT", code };
        assert_eq!(talk(&[HEAD, "550 no\r\n551 no\r\n"]).0, Some(End::Never(reply(551))));
        assert_eq!(talk(&[HEAD, "450 no\r\n550 no\r\n"]).0, Some(End::Later(reply(550))));
        assert_eq!(talk(&[HEAD, "421 bye\r\n"]).0, Some(End::Later(reply(421))));
    }

    #[test]
    fn a_busy_server_is_asked_later_and_one_that_refuses_is_not() {
        let reply = |command, code| Trouble::Reply { command, code };
        assert_eq!(talk(&["554 no\r\n"]).0, Some(End::Later(reply("(E)SMTP", 554))));
        assert_eq!(talk(&["220 a\r\n250 a\r\n451 b\r\n"]).0, Some(End::Later(reply("MAIL", 451))));
        assert_eq!(talk(&["220 a\r\n250 a\r\n550 b\r\n"]).0, Some(End::Never(reply("MAIL", 550))));
        let spam = talk(&[HEAD, "250 a\r\n250 b\r\n354 go\r\n554 spam\r\n"]).0;
        assert_eq!(spam, Some(End::Never(reply("BODY", 554))));
    }

    #[test]
    fn what_is_no_reply_or_never_ends_is_given_up_for_now() {
        assert_eq!(talk(&["SSH-2.0\r\n"]).0, Some(End::Later(Trouble::NoReply)));
        assert_eq!(talk(&["220-x\r\n".repeat(3000).as_str()]).0, Some(End::Later(Trouble::ReplyTooLong)));
    }

    #[test]
    fn troubles_are_told_in_the_words_of_keepalived() {
        let server = "[192.0.2.1]:25";
        assert_eq!(
            Trouble::Reply { command: "RCPT", code: 550 }.told(server),
            "Error processing RCPT cmd on SMTP server [192.0.2.1]:25. SMTP status code = 550"
        );
        assert_eq!(
            Trouble::ReplyTimeout.told(server),
            "Timeout reading data to remote SMTP server [192.0.2.1]:25"
        );
        assert_eq!(
            Trouble::Closed.told(server),
            "Remote SMTP server [192.0.2.1]:25 has closed the connection"
        );
    }

    proptest! {
        #[test]
        fn any_replies_end_within_a_bounded_number_of_words(codes in prop::collection::vec(200_u16..600, 0..40)) {
            let text: String = codes.iter().map(|code| format!("{code} x\r\n")).collect();
            let (_, said) = talk(&[&text]);
            prop_assert!(said.matches("RCPT").count() <= 2 && said.len() < 400);
        }
    }
}
