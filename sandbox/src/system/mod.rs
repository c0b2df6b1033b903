//! The only code in any installed program that may contain `unsafe`: descriptors that cross a process border (`fd`),
//! processes and signals (`process`), the steps between fork and exec (`child`), capability sets (`capability`) and
//! refused system calls (`trap`).
//!
//! Each function wraps one kernel or libc operation and takes and returns owned or borrowed types, so that no caller
//! needs `unsafe`. Nothing here decides anything. Callers: the rest of this crate, `ipc`, the daemons, the parent.
//! What is read from a socket is not trusted: this layer only checks how many descriptors came with it.

pub mod capability;
pub mod child;
pub mod fd;
pub mod process;
pub mod trap;

use std::io;

use libc::{c_int, c_long};
use process::prctl;

/// The error of a call that says -1.
fn check(result: c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The same of a raw system call.
fn check_long(result: c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
