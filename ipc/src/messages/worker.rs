//! The conversation between the parent and the config worker.
//!
//! The parent makes the memfds, the worker fills them, the parent seals them: the parent receives no fd from it.

use serde::{Deserialize, Serialize};

use crate::channel::CarriesFds;

/// Parent to worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentToWorker {
    /// Read, check and lower a configuration. Seven memfds travel with it, in this order: the parts of parent,
    /// vrrpd, checkd and ipvsd, what was found as records of [`Finding`], the canonical text if it is wanted, the
    /// consolidated text with `config_save_dir`.
    Load {
        /// `-f`: path or glob.
        path: String,
        /// `-i`: id for `@` lines; default the node name up to its first dot.
        config_id: Option<String>,
        /// `--compat`: problems are reported as upstream does instead of refusing.
        compatible: bool,
        /// `-e`: every include must find what it names.
        strict_includes: bool,
        /// `-d`: the canonical text is wanted too.
        canonical: bool,
        /// Not `-P`: checkd gets the virtual servers, and not only what mail needs.
        checks: bool,
        /// `-s`: it is for another network namespace.
        elsewhere: bool,
    },
}

/// Worker to parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerToParent {
    /// The memfds are written. `errors` 0 means that the parts are valid.
    Loaded {
        /// Diagnostics that refuse the configuration.
        errors: u32,
        /// The main file could not be read at all.
        missing: bool,
        /// At least one `vrrp_instance`.
        has_vrrp: bool,
        /// At least one `virtual_server`.
        has_checks: bool,
        /// `lvs_sync_daemon`.
        has_sync: bool,
        /// Mail is sent.
        has_mail: bool,
    },
}

/// What the worker has to say of one place of a configuration. Texts are bounded and made plain by the parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it means for the configuration.
    pub kind: FindingKind,
    /// Where; absent when no line is to blame.
    pub place: Option<FindingPlace>,
    /// What is wrong, in the configuration's words.
    pub words: String,
    /// The line for people: place, code and words.
    pub heading: String,
    /// The lines below it, each with its line break: excerpt, advice and notes.
    pub details: String,
}

/// What a finding means for the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingKind {
    /// It is refused.
    Error,
    /// An error that a start goes on with, as keepalived does.
    PassedOver,
    /// It is worth knowing.
    Warning,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingPlace {
    /// File name.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

/// Memfds that travel with `Load`.
pub const WORKER_MEMFDS: usize = 7;

impl CarriesFds for ParentToWorker {
    fn fds(&self) -> usize {
        WORKER_MEMFDS
    }
}

impl CarriesFds for WorkerToParent {
    fn fds(&self) -> usize {
        0
    }
}
