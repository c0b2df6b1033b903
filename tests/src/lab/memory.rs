//! Control groups that have hardly any memory: the kernel kills who needs more in them.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::{Failure, clock};

/// A group whose processes have next to no memory beyond what they have already. Under version 1 or 2, whichever of
/// them has the machine's controller.
pub struct Scarcity {
    path: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Scarcity {
    /// An empty one; `None` where this machine doesn't hand the controller on.
    pub fn new() -> Result<Option<Self>, Failure> {
        let doing = |cause: std::io::Error| Failure::instrument("a group with little memory", cause);
        let name = format!("keepalived-lab-memory-{:.6}", clock::epoch());
        for (version, kind, options) in
            [(Version::Two, "cgroup2", None), (Version::One, "cgroup", Some("memory"))]
        {
            let root = Path::new("/run/lab").join(format!("memory.{kind}"));
            fs::create_dir_all(&root).map_err(doing)?;
            if !root.join("cgroup.procs").exists()
                && mount(None::<&str>, &root, Some(kind), MsFlags::empty(), options).is_err()
            {
                continue;
            }
            let path = root.join(&name);
            fs::create_dir(&path).map_err(doing)?;
            let group = Self { path, version };
            if fs::write(group.path.join(group.limit()), LIMIT).is_ok() {
                return Ok(Some(group));
            }
        }
        Ok(None)
    }

    /// Moves a process into it.
    pub fn add(&self, pid: i32) -> Result<(), Failure> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
            .map_err(|cause| Failure::instrument("joining a group with little memory", cause))
    }

    /// How many processes the kernel has killed in it.
    #[must_use]
    pub fn killed(&self) -> u64 {
        let file = if self.version == Version::Two { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        count.unwrap_or(0)
    }

    fn limit(&self) -> &'static str {
        if self.version == Version::Two { "memory.max" } else { "memory.limit_in_bytes" }
    }
}

impl Drop for Scarcity {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.path));
    }
}

/// Bytes.
const LIMIT: &str = "65536";
