//! VRRP daemon: VRRPv2 and VRRPv3 over IPv4 and IPv6, confined to CAP_NET_RAW and CAP_NET_ADMIN.
//!
//! `proto` decides and touches nothing; `holdings`, `router`, `scripts`, `processes`, `trackers`, `handover` and `log` are pure too and know
//! configuration and tables; `kernel`, `socket` and `driver` do what is decided.

pub mod driver;
pub mod explain;
pub mod handover;
pub mod holdings;
pub mod kernel;
pub mod log;
pub mod processes;
pub mod proto;
pub mod router;
pub mod scripts;
pub mod socket;
pub mod statics;
pub mod trackers;

#[cfg(test)]
mod fixtures;
