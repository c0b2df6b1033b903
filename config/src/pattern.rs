//! `regex` of a url as a program that runs: compiled by the parser to find mistakes, by checkd to match.
//!
//! The dialect is that of fancy-regex; docs/differences.md says where it is not that of PCRE.

use fancy_regex::{BytesMode, Error, Regex, RegexBuilder};

use crate::model::check::BodyRegex;

/// Most steps back while one body is searched.
const STEPS: usize = 100_000;

/// Most bytes that a compiled pattern takes.
const SIZE: usize = 1024 * 1024;

/// Compiles a pattern.
///
/// # Errors
/// It is not in the dialect, or too large.
pub fn compile(regex: &BodyRegex) -> Result<Regex, Box<Error>> {
    let options = regex.options;
    let greed = if options.ungreedy { "(?U)" } else { "" };
    RegexBuilder::new(&format!("{greed}{}", regex.pattern))
        .case_insensitive(options.caseless)
        .dot_matches_new_line(options.dot_all)
        .ignore_whitespace(options.extended)
        .multi_line(options.multi_line)
        .bytes_mode(if options.unicode { BytesMode::UnicodeBytes } else { BytesMode::Ascii })
        .unicode_mode(options.unicode)
        .backtrack_limit(STEPS)
        .delegate_size_limit(SIZE)
        .build()
        .map_err(Box::new)
}
