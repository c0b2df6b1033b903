//! `track_file` blocks: which of them something tracks, and what a group's members keep of theirs.
//!
//! A block gets its place in the model when it is first tracked, whoever tracks it; each use says which daemon is to
//! be told.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::diagnostic::{Problem, code};
use crate::model::track::{InitialValue, TrackFile, WatchedFile};
use crate::model::units::FileId;
use crate::schema::{FileDraft, Named, TrackDraft};

/// Which daemon is told the number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    /// An instance tracks it.
    Vrrpd,
    /// A real server tracks it.
    Checkd,
}

/// `track_file` blocks by name, and those that are in use.
#[derive(Debug, Default)]
pub(super) struct Files {
    blocks: HashMap<String, (FileDraft, Option<FileId>)>,
    table: Vec<WatchedFile>,
}

impl Files {
    /// Weight and direction of a block.
    pub(super) fn weight(&self, name: &str) -> Option<(i16, bool)> {
        self.blocks.get(name).map(|(block, _)| (block.weight, block.reverse))
    }
}

impl Context<'_> {
    /// Takes the blocks of a configuration.
    pub(super) fn define_files(&mut self, drafts: Vec<FileDraft>) {
        for draft in drafts {
            let name = draft.name.clone();
            if self.files.weight(&name.text).is_some() {
                let message = format!("track_file {} is defined twice", name.text);
                self.report(Problem::error(code::DUPLICATE, name.span, message));
                continue;
            }
            self.files.blocks.insert(name.text, (draft, None));
        }
    }

    /// The file that `user` tracks by this name; it gets its place in the model at its first use. Problems are
    /// reported.
    pub(super) fn file(&mut self, user: &str, name: &Named, listener: Listener) -> Option<FileId> {
        let Some((block, place)) = self.files.blocks.get_mut(&name.text) else {
            let message = format!("{user} tracks file {}, which nothing defines", name.text);
            let problem = Problem::error(code::UNDEFINED_NAME, name.span, message);
            self.report(problem.help("define it with track_file"));
            return None;
        };
        // A block without a path is reported once, with those that nobody uses.
        let path = block.path.as_ref()?;
        let id = match *place {
            Some(id) => id,
            None => {
                let id = FileId::new(u32::try_from(self.files.table.len()).ok()?);
                self.files.table.push(WatchedFile {
                    name: name.text.clone(),
                    path: path.text.clone(),
                    initial: block.initial.map(|(value, overwrite)| InitialValue { value, overwrite }),
                    audience: crate::model::track::Audience::default(),
                    weight: block.weight,
                    reverse: block.reverse,
                });
                *place = Some(id);
                id
            }
        };
        if let Some(file) = self.files.table.get_mut(id.index()) {
            match listener {
                Listener::Vrrpd => file.audience.vrrpd = true,
                Listener::Checkd => file.audience.checkd = true,
            }
        }
        Some(id)
    }

    /// Lines of `track_file` in an instance.
    pub(super) fn track_files(&mut self, instance: &str, lines: Vec<TrackDraft>) -> Vec<TrackFile> {
        let mut out = Vec::with_capacity(lines.len());
        let mut seen = HashSet::new();
        for line in lines {
            let Some(file) = self.file(instance, &line.name, Listener::Vrrpd) else { continue };
            let (weight, reverse) = self.files.weight(&line.name.text).unwrap_or((1, false));
            if !seen.insert(file) {
                let message = format!("{instance} tracks file {} twice", line.name.text);
                self.report(Problem::warning(code::GIVEN_TWICE, line.name.span, message));
                continue;
            }
            let (weight, reverse) = (line.weight.unwrap_or(weight), line.reverse.unwrap_or(reverse));
            out.push(TrackFile { file, weight, reverse });
        }
        out
    }

    /// The table for the model; blocks that nobody uses are told.
    pub(super) fn finish_files(&mut self) -> Vec<WatchedFile> {
        let files = std::mem::take(&mut self.files);
        let mut blocks: Vec<(FileDraft, Option<FileId>)> = files.blocks.into_values().collect();
        blocks.sort_by(|(a, _), (b, _)| a.name.text.cmp(&b.name.text));
        for (block, place) in blocks {
            let name = &block.name.text;
            if block.path.is_none() {
                let message = format!("track_file {name} has no file");
                self.report(Problem::error(code::MISSING_KEYWORD, block.name.span, message));
            } else if place.is_none() {
                let message = format!("track_file {name} is tracked by nothing and never read");
                self.report(Problem::warning(code::UNUSED, block.name.span, message));
            }
        }
        files.table
    }
}
