//! `keepalived.json`, field for field and in the order of keepalived.
//!
//! Pure, like all of [`super`]: from a [`Snapshot`]. Programs read it: a field keeps its name, its type and its unit.

use std::time::Duration;

use config::model::process::{InstanceNotify, JsonLayout};
use config::model::track::{Parameters, ProcessPattern, TrackedProcess};
use config::model::units::ScriptId;
use config::model::vrrp::{Authentication, Instance, Preempt, Version, VirtualAddress};
use ipc::messages::ctl::InstanceStatus;
use ipc::messages::vrrpd::VrrpState;
use serde::Serialize;

use super::instance::{address_line, route_line};
use super::{Seen, Snapshot, number, quoted, refused};

/// The whole file.
#[derive(Serialize)]
#[serde(untagged)]
enum Document {
    /// `json_version 1`.
    Instances(Vec<Entry>),
    /// `json_version 2`.
    Both {
        vrrp: Vec<Entry>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        track_process: Vec<Process>,
    },
}

#[derive(Serialize)]
struct Entry {
    data: Data,
    stats: Stats,
}

/// Lists and texts that keepalived leaves out when there is nothing to say are left out here.
#[derive(Serialize)]
struct Data {
    iname: String,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ifp_ifname: Option<String>,
    master_priority: u8,
    last_transition: f64,
    garp_delay: u64,
    garp_refresh: u64,
    garp_rep: u32,
    garp_refresh_rep: u32,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u32,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    adver_int: Seconds,
    master_adver_int: Seconds,
    accept: u8,
    nopreempt: bool,
    preempt_delay: u64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_deleted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master_rx_lower_pri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vroutes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_ifp: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_script: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_process: Vec<String>,
    auth_type: u8,
    /// Empty: a file for monitoring is no place for passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<&'static str>,
}

#[derive(Serialize)]
struct Stats {
    advert_rcvd: u64,
    advert_sent: u64,
    become_master: u64,
    release_master: u64,
    packet_len_err: u64,
    advert_interval_err: u64,
    ip_ttl_err: u64,
    invalid_type_rcvd: u64,
    addr_list_err: u64,
    invalid_authtype: u64,
    authtype_mismatch: u64,
    auth_failure: u64,
    pri_zero_rcvd: u64,
    pri_zero_sent: u64,
}

#[derive(Serialize)]
struct Process {
    process: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<String>,
    param_match: &'static str,
    min_processes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_processes: Option<u32>,
    current_processes: u32,
    have_quorum: bool,
    weight: i16,
    terminate_delay: Seconds,
    fork_delay: Seconds,
    full_command: bool,
}

/// A number of seconds, written without a fraction where there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Seconds {
    Whole(u64),
    Parts(f64),
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        if duration.subsec_nanos() == 0 {
            Self::Whole(duration.as_secs())
        } else {
            Self::Parts(duration.as_secs_f64())
        }
    }
}

/// The text of the file.
#[must_use]
pub fn json(snapshot: &Snapshot) -> String {
    let instances = snapshot.instances.iter().zip(&snapshot.notify).zip(&snapshot.seen);
    let vrrp = instances.map(|(((instance, status), notify), seen)| Entry {
        data: data(snapshot, instance, status, (notify, seen)),
        stats: stats(status),
    });
    let document = match snapshot.process.dumps.layout {
        JsonLayout::Instances => Document::Instances(vrrp.collect()),
        JsonLayout::InstancesAndProcesses => {
            let tracked = snapshot.processes.iter().zip(&snapshot.head.tracked_processes);
            Document::Both {
                vrrp: vrrp.collect(),
                track_process: tracked
                    .map(|((pattern, count), config)| process(pattern, count.unwrap_or(0), config))
                    .collect(),
            }
        }
    };
    serde_json::to_string(&document).unwrap_or_default()
}

fn data(
    snapshot: &Snapshot,
    instance: &Instance,
    status: &InstanceStatus,
    (notify, seen): (&InstanceNotify, &Seen),
) -> Data {
    let is_backup = status.state == VrrpState::Backup;
    let heard = seen.view.filter(|_| is_backup);
    let master = heard.and_then(|view| view.heard).map_or(0, |(_, priority)| priority.value());
    let lines = |addresses: &[VirtualAddress]| -> Vec<String> {
        let interface = instance.interface.as_deref().unwrap_or_default();
        addresses.iter().map(|address| address_line(address, interface, status.state)).collect()
    };
    let command = |id: Option<ScriptId>| snapshot.commands.get(&id?).map(quoted);
    let announce = &instance.announce;
    let (nopreempt, preempt_delay) = match instance.preempt {
        Preempt::Never => (true, 0),
        Preempt::After(delay) => (false, delay.as_secs()),
    };
    let interval = instance.advert_interval.duration();
    let auth_type = match instance.authentication {
        Authentication::None => 0,
        Authentication::Pass(_) => 1,
        Authentication::Ah(_) => 2,
    };
    let scripts = instance.track_scripts.iter().filter_map(|track| {
        let known = snapshot.head.tracked_scripts.get(usize::try_from(track.tracked).ok()?)?;
        command(Some(known.script))
    });
    let processes = instance
        .track_processes
        .iter()
        .filter_map(|track| Some(snapshot.processes.get(track.process.index())?.0.program.clone()));
    Data {
        iname: instance.name.clone(),
        dont_track_primary: u8::from(instance.dont_track_primary),
        skip_check_adv_addr: u8::from(instance.skip_check_advert_addresses),
        strict_mode: u8::from(instance.strict),
        vmac_ifname: "",
        ifp_ifname: instance.interface.clone(),
        master_priority: master,
        last_transition: Duration::from_millis(status.last_transition_ms).as_secs_f64(),
        garp_delay: announce.delay.as_secs(),
        garp_refresh: announce.refresh.as_secs(),
        garp_rep: announce.repeat,
        garp_refresh_rep: announce.refresh_repeat,
        garp_lower_prio_delay: announce.lower_priority_delay.as_secs(),
        garp_lower_prio_rep: announce.lower_priority_repeat,
        lower_prio_no_advert: u8::from(instance.lower_priority_no_advert),
        higher_prio_send_advert: u8::from(instance.higher_priority_send_advert),
        vrid: instance.vrid.value(),
        base_priority: instance.priority.value(),
        effective_priority: status.priority,
        vipset: status.state == VrrpState::Master,
        promote_secondaries: instance.promote_secondaries,
        adver_int: interval.into(),
        master_adver_int: heard.map_or(interval, |view| Duration::from_micros(view.interval_us)).into(),
        accept: u8::from(instance.accept),
        nopreempt,
        preempt_delay,
        state: number(status.state),
        wantstate: number(wanted(instance, status)),
        version: match instance.version {
            Version::V2 => 2,
            Version::V3 => 3,
        },
        smtp_alert: notify.mail,
        notify_deleted: notify.tells_deleted,
        script_backup: command(notify.backup),
        script_master: command(notify.master),
        script_fault: command(notify.fault),
        script_stop: command(notify.stop),
        script_deleted: command(notify.deleted),
        script: command(notify.any),
        script_master_rx_lower_pri: command(notify.lower_priority),
        vips: lines(&instance.addresses),
        evips: lines(&instance.excluded),
        vroutes: instance.routes.iter().map(route_line).collect(),
        track_ifp: instance.track_interfaces.iter().map(|track| track.interface.clone()).collect(),
        track_script: scripts.collect(),
        track_process: processes.collect(),
        auth_type,
        auth_data: (auth_type != 0).then_some(""),
    }
}

/// The state that an instance strives for: that of the configuration until it first was Master, its own since.
pub(super) fn wanted(instance: &Instance, status: &InstanceStatus) -> VrrpState {
    match status.state {
        VrrpState::Fault => VrrpState::Fault,
        VrrpState::Master => VrrpState::Master,
        VrrpState::Init | VrrpState::Backup if instance.wants_master && status.became_master == 0 => {
            VrrpState::Master
        }
        VrrpState::Init | VrrpState::Backup => VrrpState::Backup,
    }
}

fn stats(status: &InstanceStatus) -> Stats {
    Stats {
        advert_rcvd: status.received,
        advert_sent: status.sent,
        become_master: status.became_master,
        release_master: status.released_master,
        packet_len_err: refused(status, "length"),
        advert_interval_err: refused(status, "interval"),
        ip_ttl_err: refused(status, "ttl"),
        invalid_type_rcvd: refused(status, "type"),
        addr_list_err: status.address_mismatches,
        invalid_authtype: 0,
        authtype_mismatch: refused(status, "auth_type"),
        auth_failure: refused(status, "auth_failure"),
        pri_zero_rcvd: status.zero_received,
        pri_zero_sent: status.zero_sent,
    }
}

fn process(pattern: &ProcessPattern, count: u32, config: &TrackedProcess) -> Process {
    let (param_match, parameters) = match &pattern.parameters {
        Parameters::NameOnly | Parameters::Any => ("none", None),
        Parameters::Exactly(words) => ("exact", Some(words)),
        Parameters::First(words) => ("partial", Some(words)),
        Parameters::Beginning(words) => ("initial", Some(words)),
    };
    Process {
        process: pattern.program.clone(),
        parameters: parameters.map(|words| words.join(" ")),
        param_match,
        min_processes: config.quorum,
        max_processes: config.quorum_max,
        current_processes: count,
        have_quorum: (config.quorum..=config.quorum_max.unwrap_or(u32::MAX)).contains(&count),
        weight: config.weight,
        terminate_delay: config.terminate_delay.into(),
        fork_delay: config.fork_delay.into(),
        full_command: matches!(pattern.parameters, Parameters::Any),
    }
}
