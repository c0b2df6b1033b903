//! vrrpd: holds the addresses. Speaks VRRP, ARP, neighbour discovery and rtnetlink; never TCP, a file or a program.

use libc::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, MSG_FASTOPEN, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};

use super::rule::{below, call, is, is_not, lacks, socket_type, when};
use super::shared::{LOOP, MESSAGES, NETLINK, RUNTIME};
use super::{Calls, Capability, Files, Limits, Profile, Rule, Tcp};

/// The page of vrrpd.
pub const VRRPD: Profile = Profile {
    name: "vrrpd",
    user: "_ka_vrrp",
    capabilities: &[
        Capability::CAP_NET_ADMIN, // addresses, routes, rules, links by rtnetlink
        Capability::CAP_NET_RAW,   // VRRP, ARP and neighbour advertisement sockets
    ],
    calls: Calls::Listed(&[RUNTIME, LOOP, MESSAGES, NETLINK, OWN]),
    // One socket pair per interface and family, plus their spares.
    limits: Limits { open_files: 4096, memory_mib: 256 },
    files: Files::None,
    tcp: Tcp::OnlyGranted,
};

const OWN: &[Rule] = &[
    when(
        libc::SYS_socket,
        &[
            &[is(0, AF_INET), socket_type(SOCK_RAW), is(2, PROTOCOL_VRRP)],
            &[is(0, AF_INET), socket_type(SOCK_RAW), is(2, libc::IPPROTO_AH)],
            &[is(0, AF_INET6), socket_type(SOCK_RAW), is(2, PROTOCOL_VRRP)],
            &[is(0, AF_PACKET), socket_type(SOCK_RAW), is(2, 0)],
            &[is(0, AF_NETLINK), socket_type(SOCK_DGRAM), is(2, libc::NETLINK_ROUTE)],
        ],
        "adverts, also in authentication headers; gratuitous ARP and neighbour advertisements as frames; addresses and link events",
    ),
    call(libc::SYS_bind, "sockets to an address or interface; netlink groups"),
    call(libc::SYS_getsockname, "the port that netlink gave"),
    when(
        libc::SYS_ioctl,
        &[&[is(1, FIONBIO)]],
        "netlink never waits; any other on any socket lets NET_ADMIN change interfaces",
    ),
    when(
        libc::SYS_setsockopt,
        &[
            &[is(1, SOL_SOCKET)],
            // From 64 up these levels configure netfilter and ARP tables.
            &[is(1, libc::IPPROTO_IP), below(2, 64)],
            &[is(1, libc::IPPROTO_IPV6), is_not(2, 64), is_not(2, 65)],
            &[is(1, libc::SOL_NETLINK)],
        ],
        "groups, hop limits, packet information, time stamps, kernel filters",
    ),
    when(
        libc::SYS_getsockopt,
        &[&[is(1, SOL_SOCKET)]],
        "what a predecessor's socket is and where it is bound",
    ),
    when(libc::SYS_sendmmsg, &[&[lacks(3, MSG_FASTOPEN)]], "adverts in batches; never TCP fast open"),
    when(
        libc::SYS_fcntl,
        &[&[is(1, libc::F_DUPFD_CLOEXEC)], &[is(1, libc::F_GETFD)], &[is(1, libc::F_GET_SEALS)]],
        "a copy of a socket for the parent's vault; std's own doubts in debug builds; seals of a memfd",
    ),
    call(libc::SYS_epoll_ctl, "reactor: sockets come and go"),
    call(libc::SYS_epoll_create1, "reactor: opened once confined"),
    call(libc::SYS_timerfd_create, "reactor: opened once confined"),
    call(libc::SYS_pwrite64, "slots memfd: the lease that a successor reads"),
];

/// IANA protocol number of VRRP.
const PROTOCOL_VRRP: i32 = 112;
const FIONBIO: i32 = 0x5421;
