//! `vrrp_track_process` blocks: which of them an instance tracks.
//!
//! A block gets its place in the model when it is first tracked. What is looked for is the parent's, what a number
//! means is vrrpd's: two tables, indexed alike.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::diagnostic::{Problem, code};
use crate::model::Model;
use crate::model::track::{ProcessPattern, TrackProcess, TrackedProcess};
use crate::model::units::ProcessId;
use crate::schema::{CountedDraft, TrackDraft};

/// `vrrp_track_process` blocks by name, and those that are in use.
#[derive(Debug, Default)]
pub(super) struct Processes {
    blocks: HashMap<String, (CountedDraft, Option<ProcessId>)>,
    patterns: Vec<ProcessPattern>,
    tracked: Vec<TrackedProcess>,
}

impl Processes {
    /// Weight of a block.
    pub(super) fn weight(&self, name: &str) -> Option<i16> {
        self.blocks.get(name).map(|(block, _)| block.weight)
    }

    /// Place of a block in the model, made at its first use.
    fn place(&mut self, name: &str) -> Option<ProcessId> {
        let (block, place) = self.blocks.get_mut(name)?;
        if place.is_some() {
            return *place;
        }
        // A block without a program is reported once, with those that nobody uses.
        let program = block.program.as_ref()?.text.clone();
        let id = ProcessId::new(u32::try_from(self.tracked.len()).ok()?);
        self.patterns.push(ProcessPattern { name: name.to_owned(), program, parameters: block.parameters() });
        self.tracked.push(TrackedProcess {
            name: name.to_owned(),
            quorum: block.quorum.map_or(block.quorum_max.map_or(1, |max| max.min(1)), |(quorum, _)| quorum),
            quorum_max: block.quorum_max,
            fork_delay: block.fork_delay,
            terminate_delay: block.terminate_delay,
            weight: if block.reverse { -block.weight } else { block.weight },
        });
        *place = Some(id);
        Some(id)
    }
}

impl Context<'_> {
    /// Takes the blocks of a configuration.
    pub(super) fn define_processes(&mut self, drafts: Vec<CountedDraft>) {
        for mut draft in drafts {
            let name = draft.name.clone();
            if self.processes.weight(&name.text).is_some() {
                let message = format!("vrrp_track_process {} is defined twice", name.text);
                self.report(Problem::error(code::DUPLICATE, name.span, message));
                continue;
            }
            if let (Some((quorum, span)), Some(max)) = (draft.quorum, draft.quorum_max)
                && quorum > max
            {
                let message = format!("{}: quorum {quorum} is more than quorum_max {max}", name.text);
                self.report(Problem::error(code::CONFLICT, span, message));
                draft.quorum_max = None;
            }
            self.processes.blocks.insert(name.text, (draft, None));
        }
    }

    /// Lines of `track_process` in an instance.
    pub(super) fn track_processes(&mut self, instance: &str, lines: Vec<TrackDraft>) -> Vec<TrackProcess> {
        let mut out = Vec::with_capacity(lines.len());
        let mut seen = HashSet::new();
        for line in lines {
            let name = &line.name;
            let Some((block, _)) = self.processes.blocks.get(&name.text) else {
                let message = format!("{instance} tracks process {}, which nothing defines", name.text);
                let problem = Problem::error(code::UNDEFINED_NAME, name.span, message);
                self.report(problem.help("define it with vrrp_track_process"));
                continue;
            };
            let weight = line.weight.unwrap_or(block.weight);
            let reverse = line.reverse.unwrap_or(block.reverse);
            let Some(process) = self.processes.place(&name.text) else { continue };
            if !seen.insert(process) {
                let message = format!("{instance} tracks process {} twice", name.text);
                self.report(Problem::warning(code::GIVEN_TWICE, name.span, message));
                continue;
            }
            out.push(TrackProcess { process, weight, reverse });
        }
        out
    }

    /// Both tables into the model; blocks that nobody uses are told.
    pub(super) fn finish_processes(&mut self, model: &mut Model) {
        let Processes { blocks, patterns, tracked } = std::mem::take(&mut self.processes);
        model.process_patterns = patterns;
        model.tracked_processes = tracked;
        let mut blocks: Vec<(CountedDraft, Option<ProcessId>)> = blocks.into_values().collect();
        blocks.sort_by(|(a, _), (b, _)| a.name.text.cmp(&b.name.text));
        for (block, place) in blocks {
            let name = &block.name.text;
            if block.program.is_none() {
                let message = format!("vrrp_track_process {name} has no process");
                self.report(Problem::error(code::MISSING_KEYWORD, block.name.span, message));
            } else if place.is_none() {
                let message = format!("vrrp_track_process {name} is tracked by no instance");
                self.report(Problem::warning(code::UNUSED, block.name.span, message));
            }
        }
    }
}
