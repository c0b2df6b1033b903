//! `virtual_server`, `real_server` and their checkers, as checkd sees them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ipvs::{Destination, ServiceKey, ServiceOptions};
use super::units::{CheckId, ScriptId, Weight};

/// One `virtual_server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServer {
    /// Its name in log lines, FIFO records and mail: `[ADDR]:proto:PORT`, `FWM n` or `[group]:0`;
    /// the identity across reloads.
    pub name: String,
    /// What stands in the kernel's table for it; more than one for a group. For direct routing and
    /// tunnels the destination's port is that of the key it stands under, whatever [`RealServer::destination`] says.
    pub keys: Vec<ServiceKey>,
    /// Scheduler, persistence, flags.
    pub options: ServiceOptions,
    /// `quorum`, at least 1: weight that makes the service usable.
    pub quorum: u32,
    /// `hysteresis`.
    pub hysteresis: u32,
    /// `alpha`: servers start as down.
    pub alpha: bool,
    /// `omega`: stopping runs the down scripts.
    pub omega: bool,
    /// `quorum_up`.
    pub quorum_up: Option<ScriptId>,
    /// `quorum_down`.
    pub quorum_down: Option<ScriptId>,
    /// `sorry_server`.
    pub sorry_server: Option<Destination>,
    /// `sorry_server_inhibit`: weight 0 instead of absence while it doesn't serve.
    pub sorry_server_inhibit: bool,
    /// `real_server` blocks, at least one.
    pub real_servers: Vec<RealServer>,
}

/// One `real_server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// Its name in log lines and FIFO records: `[ADDR]:proto:PORT`; the identity within its virtual server.
    pub name: String,
    /// What stands in the kernel's table.
    pub destination: Destination,
    /// `weight` as configured.
    pub weight: Weight,
    /// `inhibit_on_failure`: weight 0 instead of removal.
    pub inhibit_on_failure: bool,
    /// `notify_up`.
    pub notify_up: Option<ScriptId>,
    /// `notify_down`.
    pub notify_down: Option<ScriptId>,
    /// Its checkers; none means always up.
    pub checks: Vec<Check>,
}

/// One checker of a real server, after inheritance from real server, virtual server and kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its number over all virtual servers.
    pub id: CheckId,
    /// What it does.
    pub kind: CheckKind,
    /// `alpha`: down until it first succeeds.
    pub alpha: bool,
    /// `delay_loop`: from one check to the next, default 60 s.
    pub delay_loop: Duration,
    /// `retry`: failures after the first that are forgiven.
    pub retry: u32,
    /// `delay_before_retry`.
    pub delay_before_retry: Duration,
    /// `warmup`: the first check comes after 1 s plus a random part of this.
    pub warmup: Duration,
    /// `log_all_failures`.
    pub log_all_failures: bool,
}

/// What a checker does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// `TCP_CHECK`: a connection is accepted.
    Tcp(Endpoint),
    /// `HTTP_GET`.
    Http(HttpCheck),
    /// `MISC_CHECK`: a program's exit status.
    Misc {
        /// What the parent is asked to run.
        script: ScriptId,
        /// The command as log lines show it.
        command: String,
        /// `misc_timeout`, default the delay_loop.
        timeout: Duration,
        /// `misc_dynamic`: exit status 2..=255 sets the weight to the status less 2.
        dynamic: bool,
    },
}

impl CheckKind {
    /// Where it connects to, if it connects.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Tcp(endpoint) => Some(endpoint),
            Self::Http(http) => Some(&http.endpoint),
            Self::Misc { .. } => None,
        }
    }

    /// The same, to be changed.
    pub fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        match self {
            Self::Tcp(endpoint) => Some(endpoint),
            Self::Http(http) => Some(&mut http.endpoint),
            Self::Misc { .. } => None,
        }
    }
}

/// Where a checker connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `connect_ip` and `connect_port`, default the real server's.
    pub target: SocketAddr,
    /// `bindto`.
    pub bind_to: Option<IpAddr>,
    /// `connect_timeout`, default 5 s.
    pub timeout: Duration,
}

impl Endpoint {
    /// The target alone, reached from wherever the kernel chooses.
    #[must_use]
    pub fn new(target: SocketAddr, timeout: Duration) -> Self {
        Self { target, bind_to: None, timeout }
    }
}

/// `HTTP_GET`: what to fetch and what to expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Where.
    pub endpoint: Endpoint,
    /// `http_protocol`.
    pub protocol: HttpProtocol,
    /// Urls, at least one; one is fetched per run.
    pub urls: Vec<HttpUrl>,
    /// `fast_recovery`.
    pub fast_recovery: bool,
}

/// `http_protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpProtocol {
    /// HTTP/1.0 without a Connection header.
    Http10,
    /// HTTP/1.0 with `Connection: close`.
    Http10Close,
    /// HTTP/1.1 with `Connection: close`.
    Http11,
}

/// One `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpUrl {
    /// `path`.
    pub path: String,
    /// `virtualhost` of the url, checker, real server or virtual server, whichever comes first.
    pub virtual_host: Option<String>,
    /// `status_code`: accepted ranges, first and last; default 200 to 299.
    pub status: Vec<(u16, u16)>,
    /// `digest`: MD5 of the raw body.
    pub digest: Option<[u8; 16]>,
}

impl HttpUrl {
    /// A path whose answer may be anything with a status of 200 to 299.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned(), virtual_host: None, status: vec![(200, 299)], digest: None }
    }
}
