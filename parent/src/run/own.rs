//! What the suite does for itself beside its daemons: start and shutdown scripts, pid files of the daemons, the file
//! that says that a reload is under way, and reloads that a file asks for.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::process::ReloadFile;
use config::model::units::{MonoTime, ScriptId};
use ipc::messages::ctl::Daemon;
use ipc::messages::{Level, RunOutcome};
use ipc::reactor;

use super::Suite;
use crate::append;
use crate::effects::notify::Job;
use crate::effects::script::Purpose;
use crate::pid_file;
use crate::reload_time::{self, Due};

/// A reload that a file asks for.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// The file as it was read last.
    seen: Option<Seen>,
    due: Option<Due>,
    next_look: MonoTime,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    path: String,
    inode: u64,
    changed: (i64, i64),
    length: u64,
}

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Suite {
    /// Starts the daemons, behind the start script if there is one.
    pub(super) fn begin(&mut self, now: MonoTime) {
        let script = self.broker.part().process.startup_script;
        self.starting_up = script.is_some_and(|script| self.run_own(script, Purpose::Startup, now));
        self.start_needed(now);
    }

    /// Writes the settings of the kernel that the configuration asks for.
    pub(super) fn settle_kernel(&mut self) {
        let part = std::rc::Rc::clone(self.broker.part());
        for problem in self.kernel_settings.want(&part) {
            self.say(Level::Warning, &problem);
        }
    }

    /// The start script has ended, well or not: the service matters more.
    pub(super) fn end_startup(&mut self, outcome: RunOutcome, now: MonoTime) {
        if outcome != RunOutcome::Exited(0) {
            self.say(Level::Warning, &format!("startup_script failed: {outcome:?}"));
        }
        self.starting_up = false;
        self.start_needed(now);
    }

    /// Starts the shutdown script; false when there is none. It has its own time.
    pub(super) fn begin_shutdown(&mut self, now: MonoTime) -> Option<Duration> {
        let part = self.broker.part();
        let script = part.process.shutdown_script?;
        let timeout = part.scripts.get(script.index())?.timeout?;
        self.run_own(script, Purpose::Nobody, now).then_some(timeout)
    }

    fn run_own(&mut self, script: ScriptId, purpose: Purpose, now: MonoTime) -> bool {
        let job = Job { generation: self.broker.generation(), script, extra: Vec::new() };
        self.start_script(&job, purpose, now)
    }

    /// Pid files of the daemons that upstream has, too.
    pub(super) fn note_daemon_pid(&mut self, daemon: Daemon, pid: i32) {
        let Some(path) = self.daemon_pid_file(daemon) else { return };
        if let Err(error) = pid_file::write_daemon(&path, pid) {
            self.say(Level::Warning, &format!("{}: {error}", path.display()));
        }
    }

    pub(super) fn forget_daemon_pids(&self) {
        for path in Daemon::ALL.into_iter().filter_map(|daemon| self.daemon_pid_file(daemon)) {
            let _never_written = fs::remove_file(path);
        }
    }

    fn daemon_pid_file(&self, daemon: Daemon) -> Option<PathBuf> {
        match daemon {
            Daemon::Vrrpd => Some(self.settings.place.vrrp.clone()),
            Daemon::Checkd => Some(self.settings.place.checkers.clone()),
            Daemon::Ipvsd => None,
        }
    }

    /// `reload_file` exists while a configuration is being read.
    pub(super) fn show_reload(&mut self, reading: bool) {
        let path = match &self.broker.part().process.reload.file {
            Some(ReloadFile::BesidePidFile) => self.settings.place.reload.clone(),
            Some(ReloadFile::At(path)) => PathBuf::from(path),
            None => return,
        };
        let done = if reading {
            let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .custom_flags(flags)
                .open(&path)
                .map(drop)
        } else {
            fs::remove_file(&path)
        };
        match done {
            Err(error) if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                self.say(Level::Warning, &format!("reload_file {}: {error}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// What a refused or accepted configuration draws goes to the file of `reload_check_config`, too.
    pub(super) fn note_check(&mut self, text: &str) {
        let Some(path) = self.broker.part().process.reload.check_log.clone() else { return };
        let written = append::open(Path::new(&path)).and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            self.say(Level::Warning, &format!("reload_check_config {path}: {error}"));
        }
    }

    /// Reloads when the time has come that a file names.
    pub(super) fn tick_schedule(&mut self, now: MonoTime) {
        if now < self.schedule.next_look {
            return;
        }
        self.schedule.next_look = now + LOOK;
        let settings = self.broker.part().process.reload.clone();
        let Some(path) = settings.time_file else {
            self.schedule = Schedule { next_look: now + LOOK, ..Schedule::default() };
            return;
        };
        let wall = reactor::wall_ms() / 1_000;
        let seen = look(&path);
        if seen != self.schedule.seen {
            let text = seen.as_ref().and_then(|_| first_bytes(&path).ok()).unwrap_or_default();
            self.schedule.due = reload_time::due(&text, wall, sandbox::system::process::local_offset);
            self.schedule.seen = seen;
            match self.schedule.due {
                Some(due) => {
                    let wait = due.at.saturating_sub(wall);
                    self.say(Level::Info, &format!("{path}: reload in {wait} s"));
                }
                None if self.schedule.seen.is_some() => {
                    self.say(Level::Warning, &format!("{path} names no time in the future"));
                }
                None => {}
            }
        }
        let Some(due) = self.schedule.due.filter(|due| wall >= due.at) else { return };
        if settings.repeat && due.daily {
            self.schedule.seen = None;
        } else {
            let _already_gone = fs::remove_file(&path);
        }
        self.schedule.due = None;
        self.order_reload(None, now);
    }
}

fn look(path: &str) -> Option<Seen> {
    let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Seen {
        path: path.to_owned(),
        inode: about.ino(),
        changed: (about.mtime(), about.mtime_nsec()),
        length: about.len(),
    })
}

fn first_bytes(path: &str) -> io::Result<String> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut text = String::new();
    file.take(64).read_to_string(&mut text)?;
    Ok(text)
}
