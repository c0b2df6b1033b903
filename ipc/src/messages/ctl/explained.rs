//! Why something is as it is: the answer to `Explain`, and what daemons contribute to it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use config::model::units::Weight;

use super::events::Event;

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainParameters {
    /// A `vrrp_instance`, a virtual server or a real server: by its name as in the status, by address, or by address
    /// and port.
    pub name: String,
}

/// Result of `Explain`: everything that has this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Explained {
    /// VRRP instances; one at most.
    pub instances: Vec<InstanceExplained>,
    /// Virtual servers; one at most.
    pub services: Vec<ServiceExplained>,
    /// Real servers, one for each virtual server that has it, at most [`MAX_SERVERS`].
    pub servers: Vec<ServerExplained>,
    /// What happened to them lately.
    pub events: Vec<Event>,
}

/// Most real servers in one answer.
pub const MAX_SERVERS: usize = 16;

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceExplained {
    /// Its name.
    pub name: String,
    /// Word of its state.
    pub state: String,
    /// What led to the state; in FAULT, its reasons.
    pub because: String,
    /// Milliseconds since 1970, 0 before the first change.
    pub since_ms: u64,
    /// Seconds until a failover by hand ends by itself; absent when there is none.
    pub failover_s: Option<u64>,
    /// What vrrpd says; absent when it did not answer in time.
    pub election: Option<Election>,
}

/// What vrrpd knows of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// Configured priority.
    pub base: u8,
    /// Effective priority.
    pub effective: u8,
    /// What trackers do to it, at most [`MAX_TERMS`].
    pub terms: Vec<Term>,
    /// Reasons not to take part, at most [`MAX_TERMS`].
    pub faults: Vec<String>,
    /// Sender of the last accepted advert.
    pub master: Option<IpAddr>,
    /// Priority in it.
    pub master_priority: Option<u8>,
    /// Milliseconds: until the Master counts as gone (Backup), until the next advert (Master).
    pub deadline_ms: Option<u64>,
    /// Milliseconds: how long a Master may be silent.
    pub patience_ms: u64,
}

/// Most terms and faults of one instance.
pub const MAX_TERMS: usize = 128;

/// What one tracker does to the priority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// `interface`, `script`, `file` or `process`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `good`, `bad`, `unknown`, or the number of a file.
    pub condition: String,
    /// Configured weight.
    pub weight: i16,
    /// What it adds; absent while it keeps the instance from taking part.
    pub adds: Option<i32>,
}

/// A virtual server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceExplained {
    /// Its name.
    pub name: String,
    /// Its quorum; absent until it was told.
    pub up: Option<bool>,
    /// Real servers that are up.
    pub alive: u32,
    /// Real servers.
    pub servers: u32,
    /// Sum of the weights in the table.
    pub weight: u64,
    /// The sorry server serves.
    pub sorry: bool,
}

/// A real server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerExplained {
    /// Its virtual server.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Up or down; absent until it was told.
    pub up: Option<bool>,
    /// What the table should say of it: a weight, or absence.
    pub weight: Option<Weight>,
    /// An operator has taken its new connections away.
    pub drained: bool,
    /// Its checks; absent when checkd did not answer in time.
    pub checks: Option<Vec<CheckExplained>>,
}

/// One check of a real server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckExplained {
    /// `TCP_CHECK`, `HTTP_GET` ..
    pub kind: String,
    /// What it looks at: an address and port, a url, a file.
    pub target: String,
    /// Good or bad.
    pub up: bool,
    /// It has given a result.
    pub tested: bool,
    /// Failures forgiven so far in a row.
    pub failures: u32,
    /// Failures that are forgiven in a row.
    pub retry: u32,
    /// Weight set by it, if any.
    pub weight: Option<Weight>,
    /// Its last run; absent before the first of this process.
    pub last: Option<LastRun>,
    /// Milliseconds until its next run; absent while it runs.
    pub next_ms: Option<u64>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Well or not.
    pub passed: bool,
    /// Why not; empty when it passed.
    pub reason: String,
    /// Milliseconds since then.
    pub ago_ms: u64,
}

/// Most checks of one server in an answer.
pub const MAX_CHECKS: usize = 64;

/// Longest text of a daemon in an answer, in bytes.
pub const MAX_TEXT: usize = 256;
