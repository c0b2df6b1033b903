//! The configuration worker: lives for one load, reads what root may read, resolves names, writes nothing.

use super::{Calls, Capability, Files, Limits, Profile, Tcp};

/// The page of the configuration worker. Name service modules make a wide and changing set of system calls, so that
/// only the never-list holds it; its answer is a typed model that the parent checks.
pub const WORKER: Profile = Profile {
    name: "config worker",
    user: "_ka_config",
    capabilities: &[Capability::CAP_DAC_READ_SEARCH], // configuration that only root may read
    calls: Calls::AllButNever,
    limits: Limits { open_files: 256, memory_mib: 1024 },
    files: Files::ReadOnly,
    tcp: Tcp::Any,
};
