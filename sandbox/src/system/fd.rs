//! Descriptors that arrive from, or go to, another process, and link-layer addresses.
//!
//! Does: take over fd 3, receive and send descriptors beside bytes, send a frame through a packet socket, send many
//! datagrams at once. Does not: frame, decode or retry. Called by `ipc` (channel) and by vrrpd (gratuitous ARP,
//! adverts). The bytes and descriptors received are untrusted; the number of descriptors is bounded by the caller.
#![expect(unsafe_code, reason = "descriptor numbers from the kernel become owned types only here")]

use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, cmsghdr, iovec, mmsghdr, msghdr, sockaddr_ll};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrLike, SockaddrStorage, UnixAddr, sendmsg};
use nix::sys::stat::{SFlag, fstat};

/// Descriptor number of the channel to the parent in every daemon.
pub const CHANNEL_FD: RawFd = 3;

/// Most descriptors that the kernel accepts in one message (`SCM_MAX_FD`).
const MOST_FDS: usize = 253;

/// Looks for the way of a datagram and drops it (include/linux/socket.h), which libc doesn't name.
const MSG_PROBE: c_int = 0x10;

static CHANNEL_TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes over fd 3, the socket to the parent: sets close-on-exec and non-blocking.
///
/// # Errors
/// `AlreadyExists` on the second call; `EBADF` when fd 3 is not open; `InvalidInput` when it is no socket (it is
/// then left alone).
pub fn take_channel() -> io::Result<UnixStream> {
    // SAFETY: F_GETFD (fcntl(2)) reads a flag of a descriptor number and touches no memory; a closed number is EBADF.
    let flags = unsafe { libc::fcntl(CHANNEL_FD, libc::F_GETFD) };
    if flags == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fd 3 is open (line above) and nothing in a daemon closes it before this function has owned it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(CHANNEL_FD) };
    let kind = SFlag::from_bits_truncate(fstat(borrowed)?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFSOCK {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "fd 3 is not a socket"));
    }
    if CHANNEL_TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "fd 3 is already taken"));
    }
    // SAFETY: fd 3 was left open for us by the process that executed this program, and the flag above lets exactly
    // one caller own it, which is what OwnedFd requires.
    let owned = unsafe { OwnedFd::from_raw_fd(CHANNEL_FD) };
    fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let stream = UnixStream::from(owned);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Receives bytes and at most `max_fds` descriptors (close-on-exec set) from a Unix socket, without waiting.
///
/// `max_fds` 0 passes no control buffer at all, so no descriptor can enter the process. A return of 0 bytes is end of
/// file.
///
/// # Errors
/// `WouldBlock` when nothing is queued. `InvalidData` when the sender passed more descriptors than allowed or another
/// kind of control message: every descriptor of that message is closed, and its bytes are lost, so the caller must
/// treat the channel as broken.
pub fn receive_with_fds(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    max_fds: usize,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    if max_fds > MOST_FDS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "more descriptors than one message can carry",
        ));
    }
    let mut part = iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = vec![0_u64; control_bytes(max_fds)?.div_ceil(size_of::<u64>())];
    // SAFETY: msghdr is a C structure of integers and pointers, for which all-zero is a valid value (recvmsg(2):
    // no name, no buffers).
    let mut message: msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if max_fds > 0 {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<u64>() * control.len();
    }
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: recvmsg(2) writes only into `message`, `buffer` and `control`; all three outlive the call and the
    // lengths given are theirs.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let (fds, foreign) = received_fds(&message);
    if message.msg_flags & libc::MSG_CTRUNC != 0 || fds.len() > max_fds || foreign {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "unexpected descriptors or control message"));
    }
    Ok((count, fds))
}

/// Takes a connected socket back to where it can connect anew (connect(2), AF_UNSPEC): a TCP connection that still
/// stands is reset. Bound address, mark and options stay.
///
/// # Errors
/// The socket can't be disconnected; it is of no more use.
pub fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: sockaddr is a C structure of integers, for which all-zero is a valid value.
    let mut address: libc::sockaddr = unsafe { mem::zeroed() };
    address.sa_family = u16::try_from(libc::AF_UNSPEC).map_err(io::Error::other)?;
    let length = u32::try_from(size_of::<libc::sockaddr>()).map_err(io::Error::other)?;
    // SAFETY: connect(2) reads `length` bytes of `address`, which outlives the call and is that long.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const address, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Size of a control buffer for `max_fds` descriptors.
fn control_bytes(max_fds: usize) -> io::Result<usize> {
    if max_fds == 0 {
        return Ok(0);
    }
    let payload = u32::try_from(max_fds * size_of::<RawFd>()).map_err(io::Error::other)?;
    // SAFETY: CMSG_SPACE (cmsg(3)) is arithmetic on its argument.
    let space = unsafe { libc::CMSG_SPACE(payload) };
    usize::try_from(space).map_err(io::Error::other)
}

/// Owns every descriptor that the kernel installed for `message`; says whether another control message was there.
fn received_fds(message: &msghdr) -> (Vec<OwnedFd>, bool) {
    let mut fds = Vec::new();
    let mut foreign = false;
    // SAFETY: `message` was filled by recvmsg, so msg_control and msg_controllen delimit what CMSG_FIRSTHDR may read.
    let mut header: *const cmsghdr = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a header wholly inside the control buffer, which is
        // aligned to 8 bytes.
        let current = unsafe { ptr::read(header) };
        if current.cmsg_level == libc::SOL_SOCKET && current.cmsg_type == libc::SCM_RIGHTS {
            push_fds(header, current.cmsg_len, &mut fds);
        } else {
            foreign = true;
        }
        // SAFETY: `header` is a header of `message` that was filled by recvmsg (cmsg(3)).
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    (fds, foreign)
}

/// Owns the descriptors of one SCM_RIGHTS control message of `length` bytes, header included.
fn push_fds(header: *const cmsghdr, length: usize, fds: &mut Vec<OwnedFd>) {
    // SAFETY: CMSG_LEN (cmsg(3)) is arithmetic on its argument.
    let before = unsafe { libc::CMSG_LEN(0) };
    let payload = length.saturating_sub(usize::try_from(before).unwrap_or(usize::MAX));
    // SAFETY: CMSG_DATA (cmsg(3)) is pointer arithmetic on a header inside the control buffer.
    let data = unsafe { libc::CMSG_DATA(header) };
    for index in 0..payload / size_of::<RawFd>() {
        // SAFETY: `index` is below the number of whole descriptors that the kernel wrote after this header.
        let at = unsafe { data.cast::<RawFd>().add(index) };
        // SAFETY: `at` is inside the control buffer; the read is unaligned because CMSG_DATA promises no alignment.
        let raw = unsafe { ptr::read_unaligned(at) };
        // SAFETY: unix(7): the kernel has just installed this number for us and nobody else knows it.
        fds.push(unsafe { OwnedFd::from_raw_fd(raw) });
    }
}

/// Sends bytes and descriptors on a Unix socket, without waiting and without SIGPIPE; returns the bytes taken.
///
/// The descriptors go with the first byte: after a short write the rest is sent without them. `bytes` must not be
/// empty when there are descriptors (a stream socket carries none beside nothing).
///
/// # Errors
/// `WouldBlock` when the queue is full; `InvalidInput` for descriptors without bytes.
pub fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if bytes.is_empty() && !fds.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "descriptors need at least one byte"));
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    Ok(sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?)
}

/// Sends one whole link-layer frame through a packet socket (`AF_PACKET`, `SOCK_RAW`) on interface `if_index`.
///
/// The protocol field of the address is taken from the frame (bytes 12 and 13, as on the wire).
///
/// # Errors
/// `InvalidInput` for a frame shorter than an Ethernet header or an index of 0 or above `i32::MAX`; otherwise what
/// sendto(2) says (`ENETDOWN`, `ENXIO`, `ENOBUFS`).
pub fn send_link_layer(socket: BorrowedFd<'_>, frame: &[u8], if_index: u32) -> io::Result<usize> {
    let too_short = || io::Error::new(io::ErrorKind::InvalidInput, "shorter than an Ethernet header");
    let destination: [u8; 6] = frame.first_chunk().copied().ok_or_else(too_short)?;
    let protocol: [u8; 2] =
        frame.get(12..14).and_then(|bytes| bytes.first_chunk()).copied().ok_or_else(too_short)?;
    let index = c_int::try_from(if_index).ok().filter(|index| *index > 0);
    let index =
        index.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no such interface index"))?;
    let [a, b, c, d, e, f] = destination;
    let address = sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: u16::from_ne_bytes(protocol),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    };
    let length = libc::socklen_t::try_from(size_of::<sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: sendto(2) reads `frame` and `address` only, both outlive the call and the lengths given are theirs.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            length,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// A datagram of a raw socket.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// With its IP header where the socket wants one.
    pub bytes: &'a [u8],
    /// Receiver.
    pub destination: IpAddr,
    /// Sender; the kernel is told of it for IPv6 only, since an IPv4 header names it.
    pub source: IpAddr,
    /// Interface; 0 lets the routing table decide.
    pub if_index: u32,
    /// Hop limit, for IPv6 only.
    pub hops: u8,
}

impl Datagram<'_> {
    fn address(&self) -> SockaddrStorage {
        match self.destination {
            IpAddr::V4(destination) => SocketAddr::V4(SocketAddrV4::new(destination, 0)).into(),
            IpAddr::V6(destination) => {
                SocketAddr::V6(SocketAddrV6::new(destination, 0, 0, self.if_index)).into()
            }
        }
    }

    /// Appends IP_PKTINFO (ip(7)), or IPV6_PKTINFO and IPV6_HOPLIMIT (RFC 3542 section 6).
    fn write_control(&self, control: &mut Vec<u8>) {
        match self.source {
            IpAddr::V4(_) => {
                let mut info = [0; 12];
                info[..4].copy_from_slice(&self.if_index.to_ne_bytes());
                write_control(control, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(source) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&source.octets());
                info[16..].copy_from_slice(&self.if_index.to_ne_bytes());
                write_control(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
                let hops = c_int::from(self.hops).to_ne_bytes();
                write_control(control, libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &hops);
            }
        }
    }
}

/// Appends a control message: a header and data, both padded to the size of a word (cmsg(3)).
fn write_control(control: &mut Vec<u8>, level: c_int, kind: c_int, data: &[u8]) {
    let length = size_of::<cmsghdr>() + data.len();
    control.extend(length.to_ne_bytes());
    control.extend(level.to_ne_bytes());
    control.extend(kind.to_ne_bytes());
    control.extend(data);
    control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
}

/// Whether datagrams leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// They leave.
    Now,
    /// The kernel looks for their way and drops them.
    Rehearsal,
}

/// Sends datagrams by one call, without waiting. Returns how many were sent, from the first on; at most 1024.
///
/// # Errors
/// What sendmmsg(2) says of the first one; the others have not been looked at.
pub fn send_datagrams(
    socket: BorrowedFd<'_>,
    datagrams: &[Datagram<'_>],
    delivery: Delivery,
) -> io::Result<usize> {
    let addresses: Vec<SockaddrStorage> = datagrams.iter().map(Datagram::address).collect();
    let mut control = Vec::new();
    let ends = datagrams.iter().map(|datagram| {
        datagram.write_control(&mut control);
        control.len()
    });
    let ends: Vec<usize> = ends.collect();
    let part = |datagram: &Datagram<'_>| iovec {
        iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
        iov_len: datagram.bytes.len(),
    };
    let mut parts: Vec<iovec> = datagrams.iter().map(part).collect();
    let mut messages = Vec::with_capacity(datagrams.len());
    let mut start = 0;
    for ((part, address), end) in parts.iter_mut().zip(&addresses).zip(ends) {
        // SAFETY: mmsghdr is a C structure of integers and pointers, for which all-zero is a valid value (sendmsg(2):
        // no name, no buffers).
        let mut message: mmsghdr = unsafe { mem::zeroed() };
        let own = control.get(start..end).unwrap_or_default();
        message.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
        message.msg_hdr.msg_namelen = address.len();
        message.msg_hdr.msg_iov = ptr::from_mut(part);
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = own.as_ptr().cast_mut().cast();
        message.msg_hdr.msg_controllen = own.len();
        messages.push(message);
        start = end;
    }
    let count = libc::c_uint::try_from(messages.len()).map_err(io::Error::other)?;
    let flags = libc::MSG_NOSIGNAL
        | libc::MSG_DONTWAIT
        | match delivery {
            Delivery::Now => 0,
            Delivery::Rehearsal => MSG_PROBE,
        };
    // SAFETY: sendmmsg(2) reads what the headers point to and writes their `msg_len`; headers, addresses, parts,
    // control messages and bytes outlive the call, and the lengths given are theirs.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsFd;

    #[test]
    fn descriptors_arrive_with_their_bytes_and_close_on_exec() {
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        let zero = File::open("/dev/zero").expect("open");
        assert_eq!(send_with_fds(ours.as_fd(), b"take it", &[zero.as_fd()]).expect("send"), 7);
        let mut buffer = [0_u8; 16];
        let (count, fds) = receive_with_fds(theirs.as_fd(), &mut buffer, 1).expect("receive");
        assert_eq!((count, fds.len()), (7, 1));
        let flags = fcntl(&fds[0], FcntlArg::F_GETFD).expect("fcntl");
        assert_eq!(flags, 1);
        let mut byte = [9_u8; 1];
        File::from(fds.into_iter().next().expect("one")).read_exact(&mut byte).expect("read");
        assert_eq!(byte, [0]);
    }

    #[test]
    fn one_descriptor_too_many_is_refused_and_closed() {
        let mut buffer = [0_u8; 16];
        for (sent, allowed) in [(2, 1), (4, 3), (8, 1), (1, 0)] {
            let (ours, theirs) = UnixStream::pair().expect("socketpair");
            let (kept, mut watched) = UnixStream::pair().expect("socketpair");
            send_with_fds(ours.as_fd(), b"x", &vec![kept.as_fd(); sent]).expect("send");
            drop(kept);
            let error = receive_with_fds(theirs.as_fd(), &mut buffer, allowed).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            watched.set_nonblocking(true).expect("non-blocking");
            // End of file: no copy of the other end is left anywhere.
            assert_eq!(watched.read(&mut buffer).expect("end of file"), 0, "{sent} sent, {allowed} allowed");
        }
    }

    #[test]
    fn descriptors_without_a_byte_are_refused() {
        let (ours, _theirs) = UnixStream::pair().expect("socketpair");
        let error = send_with_fds(ours.as_fd(), b"", &[ours.as_fd()]).expect_err("no byte");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_empty_queue_is_would_block_and_a_closed_peer_is_zero_bytes() {
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        let mut buffer = [0_u8; 16];
        let error = receive_with_fds(theirs.as_fd(), &mut buffer, 0).expect_err("nothing sent");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(ours);
        assert_eq!(receive_with_fds(theirs.as_fd(), &mut buffer, 0).expect("end").0, 0);
    }

    #[test]
    fn datagrams_leave_by_one_call_up_to_the_first_that_can_not() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("receiver");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("sender");
        sender.connect(receiver.local_addr().expect("address")).expect("connect");
        let datagram = |bytes, destination: &str| Datagram {
            bytes,
            destination: destination.parse().expect("address"),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            if_index: 1,
            hops: 255,
        };
        // Port 0, which an address of this module always has, is none for UDP.
        let refused = send_datagrams(sender.as_fd(), &[datagram(b"a", "127.0.0.1")], Delivery::Now)
            .expect_err("port 0");
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
        assert_eq!(send_datagrams(sender.as_fd(), &[], Delivery::Now).expect("nothing"), 0);
    }

    #[test]
    fn control_messages_are_as_long_as_the_kernel_counts_them() {
        let datagram = |source: &str| Datagram {
            bytes: b"",
            destination: source.parse().expect("address"),
            source: source.parse().expect("address"),
            if_index: 7,
            hops: 255,
        };
        let mut control = Vec::new();
        datagram("192.0.2.1").write_control(&mut control);
        assert_eq!(control.len(), nix::cmsg_space!(libc::in_pktinfo).capacity());
        control.clear();
        datagram("fe80::1").write_control(&mut control);
        assert_eq!(control.len(), nix::cmsg_space!(libc::in6_pktinfo, c_int).capacity());
    }

    #[test]
    fn a_frame_without_an_ethernet_header_is_refused() {
        let (ours, _theirs) = UnixStream::pair().expect("socketpair");
        let error = send_link_layer(ours.as_fd(), &[0; 13], 1).expect_err("short");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = send_link_layer(ours.as_fd(), &[0; 42], 0).expect_err("index 0");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
