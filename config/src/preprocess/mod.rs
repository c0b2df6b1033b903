//! From files to lines: comments, conditional lines, parameters, repetition and include.
//!
//! Produces the lines that the tree is built from, each a span of text as written or as substituted. Knows
//! no keyword but the directives of the language (and `include_check`, which steers them). Called by `load`.
//! Everything it reads is untrusted: each loop has a named limit in [`limit`].

mod comment;
mod include;
pub mod limit;
mod parameter;
mod repeat;

use std::collections::HashMap;
use std::rc::Rc;

use crate::diagnostic::{Collector, Problem, code};
use crate::source::{ReadProblem, Source};
use crate::text::{Span, Texts};
use comment::Stripped;
use include::Strictness;

/// Directives of the language, as keyword lists call them.
pub(crate) const DIRECTIVES: &[&str] = &[
    "include", "includer", "includem", "includew", "includeb", "includea", "@ID", "@^ID", "$NAME=", "$NAME",
    "~SEQ", "~SEQx", "~LST",
];

/// Parameters that are built in.
pub(crate) const DEFINITIONS: &[&str] = &["_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"];

/// What the lines of a configuration depend on beside its text.
#[derive(Debug, Clone)]
pub(crate) struct Settings<'a> {
    /// `-i` or the node name up to its first dot.
    pub(crate) config_id: &'a str,
    /// Seed of `_RANDOM`.
    pub(crate) seed: u64,
    /// `-e`.
    pub(crate) strict_includes: bool,
}

/// The lines of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Preprocessed {
    /// All text.
    pub(crate) texts: Texts,
    /// Lines without blanks around them, without comments; none is empty.
    pub(crate) lines: Vec<Span>,
    /// The main file is not there or can't be read.
    pub(crate) missing: bool,
}

/// Reads `path` and everything that it includes.
pub(crate) fn preprocess(
    source: &dyn Source,
    path: &str,
    settings: &Settings<'_>,
    problems: &mut Collector,
) -> Preprocessed {
    let mut reader = Reader {
        source,
        settings,
        problems,
        out: Preprocessed::default(),
        parameters: HashMap::new(),
        strictness: if settings.strict_includes { Strictness::ALL } else { Strictness::NONE },
        open: Vec::new(),
        random: settings.seed,
        files: 0,
        file_bytes: 0,
        work: 0,
        stopped: false,
    };
    reader.main(path);
    reader.out
}

struct Reader<'a> {
    source: &'a dyn Source,
    settings: &'a Settings<'a>,
    problems: &'a mut Collector,
    out: Preprocessed,
    parameters: HashMap<String, String>,
    strictness: Strictness,
    /// Files being read, outermost first.
    open: Vec<String>,
    random: u64,
    files: usize,
    file_bytes: usize,
    /// Bytes moved by substitution and repetition.
    work: usize,
    /// A limit was hit: nothing more is read.
    stopped: bool,
}

/// A definition whose lines continue.
struct Continued {
    /// Its first line.
    span: Span,
    name: String,
    value: String,
}

impl Reader<'_> {
    /// Reads one file to its end.
    fn file(&mut self, path: &str) -> Result<(), ReadProblem> {
        let content = self.source.read(path)?;
        self.files = self.files.saturating_add(1);
        self.file_bytes = self.file_bytes.saturating_add(content.len());
        if self.file_bytes > limit::TOTAL_BYTES {
            self.stop(Problem::error(
                code::FILE_TOO_LARGE,
                None,
                format!("{path}: the files hold more than {} bytes together", limit::TOTAL_BYTES),
            ));
            return Ok(());
        }
        let (text, lossy): (Rc<String>, bool) = match String::from_utf8(content) {
            Ok(text) => (Rc::new(text), false),
            Err(error) => (Rc::new(String::from_utf8_lossy(error.as_bytes()).into_owned()), true),
        };
        let Some(buffer) = self.out.texts.add_file(path, Rc::clone(&text)) else {
            return Err(ReadProblem::TooLarge);
        };
        if lossy {
            let at = text.find(char::REPLACEMENT_CHARACTER).unwrap_or(0);
            self.problems.report(Problem::warning(
                code::NOT_UTF8,
                Texts::span(buffer, at, at.saturating_add(char::REPLACEMENT_CHARACTER.len_utf8())),
                "not UTF-8: bytes that are none were replaced",
            ));
        }
        let strictness = self.strictness;
        self.open.push(path.to_owned());
        self.lines_of(buffer, &text);
        self.open.pop();
        self.strictness = strictness;
        Ok(())
    }

    fn lines_of(&mut self, buffer: u16, text: &str) {
        let mut continued: Option<Continued> = None;
        let mut start: usize = 0;
        for line in text.split('\n') {
            if self.stopped {
                return;
            }
            let line_start = start;
            start = line_start.saturating_add(line.len()).saturating_add(1);
            let lead = line.len().saturating_sub(line.trim_start_matches(is_blank).len());
            let trimmed = line.trim_matches(is_blank);
            if trimmed.is_empty() {
                continue;
            }
            let from = line_start.saturating_add(lead);
            if line.len() > limit::LINE_BYTES {
                self.problems.report(Problem::error(
                    code::LINE_TOO_LONG,
                    Texts::span(buffer, from, from.saturating_add(1)),
                    format!("line of {} bytes; the limit is {}", line.len(), limit::LINE_BYTES),
                ));
                continue;
            }
            let span = Texts::span(buffer, from, from.saturating_add(trimmed.len()));
            if let Some(definition) = continued.take() {
                continued = self.continuation(definition, trimmed);
            } else if comment::is_plain(trimmed) {
                self.out.lines.push(span);
            } else {
                continued = self.special(span);
            }
        }
        if let Some(definition) = continued {
            self.parameters.insert(definition.name, definition.value);
        }
    }

    /// A line with a comment, a directive, a reference or a NUL byte in it.
    fn special(&mut self, span: Span) -> Option<Continued> {
        let text = self.out.texts.text(span);
        if let Some(at) = text.find('\0') {
            self.problems.report(Problem::error(
                code::NUL_BYTE,
                span.part(at, at.saturating_add(1)),
                "the line holds a NUL byte and is not read",
            ));
            return None;
        }
        let span = match comment::strip(text) {
            Stripped::Until(end) => span.part(0, end),
            Stripped::Changed(line) => self.out.texts.add_expanded(&line, span),
        };
        let (span, line) = self.condition(span)?;
        if let Some((name, value)) = parameter::definition(&line) {
            return self.define(span, name, value);
        }
        self.examine(span, &line, 0);
        None
    }

    /// What remains of a line after its `@id` prefixes; `None` when it doesn't apply here.
    fn condition(&self, mut span: Span) -> Option<(Span, String)> {
        loop {
            let text = self.out.texts.text(span);
            let Some(rest) = text.strip_prefix('@') else {
                return (!text.is_empty()).then(|| (span, text.to_owned()));
            };
            let (unless, id_on) = rest.strip_prefix('^').map_or((false, rest), |rest| (true, rest));
            let id = id_on.split(is_blank).next().unwrap_or("");
            if (id == self.settings.config_id) == unless {
                return None;
            }
            let after = id_on.get(id.len()..).unwrap_or("").trim_start_matches(is_blank);
            span = span.part(text.len().saturating_sub(after.len()), text.len());
        }
    }

    fn define(&mut self, span: Span, name: &str, value: &str) -> Option<Continued> {
        let first = Continued { span, name: name.to_owned(), value: String::new() };
        if value.ends_with('\\') {
            self.continuation(first, value)
        } else {
            self.parameters.insert(first.name, value.to_owned());
            None
        }
    }

    /// Appends a line to a definition; returns it while it goes on.
    fn continuation(&mut self, mut definition: Continued, line: &str) -> Option<Continued> {
        let stripped = match comment::strip(line) {
            Stripped::Until(end) => line.get(..end).unwrap_or("").to_owned(),
            Stripped::Changed(line) => line,
        };
        let more = stripped.strip_suffix('\\');
        let text = more.unwrap_or(&stripped).trim_matches(is_blank);
        if !text.is_empty() {
            if !definition.value.is_empty() {
                definition.value.push('\n');
            }
            definition.value.push_str(text);
        }
        if definition.value.len() > limit::PARAMETER_BYTES {
            self.stop(Problem::error(
                code::PARAMETER_LIMIT,
                definition.span,
                format!("parameter {} holds more than {} bytes", definition.name, limit::PARAMETER_BYTES),
            ));
            return None;
        }
        if more.is_some() {
            return Some(definition);
        }
        self.parameters.insert(definition.name, definition.value);
        None
    }

    /// A line without comment: repetition, references, include, or an ordinary line.
    fn examine(&mut self, span: Span, line: &str, depth: usize) {
        if self.stopped || line.is_empty() {
            return;
        }
        if depth > limit::DEPTH {
            self.stop(Problem::error(
                code::PARAMETER_LIMIT,
                span,
                format!("parameters and repetitions are nested more than {} deep", limit::DEPTH),
            ));
            return;
        }
        if line.starts_with("~SEQ") || line.starts_with("~LST") {
            self.repeat(span, line, depth);
        } else if line.contains('$') {
            self.substitute_line(span, line, depth);
        } else if let Some((strictness, pattern)) = include::directive(line) {
            self.include(span, strictness, pattern);
        } else {
            if let Some(words) = value_of(line, "include_check") {
                self.strictness = self.strictness.changed(words);
            } else if let Some(seed) = value_of(line, "random_seed").and_then(|text| text.parse::<u32>().ok())
            {
                self.random = u64::from(seed);
            }
            self.out.lines.push(span);
        }
    }

    /// A fresh line made by substitution or repetition, with blanks and perhaps a condition in front.
    fn fresh(&mut self, original: Span, line: &str, depth: usize) {
        let line = line.trim_matches(is_blank);
        if line.is_empty() || !self.spend(line.len(), original) {
            return;
        }
        if line.len() > limit::LINE_BYTES {
            self.problems.report(Problem::error(
                code::LINE_TOO_LONG,
                original,
                format!(
                    "after substitution the line has {} bytes; the limit is {}",
                    line.len(),
                    limit::LINE_BYTES
                ),
            ));
            return;
        }
        let span = self.out.texts.add_expanded(line, original);
        let Some((span, line)) = self.condition(span) else { return };
        match parameter::definition(&line) {
            Some((name, value)) => {
                self.parameters.insert(name.to_owned(), value.to_owned());
            }
            None => self.examine(span, &line, depth),
        }
    }

    /// Accounts for work; false when the limit is reached, which stops the reading.
    fn spend(&mut self, bytes: usize, span: Span) -> bool {
        self.work = self.work.saturating_add(bytes).saturating_add(limit::STEP_COST);
        let excess = match () {
            () if self.out.texts.expanded_lines() >= limit::EXPANDED_LINES => {
                Some(("made", limit::EXPANDED_LINES, "lines"))
            }
            () if self.out.texts.expanded_bytes() > limit::EXPANDED_BYTES => {
                Some(("made", limit::EXPANDED_BYTES, "bytes of text"))
            }
            () if self.work > limit::WORK_BYTES => Some(("moved", limit::WORK_BYTES, "bytes about")),
            () => None,
        };
        if let Some((did, most, what)) = excess {
            let message = format!("substitution and repetition {did} more than {most} {what}");
            self.stop(Problem::error(code::EXPANSION_LIMIT, span, message));
        }
        !self.stopped
    }

    fn stop(&mut self, problem: Problem) {
        if !self.stopped {
            self.problems.report(problem);
            self.stopped = true;
        }
    }
}

/// What follows a keyword that steers the reading itself.
fn value_of<'l>(line: &'l str, keyword: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(keyword)?;
    (rest.is_empty() || rest.starts_with(is_blank)).then(|| rest.trim_matches(is_blank))
}

/// White space between words and around lines.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

#[cfg(test)]
mod tests;
