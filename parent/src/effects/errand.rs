//! Errands: what has to be done at a path that an operator names, by a short-lived process for each. A file system that
//! doesn't answer holds up the errands to its paths and nothing else: not even the end of this process, which a thread
//! that stands still would.
//!
//! Driver. At most 16 errands are under way at once and one for each path, in the order in which they were asked for.
//! One that takes longer than it may, five seconds as a rule, is killed and has failed; while its process is still
//! there, others to the same path fail, too. Answers come from this program's own code.

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
    /// The tracked files at these positions, of this edition of the list, were looked at.
    Look(Vec<usize>, u64),
    /// The files at these paths, which a configuration to come tracks, were looked at.
    Foresee(Vec<String>),
    /// `reload_time_file` was looked at.
    ReloadTime,
    /// State files were written.
    Dump,
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

/// Why an errand brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// Its time is over, or that of one before it at the same path, which is still there.
    #[error("its file system does not answer")]
    Silent,
    /// It has no process.
    #[error("{0}")]
    NotStarted(#[from] io::Error),
    /// Its process said nothing.
    #[error("its process ended without an answer")]
    Died,
    /// The work failed. Text is all that comes from its process.
    #[error("{0}")]
    Failed(String),
    /// The answer is none that the asker knows.
    #[error("{0}")]
    Unreadable(#[from] serde_json::Error),
    /// The answer lacks the descriptor that was to be opened.
    #[error("it was not opened")]
    NotOpened,
}

/// Something to be done at a path, in a directory, or wherever some files are: errands of one name wait for each other.
pub struct Errand<'w> {
    path: String,
    task: Task,
    lent: Vec<OwnedFd>,
    patience: Duration,
    work: Work<'w>,
}

/// What is done, with what was lent for it. Text is all that its process can tell of a failure.
type Work<'w> = Box<dyn FnOnce(Vec<OwnedFd>) -> Result<Answer, String> + 'w>;

impl<'w> Errand<'w> {
    /// `work` at `path`; it runs in a process of its own and changes nothing in this one.
    pub fn new(path: &str, task: Task, work: impl FnOnce() -> Result<Answer, String> + 'w) -> Self {
        Self::with(path, task, Vec::new(), move |_| work())
    }

    /// `work` that needs descriptors: no others of this process are open there.
    pub fn with(
        path: &str,
        task: Task,
        lent: Vec<OwnedFd>,
        work: impl FnOnce(Vec<OwnedFd>) -> Result<Answer, String> + 'w,
    ) -> Self {
        Self { path: path.to_owned(), task, lent, patience: PATIENCE, work: Box::new(work) }
    }

    /// Work without an answer; a complaint about it begins with `what`.
    pub fn untold(path: &str, what: String, work: impl FnOnce() -> io::Result<()> + 'w) -> Self {
        let work = move || work().map(|()| Answer::default()).map_err(|error| error.to_string());
        Self::new(path, Task::Untold(what), work)
    }

    /// The same, with so much time.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Does the work in this process.
    #[cfg(test)]
    pub(super) fn done_here(self) -> (Task, Result<Answer, ErrandError>) {
        (self.task, (self.work)(self.lent).map_err(ErrandError::Failed))
    }
}

impl fmt::Debug for Errand<'_> {
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
    pub result: Result<Answer, ErrandError>,
}

/// All errands.
#[derive(Debug, Default)]
pub struct Errands {
    waiting: VecDeque<Errand<'static>>,
    running: BTreeMap<usize, Running>,
    /// Nothing is started before the next turn.
    put_off: bool,
}

/// Most errands under way.
const MOST: usize = 16;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const LONGEST: usize = 8 * 1024;

impl Errands {
    /// Asks for an errand; [`Self::start_next`] starts it.
    pub fn ask(&mut self, errand: Errand<'static>) {
        self.waiting.push_back(errand);
    }

    /// This turn has started a process of another kind: what is asked for waits for the next one. Each start copies the
    /// page tables of this process, and so long its other daemons go unheard.
    pub fn put_off(&mut self) {
        self.put_off = true;
    }

    /// Another turn begins.
    pub fn begin_turn(&mut self) {
        self.put_off = false;
    }

    /// Starts an errand that may start now, under a key; the descriptor is to be watched for reading under it. `None`
    /// when there is none. One that can't be started, or goes where nobody answers, is over at once.
    pub fn start_next(&mut self, key: usize, now: MonoTime) -> Option<Result<RawFd, Done>> {
        if self.put_off {
            return None;
        }
        let is_free = |path: &str| self.running.values().all(|run| run.path != path);
        let is_silent = |path: &str| self.running.values().any(|run| run.path == path && run.task.is_none());
        let under_way = self.running.values().filter(|run| run.task.is_some()).count();
        let ready =
            |errand: &Errand<'_>| is_silent(&errand.path) || under_way < MOST && is_free(&errand.path);
        let position = self.waiting.iter().position(ready)?;
        let errand = self.waiting.remove(position)?;
        Some(self.start(key, errand, now))
    }

    /// Starts an errand ahead of all that wait; its work sees this process as it is now. The rest is as with
    /// [`Self::start_next`].
    ///
    /// # Errors
    /// It can't be started, or somebody is at its path.
    pub fn start(&mut self, key: usize, errand: Errand<'_>, now: MonoTime) -> Result<RawFd, Done> {
        let Errand { path, task, lent, patience, work } = errand;
        if self.running.values().any(|run| run.path == path) {
            return Err(Done { task, result: Err(ErrandError::Silent) });
        }
        match begin(&lent, work) {
            Ok((pid, pidfd, answer)) => {
                let fd = pidfd.as_raw_fd();
                let run = Running { path, task: Some(task), pid, pidfd, answer, deadline: now + patience };
                self.running.insert(key, run);
                Ok(fd)
            }
            Err(error) => Err(Done { task, result: Err(error.into()) }),
        }
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
            Some(Done { task, result: Err(ErrandError::Silent) })
        })
        .collect()
    }

    /// When [`Self::tick`] and [`Self::start_next`] want to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        let at_once = (self.put_off && !self.waiting.is_empty()).then(MonoTime::default);
        let late = self.running.values().filter(|run| run.task.is_some()).map(|run| run.deadline);
        late.chain(at_once).min()
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

    /// At the end of the suite: waits until something under way is over, for as long as this at most.
    pub fn linger(&mut self, patience: Duration) -> Vec<Done> {
        let under_way = self.running.iter().filter(|(_, run)| run.task.is_some());
        let (keys, mut fds): (Vec<usize>, Vec<_>) =
            under_way.map(|(key, run)| (*key, PollFd::new(run.pidfd.as_fd(), PollFlags::POLLIN))).unzip();
        let _some_or_none = poll(&mut fds, PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO));
        keys.into_iter().filter_map(|key| self.ready(key)).collect()
    }
}

/// Starts a process for some work; its pid, its pidfd and where its answer will be.
fn begin(lent: &[OwnedFd], work: Work<'_>) -> io::Result<(i32, OwnedFd, OwnedFd)> {
    let (here, there) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    if !lent.is_empty() {
        let fds: Vec<_> = lent.iter().map(OwnedFd::as_fd).collect();
        send_with_fds(here.as_fd(), b"lent", &fds)?;
    }
    let count = lent.len();
    let (pid, pidfd) = fork_aside(there, move |channel| {
        let (head, text, fd) = match borrowed(&channel, count).and_then(work) {
            Ok(Answer { text, fd }) => ("+", text, fd),
            Err(why) => ("-", why, None),
        };
        let bytes = [head.as_bytes(), text.as_bytes().get(..LONGEST - 1).unwrap_or(text.as_bytes())].concat();
        let fds: Vec<_> = fd.iter().map(OwnedFd::as_fd).collect();
        let _nobody_left = send_with_fds(channel.as_fd(), &bytes, &fds);
    })?;
    Ok((pid, pidfd, here))
}

/// What was lent to this process.
fn borrowed(channel: &OwnedFd, count: usize) -> Result<Vec<OwnedFd>, String> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let received = receive_with_fds(channel.as_fd(), &mut [0; 4], count);
    received.map(|(_, fds)| fds).map_err(|error| error.to_string())
}

fn answer(socket: &OwnedFd) -> Result<Answer, ErrandError> {
    let mut bytes = vec![0; LONGEST];
    let (length, fds) = receive_with_fds(socket.as_fd(), &mut bytes, 1).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match bytes.get(..length).and_then(<[u8]>::split_first) {
        Some((b'+', rest)) => Ok(Answer { text: text(rest), fd: fds.into_iter().next() }),
        Some((_, rest)) => Err(ErrandError::Failed(text(rest))),
        None => Err(ErrandError::Died),
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

    #[test]
    fn what_is_put_off_starts_in_the_next_turn_which_comes_at_once() {
        let mut errands = Errands::default();
        errands.put_off();
        assert_eq!(errands.deadline(), None, "nothing waits");
        errands.ask(Errand::untold("/a", "a".to_owned(), || Ok(())));
        assert!(errands.start_next(0, now()).is_none());
        assert_eq!(errands.deadline(), Some(MonoTime::default()));
        errands.begin_turn();
        assert_eq!(words(&done(&mut errands, 1)), [Ok("")]);
    }

    fn words(done: &[Done]) -> Vec<Result<&str, String>> {
        done.iter()
            .map(|done| done.result.as_ref().map(|answer| answer.text.as_str()).map_err(ToString::to_string))
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
    fn what_is_lent_is_open_there_and_nothing_else() {
        let mut errands = Errands::default();
        let lent = OwnedFd::from(std::fs::File::open("/proc/self/stat").unwrap());
        errands.ask(Errand::with("/a", Task::Dump, vec![lent], |lent| {
            let names = lent.iter().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd()));
            let names: Vec<String> =
                names.map(|name| std::fs::read_link(name).unwrap().display().to_string()).collect();
            let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
            // The standard three, the channel, what is lent, and the directory that is being read.
            Ok(Answer { text: format!("{open} {}", names.len()), fd: None })
        }));
        assert_eq!(words(&done(&mut errands, 1)), [Ok("6 1")]);
    }

    #[test]
    fn the_end_waits_for_what_is_under_way_and_no_longer_than_it_is_told() {
        let mut errands = Errands::default();
        let quick = Errand::new("/a", Task::ReloadTime, || Ok(Answer::default()));
        let slow = Errand::new("/b", Task::ReloadTime, || {
            loop {
                nix::unistd::pause();
            }
        });
        for (key, errand) in [quick, slow].into_iter().enumerate() {
            errands.start(key, errand, now()).unwrap();
        }
        assert_eq!(words(&errands.linger(Duration::from_secs(60))), [Ok("")]);
        assert!(errands.linger(Duration::from_millis(1)).is_empty());
        errands.tick(now() + PATIENCE);
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
        errands.ask(Errand::new("/b", Task::Look(vec![0], 0), || Ok(Answer::default())));
        let over = done(&mut errands, 2);
        assert_eq!(words(&over), [Ok(""), Err("its file system does not answer".to_owned())]);
        assert!(now().since(asked) >= Duration::from_secs(5));
    }
}
