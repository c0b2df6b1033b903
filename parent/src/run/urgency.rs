//! Daemons that are scheduled too late become more urgent (`max_auto_priority`).
//!
//! A daemon measures how late its timers are and tells; it has no right to raise itself. What it says is not verified:
//! one that lies gets what the configuration allows a late one, and RLIMIT_RTTIME ends it when it computes without pause.

use std::time::Duration;

use config::model::process::Ceiling;
use ipc::messages::Level;
use sandbox::system::process::be_round_robin;

use super::Suite;
use crate::supervisor::Serial;

/// The next priority of a daemon that is late; `None` when it may not rise.
fn risen(priority: u8, most: Option<u8>) -> Option<u8> {
    let next = priority.saturating_add(1);
    most.filter(|most| next <= *most).map(|_| next)
}

impl Suite {
    /// At start: the keyword is worth its line.
    pub(super) fn propose_auto_priority(&mut self) {
        if self.broker.part().process.auto_priority.ceiling == Ceiling::Off {
            self.say(
                Level::Info,
                "NOTICE: setting config option max_auto_priority should result in better keepalived performance",
            );
        }
    }

    /// A daemon has served a timer late: one step up.
    pub(super) fn on_late(&mut self, serial: Serial, micros: u64) {
        let most = self.broker.part().process.auto_priority.most();
        let Some(process) = self.processes.get_mut(&serial) else { return };
        let Some(priority) = risen(process.urgency, most) else { return };
        let (daemon, pid) = (process.daemon, process.pid);
        // Also when it is refused: it would be refused again.
        process.urgency = priority;
        let raised = be_round_robin(pid, priority);
        let late = Duration::from_micros(micros);
        let text =
            format!("A thread timer expired {}.{:06} seconds ago", late.as_secs(), late.subsec_micros());
        self.relay(daemon, pid, Level::Info, &text);
        match raised {
            Ok(()) => self.relay(daemon, pid, Level::Info, &format!("Set realtime priority {priority}")),
            Err(error) => {
                let text = format!("{} can't get realtime priority {priority}: {error}", daemon.name());
                self.say(Level::Warning, &text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::risen;

    #[test]
    fn a_late_daemon_rises_by_one_up_to_the_highest_allowed_priority() {
        assert_eq!(risen(0, Some(3)), Some(1));
        assert_eq!(risen(2, Some(3)), Some(3));
        assert_eq!(risen(3, Some(3)), None);
        assert_eq!(risen(20, Some(3)), None);
        assert_eq!(risen(0, None), None);
    }
}
