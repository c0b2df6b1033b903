//! The include family: patterns, strictness, relative names, and the main file itself.
//!
//! Decides which files are read, in which order, and how deep; [`crate::source`] reads them. Names come from the
//! operator's text.

use super::{Reader, is_blank, limit};
use crate::diagnostic::{Problem, code};
use crate::source::ReadProblem;
use crate::text::Span;

/// Which failures of an include are errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strictness {
    read: bool,
    matched: bool,
    wildcard: bool,
    brace: bool,
}

impl Strictness {
    /// None is.
    pub(super) const NONE: Self = Self { read: false, matched: false, wildcard: false, brace: false };
    const READ: Self = Self { read: true, ..Self::NONE };
    const MATCH: Self = Self { matched: true, ..Self::READ };
    const WILDCARD: Self = Self { wildcard: true, ..Self::MATCH };
    const BRACE: Self = Self { brace: true, ..Self::READ };
    pub(super) const ALL: Self = Self { brace: true, ..Self::WILDCARD };

    fn or(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            matched: self.matched || other.matched,
            wildcard: self.wildcard || other.wildcard,
            brace: self.brace || other.brace,
        }
    }

    /// What an `include_check` line makes of it; words that mean nothing are the schema's to report.
    pub(super) fn changed(self, words: &str) -> Self {
        let mut out = self;
        let mut any = false;
        for word in words.split(is_blank).filter(|word| !word.is_empty()) {
            any = true;
            let (sign, name) = match word.split_at_checked(1) {
                Some(("+", name)) => (Some(true), name),
                Some(("-", name)) => (Some(false), name),
                Some(_) | None => (None, word),
            };
            if !matches!(name, "read" | "match" | "wildcard_match" | "brace_match") {
                continue;
            }
            if sign.is_none() {
                out = Self::READ;
            }
            *match name {
                "read" => &mut out.read,
                "match" => &mut out.matched,
                "wildcard_match" => &mut out.wildcard,
                _ => &mut out.brace,
            } = sign.unwrap_or(true);
        }
        if any { out } else { Self::ALL }
    }
}

/// Strictness and pattern of an include line.
pub(super) fn directive(line: &str) -> Option<(Strictness, &str)> {
    let rest = line.strip_prefix("include")?;
    let (strictness, rest) = match rest.chars().next()? {
        'r' => (Strictness::READ, rest.get(1..)?),
        'm' => (Strictness::MATCH, rest.get(1..)?),
        'w' => (Strictness::WILDCARD, rest.get(1..)?),
        'b' => (Strictness::BRACE, rest.get(1..)?),
        'a' => (Strictness::ALL, rest.get(1..)?),
        _ => (Strictness::NONE, rest),
    };
    let pattern = rest.trim_matches(is_blank);
    (rest.starts_with(is_blank) && !pattern.is_empty()).then_some((strictness, pattern))
}

/// Directory of a path: everything before its last slash.
pub(super) fn directory(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(at) => path.get(..at).unwrap_or("."),
        None => ".",
    }
}

impl Reader<'_> {
    /// The file or pattern that the whole configuration starts from.
    pub(super) fn main(&mut self, pattern: &str) {
        let paths = if self.source.exists(pattern) {
            vec![pattern.to_owned()]
        } else {
            match self.matches(pattern) {
                Ok((paths, _)) => paths,
                Err(excess) => {
                    let message = format!("configuration file {pattern}: {excess}");
                    return self.stop(Problem::error(code::INCLUDE_LIMIT, None, message));
                }
            }
        };
        if paths.len() > 1 {
            self.problems.report(Problem::warning(
                code::SEVERAL_MAIN_FILES,
                None,
                format!("{pattern} matches {} files; all are read, in order of their names", paths.len()),
            ));
        }
        if paths.is_empty() {
            self.out.missing = true;
            self.unreadable(pattern, ReadProblem::Missing);
        }
        for path in paths {
            if let Err(problem) = self.file(&path) {
                self.out.missing = true;
                self.unreadable(&path, problem);
            }
        }
    }

    fn unreadable(&mut self, path: &str, problem: ReadProblem) {
        let message = format!("configuration file {path}: {problem}");
        self.problems.report(Problem::error(code::UNREADABLE, None, message));
    }

    /// Splices the files of an include directive in.
    pub(super) fn include(&mut self, span: Span, strictness: Strictness, pattern: &str) {
        let strictness = strictness.or(self.strictness);
        let here = self.open.last().cloned().unwrap_or_default();
        let pattern = if pattern.starts_with('/') || !here.contains('/') {
            pattern.to_owned()
        } else {
            format!("{}/{pattern}", directory(&here).trim_end_matches('/'))
        };
        let Some((paths, unmatched)) = self.matches_within_limits(span, &pattern) else { return };
        for missed in unmatched {
            let wild = is_wild(&missed);
            let strict = (strictness.wildcard && wild)
                || (strictness.matched && !wild && missed == pattern)
                || (strictness.brace && missed != pattern);
            self.include_problem(span, strict, &format!("include {missed}: no file matches"));
        }
        for path in paths {
            if self.stopped {
                return;
            }
            if self.open.contains(&path) {
                self.stop(Problem::error(code::INCLUDE_LIMIT, span, format!("{path} includes itself")));
            } else if self.open.len() > limit::INCLUDE_DEPTH {
                let message = format!("{path} is more than {} files deep", limit::INCLUDE_DEPTH);
                self.stop(Problem::error(code::INCLUDE_LIMIT, span, message));
            } else if self.files >= limit::FILES {
                let message = format!("{path} is one more than {} files together", limit::FILES);
                self.stop(Problem::error(code::INCLUDE_LIMIT, span, message));
            } else if let Err(problem) = self.file(&path) {
                self.include_problem(span, strictness.read, &format!("include {path}: {problem}"));
            }
        }
    }

    fn include_problem(&mut self, span: Span, strict: bool, message: &str) {
        self.problems.report(if strict {
            Problem::error(code::INCLUDE_STRICT, span, message)
        } else {
            Problem::warning(code::INCLUDE_EMPTY, span, format!("{message}; it is skipped"))
        });
    }

    /// The same, but that a pattern which asks for too much ends the reading.
    fn matches_within_limits(&mut self, span: Span, pattern: &str) -> Option<(Vec<String>, Vec<String>)> {
        match self.matches(pattern) {
            Ok(found) => Some(found),
            Err(excess) => {
                let message = format!("include {pattern}: {excess}");
                self.stop(Problem::error(code::INCLUDE_LIMIT, span, message));
                None
            }
        }
    }

    /// Files that match a pattern, sorted within each alternative, and the alternatives that match nothing.
    fn matches(&self, pattern: &str) -> Result<(Vec<String>, Vec<String>), Excess> {
        let (mut paths, mut unmatched) = (Vec::new(), Vec::new());
        for alternative in alternatives(pattern)? {
            let before = paths.len();
            if is_wild(&alternative) {
                self.walk(&alternative, &mut paths)?;
            } else if self.source.exists(&alternative) {
                paths.push(alternative.clone());
            }
            if paths.len() == before {
                unmatched.push(alternative);
            }
        }
        Ok((paths, unmatched))
    }

    /// Adds what matches a pattern with wildcards, component by component.
    fn walk(&self, pattern: &str, paths: &mut Vec<String>) -> Result<(), Excess> {
        let mut found = vec![if pattern.starts_with('/') { "/".to_owned() } else { String::new() }];
        for component in pattern.split('/').filter(|component| !component.is_empty()) {
            let mut next = Vec::new();
            for base in &found {
                let joined = |name: &str| match base.as_str() {
                    "" => name.to_owned(),
                    base => format!("{}/{name}", base.trim_end_matches('/')),
                };
                if is_wild(component) {
                    let mut names = self.source.list(if base.is_empty() { "." } else { base });
                    names.retain(|name| wild_match(component, name));
                    names.sort_unstable();
                    next.extend(names.iter().map(|name| joined(name)));
                } else {
                    next.push(joined(component));
                }
                if next.len() > limit::FILES {
                    return Err(Excess::Names);
                }
            }
            found = next;
        }
        found.retain(|path| self.source.exists(path));
        paths.append(&mut found);
        Ok(())
    }
}

/// A pattern asks for more than it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Excess {
    /// Its braces do.
    #[error("more than {} alternatives", limit::BRACE_ALTERNATIVES)]
    Alternatives,
    /// What it matches does.
    #[error("more than {} names match", limit::FILES)]
    Names,
}

fn is_wild(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// `a{b,c}d` as `abd` and `acd`, at most [`limit::BRACE_ALTERNATIVES`] of them.
fn alternatives(pattern: &str) -> Result<Vec<String>, Excess> {
    let mut done = Vec::new();
    let mut waiting = vec![pattern.to_owned()];
    while let Some(text) = waiting.pop() {
        match first_braces(&text) {
            None => done.push(text),
            Some((before, inside, after)) => {
                let parts = top_level_commas(inside);
                waiting.extend(parts.into_iter().rev().map(|part| format!("{before}{part}{after}")));
            }
        }
        if done.len().saturating_add(waiting.len()) > limit::BRACE_ALTERNATIVES {
            return Err(Excess::Alternatives);
        }
    }
    Ok(done)
}

fn first_braces(text: &str) -> Option<(&str, &str, &str)> {
    let open = text.find('{')?;
    let mut depth: usize = 0;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let inside = text.get(open.saturating_add(1)..at)?;
            return Some((text.get(..open)?, inside, text.get(at.saturating_add(1)..)?));
        }
    }
    None
}

fn top_level_commas(inside: &str) -> Vec<&str> {
    let mut depth: usize = 0;
    inside
        .split(move |c: char| {
            match c {
                '{' => depth = depth.saturating_add(1),
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && depth == 0
        })
        .collect()
}

/// Shell pattern match of one path component: `*`, `?`, `[a-z]`, `[!a]`; a leading dot must be written.
fn wild_match(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match step(&pattern, p, name.get(n).copied().unwrap_or('\0')) {
            Some(Step::Star) => {
                star = Some((p, n));
                p = p.saturating_add(1);
            }
            Some(Step::One(next)) => {
                p = next;
                n = n.saturating_add(1);
            }
            None => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from.saturating_add(1)));
                p = at.saturating_add(1);
                n = from.saturating_add(1);
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

enum Step {
    Star,
    One(usize),
}

/// How the pattern at `p` takes the character `c`.
fn step(pattern: &[char], p: usize, c: char) -> Option<Step> {
    let one = |taken: usize| Some(Step::One(p.saturating_add(taken)));
    match pattern.get(p)? {
        '*' => Some(Step::Star),
        '?' => one(1),
        '[' => {
            let rest = pattern.get(p.saturating_add(1)..)?;
            let negated = matches!(rest.first(), Some('!' | '^'));
            let set_at = usize::from(negated);
            let set = rest.get(set_at..)?;
            let close = set.iter().skip(1).position(|c| *c == ']')?.saturating_add(1);
            let set = set.get(..close)?;
            let found = set.contains(&c)
                || set.windows(3).any(|w| matches!(w, [low, '-', high] if (low..=high).contains(&&c)));
            if found == negated { None } else { one(set_at.saturating_add(close).saturating_add(2)) }
        }
        '\\' => (pattern.get(p.saturating_add(1)) == Some(&c)).then_some(Step::One(p.saturating_add(2))),
        literal => (*literal == c).then_some(Step::One(p.saturating_add(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        assert!(wild_match("*.conf", "a.conf"));
        assert!(wild_match("[a-c]?*", "bxy"));
        assert!(!wild_match("[!a-c]*", "bxy"));
        assert!(!wild_match("*", ".hidden"));
        assert!(!wild_match("a*b", "acbc"));
    }

    #[test]
    fn braces_multiply() {
        assert_eq!(alternatives("a{b,c{d,e}}f").unwrap(), ["abf", "acdf", "acef"]);
    }
}
