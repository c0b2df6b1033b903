//! The parent's own reduction: it keeps the capabilities of its table and nothing else.
//!
//! Called once at start, after the configuration is known and before the first daemon. Scripts run by root inherit the
//! bounding set, so that it is reduced only when no script runs as root.

use std::io;

use caps::Capability;
use thiserror::Error;

use crate::system::capability;

/// Why the parent could not reduce itself.
#[derive(Debug, Error)]
pub enum ReduceError {
    /// The bounding set.
    #[error("cannot reduce the bounding set")]
    Bounding(#[source] io::Error),
    /// The permitted, effective and inheritable sets.
    #[error("cannot reduce the capability sets")]
    Sets(#[source] io::Error),
}

/// Reduces permitted and effective to those of `needed` that are held, and inheritable (with it ambient) to nothing;
/// with `drop_bounding` also the bounding set. Returns the needed capabilities that are not there.
///
/// # Errors
/// [`ReduceError`]; the bounding set needs CAP_SETPCAP.
pub fn reduce_parent(needed: &[Capability], drop_bounding: bool) -> Result<Vec<Capability>, ReduceError> {
    let held = capability::all_held().map_err(ReduceError::Sets)?;
    let wanted = mask(needed);
    if drop_bounding {
        capability::reduce_bounding(wanted).map_err(ReduceError::Bounding)?;
    }
    capability::set_capabilities(held & wanted, 0).map_err(ReduceError::Sets)?;
    Ok(needed.iter().copied().filter(|capability| held & capability.bitmask() == 0).collect())
}

fn mask(capabilities: &[Capability]) -> u64 {
    capabilities.iter().fold(0, |mask, capability| mask | capability.bitmask())
}
