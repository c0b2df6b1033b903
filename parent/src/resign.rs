//! Priority 0 in the name of a suite that was killed at once: peers take over after their skew, not after their patience.
//!
//! Driver, used by `--withdraw-leftovers` only. The slots died with the suite: an instance of which an address is still
//! here was Master. Should another Master be there by now, it answers priority 0 with an advert, and nobody moves.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use config::model::parts::{Held, ParentInstance};
use config::model::units::{AdvertInterval, Generation, InstanceId, MonoTime, Priority};
use ipc::channel::{Channel, ReceiveError};
use ipc::messages::ctl::Daemon;
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpState, VrrpdToParent};
use ipc::messages::{FromDaemon, ToDaemon};
use ipc::slots::{Slot, Slots};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::profile::VRRPD;
use sandbox::spawn::{SpawnSpec, Spawned, spawn};
use sandbox::system::process::{pidfd_send_signal, wait_pidfd};
use sandbox::user::Ids;

use crate::worker::Parts;

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
) -> Result<Vec<String>, String> {
    let words = |error: io::Error| error.to_string();
    let Some(slots) = slots(&parts.parent.instances, here, now()).map_err(words)? else {
        return Ok(Vec::new());
    };
    let (ours, theirs) = UnixStream::pair().map_err(words)?;
    let mut channel: Channel<ParentToVrrpd, VrrpdToParent> = Channel::new(ours, true).map_err(words)?;
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
    let process = spawn(&spec).map_err(|error| error.to_string())?;
    drop(spec);
    let memory = ParentToVrrpd::Memory { generation: GENERATION, inherited: true, sockets: Vec::new() };
    let prepare = ParentToVrrpd::Common(ToDaemon::Prepare { generation: GENERATION });
    let commit = ParentToVrrpd::Common(ToDaemon::Commit(GENERATION));
    let sent = channel
        .send(&memory, &[slots.as_fd()])
        .and_then(|()| channel.send(&prepare, &[parts.vrrpd.as_fd()]))
        .and_then(|()| channel.send(&commit, &[]));
    let outcome = sent.map_err(|error| error.to_string()).and_then(|()| listen(&mut channel, now));
    end(&process);
    outcome
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
) -> Result<Vec<String>, String> {
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
                    return Err("vrrpd --release gave no answer".to_owned());
                }
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
                let _readable = poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], timeout);
            }
            Err(ReceiveError::Closed) => return Err("vrrpd --release has died".to_owned()),
            Err(error) => return Err(error.to_string()),
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
