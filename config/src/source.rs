//! Where the text of a configuration comes from: the only place of this crate that reads files.
//!
//! [`Source`] is what the pipeline asks; [`Files`] answers from the file system, [`Memory`] from a table.
//! Called by `preprocess`, and by `resolve` for key files. Contents are not trusted.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Why a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadProblem {
    /// There is none.
    #[error("no such file")]
    Missing,
    /// Permission.
    #[error("permission denied")]
    Denied,
    /// A directory, device or pipe.
    #[error("not a regular file")]
    NotAFile,
    /// It has an execute bit, so it is more likely a program than a configuration.
    #[error("it is executable, so it is taken for a program")]
    Executable,
    /// Larger than [`Source::read`] may return.
    #[error("larger than the limit of {} MiB", FILE_BYTES / 1024 / 1024)]
    TooLarge,
    /// Anything else.
    #[error("it can't be read")]
    Failed,
}

/// Largest file that is read, in bytes.
pub const FILE_BYTES: usize = 64 * 1024 * 1024;

/// Largest number of names that one directory may contribute to a wildcard.
pub const DIRECTORY_ENTRIES: usize = 65_536;

/// Where files come from.
pub trait Source {
    /// Content of a regular file of at most [`FILE_BYTES`].
    ///
    /// # Errors
    /// What kept it from being read.
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadProblem>;

    /// Names in a directory, in any order; empty when it can't be read.
    fn list(&self, directory: &str) -> Vec<String>;

    /// Others than its owner may read the file.
    fn is_exposed(&self, path: &str) -> bool;

    /// Something has this path.
    fn exists(&self, path: &str) -> bool;

    /// Value of an environment variable, for `_ENV`.
    fn environment(&self, name: &str) -> Option<String>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

impl Source for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadProblem> {
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        let file = options.open(path).map_err(|error| read_problem(&error))?;
        let about = file.metadata().map_err(|error| read_problem(&error))?;
        if !about.is_file() {
            return Err(ReadProblem::NotAFile);
        }
        if about.mode() & 0o111 != 0 {
            return Err(ReadProblem::Executable);
        }
        let limit = u64::try_from(FILE_BYTES).unwrap_or(u64::MAX);
        let mut content = Vec::with_capacity(usize::try_from(about.len().min(limit)).unwrap_or(0));
        let mut bounded = file.take(limit.saturating_add(1));
        bounded.read_to_end(&mut content).map_err(|error| read_problem(&error))?;
        if content.len() > FILE_BYTES { Err(ReadProblem::TooLarge) } else { Ok(content) }
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        entries
            .take(DIRECTORY_ENTRIES)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()
    }

    fn is_exposed(&self, path: &str) -> bool {
        fs::metadata(path).is_ok_and(|about| about.mode() & 0o077 != 0)
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).exists()
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn read_problem(error: &std::io::Error) -> ReadProblem {
    use std::io::ErrorKind;
    if error.kind() == ErrorKind::NotFound {
        ReadProblem::Missing
    } else if error.kind() == ErrorKind::PermissionDenied {
        ReadProblem::Denied
    } else {
        ReadProblem::Failed
    }
}

/// Files held in memory, by full path.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    environment: BTreeMap<String, String>,
}

impl Memory {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more file.
    #[must_use]
    pub fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Source for Memory {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadProblem> {
        self.files.get(path).cloned().ok_or(ReadProblem::Missing)
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let prefix = if directory.ends_with('/') { directory.to_owned() } else { format!("{directory}/") };
        let below = self.files.keys().filter_map(|path| path.strip_prefix(&prefix));
        let mut names: Vec<String> =
            below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        names
    }

    fn is_exposed(&self, _path: &str) -> bool {
        false
    }

    fn exists(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }
}
