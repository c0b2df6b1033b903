//! Large things between processes: anonymous files, written once, sealed, then read record by record.
//!
//! A record is a u32 little-endian length and a bincode body. The reader checks seals first, so that nobody can
//! change what it reads, and reads in pieces, so that a daemon can spread the work over its loop turns.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CodecError, MAX_RECORD};

/// Most bytes in one file.
pub const MAX_FILE: u64 = 512 * 1024 * 1024;

/// Why a file can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum MemfdError {
    /// A system call failed.
    #[error("memfd: {0}")]
    Io(#[from] io::Error),
    /// A record doesn't decode or is too long.
    #[error("memfd record: {0}")]
    Codec(#[from] CodecError),
    /// The file may still change.
    #[error("memfd is not sealed")]
    NotSealed,
    /// The file is longer than its cap.
    #[error("memfd of {0} bytes")]
    TooLong(u64),
    /// The file ends inside a record.
    #[error("memfd ends inside a record at byte {0}")]
    Truncated(u64),
}

/// New empty file that can be sealed, close-on-exec.
///
/// # Errors
/// No descriptors or memory are left.
pub fn create(name: &str) -> io::Result<OwnedFd> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?)
}

/// Nobody can change the file from here on, its writer included.
///
/// # Errors
/// Somebody maps it writable, or it is no memfd.
pub fn seal(fd: BorrowedFd<'_>) -> io::Result<()> {
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// The file keeps its length for ever; its content can still be written.
///
/// # Errors
/// It is no memfd.
pub fn seal_length(fd: BorrowedFd<'_>) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// True when neither content nor length can change.
#[must_use]
pub fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    let wanted = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    let found = fcntl(fd, FcntlArg::F_GET_SEALS).unwrap_or(0);
    SealFlag::from_bits_truncate(found).contains(wanted)
}

/// Writes records one after the other.
#[derive(Debug)]
pub struct RecordWriter {
    file: BufWriter<File>,
}

impl RecordWriter {
    /// Starts at the beginning of `fd`.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self { file: BufWriter::with_capacity(64 * 1024, File::from(fd)) }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// The record is too long, or memory is exhausted.
    pub fn write<T: Serialize>(&mut self, record: &T) -> Result<(), MemfdError> {
        let body = codec::encode(record, MAX_RECORD)?;
        let length = u32::try_from(body.len()).map_err(|_| CodecError::Unencodable)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&body)?;
        Ok(())
    }

    /// Writes what is buffered and gives the file back.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn finish(self) -> Result<OwnedFd, MemfdError> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(file.into())
    }
}

/// Reads records one after the other, as many per loop turn as the caller has time for.
#[derive(Debug)]
pub struct RecordReader {
    file: File,
    length: u64,
    offset: u64,
    buffer: Vec<u8>,
    start: usize,
}

const CHUNK: usize = 64 * 1024;

impl RecordReader {
    /// Checks seals and length.
    ///
    /// # Errors
    /// The file can still change, or is longer than [`MAX_FILE`].
    pub fn new(fd: OwnedFd) -> Result<Self, MemfdError> {
        if !is_sealed(fd.as_fd()) {
            return Err(MemfdError::NotSealed);
        }
        let file = File::from(fd);
        let length = file.metadata()?.len();
        if length > MAX_FILE {
            return Err(MemfdError::TooLong(length));
        }
        Ok(Self { file, length, offset: 0, buffer: Vec::new(), start: 0 })
    }

    /// Next record, or `None` at the end.
    ///
    /// # Errors
    /// The file ends inside a record, or a record is no `T`.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, MemfdError> {
        if self.buffered() == 0 && self.offset >= self.length {
            return Ok(None);
        }
        self.fill(4)?;
        let unread = self.buffer.get(self.start..).unwrap_or_default();
        let Some(header) = unread.first_chunk::<4>() else { return Err(MemfdError::Truncated(self.offset)) };
        let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if length > MAX_RECORD {
            return Err(CodecError::TooLong { got: length, limit: MAX_RECORD }.into());
        }
        let whole = length.saturating_add(4);
        self.fill(whole)?;
        let unread = self.buffer.get(self.start..).unwrap_or_default();
        let body = unread.get(4..whole).ok_or(MemfdError::Truncated(self.offset))?;
        let record = codec::decode(body)?;
        self.start = self.start.saturating_add(whole);
        Ok(Some(record))
    }

    fn buffered(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Makes at least `wanted` bytes stand in the buffer.
    fn fill(&mut self, wanted: usize) -> Result<(), MemfdError> {
        if self.buffered() >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let left = self.length.saturating_sub(self.offset);
        let more =
            u64::try_from(wanted.saturating_sub(self.buffer.len()).max(CHUNK)).unwrap_or(u64::MAX).min(left);
        let old = self.buffer.len();
        let grown = old.saturating_add(usize::try_from(more).unwrap_or(0));
        if grown < wanted {
            return Err(MemfdError::Truncated(self.offset));
        }
        self.buffer.resize(grown, 0);
        self.file.read_exact_at(self.buffer.get_mut(old..).unwrap_or_default(), self.offset)?;
        self.offset = self.offset.saturating_add(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(records: &[String]) -> OwnedFd {
        let mut writer = RecordWriter::new(create("test").unwrap());
        for record in records {
            writer.write(record).unwrap();
        }
        let fd = writer.finish().unwrap();
        seal(fd.as_fd()).unwrap();
        fd
    }

    #[test]
    fn records_come_back_in_order_whatever_their_size() {
        let records: Vec<String> =
            [0, 1, 70_000, 3, 200_000].iter().map(|&length| "a".repeat(length)).collect();
        let mut reader = RecordReader::new(sealed(&records)).unwrap();
        for record in &records {
            assert_eq!(reader.read::<String>().unwrap().as_ref(), Some(record));
        }
        assert_eq!(reader.read::<String>().unwrap(), None);
    }

    #[test]
    fn an_unsealed_file_is_refused() {
        assert!(matches!(RecordReader::new(create("test").unwrap()), Err(MemfdError::NotSealed)));
    }

    #[test]
    fn a_sealed_file_refuses_its_writer() {
        let fd = sealed(&["x".to_owned()]);
        assert!(File::from(fd).write_at(b"y", 0).is_err());
    }

    #[test]
    fn a_file_that_ends_inside_a_record_is_refused() {
        let mut file = File::from(create("test").unwrap());
        file.write_all(&[10, 0, 0, 0, 1, 2]).unwrap();
        let fd: OwnedFd = file.into();
        seal(fd.as_fd()).unwrap();
        let mut reader = RecordReader::new(fd).unwrap();
        assert!(matches!(reader.read::<String>(), Err(MemfdError::Truncated(_))));
    }

    #[test]
    fn a_record_length_beyond_the_cap_allocates_nothing() {
        let mut file = File::from(create("test").unwrap());
        file.write_all(&[255, 255, 255, 255, 1, 2]).unwrap();
        let fd: OwnedFd = file.into();
        seal(fd.as_fd()).unwrap();
        let mut reader = RecordReader::new(fd).unwrap();
        assert!(matches!(reader.read::<String>(), Err(MemfdError::Codec(CodecError::TooLong { .. }))));
    }
}
