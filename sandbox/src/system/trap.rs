//! The SIGSYS handler: system calls that no profile lists are counted and refused, or end the process.
//!
//! Called by `confine`, which installs it, and by the daemons, which report its count. A captured process controls the
//! numbers that it counts: they are shown, and nothing else depends on them.
#![expect(unsafe_code, reason = "signal handlers have no safe wrapper")]

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use libc::{c_int, c_void};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::process::exit_now;

/// Exit status of a process that made an unlisted system call in strict mode.
pub const UNKNOWN_CALL_STATUS: i32 = 159;

static UNKNOWN_COUNT: AtomicU64 = AtomicU64::new(0);
static UNKNOWN_LAST: AtomicU32 = AtomicU32::new(0);
static STRICT: AtomicBool = AtomicBool::new(false);

/// How many system calls the filter has refused so far, and the number of the last one (0 of 0 when none).
#[must_use]
pub fn unknown_calls() -> (u64, u32) {
    (UNKNOWN_COUNT.load(Ordering::Relaxed), UNKNOWN_LAST.load(Ordering::Relaxed))
}

/// Installs the handler that turns a trapped system call into ENOSYS and counts it; with `strict` it writes one line
/// to fd 2 and exits with [`UNKNOWN_CALL_STATUS`].
///
/// # Errors
/// What sigaction(2) says; none is known.
pub fn install_trap_handler(strict: bool) -> io::Result<()> {
    STRICT.store(strict, Ordering::SeqCst);
    let handler = SigHandler::SigAction(on_trapped_call);
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO | SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: sigaction(2) and signal-safety(7): the handler has the signature that SA_SIGINFO asks for and uses
    // atomics, write(2) and _exit(2) only.
    unsafe { sigaction(Signal::SIGSYS, &action) }?;
    Ok(SigSet::from(Signal::SIGSYS).thread_unblock()?)
}

/// `siginfo_t` as the kernel fills it for SIGSYS (asm-generic/siginfo.h, 64-bit layout).
#[repr(C)]
struct TrapInfo {
    signal: c_int,
    errno: c_int,
    code: c_int,
    padding: c_int,
    address: *mut c_void,
    call: c_int,
    architecture: u32,
}

/// `si_code` of a SIGSYS that seccomp raised.
const SYS_SECCOMP: c_int = 1;

extern "C" fn on_trapped_call(_signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: sigaction(2): with SA_SIGINFO the kernel passes a valid siginfo_t of 128 bytes aligned to 8, of which
    // TrapInfo describes the first 32.
    let trap = unsafe { ptr::read(info.cast::<TrapInfo>()) };
    if trap.code != SYS_SECCOMP {
        return;
    }
    let number = u32::try_from(trap.call).unwrap_or(u32::MAX);
    UNKNOWN_COUNT.fetch_add(1, Ordering::Relaxed);
    UNKNOWN_LAST.store(number, Ordering::Relaxed);
    if STRICT.load(Ordering::Relaxed) {
        write_unknown(number);
        exit_now(UNKNOWN_CALL_STATUS);
    }
    refuse_call(context.cast());
}

/// Writes the return value -ENOSYS into the register that the interrupted call returns.
#[cfg(target_arch = "x86_64")]
fn refuse_call(context: *mut libc::ucontext_t) {
    // SAFETY: sigaction(2): the third argument of an SA_SIGINFO handler is a valid ucontext_t for this thread, which
    // nothing else refers to while the handler runs.
    let context = unsafe { &mut *context };
    // x86-64 system call convention: the result is in RAX, whose index is 13 in gregs.
    if let Some(register) = context.uc_mcontext.gregs.get_mut(13) {
        *register = -i64::from(libc::ENOSYS);
    }
}

/// Writes the return value -ENOSYS into the register that the interrupted call returns.
#[cfg(target_arch = "aarch64")]
fn refuse_call(context: *mut libc::ucontext_t) {
    // SAFETY: sigaction(2): the third argument of an SA_SIGINFO handler is a valid ucontext_t for this thread, which
    // nothing else refers to while the handler runs.
    let context = unsafe { &mut *context };
    // AArch64 system call convention: the result is in X0.
    if let Some(register) = context.uc_mcontext.regs.first_mut() {
        *register = u64::MAX - u64::from(libc::ENOSYS.unsigned_abs()) + 1;
    }
}

/// One line to fd 2, formatted without allocation.
fn write_unknown(number: u32) {
    let mut digits = [b'0'; 10];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(9);
    for part in
        [b"system call not in the profile, number ".as_slice(), digits.get(start..).unwrap_or(&[]), b"\n"]
    {
        // SAFETY: write(2) reads `part` only, whose length is given; it is async-signal-safe.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
}
