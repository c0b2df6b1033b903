//! Everything that happens to a process between its fork and the first byte it reads from the network.
//!
//! The parent chooses users ([`user`]), starts daemons ([`spawn()`]) and reduces itself ([`reduce_parent`]); a daemon
//! takes fd 3 ([`system::fd::take_channel`]), calls [`start_daemon`] and then [`confine()`]. What each process may do
//! stands on its page in [`profile`]. No code here reads anything from outside but `/etc/passwd` and `/proc`.

pub mod confine;
mod landlock;
mod parent;
pub mod profile;
pub mod seccomp;
pub mod spawn;
pub mod system;
pub mod user;

pub use confine::{
    ConfineError, Confinement, Grants, PANIC_STATUS, Report, UnknownCalls, confine, install_panic_hook,
    name_process, start_daemon,
};
pub use landlock::LandlockError;
pub use parent::{ReduceError, reduce_parent};
pub use spawn::{
    Abilities, Attempt, Missing, Plan, SpawnError, SpawnSpec, Spawned, Tuning, abilities, plan, spawn,
    spawn_tuned,
};
