//! How the control sockets describe themselves to clients that know nothing of them: the interface
//! `org.varlink.service`, and the language's own description of ours.

use serde::{Deserialize, Serialize};

/// Result of `GetInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// Version of the suite.
    pub version: String,
    /// Where more is told.
    pub url: String,
    /// Names of the interfaces.
    pub interfaces: Vec<String>,
}

/// Result of `GetInterfaceDescription`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// In Varlink's language.
    pub description: String,
}

/// Name of the interface that every Varlink service has.
pub const SERVICE: &str = "org.varlink.service";

/// The description of an interface; `None` for one that isn't spoken here.
#[must_use]
pub fn description(interface: &str) -> Option<&'static str> {
    match interface {
        super::INTERFACE => Some(include_str!("org.keepalived.Control.varlink")),
        SERVICE => Some(include_str!("org.varlink.service.varlink")),
        _ => None,
    }
}
