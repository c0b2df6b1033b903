//! Raw sockets that send adverts: one per family, which hear nothing.
//!
//! Writes the IPv4 header itself, so that source, TTL and type of service are what the configuration says; gives
//! IPv6 the same by ancillary data. Adverts are not looped back to this host's other sockets. Called by the driver.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use config::model::units::IfIndex;
use nix::libc::{c_int, in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::{VRRP, filter};
use crate::proto::ipv4::{HEADER_LENGTH, TOS};

/// How one advert travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Sender.
    pub source: IpAddr,
    /// Group or peer, of the same family.
    pub destination: IpAddr,
    /// Interface; absent when the routing table decides.
    pub interface: Option<IfIndex>,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// Sending sockets, opened when first needed.
#[derive(Debug, Default)]
pub struct Sender {
    inet: Option<Socket>,
    inet6: Option<Socket>,
    packet: Vec<u8>,
}

/// Place of adverts in the queues of an interface: TC_PRIO_CONTROL (linux/pkt_sched.h), in front of all others.
const PRIORITY: c_int = 6;

impl Sender {
    /// Sends one advert.
    ///
    /// # Errors
    /// What the kernel says: no route, interface down, no buffer, or (never by our own making) mixed families.
    pub fn send(&mut self, way: &Way, message: &[u8]) -> io::Result<()> {
        match (way.source, way.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.send_inet(way, source, destination, message)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.send_inet6(way, source, destination, message)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(io::Error::from(io::ErrorKind::InvalidInput))
            }
        }
    }

    fn send_inet(
        &mut self,
        way: &Way,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        message: &[u8],
    ) -> io::Result<()> {
        let mut packet = std::mem::take(&mut self.packet);
        write_packet(&mut packet, way.ttl, source, destination, message);
        let outcome = self.send_packet(way, destination, &packet);
        self.packet = packet;
        outcome
    }

    /// Sends an IPv4 packet that is complete but for the checksum of its header.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_packet(&mut self, way: &Way, destination: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let socket = match &self.inet {
            Some(socket) => socket,
            None => self.inet.insert(open_inet()?),
        };
        let info = in_pktinfo {
            ipi_ifindex: interface_number(way.interface)?,
            ipi_spec_dst: in_addr { s_addr: 0 },
            ipi_addr: in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let address = SockaddrIn::from(SocketAddrV4::new(destination, 0));
        let parts = [IoSlice::new(packet)];
        sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&address))?;
        Ok(())
    }

    fn send_inet6(
        &mut self,
        way: &Way,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        message: &[u8],
    ) -> io::Result<()> {
        let socket = match &self.inet6 {
            Some(socket) => socket,
            None => self.inet6.insert(open_inet6()?),
        };
        let index = way.interface.map_or(0, IfIndex::value);
        let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: source.octets() }, ipi6_ifindex: index };
        let hops = c_int::from(way.ttl);
        let control = [ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&hops)];
        let address = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, index));
        let parts = [IoSlice::new(message)];
        sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&address))?;
        Ok(())
    }
}

fn open_inet() -> io::Result<Socket> {
    let socket = open(Domain::IPV4)?;
    socket.set_header_included_v4(true)?;
    socket.set_multicast_loop_v4(false)?;
    Ok(socket)
}

fn open_inet6() -> io::Result<Socket> {
    let socket = open(Domain::IPV6)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_freebind_v6(true)?;
    Ok(socket)
}

fn open(domain: Domain) -> io::Result<Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = Socket::new_raw(domain, kind, Some(Protocol::from(VRRP)))?;
    socket.attach_filter(&filter::nothing())?;
    setsockopt(&socket, sockopt::Priority, &PRIORITY)?;
    Ok(socket)
}

fn interface_number(interface: Option<IfIndex>) -> io::Result<c_int> {
    c_int::try_from(interface.map_or(0, IfIndex::value)).map_err(io::Error::other)
}

/// IPv4 header (RFC 791 section 3.1) and message. Identification and checksum are left to the kernel (raw(7)).
fn write_packet(out: &mut Vec<u8>, ttl: u8, source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) {
    let total = u16::try_from(message.len().saturating_add(HEADER_LENGTH)).unwrap_or(u16::MAX);
    let [high, low] = total.to_be_bytes();
    out.clear();
    out.extend([0x45, TOS, high, low, 0, 0, 0, 0, ttl, crate::proto::advert::PROTOCOL, 0, 0]);
    out.extend(source.octets());
    out.extend(destination.octets());
    out.extend(message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ipv4::Packet;

    #[test]
    fn what_is_written_reads_back() {
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(224, 0, 0, 18));
        let mut out = Vec::new();
        write_packet(&mut out, 255, source, destination, &[1, 2, 3]);
        assert_eq!(out[..10], [0x45, 0xc0, 0, 23, 0, 0, 0, 0, 255, 112]);
        assert_eq!(Packet::parse(&out), Some(Packet { source, destination, ttl: 255, payload: &[1, 2, 3] }));
    }
}
