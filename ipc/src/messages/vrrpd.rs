//! The conversation between the parent and vrrpd.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use config::model::units::{FileId, Generation, InstanceId, Priority, ProcessId, ScriptId};

use super::ctl::explained::Election;
use super::{FromDaemon, RunOutcome, ToDaemon};
use crate::channel::CarriesFds;

/// Parent to vrrpd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentToVrrpd {
    /// What every daemon understands. `Prepare` carries one fd (the model).
    Common(ToDaemon),
    /// Memory outside the process for the generation of the `Prepare` that follows. Two kinds of fd travel
    /// with it: the slots memfd first, then `sockets.len()` sockets from the vault.
    Memory {
        /// Generation whose instances index the slots.
        generation: Generation,
        /// True when the slots hold the state of a predecessor that is gone or quiesced; false at a cold start.
        inherited: bool,
        /// Keys of the vaulted sockets that follow the slots, in order; at most [`MAX_VAULT`].
        sockets: Vec<SocketKey>,
    },
    /// The number that a tracked file holds: once after each `Commit`, then whenever it changes.
    FileValue {
        /// Configuration that `file` belongs to.
        generation: Generation,
        /// Which file.
        file: FileId,
        /// Its number, 0 for a file that is missing or holds none.
        value: i64,
    },
    /// How many processes match: once when it is known after each `Commit`, then whenever it changes.
    ProcessCount {
        /// Configuration that `process` belongs to.
        generation: Generation,
        /// Which processes.
        process: ProcessId,
        /// Their number.
        count: u32,
    },
    /// An operator has an instance give way.
    GiveWay {
        /// Configuration that `instance` belongs to.
        generation: Generation,
        /// Which instance.
        instance: InstanceId,
        /// From now on, still, or no longer.
        order: GiveWay,
    },
    /// Somebody asks why an instance is as it is; the answer is [`VrrpdToParent::Explained`].
    Explain {
        /// Configuration that `instance` belongs to.
        generation: Generation,
        /// Which instance.
        instance: InstanceId,
    },
    /// A tracked script has ended.
    ScriptResult {
        /// Configuration that `script` belongs to.
        generation: Generation,
        /// Which script.
        script: ScriptId,
        /// How it ended.
        outcome: RunOutcome,
    },
}

/// How an instance gives way: with the least priority, so that it serves on when nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GiveWay {
    /// From now on: a Master resigns.
    Begin,
    /// Still, told after each `Commit`: a Master that nobody relieved goes on.
    Continue,
    /// No longer.
    End,
}

/// vrrpd to parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VrrpdToParent {
    /// What every daemon sends.
    Common(FromDaemon),
    /// A receive socket for the vault: one fd, a duplicate of the open socket.
    Vault(SocketKey),
    /// A socket that the vault may drop.
    Unvault(SocketKey),
    /// An instance changed its state.
    Transition {
        /// Configuration that `instance` belongs to.
        generation: Generation,
        /// Which instance.
        instance: InstanceId,
        /// Its new state.
        state: VrrpState,
        /// Its effective priority.
        priority: Priority,
        /// False when a successor only repeats what its predecessor has told: no notification follows.
        notify: bool,
        /// In words what led to the state, reasons of FAULT among them; at most 256 bytes.
        reason: String,
    },
    /// The effective priority changed without a change of state.
    PriorityChanged {
        /// Configuration that `instance` belongs to.
        generation: Generation,
        /// Which instance.
        instance: InstanceId,
        /// Its effective priority.
        priority: Priority,
    },
    /// A Master has heard a lower priority and answers it; at most once per advert interval.
    LowerPriorityHeard {
        /// Configuration that `instance` belongs to.
        generation: Generation,
        /// Which instance.
        instance: InstanceId,
    },
    /// Run a tracked script now.
    RunScript {
        /// Configuration that `script` belongs to.
        generation: Generation,
        /// Which script.
        script: ScriptId,
    },
    /// Counters for status, sent at most once a second after a change.
    Counters(Vec<InstanceCounters>),
    /// Answer to [`ParentToVrrpd::Explain`].
    Explained {
        /// Configuration that `instance` belongs to.
        generation: Generation,
        /// Which instance.
        instance: InstanceId,
        /// What there is to say.
        election: Box<Election>,
    },
}

/// State of an instance as the outside knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VrrpState {
    /// Not decided yet.
    Init,
    /// Waits for the Master to fall silent.
    Backup,
    /// Holds the addresses (RFC 9568 calls it Active).
    Master,
    /// Can't take part.
    Fault,
}

impl VrrpState {
    /// Word of configuration, logs and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }
}

/// What distinguishes one receive socket from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SocketKey {
    /// Interface name, at most 15 bytes; empty for sockets bound to none.
    pub interface: String,
    /// True for IPv6.
    pub inet6: bool,
    /// Group that is joined, as text; empty for unicast.
    pub group: String,
    /// True for adverts in an authentication header, IP protocol 51.
    pub sealed: bool,
}

/// Most sockets that the vault takes.
pub const MAX_VAULT: usize = 128;

/// Reasons for which an advert is refused, as status shows them.
pub const REJECT_REASONS: [&str; 19] = [
    "length",
    "ttl",
    "version",
    "auth_type",
    "auth_failure",
    "interval",
    "type",
    "checksum",
    "vrid",
    "interface",
    "destination",
    "unknown_peer",
    "hmac_missing",
    "hmac_malformed",
    "hmac_stale",
    "hmac_unknown_key",
    "digest",
    "replay",
    "owner_ignores",
];

/// Counters of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounters {
    /// Which instance of the committed generation.
    pub instance: InstanceId,
    /// Adverts sent.
    pub sent: u64,
    /// Adverts accepted.
    pub received: u64,
    /// Adverts refused, by reason in the order of [`REJECT_REASONS`].
    pub rejected: [u64; REJECT_REASONS.len()],
    /// Times it became Master.
    pub became_master: u64,
    /// Adverts accepted whose address list differs from the own one.
    pub address_mismatches: u64,
    /// Adverts of priority 0 accepted.
    pub zero_received: u64,
    /// Adverts of priority 0 sent.
    pub zero_sent: u64,
    /// What it sees of the election.
    pub view: ElectionView,
}

/// What an instance sees of the election, as state files show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ElectionView {
    /// Sender and priority of the last accepted advert.
    pub heard: Option<(IpAddr, Priority)>,
    /// Microseconds between the Master's adverts.
    pub interval_us: u64,
    /// Microseconds that a Master may be silent.
    pub patience_us: u64,
    /// Sender of the own adverts.
    pub source: Option<IpAddr>,
    /// What keeps it from taking part.
    pub faults: FaultKinds,
}

/// Reasons of FAULT by their kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct FaultKinds {
    /// Trackers with weight 0 that are bad.
    pub trackers: u32,
    /// An interface that it needs is missing or down.
    pub interface_down: bool,
    /// There is no address to send adverts from.
    pub no_source: bool,
    /// Anything else, trackers included.
    pub other: bool,
}

impl CarriesFds for ParentToVrrpd {
    fn fds(&self) -> usize {
        match self {
            Self::Common(message) => message.fds(),
            Self::Memory { sockets, .. } => sockets.len().saturating_add(1),
            Self::ScriptResult { .. }
            | Self::FileValue { .. }
            | Self::ProcessCount { .. }
            | Self::GiveWay { .. }
            | Self::Explain { .. } => 0,
        }
    }
}

impl CarriesFds for VrrpdToParent {
    fn fds(&self) -> usize {
        match self {
            Self::Vault(_) => 1,
            Self::Common(_)
            | Self::Unvault(_)
            | Self::Transition { .. }
            | Self::PriorityChanged { .. }
            | Self::LowerPriorityHeard { .. }
            | Self::RunScript { .. }
            | Self::Counters(_)
            | Self::Explained { .. } => 0,
        }
    }
}

impl From<FromDaemon> for VrrpdToParent {
    fn from(message: FromDaemon) -> Self {
        Self::Common(message)
    }
}

impl From<ToDaemon> for ParentToVrrpd {
    fn from(message: ToDaemon) -> Self {
        Self::Common(message)
    }
}
