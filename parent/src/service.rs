//! What the service manager is told (sd_notify(3)). Without one, nothing happens.

use sd_notify::NotifyState;

/// The suite runs.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A new configuration is being read.
pub fn reloading() {
    if let Ok(reloading) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, reloading]);
    }
}

/// The suite stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A missing or failing service manager changes nothing for us.
fn tell(states: &[NotifyState<'_>]) {
    let _unheard = sd_notify::notify(states);
}
