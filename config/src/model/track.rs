//! What is tracked beside interfaces and scripts: files and processes.
//!
//! The parent reads files, counts processes and tells numbers; daemons know an identifier and what the number means to them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{FileId, ProcessId};

/// One `track_file` that something tracks, as the parent sees it. Indexed by [`FileId`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedFile {
    /// Name of the block.
    pub name: String,
    /// `file`, an absolute path.
    pub path: String,
    /// `init_file`: what is written at start.
    pub initial: Option<InitialValue>,
    /// Who is told its value.
    pub audience: Audience,
    /// `weight`: what lines of `track_file` without one have. State files show it.
    pub weight: i16,
    /// `reverse` behind it.
    pub reverse: bool,
}

/// `init_file` of a tracked file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialValue {
    /// The number, default 0.
    pub value: i64,
    /// `overwrite`: also when the file exists.
    pub overwrite: bool,
}

/// Which daemons are told the value of a tracked file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Audience {
    /// An instance tracks it.
    pub vrrpd: bool,
    /// A real server tracks it.
    pub checkd: bool,
}

/// One line of `track_file` in an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackFile {
    /// Which file.
    pub file: FileId,
    /// What its number is multiplied with, -254..=254; 0 means FAULT while the number is not 0.
    pub weight: i16,
    /// `reverse`.
    pub reverse: bool,
}

/// What the parent looks for: one `vrrp_track_process` that an instance tracks. Indexed by [`ProcessId`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPattern {
    /// Name of the block.
    pub name: String,
    /// First word of `process`.
    pub program: String,
    /// How the rest is compared.
    pub parameters: Parameters,
}

/// How a process is compared with `process`, `full_command` and `param_match`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parameters {
    /// By the name that the kernel keeps of it.
    NameOnly,
    /// The first word of its command line is the program.
    Any,
    /// That, and its parameters are these.
    Exactly(Vec<String>),
    /// That, and its first parameters are these.
    First(Vec<String>),
    /// That, and its first parameters are these, the last of which may go on.
    Beginning(Vec<String>),
}

/// What the number of processes means: the same block as vrrpd sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedProcess {
    /// Name of the block.
    pub name: String,
    /// `quorum`, the least number, default 1.
    pub quorum: u32,
    /// `quorum_max`, the greatest number.
    pub quorum_max: Option<u32>,
    /// `fork_delay`: a quorum that is reached counts after it.
    pub fork_delay: Duration,
    /// `terminate_delay`: a quorum that is lost counts after it.
    pub terminate_delay: Duration,
    /// `weight`, negative with `reverse`: what lines of `track_process` without one have. State files show it.
    pub weight: i16,
}

/// One line of `track_process` in an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackProcess {
    /// Which processes.
    pub process: ProcessId,
    /// Effect on the priority, -253..=253; 0 means FAULT without quorum.
    pub weight: i16,
    /// `reverse`.
    pub reverse: bool,
}
