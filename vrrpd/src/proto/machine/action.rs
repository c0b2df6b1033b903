//! What follows from an input.

use std::time::Duration;

use config::model::units::{AdvertInterval, Priority};

use crate::proto::accept::Heard;

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send an advert with this priority.
    SendAdvert(Priority),
    /// Put the addresses in place, then announce them.
    ClaimAddresses,
    /// Put back what is missing of the addresses, and announce only that.
    VerifyAddresses,
    /// Take the addresses away and announce nothing more.
    ReleaseAddresses,
    /// Announce the addresses again: another router believes that it is Master.
    AnnounceConflict,
    /// Announce the addresses once: adverts are missing on the wire.
    AnnounceLate,
    /// The state has changed: log it and tell the parent.
    Entered {
        /// Present state.
        state: Entered,
        /// Whether anybody has to be notified.
        notify: Notify,
    },
    /// Worth a line in the log.
    Note(Note),
}

/// State that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// Backup right after start.
    BackupAtStart,
    /// Backup.
    Backup,
    /// Master.
    Master,
    /// Fault; the reasons are in the state.
    Fault,
}

/// Whether a change of state is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// Yes.
    News,
    /// The predecessor has told it.
    Repetition,
}

/// Something worth a line. All but `AdvertTimeout`, `TimerExpired`, `IntervalRestored` and `PriorityChanged` are caused
/// by packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Backup: a lower priority is left to its fate.
    LowerDiscarded(Heard),
    /// Master: a lower priority sends adverts.
    LowerAnswered {
        /// From whom.
        heard: Heard,
        /// Whether an advert answers, which `lower_prio_no_advert` forbids.
        answered: bool,
    },
    /// Master: a higher priority is heard.
    HigherHeard(Heard),
    /// Master: an equal priority with a higher address is heard.
    HigherAddressHeard(Heard),
    /// Master: somebody sends from our address.
    OwnAddressHeard(Heard),
    /// Master: another router claims to own the addresses, too.
    RivalOwner(Heard),
    /// Master: it wakes up too late to be believed.
    TimerExpired,
    /// Backup: the Master resigns.
    Resigned(Heard),
    /// Master: another router that took itself for the Master resigns.
    RivalResigned,
    /// The Master advertises at another interval than was known.
    IntervalLearned {
        /// Known so far.
        from: AdvertInterval,
        /// The Master's.
        to: AdvertInterval,
    },
    /// Master: the interval is the configured one again.
    IntervalRestored {
        /// The former Master's.
        from: AdvertInterval,
        /// Ours.
        to: AdvertInterval,
    },
    /// Backup: a lower priority is heard, and `preempt_delay` begins.
    PreemptDelay(Duration),
    /// Backup: the Master has fallen silent.
    AdvertTimeout,
    /// The effective priority has changed.
    PriorityChanged {
        /// Before.
        from: Priority,
        /// Now.
        to: Priority,
    },
}
