//! `config_save_dir`: a copy of each configuration that is read, written by an errand.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ipc::messages::Level;

use super::Suite;
use crate::effects::errand::{Answer, Errand, Task};
use crate::worker::Parts;

impl Suite {
    /// Keeps a copy of the text that `parts` were made of, if the configuration wants that.
    pub(super) fn save_configuration(&mut self, parts: &Parts) {
        let Some(directory) = parts.parent.process.save_dir.clone() else { return };
        let name = format!("keepalived.conf.{}.{}", std::process::id(), self.saved);
        self.saved = self.saved.saturating_add(1);
        let what = format!("config_save_dir {directory}");
        match parts.consolidated.try_clone() {
            Ok(text) => {
                let place = directory.clone();
                let copy = move |lent: Vec<OwnedFd>| {
                    let text = lent.into_iter().next().ok_or("the text is missing")?;
                    copy(text, Path::new(&place), &name).map_err(|error| error.to_string())?;
                    Ok(Answer::default())
                };
                self.errands.ask(Errand::with(&directory, Task::Untold(what), vec![text], copy));
            }
            Err(error) => self.say(Level::Warning, &format!("{what}: {error}")),
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
