//! Errands to paths of the configuration: asked for, started, and their answers given to whoever waits.

use ipc::messages::Level;
use ipc::reactor;

use config::model::units::MonoTime;

use super::{Source, Suite};
use crate::effects::errand::{Done, Errand, Task};
use crate::effects::fifo::Pipes;
use crate::effects::notify::Job;
use crate::effects::script::Purpose;

impl Suite {
    /// Starts what may start, and ends what nobody answers.
    pub(super) fn tick_errands(&mut self, now: MonoTime) {
        for done in self.errands.tick(now) {
            self.end_errand(done, now);
        }
        loop {
            let key = self.key(Source::Errand);
            let started = self.errands.start_next(key, now);
            if !matches!(started, Some(Ok(_))) {
                self.sources.remove(&key);
            }
            match started {
                Some(Ok(fd)) => {
                    if let Err(error) = self.reactor.watch_reads(fd, key) {
                        self.say(Level::Error, &format!("an errand is not watched: {error}"));
                    }
                }
                Some(Err(done)) => self.end_errand(done, now),
                None => break,
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
                Ok(_) => self.start_reader(place, now),
                Err(why) => self.say(Level::Error, &why),
            },
            Task::Look(position, edition) => {
                let changed = self.files.looked(position, edition, result, now);
                self.tell_changed(changed, now);
            }
            Task::ReloadTime => self.note_reload_time(result.map(|answer| answer.text), now),
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
        if !self.start_script(&job, Purpose::FifoReader(fifo.path.clone()), now) {
            self.fifo_readers.remove(&fifo.path);
        }
    }

    /// At the end: the pipes that were made here go.
    pub(super) fn remove_pipes(&mut self) {
        for errand in self.pipes.remove() {
            self.errands.ask(errand);
        }
        self.tick_errands(reactor::now());
        self.errands.linger();
    }

    /// Asks for an errand whose failure draws a warning that begins with `what`.
    pub(super) fn ask_untold(
        &mut self,
        path: &std::path::Path,
        what: &str,
        work: impl FnOnce() -> std::io::Result<()> + 'static,
    ) {
        let path = path.display().to_string();
        self.errands.ask(Errand::untold(&path, format!("{what} {path}"), work));
    }
}
