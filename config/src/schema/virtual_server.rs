//! `virtual_server`.

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::model::ipvs::{Checksum, Encapsulation, Forwarding, Protocol};
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
    pub(crate) persistence_engine: Option<String>,
    pub(crate) one_packet: Option<Span>,
    pub(crate) flag1: bool,
    pub(crate) flag2: bool,
    pub(crate) flag3: bool,
    pub(crate) timing: Timing,
    pub(crate) quorum: Option<(u32, Span)>,
    pub(crate) hysteresis: Option<(u32, Span)>,
    pub(crate) quorum_up: Option<Command>,
    pub(crate) quorum_down: Option<Command>,
    pub(crate) alpha: bool,
    pub(crate) omega: bool,
    pub(crate) ha_suspend: Option<Span>,
    pub(crate) mail: Option<bool>,
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
            persistence_engine: None,
            one_packet: None,
            flag1: false,
            flag2: false,
            flag3: false,
            timing: Timing::default(),
            quorum: None,
            hysteresis: None,
            quorum_up: None,
            quorum_down: None,
            alpha: false,
            omega: false,
            ha_suspend: None,
            mail: None,
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

/// Forwarding method with the options of a tunnel, of a virtual, real or sorry server.
pub(super) fn method(lowering: &mut Lowering<'_>, line: &Line<'_>, whose: &str) -> Option<Forwarding> {
    let word = lowering.required(line, 1, "NAT or DR or TUN")?;
    match word.text {
        "NAT" => {
            lowering.end(line, 2);
            Some(Forwarding::Nat)
        }
        "DR" => {
            lowering.end(line, 2);
            Some(Forwarding::DirectRouting)
        }
        "TUN" => tunnel(lowering, line).map(Forwarding::Tunnel),
        other => {
            let message = format!("PARSER : unknown [{other}] routing method for {whose} server.");
            let help = format!("{} must be NAT or DR or TUN, in capitals", line.keyword());
            lowering.report(Problem::error(code::UNKNOWN_WORD, word.span, message).help(help));
            None
        }
    }
}

fn tunnel(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Encapsulation> {
    let (mut kind, mut port, mut checksum) = (0, None, Checksum::None);
    let mut at = 2;
    while let Some(word) = line.word(at) {
        match word.text {
            "type" => {
                at += 1;
                kind = lowering.choice(line, at, &["ipip", "gue", "gre"])?;
            }
            "port" => {
                at += 1;
                port = Some(lowering.unsigned(line, at, 1, 65_535)?);
            }
            "nocsum" => checksum = Checksum::None,
            "csum" => checksum = Checksum::Outer,
            "remcsum" => checksum = Checksum::Remote,
            other => {
                let message = format!("unknown option '{other}' of TUN");
                let known = ["type", "port", "nocsum", "csum", "remcsum"].into_iter();
                let problem = Problem::error(code::UNKNOWN_KEYWORD, word.span, message);
                lowering.report(match suggest::nearest(other, known) {
                    Some(name) => problem.help(format!("did you mean {name}?")),
                    None => problem,
                });
                return None;
            }
        }
        at += 1;
    }
    let problem = match (kind, port, checksum) {
        (0, None, Checksum::None) => return Some(Encapsulation::Ipip),
        (1, Some(port), checksum) => return Some(Encapsulation::Gue { port, checksum }),
        (2, None, Checksum::None | Checksum::Outer) => {
            return Some(Encapsulation::Gre { checksum: checksum == Checksum::Outer });
        }
        (1, None, _) => Problem::error(code::MISSING_VALUE, line.span, "TUN type gue needs a port"),
        (_, Some(_), _) => Problem::error(code::CONFLICT, line.span, "only TUN type gue takes a port"),
        (0, ..) => Problem::error(code::CONFLICT, line.span, "TUN type ipip has no checksum of its own"),
        _ => Problem::error(code::CONFLICT, line.span, "only TUN type gue takes remcsum"),
    };
    lowering.report(problem);
    None
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
    let Some(word) = lowering.required(line, 1, &SCHEDULERS.join(" or ")) else { return };
    lowering.end(line, 2);
    if SCHEDULERS.contains(&word.text) {
        draft.scheduler = Some(word.text.to_owned());
        return;
    }
    let message = format!("Invalid lvs_scheduler '{}' - ignoring", word.text);
    let problem = Problem::error(code::UNKNOWN_WORD, word.span, message);
    lowering.report(match suggest::nearest(word.text, SCHEDULERS.iter().copied()) {
        Some(name) => problem.help(format!("did you mean {name}?")),
        None => problem.help(format!("{} must be {}", line.keyword(), SCHEDULERS.join(" or "))),
    });
}

/// Schedulers of the kernel.
const SCHEDULERS: &[&str] =
    &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"];

fn ops(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.one_packet = Some(line.span);
}

fn persistence_engine(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "the name of an engine") else { return };
    lowering.end(line, 2);
    if word.text.is_empty() || word.text.len() > 15 {
        let message = format!("persistence_engine has 1 to 15 characters, got '{}'", word.text);
        lowering.error(code::BAD_TEXT, word.span, message);
        return;
    }
    draft.persistence_engine = Some(word.text.to_owned());
}

fn flag1(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.flag1 |= flag_of(draft, lowering, line);
}

fn flag2(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.flag2 |= flag_of(draft, lowering, line);
}

fn flag3(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.flag3 |= flag_of(draft, lowering, line);
}

/// True when a scheduler's flag counts: those with a scheduler's name need that scheduler in front of them.
fn flag_of(draft: &ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) -> bool {
    lowering.end(line, 1);
    let scheduler = line.keyword().split('-').next().unwrap_or_default();
    let counts = scheduler == "flag" || draft.scheduler.as_deref() == Some(scheduler);
    if !counts {
        let message = format!("{} has no effect without lb_algo {scheduler} in front of it", line.keyword());
        lowering.report(Problem::warning(code::NO_EFFECT, line.span, message));
    }
    counts
}

fn lb_kind(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.forwarding = method(lowering, line, "virtual").or(draft.forwarding);
}

fn persistence_timeout(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.persistence_timeout = match line.word(1) {
        None => Some(360),
        Some(word) if word.text == "0" => {
            let message = "persistence_timeout 0 is no persistence, as leaving it out is";
            lowering.report(Problem::warning(code::NO_EFFECT, line.span, message));
            None
        }
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
    lowering.end(line, 2);
    draft.protocol = match word.text.to_ascii_uppercase().as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => {
            let message = format!("Unknown protocol {} - ignoring", word.text);
            let problem = Problem::error(code::UNKNOWN_WORD, word.span, message);
            return lowering.report(problem.help("protocol must be TCP, UDP or SCTP"));
        }
    };
}

fn virtualhost(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.virtual_host = lowering.required(line, 1, "a host name").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn alpha(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.alpha = true;
}

fn smtp_alert(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.mail = lowering.boolean(line, 1);
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
    if line.word(1).is_some_and(|word| word.text == "0") {
        lowering.report(Problem::warning(code::ADJUSTED, line.span, "quorum 0 is taken as 1"));
        lowering.end(line, 2);
        draft.quorum = Some((1, line.span));
        return;
    }
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
    draft.sorry_method = method(lowering, line, "sorry");
}

fn ha_suspend(draft: &mut ServiceDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.ha_suspend = Some(line.span);
}

/// Keywords of `virtual_server`.
pub(super) static TABLE: &[Row<ServiceDraft>] = &[
    active("ip_family", ip_family),
    active("retry", retry).or_default(),
    active("delay_before_retry", delay_before_retry).or_default(),
    active("warmup", warmup).or_default(),
    active("connect_timeout", connect_timeout).or_default(),
    active("delay_loop", delay_loop).or_default(),
    active("inhibit_on_failure", inhibit_on_failure).or_default(),
    active("lb_algo", scheduler).or_default(),
    active("lvs_sched", scheduler).or_default(),
    active("ops", ops).or_default(),
    active("lb_kind", lb_kind).or_default(),
    active("lvs_method", lb_kind).or_default(),
    active("persistence_timeout", persistence_timeout).or_default(),
    active("persistence_granularity", persistence_granularity).or_default(),
    active("protocol", protocol).or_default(),
    active("virtualhost", virtualhost),
    active("alpha", alpha).or_default(),
    active("omega", omega).or_default(),
    active("quorum_up", quorum_up).first_counts(),
    active("quorum_down", quorum_down).first_counts(),
    active("quorum", quorum).or_default(),
    active("hysteresis", hysteresis).or_default(),
    active("weight", weight),
    active("sorry_server", sorry_server),
    active("sorry_server_inhibit", sorry_server_inhibit).or_default(),
    active("sorry_server_lvs_method", sorry_server_lvs_method),
    active("real_server", real_server::read),
    silent("hashed", Shape::Flag),
    active("flag-1", flag1),
    active("flag-2", flag2),
    active("flag-3", flag3),
    active("sh-port", flag2),
    active("sh-fallback", flag1),
    active("mh-port", flag2),
    active("mh-fallback", flag1),
    active("persistence_engine", persistence_engine),
    active("ha_suspend", ha_suspend).or_default(),
    active("smtp_alert", smtp_alert).or_default(),
    inactive("snmp_name", Shape::Words(1, 1)),
];
