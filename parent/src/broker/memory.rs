//! What the parent remembers of its daemons, for their successors and for those who follow the states.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use config::model::parts::{CheckKey, ParentGroup};
use config::model::units::{CheckId, Generation, InstanceId, Priority, ServerId, ServiceId};
use ipc::messages::checkd::{DesiredEntry, QuorumState, Verdict};
use ipc::messages::ipvsd::SyncRole;
use ipc::messages::vrrpd::{InstanceCounters, VrrpState};

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
        self.verdicts.values().copied()
    }

    /// True when checkd, or one before it, has told everything once: its successor repeats no notification.
    #[must_use]
    pub fn has_told_whole(&self) -> bool {
        self.told_whole
    }

    /// Quorums for a successor of checkd, as last told.
    pub fn quorums(&self) -> impl Iterator<Item = QuorumState> + '_ {
        let states = self.service_up.iter().filter(|((_, server), _)| server.is_none());
        states.map(|(&(service, _), &up)| QuorumState { service, up })
    }

    /// The whole that a successor of ipvsd gets; `None` until checkd has told it.
    #[must_use]
    pub fn desired(&self) -> Option<Vec<DesiredEntry>> {
        self.whole.then(|| {
            self.desired
                .iter()
                .map(|(&(service, server), &wish)| DesiredEntry {
                    service,
                    server,
                    presence: self.told(service, server, wish),
                })
                .collect()
        })
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
    pub(super) fn carry_states(&mut self) {
        let Some(old) = self.previous.as_ref().map(|era| Rc::clone(&era.part)) else { return };
        let told = std::mem::take(&mut self.service_up);
        if told.is_empty() {
            return;
        }
        let mut up = Vec::with_capacity(told.len());
        let at = OldPositions::new(old.services.iter().map(|service| service.name.as_str()));
        for (id, known) in (0_u32..).zip(&self.committed.part.services) {
            let Some((old_id, before)) = at.find(id, &known.name, |id| {
                old.services.get(ServiceId::new(id).index()).map(|service| (service.name.as_str(), service))
            }) else {
                continue;
            };
            let (service, old_service) = (ServiceId::new(id), ServiceId::new(old_id));
            up.extend(told.get(&(old_service, None)).map(|up| ((service, None), *up)));
            let at = OldPositions::new(before.servers.iter().map(String::as_str));
            for (id, name) in (0_u32..).zip(&known.servers) {
                let found = at.find(id, name, |id| {
                    let name = before.servers.get(ServerId::new(id).index())?.as_str();
                    Some((name, ()))
                });
                let Some((old_id, ())) = found else { continue };
                let known = told.get(&(old_service, Some(ServerId::new(old_id))));
                up.extend(known.map(|up| ((service, Some(ServerId::new(id))), *up)));
            }
        }
        self.service_up = up.into_iter().collect();
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
        table.extend(entries.iter().map(|entry| ((entry.service, entry.server), entry.presence)));
        if complete {
            if let Some(whole) = self.partial.take() {
                self.desired = whole;
            }
            self.whole = true;
            self.told_whole = true;
            out.push(Effect::Whole(generation));
        } else if self.partial.is_none() {
            out.push(Effect::Desired(generation, self.as_told(entries)));
        }
    }

    pub(super) fn memory(&mut self, name: &str) -> Option<&mut InstanceMemory> {
        let position = self.committed.part.instances.iter().position(|instance| instance.name == name)?;
        self.instances.get_mut(position)
    }
}

/// For each checker of `old` its number in `new`. What has not moved needs no table.
pub(super) fn numbers_by_key(old: &[CheckKey], new: &[CheckKey]) -> Vec<Option<CheckId>> {
    let unmoved = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let moved: BTreeMap<CheckKey, u32> = new.iter().copied().zip(0..).skip(unmoved).collect();
    let number = |(key, number): (&CheckKey, u32)| match usize::try_from(number) {
        Ok(position) if position < unmoved => Some(CheckId::new(number)),
        _ => moved.get(key).copied().map(CheckId::new),
    };
    old.iter().zip(0_u32..).map(number).collect()
}

/// Where names stood in a list before. Most stand there still, so the table of them is made when one does not.
struct OldPositions<'n, I> {
    names: I,
    table: OnceCell<BTreeMap<&'n str, u32>>,
}

impl<'n, I: Iterator<Item = &'n str> + Clone> OldPositions<'n, I> {
    fn new(names: I) -> Self {
        Self { names, table: OnceCell::new() }
    }

    /// The old position of `name`, which stands at `position` now, and what `look` knows of it.
    fn find<T>(
        &self,
        position: u32,
        name: &str,
        look: impl Fn(u32) -> Option<(&'n str, T)>,
    ) -> Option<(u32, T)> {
        if let Some((_, known)) = look(position).filter(|(there, _)| *there == name) {
            return Some((position, known));
        }
        let table = self.table.get_or_init(|| self.names.clone().zip(0..).collect());
        let position = *table.get(name)?;
        look(position).map(|(_, known)| (position, known))
    }
}

/// Longest reason of a daemon that is kept, in bytes.
pub(super) const LONGEST_REASON: usize = 256;
