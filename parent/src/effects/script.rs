//! Runs programs for the daemons: started without a shell, watched by pidfd, ended when their time is up.
//!
//! Driver. Which program may run is decided before ([`crate::broker`]); whether it may still run as root is
//! decided here, at every run: a path that somebody else could have changed since is refused. The new process looks at
//! the path, never this one: a file system that doesn't answer holds up what waits for that program and nothing else.
//! A process that not even SIGKILL ends is given up: its run counts as out of time, and its program is not started
//! again before it has gone.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use config::model::process::Script;
use config::model::units::{CheckId, Generation, MonoTime, ScriptId};
use config::names::{Names, SystemNames};
use ipc::messages::RunOutcome;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use sandbox::system::process::{Ending, Exec, NotExecuted, Started, run_as, start_prepared, wait_pidfd};

/// Who waits for the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// vrrpd.
    Tracked(Generation, ScriptId),
    /// checkd, for this checker.
    Check(Generation, CheckId, ScriptId),
    /// The queue of this instance.
    Instance(String),
    /// Nobody.
    Nobody,
    /// It reads this FIFO as long as the suite runs.
    FifoReader(String),
    /// The start of the suite.
    Startup,
}

impl Purpose {
    /// The script whose outcome a daemon waits for, whichever of its checkers it names: one run of it at a time.
    fn awaited(&self) -> Option<(Generation, ScriptId)> {
        match self {
            Self::Tracked(generation, script) | Self::Check(generation, _, script) => {
                Some((*generation, *script))
            }
            Self::Instance(_) | Self::Nobody | Self::FifoReader(_) | Self::Startup => None,
        }
    }

    /// Runs beside which one for this purpose still starts. However much checkd wants to be run, scripts of an election
    /// have their room.
    fn room(&self) -> usize {
        match self {
            Self::Check(..) | Self::Nobody => MAX_RUNS - KEPT_FOR_VRRP,
            Self::Tracked(..) | Self::Instance(_) | Self::FifoReader(_) | Self::Startup => MAX_RUNS,
        }
    }
}

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It is still running from the last time, for another purpose.
    #[error("it is still running")]
    Busy,
    /// It is still running from the last time, for the same purpose: what comes of that run will be told.
    #[error("it is still running and will be told")]
    Awaited,
    /// Too many programs run at once.
    #[error("{0} scripts are running already")]
    TooMany(usize),
    /// An earlier run of it does not even end by SIGKILL.
    #[error("an earlier run of it hangs in the kernel")]
    Stuck,
    /// Too many earlier runs of it still look for it.
    #[error("{0} runs of it still look for the program")]
    Unfound(usize),
    /// This machine has no process, memory or descriptor left for it.
    #[error("it can't be started: {0}")]
    NotForked(#[source] io::Error),
    /// No such script is configured.
    #[error("it is not configured")]
    Unknown,
    /// It names no program.
    #[error("it has no command")]
    NoCommand,
    /// It may not run. Why is told in words by the process that looked for it.
    #[error("{0}")]
    Unsafe(String),
    /// It can't be executed.
    #[error("it can't be executed: {0}")]
    Exec(#[from] io::Error),
}

impl RunError {
    /// What a daemon that waits for the outcome is told; `None` where an earlier run tells it.
    #[must_use]
    pub fn outcome(&self) -> Option<RunOutcome> {
        match self {
            Self::Awaited => None,
            Self::NotForked(_) | Self::TooMany(_) => Some(RunOutcome::NotStarted),
            Self::Busy
            | Self::Stuck
            | Self::Unfound(_)
            | Self::Unknown
            | Self::NoCommand
            | Self::Unsafe(_)
            | Self::Exec(_) => Some(RunOutcome::NotRun),
        }
    }
}

impl From<NotExecuted> for RunError {
    fn from(why: NotExecuted) -> Self {
        match why {
            NotExecuted::Refused(why) => Self::Unsafe(why),
            NotExecuted::Failed(error) => Self::Exec(error),
        }
    }
}

#[derive(Debug)]
struct Run {
    pid: i32,
    pidfd: OwnedFd,
    exec: Exec,
    purpose: Purpose,
    name: String,
    program: String,
    /// When it is to have become the program.
    found_by: Option<MonoTime>,
    deadline: Option<MonoTime>,
    step: Step,
    out_of_time: bool,
}

/// How far the end of a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Running,
    Asked,
    Killed,
    /// Nobody waits for it any more.
    GivenUp,
}

/// A run that is over.
#[derive(Debug)]
pub struct Ended {
    /// Who waited for it.
    pub purpose: Purpose,
    /// Its name.
    pub name: String,
    /// What came of it.
    pub outcome: RunOutcome,
    /// Why it could not even be executed.
    pub not_executed: Option<RunError>,
    /// The process that is still there.
    pub left_behind: Option<i32>,
}

/// All programs that run now.
#[derive(Debug, Default)]
pub struct Runner {
    runs: BTreeMap<usize, Run>,
    started: u64,
}

/// Most programs at once.
const MAX_RUNS: usize = 1024;
/// Of these those that are not for health checks and what follows from them.
const KEPT_FOR_VRRP: usize = 256;
/// Most of one program that have not become it yet.
const MAX_UNFOUND: usize = 256;
/// Time between SIGTERM and SIGKILL, and between that and giving up.
const GRACE: Duration = Duration::from_secs(2);
/// Time for the file system to show a program, which does not depend on what the program has got.
const LOOK: Duration = Duration::from_secs(10);

impl Runner {
    /// Starts `script` with `extra` arguments behind its own, by the path that it leads to unless `written_path` says
    /// otherwise. `key` names the run; the returned descriptor is to be watched for reading under it.
    ///
    /// # Errors
    /// It still runs, it may not run, or it can't be executed.
    pub fn start(
        &mut self,
        key: usize,
        script: &Script,
        extra: &[String],
        purpose: Purpose,
        written_path: bool,
        now: MonoTime,
    ) -> Result<i32, RunError> {
        let awaited = purpose.awaited();
        let mut others = self.runs.values().map(|run| &run.purpose);
        if let Some(other) = others.find(|other| awaited.is_some() && other.awaited() == awaited) {
            return Err(if *other == purpose { RunError::Awaited } else { RunError::Busy });
        }
        if self.runs.len() >= purpose.room() {
            return Err(RunError::TooMany(self.runs.len()));
        }
        let program = script.argv.first().ok_or(RunError::NoCommand)?;
        self.admit(&script.name, program)?;
        let Started { pid, pidfd, exec } =
            start_prepared(self.ahead(&purpose), || command(script, extra, written_path))
                .map_err(RunError::NotForked)?;
        let fd = pidfd.as_raw_fd();
        let run = Run {
            pid,
            pidfd,
            exec,
            purpose,
            name: script.name.clone(),
            program: program.clone(),
            found_by: Some(now + LOOK),
            deadline: script.timeout.map(|timeout| now + timeout),
            step: Step::Running,
            out_of_time: false,
        };
        self.runs.insert(key, run);
        self.started = self.started.saturating_add(1);
        Ok(fd)
    }

    /// The scripts of one change start in their order, whichever file system they lie on.
    fn ahead(&self, purpose: &Purpose) -> Option<&Exec> {
        let mut others = self.runs.values().filter(|_| matches!(purpose, Purpose::Instance(_)));
        others.rfind(|run| run.purpose == *purpose && run.found_by.is_some()).map(|run| &run.exec)
    }

    /// A program whose file system doesn't answer must not take the places of others.
    fn admit(&self, name: &str, program: &str) -> Result<(), RunError> {
        let of_program = || self.runs.values().filter(|run| run.program == program);
        let mut given_up = of_program().filter(|run| run.step == Step::GivenUp);
        if given_up.any(|run| run.name == name || run.exec.is_undecided()) {
            return Err(RunError::Stuck);
        }
        if of_program().count() < MAX_UNFOUND {
            return Ok(());
        }
        match of_program().filter(|run| run.exec.is_undecided()).count() {
            unfound if unfound >= MAX_UNFOUND => Err(RunError::Unfound(unfound)),
            _ => Ok(()),
        }
    }

    /// The descriptor under `key` is readable. Tells what came of it once the program has ended.
    pub fn ready(&mut self, key: usize) -> Option<Ended> {
        let run = self.runs.get(&key)?;
        let ending = wait_pidfd(run.pidfd.as_fd()).unwrap_or(Some(Ending::Exited(255)))?;
        let run = self.runs.remove(&key)?;
        let not_executed = run.exec.failure().map(RunError::from);
        let outcome = match (&not_executed, ending) {
            _ if run.out_of_time => RunOutcome::TimedOut,
            (Some(RunError::Unsafe(_)), _) => RunOutcome::NotRun,
            (Some(RunError::Exec(error)), _) if is_shortage(error) => RunOutcome::NotStarted,
            (_, Ending::Exited(status)) => RunOutcome::Exited(u8::try_from(status).unwrap_or(255)),
            (_, Ending::Signalled(signal)) => RunOutcome::Signalled(u8::try_from(signal).unwrap_or(255)),
        };
        Some(Ended { purpose: run.purpose, name: run.name, outcome, not_executed, left_behind: None })
    }

    /// Ends what is out of time: SIGTERM to the process group, SIGKILL two seconds later, to what has not become its
    /// program at once. Returns what has not ended two seconds after that, for which nobody should wait.
    pub fn tick(&mut self, now: MonoTime) -> Vec<Ended> {
        let mut given_up = Vec::new();
        for run in self.runs.values_mut() {
            if run.found_by.is_some_and(|by| now >= by) {
                run.found_by = None;
                if run.step == Step::Running && run.exec.is_undecided() {
                    run.deadline = Some(now);
                }
            }
            if run.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            run.out_of_time = true;
            run.deadline = Some(now + GRACE);
            run.step = match run.step {
                Step::Running if !run.exec.is_undecided() => {
                    let _gone = killpg(Pid::from_raw(run.pid), Signal::SIGTERM);
                    Step::Asked
                }
                Step::Running | Step::Asked => {
                    let _gone = killpg(Pid::from_raw(run.pid), Signal::SIGKILL);
                    Step::Killed
                }
                Step::Killed => {
                    given_up.push(run.give_up());
                    Step::GivenUp
                }
                Step::GivenUp => Step::GivenUp,
            };
            if run.step == Step::GivenUp {
                run.deadline = None;
            }
        }
        given_up
    }

    /// Gives all programs that are still running `patience` before [`Self::tick`] ends them.
    pub fn limit_all(&mut self, now: MonoTime, patience: Duration) {
        let untroubled = self.runs.values_mut().filter(|run| run.step == Step::Running);
        for run in untroubled.filter(|run| run.deadline.is_none_or(|deadline| deadline > now + patience)) {
            run.deadline = Some(now + patience);
        }
    }

    /// Ends the readers of FIFOs: nothing more will be written.
    pub fn end_readers(&mut self, now: MonoTime) {
        for run in self.runs.values_mut().filter(|run| matches!(run.purpose, Purpose::FifoReader(_))) {
            run.deadline = Some(now);
        }
    }

    /// When [`Self::tick`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.runs.values().filter_map(Run::deadline).min()
    }

    /// Programs that run now and have not been given up.
    #[must_use]
    pub fn running(&self) -> usize {
        self.runs.values().filter(|run| run.step != Step::GivenUp).count()
    }

    /// Programs started so far.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Process ids that [`Self::ready`] will reap.
    pub fn pids(&self) -> impl Iterator<Item = i32> + '_ {
        self.runs.values().map(|run| run.pid)
    }

    /// True when a run has this key.
    #[must_use]
    pub fn has(&self, key: usize) -> bool {
        self.runs.contains_key(&key)
    }
}

impl Run {
    fn deadline(&self) -> Option<MonoTime> {
        [self.deadline, self.found_by].into_iter().flatten().min()
    }

    /// Hands over what was waited for; the process is reaped when it ends after all.
    fn give_up(&mut self) -> Ended {
        let purpose = std::mem::replace(&mut self.purpose, Purpose::Nobody);
        let (name, outcome) = (self.name.clone(), RunOutcome::TimedOut);
        Ended { purpose, name, outcome, not_executed: None, left_behind: Some(self.pid) }
    }
}

/// The machine, or the user, has no memory, process or descriptor left: execve(2) says so of limits on processes, too,
/// which count once the process has become its user.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::ENOMEM, Errno::EAGAIN, Errno::EMFILE, Errno::ENFILE];
    error.raw_os_error().is_some_and(|number| shortages.contains(&Errno::from_raw(number)))
}

/// What the new process becomes, once it has seen that it may.
fn command(script: &Script, extra: &[String], written_path: bool) -> Result<Command, NotExecuted> {
    let (program, arguments) =
        script.argv.split_first().ok_or_else(|| NotExecuted::Refused("it has no command".to_owned()))?;
    let identity = &script.identity;
    let names = SystemNames::default();
    names.script(program, identity).map_err(|problem| NotExecuted::Refused(problem.to_string()))?;
    let path = match written_path {
        true => program.into(),
        false => std::fs::canonicalize(program).map_err(NotExecuted::Failed)?,
    };
    let mut command = Command::new(path);
    command
        .arg0(program)
        .args(arguments)
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_remove("IFS")
        .env_remove("LD_PRELOAD")
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("NOTIFY_SOCKET");
    let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    if (identity.uid, identity.gid) != own || !identity.groups.is_empty() {
        run_as(&mut command, identity.uid, identity.gid, identity.groups.clone());
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use config::model::process::{Identity, Purpose as ScriptPurpose};
    use ipc::reactor::{Reactor, now};

    fn script(test: &str, uid: u32, groups: &[u32]) -> Script {
        Script {
            name: "test".to_owned(),
            argv: ["/bin/sh", "-c", test].map(str::to_owned).to_vec(),
            identity: Identity { uid, gid: uid, groups: groups.to_vec() },
            purpose: ScriptPurpose::Tracked,
            timeout: Some(Duration::from_secs(120)),
        }
    }

    fn outcome(script: &Script) -> RunOutcome {
        outcome_by(script, false)
    }

    fn outcome_by(script: &Script, written_path: bool) -> RunOutcome {
        let mut runner = Runner::default();
        let mut reactor = Reactor::new().unwrap();
        let fd =
            runner.start(0, script, &["extra".to_owned()], Purpose::Nobody, written_path, now()).unwrap();
        reactor.watch_reads(fd, 0).unwrap();
        loop {
            let now = reactor.turn(runner.deadline(), &mut Vec::new()).unwrap();
            runner.tick(now);
            if let Some(ended) = runner.ready(0) {
                return ended.outcome;
            }
        }
    }

    #[test]
    fn a_script_gets_exactly_its_user_and_groups() {
        let test = r#"[ "$(id -u) $(id -g) $(id -G)" = "54321 54321 54321 777" ]"#;
        assert_eq!(outcome(&script(test, 54321, &[777])), RunOutcome::Exited(0));
    }

    #[test]
    fn a_link_is_followed_unless_the_written_path_is_wanted() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = Scratch::new("link");
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&*folder, everybody.clone()).unwrap();
        let (file, link) = (folder.join("real"), folder.join("link"));
        std::fs::write(&file, "#!/bin/sh\ncase $0 in *link) exit 7;; *) exit 8;; esac\n").unwrap();
        std::fs::set_permissions(&file, everybody).unwrap();
        symlink(&file, &link).unwrap();
        let script = Script { argv: vec![link.display().to_string()], ..script("", 54321, &[]) };
        assert_eq!(outcome_by(&script, true), RunOutcome::Exited(7));
        assert_eq!(outcome_by(&script, false), RunOutcome::Exited(8));
    }

    #[test]
    fn a_script_inherits_no_descriptor_no_blocked_signal_and_no_manager_socket() {
        use nix::sys::signal::SigSet;
        // What an ancestor may have left open and what this process blocks for its signalfd.
        let (left_open, _other_end) = nix::unistd::pipe().unwrap();
        let raw = left_open.as_raw_fd();
        nix::fcntl::fcntl(&left_open, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        SigSet::from(Signal::SIGTERM).thread_block().unwrap();
        let test = format!(
            r#"[ ! -e /proc/self/fd/{raw} ] && [ -z "$NOTIFY_SOCKET" ] &&
               grep -q "^SigBlk:.0000000000000000$" /proc/self/status && grep -q "^SigIgn:.0000000000000000$" /proc/self/status"#
        );
        assert_eq!(outcome(&script(&test, 0, &[])), RunOutcome::Exited(0));
        assert_eq!(outcome(&script(&test, 54321, &[])), RunOutcome::Exited(0));
    }

    #[test]
    fn a_script_of_another_user_has_no_capability() {
        let test = r#"[ "$(sed -n 's/^CapEff:\t//p' /proc/self/status)" = 0000000000000000 ]"#;
        assert_eq!(outcome(&script(test, 54321, &[])), RunOutcome::Exited(0));
    }

    #[test]
    fn a_script_that_ignores_sigterm_is_killed_after_its_grace() {
        let mut slow = script("trap '' TERM; while :; do sleep 0.1; done", 0, &[]);
        slow.timeout = Some(Duration::from_millis(50));
        assert_eq!(outcome(&slow), RunOutcome::TimedOut);
    }

    #[test]
    fn a_script_that_is_waited_for_runs_once_at_a_time_whichever_checker_is_named() {
        let slow = script("exec sleep 120", 0, &[]);
        let mut runner = Runner::default();
        let purpose =
            |check, script| Purpose::Check(Generation::new(1), CheckId::new(check), ScriptId::new(script));
        runner.start(0, &slow, &[], purpose(0, 0), false, now()).unwrap();
        assert!(matches!(runner.start(1, &slow, &[], purpose(1, 0), false, now()), Err(RunError::Busy)));
        let again = runner.start(1, &slow, &[], purpose(0, 0), false, now()).unwrap_err();
        assert_eq!(
            (again.to_string().as_str(), again.outcome()),
            ("it is still running and will be told", None)
        );
        runner.start(1, &slow, &[], purpose(1, 1), false, now()).unwrap();
        for run in runner.runs.values() {
            sandbox::system::process::pidfd_send_signal(run.pidfd.as_fd(), 9).unwrap();
        }
    }

    #[test]
    fn scripts_of_checks_leave_room_for_those_of_elections() {
        let tracked = Purpose::Tracked(Generation::new(1), ScriptId::new(0));
        let check = Purpose::Check(Generation::new(1), CheckId::new(0), ScriptId::new(0));
        assert_eq!([tracked.room(), Purpose::Instance("VI_1".to_owned()).room()], [1024, 1024]);
        assert_eq!([check.room(), Purpose::Nobody.room()], [768, 768]);
    }

    #[test]
    fn a_program_that_is_none_is_told_at_its_end_and_nobody_waits_for_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Scratch::new("no-program");
        std::fs::set_permissions(&*folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.join("program");
        std::fs::write(&path, "#!/nonexistent/shell\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let script = Script { argv: vec![path.display().to_string()], ..script("", 54321, &[]) };
        let (mut runner, mut reactor) = (Runner::default(), Reactor::new().unwrap());
        let fd = runner.start(0, &script, &[], Purpose::Nobody, false, now()).unwrap();
        reactor.watch_reads(fd, 0).unwrap();
        let ended = loop {
            reactor.turn(runner.deadline(), &mut Vec::new()).unwrap();
            if let Some(ended) = runner.ready(0) {
                break ended;
            }
        };
        assert_eq!(ended.outcome, RunOutcome::Exited(127));
        let missing = matches!(ended.not_executed, Some(RunError::Exec(error)) if error.kind() == io::ErrorKind::NotFound);
        assert!(missing);
    }

    #[test]
    fn a_user_who_may_have_no_more_processes_says_nothing_of_what_the_script_looks_at() {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let mut other = Command::new("sleep").arg("100").uid(54_322).spawn().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
        setrlimit(Resource::RLIMIT_NPROC, 0, hard).unwrap();
        let full = outcome(&script("exit 0", 54_322, &[]));
        setrlimit(Resource::RLIMIT_NPROC, soft, hard).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(full, RunOutcome::NotStarted);
        assert_eq!(outcome(&script("exit 0", 54_322, &[])), RunOutcome::Exited(0));
    }

    #[test]
    fn a_path_that_others_may_write_does_not_run_as_root() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Scratch::new("unsafe");
        let path = folder.join("program");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut unsafe_script = script("", 0, &[]);
        unsafe_script.argv = vec![path.display().to_string()];
        let mut runner = Runner::default();
        let mut reactor = Reactor::new().unwrap();
        let fd = runner.start(0, &unsafe_script, &[], Purpose::Nobody, false, now()).unwrap();
        reactor.watch_reads(fd, 0).unwrap();
        let ended = loop {
            reactor.turn(runner.deadline(), &mut Vec::new()).unwrap();
            if let Some(ended) = runner.ready(0) {
                break ended;
            }
        };
        assert_eq!(ended.outcome, RunOutcome::NotRun);
        assert!(
            matches!(&ended.not_executed, Some(RunError::Unsafe(why)) if why.contains("writable")),
            "{ended:?}"
        );
    }
}
