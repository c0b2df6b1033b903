//! The landlock half of confinement: files, TCP ports, scopes.
//!
//! Best effort over the kernel's ABI: asks for everything this version knows and reports what holds. Called by
//! `confine`, before seccomp. Ports come from the parent's configuration.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use crate::confine::Grants;
use crate::profile::{Files, Profile, Tcp};

/// Newest interface whose rights this program knows.
const NEWEST: ABI = ABI::V9;
/// Interface whose rights the worker gives up: the next ones include connecting to the sockets of name services.
const WORKERS: ABI = ABI::V7;

/// Restricts this process and says which version of the interface enforces it; 0 without landlock.
pub(crate) fn restrict(profile: &Profile, grants: &Grants<'_>) -> Result<u32, LandlockError> {
    let mut ruleset =
        Ruleset::default().handle_access(handled_files(profile))?.scope(Scope::from_all(NEWEST))?;
    if profile.tcp == Tcp::OnlyGranted {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let status = grant_ports(profile, grants, ruleset.create()?)?.restrict_self()?;
    Ok(effective_abi(&status))
}

/// Why landlock could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum LandlockError {
    /// The kernel refused a rule or the ruleset.
    #[error("cannot apply the landlock rules")]
    Ruleset(#[from] RulesetError),
}

fn handled_files(profile: &Profile) -> BitFlags<AccessFs> {
    match profile.files {
        Files::None => AccessFs::from_all(NEWEST),
        Files::ReadOnly => AccessFs::from_write(WORKERS) | AccessFs::Execute,
    }
}

fn grant_ports(
    profile: &Profile,
    grants: &Grants<'_>,
    created: RulesetCreated,
) -> Result<RulesetCreated, RulesetError> {
    if profile.tcp != Tcp::OnlyGranted {
        return Ok(created);
    }
    let connect = grants.tcp_connect_ports.iter().map(|port| Ok(NetPort::new(*port, AccessNet::ConnectTcp)));
    let bind = grants.tcp_bind_ports.iter().map(|port| Ok(NetPort::new(*port, AccessNet::BindTcp)));
    created.add_rules(connect.chain(bind))
}

fn effective_abi(status: &RestrictionStatus) -> u32 {
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else { return 0 };
    let known = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6, ABI::V7, ABI::V8, ABI::V9];
    known
        .iter()
        .zip(1..)
        .filter(|(abi, _)| **abi <= effective_abi)
        .map(|(_, number)| number)
        .max()
        .unwrap_or(0)
}
