//! `url` of `HTTP_GET`.

use super::*;
use crate::model::check::RegexOptions;

/// `url` as written.
#[derive(Debug)]
pub(crate) struct UrlDraft {
    pub(crate) path: Option<String>,
    pub(crate) span: Span,
    pub(crate) virtual_host: Option<String>,
    pub(crate) status: Vec<(u16, u16)>,
    pub(crate) digest: Option<[u8; 16]>,
    pub(crate) tls_compliant: Option<bool>,
    /// Pattern and its place.
    pub(crate) regex: Option<(String, Span)>,
    pub(crate) regex_inverted: bool,
    pub(crate) regex_options: RegexOptions,
    pub(crate) regex_min_offset: u32,
    pub(crate) regex_max_offset: Option<u32>,
}

/// Reads one block.
pub(super) fn read(
    lowering: &mut Lowering<'_>,
    line: &Line<'_>,
    table: &'static [Row<UrlDraft>],
) -> UrlDraft {
    let mut draft = UrlDraft {
        path: None,
        span: line.span,
        virtual_host: None,
        status: Vec::new(),
        digest: None,
        tls_compliant: None,
        regex: None,
        regex_inverted: false,
        regex_options: RegexOptions::default(),
        regex_min_offset: 0,
        regex_max_offset: None,
    };
    lowering.end(line, 1);
    lowering.block("url", line, table, &mut draft);
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

fn tls_compliant(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.tls_compliant = lowering.boolean(line, 1);
}

fn regex(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.regex = lowering.escaped(line);
}

fn regex_no_match(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.regex_inverted = true;
}

fn regex_options(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.required(line, 1, "an option");
    for word in line.values() {
        let options = &mut draft.regex_options;
        match word.text {
            "caseless" => options.caseless = true,
            "dollar_endonly" => options.dollar_end_only = true,
            "dotall" => options.dot_all = true,
            "firstline" => options.first_line = true,
            "extended" => options.extended = true,
            "multiline" => options.multi_line = true,
            "ungreedy" => options.ungreedy = true,
            "utf" | "ucp" => options.unicode = true,
            "allow_empty_class" => options.allow_empty_class = true,
            "alt_bsux" => options.alt_bsux = true,
            "alt_circumflex" => options.alt_circumflex = true,
            "dupnames" => options.dup_names = true,
            "match_unset_backref" => options.match_unset_backref = true,
            "no_auto_capture" => options.no_auto_capture = true,
            // These tune the matcher, or speak of what is not there: no body is judged otherwise.
            "auto_callout" | "no_auto_possess" | "no_dotstar_anchor" | "no_start_optimize"
            | "never_backslash_c" | "never_utf" | "never_ucp" | "use_offset_limit" | "alt_verbnames" => {}
            other => {
                let message = format!("there is no regex option '{other}'; it has no effect");
                lowering.report(Problem::warning(code::NO_EFFECT, word.span, message));
            }
        }
    }
}

fn regex_min_offset(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.regex_min_offset = lowering.unsigned(line, 1, 0, 4_294_967_295).unwrap_or(0);
    lowering.end(line, 2);
}

fn regex_max_offset(draft: &mut UrlDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.regex_max_offset = lowering.unsigned(line, 1, 0, 4_294_967_295);
    lowering.end(line, 2);
}

/// Keywords of `virtual_server/real_server/SSL_GET/url`.
pub(super) static SSL_TABLE: &[Row<UrlDraft>] = &[
    active("path", path),
    active("digest", digest),
    active("status_code", status_code),
    active("virtualhost", virtualhost),
    active("regex", regex),
    active("regex_no_match", regex_no_match),
    active("regex_options", regex_options),
    active("regex_min_offset", regex_min_offset),
    active("regex_max_offset", regex_max_offset),
    silent("regex_stack", Shape::Numbers(0, 4_294_967_295)),
    active("tls_compliant", tls_compliant),
];

/// Keywords of `virtual_server/real_server/HTTP_GET/url`.
pub(super) static TABLE: &[Row<UrlDraft>] = &[
    active("path", path),
    active("digest", digest),
    active("status_code", status_code),
    active("virtualhost", virtualhost),
    active("regex", regex),
    active("regex_no_match", regex_no_match),
    active("regex_options", regex_options),
    active("regex_min_offset", regex_min_offset),
    active("regex_max_offset", regex_max_offset),
    silent("regex_stack", Shape::Numbers(0, 4_294_967_295)),
];
