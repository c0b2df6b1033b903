//! The end of a Backup's wait, while it is awake already: the steps of a takeover as far as nobody can see them.
//!
//! What has not run since the last takeover must be fetched from memory first, ours and the kernel's, and that would add
//! a tenth of a millisecond to an outage. Nothing leaves, nothing changes, and no lock is taken that an advert would have
//! to wait for. Called once in each wait that is about to end, which is when a Master is silent.

use std::time::Duration;

use config::model::units::MonoTime;

use super::Driver;

/// A rehearsal is good for so long: many waits that end together need one.
const FRESH: Duration = Duration::from_millis(2);

impl Driver {
    /// Goes the way of a takeover when one is about to come.
    pub(super) fn rehearse(&mut self, now: MonoTime) {
        if self.rehearsed_at.is_some_and(|at| now < at + FRESH) {
            return;
        }
        let Some(position) = self.routers.iter().position(|router| router.is_about_to_act(now)) else {
            return;
        };
        self.rehearsed_at = Some(now);
        self.receivers.mark_all();
        self.rehearse_advert(position);
        self.kernel.rehearse();
    }

    /// An advert without signature: numbers that authentication counts stay as they are.
    fn rehearse_advert(&mut self, position: usize) {
        let Some(router) = self.routers.get(position) else { return };
        let priority = router.machine.priority();
        router.advert(priority).encode(&mut self.message);
        let length = self.message.len();
        for way in router.ways() {
            router.set_checksum(&way, length, &mut self.message);
            self.sender.add(position, priority, way, &self.message);
        }
        self.sender.rehearse();
    }
}
