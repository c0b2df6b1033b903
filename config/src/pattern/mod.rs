//! `regex` of a url as a program that runs: compiled by the parser to find mistakes, by checkd to match.
//!
//! The dialect is that of PCRE2, put into the words of fancy-regex; docs/differences.md says what has none.

mod class;
mod reader;
mod translate;

use fancy_regex::{BytesMode, Error, Regex, RegexBuilder};

pub use self::translate::Untranslatable;
use crate::model::check::BodyRegex;

/// Most steps back while one body is searched.
const STEPS: usize = 100_000;

/// Most bytes that a compiled pattern takes.
const SIZE: usize = 1024 * 1024;

/// Why a pattern can't be matched.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It is not in the dialect.
    #[error(transparent)]
    Dialect(#[from] Untranslatable),
    /// The matcher refuses it, or it is too large.
    #[error(transparent)]
    Matcher(#[from] Box<Error>),
}

/// Compiles a pattern.
///
/// # Errors
/// It is not in the dialect, or too large.
pub fn compile(regex: &BodyRegex) -> Result<Regex, PatternError> {
    let options = regex.options;
    let pattern = translate::translate(&regex.pattern, options)?;
    let greed = if options.ungreedy { "(?U)" } else { "" };
    let built = RegexBuilder::new(&format!("{greed}{pattern}"))
        .case_insensitive(options.caseless)
        .dot_matches_new_line(options.dot_all)
        .multi_line(options.multi_line)
        .bytes_mode(if options.unicode { BytesMode::UnicodeBytes } else { BytesMode::Ascii })
        .unicode_mode(options.unicode)
        .backtrack_limit(STEPS)
        .delegate_size_limit(SIZE)
        .build();
    Ok(built.map_err(Box::new)?)
}

/// Every match begins where a circumflex matches: the pattern begins with one and has one branch.
#[must_use]
pub fn is_led_by_circumflex(pattern: &str) -> bool {
    pattern.starts_with('^') && !pattern.contains('|')
}

#[cfg(test)]
mod tests;
