//! The event loop of every process: readiness of descriptors, one absolute timer, and the only clock.
//!
//! mio rounds its own time-outs up to whole milliseconds, so deadlines go to a timerfd of CLOCK_MONOTONIC that is
//! armed for an absolute instant. Events are edge-triggered: a handler reads until `WouldBlock`, or remembers
//! that it stopped early.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use config::model::units::MonoTime;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId as Clock, clock_gettime};

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Number given at registration.
    pub key: usize,
    /// Reading makes progress; closed and failed descriptors count as readable.
    pub readable: bool,
    /// Writing makes progress.
    pub writable: bool,
    /// The other side sends nothing more: behind what has come stands the end.
    pub ended: bool,
    /// An error waits to be asked for.
    pub failed: bool,
}

impl Ready {
    /// To read again what was left, without an event: the end may be among it.
    #[must_use]
    pub fn again(key: usize) -> Self {
        Self { key, readable: true, writable: false, ended: true, failed: false }
    }

    /// The connection that a socket was making stands: SO_ERROR would say no more.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.writable && !self.failed
    }
}

/// The event loop.
#[derive(Debug)]
pub struct Reactor {
    poll: Poll,
    timer: TimerFd,
    armed: Option<MonoTime>,
    events: Events,
    turned_at: MonoTime,
    lateness: Duration,
}

/// Key of the loop's own timer: `usize::MAX`, never given to a caller.
const TIMER: Token = Token(usize::MAX);
const EVENTS: usize = 256;

/// Processor time that this process has used: what work costs, however busy the machine is.
#[must_use]
pub fn processor_time() -> Duration {
    clock_gettime(Clock::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Reads CLOCK_MONOTONIC. Everything but the loop gets the time as an argument.
#[must_use]
pub fn now() -> MonoTime {
    clock_gettime(Clock::CLOCK_MONOTONIC).map_or_else(
        |_| MonoTime::default(),
        |time| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
            MonoTime::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
        },
    )
}

/// Reads CLOCK_REALTIME: time since 1970, which may jump. For time stamps that leave this machine, and nothing else.
#[must_use]
pub fn wall_clock() -> Duration {
    clock_gettime(Clock::CLOCK_REALTIME).map_or(Duration::ZERO, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec()).unwrap_or(0))
    })
}

/// The same in whole milliseconds, for times of day and for files that people read.
#[must_use]
pub fn wall_ms() -> u64 {
    u64::try_from(wall_clock().as_millis()).unwrap_or(u64::MAX)
}

impl Reactor {
    /// New loop with its timer.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Self {
            poll,
            timer,
            armed: None,
            events: Events::with_capacity(EVENTS),
            turned_at: now(),
            lateness: Duration::ZERO,
        })
    }

    /// Watches a descriptor for reading and writing, edge-triggered, under `key`.
    ///
    /// # Errors
    /// It is watched already, or can't be watched.
    pub fn watch(&self, fd: RawFd, key: usize) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd), Token(key), Interest::READABLE | Interest::WRITABLE)
    }

    /// Watches a descriptor for reading only.
    ///
    /// # Errors
    /// It is watched already, or can't be watched.
    pub fn watch_reads(&self, fd: RawFd, key: usize) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd), Token(key), Interest::READABLE)
    }

    /// Stops watching; closing the descriptor does so too when no duplicate of it exists.
    ///
    /// # Errors
    /// It is not watched.
    pub fn forget(&self, fd: RawFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd))
    }

    /// Waits until something is ready or `deadline` has come (`None`: for ever), fills `ready` and returns the
    /// time at which the wait ended.
    ///
    /// # Errors
    /// The kernel refuses to wait, which no caller can mend.
    pub fn turn(&mut self, deadline: Option<MonoTime>, ready: &mut Vec<Ready>) -> io::Result<MonoTime> {
        ready.clear();
        let wait = match deadline {
            // Whoever is busy needs no timer: one that is still armed wakes the loop once for nothing.
            Some(instant) if instant <= now() => Some(Duration::ZERO),
            Some(_) | None => {
                self.arm(deadline)?;
                None
            }
        };
        match self.poll.poll(&mut self.events, wait) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        for event in &self.events {
            if event.token() == TIMER {
                // Not read: it is watched edge-triggered, and arming it again makes it unexpired.
                self.armed = None;
                continue;
            }
            ready.push(Ready {
                key: event.token().0,
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable(),
                ended: event.is_read_closed(),
                failed: event.is_error(),
            });
        }
        let end = now();
        self.lateness = deadline.map_or(Duration::ZERO, |instant| end.since(instant.max(self.turned_at)));
        self.turned_at = end;
        Ok(end)
    }

    /// By how much the last turn missed its deadline: zero when something else ended the wait before. A deadline from
    /// before the turn that set it, which asks for no wait, counts from that turn.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        self.lateness
    }

    fn arm(&mut self, deadline: Option<MonoTime>) -> io::Result<()> {
        if self.armed == deadline {
            return Ok(());
        }
        match deadline {
            Some(instant) => {
                let nanos = instant.nanos().max(1);
                let time = TimeSpec::from_duration(Duration::from_nanos(nanos));
                self.timer.set(Expiration::OneShot(time), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
            None => self.timer.unset()?,
        }
        self.armed = deadline;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_deadline_ends_the_wait_and_not_before() {
        let mut reactor = Reactor::new().unwrap();
        let deadline = now() + Duration::from_micros(300);
        let woke = reactor.turn(Some(deadline), &mut Vec::new()).unwrap();
        assert!(woke >= deadline);
    }

    #[test]
    fn a_deadline_in_the_past_does_not_wait() {
        let mut reactor = Reactor::new().unwrap();
        let past = now() - Duration::from_secs(1);
        for _ in 0..3 {
            reactor.turn(Some(past), &mut Vec::new()).unwrap();
            assert!(reactor.lateness() < Duration::from_secs(1));
        }
    }

    #[test]
    fn a_deadline_that_came_between_two_turns_was_missed() {
        let mut reactor = Reactor::new().unwrap();
        let missed = reactor.turn(Some(now()), &mut Vec::new()).unwrap();
        while now().since(missed) < Duration::from_millis(2) {}
        reactor.turn(Some(missed), &mut Vec::new()).unwrap();
        assert!(reactor.lateness() >= Duration::from_millis(2));
    }

    #[test]
    fn a_readable_descriptor_is_reported_under_its_key() {
        let mut reactor = Reactor::new().unwrap();
        let (mut a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        reactor.watch_reads(b.as_raw_fd(), 7).unwrap();
        a.write_all(b"x").unwrap();
        let mut ready = Vec::new();
        reactor.turn(None, &mut ready).unwrap();
        assert_eq!(ready, [Ready { key: 7, readable: true, writable: false, ended: false, failed: false }]);
    }

    #[test]
    fn a_connection_stands_or_has_failed_as_its_event_says() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
        use std::net::{SocketAddr, TcpListener};
        let begin = |to: SocketAddr| {
            let socket =
                socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
            let _under_way = connect(socket.as_raw_fd(), &SockaddrStorage::from(to));
            socket
        };
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (to, stands) in [(open.local_addr().unwrap(), true), (closed, false)] {
            let mut reactor = Reactor::new().unwrap();
            let socket = begin(to);
            reactor.watch(socket.as_raw_fd(), 1).unwrap();
            let mut ready = Vec::new();
            reactor.turn(None, &mut ready).unwrap();
            assert_eq!(ready.first().unwrap().is_connected(), stands, "{to}");
        }
    }

    #[test]
    fn a_closed_peer_is_readable() {
        let mut reactor = Reactor::new().unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        reactor.watch_reads(b.as_raw_fd(), 1).unwrap();
        drop(a);
        let mut ready = Vec::new();
        reactor.turn(None, &mut ready).unwrap();
        assert!(ready.first().unwrap().readable);
    }
}
