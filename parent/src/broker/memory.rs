//! What the parent remembers of its daemons, for their successors and for those who follow the states.
//!
//! Pure. Takes what [`super`] has found to name configured things; bounded by the configuration, whatever daemons say.

use std::rc::Rc;

use config::model::parts::{CheckKey, ParentGroup, ParentService, ServerRef};
use config::model::units::{CheckId, Generation, InstanceId, Priority, ServerId, ServiceId};
use ipc::messages::checkd::{DesiredEntry, QuorumState, Verdict};
use ipc::messages::ipvsd::SyncRole;
use ipc::messages::vrrpd::{InstanceCounters, VrrpState};

use super::places::{Layout, Places};
use super::positions::Positions;
use super::{Broker, Effect, Whose};

/// What is known of one instance.
#[derive(Debug, Clone)]
pub(super) struct InstanceMemory {
    pub(super) state: VrrpState,
    pub(super) priority: Priority,
    /// What led to the state; in FAULT its reasons.
    pub(super) because: String,
    pub(super) transitions: u64,
    pub(super) released_master: u64,
    /// When the state changed last, in milliseconds since 1970.
    pub(super) changed_ms: u64,
    pub(super) counters: Option<InstanceCounters>,
}

impl Default for InstanceMemory {
    fn default() -> Self {
        Self {
            state: VrrpState::Init,
            priority: Priority::RESIGN,
            because: String::new(),
            transitions: 0,
            released_master: 0,
            changed_ms: 0,
            counters: None,
        }
    }
}

impl InstanceMemory {
    /// Why it is in FAULT; empty in every other state.
    pub(super) fn fault(&self) -> &str {
        if self.state == VrrpState::Fault { &self.because } else { "" }
    }

    /// The state is now this one.
    pub(super) fn enter(&mut self, state: VrrpState, wall_ms: u64) {
        if self.state != state {
            self.changed_ms = wall_ms;
            self.released_master =
                self.released_master.saturating_add(u64::from(self.state == VrrpState::Master));
            self.state = state;
        }
    }
}

impl Broker {
    /// Verdicts for a successor of checkd, under the identifiers of the committed configuration.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> + '_ {
        self.verdicts.iter().flatten().copied()
    }

    /// A checker that the committed configuration doesn't have keeps nothing.
    pub(super) fn remember(&mut self, verdict: Verdict) {
        self.verdicts.resize(self.committed.part.checks.len(), None);
        if let Some(known) = self.verdicts.get_mut(verdict.check.index()) {
            *known = Some(verdict);
        }
    }

    /// True when checkd, or one before it, has told everything once: its successor repeats no notification.
    #[must_use]
    pub fn has_told_whole(&self) -> bool {
        self.told_whole
    }

    /// Quorums for a successor of checkd, as last told.
    pub fn quorums(&self) -> impl Iterator<Item = QuorumState> + '_ {
        let of_services = self.service_up.iter().filter(|(_, server, _)| server.is_none());
        of_services.map(|(service, _, up)| QuorumState { service, up })
    }

    /// True when checkd has told what the table should say as a whole; an ipvsd that starts before waits for it.
    #[must_use]
    pub fn has_whole(&self) -> bool {
        self.whole
    }

    /// At most so many entries of that whole from a place on, and the place behind them; `None` behind the last one.
    #[must_use]
    pub fn whole_from(&self, place: usize, most: usize) -> (Vec<DesiredEntry>, Option<usize>) {
        let mut left = self.desired.from(place);
        let known = left.by_ref().take(most).filter_map(|(_, service, server, wish)| {
            let server = server?;
            Some(DesiredEntry { service, server, presence: self.told(service, server, wish) })
        });
        let entries = known.collect();
        (entries, left.next().map(|(place, ..)| place))
    }

    /// Instances that are Master, by identifier of the committed configuration.
    pub fn masters(&self) -> impl Iterator<Item = InstanceId> + '_ {
        (0_u32..)
            .zip(&self.instances)
            .filter(|(_, memory)| memory.state == VrrpState::Master)
            .map(|(index, _)| InstanceId::new(index))
    }

    /// What Masters held was withdrawn in a dead vrrpd's place: they are no longer Master, and everybody who follows
    /// them is told so.
    pub fn released(&mut self, out: &mut Vec<Effect>) {
        let part = Rc::clone(&self.committed.part);
        let generation = self.committed.generation;
        let mut fallen = Vec::new();
        for (memory, instance) in self.instances.iter_mut().zip(&part.instances) {
            if memory.state != VrrpState::Master {
                continue;
            }
            memory.enter(VrrpState::Fault, self.wall_ms);
            memory.because = "released: the VRRP process died and could not be succeeded in time".to_owned();
            memory.transitions = memory.transitions.saturating_add(1);
            fallen.push(&instance.name);
            out.push(Effect::Notify {
                whose: Whose::Instance,
                name: instance.name.clone(),
                state: VrrpState::Fault,
                priority: memory.priority,
                scripts: instance.notify.clone(),
                generation,
            });
        }
        for name in fallen {
            self.follow_group(name, true, out);
        }
    }

    /// An instance has changed: its group has, too, once all members agree on another state than the one that was
    /// told last.
    pub(super) fn follow_group(&mut self, instance: &str, notify: bool, out: &mut Vec<Effect>) {
        let part = Rc::clone(&self.committed.part);
        let is_member = |known: &&ParentGroup| {
            let members = known.group.members.iter().filter_map(|id| part.instances.get(id.index()));
            members.into_iter().any(|member| member.name == instance)
        };
        let Some(known) = part.groups.iter().find(is_member) else { return };
        let Some(state) = self.common_state(known) else { return };
        let before = self.groups.insert(known.group.name.clone(), state);
        if notify && before != Some(state) {
            out.push(Effect::Notify {
                whose: Whose::Group,
                name: known.group.name.clone(),
                state,
                priority: Priority::RESIGN,
                scripts: known.notify.clone(),
                generation: self.committed.generation,
            });
        }
    }

    /// The state of all members of a group of the committed configuration, `None` while they differ.
    #[must_use]
    pub fn group_state(&self, known: &ParentGroup) -> Option<VrrpState> {
        self.common_state(known)
    }

    /// The state of all members of a group of the committed configuration.
    pub(super) fn common_state(&self, known: &ParentGroup) -> Option<VrrpState> {
        let mut states = known.group.members.iter().map(|id| Some(self.instances.get(id.index())?.state));
        let first = states.next()??;
        states.all(|state| state == Some(first)).then_some(first)
    }

    /// Role of the synchronisation daemon that follows an instance; `None` before the first state is known.
    #[must_use]
    pub fn sync_role(&self) -> Option<SyncRole> {
        let followed = self.instances.get(self.committed.part.sync_follows?.index())?;
        match followed.state {
            VrrpState::Init => None,
            VrrpState::Master => Some(SyncRole::Master),
            VrrpState::Backup | VrrpState::Fault => Some(SyncRole::Backup),
        }
    }

    /// What was told of services and servers goes on by their names: who changes nothing tells nothing again.
    pub(super) fn carry_states(&mut self, layout: &Rc<Layout>) {
        let told = std::mem::replace(&mut self.service_up, Places::new(layout));
        let Some(old) = self.previous.as_ref().filter(|_| !told.is_empty()) else { return };
        let (old, new) = (&old.part.services, &self.committed.part.services);
        let services = Positions::new(old.iter().map(name), new.iter().map(name));
        for (id, known) in (0_u32..).map(ServiceId::new).zip(new) {
            let Some(old_id) = services.find(id.index(), &name(known)).map(ServiceId::new) else { continue };
            let Some(before) = old.get(old_id.index()) else { continue };
            if let Some(up) = told.get(old_id, None) {
                self.service_up.insert(id, None, up);
            }
            let servers = Positions::new(before.servers.iter(), known.servers.iter());
            for (server, name) in (0_u32..).map(ServerId::new).zip(&known.servers) {
                let before = servers.find(server.index(), &name).map(ServerId::new);
                let up = before.and_then(|server| told.get(old_id, Some(ServerRef::Real(server))));
                if let Some(up) = up {
                    self.service_up.insert(id, Some(ServerRef::Real(server)), up);
                }
            }
        }
    }

    /// A verdict of the previous configuration, as that on the same checker of the committed one.
    pub(super) fn carried(&self, verdict: Verdict) -> Option<Verdict> {
        let check = (*self.carried.get(verdict.check.index())?)?;
        Some(Verdict { check, ..verdict })
    }

    /// Parts of a whole wait for the last one: an ipvsd that starts in between must not take the rest for all.
    pub(super) fn desire(
        &mut self,
        generation: Generation,
        entries: Vec<DesiredEntry>,
        complete: bool,
        out: &mut Vec<Effect>,
    ) {
        let table = self.partial.as_mut().unwrap_or(&mut self.desired);
        for entry in &entries {
            table.insert(entry.service, Some(entry.server), entry.presence);
        }
        if complete {
            if let Some(whole) = self.partial.take() {
                self.desired = whole;
            }
            self.whole = true;
            self.told_whole = true;
            out.push(Effect::Whole);
        } else if self.partial.is_none() {
            out.push(Effect::Desired(generation, self.as_told(entries)));
        }
    }

    pub(super) fn memory(&mut self, name: &str) -> Option<&mut InstanceMemory> {
        let position = self.committed.part.instances.iter().position(|instance| instance.name == name)?;
        self.instances.get_mut(position)
    }
}

fn name(service: &ParentService) -> &str {
    &service.name
}

/// For each checker of `old` its number in `new`.
pub(super) fn numbers_by_key(old: &[CheckKey], new: &[CheckKey]) -> Vec<Option<CheckId>> {
    let positions = Positions::new(new.iter(), old.iter());
    old.iter().enumerate().map(|(at, key)| positions.find(at, &key).map(CheckId::new)).collect()
}

/// Longest reason of a daemon that is kept, in bytes.
pub(super) const LONGEST_REASON: usize = 256;
