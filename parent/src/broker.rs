//! Checks every message of a daemon against the configuration it names, and remembers what a successor needs.
//!
//! Pure: a message goes in, [`Effect`]s come out. Daemons are not trusted: an identifier outside its table or a
//! script of another purpose is dropped and counted; a generation that was never handed out likewise.

use std::collections::BTreeMap;
use std::rc::Rc;

use config::model::parts::{CheckKey, ParentGroup, ParentPart, Presence, ServerRef};
use config::model::process::{InstanceNotify, Purpose};
use config::model::units::{CheckId, Generation, InstanceId, Priority, ScriptId, ServerId, ServiceId};
use ipc::messages::checkd::{CheckdToParent, DesiredEntry, MAX_BATCH, QuorumState, Verdict};
use ipc::messages::ctl::{Daemon, InstanceStatus, ServerStatus, ServiceStatus};
use ipc::messages::ipvsd::{Counters, MAX_STATISTICS, StatisticsEntry, SyncRole};
use ipc::messages::vrrpd::{InstanceCounters, REJECT_REASONS, VrrpState, VrrpdToParent};

/// What a message leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run a tracked script and tell vrrpd how it ended.
    RunTracked(Generation, ScriptId),
    /// Run a checker's script and tell checkd how it ended.
    RunCheck(Generation, CheckId, ScriptId),
    /// Run a script that nobody waits for.
    RunNotify(Generation, ScriptId),
    /// An instance or a group changed its state: its scripts run in order.
    Notify {
        /// Which of both.
        whose: Whose,
        /// Its name.
        name: String,
        /// New state.
        state: VrrpState,
        /// Effective priority, 0 for a group.
        priority: Priority,
        /// Its scripts.
        scripts: InstanceNotify,
        /// Configuration that the scripts belong to.
        generation: Generation,
    },
    /// A virtual server or, with a name, a real server of it went up or down.
    ServiceChanged {
        /// Name of the virtual server.
        service: String,
        /// Name of the real server.
        server: Option<String>,
        /// Up or down.
        up: bool,
    },
    /// The effective priority of an instance changed.
    PriorityChanged {
        /// Name of the instance.
        name: String,
        /// Its state.
        state: VrrpState,
        /// Its effective priority.
        priority: Priority,
    },
    /// Changes to hand on to ipvsd.
    Desired(Generation, Vec<DesiredEntry>),
    /// The whole is known: hand [`Broker::desired`] on to ipvsd.
    Whole(Generation),
}

/// Whose change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// That of a `vrrp_instance`.
    Instance,
    /// That of a `vrrp_sync_group`.
    Group,
}

impl Whose {
    /// Word of scripts and FIFOs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Instance => "INSTANCE",
            Self::Group => "GROUP",
        }
    }
}

/// A message that named something that it may not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

#[derive(Debug, Clone)]
struct InstanceMemory {
    state: VrrpState,
    priority: Priority,
    reason: String,
    transitions: u64,
    counters: Option<InstanceCounters>,
}

impl Default for InstanceMemory {
    fn default() -> Self {
        Self {
            state: VrrpState::Init,
            priority: Priority::RESIGN,
            reason: String::new(),
            transitions: 0,
            counters: None,
        }
    }
}

#[derive(Debug)]
struct Era {
    generation: Generation,
    part: Rc<ParentPart>,
}

/// What the parent remembers for its daemons.
#[derive(Debug)]
pub struct Broker {
    committed: Era,
    previous: Option<Era>,
    vrrpd_confirmed: bool,
    checkd_confirmed: bool,
    instances: Vec<InstanceMemory>,
    groups: BTreeMap<String, VrrpState>,
    verdicts: BTreeMap<CheckId, Verdict>,
    /// Numbers that checkers of the previous configuration have in the committed one.
    carried: BTreeMap<CheckId, CheckId>,
    desired: BTreeMap<(ServiceId, ServerRef), Presence>,
    whole: bool,
    /// The whole that checkd is telling; it counts when its last part is here.
    partial: Option<BTreeMap<(ServiceId, ServerRef), Presence>>,
    told_whole: bool,
    service_up: BTreeMap<(ServiceId, Option<ServerId>), bool>,
    counted: Counted,
    counting: Counted,
}

/// Counters of a service or of one of its servers.
type Counted = BTreeMap<(ServiceId, Option<ServerRef>), Counters>;

impl Broker {
    /// The first configuration.
    #[must_use]
    pub fn new(generation: Generation, part: Rc<ParentPart>) -> Self {
        let instances = vec![InstanceMemory::default(); part.instances.len()];
        Self {
            committed: Era { generation, part },
            previous: None,
            vrrpd_confirmed: true,
            checkd_confirmed: true,
            instances,
            groups: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            carried: BTreeMap::new(),
            desired: BTreeMap::new(),
            whole: false,
            partial: Some(BTreeMap::new()),
            told_whole: false,
            service_up: BTreeMap::new(),
            counted: Counted::new(),
            counting: Counted::new(),
        }
    }

    /// A new configuration is committed. What is known of instances goes on by name, verdicts go on by what the
    /// checker is: should checkd die now, its successor still knows who is dead. checkd repeats the rest under its
    /// new identifiers.
    pub fn commit(&mut self, generation: Generation, part: Rc<ParentPart>) {
        let mut known: BTreeMap<String, InstanceMemory> = std::mem::take(&mut self.instances)
            .into_iter()
            .zip(&self.committed.part.instances)
            .map(|(memory, instance)| (instance.name.clone(), memory))
            .collect();
        self.instances =
            part.instances.iter().map(|instance| known.remove(&instance.name).unwrap_or_default()).collect();
        let old = std::mem::replace(&mut self.committed, Era { generation, part });
        self.carried = numbers_by_key(&old.part.checks, &self.committed.part.checks);
        self.previous = Some(old);
        let part = Rc::clone(&self.committed.part);
        let common = |known: &ParentGroup| Some((known.group.name.clone(), self.common_state(known)?));
        self.groups = part.groups.iter().filter_map(common).collect();
        self.vrrpd_confirmed = false;
        self.checkd_confirmed = false;
        for verdict in std::mem::take(&mut self.verdicts).into_values() {
            self.carry(verdict);
        }
        self.desired.clear();
        self.whole = false;
        self.partial = Some(BTreeMap::new());
        self.carry_states();
        self.counted.clear();
        self.counting.clear();
    }

    /// A daemon uses the committed configuration: it no longer speaks of the previous one.
    pub fn confirmed(&mut self, daemon: Daemon) {
        match daemon {
            Daemon::Vrrpd => self.vrrpd_confirmed = true,
            Daemon::Checkd => {
                self.checkd_confirmed = true;
                self.partial = Some(BTreeMap::new());
            }
            Daemon::Ipvsd => {}
        }
    }

    /// Number of the committed configuration.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.committed.generation
    }

    /// The committed configuration.
    #[must_use]
    pub fn part(&self) -> &Rc<ParentPart> {
        &self.committed.part
    }

    /// The parent's part of a generation that may still be named.
    #[must_use]
    pub fn part_of(&self, generation: Generation) -> Option<&Rc<ParentPart>> {
        if generation == self.committed.generation {
            return Some(&self.committed.part);
        }
        self.previous.as_ref().filter(|era| era.generation == generation).map(|era| &era.part)
    }

    /// A message of vrrpd, other than the common ones and those about sockets.
    ///
    /// # Errors
    /// It names what it may not name.
    pub fn vrrpd(&mut self, message: VrrpdToParent, out: &mut Vec<Effect>) -> Result<(), Refused> {
        match message {
            VrrpdToParent::Transition { generation, instance, state, priority, notify, reason } => {
                let part = self.era(generation, self.vrrpd_confirmed)?;
                let known = part.instances.get(instance.index()).ok_or(Refused)?;
                let (name, scripts) = (known.name.clone(), known.notify.clone());
                if let Some(memory) = self.memory(&name) {
                    memory.state = state;
                    memory.priority = priority;
                    memory.reason = bounded(reason);
                    memory.transitions = memory.transitions.saturating_add(u64::from(notify));
                }
                if notify {
                    let (whose, name) = (Whose::Instance, name.clone());
                    out.push(Effect::Notify { whose, name, state, priority, scripts, generation });
                }
                self.follow_group(&name, notify, out);
                Ok(())
            }
            VrrpdToParent::PriorityChanged { generation, instance, priority } => {
                let part = self.era(generation, self.vrrpd_confirmed)?;
                let known = part.instances.get(instance.index()).ok_or(Refused)?;
                let (name, wanted) = (known.name.clone(), known.notify.priority_changes);
                if let Some(memory) = self.memory(&name) {
                    memory.priority = priority;
                    let state = memory.state;
                    if wanted {
                        out.push(Effect::PriorityChanged { name, state, priority });
                    }
                }
                Ok(())
            }
            VrrpdToParent::RunScript { generation, script } => {
                self.may_run(generation, script, Purpose::Tracked, self.vrrpd_confirmed)?;
                out.push(Effect::RunTracked(generation, script));
                Ok(())
            }
            VrrpdToParent::Counters(counters) => {
                if !self.vrrpd_confirmed {
                    return Ok(());
                }
                for counter in counters.into_iter().take(self.instances.len()) {
                    let memory = self.instances.get_mut(counter.instance.index()).ok_or(Refused)?;
                    memory.counters = Some(counter);
                }
                Ok(())
            }
            VrrpdToParent::Common(_) | VrrpdToParent::Vault(_) | VrrpdToParent::Unvault(_) => Err(Refused),
        }
    }

    /// A message of checkd, other than the common ones.
    ///
    /// # Errors
    /// It names what it may not name.
    pub fn checkd(&mut self, message: CheckdToParent, out: &mut Vec<Effect>) -> Result<(), Refused> {
        match message {
            CheckdToParent::Desired { generation, entries, complete } => {
                if generation != self.committed.generation || entries.len() > MAX_BATCH {
                    return Err(Refused);
                }
                for entry in &entries {
                    self.check_entry(entry)?;
                }
                self.desire(generation, entries, complete, out);
                Ok(())
            }
            CheckdToParent::Verdicts { generation, verdicts } => {
                let checks = self.era(generation, self.checkd_confirmed)?.checks.len();
                let current = generation == self.committed.generation;
                for verdict in verdicts {
                    if verdict.check.index() >= checks {
                        return Err(Refused);
                    }
                    if current {
                        self.verdicts.insert(verdict.check, verdict);
                    } else {
                        self.carry(verdict);
                    }
                }
                Ok(())
            }
            CheckdToParent::ServiceEvent { generation, service, server, up } => {
                let part = self.era(generation, self.checkd_confirmed)?;
                let known = part.services.get(service.index()).ok_or(Refused)?;
                if server.is_some_and(|server| server.index() >= known.servers.len()) {
                    return Err(Refused);
                }
                let name = known.name.clone();
                let server_name = server.and_then(|server| known.servers.get(server.index())).cloned();
                let key = (service, server);
                if generation == self.committed.generation && self.service_up.insert(key, up) != Some(up) {
                    out.push(Effect::ServiceChanged { service: name, server: server_name, up });
                }
                Ok(())
            }
            CheckdToParent::ServiceStates { generation, states } => {
                if generation != self.committed.generation || states.len() > MAX_BATCH {
                    return Err(Refused);
                }
                for state in states {
                    let known = self.committed.part.services.get(state.service.index()).ok_or(Refused)?;
                    if state.server.is_some_and(|server| server.index() >= known.servers.len()) {
                        return Err(Refused);
                    }
                    self.service_up.insert((state.service, state.server), state.up);
                }
                Ok(())
            }
            CheckdToParent::RunCheck { generation, check, script } => {
                self.may_run(generation, script, Purpose::MiscCheck, self.checkd_confirmed)?;
                out.push(Effect::RunCheck(generation, check, script));
                Ok(())
            }
            CheckdToParent::RunNotify { generation, script } => {
                self.may_run(generation, script, Purpose::ServerNotify, self.checkd_confirmed)?;
                out.push(Effect::RunNotify(generation, script));
                Ok(())
            }
            CheckdToParent::Common(_) => Err(Refused),
        }
    }

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
                .map(|(&(service, server), &presence)| DesiredEntry { service, server, presence })
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
            memory.state = VrrpState::Fault;
            memory.reason = "released: the VRRP process died and could not be succeeded in time".to_owned();
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
    fn follow_group(&mut self, instance: &str, notify: bool, out: &mut Vec<Effect>) {
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

    /// The state of all members of a group of the committed configuration.
    fn common_state(&self, known: &ParentGroup) -> Option<VrrpState> {
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

    /// What was counted so far belongs to an answer that will not be completed.
    pub fn forget_counting(&mut self) {
        self.counting.clear();
    }

    /// Counters of ipvsd; they are used once the answer is complete.
    ///
    /// # Errors
    /// They name what the committed configuration doesn't have.
    pub fn count(
        &mut self,
        generation: Generation,
        entries: &[StatisticsEntry],
        complete: bool,
    ) -> Result<(), Refused> {
        if generation != self.committed.generation || entries.len() > MAX_STATISTICS {
            return Err(Refused);
        }
        for entry in entries {
            let service = self.committed.part.services.get(entry.service.index()).ok_or(Refused)?;
            match entry.server {
                Some(ServerRef::Real(server)) if server.index() >= service.servers.len() => {
                    return Err(Refused);
                }
                Some(_) | None => {}
            }
            self.counting.insert((entry.service, entry.server), entry.counters);
        }
        if complete {
            self.counted = std::mem::take(&mut self.counting);
        }
        Ok(())
    }

    /// Instances for status.
    #[must_use]
    pub fn instance_status(&self) -> Vec<InstanceStatus> {
        let known = self.committed.part.instances.iter().zip(&self.instances);
        known
            .map(|(instance, memory)| InstanceStatus {
                name: instance.name.clone(),
                vrid: instance.vrid.value(),
                state: memory.state,
                priority: memory.priority.value(),
                reason: memory.reason.clone(),
                transitions: memory.transitions,
                sent: memory.counters.map_or(0, |counters| counters.sent),
                received: memory.counters.map_or(0, |counters| counters.received),
                rejected: memory.counters.map_or(0, |counters| {
                    counters.rejected.iter().fold(0, |sum, count| sum.saturating_add(*count))
                }),
                rejected_by: memory.counters.map(|counters| rejected_by(&counters)).unwrap_or_default(),
            })
            .collect()
    }

    /// Virtual servers for status.
    #[must_use]
    pub fn service_status(&self) -> Vec<ServiceStatus> {
        (0_u32..)
            .zip(&self.committed.part.services)
            .map(|(index, service)| {
                let id = ServiceId::new(index);
                let weight = |server| self.desired.get(&(id, server)).copied().flatten();
                let counters = |server| self.counted.get(&(id, server)).copied();
                let servers = (0_u32..).zip(&service.servers).map(|(position, name)| ServerStatus {
                    name: name.clone(),
                    up: self.service_up.get(&(id, Some(ServerId::new(position)))).copied(),
                    weight: weight(ServerRef::Real(ServerId::new(position))),
                    counters: counters(Some(ServerRef::Real(ServerId::new(position)))),
                });
                ServiceStatus {
                    name: service.name.clone(),
                    up: self.service_up.get(&(id, None)).copied(),
                    servers: servers.collect(),
                    sorry_weight: weight(ServerRef::Sorry),
                    counters: counters(None),
                    sorry_counters: counters(Some(ServerRef::Sorry)),
                }
            })
            .collect()
    }

    /// What was told of services and servers goes on by their names: who changes nothing tells nothing again.
    fn carry_states(&mut self) {
        let Some(old) = self.previous.as_ref().map(|era| Rc::clone(&era.part)) else { return };
        let told = std::mem::take(&mut self.service_up);
        let names: BTreeMap<(&str, Option<&str>), bool> = told
            .into_iter()
            .filter_map(|((service, server), up)| {
                let known = old.services.get(service.index())?;
                let name = match server {
                    Some(server) => Some(known.servers.get(server.index())?.as_str()),
                    None => None,
                };
                Some(((known.name.as_str(), name), up))
            })
            .collect();
        for (service, known) in (0_u32..).zip(&self.committed.part.services) {
            let servers =
                (0_u32..).zip(&known.servers).map(|(id, name)| (Some(ServerId::new(id)), Some(name)));
            for (server, name) in std::iter::once((None, None)).chain(servers) {
                if let Some(&up) = names.get(&(known.name.as_str(), name.map(String::as_str))) {
                    self.service_up.insert((ServiceId::new(service), server), up);
                }
            }
        }
    }

    /// A verdict of the previous configuration, kept for the same checker of the committed one.
    fn carry(&mut self, verdict: Verdict) {
        if let Some(&check) = self.carried.get(&verdict.check) {
            self.verdicts.insert(check, Verdict { check, ..verdict });
        }
    }

    /// Parts of a whole wait for the last one: an ipvsd that starts in between must not take the rest for all.
    fn desire(
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
            out.push(Effect::Desired(generation, entries));
        }
    }

    fn era(&self, generation: Generation, confirmed: bool) -> Result<&ParentPart, Refused> {
        if generation == self.committed.generation {
            return Ok(&self.committed.part);
        }
        match &self.previous {
            Some(era) if era.generation == generation && !confirmed => Ok(&era.part),
            _ => Err(Refused),
        }
    }

    fn may_run(
        &self,
        generation: Generation,
        script: ScriptId,
        purpose: Purpose,
        confirmed: bool,
    ) -> Result<(), Refused> {
        let part = self.era(generation, confirmed)?;
        match part.scripts.get(script.index()) {
            Some(known) if known.purpose == purpose => Ok(()),
            _ => Err(Refused),
        }
    }

    fn check_entry(&self, entry: &DesiredEntry) -> Result<(), Refused> {
        let service = self.committed.part.services.get(entry.service.index()).ok_or(Refused)?;
        match entry.server {
            ServerRef::Real(server) if server.index() < service.servers.len() => Ok(()),
            ServerRef::Real(_) => Err(Refused),
            ServerRef::Sorry => Ok(()),
        }
    }

    fn memory(&mut self, name: &str) -> Option<&mut InstanceMemory> {
        let position = self.committed.part.instances.iter().position(|instance| instance.name == name)?;
        self.instances.get_mut(position)
    }
}

fn rejected_by(counters: &InstanceCounters) -> BTreeMap<String, u64> {
    let counted = REJECT_REASONS.iter().zip(counters.rejected).filter(|(_, count)| *count > 0);
    counted.map(|(reason, count)| ((*reason).to_owned(), count)).collect()
}

/// For each checker of `old` its number in `new`.
fn numbers_by_key(old: &[CheckKey], new: &[CheckKey]) -> BTreeMap<CheckId, CheckId> {
    let numbers: BTreeMap<CheckKey, u32> = new.iter().copied().zip(0..).collect();
    let known = old.iter().zip(0_u32..).filter_map(|(key, number)| Some((number, *numbers.get(key)?)));
    known.map(|(old, new)| (CheckId::new(old), CheckId::new(new))).collect()
}

fn bounded(mut text: String) -> String {
    if text.len() > 256 {
        let end = (0..=256).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests;
