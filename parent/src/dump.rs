//! State files that signals ask for: their names, and their text in keepalived's words and fields.
//!
//! Pure: a [`Snapshot`] goes in, names and texts come out; `run::dumping` takes the one and writes the others.
//! Passwords stay out: a file for monitoring is no place for them.

mod checks;
mod globals;
mod instance;
mod json;
mod text;
mod trackers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::parts::VrrpHead;
use config::model::process::{InstanceNotify, ProcessSettings, Script};
use config::model::track::{ProcessPattern, WatchedFile};
use config::model::units::ScriptId;
use config::model::vrrp::Instance;
use ipc::messages::ctl::InstanceStatus;
use ipc::messages::vrrpd::{ElectionView, VrrpState};

pub use checks::{Services, checks};
pub use json::json;
pub use text::{parent, statistics, vrrp};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// SIGUSR1: everything, for people.
    State,
    /// SIGUSR2 and SIGRTMAX-1: counters of the instances.
    Statistics,
    /// SIGRTMIN+2: state and counters of the instances, for programs.
    Json,
}

/// Everything that the files say.
#[derive(Debug)]
pub struct Snapshot {
    /// Settings of the processes.
    pub process: ProcessSettings,
    /// What all instances share.
    pub head: VrrpHead,
    /// Commands that follow instances or servers, or are tracked by them.
    pub commands: BTreeMap<ScriptId, Script>,
    /// Tracked files with their numbers, indexed by their identifiers.
    pub files: Vec<(WatchedFile, i64)>,
    /// What tracked processes are called and how many there are, as far as they have been counted.
    pub processes: Vec<(ProcessPattern, Option<u32>)>,
    /// Instances with what is known of each.
    pub instances: Vec<(Instance, InstanceStatus)>,
    /// What follows the state of each.
    pub notify: Vec<InstanceNotify>,
    /// What each sees and does.
    pub seen: Vec<Seen>,
    /// Sync groups: name, common state, members.
    pub groups: Vec<GroupState>,
    /// Virtual servers.
    pub services: Services,
}

/// What an instance sees of its election, and what it has done last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Absent before its daemon has told it.
    pub view: Option<ElectionView>,
    /// When its last advert left, since 1970.
    pub last_advert: Option<Duration>,
}

/// A sync group.
#[derive(Debug)]
pub struct GroupState {
    /// Its name.
    pub name: String,
    /// The state that all members have.
    pub state: Option<VrrpState>,
    /// Their names.
    pub members: Vec<String>,
    /// What follows the state.
    pub notify: InstanceNotify,
}

/// The files of one signal with their texts. Names that the configuration gives count from `directory` by their last
/// part, unless they are absolute.
#[must_use]
pub fn files(what: What, snapshot: &Snapshot, directory: &Path) -> Vec<(PathBuf, String)> {
    let settings = &snapshot.process.dumps;
    let name = |given: Option<&str>, default: &str, suffix: &str| {
        path(given, default, suffix, settings.tag.as_deref(), directory)
    };
    match what {
        What::State => {
            let given = settings.state.as_deref();
            let mut files = vec![(name(given, "keepalived.data", "_parent"), parent(snapshot))];
            if !snapshot.instances.is_empty() {
                files.push((name(given, "keepalived.data", ""), vrrp(snapshot)));
            }
            if !snapshot.services.all.is_empty() {
                files.push((name(given, "keepalived.data", "_check"), checks(snapshot)));
            }
            files
        }
        What::Statistics => {
            let given = settings.statistics.as_deref();
            vec![(name(given, "keepalived.stats", ""), statistics(&snapshot.instances))]
        }
        What::Json => {
            let given = settings.json.as_deref();
            vec![(name(given, "keepalived.json", ""), json(snapshot))]
        }
    }
}

/// `given` or `default` with `suffix` and `.tag` before the last dot of its base name.
fn path(given: Option<&str>, default: &str, suffix: &str, tag: Option<&str>, directory: &Path) -> PathBuf {
    let given = given.unwrap_or(default);
    let (folder, base) = match given.rsplit_once('/') {
        Some((folder, base)) if given.starts_with('/') => (Path::new("/").join(folder), base),
        Some((_, base)) => (directory.to_owned(), base),
        None => (directory.to_owned(), given),
    };
    let base = if base.is_empty() { default } else { base };
    let (stem, ending) = match base.rsplit_once('.') {
        Some((stem, ending)) => (stem, format!(".{ending}")),
        None => (base, String::new()),
    };
    let tag = tag.map(|tag| format!(".{tag}")).unwrap_or_default();
    folder.join(format!("{stem}{suffix}{tag}{ending}"))
}

/// Number of a state in keepalived's files.
fn number(state: VrrpState) -> u8 {
    match state {
        VrrpState::Init => 0,
        VrrpState::Backup => 1,
        VrrpState::Master => 2,
        VrrpState::Fault => 3,
    }
}

/// A command as keepalived writes it: each word quoted.
fn quoted(script: &Script) -> String {
    let words: Vec<String> = script.argv.iter().map(|word| format!("'{word}'")).collect();
    words.join(" ")
}

/// A time since 1970 as a number of seconds.
fn seconds(since_1970: Duration) -> String {
    format!("{}.{:06}", since_1970.as_secs(), since_1970.subsec_micros())
}

/// The same with its date, whose seconds have the fraction, too.
fn dated(since_1970: Duration) -> String {
    let date = ipc::date::worded(since_1970.as_secs());
    let (day, year) = date.rsplit_once(' ').unwrap_or((&date, ""));
    format!("{} ({day}.{:06} {year})", seconds(since_1970), since_1970.subsec_micros())
}

/// Adverts refused for one reason of [`ipc::messages::vrrpd::REJECT_REASONS`].
fn refused(status: &InstanceStatus, reason: &str) -> u64 {
    status.rejected_by.get(reason).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(given: Option<&str>, suffix: &str, tag: Option<&str>) -> String {
        path(given, "keepalived.data", suffix, tag, Path::new("/run/keepalived")).display().to_string()
    }

    #[test]
    fn suffix_and_instance_stand_before_the_last_dot() {
        assert_eq!(named(None, "", None), "/run/keepalived/keepalived.data");
        assert_eq!(named(None, "_check", None), "/run/keepalived/keepalived_check.data");
        assert_eq!(named(None, "_parent", Some("blue_a")), "/run/keepalived/keepalived_parent.blue_a.data");
    }

    #[test]
    fn a_configured_name_counts_whole_only_when_it_is_absolute() {
        assert_eq!(named(Some("/var/lib/k/state.a.txt"), "_check", None), "/var/lib/k/state.a_check.txt");
        assert_eq!(named(Some("/state"), "", None), "/state");
        assert_eq!(named(Some("../etc/state.txt"), "", None), "/run/keepalived/state.txt");
        assert_eq!(named(Some("/var/lib/k/"), "", None), "/var/lib/k/keepalived.data");
    }
}
