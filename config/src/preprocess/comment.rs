//! Comments: `#` and `!` outside double quotes start one; a backslash keeps either.

/// A line without its comment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stripped {
    /// The line up to this byte, without trailing blanks.
    Until(usize),
    /// The line with `\#` or `\!` decoded.
    Changed(String),
}

/// True when nothing in the line asks for preprocessing.
pub(super) fn is_plain(line: &str) -> bool {
    !line.bytes().any(|byte| matches!(byte, b'#' | b'!' | b'$' | 0))
        && !line.starts_with(['@', '~'])
        && !line.starts_with("include")
        && !line.starts_with("random_seed")
}

/// Removes the comment of a line.
pub(super) fn strip(line: &str) -> Stripped {
    let mut quoted = false;
    let mut changed: Option<String> = None;
    let mut characters = line.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => quoted = !quoted,
            '#' | '!' if !quoted => {
                let kept = line.get(..at).unwrap_or("");
                return match changed {
                    Some(text) => Stripped::Changed(text.trim_end_matches(super::is_blank).to_owned()),
                    None => Stripped::Until(kept.trim_end_matches(super::is_blank).len()),
                };
            }
            '\\' if !quoted => {
                if let Some((_, next)) = characters.next() {
                    if matches!(next, '#' | '!') {
                        changed.get_or_insert_with(|| line.get(..at).unwrap_or("").to_owned()).push(next);
                    } else if let Some(text) = &mut changed {
                        text.push(c);
                        text.push(next);
                    }
                    continue;
                }
            }
            _ => {}
        }
        if let Some(text) = &mut changed {
            text.push(c);
        }
    }
    changed.map_or(Stripped::Until(line.len()), Stripped::Changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(line: &str) -> String {
        match strip(line) {
            Stripped::Until(end) => line[..end].to_owned(),
            Stripped::Changed(line) => line,
        }
    }

    #[test]
    fn a_comment_starts_in_the_middle_of_a_word() {
        assert_eq!(kept("state MAS#TER"), "state MAS");
        assert_eq!(kept("state ! x"), "state");
    }

    #[test]
    fn double_quotes_protect_and_single_quotes_do_not() {
        assert_eq!(kept("a \"b # c\" # d"), "a \"b # c\"");
        assert_eq!(kept("a 'b # c'"), "a 'b");
    }

    #[test]
    fn a_backslash_keeps_the_character_and_other_pairs_stay() {
        assert_eq!(kept(r"auth_pass a\#b\!c"), "auth_pass a#b!c");
        assert_eq!(kept(r"a \n b # c"), r"a \n b");
    }
}
