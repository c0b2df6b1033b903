//! Capability sets of the calling thread: permitted, effective, inheritable, ambient and bounding, and the secure bits.
//!
//! Does not decide who holds what (`profile`). Called by `child` between fork and exec, where nothing may allocate, and
//! by `confine` and `parent`. Input comes from this program, not from outside.
#![expect(unsafe_code, reason = "capget and capset have no safe wrapper")]

use std::io;

use libc::{c_int, c_ulong};

use super::{check_long, prctl};

/// Drops every capability that is not in `kept` from the bounding set, up to the last one the kernel knows.
pub(super) fn keep_in_bounding(kept: u64) -> io::Result<()> {
    for number in 0..u64::BITS {
        if kept & (1 << number) != 0 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, c_ulong::from(number), 0) {
            // EINVAL (capabilities(7)): the kernel knows no capability with this number, nor any above it.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

pub(super) fn set_secure_bits(bits: c_ulong) -> io::Result<()> {
    prctl(libc::PR_SET_SECUREBITS, bits, 0)
}

pub(super) fn raise_ambient(capabilities: u64) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, ambient_operation(libc::PR_CAP_AMBIENT_CLEAR_ALL)?, 0)?;
    for number in 0..u64::BITS {
        if capabilities & (1 << number) != 0 {
            let raise = ambient_operation(libc::PR_CAP_AMBIENT_RAISE)?;
            prctl(libc::PR_CAP_AMBIENT, raise, c_ulong::from(number))?;
        }
    }
    Ok(())
}

fn ambient_operation(operation: c_int) -> io::Result<c_ulong> {
    c_ulong::try_from(operation).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The permitted set of the calling thread, one bit per capability number.
///
/// # Errors
/// What capget(2) says.
pub fn all_held() -> io::Result<u64> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut words = [CapabilityWord::default(); 2];
    // SAFETY: capget(2) version 3 reads one header and writes two data words; both outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capget, &raw const header, words.as_mut_ptr()) })?;
    let [low, high] = words;
    Ok(u64::from(high.permitted) << 32 | u64::from(low.permitted))
}

/// Sets permitted and effective to `permitted`, and inheritable to `inheritable`.
///
/// # Errors
/// `EPERM` for a capability that is not held.
pub fn set_capabilities(permitted: u64, inheritable: u64) -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let word = |shift: u32| CapabilityWord {
        effective: low_half(permitted >> shift),
        permitted: low_half(permitted >> shift),
        inheritable: low_half(inheritable >> shift),
    };
    let words = [word(0), word(32)];
    // SAFETY: capset(2) version 3 reads one header and two data words; both outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) })
}

fn low_half(bits: u64) -> u32 {
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0)
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Removes every capability outside `kept` from the bounding set of this process (needs CAP_SETPCAP).
///
/// # Errors
/// `EPERM` without CAP_SETPCAP.
pub fn reduce_bounding(kept: u64) -> io::Result<()> {
    keep_in_bounding(kept)
}
