//! What is tracked for daemons: the numbers of files, told after each commit and whenever they change.

use config::model::track::WatchedFile;
use config::model::units::{FileId, MonoTime};
use ipc::messages::Level;
use ipc::messages::vrrpd::ParentToVrrpd;

use super::processes::Link;
use super::{Source, Suite};
use crate::supervisor::Serial;

impl Suite {
    /// Reads and watches the files of the committed configuration.
    pub(super) fn watch_files(&mut self, now: MonoTime) {
        let part = std::rc::Rc::clone(self.broker.part());
        if !self.files.configure(&part.files, now) {
            return;
        }
        self.sources.retain(|_, source| *source != Source::Files);
        if let Some(fd) = self.files.fd() {
            let key = self.key(Source::Files);
            if let Err(error) = self.reactor.watch_reads(fd, key) {
                self.say(Level::Error, &format!("tracked files are not watched: {error}"));
            }
        }
    }

    /// The kernel has something to say about directories of tracked files.
    pub(super) fn on_files(&mut self, key: usize, now: MonoTime) {
        if self.files.ready(now) {
            self.unfinished.push(key);
        }
    }

    /// Reads files that may have changed and tells who tracks them.
    pub(super) fn tick_files(&mut self, now: MonoTime) {
        for file in self.files.tick(now) {
            // One that has not committed yet drops what it does not know, and is told everything then.
            let serials: Vec<Serial> = self.processes.keys().copied().collect();
            for serial in serials {
                self.tell_file(serial, file);
            }
        }
        for problem in self.files.problems() {
            self.say(Level::Error, &problem);
        }
    }

    /// Tells a process that uses the committed configuration the number of every file that it tracks.
    pub(super) fn tell_all_files(&mut self, serial: Serial) {
        let count = self.broker.part().files.len();
        for file in (0_u32..).take(count) {
            self.tell_file(serial, FileId::new(file));
        }
    }

    /// Tells a process the number of a file, if it tracks it.
    fn tell_file(&mut self, serial: Serial, file: FileId) {
        let generation = self.broker.generation();
        let value = self.files.value(file);
        let audience = self.broker.part().files.get(file.index()).map(|file: &WatchedFile| file.audience);
        let (Some(audience), Some(process)) = (audience, self.processes.get_mut(&serial)) else { return };
        let sent = match &mut process.link {
            Link::Vrrpd(channel) if audience.vrrpd => {
                channel.send(&ParentToVrrpd::FileValue { generation, file, value }, &[])
            }
            Link::Vrrpd(_) | Link::Checkd(_) | Link::Ipvsd(_) => Ok(()),
        };
        self.check_sent(serial, sent);
    }
}
