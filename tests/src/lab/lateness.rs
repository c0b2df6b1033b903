//! How late this machine lets anybody run: what it takes from the laboratory it takes from the programs under test,
//! too, so a bound on their promptness is a bound beyond this.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::clock::now;
use super::{Failure, pause};

/// A thread that does nothing but wake up, until [`Lateness::finish`].
pub struct Lateness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Lateness {
    /// Starts to look.
    #[must_use]
    pub fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !seen.load(Ordering::Relaxed) {
                let due = now() + STEP;
                pause(STEP);
                longest = longest.max(now().saturating_duration_since(due));
            }
            longest
        });
        Self { stop, thread }
    }

    /// The longest time by which it woke up too late.
    pub fn finish(self) -> Result<Duration, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::new("the thread that only wakes up ended"))
    }
}

const STEP: Duration = Duration::from_millis(5);
