//! `config_save_dir`: a copy of each configuration that is read. A thread writes it: the loop waits for no disk.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use ipc::messages::Level;

use super::Suite;
use crate::worker::Parts;

/// The copy that is being written, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Saving {
    thread: Option<JoinHandle<io::Result<()>>>,
    count: u32,
}

impl Saving {
    /// True while a writer's end is awaited.
    pub(super) fn is_busy(&self) -> bool {
        self.thread.is_some()
    }
}

impl Suite {
    /// Keeps a copy of the text that `parts` were made of, if the configuration wants that.
    pub(super) fn save_configuration(&mut self, parts: &Parts) {
        let Some(directory) = &parts.parent.process.save_dir else { return };
        let directory = PathBuf::from(directory);
        let name = format!("keepalived.conf.{}.{}", std::process::id(), self.saving.count);
        self.saving.count = self.saving.count.saturating_add(1);
        if self.saving.is_busy() {
            self.say(
                Level::Warning,
                &format!("config_save_dir: {name} is left out, the last copy is being written"),
            );
            return;
        }
        let started = parts.consolidated.try_clone().and_then(|text| {
            let write = move || copy(text, &directory, &name);
            thread::Builder::new().name("config-copy".to_owned()).spawn(write)
        });
        match started {
            Ok(thread) => self.saving.thread = Some(thread),
            Err(error) => self.say(Level::Error, &format!("config_save_dir: {error}")),
        }
    }

    pub(super) fn tick_saving(&mut self) {
        let Some(thread) = self.saving.thread.take_if(|thread| thread.is_finished()) else { return };
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.say(Level::Error, &format!("config_save_dir: {error}")),
            Err(_) => self.say(Level::Error, "config_save_dir: the writer failed"),
        }
    }
}

/// Writes a fresh file, its owner's alone, into `directory`, which is made if its parent is there.
fn copy(text: OwnedFd, directory: &Path, name: &str) -> io::Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o700))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let mut text = fs::File::from(text);
    text.rewind()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(name))?;
    io::copy(&mut text, &mut file).map(drop)
}
