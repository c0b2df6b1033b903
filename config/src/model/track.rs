//! What is tracked beside interfaces and scripts: files.
//!
//! The parent reads files and tells numbers; daemons know an identifier and what the number means to them.

use serde::{Deserialize, Serialize};

use super::units::FileId;

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
