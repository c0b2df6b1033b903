//! Following the kernel: interfaces that come, go, fall silent or are renamed; addresses that somebody removes.
//!
//! Takes in the events of one turn and draws the consequences: who is judged anew, what is put back. What a fault is,
//! `proto::faults` decides. The kernel is trusted; whoever changes addresses beside us is root.

use config::model::units::{MonoTime, Vrid};
use config::model::vrrp::Removed;
use ipc::messages::Level;
use netlink::route::{Address, PROTOCOL_KEEPALIVED, RouteEvent};
use netlink::socket::RequestError;

use super::receivers::Wanted;
use super::{Driver, Phase, SECOND, instance_id};
use crate::kernel::link::Place;
use crate::proto::faults::Reason;
use crate::proto::machine::{Input, State};
use crate::router::Router;

/// What the events of one turn ask for, beside that everybody may have to be judged anew.
struct Changes {
    /// Events were lost: anything may have changed.
    lost: bool,
    removed: Vec<Place>,
    /// A route of ours was removed.
    routes_removed: bool,
    /// What belongs to no instance may be gone.
    statics_concerned: bool,
}

impl Driver {
    /// Takes in what has changed and draws the consequences.
    pub(super) fn watch(&mut self, now: MonoTime) {
        let Changes { lost, removed, routes_removed, statics_concerned } = self.take_in(now);
        self.judge_all |= lost;
        if self.judge_all {
            self.say_sources();
        }
        self.judge_all |= self.kernel.follow_delays(now);
        if self.phase != Phase::Running {
            return;
        }
        if statics_concerned {
            self.statics.verify(now);
        }
        if routes_removed {
            self.put_back_routes(now);
        }
        if std::mem::take(&mut self.judge_all) {
            self.follow_paths(now);
            for position in 0..self.routers.len() {
                self.judge(position, now);
            }
        }
        if lost || !removed.is_empty() {
            self.put_back_removed(&removed, lost, now);
        }
    }

    /// Notes and tells what the kernel has to say.
    fn take_in(&mut self, now: MonoTime) -> Changes {
        let (events, more) = match self.kernel.hear() {
            Ok(heard) => heard,
            Err(error) => {
                self.tables_are_stale(&error, now);
                (Vec::new(), false)
            }
        };
        self.kernel_readable = more;
        let lost = more && events.is_empty();
        let mut changes =
            Changes { lost, removed: Vec::new(), routes_removed: false, statics_concerned: lost };
        for event in events {
            self.say_address(&event);
            match &event {
                RouteEvent::AddressRemoved(address) => {
                    let place = Place::of(address);
                    changes.statics_concerned |= self.statics.holdings.holds(&place);
                    self.judge_all |= self.may_be_a_source(address);
                    changes.removed.push(place);
                }
                RouteEvent::LinkChanged(link) => {
                    changes.statics_concerned = true;
                    self.judge_all = true;
                    let name = link.name.clone();
                    let links = self.kernel.links();
                    let former = links.name_of(link.index).map(str::to_owned);
                    let before = links.present_condition(&name);
                    self.kernel.note(event);
                    self.say_link(&name, former.as_deref(), before);
                    continue;
                }
                // A lease that was renewed, ours or another's, concerns nobody.
                RouteEvent::AddressAdded(address) if self.kernel.links().knows(address) => {
                    self.kernel.note(event);
                    continue;
                }
                RouteEvent::AddressAdded(address) => self.judge_all |= self.may_be_a_source(address),
                RouteEvent::LinkGone(index) => {
                    self.judge_all = true;
                    self.say_link_gone(*index);
                }
                RouteEvent::Forwarding(..) => self.judge_all = true,
                RouteEvent::OwnRouteRemoved => {
                    changes.statics_concerned |= !self.statics.config.routes.is_empty();
                    changes.routes_removed = true;
                    continue;
                }
            }
            self.kernel.note(event);
        }
        changes
    }

    /// An address that we made ourselves changes neither path nor fault, unless an instance is told to send from it:
    /// hundreds that come with a takeover must not have everybody judged again and again.
    fn may_be_a_source(&self, address: &Address) -> bool {
        address.protocol != Some(PROTOCOL_KEEPALIVED)
            || self.kernel.links().trusts(address.ip)
            || self.routers.iter().any(|router| router.config.transport.source() == Some(address.ip))
    }

    /// Events were lost and the tables can't be read: tried again in a second.
    fn tables_are_stale(&mut self, error: &RequestError, now: MonoTime) {
        if !self.tables_stale {
            self.outbox.log(Level::Error, format!("reading links and addresses: {error}"));
        }
        self.tables_stale = true;
        self.retry_at = Some(now + SECOND);
    }

    /// Reads the tables afresh and has every Master look for missing addresses.
    pub(super) fn read_tables(&mut self, now: MonoTime) {
        match self.kernel.read_tables() {
            Ok(()) => {
                self.tables_stale = false;
                self.put_back_removed(&[], true, now);
            }
            Err(error) => self.tables_are_stale(&error, now),
        }
    }

    /// Interfaces and source addresses may have changed.
    pub(super) fn follow_paths(&mut self, now: MonoTime) {
        for position in 0..self.routers.len() {
            let Some(router) = self.routers.get_mut(position) else { continue };
            if router.refresh_path(self.kernel.links()) {
                let settings = router.settings();
                self.give(position, Input::Configure(settings), now);
                self.tell_unadvertised(position);
            }
        }
        self.refresh_sockets(now);
    }

    /// Addresses beyond what an advert can carry are held like excluded ones.
    pub(super) fn tell_unadvertised(&mut self, position: usize) {
        let Some(router) = self.routers.get(position).filter(|router| router.unadvertised() > 0) else {
            return;
        };
        let (count, name) = (router.unadvertised(), &router.config.name);
        let mtu =
            router.path.mtu.map_or_else(String::new, |mtu| format!(" over an interface with MTU {mtu}"));
        let text = format!("({name}) {count} addresses have no room in an advert{mtu}: held, not advertised");
        self.outbox.log(Level::Warning, text);
    }

    /// Opens and closes receive sockets as the instances need them.
    pub(super) fn refresh_sockets(&mut self, now: MonoTime) {
        let mut wanted: Vec<Wanted> = Vec::new();
        for router in &self.routers {
            let Some(key) = router.socket_key() else { continue };
            let vrid = router.config.vrid;
            let queue = router.queue(&self.buffers);
            match wanted.iter_mut().find(|wish| wish.key == key) {
                Some(wish) => {
                    wish.vrids.push(vrid);
                    wish.queue = wish.queue.into_iter().chain(queue).reduce(usize::saturating_add);
                }
                None => {
                    let index = if key.interface.is_empty() { None } else { router.path.interface };
                    wanted.push(Wanted { key, index, vrids: vec![vrid], queue });
                }
            }
        }
        if self.log_unknown_vrids {
            for wish in &mut wanted {
                wish.vrids = (1..=u8::MAX).filter_map(|vrid| Vrid::new(vrid).ok()).collect();
            }
        }
        self.receivers.refresh(&wanted, &self.reactor, &mut self.link);
        let again = self.tables_stale || !self.receivers.deaf().is_empty();
        self.retry_at = again.then(|| now + SECOND);
    }

    /// Recomputes faults and priority of one instance and tells its machine, and then those of its sync group.
    pub(super) fn judge(&mut self, position: usize, now: MonoTime) {
        self.judge_one(position, now);
        while let Some(member) = self.judge_later.pop() {
            self.judge_one(member, now);
        }
    }

    fn judge_one(&mut self, position: usize, now: MonoTime) {
        let Some(router) = self.routers.get(position) else { return };
        let mut verdict = router.judge(self.kernel.links(), &self.trackers, self.receivers.deaf(), now);
        if self.statics.fails(instance_id(position), self.kernel.links()) {
            verdict.faults.add(Reason::StaticItem);
        }
        self.judge_in_group(position, &mut verdict);
        let Some(router) = self.routers.get_mut(position) else { return };
        if !router.started {
            if verdict.hold && verdict.faults.is_empty() {
                router.waited |= verdict.awaits_script;
                return;
            }
            self.start(position, verdict, now);
            return;
        }
        if !verdict.provisional {
            router.assumed = None;
        }
        let in_fault = matches!(router.machine.state(), State::Fault(_));
        self.give(position, Input::Priority(verdict.priority), now);
        // A fault may end only when every script that could be one has spoken.
        if !(in_fault && verdict.hold && verdict.faults.is_empty()) {
            self.give(position, Input::Faults(verdict.faults), now);
        }
    }

    /// `vip_restore upstream`: whoever loses an address resigns and is elected again.
    fn step_down(&mut self, removed: &[Place], now: MonoTime) {
        for position in 0..self.routers.len() {
            let Some(router) = self.routers.get(position) else { return };
            if router.config.removed == Removed::PutBack || !router.machine.is_master() {
                continue;
            }
            let lost: Vec<&Place> = removed.iter().filter(|place| router.holdings.holds(place)).collect();
            for place in &lost {
                let name = self.kernel.links().by_index(place.index).map_or("?", |link| &link.name);
                let text = format!("Netlink reflector reports IP {} removed from {name}", place.ip);
                self.outbox.log(Level::Info, text);
            }
            if !lost.is_empty() {
                self.give(position, Input::StepDown, now);
            }
        }
    }

    /// Routes that somebody else removed are put back at once, within the budget of addresses.
    fn put_back_routes(&mut self, now: MonoTime) {
        let with_routes =
            |router: &&mut Router| !router.config.routes.is_empty() && router.machine.is_master();
        for router in self.routers.iter_mut().filter(with_routes) {
            let at = router.restores.next(now);
            if at <= now {
                router.holdings.verify();
            } else {
                router.verify_at = Some(at);
            }
        }
    }

    /// Addresses that somebody else removed are put back at once, within a budget, or cost their instance its state.
    fn put_back_removed(&mut self, removed: &[Place], lost: bool, now: MonoTime) {
        self.step_down(removed, now);
        for router in self.routers.iter_mut().filter(|router| router.machine.is_master()) {
            if !lost && !removed.iter().any(|place| router.holdings.holds(place)) {
                continue;
            }
            let at = router.restores.next(now);
            if at <= now {
                router.holdings.verify();
            } else {
                router.verify_at = Some(at);
            }
        }
    }
}
