//! The conversation between the parent and ipvsd.

use serde::{Deserialize, Serialize};

use config::model::units::Generation;

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
}

/// ipvsd to parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpvsdToParent {
    /// What every daemon sends.
    Common(FromDaemon),
    /// Condition of the kernel's table, sent when it changes.
    Table(TableState),
    /// A message that broke the rules was refused: unknown service, server, or weight out of range.
    RefusedEntries(u64),
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

impl CarriesFds for ParentToIpvsd {
    fn fds(&self) -> usize {
        match self {
            Self::Common(message) => message.fds(),
            Self::Desired { .. } => 0,
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
