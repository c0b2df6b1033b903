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
use ipc::{date, reactor};

use super::Suite;
use crate::append;
use crate::effects::errand::{Answer, Errand, ErrandError, Task};
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
    is_looking: bool,
    /// The file can't be looked at, which was told.
    told: bool,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Seen {
    path: String,
    inode: u64,
    changed: (i64, i64),
    length: u64,
}

/// Longest that a start or reload waits for what tracked files say.
pub(super) const FILES: Duration = Duration::from_secs(1);
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Suite {
    /// Starts the daemons, behind the start script if there is one.
    pub(super) fn begin(&mut self, now: MonoTime) {
        let script = self.broker.part().process.startup_script;
        self.say_running("startup", script);
        self.starting_up = script.is_some_and(|script| self.run_own(script, Purpose::Startup, now));
        self.awaiting_files = self.files.is_unread().then(|| now + FILES);
        self.start_needed(now);
    }

    /// True while the start script runs or tracked files are being read: no daemon is started.
    pub(super) fn is_held_up(&self) -> bool {
        self.starting_up || self.awaiting_files.is_some()
    }

    /// Starts the daemons once the tracked files have been read, or don't answer.
    pub(super) fn tick_start(&mut self, now: MonoTime) {
        if self.awaiting_files.is_some_and(|until| now >= until || !self.files.is_unread()) {
            self.awaiting_files = None;
            self.start_needed(now);
        }
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
        let (level, end) = match outcome {
            RunOutcome::Exited(0) => (Level::Debug, "script succeeded".to_owned()),
            RunOutcome::Exited(status) => (Level::Warning, format!("script failed, status {status}")),
            RunOutcome::Signalled(signal) => (Level::Warning, format!("killed by signal {signal}")),
            RunOutcome::TimedOut => (Level::Warning, "timed out".to_owned()),
            RunOutcome::NotRun | RunOutcome::NotStarted => (Level::Warning, "could not run".to_owned()),
        };
        self.say(level, &format!("startup script {end}"));
        self.starting_up = false;
        self.start_needed(now);
    }

    /// Starts the shutdown script and tells the time that it has; `None` when none runs.
    pub(super) fn begin_shutdown(&mut self, now: MonoTime) -> Option<Duration> {
        let part = self.broker.part();
        let script = part.process.shutdown_script?;
        let timeout = part.scripts.get(script.index())?.timeout?;
        self.say_running("shutdown", Some(script));
        self.run_own(script, Purpose::Nobody, now).then_some(timeout)
    }

    fn say_running(&mut self, what: &str, script: Option<ScriptId>) {
        let part = std::rc::Rc::clone(self.broker.part());
        if let Some(script) = script.and_then(|script| part.scripts.get(script.index())) {
            self.say(Level::Debug, &format!("Running {what} script {}", script.argv.join(" ")));
        }
    }

    fn run_own(&mut self, script: ScriptId, purpose: Purpose, now: MonoTime) -> bool {
        let job = Job { generation: self.broker.generation(), script, extra: Vec::new() };
        self.start_script(&job, purpose, now).is_ok()
    }

    /// Pid files of the daemons that upstream has, too.
    pub(super) fn note_daemon_pid(&mut self, daemon: Daemon, pid: i32) {
        let Some(path) = self.daemon_pid_file(daemon) else { return };
        let file = path.clone();
        self.ask_untold(&path, "pid file", move || pid_file::write_daemon(&file, pid));
    }

    pub(super) fn daemon_pid_files(&self) -> Vec<PathBuf> {
        Daemon::ALL.into_iter().filter_map(|daemon| self.daemon_pid_file(daemon)).collect()
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
        let file = path.clone();
        self.ask_untold(&path, "reload_file", move || {
            let done = if reading {
                let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o644).custom_flags(flags).open(&file).map(drop)
            } else {
                fs::remove_file(&file)
            };
            let is_harmless = |error: &io::Error| {
                matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound)
            };
            done.or_else(|error| if is_harmless(&error) { Ok(()) } else { Err(error) })
        });
    }

    /// What a refused or accepted configuration draws goes to the file of `reload_check_config`, too.
    pub(super) fn note_check(&mut self, text: &str) {
        let Some(path) = self.broker.part().process.reload.check_log.clone() else { return };
        let (path, text) = (PathBuf::from(path), text.to_owned());
        let file = path.clone();
        let write = move || append::open(&file).and_then(|mut file| file.write_all(text.as_bytes()));
        self.ask_untold(&path, "reload_check_config", write);
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
        if !self.schedule.is_looking {
            self.schedule.is_looking = true;
            let file = path.clone();
            self.errands.ask(Errand::new(&path, Task::ReloadTime, move || {
                let seen = look(&file);
                let text = seen.as_ref().and_then(|_| first_bytes(&file).ok()).unwrap_or_default();
                let text = serde_json::to_string(&(seen, text)).map_err(|error| error.to_string())?;
                Ok(Answer { text, fd: None })
            }));
        }
        let wall = reactor::wall_ms() / 1_000;
        let Some(due) = self.schedule.due.filter(|due| wall >= due.at) else { return };
        if settings.repeat && due.daily {
            self.schedule.seen = None;
        } else {
            let file = path.clone();
            self.ask_untold(Path::new(&path), "reload_time_file", move || match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            });
        }
        self.schedule.due = None;
        self.order_reload(None, now);
    }

    /// What the file says, and by what it is known again.
    pub(super) fn note_reload_time(&mut self, found: Result<Answer, ErrandError>, now: MonoTime) {
        self.schedule.is_looking = false;
        let Some(path) = self.broker.part().process.reload.time_file.clone() else { return };
        let found =
            found.and_then(|answer| Ok(serde_json::from_str::<(Option<Seen>, String)>(&answer.text)?));
        let (seen, text) = match found {
            Ok(found) => found,
            Err(why) => {
                if !std::mem::replace(&mut self.schedule.told, true) {
                    self.say(Level::Warning, &format!("reload_time_file {path}: {why}"));
                }
                return;
            }
        };
        self.schedule.told = false;
        if seen == self.schedule.seen || seen.as_ref().is_some_and(|seen| seen.path != path) {
            return;
        }
        let wall = reactor::wall_ms() / 1_000;
        self.schedule.due = reload_time::due(&text, wall, sandbox::system::process::local_offset);
        self.schedule.seen = seen;
        match self.schedule.due {
            Some(due) => {
                let offset = sandbox::system::process::local_offset(due.at);
                let date = date::stamp(due.at.saturating_add_signed(offset)).replace('T', " ");
                self.say(Level::Info, &format!("Scheduling reload for {}", date.trim_end_matches('Z')));
                self.schedule.next_look = now;
            }
            None if self.schedule.seen.is_some() => {
                self.say(Level::Warning, &format!("{path} names no time in the future"));
            }
            None => {}
        }
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
