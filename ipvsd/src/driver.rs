//! The process: one loop over the parent's socket and one timer.
//!
//! Does: follows the parent's orders, reads a new list in slices, passes entries to the ledger, lets the keeper work,
//! tells what has come of it. Does not decide anything about the table. The parent is trusted; what it passes on from
//! checkd is checked by the ledger and counted when it is refused.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use config::model::units::{Generation, MonoTime};
use ipc::channel::{ReceiveError, SendError};
use ipc::daemon::Link;
use ipc::messages::ipvsd::{
    IpvsdToParent, MAX_STATISTICS, ParentToIpvsd, StatisticsEntry, TableState, Written,
};
use ipc::messages::{self, FromDaemon, Level, Refusal, StopMode, ToDaemon};
use ipc::reactor::{self, Reactor, Ready};
use sandbox::{ConfineError, Confinement};

use crate::keeper::{Confined, Keeper};
use crate::kernel::KernelTable;
use crate::list::List;
use crate::loading::{Loading, Slice};

/// Why the process ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The loop can't be built, or can't wait.
    #[error("event loop: {0}")]
    Loop(#[from] io::Error),
    /// The parent broke the protocol.
    #[error("{0}")]
    Parent(ReceiveError),
    /// The confinement was refused.
    #[error("confinement: {0}")]
    Confine(#[from] ConfineError),
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The parent ordered it.
    Stopped,
    /// The parent is gone; the table is left as it is.
    ParentGone,
}

/// Runs until the parent says stop or is gone. `confine` is called once, when the first list has been read and before
/// the kernel is asked anything: only then it is known which sockets are needed.
///
/// # Errors
/// [`DriverError`].
pub fn run<K: KernelTable>(
    link: Link<IpvsdToParent, ParentToIpvsd>,
    kernel: K,
    confine: impl FnOnce() -> Result<Confinement, ConfineError>,
) -> Result<End, DriverError> {
    let reactor = Reactor::new()?;
    reactor.watch(link.as_raw_fd(), LINK)?;
    Driver {
        link,
        reactor,
        confine: Some(confine),
        keeper: Keeper::new(kernel),
        loading: None,
        told: None,
        told_written: Written::default(),
        refused: 0,
        refusals_told: MonoTime::default(),
        refused_calls: 0,
        answer: None,
        unread: true,
    }
    .work()
}

struct Driver<K, C> {
    link: Link<IpvsdToParent, ParentToIpvsd>,
    reactor: Reactor,
    /// Not confined yet.
    confine: Option<C>,
    keeper: Keeper<K>,
    loading: Option<Loading>,
    /// What the parent knows of the table.
    told: Option<TableState>,
    told_written: Written,
    /// Entries refused since the parent was told.
    refused: u64,
    refusals_told: MonoTime,
    refused_calls: u64,
    /// Counters that the parent waits for.
    answer: Option<Answer>,
    /// Messages may be left in the link although no event will tell.
    unread: bool,
}

/// Counters on their way to the parent, last ones first.
struct Answer {
    generation: Generation,
    entries: Vec<StatisticsEntry>,
}

/// Why the loop ends.
enum Halt {
    End(End),
    Error(DriverError),
}

impl Halt {
    fn end(self) -> Result<End, DriverError> {
        match self {
            Self::End(end) => Ok(end),
            Self::Error(error) => Err(error),
        }
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Error(error.into())
    }
}

impl<K: KernelTable, C: FnOnce() -> Result<Confinement, ConfineError>> Driver<K, C> {
    fn work(mut self) -> Result<End, DriverError> {
        let mut ready = Vec::new();
        loop {
            if let Err(halt) = self.turn(&mut ready) {
                return halt.end();
            }
        }
    }

    fn turn(&mut self, ready: &mut Vec<Ready>) -> Result<(), Halt> {
        let busy = self.unread || self.loading.is_some() || self.answer.is_some();
        let deadline = if busy { Some(reactor::now()) } else { self.next() };
        let now = self.reactor.turn(deadline, ready)?;
        for event in ready.iter().filter(|event| event.key == LINK) {
            self.unread |= event.readable;
            if event.writable {
                self.link.flush().map_err(|_| Halt::End(End::ParentGone))?;
            }
        }
        self.listen()?;
        self.load()?;
        if self.confine.is_none() {
            for (level, text) in self.keeper.turn() {
                self.link.log(level, text);
            }
        }
        self.report(now)
    }

    fn next(&self) -> Option<MonoTime> {
        let refusals = (self.refused > 0).then(|| self.refusals_told + REFUSALS);
        let work = self.keeper.next().filter(|_| self.confine.is_none());
        work.into_iter().chain(refusals).min()
    }

    /// Takes messages, a bounded number per turn.
    fn listen(&mut self) -> Result<(), Halt> {
        for _ in 0..MESSAGES {
            if !self.unread {
                return Ok(());
            }
            match self.link.receive() {
                Ok(Some((ParentToIpvsd::Common(order), fds))) => self.follow(&order, fds)?,
                Ok(Some((ParentToIpvsd::Desired { generation, entries, complete }, _))) => {
                    let refused = self.keeper.ledger.desire(generation, &entries, complete);
                    self.refused = self.refused.saturating_add(refused);
                }
                Ok(Some((ParentToIpvsd::Flush, _))) => self.keeper.flush(),
                Ok(Some((ParentToIpvsd::SyncRole(role), _))) => self.keeper.follow(role),
                Ok(Some((ParentToIpvsd::AskStatistics, _))) => {
                    let (generation, entries) = self.keeper.statistics();
                    self.answer = Some(Answer { generation, entries });
                }
                Ok(None) => self.unread = false,
                Err(ReceiveError::Closed) => return Err(Halt::End(End::ParentGone)),
                Err(error) => {
                    self.link.log(Level::Error, format!("the parent's message can't be used: {error}"));
                    return Err(Halt::Error(DriverError::Parent(error)));
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, order: &ToDaemon, fds: Vec<OwnedFd>) -> Result<(), Halt> {
        match order {
            ToDaemon::Prepare { generation } => self.prepare(*generation, fds),
            ToDaemon::Commit(generation) => {
                if self.keeper.commit(*generation) {
                    self.tell(FromDaemon::Committed(*generation))
                } else {
                    self.refuse(*generation, "it was not prepared".into())
                }
            }
            ToDaemon::Abort(generation) => {
                self.loading.take_if(|loading| loading.generation() == *generation);
                self.keeper.ledger.abort(*generation);
                Ok(())
            }
            ToDaemon::Ping(number) => self.tell(FromDaemon::Pong(*number)),
            ToDaemon::Quiesce => {
                self.keeper.pause();
                self.tell(FromDaemon::Quiesced)
            }
            ToDaemon::Resume => {
                self.keeper.resume();
                Ok(())
            }
            ToDaemon::Stop(mode) => self.stop(*mode),
        }
    }

    fn prepare(&mut self, generation: Generation, fds: Vec<OwnedFd>) -> Result<(), Halt> {
        let Some(fd) = fds.into_iter().next() else {
            return self.refuse(generation, "no memfd came".into());
        };
        match Loading::new(generation, fd) {
            Ok(loading) => self.loading = Some(loading),
            Err(error) => return self.refuse(generation, error.to_string()),
        }
        Ok(())
    }

    /// Reads some of a new list.
    fn load(&mut self) -> Result<(), Halt> {
        let Some(loading) = self.loading.take() else { return Ok(()) };
        let generation = loading.generation();
        match loading.read() {
            Ok(Slice::More(loading)) => {
                self.loading = Some(loading);
                // A large list keeps no advert waiting for a processor.
                std::thread::yield_now();
            }
            Ok(Slice::Whole(list)) => return self.take_whole(list),
            Err(error) => return self.refuse(generation, error.to_string()),
        }
        Ok(())
    }

    /// A list has been read: opens what it needs and confines the process, the first time.
    fn take_whole(&mut self, list: List) -> Result<(), Halt> {
        let generation = list.generation();
        let confinement = if self.confine.is_some() { Confined::Not } else { Confined::Already };
        match self.keeper.open_for(&list, confinement) {
            Ok(true) => {}
            Ok(false) => {
                return self.tell(FromDaemon::Refused { generation, reason: Refusal::NeedsWiderSandbox });
            }
            // The other services need no nftables, and neither does anything else of the suite.
            Err(error) => self.link.log(Level::Error, format!("nftables: {error}")),
        }
        if let Some(confine) = self.confine.take() {
            let reached = confine().map_err(|error| {
                self.link.log(Level::Error, format!("confinement: {error}"));
                Halt::Error(error.into())
            })?;
            self.tell_confined(reached)?;
        }
        self.keeper.ledger.prepare(list);
        self.tell(FromDaemon::Prepared(generation))
    }

    fn refuse(&mut self, generation: Generation, reason: String) -> Result<(), Halt> {
        self.tell(FromDaemon::Refused { generation, reason: Refusal::Invalid(reason) })
    }

    /// Withdraws what the mode says, and ends when the parent has been told or a second has passed.
    fn stop(&mut self, mode: StopMode) -> Result<(), Halt> {
        match mode {
            StopMode::Withdraw => {
                for (level, text) in self.keeper.withdraw() {
                    self.link.log(level, text);
                }
            }
            StopMode::Leave => self.keeper.pause(),
        }
        self.tell(FromDaemon::Stopped)?;
        let deadline = reactor::now() + FAREWELL;
        let mut ready = Vec::new();
        while !self.link.flush().map_err(|_| Halt::End(End::ParentGone))? {
            if self.reactor.turn(Some(deadline), &mut ready)? >= deadline {
                break;
            }
        }
        Err(Halt::End(End::Stopped))
    }

    /// Tells what has changed since it was last told.
    fn report(&mut self, now: MonoTime) -> Result<(), Halt> {
        let told_lately = now.since(self.refusals_told) < REFUSALS;
        if self.refused > 0 && !told_lately && self.send(&IpvsdToParent::RefusedEntries(self.refused))? {
            self.refused = 0;
            self.refusals_told = now;
        }
        if let Some(state) = self.keeper.condition()
            && self.told.as_ref() != Some(&state)
            && self.send(&IpvsdToParent::Table(state.clone()))?
        {
            self.told = Some(state);
        }
        if let Some(written) = self.keeper.written()
            && self.told_written != written
            && self.send(&IpvsdToParent::Written(written))?
        {
            self.told_written = written;
        }
        self.answer()?;
        let (count, last) = sandbox::system::trap::unknown_calls();
        if count != self.refused_calls {
            self.tell(FromDaemon::UnknownCalls { count, last })?;
            self.refused_calls = count;
        }
        Ok(())
    }

    /// Sends some of the counters that the parent waits for. A full queue ends the answer: the parent's patience does.
    fn answer(&mut self) -> Result<(), Halt> {
        let Some(mut answer) = self.answer.take() else { return Ok(()) };
        for _ in 0..ANSWERS {
            let rest = answer.entries.len().saturating_sub(MAX_STATISTICS);
            let entries = answer.entries.split_off(rest);
            let complete = answer.entries.is_empty();
            let generation = answer.generation;
            if !self.send(&IpvsdToParent::Statistics { generation, entries, complete })? || complete {
                return Ok(());
            }
        }
        self.answer = Some(answer);
        Ok(())
    }

    fn tell_confined(&mut self, confinement: Confinement) -> Result<(), Halt> {
        self.tell(FromDaemon::Confined(messages::Confined {
            landlock_abi: confinement.landlock_abi,
            file_system: confinement.file_system,
            tcp: confinement.tcp,
            scopes: confinement.scopes,
            seccomp: confinement.seccomp,
        }))
    }

    fn tell(&mut self, message: FromDaemon) -> Result<(), Halt> {
        self.send(&IpvsdToParent::Common(message)).map(drop)
    }

    /// Queues a message; false when the queue is full or the message doesn't fit a frame, which the link counts.
    fn send(&mut self, message: &IpvsdToParent) -> Result<bool, Halt> {
        match self.link.send(message, &[]) {
            Ok(()) => Ok(true),
            Err(SendError::Io(_)) => Err(Halt::End(End::ParentGone)),
            Err(SendError::Full(_) | SendError::Codec(_) | SendError::Fds { .. }) => Ok(false),
        }
    }
}

const LINK: usize = 0;

/// Messages per turn; each has at most 1 024 entries.
const MESSAGES: usize = 64;

/// Messages of counters per turn.
const ANSWERS: usize = 8;

/// From one message about refused entries to the next, at least: the parent logs each.
const REFUSALS: Duration = Duration::from_secs(1);

/// Longest wait for the parent to read the last messages.
const FAREWELL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
