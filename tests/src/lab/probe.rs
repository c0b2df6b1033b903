//! Asks an address a thousand times a second whether somebody answers there, and counts what was lost.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::clock::now;
use super::{Failure, Host};

/// Answers probes on every address of a host, with the host's name.
pub struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Echo {
    /// Starts answering on `host`.
    pub fn start(host: &Host) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            let socket = host
                .enter(|| bind(any))?
                .map_err(|cause| Failure::instrument("socket that answers probes", cause))?;
            let (stop, name) = (Arc::clone(&stop), host.name().as_bytes().to_owned());
            threads.push(host.spawn_thread(move || answer(&socket, &name, &stop))?);
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// IPv6 sockets of the standard library take IPv4 too unless one for IPv4 stands already: it does.
fn bind(any: IpAddr) -> std::io::Result<UdpSocket> {
    let socket = match any {
        IpAddr::V4(_) => UdpSocket::bind((any, PORT)),
        IpAddr::V6(_) => {
            use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn6, bind, socket};
            let fd = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
            use std::os::fd::AsRawFd;
            let address = std::net::SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0);
            bind(fd.as_raw_fd(), &SockaddrIn6::from(address))?;
            Ok(UdpSocket::from(fd))
        }
    }?;
    socket.set_nonblocking(true)?;
    have_room(&socket)?;
    Ok(socket)
}

/// Room for what arrives while a loaded machine doesn't let us run: an overflow would look like an outage.
fn have_room(socket: &UdpSocket) -> std::io::Result<()> {
    Ok(setsockopt(socket, sockopt::RcvBufForce, &ROOM)?)
}

fn answer(socket: &UdpSocket, name: &[u8], stop: &AtomicBool) {
    let mut buffer = [0_u8; 64];
    while !stop.load(Ordering::Relaxed) {
        readable(socket, Duration::from_millis(50));
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut reply = buffer[..length.min(8)].to_vec();
            reply.extend_from_slice(name);
            drop(socket.send_to(&reply, from));
        }
    }
}

/// A probe that runs until [`Probe::finish`].
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Result<ProbeReport, std::io::Error>, Failure>>,
}

/// What a probe saw.
#[derive(Debug, Clone, Default)]
pub struct ProbeReport {
    /// Questions sent.
    pub sent: u64,
    /// Questions that nobody answered.
    pub lost: u64,
    /// Who answered how many.
    pub answers: BTreeMap<String, u64>,
    /// Longest time from an answer to the next one.
    pub longest_silence: Duration,
    /// Longest time by which the probe itself was late: nobody can be blamed for a silence as long as that.
    pub own_lateness: Duration,
    /// How often the one who answers changed, from question to question: answers may overtake each other.
    pub changes: u64,
}

impl Probe {
    /// Asks `address` from `host` every `interval`.
    pub fn start(host: &Host, address: IpAddr, interval: Duration) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let target = SocketAddr::new(address, PORT);
        let thread = host.spawn_thread(move || ask(target, interval, &seen))?;
        Ok(Self { stop, thread })
    }

    /// Stops asking, waits for the last answers and reports.
    pub fn finish(self) -> Result<ProbeReport, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| Failure::new("the probe ended"))??
            .map_err(|cause| Failure::instrument("probe", cause))
    }
}

fn ask(target: SocketAddr, interval: Duration, stop: &AtomicBool) -> std::io::Result<ProbeReport> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    have_room(&socket)?;
    let mut state = Asking { answered: Vec::new(), report: ProbeReport::default(), last: now() };
    let mut next = now();
    while !stop.load(Ordering::Relaxed) {
        let sequence = state.report.sent;
        state.report.sent += 1;
        state.answered.push(None);
        // An error (no route, host unreachable) is a question that nobody answers.
        drop(socket.send_to(&sequence.to_be_bytes(), target));
        next += interval;
        // After a stall of this machine: on from here, no burst.
        let moment = now();
        let late = moment.saturating_duration_since(next);
        state.report.own_lateness = state.report.own_lateness.max(late);
        next = next.max(moment);
        while let Some(left) = next.checked_duration_since(now()).filter(|left| !left.is_zero()) {
            readable(&socket, left);
            state.take(&socket);
        }
        state.take(&socket);
    }
    let end = now() + LAST_ANSWERS;
    while let Some(left) = end.checked_duration_since(now()).filter(|_| state.is_waiting()) {
        readable(&socket, left);
        state.take(&socket);
    }
    Ok(state.judge())
}

struct Asking {
    /// Who answered each question.
    answered: Vec<Option<String>>,
    report: ProbeReport,
    last: Instant,
}

impl Asking {
    fn is_waiting(&self) -> bool {
        self.answered.iter().any(Option::is_none)
    }

    fn judge(mut self) -> ProbeReport {
        let lost = self.answered.iter().filter(|answered| answered.is_none()).count();
        self.report.lost = lost.try_into().unwrap_or(0);
        let mut before = None;
        for name in self.answered.into_iter().flatten() {
            if before.as_ref().is_some_and(|before| *before != name) {
                self.report.changes += 1;
            }
            *self.report.answers.entry(name.clone()).or_default() += 1;
            before = Some(name);
        }
        self.report
    }

    fn take(&mut self, socket: &UdpSocket) {
        let mut buffer = [0_u8; 64];
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let Some((head, name)) = buffer[..length].split_first_chunk::<8>() else { continue };
            let Ok(index) = usize::try_from(u64::from_be_bytes(*head)) else { continue };
            let Some(answered) = self.answered.get_mut(index) else { continue };
            *answered = Some(String::from_utf8_lossy(name).into_owned());
            let arrival = now();
            self.report.longest_silence = self.report.longest_silence.max(arrival - self.last);
            self.last = arrival;
        }
    }
}

fn readable(socket: &UdpSocket, within: Duration) {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    ppoll(&mut fds, Some(TimeSpec::from(within)), None).ok();
}

const PORT: u16 = 7777;
const ROOM: usize = 8 << 20;
const LAST_ANSWERS: Duration = Duration::from_millis(1000);
