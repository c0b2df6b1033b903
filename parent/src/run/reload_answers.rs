//! Answers to those who asked for a reload: they wait until ipvsd has been told what the new table should say.
//!
//! Whoever is answered wants the processor next; the table that he asked for comes first. Decides and keeps, and sends
//! nothing by itself but through [`crate::control`].

use std::time::Duration;

use config::model::units::MonoTime;
use ipc::messages::ctl::{Daemon, Reloaded};

use super::Suite;

/// Answers that wait.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: Vec<(usize, Reloaded)>,
    /// When they are given, whatever has become of the table.
    until: MonoTime,
}

/// Longest that an answer waits: a checkd that hangs is dealt with elsewhere.
const PATIENCE: Duration = Duration::from_secs(1);

impl Answers {
    /// The same answer for all of these clients.
    pub(super) fn keep(&mut self, clients: Vec<usize>, answer: &Reloaded, now: MonoTime) {
        self.until = now + PATIENCE;
        self.waiting.extend(clients.into_iter().map(|client| (client, answer.clone())));
    }

    /// When they are given at the latest.
    pub(super) fn deadline(&self) -> Option<MonoTime> {
        (!self.waiting.is_empty()).then_some(self.until)
    }

    /// Those that are given now.
    fn due(&mut self, table: Table, now: MonoTime) -> Vec<(usize, Reloaded)> {
        let wait = table == Table::OnItsWay && now < self.until;
        if wait { Vec::new() } else { std::mem::take(&mut self.waiting) }
    }
}

/// What the kernel's table should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    /// Not all of it has been handed to ipvsd.
    OnItsWay,
    /// It has been, or nobody is there to tell it or to hear it.
    Handed,
}

impl Suite {
    /// Gives the answers that have waited long enough.
    pub(super) fn tick_answers(&mut self, now: MonoTime) {
        for (client, answer) in self.reload_answers.due(self.table(), now) {
            self.control.reply(client, answer);
        }
    }

    fn table(&self) -> Table {
        let acts = |daemon| self.supervisors.get(&daemon).is_some_and(|known| known.acting().is_some());
        let told = acts(Daemon::Checkd) && acts(Daemon::Ipvsd) && self.stopping.is_none();
        if told && (!self.broker.has_whole() || self.handing.is_under_way()) {
            Table::OnItsWay
        } else {
            Table::Handed
        }
    }
}

#[cfg(test)]
mod tests {
    use config::model::units::Generation;

    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn an_answer_waits_for_the_table_and_no_longer_than_a_second() {
        let answer = Reloaded { generation: Generation::new(2), warnings: String::new() };
        let mut answers = Answers::default();
        assert_eq!(answers.deadline(), None);
        answers.keep(vec![7, 9], &answer, at(5_000));
        assert_eq!(answers.deadline(), Some(at(6_000)));
        assert_eq!(answers.due(Table::OnItsWay, at(5_999)), []);
        assert_eq!(answers.due(Table::Handed, at(5_999)), [(7, answer.clone()), (9, answer.clone())]);
        assert_eq!((answers.due(Table::Handed, at(5_999)), answers.deadline()), (vec![], None));
        answers.keep(vec![8], &answer, at(7_000));
        assert_eq!(answers.due(Table::OnItsWay, at(8_000)), [(8, answer)]);
    }
}
