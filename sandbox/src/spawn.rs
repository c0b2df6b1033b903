//! Starts a daemon as a fresh program with its own identity: decides what the child does to itself and lets
//! `system::child` do it.
//!
//! [`abilities`] looks at this process, [`plan`] is pure and says what will be done and what is missing (degraded
//! mode), [`spawn`] does it. Called by the parent only; everything here comes from the parent itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use caps::Capability;
use nix::sched::CpuSet;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use thiserror::Error;

use crate::profile::Profile;
use crate::system::capability::all_held;
use crate::system::child::{self, ChildPlan, Step};
use crate::system::process::{Exec, Started};
use crate::user::Ids;

/// What to start.
#[derive(Debug)]
pub struct SpawnSpec<'a> {
    /// The program.
    pub executable: &'a Path,
    /// Its name in the process list.
    pub argv0: &'a str,
    /// Its further arguments.
    pub arguments: &'a [&'a str],
    /// The page that holds for it.
    pub profile: &'static Profile,
    /// User and group to run as; `None` keeps those of the caller (degraded mode).
    pub identity: Option<Ids>,
    /// The daemon's end of the channel, which becomes its fd 3. Drop the specification after the start, or the end
    /// of the daemon is not seen as end of file.
    pub channel: OwnedFd,
    /// SCHED_RR priority.
    pub realtime: Option<u8>,
    /// The whole environment.
    pub environment: &'a [(&'a str, &'a str)],
}

/// How a process is scheduled and kept in memory, beside its real-time priority.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tuning {
    /// Nice value.
    pub nice: Option<i8>,
    /// Microseconds that it may compute without a pause at real-time priority.
    pub realtime_limit_us: Option<u32>,
    /// It may be given real-time priority later, by [`crate::system::process::be_round_robin`].
    pub may_become_urgent: bool,
    /// Processors that it may use; empty for all.
    pub processors: Vec<u16>,
    /// It may lock its memory; it does so itself, asked by [`LOCK_MEMORY`].
    pub lock_memory: bool,
    /// It gives way to every other process, whatever priority it would inherit.
    pub background: bool,
}

/// Argument by which a daemon is asked to lock its memory.
pub const LOCK_MEMORY: &str = "--lock-memory";

/// Beginning of the argument that gives a daemon another name in the process list.
pub const PROCESS_NAME: &str = "--process-name=";

/// A daemon that has been executed. Nobody but the owner of the pidfd may reap it.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id, for log lines.
    pub pid: i32,
    /// Readable when it has ended; see [`crate::system::process::wait_pidfd`].
    pub pidfd: OwnedFd,
    /// What it works without.
    pub missing: Vec<Missing>,
    /// Whether its program is executed.
    pub attempt: Attempt,
}

/// The execution of a daemon's program, which nobody waits for.
#[derive(Debug)]
pub struct Attempt {
    exec: Exec,
    executable: String,
    name: &'static str,
}

impl Attempt {
    /// Why the program was not executed, told once; `None` when it was, or when that isn't decided yet. It is when the
    /// process has ended.
    #[must_use]
    pub fn failure(&self) -> Option<SpawnError> {
        let executable = self.executable.clone();
        Some(match child::failed_step(self.exec.failure()?.into()) {
            (Some(step), source) => SpawnError::Prepare { name: self.name, step, source },
            (None, source) => SpawnError::Execute { executable, source },
        })
    }
}

/// Why a daemon could not be started. No process is left behind.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The capabilities of the caller cannot be read.
    #[error("cannot read own capabilities")]
    Abilities(#[source] io::Error),
    /// The network namespace can't be handed on.
    #[error("cannot hand on the network namespace")]
    Network(#[source] io::Error),
    /// The fork, or the exec of the program.
    #[error("cannot execute {executable}")]
    Execute {
        /// Path of the program.
        executable: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step between fork and exec.
    #[error("cannot prepare {name} for its start: {step:?}")]
    Prepare {
        /// Name of the profile.
        name: &'static str,
        /// The step.
        step: Step,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What this process is able to do for its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Change user and groups (CAP_SETUID and CAP_SETGID).
    pub change_identity: bool,
    /// Reduce the bounding set and lock the secure bits (CAP_SETPCAP).
    pub drop_bounding: bool,
    /// Grant real-time scheduling and lower nice values (CAP_SYS_NICE).
    pub realtime: bool,
    /// Lift the limit of locked memory (CAP_SYS_RESOURCE), or it is lifted.
    pub lock_memory: bool,
    /// Capabilities that it holds and can pass on, one bit per number.
    pub held: u64,
}

impl Abilities {
    /// What a process that holds these capabilities (one bit per number) is able to do.
    #[must_use]
    pub fn of(held: u64) -> Self {
        let has = |capability: Capability| held & capability.bitmask() != 0;
        Self {
            change_identity: has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID),
            drop_bounding: has(Capability::CAP_SETPCAP),
            realtime: has(Capability::CAP_SYS_NICE),
            lock_memory: has(Capability::CAP_SYS_RESOURCE),
            held,
        }
    }
}

/// Reads what this process is able to do.
///
/// # Errors
/// What capget(2) says; none is known.
pub fn abilities() -> io::Result<Abilities> {
    let (_, most) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let able = Abilities::of(all_held()?);
    Ok(Abilities { lock_memory: able.lock_memory || most == RLIM_INFINITY, ..able })
}

/// A part of the confinement that cannot be had here; listed at start and in the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The daemon runs as the caller's user.
    OwnUser,
    /// The bounding set stays as it is and the secure bits are not locked; no_new_privs still keeps the daemon from
    /// gaining anything by exec.
    BoundingSet,
    /// The daemon works without this capability.
    Capability(Capability),
    /// The daemon runs at ordinary priority.
    Realtime,
    /// The daemon keeps the nice value that it inherits.
    Nice,
    /// The daemon's memory may be swapped out.
    LockedMemory,
}

/// What will be done for one daemon, and what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Steps of the child.
    pub child: ChildPlan,
    /// What the profile asks for and cannot be had.
    pub missing: Vec<Missing>,
}

/// Decides what can be done for a daemon by a process with these abilities.
#[must_use]
pub fn plan(
    profile: &Profile,
    identity: Option<Ids>,
    realtime: Option<u8>,
    tuning: &Tuning,
    abilities: Abilities,
) -> Plan {
    let mut missing = Vec::new();
    let identity = identity.filter(|_| abilities.change_identity);
    if identity.is_none() {
        missing.push(Missing::OwnUser);
    }
    if !abilities.drop_bounding {
        missing.push(Missing::BoundingSet);
    }
    let mut capabilities = 0;
    for capability in profile.capabilities {
        if abilities.held & capability.bitmask() == 0 {
            missing.push(Missing::Capability(*capability));
        } else {
            capabilities |= capability.bitmask();
        }
    }
    let granted = realtime.filter(|_| abilities.realtime);
    if granted != realtime || (tuning.may_become_urgent && !abilities.realtime) {
        missing.push(Missing::Realtime);
    }
    let nice = tuning.nice.filter(|nice| *nice >= 0 || abilities.realtime);
    if nice != tuning.nice {
        missing.push(Missing::Nice);
    }
    let lock_memory = tuning.lock_memory && abilities.lock_memory;
    if lock_memory != tuning.lock_memory {
        missing.push(Missing::LockedMemory);
    }
    let is_urgent = granted.is_some() || (tuning.may_become_urgent && abilities.realtime);
    let child = ChildPlan {
        identity: identity.map(|ids| (ids.uid, ids.gid)),
        capabilities,
        reduce_bounding: abilities.drop_bounding,
        open_files: profile.limits.open_files,
        address_space: profile.limits.memory_mib.saturating_mul(1 << 20),
        realtime: granted,
        realtime_limit: tuning.realtime_limit_us.filter(|_| is_urgent).map(u64::from),
        nice,
        processors: processors(&tuning.processors),
        lock_memory,
        background: tuning.background,
    };
    Plan { child, missing }
}

/// Those of these processors that a set can name, if there are any.
fn processors(wanted: &[u16]) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    let mut any = false;
    for number in wanted {
        any |= set.set(usize::from(*number)).is_ok();
    }
    any.then_some(set)
}

/// Starts a daemon. Doesn't wait until its program is executed: see [`Attempt`].
///
/// # Errors
/// [`SpawnError`] of what comes before the fork.
pub fn spawn(spec: &SpawnSpec<'_>) -> Result<Spawned, SpawnError> {
    spawn_tuned(spec, &Tuning::default(), None)
}

/// The same with its own scheduling, and in another network namespace if there is one, which needs CAP_SYS_ADMIN.
/// Without the right to lock memory the daemon isn't asked to.
///
/// # Errors
/// [`SpawnError`], naming the step.
pub fn spawn_tuned(
    spec: &SpawnSpec<'_>,
    tuning: &Tuning,
    network: Option<BorrowedFd<'_>>,
) -> Result<Spawned, SpawnError> {
    let abilities = abilities().map_err(SpawnError::Abilities)?;
    let plan = plan(spec.profile, spec.identity, spec.realtime, tuning, abilities);
    let mut command = Command::new(spec.executable);
    std::os::unix::process::CommandExt::arg0(&mut command, spec.argv0);
    if plan.child.lock_memory {
        command.arg(LOCK_MEMORY);
    }
    command.args(spec.arguments).env_clear().envs(spec.environment.iter().copied()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let network = network.map(|fd| fd.try_clone_to_owned()).transpose().map_err(SpawnError::Network)?;
    let executable = spec.executable.display().to_string();
    let started = child::fork_and_exec(&mut command, spec.channel.as_fd(), network, plan.child);
    match started {
        Ok(Started { pid, pidfd, exec }) => {
            let attempt = Attempt { exec, executable, name: spec.profile.name };
            Ok(Spawned { pid, pidfd, missing: plan.missing, attempt })
        }
        Err(source) => Err(SpawnError::Execute { executable, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{CHECKD, VRRPD};

    const IDS: Ids = Ids { uid: 64540, gid: 64541 };

    #[test]
    fn with_every_ability_nothing_is_missing() {
        let plan = plan(&VRRPD, Some(IDS), Some(10), &Tuning::default(), Abilities::of(u64::MAX));
        assert_eq!(plan.missing, []);
        assert_eq!(
            plan.child,
            ChildPlan {
                identity: Some((64540, 64541)),
                capabilities: 0x3000,
                reduce_bounding: true,
                open_files: 4096,
                address_space: 268_435_456,
                realtime: Some(10),
                realtime_limit: None,
                nice: None,
                processors: None,
                lock_memory: false,
                background: false,
            }
        );
    }

    #[test]
    fn what_needs_a_capability_that_is_not_held_is_left_out_and_told() {
        let tuning = Tuning {
            nice: Some(-5),
            realtime_limit_us: Some(10_000),
            may_become_urgent: false,
            processors: vec![0, 5_000],
            lock_memory: true,
            background: false,
        };
        let all = plan(&VRRPD, Some(IDS), Some(10), &tuning, Abilities::of(u64::MAX));
        assert_eq!(all.missing, []);
        assert_eq!((all.child.nice, all.child.realtime_limit), (Some(-5), Some(10_000)));
        assert!(all.child.lock_memory && all.child.processors.is_some_and(|set| set.is_set(0) == Ok(true)));
        // NET_ADMIN, NET_RAW, SETUID, SETGID, SETPCAP.
        let few = plan(&VRRPD, Some(IDS), Some(10), &tuning, Abilities::of(0x31c0));
        assert_eq!(few.missing, [Missing::Realtime, Missing::Nice, Missing::LockedMemory]);
        assert_eq!((few.child.nice, few.child.realtime_limit, few.child.lock_memory), (None, None, false));
    }

    #[test]
    fn a_container_with_two_capabilities_keeps_the_user_and_the_bounding_set() {
        // NET_ADMIN 12 and NET_RAW 13.
        let plan = plan(&VRRPD, Some(IDS), Some(10), &Tuning::default(), Abilities::of(1 << 12 | 1 << 13));
        assert_eq!(plan.missing, [Missing::OwnUser, Missing::BoundingSet, Missing::Realtime]);
        assert_eq!((plan.child.identity, plan.child.capabilities), (None, 0x3000));
        assert_eq!((plan.child.reduce_bounding, plan.child.realtime), (false, None));
    }

    #[test]
    fn a_capability_that_is_not_held_is_missing_and_not_asked_for() {
        let plan = plan(&VRRPD, None, None, &Tuning::default(), Abilities::of(1 << 12));
        assert_eq!(plan.child.capabilities, 1 << 12);
        assert!(plan.missing.contains(&Missing::Capability(Capability::CAP_NET_RAW)));
    }

    #[test]
    fn checkd_never_gets_a_capability() {
        assert_eq!(
            plan(&CHECKD, Some(IDS), None, &Tuning::default(), Abilities::of(u64::MAX)).child.capabilities,
            0
        );
    }

    #[test]
    fn the_user_changes_only_with_both_of_setuid_and_setgid() {
        // SETGID 6 and SETUID 7.
        assert!(!Abilities::of(1 << 6).change_identity);
        assert!(!Abilities::of(1 << 7).change_identity);
        assert!(Abilities::of(1 << 6 | 1 << 7).change_identity);
    }
}
