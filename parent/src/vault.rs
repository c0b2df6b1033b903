//! vrrpd's memory outside itself: slots, and duplicates of its receive sockets.
//!
//! Driver of two descriptors' worth of state. Sockets come from vrrpd alone and their number is bounded; they are
//! never read here. Slots are read for supervision only.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use config::model::parts::ParentInstance;
use config::model::units::{InstanceId, MonoTime};
use ipc::messages::vrrpd::{MAX_VAULT, SocketKey, VrrpState};
use ipc::slots::{Heartbeat, Slots};

/// The vault.
#[derive(Debug)]
pub struct Vault {
    slots: Slots,
    sockets: Vec<(SocketKey, OwnedFd)>,
}

impl Vault {
    /// Empty, for as many instances as the configuration has.
    ///
    /// # Errors
    /// No memory or descriptors are left.
    pub fn new(instances: usize) -> io::Result<Self> {
        Ok(Self { slots: new_slots(instances)?, sockets: Vec::new() })
    }

    /// Slots for a new configuration: what is known of an instance goes on under its name.
    ///
    /// # Errors
    /// No memory or descriptors are left.
    pub fn slots_for(&self, old: &[ParentInstance], new: &[ParentInstance]) -> io::Result<Slots> {
        let slots = new_slots(new.len())?;
        self.copy_slots(&slots, old, new)?;
        Ok(slots)
    }

    /// Copies what the slots in use say now to those of a new configuration.
    ///
    /// # Errors
    /// A slot is missing, which [`Self::slots_for`] rules out.
    pub fn copy_slots(&self, to: &Slots, old: &[ParentInstance], new: &[ParentInstance]) -> io::Result<()> {
        let known: BTreeMap<&str, u32> =
            old.iter().map(|instance| instance.name.as_str()).zip(0..self.slots.count()).collect();
        for (index, instance) in (0_u32..).zip(new) {
            let Some(&from) = known.get(instance.name.as_str()) else { continue };
            if let Ok(Some(slot)) = self.slots.read(InstanceId::new(from)) {
                to.write(InstanceId::new(index), &slot)?;
            }
        }
        to.beat(self.slots.heartbeat()?)
    }

    /// The new slots are in use.
    pub fn use_slots(&mut self, slots: Slots) {
        self.slots = slots;
    }

    /// For handing them over.
    #[must_use]
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Keeps a duplicate of a receive socket.
    ///
    /// # Errors
    /// The vault is full, or a field of the key is longer than it may be.
    pub fn put(&mut self, key: SocketKey, socket: OwnedFd) -> Result<(), Full> {
        if key.interface.len() > 15 || key.group.len() > 45 {
            return Err(Full);
        }
        self.sockets.retain(|(known, _)| *known != key);
        if self.sockets.len() >= MAX_VAULT {
            return Err(Full);
        }
        self.sockets.push((key, socket));
        Ok(())
    }

    /// Closes a duplicate.
    pub fn drop_socket(&mut self, key: &SocketKey) {
        self.sockets.retain(|(known, _)| known != key);
    }

    /// Closes all duplicates: a cold start follows.
    pub fn empty(&mut self) {
        self.sockets.clear();
    }

    /// Keys of the sockets, in the order of [`Self::fds`].
    #[must_use]
    pub fn keys(&self) -> Vec<SocketKey> {
        self.sockets.iter().map(|(key, _)| key.clone()).collect()
    }

    /// Slots first, then the sockets: what travels with `Memory`.
    #[must_use]
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(self.slots.as_fd()).chain(self.sockets.iter().map(|(_, fd)| fd.as_fd())).collect()
    }

    /// Last sign of life of vrrpd's loop.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        self.slots.heartbeat().ok()
    }

    /// Shortest patience that peers have left with any Master instance at `now`; `None` without a Master.
    #[must_use]
    pub fn patience_left(&self, now: MonoTime) -> Option<Duration> {
        self.masters().map(|(last, patience)| patience.saturating_sub(now.since(last))).min()
    }

    /// Shortest patience of any Master instance; `None` without a Master.
    #[must_use]
    pub fn shortest_patience(&self) -> Option<Duration> {
        self.masters().map(|(_, patience)| patience).min()
    }

    fn masters(&self) -> impl Iterator<Item = (MonoTime, Duration)> + '_ {
        self.slots.all().filter_map(|slot| {
            let last = slot.last_advert?;
            (slot.state == VrrpState::Master).then_some((last, slot.patience))
        })
    }
}

/// The vault takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

fn new_slots(instances: usize) -> io::Result<Slots> {
    Slots::create(u32::try_from(instances).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::process::InstanceNotify;
    use config::model::units::{AdvertInterval, Priority, Vrid};
    use config::model::vrrp::Family;
    use ipc::slots::Slot;

    fn instance(name: &str) -> ParentInstance {
        ParentInstance {
            name: name.to_owned(),
            vrid: Vrid::new(1).unwrap(),
            family: Family::Inet,
            identity: config::model::vrrp::RouterIdentity {
                vrid: Vrid::new(1).unwrap(),
                family: Family::Inet,
                interface: None,
                group: None,
            },
            patience: Duration::from_millis(300),
            held: config::model::parts::Held::default(),
            owner: false,
            notify: InstanceNotify::default(),
        }
    }

    fn master(last_ms: u64) -> Slot {
        Slot {
            state: VrrpState::Master,
            vrid: Vrid::new(1).unwrap(),
            priority: Priority::new(100),
            interval: AdvertInterval::from_centiseconds(10).unwrap(),
            last_advert: Some(MonoTime::from_nanos(last_ms * 1_000_000)),
            patience: Duration::from_millis(300),
            became_master: 1,
            sequence: 0,
        }
    }

    #[test]
    fn patience_runs_from_the_last_advert() {
        let vault = Vault::new(2).unwrap();
        assert_eq!(vault.patience_left(MonoTime::from_nanos(0)), None);
        vault.slots().write(InstanceId::new(1), &master(1_000)).unwrap();
        let now = MonoTime::from_nanos(1_100 * 1_000_000);
        assert_eq!(vault.patience_left(now), Some(Duration::from_millis(200)));
    }

    #[test]
    fn slots_follow_their_instance_by_name_across_a_reload() {
        let vault = Vault::new(2).unwrap();
        vault.slots().write(InstanceId::new(1), &master(5)).unwrap();
        let new = vault.slots_for(&[instance("a"), instance("b")], &[instance("b"), instance("c")]).unwrap();
        assert_eq!(new.read(InstanceId::new(0)).unwrap(), Some(master(5)));
        assert_eq!(new.read(InstanceId::new(1)).unwrap(), None);
    }

    #[test]
    fn what_was_written_after_the_first_copy_is_in_the_second() {
        let vault = Vault::new(1).unwrap();
        vault.slots().write(InstanceId::new(0), &master(5)).unwrap();
        let (old, new) = ([instance("a")], [instance("b"), instance("a")]);
        let slots = vault.slots_for(&old, &new).unwrap();
        vault.slots().write(InstanceId::new(0), &master(905)).unwrap();
        vault.copy_slots(&slots, &old, &new).unwrap();
        assert_eq!(slots.read(InstanceId::new(1)).unwrap(), Some(master(905)));
    }

    #[test]
    fn the_vault_is_bounded() {
        let mut vault = Vault::new(1).unwrap();
        let key = |number: usize| SocketKey {
            interface: format!("eth{number}"),
            inet6: false,
            group: "224.0.0.18".to_owned(),
            sealed: false,
        };
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        for number in 0..MAX_VAULT {
            vault.put(key(number), fd()).unwrap();
        }
        assert_eq!(vault.put(key(MAX_VAULT), fd()), Err(Full));
        assert_eq!(vault.put(key(0), fd()), Ok(()), "the same key replaces");
        assert_eq!(vault.fds().len(), MAX_VAULT + 1);
    }
}
