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

/// What a weight acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is added to a priority.
    Priority,
    /// The number of a file is multiplied with it.
    Factor,
}

/// Reads a line of a `track_*` list.
pub(super) fn tracked(lowering: &mut Lowering<'_>, line: &Line<'_>, reach: Reach) -> Option<TrackDraft> {
    let mut draft = TrackDraft { name: Named::of(line.word(0)?), weight: None, reverse: None };
    let mut at = 1;
    while let Some(word) = line.word(at) {
        match word.text {
            "weight" => {
                at += 1;
                let value = lowering.required(line, at, "a weight")?;
                draft.weight = weight(lowering, "weight", value, reach);
            }
            // keepalived looks for it behind a weight only.
            "reverse" | "noreverse" if draft.weight.is_none() => {
                let message = format!("{} has no effect without weight in front of it", word.text);
                lowering.report(Problem::warning(code::NO_EFFECT, word.span, message));
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

/// The weight of a block: a number, then perhaps `reverse`.
pub(super) fn weight_line(lowering: &mut Lowering<'_>, line: &Line<'_>, reach: Reach) -> Option<(i16, bool)> {
    let word = lowering.required(line, 1, "a weight")?;
    let weight = weight(lowering, "weight", word, reach);
    let reverse = line.word(2).is_some_and(|word| word.text == "reverse");
    lowering.end(line, if reverse { 3 } else { 2 });
    Some((weight?, reverse))
}

/// A weight of -254..=254; one that is added to a priority is brought into -253..=253 with a warning.
fn weight(lowering: &mut Lowering<'_>, what: &str, word: Word<'_>, reach: Reach) -> Option<i16> {
    let value = lowering.number_word(what, word, -254, 254)?;
    let kept = match reach {
        Reach::Priority => value.clamp(-253, 253),
        Reach::Factor => value,
    };
    if kept != value {
        let message = format!("{what} {value} is taken as {kept}, the most that a priority can change");
        lowering.report(Problem::warning(code::ADJUSTED, word.span, message));
    }
    i16::try_from(kept).ok()
}
