//! `keepalived.json`, field for field as keepalived writes it.

use config::model::process::InstanceNotify;
use config::model::vrrp::{Authentication, Instance, Preempt, Version};
use ipc::messages::ctl::InstanceStatus;
use ipc::messages::vrrpd::VrrpState;
use serde_json::{Value, json as object};

use super::text::{address_line, route_line};
use super::{number, refused};

/// One object per instance.
#[must_use]
pub fn json(instances: &[(Instance, InstanceStatus)], notify: &[InstanceNotify]) -> String {
    let all = instances.iter().zip(notify).map(|((instance, status), notify)| {
        object!({ "data": data(instance, status, notify), "stats": stats(status) })
    });
    Value::Array(all.collect()).to_string()
}

fn data(instance: &Instance, status: &InstanceStatus, notify: &InstanceNotify) -> Value {
    let interface = instance.interface.as_deref().unwrap_or_default();
    let lines = |addresses: &[config::model::vrrp::VirtualAddress]| -> Vec<String> {
        addresses.iter().map(|address| address_line(address, interface, status.state)).collect()
    };
    let announce = &instance.announce;
    let (nopreempt, preempt_delay) = match instance.preempt {
        Preempt::Never => (true, 0),
        Preempt::After(delay) => (false, delay.as_secs()),
    };
    let mut data = object!({
        "iname": instance.name,
        "dont_track_primary": u8::from(instance.dont_track_primary),
        "skip_check_adv_addr": u8::from(instance.skip_check_advert_addresses),
        "strict_mode": u8::from(instance.strict),
        "vmac_ifname": "",
        "ifp_ifname": interface,
        "master_priority": 0,
        "last_transition": seconds(status.last_transition_ms),
        "garp_delay": announce.delay.as_secs(),
        "garp_refresh": announce.refresh.as_secs(),
        "garp_rep": announce.repeat,
        "garp_refresh_rep": announce.refresh_repeat,
        "garp_lower_prio_delay": announce.lower_priority_delay.as_secs(),
        "garp_lower_prio_rep": announce.lower_priority_repeat,
        "lower_prio_no_advert": u8::from(instance.lower_priority_no_advert),
        "higher_prio_send_advert": u8::from(instance.higher_priority_send_advert),
        "vrid": instance.vrid.value(),
        "base_priority": instance.priority.value(),
        "effective_priority": status.priority,
        "vipset": status.state == VrrpState::Master,
        "promote_secondaries": false,
        "adver_int": interval(instance),
        "master_adver_int": interval(instance),
        "accept": u8::from(instance.accept),
        "nopreempt": nopreempt,
        "preempt_delay": preempt_delay,
        "state": number(status.state),
        "wantstate": if instance.wants_master { 2 } else { 1 },
        "version": match instance.version { Version::V2 => 2, Version::V3 => 3 },
        "smtp_alert": notify.mail,
        "notify_deleted": notify.tells_deleted,
        "vips": lines(&instance.addresses),
        "evips": lines(&instance.excluded),
    });
    if let Value::Object(fields) = &mut data {
        if !instance.routes.is_empty() {
            let routes: Vec<String> = instance.routes.iter().map(route_line).collect();
            fields.insert("vroutes".to_owned(), object!(routes));
        }
        if instance.version == Version::V2 {
            let kind = match instance.authentication {
                Authentication::None => 0,
                Authentication::Pass(_) => 1,
                Authentication::Ah(_) => 2,
            };
            fields.insert("auth_type".to_owned(), object!(kind));
            if kind != 0 {
                fields.insert("auth_data".to_owned(), object!(""));
            }
        }
    }
    data
}

/// Seconds of an interval, whole where they are.
fn interval(instance: &Instance) -> Value {
    let interval = instance.advert_interval.duration();
    if interval.subsec_nanos() == 0 { object!(interval.as_secs()) } else { object!(interval.as_secs_f64()) }
}

/// Milliseconds since 1970 as seconds with a fraction.
fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn stats(status: &InstanceStatus) -> Value {
    object!({
        "advert_rcvd": status.received,
        "advert_sent": status.sent,
        "become_master": status.became_master,
        "release_master": status.released_master,
        "packet_len_err": refused(status, "length"),
        "advert_interval_err": refused(status, "interval"),
        "ip_ttl_err": refused(status, "ttl"),
        "invalid_type_rcvd": refused(status, "type"),
        "addr_list_err": status.address_mismatches,
        "invalid_authtype": 0,
        "authtype_mismatch": refused(status, "auth_type"),
        "auth_failure": refused(status, "auth_failure"),
        "pri_zero_rcvd": status.zero_received,
        "pri_zero_sent": status.zero_sent,
    })
}
