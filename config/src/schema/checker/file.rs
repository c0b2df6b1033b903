//! `FILE_CHECK`.

use super::*;

/// `FILE_CHECK` as written.
#[derive(Debug, Default)]
pub(crate) struct FileCheckDraft {
    pub(crate) file: Option<Named>,
    /// Weight and `reverse`; absent, those of the `track_file` block.
    pub(crate) weight: Option<(i32, bool)>,
}

/// Reads a `FILE_CHECK`.
pub(in crate::schema) fn file_check(draft: &mut ServerDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    read(draft, lowering, line, "FILE_CHECK", CheckerKind::File(Box::default()), FILE_CHECK);
}

fn track_file(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let name = lowering.required(line, 1, "a name").map(Named::of);
    lowering.end(line, 2);
    if let CheckerKind::File(file) = &mut draft.kind {
        file.file = name;
    }
}

fn weight(draft: &mut CheckDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(word) = lowering.required(line, 1, "a weight") else { return };
    let number = lowering.number_word("weight", word, -2_147_483_647, 2_147_483_647);
    let direction = line.word(2).map(|word| word.text);
    lowering.end(line, if matches!(direction, Some("reverse" | "noreverse")) { 3 } else { 2 });
    let number = number.and_then(|number| i32::try_from(number).ok());
    if let (CheckerKind::File(file), Some(number)) = (&mut draft.kind, number) {
        file.weight = Some((number, direction == Some("reverse")));
    }
}

/// Keywords of `virtual_server/real_server/FILE_CHECK`.
pub(in crate::schema) static FILE_CHECK: &[Row<CheckDraft>] =
    &[active("track_file", track_file), active("weight", weight)];
