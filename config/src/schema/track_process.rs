//! `vrrp_track_process`: processes whose number instances track.

use std::time::Duration;

use super::*;
use crate::model::track::Parameters;

/// `vrrp_track_process` as written.
#[derive(Debug)]
pub(crate) struct CountedDraft {
    pub(crate) name: Named,
    pub(crate) program: Option<Named>,
    parameters: Vec<String>,
    matching: Option<Matching>,
    full_command: bool,
    pub(crate) weight: i16,
    pub(crate) reverse: bool,
    pub(crate) quorum: Option<(u32, Span)>,
    pub(crate) quorum_max: Option<u32>,
    pub(crate) fork_delay: Duration,
    pub(crate) terminate_delay: Duration,
}

/// `param_match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matching {
    Exact,
    Initial,
    Partial,
}

impl CountedDraft {
    /// How the command line is compared.
    pub(crate) fn parameters(&self) -> Parameters {
        let parameters = self.parameters.clone();
        match self.matching {
            None if parameters.is_empty() && self.full_command => Parameters::Any,
            None if parameters.is_empty() => Parameters::NameOnly,
            None | Some(Matching::Exact) => Parameters::Exactly(parameters),
            Some(Matching::Initial) => Parameters::Beginning(parameters),
            Some(Matching::Partial) => Parameters::First(parameters),
        }
    }
}

/// Reads one block.
pub(super) fn read(draft: &mut Draft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(name) = lowering.name(line) else { return };
    lowering.end(line, 2);
    let mut process = CountedDraft {
        name: Named::of(name),
        program: None,
        parameters: Vec::new(),
        matching: None,
        full_command: false,
        weight: 0,
        reverse: false,
        quorum: None,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    lowering.block("vrrp_track_process", line, TABLE, &mut process);
    draft.processes.push(process);
}

fn process(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    let Some(program) = lowering.required(line, 1, "a program") else { return };
    draft.program = Some(Named::of(program));
    draft.parameters = line.words.iter().skip(2).map(|word| word.text.to_owned()).collect();
}

fn param_match(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.matching = match line.word(1) {
        None => Some(Matching::Exact),
        Some(_) => lowering
            .choice(line, 1, &["initial", "partial"])
            .map(|index| if index == 0 { Matching::Initial } else { Matching::Partial }),
    };
    lowering.end(line, 2);
}

fn weight(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some((weight, reverse)) = list::weight_line(lowering, line, list::Reach::Priority) {
        draft.weight = weight;
        draft.reverse = reverse;
    }
}

fn quorum(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.quorum = lowering.unsigned(line, 1, 1, 65_535).map(|quorum| (quorum, line.span));
    lowering.end(line, 2);
}

fn quorum_max(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    draft.quorum_max = lowering.unsigned(line, 1, 0, 65_535);
    lowering.end(line, 2);
}

/// From a microsecond to an hour.
fn wait(lowering: &mut Lowering<'_>, line: &Line<'_>) -> Option<Duration> {
    let wait = lowering.seconds(line, 1, 1, 3_600_000_000);
    lowering.end(line, 2);
    wait
}

fn delay(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(wait) = wait(lowering, line) {
        draft.fork_delay = wait;
        draft.terminate_delay = wait;
    }
}

fn terminate_delay(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(wait) = wait(lowering, line) {
        draft.terminate_delay = wait;
    }
}

fn fork_delay(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    if let Some(wait) = wait(lowering, line) {
        draft.fork_delay = wait;
    }
}

fn full_command(draft: &mut CountedDraft, lowering: &mut Lowering<'_>, line: &Line<'_>) {
    lowering.end(line, 1);
    draft.full_command = true;
}

/// Keywords of `vrrp_track_process`.
pub(super) static TABLE: &[Row<CountedDraft>] = &[
    active("process", process).first_counts(),
    active("param_match", param_match),
    active("weight", weight).first_counts(),
    active("quorum", quorum).or_default(),
    active("quorum_max", quorum_max).or_default(),
    active("delay", delay).or_default(),
    active("terminate_delay", terminate_delay).or_default(),
    active("fork_delay", fork_delay).or_default(),
    active("full_command", full_command),
];
