//! What is tracked for daemons: the numbers in files and of processes, told after each commit and whenever they
//! change.

use std::os::fd::RawFd;

use config::model::track::WatchedFile;
use config::model::units::{FileId, MonoTime, ProcessId};
use ipc::messages::Level;
use ipc::messages::checkd::ParentToCheckd;
use ipc::messages::vrrpd::ParentToVrrpd;

use super::link::Link;
use super::{Source, Suite};
use crate::supervisor::Serial;

impl Suite {
    /// Watches what the committed configuration tracks.
    pub(super) fn watch_tracked(&mut self, now: MonoTime) {
        let part = std::rc::Rc::clone(self.broker.part());
        if self.files.configure(&part.files, now) {
            self.watch_source(Source::Files, self.files.fd());
        }
        if self.counted.configure(&part.processes, part.process.process_buffer, now) {
            self.watch_source(Source::Processes, self.counted.fd());
        }
    }

    /// Watches the new descriptor of something that is tracked.
    fn watch_source(&mut self, source: Source, fd: Option<RawFd>) {
        self.sources.retain(|_, known| *known != source);
        let Some(fd) = fd else { return };
        let key = self.key(source);
        if let Err(error) = self.reactor.watch_reads(fd, key) {
            self.say(Level::Error, &format!("what is tracked is not watched: {error}"));
        }
    }

    /// The kernel has something to say about processes.
    pub(super) fn on_processes(&mut self, key: usize, now: MonoTime) {
        if self.counted.ready(now) {
            self.unfinished.push(key);
        }
    }

    /// The kernel has something to say about directories of tracked files.
    pub(super) fn on_files(&mut self, key: usize, now: MonoTime) {
        if self.files.ready(now) {
            self.unfinished.push(key);
        }
    }

    /// Has files looked at that may have changed, looks for processes, and tells who tracks them.
    pub(super) fn tick_tracked(&mut self, now: MonoTime) {
        for look in self.files.looks(now) {
            self.errands.ask(look);
        }
        // A daemon that has not committed yet drops what it does not know, and is told everything then.
        let serials: Vec<Serial> = self.processes.keys().copied().collect();
        for process in self.counted.tick(now) {
            for serial in &serials {
                self.tell_count(*serial, process);
            }
        }
        for problem in self.files.problems() {
            self.say(Level::Error, &problem);
        }
    }

    /// Files have been looked at.
    pub(super) fn tell_changed(&mut self, changed: Vec<FileId>, now: MonoTime) {
        let serials: Vec<Serial> = self.processes.keys().copied().collect();
        for (file, serial) in
            changed.into_iter().flat_map(|file| serials.iter().map(move |serial| (file, *serial)))
        {
            self.tell_file(serial, file);
        }
        // It may be due at once for another look.
        self.tick_tracked(now);
    }

    /// Tells checkd, which is about to use the committed configuration, the numbers that its servers start with.
    pub(super) fn tell_files_ahead(&mut self, serial: Serial) {
        if self.is_checkd(serial) {
            self.tell_files(serial);
        }
    }

    fn is_checkd(&self, serial: Serial) -> bool {
        matches!(self.processes.get(&serial).map(|process| &process.link), Some(Link::Checkd(_)))
    }

    fn tell_files(&mut self, serial: Serial) {
        for file in (0_u32..).take(self.broker.part().files.len()) {
            self.tell_file(serial, FileId::new(file));
        }
    }

    /// Tells a process that uses the committed configuration everything that it tracks and was not told ahead.
    pub(super) fn tell_tracked(&mut self, serial: Serial) {
        let part = std::rc::Rc::clone(self.broker.part());
        if !self.is_checkd(serial) {
            self.tell_files(serial);
        }
        for process in (0_u32..).take(part.processes.len()) {
            self.tell_count(serial, ProcessId::new(process));
        }
    }

    /// Tells vrrpd how many processes match, once that is known.
    fn tell_count(&mut self, serial: Serial, process: ProcessId) {
        let generation = self.broker.generation();
        let Some(count) = self.counted.count(process) else { return };
        if let Some(Link::Vrrpd(channel)) = self.processes.get_mut(&serial).map(|known| &mut known.link) {
            let sent = channel.send(&ParentToVrrpd::ProcessCount { generation, process, count }, &[]);
            self.check_sent(serial, sent);
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
            Link::Checkd(channel) if audience.checkd => {
                channel.send(&ParentToCheckd::FileValue { generation, file, value }, &[])
            }
            Link::Vrrpd(_) | Link::Checkd(_) | Link::Ipvsd(_) => Ok(()),
        };
        self.check_sent(serial, sent);
    }
}
