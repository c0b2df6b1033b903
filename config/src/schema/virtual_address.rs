//! Lines of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use super::*;
use crate::model::vrrp::Broadcast;

/// One address as written.
#[derive(Debug)]
pub(crate) struct AddressDraft {
    pub(crate) network: IpNetwork,
    pub(crate) span: Span,
    pub(crate) interface: Option<String>,
    pub(crate) scope: u8,
    pub(crate) broadcast: Broadcast,
    pub(crate) label: Option<String>,
    pub(crate) no_track: bool,
}

/// Options of an address line that do nothing yet: name and number of words behind them.
pub(super) const INACTIVE_OPTIONS: &[(&str, usize)] = &[
    ("peer", 1),
    ("home", 0),
    ("-nodad", 0),
    ("mngtmpaddr", 0),
    ("noprefixroute", 0),
    ("autojoin", 0),
    ("preferred_lft", 1),
    ("use_vmac", 0),
];

/// Options of an address line that work.
pub(super) const ACTIVE_OPTIONS: &[&str] = &["dev", "scope", "broadcast", "brd", "label", "no_track"];

/// Reads one line.
pub(super) fn read(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<AddressDraft> {
    let word = line.word(0)?;
    let mut draft = AddressDraft {
        network: network(lowering, word)?,
        span: word.span,
        interface: None,
        scope: 0,
        broadcast: Broadcast::Unset,
        label: None,
        no_track: false,
    };
    let mut at = 1;
    while let Some(option) = line.word(at) {
        at += 1 + option_words(lowering, line, at, option, &mut draft)?;
    }
    Some(draft)
}

/// Reads one option; returns the number of words behind its name.
fn option_words(
    lowering: &mut Lowering<'_>,
    line: &Line<'_>,
    at: usize,
    option: Word<'_>,
    draft: &mut AddressDraft,
) -> Option<usize> {
    let inactive = INACTIVE_OPTIONS.iter().find(|(name, _)| *name == option.text);
    if option.text == "no_track" {
        draft.no_track = true;
        return Some(0);
    }
    if let Some((name, words)) = inactive {
        if *words > 0 {
            lowering.required(line, at.saturating_add(*words), "a value")?;
        }
        if lowering.told.insert(("virtual_ipaddress:entry", name)) {
            let message = format!("{name}: accepted, not active yet");
            lowering.report(Problem::warning(code::NOT_ACTIVE, option.span, message));
        }
        return Some(*words);
    }
    if !ACTIVE_OPTIONS.contains(&option.text) {
        let message = format!("Unknown keyword '{}' behind an address", option.text);
        let problem = Problem::error(code::UNKNOWN_KEYWORD, option.span, message);
        let names = ACTIVE_OPTIONS.iter().copied().chain(INACTIVE_OPTIONS.iter().map(|(name, _)| *name));
        lowering.report(match suggest::nearest(option.text, names) {
            Some(name) => problem.help(format!("did you mean {name}?")),
            None => problem,
        });
        return None;
    }
    let value = lowering.required(line, at.saturating_add(1), "a value for its last option")?;
    match option.text {
        "dev" => draft.interface = Some(lowering.interface_word(value)?.text),
        "scope" => draft.scope = scope(lowering, value)?,
        "label" => draft.label = Some(label(lowering, value)?),
        _ => draft.broadcast = broadcast(lowering, value, draft.network)?,
    }
    Some(1)
}

/// Address with an optional prefix length.
fn network(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<IpNetwork> {
    let (address, prefix) = word.text.split_once('/').map_or((word.text, None), |(a, p)| (a, Some(p)));
    let Ok(ip) = address.parse::<IpAddr>() else {
        lowering.error(code::BAD_ADDRESS, word.span, format!("'{}' is no address", word.text));
        return None;
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let length = match prefix {
        None => most,
        Some(prefix) => {
            let valid = prefix.parse::<u8>().ok().filter(|length| *length <= most);
            let Some(length) = valid else {
                let message = format!("prefix length must be 0..={most}, got '{prefix}'");
                lowering.error(code::OUT_OF_RANGE, word.span, message);
                return None;
            };
            length
        }
    };
    IpNetwork::new(ip, length).ok()
}

/// Scope by name or number.
pub(super) fn scope(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<u8> {
    match word.text {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        _ => u8::try_from(lowering.number_word("scope", word, 0, 255)?).ok(),
    }
}

fn label(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<String> {
    if word.text.is_empty() || word.text.len() > 15 {
        let message = format!("a label has 1 to 15 characters, got '{}'", word.text);
        lowering.error(code::BAD_TEXT, word.span, message);
        return None;
    }
    Some(word.text.to_owned())
}

fn broadcast(lowering: &mut Lowering<'_>, word: Word<'_>, network: IpNetwork) -> Option<Broadcast> {
    if network.is_ipv6() {
        lowering.error(code::WRONG_FAMILY, word.span, "an IPv6 address has no broadcast address");
        return None;
    }
    match word.text {
        "+" => Some(Broadcast::HostBits { ones: true }),
        "-" => Some(Broadcast::HostBits { ones: false }),
        text => match text.parse::<Ipv4Addr>() {
            Ok(address) => Some(Broadcast::Address(address)),
            Err(_) => {
                let message = format!("brd takes +, - or an IPv4 address, got '{text}'");
                lowering.error(code::BAD_ADDRESS, word.span, message);
                None
            }
        },
    }
}
