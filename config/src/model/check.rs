//! `virtual_server`, `real_server` and their checkers, as checkd sees them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ipvs::{Destination, Marked, ServiceKey, ServiceOptions};
use super::tls::Verify;
use super::units::{CheckId, FileId, ScriptId, Weight};

/// One `virtual_server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServer {
    /// Its name in log lines, FIFO records and mail: `[ADDR]:proto:PORT`, `FWM n` or `[group]:0`;
    /// [`super::identity`] says which is which across reloads.
    pub name: String,
    /// What stands in the kernel's table for it; more than one for a group. For direct routing and
    /// tunnels the destination's port is that of the key it stands under, whatever [`RealServer::destination`] says.
    pub keys: Vec<ServiceKey>,
    /// `nftables_ipvs`: what stands in the kernel's table is a mark instead, and these addresses get it. Of each range
    /// only the first address is among `keys` then.
    pub marked: Option<Marked>,
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
    /// `ha_suspend`: checks rest while none of its addresses is on this machine.
    pub ha_suspend: bool,
    /// `quorum_up`.
    pub quorum_up: Option<ScriptId>,
    /// `quorum_down`.
    pub quorum_down: Option<ScriptId>,
    /// `sorry_server`.
    pub sorry_server: Option<Destination>,
    /// `sorry_server_inhibit`: weight 0 instead of absence while it doesn't serve.
    pub sorry_server_inhibit: bool,
    /// `smtp_alert`: a quorum that is gained or lost is mailed.
    pub mail: bool,
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
    /// `smtp_alert`: what its checkers find is mailed.
    pub mail: bool,
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
    /// `HTTP_GET` and `SSL_GET`.
    Http(HttpCheck),
    /// `SMTP_CHECK`: greeting and HELO.
    Smtp(SmtpCheck),
    /// `DNS_CHECK`: a question is answered.
    Dns(DnsCheck),
    /// `UDP_CHECK`: a datagram is not refused, or is answered.
    Udp(UdpCheck),
    /// `PING_CHECK`: an ICMP echo is answered; the port of the target means nothing.
    Ping(Endpoint),
    /// `FILE_CHECK`: a number that the parent reads from a file.
    File(FileCheck),
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
    /// Its block in the configuration.
    #[must_use]
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP_CHECK",
            Self::Http(HttpCheck { tls: None, .. }) => "HTTP_GET",
            Self::Http(_) => "SSL_GET",
            Self::Smtp(_) => "SMTP_CHECK",
            Self::Dns(_) => "DNS_CHECK",
            Self::Udp(_) => "UDP_CHECK",
            Self::Ping(_) => "PING_CHECK",
            Self::File(_) => "FILE_CHECK",
            Self::Misc { .. } => "MISC_CHECK",
        }
    }

    /// Where it connects to, if it connects.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Tcp(endpoint) | Self::Ping(endpoint) => Some(endpoint),
            Self::Http(http) => Some(&http.endpoint),
            Self::Smtp(smtp) => Some(&smtp.endpoint),
            Self::Dns(dns) => Some(&dns.endpoint),
            Self::Udp(udp) => Some(&udp.endpoint),
            Self::File(_) | Self::Misc { .. } => None,
        }
    }

    /// The same, to be changed.
    pub fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        match self {
            Self::Tcp(endpoint) | Self::Ping(endpoint) => Some(endpoint),
            Self::Http(http) => Some(&mut http.endpoint),
            Self::Smtp(smtp) => Some(&mut smtp.endpoint),
            Self::Dns(dns) => Some(&mut dns.endpoint),
            Self::Udp(udp) => Some(&mut udp.endpoint),
            Self::File(_) | Self::Misc { .. } => None,
        }
    }

    /// What carries its packets, if it sends some.
    #[must_use]
    pub fn carrier(&self) -> Option<Carrier> {
        match self {
            Self::Tcp(_) | Self::Http(_) | Self::Smtp(_) => Some(Carrier::Tcp),
            Self::Dns(_) | Self::Udp(_) => Some(Carrier::Udp),
            Self::Ping(_) => Some(Carrier::Icmp),
            Self::File(_) | Self::Misc { .. } => None,
        }
    }
}

/// `FILE_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCheck {
    /// Which file.
    pub file: FileId,
    /// Name of its `track_file` block.
    pub name: String,
    /// What its number is multiplied with before it is added to the server's weight; 0: a number other than 0 means
    /// down.
    pub weight: i32,
    /// `reverse`: the sign turns, or 0 means down.
    pub reverse: bool,
}

/// What carries the packets of a checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6, echo only.
    Icmp,
}

/// Where a checker connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `connect_ip` and `connect_port`, default the real server's.
    pub target: SocketAddr,
    /// `bindto`.
    pub bind_to: Option<IpAddr>,
    /// `bind_port`.
    pub bind_port: Option<u16>,
    /// `bind_if`: interface that the packets leave by.
    pub bind_interface: Option<String>,
    /// `fwmark` of the packets, 0 for none.
    pub mark: u32,
    /// `connect_timeout`, default 5 s.
    pub timeout: Duration,
}

impl Endpoint {
    /// The target alone, reached from wherever the kernel chooses.
    #[must_use]
    pub fn new(target: SocketAddr, timeout: Duration) -> Self {
        Self { target, bind_to: None, bind_port: None, bind_interface: None, mark: 0, timeout }
    }
}

/// `HTTP_GET` and `SSL_GET`: what to fetch and what to expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Where.
    pub endpoint: Endpoint,
    /// `SSL_GET`; `None` is `HTTP_GET`.
    pub tls: Option<Tls>,
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
    /// `tls_compliant`: the session ends with close_notify from here, too.
    pub tls_compliant: bool,
    /// `regex`.
    pub regex: Option<BodyRegex>,
}

/// What `SSL_GET` adds to `HTTP_GET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// `enable_sni` and `sni_name`.
    pub sni: Sni,
    /// `tls_verify`, with `ca_path` and `min_cert_days`.
    pub verify: Option<Verify>,
    /// Fingerprint of what the server is shown if it asks (`SSL`).
    pub shown: Option<u64>,
}

/// Which name the server is told (RFC 6066 section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sni {
    /// None.
    Off,
    /// `enable_sni`: the virtual host of the url, if it has one.
    VirtualHost,
    /// `sni_name`.
    Name(String),
}

/// `regex` of a url, which the body must match.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BodyRegex {
    /// The pattern.
    pub pattern: String,
    /// `regex_no_match`: the body must not match.
    pub inverted: bool,
    /// `regex_options`.
    pub options: RegexOptions,
    /// `regex_min_offset`: bytes before the first that a match may start at.
    pub min_offset: u32,
    /// `regex_max_offset`: the last byte that a match may start at.
    pub max_offset: Option<u32>,
}

/// Those `regex_options` that change what a pattern means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct RegexOptions {
    /// `caseless`.
    pub caseless: bool,
    /// `dotall`: a dot matches a line feed.
    pub dot_all: bool,
    /// `dollar_endonly`: a dollar sign does not match before a line feed that ends the body.
    pub dollar_end_only: bool,
    /// `firstline`: a match begins in the first line.
    pub first_line: bool,
    /// `extended`: blanks and comments in the pattern count for nothing.
    pub extended: bool,
    /// `multiline`: anchors match at line feeds.
    pub multi_line: bool,
    /// `ungreedy`: repetitions are short unless marked.
    pub ungreedy: bool,
    /// `utf` or `ucp`: the body is read as UTF-8.
    pub unicode: bool,
    /// `allow_empty_class`: a bracket that closes a class at once closes it.
    pub allow_empty_class: bool,
    /// `alt_bsux`: escapes with `u` and `x` are those of ECMAScript.
    pub alt_bsux: bool,
    /// `alt_circumflex`: in `multiline` a circumflex matches behind the last line feed, too.
    pub alt_circumflex: bool,
    /// `dupnames`: several groups may have one name.
    pub dup_names: bool,
    /// `match_unset_backref`: a reference to a group that is not set matches nothing, rather than failing.
    pub match_unset_backref: bool,
    /// `no_auto_capture`: groups without a name have no number.
    pub no_auto_capture: bool,
}

/// `SMTP_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmtpCheck {
    /// Where.
    pub endpoint: Endpoint,
    /// `helo_name`.
    pub helo_name: String,
}

/// `DNS_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsCheck {
    /// Where.
    pub endpoint: Endpoint,
    /// `name`: labels with dots between them; empty is the root.
    pub name: String,
    /// `type`.
    pub record: DnsRecord,
}

/// `type` of a `DNS_CHECK`, with its number (RFC 1035 section 3.2.2, RFC 3596, RFC 4034).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsRecord {
    /// 1
    A,
    /// 2
    Ns,
    /// 5
    Cname,
    /// 6
    Soa,
    /// 15
    Mx,
    /// 16
    Txt,
    /// 28
    Aaaa,
    /// 46
    Rrsig,
    /// 48
    Dnskey,
}

impl DnsRecord {
    /// All, with their numbers and names.
    pub const ALL: [(Self, u16, &'static str); 9] = [
        (Self::A, 1, "A"),
        (Self::Ns, 2, "NS"),
        (Self::Cname, 5, "CNAME"),
        (Self::Soa, 6, "SOA"),
        (Self::Mx, 15, "MX"),
        (Self::Txt, 16, "TXT"),
        (Self::Aaaa, 28, "AAAA"),
        (Self::Rrsig, 46, "RRSIG"),
        (Self::Dnskey, 48, "DNSKEY"),
    ];

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        Self::ALL.iter().find(|(record, ..)| *record == self).map_or(0, |(_, number, _)| *number)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(record, ..)| *record == self).map_or("", |(_, _, name)| name)
    }
}

/// `UDP_CHECK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpCheck {
    /// Where.
    pub endpoint: Endpoint,
    /// `payload`.
    pub payload: Vec<u8>,
    /// `require_reply`; `None`: silence is a pass.
    pub reply: Option<UdpReply>,
}

/// What a required reply must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpReply {
    /// Value and mask of the first bytes; empty: any reply will do, whatever its length.
    pub bytes: Vec<(u8, u8)>,
    /// `min_reply_length`.
    pub min_length: u16,
    /// `max_reply_length`.
    pub max_length: u16,
}

impl HttpUrl {
    /// A path whose answer may be anything with a status of 200 to 299.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            virtual_host: None,
            status: vec![(200, 299)],
            digest: None,
            tls_compliant: false,
            regex: None,
        }
    }
}
