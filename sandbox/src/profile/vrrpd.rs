//! vrrpd: holds the addresses. Speaks VRRP, ARP, neighbour discovery and rtnetlink; never TCP, a file or a program.

use libc::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};

use super::rule::{below, call, is, is_not, socket_type, when};
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
    files: Files::OnlyGranted,
    tcp: Tcp::OnlyGranted,
};

const OWN: &[Rule] = &[
    when(
        libc::SYS_socket,
        &[
            &[is(0, AF_INET), socket_type(SOCK_RAW), is(2, PROTOCOL_VRRP)],
            &[is(0, AF_INET), socket_type(SOCK_RAW), is(2, libc::IPPROTO_AH)],
            &[is(0, AF_INET6), socket_type(SOCK_RAW), is(2, PROTOCOL_VRRP)],
            &[is(0, AF_INET6), socket_type(SOCK_RAW), is(2, libc::IPPROTO_ICMPV6)],
            &[is(0, AF_PACKET), socket_type(SOCK_RAW), is(2, 0)],
            &[is(0, AF_PACKET), socket_type(SOCK_RAW), is(2, ETH_P_ARP_BE)],
            &[is(0, AF_NETLINK), socket_type(SOCK_DGRAM), is(2, libc::NETLINK_ROUTE)],
        ],
        "adverts, also in authentication headers; unsolicited neighbour advertisements; gratuitous ARP; addresses and link events",
    ),
    call(libc::SYS_bind, "sockets to an address or interface; netlink groups"),
    call(libc::SYS_connect, "netlink: the kernel as the only peer"),
    when(
        libc::SYS_setsockopt,
        &[
            &[is(1, SOL_SOCKET)],
            // From 64 up these levels configure netfilter and ARP tables.
            &[is(1, libc::IPPROTO_IP), below(2, 64)],
            &[is(1, libc::IPPROTO_IPV6), is_not(2, 64), is_not(2, 65)],
            &[is(1, libc::IPPROTO_ICMPV6), is(2, ICMPV6_FILTER)],
            &[is(1, libc::SOL_RAW), is(2, libc::IPV6_CHECKSUM)],
            &[is(1, libc::SOL_NETLINK)],
        ],
        "groups, hop limits, packet information, time stamps, kernel filters",
    ),
    when(
        libc::SYS_getsockopt,
        &[&[is(1, SOL_SOCKET)], &[is(1, libc::SOL_NETLINK)]],
        "socket errors, buffer sizes",
    ),
    call(libc::SYS_shutdown, "sockets given back"),
    call(libc::SYS_pwrite64, "slots memfd: the lease that a successor reads"),
];

/// IANA protocol number of VRRP.
const PROTOCOL_VRRP: i32 = 112;
/// ETH_P_ARP (0x0806) in network byte order on a little-endian machine.
const ETH_P_ARP_BE: i32 = 0x0608;
/// linux/icmpv6.h.
const ICMPV6_FILTER: i32 = 1;
