//! All checkers and services of one configuration, and how a result travels from one to the other.
//!
//! Decides which server a checker speaks for; what a reload keeps is [`succession`]'s, what others are told [`telling`]'s and
//! [`answers`]'. States are [`crate::verdict`]'s and [`crate::desired`]'s; when a checker runs is
//! [`crate::schedule`]'s. Called by the driver with models from the parent (decoded, not trusted to be consistent) and
//! outcomes.

mod answers;
mod succession;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::check::{Carrier, Check, CheckKind, HttpUrl, RealServer, VirtualServer};
use config::model::mail::MailSettings;
use config::model::parts::CheckHead;
use config::model::tls::TlsFiles;
use config::model::units::{CheckId, FileId, Generation, MonoTime, ScriptId, ServiceId, Weight};
use ipc::messages::checkd::{QuorumState, Verdict};

use crate::desired::{Effect, Occasion, Service};
use crate::probe::file as file_probe;
use crate::probe::http::BodyLength;
use crate::probe::{Failure, Outcome};
use crate::verdict::{Change, Next, Standing};
use crate::wording;

/// Why a model can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// The head announces another number of items.
    #[error("{what}: head says {expected}, {got} came")]
    Count {
        /// Of what.
        what: &'static str,
        /// What the head says.
        expected: u32,
        /// What came.
        got: usize,
    },
    /// A checker's number is not its position.
    #[error("checker {got} stands at position {expected}")]
    Number {
        /// Its position.
        expected: usize,
        /// Its number.
        got: CheckId,
    },
    /// An HTTP check has no url.
    #[error("checker {0} has no url")]
    NoUrl(CheckId),
}

/// One generation.
#[derive(Debug)]
pub struct Roster {
    generation: Generation,
    services: Vec<Service>,
    checkers: Vec<Checker>,
    /// Services whose checks rest, because no address of theirs is on this machine.
    suspended: Vec<bool>,
    /// `rs_init_notifies`.
    init_notifies: bool,
    mail: Option<Box<MailSettings>>,
    /// The time, as last told: ends of runs carry it.
    now: MonoTime,
    tls: Arc<TlsFiles>,
    /// Lengths of bodies that have been told, by checker and url: what the header says and what came.
    odd_lengths: BTreeMap<(usize, usize), (u64, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Checker {
    place: Place,
    standing: Standing,
    /// Its last run in this process: when, and how it ended.
    last: Option<(MonoTime, Outcome)>,
}

/// What the checkers of a configuration need of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// TCP ports that they connect to.
    pub tcp_ports: BTreeSet<u16>,
    /// TCP ports that they connect from, 0 for any, where they say so.
    pub tcp_sources: BTreeSet<u16>,
    /// They send datagrams.
    pub udp: bool,
}

/// Where a checker stands in the model: virtual server, real server, checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    service: usize,
    server: usize,
    check: usize,
}

/// What taking an outcome led to, besides effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When the checker runs next.
    pub next: Next,
    /// The parent's copy of its verdict is out of date.
    pub changed: bool,
}

impl Roster {
    /// A configuration without services, to which [`Self::add`] adds.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        Self {
            generation,
            services: Vec::new(),
            checkers: Vec::new(),
            suspended: Vec::new(),
            init_notifies: false,
            mail: None,
            now: MonoTime::default(),
            tls: Arc::default(),
            odd_lengths: BTreeMap::new(),
        }
    }

    /// Tells the time.
    pub fn tell_time(&mut self, now: MonoTime) {
        self.now = now;
    }

    /// Adds the next virtual server of the model.
    ///
    /// # Errors
    /// A checker is numbered wrongly, or an HTTP check has no url.
    pub fn add(&mut self, model: VirtualServer) -> Result<(), Inconsistent> {
        let service = self.services.len();
        for (server, real) in model.real_servers.iter().enumerate() {
            for (check, model) in real.checks.iter().enumerate() {
                let expected = self.checkers.len();
                if model.id.index() != expected {
                    return Err(Inconsistent::Number { expected, got: model.id });
                }
                if matches!(&model.kind, CheckKind::Http(http) if http.urls.is_empty()) {
                    return Err(Inconsistent::NoUrl(model.id));
                }
                let place = Place { service, server, check };
                self.checkers.push(Checker { place, standing: Standing::new(model.alpha), last: None });
            }
        }
        self.suspended.push(model.ha_suspend);
        self.services.push(Service::new(service_id(service), model));
        Ok(())
    }

    /// Compares with what the head of the model announced, and takes the settings that all services share.
    ///
    /// # Errors
    /// Fewer or more items came.
    pub fn complete(&mut self, head: &CheckHead) -> Result<(), Inconsistent> {
        self.init_notifies = head.init_notifies;
        self.mail.clone_from(&head.mail);
        self.tls = Arc::new(head.tls.clone());
        let counts = [
            ("virtual servers", head.virtual_servers, self.services.len()),
            ("checkers", head.checks, self.checkers.len()),
        ];
        match counts.into_iter().find(|&(_, expected, got)| usize::try_from(expected) != Ok(got)) {
            Some((what, expected, got)) => Err(Inconsistent::Count { what, expected, got }),
            None => Ok(()),
        }
    }

    /// Number of the configuration.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Where mail goes, if any is sent.
    #[must_use]
    pub fn mail(&self) -> Option<&MailSettings> {
        self.mail.as_deref()
    }

    /// Certificates and keys that checkers need.
    #[must_use]
    pub fn tls(&self) -> Arc<TlsFiles> {
        Arc::clone(&self.tls)
    }

    /// Number of checkers.
    #[must_use]
    pub fn checks(&self) -> usize {
        self.checkers.len()
    }

    /// An address of these services has come to this machine, or has gone from it: with `ha_suspend` their checks
    /// go on or rest.
    pub fn set_here(&mut self, services: &[ServiceId], here: bool, out: &mut Vec<Effect>) {
        for id in services {
            let index = id.index();
            let (Some(service), Some(suspended)) = (self.services.get(index), self.suspended.get_mut(index))
            else {
                continue;
            };
            let config = service.config();
            if !config.ha_suspend || std::mem::replace(suspended, !here) != here {
                continue;
            }
            let verb = if here { "Activating" } else { "Suspending" };
            for server in &config.real_servers {
                let (server, service, checks) = (&server.name, &config.name, &server.checks);
                // keepalived lets those of files rest, too, and never tells that they began.
                for _ in checks.iter().filter(|check| runs(check) || !here) {
                    out.push(Effect::Log(format!(
                        "{verb} healthchecker for service {server} for VS {service}"
                    )));
                }
            }
        }
    }

    /// The checker rests.
    #[must_use]
    pub fn is_suspended(&self, position: usize) -> bool {
        let service = self.checkers.get(position).map(|checker| checker.place.service);
        service.and_then(|service| self.suspended.get(service)).is_some_and(|suspended| *suspended)
    }

    /// Number of virtual servers.
    #[must_use]
    pub fn services(&self) -> usize {
        self.services.len()
    }

    /// One checker's configuration.
    #[must_use]
    pub fn check(&self, position: usize) -> Option<&Check> {
        let place = self.checkers.get(position)?.place;
        self.real_server(place)?.checks.get(place.check)
    }

    /// The url that an HTTP checker fetches next.
    #[must_use]
    pub fn url(&self, position: usize) -> Option<&HttpUrl> {
        let CheckKind::Http(http) = &self.check(position)?.kind else { return None };
        let url = self.checkers.get(position)?.standing.url;
        http.urls.get(url).or_else(|| http.urls.first())
    }

    /// The script of a MISC_CHECK, with the checker's number.
    #[must_use]
    pub fn script(&self, position: usize) -> Option<(CheckId, ScriptId)> {
        let check = self.check(position)?;
        if let CheckKind::Misc { script, .. } = &check.kind { Some((check.id, *script)) } else { None }
    }

    /// What the checkers need of the sandbox.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        needs.tcp_ports.extend(self.mail.as_ref().map(|mail| mail.server.port()));
        for kind in (0..self.checkers.len()).filter_map(|position| Some(&self.check(position)?.kind)) {
            match (kind.carrier(), kind.endpoint()) {
                (Some(Carrier::Tcp), Some(endpoint)) => {
                    needs.tcp_ports.insert(endpoint.target.port());
                    let bound = endpoint.bind_to.is_some() || endpoint.bind_port.is_some();
                    if bound && kind.lent().is_none() {
                        needs.tcp_sources.insert(endpoint.bind_port.unwrap_or_default());
                    }
                }
                (Some(Carrier::Udp), _) => needs.udp = true,
                (Some(Carrier::Tcp | Carrier::Icmp) | None, _) => {}
            }
            if kind.lent().is_some_and(|lent| lent.bind_to.is_some()) {
                // Whether the address of a borrowed socket is here, a socket of one's own on any port finds out.
                needs.tcp_sources.insert(0);
            }
        }
        needs
    }

    /// First use, by a daemon without a predecessor: quorums start as down and are gained or not.
    pub fn start(&mut self, out: &mut Vec<Effect>) {
        self.assume_states();
        for service in &mut self.services {
            if self.init_notifies {
                service.tell_alive(|_| true, out);
            }
            service.settle(Occasion::Start, out);
        }
    }

    /// First use, by the successor of a daemon that had told these verdicts: nothing that it told is told again.
    pub fn resume(&mut self, verdicts: &[Verdict], quorums: &[QuorumState], out: &mut Vec<Effect>) {
        for verdict in verdicts {
            let retry = self.check(verdict.check.index()).map_or(0, |check| check.retry);
            if let Some(checker) = self.checkers.get_mut(verdict.check.index()) {
                // A reload may have brought it, and this process with it.
                let spared = !verdict.tested && verdict.failures < retry;
                checker.standing = Standing {
                    up: verdict.up,
                    tested: verdict.tested,
                    spared,
                    failures: if verdict.tested || spared { verdict.failures } else { 0 },
                    weight: verdict.weight,
                    ..checker.standing
                };
            }
        }
        self.assume_states();
        for service in &mut self.services {
            service.assume_quorum();
        }
        for quorum in quorums {
            if let Some(service) = self.services.get_mut(quorum.service.index()) {
                service.assume_told_quorum(quorum.up);
            }
        }
        for service in &mut self.services {
            service.settle(Occasion::Start, out);
        }
    }

    /// Takes the outcome of a run. `None` for a position that no checker has.
    pub fn take(&mut self, position: usize, outcome: Outcome, out: &mut Vec<Effect>) -> Option<Taken> {
        let place = self.checkers.get(position)?.place;
        let old = self.checkers.get(position)?.standing;
        if let (Outcome::Pass(_), false, Some(url)) = (outcome, old.up, self.url(position)) {
            let what = match (&url.regex, url.digest) {
                (Some(_), _) => "Regex match",
                (None, Some(_)) => "MD5 digest",
                (None, None) => "HTTP status code",
            };
            let server = &self.real_server(place)?.name;
            out.push(Effect::Log(format!("{what} success to {server} url({})", url.path)));
        }
        let mut standing = old;
        let check = self.check(position)?;
        let is_script = matches!(check.kind, CheckKind::Misc { .. });
        let (change, next) = standing.take(check, outcome);
        let lines = if change == Change::None { Vec::new() } else { self.lines(position, change, old.up) };
        let now = self.now;
        let checker = self.checkers.get_mut(position)?;
        checker.standing = standing;
        checker.last = Some((now, outcome));
        if change == Change::None && standing == old {
            // As before, as nearly always: nothing follows for the server.
            return Some(Taken { next, changed: false });
        }
        let (alive, weight) = self.state_of(place.service, place.server, position);
        let was_alive = self.services.get(place.service)?.is_alive(place.server);
        let news = self.news(position, change, (was_alive, alive));
        let service = self.services.get_mut(place.service)?;
        if is_script && matches!(change, Change::Down { failure: Failure::Exit(_), .. }) {
            // The weight that it set goes with it, in silence.
            service.assume(place.server, was_alive, weight);
        }
        if is_script {
            // The weight that a script sets is told before the script's success.
            service.set_weight(place.server, weight, out);
        }
        out.extend(lines.into_iter().map(Effect::Log));
        service.set_weight(place.server, weight, out);
        service.set_alive(place.server, alive, out);
        if matches!(change, Change::ConfirmedDown(_)) {
            service.confirm_down(place.server, out);
        }
        out.extend(news.map(Effect::Mail));
        let told = |standing: Standing| Standing { spared: false, url: 0, url_failed: false, ..standing };
        Some(Taken { next, changed: told(old) != told(standing) })
    }

    /// Takes how long the body of an answer was, before its run is taken, and returns the line about it: one as long as
    /// its header says has none, and what was the same the last time isn't repeated.
    pub fn measure(&mut self, position: usize, length: BodyLength) -> Option<String> {
        let checker = self.checkers.get(position)?;
        let (place, key) = (checker.place, (position, checker.standing.url));
        let BodyLength::Odd { said, received } = length else {
            self.odd_lengths.remove(&key);
            return None;
        };
        if self.odd_lengths.insert(key, (said, received)) == Some((said, received)) {
            return None;
        }
        let service = &self.services.get(place.service)?.config().name;
        let (server, path) = (&self.real_server(place)?.name, &self.url(position)?.path);
        Some(wording::odd_length(server, service, path, said, received))
    }

    /// Takes the number in a tracked file. Returns the checkers whose verdict changed with it.
    pub fn take_number(&mut self, file: FileId, value: i64, out: &mut Vec<Effect>) -> Vec<usize> {
        let mut changed = self.judge_number(file, value);
        changed.retain(|&(position, outcome)| {
            self.take(position, outcome, out).is_some_and(|taken| taken.changed)
        });
        changed.into_iter().map(|(position, _)| position).collect()
    }

    /// The number that a tracked file holds before the first use: its checkers start with what it says, `alpha` or not.
    pub fn assume_number(&mut self, file: FileId, value: i64) {
        for (position, outcome) in self.judge_number(file, value) {
            let mut standing = Standing::new(false);
            if let Some(check) = self.check(position) {
                standing.take(check, outcome);
            }
            if let Some(checker) = self.checkers.get_mut(position) {
                checker.standing = standing;
                checker.last = Some((self.now, outcome));
            }
        }
    }

    /// What a number means to the checkers of its file.
    fn judge_number(&self, file: FileId, value: i64) -> Vec<(usize, Outcome)> {
        let judge = |(position, checker): (usize, &Checker)| {
            let CheckKind::File(check) = &self.check(position)?.kind else { return None };
            let weight = self.real_server(checker.place)?.weight;
            (check.file == file).then(|| (position, file_probe::judge(check, weight, value)))
        };
        self.checkers.iter().enumerate().filter_map(judge).collect()
    }

    /// The daemon ends and withdraws everything.
    pub fn stop(&mut self, out: &mut Vec<Effect>) {
        for service in &mut self.services {
            service.stop(out);
        }
    }

    fn real_server(&self, place: Place) -> Option<&RealServer> {
        self.services.get(place.service)?.config().real_servers.get(place.server)
    }

    /// Gives every server the state that its checkers say, without a word.
    fn assume_states(&mut self) {
        self.for_each_server(|service, place, alive, weight| service.assume(place.server, alive, weight));
    }

    fn for_each_server(&mut self, mut act: impl FnMut(&mut Service, Place, bool, Weight)) {
        let mut first = 0;
        for service in 0..self.services.len() {
            let servers = self.services.get(service).map_or(0, |service| service.config().real_servers.len());
            for server in 0..servers {
                let (alive, weight) = self.state_of(service, server, first);
                let place = Place { service, server, check: 0 };
                let Some(service) = self.services.get_mut(service) else { continue };
                act(service, place, alive, weight);
                first = first.saturating_add(
                    service.config().real_servers.get(server).map_or(0, |server| server.checks.len()),
                );
            }
        }
    }

    /// State of a server by its checkers, one of which stands at `near` (or would, if it had any).
    fn state_of(&self, service: usize, server: usize, near: usize) -> (bool, Weight) {
        let Some(real) = self.real_server(Place { service, server, check: 0 }) else {
            return (false, Weight::ZERO);
        };
        let within = self.checkers.get(near).filter(|_| !real.checks.is_empty()).map_or(0, |c| c.place.check);
        let first = near.saturating_sub(within);
        let own = self.checkers.iter().skip(first).take(real.checks.len());
        let (mut alive, mut weight, mut added) = (true, real.weight, 0_i64);
        for (checker, check) in own.zip(&real.checks) {
            alive &= checker.standing.up;
            let Some(told) = checker.standing.weight else { continue };
            if let CheckKind::File(_) = check.kind {
                // What several files add is added up.
                let difference = i64::from(told.value()).saturating_sub(i64::from(real.weight.value()));
                added = added.saturating_add(difference);
            } else {
                weight = told;
            }
        }
        (alive, Weight::clamped(i64::from(weight.value()).saturating_add(added)))
    }
}

/// Nothing runs where the parent tells a number.
fn runs(check: &Check) -> bool {
    !matches!(check.kind, CheckKind::File(_))
}

fn service_id(index: usize) -> ServiceId {
    ServiceId::new(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
