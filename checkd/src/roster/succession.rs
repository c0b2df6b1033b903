//! What a reload keeps: the states of services, servers and checkers that are in both configurations.
//!
//! Decides by identity: a service as `config` says, a server by name, a checker by what it does. Called by [`Roster::replace`]; nothing
//! here comes from the network.

use std::collections::{HashMap, HashSet};

use config::model::check::{Check, CheckKind, RealServer};
use config::model::identity::continued;
use config::model::units::FileId;

use super::{Checker, Place, Roster};
use crate::desired::{Effect, Occasion, Service};
use crate::verdict::{Change, Standing};

impl Roster {
    /// Use in place of `old`, where tracked files hold these numbers. Returns for each checker its position in `old`, if
    /// it is the same. Effects that name things of the old generation go to `before`.
    pub fn replace(
        &mut self,
        mut old: Self,
        numbers: &[(FileId, i64)],
        before: &mut Vec<Effect>,
        after: &mut Vec<Effect>,
    ) -> Vec<Option<usize>> {
        let mut kept = vec![None; self.checkers.len()];
        self.assume_states();
        self.checkers.iter_mut().for_each(|checker| checker.standing.spared = true);
        let twins =
            continued(old.services.iter().map(Service::config), self.services.iter().map(Service::config));
        let told = self.init_notifies.then_some(&twins).into_iter().flatten();
        let known: Vec<HashSet<String>> = told.map(|twin| names(&old, *twin)).collect();
        let mut starts = OldPositions::of(&old);
        for (service, twin) in twins.iter().enumerate() {
            let Some(twin) = *twin else { continue };
            self.adopt(service, &old, twin, &mut starts, &mut kept, after);
            let Some(model) = self.services.get(service) else { continue };
            let staying: HashSet<&str> =
                model.config().real_servers.iter().map(|server| server.name.as_str()).collect();
            if let Some(old_service) = old.services.get_mut(twin) {
                old_service.retire(|server| !staying.contains(server.name.as_str()), before);
            }
        }
        let staying: HashSet<usize> = twins.into_iter().flatten().collect();
        for (index, service) in old.services.iter_mut().enumerate() {
            if !staying.contains(&index) {
                service.retire_all(before);
            }
        }
        for (checker, before) in self.checkers.iter_mut().zip(&kept) {
            checker.last = before.and_then(|before| old.checkers.get(before)?.last);
        }
        self.tell_newcomers(&known, after);
        let faults = self.read_files(numbers, &kept);
        self.apply_states(faults, after);
        kept
    }

    /// New checkers of files know at once what their files say, so that no server weighs anything else meanwhile. Returns
    /// the lines of those that find their servers down, by service and server.
    fn read_files(
        &mut self,
        numbers: &[(FileId, i64)],
        kept: &[Option<usize>],
    ) -> HashMap<(usize, usize), Vec<String>> {
        let mut faults: HashMap<_, Vec<String>> = HashMap::new();
        let judged: Vec<_> =
            numbers.iter().flat_map(|(file, value)| self.judge_number(*file, *value)).collect();
        for (position, outcome) in judged {
            let is_new = kept.get(position).is_some_and(Option::is_none);
            let Some(mut checker) = self.checkers.get(position).copied().filter(|_| is_new) else { continue };
            let Some(check) = self.check(position) else { continue };
            let was_up = checker.standing.up;
            let (change, _) = checker.standing.take(check, outcome);
            if matches!(change, Change::Down { .. }) {
                let Place { service, server, .. } = checker.place;
                faults.entry((service, server)).or_default().extend(self.lines(position, change, was_up));
            }
            checker.last = Some((self.now, outcome));
            if let Some(place) = self.checkers.get_mut(position) {
                *place = checker;
            }
        }
        faults
    }

    /// Those that only the new configuration has begin now: told with `rs_init_notifies`, without which nothing is known.
    fn tell_newcomers(&self, known: &[HashSet<String>], out: &mut Vec<Effect>) {
        for (service, known) in self.services.iter().zip(known) {
            service.tell_alive(|server| !known.contains(&server.name), out);
        }
    }

    /// Gives every server the state that its checkers say, and tells what that changes.
    fn apply_states(&mut self, mut faults: HashMap<(usize, usize), Vec<String>>, out: &mut Vec<Effect>) {
        self.for_each_server(|service, place, alive, weight| {
            let lines = faults.remove(&(place.service, place.server)).unwrap_or_default();
            out.extend(lines.into_iter().map(Effect::Log));
            service.set_alive(place.server, alive, out);
            service.set_weight(place.server, weight, out);
        });
        for service in &mut self.services {
            service.settle(Occasion::Start, out);
        }
    }

    /// Takes over the states of an earlier configuration of the same service.
    fn adopt(
        &mut self,
        service: usize,
        old: &Self,
        twin: usize,
        starts: &mut OldPositions,
        kept: &mut [Option<usize>],
        after: &mut Vec<Effect>,
    ) {
        let Some(old_service) = old.services.get(twin) else { return };
        let old_model = old_service.config();
        let Some(model) = self.services.get(service).map(Service::config) else { return };
        let names: HashMap<&str, usize> = old_model
            .real_servers
            .iter()
            .enumerate()
            .map(|(index, server)| (server.name.as_str(), index))
            .collect();
        let mut states = Vec::new();
        for (server, real) in model.real_servers.iter().enumerate() {
            let Some(&old_server) = names.get(real.name.as_str()) else { continue };
            let Some(old_real) = old_model.real_servers.get(old_server) else { continue };
            let alive = old_service.is_alive(old_server);
            states.push((server, alive, old_service.weight(old_server)));
            let own = starts.take(twin, old_server, old_real);
            adopt_standings(real, old_real, own, alive, &old.checkers, &mut self.checkers, kept);
        }
        let Some(service) = self.services.get_mut(service) else { return };
        service.inherit_quorum(old_service, after);
        for (server, alive, weight) in states {
            service.assume(server, alive, weight);
        }
    }
}

/// Names of the servers of a service that there was.
fn names(old: &Roster, twin: Option<usize>) -> HashSet<String> {
    let service = twin.and_then(|twin| old.services.get(twin));
    let servers = service.into_iter().flat_map(|service| &service.config().real_servers);
    servers.map(|server| server.name.clone()).collect()
}

/// Position of each old server's first checker.
struct OldPositions(HashMap<(usize, usize), usize>);

impl OldPositions {
    fn of(old: &Roster) -> Self {
        let firsts = old.checkers.iter().enumerate().filter(|(_, checker)| checker.place.check == 0);
        Self(
            firsts
                .map(|(position, checker)| ((checker.place.service, checker.place.server), position))
                .collect(),
        )
    }

    /// Positions of an old server's checkers, given out once.
    fn take(&mut self, service: usize, server: usize, real: &RealServer) -> std::ops::Range<usize> {
        let first = self.0.remove(&(service, server));
        first.map_or(0..0, |first| first..first.saturating_add(real.checks.len()))
    }
}

/// Gives the checkers of a server the standing of their twins. New ones start good on a live server; where one has
/// failed, new `alpha` ones start bad. On a server that was down the first failure of a new one decides.
fn adopt_standings(
    real: &RealServer,
    old_real: &RealServer,
    old_positions: std::ops::Range<usize>,
    was_alive: bool,
    old_checkers: &[Checker],
    checkers: &mut [Checker],
    kept: &mut [Option<usize>],
) {
    let mut free: Vec<(usize, &Check)> = old_positions.zip(&old_real.checks).collect();
    let (mut failed, mut tested) = (false, false);
    for check in &real.checks {
        let Some(at) = twin(check, &free) else { continue };
        let (old_position, _) = free.swap_remove(at);
        let (Some(old), Some(new)) = (old_checkers.get(old_position), checkers.get_mut(check.id.index()))
        else {
            continue;
        };
        new.standing = Standing { failures: old.standing.failures.min(check.retry), ..old.standing };
        failed |= !new.standing.up;
        tested |= new.standing.tested;
        if let Some(slot) = kept.get_mut(check.id.index()) {
            *slot = Some(old_position);
        }
    }
    let pessimist = failed || (!was_alive && !tested);
    for check in &real.checks {
        let is_new = kept.get(check.id.index()).is_some_and(Option::is_none);
        if let Some(new) = checkers.get_mut(check.id.index()).filter(|_| is_new) {
            new.standing = Standing { spared: was_alive, ..Standing::new(check.alpha && pessimist) };
        }
    }
}

/// The old checker that does the same. Script numbers may shift from one configuration to the next, so a MISC_CHECK
/// goes by its command.
fn twin(check: &Check, old: &[(usize, &Check)]) -> Option<usize> {
    old.iter().position(|(_, old)| match (&old.kind, &check.kind) {
        (
            CheckKind::Misc { command, dynamic, .. },
            CheckKind::Misc { command: new_command, dynamic: new_dynamic, .. },
        ) => command == new_command && dynamic == new_dynamic,
        (CheckKind::File(old), CheckKind::File(new)) => {
            (&old.name, old.weight, old.reverse) == (&new.name, new.weight, new.reverse)
        }
        (old, new) => old == new,
    })
}
