//! What /proc says of processes, and signals by pid. No process is ever found by name alone: a search starts at a
//! pid or a namespace that the laboratory made.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Failure;

/// A process as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Name of its program, at most 15 bytes.
    pub name: String,
    /// State letter: `Z` is dead but not reaped.
    pub state: char,
}

/// Every process that is visible.
#[must_use]
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(read).collect()
}

/// One process.
#[must_use]
pub fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, name, state })
}

/// True while the process runs (a zombie doesn't).
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    read(pid).is_some_and(|process| !matches!(process.state, 'Z' | 'X'))
}

/// Living children of `parent`.
#[must_use]
pub fn children(parent: i32) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == parent && process.state != 'Z').collect()
}

/// Living processes in a network namespace, given as its inode.
#[must_use]
pub fn in_network(namespace: u64) -> Vec<Process> {
    all()
        .into_iter()
        .filter(|process| process.state != 'Z')
        .filter(|process| network_of(Path::new(&format!("/proc/{}/ns/net", process.pid))) == Some(namespace))
        .collect()
}

/// Inode of the network namespace behind a path in /proc.
#[must_use]
pub fn network_of(path: &Path) -> Option<u64> {
    let link = fs::read_link(path).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Sends a signal; false when the process is gone.
pub fn signal(pid: i32, signal: Signal) -> bool {
    pid > 1 && kill(Pid::from_raw(pid), signal).is_ok()
}

/// The value of one line of `/proc/PID/status`.
#[must_use]
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Processor time that the process has used, in hundredths of a second.
#[must_use]
pub fn processor_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let [user, system] = [fields.get(11)?, fields.get(12)?];
    Some(user.parse::<u64>().ok()?.saturating_add(system.parse().ok()?))
}

/// Processor time that the process has used, in nanoseconds.
#[must_use]
pub fn processor_nanoseconds(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// How many descriptors the process has open.
#[must_use]
pub fn open_descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Proportional set size in KiB: private memory plus this process's share of what it shares.
#[must_use]
pub fn pss_kib(pid: i32) -> Option<u64> {
    rollup_kib(pid, "Pss:")
}

/// Memory in KiB that nobody else has.
#[must_use]
pub fn private_kib(pid: i32) -> Option<u64> {
    Some(rollup_kib(pid, "Private_Clean:")?.saturating_add(rollup_kib(pid, "Private_Dirty:")?))
}

fn rollup_kib(pid: i32, name: &str) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Shows family, type and receive buffer of every socket of a process.
const SOCKETS: &str = "import ctypes, os, socket, sys
call = ctypes.CDLL(None, use_errno=True).syscall
process = call(434, int(sys.argv[1]), 0)
for number in os.listdir('/proc/%s/fd' % sys.argv[1]):
    if os.readlink('/proc/%s/fd/%s' % (sys.argv[1], number)).startswith('socket:'):
        copy = socket.socket(fileno=call(438, process, int(number), 0))
        print(int(copy.family), int(copy.type), copy.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
";

/// A line for each socket of a process: family, type and receive buffer, twice what was asked for.
pub fn receive_buffers(pid: i32) -> Result<String, Failure> {
    let said = Command::new("/usr/bin/python3").args(["-c", SOCKETS, &pid.to_string()]).output();
    let said = said.map_err(|cause| Failure::instrument("python3", cause))?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}
