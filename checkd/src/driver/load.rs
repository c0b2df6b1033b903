//! A new configuration, built aside in slices while checks go on.
//!
//! Reads the sealed memfd that came with `Prepare`, some records per loop turn. What it holds was written by the config
//! worker and checked by nobody since: an inconsistency is a refusal.

use std::os::fd::OwnedFd;

use config::model::check::VirtualServer;
use config::model::parts::CheckHead;
use config::model::units::Generation;
use ipc::memfd::{MemfdError, RecordReader};

use crate::roster::{Inconsistent, Roster};

/// A configuration that is being read.
#[derive(Debug)]
pub(super) struct Loading {
    reader: RecordReader,
    head: Option<Box<CheckHead>>,
    roster: Roster,
}

/// Where reading stands after a slice.
#[derive(Debug)]
pub(super) enum Slice {
    /// More is left.
    More(Loading),
    /// All is read and consistent.
    Whole(Roster),
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] MemfdError),
    /// It is empty.
    #[error("memfd holds no head")]
    NoHead,
    /// What it says doesn't fit together.
    #[error(transparent)]
    Model(#[from] Inconsistent),
}

/// Most records and, roughly, checkers read per turn.
const RECORDS: usize = 64;
const CHECKS: usize = 512;

impl Loading {
    /// Begins to read.
    pub(super) fn new(generation: Generation, fd: OwnedFd) -> Result<Self, LoadError> {
        Ok(Self { reader: RecordReader::new(fd)?, head: None, roster: Roster::new(generation) })
    }

    /// Number of the configuration.
    pub(super) fn generation(&self) -> Generation {
        self.roster.generation()
    }

    /// Reads some more.
    pub(super) fn read(mut self) -> Result<Slice, LoadError> {
        if self.head.is_none() {
            self.head = Some(Box::new(self.reader.read::<CheckHead>()?.ok_or(LoadError::NoHead)?));
        }
        let enough = self.roster.checks().saturating_add(CHECKS);
        for _ in 0..RECORDS {
            match self.reader.read::<VirtualServer>()? {
                Some(model) => self.roster.add(model)?,
                None => {
                    self.roster.complete(self.head.as_ref().ok_or(LoadError::NoHead)?)?;
                    return Ok(Slice::Whole(self.roster));
                }
            }
            if self.roster.checks() >= enough {
                break;
            }
        }
        Ok(Slice::More(self))
    }
}
