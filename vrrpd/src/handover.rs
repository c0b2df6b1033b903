//! What a vrrpd leaves for its successor, and what it makes of what it finds.
//!
//! Pure: translates between slots and machines. Slots were validated field by field when they were read; whatever
//! doesn't fit the configuration counts as no memory.

use config::model::units::MonoTime;
use config::model::vrrp::Instance;
use ipc::messages::vrrpd::VrrpState;
use ipc::slots::Slot;

use crate::proto::machine::{Machine, Memory, State};

/// Memory of an instance; `None` means a cold start.
#[must_use]
pub fn memory(slot: &Slot, instance: &Instance) -> Option<Memory> {
    if slot.vrid != instance.vrid {
        return None;
    }
    match (slot.state, slot.last_advert) {
        (VrrpState::Master, Some(last_advert)) => {
            Some(Memory::Master { last_advert, interval: slot.interval })
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
