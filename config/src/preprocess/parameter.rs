//! Parameters: `$NAME=text` definitions, `$NAME` and `${NAME}` references, built-ins.
//!
//! Decides what a reference stands for; lengths and depth are bounded, so that no text explodes. Called for each line.

use super::{Reader, is_blank, limit};
use crate::diagnostic::{Problem, code};
use crate::text::Span;

/// Name and value of a definition line.
pub(super) fn definition(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('$')?;
    let name = name_at(rest);
    let value = rest.get(name.len()..)?.strip_prefix('=')?;
    (!name.is_empty()).then(|| (name, value.trim_matches(is_blank)))
}

/// A parameter's name at the start of a text; empty when there is none.
fn name_at(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

/// A reference found in a line.
struct Reference<'l> {
    /// Byte of the `$`.
    at: usize,
    /// First byte behind it.
    end: usize,
    name: &'l str,
    words: &'l str,
}

/// The next reference at or after byte `from`.
fn next_reference(line: &str, from: usize) -> Option<Reference<'_>> {
    let mut from = from;
    loop {
        let at = from.saturating_add(line.get(from..)?.find('$')?);
        let rest = line.get(at.saturating_add(1)..)?;
        from = at.saturating_add(1);
        if let Some(inner) = rest.strip_prefix('{') {
            let name = name_at(inner);
            let after = inner.get(name.len()..)?;
            let Some(close) = after.find('}') else { continue };
            let words = after.get(..close)?;
            if !name.is_empty() && (words.is_empty() || words.starts_with(is_blank)) {
                let end = at.saturating_add(3).saturating_add(name.len()).saturating_add(close);
                return Some(Reference { at, end, name, words });
            }
        } else {
            let name = name_at(rest);
            let end = from.saturating_add(name.len());
            let next = line.get(end..).and_then(|rest| rest.chars().next());
            if !name.is_empty() && next.is_none_or(|c| is_blank(c) || matches!(c, ',' | ')')) {
                return Some(Reference { at, end, name, words: "" });
            }
        }
    }
}

impl Reader<'_> {
    /// Replaces the references of a line and examines what comes out.
    pub(super) fn substitute_line(&mut self, span: Span, line: &str, depth: usize) {
        let Some((first, following)) = self.substitute(span, line) else { return };
        let depth = depth.saturating_add(1);
        if first == line && following.is_empty() {
            // Only names that nothing defines: the line stays as it is.
            match super::include::directive(line) {
                Some((strictness, pattern)) => self.include(span, strictness, pattern),
                None => self.out.lines.push(span),
            }
            return;
        }
        self.emit_substituted(span, &first, depth);
        for line in following {
            self.fresh(span, &line, depth);
        }
    }

    fn emit_substituted(&mut self, span: Span, line: &str, depth: usize) {
        let line = line.trim_matches(is_blank);
        if line.contains('$') && !line.starts_with('~') {
            // What is left names nothing: it must not be looked at again.
            if self.spend(line.len(), span) {
                let span = self.out.texts.add_expanded(line, span);
                if let Some((span, line)) = self.condition(span) {
                    match super::include::directive(&line) {
                        Some((strictness, pattern)) => self.include(span, strictness, pattern),
                        None => self.out.lines.push(span),
                    }
                }
            }
        } else {
            self.fresh(span, line, depth);
        }
    }

    /// The line with its references replaced, and the further lines of a multi-line parameter at its end.
    pub(super) fn substitute(&mut self, span: Span, line: &str) -> Option<(String, Vec<String>)> {
        let mut line = line.to_owned();
        let mut following: Vec<String> = Vec::new();
        let mut from = 0;
        let mut references: usize = 0;
        while let Some(reference) = next_reference(&line, from) {
            references = references.saturating_add(1);
            let excess = match () {
                () if references > limit::REFERENCES => Some((limit::REFERENCES, "references")),
                () if line.len() > limit::LINE_BYTES => Some((limit::LINE_BYTES, "bytes")),
                () => None,
            };
            if let Some((most, what)) = excess {
                let message =
                    format!("more than {most} {what} in one line; does a parameter refer to itself?");
                self.stop(Problem::error(code::PARAMETER_LIMIT, span, message));
                return None;
            }
            let Some(value) = self.value(span, &reference) else {
                let quotes = line.get(..reference.at).unwrap_or("").matches('"').count();
                if quotes.is_multiple_of(2) {
                    let secret = crate::diagnostic::is_secret(line.split(is_blank).next().unwrap_or(""));
                    let name = if secret { "named here" } else { reference.name }.to_owned();
                    self.problems.report(Problem::warning(
                        code::UNDEFINED_PARAMETER,
                        span,
                        format!("parameter {name} is not defined; the text stays as it is"),
                    ));
                }
                from = reference.end;
                continue;
            };
            if !self.spend(line.len().saturating_add(value.len()), span) {
                return None;
            }
            let (at, end) = (reference.at, reference.end);
            let literal = matches!(reference.name, "_HASH" | "_BANG");
            from = at;
            match value.split_once('\n') {
                Some((first, rest)) if end == line.len() => {
                    following.splice(0..0, rest.split('\n').map(str::to_owned));
                    line.replace_range(at..end, first);
                }
                Some(_) => {
                    self.problems.report(Problem::error(
                        code::PARAMETER_LIMIT,
                        span,
                        "a parameter of several lines can only stand at the end of a line",
                    ));
                    return None;
                }
                None => line.replace_range(at..end, &value),
            }
            if literal {
                from = at.saturating_add(value.len());
            }
        }
        Some((line, following))
    }

    /// Value of a reference; `None` when nothing defines it.
    fn value(&mut self, span: Span, reference: &Reference<'_>) -> Option<String> {
        if let Some(value) = self.parameters.get(reference.name)
            && reference.words.trim_matches(is_blank).is_empty()
        {
            return Some(value.clone());
        }
        let words: Vec<&str> = reference.words.split(is_blank).filter(|word| !word.is_empty()).collect();
        match (reference.name, words.as_slice()) {
            ("_PWD", []) => {
                Some(super::include::directory(self.open.last().map_or("", |path| path)).to_owned())
            }
            ("_INSTANCE", []) => Some(self.settings.config_id.to_owned()),
            ("_HASH", []) => Some("#".to_owned()),
            ("_BANG", []) => Some("!".to_owned()),
            ("_ENV", [name]) => Some(self.source.environment(name).unwrap_or_default()),
            ("_RANDOM", bounds @ ([] | [_] | [_, _])) => self.random_between(span, bounds),
            ("_PWD" | "_INSTANCE" | "_HASH" | "_BANG" | "_ENV" | "_RANDOM", _) => {
                self.problems.report(Problem::error(
                    code::BAD_BUILT_IN,
                    span,
                    format!("{} does not take {} words", reference.name, words.len()),
                ));
                None
            }
            _ => None,
        }
    }

    fn random_between(&mut self, span: Span, bounds: &[&str]) -> Option<String> {
        let number = |word: Option<&&str>, default: u64| match word {
            None => Some(default),
            Some(word) => word.parse::<u32>().ok().map(u64::from),
        };
        let (Some(low), Some(high)) = (number(bounds.first(), 0), number(bounds.get(1), 32_767)) else {
            self.problems.report(Problem::error(
                code::BAD_BUILT_IN,
                span,
                "_RANDOM takes a least and a greatest number, digits only",
            ));
            return None;
        };
        if high < low {
            self.problems.report(Problem::error(
                code::BAD_BUILT_IN,
                span,
                format!("_RANDOM needs its least number first, got {low} {high}"),
            ));
            return Some(low.to_string());
        }
        // SplitMix64: not for secrets, only to spread what several nodes do.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let width = high.saturating_sub(low).saturating_add(1);
        Some(low.saturating_add(mixed.checked_rem(width).unwrap_or(0)).to_string())
    }
}
