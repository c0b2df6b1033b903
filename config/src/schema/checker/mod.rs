//! The checkers' blocks: what all have is here, what one kind has in a file of its own.

use std::net::IpAddr;
use std::time::Duration;

use super::*;

mod dns;
mod file;
mod http;
mod misc;
mod smtp;
mod udp;

pub(super) use dns::{DNS_CHECK, dns_check};
pub(super) use file::{FILE_CHECK, file_check};
pub(super) use http::{HTTP_GET, SSL_GET, http_get, ssl_get};
pub(super) use misc::{MISC_CHECK, misc_check};
pub(super) use smtp::{SMTP_CHECK, SMTP_HOST, smtp_check};
pub(super) use udp::{UDP_CHECK, udp_check};

pub(crate) use dns::DnsDraft;
pub(crate) use file::FileCheckDraft;
pub(crate) use http::{HttpDraft, VerifyDraft};
pub(crate) use misc::MiscDraft;
pub(crate) use smtp::SmtpDraft;
pub(crate) use udp::UdpDraft;

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
    /// `PING_CHECK`.
    Ping,
    /// `FILE_CHECK`.
    File(Box<FileCheckDraft>),
    /// `MISC_CHECK`.
    Misc(Box<MiscDraft>),
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
    pub(crate) mark: u32,
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

/// Reads a `PING_CHECK`.
pub(super) fn ping_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "PING_CHECK", CheckerKind::Ping, &PING_CHECK);
}

/// Reads a `TCP_CHECK`.
pub(super) fn tcp_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "TCP_CHECK", CheckerKind::Tcp, &TCP_CHECK);
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
            mark: 0,
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
}

fn bind_if(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.bind_interface = lowering.interface(line, 1).map(|name| name.text);
    lowering.end(line, 2);
}

fn fwmark(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.mark = lowering.unsigned(line, 1, 0, 4_294_967_295).unwrap_or(0);
    lowering.end(line, 2);
}

/// What every checker that connects somewhere understands.
const CONNECTING: [Row<CheckDraft>; 13] = [
    active("connect_ip", connect_ip),
    active("connect_port", connect_port),
    active("bindto", bindto),
    active("connect_timeout", connect_timeout).or_default(),
    active("retry", retry).or_default(),
    active("delay_before_retry", delay_before_retry).or_default(),
    active("warmup", warmup).or_default(),
    active("delay_loop", delay_loop).or_default(),
    active("alpha", alpha).or_default(),
    active("log_all_failures", log_all_failures).or_default(),
    active("bind_port", bind_port).or_default(),
    active("bind_if", bind_if),
    active("fwmark", fwmark),
];

/// The same, and behind it what one kind has of its own.
const fn connecting<const OWN: usize, const ALL: usize>(
    own: [Row<CheckDraft>; OWN],
) -> [Row<CheckDraft>; ALL] {
    assert!(ALL == CONNECTING.len() + OWN);
    let mut all = [CONNECTING[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < CONNECTING.len() { CONNECTING[at] } else { own[at - CONNECTING.len()] };
        at += 1;
    }
    all
}

/// Keywords of `virtual_server/real_server/TCP_CHECK`.
pub(super) static TCP_CHECK: [Row<CheckDraft>; 13] = CONNECTING;

/// Keywords of `virtual_server/real_server/PING_CHECK`.
pub(super) static PING_CHECK: [Row<CheckDraft>; 13] = CONNECTING;
