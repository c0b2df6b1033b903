//! Health checks of real servers, in a process that holds no privilege at all.
//!
//! [`probe`], [`schedule`], [`verdict`], [`desired`], [`roster`], [`wording`] and [`mail`] decide: they take bytes, results and the time
//! as arguments and return what should happen. [`driver`] does: sockets, the loop, the conversation with the parent.
//! Two directions are hostile: what real servers answer, and nothing else reaches this process from outside.

pub mod desired;
pub mod driver;
pub mod genhash;
pub mod mail;
pub mod probe;
pub mod roster;
pub mod schedule;
pub mod verdict;
pub mod wording;
