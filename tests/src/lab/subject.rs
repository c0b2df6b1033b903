//! The programs under test: ours, or Debian's keepalived as the reference, started the same way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::failure::require;
use super::process::{self, Process};
use super::sandbox::build_directory;
use super::{Failure, Host, Lab, wait_for};

/// Which implementation runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// This suite.
    Ours,
    /// Debian's keepalived, written in C.
    C,
}

impl Subject {
    /// Short name for reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::C => "c",
        }
    }
}

/// How a subject is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outfit<'a> {
    /// Additional options.
    pub options: &'a [&'a str],
    /// Variables of its environment.
    pub environment: &'a [(&'a str, &'a Path)],
    /// A program with its arguments that is to start it, and becomes it.
    pub through: &'a [&'a str],
}

/// A keepalived that runs on a host.
pub struct Director {
    subject: Subject,
    child: Child,
    log: PathBuf,
    /// Where its part of the log begins: those that ran on the same host before wrote to the same file.
    log_start: usize,
    run_dir: PathBuf,
}

impl Director {
    /// Starts the subject on `host` with a configuration, and additional options. It logs to a file of the laboratory.
    pub fn start(
        lab: &Lab,
        host: &Host,
        subject: Subject,
        config: &str,
        options: &[&str],
    ) -> Result<Self, Failure> {
        Self::start_as(lab, host, subject, config, &Outfit { options, ..Outfit::default() })
    }

    /// The same, with more than options.
    pub fn start_as(
        lab: &Lab,
        host: &Host,
        subject: Subject,
        config: &str,
        outfit: &Outfit<'_>,
    ) -> Result<Self, Failure> {
        let options = [&["-l", "-G"], outfit.options].concat();
        Self::launch(lab, host, subject, config, &Outfit { options: &options, ..*outfit })
    }

    /// The same with syslog for its log.
    pub fn start_logging(lab: &Lab, host: &Host, subject: Subject, config: &str) -> Result<Self, Failure> {
        Self::launch(lab, host, subject, config, &Outfit::default())
    }

    fn launch(
        lab: &Lab,
        host: &Host,
        subject: Subject,
        config: &str,
        outfit: &Outfit<'_>,
    ) -> Result<Self, Failure> {
        let name = host.name();
        let conf = Path::new("/run/lab").join(format!("{name}.conf"));
        let run_dir = Path::new("/run/lab").join(format!("{name}.run"));
        let log = lab.out.join(format!("{name}.log"));
        let doing = format!("starting {} on {name}", subject.word());
        fs::create_dir_all("/run/lab").map_err(|cause| Failure::instrument(&doing, cause))?;
        fs::write(&conf, config).map_err(|cause| Failure::instrument(&doing, cause))?;
        let sink = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|cause| Failure::instrument(&doing, cause))?;
        let errors = sink.try_clone().map_err(|cause| Failure::instrument(&doing, cause))?;
        let program = match subject {
            Subject::Ours => install_ours()?.join("keepalived"),
            Subject::C => PathBuf::from("/usr/sbin/keepalived"),
        };
        let mut command = match outfit.through {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        match subject {
            Subject::Ours => {
                command.arg("--run-dir").arg(&run_dir);
            }
            Subject::C => {
                for (option, file) in [("-p", "parent"), ("-r", "vrrp"), ("-c", "check"), ("-b", "bfd")] {
                    let path = format!("/run/lab/{name}.{file}.pid");
                    // A killed one leaves its files, and here its processes stay listed until the sandbox ends.
                    drop(fs::remove_file(&path));
                    command.arg(option).arg(path);
                }
            }
        }
        command
            .args(["-n", "-D", "-f"])
            .arg(&conf)
            .args(outfit.options)
            .envs(outfit.environment.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(sink)
            .stderr(errors);
        let log_start = fs::read(&log).map_or(0, |before| before.len());
        let child = host.spawn(&mut command)?;
        Ok(Self { subject, child, log, log_start, run_dir })
    }

    /// Which implementation this is.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Process id of the parent.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Where ours keeps its sockets and files.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The confined daemons, or the children of the reference.
    #[must_use]
    pub fn daemons(&self) -> Vec<Process> {
        process::children(self.pid())
    }

    /// The daemon that runs this program: `vrrpd`, `checkd`, `ipvsd`.
    #[must_use]
    pub fn daemon(&self, name: &str) -> Option<i32> {
        self.daemons().into_iter().find(|process| process.name == name).map(|process| process.pid)
    }

    /// Waits until that daemon runs and returns its pid.
    pub fn wait_daemon(&self, name: &str) -> Result<i32, Failure> {
        wait_for(&format!("{name} runs"), START_PATIENCE, || self.daemon(name)).map(|(pid, _)| pid)
    }

    /// Waits until another process than `old` runs as that daemon.
    pub fn wait_successor(&self, name: &str, old: i32) -> Result<i32, Failure> {
        wait_for(&format!("a successor of {name}"), START_PATIENCE, || {
            self.daemon(name).filter(|pid| *pid != old)
        })
        .map(|(pid, _)| pid)
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let whole = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(whole.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// How often a text stands in the log.
    #[must_use]
    pub fn logged(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Runs keepalivectl against it; its output, or its complaint as a failure.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, Failure> {
        let doing = format!("keepalivectl {}", arguments.join(" "));
        let output = Command::new("timeout")
            .args(["--foreground", "15"])
            .arg(install_ours()?.join("keepalivectl"))
            .arg("--run-dir")
            .arg(&self.run_dir)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| Failure::instrument(&doing, cause))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Failure::new(format!("{doing}: {} {}", output.status, said.trim())))
        }
    }

    /// `keepalivectl status --json`, decoded.
    pub fn status(&self) -> Result<Value, Failure> {
        let text = self.ctl(&["status", "--json"])?;
        serde_json::from_str(&text).map_err(|cause| Failure::instrument("status --json", cause))
    }

    /// What `status` says of one instance; null while there is none of this name, or no answer.
    #[must_use]
    pub fn instance(&self, name: &str) -> Value {
        let status = self.status().unwrap_or_default();
        let instances = status["instances"].as_array().cloned().unwrap_or_default();
        instances.into_iter().find(|instance| instance["name"] == name).unwrap_or_default()
    }

    /// How often the first instance has changed its state. What `status` says comes later than what is seen on the
    /// network, so this waits until it says that the instance is in `state`.
    pub fn transitions_in(&self, state: &str) -> Result<u64, Failure> {
        let look = || {
            let status = self.status().ok()?;
            let instance = &status["instances"][0];
            instance["transitions"].as_u64().filter(|_| instance["state"] == state)
        };
        wait_for(&format!("status says {state}"), START_PATIENCE, look).map(|(count, _)| count)
    }

    /// Replaces the configuration file; nothing reads it before a reload.
    pub fn write_config(&self, host: &Host, config: &str) -> Result<(), Failure> {
        let conf = Path::new("/run/lab").join(format!("{}.conf", host.name()));
        fs::write(conf, config).map_err(|cause| Failure::instrument("configuration", cause))
    }

    /// Sends a signal to the parent.
    pub fn signal(&self, signal: Signal) -> bool {
        process::signal(self.pid(), signal)
    }

    /// Ends it in order (TERM) and waits for the end. No daemon may have made a system call that its profile lacks.
    pub fn stop(mut self) -> Result<ExitStatus, Failure> {
        self.signal(Signal::SIGTERM);
        let status = self.wait_end(STOP_PATIENCE)?;
        require(self.logged("refused by the filter") == 0, || {
            format!("a profile lacks a system call: {}", self.log())
        })?;
        Ok(status)
    }

    /// Waits until the parent has ended by itself.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus, Failure> {
        wait_for("the parent ends", within, || self.child.try_wait().ok().flatten()).map(|(status, _)| status)
    }

    /// Kills the parent and everything that it started, as fast as can be.
    pub fn kill_all(&mut self) {
        let mut pids = vec![self.pid()];
        pids.extend(self.daemons().iter().map(|process| process.pid));
        for pid in pids {
            process::signal(pid, Signal::SIGKILL);
        }
        drop(self.child.wait());
    }

    /// Kills everything without a moment in which anybody could see another one die: all are stopped first.
    pub fn freeze_and_kill(&mut self) {
        let mut pids: Vec<i32> = self.daemons().iter().map(|process| process.pid).collect();
        pids.push(self.pid());
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in pids.iter().rev() {
                process::signal(*pid, signal);
            }
        }
        drop(self.child.wait());
    }

    /// What the service manager runs after a stop.
    pub fn withdraw_leftovers(&self, host: &Host) -> Result<(), Failure> {
        let run_dir = self.run_dir.to_string_lossy();
        let program = install_ours()?.join("keepalived");
        let conf = format!("/run/lab/{}.conf", host.name());
        let options = ["--withdraw-leftovers", "--run-dir", &run_dir, "-f", &conf];
        host.run(&program.to_string_lossy(), &options).map(|_| ())
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill_all();
        }
    }
}

/// Copies our programs to a place that every user may reach, as an installation does: a build tree may lie under
/// a directory that is closed to the users of the daemons.
pub fn install_ours() -> Result<PathBuf, Failure> {
    let target = Path::new("/run/suite");
    if target.join("keepalivectl").exists() {
        return Ok(target.to_owned());
    }
    fs::create_dir_all(target).map_err(|cause| Failure::instrument("/run/suite", cause))?;
    // The one that is looked for above comes last.
    for program in ["config-worker", "vrrpd", "checkd", "ipvsd", "keepalived", "keepalivectl"] {
        let source = build_directory().join(program);
        let copy = target.join(format!("{program}.{}", std::process::id()));
        fs::copy(&source, &copy)
            .and_then(|_| fs::rename(&copy, target.join(program)))
            .map_err(|cause| Failure::instrument(&format!("copying {}", source.display()), cause))?;
    }
    Ok(target.to_owned())
}

const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
