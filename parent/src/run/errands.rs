//! Errands to paths that an operator names: asked for, started, and their answers given to whoever waits.

use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::time::Duration;

use config::model::units::MonoTime;
use ipc::messages::Level;
use ipc::reactor;

use super::{Source, Suite};
use crate::effects::errand::{Done, Errand, Task};
use crate::effects::fifo::{NotOpened, Pipes};
use crate::effects::notify::Job;
use crate::effects::script::Purpose;
use crate::pid_file::PidFile;

/// What errands get that are under way at the end.
const LAST_ERRANDS: Duration = Duration::from_millis(300);

impl Suite {
    /// Starts what may start, and ends what nobody answers.
    pub(super) fn tick_errands(&mut self, now: MonoTime) {
        for done in self.errands.tick(now) {
            self.end_errand(done, now);
        }
        loop {
            let key = self.key(Source::Errand);
            let Some(started) = self.errands.start_next(key, now) else {
                self.sources.remove(&key);
                break;
            };
            self.watch_errand(key, started, now);
        }
    }

    /// Watches an errand under its key, or ends what is over already.
    pub(super) fn watch_errand(&mut self, key: usize, started: Result<RawFd, Done>, now: MonoTime) {
        match started {
            Ok(fd) => {
                if let Err(error) = self.reactor.watch_reads(fd, key) {
                    self.say(Level::Error, &format!("an errand is not watched: {error}"));
                }
            }
            Err(done) => {
                self.sources.remove(&key);
                self.end_errand(done, now);
            }
        }
    }

    /// An errand's pidfd is readable.
    pub(super) fn on_errand(&mut self, key: usize, now: MonoTime) {
        self.sources.remove(&key);
        if let Some(done) = self.errands.ready(key) {
            self.end_errand(done, now);
        }
    }

    fn end_errand(&mut self, done: Done, now: MonoTime) {
        let Done { task, result } = done;
        match task {
            Task::Pipe(place, path) => match self.pipes.opened(place, &path, result) {
                Ok(()) => self.start_reader(place, now),
                Err(NotOpened::Failed(why)) => self.say(Level::Error, &format!("FIFO {path}: {why}")),
                Err(NotOpened::Unwanted(removal)) => {
                    if let Some(removal) = removal {
                        self.errands.ask(removal);
                    }
                }
            },
            Task::Look(positions, edition) => {
                let changed = self.files.looked(&positions, edition, result, now);
                self.tell_changed(changed, now);
            }
            Task::Foresee(paths) => {
                self.files.foretold(&paths, result);
                self.commit_when_foreseen(now);
            }
            Task::ReloadTime => self.note_reload_time(result, now),
            Task::Dump => self.end_dump(result, now),
            Task::Untold(what) => {
                if let Err(why) = result {
                    self.say(Level::Warning, &format!("{what}: {why}"));
                }
            }
        }
    }

    /// Opens the FIFOs of the committed configuration; their readers are started behind that.
    pub(super) fn open_pipes(&mut self) {
        let part = std::rc::Rc::clone(self.broker.part());
        for errand in self.pipes.configure(&part.process.fifos) {
            self.errands.ask(errand);
        }
    }

    fn start_reader(&mut self, place: crate::effects::fifo::Place, now: MonoTime) {
        let part = std::rc::Rc::clone(self.broker.part());
        let Some(fifo) = Pipes::wanted(&part.process.fifos, place) else { return };
        let Some(script) = fifo.script.filter(|_| self.fifo_readers.insert(fifo.path.clone())) else {
            return;
        };
        let job = Job { generation: self.broker.generation(), script, extra: vec![fifo.path.clone()] };
        if self.start_script(&job, Purpose::FifoReader(fifo.path.clone()), now).is_err() {
            self.fifo_readers.remove(&fifo.path);
        }
    }

    /// At the end: pipes that were made here and pid files go, and what is under way gets a moment to end.
    pub(super) fn wind_up(&mut self) {
        for errand in self.pipes.remove() {
            self.errands.ask(errand);
        }
        let own = self.pid_file.take().map(PidFile::into_path);
        for path in own.into_iter().chain(self.daemon_pid_files()) {
            self.remove_file(&path);
        }
        self.errands.begin_turn();
        let until = reactor::now() + LAST_ERRANDS;
        loop {
            let now = reactor::now();
            self.tick_errands(now);
            if !self.errands.is_busy() || now >= until {
                break;
            }
            for done in self.errands.linger(until.since(now)) {
                self.end_errand(done, now);
            }
        }
    }

    /// Removes a file that may not be there.
    fn remove_file(&mut self, path: &Path) {
        let file = path.to_owned();
        self.ask_untold(path, "removal of", move || match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        });
    }

    /// Asks for an errand whose failure draws a warning that begins with `what`.
    pub(super) fn ask_untold(
        &mut self,
        path: &Path,
        what: &str,
        work: impl FnOnce() -> io::Result<()> + 'static,
    ) {
        let path = path.display().to_string();
        self.errands.ask(Errand::untold(&path, format!("{what} {path}"), work));
    }
}
