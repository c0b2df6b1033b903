//! `track_file`: a file whose number instances and real servers track.

use super::*;

/// `track_file` as written.
#[derive(Debug)]
pub(crate) struct FileDraft {
    pub(crate) name: Named,
    pub(crate) path: Option<Named>,
    pub(crate) weight: i16,
    pub(crate) reverse: bool,
    /// Number, and whether it replaces what is there.
    pub(crate) initial: Option<(i64, bool)>,
}

/// Reads one block.
pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.name(line) else { return };
    lowering.end(line, 2);
    let mut file = FileDraft { name: Named::of(name), path: None, weight: 1, reverse: false, initial: None };
    lowering.block("track_file", line, TABLE, &mut file);
    draft.files.push(file);
}

fn file(draft: &mut FileDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(path) = lowering.required(line, 1, "a path") else { return };
    lowering.end(line, 2);
    let mut named = Named::of(path);
    if !path.text.starts_with('/') {
        named.text.insert(0, '/');
        let message = format!("{} is no full path: {} will be read", path.text, named.text);
        lowering.report(Problem::warning(code::ADJUSTED, path.span, message).help("write its full path"));
    }
    draft.path = Some(named);
}

fn weight(draft: &mut FileDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some((weight, reverse)) = list::weight_line(lowering, line, list::Reach::Factor) {
        draft.weight = weight;
        draft.reverse = reverse;
    }
}

fn init_file(draft: &mut FileDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let mut initial = (0, false);
    for word in line.values() {
        if word.text == "overwrite" && !initial.1 {
            initial.1 = true;
        } else if let Some(value) = lowering.number_word("init_file", *word, -2_147_483_648, 2_147_483_647) {
            initial.0 = value;
        } else {
            return;
        }
    }
    lowering.end(line, 3);
    draft.initial = Some(initial);
}

/// Keywords of `track_file`.
pub(super) static TABLE: &[Row<FileDraft>] = &[
    active("file", file).first_counts(),
    active("weight", weight).first_counts(),
    active("init_file", init_file),
];
