//! Repetition: `~SEQ`, `~SEQx` and `~LST`.

use super::{Reader, is_blank};
use crate::diagnostic::{Problem, code};
use crate::text::Span;

/// A repetition, ready to run: one set of (variable, value) per step.
struct Directive<'l> {
    header: &'l str,
    text: &'l str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Decimal,
    Hexadecimal,
    List,
}

impl Reader<'_> {
    /// Runs a `~` line: for each step the text is a fresh line.
    pub(super) fn repeat(&mut self, span: Span, line: &str, depth: usize) {
        let Some(directive) = split(line) else {
            return self.bad_repeat(
                span,
                "expected ~SEQ(NAME, START, STEP, END) text or ~LST(NAME, VALUE, ...) text",
            );
        };
        let header = if directive.header.contains('$') {
            match self.substitute(span, directive.header) {
                Some((header, following)) if following.is_empty() => header,
                Some(_) => return self.bad_repeat(span, "a parameter of several lines can't stand here"),
                None => return,
            }
        } else {
            directive.header.to_owned()
        };
        let text = directive.text.to_owned();
        match directive.kind {
            Kind::List => self.list(span, &header, &text, depth),
            kind @ (Kind::Decimal | Kind::Hexadecimal) => self.sequence(span, &header, &text, kind, depth),
        }
    }

    fn sequence(&mut self, span: Span, header: &str, text: &str, kind: Kind, depth: usize) {
        let parts: Vec<&str> = header.split(',').map(|part| part.trim_matches(is_blank)).collect();
        let Some((name, numbers)) = parts.split_first().filter(|(name, _)| is_name(name)) else {
            return self.bad_repeat(span, "the first part of ~SEQ is the name of a parameter");
        };
        let numbers: Option<Vec<i64>> = numbers.iter().map(|word| number(word)).collect();
        let (start, step, end) = match numbers.as_deref() {
            Some([end]) if *end < 1 => (-1, -1, *end),
            Some([end]) => (1, 1, *end),
            Some([start, end]) => (*start, if end < start { -1 } else { 1 }, *end),
            Some([start, step, end]) => (*start, *step, *end),
            Some(_) | None => return self.bad_repeat(span, "~SEQ takes one to three whole numbers"),
        };
        let (start, step) = if numbers.as_ref().is_some_and(|numbers| numbers.len() == 1) && end < 1 {
            (if end == 0 { 1 } else { start }, step)
        } else {
            (start, step)
        };
        if step == 0 || (step > 0) != (end >= start) && start != end {
            return self.bad_repeat(span, "the step of ~SEQ never reaches its end");
        }
        if kind == Kind::Hexadecimal && (start < 0 || end < 0) {
            return self.bad_repeat(span, "~SEQx counts from and to numbers that are not negative");
        }
        let mut value = start;
        while if step > 0 { value <= end } else { value >= end } {
            let shown = if kind == Kind::Hexadecimal { format!("{value:x}") } else { value.to_string() };
            self.parameters.insert((*name).to_owned(), shown);
            if !self.spend(text.len(), span) {
                return;
            }
            self.fresh(span, text, depth.saturating_add(1));
            let Some(next) = value.checked_add(step) else { return };
            value = next;
        }
    }

    fn list(&mut self, span: Span, header: &str, text: &str, depth: usize) {
        let Some(tuples) = tuples(header) else {
            return self.bad_repeat(span, "~LST takes names and values, or {tuples} of them, between commas");
        };
        let Some((names, rows)) = tuples.split_first() else {
            return self.bad_repeat(span, "~LST needs a name");
        };
        if !names.iter().all(|name| is_name(name)) {
            return self.bad_repeat(span, "the first part of ~LST names parameters");
        }
        for row in rows {
            if row.len() > names.len() {
                return self.bad_repeat(span, "~LST has a tuple with more values than names");
            }
            for (at, name) in names.iter().enumerate() {
                let value = row.get(at).copied().unwrap_or("");
                self.parameters.insert((*name).to_owned(), value.to_owned());
            }
            if !self.spend(text.len(), span) {
                return;
            }
            self.fresh(span, text, depth.saturating_add(1));
        }
    }

    fn bad_repeat(&mut self, span: Span, message: &str) {
        self.problems.report(Problem::error(code::BAD_REPEAT, span, message));
    }
}

/// Header between the parentheses and text behind them.
fn split(line: &str) -> Option<Directive<'_>> {
    let (kind, rest) = if let Some(rest) = line.strip_prefix("~SEQx") {
        (Kind::Hexadecimal, rest)
    } else if let Some(rest) = line.strip_prefix("~SEQ") {
        (Kind::Decimal, rest)
    } else {
        (Kind::List, line.strip_prefix("~LST")?)
    };
    let rest = rest.trim_start_matches(is_blank).strip_prefix('(')?;
    let mut braces: usize = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => braces = braces.saturating_add(1),
            '}' => braces = braces.saturating_sub(1),
            ')' if braces == 0 => {
                let text = rest.get(at.saturating_add(1)..)?.trim_matches(is_blank);
                return Some(Directive { header: rest.get(..at)?, text, kind });
            }
            _ => {}
        }
    }
    None
}

/// Parts of a `~LST` header: each a tuple of one or more values.
fn tuples(header: &str) -> Option<Vec<Vec<&str>>> {
    let mut out = Vec::new();
    let mut rest = header.trim_matches(is_blank);
    loop {
        let (tuple, after) = match rest.strip_prefix('{') {
            Some(inner) => {
                let (inside, after) = inner.split_once('}')?;
                (inside.split(',').map(|value| value.trim_matches(is_blank)).collect(), after)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (vec![rest.get(..end)?.trim_matches(is_blank)], rest.get(end..)?)
            }
        };
        out.push(tuple);
        let after = after.trim_start_matches(is_blank);
        if after.is_empty() {
            return Some(out);
        }
        rest = after.strip_prefix(',')?.trim_start_matches(is_blank);
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whole number, decimal, or hexadecimal and octal by prefix.
fn number(word: &str) -> Option<i64> {
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |digits| (true, digits));
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        i64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    value.checked_mul(if negative { -1 } else { 1 })
}
