//! Runs that this machine could not start: that says nothing of the servers.
//!
//! Counts them, and decides when a line about them is due. Called by [`super::runs`].

use std::io;
use std::time::Duration;

use config::model::units::MonoTime;

/// Those since the last line.
#[derive(Debug, Default)]
pub(super) struct Postponed {
    count: u64,
    /// Checker and reason of the last one.
    last: Option<(usize, io::Error)>,
    quiet_until: MonoTime,
}

impl Postponed {
    /// One more.
    pub(super) fn add(&mut self, position: usize, error: io::Error) {
        self.count = self.count.saturating_add(1);
        self.last = Some((position, error));
    }

    /// Forgets the last one, whose checker is of a configuration before.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// How many since the last call that said so, the last one's checker and why; now and then.
    pub(super) fn take(&mut self, now: MonoTime) -> Option<(u64, usize, io::Error)> {
        if now < self.quiet_until {
            return None;
        }
        let (position, reason) = self.last.take()?;
        self.quiet_until = now + QUIET;
        Some((std::mem::take(&mut self.count), position, reason))
    }
}

/// Least time between two lines.
const QUIET: Duration = Duration::from_secs(60);
