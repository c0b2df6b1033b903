//! What the parent finds out for instances: results of scripts, numbers in files and of processes.

use config::model::units::{FileId, MonoTime, ProcessId, ScriptId};
use config::model::vrrp::Instance;
use ipc::messages::vrrpd::VrrpdToParent;
use ipc::messages::{Level, RunOutcome};

use super::Driver;
use crate::proto::priority::Health;
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

    pub(super) fn take_count(&mut self, process: ProcessId, count: u32, now: MonoTime) {
        let before = self.trackers.processes.health(process);
        if !self.trackers.processes.record(process, count, now) {
            return;
        }
        if before != Health::Unknown {
            self.outbox.log(Level::Info, self.trackers.processes.line(process));
        }
        self.judge_those(|instance| !instance.track_processes.is_empty(), now);
    }

    /// Delays of processes may be over.
    pub(super) fn tick_processes(&mut self, now: MonoTime) {
        let lines = self.trackers.processes.tick(now);
        if lines.is_empty() {
            return;
        }
        for line in lines {
            self.outbox.log(Level::Info, line);
        }
        self.judge_those(|instance| !instance.track_processes.is_empty(), now);
    }

    fn judge_those(&mut self, concerned: impl Fn(&Instance) -> bool, now: MonoTime) {
        for position in 0..self.routers.len() {
            if self.routers.get(position).is_some_and(|router| concerned(&router.config)) {
                self.judge(position, now);
            }
        }
    }
}
