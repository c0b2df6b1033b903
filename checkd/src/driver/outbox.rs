//! What goes to the parent: ordered messages, and tables of which only the newest state matters.
//!
//! Coalesces changes of the desired table and of verdicts between two sends, so that a parent that is slow gets fewer
//! and newer messages, and memory stays bounded. The table goes before the events, so that a notify script finds it
//! changed, as with keepalived. Called by the driver once per loop turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use config::model::parts::{Presence, ServerRef};
use config::model::units::{Generation, ServerId, ServiceId};
use ipc::channel::SendError;
use ipc::messages::checkd::{CheckdToParent, DesiredEntry, MAX_BATCH, ParentToCheckd};
use ipc::messages::{FromDaemon, Level};

use crate::desired::Effect;
use crate::mail::news::News;
use crate::roster::Roster;

/// The link of checkd.
pub type Link = ipc::daemon::Link<CheckdToParent, ParentToCheckd>;

/// Bytes that may wait in the link before tables and events are held back here.
const HIGH_WATER: usize = 512 * 1024;
/// Most events that wait here.
const MAX_EVENTS: usize = 65_536;

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    first: VecDeque<CheckdToParent>,
    logs: VecDeque<String>,
    table: Option<VecDeque<DesiredEntry>>,
    // A sorry server is `None`, so that the key has an order.
    deltas: BTreeMap<(ServiceId, Option<ServerId>), Presence>,
    events: VecDeque<CheckdToParent>,
    lost: u64,
    verdicts: BTreeSet<usize>,
    /// Services and servers whose state the parent should know without telling anybody.
    states: VecDeque<(ServiceId, Option<ServerId>)>,
    last: Option<FromDaemon>,
}

impl Outbox {
    /// Takes effects of a generation.
    pub(super) fn take(&mut self, effects: Vec<Effect>, generation: Generation, deltas: Deltas) {
        for effect in effects {
            match effect {
                Effect::Desire { .. } if deltas == Deltas::Dropped => {}
                Effect::Desire { service, server, presence } => {
                    let server = match server {
                        ServerRef::Real(id) => Some(id),
                        ServerRef::Sorry => None,
                    };
                    self.deltas.insert((service, server), presence);
                }
                Effect::Event { service, server, up } => {
                    self.event(CheckdToParent::ServiceEvent { generation, service, server, up });
                }
                Effect::Notify(script) => self.event(CheckdToParent::RunNotify { generation, script }),
                Effect::Log(text) => self.logs.push_back(text),
                Effect::Mail(News { subject, body }) => self.event(CheckdToParent::Letter { subject, body }),
            }
        }
    }

    /// Queues a message that goes before tables and events.
    pub(super) fn first(&mut self, message: CheckdToParent) {
        self.first.push_back(message);
    }

    /// The message that goes when nothing else waits.
    pub(super) fn last(&mut self, message: FromDaemon) {
        self.last = Some(message);
    }

    /// A verdict changed.
    pub(super) fn verdict(&mut self, position: usize) {
        self.verdicts.insert(position);
    }

    /// The word that another configuration is in use, behind the events of the one before.
    pub(super) fn confirm(&mut self, generation: Generation) {
        self.first.append(&mut self.events);
        self.first.push_back(FromDaemon::Committed(generation).into());
    }

    /// Another configuration is in use: the whole table and all verdicts go out.
    pub(super) fn commit(&mut self, roster: &Roster) {
        self.first.append(&mut self.events);
        self.deltas.clear();
        self.table = Some(roster.table().collect());
        self.verdicts = (0..roster.checks()).collect();
        self.states = roster.members().collect();
    }

    /// Nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
            && self.events.is_empty()
            && self.last.is_none()
            && self.logs.is_empty()
            && self.table.is_none()
            && self.deltas.is_empty()
            && self.verdicts.is_empty()
            && self.states.is_empty()
    }

    /// Sends what the parent takes, many messages at once.
    ///
    /// # Errors
    /// The parent is gone.
    pub(super) fn send(&mut self, link: &mut Link, roster: Option<&Roster>) -> Result<(), SendError> {
        loop {
            link.cork();
            let handed = self.hand_over(link, roster);
            let taken = link.uncork()?;
            if handed? || !taken {
                return Ok(());
            }
        }
    }

    /// Queues messages up to the mark; true when nothing is left here.
    fn hand_over(&mut self, link: &mut Link, roster: Option<&Roster>) -> Result<bool, SendError> {
        for text in self.logs.drain(..) {
            link.log(Level::Info, text);
        }
        while link.queued() < HIGH_WATER {
            let Some(message) = self.next(roster) else { return Ok(true) };
            link.send(&message, &[])?;
        }
        Ok(false)
    }

    /// A message that may be lost when the parent does not read for long.
    pub(super) fn event(&mut self, message: CheckdToParent) {
        if self.events.len() >= MAX_EVENTS {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        self.events.push_back(message);
    }

    fn next(&mut self, roster: Option<&Roster>) -> Option<CheckdToParent> {
        self.first
            .pop_front()
            .or_else(|| self.next_entries(roster?.generation()))
            .or_else(|| self.events.pop_front())
            .or_else(|| self.loss())
            .or_else(|| self.next_states(roster?))
            .or_else(|| self.next_verdicts(roster?))
            .or_else(|| self.last.take().map(CheckdToParent::from))
    }

    fn next_entries(&mut self, generation: Generation) -> Option<CheckdToParent> {
        if let Some(table) = &mut self.table {
            let entries: Vec<DesiredEntry> = table.drain(..table.len().min(MAX_BATCH)).collect();
            let complete = table.is_empty();
            if complete {
                self.table = None;
            }
            return Some(CheckdToParent::Desired { generation, entries, complete });
        }
        let entries: Vec<DesiredEntry> = std::iter::from_fn(|| self.deltas.pop_first())
            .take(MAX_BATCH)
            .map(|((service, server), presence)| DesiredEntry {
                service,
                server: server.map_or(ServerRef::Sorry, ServerRef::Real),
                presence,
            })
            .collect();
        (!entries.is_empty()).then_some(CheckdToParent::Desired { generation, entries, complete: false })
    }

    /// States as they are now, behind the events that led to them.
    fn next_states(&mut self, roster: &Roster) -> Option<CheckdToParent> {
        let next = self.states.drain(..self.states.len().min(MAX_BATCH));
        let states: Vec<_> =
            next.filter_map(|(service, server)| roster.service_state(service, server)).collect();
        let generation = roster.generation();
        (!states.is_empty()).then_some(CheckdToParent::ServiceStates { generation, states })
    }

    fn next_verdicts(&mut self, roster: &Roster) -> Option<CheckdToParent> {
        let verdicts: Vec<_> = std::iter::from_fn(|| self.verdicts.pop_first())
            .take(MAX_BATCH)
            .filter_map(|position| roster.verdict(position))
            .collect();
        let generation = roster.generation();
        (!verdicts.is_empty()).then_some(CheckdToParent::Verdicts { generation, verdicts })
    }

    fn loss(&mut self) -> Option<CheckdToParent> {
        let lost = std::mem::take(&mut self.lost);
        let text = format!("{lost} events were lost: the parent does not read");
        (lost > 0).then(|| FromDaemon::Log { level: Level::Error, text }.into())
    }
}

/// Whether changes of the table are sent one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deltas {
    /// They are.
    Sent,
    /// The whole table follows.
    Dropped,
}
