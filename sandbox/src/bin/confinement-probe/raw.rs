//! The probe's raw system calls: an attacker would not ask libc or nix either.
//!
//! Never installed and linked into no daemon. Every argument comes from the table of acts.
#![expect(unsafe_code, reason = "most forbidden acts have no safe wrapper, because nobody should do them")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use libc::{c_long, c_ulong};

/// Makes a system call with up to six arguments.
pub(crate) fn call(number: c_long, arguments: [c_ulong; 6]) -> io::Result<c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: syscall(2): the acts pass numbers, null, or addresses of buffers that they hold across the call and that
    // are as large as the call reads or writes; none of them unmaps or remaps memory in use.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Owns a descriptor that [`call`] has just returned.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the acts pass what a call that makes a descriptor has returned, once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
