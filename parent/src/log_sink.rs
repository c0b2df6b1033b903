//! Where log lines of all processes end: syslog, the console, or both. Only the parent holds these.
//!
//! Never blocks: a reader that stands still costs dropped lines, which are counted. Text from daemons is not
//! trusted: control characters are escaped, so that no line can pretend to be two.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use ipc::messages::Level;
use ipc::messages::ctl::Daemon;
use ipc::{date, reactor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::system::process::local_offset;
use syslog::Facility;

use crate::log_file::LogFile;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The parent.
    Parent,
    /// A daemon.
    Daemon(Daemon),
}

impl Speaker {
    /// Name in front of the line, upstream's where it has one.
    #[must_use]
    pub fn ident(self) -> &'static str {
        match self {
            Self::Parent => "Keepalived",
            Self::Daemon(Daemon::Vrrpd) => "Keepalived_vrrp",
            Self::Daemon(Daemon::Checkd) => "Keepalived_healthcheckers",
            Self::Daemon(Daemon::Ipvsd) => "Keepalived_ipvs",
        }
    }
}

/// Settings from the command line.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `-l`: lines go to the console too.
    pub console: bool,
    /// Not `-G`: lines go to syslog.
    pub syslog: bool,
    /// `-S`.
    pub facility: Facility,
    /// `-D`: lines of level Debug are kept.
    pub detail: bool,
    /// Network namespace and instance, behind every name.
    pub suffix: String,
    /// `-g`.
    pub file: Option<PathBuf>,
}

/// The sink.
#[derive(Debug)]
pub struct LogSink {
    settings: Settings,
    path: PathBuf,
    socket: Option<UnixDatagram>,
    file: Option<LogFile>,
    dropped: u64,
    missed: Missed,
}

/// One who gets lines.
#[derive(Debug, Clone, Copy)]
enum Reader {
    Console,
    File,
    Syslog,
}

/// Lines that each has missed since it last heard how many.
#[derive(Debug, Default)]
struct Missed {
    console: u64,
    file: u64,
    syslog: u64,
}

impl Missed {
    fn by(&mut self, reader: Reader) -> &mut u64 {
        match reader {
            Reader::Console => &mut self.console,
            Reader::File => &mut self.file,
            Reader::Syslog => &mut self.syslog,
        }
    }
}

/// One line, safe to show.
struct Line<'t> {
    speaker: Speaker,
    pid: Option<i32>,
    level: Level,
    text: &'t str,
}

const SOCKET: &str = "/dev/log";

impl LogSink {
    /// Nothing is connected yet: a missing syslog is tried again with every line.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::at(Path::new(SOCKET), settings)
    }

    /// The same with syslog listening at `path`.
    fn at(path: &Path, settings: Settings) -> Self {
        let file = settings.file.as_deref().map(LogFile::open);
        Self { settings, path: path.to_owned(), socket: None, file, dropped: 0, missed: Missed::default() }
    }

    /// Lines that could not be delivered since start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// True when details are wanted.
    #[must_use]
    pub fn is_detailed(&self) -> bool {
        self.settings.detail
    }

    /// True when lines of this level are wanted.
    #[must_use]
    pub fn keeps(&self, level: Level) -> bool {
        level != Level::Debug || self.settings.detail
    }

    /// Delivers one line, or counts it as dropped.
    pub fn write(&mut self, speaker: Speaker, pid: Option<i32>, level: Level, text: &str) {
        if !self.keeps(level) {
            return;
        }
        let line = Line { speaker, pid, level, text: &escaped(text) };
        let mut reaches_all = true;
        for reader in [Reader::Console, Reader::File, Reader::Syslog] {
            reaches_all &= self.deliver(reader, &line);
        }
        if !reaches_all {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// False when somebody who should have the line doesn't get it. Whoever has missed some hears first how many; the
    /// others don't.
    fn deliver(&mut self, reader: Reader, line: &Line<'_>) -> bool {
        let missed = *self.missed.by(reader);
        let text = format!("{missed} log lines were dropped");
        let notice = Line { speaker: Speaker::Parent, pid: None, level: Level::Warning, text: &text };
        let hears = missed == 0 || self.send(reader, &notice);
        if hears {
            *self.missed.by(reader) = 0;
        }
        let gets = hears && self.send(reader, line);
        if !gets {
            let missed = self.missed.by(reader);
            *missed = missed.saturating_add(1);
        }
        gets
    }

    fn send(&mut self, reader: Reader, line: &Line<'_>) -> bool {
        let name = || format!("{}{}", line.speaker.ident(), self.settings.suffix);
        match reader {
            Reader::Console => !self.settings.console || to_console(line.text),
            Reader::File => {
                let name = name();
                self.file.as_mut().is_none_or(|file| file.write(&name, line.text))
            }
            Reader::Syslog if !self.settings.syslog => true,
            Reader::Syslog => {
                let name = name();
                match self.send_to_syslog(&name, line.pid, line.level, line.text) {
                    Sent::Yes => true,
                    Sent::Lost => false,
                    // As in a container: who reads the console misses nothing.
                    Sent::NobodyListens => self.settings.console || self.file.is_some(),
                }
            }
        }
    }

    fn connect(&mut self) {
        let connected = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.connect(&self.path)?;
            Ok(socket)
        });
        self.socket = connected.ok();
    }

    fn send_to_syslog(&mut self, name: &str, pid: Option<i32>, level: Level, text: &str) -> Sent {
        let line = syslog_line(self.settings.facility, name, pid, level, text);
        for _attempt in 0..2 {
            if self.socket.is_none() {
                self.connect();
            }
            let Some(socket) = &self.socket else { return Sent::NobodyListens };
            match socket.send(line.as_bytes()) {
                Ok(_) => return Sent::Yes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Lost,
                Err(_) => self.socket = None,
            }
        }
        Sent::NobodyListens
    }
}

/// What became of a line for syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Yes,
    /// Syslog is behind.
    Lost,
    NobodyListens,
}

/// `<PRI>ident[pid]: text` (RFC 3164 section 4.1). The daemon that receives it stamps the time, in its own zone.
fn syslog_line(facility: Facility, name: &str, pid: Option<i32>, level: Level, text: &str) -> String {
    let severity = match level {
        Level::Alert => 1,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        // Details that were asked for are for everybody who reads the log.
        Level::Info | Level::Debug => 6,
    };
    let priority = u32::try_from(facility_number(facility)).unwrap_or(24) | severity;
    let pid = pid.unwrap_or_else(|| i32::try_from(std::process::id()).unwrap_or(0));
    format!("<{priority}>{name}[{pid}]: {text}")
}

/// Number of a facility, already shifted by three bits.
#[expect(clippy::as_conversions, reason = "the crate defines the numbers as discriminants of its enum")]
fn facility_number(facility: Facility) -> i64 {
    facility as i64
}

/// `date: text`, as keepalived writes there.
fn to_console(text: &str) -> bool {
    let stderr = io::stderr();
    let mut waiting = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if !matches!(poll(&mut waiting, PollTimeout::ZERO), Ok(1..)) {
        return false;
    }
    let seconds = reactor::wall_ms() / 1000;
    let local = seconds.saturating_add_signed(local_offset(seconds));
    let line = format!("{}: {text}\n", date::worded(local));
    stderr.lock().write_all(line.as_bytes()).is_ok()
}

/// Longest line in bytes: what a pipe takes without splitting, less the name in front.
const MAX_LINE: usize = 4000;

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if safe.len() >= MAX_LINE {
            safe.push_str("...");
            break;
        }
        if letter.is_control() {
            let _infallible = write!(safe, "\\x{:02x}", u32::from(letter));
        } else {
            safe.push(letter);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_line_break_can_not_forge_a_second_line() {
        assert_eq!(escaped("a\nKeepalived[1]: b\x1b[0m"), "a\\x0aKeepalived[1]: b\\x1b[0m");
    }

    fn to_syslog() -> Settings {
        Settings {
            console: false,
            syslog: true,
            facility: Facility::LOG_DAEMON,
            detail: false,
            suffix: String::new(),
            file: None,
        }
    }

    #[test]
    fn a_syslog_that_was_away_hears_how_many_lines_it_has_missed() {
        let directory = Scratch::new("missed-log");
        let path = directory.join("log");
        let mut sink = LogSink::at(&path, to_syslog());
        let mut say = |text: &str| sink.write(Speaker::Daemon(Daemon::Vrrpd), Some(7), Level::Info, text);
        for _ in 0..5 {
            say("nobody listens yet");
        }
        let listener = UnixDatagram::bind(&path).unwrap();
        say("here");
        let mut bytes = [0; 200];
        let mut heard = || {
            let got = listener.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..got]).split_once("]: ").unwrap().1.to_owned()
        };
        assert_eq!([heard(), heard()], ["5 log lines were dropped", "here"]);
        say("and again");
        let got = listener.recv(&mut bytes).unwrap();
        assert!(bytes[..got].ends_with(b"and again"));
    }

    #[test]
    fn only_who_has_missed_lines_hears_of_them() {
        let directory = Scratch::new("full-log");
        let (path, file) = (directory.join("log"), directory.join("file"));
        let listener = UnixDatagram::bind(&path).unwrap();
        let mut sink = LogSink::at(&path, Settings { file: Some(file.clone()), ..to_syslog() });
        let mut written = 0_u64;
        while sink.dropped() < 3 {
            sink.write(Speaker::Parent, None, Level::Info, "a line");
            written += 1;
        }
        listener.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let mut bytes = [0; 200];
        let mut hear = |heard: &mut Vec<String>| {
            while let Ok(got) = listener.recv(&mut bytes) {
                let line = String::from_utf8_lossy(&bytes[..got]).into_owned();
                heard.push(line.split_once("]: ").unwrap().1.to_owned());
            }
        };
        hear(&mut heard);
        sink.write(Speaker::Parent, None, Level::Info, "the last");
        hear(&mut heard);
        assert_eq!(heard.len(), usize::try_from(written).unwrap() - 3 + 2);
        assert_eq!(heard[heard.len() - 2..], ["3 log lines were dropped", "the last"]);
        drop(sink);
        // Another process writes it.
        let whole = || std::fs::read_to_string(&file).ok().filter(|text| text.ends_with("the last\n"));
        let text = loop {
            if let Some(text) = whole() {
                break text;
            }
            std::thread::yield_now();
        };
        assert_eq!(
            (text.lines().count(), text.matches("dropped").count()),
            (usize::try_from(written).unwrap() + 1, 0)
        );
    }

    #[test]
    fn a_syslog_that_was_away_gets_the_next_line() {
        let directory = Scratch::new("log");
        let path = directory.join("log");
        let mut sink = LogSink::at(&path, to_syslog());
        let mut say = |text: &str| sink.write(Speaker::Daemon(Daemon::Vrrpd), Some(7), Level::Info, text);
        say("nobody listens yet");
        for start in ["first", "second"] {
            let listener = UnixDatagram::bind(&path).unwrap();
            listener.set_nonblocking(true).unwrap();
            say(start);
            let mut bytes = [0; 200];
            let mut last = String::new();
            while let Ok(got) = listener.recv(&mut bytes) {
                last = String::from_utf8_lossy(&bytes[..got]).into_owned();
            }
            assert_eq!(last, format!("<30>Keepalived_vrrp[7]: {start}"));
            drop(listener);
            std::fs::remove_file(&path).unwrap();
            say("nobody listens");
        }
        assert_eq!(sink.dropped(), 3, "one before, one between and one after the listeners");
    }

    #[test]
    fn a_line_that_reached_a_file_is_not_lost_because_nobody_listens_for_syslog() {
        let directory = Scratch::new("no-log");
        let (path, file) = (directory.join("nobody"), directory.join("file"));
        let settings = Settings { file: Some(file.clone()), ..to_syslog() };
        let mut sink = LogSink::at(&path, settings);
        sink.write(Speaker::Parent, None, Level::Info, "as in a container");
        assert_eq!(sink.dropped(), 0);
        drop(sink);
        // Another process writes it.
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with("as in a container\n")) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_long_line_is_cut() {
        assert_eq!(escaped(&"x".repeat(10_000)).len(), MAX_LINE + 3);
    }

    #[test]
    fn daemons_carry_upstreams_names() {
        let line = syslog_line(
            Facility::LOG_DAEMON,
            Speaker::Daemon(Daemon::Vrrpd).ident(),
            Some(7),
            Level::Info,
            "(VI_1) Entering MASTER STATE",
        );
        assert_eq!(line, "<30>Keepalived_vrrp[7]: (VI_1) Entering MASTER STATE");
    }
}
