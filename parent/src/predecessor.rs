//! A vrrpd that its parent's death has left alone: it resigns and withdraws by itself, and a start waits for that.
//!
//! Driver, used once at boot. A successor that came earlier would have its addresses withdrawn by the old one. The
//! pid file may name anybody: only a process that executes our vrrpd is waited for, and ended when it doesn't end.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::system::process::{pidfd_open, pidfd_send_signal};

/// How the old process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Own,
    /// It had to be killed: what it held is withdrawn by the record.
    Killed,
}

/// Time that the old process has to withdraw.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time that a killed process has to be gone.
const DEATH: Duration = Duration::from_secs(1);

fn named(pid_file: &Path) -> Option<i32> {
    let mut text = String::new();
    fs::File::open(pid_file).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// True when this pid file names a process that is gone, reaped or not: who ends in order removes the file.
#[must_use]
pub fn was_killed(pid_file: &Path) -> bool {
    let is_gone = |pid| {
        let program = fs::read_link(format!("/proc/{pid}/exe"));
        program.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    named(pid_file).is_some_and(is_gone)
}

/// Waits for the vrrpd that this pid file names; `None` when there is none.
#[must_use]
pub fn await_end(pid_file: &Path, program: &Path) -> Option<End> {
    let pid = named(pid_file)?;
    let pidfd = pidfd_open(pid).ok()?;
    // Asked after the process has been opened: its number can't have gone to another one.
    if !executes(pid, program) {
        return None;
    }
    if has_ended(&pidfd, PATIENCE) {
        return Some(End::Own);
    }
    let _already_gone = pidfd_send_signal(pidfd.as_fd(), 9);
    has_ended(&pidfd, DEATH);
    Some(End::Killed)
}

/// True for a process of this program, also when a newer file has taken its place since.
fn executes(pid: i32, program: &Path) -> bool {
    let Ok(found) = fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    let found = found.to_string_lossy();
    Path::new(found.strip_suffix(" (deleted)").unwrap_or(&found)) == program
}

fn has_ended(pidfd: &OwnedFd, within: Duration) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
    poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn pid_file(directory: &Path, text: &str) -> std::path::PathBuf {
        let path = directory.join("vrrp.pid");
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn nobody_is_waited_for_who_is_another_program_or_gone() {
        let (first, second) = (Scratch::new("own-pid"), Scratch::new("text-pid"));
        let own = pid_file(&first, &format!("{}\n", std::process::id()));
        assert_eq!(await_end(&own, Path::new("/usr/libexec/keepalived/vrrpd")), None);
        let text = pid_file(&second, "x\n");
        assert_eq!(await_end(&text, Path::new("/bin/sleep")), None);
        assert_eq!(await_end(Path::new("/nonexistent/vrrp.pid"), Path::new("/bin/sleep")), None);
        assert!(!was_killed(&own) && !was_killed(&text) && !was_killed(Path::new("/nonexistent/vrrp.pid")));
    }

    #[test]
    fn who_ends_by_itself_is_waited_for() {
        let program = fs::canonicalize("/bin/sleep").unwrap();
        let mut child = std::process::Command::new(&program).arg("2").spawn().unwrap();
        let directory = Scratch::new("sleep-pid");
        let file = pid_file(&directory, &format!("{}\n", child.id()));
        assert_eq!(await_end(&file, &program), Some(End::Own));
        child.wait().unwrap();
        assert!(was_killed(&file));
    }
}
