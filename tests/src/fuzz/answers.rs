//! What servers answer to checks. Answers over a connection come in pieces whose length the first byte chooses.

use std::sync::LazyLock;

use checkd::probe;
use config::LoadOptions;
use config::model::check::{CheckKind, HttpCheck, SmtpCheck, UdpCheck};
use config::model::vrrp::Family;

use super::{looked_at, read};

fn pieces(bytes: &[u8]) -> std::slice::Chunks<'_, u8> {
    let (step, rest) = bytes.split_first().map_or((1, bytes), |(step, rest)| (usize::from(*step), rest));
    rest.chunks(step.max(1))
}

/// The answer of a web server.
///
/// # Panics
/// Never: that is what is tested.
pub fn http(bytes: &[u8]) {
    for check in &CHECKS.http {
        for url in &check.urls {
            let mut request = Vec::new();
            let mut exchange = probe::http::Exchange::start(check, url, &mut request);
            if pieces(bytes).find_map(|piece| exchange.receive(url, piece)).is_none() {
                looked_at(exchange.close(url));
            }
        }
    }
}

/// What a mail server says.
///
/// # Panics
/// When it makes us say a lot.
pub fn smtp(bytes: &[u8]) {
    for check in &CHECKS.smtp {
        let mut dialogue = probe::smtp::Dialogue::default();
        let mut said = Vec::new();
        let ended = pieces(bytes).any(|piece| dialogue.receive(&check.helo_name, piece, &mut said).is_some());
        assert!(said.len() < 4_096, "an SMTP server makes us say {} bytes, ended: {ended}", said.len());
    }
}

/// The answer of a name server, to a question with the number 0x1234.
///
/// # Panics
/// Never: that is what is tested.
pub fn dns(bytes: &[u8]) {
    looked_at(probe::dns::judge(0x1234, bytes));
}

/// What comes back to UDP_CHECK and PING_CHECK.
///
/// # Panics
/// Never: that is what is tested.
pub fn datagrams(bytes: &[u8]) {
    for check in &CHECKS.udp {
        looked_at(probe::udp::judge(check, bytes));
    }
    for family in [Family::Inet, Family::Inet6] {
        looked_at(probe::ping::answered(family, 7, bytes));
    }
}

struct Checks {
    http: Vec<HttpCheck>,
    smtp: Vec<SmtpCheck>,
    udp: Vec<UdpCheck>,
}

/// Checkers that read what servers send.
static CHECKS: LazyLock<Checks> = LazyLock::new(|| {
    let text = "virtual_server 192.0.2.1 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nreal_server 203.0.113.1 80 {\n\
                HTTP_GET {\nurl {\npath /\nstatus_code 200\n}\nurl {\npath /\n\
                digest 00112233445566778899aabbccddeeff\n}\nurl {\npath /\nregex \"a[b-z]+c\"\n}\n}\n\
                HTTP_GET {\nhttp_protocol 1.1\nurl { path / }\n}\nSMTP_CHECK { }\n\
                UDP_CHECK {\npayload 00\nrequire_reply 01XX03\nmin_reply_length 3\n}\nUDP_CHECK {\npayload 00\nrequire_reply\n}\n\
                }\n}\n";
    let loaded = read(text.as_bytes(), &LoadOptions::default());
    let mut out = Checks { http: Vec::new(), smtp: Vec::new(), udp: Vec::new() };
    let services = loaded.model.map(|model| model.virtual_servers).unwrap_or_default();
    for check in
        services.into_iter().flat_map(|service| service.real_servers).flat_map(|server| server.checks)
    {
        match check.kind {
            CheckKind::Http(http) => out.http.push(http),
            CheckKind::Smtp(smtp) => out.smtp.push(smtp),
            CheckKind::Udp(udp) => out.udp.push(udp),
            CheckKind::Tcp(_)
            | CheckKind::Misc { .. }
            | CheckKind::Dns(_)
            | CheckKind::Ping(_)
            | CheckKind::File(_) => {}
        }
    }
    out
});
