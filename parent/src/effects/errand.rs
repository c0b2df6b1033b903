//! Errands: what has to be done at a path that the configuration names, by a short-lived process for each. A file system
//! that doesn't answer holds up the errands to its paths and nothing else.
//!
//! Driver. At most 16 errands are under way at once and one for each path, in the order in which they were asked for.
//! One that takes longer than five seconds is killed and has failed; while its process is still there, others to the
//! same path fail, too. Answers come from this program's own code.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use config::model::units::MonoTime;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sandbox::system::fd::{receive_with_fds, send_with_fds};
use sandbox::system::process::{fork_aside, pidfd_send_signal, wait_pidfd};

use super::fifo::Place;

/// Who gets the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// The pipe of this place, at this path, was opened.
    Pipe(Place, String),
    /// The tracked file at this position, of this edition of the list, was looked at.
    Look(usize, u64),
    /// `reload_time_file` was looked at.
    ReloadTime,
    /// Nobody; what these words name draws a warning when it fails.
    Untold(String),
}

/// What came of an errand.
#[derive(Debug, Default)]
pub struct Answer {
    /// What was found, in words that the asker knows.
    pub text: String,
    /// What was opened.
    pub fd: Option<OwnedFd>,
}

/// Something to be done at a path, or in a directory.
pub struct Errand {
    path: String,
    task: Task,
    work: Box<dyn FnOnce() -> Result<Answer, String>>,
}

impl Errand {
    /// `work` at `path`; it runs in a process of its own and changes nothing in this one.
    pub fn new(path: &str, task: Task, work: impl FnOnce() -> Result<Answer, String> + 'static) -> Self {
        Self { path: path.to_owned(), task, work: Box::new(work) }
    }

    /// Does the work in this process.
    #[cfg(test)]
    pub(super) fn done_here(self) -> (Task, Result<Answer, String>) {
        (self.task, (self.work)())
    }

    /// Work without an answer; a complaint about it begins with `what`.
    pub fn untold(path: &str, what: String, work: impl FnOnce() -> io::Result<()> + 'static) -> Self {
        let work = move || work().map(|()| Answer::default()).map_err(|error| error.to_string());
        Self::new(path, Task::Untold(what), work)
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Errand({}, {:?})", self.path, self.task)
    }
}

#[derive(Debug)]
struct Running {
    path: String,
    /// `None` once it has failed for want of an answer.
    task: Option<Task>,
    pid: i32,
    pidfd: OwnedFd,
    answer: OwnedFd,
    deadline: MonoTime,
}

/// An errand that is over.
#[derive(Debug)]
pub struct Done {
    /// Who gets the answer.
    pub task: Task,
    /// The answer.
    pub result: Result<Answer, String>,
}

/// All errands.
#[derive(Debug, Default)]
pub struct Errands {
    waiting: VecDeque<Errand>,
    running: BTreeMap<usize, Running>,
}

/// Most errands under way.
const MOST: usize = 16;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const LONGEST: usize = 8 * 1024;
/// Why an errand failed that nobody answered.
const SILENT: &str = "its file system does not answer";

impl Errands {
    /// Asks for an errand; [`Self::start_next`] starts it.
    pub fn ask(&mut self, errand: Errand) {
        self.waiting.push_back(errand);
    }

    /// Starts an errand that may start now, under a key; the descriptor is to be watched for reading under it. `None`
    /// when there is none. One that can't be started, or goes where nobody answers, is over at once.
    pub fn start_next(&mut self, key: usize, now: MonoTime) -> Option<Result<RawFd, Done>> {
        let is_free = |path: &str| self.running.values().all(|run| run.path != path);
        let is_silent = |path: &str| self.running.values().any(|run| run.path == path && run.task.is_none());
        let under_way = self.running.values().filter(|run| run.task.is_some()).count();
        let ready = |errand: &Errand| is_silent(&errand.path) || under_way < MOST && is_free(&errand.path);
        let position = self.waiting.iter().position(ready)?;
        let Errand { path, task, work } = self.waiting.remove(position)?;
        if self.running.values().any(|run| run.path == path) {
            return Some(Err(Done { task, result: Err(SILENT.to_owned()) }));
        }
        Some(match begin(work) {
            Ok((pid, pidfd, answer)) => {
                let fd = pidfd.as_raw_fd();
                let run = Running { path, task: Some(task), pid, pidfd, answer, deadline: now + PATIENCE };
                self.running.insert(key, run);
                Ok(fd)
            }
            Err(error) => Err(Done { task, result: Err(error.to_string()) }),
        })
    }

    /// The descriptor under `key` is readable: the errand is over.
    pub fn ready(&mut self, key: usize) -> Option<Done> {
        let run = self.running.get(&key)?;
        if matches!(wait_pidfd(run.pidfd.as_fd()), Ok(None)) {
            return None;
        }
        let run = self.running.remove(&key)?;
        Some(Done { task: run.task?, result: answer(&run.answer) })
    }

    /// Ends errands that nobody answers. Their processes are reaped when they have ended after all.
    pub fn tick(&mut self, now: MonoTime) -> Vec<Done> {
        let late = self.running.values_mut().filter(|run| now >= run.deadline);
        late.filter_map(|run| {
            let task = run.task.take()?;
            let _gone = pidfd_send_signal(run.pidfd.as_fd(), nix::libc::SIGKILL);
            Some(Done { task, result: Err(SILENT.to_owned()) })
        })
        .collect()
    }

    /// When [`Self::tick`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.running.values().filter(|run| run.task.is_some()).map(|run| run.deadline).min()
    }

    /// True when something is under way or waits.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.running.values().any(|run| run.task.is_some())
    }

    /// Processes that [`Self::ready`] will reap.
    pub fn pids(&self) -> impl Iterator<Item = i32> + '_ {
        self.running.values().map(|run| run.pid)
    }

    /// At the end of the suite: waits for what is under way, each for a tenth of a second at most.
    pub fn linger(&self) {
        for run in self.running.values().filter(|run| run.task.is_some()) {
            let mut fds = [PollFd::new(run.pidfd.as_fd(), PollFlags::POLLIN)];
            let _done_or_not = poll(&mut fds, PollTimeout::from(100_u8));
        }
    }
}

/// Starts a process for some work; its pid, its pidfd and where its answer will be.
fn begin(work: Box<dyn FnOnce() -> Result<Answer, String>>) -> io::Result<(i32, OwnedFd, OwnedFd)> {
    let (here, there) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let (pid, pidfd) = fork_aside(there, move |channel| {
        let (head, text, fd) = match work() {
            Ok(Answer { text, fd }) => ("+", text, fd),
            Err(why) => ("-", why, None),
        };
        let bytes = [head.as_bytes(), text.as_bytes().get(..LONGEST - 1).unwrap_or(text.as_bytes())].concat();
        let fds: Vec<_> = fd.iter().map(OwnedFd::as_fd).collect();
        let _nobody_left = send_with_fds(channel.as_fd(), &bytes, &fds);
    })?;
    Ok((pid, pidfd, here))
}

fn answer(socket: &OwnedFd) -> Result<Answer, String> {
    let mut bytes = vec![0; LONGEST];
    let (length, fds) = receive_with_fds(socket.as_fd(), &mut bytes, 1).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match bytes.get(..length).and_then(<[u8]>::split_first) {
        Some((b'+', rest)) => Ok(Answer { text: text(rest), fd: fds.into_iter().next() }),
        Some((_, rest)) => Err(text(rest)),
        None => Err("its process ended without an answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::reactor::{Reactor, now};

    fn done(errands: &mut Errands, count: usize) -> Vec<Done> {
        let mut reactor = Reactor::new().unwrap();
        let (mut over, mut key, mut ready) = (Vec::new(), 0, Vec::new());
        while over.len() < count {
            while let Some(started) = errands.start_next(key, now()) {
                match started {
                    Ok(fd) => reactor.watch_reads(fd, key).unwrap(),
                    Err(done) => over.push(done),
                }
                key += 1;
            }
            let now = reactor.turn(errands.deadline(), &mut ready).unwrap();
            over.extend(ready.iter().filter_map(|ready| errands.ready(ready.key)));
            over.extend(errands.tick(now));
        }
        over
    }

    fn words(done: &[Done]) -> Vec<Result<&str, &str>> {
        done.iter()
            .map(|done| done.result.as_ref().map(|answer| answer.text.as_str()).map_err(String::as_str))
            .collect()
    }

    #[test]
    fn errands_to_one_path_are_done_in_their_order_and_bring_what_they_opened() {
        let mut errands = Errands::default();
        for text in ["first", "second"] {
            errands.ask(Errand::new("/a", Task::ReloadTime, move || {
                let fd = std::fs::File::open("/proc/self/comm").ok().map(OwnedFd::from);
                Ok(Answer { text: text.to_owned(), fd })
            }));
        }
        errands.ask(Errand::untold("/b", "b".to_owned(), || Err(io::Error::other("no"))));
        let mut over = done(&mut errands, 3);
        assert!(
            over.iter()
                .filter(|done| done.task == Task::ReloadTime)
                .all(|done| { done.result.as_ref().is_ok_and(|answer| answer.fd.is_some()) })
        );
        over.retain(|done| done.task == Task::ReloadTime);
        assert_eq!(words(&over), [Ok("first"), Ok("second")]);
        assert!(!errands.is_busy());
    }

    #[test]
    fn an_errand_that_nobody_answers_fails_after_five_seconds_and_others_do_not_wait_for_it() {
        let mut errands = Errands::default();
        let asked = now();
        errands.ask(Errand::new("/a", Task::ReloadTime, || {
            loop {
                nix::unistd::pause();
            }
        }));
        errands.ask(Errand::new("/b", Task::Look(0, 0), || Ok(Answer::default())));
        let over = done(&mut errands, 2);
        assert_eq!(words(&over), [Ok(""), Err("its file system does not answer")]);
        assert!(now().since(asked) >= Duration::from_secs(5));
    }
}
