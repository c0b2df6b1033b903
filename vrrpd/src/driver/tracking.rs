//! What the parent finds out for instances: results of scripts and numbers of files.

use config::model::units::{FileId, MonoTime, ScriptId};
use config::model::vrrp::Instance;
use ipc::messages::vrrpd::VrrpdToParent;
use ipc::messages::{Level, RunOutcome};

use super::Driver;
use crate::trackers::Recorded;

impl Driver {
    /// Asks the parent to run the scripts that are due.
    pub(super) fn run_scripts(&mut self, now: MonoTime) {
        for script in self.trackers.scripts.due(now) {
            self.outbox.send(VrrpdToParent::RunScript { generation: self.generation, script });
        }
    }

    pub(super) fn take_result(&mut self, script: ScriptId, outcome: RunOutcome, now: MonoTime) {
        for line in self.trackers.scripts.record(script, outcome) {
            self.outbox.log(Level::Info, line);
        }
        self.judge_those(|instance| !instance.track_scripts.is_empty(), now);
    }

    pub(super) fn take_number(&mut self, file: FileId, value: i64, now: MonoTime) {
        match self.trackers.files.record(file, value) {
            Recorded::Nothing => return,
            Recorded::First => {}
            Recorded::Changed(line) => self.outbox.log(Level::Info, line),
        }
        self.judge_those(|instance| instance.track_files.iter().any(|track| track.file == file), now);
    }

    fn judge_those(&mut self, concerned: impl Fn(&Instance) -> bool, now: MonoTime) {
        for position in 0..self.routers.len() {
            if self.routers.get(position).is_some_and(|router| concerned(&router.config)) {
                self.judge(position, now);
            }
        }
    }
}
