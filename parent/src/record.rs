//! The run directory: one lock per network namespace, and what the next start has to withdraw first.
//!
//! Driver. The record holds the configured addresses and routes of the running suite. It is removed at an ordered end; found by
//! a start that gets the lock, it says that everything was killed at once and what may have stayed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use config::model::parts::Held;

/// Lock and record of one suite in one network namespace.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    lock: Flock<File>,
    about: About,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    boot: String,
    namespace: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    about: About,
    #[serde(flatten)]
    held: Held,
}

/// Why the run directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Another suite holds the lock.
    #[error("daemon is already running")]
    Running,
    /// A file of it can't be used.
    #[error("run directory: {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Record {
    /// Makes the run directory (mode 0750) and takes the lock of this network namespace. Returns what a killed
    /// predecessor left.
    ///
    /// # Errors
    /// Another suite runs, or the directory can't be used.
    pub fn claim(directory: &Path) -> Result<(Self, Held), RecordError> {
        let problem = |path: &Path| {
            let path = path.to_owned();
            move |source| RecordError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(problem(directory))?;
        let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |found| found.ino());
        let lock_path = directory.join(format!("lock.{namespace}"));
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(problem(&lock_path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            if errno == nix::errno::Errno::EWOULDBLOCK {
                RecordError::Running
            } else {
                RecordError::Io { path: lock_path.clone(), source: errno.into() }
            }
        })?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let about = About { boot: boot.trim().to_owned(), namespace };
        let path = directory.join(format!("record.{namespace}.json"));
        let left = read(&path, &about);
        Ok((Self { path, lock, about }, left))
    }

    /// Writes what would have to be withdrawn.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, held: Held) -> io::Result<()> {
        let content = Content { about: self.about.clone(), held };
        let text = serde_json::to_vec(&content).map_err(io::Error::other)?;
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&text)?;
        fs::rename(&fresh, &self.path)
    }

    /// An ordered end leaves nothing to withdraw.
    pub fn remove(&self) {
        let _already_gone = fs::remove_file(&self.path);
    }

    /// Process ids of the running suite stand in the lock file, for people.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn note_pid(&self) -> io::Result<()> {
        self.lock.set_len(0)?;
        writeln!(&*self.lock, "{}", std::process::id())
    }
}

/// Addresses of a record of this boot and namespace; anything else says nothing about this kernel.
fn read(path: &Path, about: &About) -> Held {
    let Ok(text) = fs::read(path) else { return Held::default() };
    match serde_json::from_slice::<Content>(&text) {
        Ok(content) if content.about == *about => content.held,
        _ => Held::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use config::model::network::VirtualRoute;

    fn held() -> Held {
        Held {
            addresses: vec![("192.0.2.1/24".parse().unwrap(), Some("eth0".to_owned()))],
            routes: vec![VirtualRoute::to("198.51.100.0/24".parse().unwrap())],
        }
    }

    #[test]
    fn what_a_killed_suite_held_is_found_by_the_next() {
        let directory = Scratch::new("record-found");
        let (record, left) = Record::claim(&directory).unwrap();
        assert!(left.is_empty());
        record.write(held()).unwrap();
        drop(record);
        assert_eq!(Record::claim(&directory).unwrap().1, held());
    }

    #[test]
    fn an_ordered_end_leaves_nothing() {
        let directory = Scratch::new("record-ordered");
        let (record, _) = Record::claim(&directory).unwrap();
        record.write(held()).unwrap();
        record.remove();
        drop(record);
        assert!(Record::claim(&directory).unwrap().1.is_empty());
    }

    #[test]
    fn a_second_suite_in_the_same_namespace_is_refused() {
        let directory = Scratch::new("record-second");
        let first = Record::claim(&directory).unwrap();
        assert!(matches!(Record::claim(&directory), Err(RecordError::Running)));
        drop(first);
    }

    #[test]
    fn a_record_of_another_boot_says_nothing() {
        let directory = Scratch::new("record-boot");
        let (mut record, _) = Record::claim(&directory).unwrap();
        record.about.boot = "another".to_owned();
        record.write(held()).unwrap();
        drop(record);
        assert!(Record::claim(&directory).unwrap().1.is_empty());
    }
}
