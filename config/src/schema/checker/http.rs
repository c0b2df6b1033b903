//! `HTTP_GET` and `SSL_GET`.

use super::*;
use crate::model::check::{HttpProtocol, Sni};

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
    pub(crate) verify: VerifyDraft,
}

/// `tls_verify` and what refines it, as written.
#[derive(Debug, Default)]
pub(crate) struct VerifyDraft {
    pub(crate) on: Option<bool>,
    pub(crate) authorities: Option<Named>,
    pub(crate) min_days: Option<u16>,
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
            verify: VerifyDraft::default(),
        }
    }
}

/// Reads an `HTTP_GET`.
pub(in crate::schema) fn http_get(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let http = HttpDraft::new(false);
    read(draft, lowering, line, "HTTP_GET", CheckerKind::Http(Box::new(http)), &HTTP_GET);
}

/// Reads an `SSL_GET`.
pub(in crate::schema) fn ssl_get(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let http = HttpDraft::new(true);
    read(draft, lowering, line, "SSL_GET", CheckerKind::Http(Box::new(http)), &SSL_GET);
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

fn tls_verify(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let on = lowering.boolean(line, 1);
    if let Some(http) = draft.http() {
        http.verify.on = on;
    }
}

fn ca_path(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let path = ssl::path(lowering, line);
    if let Some(http) = draft.http() {
        http.verify.authorities = path;
    }
}

fn min_cert_days(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let days = lowering.unsigned(line, 1, 0, 3_650);
    lowering.end(line, 2);
    if let Some(http) = draft.http() {
        http.verify.min_days = days;
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

/// Keywords of `virtual_server/real_server/HTTP_GET`.
pub(in crate::schema) static HTTP_GET: [Row<CheckDraft>; 20] = connecting([
    active("virtualhost", virtualhost),
    active("http_protocol", http_protocol).or_default(),
    active("fast_recovery", fast_recovery).or_default(),
    active("url", url),
    active("nb_get_retry", retry).or_default().old_for("retry"),
    silent("enable_sni", Shape::Bool),
    silent("sni_name", Shape::Words(0, 1)),
]);

/// Keywords of `virtual_server/real_server/SSL_GET`.
pub(in crate::schema) static SSL_GET: [Row<CheckDraft>; 24] = connecting([
    active("virtualhost", virtualhost),
    active("http_protocol", http_protocol).or_default(),
    active("fast_recovery", fast_recovery).or_default(),
    active("url", ssl_url),
    active("nb_get_retry", retry).or_default().old_for("retry"),
    active("enable_sni", enable_sni).or_default(),
    active("sni_name", sni_name),
    active("tls_compliant", tls_compliant),
    active("tls_verify", tls_verify),
    active("ca_path", ca_path),
    active("min_cert_days", min_cert_days),
]);
