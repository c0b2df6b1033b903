//! How a daemon is started: profile, user, scheduling and name of its process.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use config::model::process::{ProcessSettings, Tuning};
use ipc::messages::ctl::Daemon;
use sandbox::profile::{CHECKD, IPVSD, Profile, VRRPD};
use sandbox::spawn::{PROCESS_NAME, SpawnError, SpawnSpec, Spawned, spawn_tuned};
use sandbox::user::Ids;

use super::Settings;

/// Profile and position among the identities.
pub(super) fn profile(daemon: Daemon) -> (&'static Profile, usize) {
    match daemon {
        Daemon::Vrrpd => (&VRRPD, 0),
        Daemon::Checkd => (&CHECKD, 1),
        Daemon::Ipvsd => (&IPVSD, 2),
    }
}

/// User of a daemon.
pub(super) fn identity(settings: &Settings, daemon: Daemon) -> Option<Ids> {
    settings.identities.as_ref().and_then(|all| all.get(profile(daemon).1)).copied()
}

/// Starts a daemon's executable; the socket is the parent's end.
pub(super) fn launch(
    settings: &Settings,
    process: &ProcessSettings,
    daemon: Daemon,
    arguments: &[&str],
) -> Result<(Spawned, UnixStream), SpawnError> {
    let (name, tuning) = (process_name(process, daemon), tuning(process, daemon));
    let failed = |source| SpawnError::Execute { executable: daemon.name().to_owned(), source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let name = name.map(|name| format!("{PROCESS_NAME}{name}"));
    let arguments: Vec<&str> = arguments.iter().copied().chain(name.as_deref()).collect();
    let spec = SpawnSpec {
        executable: &settings.daemon_dir.join(daemon.name()),
        argv0: daemon.name(),
        arguments: &arguments,
        profile: profile(daemon).0,
        identity: identity(settings, daemon),
        channel: theirs.into(),
        realtime: tuning.and_then(|tuning| tuning.realtime),
        environment: &[],
    };
    let may_become_urgent = tuning.is_some() && process.auto_priority.most().is_some();
    let tuning = tuning.map(sandbox_tuning).unwrap_or_default();
    let tuning = sandbox::Tuning { may_become_urgent, ..tuning };
    let network = settings.ipvs_network.as_ref().filter(|_| daemon == Daemon::Ipvsd).map(AsFd::as_fd);
    Ok((spawn_tuned(&spec, &tuning, network)?, ours))
}

/// True when a daemon of these settings is started in another way: that needs a new process.
pub(super) fn is_started_otherwise(old: &ProcessSettings, new: &ProcessSettings, daemon: Daemon) -> bool {
    tuning(old, daemon) != tuning(new, daemon)
        || process_name(old, daemon) != process_name(new, daemon)
        || old.unknown_call != new.unknown_call
        || tuning(new, daemon).is_some() && watched_delay(old) != watched_delay(new)
}

/// How late timers must be that a daemon tells of, in microseconds.
pub(super) fn watched_delay(process: &ProcessSettings) -> Option<u32> {
    process.auto_priority.most().map(|_| process.auto_priority.least_delay_us)
}

/// Scheduling that the configuration gives a daemon.
pub(super) fn tuning(process: &ProcessSettings, daemon: Daemon) -> Option<&Tuning> {
    match daemon {
        Daemon::Vrrpd => Some(&process.vrrp_tuning),
        Daemon::Checkd => Some(&process.checker_tuning),
        Daemon::Ipvsd => None,
    }
}

fn sandbox_tuning(tuning: &Tuning) -> sandbox::Tuning {
    sandbox::Tuning {
        nice: tuning.nice,
        realtime_limit_us: Some(tuning.realtime_limit_us),
        processors: tuning.processors.clone(),
        lock_memory: tuning.lock_memory,
        background: false,
        ..sandbox::Tuning::default()
    }
}

fn process_name(process: &ProcessSettings, daemon: Daemon) -> Option<&str> {
    match daemon {
        Daemon::Vrrpd => process.names.vrrp.as_deref(),
        Daemon::Checkd => process.names.checker.as_deref(),
        Daemon::Ipvsd => process.names.ipvs.as_deref(),
    }
}
