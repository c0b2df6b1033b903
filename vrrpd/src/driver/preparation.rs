//! A configuration that is being read, in slices, beside the one in use.
//!
//! Reads records and checks what the types can't: names that occur twice, counts that don't add up. The memfd comes
//! from the parent, sealed.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use config::model::parts::VrrpHead;
use config::model::units::Generation;
use config::model::vrrp::Instance;
use ipc::memfd::{MemfdError, RecordReader};

/// Records read in one turn of the loop: about 0.1 ms.
const SLICE: usize = 32;

/// Most instances of a configuration.
const MAX_INSTANCES: u32 = ipc::slots::MAX_INSTANCES;

/// A configuration that is being read.
#[derive(Debug)]
pub(super) struct Preparation {
    generation: Generation,
    reader: Option<RecordReader>,
    head: Option<VrrpHead>,
    instances: Vec<Instance>,
    names: BTreeSet<String>,
}

/// A configuration that was read.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Settings and scripts.
    pub(super) head: VrrpHead,
    /// Instances in the order of the model.
    pub(super) instances: Vec<Instance>,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// The memfd is damaged.
    #[error(transparent)]
    Memfd(#[from] MemfdError),
    /// There is no head.
    #[error("no head record")]
    NoHead,
    /// More than the slots can hold.
    #[error("{0} instances")]
    TooMany(u32),
    /// Two instances have one name.
    #[error("instance {0} occurs twice")]
    Twice(String),
    /// Another number of records than the head says.
    #[error("{expected} instances announced, {got} found")]
    Count {
        /// What the head says.
        expected: u32,
        /// What was found.
        got: usize,
    },
}

impl Preparation {
    /// Starts to read.
    ///
    /// # Errors
    /// The memfd isn't sealed.
    pub(super) fn start(generation: Generation, fd: OwnedFd) -> Result<Self, PrepareError> {
        Ok(Self {
            generation,
            reader: Some(RecordReader::new(fd)?),
            head: None,
            instances: Vec::new(),
            names: BTreeSet::new(),
        })
    }

    /// Its generation.
    #[must_use]
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// True until everything is read.
    #[must_use]
    pub(super) fn is_reading(&self) -> bool {
        self.reader.is_some()
    }

    /// Reads a slice; true when everything is read.
    ///
    /// # Errors
    /// The configuration can't be used.
    pub(super) fn read_slice(&mut self) -> Result<bool, PrepareError> {
        let Some(reader) = &mut self.reader else { return Ok(true) };
        if self.head.is_none() {
            let head: VrrpHead = reader.read()?.ok_or(PrepareError::NoHead)?;
            if head.instances > MAX_INSTANCES {
                return Err(PrepareError::TooMany(head.instances));
            }
            self.head = Some(head);
        }
        let expected = self.head.as_ref().map_or(0, |head| head.instances);
        for _ in 0..SLICE {
            let got = self.instances.len();
            let complete = u32::try_from(got).is_ok_and(|got| got == expected);
            match reader.read::<Instance>()? {
                Some(instance) if !complete => {
                    if !self.names.insert(instance.name.clone()) {
                        return Err(PrepareError::Twice(instance.name));
                    }
                    self.instances.push(instance);
                }
                None if complete => {
                    self.reader = None;
                    return Ok(true);
                }
                Some(_) => return Err(PrepareError::Count { expected, got: got.saturating_add(1) }),
                None => return Err(PrepareError::Count { expected, got }),
            }
        }
        Ok(false)
    }

    /// What was read; `None` when reading isn't finished.
    #[must_use]
    pub(super) fn finish(self) -> Option<Prepared> {
        if self.is_reading() {
            return None;
        }
        Some(Prepared { head: self.head?, instances: self.instances })
    }
}

#[cfg(test)]
#[path = "preparation_tests.rs"]
mod tests;
