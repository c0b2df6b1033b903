//! The part of a configuration that decides elections.

use std::net::IpAddr;

use config::model::units::{AdvertInterval, Priority};
use config::model::vrrp::{Instance, Preempt, Version};

/// The part of a configuration that decides elections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `version`.
    pub version: Version,
    /// `priority`.
    pub priority: Priority,
    /// `state MASTER`.
    pub wants_master: bool,
    /// `advert_int`.
    pub interval: AdvertInterval,
    /// `down_timer_adverts`.
    pub down_timer_adverts: u8,
    /// `nopreempt`, `preempt_delay`.
    pub preempt: Preempt,
    /// `lower_prio_no_advert`.
    pub lower_priority_no_advert: bool,
    /// `higher_prio_send_advert`.
    pub higher_priority_send_advert: bool,
    /// `timer_expired_backup`.
    pub timer_expired_backup: Option<Priority>,
    /// Member of a sync group: becomes Master only together with the others, by [`Input::Promote`].
    pub grouped: bool,
    /// Source of our own adverts, once it is known: decides between equal priorities.
    pub address: Option<IpAddr>,
}

impl Settings {
    /// Settings of a configured instance that sends from `address`.
    #[must_use]
    pub fn of(instance: &Instance, address: Option<IpAddr>) -> Self {
        Self {
            version: instance.version,
            priority: instance.priority,
            wants_master: instance.wants_master,
            interval: instance.advert_interval,
            down_timer_adverts: instance.down_timer_adverts,
            preempt: instance.preempt,
            lower_priority_no_advert: instance.lower_priority_no_advert,
            higher_priority_send_advert: instance.higher_priority_send_advert,
            timer_expired_backup: instance.timer_expired_backup,
            grouped: false,
            address,
        }
    }
}

impl Settings {
    /// The same as a member of a sync group; `eager` when all members are owners that are configured as Master.
    #[must_use]
    pub fn in_group(mut self, eager: bool) -> Self {
        self.grouped = true;
        self.wants_master &= eager;
        self
    }
}
