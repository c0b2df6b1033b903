//! The parent's side of the config worker, which reads a configuration in a process of its own ([`crate::reader`]).
//!
//! Driver. The parent never parses: it starts the worker's executable under its profile, lends it empty memfds, waits
//! at most ten seconds and seals what was written.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use config::model::parts::{ParentPart, PartLists};
use config::model::units::MonoTime;
use ipc::channel::{Channel, ReceiveError};
use ipc::memfd::{self, MemfdError, RecordReader};
use ipc::messages::worker::{ParentToWorker, WORKER_MEMFDS, WorkerToParent};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::profile::WORKER;
use sandbox::spawn::{SpawnSpec, Spawned, Tuning, spawn_tuned};
use sandbox::user::Ids;

use crate::findings::{Complaint, Findings, Report};

/// Longest that a worker may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Name of its executable, which lies beside the daemons'. It is not the parent's: what parses is no part of the process
/// that holds the power, nor of what stays in memory.
pub const PROGRAM: &str = "config-worker";

/// Most bytes of the canonical text that are shown.
const MAX_TEXT: u64 = 1024 * 1024;

/// What is to be read, and how.
#[derive(Debug, Clone)]
pub struct What {
    /// `-f`.
    pub path: String,
    /// `-i`; default the node name up to its first dot.
    pub config_id: Option<String>,
    /// `--compat`.
    pub compatible: bool,
    /// `-e`.
    pub strict_includes: bool,
    /// `-d`: the canonical text is wanted too.
    pub canonical: bool,
    /// Not `-P`.
    pub checks: bool,
    /// `-s`: it is for another network namespace.
    pub elsewhere: bool,
}

/// What the worker found.
#[derive(Debug)]
pub struct Outcome {
    /// The parts, when the configuration is valid.
    pub parts: Option<Parts>,
    /// All that was found, for people.
    pub report: Report,
    /// The main file could not be read.
    pub missing: bool,
}

/// A configuration, one sealed part per process.
#[derive(Debug)]
pub struct Parts {
    /// What the parent knows.
    pub parent: Rc<ParentPart>,
    /// vrrpd's part.
    pub vrrpd: OwnedFd,
    /// checkd's part.
    pub checkd: OwnedFd,
    /// ipvsd's part.
    pub ipvsd: OwnedFd,
    /// At least one instance.
    pub has_vrrp: bool,
    /// At least one virtual server.
    pub has_checks: bool,
    /// The kernel shall synchronise connections.
    pub has_sync: bool,
    /// The canonical text, if it was wanted.
    pub canonical: String,
    /// What was passed over.
    pub complaints: Vec<Complaint>,
    /// Mail is sent.
    pub has_mail: bool,
    /// The consolidated text, with `config_save_dir`.
    pub consolidated: OwnedFd,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("config worker: {0}")]
    Spawn(#[from] sandbox::spawn::SpawnError),
    /// A descriptor or memory is missing.
    #[error("config worker: {0}")]
    Io(#[from] io::Error),
    /// What it wrote can't be read.
    #[error("config worker: {0}")]
    Parts(#[from] MemfdError),
    /// It broke the protocol or ended without an answer.
    #[error("config worker: {0}")]
    Talk(String),
    /// It took too long.
    #[error("config worker gave no answer in 10 s")]
    Late,
}

/// A worker that is reading.
#[derive(Debug)]
pub struct Loading {
    channel: Channel<ParentToWorker, WorkerToParent>,
    /// Its process.
    pub process: Spawned,
    memfds: Vec<OwnedFd>,
    /// When it has taken too long.
    pub deadline: MonoTime,
    reading: Option<Reading>,
}

/// What a worker wrote, while it is being read.
#[derive(Debug)]
struct Reading {
    records: RecordReader,
    /// The parent's part, as far as it has been read.
    part: Option<ParentPart>,
    vrrpd: OwnedFd,
    checkd: OwnedFd,
    ipvsd: OwnedFd,
    consolidated: OwnedFd,
    canonical: String,
    report: Report,
    complaints: Vec<Complaint>,
    answer: WorkerToParent,
}

impl Loading {
    /// Starts a worker of this directory.
    ///
    /// # Errors
    /// It can't be started, or descriptors are missing.
    pub fn start(
        daemon_dir: &Path,
        identity: Option<Ids>,
        what: &What,
        now: MonoTime,
    ) -> Result<Self, WorkerError> {
        let (ours, theirs) = UnixStream::pair()?;
        let names: [&str; WORKER_MEMFDS] = [
            "parent-part",
            "vrrpd-part",
            "checkd-part",
            "ipvsd-part",
            "diagnostics",
            "canonical",
            "consolidated",
        ];
        let memfds = names.into_iter().map(memfd::create).collect::<io::Result<Vec<_>>>()?;
        let channel = Channel::new(ours, false)?;
        let variables = inherited();
        // A name service that does not answer must leave time for everything else within PATIENCE.
        let resolver = ("RES_OPTIONS", "timeout:1 attempts:2");
        let inherited = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<(&str, &str)> =
            inherited.filter(|(name, _)| *name != resolver.0).chain([resolver]).collect();
        let spec = SpawnSpec {
            executable: &daemon_dir.join(PROGRAM),
            argv0: PROGRAM,
            arguments: &[],
            profile: &WORKER,
            identity,
            channel: theirs.into(),
            realtime: None,
            environment: &variables,
        };
        // A large file takes its time; adverts and checks go first.
        let tuning = Tuning { background: true, ..Tuning::default() };
        let process = spawn_tuned(&spec, &tuning, None)?;
        drop(spec);
        let mut loading = Self { channel, process, memfds, deadline: now + PATIENCE, reading: None };
        let message = ParentToWorker::Load {
            path: what.path.clone(),
            config_id: what.config_id.clone(),
            compatible: what.compatible,
            strict_includes: what.strict_includes,
            canonical: what.canonical,
            checks: what.checks,
            elsewhere: what.elsewhere,
        };
        let fds: Vec<BorrowedFd<'_>> = loading.memfds.iter().map(AsFd::as_fd).collect();
        if let Err(error) = loading.channel.send(&message, &fds) {
            loading.end_and_reap();
            return Err(WorkerError::Talk(error.to_string()));
        }
        Ok(loading)
    }

    /// The channel or the pidfd is readable, or [`Self::is_reading`]: the outcome, or `None` when there is none yet.
    ///
    /// # Errors
    /// The worker failed.
    pub fn ready(&mut self) -> Result<Option<Outcome>, WorkerError> {
        if self.reading.is_some() {
            return self.read_on();
        }
        match self.channel.receive() {
            Ok(None) => Ok(None),
            Ok(Some((answer, _))) => self.collect(answer),
            Err(ReceiveError::Closed) => Err(match self.process.attempt.failure() {
                Some(error) => error.into(),
                None => WorkerError::Talk("it ended without an answer".to_owned()),
            }),
            Err(error) => Err(WorkerError::Talk(error.to_string())),
        }
    }

    /// The worker has done its work, and not all of it has been read: [`Self::ready`] reads another slice.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    fn collect(&mut self, answer: WorkerToParent) -> Result<Option<Outcome>, WorkerError> {
        let WorkerToParent::Loaded { errors, missing, .. } = answer;
        for fd in &self.memfds {
            memfd::seal(fd.as_fd())?;
        }
        let mut memfds = std::mem::take(&mut self.memfds).into_iter();
        let mut next = || memfds.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
        let (parent, vrrpd, checkd, ipvsd) = (next()?, next()?, next()?, next()?);
        let (report, complaints) = read_findings(next()?)?.finish();
        let canonical = read_text(next()?)?;
        let consolidated = next()?;
        if errors > 0 || missing {
            return Ok(Some(Outcome { parts: None, report, missing }));
        }
        let records = RecordReader::new(parent)?;
        self.reading = Some(Reading {
            records,
            part: None,
            vrrpd,
            checkd,
            ipvsd,
            consolidated,
            canonical,
            report,
            complaints,
            answer,
        });
        self.read_on()
    }

    /// Reads one record: those of tens of thousands of servers take several turns.
    fn read_on(&mut self) -> Result<Option<Outcome>, WorkerError> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        match &mut reading.part {
            None => {
                let part = reading.records.read()?;
                let missing = || WorkerError::Talk("it wrote no part for the parent".to_owned());
                reading.part = Some(part.ok_or_else(missing)?);
            }
            Some(part) => match reading.records.read::<PartLists>()? {
                Some(piece) => part.extend(piece),
                None => return Ok(self.reading.take().and_then(Reading::finish)),
            },
        }
        Ok(None)
    }

    /// Waits for the outcome; at boot only, when nothing else runs yet.
    ///
    /// # Errors
    /// The worker failed or took too long.
    pub fn wait(&mut self, now: impl Fn() -> MonoTime) -> Result<Outcome, WorkerError> {
        loop {
            if let Some(outcome) = self.ready()? {
                return Ok(outcome);
            }
            let left = self.deadline.since(now());
            if left.is_zero() {
                return Err(WorkerError::Late);
            }
            if self.is_reading() {
                continue;
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let _readable = poll(&mut [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)], timeout);
        }
    }

    /// Ends the process; it is reaped by its pidfd.
    pub fn end(&self) {
        let _gone = sandbox::system::process::pidfd_send_signal(self.process.pidfd.as_fd(), 9);
    }

    /// Ends the process and waits for it; at boot only. SIGKILL doesn't keep anybody waiting.
    pub fn end_and_reap(&self) {
        self.end();
        let _dead = poll(
            &mut [PollFd::new(self.process.pidfd.as_fd(), PollFlags::POLLIN)],
            PollTimeout::from(1_000_u16),
        );
        let _reaped = sandbox::system::process::wait_pidfd(self.process.pidfd.as_fd());
    }

    /// Descriptor to watch for reading.
    #[must_use]
    pub fn fd(&self) -> i32 {
        self.channel.as_raw_fd()
    }
}

impl Reading {
    fn finish(self) -> Option<Outcome> {
        let Self { part, vrrpd, checkd, ipvsd, consolidated, canonical, report, complaints, answer, .. } =
            self;
        let WorkerToParent::Loaded { missing, has_vrrp, has_checks, has_sync, has_mail, .. } = answer;
        let parent = Rc::new(part?);
        let parts = Parts {
            parent,
            vrrpd,
            checkd,
            ipvsd,
            has_vrrp,
            has_checks,
            has_sync,
            has_mail,
            canonical,
            complaints,
            consolidated,
        };
        Some(Outcome { parts: Some(parts), report, missing })
    }
}

/// Variables that `_ENV` may ask for: ours, but those that change how a program is loaded or runs.
fn inherited() -> Vec<(String, String)> {
    const FOR_PROGRAMS: [&str; 4] = ["LD_", "RUST_", "GLIBC_", "MALLOC_"];
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os()
        .filter_map(text)
        .filter(|(name, _)| !FOR_PROGRAMS.iter().any(|prefix| name.starts_with(prefix)))
        .collect()
}

fn read_findings(fd: OwnedFd) -> Result<Findings, MemfdError> {
    let mut records = RecordReader::new(fd)?;
    let mut findings = Findings::default();
    while !findings.is_full()
        && let Some(finding) = records.read()?
    {
        findings.add(&finding);
    }
    Ok(findings)
}

fn read_text(fd: OwnedFd) -> io::Result<String> {
    use std::io::{Read, Seek};
    let mut file = std::fs::File::from(fd);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
