//! What the checks of a server say, for an operator who asks.

use config::model::check::CheckKind;
use config::model::units::{MonoTime, ServerId, ServiceId};
use ipc::messages::ctl::explained::{CheckExplained, LastRun, MAX_CHECKS, MAX_TEXT};

use super::{Checker, Roster};
use crate::probe::Outcome;

impl Roster {
    /// Every check of a server, at most [`MAX_CHECKS`]; `next` tells when a checker runs next, `None` while it does.
    #[must_use]
    pub fn explain(
        &self,
        service: ServiceId,
        server: ServerId,
        now: MonoTime,
        next: impl Fn(usize) -> Option<MonoTime>,
    ) -> Vec<CheckExplained> {
        let of_server = |checker: &Checker| {
            checker.place.service == service.index() && checker.place.server == server.index()
        };
        let mine = self.checkers.iter().enumerate().filter(|(_, checker)| of_server(checker));
        mine.filter_map(|(position, checker)| self.explain_check(position, checker, now, next(position)))
            .take(MAX_CHECKS)
            .collect()
    }

    fn explain_check(
        &self,
        position: usize,
        checker: &Checker,
        now: MonoTime,
        next: Option<MonoTime>,
    ) -> Option<CheckExplained> {
        let check = self.check(position)?;
        let standing = checker.standing;
        Some(CheckExplained {
            kind: check.kind.keyword().to_owned(),
            target: bounded(&self.target(position, &check.kind)),
            up: standing.up,
            tested: standing.tested,
            failures: standing.failures,
            retry: check.retry,
            weight: standing.weight,
            last: checker.last.map(|(at, outcome)| LastRun {
                passed: matches!(outcome, Outcome::Pass(_)),
                reason: match outcome {
                    Outcome::Pass(_) => String::new(),
                    Outcome::Fail(failure) => bounded(&failure.to_string()),
                },
                ago_ms: millis(now.since(at)),
            }),
            next_ms: next.map(|next| millis(next.since(now))),
        })
    }

    fn target(&self, position: usize, kind: &CheckKind) -> String {
        match kind {
            CheckKind::Http(http) => {
                let path = self.url(position).map_or("", |url| url.path.as_str());
                format!("{} {path}", http.endpoint.target)
            }
            CheckKind::Ping(endpoint) => endpoint.target.ip().to_string(),
            CheckKind::File(file) => file.name.clone(),
            CheckKind::Misc { command, .. } => command.clone(),
            CheckKind::Tcp(_) | CheckKind::Smtp(_) | CheckKind::Dns(_) | CheckKind::Udp(_) => {
                kind.endpoint().map(|endpoint| endpoint.target.to_string()).unwrap_or_default()
            }
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn bounded(text: &str) -> String {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let kept = text.get(..end).unwrap_or_default();
    kept.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
