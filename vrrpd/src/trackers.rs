//! What instances track beside interfaces: scripts, files and processes.
//!
//! Pure: tables of what is known, by position in the model of the present generation. What is known goes on under
//! its name when another configuration comes. Numbers of files come from the parent.

use config::model::parts::VrrpHead;
use config::model::units::{FileId, MonoTime};

use crate::processes::Processes;
use crate::proto::faults::TrackedNames;
use crate::scripts::Scripts;

/// Everything that is tracked beside interfaces.
#[derive(Debug, Default)]
pub struct Trackers {
    /// Scripts.
    pub scripts: Scripts,
    /// Files.
    pub files: Files,
    /// Processes.
    pub processes: Processes,
}

impl Trackers {
    /// Takes the tables of a new generation.
    #[must_use]
    pub fn replaced(self, head: &VrrpHead, now: MonoTime) -> Self {
        Self {
            scripts: self.scripts.replaced(head.tracked_scripts.clone(), now),
            files: self.files.replaced(head.files.clone()),
            processes: self.processes.replaced(head.tracked_processes.clone(), now),
        }
    }

    /// When something has to be done, beside the scripts that are due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<MonoTime> {
        self.scripts.poll_deadline().into_iter().chain(self.processes.poll_deadline()).min()
    }

    /// Names, for faults in words.
    #[must_use]
    pub fn names(&self) -> TrackedNames {
        TrackedNames {
            scripts: self.scripts.names(),
            files: self.files.names(),
            processes: self.processes.names(),
        }
    }
}

/// Numbers of tracked files.
#[derive(Debug, Default)]
pub struct Files(Vec<(String, Option<i64>)>);

impl Files {
    fn replaced(self, names: Vec<String>) -> Self {
        let known =
            |name: &String| self.0.iter().find(|(known, _)| known == name).and_then(|(_, value)| *value);
        Self(
            names
                .into_iter()
                .map(|name| {
                    let value = known(&name);
                    (name, value)
                })
                .collect(),
        )
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Number of a file; `None` until the parent has told it.
    #[must_use]
    pub fn value(&self, file: FileId) -> Option<i64> {
        self.0.get(file.index()).and_then(|(_, value)| *value)
    }

    /// Enters a number. Files of another configuration are none of ours.
    pub fn record(&mut self, file: FileId, value: i64) -> Recorded {
        let Some((name, known)) = self.0.get_mut(file.index()) else { return Recorded::Nothing };
        match known.replace(value) {
            Some(before) if before == value => Recorded::Nothing,
            Some(before) => Recorded::Changed(format!("Track_file({name}) changes from {before} to {value}")),
            None => Recorded::First,
        }
    }
}

/// What a number that was entered means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Nothing new.
    Nothing,
    /// The number was not known before.
    First,
    /// It was another one: a line for the log.
    Changed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_under_the_name_of_the_file() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut files = Files::default().replaced(names(&["load"]));
        assert_eq!(files.value(FileId::new(0)), None);
        assert_eq!(files.record(FileId::new(0), 7), Recorded::First);
        assert_eq!(files.record(FileId::new(0), 7), Recorded::Nothing);
        let changed = Recorded::Changed("Track_file(load) changes from 7 to 9".to_owned());
        assert_eq!(files.record(FileId::new(0), 9), changed);
        assert_eq!(files.record(FileId::new(1), 9), Recorded::Nothing);
        let files = files.replaced(names(&["new", "load"]));
        assert_eq!((files.value(FileId::new(0)), files.value(FileId::new(1))), (None, Some(9)));
    }
}
