//! Words into values: numbers, times, addresses, booleans, commands. Each reports what is wrong and where.
//!
//! Called by the keyword tables with words that an operator wrote. A value that is out of its range is a diagnostic and
//! never taken for the nearest one, but where keepalived does so and says it.

use std::net::IpAddr;
use std::time::Duration;

use super::{Line, Lowering, Shape, inert};
use crate::diagnostic::{Problem, code, is_secret};
use crate::lexer::{Escapes, Word, split_command};
use crate::numbers::{self, NumberTable};
use crate::text::Span;

/// A name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Named {
    pub(crate) fn of(word: Word<'_>) -> Self {
        Self { text: word.text.to_owned(), span: word.span }
    }
}

/// A number, or a name that this machine's tables of iproute2 have a number for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Numbered {
    Number(u32),
    Name(NumberTable, Named),
}

/// A user and a group as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserWords {
    pub(crate) user: Named,
    pub(crate) group: Option<Named>,
    /// A colon in front of the group asks for the user's supplementary groups.
    pub(crate) supplementary: bool,
    /// They stand behind a command, where arguments without quotes would stand too.
    pub(crate) behind_command: bool,
}

/// A command, split, and who is to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) span: Span,
    pub(crate) user: Option<UserWords>,
}

impl<'t> Lowering<'t> {
    /// The word at `index`, or an error that it is missing.
    pub(crate) fn required<'l>(&mut self, line: &Line<'l>, index: usize, what: &str) -> Option<Word<'l>> {
        let word = line.word(index);
        if word.is_none() {
            self.report(Problem::error(
                code::MISSING_VALUE,
                line.span.after(),
                format!("{} needs {what}", line.keyword()),
            ));
        }
        word
    }

    /// The name of a block, or an error that it has none.
    pub(crate) fn name<'l>(&mut self, line: &Line<'l>) -> Option<Word<'l>> {
        let word = self.required(line, 1, "a name")?;
        if word.text.is_empty() {
            self.error(code::MISSING_VALUE, word.span, format!("{} needs a name", line.keyword()));
            return None;
        }
        Some(word)
    }

    /// Warns of words from `index` on, which nothing reads.
    pub(crate) fn end(&mut self, line: &Line<'_>, index: usize) {
        if let Some(word) = line.word(index) {
            let what = if is_secret(line.keyword()) { "what stands" } else { word.text };
            let message = format!("nothing reads '{what}' behind {}", line.keyword());
            self.report(Problem::warning(code::SURPLUS_WORDS, word.span, message));
        }
    }

    /// The whole number at `index` within bounds.
    pub(crate) fn number(&mut self, line: &Line<'_>, index: usize, low: i64, high: i64) -> Option<i64> {
        let word = self.required(line, index, "a number")?;
        self.number_word(line.keyword(), word, low, high)
    }

    /// A word as a whole number within bounds.
    pub(crate) fn number_word(&mut self, what: &str, word: Word<'_>, low: i64, high: i64) -> Option<i64> {
        let text = if word.quoted { word.text.trim_start() } else { word.text };
        let Ok(value) = text.strip_prefix('+').unwrap_or(text).parse::<i64>() else {
            let digits = text.trim_start_matches(['-', '+']);
            let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let (code, message) = if whole {
                (code::OUT_OF_RANGE, format!("{what} must be {low}..={high}, got {text}"))
            } else {
                (code::NOT_A_NUMBER, format!("{what} must be a whole number {low}..={high}, got '{text}'"))
            };
            self.error(code, word.span, message);
            return None;
        };
        if (low..=high).contains(&value) {
            return Some(value);
        }
        self.error(code::OUT_OF_RANGE, word.span, format!("{what} must be {low}..={high}, got {value}"));
        None
    }

    /// A word as a number of the kernel or its name in a table of iproute2.
    pub(crate) fn numbered(&mut self, table: NumberTable, word: Word<'_>) -> Option<Numbered> {
        let digits = word.text.strip_prefix(['-', '+']).unwrap_or(word.text);
        if !digits.starts_with(|first: char| first.is_ascii_digit()) {
            return Some(Numbered::Name(table, Named::of(word)));
        }
        let greatest = table.greatest();
        let number = numbers::number(word.text).filter(|number| *number <= greatest);
        if number.is_none() {
            let message = format!("a number of {} must be 0..={greatest}, got {}", table.file(), word.text);
            self.error(code::OUT_OF_RANGE, word.span, message);
        }
        number.map(Numbered::Number)
    }

    /// The number at `index` as a type that its bounds fit.
    pub(crate) fn unsigned<T: TryFrom<i64>>(
        &mut self,
        line: &Line<'_>,
        index: usize,
        low: i64,
        high: i64,
    ) -> Option<T> {
        T::try_from(self.number(line, index, low, high)?).ok()
    }

    /// Seconds at `index` with at most six decimals, within bounds in microseconds.
    pub(crate) fn seconds(&mut self, line: &Line<'_>, index: usize, low: u64, high: u64) -> Option<Duration> {
        let word = self.required(line, index, "a time in seconds")?;
        self.seconds_word(line.keyword(), word, low, high)
    }

    /// A word as seconds.
    pub(crate) fn seconds_word(
        &mut self,
        what: &str,
        word: Word<'_>,
        low: u64,
        high: u64,
    ) -> Option<Duration> {
        let range = || format!("{what} must be {}..={} seconds", shown(low), shown(high));
        let Some((micros, rounded)) = microseconds(word.text) else {
            self.error(code::NOT_A_NUMBER, word.span, format!("{}, got '{}'", range(), word.text));
            return None;
        };
        if !(low..=high).contains(&micros) {
            self.error(code::OUT_OF_RANGE, word.span, format!("{}, got {}", range(), word.text));
            return None;
        }
        if rounded {
            let message = format!("{what} has more than six decimals and is rounded to {}", shown(micros));
            self.report(Problem::warning(code::ADJUSTED, word.span, message));
        }
        Some(Duration::from_micros(micros))
    }

    /// A word as milliseconds within bounds in microseconds.
    fn milliseconds(&mut self, what: &str, word: Word<'_>, low: u64, high: u64) {
        let range =
            || format!("{what} must be {}..={} milliseconds, got '{}'", low / 1_000, high / 1_000, word.text);
        match microseconds(word.text).map(|(micros, _)| micros.div_ceil(1_000)) {
            Some(value) if (low..=high).contains(&value) => {}
            Some(_) => self.error(code::OUT_OF_RANGE, word.span, range()),
            None => self.error(code::NOT_A_NUMBER, word.span, range()),
        }
    }

    /// The boolean at `index`; absent means true.
    pub(crate) fn boolean(&mut self, line: &Line<'_>, index: usize) -> Option<bool> {
        let Some(word) = line.word(index) else { return Some(true) };
        match word.text {
            "on" | "true" | "yes" => Some(true),
            "off" | "false" | "no" => Some(false),
            other => {
                let message =
                    format!("{} takes on, true, yes, off, false or no, got '{other}'", line.keyword());
                self.error(code::UNKNOWN_WORD, word.span, message);
                None
            }
        }
    }

    /// A word as an address. A prefix length behind it, which many write out of habit, is told and not read.
    pub(crate) fn address(&mut self, what: &str, word: Word<'_>) -> Option<IpAddr> {
        let (text, prefix) = word.text.split_once('/').unwrap_or((word.text, ""));
        let address = text.parse().ok();
        if address.is_some() && text != word.text {
            let message = format!("{what} takes no prefix length: nothing reads '/{prefix}'");
            self.report(Problem::warning(code::SURPLUS_WORDS, word.span, message));
        }
        if address.is_none() {
            let message = format!("{what} needs an IPv4 or IPv6 address, got '{}'", word.text);
            self.error(code::BAD_ADDRESS, word.span, message);
        }
        address
    }

    /// The address at `index`.
    pub(crate) fn address_at(&mut self, line: &Line<'_>, index: usize) -> Option<IpAddr> {
        let word = self.required(line, index, "an address")?;
        self.address(line.keyword(), word)
    }

    /// The interface name at `index`.
    pub(crate) fn interface(&mut self, line: &Line<'_>, index: usize) -> Option<Named> {
        let word = self.required(line, index, "an interface name")?;
        self.interface_word(word)
    }

    /// A word as an interface name: the kernel allows 15 bytes without slash and blank.
    pub(crate) fn interface_word(&mut self, word: Word<'_>) -> Option<Named> {
        let fits = !word.text.is_empty() && word.text.len() <= 15 && !matches!(word.text, "." | "..");
        if !fits || word.text.contains(['/', ' ', ':']) {
            let message = format!("'{}' can't be the name of an interface (1 to 15 characters)", word.text);
            self.error(code::BAD_TEXT, word.span, message);
            return None;
        }
        Some(Named::of(word))
    }

    /// One of a few words at `index`, by its position in the list.
    pub(crate) fn choice(&mut self, line: &Line<'_>, index: usize, words: &[&str]) -> Option<usize> {
        let word = self.required(line, index, &words.join(" or "))?;
        let found = words.iter().position(|choice| *choice == word.text);
        if found.is_none() {
            let message = format!("{} must be {}, got '{}'", line.keyword(), words.join(" or "), word.text);
            let nearest = super::suggest::nearest(word.text, words.iter().copied());
            let problem = Problem::error(code::UNKNOWN_WORD, word.span, message);
            self.report(match nearest {
                Some(name) => problem.help(format!("did you mean {name}?")),
                None => problem,
            });
        }
        found
    }

    /// User and group at `index`; absent is no error.
    pub(crate) fn user(&mut self, line: &Line<'_>, index: usize) -> Option<UserWords> {
        let user = Named::of(line.word(index)?);
        let group = line.word(index.saturating_add(1));
        self.end(line, index.saturating_add(2));
        let supplementary = group.is_some_and(|word| word.text.starts_with(':'));
        let group = group.map(|word| Named {
            text: word.text.strip_prefix(':').unwrap_or(word.text).to_owned(),
            span: word.span,
        });
        let group = group.filter(|group| !group.text.is_empty());
        Some(UserWords { user, group, supplementary, behind_command: false })
    }

    /// The command of a script keyword, with user and group behind it.
    pub(crate) fn command(&mut self, line: &Line<'_>) -> Option<Command> {
        let rest = line.text.get(line.keyword().len()..).unwrap_or("").trim_start();
        let from = line.text.len().saturating_sub(rest.len());
        let span = line.span.part(from, line.text.len());
        if rest.is_empty() {
            self.required(line, usize::MAX, "a command");
            return None;
        }
        let words = match split_command(rest, Escapes::Keep) {
            Ok(words) => words,
            Err(problem) => {
                self.error(code::BAD_COMMAND, span, format!("command of {}: {problem}", line.keyword()));
                return None;
            }
        };
        let mut words = words.into_iter();
        let argv = match split_command(&words.next().unwrap_or_default(), Escapes::Decode) {
            Ok(argv) if argv.is_empty() => {
                let message = format!("the command of {} is empty: nothing runs", line.keyword());
                self.report(Problem::warning(code::NO_EFFECT, span, message));
                return None;
            }
            Ok(argv) => self.readable_test(argv, span),
            Err(problem) => {
                self.error(code::BAD_COMMAND, span, format!("command of {}: {problem}", line.keyword()));
                return None;
            }
        };
        if let Some(operator) = shell_operator(&argv) {
            let message =
                format!("{} passes '{operator}' to the program as it is: no shell reads it", line.keyword());
            let help = "put the pipeline into a script, or run it as /bin/sh -c '...'";
            self.report(Problem::warning(code::SHELL_SYNTAX, span, message).help(help));
        }
        let user = words.next().map(|user| {
            let group = words.next();
            let supplementary = group.as_ref().is_some_and(|group| group.starts_with(':'));
            let group = group.map(|group| group.strip_prefix(':').map(str::to_owned).unwrap_or(group));
            let named = |text| Named { text, span };
            UserWords { user: named(user), group: group.map(named), supplementary, behind_command: true }
        });
        if let Some(word) = words.next() {
            let message = format!("nothing reads '{word}' behind the command of {}", line.keyword());
            let problem = Problem::warning(code::SURPLUS_WORDS, span, message);
            self.report(problem.help("a command with arguments must stand in one pair of quotes"));
        }
        Some(Command { argv, span, user })
    }

    /// `</path` asks the shell whether it can be read, which bash makes a connection of for `/dev/tcp/HOST/PORT`.
    fn readable_test(&mut self, argv: Vec<String>, span: Span) -> Vec<String> {
        let Some(path) = argv.first().and_then(|program| program.strip_prefix('<')) else { return argv };
        if !path.starts_with('/') {
            return argv;
        }
        if path.starts_with("/dev/tcp/") || path.starts_with("/dev/udp/") {
            let message =
                "only bash makes a connection of this path: where /bin/sh is another shell, it fails";
            let help = "write /bin/bash -c '</dev/tcp/HOST/PORT', or check with a real_server's TCP_CHECK";
            self.report(Problem::warning(code::SHELL_SYNTAX, span, message).help(help));
        }
        vec!["/bin/sh".to_owned(), "-c".to_owned(), argv.join(" ")]
    }

    /// The one word of a keyword whose escapes are decoded (`regex`), and its place.
    pub(crate) fn escaped(&mut self, line: &Line<'_>) -> Option<(String, Span)> {
        let rest = line.text.get(line.keyword().len()..).unwrap_or("").trim_start();
        let from = line.text.len().saturating_sub(rest.len());
        let span = line.span.part(from, line.text.len());
        match split_command(rest, Escapes::Decode) {
            Ok(words) => {
                let mut words = words.into_iter();
                let first = words.next().filter(|word| !word.is_empty());
                if first.is_none() {
                    self.required(line, usize::MAX, "a value");
                }
                if let Some(surplus) = words.next() {
                    let message = format!("nothing reads '{surplus}' behind {}", line.keyword());
                    self.report(Problem::warning(code::SURPLUS_WORDS, span, message));
                }
                first.map(|word| (word, span))
            }
            Err(problem) => {
                self.error(code::BAD_COMMAND, span, format!("{}: {problem}", line.keyword()));
                None
            }
        }
    }

    /// Checks what follows a keyword that does nothing yet.
    pub(crate) fn check(&mut self, shape: Shape, line: &Line<'_>) {
        let takes_block = matches!(shape, Shape::Block(_) | Shape::Lines(_));
        if !takes_block {
            self.no_block(line);
        }
        match shape {
            Shape::Flag => self.end(line, 1),
            Shape::Bool => {
                self.boolean(line, 1);
                self.end(line, 2);
            }
            Shape::Words(least, most) => {
                if least > 0 {
                    self.required(line, least, "a value");
                }
                self.end(line, most.saturating_add(1));
            }
            Shape::Number(..)
            | Shape::Numbers(..)
            | Shape::Weight(..)
            | Shape::Decimal(..)
            | Shape::Milliseconds(..) => self.check_number(shape, line),
            Shape::Address => {
                self.address_at(line, 1);
                self.end(line, 2);
            }
            Shape::Interface => {
                self.interface(line, 1);
                self.end(line, 2);
            }
            Shape::Block(table) => inert::block(self, line, table),
            Shape::Lines(vocabulary) => {
                self.entries(line, |lowering, line| vocabulary.check(lowering, line, 0));
            }
            Shape::Options(vocabulary) => vocabulary.check(self, line, 1),
        }
    }

    /// The shapes that are numbers.
    fn check_number(&mut self, shape: Shape, line: &Line<'_>) {
        let mut last = 1;
        match shape {
            Shape::Number(low, high) => {
                self.number(line, 1, low, high);
            }
            Shape::Numbers(low, high) => {
                self.required(line, 1, "a number");
                for word in line.values() {
                    self.number_word(line.keyword(), *word, low, high);
                }
                last = line.words.len();
            }
            Shape::Weight(low, high) => {
                self.number(line, 1, low, high);
                if line.word(2).is_some_and(|word| matches!(word.text, "reverse" | "noreverse")) {
                    last = 2;
                }
            }
            Shape::Decimal(low, high) => {
                self.seconds(line, 1, low, high);
            }
            Shape::Milliseconds(low, high) => {
                if let Some(word) = self.required(line, 1, "a time in milliseconds") {
                    self.milliseconds(line.keyword(), word, low, high);
                }
            }
            Shape::Flag
            | Shape::Bool
            | Shape::Words(..)
            | Shape::Address
            | Shape::Interface
            | Shape::Block(_)
            | Shape::Lines(_)
            | Shape::Options(_) => {}
        }
        self.end(line, last.saturating_add(1));
    }

    /// Reports a block behind a keyword that takes none.
    pub(crate) fn no_block(&mut self, line: &Line<'_>) {
        if line.block != crate::tree::Block::Absent {
            self.error(
                code::UNEXPECTED_OPEN,
                line.span.after(),
                format!("Unexpected '{{' after {}", line.keyword()),
            );
        }
    }
}

/// The first argument that only a shell would understand.
fn shell_operator(argv: &[String]) -> Option<&str> {
    let (program, arguments) = argv.split_first()?;
    let is_shell = program.ends_with("sh") || program.ends_with("/env");
    let operator = |argument: &&String| {
        let redirects = ["2>", ">/", ">>", "</", "&>"].iter().any(|start| argument.starts_with(start));
        redirects || matches!(argument.as_str(), "|" | "||" | "&&" | ";" | "&" | ">" | "<")
    };
    if is_shell { None } else { arguments.iter().find(operator).map(String::as_str) }
}

/// Text as microseconds, and whether digits beyond the sixth decimal were rounded away.
fn microseconds(text: &str) -> Option<(u64, bool)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let kept = fraction.get(..6).unwrap_or(fraction);
    let mut micros: u64 = format!("{kept:0<6}").parse().ok()?;
    let excess = fraction.get(6..).unwrap_or("");
    if excess.as_bytes().first().is_some_and(|digit| *digit >= b'5') {
        micros = micros.saturating_add(1);
    }
    let rounded = excess.bytes().any(|digit| digit != b'0');
    Some((whole.checked_mul(1_000_000)?.checked_add(micros)?, rounded))
}

/// A length of time as seconds with only the decimals that matter.
pub(crate) fn shown_seconds(time: Duration) -> String {
    shown(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// Microseconds as seconds with only the decimals that matter.
pub(crate) fn shown(micros: u64) -> String {
    let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_six_decimals_and_round_half_up() {
        assert_eq!(microseconds("1.5"), Some((1_500_000, false)));
        assert_eq!(microseconds("0.0000005"), Some((1, true)));
        assert_eq!(microseconds(".25"), Some((250_000, false)));
        assert_eq!(microseconds("1.2.3"), None);
        assert_eq!(microseconds(""), None);
        assert_eq!(microseconds("99999999999999999999"), None);
    }

    #[test]
    fn microseconds_are_shown_as_seconds() {
        assert_eq!(shown(4_294_967_295), "4294.967295");
        assert_eq!(shown(1_000), "0.001");
    }
}
