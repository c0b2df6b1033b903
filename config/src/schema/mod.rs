//! Keywords: one file per block, each a table of rows and the functions that read their values.
//!
//! A row says what a keyword is called, what follows it and what becomes of it. Adding a keyword is one row
//! plus its use. The walk below is the same for every block: it finds the row, refuses what has none, and
//! warns of what is known but does nothing yet. Values end in drafts, which `resolve` turns into the model.

mod auth_hmac;
mod buffers;
pub(crate) mod catalogue;
mod checker;
mod garp;
mod global_defs;
mod global_fifo;
mod global_ipvs;
mod global_process;
mod inert;
mod lease;
mod link_delays;
mod list;
mod mail;
mod notify;
mod real_server;
mod relics;
mod root;
mod ssl;
mod statics;
mod suggest;
mod track_file;
mod track_process;
mod url;
mod value;
mod virtual_address;
mod virtual_route;
mod virtual_server;
mod virtual_server_group;
mod vocabulary;
mod vrrp_instance;
mod vrrp_script;
mod vrrp_sync_group;

use std::collections::HashSet;

use crate::LoadOptions;
use crate::diagnostic::{Code, Collector, Problem, code};
use crate::lexer::{self, Word};
use crate::text::{Span, Texts};
use crate::tree::{Block, NodeId, Tree};

pub(crate) use auth_hmac::{HmacDraft, KeyText};
pub(crate) use checker::{
    CheckDraft, CheckerKind, FileCheckDraft, HttpDraft, MiscDraft, SmtpDraft, Timing, VerifyDraft,
};
pub(crate) use garp::{Extra, GarpDraft, GarpGroupDraft};
pub(crate) use global_defs::GlobalDraft;
pub(crate) use global_fifo::FifoDraft;
pub(crate) use global_ipvs::SyncDraft;
pub(crate) use global_process::ProcessDraft;
pub use global_process::mask;
pub(crate) use lease::Lease;
pub(crate) use link_delays::LinkDelayDraft;
pub(crate) use mail::MailDraft;
pub(crate) use notify::NotifyDraft;
pub(crate) use real_server::ServerDraft;
use root::Home;
pub(crate) use root::{Draft, lower};
pub(crate) use ssl::SslDraft;
pub(crate) use statics::{StaticsDraft, TrackGroupDraft};
pub(crate) use track_file::FileDraft;
pub(crate) use track_process::CountedDraft;
pub(crate) use url::UrlDraft;
pub(crate) use value::shown_seconds;
pub(crate) use value::{Command, Named, Numbered, UserWords};
pub(crate) use virtual_address::AddressDraft;
pub(crate) use virtual_route::RouteDraft;
pub(crate) use virtual_server::{ServiceDraft, ServiceTarget};
pub(crate) use virtual_server_group::{GROUP_ADDRESSES, GROUP_LINES, GroupDraft, GroupEntry};
pub(crate) use vrrp_instance::{AuthKind, InstanceDraft, TrackDraft};
pub(crate) use vrrp_script::ScriptBlockDraft;
pub(crate) use vrrp_sync_group::SyncGroupDraft;

/// What follows a keyword: checked by the walk for keywords that do nothing yet.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// Nothing.
    Flag,
    /// An optional `on`, `off`, `true`, `false`, `yes` or `no`.
    Bool,
    /// At least and at most so many words.
    Words(usize, usize),
    /// A whole number within bounds.
    Number(i64, i64),
    /// One or more whole numbers within bounds.
    Numbers(i64, i64),
    /// A whole number within bounds, then an optional `reverse` or `noreverse`.
    Weight(i64, i64),
    /// Seconds with a fraction, within bounds in microseconds.
    Decimal(u64, u64),
    /// An address.
    Address,
    /// The name of an interface.
    Interface,
    /// A block of keywords that do nothing yet.
    Block(&'static inert::InertTable),
    /// A block of free lines with these words.
    Lines(&'static vocabulary::Vocabulary),
    /// Options behind the keyword.
    Options(&'static vocabulary::Vocabulary),
    /// Milliseconds with a fraction, within bounds in microseconds.
    Milliseconds(u64, u64),
}

/// What stands for the contents of a block that does nothing yet.
#[derive(Debug, Default)]
pub(crate) struct Inert;

/// Reads the value of a keyword into a draft.
pub(crate) type Handler<B> = fn(&mut B, &mut Lowering<'_>, &Line<'_>);

/// What becomes of a keyword.
pub(crate) enum Use<B: 'static> {
    /// It works: this function reads it.
    Active(Handler<B>),
    /// It is checked and told once to do nothing yet.
    Inactive(Shape),
    /// It is checked and refused, because the service would be wrong without it: why.
    Refused(Shape, &'static str),
    /// It is handled elsewhere in the pipeline or changes nothing by design.
    Silent(Shape),
}

impl<B> Use<B> {
    /// One value is looked at that changes nothing here.
    fn is_read_for_nothing(&self) -> bool {
        match self {
            Self::Inactive(shape) | Self::Silent(shape) => {
                !matches!(shape, Shape::Block(_) | Shape::Lines(_))
            }
            Self::Active(_) | Self::Refused(..) => false,
        }
    }
}

/// One keyword of a block.
pub(crate) struct Row<B: 'static> {
    /// Its name.
    pub(crate) name: &'static str,
    /// What becomes of it.
    pub(crate) usage: Use<B>,
    /// The spelling to use instead, when this one is old.
    pub(crate) instead: Option<&'static str>,
    /// Given twice in one block, the first one counts, as with keepalived; of all others the last one does.
    pub(crate) first_counts: bool,
    /// A value of it that can't be read is passed over when a daemon starts, as by keepalived, since its default does.
    pub(crate) has_default: bool,
}

impl<B> Clone for Row<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Row<B> {}

impl<B> Clone for Use<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Use<B> {}

/// A keyword that works.
pub(crate) const fn active<B>(name: &'static str, handler: Handler<B>) -> Row<B> {
    Row { name, usage: Use::Active(handler), instead: None, first_counts: false, has_default: false }
}

/// A keyword that does nothing yet.
pub(crate) const fn inactive<B>(name: &'static str, shape: Shape) -> Row<B> {
    Row { name, usage: Use::Inactive(shape), instead: None, first_counts: false, has_default: false }
}

/// A keyword without which the service would be wrong.
pub(crate) const fn refused<B>(name: &'static str, shape: Shape, why: &'static str) -> Row<B> {
    Row { name, usage: Use::Refused(shape, why), instead: None, first_counts: false, has_default: false }
}

/// A keyword that needs no attention here.
pub(crate) const fn silent<B>(name: &'static str, shape: Shape) -> Row<B> {
    Row { name, usage: Use::Silent(shape), instead: None, first_counts: false, has_default: false }
}

impl<B> Row<B> {
    /// The same, marked as the old spelling of another.
    pub(crate) const fn old_for(mut self, instead: &'static str) -> Self {
        self.instead = Some(instead);
        self
    }

    /// The same, marked as one that a daemon starts without when its value can't be read.
    pub(crate) const fn or_default(mut self) -> Self {
        self.has_default = true;
        self
    }

    /// The same, marked as one of which the first counts.
    pub(crate) const fn first_counts(mut self) -> Self {
        self.first_counts = true;
        self
    }
}

/// A statement split into words.
#[derive(Debug)]
pub(crate) struct Line<'t> {
    /// Its place in the tree.
    pub(crate) node: NodeId,
    /// Whether it has a block.
    pub(crate) block: Block,
    /// The whole statement.
    pub(crate) span: Span,
    /// Its text.
    pub(crate) text: &'t str,
    /// Its words, the keyword first.
    pub(crate) words: Vec<Word<'t>>,
}

impl<'t> Line<'t> {
    /// The keyword.
    pub(crate) fn keyword(&self) -> &'t str {
        self.words.first().map_or("", |word| word.text)
    }

    /// Where the keyword stands.
    pub(crate) fn keyword_span(&self) -> Span {
        self.words.first().map_or(self.span, |word| word.span)
    }

    /// Word number `index`; 0 is the keyword.
    pub(crate) fn word(&self, index: usize) -> Option<Word<'t>> {
        self.words.get(index).copied()
    }

    /// Words behind the keyword.
    pub(crate) fn values(&self) -> &[Word<'t>] {
        self.words.get(1..).unwrap_or(&[])
    }
}

/// State of the walk over the tree.
pub(crate) struct Lowering<'t> {
    pub(crate) texts: &'t Texts,
    tree: &'t Tree,
    problems: &'t mut Collector,
    options: &'t LoadOptions,
    /// Keywords already told to do nothing yet.
    told: HashSet<(&'static str, &'static str)>,
    /// Word lists to be used again.
    spare: Vec<Vec<Word<'t>>>,
    /// Statement whose block was read last.
    read: Option<NodeId>,
    /// Inside a block that does nothing yet, which was told already.
    quiet: bool,
    /// Blocks being read, outermost first: what they are called and where they stand.
    open: Vec<(&'static str, Span)>,
    /// The first keyword that doesn't belong into its block, and that block, for each such block.
    misplaced: Vec<(Span, Span)>,
    /// Statements in the wrong block and where they belong.
    strays: Vec<(NodeId, Home)>,
    /// The value of a keyword is being read that has a default.
    has_default: bool,
    /// Keywords of which the first counts, as far as the innermost open block gave them.
    given: Vec<&'static str>,
    /// Those of all `global_defs`, which are one block.
    given_globally: Vec<&'static str>,
}

impl<'t> Lowering<'t> {
    pub(crate) fn new(
        texts: &'t Texts,
        tree: &'t Tree,
        problems: &'t mut Collector,
        options: &'t LoadOptions,
    ) -> Self {
        Self {
            texts,
            tree,
            problems,
            options,
            told: HashSet::new(),
            spare: Vec::new(),
            read: None,
            quiet: false,
            open: Vec::new(),
            misplaced: Vec::new(),
            strays: Vec::new(),
            has_default: false,
            given: Vec::new(),
            given_globally: Vec::new(),
        }
    }

    /// Reports a problem.
    pub(crate) fn report(&mut self, problem: Problem) {
        let has_default = self.has_default && problem.is_about_a_value();
        self.problems.report(if has_default { problem.has_default() } else { problem });
    }

    /// Errors so far after which something is missing that was asked for, ignored ones included.
    pub(crate) fn damage(&self) -> usize {
        self.problems.damage()
    }

    /// Reports an error without advice.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.report(Problem::error(code, span, message));
    }

    /// A statement split into words; an open quote is reported.
    fn line(&mut self, node: NodeId) -> Option<Line<'t>> {
        let about = self.tree.node(node)?;
        let text = self.texts.text(about.span);
        let mut words = self.spare.pop().unwrap_or_default();
        words.clear();
        let open_quote = lexer::words(text, about.span, &mut words);
        if let Some(quote) = open_quote
            && !words.first().is_some_and(|keyword| is_script_keyword(keyword.text))
        {
            self.error(code::UNTERMINATED_QUOTE, quote, "Unterminated quote: the line is not read");
            self.spare.push(words);
            return None;
        }
        Some(Line { node, block: about.block, span: about.span, text, words })
    }

    fn give_back(&mut self, line: Line<'t>) {
        self.spare.push(line.words);
    }

    /// Reads the block of a statement with a table.
    pub(crate) fn block<B>(
        &mut self,
        name: &'static str,
        parent: &Line<'_>,
        table: &'static [Row<B>],
        draft: &mut B,
    ) {
        if parent.block == Block::Absent {
            self.error(
                code::MISSING_OPEN,
                parent.span.after(),
                format!("Missing '{{' after {}", parent.keyword()),
            );
            return;
        }
        self.open.push((name, parent.span));
        let is_global = name == "global_defs";
        let given = if is_global { std::mem::take(&mut self.given_globally) } else { Vec::new() };
        let outer = std::mem::replace(&mut self.given, given);
        for child in self.tree.children(parent.node) {
            self.statement(name, child, table, draft);
        }
        let given = std::mem::replace(&mut self.given, outer);
        if is_global {
            self.given_globally = given;
        }
        self.open.pop();
        self.read = Some(parent.node);
    }

    /// Reads the free lines of the block of a keyword that takes no words.
    pub(crate) fn entries(&mut self, parent: &Line<'_>, entry: impl FnMut(&mut Self, &Line<'_>)) {
        self.end(parent, 1);
        self.lines(parent, entry);
    }

    /// Reads the free lines of a statement's block.
    pub(crate) fn lines(&mut self, parent: &Line<'_>, mut entry: impl FnMut(&mut Self, &Line<'_>)) {
        if parent.block == Block::Absent {
            self.error(
                code::MISSING_OPEN,
                parent.span.after(),
                format!("Missing '{{' after {}", parent.keyword()),
            );
            return;
        }
        for child in self.tree.children(parent.node) {
            let Some(line) = self.line(child) else { continue };
            if line.block != Block::Absent {
                let home = root::home_of(line.keyword(), &self.open);
                self.misplace(&line, parent.keyword(), parent.span, home);
            } else if !line.words.is_empty() {
                entry(self, &line);
            }
            self.give_back(line);
        }
        self.read = Some(parent.node);
    }

    /// Reports a keyword that stands in the wrong block, the first one of each block, and keeps it for later.
    fn misplace(&mut self, line: &Line<'_>, inner: &str, opened: Span, home: Option<Home>) {
        let span = line.keyword_span();
        if let Some(home) = home {
            self.strays.push((line.node, home));
        }
        if self.misplaced.iter().any(|(_, block)| *block == opened) {
            return;
        }
        self.misplaced.push((span, opened));
        let belongs = home.map_or_else(String::new, |home| format!("; it belongs {}", home.words()));
        let message = format!("{} can't stand inside {inner}{belongs}", line.keyword());
        self.report(
            Problem::error(code::MISPLACED_KEYWORD, span, message)
                .note(opened, format!("{inner} was opened here; is its '}}' missing?")),
        );
    }

    fn statement<B>(&mut self, block: &'static str, node: NodeId, table: &'static [Row<B>], draft: &mut B) {
        let Some(line) = self.line(node) else { return };
        let keyword = line.keyword();
        match table.iter().find(|row| row.name == keyword) {
            Some(row) => self.row(block, row, &line, draft),
            None if line.words.is_empty() => {}
            None => self.unknown(table, &line),
        }
        self.give_back(line);
    }

    fn row<B>(&mut self, block: &'static str, row: &'static Row<B>, line: &Line<'_>, draft: &mut B) {
        let first = !self.quiet && self.told.insert((block, row.name));
        if let Some(instead) = row.instead
            && first
        {
            let message = format!("{} is the old spelling of {instead}", row.name);
            self.report(Problem::warning(code::DEPRECATED, line.keyword_span(), message));
        }
        if row.first_counts && self.is_repeated(row.name, line) {
            return;
        }
        self.has_default = row.has_default || row.usage.is_read_for_nothing();
        self.value(row, line, draft, first);
        self.has_default = false;
    }

    fn value<B>(&mut self, row: &'static Row<B>, line: &Line<'_>, draft: &mut B, first: bool) {
        match &row.usage {
            Use::Active(handler) => {
                let (faults, damage) = (self.problems.faults(), self.problems.damage());
                handler(draft, self, line);
                if row.first_counts && faults == self.problems.faults() {
                    self.given.push(row.name);
                }
                if line.block != Block::Absent
                    && self.read != Some(line.node)
                    && damage == self.problems.damage()
                {
                    self.no_block(line);
                }
            }
            Use::Silent(shape) => self.check(*shape, line),
            Use::Inactive(shape) => {
                self.check(*shape, line);
                if first {
                    let message = format!("{}: accepted, not active yet", row.name);
                    self.report(Problem::warning(code::NOT_ACTIVE, line.keyword_span(), message));
                }
            }
            Use::Refused(shape, why) => {
                self.check(*shape, line);
                self.refuse(line, row.name, why);
            }
        }
    }

    /// Whether a keyword of which the first counts was given in this block already, which is told.
    fn is_repeated(&mut self, name: &'static str, line: &Line<'_>) -> bool {
        let repeated = self.given.contains(&name);
        if repeated {
            let message = format!("{name} is given twice: the first one counts");
            self.report(Problem::warning(code::GIVEN_TWICE, line.keyword_span(), message));
        }
        repeated
    }

    /// Refuses something that isn't active yet, or warns of it when that is asked for.
    pub(crate) fn refuse(&mut self, line: &Line<'_>, what: &str, why: &str) {
        let span = line.keyword_span();
        self.report(if self.options.allow_inactive {
            Problem::warning(code::NOT_ACTIVE, span, format!("{what}: accepted, not active yet: {why}"))
        } else {
            Problem::error(code::NOT_ACTIVE_REFUSED, span, format!("{what} is not active yet: {why}"))
        });
    }

    fn unknown<B>(&mut self, table: &'static [Row<B>], line: &Line<'_>) {
        let keyword = line.keyword();
        let span = line.keyword_span();
        if let Some((block, remedy)) =
            self.open.last().and_then(|(block, _)| Some((*block, relics::remedy(block, keyword)?)))
        {
            let message = format!("{keyword} has no effect in {block}");
            self.report(Problem::warning(code::NO_EFFECT, span, message).help(remedy));
            return;
        }
        if let Some((inner, opened)) = self.open.last().copied()
            && let Some(home) = root::home_of(keyword, &self.open)
        {
            self.misplace(line, inner, opened, Some(home));
            return;
        }
        if self.problems.is_full() {
            // It is counted and not shown, so that a million of them cost little.
            return self.report(Problem::error(code::UNKNOWN_KEYWORD, span, String::new()));
        }
        let place = self.open.last().map_or_else(String::new, |(block, _)| format!(" in {block}"));
        let problem =
            Problem::error(code::UNKNOWN_KEYWORD, span, format!("Unknown keyword '{keyword}'{place}"));
        self.report(match suggest::nearest(keyword, table.iter().map(|row| row.name)) {
            Some(name) => problem.help(format!("did you mean {name}?")),
            None => elsewhere(problem, keyword),
        });
    }

    /// Names the blocks that are never closed; a misplaced keyword tells which one it is.
    fn unclosed(&mut self) {
        let mut blocks: Vec<Span> =
            self.tree.unclosed.iter().filter_map(|id| Some(self.tree.node(*id)?.span)).collect();
        if blocks.is_empty() {
            return;
        }
        let misplaced = self.misplaced.first().copied();
        if let Some((_, block)) = misplaced {
            blocks = vec![block];
        }
        let count = self.tree.unclosed.len();
        for block in blocks {
            let name = self.texts.text(block);
            let message = format!("block '{name}' is never closed: {count} '}}' missing at the end");
            let problem = Problem::error(code::UNCLOSED_BLOCK, block, message);
            self.report(match misplaced {
                Some((keyword, _)) => {
                    let keyword_text = self.texts.text(keyword);
                    problem.note(
                        keyword,
                        format!("{keyword_text} stands inside it: close the block before this line"),
                    )
                }
                None => problem,
            });
        }
    }
}

/// The problem with the blocks that do know the keyword.
fn elsewhere(problem: Problem, keyword: &str) -> Problem {
    let known = catalogue::keywords();
    let plain = |block: &&str| !block.contains(':');
    let blocks: Vec<&str> =
        known.iter().filter(|k| k.name == keyword).map(|k| k.block).filter(plain).collect();
    let names: Vec<&str> =
        blocks.iter().map(|block| block.rsplit('/').next().unwrap_or(block)).take(3).collect();
    if names.is_empty() { problem } else { problem.help(format!("it is a keyword of {}", names.join(", "))) }
}

/// Keywords whose value is split as a shell would.
pub(crate) fn is_script_keyword(keyword: &str) -> bool {
    keyword.starts_with("notify")
        || keyword.ends_with("_script")
        || matches!(keyword, "script" | "misc_path" | "quorum_up" | "quorum_down" | "regex")
}
