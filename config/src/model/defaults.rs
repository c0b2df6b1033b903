//! Defaults of `global_defs` that instances and servers have taken over: state files show them, nothing else asks.

use serde::{Deserialize, Serialize};

use super::vrrp::{Announce, Version};

/// What holds where a block says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// `vrrp_garp_*`, as far as `vrrp_min_garp` leaves them.
    pub announce: Announce,
    /// `vrrp_down_timer_adverts`.
    pub down_timer_adverts: u8,
    /// `vrrp_lower_prio_no_advert`.
    pub lower_priority_no_advert: bool,
    /// `vrrp_higher_prio_send_advert`.
    pub higher_priority_send_advert: bool,
    /// `vrrp_version`.
    pub version: Version,
    /// `vrrp_check_unicast_src`.
    pub check_unicast_source: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub skip_check_advert_addresses: bool,
    /// `vrrp_strict`.
    pub strict: bool,
    /// `v3_checksum_as_v2`.
    pub v3_checksum_as_v2: bool,
    /// `vrrp_owner_ignore_adverts`.
    pub owner_ignores_adverts: bool,
    /// `checker_log_all_failures`.
    pub log_all_failures: bool,
    /// `dynamic_interfaces`.
    pub dynamic_interfaces: bool,
    /// `smtp_alert` where it was given.
    pub mail: Option<bool>,
    /// `smtp_alert_vrrp` where it was given.
    pub mail_vrrp: Option<bool>,
    /// `smtp_alert_checker` where it was given.
    pub mail_checker: Option<bool>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            announce: Announce::default(),
            down_timer_adverts: 3,
            lower_priority_no_advert: false,
            higher_priority_send_advert: true,
            version: Version::V2,
            check_unicast_source: false,
            skip_check_advert_addresses: false,
            strict: false,
            v3_checksum_as_v2: false,
            owner_ignores_adverts: false,
            log_all_failures: false,
            dynamic_interfaces: false,
            mail: None,
            mail_vrrp: None,
            mail_checker: None,
        }
    }
}
