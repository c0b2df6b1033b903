//! News: does what the broker has found out, and tells changes of state to FIFOs, scripts, mail and whoever watches.
//!
//! Driver. What is news is [`crate::broker`]'s decision.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use config::model::process::InstanceNotify;
use config::model::units::{Generation, MonoTime, Priority};
use ipc::messages::ctl::events::EventKind;
use ipc::messages::vrrpd::VrrpState;

use super::Suite;
use super::questions::server_name;
use crate::broker::{Effect, Whose};
use crate::effects::fifo::{self, Subject};
use crate::effects::notify::{self, News, Told};
use crate::effects::script::Purpose;
use crate::worker::Parts;

impl Suite {
    /// Does what the broker has found out.
    pub(super) fn apply(&mut self, effects: Vec<Effect>, now: MonoTime) {
        for effect in effects {
            self.apply_one(effect, now);
        }
    }

    fn apply_one(&mut self, effect: Effect, now: MonoTime) {
        match effect {
            Effect::RunTracked(generation, script) => {
                self.run_awaited(generation, script, Purpose::Tracked(generation, script), now);
            }
            Effect::RunCheck(generation, check, script) => {
                self.run_awaited(generation, script, Purpose::Check(generation, check, script), now);
            }
            Effect::RunNotify(generation, script) => self.run_paced(generation, script, now),
            Effect::ServiceChanged { service, server, up } => {
                self.tell_service(&service, server.as_deref(), up);
            }
            Effect::PriorityChanged { name, state, priority } => {
                let word = format!("{}_PRIORITY", state.word());
                self.pipes.write(Subject::Vrrp, &fifo::record(Whose::Instance, &name, &word, priority));
            }
            Effect::LowerPriorityHeard { name, priority, scripts, generation } => {
                let told = Told::LowerPriority;
                let news = News { whose: Whose::Instance, name: &name, told, priority };
                // However often it is heard, no change of state waits for it.
                if self.queues.is_idle(&news.queue()) {
                    self.tell_news(&news, &scripts, generation, now);
                } else {
                    self.write_record(&news);
                }
            }
            Effect::Notify { whose, name, state, priority, scripts, generation } => {
                self.note_state(whose, &name, state);
                let news = News { whose, name: &name, told: Told::State(state), priority };
                self.tell_news(&news, &scripts, generation, now);
            }
            Effect::Desired(generation, entries) => self.pass_on(generation, entries),
            Effect::Whole => self.pass_on_whole(),
        }
    }

    /// Tells that a virtual server or, with a name, a real server of it went up or down.
    fn tell_service(&mut self, service: &str, server: Option<&str>, up: bool) {
        let word = if up { "UP" } else { "DOWN" };
        match server {
            Some(server) => self.note_event(EventKind::Server, &server_name(service, server), word, ""),
            None => self.note_event(EventKind::Service, service, word, ""),
        }
        self.pipes.write(Subject::Checks, &fifo::service_record(service, server, up));
    }

    /// Tells those who watch of a change of state, and why it came.
    fn note_state(&mut self, whose: Whose, name: &str, state: VrrpState) {
        let kind = match whose {
            Whose::Instance => EventKind::Instance,
            Whose::Group => EventKind::Group,
        };
        let because = self.broker.because(name).filter(|_| whose == Whose::Instance);
        let because = because.unwrap_or_default().to_owned();
        self.note_event(kind, name, state.word(), &because);
    }

    /// Tells a change of state to FIFOs and scripts.
    pub(super) fn tell_news(
        &mut self,
        news: &News<'_>,
        scripts: &InstanceNotify,
        generation: Generation,
        now: MonoTime,
    ) {
        self.write_record(news);
        let queue = news.queue();
        let jobs = self.queues.push(&queue, notify::jobs(scripts, generation, news), now);
        self.start_jobs(&queue, jobs, now);
        if news.told != Told::Stop {
            self.mail_news(news, scripts);
        }
    }
    /// An instance that the new file no longer has, or has as another virtual router, is told as DELETED with
    /// `notify_deleted`, else as FAULT.
    pub(super) fn notify_removed(&mut self, parts: &Parts, now: MonoTime) {
        let old = Rc::clone(self.broker.part());
        let generation = self.broker.generation();
        let kept: BTreeSet<usize> = old.kept(&parts.parent).into_iter().flatten().collect();
        for (position, (instance, status)) in
            old.instances.iter().zip(self.broker.instance_status()).enumerate()
        {
            if kept.contains(&position) {
                continue;
            }
            let told = match instance.notify.tells_deleted {
                true => Told::Deleted,
                false => Told::State(VrrpState::Fault),
            };
            let priority = Priority::new(status.priority);
            let news = News { whose: Whose::Instance, name: &instance.name, told, priority };
            self.tell_news(&news, &instance.notify, generation, now);
        }
    }

    /// `fifo_write_vrrp_states_on_reload`: states that have not changed since the commit.
    pub(super) fn repeat_states(&mut self, before: &BTreeMap<String, u64>) {
        if !self.broker.part().process.fifo_states_on_reload {
            return;
        }
        for status in self.broker.instance_status() {
            if status.state != VrrpState::Init && before.get(&status.name) == Some(&status.transitions) {
                let priority = Priority::new(status.priority);
                let record = fifo::record(Whose::Instance, &status.name, status.state.word(), priority);
                self.pipes.write(Subject::Vrrp, &record);
            }
        }
    }

    fn write_record(&mut self, news: &News<'_>) {
        let record = fifo::record(news.whose, news.name, news.told.word(), news.priority);
        self.pipes.write(Subject::Vrrp, &record);
    }
}
