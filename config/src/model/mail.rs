//! Where mail about changes of state goes.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `smtp_server` and what belongs to it; only made when there is a server and somebody to write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailSettings {
    /// `smtp_server`, its name resolved.
    pub server: SocketAddr,
    /// `smtp_helo_name`, default the host name.
    pub helo_name: String,
    /// `notification_email_from`, default root at the host name.
    pub from: Mailbox,
    /// `notification_email`, at least one.
    pub recipients: Vec<Mailbox>,
    /// `smtp_connect_timeout`: for the connection and for every reply, default 30 s.
    pub timeout: Duration,
    /// `no_checker_emails`: a checker alone is no news, a real server that comes or goes is.
    pub servers_only: bool,
}

/// Somebody who writes or reads mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Name in front of an address in angle brackets; empty for an address alone.
    pub name: String,
    /// The address, without angle brackets.
    pub address: String,
}

impl Mailbox {
    /// Reads `ADDRESS`, `<ADDRESS>` or `NAME <ADDRESS>`. `None` when the address can't travel in a command: it is
    /// empty, or has blanks, control characters or angle brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, address) = match text.split_once('<') {
            None => ("", text.trim()),
            Some((name, rest)) => (name.trim(), rest.trim_end().strip_suffix('>')?),
        };
        let refuses = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>');
        let usable = !address.is_empty() && address.len() <= MAX_ADDRESS && !address.contains(refuses);
        let name_is_plain = !name.contains(char::is_control);
        (usable && name_is_plain)
            .then(|| Self { name: name.replace(['"', '\\'], ""), address: address.to_owned() })
    }
}

/// Longest address (RFC 5321 section 4.5.3.1.3, without the angle brackets).
const MAX_ADDRESS: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String)> {
        Mailbox::parse(text).map(|mailbox| (mailbox.name, mailbox.address))
    }

    #[test]
    fn the_envelope_has_what_stands_in_angle_brackets() {
        let pair = |name: &str, address: &str| Some((name.to_owned(), address.to_owned()));
        assert_eq!(parsed("a@x.org"), pair("", "a@x.org"));
        assert_eq!(parsed("<a@x.org>"), pair("", "a@x.org"));
        assert_eq!(parsed("\"Boss\" <b@x.org>"), pair("Boss", "b@x.org"));
        assert_eq!(parsed("Big, Boss <b@x.org>"), pair("Big, Boss", "b@x.org"));
    }

    #[test]
    fn what_could_end_a_command_is_refused() {
        for text in
            ["", "<>", "a b@x.org", "a@x.org\r\nRCPT TO:<b@x.org>", "<a@x.org", "x\u{7}<a@x.org>", "<a>b>"]
        {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }
}
