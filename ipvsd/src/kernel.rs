//! The kernel's table over generic netlink: reads it, and does operations with an answer for each.
//!
//! Does what it is told and nothing by itself. Waits for the kernel, at most [`PATIENCE`] per call; the kernel does a
//! request while it is being sent, so a wait means that an answer is lost. Called by [`crate::keeper`], through a trait
//! so that a test can stand in for the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::MonoTime;
use netlink::frame::{KernelError, Message};
use netlink::generic::{self, ResolveError};
use netlink::ipvs::{DestinationEntry, FAMILY, Ipvs, Key, ServiceEntry, SyncDaemon, Timeouts};
use netlink::nftables::{self, Found, MarkingTable};
use netlink::socket::{OpenError, Outcome, Protocol, ReceiveError, RequestError, SendError, Socket};
use nix::errno::Errno;

use crate::marks::Marking;
use crate::reconcile::Operation;
use crate::sync::SyncOperation;

/// A kernel's table and its clock.
pub trait KernelTable {
    /// Time by the clock that deadlines refer to.
    fn now(&self) -> MonoTime;

    /// Processor time that this process has used.
    fn spent(&self) -> Duration;

    /// Looks whether the kernel has IPVS; loads the module where it can be loaded. Called again after any trouble.
    ///
    /// # Errors
    /// It has not.
    fn open(&mut self) -> Result<(), Trouble>;

    /// The services whose keys are `wanted`; memory is bounded by how many those are.
    ///
    /// # Errors
    /// The table could not be read whole.
    fn services(&mut self, wanted: &dyn Fn(&Key) -> bool) -> Result<BTreeMap<Key, ServiceEntry>, Trouble>;

    /// All destinations of a service; none when it doesn't exist.
    ///
    /// # Errors
    /// They could not be read whole.
    fn destinations(&mut self, key: &Key) -> Result<Vec<DestinationEntry>, Trouble>;

    /// Does operations in order, going on after one that is refused; an outcome for each.
    fn write(&mut self, operations: &[Operation]) -> Vec<Outcome>;

    /// The synchronisation daemons that run.
    ///
    /// # Errors
    /// They could not be read whole.
    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, Trouble>;

    /// Starts or ends a synchronisation daemon; waits for at most [`SYNC_PATIENCE`].
    fn sync(&mut self, operation: &SyncOperation) -> Outcome;

    /// The connection time-outs.
    ///
    /// # Errors
    /// They could not be read.
    fn timeouts(&mut self) -> Result<Timeouts, Trouble>;

    /// Sets the connection time-outs; 0 leaves one as it is.
    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Outcome;

    /// Empties the whole table, other people's services included.
    fn flush(&mut self) -> Outcome;

    /// Sets the receive buffer of the socket; `None` is the usual one.
    fn buffer(&mut self, wanted: Option<ReceiveBuffer>);

    /// Opens the socket to nftables, which a confined process can't.
    ///
    /// # Errors
    /// The kernel has no nfnetlink, or no descriptor is left.
    fn open_marks(&mut self) -> Result<(), OpenError>;

    /// That socket is open.
    fn can_mark(&self) -> bool;

    /// Writes or removes a table of nftables, as a whole.
    fn mark(&mut self, marking: &Marking) -> Outcome;

    /// Number that changes with everything that anybody writes to nftables.
    ///
    /// # Errors
    /// It could not be read.
    fn marks_generation(&mut self) -> Result<u32, Trouble>;

    /// What the kernel says of a table that was written; `None` when there is none.
    ///
    /// # Errors
    /// It could not be read whole.
    fn marks_found(&mut self, table: &MarkingTable) -> Result<Option<Found>, Trouble>;
}

/// A receive buffer as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveBuffer {
    /// So many bytes, or as many as the system allows.
    WithinLimit(u32),
    /// So many bytes in any case.
    Forced(u32),
}

/// Why the table can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The kernel has no IPVS.
    #[error("No such file or directory")]
    Absent,
    /// The kernel did not answer as it should.
    #[error("{0}")]
    Request(#[from] RequestError),
}

/// The table of the running kernel.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    ipvs: Option<Ipvs>,
    nftables: Option<Socket>,
    clock: fn() -> MonoTime,
    spent: fn() -> Duration,
}

impl Netlink {
    /// Opens the socket; the only thing here that a confined process can't do.
    ///
    /// # Errors
    /// The kernel has no generic netlink, or no descriptor is left.
    pub fn new(clock: fn() -> MonoTime, spent: fn() -> Duration) -> Result<Self, OpenError> {
        let mut socket = Socket::open(Protocol::Generic)?;
        socket.enlarge(RECEIVE_BUFFER);
        Ok(Self { socket, ipvs: None, nftables: None, clock, spent })
    }

    /// Asks, again when the answer was overtaken by a change, and gives up after a few times. `each` gets every reply,
    /// and `None` before each try: what it got before is void.
    fn dump(
        &mut self,
        question: impl Fn(Ipvs) -> Message,
        mut each: impl FnMut(Ipvs, Option<(u16, &[u8])>),
    ) -> Result<(), Trouble> {
        let ipvs = self.ipvs.ok_or(Trouble::Absent)?;
        let question = question(ipvs);
        let mut last = RequestError::Interrupted;
        for _ in 0..DUMPS {
            each(ipvs, None);
            let left = self.left();
            match self.socket.dump(&question, left, |kind, payload| each(ipvs, Some((kind, payload)))) {
                Ok(()) => return Ok(()),
                Err(
                    error @ (RequestError::Interrupted
                    | RequestError::Receive(ReceiveError::Overrun | ReceiveError::Truncated { .. })),
                ) => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    fn left(&self) -> impl FnMut() -> Duration + use<> {
        self.left_of(PATIENCE)
    }

    fn left_of(&self, patience: Duration) -> impl FnMut() -> Duration + use<> {
        let clock = self.clock;
        let end = clock() + patience;
        move || end.since(clock())
    }

    fn order(&mut self, message: impl Fn(Ipvs) -> Message, patience: Duration) -> Outcome {
        let Some(ipvs) = self.ipvs else { return Outcome::Unanswered };
        let left = self.left_of(patience);
        let outcomes = self.socket.request(&[message(ipvs)], left).unwrap_or_default();
        outcomes.into_iter().next().unwrap_or(Outcome::Unanswered)
    }
}

impl KernelTable for Netlink {
    fn now(&self) -> MonoTime {
        (self.clock)()
    }

    fn spent(&self) -> Duration {
        (self.spent)()
    }

    fn open(&mut self) -> Result<(), Trouble> {
        self.ipvs = None;
        let left = self.left();
        let family = generic::resolve(&mut self.socket, FAMILY, left).map_err(|error| match error {
            ResolveError::Unavailable(_) => Trouble::Absent,
            ResolveError::Request(error) => Trouble::Request(error),
        })?;
        self.ipvs = Some(Ipvs::new(family));
        Ok(())
    }

    fn services(&mut self, wanted: &dyn Fn(&Key) -> bool) -> Result<BTreeMap<Key, ServiceEntry>, Trouble> {
        let mut found = BTreeMap::new();
        self.dump(Ipvs::dump_services, |ipvs, reply| match reply {
            None => found.clear(),
            Some((kind, payload)) => {
                let entry = ipvs.read_service(kind, payload).filter(|entry| wanted(&entry.service.key));
                found.extend(entry.map(|entry| (entry.service.key, entry)));
            }
        })?;
        Ok(found)
    }

    fn destinations(&mut self, key: &Key) -> Result<Vec<DestinationEntry>, Trouble> {
        let mut found = Vec::new();
        self.dump(
            |ipvs| ipvs.dump_destinations(key),
            |ipvs, reply| match reply {
                None => found.clear(),
                Some((kind, payload)) => {
                    found.extend(ipvs.read_destination(kind, payload, key.family()));
                }
            },
        )?;
        Ok(found)
    }

    fn write(&mut self, operations: &[Operation]) -> Vec<Outcome> {
        let Some(ipvs) = self.ipvs else { return vec![Outcome::Unanswered; operations.len()] };
        let messages: Vec<Message> = operations.iter().map(|operation| message(ipvs, operation)).collect();
        let left = self.left();
        let mut outcomes = self.socket.request(&messages, left).unwrap_or_default();
        outcomes.resize(operations.len(), Outcome::Unanswered);
        outcomes
    }

    fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, Trouble> {
        let mut found = Vec::new();
        self.dump(Ipvs::dump_daemons, |ipvs, reply| match reply {
            None => found.clear(),
            Some((kind, payload)) => found.extend(ipvs.read_daemon(kind, payload)),
        })?;
        Ok(found)
    }

    fn sync(&mut self, operation: &SyncOperation) -> Outcome {
        self.order(
            |ipvs| match operation {
                SyncOperation::Start(daemon) => ipvs.start_daemon(daemon),
                SyncOperation::Stop(role) => ipvs.stop_daemon(*role),
            },
            SYNC_PATIENCE,
        )
    }

    fn timeouts(&mut self) -> Result<Timeouts, Trouble> {
        let mut found = None;
        self.dump(Ipvs::ask_timeouts, |ipvs, reply| {
            found = reply.and_then(|(kind, payload)| ipvs.read_timeouts(kind, payload));
        })?;
        found.ok_or(Trouble::Request(RequestError::TimedOut))
    }

    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Outcome {
        self.order(|ipvs| ipvs.set_timeouts(timeouts), PATIENCE)
    }

    fn flush(&mut self) -> Outcome {
        self.order(Ipvs::flush, PATIENCE)
    }

    fn buffer(&mut self, wanted: Option<ReceiveBuffer>) {
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(RECEIVE_BUFFER);
        match wanted {
            None => self.socket.enlarge(RECEIVE_BUFFER),
            Some(ReceiveBuffer::Forced(bytes)) => self.socket.enlarge(size(bytes)),
            Some(ReceiveBuffer::WithinLimit(bytes)) => self.socket.resize(size(bytes)),
        }
    }

    fn open_marks(&mut self) -> Result<(), OpenError> {
        self.nftables = Some(Socket::open(Protocol::Netfilter)?);
        Ok(())
    }

    fn can_mark(&self) -> bool {
        self.nftables.is_some()
    }

    fn mark(&mut self, marking: &Marking) -> Outcome {
        let left = self.left();
        let Some(socket) = &mut self.nftables else { return Outcome::Unanswered };
        let messages = match marking {
            Marking::Replace(table) => table.replace(),
            Marking::Remove(family, name) => MarkingTable::remove(*family, name),
        };
        match socket.transact(&messages, left) {
            Ok(()) => Outcome::Done,
            Err(RequestError::Refused(error)) => Outcome::Refused(error),
            Err(RequestError::Send(SendError::Os(errno))) => Outcome::Refused(KernelError::bare(errno)),
            Err(_) => Outcome::Unanswered,
        }
    }

    fn marks_generation(&mut self) -> Result<u32, Trouble> {
        let mut found = None;
        self.ask_nftables(&nftables::ask_generation(), |payload| found = nftables::generation(payload))?;
        found.ok_or(Trouble::Request(RequestError::TimedOut))
    }

    fn marks_found(&mut self, table: &MarkingTable) -> Result<Option<Found>, Trouble> {
        match self.read_marks(table) {
            Ok(found) => Ok(Some(found)),
            Err(Trouble::Request(RequestError::Refused(error))) if error.errno == Errno::ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Netlink {
    fn read_marks(&mut self, table: &MarkingTable) -> Result<Found, Trouble> {
        let mut found = Found::default();
        for question in [table.ask(), table.ask_chain()] {
            self.ask_nftables(&question, |payload| found.take_numbers(payload))?;
        }
        self.ask_nftables(&table.ask_rules(), |payload| found.take_rule(payload))?;
        for map in &table.maps {
            found.begin_map();
            // One more than there should be is enough to see that there are too many.
            let limit = map.elements.len().saturating_add(1);
            let question = table.ask_elements(map);
            self.ask_nftables(&question, |payload| found.take_elements(table.family, limit, payload))?;
            found.end_map();
        }
        Ok(found)
    }

    fn ask_nftables(&mut self, question: &Message, mut each: impl FnMut(&[u8])) -> Result<(), Trouble> {
        let left = self.left();
        let socket = self.nftables.as_mut().ok_or(Trouble::Absent)?;
        Ok(socket.dump(question, left, |_, payload| each(payload))?)
    }
}

fn message(ipvs: Ipvs, operation: &Operation) -> Message {
    match operation {
        Operation::AddService(service) => ipvs.add_service(service),
        Operation::EditService(service) => ipvs.edit_service(service),
        Operation::AddDestination(key, destination) => ipvs.add_destination(key, destination),
        Operation::RaiseDestination(key, destination) | Operation::LowerDestination(key, destination) => {
            ipvs.edit_destination(key, destination)
        }
        Operation::DeleteDestination(key, endpoint) => ipvs.delete_destination(key, endpoint),
        Operation::DeleteService(key) => ipvs.delete_service(key),
    }
}

/// Longest wait for the kernel in one call.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Longest wait for an answer about synchronisation daemons, of which there may be none: the kernel answers such an
/// order while it is being sent, or never.
pub const SYNC_PATIENCE: Duration = Duration::from_millis(200);

const RECEIVE_BUFFER: usize = 1024 * 1024;
const DUMPS: usize = 3;
