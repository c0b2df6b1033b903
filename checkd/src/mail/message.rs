//! A letter as it travels: headers as keepalived writes them, one line of text.
//!
//! Names in it come from the configuration, results from servers: nothing of them can end a line. Called by
//! [`super::delivery`].

use std::fmt::Write;

use config::model::mail::{MailSettings, Mailbox};
use ipc::messages::checkd::Letter;

/// Longest line of the list of recipients before it is folded (RFC 5322 section 2.1.1).
const FOLD: usize = 78;
/// Longest subject and longest text; a line may have 998 bytes (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 900;

/// Headers and text, ready for `DATA`, with the line that ends it.
#[must_use]
pub fn message(settings: &MailSettings, letter: &Letter) -> String {
    let mut out = String::new();
    let mut header = |name: &str, value: &str| {
        let _ = write!(out, "{name}: {value}\r\n");
    };
    header("Date", &date(letter.sent, letter.offset));
    header("From", &shown(&settings.from));
    header("Subject", &plain(&letter.subject));
    header("X-Mailer", "Keepalived");
    header("To", &recipients(&settings.recipients));
    let body = plain(&letter.body);
    let stuffing = if body.starts_with('.') { "." } else { "" };
    let _ = write!(out, "\r\n{stuffing}{body}\r\n\r\n.\r\n");
    out
}

/// All of them, separated by commas, in lines of bearable length.
fn recipients(all: &[Mailbox]) -> String {
    let mut out = String::new();
    let mut line = "To: ".len();
    for (position, mailbox) in all.iter().enumerate() {
        let next = shown(mailbox);
        if position > 0 {
            let fold = line.saturating_add(next.len()).saturating_add(2) > FOLD;
            out.push_str(if fold { ",\r\n " } else { ", " });
            line = if fold { 1 } else { line.saturating_add(2) };
        }
        line = line.saturating_add(next.len());
        out.push_str(&next);
    }
    out
}

/// `Name <address>`, the name in quotes where it has characters with a meaning (RFC 5322 section 3.2.3).
fn shown(mailbox: &Mailbox) -> String {
    let Mailbox { name, address } = mailbox;
    let address = plain(address);
    if name.is_empty() {
        return address;
    }
    let name = plain(name);
    if name.contains(|c: char| "()<>[]:;@\\,.\"".contains(c)) {
        format!("\"{}\" <{address}>", name.replace(['"', '\\'], ""))
    } else {
        format!("{name} <{address}>")
    }
}

/// One line: control characters in words, so that nothing becomes a header or a command.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
        if out.len() >= MAX_LINE {
            break;
        }
    }
    out
}

/// RFC 5322 section 3.3, for seconds since 1970 and seconds east of Greenwich.
fn date(sent: i64, offset: i32) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = sent.saturating_add(i64::from(offset));
    let (days, time) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
    };
    let (weekday, month) = (name(&DAYS, days.rem_euclid(7)), name(&MONTHS, month.saturating_sub(1)));
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let sign = if offset < 0 { '-' } else { '+' };
    let east = offset.unsigned_abs() / 60;
    let (east_hours, east_minutes) = (east / 60, east % 60);
    format!(
        "{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} {sign}{east_hours:02}{east_minutes:02}"
    )
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Counts from 1 March of the year 0
/// in eras of 400 years, so that the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let shifted = days.saturating_add(719_468);
    let (era, day) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn settings(recipients: &[&str]) -> MailSettings {
        MailSettings {
            server: "192.0.2.1:25".parse().unwrap(),
            helo_name: "lb1".to_owned(),
            from: Mailbox::parse("Keep Alive <root@lb1>").unwrap(),
            recipients: recipients.iter().map(|text| Mailbox::parse(text).unwrap()).collect(),
            timeout: Duration::from_secs(30),
            servers_only: false,
        }
    }

    fn letter(subject: &str, body: &str) -> Letter {
        let (subject, body) = (subject.to_owned(), body.to_owned());
        Letter { number: 1, sent: 1_795_312_912, offset: 0, subject, body }
    }

    #[test]
    fn a_letter_has_the_headers_that_keepalived_writes() {
        let letter = letter(
            "[LAB] VRRP Instance I1 - Entering BACKUP state",
            "=> VRRP Instance is no longer owning VRRP VIPs <=",
        );
        assert_eq!(
            message(&settings(&["a@x.org", "Big, Boss <b@x.org>"]), &letter),
            "Date: Sun, 22 Nov 2026 02:01:52 +0000\r\n\
             From: Keep Alive <root@lb1>\r\n\
             Subject: [LAB] VRRP Instance I1 - Entering BACKUP state\r\n\
             X-Mailer: Keepalived\r\n\
             To: a@x.org, \"Big, Boss\" <b@x.org>\r\n\
             \r\n\
             => VRRP Instance is no longer owning VRRP VIPs <=\r\n\
             \r\n\
             .\r\n"
        );
    }

    #[test]
    fn dates_are_local() {
        assert_eq!(date(0, 0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(date(1_709_164_800, 19_800), "Thu, 29 Feb 2024 05:30:00 +0530");
        assert_eq!(date(1_735_689_599, -12_600), "Tue, 31 Dec 2024 20:29:59 -0330");
    }

    #[test]
    fn many_recipients_are_folded() {
        let all = ["first-of-them@example.org"; 4];
        assert_eq!(
            recipients(&settings(&all).recipients),
            "first-of-them@example.org, first-of-them@example.org,\r\n \
             first-of-them@example.org, first-of-them@example.org"
        );
    }

    #[test]
    fn nothing_in_a_name_becomes_a_header_or_ends_the_text() {
        let text = message(&settings(&["a@x.org"]), &letter("a\r\nBcc: b@x.org", ".\r\n.\r\nRCPT"));
        assert!(text.contains("Subject: a\\x0d\\x0aBcc: b@x.org\r\n"));
        assert!(text.ends_with("\r\n\r\n..\\x0d\\x0a.\\x0d\\x0aRCPT\r\n\r\n.\r\n"));
    }

    proptest! {
        #[test]
        fn any_words_make_five_headers_and_one_line(subject in any::<String>(), body in any::<String>()) {
            let text = message(&settings(&["a@x.org"]), &letter(&subject, &body));
            let lines: Vec<&str> = text.split("\r\n").collect();
            prop_assert_eq!(lines.len(), 10);
            prop_assert_eq!(&lines[7..], &["", ".", ""]);
            prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
            prop_assert!(lines.iter().all(|line| line.len() < 998));
        }
    }
}
