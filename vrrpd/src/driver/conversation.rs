//! What the parent says: prepare, commit, quiesce, stop, and what trackers have found.
//!
//! Takes in the messages of one turn, called by the loop. The parent is trusted as far as the types of its messages go;
//! what names a generation or an instance that is not known here is dropped.

use std::os::fd::OwnedFd;
use std::time::Duration;

use config::model::succession;
use config::model::units::{Generation, MonoTime};
use config::model::vrrp::{Instance, RouterIdentity};
use ipc::channel::ReceiveError;
use ipc::messages::vrrpd::{ParentToVrrpd, SocketKey, VrrpState};
use ipc::messages::{FromDaemon, Level, Refusal, StopMode, ToDaemon};
use ipc::reactor::now as clock;
use ipc::slots::{Slot, Slots};

use super::directory::Directory;
use super::preparation::{Preparation, Prepared};
use super::{Driver, Incoming, Phase, Purpose, instance_id};
use crate::handover;
use crate::holdings::Trust;
use crate::kernel::STEP;
use crate::log;
use crate::proto::machine::{Input, Memory, Notify};
use crate::proto::timers;
use crate::router::{Router, Verdict};

/// Messages taken in one turn.
const MAX_MESSAGES: usize = 64;

impl Driver {
    /// Takes the parent's messages.
    pub(super) fn converse(&mut self, now: MonoTime) {
        for _ in 0..MAX_MESSAGES {
            match self.link.receive() {
                Ok(Some((message, fds))) => self.obey(message, fds, now),
                Ok(None) => {
                    self.link_readable = false;
                    return;
                }
                Err(ReceiveError::Closed) => return self.parent_is_gone(now),
                Err(error) => {
                    self.outbox.log(Level::Error, format!("message from the parent: {error}"));
                    return self.parent_is_gone(now);
                }
            }
            if self.phase == Phase::Over {
                return;
            }
        }
    }

    fn obey(&mut self, message: ParentToVrrpd, fds: Vec<OwnedFd>, now: MonoTime) {
        match message {
            ParentToVrrpd::Common(common) => self.obey_common(common, fds, now),
            ParentToVrrpd::Memory { generation, inherited, sockets } => {
                self.take_memory(generation, inherited, sockets, fds);
            }
            ParentToVrrpd::GiveWay { generation, instance, order } => {
                if generation == self.generation && self.phase == Phase::Running {
                    self.give_way(instance.index(), order, now);
                }
            }
            ParentToVrrpd::Explain { generation, instance } => {
                if generation == self.generation && self.phase == Phase::Running {
                    self.explain(instance, now);
                }
            }
            ParentToVrrpd::ScriptResult { generation, script, outcome } => {
                if generation == self.generation && self.phase == Phase::Running {
                    self.take_result(script, outcome, now);
                }
            }
            ParentToVrrpd::ProcessCount { generation, process, count } => {
                if generation == self.generation && self.phase == Phase::Running {
                    self.take_count(process, count, now);
                }
            }
            ParentToVrrpd::FileValue { generation, file, value } => {
                if generation == self.generation && self.phase == Phase::Running {
                    self.take_number(file, value, now);
                }
            }
        }
    }

    fn obey_common(&mut self, message: ToDaemon, fds: Vec<OwnedFd>, now: MonoTime) {
        match message {
            ToDaemon::Prepare { generation } => self.prepare(generation, fds),
            ToDaemon::Commit(generation) => self.commit(generation, now),
            ToDaemon::Abort(generation) => {
                self.preparation.take_if(|preparation| preparation.generation() == generation);
                self.incoming.take_if(|incoming| incoming.generation == generation);
            }
            ToDaemon::Ping(number) => self.tell(FromDaemon::Pong(number)),
            ToDaemon::Quiesce => self.quiesce(),
            ToDaemon::Resume => {
                if self.phase == Phase::Quiesced {
                    self.phase = Phase::Running;
                    self.receivers.mark_all();
                    self.follow_paths(now);
                    self.judge_all = true;
                }
            }
            ToDaemon::Stop(StopMode::Withdraw) => self.stop(now),
            ToDaemon::Stop(StopMode::Leave) => {
                self.tell(FromDaemon::Stopped);
                self.phase = Phase::Over;
            }
        }
    }

    fn take_memory(
        &mut self,
        generation: Generation,
        inherited: bool,
        sockets: Vec<SocketKey>,
        fds: Vec<OwnedFd>,
    ) {
        let mut fds = fds.into_iter();
        let slots = fds.next().map(Slots::open);
        match slots {
            Some(Ok(slots)) => {
                let sockets = sockets.into_iter().zip(fds).collect();
                self.incoming = Some(Incoming { generation, inherited, slots, sockets });
            }
            Some(Err(error)) => self.outbox.log(Level::Error, format!("slots are of no use: {error}")),
            None => self.outbox.log(Level::Error, "slots are missing"),
        }
    }

    fn prepare(&mut self, generation: Generation, fds: Vec<OwnedFd>) {
        let Some(fd) = fds.into_iter().next() else { return };
        match Preparation::start(generation, fd) {
            Ok(preparation) => self.preparation = Some(preparation),
            Err(error) => self.refuse_generation(generation, error.to_string()),
        }
    }

    /// Reads a slice of the configuration that is being prepared.
    pub(super) fn prepare_slice(&mut self) {
        let Some(preparation) = self.preparation.as_mut().filter(|preparation| preparation.is_reading())
        else {
            return;
        };
        let generation = preparation.generation();
        match preparation.read_slice() {
            Ok(true) => self.tell(FromDaemon::Prepared(generation)),
            Ok(false) => {}
            Err(error) => {
                self.preparation = None;
                self.refuse_generation(generation, error.to_string());
            }
        }
    }

    fn refuse_generation(&mut self, generation: Generation, why: String) {
        self.tell(FromDaemon::Refused { generation, reason: Refusal::Invalid(why) });
    }

    /// Uses what was prepared.
    fn commit(&mut self, generation: Generation, now: MonoTime) {
        // A parent that doesn't wait for Prepared (release) has the rest read at once.
        while self.preparation.as_ref().is_some_and(Preparation::is_reading) {
            self.prepare_slice();
        }
        let prepared = self.preparation.take().filter(|preparation| preparation.generation() == generation);
        let Some(mut prepared) = prepared.and_then(Preparation::finish) else {
            self.refuse_generation(generation, "nothing is prepared".to_owned());
            return;
        };
        let incoming = self.incoming.take().filter(|incoming| incoming.generation == generation);
        let mut memories: Vec<Option<Slot>> = Vec::new();
        let first = self.phase == Phase::Waiting;
        if let Some(incoming) = incoming {
            if first {
                self.receivers.inherit(incoming.sockets);
                if incoming.inherited {
                    memories = (0..prepared.instances.len())
                        .map(|position| incoming.slots.read(instance_id(position)).unwrap_or_default())
                        .collect();
                }
            }
            self.slots = Some(incoming.slots);
        }
        self.generation = generation;
        let statics = std::mem::take(&mut prepared.head.statics);
        self.take_statics(statics, first, !memories.is_empty(), now);
        if first && memories.is_empty() {
            let global = &prepared.head.global;
            let delay = timers::startup_delay(global.startup_delay, global.delay_after_boot, now);
            self.startup_ends = (!delay.is_zero()).then(|| now + delay);
        }
        self.replace(prepared, now);
        if self.purpose == Purpose::Release {
            self.release(&memories, now);
            self.tell(FromDaemon::Committed(generation));
            return;
        }
        self.phase = Phase::Running;
        self.follow_paths(now);
        if first {
            self.say_delay(now);
        }
        self.say_sources();
        self.resume_all(&memories, now);
        self.survey_groups(now);
        for position in 0..self.routers.len() {
            self.judge(position, now);
            self.settle_group(position, now);
            self.write_slot(position);
        }
        self.tell(FromDaemon::Committed(generation));
    }

    /// Replaces the routers by those of a new configuration; what is the same virtual router goes on.
    fn replace(&mut self, prepared: Prepared, now: MonoTime) {
        let global = &prepared.head.global;
        self.log_unknown_vrids = global.log_unknown_vrids;
        self.buffers = global.buffers;
        self.kernel.size(&global.buffers);
        self.pacer.configure(global.paces.clone());
        self.kernel.delay(global.link_delays.clone(), now);
        self.trackers = std::mem::take(&mut self.trackers).replaced(&prepared.head, now);
        self.groups.clear();
        self.renewals.clear();
        let old = std::mem::take(&mut self.routers);
        let known = old.iter().map(|router| &router.config).map(named);
        let positions = succession::kept(known, prepared.instances.iter().map(named));
        let mut old: Vec<Option<Router>> = old.into_iter().map(Some).collect();
        let kept: Vec<Option<Router>> =
            positions.into_iter().map(|position| old.get_mut(position?).and_then(Option::take)).collect();
        self.dismiss(old.into_iter().flatten().collect(), now);
        let mut weighed = Vec::new();
        for (instance, known) in prepared.instances.into_iter().zip(kept) {
            let before = known.as_ref().map(|router| router.machine.priority());
            let router = match known {
                Some(known) => self.adapt(known, instance, now),
                None => Router::new(instance, self.kernel.links()),
            };
            if before.is_some_and(|before| before != router.machine.priority()) {
                weighed.push(self.routers.len());
            }
            self.routers.push(router);
        }
        for position in weighed {
            self.tell_unchanged(position);
        }
        self.directory = Directory::of(&self.routers);
        self.open_voices();
        if self.routers.iter().any(|router| !router.config.routes.is_empty()) {
            self.follow_routes();
        }
        self.form_groups(&prepared.head.sync_groups, now);
        self.told.clear();
    }

    /// The parent learns a priority that is no news.
    fn tell_unchanged(&mut self, position: usize) {
        let Some(router) = self.routers.get(position).filter(|router| router.started) else { return };
        let reason = router.trail.because.clone();
        self.tell_transition(position, Notify::Repetition, reason);
    }

    /// Sockets that a takeover needs exist before it. One that can't be opened now is tried, and told, when it is
    /// used.
    fn open_voices(&mut self) {
        for router in &self.routers {
            let _tried_again_by_the_first_advert = self.sender.socket(router.config.family);
        }
        let _tried_again_by_the_first_announcement = self.herald.open();
    }

    pub(super) fn follow_routes(&mut self) {
        if let Err(error) = self.kernel.follow_routes() {
            self.outbox.log(Level::Error, format!("removed routes will not be noticed: {error}"));
        }
    }

    /// A router that goes on, with other parameters where they differ.
    fn adapt(&mut self, mut router: Router, instance: Instance, now: MonoTime) -> Router {
        // What was queued went with the positions.
        router.renew_at = router.renew_at.map(|_| now);
        if router.config == instance {
            return router;
        }
        let removed = router.reconfigure(instance, self.kernel.links(), now);
        for line in log::gone(&router.config.name, &removed, self.kernel.links()) {
            self.outbox.log(Level::Info, line);
        }
        for orders in removed.chunks(STEP) {
            self.kernel.order(orders);
        }
        let mut settled = Vec::new();
        let settings = router.settings();
        // Other settings move deadlines and cause no action; a priority that is written is no news.
        router.machine.handle(Input::Configure(settings), now, &mut settled);
        let verdict = router.judge(self.kernel.links(), &self.trackers, self.receivers.deaf(), now);
        if router.started && !verdict.provisional {
            router.machine.handle(Input::Priority(verdict.priority), now, &mut settled);
        }
        if router.machine.is_master() {
            router.sets_addresses = true;
            router.holdings.verify();
        }
        router
    }

    /// Routers that are no longer configured resign and withdraw at once.
    fn dismiss(&mut self, old: Vec<Router>, now: MonoTime) {
        // Positions are those of neither generation here: no slot may be written.
        let slots = self.slots.take();
        self.routers = old;
        self.shut_down_all(now);
        while self.routers.iter().any(|router| router.holdings.is_busy()) {
            self.work(now);
        }
        self.routers.clear();
        self.slots = slots;
    }

    /// Routers of a fresh process take up what their predecessors were.
    fn resume_all(&mut self, memories: &[Option<Slot>], now: MonoTime) {
        let known = memories.iter().zip(&self.routers);
        // This turn may have begun before the predecessor's last one.
        let read_at = clock();
        let mut recalled: Vec<Option<Memory>> =
            known.map(|(slot, router)| handover::memory(slot.as_ref()?, &router.config, read_at)).collect();
        self.keep_together(&mut recalled, now);
        for (position, (slot, memory)) in memories.iter().zip(recalled).enumerate() {
            let Some(slot) = slot.as_ref() else { continue };
            let Some(router) = self.routers.get_mut(position) else { continue };
            if slot.vrid == router.config.vrid {
                router.guard.resume(slot.sequence, &router.config);
            }
            let Some(memory) = memory else { continue };
            router.started = true;
            router.last_advert = slot.last_advert;
            router.assumed = Some(slot.priority);
            router.counters.became_master = u64::from(slot.became_master);
            router.holdings.adopt(&router.config, self.kernel.links(), Trust::Predecessor);
            let assumed = router.judge(self.kernel.links(), &self.trackers, self.receivers.deaf(), now);
            self.give_silently(position, Input::Priority(assumed.priority), now);
            self.give(position, Input::Resume(memory), now);
            // A predecessor may have died while it released.
            if let Some(router) = self.routers.get_mut(position)
                && !router.machine.is_master()
                && router.holdings.holds_anything()
            {
                router.holdings.release();
            }
        }
    }

    /// A router that takes part from now on, after nobody.
    pub(super) fn start(&mut self, position: usize, verdict: Verdict, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        router.started = true;
        router.holdings.adopt(&router.config, self.kernel.links(), Trust::Nobody);
        if router.holdings.holds_anything() {
            let name = &router.config.name;
            self.outbox.log(Level::Warning, format!("({name}) withdrawing addresses left by an earlier run"));
            router.holdings.release();
        }
        self.give_silently(position, Input::Priority(verdict.priority), now);
        self.say_start(position);
        self.tell_unadvertised(position);
        let delay = self.startup_ends.map_or(Duration::ZERO, |end| end.since(now));
        self.give(position, Input::Startup { delay, faults: verdict.faults }, now);
    }

    /// Gives an input to a machine that nobody has heard of yet: what follows is no news.
    fn give_silently(&mut self, position: usize, input: Input, now: MonoTime) {
        let mut unsaid = Vec::new();
        if let Some(router) = self.routers.get_mut(position) {
            router.machine.handle(input, now, &mut unsaid);
        }
    }

    fn quiesce(&mut self) {
        if self.phase == Phase::Running {
            for position in 0..self.routers.len() {
                self.write_slot(position);
            }
            self.phase = Phase::Quiesced;
        }
        self.tell(FromDaemon::Quiesced);
    }

    /// Resigns and withdraws; the loop goes on until nothing is left.
    fn stop(&mut self, now: MonoTime) {
        if matches!(self.phase, Phase::Stopping | Phase::Over) {
            return;
        }
        self.phase = Phase::Stopping;
        self.statics.holdings.release();
        self.shut_down_all(now);
    }

    fn shut_down_all(&mut self, now: MonoTime) {
        self.gather(now, |driver| {
            for position in 0..driver.routers.len() {
                driver.give(position, Input::Shutdown, now);
            }
        });
    }

    /// Nothing is left to withdraw.
    pub(super) fn finish_stop(&mut self) {
        self.tell(FromDaemon::Stopped);
        self.phase = Phase::Over;
    }

    /// Without a parent nobody supervises us: the same as an order to stop.
    pub(super) fn parent_is_gone(&mut self, now: MonoTime) {
        self.link_readable = false;
        self.stop(now);
    }

    /// What a predecessor held is withdrawn in its name: priority 0 for Masters, then addresses.
    fn release(&mut self, memories: &[Option<Slot>], now: MonoTime) {
        for position in 0..self.routers.len() {
            let Some(router) = self.routers.get_mut(position) else { continue };
            let slot = memories.get(position).copied().flatten();
            let was_master = slot.is_some_and(|slot| slot.state == VrrpState::Master);
            let trust = if was_master { Trust::Predecessor } else { Trust::Nobody };
            router.holdings.adopt(&router.config, self.kernel.links(), trust);
            if was_master {
                let interval = router.config.advert_interval;
                let memory = Memory::Master { last_advert: now, interval };
                router.guard.resume(slot.map_or(0, |slot| slot.sequence), &router.config);
                self.give_silently(position, Input::Resume(memory), now);
            } else if router.holdings.holds_anything() {
                router.holdings.release();
            }
        }
        self.stop(now);
    }
}

/// What a router is known by.
fn named(instance: &Instance) -> (&str, RouterIdentity) {
    (&instance.name, instance.identity())
}
