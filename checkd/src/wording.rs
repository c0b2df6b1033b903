//! What the log says of a check's outcome, in keepalived's words.
//!
//! Decides words alone. With `log_all_failures` every failed run has a line that says what went wrong; a server that goes
//! down has one that says so, with the reason behind it where keepalived's words leave it out. Called by
//! [`crate::roster`]; whatever a server sent is in no line.

use std::io::ErrorKind;

use config::model::check::{Check, CheckKind, Endpoint};

use crate::probe::Failure;
use crate::verdict::Change;

/// Whose outcome it is.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What was checked.
    pub check: &'a Check,
    /// Name of the real server, `[ADDR]:proto:PORT`, wherever the checker connects to.
    pub server: &'a str,
    /// Name of the virtual server.
    pub service: &'a str,
    /// The checker was good before.
    pub was_up: bool,
}

/// The lines of a change.
#[must_use]
pub fn lines(subject: &Subject<'_>, change: Change) -> Vec<String> {
    let all = subject.check.log_all_failures;
    let (failure, retries) = match change {
        Change::None => return Vec::new(),
        Change::Up => return subject.success().into_iter().collect(),
        Change::Retrying { failure, left } => {
            return subject.attempt(failure, left).filter(|_| all).into_iter().collect();
        }
        Change::NeverUp(failure) => {
            return subject.trouble(failure).filter(|_| all).into_iter().collect();
        }
        Change::Down { failure, retries } => (failure, retries),
        Change::ConfirmedDown(failure) => (failure, None),
    };
    let separate = all && subject.is_told_apart() && !matches!(change, Change::ConfirmedDown(_));
    subject
        .trouble(failure)
        .filter(|_| separate)
        .into_iter()
        .chain([subject.down(failure, retries)])
        .collect()
}

/// The body of an answer has another length than its header says.
#[must_use]
pub fn odd_length(server: &str, service: &str, path: &str, said: u64, received: u64) -> String {
    format!(
        "http_check for RS {server} VS {service} url {path}: content_length ({said}) does not match received bytes \
         ({received})"
    )
}

/// What is wrong with an SMTP server, for log and mail.
#[must_use]
pub fn smtp_trouble(endpoint: &Endpoint, failure: Failure) -> String {
    let (address, port) = (endpoint.target.ip(), endpoint.target.port());
    if failure == UNREACHABLE {
        return format!("Network unreachable for server {address} - real server [{address}]:{port}");
    }
    let words = [
        (matches!(failure, Failure::ConnectTimeout), "Connection timeout to"),
        (matches!(failure, Failure::Connect(_)), "Could not connect to"),
        (matches!(failure, Failure::AnswerTimeout), "Read timeout from"),
        (matches!(failure, Failure::Greeting(_) | Failure::GreetingGarbled), "Bad greeting banner from"),
        (matches!(failure, Failure::Helo(_) | Failure::HeloGarbled), "Bad HELO response from"),
    ];
    let words = words.iter().find(|(is, _)| *is).map_or("Read failure from", |(_, words)| words);
    format!("{words} server [{address}]:{port}")
}

impl Subject<'_> {
    fn success(&self) -> Option<String> {
        let label = self.server;
        Some(match &self.check.kind {
            CheckKind::Tcp(_) => format!("TCP connection to {label} success."),
            CheckKind::Udp(_) => format!("UDP connection to {label} success."),
            CheckKind::Ping(_) => format!("ICMP connection to {label} success."),
            CheckKind::Http(_) => format!("Remote Web server {label} succeed on service."),
            CheckKind::Smtp(_) => format!("Remote SMTP server {label} succeed on service."),
            CheckKind::Misc { command, .. } => format!("{} succeeded.", self.misc(command)),
            CheckKind::File(file) if !self.was_up => {
                format!("({}): tracked file {} leaving FAULT state", self.server, file.name)
            }
            CheckKind::File(_) | CheckKind::Dns(_) => return None,
        })
    }

    /// The reason stands behind words that could mean several.
    fn smtp(&self, endpoint: &Endpoint, failure: Failure) -> String {
        if failure == UNREACHABLE {
            // Of the real server itself, wherever the checker connects to.
            let (host, port) = (self.server.rsplit_once("]:"), self.server.rsplit_once(':'));
            let (host, port) = (host.map_or("[", |(host, _)| host), port.map_or("", |(_, port)| port));
            let target = endpoint.target.ip();
            return format!(
                "SMTP_CHECK Network unreachable for server {target} - real server {host}]:{port}"
            );
        }
        let words = smtp_trouble(endpoint, failure);
        let is_vague = words.starts_with("Read failure");
        let reason = if is_vague { format!(" reason=\"{failure}\"") } else { String::new() };
        format!("SMTP_CHECK {words}{reason}")
    }

    /// Its trouble and its going down are two lines.
    fn is_told_apart(&self) -> bool {
        let kind = &self.check.kind;
        matches!(kind, CheckKind::Tcp(_) | CheckKind::Http(_) | CheckKind::Udp(_) | CheckKind::Ping(_))
    }

    /// What went wrong in a run that is forgiven.
    fn attempt(&self, failure: Failure, left: u32) -> Option<String> {
        let CheckKind::Misc { command, .. } = &self.check.kind else { return self.trouble(failure) };
        let retry = self.check.retry;
        let done = retry.saturating_sub(left);
        let after = match (done, retry) {
            (0, 1) => ", will do 1 retry".to_owned(),
            (0, _) => format!(", will do {retry} retries"),
            (_, _) => format!(" on retry {done}/{retry}"),
        };
        Some(self.script(command, failure, &after))
    }

    /// What went wrong in one run.
    fn trouble(&self, failure: Failure) -> Option<String> {
        let label = self.server;
        Some(match &self.check.kind {
            CheckKind::Tcp(_) if failure == Failure::ConnectTimeout => {
                format!("TCP connection to {label} timeout.")
            }
            // Its going down alone is told.
            CheckKind::Tcp(_) if failure == UNREACHABLE => return None,
            CheckKind::Tcp(_) => format!("TCP connection to {label} failed."),
            CheckKind::Http(http) => {
                format!("{} server {label}.", http_trouble(failure, http.tls.is_some()))
            }
            CheckKind::Smtp(smtp) => self.smtp(&smtp.endpoint, failure),
            CheckKind::Dns(dns) => self.dns(&dns.endpoint, failure),
            CheckKind::Udp(_) if matches!(failure, Failure::ReplyDiffers | Failure::ReplyLength(_)) => {
                format!("UDP check to {label} reply data mismatch.")
            }
            CheckKind::Udp(_) if failure == UNREACHABLE => {
                "UDP connect error 101 - Network is unreachable".to_owned()
            }
            CheckKind::Udp(_) => format!("UDP connection to {label} failed."),
            CheckKind::Ping(_) if failure == Failure::NoEcho => {
                format!("ICMP connection to address {label} timeout.")
            }
            CheckKind::Ping(endpoint) if endpoint.target.is_ipv4() => "send ICMP packet fail".to_owned(),
            CheckKind::Ping(_) if errno(failure).is_some() => {
                format!("send ICMPv6 packet fail - errno {}", errno(failure).unwrap_or_default())
            }
            CheckKind::Ping(_) => format!("ICMP connection to {label} of {} failed.", self.service),
            CheckKind::Misc { command, .. } => self.script(command, failure, ""),
            CheckKind::File(_) => return None,
        })
    }

    /// It goes down, after so many retries; `None` for a first run.
    fn down(&self, failure: Failure, retries: Option<u32>) -> String {
        let (label, retry) = (self.server, self.check.retry);
        let summary = |name: &str, whose: &str, retries: u32| {
            let after = if retries > 0 { format!(" after {retries} retries") } else { String::new() };
            let of = if retries > 0 { whose } else { "" };
            format!("{name} on service {label}{of} failed{after}. reason=\"{failure}\"")
        };
        let is_first = retries.is_none();
        let retries = retries.unwrap_or(0);
        match &self.check.kind {
            CheckKind::Tcp(_) => summary("TCP_CHECK", "", retries),
            CheckKind::Udp(_) => summary("UDP_CHECK", "", retries),
            CheckKind::Ping(_) => summary("ICMP CHECK", &format!(" of {}", self.service), retries),
            // It counts a first run as the last of its retries.
            CheckKind::Http(http) if http.tls.is_some() => summary("SSL_CHECK", "", retry),
            CheckKind::Http(_) => summary("HTTP_CHECK", "", retry),
            CheckKind::Smtp(smtp) => self.smtp(&smtp.endpoint, failure),
            CheckKind::Dns(dns) if !is_first => {
                format!("{} after {retries} retries", self.dns(&dns.endpoint, failure))
            }
            CheckKind::Dns(dns) => self.dns(&dns.endpoint, failure),
            CheckKind::Misc { command, .. } if retry == 0 => {
                self.script(command, failure, " with retry disabled")
            }
            CheckKind::Misc { command, .. } if retry == 1 => self.script(command, failure, " after 1 retry"),
            CheckKind::Misc { command, .. } => {
                self.script(command, failure, &format!(" after {retry} retries"))
            }
            CheckKind::File(file) => match (failure, self.was_up) {
                (Failure::FileValue(value), false) => {
                    let (server, file) = (self.server, &file.name);
                    format!("({server}): entering FAULT state (tracked file {file} has status {value})")
                }
                (_, _) => format!("({}): tracked file {} now FAULT state", self.server, file.name),
            },
        }
    }

    fn dns(&self, endpoint: &Endpoint, failure: Failure) -> String {
        let what = if failure == UNREACHABLE {
            format!("network unreachable for [{}]:{}", endpoint.target.ip(), endpoint.target.port())
        } else if let Failure::DnsStatus(code) = failure {
            format!("read error occurred. (rcode = {code})")
        } else if matches!(failure, Failure::ConnectTimeout | Failure::AnswerTimeout) {
            "read timeout from socket".to_owned()
        } else if failure == Failure::Connect(ErrorKind::ConnectionRefused) {
            "failed to read socket; errno 111 (Connection refused)".to_owned()
        } else if failure == Failure::Connect(ErrorKind::HostUnreachable) {
            "failed to read socket; errno 113 (No route to host)".to_owned()
        } else {
            format!("read error occurred. ({failure})")
        };
        format!("DNS_CHECK ({}) {what}", self.server)
    }

    fn misc(&self, command: &str) -> String {
        let program = command.split(' ').next().unwrap_or(command);
        format!("Misc check for [{} VS {}] by [{program}]", self.server, self.service)
    }

    fn script(&self, command: &str, failure: Failure, after: &str) -> String {
        let subject = self.misc(command);
        if failure == Failure::ScriptTimeout {
            format!("{subject} timed out{after}.")
        } else {
            format!("{subject} failed{after} ({failure}).")
        }
    }
}

/// No route leads to the server.
const UNREACHABLE: Failure = Failure::Connect(ErrorKind::NetworkUnreachable);

/// Number of the error with which a ping was not sent.
fn errno(failure: Failure) -> Option<i32> {
    let numbers = [
        (ErrorKind::PermissionDenied, 13),
        (ErrorKind::NetworkUnreachable, 101),
        (ErrorKind::HostUnreachable, 113),
    ];
    numbers.into_iter().find(|(kind, _)| failure == Failure::Connect(*kind)).map(|(_, number)| number)
}

fn http_trouble(failure: Failure, tls: bool) -> &'static str {
    let words = [
        (matches!(failure, Failure::Status(_) | Failure::NoStatus), "HTTP status code error to"),
        (matches!(failure, Failure::Digest), "MD5 digest error to"),
        (matches!(failure, Failure::Regex | Failure::RegexSteps), "Regex match failed"),
        (matches!(failure, Failure::ConnectTimeout | Failure::HandshakeTimeout), "Timeout connecting"),
        (failure == UNREACHABLE, "HTTP/SSL_CHECK - network unreachable"),
        (matches!(failure, Failure::Connect(_)), "Connection failed"),
        (matches!(failure, Failure::Send(_)), "Error connecting"),
        (matches!(failure, Failure::NoAnswer | Failure::AnswerTimeout) && tls, "Timeout SSL read"),
        (matches!(failure, Failure::NoAnswer), "Timeout WEB read"),
        (matches!(failure, Failure::AnswerTimeout), "Timeout HTTP read"),
        (matches!(failure, Failure::NoData), "Read, no data received from "),
        (matches!(failure, Failure::EndedEarly), "SSL read error from"),
        (matches!(failure, Failure::Tls(_)), "SSL handshake/communication error connecting to"),
    ];
    words.iter().find(|(is, _)| *is).map_or("Read error with", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::model::check::{
        DnsCheck, DnsRecord, FileCheck, HttpCheck, HttpProtocol, SmtpCheck, UdpCheck,
    };
    use config::model::units::{CheckId, FileId, ScriptId};

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("192.0.2.1:80".parse().unwrap(), Duration::from_secs(5))
    }

    fn said(kind: CheckKind, retry: u32, change: Change, was_up: bool) -> Vec<String> {
        let check = Check {
            id: CheckId::new(0),
            kind,
            alpha: false,
            delay_loop: Duration::from_secs(6),
            retry,
            delay_before_retry: Duration::from_secs(1),
            warmup: Duration::from_secs(6),
            log_all_failures: true,
        };
        let (server, service) = ("[192.0.2.1]:tcp:80", "[198.51.100.1]:tcp:80");
        lines(&Subject { check: &check, server, service, was_up }, change)
    }

    fn down(failure: Failure, retries: Option<u32>) -> Change {
        Change::Down { failure, retries }
    }

    #[test]
    fn a_web_server_that_goes_down_at_its_first_run_counts_its_retries_all_the_same() {
        let http = HttpCheck {
            endpoint: endpoint(),
            tls: None,
            protocol: HttpProtocol::Http10,
            urls: vec![],
            fast_recovery: false,
        };
        assert_eq!(
            said(CheckKind::Http(http), 3, down(Failure::Status(503), None), false),
            [
                "HTTP status code error to server [192.0.2.1]:tcp:80.",
                "HTTP_CHECK on service [192.0.2.1]:tcp:80 failed after 3 retries. reason=\"HTTP status code 503\"",
            ]
        );
    }

    #[test]
    fn a_mail_server_has_one_line_for_each_failure() {
        let smtp = || CheckKind::Smtp(SmtpCheck { endpoint: endpoint(), helo_name: "a".to_owned() });
        let expected = ["SMTP_CHECK Bad greeting banner from server [192.0.2.1]:80"];
        assert_eq!(
            said(smtp(), 1, Change::Retrying { failure: Failure::Greeting(421), left: 1 }, true),
            expected
        );
        assert_eq!(said(smtp(), 1, down(Failure::Greeting(421), Some(1)), true), expected);
    }

    #[test]
    fn a_name_server_that_comes_back_is_no_line() {
        let dns =
            || CheckKind::Dns(DnsCheck { endpoint: endpoint(), name: String::new(), record: DnsRecord::Soa });
        assert!(said(dns(), 3, Change::Up, false).is_empty());
        assert_eq!(
            said(dns(), 3, down(Failure::DnsStatus(2), Some(3)), true),
            ["DNS_CHECK ([192.0.2.1]:tcp:80) read error occurred. (rcode = 2) after 3 retries"]
        );
    }

    #[test]
    fn a_network_that_is_not_reached_has_words_of_its_own_and_a_refusal_is_no_error() {
        let http = || {
            CheckKind::Http(HttpCheck {
                endpoint: endpoint(),
                tls: None,
                protocol: HttpProtocol::Http10,
                urls: vec![],
                fast_recovery: false,
            })
        };
        let smtp = || CheckKind::Smtp(SmtpCheck { endpoint: endpoint(), helo_name: "a".to_owned() });
        let dns =
            || CheckKind::Dns(DnsCheck { endpoint: endpoint(), name: String::new(), record: DnsRecord::Soa });
        let udp = CheckKind::Udp(UdpCheck { endpoint: endpoint(), payload: vec![], reply: None });
        let ping6 =
            || CheckKind::Ping(Endpoint::new("[2001:db8::1]:80".parse().unwrap(), Duration::from_secs(5)));
        let unreachable = Failure::Connect(ErrorKind::NetworkUnreachable);
        let away = Failure::Connect(ErrorKind::HostUnreachable);
        let refused = Failure::Connect(ErrorKind::ConnectionRefused);
        let cases = [
            (http(), unreachable, "HTTP/SSL_CHECK - network unreachable server [192.0.2.1]:tcp:80."),
            (http(), refused, "Connection failed server [192.0.2.1]:tcp:80."),
            (http(), Failure::NoAnswer, "Timeout WEB read server [192.0.2.1]:tcp:80."),
            (http(), Failure::AnswerTimeout, "Timeout HTTP read server [192.0.2.1]:tcp:80."),
            (http(), Failure::EndedEarly, "SSL read error from server [192.0.2.1]:tcp:80."),
            (
                smtp(),
                Failure::NoData,
                "SMTP_CHECK Read failure from server [192.0.2.1]:80 reason=\"no data received\"",
            ),
            (
                http(),
                Failure::Receive(ErrorKind::ConnectionReset),
                "Read error with server [192.0.2.1]:tcp:80.",
            ),
            (
                smtp(),
                unreachable,
                "SMTP_CHECK Network unreachable for server 192.0.2.1 - real server [192.0.2.1]:80",
            ),
            (smtp(), Failure::GreetingGarbled, "SMTP_CHECK Bad greeting banner from server [192.0.2.1]:80"),
            (smtp(), Failure::HeloGarbled, "SMTP_CHECK Bad HELO response from server [192.0.2.1]:80"),
            (dns(), unreachable, "DNS_CHECK ([192.0.2.1]:tcp:80) network unreachable for [192.0.2.1]:80"),
            (
                dns(),
                away,
                "DNS_CHECK ([192.0.2.1]:tcp:80) failed to read socket; errno 113 (No route to host)",
            ),
            (udp.clone(), Failure::ReplyLength(300), "UDP check to [192.0.2.1]:tcp:80 reply data mismatch."),
            (udp, unreachable, "UDP connect error 101 - Network is unreachable"),
            (CheckKind::Ping(endpoint()), unreachable, "send ICMP packet fail"),
            (ping6(), away, "send ICMPv6 packet fail - errno 113"),
        ];
        for (kind, failure, expected) in cases {
            assert_eq!(said(kind, 1, Change::Retrying { failure, left: 1 }, true), [expected]);
        }
        assert_eq!(
            said(CheckKind::Tcp(endpoint()), 2, down(unreachable, Some(2)), true),
            [
                "TCP_CHECK on service [192.0.2.1]:tcp:80 failed after 2 retries. reason=\"network unreachable\""
            ]
        );
    }

    #[test]
    fn an_unreachable_mail_server_is_told_beside_its_real_server() {
        let endpoint = Endpoint::new("192.0.2.9:2525".parse().unwrap(), Duration::from_secs(5));
        let smtp = CheckKind::Smtp(SmtpCheck { endpoint, helo_name: "a".to_owned() });
        assert_eq!(
            said(smtp, 1, Change::Retrying { failure: UNREACHABLE, left: 1 }, true)[0],
            "SMTP_CHECK Network unreachable for server 192.0.2.9 - real server [192.0.2.1]:80"
        );
    }

    #[test]
    fn datagrams_scripts_and_files_have_words_of_their_own() {
        let udp = CheckKind::Udp(UdpCheck { endpoint: endpoint(), payload: vec![], reply: None });
        assert_eq!(
            said(udp, 1, down(Failure::ReplyDiffers, Some(1)), true),
            [
                "UDP check to [192.0.2.1]:tcp:80 reply data mismatch.",
                "UDP_CHECK on service [192.0.2.1]:tcp:80 failed after 1 retries. reason=\"reply differs\"",
            ]
        );
        let (script, command) = (ScriptId::new(0), "/bin/check 1".to_owned());
        let misc = CheckKind::Misc { script, command, timeout: Duration::ZERO, dynamic: false };
        let once = said(misc.clone(), 1, down(Failure::Exit(3), Some(1)), true);
        assert!(
            once.iter().all(|line| line.ends_with("failed after 1 retry (exited with status 3).")),
            "{once:?}"
        );
        let retrying = |left| Change::Retrying { failure: Failure::Exit(3), left };
        assert_eq!(
            said(misc.clone(), 2, retrying(2), true),
            [
                "Misc check for [[192.0.2.1]:tcp:80 VS [198.51.100.1]:tcp:80] by [/bin/check] failed, will do 2 \
              retries (exited with status 3)."
            ]
        );
        assert!(said(misc.clone(), 2, retrying(1), true)[0].contains("failed on retry 1/2 ("));
        assert!(said(misc.clone(), 1, retrying(1), true)[0].contains("failed, will do 1 retry ("));
        assert_eq!(
            said(misc, 0, down(Failure::Exit(3), Some(0)), true),
            [
                "Misc check for [[192.0.2.1]:tcp:80 VS [198.51.100.1]:tcp:80] by [/bin/check] failed with retry \
              disabled (exited with status 3)."
            ]
        );
        let file = || {
            CheckKind::File(FileCheck {
                file: FileId::new(0),
                name: "f".to_owned(),
                weight: 0,
                reverse: false,
            })
        };
        assert!(said(file(), 0, Change::Up, true).is_empty());
        assert_eq!(
            said(file(), 0, down(Failure::FileValue(5), Some(0)), true),
            ["([192.0.2.1]:tcp:80): tracked file f now FAULT state"]
        );
    }
}
