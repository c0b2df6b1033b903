//! Processes, capabilities, signals and system-call traps: the calls that neither nix nor std wrap.
//!
//! Does: what a child does to itself between fork and exec, pidfds, waiting, the SIGSYS handler. Does not: decide
//! what a process may do (`profile`, `spawn::plan`). Called by `spawn`, `confine`, `parent` and by the supervisor.
//! Input comes from this program, not from outside.
#![expect(
    unsafe_code,
    reason = "fork, exec, capset, waitid on a pidfd and signal handlers have no safe wrapper"
)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use libc::{c_int, c_long, c_ulong, c_void};
use nix::sched::CpuSet;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::fd::CHANNEL_FD;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited by itself with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
}

/// One step between fork and exec, named in [`crate::SpawnError`] when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The network namespace.
    Network,
    /// Own session.
    Session,
    /// The channel at fd 3.
    Channel,
    /// Close-on-exec for every other descriptor.
    CloseRange,
    /// Signal dispositions and mask.
    Signals,
    /// A resource limit.
    Limits,
    /// Real-time scheduling.
    Realtime,
    /// The bounding set.
    BoundingSet,
    /// The secure bits.
    SecureBits,
    /// Groups and user.
    Identity,
    /// The inheritable, permitted and effective sets.
    Capabilities,
    /// The ambient set.
    Ambient,
    /// no_new_privs.
    NoNewPrivileges,
}

/// Everything that the child does to itself, computed before the fork so that nothing is allocated after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildPlan {
    /// User and group to become; `None` keeps both.
    pub identity: Option<(u32, u32)>,
    /// Capability sets after exec, one bit per capability number.
    pub capabilities: u64,
    /// Whether CAP_SETPCAP is there: reduce the bounding set and lock the secure bits.
    pub reduce_bounding: bool,
    /// Most open descriptors.
    pub open_files: u64,
    /// Most bytes of address space.
    pub address_space: u64,
    /// SCHED_RR priority, reset in children.
    pub realtime: Option<u8>,
    /// Microseconds that a real-time process may compute without a pause; for a second longer and it is killed.
    pub realtime_limit: Option<u64>,
    /// Nice value.
    pub nice: Option<i8>,
    /// Processors that it may use. None of them being there changes nothing.
    pub processors: Option<CpuSet>,
    /// It may lock all its memory.
    pub lock_memory: bool,
    /// It computes for long and may wait: ordinary scheduling even where the parent has real-time priority.
    pub background: bool,
}

/// Forks and executes `command` after the steps of `plan`, in the namespace `network` if there is one; `channel`
/// becomes fd 3.
///
/// # Errors
/// The raw error carries the failed step: [`failed_step`] takes it apart.
pub fn fork_and_exec(
    command: &mut Command,
    channel: BorrowedFd<'_>,
    network: Option<OwnedFd>,
    plan: ChildPlan,
) -> io::Result<Child> {
    // std keeps a pipe open until exec to report an error. It must not get number 3, or the channel would replace it.
    let reserved = nix::fcntl::fcntl(channel, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(CHANNEL_FD))?;
    // SAFETY: fcntl has just returned this number as a new descriptor that nobody else owns.
    let _reserved = unsafe { OwnedFd::from_raw_fd(reserved) };
    let raw = channel.as_raw_fd();
    // SAFETY: signal-safety(7): the closure runs in the child between fork and exec, makes only system calls on
    // values computed before the fork, takes no lock and allocates nothing.
    unsafe { command.pre_exec(move || prepare_child(raw, network.as_ref(), &plan)) };
    command.spawn()
}

/// Takes an error of [`fork_and_exec`] apart: the step that failed (`None`: the fork or the exec itself) and the
/// kernel's error.
#[must_use]
pub fn failed_step(error: io::Error) -> (Option<Step>, io::Error) {
    let Some(raw) = error.raw_os_error() else { return (None, error) };
    let index = usize::try_from(raw >> STEP_SHIFT).ok().and_then(|step| step.checked_sub(1));
    match index.and_then(|index| STEPS.get(index)) {
        Some(step) => (Some(*step), io::Error::from_raw_os_error(raw & ((1 << STEP_SHIFT) - 1))),
        None => (None, error),
    }
}

/// errno values end below 4096 (`MAX_ERRNO`), so the bits above carry the step through std's error pipe.
const STEP_SHIFT: c_int = 12;

const STEPS: [Step; 13] = [
    Step::Network,
    Step::Session,
    Step::Channel,
    Step::CloseRange,
    Step::Signals,
    Step::Limits,
    Step::Realtime,
    Step::BoundingSet,
    Step::SecureBits,
    Step::Identity,
    Step::Capabilities,
    Step::Ambient,
    Step::NoNewPrivileges,
];

/// Marks an error with the step in which it happened.
fn during(step: Step, result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| {
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        let number = STEPS.iter().zip(1..).find(|(known, _)| **known == step).map_or(0, |(_, number)| number);
        io::Error::from_raw_os_error((number << STEP_SHIFT) | errno)
    })
}

/// The steps between fork and exec, in the only order that works: the bounding set and the secure bits need
/// CAP_SETPCAP, the ambient set must be raised before its lock and after the change of user.
fn prepare_child(channel: RawFd, network: Option<&OwnedFd>, plan: &ChildPlan) -> io::Result<()> {
    if let Some(network) = network {
        let entered = nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET);
        during(Step::Network, entered.map_err(io::Error::from))?;
    }
    during(Step::Session, nix::unistd::setsid().map(drop).map_err(io::Error::from))?;
    during(Step::Channel, place_channel(channel))?;
    during(Step::CloseRange, close_on_exec_above(CHANNEL_FD))?;
    during(Step::Signals, settle_signals())?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    during(Step::Limits, limit_resources(plan))?;
    if plan.background {
        during(Step::Realtime, step_back())?;
    }
    if let Some(nice) = plan.nice {
        during(Step::Realtime, be_nice(nice))?;
    }
    if let Some(processors) = &plan.processors {
        let _none_of_them_is_there = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), processors);
    }
    if let Some(priority) = plan.realtime {
        during(Step::Realtime, round_robin(priority))?;
    }
    if plan.reduce_bounding {
        during(Step::BoundingSet, keep_in_bounding(plan.capabilities))?;
        during(Step::SecureBits, set_secure_bits(SECURE_BEFORE_SETUID))?;
    } else if plan.identity.is_some() {
        // Without the secure bits a change from uid 0 clears the permitted set unless this flag is on; exec clears it.
        during(Step::SecureBits, prctl(libc::PR_SET_KEEPCAPS, 1, 0))?;
    }
    if let Some((uid, gid)) = plan.identity {
        during(Step::Identity, become_user(uid, gid))?;
    }
    during(Step::Capabilities, all_held().and_then(|held| set_capabilities(held, plan.capabilities)))?;
    during(Step::Ambient, raise_ambient(plan.capabilities))?;
    if plan.reduce_bounding {
        during(Step::SecureBits, set_secure_bits(SECURE_FINAL))?;
    }
    during(Step::Capabilities, set_capabilities(plan.capabilities, plan.capabilities))?;
    during(Step::NoNewPrivileges, prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0))
}

// linux/securebits.h; each bit is followed by its lock.
const NOROOT: c_ulong = 1 | 1 << 1;
const NO_SETUID_FIXUP: c_ulong = 1 << 2 | 1 << 3;
const KEEP_CAPS_LOCKED: c_ulong = 1 << 5;
const NO_CAP_AMBIENT_RAISE: c_ulong = 1 << 6 | 1 << 7;
const SECURE_BEFORE_SETUID: c_ulong = NOROOT | NO_SETUID_FIXUP;
const SECURE_FINAL: c_ulong = SECURE_BEFORE_SETUID | KEEP_CAPS_LOCKED | NO_CAP_AMBIENT_RAISE;

/// Puts the channel at fd 3, open across exec.
fn place_channel(channel: RawFd) -> io::Result<()> {
    if channel == CHANNEL_FD {
        // SAFETY: F_SETFD (fcntl(2)) changes a flag of a descriptor number and touches no memory.
        return check(unsafe { libc::fcntl(CHANNEL_FD, libc::F_SETFD, 0) });
    }
    // SAFETY: dup2(2) in the child replaces number 3, which the parent reserved as a duplicate of the channel or
    // which is a descriptor that exec would close; no Rust value of the child uses it.
    check(unsafe { libc::dup2(channel, CHANNEL_FD) })
}

/// Sets close-on-exec on every descriptor above `last`.
fn close_on_exec_above(last: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(last + 1).map_err(io::Error::other)?;
    let flags = c_int::try_from(libc::CLOSE_RANGE_CLOEXEC).map_err(io::Error::other)?;
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC closes nothing now and touches no memory.
    check(unsafe { libc::close_range(first, libc::c_uint::MAX, flags) })
}

/// Every signal at its default, those included that an ancestor has ignored.
fn default_dispositions() {
    let default = [0_u64; 4];
    for number in 1..=LAST_SIGNAL {
        // SAFETY: rt_sigaction(2) reads a kernel sigaction of 32 bytes and, in it, a mask of 8; all-zero is SIG_DFL.
        // Raw, because libc hides two numbers that a caller may have ignored; KILL and STOP refuse, which is right.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, number, &raw const default, ptr::null::<u64>(), 8_usize)
        };
    }
}

/// Default dispositions, then ignores what an operator or a service manager sends to the whole group; empties the mask.
fn settle_signals() -> io::Result<()> {
    default_dispositions();
    let ignored = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGUSR1, libc::SIGUSR2];
    for number in ignored.into_iter().chain([libc::SIGXCPU]) {
        // SAFETY: signal(2) with SIG_IGN installs no handler.
        if unsafe { libc::signal(number, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

const LAST_SIGNAL: c_int = 64;

fn limit_resources(plan: &ChildPlan) -> io::Result<()> {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
    let wanted = [
        (Resource::RLIMIT_NOFILE, plan.open_files),
        (Resource::RLIMIT_AS, plan.address_space),
        (Resource::RLIMIT_CORE, 0),
    ];
    for (resource, most) in wanted {
        // Raising a hard limit would need a capability: never above the one there is.
        let (_, hard) = getrlimit(resource)?;
        setrlimit(resource, most.min(hard), most.min(hard))?;
    }
    if let Some(limit) = plan.realtime_limit {
        let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
        // The kernel warns by SIGXCPU, which is ignored, and kills at the hard limit.
        setrlimit(Resource::RLIMIT_RTTIME, limit.min(hard), limit.saturating_add(1_000_000).min(hard))?;
    }
    if plan.lock_memory {
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
    }
    Ok(())
}

fn be_nice(nice: i8) -> io::Result<()> {
    // SAFETY: setpriority(2) takes three numbers; 0 is the calling process.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, c_int::from(nice)) })
}

/// SCHED_BATCH, five steps nicer than the caller: both need no privilege. Not SCHED_IDLE: the process would starve on a
/// busy machine.
fn step_back() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: sched_setscheduler(2) reads `parameters`, which outlives the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) })?;
    // SAFETY: nice(2) takes a number. To be nicer is never refused; -1 may be a nice value.
    unsafe { libc::nice(5) };
    Ok(())
}

/// SCHED_RR at `priority`, which a child of the daemon would not inherit.
fn round_robin(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: c_int::from(priority) };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: sched_setscheduler(2) reads `parameters`, which outlives the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) })
}

/// Drops every capability that is not in `kept` from the bounding set, up to the last one the kernel knows.
fn keep_in_bounding(kept: u64) -> io::Result<()> {
    for number in 0..u64::BITS {
        if kept & (1 << number) != 0 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, c_ulong::from(number), 0) {
            // EINVAL (capabilities(7)): the kernel knows no capability with this number, nor any above it.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

fn set_secure_bits(bits: c_ulong) -> io::Result<()> {
    prctl(libc::PR_SET_SECUREBITS, bits, 0)
}

/// No supplementary group, then group, then user: real, effective and saved. Raw system calls, because libc's
/// wrappers take locks and signal other threads.
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: setgroups(2) with length 0 reads nothing through the pointer.
    check_long(unsafe { libc::syscall(libc::SYS_setgroups, 0_usize, ptr::null::<u32>()) })?;
    // SAFETY: setresgid(2) takes three numbers.
    check_long(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: setresuid(2) takes three numbers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

fn raise_ambient(capabilities: u64) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, ambient_operation(libc::PR_CAP_AMBIENT_CLEAR_ALL)?, 0)?;
    for number in 0..u64::BITS {
        if capabilities & (1 << number) != 0 {
            let raise = ambient_operation(libc::PR_CAP_AMBIENT_RAISE)?;
            prctl(libc::PR_CAP_AMBIENT, raise, c_ulong::from(number))?;
        }
    }
    Ok(())
}

fn ambient_operation(operation: c_int) -> io::Result<c_ulong> {
    c_ulong::try_from(operation).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The permitted set of the calling thread, one bit per capability number.
///
/// # Errors
/// What capget(2) says.
pub fn all_held() -> io::Result<u64> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut words = [CapabilityWord::default(); 2];
    // SAFETY: capget(2) version 3 reads one header and writes two data words; both outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capget, &raw const header, words.as_mut_ptr()) })?;
    let [low, high] = words;
    Ok(u64::from(high.permitted) << 32 | u64::from(low.permitted))
}

/// Sets permitted and effective to `permitted`, and inheritable to `inheritable`.
///
/// # Errors
/// `EPERM` for a capability that is not held.
pub fn set_capabilities(permitted: u64, inheritable: u64) -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let word = |shift: u32| CapabilityWord {
        effective: low_half(permitted >> shift),
        permitted: low_half(permitted >> shift),
        inheritable: low_half(inheritable >> shift),
    };
    let words = [word(0), word(32)];
    // SAFETY: capset(2) version 3 reads one header and two data words; both outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) })
}

fn low_half(bits: u64) -> u32 {
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0)
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Removes every capability outside `kept` from the bounding set of this process (needs CAP_SETPCAP).
///
/// # Errors
/// `EPERM` without CAP_SETPCAP.
pub fn reduce_bounding(kept: u64) -> io::Result<()> {
    keep_in_bounding(kept)
}

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

fn prctl(option: c_int, first: c_ulong, second: c_ulong) -> io::Result<()> {
    let zero: c_ulong = 0;
    // SAFETY: prctl(2): every option used in this file takes integers only; unused arguments are zero as required.
    check(unsafe { libc::prctl(option, first, second, zero, zero) })
}

fn check(result: c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn check_long(result: c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `command` start as if nobody had started this process: every signal at its default and none blocked, no
/// descriptor but the standard ones.
pub fn start_clean(command: &mut Command) {
    let clean = || {
        close_on_exec_above(libc::STDERR_FILENO)?;
        default_dispositions();
        Ok(SigSet::empty().thread_set_mask()?)
    };
    // SAFETY: the closure makes async-signal-safe system calls only, allocates nothing and takes no lock.
    unsafe { command.pre_exec(clean) };
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

/// Exit status of a process that made an unlisted system call in strict mode.
pub const UNKNOWN_CALL_STATUS: i32 = 159;

static UNKNOWN_COUNT: AtomicU64 = AtomicU64::new(0);
static UNKNOWN_LAST: AtomicU32 = AtomicU32::new(0);
static STRICT: AtomicBool = AtomicBool::new(false);

/// How many system calls the filter has refused so far, and the number of the last one (0 of 0 when none).
#[must_use]
pub fn unknown_calls() -> (u64, u32) {
    (UNKNOWN_COUNT.load(Ordering::Relaxed), UNKNOWN_LAST.load(Ordering::Relaxed))
}

/// Installs the handler that turns a trapped system call into ENOSYS and counts it; with `strict` it writes one line
/// to fd 2 and exits with [`UNKNOWN_CALL_STATUS`].
///
/// # Errors
/// What sigaction(2) says; none is known.
pub fn install_trap_handler(strict: bool) -> io::Result<()> {
    STRICT.store(strict, Ordering::SeqCst);
    let handler = SigHandler::SigAction(on_trapped_call);
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO | SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: sigaction(2) and signal-safety(7): the handler has the signature that SA_SIGINFO asks for and uses
    // atomics, write(2) and _exit(2) only.
    unsafe { sigaction(Signal::SIGSYS, &action) }?;
    Ok(SigSet::from(Signal::SIGSYS).thread_unblock()?)
}

/// `siginfo_t` as the kernel fills it for SIGSYS (asm-generic/siginfo.h, 64-bit layout).
#[repr(C)]
struct TrapInfo {
    signal: c_int,
    errno: c_int,
    code: c_int,
    padding: c_int,
    address: *mut c_void,
    call: c_int,
    architecture: u32,
}

/// `si_code` of a SIGSYS that seccomp raised.
const SYS_SECCOMP: c_int = 1;

extern "C" fn on_trapped_call(_signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: sigaction(2): with SA_SIGINFO the kernel passes a valid siginfo_t of 128 bytes aligned to 8, of which
    // TrapInfo describes the first 32.
    let trap = unsafe { ptr::read(info.cast::<TrapInfo>()) };
    if trap.code != SYS_SECCOMP {
        return;
    }
    let number = u32::try_from(trap.call).unwrap_or(u32::MAX);
    UNKNOWN_COUNT.fetch_add(1, Ordering::Relaxed);
    UNKNOWN_LAST.store(number, Ordering::Relaxed);
    if STRICT.load(Ordering::Relaxed) {
        write_unknown(number);
        exit_now(UNKNOWN_CALL_STATUS);
    }
    refuse_call(context.cast());
}

/// Writes the return value -ENOSYS into the register that the interrupted call returns.
#[cfg(target_arch = "x86_64")]
fn refuse_call(context: *mut libc::ucontext_t) {
    // SAFETY: sigaction(2): the third argument of an SA_SIGINFO handler is a valid ucontext_t for this thread, which
    // nothing else refers to while the handler runs.
    let context = unsafe { &mut *context };
    // x86-64 system call convention: the result is in RAX, whose index is 13 in gregs.
    if let Some(register) = context.uc_mcontext.gregs.get_mut(13) {
        *register = -i64::from(libc::ENOSYS);
    }
}

/// Writes the return value -ENOSYS into the register that the interrupted call returns.
#[cfg(target_arch = "aarch64")]
fn refuse_call(context: *mut libc::ucontext_t) {
    // SAFETY: sigaction(2): the third argument of an SA_SIGINFO handler is a valid ucontext_t for this thread, which
    // nothing else refers to while the handler runs.
    let context = unsafe { &mut *context };
    // AArch64 system call convention: the result is in X0.
    if let Some(register) = context.uc_mcontext.regs.first_mut() {
        *register = u64::MAX - u64::from(libc::ENOSYS.unsigned_abs()) + 1;
    }
}

/// One line to fd 2, formatted without allocation.
fn write_unknown(number: u32) {
    let mut digits = [b'0'; 10];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(9);
    for part in
        [b"system call not in the profile, number ".as_slice(), digits.get(start..).unwrap_or(&[]), b"\n"]
    {
        // SAFETY: write(2) reads `part` only, whose length is given; it is async-signal-safe.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
}
