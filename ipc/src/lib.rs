//! Frames, messages and the event loop that every process of the suite shares.
//!
//! Star topology: each daemon has one stream socketpair, to the parent. A frame is a u32 little-endian length and
//! a bincode body of at most 64 KiB; models, tables and handover state travel as sealed memfds.

pub mod channel;
pub mod codec;
pub mod daemon;
pub mod date;
pub mod handshake;
pub mod memfd;
pub mod messages;
pub mod reactor;
pub mod slots;
