//! Sockets that checkd borrows: opened, marked and bound here, because it holds no capability.
//!
//! Does: open a kind of sockets as the configuration names it. Does not: send or receive through them. A raw socket is
//! never opened: pings go through ICMP datagram sockets, which can send nothing but echo requests (icmp(7)). Called
//! before checkd gets a configuration. Its input is the valid model.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use config::model::check::Carrier;
use config::model::lent::LentSocket;
use config::model::vrrp::Family;
use socket2::{Domain, Protocol, Socket, Type};

use super::ping_range::PingRange;

/// Room for the answers to a burst of pings, in bytes.
const PING_BUFFER: usize = 1 << 20;

/// Opens sockets of one kind.
///
/// # Errors
/// The kernel refuses one of them; none is returned then.
pub fn open(kind: &LentSocket, count: u16, range: &PingRange) -> io::Result<Vec<OwnedFd>> {
    (0..count).map(|_| open_one(kind, range).map(OwnedFd::from)).collect()
}

fn open_one(kind: &LentSocket, range: &PingRange) -> io::Result<Socket> {
    let (domain, any): (_, IpAddr) = match kind.family {
        Family::Inet => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        Family::Inet6 => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = match (kind.carrier, kind.family) {
        (Carrier::Tcp, _) => Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?,
        (Carrier::Udp, _) => Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?,
        (Carrier::Icmp, Family::Inet) => open_ping(domain, Protocol::ICMPV4, range)?,
        (Carrier::Icmp, Family::Inet6) => open_ping(domain, Protocol::ICMPV6, range)?,
    };
    if kind.carrier == Carrier::Icmp {
        socket.set_recv_buffer_size(PING_BUFFER)?;
    }
    if kind.mark != 0 {
        socket.set_mark(kind.mark)?;
    }
    if kind.bind_to.is_some() || kind.bind_port.is_some() {
        // The address may come later, with the Master's state; checks wait for it then.
        match kind.family {
            Family::Inet => socket.set_freebind_v4(true)?,
            Family::Inet6 => socket.set_freebind_v6(true)?,
        }
        if kind.bind_port.is_some() && kind.carrier != Carrier::Icmp {
            socket.set_reuse_address(true)?;
        }
        let source = SocketAddr::new(kind.bind_to.unwrap_or(any), kind.bind_port.unwrap_or_default());
        socket.bind(&source.into())?;
    }
    Ok(socket)
}

/// Opens the range of groups for this moment where it leaves us out.
fn open_ping(domain: Domain, protocol: Protocol, range: &PingRange) -> io::Result<Socket> {
    let open = || Socket::new(domain, Type::DGRAM.nonblocking(), Some(protocol));
    match open() {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied) => range.opened(open),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_socket_has_the_address_it_should_have() {
        let kind = LentSocket {
            carrier: Carrier::Udp,
            family: Family::Inet,
            mark: 0,
            bind_to: Some("192.0.2.77".parse().unwrap()),
            bind_port: None,
            bind_interface: None,
        };
        let sockets = open(&kind, 2, &PingRange::of(std::path::Path::new("/nowhere"))).unwrap();
        assert_eq!(sockets.len(), 2);
        for socket in sockets {
            let bound = Socket::from(socket).local_addr().unwrap().as_socket().unwrap();
            assert_eq!(bound.ip(), IpAddr::from([192, 0, 2, 77]));
        }
    }
}
