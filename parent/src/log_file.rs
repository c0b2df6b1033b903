//! The log file of `-g`: written by a process of its own, because a disk may keep its writer waiting for ever, and a thread
//! that waits there would keep this process from ending.
//!
//! Driver. Lines go through a pipe that never makes this side wait; one that is full costs lines, which are counted. The
//! writer ends when the pipe does, and no signal but SIGKILL ends it before.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::units::MonoTime;
use ipc::{date, reactor};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use sandbox::system::process::{fork_aside, wait_pidfd};

use crate::append;

/// A log file that is being written.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    writer: Option<Writer>,
    /// When a writer may be started again.
    rested: MonoTime,
}

#[derive(Debug)]
struct Writer {
    /// `None` once it is to end.
    lines: Option<File>,
    pidfd: OwnedFd,
}

/// Bytes that wait for the disk.
const WAITING: i32 = 1 << 20;
/// Bytes that a pipe takes whole or not at all (pipe(7)).
const WHOLE: usize = 4096;
/// Least time between two writers.
const REST: Duration = Duration::from_secs(1);
/// What a writer gets at the end, in milliseconds.
const LAST_LINES: u8 = 200;

impl LogFile {
    /// Starts the writer. A file that can't be opened is tried again with every line.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let now = reactor::now();
        Self { path: path.to_owned(), writer: Writer::start(path).ok(), rested: now + REST }
    }

    /// False when the line is lost because the disk is behind.
    #[must_use]
    pub fn write(&mut self, name: &str, text: &str) -> bool {
        let mut line = format!("{}: {name}: {text}", date::stamp(reactor::wall_ms() / 1000)).into_bytes();
        line.truncate(WHOLE - 1);
        line.push(b'\n');
        match self.offer(&line) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // Somebody has killed it.
            Err(_) => {
                let now = reactor::now();
                if now < self.rested {
                    return false;
                }
                self.rested = now + REST;
                self.writer = Writer::start(&self.path).ok();
                self.offer(&line).is_ok()
            }
        }
    }

    fn offer(&mut self, line: &[u8]) -> io::Result<()> {
        let lines = self.writer.as_mut().and_then(|writer| writer.lines.as_mut());
        lines.ok_or(io::ErrorKind::BrokenPipe)?.write(line).map(drop)
    }
}

impl Writer {
    fn start(path: &Path) -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // A small one does where the kernel gives no large one.
        let _large = fcntl(&write, FcntlArg::F_SETPIPE_SZ(WAITING));
        fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let (_, pidfd) = fork_aside(read, |lines| {
            let _nothing_ends_it_but_the_pipe = SigSet::all().thread_block();
            let _it_has_a_name_at_least = sandbox::name_process("keepalived-log");
            write_lines(path, File::from(lines));
        })?;
        Ok(Self { lines: Some(File::from(write)), pidfd })
    }
}

impl Drop for Writer {
    /// It gets the time to write its last lines, unless its disk makes it wait.
    fn drop(&mut self) {
        self.lines = None;
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let _written_or_not = poll(&mut fds, PollTimeout::from(LAST_LINES));
        let _reaped_or_left_behind = wait_pidfd(self.pidfd.as_fd());
    }
}

fn write_lines(path: &Path, lines: File) {
    let mut lines = BufReader::new(lines);
    let (mut file, mut line) = (None, Vec::new());
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if file.is_none() {
            file = append::open(path).ok();
        }
        if file.as_mut().is_some_and(|file| file.write_all(&line).is_err()) {
            file = None;
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("keepalived-log-file-{}-{name}", std::process::id()))
    }

    #[test]
    fn every_line_is_in_the_file_when_it_is_closed() {
        let path = path("closed");
        let mut file = LogFile::open(&path);
        for number in 0..1_000 {
            while !file.write("Keepalived", &format!("line {number}")) {
                std::thread::yield_now();
            }
        }
        assert!(file.write("Keepalived", &"x".repeat(10_000)));
        let pidfd = file.writer.as_ref().unwrap().pidfd.try_clone().unwrap();
        drop(file);
        // On a busy machine it may be at it still.
        let _over = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1_001);
        assert!(text.lines().nth(999).unwrap().ends_with("Keepalived: line 999"));
        assert_eq!(text.lines().next_back().unwrap().len(), 4_095);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_disk_that_stands_still_costs_lines_and_no_time() {
        let path = path("behind");
        let mut file = LogFile::open(&path);
        signal(&file, nix::libc::SIGSTOP);
        let line = "x".repeat(2_000);
        assert!((0..1_000).any(|_| !file.write("Keepalived", &line)));
        signal(&file, nix::libc::SIGKILL);
        drop(file);
        let _never_opened = std::fs::remove_file(path);
    }

    #[test]
    fn a_writer_that_was_killed_is_succeeded_once_it_may_be() {
        let path = path("killed");
        let mut file = LogFile::open(&path);
        signal(&file, nix::libc::SIGKILL);
        let pidfd = &file.writer.as_ref().unwrap().pidfd;
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        file.rested = reactor::now() + Duration::from_secs(3_600);
        assert!(!file.write("Keepalived", "too early"));
        file.rested = MonoTime::default();
        assert!(file.write("Keepalived", "again"));
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with("Keepalived: again\n")) {
            std::thread::yield_now();
        }
        std::fs::remove_file(path).unwrap();
    }

    fn signal(file: &LogFile, signal: i32) {
        let writer = file.writer.as_ref().unwrap();
        sandbox::system::process::pidfd_send_signal(writer.pidfd.as_fd(), signal).unwrap();
    }
}
