//! The control socket: JSON objects in Varlink framing from keepalivectl and whoever else may connect.
//!
//! Driver of bytes only; what a request leads to is decided in `run`. Clients are not trusted: their credentials are
//! checked at connect, their requests capped, their number bounded, and one that doesn't read is dropped.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use ipc::messages::ctl::{Failure, FailureParameters, MAX_REQUEST, Reply, Request};
use nix::sys::socket::{getsockopt, sockopt};

/// Clients at once.
const MAX_CLIENTS: usize = 32;
/// Bytes that wait for a client that doesn't read.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// The socket and its clients.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    group: Option<u32>,
    clients: BTreeMap<usize, Client>,
    answered: Vec<usize>,
    refused: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    closing: bool,
    /// A request of it has yet to be answered; the next one is not read before.
    asking: bool,
}

/// What a client asked, or why it can't be answered.
#[derive(Debug)]
pub enum Asked {
    /// A request.
    Request(Request),
    /// The client has been told an error already.
    Failed,
}

impl Control {
    /// Listens at `path`; root and, if given, members of `group` may connect.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn listen(path: &Path, group: Option<u32>) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            let why = "another keepalived listens there: give each its own --run-dir";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(if group.is_some() { 0o660 } else { 0o600 }))?;
        if group.is_some() {
            std::os::unix::fs::chown(path, None, group)?;
        }
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            group,
            clients: BTreeMap::new(),
            answered: Vec::new(),
            refused: 0,
        })
    }

    /// Descriptor to watch for reading.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.listener.as_raw_fd()
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
    pub fn accept(&mut self, key: usize) -> Option<Result<RawFd, Refused>> {
        let (stream, _) = self.listener.accept().ok()?;
        if self.clients.len() >= MAX_CLIENTS
            || !self.may_connect(&stream)
            || stream.set_nonblocking(true).is_err()
        {
            self.refused = self.refused.saturating_add(1);
            return Some(Err(Refused));
        }
        let fd = stream.as_raw_fd();
        let client =
            Client { stream, input: Vec::new(), output: Vec::new(), sent: 0, closing: false, asking: false };
        self.clients.insert(key, client);
        Some(Ok(fd))
    }

    fn may_connect(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = getsockopt(stream, sockopt::PeerCredentials) else { return false };
        peer.uid() == 0 || self.group.is_some_and(|group| peer.gid() == group || is_member(peer.uid(), group))
    }

    /// A client is readable or has taken an answer: its next request, if one is complete. Call until `None`.
    ///
    /// A client has one request under way and one answer in its queue, so that it can't make this process hold more.
    pub fn read(&mut self, key: usize) -> Option<Asked> {
        let client = self.clients.get_mut(&key)?;
        if client.asking || !client.output.is_empty() {
            return None;
        }
        loop {
            if let Some(end) = client.input.iter().position(|&byte| byte == 0) {
                let object: Vec<u8> = client.input.drain(..=end).collect();
                let text = object.get(..end).unwrap_or_default();
                match serde_json::from_slice::<Call>(text)
                    .map_err(|error| error.to_string())
                    .and_then(Call::request)
                {
                    Ok(request) => {
                        client.asking = true;
                        return Some(Asked::Request(request));
                    }
                    Err(why) => {
                        self.refused = self.refused.saturating_add(1);
                        self.fail(key, "org.varlink.service.InvalidParameter", &why);
                        return Some(Asked::Failed);
                    }
                }
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

    /// Answers a client; nothing happens when it has gone.
    pub fn reply<T: serde::Serialize>(&mut self, key: usize, parameters: T) {
        if let Ok(text) = serde_json::to_vec(&Reply { parameters }) {
            self.queue(key, text);
        }
    }

    /// Tells a client that its call failed.
    pub fn fail(&mut self, key: usize, error: &str, message: &str) {
        let parameters = FailureParameters { message: message.to_owned() };
        if let Ok(text) = serde_json::to_vec(&Failure { error: error.to_owned(), parameters }) {
            self.queue(key, text);
        }
    }

    fn queue(&mut self, key: usize, mut text: Vec<u8>) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        if std::mem::take(&mut client.asking) {
            self.answered.push(key);
        }
        if client.output.len().saturating_add(text.len()) > MAX_WAITING {
            self.clients.remove(&key);
            return;
        }
        text.push(0);
        client.output.append(&mut text);
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
        client.output.clear();
        client.sent = 0;
        if client.closing {
            self.clients.remove(&key);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

/// A connection that was closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// A Varlink call as it stands on the wire: `parameters` may be missing.
#[derive(Debug, serde::Deserialize)]
struct Call {
    method: String,
    #[serde(default)]
    parameters: serde_json::Value,
}

impl Call {
    fn request(self) -> Result<Request, String> {
        let parameters = if self.parameters.is_null() { serde_json::json!({}) } else { self.parameters };
        let call = serde_json::json!({ "method": self.method, "parameters": parameters });
        serde_json::from_value(call).map_err(|error| error.to_string())
    }
}

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
    use super::*;

    fn parse(text: &str) -> Result<Request, String> {
        serde_json::from_str::<Call>(text).map_err(|error| error.to_string()).and_then(Call::request)
    }

    fn listening(name: &str) -> (PathBuf, Control) {
        let path = std::env::temp_dir().join(format!("keepalived-control-{}-{name}", std::process::id()));
        let control = Control::listen(&path, None).unwrap();
        (path, control)
    }

    const STATUS: &[u8] = b"{\"method\":\"org.keepalived.Control.GetStatus\"}\0";

    #[test]
    fn the_second_request_waits_for_the_first_answer() {
        let (path, mut control) = listening("second");
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(&[STATUS, STATUS].concat()).unwrap();
        control.accept(1).unwrap().unwrap();
        assert!(matches!(control.read(1), Some(Asked::Request(Request::GetStatus(_)))));
        assert!(control.read(1).is_none());
        control.reply(1, 7);
        assert!(matches!(control.read(1), Some(Asked::Request(Request::GetStatus(_)))));
    }

    #[test]
    fn a_client_that_does_not_read_is_read_no_further() {
        let (path, mut control) = listening("slow");
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(&[STATUS, STATUS].concat()).unwrap();
        control.accept(1).unwrap().unwrap();
        assert!(control.read(1).is_some());
        control.reply(1, "x".repeat(4_000_000));
        assert!(control.read(1).is_none(), "its answer has not been taken");
        let mut taken = vec![0; 1 << 20];
        let mut left = 4_000_000;
        while left > 0 {
            let got = client.read(&mut taken).unwrap();
            left -= got.min(left);
            control.flush(1);
        }
        assert!(control.read(1).is_some());
    }

    #[test]
    fn nul_bytes_cost_an_answer_each_and_no_more_than_a_queue() {
        let (path, mut control) = listening("nul");
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(&[0; 4096]).unwrap();
        control.accept(1).unwrap().unwrap();
        let answered = std::iter::from_fn(|| control.read(1)).count();
        assert!((1..=4096).contains(&answered), "{answered}");
        assert!(control.clients.values().all(|client| client.output.len() < 1_000));
    }

    #[test]
    fn a_socket_that_somebody_listens_on_is_not_taken_away() {
        let (path, control) = listening("taken");
        assert_eq!(Control::listen(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(control);
        assert!(Control::listen(&path, None).is_ok(), "a socket left behind is replaced");
    }

    #[test]
    fn a_call_without_parameters_is_understood() {
        assert!(matches!(
            parse(r#"{"method":"org.keepalived.Control.GetStatus"}"#),
            Ok(Request::GetStatus(_))
        ));
    }

    #[test]
    fn a_daemon_is_named_by_its_name() {
        let call = r#"{"method":"org.keepalived.Control.Restart","parameters":{"daemon":"checkd"}}"#;
        assert!(matches!(parse(call), Ok(Request::Restart(_))));
        let call = r#"{"method":"org.keepalived.Control.Restart","parameters":{"daemon":"/bin/sh"}}"#;
        assert!(parse(call).is_err());
    }

    #[test]
    fn an_unknown_method_is_an_error_and_no_panic() {
        assert!(parse(r#"{"method":"x","parameters":7}"#).is_err());
        assert!(parse("[]").is_err());
        assert!(parse("\"").is_err());
    }
}
