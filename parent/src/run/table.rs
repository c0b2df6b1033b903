//! What ipvsd is told of instances, and what it is asked for status: the kernel's counters.

use std::time::Duration;

use config::model::units::{Generation, MonoTime};
use ipc::messages::ctl::Daemon;
use ipc::messages::ipvsd::{ParentToIpvsd, StatisticsEntry, SyncRole};

use super::Suite;
use super::link::Link;
use crate::supervisor::Serial;

/// What ipvsd has been told, and who waits for its counters.
#[derive(Debug, Default)]
pub(super) struct TableTalk {
    /// Role of the synchronisation daemon that a process was told last.
    role: Option<(Serial, Generation, SyncRole)>,
    /// The table was emptied, or need not be: it is done once.
    flushed: bool,
    /// Clients that wait for a status with fresh counters.
    waiters: Vec<usize>,
    /// When they are answered without.
    deadline: Option<MonoTime>,
    /// When counters came last.
    counted: Option<MonoTime>,
}

impl TableTalk {
    /// When waiting clients are answered in any case.
    pub(super) fn deadline(&self) -> Option<MonoTime> {
        self.deadline
    }

    /// True once: `lvs_flush` concerns the start of the suite and no later process.
    pub(super) fn first_start(&mut self) -> bool {
        !std::mem::replace(&mut self.flushed, true)
    }
}

impl Suite {
    /// Tells the acting ipvsd which role its synchronisation daemon has, when that is news to it.
    pub(super) fn tell_sync_role(&mut self) {
        let Some(role) = self.broker.sync_role() else { return };
        let Some(serial) = self.running_ipvsd() else { return };
        let news = (serial, self.broker.generation(), role);
        if self.table_talk.role == Some(news) {
            return;
        }
        self.table_talk.role = Some(news);
        self.tell_ipvsd(serial, &ParentToIpvsd::SyncRole(role));
    }

    /// A client wants the status: with counters of this second, when ipvsd gives them in time.
    pub(super) fn order_status(&mut self, client: usize, now: MonoTime) {
        let fresh = self.table_talk.counted.is_some_and(|at| now.since(at) < FRESH);
        let asked = self.running_ipvsd().filter(|_| !fresh && !self.broker.part().services.is_empty());
        let Some(serial) = asked else {
            return self.answer_with_status(vec![client], now);
        };
        self.table_talk.waiters.push(client);
        if self.table_talk.deadline.is_none() {
            self.table_talk.deadline = Some(now + PATIENCE);
            self.broker.forget_counting();
            self.tell_ipvsd(serial, &ParentToIpvsd::AskStatistics);
        }
    }

    /// Some counters came.
    pub(super) fn on_statistics(
        &mut self,
        serial: Serial,
        generation: Generation,
        entries: &[StatisticsEntry],
        complete: bool,
        now: MonoTime,
    ) {
        // An answer that nobody waits for is late and no offence.
        if self.table_talk.deadline.is_none() {
            return;
        }
        if self.broker.count(generation, entries, complete).is_err() {
            return self.refuse(serial);
        }
        if complete {
            self.table_talk.counted = Some(now);
            self.answer_status(now);
        }
    }

    pub(super) fn tick_table(&mut self, now: MonoTime) {
        self.tell_sync_role();
        if self.table_talk.deadline.is_some_and(|deadline| now >= deadline) {
            self.answer_status(now);
        }
    }

    fn answer_status(&mut self, now: MonoTime) {
        self.table_talk.deadline = None;
        let waiters = std::mem::take(&mut self.table_talk.waiters);
        self.answer_with_status(waiters, now);
    }

    fn running_ipvsd(&self) -> Option<Serial> {
        let supervisor = self.supervisors.get(&Daemon::Ipvsd)?;
        supervisor.acting().filter(|_| supervisor.is_running())
    }

    fn tell_ipvsd(&mut self, serial: Serial, message: &ParentToIpvsd) {
        let Some(process) = self.processes.get_mut(&serial) else { return };
        if let Link::Ipvsd(channel) = &mut process.link {
            let sent = channel.send(message, &[]);
            self.check_sent(serial, sent);
        }
    }
}

/// Counters are asked for at most so often, whoever asks for status.
const FRESH: Duration = Duration::from_secs(1);

/// Longest wait of a client for counters.
const PATIENCE: Duration = Duration::from_millis(500);
