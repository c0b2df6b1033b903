//! Doing what a machine decides: adverts, addresses, announcements, log lines, news for the parent.
//!
//! Performs the actions of `proto::machine` in their order and decides nothing itself. Called for each input that the
//! loop gives a machine.

use std::time::Duration;

use config::model::units::{IfIndex, MonoTime, Priority};
use config::model::vrrp::Family;
use ipc::messages::Level;
use ipc::messages::vrrpd::VrrpdToParent;
use ipc::reactor::now as clock;

use super::{Driver, Phase, instance_id};
use crate::handover;
use crate::holdings;
use crate::log::{self, Limit};
use crate::proto::machine::{Action, Entered, Input, Note, Notify, State};
use crate::router::Router;
use crate::trackers::Trackers;

/// Announcements of one instance in one turn.
const SLICE: usize = 128;

/// How long addresses and announcements may keep a turn.
const SHARE: Duration = Duration::from_millis(1);

impl Driver {
    /// Gives an input to a machine and does what follows.
    pub(super) fn give(&mut self, position: usize, input: Input, now: MonoTime) {
        let mut actions = Vec::new();
        let Some(router) = self.routers.get_mut(position) else { return };
        let before = router.standing();
        let was_faulty = match router.machine.state() {
            State::Fault(_) => true,
            State::Init => router.waited,
            State::Backup(_) | State::Master { .. } => false,
        };
        router.machine.handle(input, now, &mut actions);
        let changed = router.standing() != before;
        if actions.is_empty() {
            return;
        }
        for action in actions {
            self.perform(position, action, now);
        }
        self.say_farewell(position);
        if was_faulty {
            self.introduce(position);
        }
        self.unwritten.push(position);
        if !self.gathering || self.sender.is_full() {
            self.post(now);
        }
        if changed {
            self.settle_group(position, now);
        }
    }

    fn perform(&mut self, position: usize, action: Action, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        match action {
            Action::SendAdvert(priority) => {
                router.untold_farewell |= priority == Priority::RESIGN;
                self.send_advert(position, priority);
            }
            Action::ClaimAddresses => router.holdings.claim(),
            Action::VerifyAddresses => router.holdings.verify(),
            Action::ReleaseAddresses => {
                router.announcer.released();
                router.verify_at = None;
                router.renew_at = None;
                // One that is queued might bring back what is about to be removed.
                self.renewals.retain(|(owner, _)| *owner != position);
                router.holdings.release();
            }
            Action::AnnounceConflict => {
                router.announcer.conflict(now);
                if !router.has_just_won(now) {
                    self.outbox.send(VrrpdToParent::LowerPriorityHeard {
                        generation: self.generation,
                        instance: instance_id(position),
                    });
                }
                for member in self.companions(position) {
                    let other = self.routers.get_mut(member).filter(|_| member != position);
                    if let Some(other) = other.filter(|other| other.machine.is_master()) {
                        other.announcer.conflict(now);
                    }
                }
            }
            Action::AnnounceLate => router.announcer.late(),
            Action::Entered { state, notify } => self.enter(position, state, notify, now),
            Action::Note(note) => self.note(position, note, now),
        }
    }

    fn enter(&mut self, position: usize, state: Entered, notify: Notify, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        let (own, grouped) = (router.machine.priority(), router.group.is_some());
        router.trail.entered(state, own, grouped);
        let reasons = reasons(router, &self.trackers);
        let told = if state == Entered::BackupAtStart && router.waited { Entered::Backup } else { state };
        let mut text = log::entered(&router.config.name, told);
        if notify == Notify::Repetition {
            text.push_str(" (resumed)");
        }
        let farewell = std::mem::take(&mut router.untold_farewell);
        let suppressed = router.transitions.allow(now);
        router.unsaid = suppressed.is_none().then(|| router.transitions.reopens());
        if let Some(suppressed) = suppressed {
            self.outbox.log(Level::Info, log::with_suppressed(text, suppressed));
            if !reasons.is_empty() {
                self.outbox.log(Level::Info, log::faulty(&router.config.name, &reasons));
            }
            if farewell {
                self.outbox.log(Level::Debug, log::resigned(&router.config.name));
            }
            for line in log::holding(&router.config, state, router.holdings.holds_anything()) {
                self.outbox.log(Level::Debug, line);
            }
        }
        self.say_group_follows(position, state);
        let Some(router) = self.routers.get_mut(position) else { return };
        router.master_news = false;
        if state == Entered::Master {
            router.master_since = (notify == Notify::News).then_some(now);
            router.counters.became_master =
                router.counters.became_master.saturating_add(u64::from(notify == Notify::News));
            // Scripts that follow the news find the addresses in place.
            router.master_news = notify == Notify::News;
        }
        if !router.master_news {
            let reason = if reasons.is_empty() { router.trail.because.clone() } else { reasons };
            self.tell_transition(position, notify, reason);
        }
    }

    /// The state of an instance whose line about it was kept back: whoever reads the log knows how its changes ended.
    pub(super) fn say_state(&mut self, position: usize, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        let state = match router.machine.state() {
            State::Init => return,
            State::Backup(_) => Entered::Backup,
            State::Master { .. } => Entered::Master,
            State::Fault(_) => Entered::Fault,
        };
        let Some(suppressed) = router.transitions.allow(now) else { return };
        // The line itself is told now.
        let text =
            log::with_suppressed(log::entered(&router.config.name, state), suppressed.saturating_sub(1));
        let reasons = reasons(router, &self.trackers);
        self.outbox.log(Level::Info, text);
        if !reasons.is_empty() {
            self.outbox.log(Level::Info, log::faulty(&router.config.name, &reasons));
        }
    }

    pub(super) fn tell_transition(&mut self, position: usize, notify: Notify, reason: String) {
        let Some(router) = self.routers.get(position) else { return };
        let message = VrrpdToParent::Transition {
            generation: self.generation,
            instance: instance_id(position),
            state: handover::state(&router.machine),
            priority: router.machine.priority(),
            notify: notify == Notify::News,
            reason,
        };
        self.outbox.send(message);
    }

    fn note(&mut self, position: usize, note: Note, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        router.trail.note(note);
        if let Note::PriorityChanged { to, .. } = note {
            let instance = instance_id(position);
            let message =
                VrrpdToParent::PriorityChanged { generation: self.generation, instance, priority: to };
            self.outbox.send(message);
        }
        if matches!(note, Note::LowerAnswered { .. }) && router.has_just_won(now) {
            return;
        }
        let suppressed = match log::limit(note) {
            Limit::None => Some(0),
            Limit::Transition => router.transitions.allow(now),
            Limit::Reason(reason) => router.limits.allow(reason, now, &mut self.budget),
        };
        if let Some(suppressed) = suppressed {
            let (level, text) = log::note(&router.config.name, note, router.machine.priority());
            self.outbox.log(level, log::with_suppressed(text, suppressed));
        }
    }

    /// Addresses and announcements of all instances, as far as they get in their share of a turn: hundreds that
    /// become Master at almost the same time must not have the adverts of the last wait for the addresses of the
    /// first.
    pub(super) fn work(&mut self, now: MonoTime) {
        let started = clock();
        self.step_addresses(now, started + SHARE);
        self.announce_slices(now, started + SHARE);
        if !self.renewals.is_empty() {
            self.renew(now);
        }
        if self.statics.holdings.is_busy() {
            self.step_statics(now);
        }
        let busy =
            self.statics.holdings.is_busy() || self.routers.iter().any(|router| router.holdings.is_busy());
        if self.phase == Phase::Stopping && !busy {
            self.finish_stop();
        }
    }

    fn announce_slices(&mut self, now: MonoTime, end: MonoTime) {
        for _ in 0..self.routers.len() {
            if self.next_announcement >= self.routers.len() {
                self.next_announcement = 0;
            }
            let position = self.next_announcement;
            self.next_announcement = self.next_announcement.saturating_add(1);
            if self.routers.get(position).is_some_and(|router| router.announcer.is_sending(now)) {
                self.announce_slice(position, now);
                if clock() >= end {
                    return;
                }
            }
        }
    }

    fn announce_slice(&mut self, position: usize, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        if router.holdings.is_busy() {
            return;
        }
        let count = holdings::count(&router.config);
        for _ in 0..SLICE {
            let Some(router) = self.routers.get_mut(position) else { return };
            let Some(address) = router.announcer.next(count) else { return };
            let words = router.announcer.is_first_round().into();
            match self.announce(position, address, words, now) {
                Turn::Taken => {
                    if let Some(router) = self.routers.get_mut(position) {
                        router.announcer.announced(count);
                    }
                }
                Turn::Later(at) => {
                    if let Some(router) = self.routers.get_mut(position) {
                        router.announcer.hold(at);
                    }
                    return;
                }
            }
        }
    }

    /// One message for each interface that isn't the instance's own and has an address of it.
    pub(super) fn announce_elsewhere(&mut self, position: usize, now: MonoTime) {
        let Some(router) = self.routers.get(position).filter(|router| !router.holdings.is_busy()) else {
            return;
        };
        let own = router.config.interface.as_deref();
        let mut seen: Vec<&str> = Vec::new();
        let mut first = Vec::new();
        for (address, configured) in holdings::all(&router.config).enumerate() {
            let name = configured.interface.as_deref().filter(|name| Some(*name) != own);
            if let Some(name) = name.filter(|name| !seen.contains(name)) {
                seen.push(name);
                first.push(address);
            }
        }
        for address in first {
            self.announce(position, address, Words::Sent, now);
        }
    }

    pub(super) fn announce(&mut self, position: usize, address: usize, words: Words, now: MonoTime) -> Turn {
        let Some(router) = self.routers.get_mut(position) else { return Turn::Taken };
        if !router.holdings.has(address) {
            return Turn::Taken;
        }
        let links = self.kernel.links();
        let Some(place) = holdings::place(&router.config, address, links) else { return Turn::Taken };
        let Some(link) = links.by_index(place.index) else { return Turn::Taken };
        let Some(hardware) = link.ethernet_address().filter(|_| !link.is_noarp()) else {
            self.say_announced(position, address, words.without_sent());
            return Turn::Taken;
        };
        if let Err(at) = self.pacer.admit(&link.name, Family::of(&place.ip), now) {
            return Turn::Later(at);
        }
        let name = link.name.clone();
        let index = IfIndex::new(link.index);
        if let Err(error) = self.herald.announce(index, hardware, place.ip, links.forwards(index)) {
            router.send_failed = true;
            if let Some(suppressed) = router.limits.allow(log::ANNOUNCE_FAILED, now, &mut self.budget) {
                let text =
                    format!("({}) announcing {} on {name} failed: {error}", router.config.name, place.ip);
                self.outbox.log(Level::Warning, log::with_suppressed(text, suppressed));
            }
        }
        self.say_announced(position, address, words);
        Turn::Taken
    }

    /// Who comes back from FAULT among peers that it sends to one by one says where it is: they may have forgotten.
    fn introduce(&mut self, position: usize) {
        let Some(router) = self.routers.get(position) else { return };
        let is_backup = matches!(router.machine.state(), State::Backup(_));
        let (Some(index), Some(source)) = (router.path.interface, router.path.source) else { return };
        if !is_backup || !router.config.transport.is_unicast() {
            return;
        }
        let links = self.kernel.links();
        let link = links.by_index(index).filter(|link| !link.is_noarp());
        let Some(hardware) = link.and_then(|link| link.ethernet_address()) else { return };
        self.outbox.log(Level::Debug, log::introducing(&router.config.name, source));
        self.outbox.log(Level::Debug, log::announced(source, links.name_of(index.value()).unwrap_or("?")));
        // Its next advert, or the peer's question, says the same.
        let _the_link_is_not_ready = self.herald.announce(index, hardware, source, links.forwards(index));
    }
}

/// Why an instance is in FAULT, in words; empty when it is not.
fn reasons(router: &Router, trackers: &Trackers) -> String {
    match router.machine.state() {
        State::Fault(faults) => faults.describe(&router.config, &trackers.names()),
        State::Init | State::Backup(_) | State::Master { .. } => String::new(),
    }
}

/// Which lines an announcement has in a detailed log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// That its address is about to be announced, and that it was.
    All,
    /// That it was sent.
    Sent,
    /// That its address is about to be announced.
    Queued,
    /// None.
    None,
}

impl Words {
    fn without_sent(self) -> Self {
        match self {
            Self::All | Self::Queued => Self::Queued,
            Self::Sent | Self::None => Self::None,
        }
    }
}

impl From<bool> for Words {
    /// Words for one of the first round, or of a later one.
    fn from(first: bool) -> Self {
        if first { Self::All } else { Self::Sent }
    }
}

/// What became of an address whose turn it was.
pub(super) enum Turn {
    /// It was announced, or can't be.
    Taken,
    /// Its interface must rest until then.
    Later(MonoTime),
}
