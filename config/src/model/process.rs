//! What the parent alone knows: commands, identities, notification, process settings.
//!
//! Nothing here reaches a daemon, with the exception of identifiers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buffers::Buffer;
use super::defaults::Defaults;
use super::units::ScriptId;

/// A command that may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// What the operator calls it: the block's name or the keyword that configures it.
    pub name: String,
    /// Program and arguments, split and unescaped; the first is an absolute path after resolution.
    pub argv: Vec<String>,
    /// Who runs it.
    pub identity: Identity,
    /// Which daemon may ask for it, and for what.
    pub purpose: Purpose,
    /// Longest run; `None` for notify scripts, which are not waited for.
    pub timeout: Option<Duration>,
}

/// Who runs a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// True for user id 0: every path component is then checked at every run.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// Which daemon may ask for a script, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// `vrrp_script`: vrrpd asks, gets the exit status.
    Tracked,
    /// `notify*` of an instance: the parent runs it itself after a transition.
    InstanceNotify,
    /// `MISC_CHECK`: checkd asks, gets the exit status.
    MiscCheck,
    /// `notify_up`, `notify_down`, `quorum_up`, `quorum_down`: checkd asks, nobody waits.
    ServerNotify,
    /// `*_fifo_script`: runs as long as the suite does.
    FifoReader,
    /// `startup_script`, `shutdown_script`: the parent runs it once and waits.
    Suite,
}

/// Commands that follow the state of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct InstanceNotify {
    /// `notify_master`.
    pub master: Option<ScriptId>,
    /// `notify_backup`.
    pub backup: Option<ScriptId>,
    /// `notify_fault`.
    pub fault: Option<ScriptId>,
    /// `notify_stop`.
    pub stop: Option<ScriptId>,
    /// `notify`: gets four more arguments.
    pub any: Option<ScriptId>,
    /// `notify_deleted`: an instance that a reload removes is told as DELETED, not as FAULT.
    pub tells_deleted: bool,
    /// Script of `notify_deleted`.
    pub deleted: Option<ScriptId>,
    /// `notify_master_rx_lower_pri`: a Master has heard a lower priority.
    pub lower_priority: Option<ScriptId>,
    /// `notify_priority_changes`: the FIFOs are told of every change of the effective priority.
    pub priority_changes: bool,
    /// `smtp_alert`: changes are mailed.
    pub mail: bool,
}

/// Whose table of IPVS it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpvsNamespace {
    /// That of the namespace in which the suite was started.
    Initial,
    /// That of a namespace that ip-netns(8) has named.
    Named(String),
}

/// What `seccomp_unknown` says of a system call that no profile lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum UnknownCall {
    /// Refused with ENOSYS, counted and logged with its number.
    #[default]
    Enosys,
    /// The process ends.
    Exit,
}

/// A named pipe that tells changes of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FifoSettings {
    /// Absolute path.
    pub path: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Program that reads it; gets the path as its last argument.
    pub script: Option<ScriptId>,
}

/// `notify_fifo`, `vrrp_notify_fifo`, `lvs_notify_fifo` and their scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Fifos {
    /// Everything.
    pub all: Option<FifoSettings>,
    /// VRRP instances.
    pub vrrp: Option<FifoSettings>,
    /// Virtual and real servers.
    pub checks: Option<FifoSettings>,
}

/// How one daemon is scheduled and kept in memory (`vrrp_*`, `checker_*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// `*_priority`: nice value, -20..=19.
    pub nice: Option<i8>,
    /// `*_rt_priority`: SCHED_RR priority, 1..=99.
    pub realtime: Option<u8>,
    /// `*_rlimit_rttime`: microseconds that a real-time process may compute without a pause, at least 2.
    pub realtime_limit_us: u32,
    /// `*_cpu_affinity`: processors that it may use, ascending; empty for all.
    pub processors: Vec<u16>,
    /// `*_no_swap`.
    pub lock_memory: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            nice: None,
            realtime: None,
            realtime_limit_us: 10_000,
            processors: Vec::new(),
            lock_memory: false,
        }
    }
}

/// `max_auto_priority`: how urgent a daemon may become that is scheduled too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Ceiling {
    /// 0: it stays as it is, and the log proposes this keyword at start.
    #[default]
    Off,
    /// -1: the same without the proposal.
    OffSilently,
    /// It rises by one step of SCHED_RR at a time, up to this priority, 1..=99.
    UpTo(u8),
}

/// `max_auto_priority` and `min_auto_priority_delay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoPriority {
    /// Where it ends.
    pub ceiling: Ceiling,
    /// Microseconds that a timer must be late, 1..=10 000 000.
    pub least_delay_us: u32,
}

impl AutoPriority {
    /// Highest priority of a daemon that is late; `None` when that changes nothing.
    #[must_use]
    pub fn most(self) -> Option<u8> {
        match self.ceiling {
            Ceiling::UpTo(most) => Some(most),
            Ceiling::Off | Ceiling::OffSilently => None,
        }
    }
}

impl Default for AutoPriority {
    fn default() -> Self {
        Self { ceiling: Ceiling::Off, least_delay_us: 1_000_000 }
    }
}

/// Names in the process list, at most 15 bytes; absent ones are those of the programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ProcessNames {
    /// `process_name`.
    pub parent: Option<String>,
    /// `vrrp_process_name`.
    pub vrrp: Option<String>,
    /// `checker_process_name`.
    pub checker: Option<String>,
    /// `bfd_process_name`: of a process that nothing starts; state files show it.
    pub bfd: Option<String>,
    /// With `process_names`: that of the process that upstream doesn't have.
    pub ipvs: Option<String>,
}

/// Where state files go (`state_dump_file` and its like).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DumpSettings {
    /// `state_dump_file`.
    pub state: Option<String>,
    /// `stats_dump_file`.
    pub statistics: Option<String>,
    /// `json_dump_file`.
    pub json: Option<String>,
    /// `data_use_instance`: network namespace and instance, which the names of the files carry.
    pub tag: Option<String>,
    /// `json_version`.
    pub layout: JsonLayout,
}

/// What the JSON file holds (`json_version`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum JsonLayout {
    /// 1: a list of the instances.
    #[default]
    Instances,
    /// 2: an object with that list and one of the tracked processes.
    InstancesAndProcesses,
}

/// `reload_file`: it exists while a configuration is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReloadFile {
    /// Named like the pid file, with the ending `.reload`.
    BesidePidFile,
    /// This one.
    At(String),
}

/// When a configuration is read again, and who can see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ReloadSettings {
    /// `reload_file`.
    pub file: Option<ReloadFile>,
    /// `reload_time_file`: its content says when.
    pub time_file: Option<String>,
    /// `reload_repeat`: a time of day comes again every day.
    pub repeat: bool,
    /// `reload_check_config`: what is found goes to this file too.
    pub check_log: Option<String>,
}

/// `global_defs` and root keywords that concern the processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// `router_id`, default the host name.
    pub router_id: String,
    /// `enable_script_security`.
    pub script_security: bool,
    /// `child_wait_time`: how long a stop waits for a daemon, default 5 s.
    pub child_wait_time: Duration,
    /// `daemon_uid_range`: first and last user id for daemons without a packaged system user.
    pub daemon_uid_range: Option<(u32, u32)>,
    /// `seccomp_unknown`.
    pub unknown_call: UnknownCall,
    /// `control_group`: group id that may use the control socket.
    pub control_group: Option<u32>,
    /// `status_group`: group id that may ask over the socket for reading.
    pub status_group: Option<u32>,
    /// Named pipes.
    pub fifos: Fifos,
    /// `vrrp_notify_priority_changes`.
    pub notify_priority_changes: bool,
    /// `fifo_write_vrrp_states_on_reload`: states that a reload leaves are told again.
    pub fifo_states_on_reload: bool,
    /// `net_namespace`: all processes run in it.
    pub namespace: Option<String>,
    /// `net_namespace_ipvs`: the kernel's table of IPVS is that of another network namespace.
    pub ipvs_namespace: Option<IpvsNamespace>,
    /// `instance`: one of several suites on this machine.
    pub instance: Option<String>,
    /// `use_pid_dir`: pid files lie in the suite's own directory.
    pub use_pid_dir: bool,
    /// `process_names` and its like.
    pub names: ProcessNames,
    /// Scheduling of vrrpd.
    pub vrrp_tuning: Tuning,
    /// Scheduling of checkd.
    pub checker_tuning: Tuning,
    /// Scheduling of a BFD process, which nothing starts; state files show it.
    pub bfd_tuning: Tuning,
    /// What happens to vrrpd and checkd when they are scheduled too late.
    pub auto_priority: AutoPriority,
    /// `startup_script`, with `startup_script_timeout`.
    pub startup_script: Option<ScriptId>,
    /// `shutdown_script`, with `shutdown_script_timeout`.
    pub shutdown_script: Option<ScriptId>,
    /// `umask`.
    pub umask: Option<u16>,
    /// `use_symlink_paths`: scripts run by the path that is written, not by the one it leads to.
    pub symlink_paths: bool,
    /// `reload_*`.
    pub reload: ReloadSettings,
    /// `*_dump_file`.
    pub dumps: DumpSettings,
    /// `config_save_dir`: each configuration that is read leaves a copy of its text there.
    pub save_dir: Option<String>,
    /// `process_monitor_rcv_bufs`: events of processes.
    pub process_buffer: Buffer,
    /// `disable_local_igmp`: the kernel tells nobody of link-local groups.
    pub disable_local_igmp: bool,
    /// `no_email_faults`: a change to Fault is not mailed.
    pub no_email_faults: bool,
    /// What blocks have taken over where they said nothing.
    pub defaults: Defaults,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            router_id: String::new(),
            script_security: false,
            child_wait_time: Duration::from_secs(5),
            daemon_uid_range: None,
            unknown_call: UnknownCall::Enosys,
            control_group: None,
            status_group: None,
            fifos: Fifos::default(),
            notify_priority_changes: false,
            fifo_states_on_reload: false,
            namespace: None,
            ipvs_namespace: None,
            instance: None,
            use_pid_dir: false,
            names: ProcessNames::default(),
            vrrp_tuning: Tuning::default(),
            checker_tuning: Tuning::default(),
            bfd_tuning: Tuning::default(),
            auto_priority: AutoPriority::default(),
            startup_script: None,
            shutdown_script: None,
            umask: None,
            symlink_paths: false,
            reload: ReloadSettings::default(),
            dumps: DumpSettings::default(),
            save_dir: None,
            process_buffer: Buffer::default(),
            disable_local_igmp: false,
            no_email_faults: false,
            defaults: Defaults::default(),
        }
    }
}
