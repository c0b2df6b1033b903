//! ipvsd: programs the kernel's load balancer through sockets that it opened before it was confined: generic netlink, and
//! nfnetlink when nftables marks packets for groups.

use libc::SOL_SOCKET;

use super::rule::{call, is, when};
use super::shared::{LOOP, MESSAGES, NETLINK, RUNTIME};
use super::{Calls, Capability, Files, Limits, Profile, Rule, Tcp};

/// The page of ipvsd.
pub const IPVSD: Profile = Profile {
    name: "ipvsd",
    user: "_ka_ipvs",
    capabilities: &[Capability::CAP_NET_ADMIN], // every IPVS command asks for it
    calls: Calls::Listed(&[RUNTIME, LOOP, MESSAGES, NETLINK, OWN]),
    limits: Limits { open_files: 64, memory_mib: 512 },
    files: Files::None,
    tcp: Tcp::OnlyGranted,
};

/// No socket(): those that are needed are open already, and so is the reactor.
const OWN: &[Rule] = &[
    when(
        libc::SYS_setsockopt,
        &[&[is(1, SOL_SOCKET)]],
        "netlink: buffer sizes; no level that configures netfilter or IPVS",
    ),
    when(
        libc::SYS_fcntl,
        &[&[is(1, libc::F_GETFD)], &[is(1, libc::F_GET_SEALS)]],
        "std's own doubts in debug builds; seals of a memfd",
    ),
    call(libc::SYS_sched_yield, "between the slices of a large list"),
];
