//! Checks every message of a daemon against the configuration it names.
//!
//! What it may not name is refused in `vrrpd` and `checkd`, what is remembered of the rest stands in `memory`, what is
//! told of it in `answers`.
//!
//! Pure: a message goes in, [`Effect`]s come out. Daemons are not trusted: an identifier outside its table or a
//! script of another purpose is dropped and counted; a generation that was never handed out likewise.

mod answers;
mod checkd;
mod drain;
mod find;
mod memory;
mod places;
mod positions;
mod vrrpd;

use std::collections::BTreeMap;
use std::rc::Rc;

use config::model::parts::{ParentGroup, ParentPart, Presence};
use config::model::process::{InstanceNotify, Purpose};
use config::model::units::{CheckId, Generation, Priority, ScriptId};
use ipc::messages::checkd::{DesiredEntry, Verdict};
use ipc::messages::ctl::Daemon;
use ipc::messages::ipvsd::Counters;
use ipc::messages::vrrpd::VrrpState;

use memory::{InstanceMemory, numbers_by_key};
use places::{Layout, Places};

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
    /// A Master has heard a lower priority.
    LowerPriorityHeard {
        /// Name of the instance.
        name: String,
        /// Its effective priority.
        priority: Priority,
        /// Its scripts.
        scripts: InstanceNotify,
        /// Configuration that the scripts belong to.
        generation: Generation,
    },
    /// Changes to hand on to ipvsd.
    Desired(Generation, Vec<DesiredEntry>),
    /// The whole is known: hand it on to ipvsd, see [`Broker::whole_from`].
    Whole,
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
    /// By number of the checker.
    verdicts: Vec<Option<Verdict>>,
    /// Numbers that checkers of the previous configuration have in the committed one.
    carried: Vec<Option<CheckId>>,
    /// Places of the committed configuration.
    layout: Rc<Layout>,
    desired: Places<Presence>,
    whole: bool,
    /// The whole that checkd is telling; it counts when its last part is here.
    partial: Option<Places<Presence>>,
    told_whole: bool,
    service_up: Places<bool>,
    counted: Places<Counters>,
    counting: Places<Counters>,
    /// Servers that an operator has drained.
    drained: drain::DrainedSet,
    /// The wall clock, as last told: changes of state carry it.
    wall_ms: u64,
}

impl Broker {
    /// The first configuration.
    #[must_use]
    pub fn new(generation: Generation, part: Rc<ParentPart>) -> Self {
        let instances = vec![InstanceMemory::default(); part.instances.len()];
        let layout = Layout::of(&part);
        Self {
            committed: Era { generation, part },
            previous: None,
            vrrpd_confirmed: true,
            checkd_confirmed: true,
            instances,
            groups: BTreeMap::new(),
            verdicts: Vec::new(),
            carried: Vec::new(),
            desired: Places::new(&layout),
            whole: false,
            partial: Some(Places::new(&layout)),
            told_whole: false,
            service_up: Places::new(&layout),
            counted: Places::new(&layout),
            counting: Places::new(&layout),
            layout,
            drained: drain::DrainedSet::new(),
            wall_ms: 0,
        }
    }

    /// Tells the wall clock, in milliseconds since 1970.
    pub fn tell_time(&mut self, wall_ms: u64) {
        self.wall_ms = wall_ms;
    }

    /// A new configuration is committed. What is known of instances goes on with them, verdicts go on by what the
    /// checker is: should checkd die now, its successor still knows who is dead. checkd repeats the rest under its
    /// new identifiers.
    pub fn commit(&mut self, generation: Generation, part: Rc<ParentPart>) {
        let mut known = std::mem::take(&mut self.instances);
        let recall = |position: Option<usize>| Some(std::mem::take(known.get_mut(position?)?));
        self.instances =
            self.committed.part.kept(&part).into_iter().map(recall).map(Option::unwrap_or_default).collect();
        let old = std::mem::replace(&mut self.committed, Era { generation, part });
        self.carried = numbers_by_key(&old.part.checks, &self.committed.part.checks);
        self.previous = Some(old);
        let part = Rc::clone(&self.committed.part);
        let common = |known: &ParentGroup| Some((known.group.name.clone(), self.common_state(known)?));
        self.groups = part.groups.iter().filter_map(common).collect();
        self.vrrpd_confirmed = false;
        self.checkd_confirmed = false;
        for verdict in std::mem::take(&mut self.verdicts).into_iter().flatten() {
            if let Some(verdict) = self.carried(verdict) {
                self.remember(verdict);
            }
        }
        let layout = Layout::of(&part);
        self.desired = Places::new(&layout);
        self.whole = false;
        self.partial = Some(Places::new(&layout));
        self.carry_states(&layout);
        if let Some(old) = self.previous.as_ref().map(|era| Rc::clone(&era.part)) {
            self.carry_drained(&old);
        }
        self.counted = Places::new(&layout);
        self.counting = Places::new(&layout);
        self.layout = layout;
    }

    /// A daemon uses the committed configuration: it no longer speaks of the previous one.
    pub fn confirmed(&mut self, daemon: Daemon) {
        match daemon {
            Daemon::Vrrpd => self.vrrpd_confirmed = true,
            Daemon::Checkd => {
                self.checkd_confirmed = true;
                self.partial = Some(Places::new(&self.layout));
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
}

#[cfg(test)]
mod tests;
