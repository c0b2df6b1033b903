//! vrrpd's memory outside itself: a memfd with one fixed slot per instance.
//!
//! The parent makes it and seals its length; vrrpd writes it with `pwrite`, once per batch of adverts; nobody maps
//! it. Slots hold numbers and times only, and every field is validated when it is read: a slot that makes no sense
//! reads as `None`, which means a cold start of that instance.
//!
//! ```text
//! header, 64 bytes, little endian           slot, 64 bytes, little endian
//!  0 magic        u64                        0 state       u8  (0 empty 1 init 2 backup 3 master 4 fault)
//!  8 version      u32                        1 vrid        u8
//! 12 count        u32                        2 priority    u8  (effective)
//! 16 heartbeat    u64 loop turns             3 zero        u8
//! 24 heartbeat_at u64 ns CLOCK_MONOTONIC     4 interval    u16 centiseconds
//! 32 zero                                    6 zero        u16
//!                                            8 last_advert u64 ns CLOCK_MONOTONIC, 0 = none sent
//!                                           16 patience    u64 ns
//!                                           24 became_master u32
//!                                           28 zero
//!                                           32 sequence   u64  of authentication, 0 = none
//!                                           40 zero
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use config::model::units::{AdvertInterval, InstanceId, MonoTime, Priority, Vrid};

use crate::memfd;
use crate::messages::vrrpd::VrrpState;

const MAGIC: u64 = 0x7376_6f6c_5370_726b;
const VERSION: u32 = 1;
const SIZE: usize = 64;
/// Slots that are read together: a page of them.
const AT_ONCE: usize = 64;

/// Most instances that slots are made for.
pub const MAX_INSTANCES: u32 = 65_536;

/// Memory of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// State as last decided.
    pub state: VrrpState,
    /// Must agree with the instance of the generation.
    pub vrid: Vrid,
    /// Effective priority.
    pub priority: Priority,
    /// Interval that adverts were sent at.
    pub interval: AdvertInterval,
    /// When the last advert left; `None` when none did.
    pub last_advert: Option<MonoTime>,
    /// The least that any peer waits.
    pub patience: Duration,
    /// Times it became Master.
    pub became_master: u32,
    /// Last sequence number or time stamp of authenticated adverts; 0 when there is none.
    pub sequence: u64,
}

/// Sign of life of vrrpd's loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Loop turns since start.
    pub turns: u64,
    /// When the last one was written.
    pub at: MonoTime,
}

/// The memfd behind typed reads and writes.
#[derive(Debug)]
pub struct Slots {
    file: File,
    count: u32,
}

impl Slots {
    /// Empty slots for `count` instances, length sealed. The parent does this.
    ///
    /// # Errors
    /// Too many instances, or no memory.
    pub fn create(count: u32) -> io::Result<Self> {
        if count > MAX_INSTANCES {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let file = File::from(memfd::create("vrrp-slots")?);
        file.set_len(offset(InstanceId::new(count)))?;
        let mut header = [0_u8; SIZE];
        put(&mut header, 0, &MAGIC.to_le_bytes());
        put(&mut header, 8, &VERSION.to_le_bytes());
        put(&mut header, 12, &count.to_le_bytes());
        file.write_all_at(&header, 0)?;
        memfd::seal_length(file.as_fd())?;
        Ok(Self { file, count })
    }

    /// Takes over a received memfd.
    ///
    /// # Errors
    /// It is no slots file of this version, or its length can change.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let mut header = [0_u8; SIZE];
        file.read_exact_at(&mut header, 0)?;
        let count = u32::from_le_bytes(get(&header, 12));
        let valid = u64::from_le_bytes(get(&header, 0)) == MAGIC
            && u32::from_le_bytes(get(&header, 8)) == VERSION
            && count <= MAX_INSTANCES
            && file.metadata()?.len() == offset(InstanceId::new(count));
        if valid { Ok(Self { file, count }) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
    }

    /// Number of slots.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// For sending it to vrrpd.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes a slot.
    ///
    /// # Errors
    /// No such slot.
    pub fn write(&self, instance: InstanceId, slot: &Slot) -> io::Result<()> {
        self.check(instance)?;
        self.file.write_all_at(&encode(slot), offset(instance))
    }

    /// Reads a slot; `None` when it is empty or makes no sense.
    ///
    /// # Errors
    /// No such slot.
    pub fn read(&self, instance: InstanceId) -> io::Result<Option<Slot>> {
        self.check(instance)?;
        let mut bytes = [0_u8; SIZE];
        self.file.read_exact_at(&mut bytes, offset(instance))?;
        Ok(decode(&bytes))
    }

    /// Every slot that is not empty and makes sense, many with each read of the file.
    pub fn all(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.count).step_by(AT_ONCE).flat_map(|first| {
            let count =
                usize::try_from(self.count.saturating_sub(first)).map_or(AT_ONCE, |left| left.min(AT_ONCE));
            let mut bytes = vec![0_u8; count.saturating_mul(SIZE)];
            let read = self.file.read_exact_at(&mut bytes, offset(InstanceId::new(first)));
            let slots: Vec<Slot> = bytes.as_chunks::<SIZE>().0.iter().filter_map(decode).collect();
            if read.is_ok() { slots } else { Vec::new() }
        })
    }

    /// Forgets what a slot says.
    ///
    /// # Errors
    /// No such slot.
    pub fn clear(&self, instance: InstanceId) -> io::Result<()> {
        self.check(instance)?;
        self.file.write_all_at(&[0_u8; SIZE], offset(instance))
    }

    /// Writes the sign of life.
    ///
    /// # Errors
    /// Never on a memfd whose length is sealed.
    pub fn beat(&self, heartbeat: Heartbeat) -> io::Result<()> {
        let mut bytes = [0_u8; 16];
        put(&mut bytes, 0, &heartbeat.turns.to_le_bytes());
        put(&mut bytes, 8, &heartbeat.at.nanos().to_le_bytes());
        self.file.write_all_at(&bytes, 16)
    }

    /// Reads the sign of life.
    ///
    /// # Errors
    /// Never on a memfd whose length is sealed.
    pub fn heartbeat(&self) -> io::Result<Heartbeat> {
        let mut bytes = [0_u8; 16];
        self.file.read_exact_at(&mut bytes, 16)?;
        Ok(Heartbeat {
            turns: u64::from_le_bytes(get(&bytes, 0)),
            at: MonoTime::from_nanos(u64::from_le_bytes(get(&bytes, 8))),
        })
    }

    fn check(&self, instance: InstanceId) -> io::Result<()> {
        if instance.value() < self.count { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
    }
}

fn offset(instance: InstanceId) -> u64 {
    u64::from(instance.value()).saturating_add(1).saturating_mul(64)
}

fn encode(slot: &Slot) -> [u8; SIZE] {
    let mut bytes = [0_u8; SIZE];
    let state = match slot.state {
        VrrpState::Init => 1,
        VrrpState::Backup => 2,
        VrrpState::Master => 3,
        VrrpState::Fault => 4,
    };
    put(&mut bytes, 0, &[state, slot.vrid.value(), slot.priority.value()]);
    put(&mut bytes, 4, &slot.interval.centiseconds().to_le_bytes());
    put(&mut bytes, 8, &slot.last_advert.map_or(0, MonoTime::nanos).to_le_bytes());
    let patience = u64::try_from(slot.patience.as_nanos()).unwrap_or(u64::MAX);
    put(&mut bytes, 16, &patience.to_le_bytes());
    put(&mut bytes, 24, &slot.became_master.to_le_bytes());
    put(&mut bytes, 32, &slot.sequence.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SIZE]) -> Option<Slot> {
    let [state, vrid, priority, 0] = get(bytes, 0) else { return None };
    let state = match state {
        1 => VrrpState::Init,
        2 => VrrpState::Backup,
        3 => VrrpState::Master,
        4 => VrrpState::Fault,
        _ => return None,
    };
    let last = u64::from_le_bytes(get(bytes, 8));
    Some(Slot {
        state,
        vrid: Vrid::new(vrid).ok()?,
        priority: Priority::new(priority),
        interval: AdvertInterval::from_centiseconds(u16::from_le_bytes(get(bytes, 4))).ok()?,
        last_advert: (last != 0).then(|| MonoTime::from_nanos(last)),
        patience: Duration::from_nanos(u64::from_le_bytes(get(bytes, 16))),
        became_master: u32::from_le_bytes(get(bytes, 24)),
        sequence: u64::from_le_bytes(get(bytes, 32)),
    })
}

/// Copies `value` to `at`; offsets are this file's own constants.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    let end = at.saturating_add(value.len());
    if let Some(target) = bytes.get_mut(at..end) {
        target.copy_from_slice(value);
    }
}

/// `N` bytes from `at`; offsets are this file's own constants.
fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot {
            state: VrrpState::Master,
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(150),
            interval: AdvertInterval::from_centiseconds(10).unwrap(),
            last_advert: Some(MonoTime::from_nanos(123_456_789)),
            patience: Duration::from_millis(300),
            became_master: 4,
            sequence: 0x0123_4567_89ab_cdef,
        }
    }

    #[test]
    fn a_slot_reads_back_as_written_through_another_descriptor() {
        let slots = Slots::create(3).unwrap();
        slots.write(InstanceId::new(2), &slot()).unwrap();
        let other = Slots::open(slots.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(other.read(InstanceId::new(2)).unwrap(), Some(slot()));
        assert_eq!(other.read(InstanceId::new(0)).unwrap(), None);
        assert!(other.read(InstanceId::new(3)).is_err());
    }

    #[test]
    fn all_slots_come_in_their_order_without_the_empty_ones() {
        let slots = Slots::create(200).unwrap();
        let of = |sequence: u32| Slot { sequence: sequence.into(), ..slot() };
        for position in [0, 63, 64, 130, 199] {
            slots.write(InstanceId::new(position), &of(position)).unwrap();
        }
        let sequences: Vec<u64> = slots.all().map(|slot| slot.sequence).collect();
        assert_eq!(sequences, [0, 63, 64, 130, 199]);
        assert_eq!(Slots::create(0).unwrap().all().count(), 0);
    }

    #[test]
    fn a_slot_with_vrid_0_reads_as_empty() {
        let mut bytes = encode(&slot());
        bytes[1] = 0;
        assert_eq!(decode(&bytes), None);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let fd = memfd::create("other").unwrap();
        assert!(Slots::open(fd).is_err());
    }

    #[test]
    fn the_heartbeat_survives_its_writer() {
        let slots = Slots::create(1).unwrap();
        slots.beat(Heartbeat { turns: 9, at: MonoTime::from_nanos(77) }).unwrap();
        assert_eq!(slots.heartbeat().unwrap(), Heartbeat { turns: 9, at: MonoTime::from_nanos(77) });
    }

    #[test]
    fn the_length_can_not_change() {
        let slots = Slots::create(1).unwrap();
        assert!(slots.file.set_len(1 << 20).is_err());
    }
}
