//! One file per conversation, one enum per direction.
//!
//! A message names a thing and never carries a command: identifiers are positions in tables that the parent
//! keeps, and every message that refers to one carries the generation of its configuration.

pub mod checkd;
pub mod ctl;
pub mod ipvsd;
pub mod vrrpd;
pub mod worker;

use serde::{Deserialize, Serialize};

use config::model::units::Generation;

/// First message of every daemon: which protocol it speaks and which build it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::handshake::PROTOCOL`] of the daemon.
    pub protocol: u32,
    /// Version and build, for status and logs; at most 64 bytes.
    pub build: String,
    /// Process id as the daemon sees it.
    pub pid: u32,
}

/// What confinement was reached: told once, shown in status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Confined {
    /// Landlock ABI in force, 0 when the kernel has none.
    pub landlock_abi: u32,
    /// File system access is restricted by landlock.
    pub file_system: bool,
    /// TCP bind and connect are restricted by landlock.
    pub tcp: bool,
    /// Signals and abstract sockets are scoped by landlock.
    pub scopes: bool,
    /// A seccomp filter is in force.
    pub seccomp: bool,
}

/// Severity of a log line, syslog's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// 1
    Alert,
    /// 3
    Error,
    /// 4
    Warning,
    /// 5
    Notice,
    /// 6
    Info,
    /// 7
    Debug,
}

/// Messages that every daemon sends, whatever its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDaemon {
    /// First message after start.
    Hello(Hello),
    /// Confinement is in force.
    Confined(Confined),
    /// The new configuration stands beside the old one.
    Prepared(Generation),
    /// The new configuration can't be used.
    Refused {
        /// Which.
        generation: Generation,
        /// Why.
        reason: Refusal,
    },
    /// The new configuration is in use; identifiers of older ones are no longer sent.
    Committed(Generation),
    /// Answer to [`ToDaemon::Ping`].
    Pong(u64),
    /// Answer to [`ToDaemon::Quiesce`]: no effect on the world will follow; state is written.
    Quiesced,
    /// Answer to [`ToDaemon::Stop`]: everything is withdrawn; the process ends now.
    Stopped,
    /// A line for the log sink.
    Log {
        /// Severity.
        level: Level,
        /// Text without the name of the process; control characters are escaped by the parent.
        text: String,
    },
    /// Lines that the bounded queue could not take since the last such message.
    LogDropped(u64),
    /// System calls refused by the filter since start, and the number of the last one.
    UnknownCalls {
        /// How many.
        count: u64,
        /// Number of the last one.
        last: u32,
    },
    /// A timer was served this many microseconds late: only when the parent asked to be told of it.
    Late(u64),
}

/// Why a daemon refuses a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The memfd doesn't decode or breaks an invariant.
    Invalid(String),
    /// The sandbox would have to be wider: the parent restarts the daemon with this generation.
    NeedsWiderSandbox,
}

/// Messages that every daemon understands, whatever its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDaemon {
    /// Build this configuration aside. One fd travels with it: the sealed memfd of the daemon's part.
    Prepare {
        /// Its number.
        generation: Generation,
    },
    /// Use what was prepared.
    Commit(Generation),
    /// Forget what was prepared.
    Abort(Generation),
    /// Answer with Pong.
    Ping(u64),
    /// Planned restart: stop acting on the world, leave everything in place, answer with Quiesced.
    Quiesce,
    /// The planned restart failed: go on as before.
    Resume,
    /// End: withdraw what is held, answer with Stopped.
    Stop(StopMode),
}

/// What a stop leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// Nothing: priority 0 is sent, addresses and services are withdrawn.
    Withdraw,
    /// Everything: another process has taken over (planned restart) or the operator asked for it.
    Leave,
}

/// Outcome of a script that a daemon asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunOutcome {
    /// It ended by itself with this status.
    Exited(u8),
    /// It was killed by this signal.
    Signalled(u8),
    /// It ran out of time and was ended.
    TimedOut,
    /// It could not run or may not run.
    NotRun,
    /// This machine had no means to start it, which says nothing of what it looks at.
    NotStarted,
}

impl crate::channel::CarriesFds for ToDaemon {
    fn fds(&self) -> usize {
        match self {
            Self::Prepare { .. } => 1,
            Self::Commit(_)
            | Self::Abort(_)
            | Self::Ping(_)
            | Self::Quiesce
            | Self::Resume
            | Self::Stop(_) => 0,
        }
    }
}
