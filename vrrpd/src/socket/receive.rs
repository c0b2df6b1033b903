//! Raw sockets that hear adverts: one per interface, family and group, one per family for unicast.
//!
//! Opens, adopts and reads them; judges nothing. A duplicate of each lies in the parent's vault, so that a successor
//! finds group membership and queue as they were. Datagrams come from the network and aren't trusted.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use config::model::units::{IfIndex, Vrid};
use config::model::vrrp::Family;
use ipc::messages::vrrpd::SocketKey;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_pktinfo, in6_pktinfo, timespec};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::{AH, VRRP, filter};
use crate::proto::accept::Datagram;
use crate::proto::auth::ah::Sealed;
use crate::proto::ipv4::Packet;

/// Longest datagram that is looked at: 255 IPv6 addresses with header and trailer.
pub const BUFFER: usize = 8 + 255 * 16 + 8 + 60;

/// Bytes that may wait in a socket: some thousand adverts, so that a burst doesn't push out a Master's.
const QUEUE: usize = 1024 * 1024;

/// A receive socket.
#[derive(Debug)]
pub struct Receiver {
    key: SocketKey,
    index: Option<IfIndex>,
    family: Family,
    socket: Socket,
    vrids: Vec<Vrid>,
    queue: Option<usize>,
}

/// Outcome of one read.
#[derive(Debug)]
pub enum Read<'a> {
    /// A datagram, and when it came by the wall clock, which may jump.
    Datagram(Datagram<'a>, Option<Duration>),
    /// Something that is no datagram of this family; dropped.
    Garbage,
    /// Nothing waits.
    Empty,
}

impl Receiver {
    /// Opens a socket. `group` is joined on `index`; without a group everything unicast is heard.
    ///
    /// # Errors
    /// The kernel refuses, for instance because the interface is gone.
    pub fn open(key: SocketKey, index: Option<IfIndex>, group: Option<IpAddr>) -> io::Result<Self> {
        let family = if key.inet6 { Family::Inet6 } else { Family::Inet };
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new_raw(domain(family), kind, Some(protocol(&key)))?;
        // Nothing may queue up before the filter knows which virtual routers are ours.
        socket.attach_filter(&filter::nothing())?;
        if !key.interface.is_empty() {
            socket.bind_device(Some(key.interface.as_bytes()))?;
        }
        let receiver = Self { key, index, family, socket, vrids: Vec::new(), queue: None };
        receiver.settle(group)?;
        Ok(receiver)
    }

    /// Takes over a predecessor's socket; `None` when its interface isn't the one of this name any more. The predecessor
    /// may have been captured, so that a socket of another kind is not taken, and its settings are made anew.
    #[must_use]
    pub fn adopt(
        key: SocketKey,
        index: Option<IfIndex>,
        group: Option<IpAddr>,
        vrids: Vec<Vrid>,
        fd: OwnedFd,
    ) -> Option<Self> {
        let socket = Socket::from(fd);
        let family = if key.inet6 { Family::Inet6 } else { Family::Inet };
        let bound = socket.device().ok()?.unwrap_or_default();
        let same_device = bound == key.interface.as_bytes();
        let same_kind = socket.r#type().is_ok_and(|kind| kind == Type::RAW)
            && socket.domain().is_ok_and(|found| found == domain(family))
            && socket.protocol().is_ok_and(|found| found == Some(protocol(&key)));
        let mut receiver = Self { key, index, family, socket, vrids: Vec::new(), queue: None };
        let settled = same_device
            && same_kind
            && receiver.settle(group).and_then(|()| receiver.listen_to(vrids)).is_ok();
        settled.then_some(receiver)
    }

    /// Queue, what is told of each datagram, and the group. What is so already stays.
    fn settle(&self, group: Option<IpAddr>) -> io::Result<()> {
        // A smaller queue, where the kernel refuses this one, is still a queue.
        let _ = setsockopt(&self.socket, sockopt::RcvBufForce, &QUEUE);
        match self.family {
            Family::Inet => {
                self.socket.set_multicast_all_v4(false)?;
                setsockopt(&self.socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            Family::Inet6 => {
                self.socket.set_multicast_all_v6(false)?;
                setsockopt(&self.socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                setsockopt(&self.socket, sockopt::Ipv6RecvHopLimit, &true)?;
            }
        }
        self.ask_for_times();
        let (Some(group), Some(index)) = (group, self.index) else { return Ok(()) };
        match self.join(group, index) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            joined => joined,
        }
    }

    /// Without them an advert counts from when it is read.
    fn ask_for_times(&self) {
        let _ = setsockopt(&self.socket, sockopt::ReceiveTimestampns, &true);
    }

    fn join(&self, group: IpAddr, index: IfIndex) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index.value()))
            }
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, index.value()),
        }
    }

    /// Lets adverts of these virtual routers through.
    ///
    /// # Errors
    /// The kernel has no memory for the filter.
    pub fn listen_to(&mut self, mut vrids: Vec<Vrid>) -> io::Result<()> {
        vrids.sort_unstable();
        vrids.dedup();
        if vrids != self.vrids {
            self.socket.attach_filter(&filter::only(&vrids, self.family, self.key.sealed))?;
            self.vrids = vrids;
        }
        Ok(())
    }

    /// Makes its queue as large as the configuration says, within the system's limit, or as large as is thought fit
    /// here. A failure isn't told: what it was is kept.
    pub fn size(&mut self, queue: Option<usize>) {
        if queue != self.queue {
            let _what_it_was_is_kept = match queue {
                Some(bytes) => setsockopt(&self.socket, sockopt::RcvBuf, &bytes),
                None => setsockopt(&self.socket, sockopt::RcvBufForce, &QUEUE),
            };
            self.queue = queue;
        }
    }

    /// What it is in the vault.
    #[must_use]
    pub fn key(&self) -> &SocketKey {
        &self.key
    }

    /// Interface that it is bound to.
    #[must_use]
    pub fn index(&self) -> Option<IfIndex> {
        self.index
    }

    /// Reads one datagram into `buffer`, without waiting.
    pub fn read<'a>(&self, buffer: &'a mut [u8; BUFFER]) -> Read<'a> {
        let (length, source, info) = match self.read_raw(buffer) {
            Ok(Some(read)) => read,
            Ok(None) => return Read::Garbage,
            Err(Errno::EAGAIN) => return Read::Empty,
            // An error left by an interface that went down; the next read goes on.
            Err(_) => return Read::Garbage,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        match (self.family, info) {
            (Family::Inet, Info { interface: Some(interface), arrived, .. }) => {
                let Some((packet, sealed)) = self.unwrap_packet(bytes) else { return Read::Garbage };
                let datagram = Datagram {
                    source: IpAddr::V4(packet.source),
                    destination: IpAddr::V4(packet.destination),
                    ttl: packet.ttl,
                    interface,
                    payload: packet.payload,
                    sealed,
                };
                Read::Datagram(datagram, arrived)
            }
            (
                Family::Inet6,
                Info { interface: Some(interface), destination: Some(destination), hops: Some(ttl), arrived },
            ) => {
                let Some(source) = source else { return Read::Garbage };
                let datagram = Datagram {
                    source: IpAddr::V6(source),
                    destination: IpAddr::V6(destination),
                    ttl,
                    interface,
                    payload: bytes,
                    sealed: None,
                };
                Read::Datagram(datagram, arrived)
            }
            (Family::Inet | Family::Inet6, _) => Read::Garbage,
        }
    }

    fn unwrap_packet<'a>(&self, bytes: &'a [u8]) -> Option<(Packet<'a>, Option<Sealed<'a>>)> {
        if self.key.sealed {
            Sealed::parse(bytes).map(|(packet, sealed)| (packet, Some(sealed)))
        } else {
            Packet::parse(bytes).map(|packet| (packet, None))
        }
    }

    fn read_raw(&self, buffer: &mut [u8; BUFFER]) -> Result<Option<(usize, Option<Ipv6Addr>, Info)>, Errno> {
        let mut control = cmsg_space!(in_pktinfo, in6_pktinfo, i32, timespec);
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            return Ok(None);
        }
        let mut info = Info::default();
        for part in message.cmsgs()? {
            info.note(&part);
        }
        let source = message.address.and_then(|address| address.as_sockaddr_in6().map(|v6| v6.ip()));
        Ok(Some((message.bytes, source, info)))
    }
}

fn domain(family: Family) -> Domain {
    match family {
        Family::Inet => Domain::IPV4,
        Family::Inet6 => Domain::IPV6,
    }
}

fn protocol(key: &SocketKey) -> Protocol {
    Protocol::from(if key.sealed { AH } else { VRRP })
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the kernel says of a datagram.
#[derive(Debug, Default, Clone, Copy)]
struct Info {
    interface: Option<IfIndex>,
    destination: Option<Ipv6Addr>,
    hops: Option<u8>,
    arrived: Option<Duration>,
}

impl Info {
    fn note(&mut self, part: &ControlMessageOwned) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel may send what nobody asked for")]
        match part {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                self.interface = u32::try_from(info.ipi_ifindex).ok().map(IfIndex::new);
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                self.interface = Some(IfIndex::new(info.ipi6_ifindex));
                self.destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
            }
            ControlMessageOwned::ScmTimestampns(time) => self.arrived = Some(Duration::from(*time)),
            ControlMessageOwned::Ipv6HopLimit(hops) => self.hops = u8::try_from(*hops).ok(),
            _ => {}
        }
    }
}
