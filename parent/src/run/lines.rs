//! Lines that daemons have logged, or that their wishes draw, as long as the quota of each lasts.

use config::model::units::MonoTime;
use ipc::messages::Level;
use ipc::messages::ctl::Daemon;
use ipc::reactor;

use super::Suite;
use crate::log_quota::{Quota, RATE};
use crate::log_sink::Speaker;

impl Suite {
    /// A line of a daemon for the sink, as long as its quota lasts.
    pub(super) fn relay(&mut self, daemon: Daemon, pid: i32, level: Level, text: &str) {
        if !self.log.keeps(level) {
            return;
        }
        let now = reactor::now();
        if self.may_log(daemon, now) {
            self.log.write(Speaker::Daemon(daemon), Some(pid), level, text);
        }
        self.tell_suppressed(now);
    }

    /// Says now and then how many lines of a daemon its quota has suppressed.
    pub(super) fn tell_suppressed(&mut self, now: MonoTime) {
        for (daemon, quota) in &mut self.quotas {
            let Some(count) = quota.notice(now) else { continue };
            let text = format!(
                "{count} log lines of {} were suppressed: more than {RATE} a second in the long run",
                daemon.name()
            );
            self.log.write(Speaker::Parent, None, Level::Warning, &text);
            let process = self.processes.values_mut().find(|process| process.daemon == *daemon);
            if let Some(process) = process {
                process.dropped_lines = process.dropped_lines.saturating_add(count);
            }
        }
    }

    /// A line of this process's own. Where a daemon wanted what draws it, that daemon's quota pays: it could want it
    /// without end.
    pub(super) fn say_for(&mut self, asker: Option<Daemon>, level: Level, text: &str) {
        let now = reactor::now();
        if asker.is_none_or(|daemon| self.may_log(daemon, now)) {
            self.say(level, text);
        }
    }

    fn may_log(&mut self, daemon: Daemon, now: MonoTime) -> bool {
        self.quotas.entry(daemon).or_insert_with(|| Quota::new(now)).admits(now)
    }
}
