//! A host with systemd as process 1, in namespaces: see `lab/machine.sh`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use super::{Failure, Host, Lab, clock, process, wait_for, wait_until};

/// A host's service manager.
pub struct Machine {
    child: Child,
    manager: i32,
    group: Group,
}

impl Machine {
    /// Boots `host` with the files of `layer` over those of the machine that this runs on. Services can be started when
    /// it returns.
    pub fn boot(lab: &Lab, host: &Host, layer: &Path) -> Result<Self, Failure> {
        let doing = "booting systemd";
        let group = Group::new()?;
        let log = lab.out.join(format!("{}.systemd", host.name()));
        let sink = File::create(&log).map_err(|cause| Failure::instrument(doing, cause))?;
        let errors = sink.try_clone().map_err(|cause| Failure::instrument(doing, cause))?;
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/machine.sh"));
        command.arg(&group.path).arg(layer).stdin(Stdio::null()).stdout(sink).stderr(errors);
        let child = host.spawn(&mut command)?;
        let unshare = i32::try_from(child.id()).unwrap_or(0);
        let found = wait_for("process 1 runs", BOOT, || {
            process::children(unshare).into_iter().find(|process| process.name == "systemd")
        });
        // It is dropped, and ended, when something goes wrong from here on.
        let mut machine = Self { child, manager: 0, group };
        machine.manager = found?.0.pid;
        wait_until("systemd has booted", BOOT, || {
            let said = machine.run("systemctl", &["is-active", "basic.target"]);
            said.is_ok_and(|state| state.trim() == "active")
        })?;
        Ok(machine)
    }

    /// Runs a program in the machine to its end and returns what it printed. Fails when it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Failure> {
        let doing = format!("{program} {}", arguments.join(" "));
        let output = Command::new("timeout")
            .args([
                "--foreground",
                "30",
                "nsenter",
                "--target",
                &self.manager.to_string(),
                "--all",
                "--root",
                "--wd",
                program,
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| Failure::instrument(&doing, cause))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Failure::instrument(&doing, String::from_utf8_lossy(&output.stderr).trim()))
        }
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> Result<String, Failure> {
        self.run("systemctl", &["show", "--value", "--property", name, unit])
            .map(|text| text.trim().to_owned())
    }

    /// What services have logged.
    #[must_use]
    pub fn journal(&self) -> String {
        self.run("journalctl", &["--no-pager", "--output=cat"]).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.group.kill());
        drop(self.child.wait());
    }
}

/// A control group of version 2, named by the time: the machine has one tree for all.
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// An empty one.
    pub fn new() -> Result<Self, Failure> {
        let doing = |cause: std::io::Error| Failure::instrument("a control group", cause);
        let root = Path::new("/run/lab/cgroup");
        if !root.join("cgroup.procs").exists() {
            fs::create_dir_all(root).map_err(doing)?;
            mount(None::<&str>, root, Some("cgroup2"), MsFlags::empty(), None::<&str>)
                .map_err(|cause| doing(cause.into()))?;
        }
        let path = root.join(format!("keepalived-lab-{:.6}", clock::epoch()));
        fs::create_dir(&path).map_err(doing)?;
        Ok(Self { path })
    }

    /// Moves a process into it.
    pub fn add(&self, pid: i32) -> Result<(), Failure> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
            .map_err(|cause| Failure::instrument("joining a control group", cause))
    }

    /// Kills everything in it at once.
    pub fn kill(&self) -> Result<(), Failure> {
        fs::write(self.path.join("cgroup.kill"), "1")
            .map_err(|cause| Failure::instrument("killing a control group", cause))?;
        wait_until("the group is empty", BOOT, || {
            fs::read_to_string(self.path.join("cgroup.events")).is_ok_and(|text| text.contains("populated 0"))
        })
        .map(drop)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A control group goes when the groups in it are gone.
fn remove(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    drop(fs::remove_dir(path));
}

const BOOT: Duration = Duration::from_secs(30);
