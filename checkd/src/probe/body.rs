//! What the body of an answer must be: its MD5 digest, a pattern, or neither.
//!
//! Works on the raw bytes, chunk framing included, as keepalived does. The digest runs along; for a pattern the body is kept,
//! up to [`KEPT`] bytes, and what comes behind them is not searched. Matching has a limit of steps, so that no body costs more
//! than some milliseconds. Called by [`super::http`]; the bytes are untrusted, the pattern is the operator's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use config::model::check::{BodyRegex, HttpUrl};
use config::pattern;
use fancy_regex::{Error, Regex};
use md5::{Digest, Md5};

use super::{DynamicWeight, Failure, Outcome};

/// Most bytes of a body that a pattern is matched against.
pub const KEPT: usize = 256 * 1024;

/// A body that is being received.
#[derive(Default)]
pub struct Body {
    digest: Option<Md5>,
    kept: Option<Vec<u8>>,
    pattern: Option<Arc<Regex>>,
}

/// Compiled patterns, shared by all checks that have the same one.
#[derive(Debug, Default)]
pub struct Patterns(RefCell<HashMap<BodyRegex, Arc<Regex>>>);

/// Most patterns that are kept: beyond that many different ones each answer compiles its own.
const PATTERNS: usize = 128;

impl Patterns {
    /// The pattern, compiled now or before.
    #[must_use]
    pub fn compiled(&self, wanted: &BodyRegex) -> Option<Arc<Regex>> {
        let mut known = self.0.borrow_mut();
        if let Some(regex) = known.get(wanted) {
            return Some(Arc::clone(regex));
        }
        let regex = Arc::new(pattern::compile(wanted).ok()?);
        if known.len() < PATTERNS {
            known.insert(wanted.clone(), Arc::clone(&regex));
        }
        Some(regex)
    }

    /// Forgets all: another configuration is in use.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Lets the library ask once how many processors there are, which takes calls that are refused later. No pattern is
/// compiled for that: most configurations have none, and what compiles them would stay in memory.
pub fn prepare() {
    let _result_of_no_interest = regex_automata::meta::Config::new().get_pool_capacity();
}

impl Body {
    /// Before its first byte.
    #[must_use]
    pub fn new(url: &HttpUrl) -> Self {
        Self {
            digest: url.digest.map(|_| Md5::new()),
            kept: url.regex.as_ref().map(|_| Vec::new()),
            pattern: None,
        }
    }

    /// The same with the pattern of the url compiled already.
    #[must_use]
    pub fn with(self, pattern: Option<Arc<Regex>>) -> Self {
        Self { pattern, ..self }
    }

    /// Takes the next bytes, of which so many are within `Content-Length`: those make the digest, a pattern sees all.
    pub fn take(&mut self, bytes: &[u8], counted: usize) {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes.get(..counted).unwrap_or(bytes));
        }
        if let Some(kept) = &mut self.kept {
            let room = KEPT.saturating_sub(kept.len()).min(bytes.len());
            kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    /// The body is complete.
    pub fn judge(&mut self, url: &HttpUrl) -> Outcome {
        let found = self.digest.take().map(|digest| <[u8; 16]>::from(digest.finalize()));
        if found != url.digest {
            return Outcome::Fail(Failure::Digest);
        }
        match (&url.regex, self.kept.take()) {
            (Some(regex), Some(kept)) => search(regex, self.pattern.take(), &kept),
            (Some(_) | None, _) => Outcome::Pass(DynamicWeight::Untouched),
        }
    }
}

fn search(wanted: &BodyRegex, compiled: Option<Arc<Regex>>, body: &[u8]) -> Outcome {
    let Some(regex) = compiled.or_else(|| pattern::compile(wanted).ok().map(Arc::new)) else {
        return Outcome::Fail(Failure::Regex);
    };
    match matches(&regex, wanted, body) {
        Ok(found) if found != wanted.inverted => Outcome::Pass(DynamicWeight::Untouched),
        Ok(_) => Outcome::Fail(Failure::Regex),
        Err(_) => Outcome::Fail(Failure::RegexSteps),
    }
}

fn matches(regex: &Regex, wanted: &BodyRegex, body: &[u8]) -> Result<bool, Box<Error>> {
    let first = usize::try_from(wanted.min_offset).unwrap_or(usize::MAX);
    if first > body.len() {
        return Ok(false);
    }
    let last = wanted.max_offset.map_or(usize::MAX, |last| usize::try_from(last).unwrap_or(usize::MAX));
    let mut found = regex.find_from_pos(body, first).map_err(Box::new)?;
    // A dollar sign also matches before a line feed that ends the body, as in PCRE; the library's does not.
    let BodyRegex { pattern: text, options, .. } = wanted;
    let is_usual = !options.dollar_end_only && !options.multi_line && text.contains('$');
    if let (None, true, Some(shorter)) = (found, is_usual, body.strip_suffix(b"\n"))
        && first <= shorter.len()
    {
        found = regex.find_from_pos(shorter, first).map_err(Box::new)?;
    }
    // A circumflex does not match behind the line feed that ends a body.
    let is_led = options.multi_line && !options.alt_circumflex && pattern::is_led_by_circumflex(text);
    found = found.filter(|found| !is_led || found.start() < body.len() || body.is_empty());
    let searched = body.get(first..).filter(|_| wanted.options.first_line);
    let line = searched.and_then(|body| body.iter().position(|byte| *byte == b'\n'));
    let last = line.map_or(last, |length| last.min(first.saturating_add(length)));
    Ok(found.is_some_and(|found| found.start() <= last))
}

#[cfg(test)]
mod tests {
    use config::model::check::RegexOptions;

    use super::*;

    const PASS: Outcome = Outcome::Pass(DynamicWeight::Untouched);

    fn regex(pattern: &str) -> BodyRegex {
        BodyRegex {
            pattern: pattern.to_owned(),
            inverted: false,
            options: RegexOptions::default(),
            min_offset: 0,
            max_offset: None,
        }
    }

    fn judge(regex: BodyRegex, pieces: &[&[u8]]) -> Outcome {
        let url = HttpUrl { regex: Some(regex), ..HttpUrl::new("/") };
        let mut body = Body::new(&url);
        for piece in pieces {
            body.take(piece, piece.len());
        }
        body.judge(&url)
    }

    #[test]
    fn equal_patterns_are_compiled_once_and_many_different_ones_are_not_kept() {
        let patterns = Patterns::default();
        let first = patterns.compiled(&regex("alive")).unwrap();
        assert!(Arc::ptr_eq(&first, &patterns.compiled(&regex("alive")).unwrap()));
        for number in 0..200 {
            assert!(patterns.compiled(&regex(&number.to_string())).is_some());
        }
        assert_eq!(patterns.0.borrow().len(), 128);
        assert!(patterns.compiled(&regex("(")).is_none());
    }

    #[test]
    fn a_pattern_may_match_across_pieces_and_around_any_byte() {
        assert_eq!(judge(regex("al+ive"), &[b"\xff\xfe all", b"ive \x00"]), PASS);
        assert_eq!(judge(regex("^alive"), &[b"dead"]), Outcome::Fail(Failure::Regex));
        assert_eq!(judge(regex("a.b"), &[b"a\xffb"]), PASS);
    }

    #[test]
    fn look_around_and_back_references_work() {
        assert_eq!(judge(regex(r"(?<=state: )(\w)\1(?!x)"), &[b"state: oo"]), PASS);
    }

    #[test]
    fn regex_no_match_turns_the_outcome_around() {
        let none = |pattern| BodyRegex { inverted: true, ..regex(pattern) };
        assert_eq!(judge(none("error"), &[b"fine"]), PASS);
        assert_eq!(judge(none("error"), &[b"an error"]), Outcome::Fail(Failure::Regex));
    }

    #[test]
    fn a_match_must_start_within_the_offsets() {
        let within = |min_offset, max_offset| BodyRegex { min_offset, max_offset, ..regex("x") };
        assert_eq!(judge(within(3, None), &[b"x..x"]), PASS);
        assert_eq!(judge(within(4, None), &[b"x..x"]), Outcome::Fail(Failure::Regex));
        assert_eq!(judge(within(9, None), &[b"x..x"]), Outcome::Fail(Failure::Regex));
        assert_eq!(judge(within(1, Some(3)), &[b"x..x"]), PASS);
        assert_eq!(judge(within(1, Some(2)), &[b"x..x"]), Outcome::Fail(Failure::Regex));
    }

    #[test]
    fn a_dollar_sign_matches_before_the_line_feed_that_ends_a_body_unless_told_otherwise() {
        let with = |pattern, options| BodyRegex { options, ..regex(pattern) };
        let end_only = RegexOptions { dollar_end_only: true, ..RegexOptions::default() };
        assert_eq!(judge(regex("alive$"), &[b"alive\n"]), PASS);
        assert_eq!(judge(regex("alive$"), &[b"alive\n\n"]), Outcome::Fail(Failure::Regex));
        assert_eq!(judge(regex("^[a$]$"), &[b"$"]), PASS);
        assert_eq!(judge(regex("5\\$$"), &[b"5$\n"]), PASS);
        assert_eq!(judge(with("alive$", end_only), &[b"alive\n"]), Outcome::Fail(Failure::Regex));
        assert_eq!(judge(with("alive$", end_only), &[b"alive"]), PASS);
    }

    #[test]
    fn in_multiline_a_circumflex_matches_behind_the_last_line_feed_if_it_is_told_to() {
        let several = RegexOptions { multi_line: true, ..RegexOptions::default() };
        let last = RegexOptions { alt_circumflex: true, ..several };
        let with = |options| BodyRegex { options, ..regex("^$") };
        assert_eq!(judge(with(several), &[b"a\nb\n"]), Outcome::Fail(Failure::Regex));
        assert_eq!(judge(with(several), &[b"a\n\nb\n"]), PASS);
        assert_eq!(judge(with(last), &[b"a\nb\n"]), PASS);
        assert_eq!(judge(with(several), &[b""]), PASS);
    }

    #[test]
    fn with_firstline_a_match_begins_in_the_first_line() {
        let options = RegexOptions { first_line: true, ..RegexOptions::default() };
        let first = |pattern| BodyRegex { options, ..regex(pattern) };
        assert_eq!(judge(first("b\\nc"), &[b"ab\ncd"]), PASS);
        assert_eq!(judge(first("c"), &[b"ab\ncd"]), Outcome::Fail(Failure::Regex));
        assert_eq!(judge(first("d"), &[b"abcd"]), PASS);
    }

    #[test]
    fn options_change_the_meaning_of_a_pattern() {
        let with = |options, pattern| BodyRegex { options, ..regex(pattern) };
        let caseless = RegexOptions { caseless: true, ..RegexOptions::default() };
        assert_eq!(judge(with(caseless, "ALIVE"), &[b"alive"]), PASS);
        let dot_all = RegexOptions { dot_all: true, ..RegexOptions::default() };
        assert_eq!(judge(with(dot_all, "a.b"), &[b"a\nb"]), PASS);
        assert_eq!(judge(regex("a.b"), &[b"a\nb"]), Outcome::Fail(Failure::Regex));
        let multi_line = RegexOptions { multi_line: true, ..RegexOptions::default() };
        assert_eq!(judge(with(multi_line, "^b$"), &[b"a\nb\nc"]), PASS);
        let extended = RegexOptions { extended: true, ..RegexOptions::default() };
        assert_eq!(judge(with(extended, "a b"), &[b"ab"]), PASS);
        let unicode = RegexOptions { unicode: true, ..RegexOptions::default() };
        assert_eq!(judge(with(unicode, "^a.b$"), &["a\u{e9}b".as_bytes()]), PASS);
        assert_eq!(judge(regex("^a.b$"), &["a\u{e9}b".as_bytes()]), Outcome::Fail(Failure::Regex));
    }

    #[test]
    fn a_pattern_that_explodes_is_stopped() {
        let body = [vec![b'a'; 200], b"!".to_vec()].concat();
        assert_eq!(judge(regex(r"^(?:(a+)\1?)+[^a!]"), &[&body]), Outcome::Fail(Failure::RegexSteps));
    }

    #[test]
    fn of_a_long_body_the_first_256_kib_are_searched() {
        let filler = vec![b'.'; 256 * 1024];
        assert_eq!(judge(regex("x"), &[b"x", &filler]), PASS);
        assert_eq!(judge(regex("x"), &[&filler, b"x"]), Outcome::Fail(Failure::Regex));
    }
}
