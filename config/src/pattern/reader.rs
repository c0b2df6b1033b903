//! Looks at a pattern from its beginning to its end.
//!
//! Knows how things are delimited, not what they mean. Called by [`super::translate`] and [`super::class`].

/// What is left of a pattern.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    pub(super) fn new(pattern: &'a str) -> Self {
        Self(pattern)
    }

    /// The next character, which is taken.
    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.advance(next.len_utf8());
        Some(next)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    /// Passes over so many bytes.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }

    pub(super) fn begins(&self, text: &str) -> bool {
        self.0.starts_with(text)
    }

    /// Takes this text if it comes next.
    pub(super) fn takes(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Text up to an end, which is taken with it.
    pub(super) fn until(&mut self, end: char) -> Option<&'a str> {
        let (text, rest) = self.0.split_once(end)?;
        self.0 = rest;
        Some(text)
    }

    /// Text up to `\E` or the end of the pattern.
    pub(super) fn quoted(&mut self) -> &'a str {
        let (text, rest) = self.0.split_once("\\E").unwrap_or((self.0, ""));
        self.0 = rest;
        text
    }

    pub(super) fn skip_line(&mut self) {
        self.0 = self.0.split_once('\n').map_or("", |(_, rest)| rest);
    }

    /// Text between one of these pairs.
    pub(super) fn delimited(&mut self, pairs: &[&str]) -> Option<&'a str> {
        let (open, close) = pairs.iter().find_map(|pair| {
            let mut ends = pair.chars();
            let (open, close) = (ends.next()?, ends.next()?);
            (self.peek() == Some(open)).then_some((open, close))
        })?;
        let (text, rest) = self.0.strip_prefix(open)?.split_once(close)?;
        self.0 = rest;
        Some(text)
    }

    /// Digits that come next, which stay.
    pub(super) fn peek_digits(&self) -> &'a str {
        self.span(|character| character.is_ascii_digit(), usize::MAX)
    }

    /// At most so many digits of a number to this base.
    pub(super) fn digits(&mut self, base: u32, most: usize) -> &'a str {
        let text = self.span(|character| character.is_digit(base), most);
        self.advance(text.len());
        text
    }

    /// A number with a sign.
    pub(super) fn signed_digits(&mut self) -> &'a str {
        let whole = self.0;
        if !self.takes("-") {
            self.takes("+");
        }
        let digits = self.digits(10, usize::MAX);
        let sign = whole.len().saturating_sub(self.0.len()).saturating_sub(digits.len());
        whole.get(..sign.saturating_add(digits.len())).unwrap_or_default()
    }

    /// `{2}`, `{2,}` or `{2,3}` without its beginning comes next; other braces are characters.
    pub(super) fn is_repetition(&self) -> bool {
        let Some((text, _)) = self.0.split_once('}') else { return false };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once(',') {
            Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
            None => is_number(text),
        }
    }

    /// `R)`, `1)`, `+1)` or `-1)` comes next, which calls a group.
    pub(super) fn begins_call(&self) -> bool {
        let Some((text, _)) = self.0.split_once(')') else { return false };
        let number = text.trim_start_matches(['+', '-']);
        text == "R" || !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn span(&self, belongs: impl Fn(char) -> bool, most: usize) -> &'a str {
        let end = self.0.char_indices().take(most).find(|(_, character)| !belongs(*character));
        let end = end
            .map_or_else(|| self.0.char_indices().nth(most).map_or(self.0.len(), |(at, _)| at), |(at, _)| at);
        self.0.get(..end).unwrap_or_default()
    }
}
