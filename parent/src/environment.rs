//! What the parent does to itself before anything else runs: network namespace, name, core files, umask.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use config::model::process::IpvsNamespace;
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// keepalived's default: files are their owner's alone.
pub const UMASK: u16 = 0o177;

/// Enters a network namespace that ip-netns(8) has named.
///
/// # Errors
/// There is none of this name, or CAP_SYS_ADMIN is missing.
pub fn enter_namespace(name: &str) -> io::Result<()> {
    Ok(setns(named_namespace(name)?, CloneFlags::CLONE_NEWNET)?)
}

/// Opens the namespace of which the table of IPVS is kept. Call before [`enter_namespace`].
///
/// # Errors
/// There is none of this name.
pub fn ipvs_namespace(wanted: &IpvsNamespace) -> io::Result<File> {
    match wanted {
        IpvsNamespace::Initial => File::open("/proc/self/ns/net"),
        IpvsNamespace::Named(name) => named_namespace(name),
    }
}

fn named_namespace(name: &str) -> io::Result<File> {
    let found = ["/run/netns", "/var/run/netns"].iter().map(|directory| Path::new(directory).join(name));
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for path in found {
        match File::open(&path) {
            Ok(file) => return Ok(file),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Permissions that no file of this process or its scripts gets.
pub fn set_umask(mask: u16) {
    umask(Mode::from_bits_truncate(mask.into()));
}

/// Lets this process leave a core file of any size.
///
/// # Errors
/// What setrlimit(2) says.
pub fn allow_core_files() -> io::Result<()> {
    let raised = setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY);
    if raised.is_err() {
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
        setrlimit(Resource::RLIMIT_CORE, hard, hard)?;
    }
    Ok(())
}

/// The kernel's pattern for names of core files, changed while this value lives.
#[derive(Debug)]
pub struct CorePattern {
    before: String,
}

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

impl CorePattern {
    /// Changes the pattern.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub fn set(pattern: &str) -> io::Result<Self> {
        let before = fs::read_to_string(CORE_PATTERN)?;
        fs::write(CORE_PATTERN, pattern)?;
        Ok(Self { before })
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        let _nobody_is_left_to_be_told = fs::write(CORE_PATTERN, &self.before);
    }
}
