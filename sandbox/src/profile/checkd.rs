//! checkd: reads what real servers answer, so it is the process most likely to be taken over. It holds nothing.

use libc::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, SOL_SOCKET};

use super::rule::{call, is, socket_type, when};
use super::shared::{LOOP, MESSAGES, RUNTIME};
use super::{Calls, Files, Limits, Profile, Rule, Tcp};

/// The page of checkd.
pub const CHECKD: Profile = Profile {
    name: "checkd",
    user: "_ka_check",
    capabilities: &[],
    calls: Calls::Listed(&[RUNTIME, LOOP, MESSAGES, OWN]),
    // One connection per check that is under way.
    limits: Limits { open_files: 16384, memory_mib: 1024 },
    files: Files::None,
    tcp: Tcp::OnlyGranted,
};

const OWN: &[Rule] = &[
    when(
        libc::SYS_socket,
        &[
            &[is(0, AF_INET), socket_type(SOCK_STREAM), is(2, IPPROTO_TCP)],
            &[is(0, AF_INET6), socket_type(SOCK_STREAM), is(2, IPPROTO_TCP)],
        ],
        "TCP checks and mail; multipath TCP (262) would pass by landlock",
    ),
    call(libc::SYS_connect, "checks; landlock says to which ports"),
    call(libc::SYS_bind, "checks with bindto; landlock says to which ports"),
    // No other level: TCP_FASTOPEN_CONNECT passes by landlock, TCP_ULP loads kernel code.
    when(libc::SYS_setsockopt, &[&[is(1, SOL_SOCKET)]], "interface, address in use, end by a reset"),
    call(libc::SYS_getsockopt, "result of a connect"),
    call(libc::SYS_epoll_ctl, "reactor: sockets come and go"),
    call(libc::SYS_sched_yield, "between the slices of a large configuration"),
    when(
        libc::SYS_fcntl,
        &[&[is(1, libc::F_GETFD)], &[is(1, libc::F_GET_SEALS)]],
        "std's own doubts in debug builds; seals of a memfd",
    ),
];
