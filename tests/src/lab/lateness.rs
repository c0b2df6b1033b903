//! How late this machine lets anybody run: what it takes from the laboratory it takes from the programs under test,
//! too, so a bound on their promptness is a bound beyond this.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::clock::now;
use super::{Failure, pause};

/// Threads that do nothing but wake up, until [`Lateness::finish`]: one on each processor, since one may stand still, or
/// be somebody else's, while the others run.
pub struct Lateness {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Duration>>,
}

impl Lateness {
    /// Starts to look.
    #[must_use]
    pub fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = processors().into_iter().map(|processor| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                if let Some(set) = processor {
                    // Where that isn't allowed it wakes up wherever it is.
                    let _moved = sched_setaffinity(Pid::from_raw(0), &set);
                }
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let due = now() + STEP;
                    pause(STEP);
                    longest = longest.max(now().saturating_duration_since(due));
                }
                longest
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// The longest time by which one of them woke up too late.
    pub fn finish(self) -> Result<Duration, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for thread in self.threads {
            let late = thread.join().map_err(|_| Failure::new("a thread that only wakes up ended"))?;
            longest = longest.max(late);
        }
        Ok(longest)
    }
}

/// Runs a scenario in which nobody may be late by `patience`. Where the machine itself was, the programs under test and
/// those that judge them were, too: a failure says nothing then, and the scenario is run again.
pub fn on_a_steady_machine(
    patience: Duration,
    mut scenario: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failures = String::new();
    for _ in 0..RUNS {
        let lateness = Lateness::watch();
        let outcome = scenario();
        let late = lateness.finish()?;
        let Err(failure) = outcome else { return Ok(()) };
        failures.push_str(&format!("{failure}\nthe laboratory was late by {late:?} at most\n"));
        if late < patience {
            break;
        }
    }
    Err(Failure::new(failures))
}

/// Each processor that this process may run on; `None` where they aren't known.
fn processors() -> Vec<Option<CpuSet>> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return vec![None] };
    let present = (0..CpuSet::count()).filter(|number| allowed.is_set(*number).unwrap_or(false));
    let alone = present.map(|number| {
        let mut set = CpuSet::new();
        set.set(number).ok().map(|()| set)
    });
    alone.collect()
}

const STEP: Duration = Duration::from_millis(5);
/// Runs on a machine that is late in each of them.
const RUNS: usize = 4;
