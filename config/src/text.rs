//! The text of a configuration and where each piece of it stands.
//!
//! Holds every file that was read and every line that came out of a substitution; hands out [`Span`]s, eight
//! bytes each, so that nothing later copies text. Made by `preprocess`, read by everything after it.
//! The text is the operator's and is not trusted.

use std::cell::OnceCell;
use std::rc::Rc;

/// A piece of text: which buffer, from where, how long. At most 65 535 bytes, as no line is longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    buffer: u16,
    length: u16,
    start: u32,
}

impl Span {
    /// The part of this span from byte `from` to byte `to`, both counted from its start.
    pub(crate) fn part(self, from: usize, to: usize) -> Self {
        let length = usize::from(self.length);
        let (from, to) = (from.min(length), to.min(length));
        Self {
            buffer: self.buffer,
            length: u16::try_from(to.saturating_sub(from)).unwrap_or(u16::MAX),
            start: self.start.saturating_add(u32::try_from(from).unwrap_or(u32::MAX)),
        }
    }

    /// An empty span just behind this one.
    pub(crate) fn after(self) -> Self {
        let end = usize::from(self.length);
        self.part(end, end)
    }
}

/// Every buffer of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    files: Vec<File>,
    expanded: String,
    expansions: Vec<(u32, Span)>,
}

#[derive(Debug)]
struct File {
    name: String,
    text: Rc<String>,
    line_starts: OnceCell<Vec<u32>>,
}

/// Where a span stands, in the operator's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position<'t> {
    /// File name as it was asked for.
    pub(crate) file: &'t str,
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column in characters, from 1.
    pub(crate) column: u32,
    /// Characters covered.
    pub(crate) width: u32,
    /// The whole physical line.
    pub(crate) excerpt: &'t str,
    /// What the line became, when substitution changed it.
    pub(crate) expanded: Option<&'t str>,
}

/// Buffer number of substituted lines.
const EXPANDED: u16 = u16::MAX;

impl Texts {
    /// Adds a file; `None` when there are too many or it is too large for a span.
    pub(crate) fn add_file(&mut self, name: &str, text: Rc<String>) -> Option<u16> {
        let buffer = u16::try_from(self.files.len()).ok().filter(|number| *number < EXPANDED)?;
        u32::try_from(text.len()).ok()?;
        self.files.push(File { name: name.to_owned(), text, line_starts: OnceCell::new() });
        Some(buffer)
    }

    /// A span of `buffer`.
    pub(crate) fn span(buffer: u16, start: usize, end: usize) -> Span {
        Span {
            buffer,
            length: u16::try_from(end.saturating_sub(start)).unwrap_or(u16::MAX),
            start: u32::try_from(start).unwrap_or(u32::MAX),
        }
    }

    /// Adds a line that came out of a substitution of `original`.
    pub(crate) fn add_expanded(&mut self, line: &str, original: Span) -> Span {
        let start = self.expanded.len();
        self.expansions.push((u32::try_from(start).unwrap_or(u32::MAX), self.origin(original)));
        self.expanded.push_str(line);
        self.expanded.push('\n');
        Self::span(EXPANDED, start, start.saturating_add(line.len()))
    }

    /// Lines of substituted text so far.
    pub(crate) fn expanded_lines(&self) -> usize {
        self.expansions.len()
    }

    /// Bytes of substituted text so far.
    pub(crate) fn expanded_bytes(&self) -> usize {
        self.expanded.len()
    }

    /// Text of a span.
    pub(crate) fn text(&self, span: Span) -> &str {
        let buffer = if span.buffer == EXPANDED {
            self.expanded.as_str()
        } else {
            self.files.get(usize::from(span.buffer)).map_or("", |file| &file.text)
        };
        let start = usize::try_from(span.start).unwrap_or(usize::MAX);
        buffer.get(start..start.saturating_add(usize::from(span.length))).unwrap_or("")
    }

    /// Key that sorts spans as the text runs, files in the order in which they were opened.
    pub(crate) fn order(&self, span: Span) -> (u16, u32) {
        let origin = self.origin(span);
        (origin.buffer, origin.start)
    }

    /// Where a span stands.
    pub(crate) fn position(&self, span: Span) -> Position<'_> {
        let origin = self.origin(span);
        let Some(file) = self.files.get(usize::from(origin.buffer)) else {
            return Position { file: "", line: 0, column: 0, width: 0, excerpt: "", expanded: None };
        };
        let starts = file.line_starts.get_or_init(|| line_starts(&file.text));
        let index = starts.partition_point(|start| *start <= origin.start).saturating_sub(1);
        let line_start = starts.get(index).map_or(0, |start| usize::try_from(*start).unwrap_or(0));
        let rest = file.text.get(line_start..).unwrap_or("");
        let excerpt = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        let offset = usize::try_from(origin.start).unwrap_or(0).saturating_sub(line_start);
        let before = excerpt.get(..offset).unwrap_or(excerpt);
        Position {
            file: &file.name,
            line: u32::try_from(index.saturating_add(1)).unwrap_or(u32::MAX),
            column: u32::try_from(before.chars().count().saturating_add(1)).unwrap_or(u32::MAX),
            width: u32::try_from(self.text(origin).chars().count()).unwrap_or(u32::MAX),
            excerpt,
            expanded: (span.buffer == EXPANDED).then(|| self.expanded_line(span)),
        }
    }

    /// All of `lines`, the name of a file as a comment before the first of each stretch of its lines.
    pub(crate) fn consolidated(&self, lines: &[Span]) -> String {
        let mut out = String::new();
        let mut from = None;
        for line in lines {
            let buffer = self.origin(*line).buffer;
            if from.replace(buffer) != Some(buffer) {
                let name = self.files.get(usize::from(buffer)).map_or("", |file| &file.name);
                out.push_str("# ");
                out.push_str(name);
                out.push('\n');
            }
            out.push_str(self.text(*line));
            out.push('\n');
        }
        out
    }

    /// The file span that a substituted span came from; a file span is its own origin.
    fn origin(&self, span: Span) -> Span {
        if span.buffer != EXPANDED {
            return span;
        }
        let index = self.expansions.partition_point(|(start, _)| *start <= span.start);
        self.expansions.get(index.saturating_sub(1)).map_or(span, |(_, origin)| *origin)
    }

    fn expanded_line(&self, span: Span) -> &str {
        let index = self.expansions.partition_point(|(start, _)| *start <= span.start).saturating_sub(1);
        let start = self.expansions.get(index).map_or(0, |(start, _)| usize::try_from(*start).unwrap_or(0));
        self.expanded.get(start..).and_then(|rest| rest.split('\n').next()).unwrap_or("")
    }
}

fn line_starts(text: &str) -> Vec<u32> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0).chain(ends.filter_map(|(at, _)| u32::try_from(at.saturating_add(1)).ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_knows_its_line_and_column() {
        let mut texts = Texts::default();
        let file = texts.add_file("a.conf", Rc::new("one\n  two three\n".to_owned())).unwrap();
        let position = texts.position(Texts::span(file, 10, 15));
        assert_eq!((position.line, position.column, position.width), (2, 7, 5));
        assert_eq!(position.excerpt, "  two three");
    }

    #[test]
    fn a_substituted_line_points_at_the_line_that_was_written() {
        let mut texts = Texts::default();
        let file = texts.add_file("a.conf", Rc::new("x\npriority $P\n".to_owned())).unwrap();
        let line = texts.add_expanded("priority 300", Texts::span(file, 2, 13));
        let position = texts.position(line.part(9, 12));
        assert_eq!((position.line, position.column), (2, 1));
        assert_eq!(position.expanded, Some("priority 300"));
        assert_eq!(texts.text(line.part(9, 12)), "300");
    }
}
