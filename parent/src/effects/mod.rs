//! What the parent does for its daemons: runs scripts, in order and bounded.

pub mod addresses;
pub mod fifo;
pub mod notify;
pub mod script;
