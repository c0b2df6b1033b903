//! The checkers' blocks, and the times that every checker has.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::model::check::{DnsRecord, HttpProtocol, Sni};

/// The times of a checker, real server or virtual server as written: absent ones are inherited.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timing {
    pub(crate) retry: Option<u32>,
    pub(crate) delay_before_retry: Option<Duration>,
    pub(crate) warmup: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) delay_loop: Option<Duration>,
}

/// The longest `connect_timeout`, in microseconds.
const LONGEST: u64 = 4_294_967_295;

/// The longest other time: ten years, where upstream has no bound that means anything.
pub(super) const TEN_YEARS: u64 = 315_360_000_000_000;

impl Timing {
    pub(super) fn retry(&mut self, lowering: &mut Lowering<'_>, line: &Line<'_>, least: i64) {
        self.retry = lowering.unsigned(line, 1, least, 4_294_967_295);
        lowering.end(line, 2);
    }

    pub(super) fn delay_before_retry(&mut self, lowering: &mut Lowering<'_>, line: &Line<'_>) {
        self.delay_before_retry = lowering.seconds(line, 1, 0, TEN_YEARS);
        lowering.end(line, 2);
    }

    pub(super) fn warmup(&mut self, lowering: &mut Lowering<'_>, line: &Line<'_>) {
        self.warmup = lowering.seconds(line, 1, 0, TEN_YEARS);
        lowering.end(line, 2);
    }

    pub(super) fn connect_timeout(&mut self, lowering: &mut Lowering<'_>, line: &Line<'_>) {
        self.connect_timeout = lowering.seconds(line, 1, 1, LONGEST);
        lowering.end(line, 2);
    }

    pub(super) fn delay_loop(&mut self, lowering: &mut Lowering<'_>, line: &Line<'_>) {
        self.delay_loop = lowering.seconds(line, 1, 1, TEN_YEARS);
        lowering.end(line, 2);
    }

    /// These times, with those of the next outer block where absent.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            retry: self.retry.or(outer.retry),
            delay_before_retry: self.delay_before_retry.or(outer.delay_before_retry),
            warmup: self.warmup.or(outer.warmup),
            connect_timeout: self.connect_timeout.or(outer.connect_timeout),
            delay_loop: self.delay_loop.or(outer.delay_loop),
        }
    }
}

/// What a checker does, as written.
#[derive(Debug)]
pub(crate) enum CheckerKind {
    /// `TCP_CHECK`.
    Tcp,
    /// `HTTP_GET` and `SSL_GET`.
    Http(Box<HttpDraft>),
    /// `SMTP_CHECK`.
    Smtp(Box<SmtpDraft>),
    /// `DNS_CHECK`.
    Dns(Box<DnsDraft>),
    /// `UDP_CHECK`.
    Udp(Box<UdpDraft>),
    /// `MISC_CHECK`.
    Misc(Box<MiscDraft>),
}

/// `HTTP_GET` and `SSL_GET` as written.
#[derive(Debug)]
pub(crate) struct HttpDraft {
    pub(crate) protocol: HttpProtocol,
    pub(crate) fast_recovery: bool,
    pub(crate) virtual_host: Option<String>,
    pub(crate) urls: Vec<UrlDraft>,
    pub(crate) tls: bool,
    pub(crate) sni: Sni,
    pub(crate) tls_compliant: bool,
}

/// `SMTP_CHECK` as written.
#[derive(Debug, Default)]
pub(crate) struct SmtpDraft {
    pub(crate) helo_name: Option<String>,
    /// `host` blocks, whose kind says nothing.
    pub(crate) hosts: Vec<CheckDraft>,
}

/// `DNS_CHECK` as written.
#[derive(Debug)]
pub(crate) struct DnsDraft {
    pub(crate) name: String,
    pub(crate) record: DnsRecord,
}

/// `UDP_CHECK` as written.
#[derive(Debug)]
pub(crate) struct UdpDraft {
    pub(crate) payload: Vec<u8>,
    /// Values and masks.
    pub(crate) reply: Option<Vec<(u8, u8)>>,
    pub(crate) min_length: u16,
    pub(crate) max_length: u16,
}

/// `MISC_CHECK` as written.
#[derive(Debug, Default)]
pub(crate) struct MiscDraft {
    pub(crate) command: Option<Command>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dynamic: bool,
    pub(crate) user: Option<UserWords>,
}

/// A checker as written.
#[derive(Debug)]
pub(crate) struct CheckDraft {
    pub(crate) kind: CheckerKind,
    pub(crate) span: Span,
    pub(crate) timing: Timing,
    pub(crate) alpha: Option<bool>,
    pub(crate) log_all_failures: Option<bool>,
    pub(crate) connect_ip: Option<IpAddr>,
    pub(crate) connect_port: Option<u16>,
    pub(crate) bind_to: Option<IpAddr>,
    pub(crate) bind_port: Option<u16>,
    pub(crate) bind_interface: Option<String>,
}

fn read(
    draft: &mut ServerDraft,
    lowering: &mut Lowering<'_>,
    line: &Line<'_>,
    name: &'static str,
    kind: CheckerKind,
    table: &'static [Row<CheckDraft>],
) {
    lowering.end(line, 1);
    let mut check = CheckDraft::new(kind, line.span);
    lowering.block(name, line, table, &mut check);
    draft.checks.push(check);
}

/// Reads a `TCP_CHECK`.
pub(super) fn tcp_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "TCP_CHECK", CheckerKind::Tcp, TCP_CHECK);
}

/// Reads an `HTTP_GET`.
pub(super) fn http_get(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let http = HttpDraft::new(false);
    read(draft, lowering, line, "HTTP_GET", CheckerKind::Http(Box::new(http)), HTTP_GET);
}

/// Reads an `SSL_GET`.
pub(super) fn ssl_get(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let http = HttpDraft::new(true);
    read(draft, lowering, line, "SSL_GET", CheckerKind::Http(Box::new(http)), SSL_GET);
}

/// Reads an `SMTP_CHECK`.
pub(super) fn smtp_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "SMTP_CHECK", CheckerKind::Smtp(Box::default()), SMTP_CHECK);
}

/// Reads a `DNS_CHECK`.
pub(super) fn dns_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let dns = DnsDraft { name: String::new(), record: DnsRecord::Soa };
    read(draft, lowering, line, "DNS_CHECK", CheckerKind::Dns(Box::new(dns)), DNS_CHECK);
}

/// Reads a `UDP_CHECK`.
pub(super) fn udp_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let udp = UdpDraft { payload: Vec::new(), reply: None, min_length: 0, max_length: 255 };
    read(draft, lowering, line, "UDP_CHECK", CheckerKind::Udp(Box::new(udp)), UDP_CHECK);
}

impl HttpDraft {
    fn new(tls: bool) -> Self {
        Self {
            protocol: HttpProtocol::Http10,
            fast_recovery: false,
            virtual_host: None,
            urls: Vec::new(),
            tls,
            sni: Sni::Off,
            tls_compliant: false,
        }
    }
}

/// Reads a `MISC_CHECK`.
pub(super) fn misc_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "MISC_CHECK", CheckerKind::Misc(Box::default()), MISC_CHECK);
}

impl CheckDraft {
    fn new(kind: CheckerKind, span: Span) -> Self {
        Self {
            kind,
            span,
            timing: Timing::default(),
            alpha: None,
            log_all_failures: None,
            connect_ip: None,
            connect_port: None,
            bind_to: None,
            bind_port: None,
            bind_interface: None,
        }
    }

    fn http(&mut self) -> Option<&mut HttpDraft> {
        if let CheckerKind::Http(http) = &mut self.kind { Some(http) } else { None }
    }

    fn misc(&mut self) -> Option<&mut MiscDraft> {
        if let CheckerKind::Misc(misc) = &mut self.kind { Some(misc) } else { None }
    }

    fn smtp(&mut self) -> Option<&mut SmtpDraft> {
        if let CheckerKind::Smtp(smtp) = &mut self.kind { Some(smtp) } else { None }
    }

    fn dns(&mut self) -> Option<&mut DnsDraft> {
        if let CheckerKind::Dns(dns) = &mut self.kind { Some(dns) } else { None }
    }

    fn udp(&mut self) -> Option<&mut UdpDraft> {
        if let CheckerKind::Udp(udp) = &mut self.kind { Some(udp) } else { None }
    }
}

fn retry(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.retry(lowering, line, 0);
}

fn delay_before_retry(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.delay_before_retry(lowering, line);
}

fn warmup(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.warmup(lowering, line);
}

fn connect_timeout(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.connect_timeout(lowering, line);
}

fn delay_loop(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.delay_loop(lowering, line);
}

fn alpha(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.alpha = lowering.boolean(line, 1);
}

fn log_all_failures(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.log_all_failures = lowering.boolean(line, 1);
}

fn connect_ip(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.connect_ip = lowering.address_at(line, 1);
    lowering.end(line, 2);
}

fn connect_port(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.connect_port = lowering.unsigned(line, 1, 1, 65_535);
    lowering.end(line, 2);
}

fn bindto(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.bind_to = lowering.address_at(line, 1);
    lowering.end(line, 2);
}

fn bind_port(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.bind_port = lowering.unsigned(line, 1, 1, 65_535);
    lowering.end(line, 2);
    if draft.bind_port.is_some_and(|port| port < 1024) {
        lowering.refuse(line, "bind_port below 1024", "only root may send from such a port");
    }
}

fn bind_if(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.bind_interface = lowering.interface(line, 1).map(|name| name.text);
    lowering.end(line, 2);
}

fn helo_name(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a host name") else { return };
    lowering.end(line, 2);
    if word.text.chars().any(|c| c.is_control() || c == ' ') || word.text.is_empty() {
        lowering.error(code::BAD_TEXT, word.span, format!("'{}' can't be a host name", word.text));
    } else if let Some(smtp) = draft.smtp() {
        smtp.helo_name = Some(word.text.to_owned());
    }
}

fn host(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    let mut host = CheckDraft::new(CheckerKind::Tcp, line.span);
    lowering.block("host", line, SMTP_HOST, &mut host);
    if let Some(smtp) = draft.smtp() {
        smtp.hosts.push(host);
    }
}

fn dns_type(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a record type") else { return };
    lowering.end(line, 2);
    let found = DnsRecord::ALL.iter().find(|(_, _, name)| name.eq_ignore_ascii_case(word.text));
    let Some((record, ..)) = found else {
        let names: Vec<&str> = DnsRecord::ALL.iter().map(|(_, _, name)| *name).collect();
        let message = format!("type must be {}, got '{}'", names.join(" or "), word.text);
        return lowering.error(code::UNKNOWN_WORD, word.span, message);
    };
    if let Some(dns) = draft.dns() {
        dns.record = *record;
    }
}

/// RFC 1035 section 2.3.4: labels of 1 to 63 bytes, 253 with the dots between them; a dot alone is the root.
fn dns_name(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a domain name") else { return };
    lowering.end(line, 2);
    let name = word.text.strip_suffix('.').unwrap_or(word.text);
    let fits = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_graphic());
    if !name.is_empty() && (name.len() > 253 || !name.split('.').all(fits)) {
        let message = format!("'{}' can't be a domain name: labels have 1 to 63 characters", word.text);
        lowering.error(code::BAD_TEXT, word.span, message);
    } else if let Some(dns) = draft.dns() {
        dns.name = name.to_owned();
    }
}

fn payload(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.required(line, 1, "bytes as hexadecimal digits");
    let bytes = masked_bytes(lowering, line, Wildcards::Refused);
    if let Some(udp) = draft.udp() {
        udp.payload = bytes.iter().map(|(value, _)| *value).collect();
    }
}

fn require_reply(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let bytes = masked_bytes(lowering, line, Wildcards::Allowed);
    if let Some(udp) = draft.udp() {
        udp.reply = Some(bytes);
    }
}

fn min_reply_length(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let length = lowering.unsigned(line, 1, 0, 65_535);
    lowering.end(line, 2);
    if let (Some(udp), Some(length)) = (draft.udp(), length) {
        udp.min_length = length;
    }
}

fn max_reply_length(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let length = lowering.unsigned(line, 1, 0, 65_535);
    lowering.end(line, 2);
    if let (Some(udp), Some(length)) = (draft.udp(), length) {
        udp.max_length = length;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    Allowed,
    Refused,
}

/// Bytes as pairs of hexadecimal digits, each with its mask; a single digit before a blank is a byte, and `X` stands for
/// any digit.
fn masked_bytes(lowering: &mut Lowering<'_>, line: &Line<'_>, wildcards: Wildcards) -> Vec<(u8, u8)> {
    let mut bytes = Vec::new();
    for word in line.values() {
        let nibble = |c: char| match c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
            Some(digit) => Some((digit, 0x0f)),
            None if matches!(c, 'x' | 'X') && wildcards == Wildcards::Allowed => Some((0, 0)),
            None => None,
        };
        let Some(nibbles) = word.text.chars().map(nibble).collect::<Option<Vec<(u8, u8)>>>() else {
            let message = format!("{} takes hexadecimal digits, got '{}'", line.keyword(), word.text);
            lowering.error(code::BAD_TEXT, word.span, message);
            return Vec::new();
        };
        let (pairs, single) = nibbles.as_chunks::<2>();
        bytes.extend(pairs.iter().map(|[high, low]| (high.0 << 4 | low.0, high.1 << 4 | low.1)));
        bytes.extend(single.iter().map(|(value, mask)| (*value, 0xf0 | mask)));
    }
    bytes
}

fn enable_sni(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let on = lowering.boolean(line, 1).unwrap_or(false);
    let Some(http) = draft.http() else { return };
    http.sni = match std::mem::replace(&mut http.sni, Sni::Off) {
        _ if !on => Sni::Off,
        Sni::Off => Sni::VirtualHost,
        known @ (Sni::VirtualHost | Sni::Name(_)) => known,
    };
}

fn sni_name(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let name = line.word(1).map(|word| word.text.to_owned());
    lowering.end(line, 2);
    if let Some(http) = draft.http() {
        http.sni = name.map_or(Sni::VirtualHost, Sni::Name);
    }
}

fn tls_compliant(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let on = lowering.boolean(line, 1).unwrap_or(false);
    if let Some(http) = draft.http() {
        http.tls_compliant = on;
    }
}

fn ssl_url(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let url = url::read(lowering, line, url::SSL_TABLE);
    if let Some(http) = draft.http() {
        http.urls.push(url);
    }
}

fn virtualhost(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let host = lowering.required(line, 1, "a host name").map(|word| word.text.to_owned());
    lowering.end(line, 2);
    if let Some(http) = draft.http() {
        http.virtual_host = host;
    }
}

fn http_protocol(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let protocol = match lowering.choice(line, 1, &["1.0", "1.0C", "1.0c", "1.1"]) {
        Some(0) => HttpProtocol::Http10,
        Some(1 | 2) => HttpProtocol::Http10Close,
        Some(_) => HttpProtocol::Http11,
        None => return,
    };
    lowering.end(line, 2);
    if let Some(http) = draft.http() {
        http.protocol = protocol;
    }
}

fn fast_recovery(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let fast = lowering.boolean(line, 1).unwrap_or(false);
    if let Some(http) = draft.http() {
        http.fast_recovery = fast;
    }
}

fn url(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let url = url::read(lowering, line, url::TABLE);
    if let Some(http) = draft.http() {
        http.urls.push(url);
    }
}

fn misc_path(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let command = lowering.command(line);
    if let Some(misc) = draft.misc() {
        misc.command = command;
    }
}

fn misc_timeout(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let timeout = lowering.unsigned(line, 1, 0, 4294).filter(|seconds| *seconds > 0);
    lowering.end(line, 2);
    if let Some(misc) = draft.misc() {
        misc.timeout = timeout.map(Duration::from_secs);
    }
}

fn misc_dynamic(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    if let Some(misc) = draft.misc() {
        misc.dynamic = true;
    }
}

fn user(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.required(line, 1, "a user");
    let user = lowering.user(line, 1);
    if let Some(misc) = draft.misc() {
        misc.user = user;
    }
}

/// Keywords of `virtual_server/real_server/TCP_CHECK`.
pub(super) static TCP_CHECK: &[Row<CheckDraft>] = &[
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("connect_timeout", connect_timeout),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("bind_port", bind_port),
    active("bind_if", bind_if),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
];

/// Keywords of `virtual_server/real_server/HTTP_GET`.
pub(super) static HTTP_GET: &[Row<CheckDraft>] = &[
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("connect_timeout", connect_timeout),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("virtualhost", virtualhost),
    active("http_protocol", http_protocol),
    active("fast_recovery", fast_recovery),
    active("url", url),
    active("bind_port", bind_port),
    active("bind_if", bind_if),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
    active("nb_get_retry", retry).old_for("retry"),
    silent("enable_sni", Shape::Bool),
    silent("sni_name", Shape::Words(0, 1)),
];

/// Keywords of `virtual_server/real_server/MISC_CHECK`.
pub(super) static MISC_CHECK: &[Row<CheckDraft>] = &[
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("misc_path", misc_path),
    active("misc_timeout", misc_timeout),
    active("misc_dynamic", misc_dynamic),
    active("user", user),
];

/// Keywords of `virtual_server/real_server/SSL_GET`.
pub(super) static SSL_GET: &[Row<CheckDraft>] = &[
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("bind_port", bind_port),
    active("bind_if", bind_if),
    active("connect_timeout", connect_timeout),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("virtualhost", virtualhost),
    active("http_protocol", http_protocol),
    active("fast_recovery", fast_recovery),
    active("url", ssl_url),
    active("nb_get_retry", retry).old_for("retry"),
    active("enable_sni", enable_sni),
    active("sni_name", sni_name),
    active("tls_compliant", tls_compliant),
    inactive("tls_verify", Shape::Words(0, 1)),
    inactive("ca_path", Shape::Words(1, 1)),
    inactive("min_cert_days", Shape::Number(0, 3_650)),
];

/// Keywords of `virtual_server/real_server/SMTP_CHECK`.
pub(super) static SMTP_CHECK: &[Row<CheckDraft>] = &[
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("bind_port", bind_port),
    active("bind_if", bind_if),
    active("connect_timeout", connect_timeout),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("helo_name", helo_name),
    active("host", host).old_for("several SMTP_CHECK blocks"),
];

/// Keywords of `virtual_server/real_server/SMTP_CHECK/host`.
pub(super) static SMTP_HOST: &[Row<CheckDraft>] = &[
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("bind_port", bind_port),
    active("bind_if", bind_if),
    active("connect_timeout", connect_timeout),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
];

/// Keywords of `virtual_server/real_server/DNS_CHECK`.
pub(super) static DNS_CHECK: &[Row<CheckDraft>] = &[
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("bind_port", bind_port),
    active("bind_if", bind_if),
    active("connect_timeout", connect_timeout),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("type", dns_type),
    active("name", dns_name),
];

/// Keywords of `virtual_server/real_server/UDP_CHECK`.
pub(super) static UDP_CHECK: &[Row<CheckDraft>] = &[
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("bind_port", bind_port),
    active("bind_if", bind_if),
    active("connect_timeout", connect_timeout),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("delay_loop", delay_loop),
    active("alpha", alpha),
    active("log_all_failures", log_all_failures),
    active("payload", payload),
    active("require_reply", require_reply),
    active("min_reply_length", min_reply_length),
    active("max_reply_length", max_reply_length),
];
