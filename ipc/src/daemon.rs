//! A daemon's link to its parent: greeting, log lines, and messages that may not be lost silently.
//!
//! Used by vrrpd, checkd and ipvsd alike. Log lines are the first to go when the parent doesn't read; what was
//! dropped is counted and told later.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use config::model::units::MonoTime;
use sandbox::UnknownCalls;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::{CarriesFds, Channel, ReceiveError, SendError};
use crate::codec::{self, MAX_FRAME};
use crate::handshake;
use crate::messages::{FromDaemon, Level};

/// Bytes of queue that log lines may fill; the rest is for messages that matter.
const LOG_QUEUE: usize = 256 * 1024;

/// Longest log line in bytes.
const MAX_LINE: usize = 4096;

/// A daemon's link to its parent.
#[derive(Debug)]
pub struct Link<Out, In> {
    channel: Channel<Out, In>,
    dropped_lines: u64,
    dropped_messages: u64,
}

/// Argument by which the parent asks for `seccomp_unknown exit`.
pub const STRICT_ARGUMENT: &str = "--exit-on-unknown-call";

/// Beginning of the argument by which the parent asks to be told of late timers; microseconds follow.
pub const LATE_ARGUMENT: &str = "--tell-lateness=";

/// Which late timers the parent is told of (`max_auto_priority`): those that are as late as it asked for, and one in
/// each pause, since what else is late meanwhile has the same cause.
#[derive(Debug, Default)]
pub struct Lateness {
    least: Option<Duration>,
    quiet_until: MonoTime,
}

impl Lateness {
    /// Pause after a late timer that was told.
    const PAUSE: Duration = Duration::from_millis(100);

    /// What this process's arguments ask for.
    #[must_use]
    pub fn asked_for() -> Self {
        let mut arguments = std::env::args();
        let least = arguments.find_map(|argument| argument.strip_prefix(LATE_ARGUMENT)?.parse().ok());
        Self { least: least.map(Duration::from_micros), quiet_until: MonoTime::default() }
    }

    /// What the parent should hear of a turn that began this late.
    pub fn heed(&mut self, late: Duration, now: MonoTime) -> Option<FromDaemon> {
        if self.least.is_none_or(|least| late < least) || now < self.quiet_until {
            return None;
        }
        self.quiet_until = now + Self::PAUSE;
        Some(FromDaemon::Late(u64::try_from(late.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// What this process's arguments say of system calls that its profile doesn't list.
#[must_use]
pub fn unknown_calls() -> UnknownCalls {
    let strict = std::env::args_os().any(|argument| argument == STRICT_ARGUMENT);
    if strict { UnknownCalls::Exit } else { UnknownCalls::Refuse }
}

impl<Out, In> Link<Out, In>
where
    Out: Serialize + CarriesFds + From<FromDaemon>,
    In: DeserializeOwned + CarriesFds,
{
    /// Takes the socket and greets.
    ///
    /// # Errors
    /// The parent is gone.
    pub fn greet(socket: UnixStream) -> Result<Self, SendError> {
        let mut link = Self { channel: Channel::new(socket, true)?, dropped_lines: 0, dropped_messages: 0 };
        link.channel.send(&Out::from(handshake::hello()), &[])?;
        Ok(link)
    }

    /// From here on a panic of this process becomes one log line of the parent before the process ends. Only for
    /// the daemons' own mains: the hook holds for the whole process.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn report_panics(&self) -> io::Result<()>
    where
        Out: 'static,
    {
        let socket = UnixStream::from(self.channel.as_fd().try_clone_to_owned()?);
        sandbox::install_panic_hook(Box::new(move |line| {
            let text = line.chars().take(MAX_LINE / 4).collect();
            let message = Out::from(FromDaemon::Log { level: Level::Alert, text });
            let Ok(body) = codec::encode(&message, MAX_FRAME) else { return };
            let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
            let _the_process_ends_anyway = (&socket).write_all(&[length.as_slice(), &body].concat());
        }));
        Ok(())
    }

    /// Queues a log line; dropped and counted when the parent doesn't read.
    pub fn log(&mut self, level: Level, text: impl Into<String>) {
        if self.channel.queued() > LOG_QUEUE {
            self.dropped_lines = self.dropped_lines.saturating_add(1);
            return;
        }
        if self.dropped_lines > 0 {
            let told = self.channel.send(&Out::from(FromDaemon::LogDropped(self.dropped_lines)), &[]);
            if told.is_ok() {
                self.dropped_lines = 0;
            }
        }
        let mut text = text.into();
        if text.len() > MAX_LINE {
            let end = (0..=MAX_LINE).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
        }
        if self.channel.send(&Out::from(FromDaemon::Log { level, text }), &[]).is_err() {
            self.dropped_lines = self.dropped_lines.saturating_add(1);
        }
    }

    /// Queues what every daemon sends.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn tell(&mut self, message: FromDaemon) -> Result<(), SendError> {
        self.send(&Out::from(message), &[])
    }

    /// Queues a message.
    ///
    /// # Errors
    /// As [`Channel::send`]; a full queue is counted in [`Self::dropped_messages`].
    pub fn send(&mut self, message: &Out, fds: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        let sent = self.channel.send(message, fds);
        if matches!(sent, Err(SendError::Full(_))) {
            self.dropped_messages = self.dropped_messages.saturating_add(1);
        }
        sent
    }

    /// Messages that found the queue full since start: the parent's copy may be stale until they are repeated.
    #[must_use]
    pub fn dropped_messages(&self) -> u64 {
        self.dropped_messages
    }

    /// What is logged and sent from now on waits for [`Self::uncork`].
    pub fn cork(&mut self) {
        self.channel.cork();
    }

    /// Sends what waits since [`Self::cork`]; see [`Channel::uncork`].
    ///
    /// # Errors
    /// The parent is gone.
    pub fn uncork(&mut self) -> io::Result<bool> {
        self.channel.uncork()
    }

    /// Sends what waits; true when nothing is left.
    ///
    /// # Errors
    /// The parent is gone.
    pub fn flush(&mut self) -> io::Result<bool> {
        self.channel.flush()
    }

    /// Bytes that wait for the parent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.channel.queued()
    }

    /// Next message; see [`Channel::receive`].
    ///
    /// # Errors
    /// As [`Channel::receive`].
    pub fn receive(&mut self) -> Result<Option<(In, Vec<OwnedFd>)>, ReceiveError> {
        self.channel.receive()
    }
}

impl<Out, In> AsRawFd for Link<Out, In> {
    fn as_raw_fd(&self) -> RawFd {
        self.channel.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_timers_are_told_from_the_wanted_lateness_on_and_once_in_100_ms() {
        let at = |ms: u64| MonoTime::from_nanos(ms * 1_000_000);
        let mut lateness =
            Lateness { least: Some(Duration::from_millis(20)), quiet_until: MonoTime::default() };
        assert_eq!(lateness.heed(Duration::from_micros(19_999), at(1_000)), None);
        assert_eq!(lateness.heed(Duration::from_millis(20), at(1_000)), Some(FromDaemon::Late(20_000)));
        assert_eq!(lateness.heed(Duration::from_millis(500), at(1_099)), None);
        assert_eq!(lateness.heed(Duration::from_millis(500), at(1_100)), Some(FromDaemon::Late(500_000)));
    }

    #[test]
    fn nothing_is_told_that_was_not_asked_for() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.heed(Duration::from_secs(60), MonoTime::from_nanos(1)), None);
    }
}
