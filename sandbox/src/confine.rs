//! What a daemon does to itself before it reads a byte from the network: no inspection, landlock, seccomp last.
//!
//! Called once by each daemon's `main`. The grants come from the parent. After [`confine`] only the calls of the
//! profile work; the number of refused ones is in [`crate::system::trap::unknown_calls`].

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use seccompiler::TargetArch;
use thiserror::Error;

use crate::landlock::{self, LandlockError};
use crate::profile::{Profile, Tcp};
use crate::seccomp::{self, Extras, SeccompError};
use crate::spawn::{LOCK_MEMORY, PROCESS_NAME};
use crate::system::{capability, process, trap};

/// What the configuration adds to a profile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Grants<'a> {
    /// TCP ports that may be connected to.
    pub tcp_connect_ports: &'a [u16],
    /// TCP ports that may be bound; 0 permits ephemeral ones (needed for `bindto`).
    pub tcp_bind_ports: &'a [u16],
    /// UDP sockets may be opened.
    pub udp: bool,
}

/// What happens at a system call that the profile does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownCalls {
    /// Refused with ENOSYS and counted.
    Refuse,
    /// One line to fd 2, then exit with status [`trap::UNKNOWN_CALL_STATUS`].
    Exit,
}

/// What holds after [`confine`]; the parent compares it with the level that it was told to require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// Version of the kernel's landlock interface in force; 0 without landlock.
    pub landlock_abi: u32,
    /// File access is restricted (version 1).
    pub file_system: bool,
    /// TCP connect and bind are restricted (version 4).
    pub tcp: bool,
    /// Abstract sockets and signals of other processes are out of reach (version 6).
    pub scopes: bool,
    /// The system-call filters are installed.
    pub seccomp: bool,
}

impl Confinement {
    /// What a landlock version gives to a profile.
    #[must_use]
    pub fn under(landlock_abi: u32, profile: &Profile) -> Self {
        Self {
            landlock_abi,
            file_system: landlock_abi >= 1,
            tcp: landlock_abi >= 4 && profile.tcp == Tcp::OnlyGranted,
            scopes: landlock_abi >= 6,
            seccomp: true,
        }
    }
}

/// Why a daemon could not confine itself; it must not continue.
#[derive(Debug, Error)]
pub enum ConfineError {
    /// The process could not be made uninspectable, or the trap handler not be installed.
    #[error("cannot prepare the process")]
    Process(#[source] io::Error),
    /// The landlock rules were refused.
    #[error("cannot restrict files and ports")]
    Landlock(#[from] LandlockError),
    /// The system-call filters were refused.
    #[error("cannot restrict system calls")]
    Seccomp(#[from] SeccompError),
}

/// Starts a daemon: nobody may inspect it, a fault ends it, and a panic becomes one line and an exit. The line goes to
/// fd 2 until [`install_panic_hook`] names a better place. Its arguments may give it another name and have it lock its
/// memory.
///
/// # Errors
/// What prctl(2) or mlockall(2) says; none is known.
pub fn start_daemon(profile: &'static Profile) -> io::Result<()> {
    for argument in std::env::args() {
        if let Some(name) = argument.strip_prefix(PROCESS_NAME) {
            name_process(name)?;
        } else if argument == LOCK_MEMORY {
            process::lock_memory()?;
        }
    }
    process::forbid_inspection()?;
    process::default_fault_signals()?;
    install_panic_hook(Box::new(|line| {
        // Nothing is left to do when even this fails.
        let _ = writeln!(io::stderr(), "{}: {line}", profile.name);
    }));
    Ok(())
}

/// Gives this process another name in the process list; the kernel keeps 15 bytes.
///
/// # Errors
/// `EINVAL` for a name with a NUL byte.
pub fn name_process(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name).map_err(io::Error::other)?;
    Ok(nix::sys::prctl::set_name(&name)?)
}

/// Where the line of a panic goes. It must not wait or panic.
pub type Report = Box<dyn Fn(&str) + Send + Sync>;

/// Exit status after a panic: what a shell shows for SIGABRT.
pub const PANIC_STATUS: i32 = 134;

/// Replaces the panic hook: formats one line, passes it to `report`, and ends the process at once without unwinding,
/// backtrace or destructors (all of which open files). Call it again once the channel to the parent stands.
pub fn install_panic_hook(report: Report) {
    panic::set_hook(Box::new(move |info| {
        report(&panic_line(info));
        process::exit_now(PANIC_STATUS);
    }));
}

fn panic_line(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let reason = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "no message",
    };
    let reason = reason.replace('\n', " ");
    match info.location() {
        Some(place) => format!("panicked at {}:{}: {reason}", place.file(), place.line()),
        None => format!("panicked: {reason}"),
    }
}

/// Drops what the profile does not list: nothing after a start by [`crate::spawn()`], much after one by hand.
fn keep_capabilities(profile: &Profile) -> io::Result<()> {
    let listed = profile.capabilities.iter().fold(0, |mask, capability| mask | capability.bitmask());
    let kept = capability::all_held()? & listed;
    capability::set_capabilities(kept, kept)
}

/// Confines this process for ever. Open every socket and file that the profile does not allow before it.
///
/// # Errors
/// [`ConfineError`]; a kernel without landlock is not an error but `landlock_abi` 0.
pub fn confine(
    profile: &'static Profile,
    grants: &Grants<'_>,
    unknown: UnknownCalls,
) -> Result<Confinement, ConfineError> {
    process::forbid_inspection().map_err(ConfineError::Process)?;
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(SeccompError::from)?;
    let pid = nix::unistd::getpid().as_raw();
    let extras = Extras { udp: grants.udp };
    let filters = seccomp::compile(profile, extras, pid, architecture)?;
    keep_capabilities(profile).map_err(ConfineError::Process)?;
    trap::install_trap_handler(unknown == UnknownCalls::Exit).map_err(ConfineError::Process)?;
    let landlock_abi = landlock::restrict(profile, grants)?;
    seccomp::install(&filters)?;
    Ok(Confinement::under(landlock_abi, profile))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{VRRPD, WORKER};

    #[test]
    fn each_landlock_version_adds_what_the_kernel_learned_with_it() {
        let parts = |abi| {
            let held = Confinement::under(abi, &VRRPD);
            (held.file_system, held.tcp, held.scopes)
        };
        assert_eq!(parts(0), (false, false, false));
        assert_eq!(parts(1), (true, false, false));
        assert_eq!(parts(3), (true, false, false));
        assert_eq!(parts(4), (true, true, false));
        assert_eq!(parts(6), (true, true, true));
        assert_eq!(parts(7), (true, true, true));
    }

    #[test]
    fn the_worker_may_use_name_service_over_tcp() {
        assert!(!Confinement::under(7, &WORKER).tcp);
    }
}
