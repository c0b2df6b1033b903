//! What a vrrpd leaves for its successor, and what it makes of what it finds.
//!
//! Pure: translates between slots and machines. Slots were validated field by field when they were read; whatever
//! doesn't fit the configuration or the clock counts as no memory: who wrote it may have been captured.

use config::model::units::MonoTime;
use config::model::vrrp::Instance;
use ipc::messages::vrrpd::VrrpState;
use ipc::slots::Slot;

use crate::proto::machine::{Machine, Memory, State};

/// Memory of an instance; `None` means a cold start. No slot makes a Master that is silent for longer than the
/// configuration lets its peers wait.
#[must_use]
pub fn memory(slot: &Slot, instance: &Instance, now: MonoTime) -> Option<Memory> {
    if slot.vrid != instance.vrid {
        return None;
    }
    match (slot.state, slot.last_advert) {
        (VrrpState::Master, Some(last_advert)) if last_advert > now => None,
        (VrrpState::Master, Some(last_advert)) => {
            let interval = slot.interval.min(instance.advert_interval);
            Some(Memory::Master { last_advert, interval })
        }
        (VrrpState::Backup, _) => Some(Memory::Backup),
        (VrrpState::Master, None) | (VrrpState::Init | VrrpState::Fault, _) => None,
    }
}

/// Slot that says what a machine is.
#[must_use]
pub fn slot(
    machine: &Machine,
    instance: &Instance,
    last_advert: Option<MonoTime>,
    became_master: u64,
    sequence: u64,
) -> Slot {
    Slot {
        state: state(machine),
        vrid: instance.vrid,
        priority: machine.priority(),
        interval: instance.advert_interval,
        last_advert,
        patience: instance.patience(),
        became_master: u32::try_from(became_master).unwrap_or(u32::MAX),
        sequence,
    }
}

/// State in the words of the conversation.
#[must_use]
pub fn state(machine: &Machine) -> VrrpState {
    match machine.state() {
        State::Init => VrrpState::Init,
        State::Backup(_) => VrrpState::Backup,
        State::Master { .. } => VrrpState::Master,
        State::Fault(_) => VrrpState::Fault,
    }
}

#[cfg(test)]
mod tests {
    use config::model::units::{AdvertInterval, Priority};

    use super::*;
    use crate::fixtures;

    const NOW: MonoTime = MonoTime::from_nanos(10_000_000_000);

    fn master(instance: &Instance, last_advert: MonoTime, centiseconds: u16) -> Slot {
        Slot {
            state: VrrpState::Master,
            vrid: instance.vrid,
            priority: Priority::new(100),
            interval: AdvertInterval::from_centiseconds(centiseconds).unwrap(),
            last_advert: Some(last_advert),
            patience: instance.patience(),
            became_master: 1,
            sequence: 0,
        }
    }

    #[test]
    fn a_last_advert_that_lies_in_the_future_is_no_memory() {
        let instance = fixtures::instance(&["192.0.2.1/24"]);
        let later = NOW + std::time::Duration::from_nanos(1);
        assert!(memory(&master(&instance, NOW, 100), &instance, NOW).is_some());
        assert!(memory(&master(&instance, later, 100), &instance, NOW).is_none());
    }

    #[test]
    fn nobody_is_silent_for_longer_than_the_configured_interval() {
        let instance = fixtures::instance(&["192.0.2.1/24"]);
        let interval = |centiseconds| match memory(&master(&instance, NOW, centiseconds), &instance, NOW) {
            Some(Memory::Master { interval, .. }) => interval.centiseconds(),
            other => panic!("{other:?}"),
        };
        assert_eq!(instance.advert_interval.centiseconds(), 100);
        assert_eq!([interval(4_095), interval(100), interval(10)], [100, 100, 10]);
    }
}
