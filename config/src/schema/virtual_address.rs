//! Lines of `virtual_ipaddress`, `virtual_ipaddress_excluded` and `static_ipaddress`.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use super::*;
use crate::model::vrrp::{Broadcast, Family, PreferredLifetime, VirtualAddress};
use crate::numbers::NumberTable;

/// One address as written.
#[derive(Debug)]
pub(crate) struct AddressDraft {
    /// The address; its scope is in `scope`.
    pub(crate) address: VirtualAddress,
    pub(crate) span: Span,
    pub(crate) scope: Option<Numbered>,
    pub(crate) group: Option<Named>,
}

/// Which block a line stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `virtual_ipaddress`, `virtual_ipaddress_excluded`.
    Instance,
    /// `static_ipaddress`.
    Static,
}

/// Option of an address line that does nothing yet.
pub(super) const INACTIVE_OPTION: &str = "use_vmac";

/// Options of an address line that work; the last one in `static_ipaddress` only.
const ACTIVE_OPTIONS: &[&str] = &[
    "dev",
    "scope",
    "broadcast",
    "brd",
    "label",
    "peer",
    "home",
    "-nodad",
    "mngtmpaddr",
    "noprefixroute",
    "autojoin",
    "preferred_lft",
    "no_track",
    "no_lease",
    "track_group",
];

/// Reads one line.
pub(super) fn read(lowering: &mut Lowering<'_>, line: &Line<'_>, place: Place) -> Option<AddressDraft> {
    let word = line.word(0)?;
    let address = VirtualAddress::new(network(lowering, word)?);
    let mut draft = AddressDraft { address, span: word.span, scope: None, group: None };
    let mut at = 1;
    while let Some(option) = line.word(at) {
        if !is_known(option.text, place) {
            unknown(lowering, option);
            return None;
        }
        if flag(lowering, option, &mut draft.address) {
            at += 1;
            continue;
        }
        let value = lowering.required(line, at.saturating_add(1), "a value for its last option")?;
        with_value(lowering, option.text, value, &mut draft)?;
        at += 2;
    }
    fit(lowering, &mut draft, word);
    Some(draft)
}

fn is_known(option: &str, place: Place) -> bool {
    match option {
        "track_group" => place == Place::Static,
        INACTIVE_OPTION => place == Place::Instance,
        _ => ACTIVE_OPTIONS.contains(&option),
    }
}

fn unknown(lowering: &mut Lowering<'_>, option: Word<'_>) {
    let message = format!("Unknown keyword '{}' behind an address", option.text);
    let problem = Problem::error(code::UNKNOWN_KEYWORD, option.span, message);
    lowering.report(match suggest::nearest(option.text, ACTIVE_OPTIONS.iter().copied()) {
        Some(name) => problem.help(format!("did you mean {name}?")),
        None => problem,
    });
}

/// Reads an option without value; false when it has one.
fn flag(lowering: &mut Lowering<'_>, option: Word<'_>, address: &mut VirtualAddress) -> bool {
    let options = &mut address.options;
    match option.text {
        "no_track" => address.no_track = true,
        "no_lease" => address.no_lease = true,
        "home" => options.home = true,
        "-nodad" => options.detect_duplicates = true,
        "mngtmpaddr" => options.manage_temporary = true,
        "noprefixroute" => options.no_prefix_route = true,
        "autojoin" => options.auto_join = true,
        INACTIVE_OPTION => {
            if lowering.told.insert(("virtual_ipaddress:entry", INACTIVE_OPTION)) {
                let message = format!("{INACTIVE_OPTION}: accepted, not active yet");
                lowering.report(Problem::warning(code::NOT_ACTIVE, option.span, message));
            }
        }
        _ => return false,
    }
    true
}

fn with_value(
    lowering: &mut Lowering<'_>,
    option: &str,
    value: Word<'_>,
    draft: &mut AddressDraft,
) -> Option<()> {
    let address = &mut draft.address;
    match option {
        "dev" if address.interface.is_some() => {
            let message = format!("{} names its interface twice", address.network);
            lowering.error(code::CONFLICT, value.span, message);
            return None;
        }
        "dev" => address.interface = Some(lowering.interface_word(value)?.text),
        "scope" => draft.scope = Some(lowering.numbered(NumberTable::Scopes, value)?),
        "label" => address.label = Some(label(lowering, value)?),
        "peer" => address.peer = Some(lowering.address(option, value)?),
        "preferred_lft" => address.preferred = preferred(lowering, value)?,
        "track_group" => draft.group = Some(Named::of(value)),
        _ => address.broadcast = broadcast(lowering, value, address.network)?,
    }
    Some(())
}

/// What the kernel would refuse or ignore is told here and left out, as keepalived goes on without it.
fn fit(lowering: &mut Lowering<'_>, draft: &mut AddressDraft, word: Word<'_>) {
    let address = &mut draft.address;
    let (ip, prefix) = (address.network.ip(), address.network.prefix());
    let mut without = |is_meant: bool, what: &str| {
        if is_meant {
            let message = format!("{ip}: {what}");
            lowering.report(Problem::warning(code::NO_EFFECT, word.span, message));
        }
        is_meant
    };
    if without(address.options.auto_join && !ip.is_multicast(), "autojoin is for multicast addresses") {
        address.options.auto_join = false;
    }
    let temporary = address.options.manage_temporary;
    if without(temporary && !(ip.is_ipv6() && prefix == 64), "mngtmpaddr needs an IPv6 /64") {
        address.options.manage_temporary = false;
    }
    let lifetime = address.preferred != PreferredLifetime::Usual;
    if without(lifetime && ip.is_ipv4(), "preferred_lft is for IPv6") {
        address.preferred = PreferredLifetime::Usual;
    }
    let options = &mut address.options;
    if without((options.home || options.detect_duplicates) && ip.is_ipv4(), "home and -nodad are for IPv6") {
        options.home = false;
        options.detect_duplicates = false;
    }
    if without(ip.is_ipv6() && draft.scope.is_some(), "the kernel itself chooses the scope of IPv6 addresses")
    {
        draft.scope = None;
    }
    if without(ip.is_ipv6() && address.label.is_some(), "IPv6 addresses have no label") {
        address.label = None;
    }
    let computed = matches!(address.broadcast, Broadcast::HostBits { .. });
    if without(computed && prefix > 30, "the prefix length is too long for a broadcast address") {
        address.broadcast = Broadcast::Unset;
    }
    let Some(peer) = address.peer else { return };
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    if without(prefix != longest, "an address with a peer has no prefix length: it is taken as the longest")
        && let Ok(network) = IpNetwork::new(ip, longest)
    {
        address.network = network;
    }
    if Family::of(&peer) != Family::of(&ip) {
        let message = format!("peer {peer} is not of the family of {ip}");
        lowering.error(code::WRONG_FAMILY, word.span, message);
    }
}

fn preferred(lowering: &mut Lowering<'_>, word: Word<'_>) -> Option<PreferredLifetime> {
    if word.text == "forever" {
        return Some(PreferredLifetime::Forever);
    }
    let seconds = lowering.number_word("preferred_lft", word, 0, 4_294_967_295)?;
    Some(match u32::try_from(seconds).ok()? {
        u32::MAX => PreferredLifetime::Forever,
        seconds => PreferredLifetime::Seconds(seconds),
    })
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
                let message =
                    format!("Invalid address prefix len {prefix} for address {} - using {most}", word.text);
                let problem = Problem::error(code::OUT_OF_RANGE, word.span, message).has_default();
                lowering.report(problem.help(format!("prefix length must be 0..={most}")));
                return IpNetwork::new(ip, most).ok();
            };
            length
        }
    };
    IpNetwork::new(ip, length).ok()
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
