//! What the parent, the log and the mail are told of checkers and services.
//!
//! Reads states and changes none; words of lines are [`crate::wording`]'s, those of letters [`crate::mail::news`]'.

use config::model::check::CheckKind;
use config::model::units::{CheckId, ServerId, ServiceId};
use ipc::messages::checkd::{DesiredEntry, ServiceState, Verdict};

use super::{Roster, runs, service_id};
use crate::mail::news::{self, News};
use crate::verdict::Change;
use crate::wording;

impl Roster {
    /// Everything that the kernel's table should hold.
    pub fn table(&self) -> impl Iterator<Item = DesiredEntry> + '_ {
        self.services.iter().enumerate().flat_map(|(index, service)| {
            service.table().map(move |(server, weight)| DesiredEntry {
                service: service_id(index),
                server,
                presence: Some(weight),
            })
        })
    }

    /// Every service and every server.
    pub fn members(&self) -> impl Iterator<Item = (ServiceId, Option<ServerId>)> + '_ {
        self.services.iter().enumerate().flat_map(|(index, service)| {
            let servers = (0_u32..).zip(&service.config().real_servers);
            let servers = servers.map(|(server, _)| Some(ServerId::new(server)));
            std::iter::once(None).chain(servers).map(move |server| (service_id(index), server))
        })
    }

    /// State of a server, or of the quorum of a service.
    #[must_use]
    pub fn service_state(&self, service: ServiceId, server: Option<ServerId>) -> Option<ServiceState> {
        let known = self.services.get(service.index())?;
        let up = server.map_or(known.has_quorum(), |server| known.is_alive(server.index()));
        Some(ServiceState { service, server, up })
    }

    /// One checker's verdict, for the parent's copy.
    #[must_use]
    pub fn verdict(&self, position: usize) -> Option<Verdict> {
        let standing = self.checkers.get(position)?.standing;
        // As if its retries were used up: the first failure decides.
        let is_unspared = !standing.tested && !standing.spared;
        let retry = self.check(position).filter(|_| is_unspared).map(|check| check.retry);
        Some(Verdict {
            check: CheckId::new(u32::try_from(position).ok()?),
            up: standing.up,
            tested: standing.tested,
            failures: retry.unwrap_or(standing.failures),
            weight: standing.weight,
        })
    }

    /// The line that says that a checker begins its work, or rests from the start.
    #[must_use]
    pub fn activation(&self, position: usize) -> Option<String> {
        let place = self.checkers.get(position)?.place;
        self.check(position).filter(|check| runs(check))?;
        let (service, server) = (self.services.get(place.service)?, self.real_server(place)?);
        let verb = if self.is_suspended(position) { "Deactivating" } else { "Activating" };
        Some(format!("{verb} healthchecker for service {} for VS {}", server.name, service.config().name))
    }

    /// The real server that a checker looks at.
    pub fn server_name(&self, position: usize) -> Option<&str> {
        let server = self.real_server(self.checkers.get(position)?.place)?;
        Some(&server.name)
    }

    /// What is mailed of a checker's change, and of what that makes of its server.
    pub(super) fn news(
        &self,
        position: usize,
        change: Change,
        (was_alive, alive): (bool, bool),
    ) -> Option<News> {
        let kind = &self.check(position)?.kind;
        // keepalived's scripts tell their first result in any case.
        let always = matches!(kind, CheckKind::Misc { .. });
        if matches!(kind, CheckKind::File(_)) {
            // keepalived mails nothing of files.
            return None;
        }
        let failure = match change {
            Change::None | Change::Retrying { .. } | Change::NeverUp(_) => return None,
            // A server that was taken for good, or for bad, is no news.
            Change::Up if was_alive && !always => return None,
            Change::ConfirmedDown(_) if !always => return None,
            Change::Up => None,
            Change::Down { failure, .. } | Change::ConfirmedDown(failure) => Some(failure),
        };
        let place = self.checkers.get(position)?.place;
        let server = self.real_server(place)?;
        let settings = self.mail.as_ref().filter(|_| server.mail)?;
        if settings.servers_only && was_alive == alive {
            return None;
        }
        let body = news::found(kind, failure);
        Some(News::of_server(&server.name, &self.services.get(place.service)?.config().name, alive, body))
    }

    /// What the log says of a change.
    pub(super) fn lines(&self, position: usize, change: Change, was_up: bool) -> Vec<String> {
        let Some(check) = self.check(position) else { return Vec::new() };
        let place = self.checkers.get(position).map(|checker| checker.place);
        let Some((server, service)) =
            place.and_then(|place| self.real_server(place).zip(self.services.get(place.service)))
        else {
            return Vec::new();
        };
        let service = &service.config().name;
        wording::lines(&wording::Subject { check, server: &server.name, service, was_up }, change)
    }
}
