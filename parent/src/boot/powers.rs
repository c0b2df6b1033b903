//! What the parent may do and what its daemons run as: the capabilities that it keeps, each with its reason, the users that
//! it chooses, and what this machine doesn't give.

use config::model::process::ProcessSettings;
use sandbox::profile::Capability;
use sandbox::spawn::Abilities;
use sandbox::system::process::landlock_abi;
use sandbox::user::{Ids, choose_ids};

use super::{Failure, exit};
use crate::args;
use crate::worker::Parts;

/// What the parent keeps for this configuration.
pub(super) fn kept(process: &ProcessSettings) -> Vec<Capability> {
    let mut kept = PARENT.to_vec();
    let tunings = [&process.vrrp_tuning, &process.checker_tuning];
    let tuned = tunings.iter().any(|tuning| tuning.realtime.is_some() || tuning.nice.is_some());
    if tuned || process.auto_priority.most().is_some() {
        kept.push(Capability::CAP_SYS_NICE);
    }
    if process.ipvs_namespace.is_some() {
        // ipvsd is started in another network namespace.
        kept.push(Capability::CAP_SYS_ADMIN);
    }
    if tunings.iter().any(|tuning| tuning.lock_memory) {
        kept.push(Capability::CAP_SYS_RESOURCE);
    }
    kept
}

/// What the parent keeps in any case: each capability with its reason. [`kept`] adds what single keywords need.
const PARENT: &[Capability] = &[
    Capability::CAP_SETUID,           // daemons and scripts of other users
    Capability::CAP_SETGID,           // the same
    Capability::CAP_SETPCAP,          // bounding set of the daemons
    Capability::CAP_KILL,             // daemons and scripts of other users
    Capability::CAP_NET_ADMIN,        // handed to vrrpd and ipvsd; addresses when vrrpd can't
    Capability::CAP_NET_RAW,          // handed to vrrpd
    Capability::CAP_CHOWN,            // control socket of a group
    Capability::CAP_DAC_READ_SEARCH,  // handed to the config worker
    Capability::CAP_NET_BIND_SERVICE, // sockets that checkd borrows: bind_port below 1024
];

pub(super) fn root_scripts(parts: &Parts) -> bool {
    parts.parent.scripts.iter().any(|script| script.identity.is_root())
}

pub(super) fn choose_users(able: Abilities, range: Option<(u32, u32)>) -> Result<Option<[Ids; 4]>, Failure> {
    if !able.change_identity {
        return Ok(None);
    }
    choose_ids(range).map(Some).map_err(|error| Failure::new(exit::FATAL, error))
}

/// What this machine doesn't give, in words.
pub(super) fn degraded(able: Abilities, identities: Option<[Ids; 4]>) -> Vec<String> {
    let mut missing = Vec::new();
    if identities.is_none() {
        missing.push("daemons run as the parent's user: CAP_SETUID or CAP_SETGID is missing".to_owned());
    }
    if !able.drop_bounding {
        missing.push("bounding sets stay as they are: CAP_SETPCAP is missing".to_owned());
    }
    let abi = landlock_abi();
    if abi == 0 {
        missing.push("the kernel has no landlock: files are guarded by users and seccomp alone".to_owned());
    } else if abi < 4 {
        missing.push(format!("landlock ABI {abi} has no rules for TCP ports"));
    }
    missing
}

pub(super) fn require(level: Option<args::Level>, degraded: &[String]) -> Result<(), Failure> {
    let Some(level) = level else { return Ok(()) };
    let own_users =
        degraded.iter().all(|missing| missing.starts_with("landlock") || missing.starts_with("the kernel"));
    if own_users && landlock_abi() >= level.landlock_abi() {
        return Ok(());
    }
    let text = format!("--require-sandbox: this machine doesn't give it: {}", degraded.join("; "));
    Err(Failure::new(exit::PERMISSION, text))
}
