//! The laboratory's only reader of the clock. Scenarios wait for conditions by deadline, never for a time alone,
//! unless the passing of time is what they test.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Failure;

/// Now, on the clock that never jumps.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the laboratory's one place")]
pub fn now() -> Instant {
    Instant::now()
}

/// Now, as captures stamp their frames: seconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the laboratory's one place")]
pub fn epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Lets time pass: between polls, or where its passing is the test.
#[expect(clippy::disallowed_methods, reason = "the laboratory's one place")]
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// Polls `condition` until it holds; returns how long that took. Fails after `within`, naming `what`.
pub fn wait_until(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<Duration, Failure> {
    wait_for(what, within, || condition().then_some(())).map(|((), took)| took)
}

/// Polls `look` until it finds something; returns that and how long it took.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<(T, Duration), Failure> {
    let start = now();
    loop {
        if let Some(found) = look() {
            return Ok((found, start.elapsed()));
        }
        if start.elapsed() >= within {
            return Err(Failure::new(format!("{what}: not seen within {} ms", within.as_millis())));
        }
        pause(POLL);
    }
}

const POLL: Duration = Duration::from_millis(10);
