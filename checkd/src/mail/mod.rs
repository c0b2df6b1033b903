//! Mail about changes: what a letter says, what is said to the server, which letter goes when.
//!
//! Pure: bytes, results and the time go in, bytes and decisions come out. The parent keeps every letter until this
//! process says that it is delivered or given up; sockets are [`crate::driver`]'s. Replies of the server are untrusted.

pub mod delivery;
pub mod message;
pub mod news;
pub mod queue;
