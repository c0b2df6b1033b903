//! The conversation between keepalivectl and the parent: JSON objects in Varlink framing.
//!
//! Each object ends with a NUL byte. A call has `method` and `parameters`, a reply has `parameters`, an error has
//! `error` and `parameters`. Requests are untrusted: they are capped at [`MAX_REQUEST`] bytes and name things only.

pub mod events;
pub mod explained;
pub mod interface;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use config::model::units::{Generation, Weight};

use super::Confined;
use super::ipvsd::{Counters, TableState, Written};
use super::vrrpd::VrrpState;
use events::{EventsParameters, WatchParameters};
use explained::ExplainParameters;

/// Name of the interface, first part of every method.
pub const INTERFACE: &str = "org.keepalived.Control";

/// Most bytes in a request.
pub const MAX_REQUEST: usize = 4096;

/// Most bytes in a reply that the client reads.
pub const MAX_REPLY: usize = 64 * 1024 * 1024;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "parameters")]
pub enum Request {
    /// The state of everything.
    #[serde(rename = "org.keepalived.Control.GetStatus")]
    GetStatus(NoParameters),
    /// Replace one daemon without anybody noticing.
    #[serde(rename = "org.keepalived.Control.Restart")]
    Restart(RestartParameters),
    /// Read the configuration again; the answer comes when it is in use or refused.
    #[serde(rename = "org.keepalived.Control.Reload")]
    Reload(NoParameters),
    /// Stop everything; the answer comes before the parent ends.
    #[serde(rename = "org.keepalived.Control.Stop")]
    Stop(NoParameters),
    /// Give a real server no new connections, or give it some again; lasts until the suite stops.
    #[serde(rename = "org.keepalived.Control.Drain")]
    Drain(DrainParameters),
    /// Have a Master give way for a while, or end that.
    #[serde(rename = "org.keepalived.Control.Failover")]
    Failover(FailoverParameters),
    /// Why something is as it is.
    #[serde(rename = "org.keepalived.Control.Explain")]
    Explain(ExplainParameters),
    /// What has happened lately.
    #[serde(rename = "org.keepalived.Control.GetEvents")]
    GetEvents(EventsParameters),
    /// What happens from now on; answers come until the client goes.
    #[serde(rename = "org.keepalived.Control.Watch")]
    Watch(WatchParameters),
    /// Who answers here.
    #[serde(rename = "org.varlink.service.GetInfo")]
    GetInfo(NoParameters),
    /// An interface in Varlink's language.
    #[serde(rename = "org.varlink.service.GetInterfaceDescription")]
    GetInterfaceDescription(InterfaceParameters),
}

impl Request {
    /// True for a request that changes nothing: it may be asked over the socket for reading, too.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        match self {
            Self::GetStatus(_)
            | Self::Explain(_)
            | Self::GetEvents(_)
            | Self::Watch(_)
            | Self::GetInfo(_)
            | Self::GetInterfaceDescription(_) => true,
            Self::Restart(_) | Self::Reload(_) | Self::Stop(_) | Self::Drain(_) | Self::Failover(_) => false,
        }
    }
}

/// An empty object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NoParameters {}

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartParameters {
    /// Which daemon.
    pub daemon: Daemon,
}

/// Which real server, and what with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainParameters {
    /// Its name as in the status, or its address, or address and port.
    pub server: String,
    /// Name of its virtual server; absent for all that have it.
    #[serde(default)]
    pub service: Option<String>,
    /// No new connections; false gives it some again.
    pub drained: bool,
}

/// Result of `Drain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Virtual server and real server of each place that was changed.
    pub servers: Vec<(String, String)>,
}

/// Which instance, and what with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverParameters {
    /// Name of its block.
    pub instance: String,
    /// How long it gives way, in seconds, at most [`LONGEST_FAILOVER_S`]; absent to end a failover now.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// Longest failover by hand: who wants more than a day changes the configuration.
pub const LONGEST_FAILOVER_S: u32 = 86_400;

/// Result of `Failover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedOver {
    /// Instances that give way, or no longer do: with it, the members of its sync group.
    pub instances: Vec<String>,
}

/// The three daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Daemon {
    /// Elections and addresses.
    Vrrpd,
    /// Health checks.
    Checkd,
    /// The kernel's table.
    Ipvsd,
}

impl Daemon {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 3] = [Self::Vrrpd, Self::Ipvsd, Self::Checkd];

    /// Name of executable and command.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vrrpd => "vrrpd",
            Self::Checkd => "checkd",
            Self::Ipvsd => "ipvsd",
        }
    }
}

/// Which interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceParameters {
    /// Its name.
    pub interface: String,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// Result of the call.
    pub parameters: T,
}

/// What comes back instead when a call fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Name of the error, within [`INTERFACE`] or `org.varlink.service`.
    pub error: String,
    /// Explanation.
    pub parameters: FailureParameters,
}

/// Explanation of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct FailureParameters {
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// Result of `Restart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// Process that ended.
    pub old_pid: Option<i32>,
    /// Process that took over.
    pub new_pid: i32,
    /// Build of the new process.
    pub build: String,
    /// From the order to the end of the old process, in milliseconds.
    pub took_ms: u64,
}

/// Result of `Reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Generation in use now.
    pub generation: Generation,
    /// Warnings as text, empty when there are none.
    pub warnings: String,
}

/// Result of `GetStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the suite.
    pub version: String,
    /// Process id of the parent.
    pub pid: i32,
    /// Seconds since start.
    pub uptime_s: u64,
    /// Generation in use.
    pub generation: Generation,
    /// Configuration file.
    pub config: String,
    /// Outcome of the last reload; absent when there was none.
    pub last_reload: Option<String>,
    /// What is missing from the confinement that was planned.
    pub degraded: Vec<String>,
    /// The daemons that the configuration needs.
    pub daemons: Vec<DaemonStatus>,
    /// VRRP instances.
    pub instances: Vec<InstanceStatus>,
    /// Condition of the kernel's table; absent without virtual servers.
    pub table: Option<TableState>,
    /// What the ipvsd that runs has written; absent until it did.
    pub written: Option<Written>,
    /// Counters of the parent itself.
    pub parent: ParentCounters,
    /// Virtual servers. They stand last: there may be so many that the answer is written in parts.
    pub services: Vec<ServiceStatus>,
}

/// One daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its name.
    pub daemon: Daemon,
    /// Its process, absent while it waits for its restart.
    pub pid: Option<i32>,
    /// `starting`, `running`, `waiting`, `replacing` or `stopped`.
    pub phase: String,
    /// Seconds since the process was started.
    pub uptime_s: u64,
    /// Restarts since the parent's start, ordered ones included.
    pub restarts: u64,
    /// Why, how fast, and what the successor resumed, of the last restart.
    pub last_restart: Option<String>,
    /// Build it greeted with.
    pub build: String,
    /// Numeric user it runs as.
    pub uid: u32,
    /// Its confinement.
    pub confined: Confined,
    /// System calls that its filter refused.
    pub unknown_calls: u64,
    /// Number of the last one.
    pub last_unknown_call: u32,
    /// Log lines that it could not deliver.
    pub dropped_lines: u64,
    /// Messages of it that broke a rule and were dropped.
    pub refused_messages: u64,
}

/// One VRRP instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Name of the block.
    pub name: String,
    /// `virtual_router_id`.
    pub vrid: u8,
    /// State.
    pub state: VrrpState,
    /// Effective priority.
    pub priority: u8,
    /// Reasons when the state is Fault.
    pub reason: String,
    /// Transitions that were notified since start.
    pub transitions: u64,
    /// Adverts sent by the running daemon.
    pub sent: u64,
    /// Adverts accepted.
    pub received: u64,
    /// Adverts refused.
    pub rejected: u64,
    /// The same by reason; reasons that never occurred are left out.
    pub rejected_by: BTreeMap<String, u64>,
    /// Times it became Master.
    pub became_master: u64,
    /// Times it ceased to be Master.
    pub released_master: u64,
    /// Adverts accepted whose address list differs from the own one.
    pub address_mismatches: u64,
    /// Adverts of priority 0 accepted.
    pub zero_received: u64,
    /// Adverts of priority 0 sent.
    pub zero_sent: u64,
    /// When its state changed last: milliseconds since 1970, 0 before the first change.
    pub last_transition_ms: u64,
    /// Seconds until a failover by hand ends by itself; absent when there is none.
    #[serde(default)]
    pub failover_s: Option<u64>,
}

/// One virtual server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name, as in log lines.
    pub name: String,
    /// Quorum; absent until it was told.
    pub up: Option<bool>,
    /// Its real servers.
    pub servers: Vec<ServerStatus>,
    /// What the table should say of the sorry server.
    pub sorry_weight: Option<Weight>,
    /// What the kernel counted for it; absent while nothing was read.
    pub counters: Option<Counters>,
    /// What the kernel counted for the sorry server.
    pub sorry_counters: Option<Counters>,
}

/// One real server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name, as in log lines.
    pub name: String,
    /// Up or down; absent until it was told.
    pub up: Option<bool>,
    /// What the table should say of it: a weight, or absence.
    pub weight: Option<Weight>,
    /// An operator has taken its new connections away.
    #[serde(default)]
    pub drained: bool,
    /// What the kernel counted for it; absent while it isn't in the table or nothing was read.
    pub counters: Option<Counters>,
}

/// Counters of the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ParentCounters {
    /// Turns of its loop.
    pub turns: u64,
    /// Longest turn since start, in microseconds.
    pub longest_turn_us: u64,
    /// Most processor time that one turn has taken since start, in microseconds: what it costs, however busy the machine
    /// is.
    #[serde(default)]
    pub dearest_turn_us: u64,
    /// Log lines that the sink could not take.
    pub dropped_lines: u64,
    /// Scripts running now.
    pub scripts_running: u32,
    /// Scripts run since start.
    pub scripts_run: u64,
    /// Control requests refused.
    pub refused_requests: u64,
}
