//! The protocol as pure decisions: no socket, clock, log or thread.
//!
//! `advert` and `accept` turn bytes into what was heard, `machine` decides, `timers`, `priority`, `faults` and
//! `announce` hold its arithmetic, `arp`, `ndp` and `advert` turn decisions into bytes again. Time comes in as an
//! argument; decisions come out as [`machine::Action`]s that the driver performs.

pub mod accept;
pub mod advert;
pub mod announce;
pub mod arp;
pub mod auth;
pub mod faults;
pub mod ipv4;
pub mod limit;
pub mod machine;
pub mod ndp;
pub mod pace;
pub mod priority;
pub mod sync_group;
pub mod timers;
