//! Sockets: adverts in, adverts out, announcements out. No decision, no timer.

pub mod announce;
pub mod filter;
pub mod receive;
pub mod send;

/// IP protocol number of VRRP, in the form that socket(2) takes.
const VRRP: i32 = 112;
/// IP protocol number of the authentication header.
const AH: i32 = 51;
