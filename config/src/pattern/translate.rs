//! A pattern of PCRE2 in the words of fancy-regex, which matches it.
//!
//! Decides nothing about a body. What both write alike goes through as it is; groups go by their numbers, so that a name
//! may be given twice, and every other character becomes what PCRE2 takes it for: a byte, or with `utf` a code point.
//! Called by [`super::compile`] with the operator's pattern.

use std::fmt::Write as _;

use super::class::{self, Item};
use super::reader::Reader;
use crate::model::check::RegexOptions;

/// Why there is no translation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untranslatable {
    /// The pattern ends within something.
    #[error("{0} is not closed")]
    Open(&'static str),
    /// There is no such escape, or none that can be matched.
    #[error("\\{0} is not supported")]
    Escape(char),
    /// A backslash ends the pattern.
    #[error("a backslash ends the pattern")]
    Backslash,
    /// No character has this number.
    #[error("no character of a body has the number {0:#x}")]
    Number(u32),
    /// A reference to no group.
    #[error("there is no group '{0}'")]
    NoGroup(String),
    /// Two groups have one name.
    #[error("two groups have the name '{0}', which takes the option dupnames")]
    TwoNames(String),
    /// A range that ends before it begins, or has no end.
    #[error("a range of a class is out of order")]
    Range,
    /// A class within a class begins or ends a range.
    #[error("invalid range in a class: a hyphen beside \\w and the like stands last")]
    RangeOfClass,
    /// There is no such POSIX class.
    #[error("there is no class [:{0}:]")]
    Posix(String),
    /// A flag that has no meaning here.
    #[error("(?{0}) is not supported")]
    Flag(char),
}

/// Translates.
///
/// # Errors
/// PCRE2 does not take the pattern, or the matcher has nothing for it.
pub(super) fn translate(pattern: &str, options: RegexOptions) -> Result<String, Untranslatable> {
    let names = group_names(pattern, options)?;
    let mut translation = Translation::new(pattern, options, &names);
    translation.run()?;
    Ok(translation.out)
}

/// Names of the groups in the order of their numbers.
fn group_names(pattern: &str, options: RegexOptions) -> Result<Vec<Option<String>>, Untranslatable> {
    let mut first = Translation::new(pattern, options, &[]);
    first.counts = true;
    first.run()?;
    let mut seen = std::collections::BTreeSet::new();
    for name in first.opened.iter().flatten() {
        if !seen.insert(name) && !options.dup_names {
            return Err(Untranslatable::TwoNames(name.clone()));
        }
    }
    Ok(first.opened)
}

/// What holds within a group.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// Blanks and comments count for nothing.
    extended: bool,
    multi_line: bool,
    /// Groups without a name have no number.
    no_auto_capture: bool,
}

struct Translation<'a> {
    reader: Reader<'a>,
    options: RegexOptions,
    /// Names of all groups; empty while they are counted.
    names: &'a [Option<String>],
    /// Only groups are of interest: references are not looked up.
    counts: bool,
    /// Groups so far.
    opened: Vec<Option<String>>,
    scope: Scope,
    outer: Vec<Scope>,
    /// A circumflex that begins a pattern of one branch: nothing matches but behind it.
    leads: bool,
    out: String,
}

impl<'a> Translation<'a> {
    fn new(pattern: &'a str, options: RegexOptions, names: &'a [Option<String>]) -> Self {
        Self {
            reader: Reader::new(pattern),
            options,
            names,
            counts: false,
            opened: Vec::new(),
            scope: Scope {
                extended: options.extended,
                multi_line: options.multi_line,
                no_auto_capture: options.no_auto_capture,
            },
            outer: Vec::new(),
            leads: super::is_led_by_circumflex(pattern),
            out: String::new(),
        }
    }

    fn run(&mut self) -> Result<(), Untranslatable> {
        while let Some(next) = self.reader.next() {
            match next {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => {
                    self.scope = self.outer.pop().unwrap_or(self.scope);
                    self.out.push(')');
                }
                '^' => self.circumflex(),
                '{' if !self.reader.is_repetition() => self.character('{'),
                '#' if self.scope.extended => self.reader.skip_line(),
                blank if self.scope.extended && is_blank(blank) => {}
                '|' | '$' | '.' | '*' | '+' | '?' | '{' | '}' => self.out.push(next),
                other => self.character(other),
            }
        }
        Ok(())
    }

    /// A character of the pattern: with `utf` one of the body, without it the bytes that it is written with.
    fn character(&mut self, character: char) {
        if character.is_ascii_alphanumeric() || self.options.unicode && !character.is_ascii() {
            return self.out.push(character);
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            write!(self.out, "\\x{byte:02X}").ok();
        }
    }

    /// The character of this number.
    fn number(&mut self, number: u32) -> Result<(), Untranslatable> {
        self.out.push_str(&class::number(number, self.options.unicode)?);
        Ok(())
    }

    /// In `multiline` it matches behind each line feed but the last of a body, where `alt_circumflex` lets it match, too.
    fn circumflex(&mut self) {
        let is_first = self.out.is_empty();
        let plain = !self.scope.multi_line || self.options.alt_circumflex || self.leads && is_first;
        self.out.push_str(if plain { "^" } else { "(?:\\A|^(?!\\z))" });
    }

    fn class(&mut self) -> Result<(), Untranslatable> {
        let class = class::read(&mut self.reader, self.options)?;
        self.out.push_str(&class.text());
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Untranslatable> {
        let escaped = self.reader.next().ok_or(Untranslatable::Backslash)?;
        match escaped {
            'Q' => {
                for character in self.reader.quoted().chars() {
                    self.character(character);
                }
            }
            'E' => {}
            '1'..='9' => self.digits(escaped)?,
            'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'A' | 'z' | 'b' | 'B' | 'G' | 'K' => {
                write!(self.out, "\\{escaped}").ok();
            }
            'p' | 'P' => write!(self.out, "\\{escaped}").unwrap_or_default(),
            'Z' => self.out.push_str("(?=\\n?\\z)"),
            'N' if !self.reader.begins("{") => self.out.push_str("[^\\n]"),
            'C' if !self.options.unicode => self.out.push_str("(?s:.)"),
            'R' => {
                let wide = if self.options.unicode { "\\u{2028}\\u{2029}" } else { "" };
                let next = class::number(0x85, self.options.unicode)?;
                write!(self.out, "(?>\\r\\n|[\\n\\x0B\\f\\r{next}{wide}])").ok();
            }
            'h' | 'H' | 'v' | 'V' => {
                let items = Item::of_blanks(escaped, self.options.unicode);
                let negated = escaped.is_ascii_uppercase();
                self.out.push_str(&class::Class::new(negated, items, self.options).text());
            }
            'k' => {
                let name = self.reader.delimited(&["{}", "<>", "''"]).ok_or(Untranslatable::Escape('k'))?;
                self.back_reference(name)?;
            }
            'g' => self.group_escape()?,
            other => {
                let number = class::escaped(other, &mut self.reader, self.options)?;
                self.number(number)?;
            }
        }
        Ok(())
    }

    /// `\1` is a reference; `\12` is one if there are as many groups, else an octal number.
    fn digits(&mut self, first: char) -> Result<(), Untranslatable> {
        let rest = self.reader.peek_digits();
        let digits = format!("{first}{rest}");
        let number = digits.parse::<usize>().unwrap_or(usize::MAX);
        if number < 10 || matches!(first, '8' | '9') || number <= self.opened.len() {
            self.reader.advance(rest.len());
            return self.back_reference(&digits);
        }
        let number = class::octal(first, &mut self.reader);
        self.number(number)
    }

    /// `\g1`, `\g{-1}` and `\g{name}` refer back, `\g<1>` and `\g'1'` call a group.
    fn group_escape(&mut self) -> Result<(), Untranslatable> {
        if let Some(name) = self.reader.delimited(&["<>", "''"]) {
            return self.call(name);
        }
        let name = match self.reader.delimited(&["{}"]) {
            Some(name) => name,
            None => self.reader.signed_digits(),
        };
        self.back_reference(name)
    }

    fn back_reference(&mut self, name: &str) -> Result<(), Untranslatable> {
        let groups = self.groups(name)?;
        let last = if self.options.match_unset_backref { "" } else { "(?!)" };
        match *groups.as_slice() {
            [only] if !self.options.match_unset_backref => write!(self.out, "(?:\\{only})").ok(),
            // The first of them that is set.
            _ => {
                for group in &groups {
                    write!(self.out, "(?({group})\\{group}|").ok();
                }
                self.out.push_str(last);
                self.out.push_str(&")".repeat(groups.len()));
                None
            }
        };
        Ok(())
    }

    fn call(&mut self, name: &str) -> Result<(), Untranslatable> {
        let group = match name {
            "0" | "R" => Some(0),
            _ => self.groups(name)?.first().copied(),
        };
        write!(self.out, "\\g<{}>", group.unwrap_or(0)).ok();
        Ok(())
    }

    /// Groups by number, by distance from here, or by name.
    fn groups(&self, name: &str) -> Result<Vec<usize>, Untranslatable> {
        if self.counts {
            return Ok(vec![1]);
        }
        let here = self.opened.len();
        let found: Vec<usize> = match (name.strip_prefix('-'), name.strip_prefix('+')) {
            (Some(back), _) => back
                .parse::<usize>()
                .ok()
                .and_then(|back| here.checked_add(1)?.checked_sub(back))
                .into_iter()
                .collect(),
            (_, Some(ahead)) => {
                ahead.parse::<usize>().ok().and_then(|ahead| here.checked_add(ahead)).into_iter().collect()
            }
            (None, None) => match name.parse::<usize>() {
                Ok(number) => vec![number],
                Err(_) => (1..)
                    .zip(self.names)
                    .filter(|(_, known)| known.as_deref() == Some(name))
                    .map(|(number, _)| number)
                    .collect(),
            },
        };
        let exist = !found.is_empty() && found.iter().all(|group| (1..=self.names.len()).contains(group));
        if exist { Ok(found) } else { Err(Untranslatable::NoGroup(name.to_owned())) }
    }

    fn enter(&mut self, text: &str) {
        self.outer.push(self.scope);
        self.out.push_str(text);
    }

    fn open(&mut self) -> Result<(), Untranslatable> {
        if self.reader.begins("*") {
            let verb = self.reader.until(')').ok_or(Untranslatable::Open("("))?;
            write!(self.out, "({verb})").ok();
            return Ok(());
        }
        if !self.reader.takes("?") {
            if self.scope.no_auto_capture {
                self.enter("(?:");
            } else {
                self.opened.push(None);
                self.enter("(");
            }
            return Ok(());
        }
        if self.reader.takes("#") {
            self.reader.until(')').ok_or(Untranslatable::Open("a comment"))?;
            return Ok(());
        }
        for plain in ["<=", "<!", "=", "!", ">", ":"] {
            if self.reader.takes(plain) {
                self.enter(&format!("(?{plain}"));
                return Ok(());
            }
        }
        if self.reader.takes("(") {
            return self.condition();
        }
        if self.reader.takes("P>") || self.reader.takes("&") {
            let name = self.reader.until(')').ok_or(Untranslatable::Open("("))?;
            return self.call(name);
        }
        if self.reader.takes("P=") {
            let name = self.reader.until(')').ok_or(Untranslatable::Open("("))?;
            return self.back_reference(name);
        }
        let is_python = self.reader.begins("P<") && self.reader.takes("P");
        if let Some(name) = self.reader.delimited(if is_python { &["<>"] } else { &["<>", "''"] }) {
            self.opened.push(Some(name.to_owned()));
            self.enter("(");
            return Ok(());
        }
        if self.reader.begins_call() {
            let name = self.reader.until(')').ok_or(Untranslatable::Open("("))?;
            return self.call(name);
        }
        self.flags()
    }

    /// `(?(1)`, `(?(<name>)` and `(?('name')` ask for a group.
    fn condition(&mut self) -> Result<(), Untranslatable> {
        if self.reader.begins("?") {
            return Err(Untranslatable::Flag('('));
        }
        self.enter("(?(");
        let text = self.reader.until(')').ok_or(Untranslatable::Open("("))?;
        let name = text.trim_start_matches(['<', '\'']).trim_end_matches(['>', '\'']);
        if name == "DEFINE" {
            self.out.push_str("DEFINE)");
            return Ok(());
        }
        match *self.groups(name)?.as_slice() {
            [only] => write!(self.out, "{only})").unwrap_or_default(),
            _ => return Err(Untranslatable::TwoNames(name.to_owned())),
        }
        Ok(())
    }

    /// `(?i)` and the like; blanks and comments are gone already, and groups know their numbers, so `x` and `n` need not
    /// be told.
    fn flags(&mut self) -> Result<(), Untranslatable> {
        let (mut on, mut off) = (String::new(), String::new());
        let mut negated = false;
        let mut scope = self.scope;
        loop {
            match self.reader.next().ok_or(Untranslatable::Open("("))? {
                '-' => negated = true,
                'x' => scope.extended = !negated,
                'n' => scope.no_auto_capture = !negated,
                flag @ ('i' | 'm' | 's' | 'U') => {
                    if flag == 'm' {
                        scope.multi_line = !negated;
                    }
                    if negated { &mut off } else { &mut on }.push(flag);
                }
                end @ (')' | ':') => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    let text = format!("{on}{minus}{off}");
                    match (end, text.is_empty()) {
                        (':', _) => self.enter(&format!("(?{text}:")),
                        (_, true) => {}
                        (_, false) => write!(self.out, "(?{text})").unwrap_or_default(),
                    }
                    self.scope = scope;
                    return Ok(());
                }
                other => return Err(Untranslatable::Flag(other)),
            }
        }
    }
}

/// What `extended` takes for nothing.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}
