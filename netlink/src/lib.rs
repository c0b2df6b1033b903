//! Netlink for the two daemons that hold CAP_NET_ADMIN.
//!
//! Does: sockets with extended acknowledgements ([`socket`]), the frames that travel on them ([`frame`]),
//! attributes ([`attribute`]), links and addresses ([`route`]), generic netlink ([`generic`]) and the kernel's
//! load balancer ([`ipvs`]), and tables of nftables that mark packets for it ([`nftables`]). Does not: decide what to write, read a clock, log, keep any table.
//!
//! Input comes from the kernel; it is read as if it were hostile: what can't be decoded is an error or is
//! skipped, and no reply makes this crate panic or allocate without bound.

pub mod attribute;
pub mod frame;
pub mod generic;
pub mod ipvs;
pub mod nftables;
pub mod process_events;
pub mod route;
pub mod socket;
