//! `UDP_CHECK`.

use super::*;

/// `UDP_CHECK` as written.
#[derive(Debug)]
pub(crate) struct UdpDraft {
    pub(crate) payload: Vec<u8>,
    /// Values and masks.
    pub(crate) reply: Option<Vec<(u8, u8)>>,
    pub(crate) min_length: u16,
    pub(crate) max_length: u16,
}

/// Reads a `UDP_CHECK`.
pub(in crate::schema) fn udp_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let udp = UdpDraft { payload: Vec::new(), reply: None, min_length: 0, max_length: 255 };
    read(draft, lowering, line, "UDP_CHECK", CheckerKind::Udp(Box::new(udp)), &UDP_CHECK);
}

fn payload(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.required(line, 1, "bytes as hexadecimal digits");
    let bytes = masked_bytes(lowering, line, Wildcards::Refused);
    if let Some(udp) = draft.udp() {
        udp.payload = bytes.iter().map(|(value, _)| *value).collect();
    }
}

fn require_reply(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let bytes = masked_bytes(lowering, line, Wildcards::Allowed);
    if let Some(udp) = draft.udp() {
        udp.reply = Some(bytes);
    }
}

fn min_reply_length(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let length = lowering.unsigned(line, 1, 0, 65_535);
    lowering.end(line, 2);
    if let (Some(udp), Some(length)) = (draft.udp(), length) {
        udp.min_length = length;
    }
}

fn max_reply_length(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let length = lowering.unsigned(line, 1, 0, 65_535);
    lowering.end(line, 2);
    if let (Some(udp), Some(length)) = (draft.udp(), length) {
        udp.max_length = length;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    Allowed,
    Refused,
}

/// Bytes as pairs of hexadecimal digits, each with its mask; a single digit before a blank is a byte, in quotes or not,
/// and `X` stands for any digit.
fn masked_bytes(lowering: &mut Lowering<'_>, line: &Line<'_>, wildcards: Wildcards) -> Vec<(u8, u8)> {
    let mut bytes = Vec::new();
    for word in line.values() {
        let nibble = |c: char| match c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
            Some(digit) => Some((digit, 0x0f)),
            None if matches!(c, 'x' | 'X') && wildcards == Wildcards::Allowed => Some((0, 0)),
            None => None,
        };
        for group in word.text.split_ascii_whitespace() {
            let Some(nibbles) = group.chars().map(nibble).collect::<Option<Vec<(u8, u8)>>>() else {
                let message = format!("{} takes hexadecimal digits, got '{}'", line.keyword(), word.text);
                lowering.error(code::BAD_TEXT, word.span, message);
                return Vec::new();
            };
            let (pairs, single) = nibbles.as_chunks::<2>();
            bytes.extend(pairs.iter().map(|[high, low]| (high.0 << 4 | low.0, high.1 << 4 | low.1)));
            bytes.extend(single.iter().map(|(value, mask)| (*value, 0xf0 | mask)));
        }
    }
    bytes
}

/// Keywords of `virtual_server/real_server/UDP_CHECK`.
pub(in crate::schema) static UDP_CHECK: [Row<CheckDraft>; 17] = connecting([
    active("payload", payload),
    active("require_reply", require_reply),
    active("min_reply_length", min_reply_length),
    active("max_reply_length", max_reply_length),
]);
