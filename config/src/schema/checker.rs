//! `TCP_CHECK`, `HTTP_GET`, `MISC_CHECK`, and the times that every checker has.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::model::check::HttpProtocol;

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
    /// `HTTP_GET`.
    Http(Box<HttpDraft>),
    /// `MISC_CHECK`.
    Misc(Box<MiscDraft>),
}

/// `HTTP_GET` as written.
#[derive(Debug)]
pub(crate) struct HttpDraft {
    pub(crate) protocol: HttpProtocol,
    pub(crate) fast_recovery: bool,
    pub(crate) virtual_host: Option<String>,
    pub(crate) urls: Vec<UrlDraft>,
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
    let mut check = CheckDraft {
        kind,
        span: line.span,
        timing: Timing::default(),
        alpha: None,
        log_all_failures: None,
        connect_ip: None,
        connect_port: None,
        bind_to: None,
    };
    lowering.block(name, line, table, &mut check);
    draft.checks.push(check);
}

/// Reads a `TCP_CHECK`.
pub(super) fn tcp_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "TCP_CHECK", CheckerKind::Tcp, TCP_CHECK);
}

/// Reads an `HTTP_GET`.
pub(super) fn http_get(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let http = HttpDraft {
        protocol: HttpProtocol::Http10,
        fast_recovery: false,
        virtual_host: None,
        urls: Vec::new(),
    };
    read(draft, lowering, line, "HTTP_GET", CheckerKind::Http(Box::new(http)), HTTP_GET);
}

/// Reads a `MISC_CHECK`.
pub(super) fn misc_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "MISC_CHECK", CheckerKind::Misc(Box::default()), MISC_CHECK);
}

impl CheckDraft {
    fn http(&mut self) -> Option<&mut HttpDraft> {
        match &mut self.kind {
            CheckerKind::Http(http) => Some(http),
            CheckerKind::Tcp | CheckerKind::Misc(_) => None,
        }
    }

    fn misc(&mut self) -> Option<&mut MiscDraft> {
        match &mut self.kind {
            CheckerKind::Misc(misc) => Some(misc),
            CheckerKind::Tcp | CheckerKind::Http(_) => None,
        }
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
    let url = url::read(lowering, line);
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
    inactive("bind_port", Shape::Number(1, 65_535)),
    refused("bind_if", Shape::Interface, "checks would leave another interface"),
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
    inactive("bind_port", Shape::Number(1, 65_535)),
    refused("bind_if", Shape::Interface, "checks would leave another interface"),
    refused("fwmark", Shape::Number(0, 4_294_967_295), "checks would be routed in another way"),
    inactive("nb_get_retry", Shape::Number(0, 4_294_967_295)).old_for("retry"),
    inactive("enable_sni", Shape::Bool),
    inactive("sni_name", Shape::Words(0, 1)),
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
