//! The ordered end: addresses first, the kernel's table after them, stop scripts last.

use std::rc::Rc;
use std::time::Duration;

use config::model::units::{MonoTime, Priority};
use ipc::messages::Level;
use ipc::messages::ctl::events::EventKind;
use ipc::messages::ctl::{Daemon, NoParameters};

use super::Suite;
use crate::boot::BANNER;
use crate::broker::Whose;
use crate::effects::notify::{News, Told};
use crate::service;

/// A stop that is under way.
#[derive(Debug)]
pub(super) struct Stopping {
    status: u8,
    step: Step,
    pub(super) deadline: MonoTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// vrrpd withdraws; checkd ends.
    Addresses,
    /// ipvsd clears its entries.
    Table,
    /// Stop scripts run.
    Scripts,
    /// The shutdown script runs.
    Shutdown,
}

/// What stop scripts get before they are ended.
const SCRIPTS: Duration = Duration::from_secs(1);

/// What a shutdown script that is out of time gets to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

impl Suite {
    /// Ends the suite with this exit status.
    pub(super) fn begin_stop(&mut self, status: u8, now: MonoTime) {
        if let Some(stopping) = &mut self.stopping {
            stopping.status = stopping.status.max(status);
            return;
        }
        service::stopping();
        self.say(Level::Info, "Stopping");
        self.note_event(EventKind::Suite, "keepalived", "stopping", "");
        let patience = self.broker.part().process.child_wait_time;
        let longest = patience.saturating_mul(3) + Duration::from_secs(5);
        self.stopping = Some(Stopping { status, step: Step::Addresses, deadline: now + longest });
        self.cancel_reload();
        self.mail_stop();
        for daemon in [Daemon::Vrrpd, Daemon::Checkd] {
            self.with_supervisor(daemon, |supervisor, out| supervisor.stop(now, out));
        }
    }

    pub(super) fn tick_stop(&mut self, now: MonoTime) {
        let Some(Stopping { step, deadline, .. }) = self.stopping else { return };
        let gone = |daemon| self.supervisors.get(&daemon).is_none_or(|supervisor| supervisor.is_absent());
        let overdue = now >= deadline;
        match step {
            Step::Addresses if (gone(Daemon::Vrrpd) && self.releasing.is_none()) || overdue => {
                self.with_supervisor(Daemon::Ipvsd, |supervisor, out| supervisor.stop(now, out));
                self.advance(Step::Table);
                // Without an IPVS table nothing else would wake the loop before its next pulse.
                self.tick_stop(now);
            }
            Step::Table if (gone(Daemon::Ipvsd) && gone(Daemon::Checkd)) || overdue => {
                self.run_stop_scripts(now);
                self.runner.limit_all(now, SCRIPTS);
                self.runner.end_readers(now);
                self.advance(Step::Scripts);
                self.tick_stop(now);
            }
            Step::Scripts if self.runner.running() == 0 || overdue => match self.begin_shutdown(now) {
                Some(patience) => {
                    self.advance(Step::Shutdown);
                    if let Some(stopping) = &mut self.stopping {
                        stopping.deadline = now + patience + SHUTDOWN_GRACE;
                    }
                }
                None => self.finish(),
            },
            // Those that waited for others begin only now.
            Step::Scripts => self.runner.limit_all(now, SCRIPTS),
            Step::Shutdown if self.runner.running() == 0 || overdue => self.finish(),
            Step::Addresses | Step::Table | Step::Shutdown => {}
        }
    }

    fn advance(&mut self, step: Step) {
        if let Some(stopping) = &mut self.stopping {
            stopping.step = step;
        }
    }

    fn run_stop_scripts(&mut self, now: MonoTime) {
        let part = Rc::clone(self.broker.part());
        let generation = self.broker.generation();
        for (instance, status) in part.instances.iter().zip(self.broker.instance_status()) {
            let priority = Priority::new(status.priority);
            let news = News { whose: Whose::Instance, name: &instance.name, told: Told::Stop, priority };
            self.tell_news(&news, &instance.notify, generation, now);
        }
        for known in &part.groups {
            let (name, priority) = (&known.group.name, Priority::RESIGN);
            let news = News { whose: Whose::Group, name, told: Told::Stop, priority };
            self.tell_news(&news, &known.notify, generation, now);
        }
    }

    /// checkd gets these before it is told to end.
    fn mail_stop(&mut self) {
        let part = Rc::clone(self.broker.part());
        let instances = part.instances.iter().map(|known| (Whose::Instance, &known.name, &known.notify));
        let groups = part.groups.iter().map(|known| (Whose::Group, &known.group.name, &known.notify));
        for (whose, name, notify) in instances.chain(groups) {
            let news = News { whose, name, told: Told::Stop, priority: Priority::RESIGN };
            self.mail_news(&news, notify);
        }
    }

    fn finish(&mut self) {
        self.count_undelivered();
        self.kernel_settings.put_back();
        let status = self.stopping.as_ref().map_or(0, |stopping| stopping.status);
        self.say(Level::Info, &format!("Stopped {BANNER}"));
        for client in std::mem::take(&mut self.stop_waiters) {
            self.control.reply(client, NoParameters {});
        }
        self.exit = Some(status);
    }
}
