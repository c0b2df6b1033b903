//! The parent: supervises three confined daemons and acts for them.
//!
//! It speaks no network protocol and parses nothing but the control socket: reading and resolving a configuration
//! happens in the config worker. `boot` leads to `run`; the other modules decide or do one thing each.

pub mod append;
pub mod args;
pub mod boot;
pub mod broker;
pub mod compatibility;
pub mod control;
pub mod dump;
pub mod effects;
pub mod environment;
pub mod events;
pub mod findings;
pub mod hang;
pub mod log_file;
pub mod log_quota;
pub mod log_sink;
pub mod pid_file;
pub mod place;
pub mod plain;
pub mod predecessor;
pub mod reader;
pub mod record;
pub mod reload;
pub mod reload_time;
pub mod resign;
pub mod run;
#[cfg(test)]
mod scratch;
pub mod service;
pub mod supervisor;
pub mod vault;
pub mod worker;
