//! The only code in any installed program that may contain `unsafe`: descriptors that cross a process border (`fd`)
//! and calls on processes, capabilities and signals (`process`).
//!
//! Each function wraps one kernel or libc operation and takes and returns owned or borrowed types, so that no caller
//! needs `unsafe`. Nothing here decides anything. Callers: the rest of this crate, `ipc`, the daemons, the parent.
//! What is read from a socket is not trusted: this layer only checks how many descriptors came with it.

pub mod fd;
pub mod process;
