//! Text of a daemon as it may be kept and shown: bounded, one line, without control characters.
//!
//! Pure. Daemons are not trusted: what they call themselves and what they give as reasons reaches terminals.

/// The text with a blank for every control character, cut between letters to `longest` bytes.
#[must_use]
pub fn plain(text: &str, longest: usize) -> String {
    let end = (0..=longest.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let kept = text.get(..end).unwrap_or_default();
    kept.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// True for a text that [`plain`] would leave as it is.
#[must_use]
pub fn is_plain(text: &str, longest: usize) -> bool {
    text.len() <= longest && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_becomes_blank() {
        assert_eq!(plain("down\x1b[2J\nVI_1 is MASTER\u{9b}", 64), "down [2J VI_1 is MASTER ");
        assert!(is_plain("down", 4) && !is_plain("down", 3) && !is_plain("a\tb", 9));
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!(plain("aéé", 4), "aé");
    }
}
