//! Lines into statements and blocks, whatever the keywords are.
//!
//! A `{` or `}` outside double quotes counts wherever it stands; a `{` opens the block of the statement in
//! front of it. Whether that statement may have a block is the schema's question. Reports braces that match
//! nothing; blocks that are never closed are left for the schema to explain, which knows what was misplaced.

use crate::diagnostic::{Collector, Problem, code};
use crate::preprocess::limit;
use crate::text::{Span, Texts};

/// Position of a statement in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// One statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    /// Its words as written, without braces.
    pub(crate) span: Span,
    /// Position behind its last descendant.
    end: u32,
    /// It has a block.
    pub(crate) block: Block,
}

/// Block of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// None.
    Absent,
    /// Opened and closed.
    Closed,
    /// Opened and not closed.
    Open,
}

/// All statements, each before its children.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Blocks that the end of the text found open, outermost first.
    pub(crate) unclosed: Vec<NodeId>,
}

impl Tree {
    /// A statement.
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(index(id.0))
    }

    /// Statements outside every block.
    pub(crate) fn roots(&self) -> Children<'_> {
        Children { tree: self, next: 0, end: position(self.nodes.len()) }
    }

    /// Statements in the block of another.
    pub(crate) fn children(&self, id: NodeId) -> Children<'_> {
        let end = self.node(id).map_or(0, |node| node.end);
        Children { tree: self, next: id.0.saturating_add(1), end }
    }
}

/// Statements of one block, in order.
#[derive(Debug)]
pub(crate) struct Children<'a> {
    tree: &'a Tree,
    next: u32,
    end: u32,
}

impl Iterator for Children<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        if self.next >= self.end {
            return None;
        }
        let id = NodeId(self.next);
        self.next = self.tree.node(id).map_or(self.end, |node| node.end).max(self.next.saturating_add(1));
        Some(id)
    }
}

/// Builds the tree of a text.
pub(crate) fn build(texts: &Texts, lines: &[Span], problems: &mut Collector) -> Tree {
    let mut builder = Builder {
        tree: Tree { nodes: Vec::with_capacity(lines.len()), unclosed: Vec::new() },
        open: Vec::new(),
        last: None,
        skipped: 0,
        problems,
    };
    for line in lines {
        builder.line(texts.text(*line), *line);
    }
    builder.finish()
}

struct Builder<'p> {
    tree: Tree,
    /// Statements whose blocks are open.
    open: Vec<NodeId>,
    /// Statement that a `{` would belong to.
    last: Option<NodeId>,
    /// Braces open beyond the nesting limit.
    skipped: usize,
    problems: &'p mut Collector,
}

impl Builder<'_> {
    fn line(&mut self, text: &str, span: Span) {
        let bytes = text.as_bytes();
        let mut start = 0;
        let mut quoted = false;
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b'{' | b'}' if !quoted => {
                    self.statement(text, span, start, at);
                    let brace = span.part(at, at.saturating_add(1));
                    if *byte == b'{' {
                        self.open(brace)
                    } else {
                        self.close(brace)
                    }
                    start = at.saturating_add(1);
                }
                _ => {}
            }
        }
        self.statement(text, span, start, bytes.len());
    }

    fn statement(&mut self, text: &str, span: Span, start: usize, end: usize) {
        let piece = text.get(start..end).unwrap_or("");
        let lead = piece.len().saturating_sub(piece.trim_start().len());
        let piece = piece.trim();
        if piece.is_empty() || self.skipped > 0 {
            return;
        }
        let from = start.saturating_add(lead);
        let id = NodeId(position(self.tree.nodes.len()));
        self.tree.nodes.push(Node {
            span: span.part(from, from.saturating_add(piece.len())),
            end: id.0.saturating_add(1),
            block: Block::Absent,
        });
        self.last = Some(id);
    }

    fn open(&mut self, brace: Span) {
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_add(1);
            return;
        }
        if self.open.len() >= limit::NESTING {
            self.skipped = 1;
            self.problems.report(Problem::error(
                code::NESTING_LIMIT,
                brace,
                format!("blocks are nested more than {} deep", limit::NESTING),
            ));
            return;
        }
        let id = self.last.take();
        let Some(id) = id.filter(|id| self.tree.node(*id).is_some_and(|node| node.block == Block::Absent))
        else {
            self.problems.report(Problem::error(
                code::UNEXPECTED_OPEN,
                brace,
                "Unexpected '{': no keyword stands in front of it",
            ));
            // An empty statement takes its place, so that the closing brace finds its partner.
            let id = NodeId(position(self.tree.nodes.len()));
            self.tree.nodes.push(Node {
                span: brace.part(0, 0),
                end: id.0.saturating_add(1),
                block: Block::Open,
            });
            self.open.push(id);
            return;
        };
        if let Some(node) = self.tree.nodes.get_mut(index(id.0)) {
            node.block = Block::Open;
        }
        self.open.push(id);
    }

    fn close(&mut self, brace: Span) {
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_sub(1);
            return;
        }
        self.last = None;
        let end = position(self.tree.nodes.len());
        match self.open.pop() {
            Some(id) => {
                if let Some(node) = self.tree.nodes.get_mut(index(id.0)) {
                    node.block = Block::Closed;
                    node.end = end;
                }
            }
            None => self.problems.report(Problem::error(
                code::UNEXPECTED_CLOSE,
                brace,
                "Unexpected '}': no block is open here",
            )),
        }
    }

    fn finish(mut self) -> Tree {
        let end = position(self.tree.nodes.len());
        for id in &self.open {
            if let Some(node) = self.tree.nodes.get_mut(index(id.0)) {
                node.end = end;
            }
        }
        self.tree.unclosed = self.open;
        self.tree
    }
}

fn index(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// The tree as nested text: `a[b c[d]]`.
    fn shape(text: &str) -> (String, usize, usize) {
        let mut texts = Texts::default();
        let file = texts.add_file("t", Rc::new(text.to_owned())).unwrap();
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text.split('\n') {
            lines.push(Texts::span(file, start, start + line.len()));
            start += line.len() + 1;
        }
        let mut problems = Collector::default();
        let tree = build(&texts, &lines, &mut problems);
        let mut out = String::new();
        print(&texts, &tree, tree.roots(), &mut out);
        (out, problems.errors(), tree.unclosed.len())
    }

    fn print(texts: &Texts, tree: &Tree, children: Children<'_>, out: &mut String) {
        for id in children {
            let node = tree.node(id).unwrap();
            out.push_str(texts.text(node.span));
            if node.block == Block::Absent {
                out.push(';');
            } else {
                out.push('[');
                print(texts, tree, tree.children(id), out);
                out.push(']');
            }
        }
    }

    #[test]
    fn braces_count_wherever_they_stand() {
        assert_eq!(shape("a { b c\n} d\n{\ne }").0, "a[b c;]d[e;]");
        assert_eq!(shape("a { x \"{\" }").0, "a[x \"{\";]");
    }

    #[test]
    fn braces_that_match_nothing_are_reported() {
        assert_eq!(shape("a }"), ("a;".into(), 1, 0));
        assert_eq!(shape("a { b"), ("a[b;]".into(), 0, 1));
        assert_eq!(shape("a { { b } }"), ("a[[b;]]".into(), 1, 0));
    }

    #[test]
    fn nesting_beyond_the_limit_is_reported_once_and_skipped() {
        let text = format!("{}{}z", "a {".repeat(10_000), "}".repeat(10_000));
        let (out, errors, unclosed) = shape(&text[..60_000.min(text.len())]);
        assert_eq!((errors, unclosed), (1, 0));
        assert!(out.ends_with("z;"));
    }
}
