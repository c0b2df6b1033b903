//! The control sockets: JSON objects in Varlink framing from keepalivectl and whoever else may connect.
//!
//! `control.sock` takes every request, `status.sock` those that change nothing. Driver of bytes only; what a request
//! leads to is decided in `run`. Clients are not trusted: their credentials are checked at connect, their requests
//! capped, their number and rate bounded, and one that doesn't read is dropped.

mod call;
mod pace;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use config::model::units::MonoTime;
use ipc::messages::ctl::{MAX_REQUEST, Reply, Request};
use nix::sys::socket::{getsockopt, sockopt};

use crate::events::Ring;
use call::{Call, Refusal};
use pace::Pace;

/// Clients of one socket at once.
const MAX_CLIENTS: usize = 32;
/// Clients that follow events at once, so that they leave room for those that ask.
const MAX_FOLLOWERS: usize = 16;
/// Bytes that wait for a client that doesn't read.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// Both sockets and their clients.
#[derive(Debug)]
pub struct Control {
    doors: Vec<Door>,
    clients: BTreeMap<usize, Client>,
    answered: Vec<usize>,
    refused: u64,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Orders and questions.
    Full,
    /// Questions only.
    Reading,
}

impl Access {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Full, Self::Reading];

    fn file(self) -> &'static str {
        match self {
            Self::Full => "control.sock",
            Self::Reading => "status.sock",
        }
    }
}

#[derive(Debug)]
struct Door {
    access: Access,
    listener: UnixListener,
    path: PathBuf,
    group: Option<u32>,
    pace: Pace,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    access: Access,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    closing: bool,
    /// A request of it has yet to be answered; the next one is not read before.
    asking: bool,
    /// It wants no answer to that request.
    one_way: bool,
    /// It follows events: the number of the last one that it has been told.
    told: Option<u64>,
}

/// What a client asked, or why it can't be answered.
#[derive(Debug)]
pub enum Asked {
    /// A request.
    Request(Request),
    /// The client has been told an error already.
    Failed,
}

/// Whether a suite listens in a run directory.
#[must_use]
pub fn is_served(run_dir: &Path) -> bool {
    is_answered(&run_dir.join(Access::Full.file()))
}

fn is_answered(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

impl Door {
    fn open(directory: &Path, access: Access, group: Option<u32>) -> io::Result<Self> {
        let path = directory.join(access.file());
        if is_answered(&path) {
            let why = "another keepalived listens there: give each its own --run-dir";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(if group.is_some() { 0o660 } else { 0o600 }))?;
        if group.is_some() {
            std::os::unix::fs::chown(&path, None, group)?;
        }
        listener.set_nonblocking(true)?;
        Ok(Self { access, listener, path, group, pace: Pace::default() })
    }

    fn may_connect(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = getsockopt(stream, sockopt::PeerCredentials) else { return false };
        peer.uid() == 0 || self.group.is_some_and(|group| peer.gid() == group || is_member(peer.uid(), group))
    }
}

impl Control {
    /// Listens in the run directory. Root may connect to both sockets, members of `group` to `control.sock`, those of
    /// `readers` to `status.sock`; without `readers` those of `group` to both.
    ///
    /// # Errors
    /// A socket can't be made.
    pub fn listen(directory: &Path, group: Option<u32>, readers: Option<u32>) -> io::Result<Self> {
        let control = Door::open(directory, Access::Full, group)?;
        let status = Door::open(directory, Access::Reading, readers.or(group))?;
        Ok(Self { doors: vec![control, status], clients: BTreeMap::new(), answered: Vec::new(), refused: 0 })
    }

    /// Descriptors to watch for reading.
    pub fn fds(&self) -> impl Iterator<Item = (Access, RawFd)> + '_ {
        self.doors.iter().map(|door| (door.access, door.listener.as_raw_fd()))
    }

    /// Requests and connections refused since start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// True when this key is a client's.
    #[must_use]
    pub fn has(&self, key: usize) -> bool {
        self.clients.contains_key(&key)
    }

    /// Takes one waiting connection under `key`; its descriptor is to be watched. `None` when nobody waits.
    pub fn accept(&mut self, access: Access, key: usize) -> Option<Result<RawFd, Refused>> {
        let door = self.doors.iter().find(|door| door.access == access)?;
        let (stream, _) = door.listener.accept().ok()?;
        let neighbours = self.clients.values().filter(|client| client.access == access).count();
        if neighbours >= MAX_CLIENTS || !door.may_connect(&stream) || stream.set_nonblocking(true).is_err() {
            self.refused = self.refused.saturating_add(1);
            return Some(Err(Refused));
        }
        let fd = stream.as_raw_fd();
        let client = Client {
            stream,
            access,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            closing: false,
            asking: false,
            one_way: false,
            told: None,
        };
        self.clients.insert(key, client);
        Some(Ok(fd))
    }

    /// A client is readable or has taken an answer: its next request, if one is complete. Call until `None`.
    ///
    /// A client has one request under way and one answer in its queue, so that it can't make this process hold more.
    pub fn read(&mut self, key: usize, now: MonoTime) -> Option<Asked> {
        let client = self.clients.get_mut(&key)?;
        if client.told.is_some() {
            self.listen_for_end(key);
            return None;
        }
        if client.asking || !client.output.is_empty() {
            return None;
        }
        loop {
            if let Some(end) = client.input.iter().position(|&byte| byte == 0) {
                let object: Vec<u8> = client.input.drain(..=end).collect();
                let text = object.get(..end).unwrap_or_default();
                client.asking = true;
                let access = client.access;
                let mut doors = self.doors.iter_mut();
                // Also what is no request at all costs its understanding.
                let admitted =
                    doors.find(|door| door.access == access).is_none_or(|door| door.pace.admit(now));
                client.one_way = call::wants_no_answer(text);
                let request = match admitted {
                    true => Call::read(text).and_then(|call| call.permitted(access)),
                    false => Err(Refusal::TooManyRequests),
                };
                return Some(match request {
                    Ok(request) => Asked::Request(request),
                    Err(refusal) => {
                        self.refused = self.refused.saturating_add(1);
                        let (error, parameters) = refusal.answer();
                        self.fail_with(key, error, parameters);
                        Asked::Failed
                    }
                });
            }
            if client.input.len() > MAX_REQUEST {
                self.refused = self.refused.saturating_add(1);
                self.clients.remove(&key);
                return None;
            }
            let mut bytes = [0; 1024];
            match client.stream.read(&mut bytes) {
                Ok(0) => {
                    client.closing = true;
                    if client.output.is_empty() {
                        self.clients.remove(&key);
                    }
                    return None;
                }
                Ok(got) => client.input.extend_from_slice(bytes.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.clients.remove(&key);
                    return None;
                }
            }
        }
    }

    /// A client that follows events has nothing more to say: it is gone, or breaks the rules.
    fn listen_for_end(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        match client.stream.read(&mut [0; 64]) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => {
                self.clients.remove(&key);
            }
        }
    }

    /// From now on this client is told what happens behind event `known`; false when too many are told already.
    pub fn follow(&mut self, key: usize, known: u64) -> bool {
        if self.clients.values().filter(|client| client.told.is_some()).count() >= MAX_FOLLOWERS {
            return false;
        }
        if let Some(client) = self.clients.get_mut(&key) {
            client.told = Some(known);
        }
        true
    }

    /// Tells followers what is news to them. One that doesn't read holds up nobody: it gets no further part before it
    /// has taken the last one, and hears how many events it has missed when they are no longer kept.
    pub fn feed(&mut self, ring: &Ring) {
        let last = ring.last();
        let hungry =
            |client: &Client| client.output.is_empty() && client.told.is_some_and(|told| told < last);
        let keys: Vec<usize> =
            self.clients.iter().filter(|(_, client)| hungry(client)).map(|(key, _)| *key).collect();
        for key in keys {
            while let Some(client) = self.clients.get_mut(&key).filter(|client| client.output.is_empty()) {
                let Some(part) = client.told.and_then(|told| ring.after(told)) else { break };
                client.told = part.events.last().map(|event| event.number);
                let answer = serde_json::json!({ "parameters": part, "continues": true });
                let Ok(text) = serde_json::to_vec(&answer) else { break };
                self.queue(key, text);
            }
        }
    }

    /// Answers a client; nothing happens when it has gone.
    pub fn reply<T: serde::Serialize>(&mut self, key: usize, parameters: T) {
        if let Ok(text) = serde_json::to_vec(&Reply { parameters }) {
            self.queue(key, text);
        }
    }

    /// Answers a client with a reply that is written already.
    pub fn answer(&mut self, key: usize, reply: Vec<u8>) {
        self.queue(key, reply);
    }

    /// Tells a client that its call failed, and why in words.
    pub fn fail(&mut self, key: usize, error: &str, message: &str) {
        self.fail_with(key, error, serde_json::json!({ "message": message }));
    }

    /// Tells a client that nobody here has an interface.
    pub fn fail_interface(&mut self, key: usize, interface: &str) {
        let (error, parameters) = Refusal::InterfaceNotFound(interface.to_owned()).answer();
        self.fail_with(key, error, parameters);
    }

    fn fail_with(&mut self, key: usize, error: &str, parameters: serde_json::Value) {
        let failure = serde_json::json!({ "error": error, "parameters": parameters });
        if let Ok(text) = serde_json::to_vec(&failure) {
            self.queue(key, text);
        }
    }

    fn queue(&mut self, key: usize, mut text: Vec<u8>) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        if std::mem::take(&mut client.asking) {
            self.answered.push(key);
        }
        if std::mem::take(&mut client.one_way) {
            return;
        }
        if client.output.len().saturating_add(text.len()) > MAX_WAITING {
            self.clients.remove(&key);
            return;
        }
        text.push(0);
        if client.output.is_empty() {
            client.output = text;
        } else {
            client.output.append(&mut text);
        }
        self.flush(key);
    }

    /// Clients that were answered since the last call: their next request may wait without an event, or they are gone.
    pub fn take_answered(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.answered)
    }

    /// A client is writable.
    pub fn flush(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        while let Some(rest) = client.output.get(client.sent..).filter(|rest| !rest.is_empty()) {
            match client.stream.write(rest) {
                Ok(sent) => client.sent = client.sent.saturating_add(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.clients.remove(&key);
                    return;
                }
            }
        }
        // The room of a large answer isn't kept.
        client.output = Vec::new();
        client.sent = 0;
        if client.closing {
            self.clients.remove(&key);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        for door in &self.doors {
            let _gone = fs::remove_file(&door.path);
        }
    }
}

/// A connection that was closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Looks only at `/etc/group`: the name service could block.
fn is_member(uid: u32, group: u32) -> bool {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut names = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    let Some(name) = names.next() else { return false };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    groups.lines().any(|line| {
        let mut fields = line.split(':');
        let is_group = fields.nth(2).and_then(|gid| gid.parse().ok()) == Some(group);
        is_group && fields.next().is_some_and(|members| members.split(',').any(|member| member == name))
    })
}

#[cfg(test)]
mod tests {
    use ipc::messages::ctl::events::EventKind;

    use super::*;
    use crate::scratch::Scratch;

    const NOW: MonoTime = MonoTime::from_nanos(0);

    fn listening(name: &str) -> (Scratch, Control) {
        let path = Scratch::new(&format!("control-{name}"));
        let control = Control::listen(&path, None, None).unwrap();
        (path, control)
    }

    const STATUS: &[u8] = b"{\"method\":\"org.keepalived.Control.GetStatus\"}\0";

    #[test]
    fn the_second_request_waits_for_the_first_answer() {
        let (path, mut control) = listening("second");
        let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
        client.write_all(&[STATUS, STATUS].concat()).unwrap();
        control.accept(Access::Full, 1).unwrap().unwrap();
        assert!(matches!(control.read(1, NOW), Some(Asked::Request(Request::GetStatus(_)))));
        assert!(control.read(1, NOW).is_none());
        control.reply(1, 7);
        assert!(matches!(control.read(1, NOW), Some(Asked::Request(Request::GetStatus(_)))));
    }

    #[test]
    fn a_client_that_does_not_read_is_read_no_further() {
        let (path, mut control) = listening("slow");
        let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
        client.write_all(&[STATUS, STATUS].concat()).unwrap();
        control.accept(Access::Full, 1).unwrap().unwrap();
        assert!(control.read(1, NOW).is_some());
        control.reply(1, "x".repeat(4_000_000));
        assert!(control.read(1, NOW).is_none(), "its answer has not been taken");
        let mut taken = vec![0; 1 << 20];
        let mut left = 4_000_000;
        while left > 0 {
            let got = client.read(&mut taken).unwrap();
            left -= got.min(left);
            control.flush(1);
        }
        assert!(control.read(1, NOW).is_some());
    }

    #[test]
    fn nul_bytes_cost_an_answer_each_and_no_more_than_a_queue() {
        let (path, mut control) = listening("nul");
        let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
        client.write_all(&[0; 4096]).unwrap();
        control.accept(Access::Full, 1).unwrap().unwrap();
        let answered = std::iter::from_fn(|| control.read(1, NOW)).count();
        assert!((1..=4096).contains(&answered), "{answered}");
        assert!(control.clients.values().all(|client| client.output.len() < 1_000));
    }

    #[test]
    fn a_socket_that_somebody_listens_on_is_not_taken_away() {
        let (path, control) = listening("taken");
        assert_eq!(Control::listen(&path, None, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(control);
        assert!(Control::listen(&path, None, None).is_ok(), "a socket left behind is replaced");
    }

    #[test]
    fn a_follower_is_told_everything_once_and_may_go() {
        let (path, mut control) = listening("follow");
        let mut client = UnixStream::connect(path.join("status.sock")).unwrap();
        client.write_all(b"{\"method\":\"org.keepalived.Control.Watch\",\"more\":true}\0").unwrap();
        control.accept(Access::Reading, 1).unwrap().unwrap();
        assert!(matches!(control.read(1, NOW), Some(Asked::Request(Request::Watch(_)))));
        let mut ring = Ring::default();
        assert!(control.follow(1, ring.last()));
        ring.enter(5, EventKind::Instance, "VI_1", "MASTER", "");
        control.feed(&ring);
        control.feed(&ring);
        let mut bytes = [0; 4096];
        let got = client.read(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..got]).unwrap();
        assert_eq!(text.matches("\"continues\":true").count(), 1, "{text}");
        assert!(text.contains("\"name\":\"VI_1\""), "{text}");
        drop(client);
        assert!(control.read(1, NOW).is_none() && !control.has(1));
    }

    #[test]
    fn what_changes_something_is_refused_by_the_socket_for_reading() {
        let (path, mut control) = listening("reading");
        let mut client = UnixStream::connect(path.join("status.sock")).unwrap();
        client.write_all(b"{\"method\":\"org.keepalived.Control.Stop\"}\0").unwrap();
        client.write_all(STATUS).unwrap();
        control.accept(Access::Reading, 1).unwrap().unwrap();
        assert!(matches!(control.read(1, NOW), Some(Asked::Failed)));
        assert!(matches!(control.read(1, NOW), Some(Asked::Request(Request::GetStatus(_)))));
    }

    #[test]
    fn a_call_that_wants_no_answer_gets_none() {
        let (path, mut control) = listening("one-way");
        let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
        client.write_all(b"{\"method\":\"org.keepalived.Control.Reload\",\"oneway\":true}\0").unwrap();
        client.write_all(STATUS).unwrap();
        control.accept(Access::Full, 1).unwrap().unwrap();
        assert!(matches!(control.read(1, NOW), Some(Asked::Request(Request::Reload(_)))));
        control.reply(1, 7);
        assert!(matches!(control.read(1, NOW), Some(Asked::Request(Request::GetStatus(_)))));
        control.reply(1, 8);
        let mut bytes = [0; 64];
        let got = client.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..got], b"{\"parameters\":8}\0");
    }

    #[test]
    fn the_three_hundredth_request_of_a_moment_is_refused() {
        let (path, mut control) = listening("rate");
        let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
        control.accept(Access::Full, 1).unwrap().unwrap();
        let mut refused = 0;
        for _request in 0..300 {
            client.write_all(STATUS).unwrap();
            match control.read(1, NOW) {
                Some(Asked::Request(_)) => control.reply(1, 7),
                Some(Asked::Failed) => refused += 1,
                None => panic!("nothing was read"),
            }
            assert!(client.read(&mut [0; 512]).unwrap() > 0);
        }
        assert_eq!(refused, 100);
    }

    #[test]
    fn a_call_that_wants_no_answer_gets_none_when_it_comes_too_soon_either() {
        let (path, mut control) = listening("one-way-rate");
        let mut client = UnixStream::connect(path.join("control.sock")).unwrap();
        control.accept(Access::Full, 1).unwrap().unwrap();
        for _request in 0..201 {
            client.write_all(b"{\"method\":\"org.keepalived.Control.Reload\",\"oneway\":true}\0").unwrap();
            if let Some(Asked::Request(_)) = control.read(1, NOW) {
                control.reply(1, 7);
            }
        }
        assert_eq!(control.refused(), 1);
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_no_request_is_paced_as_one() {
        let (path, mut control) = listening("garbage");
        let mut client = UnixStream::connect(path.join("status.sock")).unwrap();
        control.accept(Access::Reading, 1).unwrap().unwrap();
        let mut answers = Vec::new();
        for _request in 0..201 {
            client.write_all(b"[]\0").unwrap();
            assert!(matches!(control.read(1, NOW), Some(Asked::Failed)));
            let mut bytes = [0; 512];
            let got = client.read(&mut bytes).unwrap();
            answers.push(String::from_utf8_lossy(&bytes[..got]).into_owned());
        }
        assert!(answers[199].contains("InvalidParameter"), "{}", answers[199]);
        assert!(answers[200].contains("TooManyRequests"), "{}", answers[200]);
    }
}
