//! What the operator is told about a configuration: one [`Diagnostic`] per problem, with a stable code.
//!
//! Collects problems while a configuration is read and turns spans into file, line, column and excerpt.
//! Decides no rule of the language. `render` writes them for people, `json` for programs.

pub mod code;
mod render;

use serde::{Deserialize, Serialize};

use crate::text::{Span, Texts};
pub use code::Code;
pub use render::{details, escaped, heading, human, json};

/// Whether a problem refuses the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is accepted; the operator should know this.
    Warning,
}

/// Errors that are told as warnings, and what they are about is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tolerance {
    /// None: a configuration is judged.
    #[default]
    Nothing,
    /// Values that keepalived passes over with a complaint and that have a default: daemons are started or reload.
    Values,
    /// `--compat`: all that a daemon can do without.
    Everything,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it refuses the configuration.
    pub severity: Severity,
    /// Stable code such as `E0203`.
    pub code: Code,
    /// What is wrong, in the configuration's words.
    pub message: String,
    /// Where; absent when no line is to blame.
    pub place: Option<Place>,
    /// What to do about it.
    pub help: Option<String>,
    /// Further places, such as the line that opened the block.
    pub notes: Vec<Note>,
    /// An error by itself, which a [`Tolerance`] made a warning.
    #[serde(skip)]
    pub is_passed_over: bool,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// File name.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters to underline.
    pub width: u32,
    /// The line as written.
    pub excerpt: String,
    /// The line after substitution, when that differs.
    pub expanded: Option<String>,
}

/// A remark that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The remark.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
}

/// A problem as the pipeline reports it: with spans, before they are turned into places.
#[derive(Debug)]
pub(crate) struct Problem {
    severity: Severity,
    is_passed_over: bool,
    fatal: bool,
    /// A value that has a default, which keepalived takes instead.
    has_default: bool,
    code: Code,
    message: String,
    span: Option<Span>,
    help: Option<String>,
    notes: Vec<(Option<Span>, String)>,
}

impl Problem {
    /// A problem that refuses the configuration.
    pub(crate) fn error(code: Code, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span.into(), message.into())
    }

    /// A problem that does not.
    pub(crate) fn warning(code: Code, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span.into(), message.into())
    }

    /// The same with advice.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, refusing the configuration in compatible reading too.
    pub(crate) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// The same about a value without which keepalived starts all the same, unless it is fatal.
    pub(crate) fn has_default(mut self) -> Self {
        self.has_default = !self.fatal;
        self
    }

    /// A word, a number or its range: not one that is missing, nor anything around it.
    pub(crate) fn is_about_a_value(&self) -> bool {
        [code::UNKNOWN_WORD, code::NOT_A_NUMBER, code::OUT_OF_RANGE].contains(&self.code)
    }

    /// The same with a remark on another place.
    pub(crate) fn note(mut self, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        self.notes.push((span.into(), message.into()));
        self
    }

    fn new(severity: Severity, code: Code, span: Option<Span>, message: String) -> Self {
        let fatal = code::FATAL.contains(&code);
        Self {
            severity,
            is_passed_over: false,
            fatal,
            has_default: false,
            code,
            message,
            span,
            help: None,
            notes: Vec::new(),
        }
    }
}

/// Collects problems. Keeps at most [`Collector::KEPT`] of each severity and counts the rest.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    problems: Vec<Problem>,
    tolerance: Tolerance,
    errors: usize,
    /// Errors that [`Tolerance`] turned into warnings.
    ignored: usize,
    /// Those of them that are values with a default.
    defaulted: usize,
    warnings: usize,
}

impl Collector {
    /// Problems of each severity that are shown in full.
    pub(crate) const KEPT: usize = 500;

    /// No problems yet.
    pub(crate) fn new(tolerance: Tolerance) -> Self {
        Self { tolerance, ..Self::default() }
    }

    /// Adds a problem.
    pub(crate) fn report(&mut self, mut problem: Problem) {
        if self.tolerates(&problem) {
            problem.severity = Severity::Warning;
            problem.is_passed_over = true;
            self.ignored = self.ignored.saturating_add(1);
            self.defaulted = self.defaulted.saturating_add(usize::from(problem.has_default));
            if self.warnings < Self::KEPT {
                let reading = if self.tolerance == Tolerance::Values { "" } else { " in compatible reading" };
                problem.notes.push((None, format!("ignored{reading}, as keepalived does")));
            }
        }
        let count = match problem.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count = count.saturating_add(1);
        if *count <= Self::KEPT {
            self.problems.push(problem);
        }
    }

    fn tolerates(&self, problem: &Problem) -> bool {
        problem.severity == Severity::Error
            && match self.tolerance {
                Tolerance::Nothing => false,
                Tolerance::Values => problem.has_default,
                Tolerance::Everything => !problem.fatal,
            }
    }

    /// Further errors are counted and not kept, whichever severity compatible reading gives them.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= Self::KEPT || self.tolerance == Tolerance::Everything && self.warnings >= Self::KEPT
    }

    /// Errors after which something is missing that was asked for: values that have a default left out.
    pub(crate) fn damage(&self) -> usize {
        self.faults().saturating_sub(self.defaulted)
    }

    /// Errors reported so far, ignored ones included.
    pub(crate) fn faults(&self) -> usize {
        self.errors.saturating_add(self.ignored)
    }

    /// Errors reported so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Everything, with places, in the order of the text; what was not kept is counted at the end.
    pub(crate) fn finish(mut self, texts: &Texts) -> Vec<Diagnostic> {
        self.problems.sort_by_key(|problem| problem.span.map(|span| texts.order(span)));
        let mut out: Vec<Diagnostic> =
            self.problems.into_iter().map(|problem| diagnostic(problem, texts)).collect();
        for (severity, count) in [(Severity::Error, self.errors), (Severity::Warning, self.warnings)] {
            if count > Self::KEPT {
                let more = count.saturating_sub(Self::KEPT);
                let message = format!("{more} more of this severity are not shown");
                out.push(diagnostic(Problem::new(severity, code::NOT_SHOWN, None, message), texts));
            }
        }
        out
    }
}

fn diagnostic(problem: Problem, texts: &Texts) -> Diagnostic {
    Diagnostic {
        severity: problem.severity,
        code: problem.code,
        message: problem.message,
        place: problem.span.map(|span| place(texts, span)),
        help: problem.help,
        notes: problem
            .notes
            .into_iter()
            .map(|(span, message)| Note { message, place: span.map(|span| place(texts, span)) })
            .collect(),
        is_passed_over: problem.is_passed_over,
    }
}

fn place(texts: &Texts, span: Span) -> Place {
    let position = texts.position(span);
    Place {
        file: position.file.to_owned(),
        line: position.line,
        column: position.column,
        width: position.width,
        excerpt: masked(position.excerpt),
        expanded: position.expanded.map(masked),
    }
}

/// True for keywords whose value no diagnostic may show.
pub(crate) fn is_secret(keyword: &str) -> bool {
    keyword == "key" || keyword.contains("pass")
}

/// A line with everything behind a secret's keyword replaced, column by column.
fn masked(line: &str) -> String {
    let mut rest = line;
    while let Some(at) = next_secret(rest) {
        let from = line.len().saturating_sub(rest.len()).saturating_add(at);
        let (before, behind) = line.split_at_checked(from).unwrap_or((line, ""));
        let end = behind.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(behind.len());
        let (keyword, value) = behind.split_at_checked(end).unwrap_or((behind, ""));
        let starts = before.chars().next_back().is_none_or(|c| c.is_whitespace() || matches!(c, '{' | '}'));
        if starts && is_secret(keyword) {
            let hidden: String = value.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect();
            return format!("{before}{keyword}{hidden}");
        }
        rest = value;
    }
    line.to_owned()
}

/// Start of the next word that may be a secret's keyword, misspelt ones included.
fn next_secret(text: &str) -> Option<usize> {
    let at = ["pass", "key"].iter().filter_map(|part| text.find(part)).min()?;
    let before = text.get(..at)?;
    let outside = |(_, c): &(usize, char)| !(c.is_ascii_alphanumeric() || *c == '_');
    Some(before.char_indices().rev().find(outside).map_or(0, |(at, c)| at.saturating_add(c.len_utf8())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_diagnostic_shows_a_password() {
        assert_eq!(masked("  auth_pass s3cret word # x"), "  auth_pass ****** **** * *");
        assert_eq!(masked("auth_passs s3cret"), "auth_passs ******");
        assert_eq!(masked("a { auth_pass x }"), "a { auth_pass * *");
        assert_eq!(masked("monkey key_file keys x"), "monkey key_file keys x");
    }
}
