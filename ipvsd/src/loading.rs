//! A new list, read aside in slices while the table is kept.
//!
//! Reads the sealed memfd that came with `Prepare`, some records per turn of the loop. What it holds was written by the
//! config worker and checked by nobody since: an inconsistency is a refusal.

use std::os::fd::OwnedFd;

use config::model::parts::{IpvsHead, IpvsService};
use config::model::units::Generation;
use ipc::memfd::{MemfdError, RecordReader};

use crate::list::{List, ListError};

/// A list that is being read.
#[derive(Debug)]
pub struct Loading {
    reader: RecordReader,
    head: Option<IpvsHead>,
    list: List,
}

/// Where reading stands after a slice.
#[derive(Debug)]
pub enum Slice {
    /// More is left.
    More(Loading),
    /// All is read and consistent.
    Whole(List),
}

/// Why a list can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] MemfdError),
    /// It is empty.
    #[error("memfd holds no head")]
    NoHead,
    /// It holds another number of services than its head says.
    #[error("memfd holds {got} services, its head says {expected}")]
    Count {
        /// What the head says.
        expected: u32,
        /// What came.
        got: usize,
    },
    /// A service can't stand in a table, or its settings can't be set.
    #[error(transparent)]
    Service(#[from] ListError),
}

impl Loading {
    /// Begins to read.
    ///
    /// # Errors
    /// The file can still change or is too long.
    pub fn new(generation: Generation, fd: OwnedFd) -> Result<Self, LoadError> {
        Ok(Self { reader: RecordReader::new(fd)?, head: None, list: List::new(generation) })
    }

    /// Number of the configuration.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.list.generation()
    }

    /// Reads some more.
    ///
    /// # Errors
    /// The list can't be used.
    pub fn read(mut self) -> Result<Slice, LoadError> {
        let head = match self.head.take() {
            Some(head) => head,
            None => {
                let head = self.reader.read::<IpvsHead>()?.ok_or(LoadError::NoHead)?;
                self.list.set(head.settings.clone())?;
                head
            }
        };
        for _ in 0..RECORDS {
            match self.reader.read::<IpvsService>()? {
                Some(service) => self.list.add(service)?,
                None if usize::try_from(head.services) == Ok(self.list.len()) => {
                    return Ok(Slice::Whole(self.list));
                }
                None => return Err(LoadError::Count { expected: head.services, got: self.list.len() }),
            }
        }
        self.head = Some(head);
        Ok(Slice::More(self))
    }
}

/// Records per turn.
const RECORDS: usize = 128;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use ipc::memfd::{self, RecordWriter};

    use super::*;
    use crate::samples::{service, tcp};

    fn load(head: u32, services: u16) -> Result<List, LoadError> {
        let mut writer = RecordWriter::new(memfd::create("test").unwrap());
        writer.write(&IpvsHead { services: head, settings: Default::default() }).unwrap();
        for port in 0..services {
            writer.write(&service(&[tcp(1, port)], 2)).unwrap();
        }
        let fd = writer.finish().unwrap();
        memfd::seal(fd.as_fd()).unwrap();
        let mut loading = Loading::new(Generation::new(1), fd)?;
        loop {
            match loading.read()? {
                Slice::More(more) => loading = more,
                Slice::Whole(list) => return Ok(list),
            }
        }
    }

    #[test]
    fn a_list_of_300_services_is_read_in_slices() {
        assert_eq!(load(300, 300).unwrap().len(), 300);
    }

    #[test]
    fn a_head_that_promises_another_number_refuses_the_list() {
        assert!(matches!(load(3, 2), Err(LoadError::Count { expected: 3, got: 2 })));
        assert!(matches!(load(1, 2), Err(LoadError::Count { expected: 1, got: 2 })));
    }
}
