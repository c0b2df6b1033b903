//! The conversation between the parent and ipvsd.

use serde::{Deserialize, Serialize};

use config::model::parts::ServerRef;
use config::model::units::{Generation, ServiceId};

use super::checkd::DesiredEntry;
use super::{FromDaemon, ToDaemon};
use crate::channel::CarriesFds;

/// Parent to ipvsd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentToIpvsd {
    /// What every daemon understands. `Prepare` carries one fd (the model).
    Common(ToDaemon),
    /// What the table should say. Entries that the generation doesn't list are refused and counted.
    Desired {
        /// Configuration that the identifiers belong to.
        generation: Generation,
        /// Changes; at most [`super::checkd::MAX_BATCH`].
        entries: Vec<DesiredEntry>,
        /// True on the last message of a whole. The kernel isn't touched before the first whole.
        complete: bool,
    },
    /// `lvs_flush`: empty the whole table, other people's services included. Once per start of the suite, before the
    /// first whole; a successor is never told so.
    Flush,
    /// The instance that `lvs_sync_daemon` follows is Master or isn't; sent at every change and to every successor.
    SyncRole(SyncRole),
    /// Somebody wants to see the counters: answer with [`IpvsdToParent::Statistics`].
    AskStatistics,
}

/// What the daemon that synchronises connections does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncRole {
    /// It sends.
    Master,
    /// It listens.
    Backup,
}

/// ipvsd to parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpvsdToParent {
    /// What every daemon sends.
    Common(FromDaemon),
    /// Condition of the kernel's table, sent when it changes.
    Table(TableState),
    /// What was written, sent when the table has come into step.
    Written(Written),
    /// A message that broke the rules was refused: unknown service, server, or weight out of range.
    RefusedEntries(u64),
    /// Counters, as the audit of the table saw them last; they cost no reading.
    Statistics {
        /// Configuration that the identifiers belong to.
        generation: Generation,
        /// At most [`MAX_STATISTICS`].
        entries: Vec<StatisticsEntry>,
        /// True on the last message of an answer.
        complete: bool,
    },
}

/// Most entries in one message of counters.
pub const MAX_STATISTICS: usize = 256;

/// Counters of a service or, with a server, of a destination; those of a group's entries added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsEntry {
    /// The service.
    pub service: ServiceId,
    /// The server; none for the service itself.
    pub server: Option<ServerRef>,
    /// Its counters.
    pub counters: Counters,
}

/// What the kernel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Counters {
    /// Connections scheduled since the entry was made.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Connections that are open now; 0 for a service.
    pub active: u64,
    /// Connections that wait to be forgotten; 0 for a service.
    pub inactive: u64,
    /// Persistence templates; 0 for a service.
    pub persistent: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.connections, other.connections),
            (&mut self.packets_in, other.packets_in),
            (&mut self.packets_out, other.packets_out),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.active, other.active),
            (&mut self.inactive, other.inactive),
            (&mut self.persistent, other.persistent),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Condition of the kernel's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableState {
    /// The kernel has no IPVS; tried again later.
    Unavailable(String),
    /// The table says what it should.
    InStep {
        /// Services that are ours.
        services: u32,
        /// Destinations that are ours.
        destinations: u32,
        /// Entries put right because somebody else had edited them, since start.
        repaired: u64,
    },
    /// Some entries could not be written; tried again.
    Failing {
        /// What the kernel said last, with the entry.
        last: String,
        /// Entries that are not as they should be.
        pending: u32,
    },
}

/// What an ipvsd has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Written {
    /// Entries of the table that were made, changed or removed since the process started.
    pub entries: u64,
    /// Microseconds from the order (a new configuration, or the first change of a burst) to the table in step, the
    /// last time.
    pub took_us: u64,
}

impl CarriesFds for ParentToIpvsd {
    fn fds(&self) -> usize {
        match self {
            Self::Common(message) => message.fds(),
            Self::Desired { .. } | Self::Flush | Self::SyncRole(_) | Self::AskStatistics => 0,
        }
    }
}

impl CarriesFds for IpvsdToParent {
    fn fds(&self) -> usize {
        0
    }
}

impl From<FromDaemon> for IpvsdToParent {
    fn from(message: FromDaemon) -> Self {
        Self::Common(message)
    }
}

impl From<ToDaemon> for ParentToIpvsd {
    fn from(message: ToDaemon) -> Self {
        Self::Common(message)
    }
}
