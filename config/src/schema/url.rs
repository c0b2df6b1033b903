//! `url` of `HTTP_GET`.

use super::*;

/// `url` as written.
#[derive(Debug)]
pub(crate) struct UrlDraft {
    pub(crate) path: Option<String>,
    pub(crate) span: Span,
    pub(crate) virtual_host: Option<String>,
    pub(crate) status: Vec<(u16, u16)>,
    pub(crate) digest: Option<[u8; 16]>,
}

/// Reads one block.
pub(super) fn read(lowering: &mut Lowering<'_>, line: &Line<'_>) -> UrlDraft {
    let mut draft =
        UrlDraft { path: None, span: line.span, virtual_host: None, status: Vec::new(), digest: None };
    lowering.end(line, 1);
    lowering.block("url", line, TABLE, &mut draft);
    draft
}

fn path(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.path = lowering.required(line, 1, "a path").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn virtualhost(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.virtual_host = lowering.required(line, 1, "a host name").map(|word| word.text.to_owned());
    lowering.end(line, 2);
}

fn digest(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.digest = digest_at(lowering, line);
}

/// The digest behind a keyword.
pub(super) fn digest_at(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<[u8; 16]> {
    let word = lowering.required(line, 1, "an MD5 digest of 32 hexadecimal digits")?;
    lowering.end(line, 2);
    let digest = hexadecimal(word.text);
    if digest.is_none() {
        let message = format!("digest must be 32 hexadecimal digits, got '{}'", word.text);
        lowering.error(code::BAD_TEXT, word.span, message);
    }
    digest
}

fn hexadecimal(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
}

fn status_code(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.status.append(&mut status_codes(lowering, line));
}

/// The codes and ranges behind a keyword.
pub(super) fn status_codes(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Vec<(u16, u16)> {
    let mut out = Vec::with_capacity(line.values().len());
    lowering.required(line, 1, "a status code");
    for word in line.values() {
        let (low, high) = word.text.split_once('-').unwrap_or((word.text, word.text));
        let code_of = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
        match (code_of(low), code_of(high)) {
            (Some(low), Some(high)) if low <= high => out.push((low, high)),
            _ => {
                let message = format!("status_code takes codes or ranges of 100..=599, got '{}'", word.text);
                lowering.error(code::OUT_OF_RANGE, word.span, message);
            }
        }
    }
    out
}

/// Keywords of `virtual_server/real_server/HTTP_GET/url`.
pub(super) static TABLE: &[Row<UrlDraft>] = &[
    active("path", path),
    active("digest", digest),
    active("status_code", status_code),
    active("virtualhost", virtualhost),
    refused("regex", Shape::Words(1, 1), "any body would pass"),
    inactive("regex_no_match", Shape::Flag),
    inactive("regex_options", Shape::Options(&vocabulary::REGEX_OPTIONS)),
    inactive("regex_min_offset", Shape::Number(0, 4_294_967_295)),
    inactive("regex_max_offset", Shape::Number(0, 4_294_967_295)),
    inactive("regex_stack", Shape::Numbers(0, 4_294_967_295)),
];
