//! Pid files: locked by the parent, so that a second suite with the same file is refused, and telling its number.
//!
//! Driver. The parent's file is claimed before anything is started, and may keep that waiting. Where the file lies in
//! memory the lock lasts as long as the suite; elsewhere the number alone does, because closing a file may have to wait
//! for its file system: nothing else must keep the suite from ending. Whoever owns a [`PidFile`] at the end has its path
//! removed by an errand.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

/// A pid file that this process has written; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// `None` where no lock is held.
    file: Option<File>,
    stale: bool,
}

impl PidFile {
    /// Takes the file, or says that another keepalived has it: by its lock, or, for one that doesn't lock, because the
    /// process that it names is a keepalived.
    ///
    /// # Errors
    /// `AddrInUse` when it is taken; otherwise what the kernel says.
    pub fn claim(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let taken = || io::Error::new(io::ErrorKind::AddrInUse, "daemon is already running");
        let whole = nix::libc::flock {
            l_type: i16::try_from(nix::libc::F_WRLCK).unwrap_or(1),
            l_whence: 0,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)) {
            Ok(_) => {}
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => return Err(taken()),
            Err(errno) => return Err(errno.into()),
        }
        let mut text = String::new();
        let _not_a_number_is_nobody = (&mut file).take(32).read_to_string(&mut text);
        let named = text.trim().parse();
        if named.as_ref().is_ok_and(|pid| is_other_keepalived(*pid)) {
            return Err(taken());
        }
        Ok(Self { path: path.to_owned(), file: Some(file), stale: named.is_ok() })
    }

    /// True when the file named a process that is gone: a keepalived, of whatever make, was killed.
    #[must_use]
    pub fn was_stale(&self) -> bool {
        self.stale
    }

    /// Writes this process's number.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.set_len(0)?;
        let line = format!("{}\n", std::process::id());
        std::os::unix::fs::FileExt::write_all_at(file, line.as_bytes(), 0)?;
        if fstatfs(file)?.filesystem_type() != TMPFS_MAGIC {
            self.file = None;
        }
        Ok(())
    }

    /// The path, for whoever removes it.
    #[must_use]
    pub fn into_path(mut self) -> PathBuf {
        std::mem::take(&mut self.path)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _already_gone = fs::remove_file(&self.path);
        }
    }
}

/// Makes a directory for pid files that nobody else makes. What goes wrong is told with the files.
pub fn make_directory(directory: &Path) {
    drop(DirBuilder::new().recursive(true).mode(0o755).create(directory));
}

/// Opens or makes the file and changes nothing in it: the place may be one where others make links.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).truncate(false).custom_flags(flags.bits());
    let file = options.open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 {
        return Err(io::Error::other("it is no regular file of one name"));
    }
    Ok(file)
}

/// True for a living keepalived that isn't this one, whatever its `process_name` is.
fn is_other_keepalived(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_keepalived =
        name.trim_end() == NAME || program.strip_suffix(" (deleted)").unwrap_or(&program) == NAME;
    pid != std::process::id() && is_keepalived
}

const NAME: &str = "keepalived";

/// Writes the number of a daemon.
///
/// # Errors
/// The file can't be written.
pub fn write_daemon(path: &Path, pid: i32) -> io::Result<()> {
    let mut file = open(path)?;
    file.set_len(0)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    writeln!(file, "{pid}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_pid_file_holds_the_number_and_goes_with_its_owner() {
        let directory = Scratch::new("number");
        let path = directory.join("pid");
        let mut file = PidFile::claim(&path).unwrap();
        file.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_names_a_process_which_is_gone_is_stale() {
        let directory = Scratch::new("gone");
        let path = directory.join("pid");
        assert!(!PidFile::claim(&path).unwrap().was_stale());
        fs::write(&path, "4194305\n").unwrap();
        assert!(PidFile::claim(&path).unwrap().was_stale());
    }

    #[test]
    fn a_file_that_somebody_has_locked_is_taken() {
        let directory = Scratch::new("locked");
        let path = directory.join("pid");
        let first = PidFile::claim(&path).unwrap();
        assert_eq!(PidFile::claim(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
    }

    #[test]
    fn a_file_that_has_another_name_elsewhere_is_neither_taken_nor_written() {
        let directory = Scratch::new("linked");
        let (victim, path) = (directory.join("victim"), directory.join("pid"));
        fs::write(&victim, "precious").unwrap();
        fs::hard_link(&victim, &path).unwrap();
        assert!(PidFile::claim(&path).is_err());
        assert!(write_daemon(&path, 7).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_stale_file_of_a_dead_process_is_no_obstacle() {
        let directory = Scratch::new("dead");
        let path = directory.join("pid");
        fs::write(&path, "4194304\n").unwrap();
        assert!(PidFile::claim(&path).is_ok());
    }
}
