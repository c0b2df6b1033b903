//! `DNS_CHECK`.

use super::*;
use crate::model::check::DnsRecord;

/// `DNS_CHECK` as written.
#[derive(Debug)]
pub(crate) struct DnsDraft {
    pub(crate) name: String,
    pub(crate) record: DnsRecord,
}

/// Reads a `DNS_CHECK`.
pub(in crate::schema) fn dns_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let dns = DnsDraft { name: String::new(), record: DnsRecord::Soa };
    read(draft, lowering, line, "DNS_CHECK", CheckerKind::Dns(Box::new(dns)), &DNS_CHECK);
}

fn dns_type(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a record type") else { return };
    lowering.end(line, 2);
    let found = DnsRecord::ALL.iter().find(|(_, _, name)| name.eq_ignore_ascii_case(word.text));
    let Some((record, ..)) = found else {
        let names: Vec<&str> = DnsRecord::ALL.iter().map(|(_, _, name)| *name).collect();
        let message = format!("type must be {}, got '{}'", names.join(" or "), word.text);
        return lowering.error(code::UNKNOWN_WORD, word.span, message);
    };
    if let Some(dns) = draft.dns() {
        dns.record = *record;
    }
}

/// RFC 1035 section 2.3.4: labels of 1 to 63 bytes, 253 with the dots between them; a dot alone is the root.
fn dns_name(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a domain name") else { return };
    lowering.end(line, 2);
    let name = word.text.strip_suffix('.').unwrap_or(word.text);
    let fits = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_graphic());
    if !name.is_empty() && (name.len() > 253 || !name.split('.').all(fits)) {
        let message = format!("'{}' can't be a domain name: labels have 1 to 63 characters", word.text);
        lowering.error(code::BAD_TEXT, word.span, message);
    } else if let Some(dns) = draft.dns() {
        dns.name = name.to_owned();
    }
}

/// Keywords of `virtual_server/real_server/DNS_CHECK`.
pub(in crate::schema) static DNS_CHECK: [Row<CheckDraft>; 15] =
    connecting([active("type", dns_type).or_default(), active("name", dns_name)]);
