//! The log file of `-g`: written by a thread of its own, because a disk may keep its writer waiting.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ipc::{date, reactor};

use crate::append;

/// A log file that is being written.
#[derive(Debug)]
pub struct LogFile {
    lines: Option<SyncSender<String>>,
}

/// Lines that wait for the disk.
const WAITING: usize = 1024;

impl LogFile {
    /// Starts the thread. A file that can't be opened is tried again with every line.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let path = path.to_owned();
        let thread = thread::Builder::new().name("log-file".to_owned());
        let started = thread.spawn(move || write_lines(&path, &receiver));
        Self { lines: started.is_ok().then_some(sender) }
    }

    /// False when the line is lost because the disk is behind.
    #[must_use]
    pub fn write(&self, name: &str, text: &str) -> bool {
        let line = format!("{}: {name}: {text}\n", date::stamp(reactor::wall_ms() / 1000));
        self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok())
    }
}

fn write_lines(path: &Path, lines: &Receiver<String>) {
    let mut file = None;
    while let Ok(line) = lines.recv() {
        if file.is_none() {
            file = append::open(path).ok();
        }
        if file.as_mut().is_some_and(|file| file.write_all(line.as_bytes()).is_err()) {
            file = None;
        }
    }
}
