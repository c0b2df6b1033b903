//! Diagnostics as text for people and as JSON for programs.

use std::fmt::Write;

use super::{Diagnostic, Place, Severity};

/// Diagnostics for people: `file:line:column: error[CODE]: message`, the line, a caret, advice, notes.
#[must_use]
pub fn human(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let _ = writeln!(out, "{}", heading(diagnostic));
        out.push_str(&details(diagnostic));
    }
    out
}

/// Diagnostics as one JSON array and a line break.
#[must_use]
pub fn json(diagnostics: &[Diagnostic]) -> String {
    serde_json::to_string_pretty(diagnostics).unwrap_or_else(|_| "[]".to_owned()) + "\n"
}

/// The first line for people, without its line break.
#[must_use]
pub fn heading(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let message = escaped(&diagnostic.message);
    let code = diagnostic.code;
    match &diagnostic.place {
        Some(Place { file, line, column, .. }) => {
            format!("{}:{line}:{column}: {severity}[{code}]: {message}", escaped(file))
        }
        None => format!("{severity}[{code}]: {message}"),
    }
}

/// The lines below the [`heading`]: the text it is about, advice and notes.
#[must_use]
pub fn details(diagnostic: &Diagnostic) -> String {
    let mut out = String::new();
    match (&diagnostic.place, &diagnostic.help) {
        (Some(place), help) => excerpt(&mut out, place, help.as_deref()),
        (None, Some(help)) => {
            let _ = writeln!(out, "    = help: {}", escaped(help));
        }
        (None, None) => {}
    }
    for note in &diagnostic.notes {
        match &note.place {
            Some(place) => {
                let Place { file, line, column, .. } = place;
                let _ = writeln!(out, "{}:{line}:{column}: note: {}", escaped(file), escaped(&note.message));
                excerpt(&mut out, place, None);
            }
            None => {
                let _ = writeln!(out, "    = note: {}", escaped(&note.message));
            }
        }
    }
    out
}

fn excerpt(out: &mut String, place: &Place, help: Option<&str>) {
    if place.line == 0 {
        return;
    }
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let column = usize::try_from(place.column).unwrap_or(1).saturating_sub(1);
    let (shown, caret_at) = window(&place.excerpt, column);
    let _ = writeln!(out, "  {number} | {shown}");
    let room = SHOWN.saturating_sub(caret_at).max(1);
    let carets = "^".repeat(usize::try_from(place.width).unwrap_or(1).clamp(1, room));
    let _ = write!(out, "  {margin} | {}{carets}", " ".repeat(caret_at));
    match help {
        Some(help) => {
            let _ = writeln!(out, "  help: {}", escaped(help));
        }
        None => out.push('\n'),
    }
    if let Some(expanded) = &place.expanded {
        let _ = writeln!(out, "  {margin} = after substitution: {}", window(expanded, 0).0);
    }
}

/// Characters of a line that are shown at most.
const SHOWN: usize = 160;

/// The part of a line around a column, tabs as single blanks, control characters escaped away, and the
/// column inside that part.
fn window(line: &str, column: usize) -> (String, usize) {
    let from = if column < SHOWN { 0 } else { column.saturating_sub(SHOWN / 2) };
    let shown = line.chars().skip(from).take(SHOWN).map(|c| match c {
        '\t' => ' ',
        c if c.is_control() => '?',
        c => c,
    });
    (shown.collect(), column.saturating_sub(from))
}

/// Control characters as escapes, so that a file name or word can't drive a terminal.
#[must_use]
pub fn escaped(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
            .collect()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Note, code};
    use super::*;

    fn place(line: u32, column: u32, width: u32, excerpt: &str) -> Place {
        Place { file: "keepalived.conf".into(), line, column, width, excerpt: excerpt.into(), expanded: None }
    }

    #[test]
    fn an_error_shows_its_line_a_caret_and_advice() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: code::OUT_OF_RANGE,
            message: "virtual_router_id must be 1..=255, got 300".into(),
            place: Some(place(7, 19, 3, "virtual_router_id 300")),
            help: Some("routers that back each other up share one id".into()),
            notes: vec![Note { message: "block opened here".into(), place: Some(place(1, 1, 1, "x {")) }],
            is_passed_over: false,
        };
        assert_eq!(
            human(&[diagnostic]),
            "keepalived.conf:7:19: error[E0203]: virtual_router_id must be 1..=255, got 300\n\
             \x20 7 | virtual_router_id 300\n\
             \x20   |                   ^^^  help: routers that back each other up share one id\n\
             keepalived.conf:1:1: note: block opened here\n\
             \x20 1 | x {\n\
             \x20   | ^\n"
        );
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let diagnostic = Diagnostic {
            severity: Severity::Warning,
            code: code::DEPRECATED,
            message: "bad \u{1b}[31m".into(),
            place: Some(place(1, 1, 1, "a\u{1b}b")),
            help: None,
            notes: Vec::new(),
            is_passed_over: false,
        };
        assert!(!human(&[diagnostic]).contains('\u{1b}'));
    }
}
