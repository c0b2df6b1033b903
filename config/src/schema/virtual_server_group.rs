//! `virtual_server_group`: addresses, ranges, prefixes and marks that share one virtual server.

use std::net::IpAddr;

use super::*;
use crate::model::ipvs::{address_of, number};
use crate::model::vrrp::Family;

/// One line of a group.
#[derive(Debug)]
pub(crate) enum GroupEntry {
    /// Addresses from first to last, with one port.
    Addresses {
        /// First address.
        first: IpAddr,
        /// Last address, of the same family.
        last: IpAddr,
        /// Port, 0 for any.
        port: u16,
    },
    /// `fwmark`.
    Mark {
        /// The mark.
        mark: u32,
        /// Its family, when written.
        family: Option<Family>,
    },
}

impl GroupEntry {
    /// Entries of the kernel's table that it stands for.
    fn count(&self) -> u128 {
        match self {
            Self::Addresses { first, last, .. } => {
                number(*last).saturating_sub(number(*first)).saturating_add(1)
            }
            Self::Mark { .. } => 1,
        }
    }
}

/// `virtual_server_group` as written.
#[derive(Debug)]
pub(crate) struct GroupDraft {
    pub(crate) name: Named,
    pub(crate) entries: Vec<GroupEntry>,
    /// The line with which it holds more than [`GROUP_ADDRESSES`].
    pub(crate) too_long: Option<Span>,
}

/// Addresses and marks that one group may hold, unless nftables marks them.
pub(crate) const GROUP_ADDRESSES: u128 = 65_536;

/// Lines of one group; with one more it is too long in any case.
pub(crate) const GROUP_LINES: usize = 65_537;

/// Reads one block.
pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.name(line) else { return };
    lowering.end(line, 2);
    let mut group = GroupDraft { name: Named::of(name), entries: Vec::new(), too_long: None };
    let mut held: u128 = 0;
    lowering.lines(line, |lowering, line| {
        let Some(entry) = entry(lowering, line) else { return };
        held = held.saturating_add(entry.count());
        if held > GROUP_ADDRESSES {
            group.too_long.get_or_insert(line.span);
        }
        if group.entries.len() < GROUP_LINES {
            group.entries.push(entry);
        }
    });
    draft.groups.push(group);
}

fn entry(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<GroupEntry> {
    let word = line.word(0)?;
    if word.text == "fwmark" {
        let mark = lowering.unsigned(line, 1, 1, 4_294_967_295)?;
        let family = match line.word(2) {
            None => None,
            Some(_) => Some(match lowering.choice(line, 2, &["inet", "inet6"])? {
                0 => Family::Inet,
                _ => Family::Inet6,
            }),
        };
        lowering.end(line, 3);
        return Some(GroupEntry::Mark { mark, family });
    }
    let port = match line.word(1) {
        None => 0,
        Some(word) if word.text.bytes().all(|byte| byte == b'0') => 0,
        Some(_) => lowering.unsigned(line, 1, 1, 65_535)?,
    };
    lowering.end(line, 2);
    let Some((first, last)) = addresses(word.text) else {
        let message = format!(
            "'{}' is no address, range (ADDRESS-LAST, ADDRESS-ADDRESS) or prefix without host bits",
            word.text
        );
        lowering.error(code::BAD_ADDRESS, word.span, message);
        return None;
    };
    Some(GroupEntry::Addresses { first, last, port })
}

/// First and last address of a line's first word.
fn addresses(text: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some((address, mask)) = text.split_once('/') {
        let first: IpAddr = address.parse().ok()?;
        let bits: u32 = if first.is_ipv4() { 32 } else { 128 };
        let length: u32 = mask.parse().ok().filter(|length| (1..=bits).contains(length))?;
        let host = bits.saturating_sub(length);
        let hosts = if host == 0 { 0 } else { u128::MAX >> 128_u32.saturating_sub(host) };
        return (number(first) & hosts == 0).then(|| (first, address_of(first, number(first) | hosts)));
    }
    let Some((start, end)) = text.split_once('-') else {
        let address = text.parse().ok()?;
        return Some((address, address));
    };
    let first: IpAddr = start.parse().ok()?;
    let last = match (end.parse::<IpAddr>(), first) {
        (Ok(last), _) => last,
        (Err(_), IpAddr::V4(_)) => {
            let last: u8 = end.parse().ok()?;
            address_of(first, (number(first) & !0xff) | u128::from(last))
        }
        (Err(_), IpAddr::V6(_)) => {
            let last = u16::from_str_radix(end, 16).ok()?;
            address_of(first, (number(first) & !0xffff) | u128::from(last))
        }
    };
    (first.is_ipv4() == last.is_ipv4() && number(last) >= number(first)).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Option<(String, String)> {
        addresses(text).map(|(first, last)| (first.to_string(), last.to_string()))
    }

    #[test]
    fn ranges_and_prefixes_expand() {
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(range("192.0.2.1-9"), pair("192.0.2.1", "192.0.2.9"));
        assert_eq!(range("2001:db8::10-1f"), pair("2001:db8::10", "2001:db8::1f"));
        assert_eq!(range("192.0.2.0/30"), pair("192.0.2.0", "192.0.2.3"));
        assert_eq!(range("192.0.2.1-198.51.100.1"), pair("192.0.2.1", "198.51.100.1"));
        assert_eq!(range("192.0.2.1/30"), None);
        assert_eq!(range("192.0.2.9-1"), None);
    }
}
