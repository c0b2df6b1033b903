//! The driver, on a thread or as the confined program, with this program as its parent and as the real servers on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "test code: a failure is a panic, and one variant at a time is of interest"
)]

mod confined;
mod conversation;
mod datagrams;
mod mail;
mod servers;
mod streams;
mod support;
