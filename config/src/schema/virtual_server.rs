//! `virtual_server`.

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::model::ipvs::{Forwarding, Protocol};
use crate::model::vrrp::Family;

/// What a `virtual_server` is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServiceTarget {
    /// Address and port; 0 is any port.
    Address(SocketAddr),
    /// `fwmark`.
    Mark(u32),
    /// `group`.
    Group(Named),
}

/// `virtual_server` as written.
#[derive(Debug)]
pub(crate) struct ServiceDraft {
    pub(crate) target: ServiceTarget,
    pub(crate) span: Span,
    pub(crate) family: Option<Family>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) scheduler: Option<String>,
    pub(crate) forwarding: Option<Forwarding>,
    pub(crate) persistence_timeout: Option<u32>,
    pub(crate) persistence_prefix: Option<(u8, Span)>,
    pub(crate) one_packet: Option<Span>,
    pub(crate) timing: Timing,
    pub(crate) quorum: Option<(u32, Span)>,
    pub(crate) hysteresis: Option<(u32, Span)>,
    pub(crate) quorum_up: Option<Command>,
    pub(crate) quorum_down: Option<Command>,
    pub(crate) alpha: bool,
    pub(crate) omega: bool,
    pub(crate) inhibit_on_failure: bool,
    pub(crate) weight: Option<u32>,
    pub(crate) virtual_host: Option<String>,
    pub(crate) sorry: Option<(SocketAddr, Option<Forwarding>, Span)>,
    pub(crate) sorry_inhibit: bool,
    pub(crate) sorry_method: Option<Forwarding>,
    #[expect(clippy::vec_box, reason = "each is freed as soon as its part of the model exists")]
    pub(crate) servers: Vec<Box<ServerDraft>>,
}

impl ServiceDraft {
    /// A block without content.
    pub(super) fn new(target: ServiceTarget, span: Span) -> Self {
        Self {
            target,
            span,
            family: None,
            protocol: None,
            scheduler: None,
            forwarding: None,
            persistence_timeout: None,
            persistence_prefix: None,
            one_packet: None,
            timing: Timing::default(),
            quorum: None,
            hysteresis: None,
            quorum_up: None,
            quorum_down: None,
            alpha: false,
            omega: false,
            inhibit_on_failure: false,
            weight: None,
            virtual_host: None,
            sorry: None,
            sorry_inhibit: false,
            sorry_method: None,
            servers: Vec::new(),
        }
    }
}

/// Reads one block.
pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(target) = target(lowering, line) else { return };
    let mut service = ServiceDraft::new(target, line.span);
    lowering.block("virtual_server", line, TABLE, &mut service);
    draft.services.push(service);
}

fn target(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<ServiceTarget> {
    let word = lowering.required(line, 1, "an address, fwmark or group")?;
    match word.text {
        "fwmark" => {
            let mark = lowering.unsigned(line, 2, 1, 4_294_967_295)?;
            lowering.end(line, 3);
            Some(ServiceTarget::Mark(mark))
        }
        "group" => {
            let name = lowering.required(line, 2, "the name of a group")?;
            lowering.end(line, 3);
            Some(ServiceTarget::Group(Named::of(name)))
        }
        _ => Some(ServiceTarget::Address(socket_address(lowering, line)?)),
    }
}

/// Address and optional port behind a keyword; port 0 stands for none.
pub(super) fn socket_address(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<SocketAddr> {
    let address: IpAddr = lowering.address_at(line, 1)?;
    let port = match line.word(2) {
        None => 0,
        Some(word) if word.text.bytes().all(|byte| byte == b'0') => 0,
        Some(_) => lowering.unsigned(line, 2, 1, 65_535)?,
    };
    lowering.end(line, 3);
    Some(SocketAddr::new(address, port))
}

/// Forwarding method; the options of TUN do nothing yet and are refused.
pub(super) fn method(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Forwarding> {
    let methods = [Forwarding::Nat, Forwarding::DirectRouting, Forwarding::Tunnel];
    let index = lowering.choice(line, 1, &["NAT", "DR", "TUN"])?;
    match line.word(2) {
        Some(word)
            if index == 2 && word.text == "type" && line.word(3).is_some_and(|word| word.text == "ipip") =>
        {
            lowering.end(line, 4);
        }
        Some(word) if index == 2 && matches!(word.text, "type" | "port" | "nocsum" | "csum" | "remcsum") => {
            lowering.refuse(line, "tunnel options", "packets would be encapsulated in another way");
        }
        Some(_) | None => lowering.end(line, 2),
    }
    methods.get(index).copied()
}

fn ip_family(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.family = lowering
        .choice(line, 1, &["inet", "inet6"])
        .map(|index| if index == 0 { Family::Inet } else { Family::Inet6 });
}

fn retry(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.retry(lowering, line, 1);
}

fn delay_before_retry(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.delay_before_retry(lowering, line);
}

fn warmup(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.warmup(lowering, line);
}

fn connect_timeout(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.connect_timeout(lowering, line);
}

fn delay_loop(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.timing.delay_loop(lowering, line);
}

fn inhibit_on_failure(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.inhibit_on_failure = true;
}

fn scheduler(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(index) = lowering.choice(line, 1, SCHEDULERS) {
        draft.scheduler = SCHEDULERS.get(index).map(|name| (*name).to_owned());
    }
    lowering.end(line, 2);
}

/// Schedulers of the kernel.
const SCHEDULERS: &[&str] =
    &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"];

fn ops(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.one_packet = Some(line.span);
}

fn lb_kind(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.forwarding = method(lowering, line);
}

fn persistence_timeout(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.persistence_timeout = match line.word(1) {
        None => Some(360),
        Some(_) => lowering.unsigned(line, 1, 1, 2_678_400),
    };
    lowering.end(line, 2);
}

fn persistence_granularity(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a netmask or prefix length") else { return };
    let prefix = match word.text.parse::<IpAddr>() {
        Ok(IpAddr::V4(mask)) => {
            let bits = u32::from(mask);
            (bits != 0 && bits.leading_ones().saturating_add(bits.trailing_zeros()) == 32)
                .then(|| u8::try_from(bits.leading_ones()).unwrap_or(32))
        }
        Ok(IpAddr::V6(_)) => None,
        Err(_) => match lowering.number_word("persistence_granularity", word, 1, 128) {
            Some(prefix) => u8::try_from(prefix).ok(),
            None => return,
        },
    };
    match prefix {
        Some(prefix) => draft.persistence_prefix = Some((prefix, word.span)),
        None => {
            let message = format!("'{}' is no netmask of leading ones", word.text);
            lowering.error(code::BAD_ADDRESS, word.span, message);
        }
    }
}

fn protocol(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "TCP, UDP or SCTP") else { return };
    draft.protocol = match word.text.to_ascii_uppercase().as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => {
            let message = format!("protocol must be TCP, UDP or SCTP, got '{}'", word.text);
            lowering.error(code::UNKNOWN_WORD, word.span, message);
            None
        }
    };
    lowering.end(line, 2);
}

fn virtualhost(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.virtual_host = lowering.required(line, 1, "a host name").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn alpha(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.alpha = true;
}

fn omega(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.omega = true;
}

fn quorum_up(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.quorum_up = lowering.command(line);
}

fn quorum_down(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.quorum_down = lowering.command(line);
}

fn quorum(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.quorum = lowering.unsigned(line, 1, 1, 4_294_967_295).map(|quorum| (quorum, line.span));
    lowering.end(line, 2);
}

fn hysteresis(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.hysteresis = lowering.unsigned(line, 1, 0, 4_294_967_295).map(|value| (value, line.span));
    lowering.end(line, 2);
}

fn weight(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.weight = lowering.unsigned(line, 1, 1, 2_147_483_647);
    lowering.end(line, 2);
}

fn sorry_server(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.sorry = socket_address(lowering, line).map(|address| (address, draft.forwarding, line.span));
}

fn sorry_server_inhibit(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    if draft.sorry.is_none() {
        lowering.error(code::CONFLICT, line.span, "sorry_server_inhibit must follow sorry_server");
    }
    draft.sorry_inhibit = true;
}

fn sorry_server_lvs_method(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if draft.sorry.is_none() {
        lowering.error(code::CONFLICT, line.span, "sorry_server_lvs_method must follow sorry_server");
    }
    draft.sorry_method = method(lowering, line);
}

/// Keywords of `virtual_server`.
pub(super) static TABLE: &[Row<ServiceDraft>] = &[
    active("ip_family", ip_family),
    active("retry", retry),
    active("delay_before_retry", delay_before_retry),
    active("warmup", warmup),
    active("connect_timeout", connect_timeout),
    active("delay_loop", delay_loop),
    active("inhibit_on_failure", inhibit_on_failure),
    active("lb_algo", scheduler),
    active("lvs_sched", scheduler),
    active("ops", ops),
    active("lb_kind", lb_kind),
    active("lvs_method", lb_kind),
    active("persistence_timeout", persistence_timeout),
    active("persistence_granularity", persistence_granularity),
    active("protocol", protocol),
    active("virtualhost", virtualhost),
    active("alpha", alpha),
    active("omega", omega),
    active("quorum_up", quorum_up),
    active("quorum_down", quorum_down),
    active("quorum", quorum),
    active("hysteresis", hysteresis),
    active("weight", weight),
    active("sorry_server", sorry_server),
    active("sorry_server_inhibit", sorry_server_inhibit),
    active("sorry_server_lvs_method", sorry_server_lvs_method),
    active("real_server", real_server::read),
    inactive("hashed", Shape::Flag),
    refused("flag-1", Shape::Flag, "connections would be spread in another way"),
    refused("flag-2", Shape::Flag, "connections would be spread in another way"),
    refused("flag-3", Shape::Flag, "connections would be spread in another way"),
    refused("sh-port", Shape::Flag, "connections would be spread in another way"),
    refused("sh-fallback", Shape::Flag, "connections would be spread in another way"),
    refused("mh-port", Shape::Flag, "connections would be spread in another way"),
    refused("mh-fallback", Shape::Flag, "connections would be spread in another way"),
    refused("persistence_engine", Shape::Words(1, 1), "connections would be spread in another way"),
    inactive("ha_suspend", Shape::Flag),
    inactive("smtp_alert", Shape::Bool),
    inactive("snmp_name", Shape::Words(1, 1)),
];
