//! Differences between two programs that run beside each other and are timed.

use super::Failure;

/// Compares cases, then those that differed again, up to [`RUNS`] times. What else uses the machine makes one of the
/// programs late now and then, and one of its cases ends in another way; what differs by itself does so each time.
///
/// `compare` says for each case what differs, nothing where nothing does. Returns what differed in every run.
pub(super) fn lasting_differences<C: Copy>(
    cases: impl IntoIterator<Item = C>,
    mut compare: impl FnMut(&[C]) -> Result<Vec<String>, Failure>,
) -> Result<String, Failure> {
    let mut left: Vec<C> = cases.into_iter().collect();
    let mut said = Vec::new();
    for _ in 0..RUNS {
        said = compare(&left)?;
        let differing = left.iter().zip(&said).filter(|(_, said)| !said.is_empty());
        left = differing.map(|(case, _)| *case).collect();
        if left.is_empty() {
            break;
        }
    }
    Ok(said.concat())
}

const RUNS: usize = 3;
