//! What the kernel's table should say, on its way from checkd to ipvsd: changes at once, the whole in parts, one in each
//! turn, and as large as the turn has time for.
//!
//! A whole names each destination and ends with a word that takes away what it didn't name. Changes may come in between:
//! what stands ahead of the part that is due has been told, what stands behind it will be told as it is by then.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::{Generation, MonoTime};
use ipc::channel::{Channel, MAX_QUEUE, SendError};
use ipc::messages::checkd::{DesiredEntry, MAX_BATCH};
use ipc::messages::ctl::Daemon;
use ipc::messages::ipvsd::{IpvsdToParent, ParentToIpvsd};
use ipc::reactor;

use super::Suite;
use super::link::Link;
use super::processes::Process;
use crate::supervisor::Serial;

/// How far the handing on has come.
#[derive(Debug, Default)]
pub(super) struct Handing {
    whole: Option<Whole>,
    /// The process that was spared changes because it had too many to read.
    behind: Option<Serial>,
}

/// A whole that is being handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole {
    serial: Serial,
    generation: Generation,
    /// Where the next part begins.
    next: usize,
    /// Another whole has taken its place meanwhile: it follows from its beginning, and takes away what only this one had.
    again: bool,
    /// ipvsd has to read first; it wakes the loop then.
    waits: bool,
}

/// What a part may take of its turn.
const SHARE: Duration = Duration::from_millis(1);
/// Bytes that wait for ipvsd while the next part waits, too.
const ENOUGH: usize = 64 * 1024;
/// Bytes that wait for ipvsd while changes are still sent to it one by one.
const BEHIND: usize = MAX_QUEUE / 4;

impl Handing {
    /// When the next part is due.
    pub(super) fn deadline(&self, now: MonoTime) -> Option<MonoTime> {
        self.whole.filter(|whole| !whole.waits).map(|_| now)
    }

    /// Parts are left to be handed on.
    pub(super) fn is_under_way(&self) -> bool {
        self.whole.is_some()
    }
}

impl Suite {
    /// Hands changes on.
    pub(super) fn pass_on(&mut self, generation: Generation, entries: Vec<DesiredEntry>) {
        let Some((serial, channel)) = self.ipvsd() else { return };
        if channel.queued() > BEHIND {
            self.handing.behind = Some(serial);
            return;
        }
        let sent = channel.send(&ParentToIpvsd::Desired { generation, entries, complete: false }, &[]);
        self.check_sent(serial, sent);
    }

    /// Hands the whole on to the ipvsd that acts on the world. One that comes later gets it with its `Commit`.
    pub(super) fn pass_on_whole(&mut self) {
        if let Some((serial, _)) = self.ipvsd() {
            self.hand_whole(serial);
        }
    }

    /// Hands the whole on to this process, if it is known, from the next [`Self::tick_handing`] on.
    pub(super) fn hand_whole(&mut self, serial: Serial) {
        if !self.broker.has_whole() {
            return;
        }
        let generation = self.broker.generation();
        match &mut self.handing.whole {
            Some(whole) if (whole.serial, whole.generation) == (serial, generation) => whole.again = true,
            other => *other = Some(Whole { serial, generation, next: 0, again: false, waits: false }),
        }
    }

    pub(super) fn tick_handing(&mut self) {
        self.tick_behind();
        self.hand_part();
    }

    /// An ipvsd that could not follow gets the whole once it has read what was sent.
    fn tick_behind(&mut self) {
        let Some(behind) = self.handing.behind else { return };
        let reads = self.ipvsd().is_some_and(|(serial, channel)| serial == behind && channel.queued() > 0);
        if !reads {
            self.handing.behind = None;
            self.pass_on_whole();
        }
    }

    /// Hands on what the turn has time for and ipvsd room. It goes out at once at the end: who is woken by the first
    /// message may take the processor from the rest.
    fn hand_part(&mut self) {
        let Some(mut whole) = self.handing.whole.take() else { return };
        // Of another configuration checkd tells another whole; a successor gets it with its `Commit`.
        let is_current = whole.generation == self.broker.generation() && self.broker.has_whole();
        let channel = channel_of(&mut self.processes, whole.serial);
        let Some(channel) = channel.filter(|_| is_current) else { return };
        whole.waits = channel.queued() > ENOUGH;
        if whole.waits {
            self.handing.whole = Some(whole);
            return;
        }
        let (end, mut next, mut sent) = (reactor::now() + SHARE, Some(whole.next), Ok(()));
        channel.cork();
        while let Some(place) = next {
            let (entries, rest) = self.broker.whole_from(place, MAX_BATCH);
            next = rest;
            let complete = rest.is_none();
            let message = ParentToIpvsd::Desired { generation: whole.generation, entries, complete };
            sent = channel.send(&message, &[]);
            if sent.is_err() || channel.queued() > ENOUGH || reactor::now() >= end {
                break;
            }
        }
        let gone = channel.uncork().map(drop).map_err(SendError::from);
        if let Err(error) = sent.and(gone) {
            return self.check_sent(whole.serial, Err(error));
        }
        self.handing.whole = match next {
            Some(next) => Some(Whole { next, ..whole }),
            None => whole.again.then_some(Whole { next: 0, again: false, ..whole }),
        };
    }

    /// The ipvsd that acts on the world.
    fn ipvsd(&mut self) -> Option<(Serial, &mut Channel<ParentToIpvsd, IpvsdToParent>)> {
        let serial = self.supervisors.get(&Daemon::Ipvsd)?.acting()?;
        Some((serial, channel_of(&mut self.processes, serial)?))
    }
}

fn channel_of(
    processes: &mut BTreeMap<Serial, Process>,
    ipvsd: Serial,
) -> Option<&mut Channel<ParentToIpvsd, IpvsdToParent>> {
    match &mut processes.get_mut(&ipvsd)?.link {
        Link::Ipvsd(channel) => Some(channel),
        Link::Vrrpd(_) | Link::Checkd(_) => None,
    }
}
