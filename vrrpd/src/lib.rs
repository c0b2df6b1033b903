//! VRRP daemon: VRRPv2 and VRRPv3 over IPv4 and IPv6, confined to CAP_NET_RAW and CAP_NET_ADMIN.
//!
//! `proto` decides and touches nothing; everything else does what it says.

pub mod proto;
