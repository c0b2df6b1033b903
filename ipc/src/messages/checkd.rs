//! The conversation between the parent and checkd.

use serde::{Deserialize, Serialize};

use config::model::lent::LentSocket;
use config::model::parts::{Presence, ServerRef};
use config::model::units::{CheckId, FileId, Generation, ScriptId, ServerId, ServiceId, Weight};

use super::ctl::explained::CheckExplained;
use super::{FromDaemon, RunOutcome, ToDaemon};
use crate::channel::CarriesFds;

/// Parent to checkd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentToCheckd {
    /// What every daemon understands. `Prepare` carries one fd (the model).
    Common(ToDaemon),
    /// Verdicts of a predecessor, before the first `Prepare`: kept until the first fresh result.
    /// Several such messages may come; the last precedes `Prepare`.
    Remembered {
        /// Configuration that the identifiers belong to; the `Prepare` that follows has the same.
        generation: Generation,
        /// At most [`MAX_BATCH`].
        verdicts: Vec<Verdict>,
        /// Quorums as last told, at most [`MAX_BATCH`].
        quorums: Vec<QuorumState>,
    },
    /// Sockets of one kind that checks borrow, before the `Prepare` of the same generation, or in answer to
    /// [`CheckdToParent::Renew`]. So many fds travel with it; a kind that can't be opened is not named.
    Sockets {
        /// Configuration that they are for.
        generation: Generation,
        /// Their kind.
        kind: LentSocket,
        /// How many, at most [`config::model::lent::MOST_LENT`].
        count: u16,
    },
    /// Services with `ha_suspend` whose address has come to this machine, or has gone from it. Before the `Commit` of
    /// that generation: those whose address is here; nothing is said of the others then.
    Here {
        /// Configuration that the identifiers belong to.
        generation: Generation,
        /// At most [`MAX_BATCH`].
        services: Vec<ServiceId>,
        /// It has come.
        here: bool,
    },
    /// The number in a tracked file, after a `Commit` and when it changes.
    FileValue {
        /// Configuration that `file` belongs to.
        generation: Generation,
        /// Which file.
        file: FileId,
        /// Its number.
        value: i64,
    },
    /// Somebody asks what the checks of a server say; the answer is [`CheckdToParent::Explained`].
    Explain {
        /// Configuration that `service` belongs to.
        generation: Generation,
        /// Which service.
        service: ServiceId,
        /// Which of its servers.
        server: ServerId,
    },
    /// A MISC_CHECK has ended.
    ScriptResult {
        /// Configuration that `check` belongs to.
        generation: Generation,
        /// Which checker.
        check: CheckId,
        /// How it ended.
        outcome: RunOutcome,
    },
    /// Send this mail. Repeated to a successor until [`CheckdToParent::LetterGone`] has come.
    Deliver(Letter),
}

/// checkd to parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckdToParent {
    /// What every daemon sends.
    Common(FromDaemon),
    /// What the kernel's table should say; the parent hands it on to ipvsd.
    Desired {
        /// Configuration that the identifiers belong to.
        generation: Generation,
        /// Changes, or the whole after a `Commit`; at most [`MAX_BATCH`].
        entries: Vec<DesiredEntry>,
        /// True on the last message of a whole: everything not named is absent.
        complete: bool,
    },
    /// Verdicts that changed, for the parent's copy; at most [`MAX_BATCH`].
    Verdicts {
        /// Configuration that the identifiers belong to.
        generation: Generation,
        /// What changed.
        verdicts: Vec<Verdict>,
    },
    /// A real server or the quorum of a service went up or down: FIFO, subscribers, status.
    ServiceEvent {
        /// Configuration that `service` belongs to.
        generation: Generation,
        /// Which service.
        service: ServiceId,
        /// A real server, or `None` for the service itself.
        server: Option<ServerId>,
        /// Up or down.
        up: bool,
    },
    /// States of servers and services after a `Commit`, for status only: nobody is told. At most [`MAX_BATCH`].
    ServiceStates {
        /// Configuration that the identifiers belong to.
        generation: Generation,
        /// What is so.
        states: Vec<ServiceState>,
    },
    /// Run a MISC_CHECK now; the answer is a `ScriptResult` with the same check.
    RunCheck {
        /// Configuration that `check` belongs to.
        generation: Generation,
        /// Which checker.
        check: CheckId,
        /// Its script.
        script: ScriptId,
    },
    /// The sockets of this kind have outlived the interface that they are bound to: others are wanted in their place,
    /// asked for again each second until they come.
    Renew {
        /// Configuration that `kind` belongs to.
        generation: Generation,
        /// Their kind.
        kind: LentSocket,
    },
    /// Run a notify script; nobody waits for it.
    RunNotify {
        /// Configuration that `script` belongs to.
        generation: Generation,
        /// Which script.
        script: ScriptId,
    },
    /// A mail to be kept and given back as [`ParentToCheckd::Deliver`], so that it survives this process. Names no
    /// recipient: those are configured.
    Letter {
        /// Subject without the name of the router, at most [`MAX_LETTER_TEXT`] bytes.
        subject: String,
        /// Its one line, at most as long.
        body: String,
    },
    /// Answer to [`ParentToCheckd::Explain`].
    Explained {
        /// Configuration that `service` belongs to.
        generation: Generation,
        /// Which service.
        service: ServiceId,
        /// Which of its servers.
        server: ServerId,
        /// Its checks, at most [`MAX_CHECKS`](super::ctl::explained::MAX_CHECKS).
        checks: Vec<CheckExplained>,
    },
    /// A mail needs no further attempt.
    LetterGone {
        /// Its number.
        number: u64,
        /// At least one recipient has it; else it is lost.
        delivered: bool,
    },
}

/// A mail about a change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number, given by the parent.
    pub number: u64,
    /// When it was written, in seconds since 1970.
    pub sent: i64,
    /// Seconds by which local time was ahead of UTC then.
    pub offset: i32,
    /// Subject.
    pub subject: String,
    /// Its one line.
    pub body: String,
}

/// Most mails that wait; the oldest makes room.
pub const MAX_LETTERS: usize = 256;
/// Longest subject or line of a mail in bytes.
pub const MAX_LETTER_TEXT: usize = 1024;

/// Most entries in one message: 64 KiB hold them.
pub const MAX_BATCH: usize = 1024;

/// What the table should say of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DesiredEntry {
    /// Which virtual server.
    pub service: ServiceId,
    /// Which of its servers.
    pub server: ServerRef,
    /// A weight, or absence.
    pub presence: Presence,
}

/// State of a real server or of the quorum of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Which service.
    pub service: ServiceId,
    /// A real server, or `None` for the service itself.
    pub server: Option<ServerId>,
    /// Up or down.
    pub up: bool,
}

/// Memory of one service: between the two thresholds of hysteresis its servers don't tell its quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumState {
    /// Which service.
    pub service: ServiceId,
    /// Its quorum is gained.
    pub up: bool,
}

/// Memory of one checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which checker.
    pub check: CheckId,
    /// Good or bad.
    pub up: bool,
    /// It has given a result at least once.
    pub tested: bool,
    /// Failures counted so far in a row of retries.
    pub failures: u32,
    /// Weight set by misc_dynamic, if any.
    pub weight: Option<Weight>,
}

impl CarriesFds for ParentToCheckd {
    fn fds(&self) -> usize {
        match self {
            Self::Common(message) => message.fds(),
            Self::Sockets { count, .. } => usize::from(*count),
            Self::Remembered { .. }
            | Self::Here { .. }
            | Self::FileValue { .. }
            | Self::Explain { .. }
            | Self::ScriptResult { .. }
            | Self::Deliver(_) => 0,
        }
    }
}

impl CarriesFds for CheckdToParent {
    fn fds(&self) -> usize {
        0
    }
}

impl From<FromDaemon> for CheckdToParent {
    fn from(message: FromDaemon) -> Self {
        Self::Common(message)
    }
}

impl From<ToDaemon> for ParentToCheckd {
    fn from(message: ToDaemon) -> Self {
        Self::Common(message)
    }
}
