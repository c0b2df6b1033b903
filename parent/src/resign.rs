//! Priority 0 in the name of a suite that was killed at once: peers take over after their skew, not after their patience.
//!
//! Driver, used by `--withdraw-leftovers` only. The slots died with the suite: an instance of which an address is still
//! here was Master. Should another Master be there by now, it answers priority 0 with an advert, and nobody moves.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use config::model::parts::{Held, ParentInstance};
use config::model::units::{AdvertInterval, Generation, InstanceId, MonoTime, Priority};
use ipc::channel::{Channel, ReceiveError, SendError};
use ipc::messages::ctl::Daemon;
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpState, VrrpdToParent};
use ipc::messages::{FromDaemon, ToDaemon};
use ipc::slots::{Slot, Slots};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::profile::VRRPD;
use sandbox::spawn::{SpawnError, SpawnSpec, Spawned, spawn};
use sandbox::system::process::{pidfd_send_signal, wait_pidfd};
use sandbox::user::Ids;

use crate::worker::Parts;

/// Why nobody, or not everybody, was told.
#[derive(Debug, thiserror::Error)]
pub enum ResignError {
    /// A descriptor or memory is missing.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// vrrpd can't be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It can't be ordered.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It broke the protocol.
    #[error(transparent)]
    Receive(ReceiveError),
    /// It ended without an answer.
    #[error("vrrpd --release has died")]
    Died,
    /// It took too long.
    #[error("vrrpd --release gave no answer")]
    Silent,
}

/// Time that the process has to resign and withdraw.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Time that a killed process has to be gone.
const DEATH: Duration = Duration::from_secs(1);
const GENERATION: Generation = Generation::new(1);

/// Resigns and withdraws for the instances of `parts` that hold one of the addresses `here`, by `vrrpd --release`.
/// Returns what it had to say.
///
/// # Errors
/// It can't be started, or didn't end in time.
pub fn resign(
    daemon_dir: &Path,
    identity: Option<Ids>,
    parts: &Parts,
    here: &Held,
    now: impl Fn() -> MonoTime,
) -> Result<Vec<String>, ResignError> {
    let Some(slots) = slots(&parts.parent.instances, here, now())? else {
        return Ok(Vec::new());
    };
    let (ours, theirs) = UnixStream::pair()?;
    let mut channel: Channel<ParentToVrrpd, VrrpdToParent> = Channel::new(ours, true)?;
    let spec = SpawnSpec {
        executable: &daemon_dir.join(Daemon::Vrrpd.name()),
        argv0: Daemon::Vrrpd.name(),
        arguments: &["--release"],
        profile: &VRRPD,
        identity,
        channel: theirs.into(),
        realtime: None,
        environment: &[],
    };
    let process = spawn(&spec)?;
    drop(spec);
    let ordered = order(&mut channel, GENERATION, slots.as_fd(), parts.vrrpd.as_fd());
    let outcome = ordered.map_err(ResignError::from).and_then(|()| listen(&mut channel, now));
    end(&process);
    outcome
}

/// Tells a `vrrpd --release` what it is to withdraw: the slots say who was Master, the model what belongs to whom.
///
/// # Errors
/// Its channel is full or closed.
pub fn order(
    channel: &mut Channel<ParentToVrrpd, VrrpdToParent>,
    generation: Generation,
    slots: BorrowedFd<'_>,
    model: BorrowedFd<'_>,
) -> Result<(), SendError> {
    let memory = ParentToVrrpd::Memory { generation, inherited: true, sockets: Vec::new() };
    channel.send(&memory, &[slots])?;
    channel.send(&ParentToVrrpd::Common(ToDaemon::Prepare { generation }), &[model])?;
    channel.send(&ParentToVrrpd::Common(ToDaemon::Commit(generation)), &[])
}

/// Slots as the dead suite would have left them; `None` when it was Master of nothing.
fn slots(instances: &[ParentInstance], here: &Held, now: MonoTime) -> io::Result<Option<Slots>> {
    let count = u32::try_from(instances.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let slots = Slots::create(count)?;
    // The release takes the interval of the configuration.
    let interval = AdvertInterval::from_centiseconds(100).map_err(io::Error::other)?;
    let mut any = false;
    for (index, instance) in (0..).zip(instances).filter(|(_, instance)| holds(&instance.held, here)) {
        let slot = Slot {
            state: VrrpState::Master,
            vrid: instance.vrid,
            priority: Priority::RESIGN,
            interval,
            last_advert: Some(now),
            patience: instance.patience,
            became_master: 0,
            sequence: 0,
        };
        slots.write(InstanceId::new(index), &slot)?;
        any = true;
    }
    Ok(any.then_some(slots))
}

fn holds(held: &Held, here: &Held) -> bool {
    held.addresses.iter().any(|address| here.addresses.contains(address))
}

/// Log lines until the process says that it has stopped.
fn listen(
    channel: &mut Channel<ParentToVrrpd, VrrpdToParent>,
    now: impl Fn() -> MonoTime,
) -> Result<Vec<String>, ResignError> {
    let deadline = now() + PATIENCE;
    let mut lines = Vec::new();
    loop {
        match channel.receive() {
            Ok(Some((VrrpdToParent::Common(FromDaemon::Log { text, .. }), _))) => lines.push(text),
            Ok(Some((VrrpdToParent::Common(FromDaemon::Stopped), _))) => return Ok(lines),
            Ok(Some(_)) => {}
            Ok(None) => {
                let left = deadline.since(now());
                if left.is_zero() {
                    return Err(ResignError::Silent);
                }
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
                let _readable = poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], timeout);
            }
            Err(ReceiveError::Closed) => return Err(ResignError::Died),
            Err(error) => return Err(ResignError::Receive(error)),
        }
    }
}

/// It ends by itself once its channel is closed; whatever it still does, it does not outlive this.
fn end(process: &Spawned) {
    let _already_gone = pidfd_send_signal(process.pidfd.as_fd(), 9);
    let timeout = PollTimeout::try_from(DEATH).unwrap_or(PollTimeout::MAX);
    let _dead = poll(&mut [PollFd::new(process.pidfd.as_fd(), PollFlags::POLLIN)], timeout);
    let _reaped = wait_pidfd(process.pidfd.as_fd());
}
