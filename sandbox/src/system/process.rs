//! Processes and signals: the calls that neither nix nor std wrap.
//!
//! Does: pidfds, waiting, how commands are started, what a process sets for itself. Does not: decide what a process may
//! do (`profile`). Called by `child`, `confine`, `parent` and by the supervisor. Input comes from this program, not from
//! outside.
#![expect(unsafe_code, reason = "pidfds, waitid on them and dispositions of signals have no safe wrapper")]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use libc::{c_int, c_ulong};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::{check, check_long};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited by itself with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
}

/// Sets close-on-exec on every descriptor above `last`.
pub(super) fn close_on_exec_above(last: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(last + 1).map_err(io::Error::other)?;
    let flags = c_int::try_from(libc::CLOSE_RANGE_CLOEXEC).map_err(io::Error::other)?;
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC closes nothing now and touches no memory.
    check(unsafe { libc::close_range(first, libc::c_uint::MAX, flags) })
}

/// Every signal at its default, those included that an ancestor has ignored.
pub(super) fn default_dispositions() {
    let default = [0_u64; 4];
    for number in 1..=LAST_SIGNAL {
        // SAFETY: rt_sigaction(2) reads a kernel sigaction of 32 bytes and, in it, a mask of 8; all-zero is SIG_DFL.
        // Raw, because libc hides two numbers that a caller may have ignored; KILL and STOP refuse, which is right.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, number, &raw const default, ptr::null::<u64>(), 8_usize)
        };
    }
}

const LAST_SIGNAL: c_int = 64;

/// Makes the process unreadable for others of the same user: no core file, no ptrace, /proc owned by root.
///
/// # Errors
/// What prctl(2) says; none is known.
pub fn forbid_inspection() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0)
}

/// By how many seconds local time is ahead of UTC at a moment, in seconds since 1970.
#[must_use]
pub fn local_offset(moment: u64) -> i64 {
    let Ok(moment) = libc::time_t::try_from(moment) else { return 0 };
    // SAFETY: tm is a C structure of integers and a pointer, for which all-zero is a valid value.
    let mut broken_down: libc::tm = unsafe { mem::zeroed() };
    // SAFETY: localtime_r(3) reads one number and writes one tm; both outlive the call. It reads TZ, which this program
    // never changes.
    unsafe { libc::localtime_r(&raw const moment, &raw mut broken_down) };
    broken_down.tm_gmtoff
}

/// SCHED_RR at `priority` for a process, 0 for the calling one; its children don't inherit it.
///
/// # Errors
/// `EPERM` without CAP_SYS_NICE, `ESRCH` when it is gone.
pub fn be_round_robin(pid: i32, priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: c_int::from(priority) };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: sched_setscheduler(2) reads `parameters`, which outlives the call.
    check(unsafe { libc::sched_setscheduler(pid, policy, &raw const parameters) })
}

/// Keeps all memory of the process, present and future, out of swap.
///
/// # Errors
/// `ENOMEM` beyond RLIMIT_MEMLOCK.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: mlockall(2) takes flags and touches no memory of ours.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })
}

/// Fault signals end the process at once. The standard library's handlers for SIGSEGV and SIGBUS, which only name an
/// overflown stack, take themselves back by a call that no profile lists and would run for ever.
///
/// # Errors
/// What sigaction(2) says; none is known.
pub fn default_fault_signals() -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: sigaction(2) with SIG_DFL installs no code of ours.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Real-time signals that the suite obeys, by number: they have no names of their own.
#[derive(Debug, Clone, Copy)]
pub struct RealtimeSignals {
    /// SIGRTMIN+2.
    pub json: i32,
    /// SIGRTMAX-1.
    pub clear: i32,
    /// SIGRTMAX.
    pub threads: i32,
}

/// Their numbers in this C library.
#[must_use]
pub fn realtime_signals() -> RealtimeSignals {
    RealtimeSignals { json: libc::SIGRTMIN() + 2, clear: libc::SIGRTMAX() - 1, threads: libc::SIGRTMAX() }
}

/// `mask` with every real-time signal added.
#[must_use]
pub fn with_realtime_signals(mask: &SigSet) -> SigSet {
    let mut set = *mask.as_ref();
    for number in libc::SIGRTMIN()..=libc::SIGRTMAX() {
        // SAFETY: sigaddset(3) changes the set it is given, which is a valid one, by a number in range.
        unsafe { libc::sigaddset(&raw mut set, number) };
    }
    // SAFETY: the set is a valid one of nix's to which valid signals were added.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// Raises the soft limit of open descriptors to `wanted`, as far as the hard limit allows.
///
/// # Errors
/// What setrlimit(2) says; none is known.
pub fn allow_open_files(wanted: u64) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let reached = wanted.min(hard).max(soft);
    Ok(setrlimit(Resource::RLIMIT_NOFILE, reached, hard)?)
}

/// Makes `command` run as somebody else: exactly these supplementary groups, then group, then user, for good.
pub fn run_as(command: &mut Command, uid: u32, gid: u32, groups: Vec<u32>) {
    let become_user = move || {
        // SAFETY: setgroups(2) reads as many group ids as it is told, from a vector that outlives the call.
        check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
        // SAFETY: setresgid(2) takes three numbers.
        check(unsafe { libc::setresgid(gid, gid, gid) })?;
        // SAFETY: setresuid(2) takes three numbers.
        check(unsafe { libc::setresuid(uid, uid, uid) })
    };
    // SAFETY: the closure makes three async-signal-safe system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(become_user) };
}

/// A process that is becoming a program.
#[derive(Debug)]
pub struct Started {
    /// Its id.
    pub pid: i32,
    /// Readable when it has ended; see [`wait_pidfd`].
    pub pidfd: OwnedFd,
    /// Whether it became one.
    pub exec: Exec,
}

/// What became of the execution of a program: known at the end of the process, at the latest.
#[derive(Debug)]
pub struct Exec(OwnedFd);

/// Why a process did not become a program.
#[derive(Debug)]
pub enum NotExecuted {
    /// What was looked at before is against it, in words.
    Refused(String),
    /// The kernel can't.
    Failed(io::Error),
}

impl NotExecuted {
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            // One write of this length is never torn (pipe(7)).
            Self::Refused(why) => {
                [b"r", why.as_bytes().get(..LONGEST_REFUSAL).unwrap_or(why.as_bytes())].concat()
            }
            Self::Failed(error) => {
                [b"f".as_slice(), &error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes()].concat()
            }
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b'r', why) => Some(Self::Refused(String::from_utf8_lossy(why).into_owned())),
            (_, number) => {
                let number = i32::from_ne_bytes(number.try_into().ok()?);
                Some(Self::Failed(io::Error::from_raw_os_error(number)))
            }
        }
    }
}

impl From<NotExecuted> for io::Error {
    fn from(why: NotExecuted) -> Self {
        match why {
            NotExecuted::Refused(why) => Self::other(why),
            NotExecuted::Failed(error) => error,
        }
    }
}

impl Exec {
    /// Why the program was not executed; `None` when it was, or when that isn't decided yet.
    #[must_use]
    pub fn failure(&self) -> Option<NotExecuted> {
        let mut bytes = [0; LONGEST_REFUSAL + 1];
        let length = nix::unistd::read(&self.0, &mut bytes).ok()?;
        NotExecuted::from_bytes(bytes.get(..length)?)
    }

    /// True while the process has not become the program yet: it may stand before a file system that doesn't answer.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        !self.wait(PollTimeout::ZERO)
    }

    /// Waits for so long until it is decided; true when it is.
    fn wait(&self, limit: PollTimeout) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, limit) != Ok(0)
    }
}

/// Exit status of a process that could not become a program, as shells have it.
const NOT_EXECUTED: c_int = 127;
/// Bytes of a refusal that are told.
const LONGEST_REFUSAL: usize = 1024;

/// Starts a program and doesn't wait until it is executed: a busy machine may take its time for that, and a file system
/// that stands still any time.
///
/// # Errors
/// No process or descriptor is left. What else goes wrong is told by [`Exec::failure`].
pub fn start(command: &mut Command) -> io::Result<Started> {
    fork_into(|report| (report, NotExecuted::Failed(command.exec())))
}

/// The same for a program that has to be looked at first, which may take as long: `prepare` does that in the new
/// process, with the rights of this one. The process is the leader of a group of its own and starts as if nobody had
/// started this one: every signal at its default and none blocked, no descriptor but the standard ones, not even while
/// it looks. Where another one is `ahead` of it, it begins when that one has become its program, or after half a second.
///
/// # Errors
/// As [`start`].
pub fn start_prepared(
    ahead: Option<&Exec>,
    prepare: impl FnOnce() -> Result<Command, NotExecuted>,
) -> io::Result<Started> {
    const TURN: u16 = 500;
    fork_into(|report| {
        if let Some(ahead) = ahead {
            ahead.wait(TURN.into());
        }
        match stand_alone(report).map(|report| (report, prepare())) {
            Ok((report, Ok(mut command))) => (report, NotExecuted::Failed(command.exec())),
            Ok((report, Err(why))) => (report, why),
            Err(_) => exit_now(NOT_EXECUTED),
        }
    })
}

/// Forks; `become_program` returns only when the new process can't become a program, with the reason.
fn fork_into(become_program: impl FnOnce(OwnedFd) -> (OwnedFd, NotExecuted)) -> io::Result<Started> {
    use nix::fcntl::OFlag;
    let (exec, report) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let (pid, pidfd) = fork_to(|| {
        let (report, why) = become_program(report);
        let _nobody_else_to_tell = nix::unistd::write(&report, &why.to_bytes());
    })?;
    Ok(Started { pid, pidfd, exec: Exec(exec) })
}

/// Has `work` done by a process of its own, with the rights of this one; `channel` is all that it keeps. Returns its id and
/// its pidfd.
///
/// # Errors
/// No process or descriptor is left.
pub fn fork_aside(channel: OwnedFd, work: impl FnOnce(OwnedFd)) -> io::Result<(i32, OwnedFd)> {
    fork_to(|| {
        if let Ok(channel) = stand_alone(channel) {
            work(channel);
        }
    })
}

fn fork_to(child: impl FnOnce()) -> io::Result<(i32, OwnedFd)> {
    use nix::unistd::{ForkResult, fork};
    // SAFETY: the child executes a program, or does its work and ends: nothing of this process's goes on in it. No other
    // thread of this one holds a lock that the child would need: the parent has none, and the C library takes care of
    // its allocator's.
    match unsafe { fork() }? {
        ForkResult::Child => {
            child();
            exit_now(NOT_EXECUTED)
        }
        ForkResult::Parent { child } => {
            let pidfd = pidfd_open(child.as_raw()).inspect_err(|_| {
                // Nobody could watch it. A killed child keeps nobody waiting.
                let _gone = nix::sys::signal::kill(child, Signal::SIGKILL);
                let _reaped = nix::sys::wait::waitpid(child, None);
            })?;
            Ok((child.as_raw(), pidfd))
        }
    }
}

/// Parts a new process from the one that it came from; `report`, under its new number, is all that it keeps. A process
/// that stands still before a file system must hold nothing that others wait to see closed, standard error included.
fn stand_alone(report: OwnedFd) -> io::Result<OwnedFd> {
    const REPORT: RawFd = libc::STDERR_FILENO + 1;
    nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
    let report = report.into_raw_fd();
    if report != REPORT {
        // SAFETY: dup3(2) takes three numbers. What stood at this number belongs to the process that was forked, none
        // of whose code goes on here.
        check(unsafe { libc::dup3(report, REPORT, libc::O_CLOEXEC) })?;
    }
    let first = libc::c_uint::try_from(REPORT + 1).map_err(io::Error::other)?;
    // SAFETY: close_range(2) touches no memory; none of the owners of what it closes goes on here.
    check(unsafe { libc::close_range(first, libc::c_uint::MAX, 0) })?;
    let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&nowhere)?;
    nix::unistd::dup2_stdout(&nowhere)?;
    nix::unistd::dup2_stderr(&nowhere)?;
    default_dispositions();
    SigSet::empty().thread_set_mask()?;
    // SAFETY: this number is the report's, which was given up above, or has just been made one of it.
    Ok(unsafe { OwnedFd::from_raw_fd(REPORT) })
}

/// Version of the kernel's landlock interface, 0 without landlock: what a confinement can reach on this machine.
#[must_use]
pub fn landlock_abi() -> u32 {
    const VERSION: c_ulong = 1;
    let nothing = ptr::null::<u8>();
    // SAFETY: landlock_create_ruleset(2) with a null attribute, size 0 and the version flag reads no memory and opens
    // nothing.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// Opens a pidfd (close-on-exec) of a process.
///
/// # Errors
/// `ESRCH` when there is no such process; `ENOSYS` before Linux 5.3.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    check_long(fd)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: pidfd_open(2) has just returned this number as a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to the process behind a pidfd; it can never reach a later process with the same number.
///
/// # Errors
/// `ESRCH` when it has been waited for; `EPERM` without the right.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing = ptr::null::<libc::siginfo_t>();
    // SAFETY: pidfd_send_signal(2) with a null siginfo behaves as kill(2) and reads no memory.
    check_long(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, nothing, 0) })
}

/// Waits for the child behind a pidfd without blocking; `None` while it runs. The child is reaped by the first
/// `Some`.
///
/// # Errors
/// `ECHILD` when it is no child of this process or already reaped.
pub fn wait_pidfd(pidfd: BorrowedFd<'_>) -> io::Result<Option<Ending>> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(io::Error::other)?;
    Ok(wait_for(libc::P_PIDFD, id, libc::WEXITED | libc::WNOHANG)?.map(|(_, ending)| ending))
}

/// Reaps orphans, for a parent that runs as PID 1: children that ended and are not in `owned`. Returns their pids.
///
/// Call it after SIGCHLD. A child of ours is left for [`wait_pidfd`]; at most `MOST_REAPED` in one call.
///
/// # Errors
/// What waitid(2) says; having no child is not an error.
pub fn reap_any(owned: &[i32]) -> io::Result<Vec<i32>> {
    let mut reaped = Vec::new();
    while reaped.len() < MOST_REAPED {
        let peek = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let ended = match wait_for(libc::P_ALL, 0, peek) {
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => None,
            other => other?,
        };
        // An ended child of ours is reported first until its owner reaps it: the orphans behind it wait for that.
        let Some((pid, _)) = ended.filter(|(pid, _)| !owned.contains(pid)) else { break };
        let id = libc::id_t::try_from(pid).map_err(io::Error::other)?;
        wait_for(libc::P_PID, id, libc::WEXITED | libc::WNOHANG)?;
        reaped.push(pid);
    }
    Ok(reaped)
}

/// Most orphans reaped in one call of [`reap_any`], so that a storm of them cannot hold the caller.
pub const MOST_REAPED: usize = 256;

/// waitid(2): the pid and ending, or `None` when nothing has ended.
fn wait_for(kind: libc::idtype_t, id: libc::id_t, options: c_int) -> io::Result<Option<(i32, Ending)>> {
    // SAFETY: siginfo_t is a C structure of integers and pointers, for which all-zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: waitid(2) writes one siginfo_t, which outlives the call.
    check(unsafe { libc::waitid(kind, id, &raw mut info, options) })?;
    // SAFETY: waitid(2) fills the SIGCHLD fields, or leaves the zeroes of above when nothing has ended.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as for si_pid.
    let status = unsafe { info.si_status() };
    let ending =
        if info.si_code == libc::CLD_EXITED { Ending::Exited(status) } else { Ending::Signalled(status) };
    Ok(Some((pid, ending)))
}

/// Ends the process at once: no destructor, no exit handler, no flush.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// One prctl(2) that takes numbers only.
pub(super) fn prctl(option: c_int, first: c_ulong, second: c_ulong) -> io::Result<()> {
    let zero: c_ulong = 0;
    // SAFETY: prctl(2): every option used in this file takes integers only; unused arguments are zero as required.
    check(unsafe { libc::prctl(option, first, second, zero, zero) })
}
