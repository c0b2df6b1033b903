//! Checker drafts into checks: where they connect, what they inherit, what each kind needs.
//!
//! Called by [`super::service`] for each checker of a real server, with what the operator wrote.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Context;
use super::tracker::Listener;
use crate::diagnostic::{Problem, code};
use crate::model::check::{
    BodyRegex, Check, CheckKind, DnsCheck, Endpoint, FileCheck, HttpCheck, HttpUrl, SmtpCheck, Sni, Tls,
    UdpCheck, UdpReply,
};
use crate::model::process::Purpose;
use crate::model::units::CheckId;
use crate::pattern;
use crate::schema::{
    CheckDraft, CheckerKind, FileCheckDraft, HttpDraft, MiscDraft, SmtpDraft, Timing, UrlDraft,
};
use crate::text::Span;

/// Time from one check to the next when nothing says otherwise.
pub(super) const DELAY_LOOP: Duration = Duration::from_secs(60);

/// What an SMTP_CHECK calls itself when nothing says otherwise.
const HELO_NAME: &str = "smtpchecker.keepalived.org";

/// What checkers need to know of their real server.
pub(super) struct Inner<'a> {
    pub(super) target: SocketAddr,
    pub(super) alpha: bool,
    pub(super) timing: Timing,
    /// `delay_loop` of the virtual server: limit of a MISC_CHECK's run.
    pub(super) service_delay: Duration,
    pub(super) virtual_host: Option<&'a str>,
    pub(super) name: &'a str,
}

/// One draft per destination: the `host` blocks of an SMTP_CHECK stand for checks of their own, beside the outer one
/// only where that names a destination itself.
pub(super) fn destinations(draft: CheckDraft) -> Vec<CheckDraft> {
    let CheckDraft { kind: CheckerKind::Smtp(smtp), .. } = draft else { return vec![draft] };
    let SmtpDraft { helo_name, hosts } = *smtp;
    let named = |helo_name: &Option<String>| {
        CheckerKind::Smtp(Box::new(SmtpDraft { helo_name: helo_name.clone(), hosts: Vec::new() }))
    };
    let outer = CheckDraft { kind: named(&helo_name), ..draft };
    let inner = hosts.into_iter().map(|host| CheckDraft {
        kind: named(&helo_name),
        timing: host.timing.or(outer.timing),
        alpha: host.alpha.or(outer.alpha),
        log_all_failures: host.log_all_failures.or(outer.log_all_failures),
        ..host
    });
    let mut all: Vec<CheckDraft> = inner.collect();
    if all.is_empty() || outer.connect_ip.is_some() || outer.connect_port.is_some() {
        all.insert(0, outer);
    }
    all
}

/// True for an address that means nothing without an interface (RFC 4291 section 2.5.6).
fn is_link_local(target: SocketAddr) -> bool {
    matches!(target.ip(), IpAddr::V6(address) if address.is_unicast_link_local())
}

impl Context<'_> {
    /// One checker; a fault is reported.
    pub(super) fn check(&mut self, draft: CheckDraft, inner: &Inner<'_>) -> Option<Check> {
        let timing = draft.timing.or(inner.timing);
        let delay_loop = timing.delay_loop.unwrap_or(DELAY_LOOP);
        let endpoint = self.endpoint(&draft, timing, inner)?;
        let span = draft.span;
        let second = Duration::from_secs(1);
        let (kind, retry, pause) = match draft.kind {
            CheckerKind::Tcp => (CheckKind::Tcp(self.with_port(endpoint, 0, span, inner)?), 1, second),
            CheckerKind::Http(http) => {
                let check = self.http(*http, endpoint, span, inner)?;
                (CheckKind::Http(check), 1, Duration::from_secs(3))
            }
            CheckerKind::Smtp(smtp) => {
                let endpoint = self.with_port(endpoint, 25, span, inner)?;
                let helo_name = smtp.helo_name.unwrap_or_else(|| HELO_NAME.to_owned());
                (CheckKind::Smtp(SmtpCheck { endpoint, helo_name }), 1, second)
            }
            CheckerKind::Dns(dns) => {
                let endpoint = self.with_port(endpoint, 53, span, inner)?;
                (CheckKind::Dns(DnsCheck { endpoint, name: dns.name, record: dns.record }), 3, delay_loop)
            }
            CheckerKind::Udp(udp) => {
                let endpoint = self.with_port(endpoint, 0, span, inner)?;
                if udp.min_length > udp.max_length {
                    let message = format!(
                        "{}: min_reply_length {} exceeds max_reply_length {}: no reply will do",
                        inner.name, udp.min_length, udp.max_length
                    );
                    self.report(Problem::warning(code::NO_EFFECT, span, message));
                }
                let (min_length, max_length) = (udp.min_length, udp.max_length);
                let reply = udp.reply.map(|bytes| UdpReply { bytes, min_length, max_length });
                (CheckKind::Udp(UdpCheck { endpoint, payload: udp.payload, reply }), 1, second)
            }
            CheckerKind::Ping => (CheckKind::Ping(endpoint), 1, second),
            CheckerKind::File(file) => (CheckKind::File(self.file_check(*file, span, inner)?), 0, second),
            CheckerKind::Misc(misc) => (self.misc(*misc, span, inner)?, 0, second),
        };
        Some(Check {
            // Numbered when all that is served is known.
            id: CheckId::new(0),
            kind,
            alpha: draft.alpha.unwrap_or(inner.alpha),
            delay_loop,
            retry: timing.retry.unwrap_or(retry),
            delay_before_retry: timing.delay_before_retry.unwrap_or(pause),
            warmup: timing.warmup.unwrap_or(delay_loop),
            log_all_failures: self.globals.log_all_failures || draft.log_all_failures.unwrap_or(false),
        })
    }

    fn endpoint(&mut self, draft: &CheckDraft, timing: Timing, inner: &Inner<'_>) -> Option<Endpoint> {
        let target = SocketAddr::new(
            draft.connect_ip.unwrap_or(inner.target.ip()),
            draft.connect_port.unwrap_or(inner.target.port()),
        );
        if let Some(source) = draft.bind_to.filter(|source| source.is_ipv4() != target.is_ipv4()) {
            let message = format!("bindto {source} is not of the family of {target}");
            self.report(Problem::error(code::WRONG_FAMILY, draft.span, message));
            return None;
        }
        let asks = !matches!(draft.kind, CheckerKind::File(_) | CheckerKind::Misc(_));
        if asks && draft.bind_interface.is_none() && is_link_local(target) {
            let message = format!("Checker link local address {} requires a bind_if", target.ip());
            self.report(Problem::error(code::MISSING_KEYWORD, draft.span, message));
            return None;
        }
        Some(Endpoint {
            target,
            bind_to: draft.bind_to,
            bind_port: draft.bind_port,
            bind_interface: draft.bind_interface.clone(),
            mark: draft.mark,
            timeout: timing.connect_timeout.unwrap_or(Duration::from_secs(5)),
        })
    }

    fn http(
        &mut self,
        http: HttpDraft,
        endpoint: Endpoint,
        span: Span,
        inner: &Inner<'_>,
    ) -> Option<HttpCheck> {
        let endpoint = self.with_port(endpoint, if http.tls { 443 } else { 80 }, span, inner)?;
        let host = http.virtual_host.as_deref().or(inner.virtual_host);
        let mut urls = Vec::with_capacity(http.urls.len());
        for url in http.urls {
            urls.extend(self.url(url, host, http.tls_compliant, inner));
        }
        if urls.is_empty() {
            let keyword = if http.tls { "SSL_GET" } else { "HTTP_GET" };
            let message = format!("{}: {keyword} without url", inner.name);
            self.report(Problem::error(code::MISSING_KEYWORD, span, message));
            return None;
        }
        let tls = if http.tls {
            let verify = self.verify(&http.verify, span);
            // What is verified is a name, so the server is told which.
            let sni = if verify.is_some() && http.sni == Sni::Off { Sni::VirtualHost } else { http.sni };
            Some(Tls { sni, verify, shown: self.shown() })
        } else {
            None
        };
        Some(HttpCheck { endpoint, tls, protocol: http.protocol, urls, fast_recovery: http.fast_recovery })
    }

    fn url(
        &mut self,
        url: UrlDraft,
        host: Option<&str>,
        tls_compliant: bool,
        inner: &Inner<'_>,
    ) -> Option<HttpUrl> {
        let Some(path) = url.path else {
            let message = format!("{}: url without path", inner.name);
            self.report(Problem::error(code::MISSING_KEYWORD, url.span, message));
            return None;
        };
        let mut regex = None;
        if let Some((pattern, span)) = url.regex {
            let body = BodyRegex {
                pattern,
                inverted: url.regex_inverted,
                options: url.regex_options,
                min_offset: url.regex_min_offset,
                max_offset: url.regex_max_offset,
            };
            if let Err(error) = pattern::compile(&body) {
                let problem = Problem::error(code::BAD_TEXT, span, format!("regex: {error}"));
                self.report(problem.help("patterns are those of PCRE2, see keepalived.conf(5)"));
            }
            regex = Some(body);
        }
        let status = if url.status.is_empty() { vec![(200, 299)] } else { url.status };
        let virtual_host = url.virtual_host.or_else(|| host.map(str::to_owned));
        let tls_compliant = url.tls_compliant.unwrap_or(tls_compliant);
        Some(HttpUrl { path, virtual_host, status, digest: url.digest, tls_compliant, regex })
    }

    fn file_check(&mut self, draft: FileCheckDraft, span: Span, inner: &Inner<'_>) -> Option<FileCheck> {
        let Some(name) = draft.file else {
            let message = format!("{}: FILE_CHECK without track_file", inner.name);
            self.report(Problem::error(code::MISSING_KEYWORD, span, message));
            return None;
        };
        let user = format!("real_server {}", inner.name);
        let file = self.file(&user, &name, Listener::Checkd)?;
        let (weight, reverse) = self.files.weight(&name.text).unwrap_or((1, false));
        let (weight, reverse) = draft.weight.unwrap_or((i32::from(weight), reverse));
        Some(FileCheck { file, name: name.text, weight, reverse })
    }

    fn misc(&mut self, misc: MiscDraft, span: Span, inner: &Inner<'_>) -> Option<CheckKind> {
        let Some(command) = misc.command else {
            let message = format!("{}: MISC_CHECK without misc_path", inner.name);
            self.report(Problem::error(code::MISSING_KEYWORD, span, message));
            return None;
        };
        let timeout = misc.timeout.unwrap_or(inner.service_delay);
        let name = format!("{} misc_path", inner.name);
        let shown = command.argv.join(" ");
        let script = self.script(&name, command, misc.user, Purpose::MiscCheck, Some(timeout))?;
        Some(CheckKind::Misc { script, command: shown, timeout, dynamic: misc.dynamic })
    }

    /// The endpoint with a port: the kind's default, or an error when it has none.
    fn with_port(
        &mut self,
        mut endpoint: Endpoint,
        default: u16,
        span: Span,
        inner: &Inner<'_>,
    ) -> Option<Endpoint> {
        if endpoint.target.port() == 0 {
            if default == 0 {
                let message = format!("{}: the check has no port to connect to", inner.name);
                let help = "write connect_port, or a port behind real_server";
                self.report(Problem::error(code::MISSING_VALUE, span, message).help(help));
                return None;
            }
            endpoint.target.set_port(default);
        }
        Some(endpoint)
    }
}
