//! What each process may do: one page per process, each capability and system call with its reason.
//!
//! Pages are data; `seccomp` and `landlock` turn them into kernel filters, `spawn` into identity and limits. A system
//! call, capability or path that a page does not list is refused. Callers: the parent (user, capabilities, limits) and
//! each daemon (the rest).
//!
//! The lists for aarch64 (no `poll`, no `epoll_wait`) are compiled but have not been tried on such a machine.

mod checkd;
mod ipvsd;
mod rule;
mod shared;
mod vrrpd;
mod worker;

pub use caps::Capability;
pub use checkd::CHECKD;
pub use ipvsd::IPVSD;
pub use rule::{Compare, Rule, Test};
pub(crate) use shared::UDP_SOCKETS;
pub use shared::{NEVER, NEVER_OF_ARCHITECTURE, QUIETLY_REFUSED};
pub use vrrpd::VRRPD;
pub use worker::WORKER;

/// Everything that one process may do.
#[derive(Debug)]
pub struct Profile {
    /// Name of the process in log lines and diagnostics.
    pub name: &'static str,
    /// System user that a package creates for it.
    pub user: &'static str,
    /// Exactly the capabilities it holds, in every set.
    pub capabilities: &'static [Capability],
    /// System calls allowed once it is confined.
    pub calls: Calls,
    /// Resource limits set before exec.
    pub limits: Limits,
    /// What it may do with files.
    pub files: Files,
    /// What it may do with TCP ports.
    pub tcp: Tcp,
}

/// Which system calls a process may make. The never-list holds in any case.
#[derive(Debug)]
pub enum Calls {
    /// These lists and nothing else.
    Listed(&'static [&'static [Rule]]),
    /// Everything outside the never-list.
    AllButNever,
}

/// Resource limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most open descriptors.
    pub open_files: u64,
    /// Most address space, in MiB: text, libraries and heap together.
    pub memory_mib: u64,
}

/// What a process may do with files (landlock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Nothing.
    None,
    /// Read anything that its user may read; change and execute nothing.
    ReadOnly,
}

/// What a process may do with TCP ports (landlock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    /// Neither connect nor bind, but on the granted ports.
    OnlyGranted,
    /// Not restricted (name service over TCP).
    Any,
}
