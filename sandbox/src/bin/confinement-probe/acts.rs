//! The table of acts: what is tried, and what must come of it in each place.
//!
//! A row that works nowhere unconfined would prove nothing, so the first column states what happens there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use libc::{c_int, c_long, c_ulong};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    MsgFlags, SockFlag, SockaddrIn, UnixAddr, bind, connect, sendto, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::Uid;
use sandbox::system::fd::{receive_with_fds, send_link_layer, send_with_fds, take_channel};
use sandbox::system::{capability, process};

use crate::fixture::Fixture;
use crate::raw::{call, own};

/// What an act comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It succeeds.
    Works,
    /// The kernel or a filter refuses it with this error.
    Fails(Errno),
    /// The kernel kills the process.
    Killed,
    /// Another program runs in the place of the probe.
    Replaced,
    /// Depends on the machine: not judged.
    Open,
}

impl Outcome {
    /// Whether the probe is there afterwards.
    pub(crate) fn is_survived(self) -> bool {
        !matches!(self, Self::Killed | Self::Replaced)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Works => formatter.write_str("ok"),
            Self::Fails(errno) => write!(formatter, "{errno:?}"),
            Self::Killed => formatter.write_str("killed"),
            Self::Replaced => formatter.write_str("replaced"),
            Self::Open => formatter.write_str("any"),
        }
    }
}

/// One row.
pub(crate) struct Act {
    /// Its name.
    pub name: &'static str,
    /// Tries it.
    pub attempt: fn(&Fixture) -> io::Result<()>,
    /// Outcome in each [`Place`], in the order of the variants.
    pub outcomes: [Outcome; 6],
}

/// Where an act is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// As root, nothing applied: the act itself must be possible.
    Unconfined,
    /// Started as checkd but not confined: what identity and capabilities alone refuse.
    Spawned,
    /// Under the whole profile of vrrpd.
    Vrrpd,
    /// Under the whole profile of checkd.
    Checkd,
    /// Under the whole profile of ipvsd.
    Ipvsd,
    /// Under the whole profile of the configuration worker.
    Worker,
}

impl Act {
    /// What must come of it in a place.
    pub(crate) fn expected(&self, place: Place) -> Outcome {
        let [unconfined, spawned, vrrpd, checkd, ipvsd, worker] = self.outcomes;
        match place {
            Place::Unconfined => unconfined,
            Place::Spawned => spawned,
            Place::Vrrpd => vrrpd,
            Place::Checkd => checkd,
            Place::Ipvsd => ipvsd,
            Place::Worker => worker,
        }
    }
}

const fn act(name: &'static str, attempt: fn(&Fixture) -> io::Result<()>, outcomes: [Outcome; 6]) -> Act {
    Act { name, attempt, outcomes }
}

const OK: Outcome = Outcome::Works;
const KILLED: Outcome = Outcome::Killed;
const OPEN: Outcome = Outcome::Open;
const REPLACED: Outcome = Outcome::Replaced;
const NOSYS: Outcome = Outcome::Fails(Errno::ENOSYS);
const PERM: Outcome = Outcome::Fails(Errno::EPERM);
const ACCES: Outcome = Outcome::Fails(Errno::EACCES);
const EXIST: Outcome = Outcome::Fails(Errno::EEXIST);
const INVAL: Outcome = Outcome::Fails(Errno::EINVAL);

/// Every act. Columns: unconfined, spawned, vrrpd, checkd, ipvsd, worker.
#[rustfmt::skip]
pub(crate) const ACTS: &[Act] = &[
    // What a daemon needs all the time.
    act("allocate", allocate, [OK, OK, OK, OK, OK, OK]),
    act("event-loop", event_loop, [OK, OK, OK, NOSYS, NOSYS, OK]),
    act("pass-descriptor", pass_descriptor, [OK, OK, OK, OK, OK, OK]),
    act("read-memfd", read_memfd, [OK, OK, OK, OK, OK, OK]),
    act("write-memfd", write_memfd, [OK, OK, OK, NOSYS, NOSYS, OK]),
    act("netlink-request", netlink_request, [OK, OK, OK, OK, OK, OK]),
    act("join-group", join_group, [OK, PERM, OK, NOSYS, NOSYS, PERM]),
    act("announce", announce, [OK, PERM, OK, NOSYS, NOSYS, PERM]),
    act("take-channel-again", take_channel_again, [OPEN, EXIST, NOSYS, NOSYS, NOSYS, EXIST]),
    act("signal-itself", signal_itself, [OK, OK, OK, OK, OK, OK]),
    act("signal-parent-thread", signal_parent_thread, [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    // Files.
    act("open-shadow", |_| File::open("/etc/shadow").map(drop), [OK, ACCES, NOSYS, NOSYS, NOSYS, OK]),
    act("open-passwd", |_| File::open("/etc/passwd").map(drop), [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("list-root", |_| std::fs::read_dir("/").map(drop), [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("create-file", create_file, [OK, OK, NOSYS, NOSYS, NOSYS, ACCES]),
    act("create-memfd", create_memfd, [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    // Programs and memory.
    act("fork", fork, [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("clone3", |_| call(libc::SYS_clone3, [0; 6]).map(drop), [INVAL, INVAL, NOSYS, NOSYS, NOSYS, NOSYS]),
    act("map-executable", map_executable, [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("execute-file", execute_file, [REPLACED, REPLACED, KILLED, KILLED, KILLED, KILLED]),
    act("execute-memfd", execute_memfd, [REPLACED, REPLACED, KILLED, KILLED, KILLED, KILLED]),
    act("execute-x32", |_| call(X32_EXECVE, [0; 6]).map(drop), [NOSYS, NOSYS, KILLED, KILLED, KILLED, KILLED]),
    // Other processes.
    act("signal-parent", signal_parent, [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("open-parent-memory", open_parent_memory, [OK, ACCES, NOSYS, NOSYS, NOSYS, ACCES]),
    act("read-parent-memory", read_parent_memory, [OK, PERM, KILLED, KILLED, KILLED, KILLED]),
    act("trace-parent", trace_parent, [OK, PERM, KILLED, KILLED, KILLED, KILLED]),
    act("take-parent-descriptor", take_parent_descriptor, [OK, PERM, KILLED, KILLED, KILLED, KILLED]),
    // Identity.
    act("become-root", |_| Ok(nix::unistd::setuid(Uid::from_raw(0))?), [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("raise-capability", raise_capability, [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("allow-inspection", allow_inspection, [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    // Socket families: what a profile lists works, nothing else does.
    act("socket-unix", |_| socket(libc::AF_UNIX, libc::SOCK_STREAM, 0), [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("socket-tcp", |_| socket(libc::AF_INET, libc::SOCK_STREAM, 6), [OK, OK, NOSYS, OK, NOSYS, OK]),
    act("socket-tcp6", |_| socket(libc::AF_INET6, libc::SOCK_STREAM, 6), [OK, OK, NOSYS, OK, NOSYS, OK]),
    act("socket-mptcp", |_| socket(libc::AF_INET, libc::SOCK_STREAM, 262), [OK, OPEN, NOSYS, NOSYS, NOSYS, OPEN]),
    act("socket-udp", |_| socket(libc::AF_INET, libc::SOCK_DGRAM, 0), [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("socket-vrrp", |_| socket(libc::AF_INET, libc::SOCK_RAW, 112), [OK, PERM, OK, NOSYS, NOSYS, PERM]),
    act("socket-vrrp6", |_| socket(libc::AF_INET6, libc::SOCK_RAW, 112), [OK, PERM, OK, NOSYS, NOSYS, PERM]),
    act("socket-icmpv6", |_| socket(libc::AF_INET6, libc::SOCK_RAW, 58), [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("socket-icmp", |_| socket(libc::AF_INET, libc::SOCK_RAW, 1), [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("socket-any-raw", |_| socket(libc::AF_INET, libc::SOCK_RAW, 255), [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("socket-arp", |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0x0608), [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("socket-sniffer", |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0x0300), [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("socket-route", |_| socket(libc::AF_NETLINK, libc::SOCK_DGRAM, 0), [OK, OK, OK, NOSYS, NOSYS, OK]),
    act("socket-netfilter", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW, 12), [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("socket-generic", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW, 16), [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("socket-crypto", |_| socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0), [OPEN, OPEN, NOSYS, NOSYS, NOSYS, OPEN]),
    // The kernel's tables.
    act("add-address", add_address, [OK, PERM, OK, NOSYS, NOSYS, PERM]),
    act("add-route", add_route, [OK, PERM, OK, NOSYS, NOSYS, PERM]),
    // Ways round the socket rules.
    act("set-interface-flags", set_interface_flags, [OK, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("netfilter-option", netfilter_option, [OPEN, PERM, NOSYS, NOSYS, NOSYS, PERM]),
    act("connect-granted", |f| connect_to(f, 0, f.granted.port), [OK, OK, NOSYS, OK, NOSYS, OK]),
    act("connect-other", |f| connect_to(f, 1, f.other.port), [OK, OK, NOSYS, ACCES, NOSYS, OK]),
    act("bind-port", bind_port, [OK, OK, ACCES, ACCES, NOSYS, OK]),
    act("fast-open-send", fast_open_send, [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("fast-open-option", fast_open_option, [OK, OK, NOSYS, NOSYS, NOSYS, OK]),
    act("connect-abstract", connect_abstract, [OK, OK, NOSYS, PERM, NOSYS, PERM]),
    // The never-list.
    act("clone-namespace", clone_namespace, [OK, PERM, KILLED, KILLED, KILLED, KILLED]),
    act("join-namespace", join_namespace, [OK, PERM, KILLED, KILLED, KILLED, KILLED]),
    act("mount", mount, [OK, PERM, KILLED, KILLED, KILLED, KILLED]),
    act("change-root", |_| Ok(nix::unistd::chroot("/")?), [OK, PERM, KILLED, KILLED, KILLED, KILLED]),
    act("load-bpf", load_bpf, [OK, OPEN, KILLED, KILLED, KILLED, KILLED]),
    act("key-ring", key_ring, [OK, OPEN, KILLED, KILLED, KILLED, KILLED]),
    act("io-uring", io_uring, [OK, OPEN, KILLED, KILLED, KILLED, KILLED]),
    act("performance-counter", performance_counter, [OK, OPEN, KILLED, KILLED, KILLED, KILLED]),
    act("fault-descriptor", |_| call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]).map(drop), [OK, OPEN, KILLED, KILLED, KILLED, KILLED]),
    act("load-module", |_| call(libc::SYS_init_module, [0; 6]).map(drop), [OPEN, OPEN, KILLED, KILLED, KILLED, KILLED]),
    act("reboot", |_| call(libc::SYS_reboot, [0; 6]).map(drop), [INVAL, PERM, KILLED, KILLED, KILLED, KILLED]),
    act("fixed-addresses", fixed_addresses, [OK, OK, KILLED, KILLED, KILLED, KILLED]),
    // Last: where it works, it gives every capability in the new namespace.
    act("new-user-namespace", |_| Ok(unshare(CloneFlags::CLONE_NEWUSER)?), [OK, OPEN, KILLED, KILLED, KILLED, KILLED]),
];

/// execve in the x32 interface.
const X32_EXECVE: c_long = 0x4000_0000 + 520;

/// Grows and shrinks the heap by several ways, with hash seeds.
fn allocate(_: &Fixture) -> io::Result<()> {
    let mut large = vec![1_u8; 16 << 20];
    large.truncate(1);
    large.shrink_to_fit();
    let small: std::collections::HashMap<u32, Vec<u8>> = (0..10_000).map(|key| (key, vec![0; 100])).collect();
    if small.len() == 10_000 { Ok(()) } else { Err(Errno::ENOMEM.into()) }
}

/// epoll with an absolute timer.
fn event_loop(_: &Fixture) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
    let soon = Expiration::OneShot(TimeSpec::from_duration(std::time::Duration::from_nanos(1)));
    timer.set(soon, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
    epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, 2))?;
    let mut events = [EpollEvent::empty(); 2];
    epoll.wait(&mut events, EpollTimeout::from(1000_u16)).map(drop).map_err(io::Error::from)
}

/// A descriptor there and back, as on the channel.
fn pass_descriptor(fixture: &Fixture) -> io::Result<()> {
    let [here, there] = &fixture.pair;
    send_with_fds(here.as_fd(), b"x", &[fixture.namespace.as_fd()])?;
    let (_, fds) = receive_with_fds(there.as_fd(), &mut [0; 8], 1)?;
    if fds.len() == 1 { Ok(()) } else { Err(Errno::EBADF.into()) }
}

/// Length, seals and bytes, as of a generation.
fn read_memfd(fixture: &Fixture) -> io::Result<()> {
    let length = fixture.program.metadata()?.len();
    nix::fcntl::fcntl(&fixture.program, nix::fcntl::FcntlArg::F_GET_SEALS)?;
    fixture.program.read_exact_at(&mut [0; 4], length.saturating_sub(4))
}

fn write_memfd(fixture: &Fixture) -> io::Result<()> {
    fixture.slots.write_all_at(b"lease", 0)
}

/// Asks the generic-netlink controller for a family through a socket that was open before.
fn netlink_request(fixture: &Fixture) -> io::Result<()> {
    let mut request = [0_u8; 32];
    // nlmsghdr (length, GENL_ID_CTRL, NLM_F_REQUEST), genlmsghdr (CTRL_CMD_GETFAMILY), CTRL_ATTR_FAMILY_NAME "nlctrl".
    let words: [u16; 6] = [32, 0, 16, 1, 0, 0];
    let tail: [u16; 6] = [3 | 1 << 8, 0, 11, 2, u16::from_ne_bytes(*b"nl"), u16::from_ne_bytes(*b"ct")];
    let end = [u16::from_ne_bytes(*b"rl"), 0];
    let values = words.into_iter().chain([0, 0]).chain(tail).chain(end);
    request.chunks_mut(2).zip(values).for_each(|(to, from)| to.copy_from_slice(&from.to_ne_bytes()));
    setsockopt(&fixture.netlink, sockopt::RcvBuf, &65536)?;
    nix::sys::socket::send(fixture.netlink.as_raw_fd(), &request, MsgFlags::MSG_DONTWAIT)?;
    let mut answer = [0_u8; 4096];
    let length = nix::sys::socket::recv(fixture.netlink.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    if length > 36 { Ok(()) } else { Err(Errno::EBADMSG.into()) }
}

/// What vrrpd does at the start of an instance.
fn join_group(_: &Fixture) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let raw =
        call(libc::SYS_socket, [number(libc::AF_INET), number(libc::SOCK_RAW | flags.bits()), 112, 0, 0, 0])?;
    let socket = own(c_int::try_from(raw).map_err(io::Error::other)?);
    let fd = socket.as_raw_fd();
    let membership = [224_u8, 0, 0, 18, 127, 0, 0, 1, 0, 0, 0, 0];
    let option = |name: c_int, value: *const u8, length: c_ulong| {
        call(libc::SYS_setsockopt, [number(fd), 0, number(name), address(value), length, 0])
    };
    option(libc::IP_ADD_MEMBERSHIP, membership.as_ptr(), 12)?;
    option(libc::IP_MULTICAST_TTL, [255_u8, 0, 0, 0].as_ptr(), 4)?;
    option(libc::IP_PKTINFO, [1_u8, 0, 0, 0].as_ptr(), 4).map(drop)
}

/// An ARP frame (broadcast, protocol 0x0806) on the loopback interface, whose index is 1.
fn announce(_: &Fixture) -> io::Result<()> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let raw = call(libc::SYS_socket, [number(libc::AF_PACKET), number(kind), 0, 0, 0, 0])?;
    let fd = c_int::try_from(raw).map_err(io::Error::other)?;
    let mut frame = [0_u8; 42];
    frame.iter_mut().take(6).for_each(|byte| *byte = 0xff);
    frame.iter_mut().skip(12).zip([0x08, 0x06]).for_each(|(to, from)| *to = from);
    let sent = send_link_layer(own(fd).as_fd(), &frame, 1)?;
    if sent == 42 { Ok(()) } else { Err(Errno::EMSGSIZE.into()) }
}

/// RTM_NEWADDR and RTM_DELADDR: an address of the loopback network on its interface, and away again.
fn add_address(_: &Fixture) -> io::Result<()> {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // ifaddrmsg: AF_INET, /32, no flags, global scope, interface 1; IFA_LOCAL.
    let body = [2, 32, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 127, high, low, 99];
    change_and_undo(20, 21, &body)
}

/// RTM_NEWROUTE and RTM_DELROUTE: a host route over the loopback interface, and away again.
fn add_route(_: &Fixture) -> io::Result<()> {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // rtmsg: AF_INET, /32 from anywhere, table main, protocol static, scope link, unicast; RTA_DST, RTA_OIF.
    let head = [2, 32, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0];
    let attributes = [8, 0, 1, 0, 127, high, low, 98, 8, 0, 4, 0, 1, 0, 0, 0];
    change_and_undo(24, 25, &[head.as_slice(), &attributes].concat())
}

/// Two requests with this body over a route socket, each with its answer.
fn change_and_undo(add: u16, remove: u16, body: &[u8]) -> io::Result<()> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    let raw = call(libc::SYS_socket, [number(libc::AF_NETLINK), number(kind), 0, 0, 0, 0])?;
    let socket = own(c_int::try_from(raw).map_err(io::Error::other)?);
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.saturating_add(16);
    for (kind, flags) in [(add, 0x605_u16), (remove, 0x5)] {
        // nlmsghdr: NLM_F_REQUEST and NLM_F_ACK, the first with NLM_F_CREATE and NLM_F_EXCL.
        let mut request = length.to_ne_bytes().to_vec();
        request.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        request.extend([0; 8]);
        request.extend(body);
        nix::sys::socket::send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut answer = [0_u8; 256];
        nix::sys::socket::recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // nlmsgerr behind the header: 0, or the negative number of the error.
        let errno = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_ne_bytes);
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
        }
    }
    Ok(())
}

/// The channel has one owner: a second call is refused.
fn take_channel_again(_: &Fixture) -> io::Result<()> {
    match take_channel() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Errno::EEXIST.into()),
        other => other.map(drop),
    }
}

/// Signal 0 to its own thread, as abort does with another number.
fn signal_itself(_: &Fixture) -> io::Result<()> {
    let (pid, thread) = (nix::unistd::getpid().as_raw(), nix::unistd::gettid().as_raw());
    call(libc::SYS_tgkill, [number(pid), number(thread), 0, 0, 0, 0]).map(drop)
}

fn signal_parent_thread(fixture: &Fixture) -> io::Result<()> {
    let parent = number(fixture.parent);
    call(libc::SYS_tgkill, [parent, parent, 0, 0, 0, 0]).map(drop)
}

fn create_file(_: &Fixture) -> io::Result<()> {
    let path = format!("/tmp/confinement-probe-{}", std::process::id());
    File::create_new(&path)?;
    std::fs::remove_file(path)
}

fn create_memfd(_: &Fixture) -> io::Result<()> {
    call(libc::SYS_memfd_create, [address(c"x".as_ptr()), 0, 0, 0, 0, 0]).map(drop)
}

/// The child of a fork that works ends at once.
fn fork(_: &Fixture) -> io::Result<()> {
    let child = call(libc::SYS_clone, [number(libc::SIGCHLD), 0, 0, 0, 0, 0])?;
    if child == 0 {
        process::exit_now(0);
    }
    Ok(())
}

fn clone_namespace(_: &Fixture) -> io::Result<()> {
    let child = call(libc::SYS_clone, [number(libc::SIGCHLD | libc::CLONE_NEWNET), 0, 0, 0, 0, 0])?;
    if child == 0 {
        process::exit_now(0);
    }
    Ok(())
}

fn map_executable(_: &Fixture) -> io::Result<()> {
    let protection = number(libc::PROT_READ | libc::PROT_EXEC);
    let flags = number(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    call(libc::SYS_mmap, [0, 4096, protection, flags, c_ulong::MAX, 0]).map(drop)
}

fn execute_file(_: &Fixture) -> io::Result<()> {
    nix::unistd::execv(c"/bin/true", &[c"true"])?;
    Ok(())
}

fn execute_memfd(fixture: &Fixture) -> io::Result<()> {
    let environment: [&std::ffi::CStr; 0] = [];
    nix::unistd::fexecve(&fixture.program, &[c"true"], &environment)?;
    Ok(())
}

fn signal_parent(fixture: &Fixture) -> io::Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(fixture.parent), None)?)
}

fn open_parent_memory(fixture: &Fixture) -> io::Result<()> {
    File::open(format!("/proc/{}/mem", fixture.parent)).map(drop)
}

fn read_parent_memory(fixture: &Fixture) -> io::Result<()> {
    let mut byte = [0_u8; 1];
    let local = [address(byte.as_mut_ptr()), 1];
    let remote = [fixture.parent_address, 1];
    let parent = number(fixture.parent);
    call(libc::SYS_process_vm_readv, [parent, address(&raw const local), 1, address(&raw const remote), 1, 0])
        .map(drop)
}

/// PTRACE_SEIZE, which does not stop the parent.
fn trace_parent(fixture: &Fixture) -> io::Result<()> {
    call(libc::SYS_ptrace, [0x4206, number(fixture.parent), 0, 0, 0, 0]).map(drop)
}

fn take_parent_descriptor(fixture: &Fixture) -> io::Result<()> {
    let pidfd = number(fixture.parent_pidfd.as_raw_fd());
    call(libc::SYS_pidfd_getfd, [pidfd, 0, 0, 0, 0, 0]).map(drop)
}

/// CAP_SYS_ADMIN, by capset.
fn raise_capability(_: &Fixture) -> io::Result<()> {
    capability::set_capabilities(capability::all_held()? | 1 << 21, 0)
}

fn allow_inspection(_: &Fixture) -> io::Result<()> {
    call(libc::SYS_prctl, [number(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0]).map(drop)
}

fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<()> {
    let kind = kind | libc::SOCK_CLOEXEC;
    call(libc::SYS_socket, [number(family), number(kind), number(protocol), 0, 0, 0]).map(drop)
}

/// Sets the flags that the loopback interface has already, through a Unix socket.
fn set_interface_flags(fixture: &Fixture) -> io::Result<()> {
    let mut request = [0_u8; 40];
    let (name, flags) = request.split_at_mut(16);
    name.iter_mut().zip(b"lo").for_each(|(to, from)| *to = *from);
    let up_running_loopback = 0x49_u16;
    flags.iter_mut().zip(up_running_loopback.to_ne_bytes()).for_each(|(to, from)| *to = from);
    let fd = number(fixture.unix.as_raw_fd());
    call(libc::SYS_ioctl, [fd, 0x8914, address(request.as_ptr()), 0, 0, 0]).map(drop)
}

/// IPT_SO_SET_REPLACE, which a holder of NET_ADMIN may send through any Internet socket.
fn netfilter_option(fixture: &Fixture) -> io::Result<()> {
    let value = [0_u8; 128];
    let fd = number(fixture.udp.as_raw_fd());
    call(libc::SYS_setsockopt, [fd, 0, 64, address(value.as_ptr()), 128, 0]).map(drop)
}

fn connect_to(fixture: &Fixture, socket: usize, port: u16) -> io::Result<()> {
    Ok(connect(fixture.tcp(socket), &SockaddrIn::new(127, 0, 0, 1, port))?)
}

fn bind_port(fixture: &Fixture) -> io::Result<()> {
    Ok(bind(fixture.tcp(2), &SockaddrIn::new(127, 0, 0, 1, 0))?)
}

fn fast_open_send(fixture: &Fixture) -> io::Result<()> {
    let flags = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN);
    let to = SockaddrIn::new(127, 0, 0, 1, fixture.other.port);
    sendto(fixture.tcp(3), b"x", &to, flags).map(drop)?;
    Ok(())
}

fn fast_open_option(fixture: &Fixture) -> io::Result<()> {
    let socket = fixture.tcp.last().ok_or(Errno::EBADF)?;
    Ok(setsockopt(socket, sockopt::TcpFastOpenConnect, &true)?)
}

fn connect_abstract(fixture: &Fixture) -> io::Result<()> {
    let name = fixture.abstract_name.as_bytes();
    Ok(connect(fixture.unix.as_raw_fd(), &UnixAddr::new_abstract(name)?)?)
}

fn join_namespace(fixture: &Fixture) -> io::Result<()> {
    Ok(setns(&fixture.namespace, CloneFlags::CLONE_NEWNET)?)
}

/// Unconfined, the probe has made a mount namespace of its own first.
fn mount(_: &Fixture) -> io::Result<()> {
    let nothing: Option<&str> = None;
    Ok(nix::mount::mount(Some("none"), "/mnt", Some("tmpfs"), nix::mount::MsFlags::empty(), nothing)?)
}

/// BPF_MAP_CREATE of an array of one element.
fn load_bpf(_: &Fixture) -> io::Result<()> {
    let mut attributes = [0_u32; 32];
    attributes.iter_mut().zip([2, 4, 4, 1]).for_each(|(to, from)| *to = from);
    call(libc::SYS_bpf, [0, address(attributes.as_ptr()), 128, 0, 0, 0]).map(drop)
}

/// KEYCTL_GET_KEYRING_ID of the process's own ring, created if absent.
fn key_ring(_: &Fixture) -> io::Result<()> {
    call(libc::SYS_keyctl, [0, number(-2), 1, 0, 0, 0]).map(drop)
}

fn io_uring(_: &Fixture) -> io::Result<()> {
    let mut parameters = [0_u64; 15];
    call(libc::SYS_io_uring_setup, [1, address(parameters.as_mut_ptr()), 0, 0, 0, 0]).map(drop)
}

/// A software clock counter of the process itself.
fn performance_counter(_: &Fixture) -> io::Result<()> {
    let mut attributes = [0_u32; 32];
    attributes.iter_mut().zip([1, 64]).for_each(|(to, from)| *to = from);
    call(libc::SYS_perf_event_open, [address(attributes.as_ptr()), 0, number(-1), number(-1), 0, 0]).map(drop)
}

/// ADDR_NO_RANDOMIZE.
fn fixed_addresses(_: &Fixture) -> io::Result<()> {
    call(libc::SYS_personality, [0x0004_0000, 0, 0, 0, 0, 0]).map(drop)
}

/// A C int as a system-call argument, sign extended.
fn number(value: c_int) -> c_ulong {
    c_long::from(value).cast_unsigned()
}

/// The address of a buffer as a system-call argument.
fn address<T>(pointer: *const T) -> c_ulong {
    c_ulong::try_from(pointer.expose_provenance()).unwrap_or(0)
}
