//! What the acts need and must have before the process is confined: sockets, descriptors, addresses.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use libc::c_ulong;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use sandbox::system::process::pidfd_open;

/// The part of the fixture that exists before confinement.
pub(crate) struct Fixture {
    /// Process id of the process that started the probe.
    pub parent: i32,
    /// An address that is mapped in it, if that can be seen.
    pub parent_address: c_ulong,
    /// A pidfd of it.
    pub parent_pidfd: OwnedFd,
    /// Listens on a TCP port that is granted to checkd.
    pub granted: Listening,
    /// Listens on a TCP port that is granted to nobody.
    pub other: Listening,
    /// An unconnected TCP socket for each act that uses one up.
    pub tcp: [OwnedFd; 5],
    /// An unconnected Unix socket.
    pub unix: OwnedFd,
    /// An Internet datagram socket.
    pub udp: UdpSocket,
    /// Name of an abstract Unix address where somebody listens.
    pub abstract_name: String,
    /// Listens there.
    pub _abstract_listener: UnixListener,
    /// A copy of /bin/true in memory.
    pub program: File,
    /// A file in memory, as vrrpd's slots.
    pub slots: File,
    /// Two connected Unix sockets.
    pub pair: [UnixStream; 2],
    /// A generic-netlink socket, as ipvsd opens it.
    pub netlink: OwnedFd,
    /// The network namespace of the process.
    pub namespace: File,
}

/// A TCP port where somebody listens; no profile of a daemon has to let the probe ask which.
pub(crate) struct Listening {
    /// The port.
    pub port: u16,
    _listener: TcpListener,
}

impl Listening {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Ok(Self { port: listener.local_addr()?.port(), _listener: listener })
    }
}

impl Fixture {
    /// Opens everything.
    pub(crate) fn open() -> io::Result<Self> {
        let parent = nix::unistd::getppid().as_raw();
        let name = format!("confinement-probe-{}", std::process::id());
        let mut program =
            File::from(memfd_create("program", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from)?);
        program.write_all(&fs::read("/bin/true")?)?;
        Ok(Self {
            parent,
            parent_address: mapped_address(parent).unwrap_or(0x10000),
            parent_pidfd: pidfd_open(parent)?,
            granted: Listening::new()?,
            other: Listening::new()?,
            tcp: [tcp()?, tcp()?, tcp()?, tcp()?, tcp()?],
            unix: socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?,
            udp: UdpSocket::bind("127.0.0.1:0")?,
            _abstract_listener: UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?,
            abstract_name: name,
            program,
            slots: File::from(memfd_create("slots", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from)?),
            pair: UnixStream::pair()?.into(),
            netlink: netlink()?,
            namespace: File::open("/proc/self/ns/net")?,
        })
    }

    /// Number of one of the TCP sockets.
    pub(crate) fn tcp(&self, index: usize) -> RawFd {
        self.tcp.get(index).map_or(-1, AsRawFd::as_raw_fd)
    }
}

fn tcp() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?)
}

/// Connected to the kernel, by the address that an unbound socket sends to.
fn netlink() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkGeneric)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// Start of the first mapping of a process.
fn mapped_address(pid: i32) -> Option<c_ulong> {
    let mut maps = String::new();
    File::open(format!("/proc/{pid}/maps")).ok()?.read_to_string(&mut maps).ok()?;
    c_ulong::from_str_radix(maps.split('-').next()?, 16).ok()
}
