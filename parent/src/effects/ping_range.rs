//! The range of groups that may open ICMP datagram sockets, opened for one moment for our own group.
//!
//! What it was stands in a file of the run directory meanwhile, so that who is killed in that moment leaves no other
//! range behind for good: the next start puts it back.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Groups that may open ICMP datagram sockets.
const RANGE: &str = "/proc/sys/net/ipv4/ping_group_range";

/// The range and the file that remembers it.
#[derive(Debug, Clone)]
pub struct PingRange {
    range: PathBuf,
    memory: PathBuf,
}

impl PingRange {
    /// That of the kernel, remembered in this directory.
    #[must_use]
    pub fn of(run_dir: &Path) -> Self {
        Self { range: RANGE.into(), memory: run_dir.join("ping_group_range") }
    }

    /// Does something while the range is our own group alone.
    ///
    /// # Errors
    /// The range can't be changed, or what is done fails.
    pub fn opened<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let before = fs::read_to_string(&self.range)?;
        let mut memory = OpenOptions::new();
        let memory = memory.write(true).create(true).truncate(true).mode(0o600).open(&self.memory);
        memory?.write_all(before.as_bytes())?;
        fs::write(&self.range, ours())?;
        let done = act();
        self.put_back(&before)?;
        done
    }

    /// Puts back what a process left that was killed in its moment; a range that somebody has changed since stays.
    ///
    /// # Errors
    /// The range can't be changed.
    pub fn restore(&self) -> io::Result<()> {
        let before = match fs::read_to_string(&self.memory) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if words(&fs::read_to_string(&self.range)?) != words(&ours()) {
            return fs::remove_file(&self.memory);
        }
        self.put_back(&before)
    }

    fn put_back(&self, before: &str) -> io::Result<()> {
        fs::write(&self.range, before.trim_end())?;
        fs::remove_file(&self.memory)
    }
}

/// The range that has our own group in it and no other.
fn ours() -> String {
    let group = nix::unistd::getegid();
    format!("{group} {group}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn range(name: &str, text: &str) -> (Scratch, PingRange) {
        let directory = Scratch::new(&format!("ping-{name}"));
        let (range, memory) = (directory.join("range"), directory.join("memory"));
        fs::write(&range, text).unwrap();
        (directory, PingRange { range, memory })
    }

    #[test]
    fn the_range_is_ours_for_the_moment_and_what_it_was_afterwards() {
        let (_directory, known) = range("moment", "100\t200\n");
        let meanwhile = known.opened(|| fs::read_to_string(&known.range)).unwrap();
        assert_eq!(meanwhile, ours());
        assert_eq!(fs::read_to_string(&known.range).unwrap(), "100\t200");
        assert!(!known.memory.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_put_back_by_the_next_start() {
        let (_directory, known) = range("killed", &ours());
        fs::write(&known.memory, "100\t200\n").unwrap();
        known.restore().unwrap();
        assert_eq!(fs::read_to_string(&known.range).unwrap(), "100\t200");
        assert!(!known.memory.exists());
        known.restore().unwrap();
    }

    #[test]
    fn a_range_that_was_changed_since_stays() {
        let (_directory, known) = range("changed", "5 7\n");
        fs::write(&known.memory, "100\t200\n").unwrap();
        known.restore().unwrap();
        assert_eq!(fs::read_to_string(&known.range).unwrap(), "5 7\n");
        assert!(!known.memory.exists());
    }
}
