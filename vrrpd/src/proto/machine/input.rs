//! What a machine is told.

use config::model::units::{AdvertInterval, MonoTime, Priority};

use super::Settings;
use crate::proto::accept::Heard;
use crate::proto::faults::Faults;

/// What happens to a virtual router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Take part from now on; timers start `delay` later (`vrrp_startup_delay`).
    Startup {
        /// Wait before the first timer.
        delay: std::time::Duration,
        /// Reasons not to take part.
        faults: Faults,
    },
    /// Take part from now on as the predecessor did.
    Resume(Memory),
    /// Give up everything.
    Shutdown,
    /// An accepted advert.
    Advert(Heard),
    /// A deadline may have passed.
    Tick,
    /// Reasons not to take part, all of them; empty when there are none.
    Faults(Faults),
    /// The effective priority.
    Priority(Priority),
    /// Other settings.
    Configure(Settings),
    /// The sync group becomes Master.
    Promote,
    /// Another member of the sync group is no longer Master.
    Demote,
    /// Somebody has removed an address, and the configuration says that this costs the state.
    StepDown,
}

/// What a predecessor left of a virtual router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It was Backup.
    Backup,
    /// It was Master.
    Master {
        /// When it sent its last advert.
        last_advert: MonoTime,
        /// Interval of its adverts.
        interval: AdvertInterval,
    },
}
