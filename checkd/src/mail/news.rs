//! What mail says of real servers and quorums, in keepalived's words.

use config::model::check::CheckKind;

use crate::probe::Failure;
use crate::wording;

/// A letter before it has a number and a date; the parent puts `[router_id]` before its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What has changed.
    pub subject: String,
    /// Why.
    pub body: String,
}

impl News {
    /// A real server has come, gone, or been found in the state it was in by another checker.
    #[must_use]
    pub fn of_server(server: &str, service: &str, alive: bool, body: String) -> Self {
        let state = if alive { "UP" } else { "DOWN" };
        Self { subject: format!("Realserver {server} of virtual server {service} - {state}"), body }
    }

    /// A quorum has been gained or lost: `weight` lies on this side of `threshold`.
    #[must_use]
    pub fn of_quorum(service: &str, up: bool, what: &str, sums: Sums) -> Self {
        let state = if up { "UP" } else { "DOWN" };
        let Sums { quorum, hysteresis, threshold, weight } = sums;
        Self {
            subject: format!("Virtualserver {service} - {state}"),
            // keepalived writes a sum and "<=" whichever way it goes, and people filter by it.
            body: format!("=> {what} {quorum}+{hysteresis}={threshold} <= {weight} <="),
        }
    }
}

/// Numbers of a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// `quorum`.
    pub quorum: u32,
    /// `hysteresis`.
    pub hysteresis: u32,
    /// The sum or difference of both.
    pub threshold: i64,
    /// Weight of the live servers.
    pub weight: i64,
}

/// What a checker has found: nothing wrong, or a failure.
#[must_use]
pub fn found(kind: &CheckKind, failure: Option<Failure>) -> String {
    let plain = |name: &str, good: &str| {
        let result = if failure.is_none() { good } else { "failed" };
        format!("=> {name} {result} on service <=")
    };
    match kind {
        CheckKind::Tcp(_) => plain("TCP CHECK", "succeed"),
        CheckKind::Http(_) => match failure {
            None => plain("CHECK", "succeed"),
            Some(_) => "=> CHECK failed on service : HTTP/SSL request failed <=".to_owned(),
        },
        CheckKind::Smtp(check) => match failure {
            None => plain("CHECK", "succeed"),
            Some(failure) => {
                format!("=> CHECK failed on service : {} <=", wording::smtp_trouble(&check.endpoint, failure))
            }
        },
        CheckKind::Dns(_) => plain("DNS_CHECK:", "succeed"),
        CheckKind::Udp(_) => plain("UDP CHECK", "succeed"),
        CheckKind::Ping(_) => plain("ICMP CHECK", "succeed"),
        CheckKind::File(_) => plain("FILE CHECK", "succeed"),
        CheckKind::Misc { .. } => match failure {
            Some(Failure::ScriptTimeout) => "=> MISC CHECK timed out on service <=".to_owned(),
            Some(_) | None => plain("MISC CHECK", "succeeded"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use config::model::check::{Endpoint, SmtpCheck};
    use config::model::units::ScriptId;

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("10.77.0.11:83".parse().unwrap(), Duration::from_secs(5))
    }

    #[test]
    fn checkers_say_what_keepalived_says() {
        let tcp = CheckKind::Tcp(endpoint());
        assert_eq!(found(&tcp, None), "=> TCP CHECK succeed on service <=");
        assert_eq!(found(&tcp, Some(Failure::ConnectTimeout)), "=> TCP CHECK failed on service <=");
        let smtp = CheckKind::Smtp(SmtpCheck { endpoint: endpoint(), helo_name: "a".to_owned() });
        assert_eq!(
            found(&smtp, Some(Failure::Connect(ErrorKind::ConnectionRefused))),
            "=> CHECK failed on service : Could not connect to server [10.77.0.11]:83 <="
        );
        let script = ScriptId::new(0);
        let (command, timeout) = (String::new(), Duration::ZERO);
        let misc = CheckKind::Misc { script, command, timeout, dynamic: false };
        assert_eq!(found(&misc, None), "=> MISC CHECK succeeded on service <=");
        assert_eq!(found(&misc, Some(Failure::Exit(1))), "=> MISC CHECK failed on service <=");
    }

    #[test]
    fn a_lost_quorum_is_written_as_keepalived_writes_it() {
        let sums = Sums { quorum: 2, hysteresis: 1, threshold: 1, weight: 0 };
        let news = News::of_quorum("[10.77.0.50]:tcp:9001", false, "Lost quorum", sums);
        assert_eq!(news.subject, "Virtualserver [10.77.0.50]:tcp:9001 - DOWN");
        assert_eq!(news.body, "=> Lost quorum 2+1=1 <= 0 <=");
    }
}
