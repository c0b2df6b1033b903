//! What has happened: the answers to `GetEvents` and `Watch`.

use serde::{Deserialize, Serialize};

/// How far back to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct EventsParameters {
    /// Only the last so many; absent for all that are kept.
    #[serde(default)]
    pub last: Option<u32>,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct WatchParameters {
    /// Number of the last event that is known already; absent to hear of what happens from now on.
    #[serde(default)]
    pub after: Option<u64>,
}

/// Result of `GetEvents`, and each part of what `Watch` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Events {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// So many before these were wanted and are no longer kept.
    pub lost: u64,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 since the start of the suite, without gaps.
    pub number: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// What kind of thing it happened to.
    pub kind: EventKind,
    /// Name of that thing.
    pub name: String,
    /// What it is now, in one word: a state, `UP`, `DOWN`, `started`, `died` ..
    pub what: String,
    /// Why, as far as it is known.
    pub reason: String,
}

/// What something happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A `vrrp_instance`.
    Instance,
    /// A `vrrp_sync_group`.
    Group,
    /// A virtual server.
    Service,
    /// A real server.
    Server,
    /// A daemon.
    Daemon,
    /// The suite as a whole.
    Suite,
}

impl EventKind {
    /// The word in JSON and in lines for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Group => "group",
            Self::Service => "service",
            Self::Server => "server",
            Self::Daemon => "daemon",
            Self::Suite => "suite",
        }
    }
}
