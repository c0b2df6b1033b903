//! Lines into words: ordinary splitting, and the shell-like splitting of commands.
//!
//! Works on one line without comment and braces, as the tree holds it. Decides nothing about keywords.

use crate::text::Span;

/// One word of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word<'t> {
    /// Its text, quotes removed.
    pub(crate) text: &'t str,
    /// Where it stands, quotes not included.
    pub(crate) span: Span,
    /// It stood in double quotes.
    pub(crate) quoted: bool,
}

/// Splits a line at white space; a double quote starts a new word that runs to the next double quote.
/// Returns where a quote stands that is never closed; what is behind it is no word.
pub(crate) fn words<'t>(line: &'t str, span: Span, out: &mut Vec<Word<'t>>) -> Option<Span> {
    let bytes = line.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if is_space(*byte) {
            at += 1;
            continue;
        }
        let quoted = *byte == b'"';
        let start = if quoted { at + 1 } else { at };
        let rest = bytes.get(start..).unwrap_or(&[]);
        let length = if quoted {
            match rest.iter().position(|byte| *byte == b'"') {
                Some(length) => length,
                None => return Some(span.part(at, at + 1)),
            }
        } else {
            rest.iter().position(|byte| is_space(*byte) || *byte == b'"').unwrap_or(rest.len())
        };
        let end = start + length;
        out.push(Word { text: line.get(start..end).unwrap_or(""), span: span.part(start, end), quoted });
        at = if quoted { end + 1 } else { end };
    }
    None
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

/// Why a command can't be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SplitProblem {
    /// A quote is never closed.
    #[error("a quote is never closed")]
    Quote,
    /// The last character is a lone backslash.
    #[error("a backslash stands at the end")]
    Backslash,
}

/// Whether backslash sequences are decoded or kept for a second pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// Kept: the words are split again.
    Keep,
    /// Decoded.
    Decode,
}

/// Splits a command as a shell would: both quotes, pieces join into one word, backslash protects.
pub(crate) fn split_command(line: &str, escapes: Escapes) -> Result<Vec<String>, SplitProblem> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', _) => {
                let into = word.get_or_insert_default();
                match escapes {
                    Escapes::Keep => {
                        into.push(c);
                        into.push(rest.next().ok_or(SplitProblem::Backslash)?);
                    }
                    Escapes::Decode => decode(&mut rest, into)?,
                }
            }
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_ascii_whitespace() || c == '\x0b' => out.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(SplitProblem::Quote);
    }
    out.extend(word);
    Ok(out)
}

/// Decodes one sequence behind a backslash.
fn decode(rest: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), SplitProblem> {
    let c = rest.next().ok_or(SplitProblem::Backslash)?;
    let plain = match c {
        'a' => '\x07',
        'b' => '\x08',
        'E' => '\x1b',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return digits(rest, out, 16, 2, None),
        '0'..='7' => return digits(rest, out, 8, 2, c.to_digit(8)),
        'c' => {
            let control = rest.next().ok_or(SplitProblem::Backslash)?;
            char::from_u32(u32::from(control) & 0x1f).unwrap_or(control)
        }
        other => other,
    };
    out.push(plain);
    Ok(())
}

/// Up to `most` further digits of a number, as the character of that value.
fn digits(
    rest: &mut std::str::Chars<'_>,
    out: &mut String,
    base: u32,
    most: usize,
    first: Option<u32>,
) -> Result<(), SplitProblem> {
    let mut value = first;
    for _ in 0..most {
        let mut ahead = rest.clone();
        let Some(digit) = ahead.next().and_then(|c| c.to_digit(base)) else { break };
        value = Some(value.unwrap_or(0).saturating_mul(base).saturating_add(digit));
        *rest = ahead;
    }
    out.push(value.and_then(|value| char::from_u32(value & 0xff)).unwrap_or('x'));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Texts;

    fn split(line: &str) -> (Vec<&str>, bool) {
        let mut out = Vec::new();
        let open = words(line, Texts::span(0, 0, line.len()), &mut out);
        (out.iter().map(|word| word.text).collect(), open.is_some())
    }

    #[test]
    fn a_quote_inside_a_word_ends_it() {
        assert_eq!(split("a\"b c\"d"), (vec!["a", "b c", "d"], false));
        assert_eq!(split("x \"\" y"), (vec!["x", "", "y"], false));
    }

    #[test]
    fn an_open_quote_drops_the_rest_and_is_told() {
        assert_eq!(split("a \"b c"), (vec!["a"], true));
    }

    #[test]
    fn commands_split_as_in_a_shell() {
        let split = |text| split_command(text, Escapes::Decode).unwrap();
        assert_eq!(split("/bin/a 'two words' x\"y z\"w"), ["/bin/a", "two words", "xy zw"]);
        assert_eq!(split(r"a \x41\102\n\q"), ["a", "AB\nq"]);
        assert_eq!(split_command("a 'b", Escapes::Decode), Err(SplitProblem::Quote));
        assert_eq!(split_command("a \\", Escapes::Decode), Err(SplitProblem::Backslash));
        assert_eq!(split_command(r#""/a \" b" user"#, Escapes::Keep).unwrap(), [r#"/a \" b"#, "user"]);
    }
}
