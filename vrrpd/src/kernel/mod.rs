//! What the kernel knows of links and addresses, and what it is told about addresses.
//!
//! Two netlink sockets: one only listens, one only asks. `link` is the table of what was heard, `address` turns
//! configured addresses into requests. Decides nothing about VRRP. Called by the driver; replies come from the
//! kernel.

pub mod address;
pub mod delays;
pub mod link;
pub mod route;

use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use ipc::reactor::now;
use netlink::route::{Group, RouteEvent};
use netlink::socket::{OpenError, Outcome, Protocol, ReceiveError, RequestError, Socket};
use nix::errno::Errno;

use address::Order;
use config::model::buffers::{Buffer, Buffers};
use config::model::network::Statics;
use config::model::units::MonoTime;
use config::model::vrrp::LinkDelay;
use delays::Delays;
use link::{Links, Place};

/// Most address requests in one step, so that adverts go out between steps.
pub const STEP: usize = 64;

/// Longest wait for the kernel's answer to one step; it answers at once or never.
const PATIENCE: Duration = Duration::from_millis(200);

/// Longest wait for the answer to nothing; it is there before the request returns.
const REHEARSAL: Duration = Duration::from_micros(100);

/// Bytes of events that may wait for us.
const EVENT_BUFFER: usize = 4 * 1024 * 1024;

/// Datagrams of events read in one turn of the loop.
const MAX_DATAGRAMS: usize = 64;

/// The kernel's tables as far as they concern us.
#[derive(Debug)]
pub struct Kernel {
    events: Socket,
    requests: Socket,
    links: Links,
    delays: Delays,
    follows_routes: bool,
}

/// Answer to one order about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done now.
    Done,
    /// It was so already.
    Already,
    /// The kernel refused, in its words.
    Refused(String),
    /// The same for a reason that lies in what was asked for, not in the moment: it would refuse again.
    Impossible(String),
}

impl Kernel {
    /// Opens both sockets and reads the tables.
    ///
    /// # Errors
    /// No netlink, or no answer.
    pub fn open() -> Result<Self, KernelError> {
        let mut events = Socket::open(Protocol::Route)?;
        events.enlarge(EVENT_BUFFER);
        for group in Group::LINKS_AND_ADDRESSES {
            events.join(group.number())?;
        }
        events.join(Group::FORWARDING.number())?;
        let mut requests = Socket::open(Protocol::Route)?;
        requests.enlarge(EVENT_BUFFER);
        let mut kernel = Self {
            events,
            requests,
            links: Links::default(),
            delays: Delays::default(),
            follows_routes: false,
        };
        kernel.read_tables()?;
        Ok(kernel)
    }

    /// Makes the receive buffers of both sockets as large as the configuration says.
    pub fn size(&mut self, buffers: &Buffers) {
        size(&mut self.requests, buffers.requests);
        size(&mut self.events, buffers.events);
    }

    /// Hears of removed routes from now on; asked for only when there are some, since others may have a million.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn follow_routes(&mut self) -> Result<(), OpenError> {
        if !std::mem::replace(&mut self.follows_routes, true) {
            for group in Group::ROUTES {
                self.events.join(group.number())?;
            }
        }
        Ok(())
    }

    /// For the reactor: readable when something has changed.
    #[must_use]
    pub fn events_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }

    /// What is known.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Reads the tables afresh.
    ///
    /// # Errors
    /// The kernel doesn't answer.
    pub fn read_tables(&mut self) -> Result<(), RequestError> {
        let mut last = RequestError::Interrupted;
        for _ in 0..3 {
            match self.try_read_tables() {
                Ok(()) => return Ok(()),
                Err(error @ RequestError::Interrupted) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn try_read_tables(&mut self) -> Result<(), RequestError> {
        let mut links = Links::default();
        for question in [netlink::route::dump_links(), netlink::route::dump_addresses()] {
            self.requests.dump(&question, patience(Duration::from_secs(2)), |kind, payload| {
                if let Some(event) = netlink::route::decode(kind, payload) {
                    links.apply(event);
                }
            })?;
        }
        let forwarding = netlink::route::dump_forwarding();
        let answer = self.requests.dump(&forwarding, patience(Duration::from_secs(2)), |kind, payload| {
            if let Some(event) = netlink::route::decode(kind, payload) {
                links.apply(event);
            }
        });
        match answer {
            // A kernel without IPv6 has no such table.
            Ok(()) | Err(RequestError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        links.trust(self.links.trusted());
        links.count(self.links.counted().clone());
        self.links = links;
        Ok(())
    }

    /// Adverts may come from static addresses, although we put them there.
    pub fn follow_statics(&mut self, statics: &Statics) {
        self.links.trust(statics.addresses.iter().map(|address| address.network.ip()).collect());
    }

    /// Changes of these interfaces count after their delays.
    pub fn delay(&mut self, delays: Vec<LinkDelay>, now: MonoTime) {
        self.delays.configure(delays);
        self.delays.follow(&mut self.links, now);
    }

    /// Compares what interfaces are with what counts of them; true when that has changed.
    pub fn follow_delays(&mut self, now: MonoTime) -> bool {
        self.delays.follow(&mut self.links, now)
    }

    /// When [`Self::follow_delays`] must be called again.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<MonoTime> {
        self.delays.poll_deadline()
    }

    /// Takes in what has changed, a bounded number of events; true in the second place when more may wait.
    ///
    /// # Errors
    /// The kernel doesn't answer after events were lost.
    pub fn hear(&mut self) -> Result<(Vec<RouteEvent>, bool), RequestError> {
        let mut heard = Vec::new();
        for _ in 0..MAX_DATAGRAMS {
            match self.events.receive() {
                Ok(None) => return Ok((heard, false)),
                Ok(Some(replies)) => {
                    for reply in replies {
                        if let netlink::frame::Content::Object { kind, payload, .. } = reply.content {
                            heard.extend(netlink::route::decode(kind, payload));
                        }
                    }
                }
                Err(ReceiveError::Overrun | ReceiveError::Truncated { .. }) => {
                    self.read_tables()?;
                    return Ok((Vec::new(), true));
                }
                Err(error @ ReceiveError::Os(_)) => return Err(error.into()),
            }
        }
        Ok((heard, true))
    }

    /// Asks the kernel nothing and hears its answer: the way of an order without the order.
    pub fn rehearse(&mut self) {
        // Whoever can't be asked now is told so when there is something to ask.
        let _ = self.requests.request(&[netlink::route::nothing()], patience(REHEARSAL));
    }

    /// Enters one event into the table.
    pub fn note(&mut self, event: RouteEvent) {
        self.links.apply(event);
    }

    /// Has up to [`STEP`] orders done, and says what became of each.
    pub fn order(&mut self, orders: &[Order]) -> Vec<Answer> {
        let messages: Vec<_> = orders.iter().map(Order::message).collect();
        let answers: Vec<Answer> = match self.requests.request(&messages, patience(PATIENCE)) {
            Ok(outcomes) => {
                orders.iter().zip(outcomes).map(|(order, outcome)| judge(order, outcome)).collect()
            }
            Err(error) => vec![Answer::Refused(error.to_string()); orders.len()],
        };
        for (order, answer) in orders.iter().zip(&answers) {
            // Known before the event comes, so that it can be put back with other options at once.
            if let (Order::Remove(spec), Answer::Done | Answer::Already) = (order, answer) {
                self.links.forget(&Place::of_spec(spec));
            }
        }
        answers
    }
}

fn size(socket: &mut Socket, buffer: Buffer) {
    match buffer.bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(bytes) if buffer.forced => socket.enlarge(bytes),
        Some(bytes) => socket.resize(bytes),
        None => socket.enlarge(EVENT_BUFFER),
    }
}

/// Asks the clock how much of a wait is left.
fn patience(limit: Duration) -> impl FnMut() -> Duration {
    let deadline = now() + limit;
    move || deadline.since(now())
}

/// What the kernel says to attributes that don't go together, to options that it doesn't know, and to IPv6 where that is
/// switched off.
const IMPOSSIBLE: [Errno; 4] = [Errno::EINVAL, Errno::EOPNOTSUPP, Errno::EACCES, Errno::EAFNOSUPPORT];

fn judge(order: &Order, outcome: Outcome) -> Answer {
    let harmless = match order {
        Order::Add(_) | Order::Renew(_) | Order::AddRoute(_) => Errno::EEXIST,
        Order::Remove(_) => Errno::EADDRNOTAVAIL,
        Order::RemoveRoute(_) => Errno::ESRCH,
    };
    let removes = matches!(order, Order::Remove(_) | Order::RemoveRoute(_));
    match outcome {
        Outcome::Done => Answer::Done,
        Outcome::Refused(error) if error.errno == harmless => Answer::Already,
        // The interface has taken its addresses with it.
        Outcome::Refused(error) if removes && error.errno == Errno::ENODEV => Answer::Already,
        Outcome::Refused(error) if IMPOSSIBLE.contains(&error.errno) => Answer::Impossible(error.to_string()),
        Outcome::Refused(error) => Answer::Refused(error.to_string()),
        Outcome::Unanswered => Answer::Refused("no answer in time".to_owned()),
    }
}

/// Why the kernel's tables can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A socket could not be set up.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The tables could not be read.
    #[error("reading links and addresses: {0}")]
    Read(#[from] RequestError),
}
