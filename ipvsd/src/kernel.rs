//! The kernel's table over generic netlink: reads it, and does operations with an answer for each.
//!
//! Does what it is told and nothing by itself. Waits for the kernel, at most [`PATIENCE`] per call; the kernel does a
//! request while it is being sent, so a wait means that an answer is lost. Called by [`crate::keeper`], through a trait
//! so that a test can stand in for the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::MonoTime;
use netlink::frame::Message;
use netlink::generic::{self, ResolveError};
use netlink::ipvs::{Destination, FAMILY, Ipvs, Key, Service};
use netlink::socket::{OpenError, Outcome, Protocol, ReceiveError, RequestError, Socket};

use crate::reconcile::Operation;

/// A kernel's table and its clock.
pub trait KernelTable {
    /// Time by the clock that deadlines refer to.
    fn now(&self) -> MonoTime;

    /// Looks whether the kernel has IPVS; loads the module where it can be loaded. Called again after any trouble.
    ///
    /// # Errors
    /// It has not.
    fn open(&mut self) -> Result<(), Trouble>;

    /// The services whose keys are `wanted`; memory is bounded by how many those are.
    ///
    /// # Errors
    /// The table could not be read whole.
    fn services(&mut self, wanted: &dyn Fn(&Key) -> bool) -> Result<BTreeMap<Key, Service>, Trouble>;

    /// All destinations of a service; none when it doesn't exist.
    ///
    /// # Errors
    /// They could not be read whole.
    fn destinations(&mut self, key: &Key) -> Result<Vec<Destination>, Trouble>;

    /// Does operations in order, going on after one that is refused; an outcome for each.
    fn write(&mut self, operations: &[Operation]) -> Vec<Outcome>;
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
    clock: fn() -> MonoTime,
}

impl Netlink {
    /// Opens the socket; the only thing here that a confined process can't do.
    ///
    /// # Errors
    /// The kernel has no generic netlink, or no descriptor is left.
    pub fn new(clock: fn() -> MonoTime) -> Result<Self, OpenError> {
        let mut socket = Socket::open(Protocol::Generic)?;
        socket.enlarge(RECEIVE_BUFFER);
        Ok(Self { socket, ipvs: None, clock })
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
        let clock = self.clock;
        let end = clock() + PATIENCE;
        move || end.since(clock())
    }
}

impl KernelTable for Netlink {
    fn now(&self) -> MonoTime {
        (self.clock)()
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

    fn services(&mut self, wanted: &dyn Fn(&Key) -> bool) -> Result<BTreeMap<Key, Service>, Trouble> {
        let mut found = BTreeMap::new();
        self.dump(Ipvs::dump_services, |ipvs, reply| match reply {
            None => found.clear(),
            Some((kind, payload)) => {
                let entry = ipvs.read_service(kind, payload).filter(|entry| wanted(&entry.service.key));
                found.extend(entry.map(|entry| (entry.service.key, entry.service)));
            }
        })?;
        Ok(found)
    }

    fn destinations(&mut self, key: &Key) -> Result<Vec<Destination>, Trouble> {
        let mut found = Vec::new();
        self.dump(
            |ipvs| ipvs.dump_destinations(key),
            |ipvs, reply| match reply {
                None => found.clear(),
                Some((kind, payload)) => {
                    let entry = ipvs.read_destination(kind, payload, key.family());
                    found.extend(entry.map(|entry| entry.destination));
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

const RECEIVE_BUFFER: usize = 1024 * 1024;
const DUMPS: usize = 3;
