//! `real_server`.

use std::net::SocketAddr;

use super::*;
use crate::model::ipvs::Forwarding;

/// `real_server` as written.
#[derive(Debug)]
pub(crate) struct ServerDraft {
    pub(crate) address: SocketAddr,
    pub(crate) span: Span,
    pub(crate) weight: Option<u32>,
    /// `lvs_method`, or the virtual server's `lb_kind` as it stood before this block.
    pub(crate) forwarding: Option<Forwarding>,
    pub(crate) upper_threshold: u32,
    pub(crate) lower_threshold: u32,
    pub(crate) inhibit_on_failure: Option<bool>,
    pub(crate) alpha: Option<bool>,
    pub(crate) notify_up: Option<Box<Command>>,
    pub(crate) notify_down: Option<Box<Command>>,
    pub(crate) timing: Timing,
    pub(crate) virtual_host: Option<String>,
    pub(crate) mail: Option<bool>,
    pub(crate) checks: Vec<CheckDraft>,
}

impl ServerDraft {
    /// A block without content.
    pub(super) fn new(address: SocketAddr, span: Span, forwarding: Option<Forwarding>) -> Self {
        Self {
            address,
            span,
            weight: None,
            forwarding,
            upper_threshold: 0,
            lower_threshold: 0,
            inhibit_on_failure: None,
            alpha: None,
            notify_up: None,
            notify_down: None,
            timing: Timing::default(),
            virtual_host: None,
            mail: None,
            checks: Vec::new(),
        }
    }
}

/// Reads one block.
pub(super) fn read(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(address) = virtual_server::socket_address(lowering, line) else { return };
    let mut server = ServerDraft::new(address, line.span, draft.forwarding);
    lowering.block("real_server", line, TABLE, &mut server);
    draft.servers.push(Box::new(server));
}

fn weight(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.weight = lowering.unsigned(line, 1, 0, 2_147_483_647);
    lowering.end(line, 2);
}

fn lvs_method(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(method) = virtual_server::method(lowering, line, "real") {
        draft.forwarding = Some(method);
    }
}

fn uthreshold(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.upper_threshold = lowering.unsigned(line, 1, 0, 4_294_967_295).unwrap_or(0);
    lowering.end(line, 2);
}

fn lthreshold(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.lower_threshold = lowering.unsigned(line, 1, 0, 4_294_967_295).unwrap_or(0);
    lowering.end(line, 2);
}

fn inhibit_on_failure(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.inhibit_on_failure = lowering.boolean(line, 1);
}

fn alpha(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.alpha = lowering.boolean(line, 1);
}

fn notify_up(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify_up = lowering.command(line).map(Box::new);
}

fn notify_down(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.notify_down = lowering.command(line).map(Box::new);
}

fn retry(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.retry(lowering, line, 1);
}

fn delay_before_retry(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.delay_before_retry(lowering, line);
}

fn warmup(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.warmup(lowering, line);
}

fn connect_timeout(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.connect_timeout(lowering, line);
}

fn delay_loop(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.delay_loop(lowering, line);
}

fn virtualhost(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.virtual_host = lowering.required(line, 1, "a host name").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn smtp_alert(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.mail = lowering.boolean(line, 1);
}

/// A checker that does nothing yet: its server counts as up.
fn unchecked(
    draft: &mut ServerDraft,
    lowering: &mut Lowering<'_>,
    line: &Line<'_>,
    table: &'static inert::InertTable,
) {
    inert::block(lowering, line, table);
    let message = format!(
        "{} of real_server {}: accepted, not active yet; the server counts as up",
        line.keyword(),
        draft.address
    );
    lowering.report(Problem::warning(code::CHECKER_NOT_ACTIVE, line.keyword_span(), message));
}

fn bfd_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    unchecked(draft, lowering, line, &inert::BFD_CHECK);
}

/// Keywords of `virtual_server/real_server`.
pub(super) static TABLE: &[Row<ServerDraft>] = &[
    active("weight", weight),
    active("lvs_method", lvs_method).or_default(),
    active("uthreshold", uthreshold).or_default(),
    active("lthreshold", lthreshold).or_default(),
    active("inhibit_on_failure", inhibit_on_failure).or_default(),
    active("notify_up", notify_up).first_counts(),
    active("notify_down", notify_down).first_counts(),
    active("alpha", alpha).or_default(),
    active("retry", retry).or_default(),
    active("delay_before_retry", delay_before_retry).or_default(),
    active("warmup", warmup).or_default(),
    active("connect_timeout", connect_timeout).or_default(),
    active("delay_loop", delay_loop).or_default(),
    active("virtualhost", virtualhost),
    active("MISC_CHECK", checker::misc_check),
    active("SMTP_CHECK", checker::smtp_check),
    active("TCP_CHECK", checker::tcp_check),
    active("PING_CHECK", checker::ping_check),
    active("UDP_CHECK", checker::udp_check),
    active("HTTP_GET", checker::http_get),
    active("SSL_GET", checker::ssl_get),
    active("DNS_CHECK", checker::dns_check),
    active("FILE_CHECK", checker::file_check),
    active("BFD_CHECK", bfd_check),
    active("smtp_alert", smtp_alert).or_default(),
    inactive("snmp_name", Shape::Words(1, 1)),
];
