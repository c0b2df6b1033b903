//! State files that signals ask for. An errand gathers what they say from its copy of this process, and writes them: that
//! costs the loop one fork, however large the configuration is.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::parts::{CheckHead, IpvsHead, VrrpHead};
use config::model::units::{CheckId, FileId, InstanceId, MonoTime, ProcessId, ScriptId};
use config::model::vrrp::Instance;
use ipc::memfd::{MemfdError, RecordReader};
use ipc::messages::Level;
use ipc::messages::checkd::Verdict;
use ipc::messages::ctl::{InstanceStatus, ServiceStatus};
use ipc::reactor;

use super::{Source, Suite};
use crate::dump::{self, Seen, Services, Snapshot, What};
use crate::effects::errand::{Answer, Errand, ErrandError, Task};

/// Files that are being written, and those that are asked for.
#[derive(Debug, Default)]
pub(super) struct Dumping {
    is_writing: bool,
    /// In the order of the signals, each once; with `true` counters start anew behind it.
    waiting: VecDeque<(What, bool)>,
    /// Counters that count from here, by instance.
    cleared: BTreeMap<String, InstanceStatus>,
}

/// Time for the files of a large configuration on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why files were not written.
#[derive(Debug, thiserror::Error)]
enum DumpError {
    #[error("the configuration can't be read: {0}")]
    Model(#[from] MemfdError),
    #[error("the configuration is missing")]
    Missing,
    #[error("{path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

impl Suite {
    /// A signal asks for files; with `clear` counters start anew behind them.
    pub(super) fn order_dump(&mut self, what: What, clear: bool, now: MonoTime) {
        if !self.dumping.waiting.contains(&(what, clear)) {
            self.dumping.waiting.push_back((what, clear));
        }
        self.start_dump(now);
    }

    /// Files were written, or not.
    pub(super) fn end_dump(&mut self, result: Result<Answer, ErrandError>, now: MonoTime) {
        self.dumping.is_writing = false;
        if let Err(why) = result {
            self.say(Level::Error, &format!("state files: {why}"));
        }
        self.start_dump(now);
    }

    fn start_dump(&mut self, now: MonoTime) {
        if self.dumping.is_writing {
            return;
        }
        let Some((what, clear)) = self.dumping.waiting.pop_front() else { return };
        self.dumping.is_writing = true;
        let key = self.key(Source::Errand);
        let mut errands = std::mem::take(&mut self.errands);
        let started = self.models().map(|models| {
            let path = format!("state files in {}", self.settings.dump_dir.display());
            let write = |models| match self.write_dump(what, models) {
                Ok(()) => Ok(Answer::default()),
                Err(error) => Err(error.to_string()),
            };
            let errand = Errand::with(&path, Task::Dump, models, write);
            errands.start(key, errand.within(PATIENCE), now)
        });
        self.errands = errands;
        if clear {
            let statuses = self.broker.instance_status().into_iter();
            self.dumping.cleared = statuses.map(|status| (status.name.clone(), status)).collect();
        }
        match started {
            Ok(started) => self.watch_errand(key, started, now),
            Err(error) => {
                self.sources.remove(&key);
                self.end_dump(Err(error.into()), now);
            }
        }
    }

    /// The daemons' parts of the model.
    fn models(&self) -> io::Result<Vec<OwnedFd>> {
        let parts = [&self.parts.vrrpd, &self.parts.checkd, &self.parts.ipvsd];
        parts.into_iter().map(|part| part.as_fd().try_clone_to_owned()).collect()
    }

    /// What the errand does.
    fn write_dump(&self, what: What, models: Vec<OwnedFd>) -> Result<(), DumpError> {
        let snapshot = self.snapshot(models)?;
        for (path, text) in dump::files(what, &snapshot, &self.settings.dump_dir) {
            replace(&path, &text).map_err(|source| DumpError::Write { path, source })?;
        }
        Ok(())
    }

    fn snapshot(&self, models: Vec<OwnedFd>) -> Result<Snapshot, DumpError> {
        let [model, checks, table] = <[OwnedFd; 3]>::try_from(models).map_err(|_| DumpError::Missing)?;
        let statuses = self.broker.instance_status();
        let counted = statuses.iter().map(|status| self.since_cleared(status)).collect();
        let part = self.broker.part();
        let names = |members: &[config::model::units::InstanceId]| {
            members.iter().filter_map(|id| Some(part.instances.get(id.index())?.name.clone())).collect()
        };
        let groups = part
            .groups
            .iter()
            .map(|known| dump::GroupState {
                name: known.group.name.clone(),
                state: self.broker.group_state(known),
                members: names(&known.group.members),
                notify: known.notify.clone(),
            })
            .collect();
        let commands = (0_u32..).map(ScriptId::new).zip(&part.scripts);
        let commands = commands.map(|(id, script)| (id, script.clone())).collect();
        let files = (0_u32..).map(FileId::new).zip(&part.files);
        let files = files.map(|(id, file)| (file.clone(), self.files.value(id))).collect();
        let processes = (0_u32..).map(ProcessId::new).zip(&part.processes);
        let processes = processes.map(|(id, pattern)| (pattern.clone(), self.counted.count(id))).collect();
        let notify = part.instances.iter().map(|known| known.notify.clone()).collect();
        let verdicts = self.broker.verdicts().map(|verdict| (verdict.check, verdict)).collect();
        let (head, instances) = read(RecordReader::new(model)?, counted)?;
        let parts = (RecordReader::new(checks)?, RecordReader::new(table)?);
        let services = read_services(parts, self.broker.service_status(), verdicts)?;
        let process = part.process.clone();
        let seen = self.seen();
        Ok(Snapshot { process, head, commands, files, processes, instances, notify, seen, groups, services })
    }

    /// What instances see and have done last. Adverts are remembered by the clock that never jumps.
    fn seen(&self) -> Vec<Seen> {
        let (now, wall) = (reactor::now(), reactor::wall_clock());
        let advert = |id| {
            let slot = self.vault.slots().read(InstanceId::new(id)).ok()??;
            Some(wall.saturating_sub(now.since(slot.last_advert?)))
        };
        let views = (0_u32..).zip(self.broker.views());
        views.map(|(id, view)| Seen { view, last_advert: advert(id) }).collect()
    }

    /// The status with what was counted since the last clearing.
    fn since_cleared(&self, status: &InstanceStatus) -> InstanceStatus {
        let mut status = status.clone();
        // A daemon that started anew counts from 0 again.
        let Some(before) = self.dumping.cleared.get(&status.name).filter(|before| before.sent <= status.sent)
        else {
            return status;
        };
        let pairs = [
            (&mut status.sent, before.sent),
            (&mut status.received, before.received),
            (&mut status.became_master, before.became_master),
            (&mut status.released_master, before.released_master),
            (&mut status.address_mismatches, before.address_mismatches),
            (&mut status.zero_received, before.zero_received),
            (&mut status.zero_sent, before.zero_sent),
        ];
        for (now, before) in pairs {
            *now = now.saturating_sub(before);
        }
        for (reason, now) in &mut status.rejected_by {
            *now = now.saturating_sub(before.rejected_by.get(reason).copied().unwrap_or(0));
        }
        status
    }
}

/// vrrpd's part of the model, each instance with its status.
fn read(
    mut records: RecordReader,
    statuses: Vec<InstanceStatus>,
) -> Result<(VrrpHead, Vec<(Instance, InstanceStatus)>), DumpError> {
    let head: Option<VrrpHead> = records.read()?;
    let mut instances = Vec::with_capacity(statuses.len());
    for status in statuses {
        let Some(instance) = records.read()? else { break };
        instances.push((instance, status));
    }
    Ok((head.unwrap_or_default(), instances))
}

/// checkd's part of the model, each virtual server with its status, and the head of ipvsd's.
fn read_services(
    (mut checks, mut table): (RecordReader, RecordReader),
    statuses: Vec<ServiceStatus>,
    verdicts: BTreeMap<CheckId, Verdict>,
) -> Result<Services, DumpError> {
    let head: Option<CheckHead> = checks.read()?;
    let Some(head) = head else { return Ok(Services::default()) };
    let mut all = Vec::with_capacity(statuses.len());
    for status in statuses {
        let Some(service) = checks.read()? else { break };
        all.push((service, status));
    }
    let ipvs = table.read::<IpvsHead>()?.map(|head| head.settings).unwrap_or_default();
    Ok(Services { ipvs, mail: head.mail, init_notifies: head.init_notifies, all, verdicts })
}

/// Puts a fresh file, its owner's alone, in the place of whatever stands there; no link is followed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fresh = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&fresh)?;
            open()?
        }
        other => other?,
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _nothing_is_left_behind = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = crate::scratch::Scratch::new("dump");
        let (victim, path) = (directory.join("victim"), directory.join("keepalived.data"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &path).unwrap();
        replace(&path, "state").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "state");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&*directory).unwrap().count(), 2);
    }
}
