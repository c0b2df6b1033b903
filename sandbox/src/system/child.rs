//! What a child does to itself between fork and exec, in the one order that works.
//!
//! Does: namespace, session, channel, limits, scheduling, capabilities, user, no_new_privs. Does not: decide what a
//! process may do (`profile`, `spawn`). Called by `spawn`. Input comes from this program, not from outside.
#![expect(unsafe_code, reason = "fork, and system calls between it and exec, have no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use libc::{c_int, c_ulong};
use nix::sched::CpuSet;
use nix::sys::signal::SigSet;

use super::capability::{all_held, keep_in_bounding, raise_ambient, set_capabilities, set_secure_bits};
use super::fd::CHANNEL_FD;
use super::process::{Started, be_round_robin, close_on_exec_above, default_dispositions, start};
use super::{check, check_long, prctl};

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
/// becomes fd 3. What fails behind the fork is told by [`Started::exec`]; the raw error carries the failed step, and
/// [`failed_step`] takes it apart.
///
/// # Errors
/// No process or descriptor is left.
pub fn fork_and_exec(
    command: &mut Command,
    channel: BorrowedFd<'_>,
    network: Option<OwnedFd>,
    plan: ChildPlan,
) -> io::Result<Started> {
    // A pipe is open until exec to report an error. It must not get number 3, or the channel would replace it.
    let reserved = nix::fcntl::fcntl(channel, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(CHANNEL_FD))?;
    // SAFETY: fcntl has just returned this number as a new descriptor that nobody else owns.
    let _reserved = unsafe { OwnedFd::from_raw_fd(reserved) };
    let raw = channel.as_raw_fd();
    // SAFETY: signal-safety(7): the closure runs in the child between fork and exec, makes only system calls on
    // values computed before the fork, takes no lock and allocates nothing.
    unsafe { command.pre_exec(move || prepare_child(raw, network.as_ref(), &plan)) };
    start(command)
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
        during(Step::Realtime, be_round_robin(0, priority))?;
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
