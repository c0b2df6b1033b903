//! Lines of the `track_*` lists: a name, then `weight`, `reverse`, `noreverse`.

use super::*;

/// One line of a `track_*` list as written.
#[derive(Debug, Clone)]
pub(crate) struct TrackDraft {
    pub(crate) name: Named,
    /// Absent: the weight of what is tracked.
    pub(crate) weight: Option<i16>,
    /// Absent: as what is tracked says.
    pub(crate) reverse: Option<bool>,
}

/// Reads a line of `track_interface` or `track_script`.
pub(super) fn tracked(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<TrackDraft> {
    let mut draft = TrackDraft { name: Named::of(line.word(0)?), weight: None, reverse: None };
    let mut at = 1;
    while let Some(word) = line.word(at) {
        match word.text {
            "weight" => {
                at += 1;
                let value = lowering.required(line, at, "a weight")?;
                draft.weight = weight(lowering, "weight", value);
            }
            "reverse" => draft.reverse = Some(true),
            "noreverse" => draft.reverse = Some(false),
            other => {
                let message = format!("unknown option '{other}' for {}", draft.name.text);
                let problem = Problem::error(code::UNKNOWN_KEYWORD, word.span, message);
                let nearest = suggest::nearest(other, ["weight", "reverse", "noreverse"].into_iter());
                lowering.report(match nearest {
                    Some(name) => problem.help(format!("did you mean {name}?")),
                    None => problem,
                });
                return None;
            }
        }
        at += 1;
    }
    Some(draft)
}

/// A weight of -253..=253; 254 and -254 are brought into that range with a warning.
pub(super) fn weight(lowering: &mut Lowering<'_>, what: &str, word: Word<'_>) -> Option<i16> {
    let value = lowering.number_word(what, word, -254, 254)?;
    let kept = value.clamp(-253, 253);
    if kept != value {
        let message = format!("{what} {value} is taken as {kept}, the most that a priority can change");
        lowering.report(Problem::warning(code::ADJUSTED, word.span, message));
    }
    i16::try_from(kept).ok()
}
