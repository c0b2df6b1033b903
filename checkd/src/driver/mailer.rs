//! Letters on their way: some connections to the mail server, never waiting.
//!
//! Does what [`crate::mail`] decides. Called by the driver with events and the time; replies are untrusted, each has an
//! absolute deadline, and reads are bounded per turn.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;

use config::model::mail::MailSettings;
use config::model::units::MonoTime;
use ipc::messages::Level;
use ipc::messages::checkd::Letter;
use ipc::reactor::Reactor;
use socket2::{Domain, Protocol, Socket, Type};

use crate::mail::delivery::{Delivery, End, Trouble};
use crate::mail::queue::{Fate, Queue};

/// Letters and the connections that carry them.
#[derive(Debug, Default)]
pub(super) struct Mailer {
    settings: Option<MailSettings>,
    queue: Queue,
    slots: [Option<Sending>; SLOTS],
    /// Letters that the parent was asked for at the end and has not handed over yet.
    awaited: usize,
}

/// One letter on its way.
#[derive(Debug)]
struct Sending {
    number: u64,
    socket: Socket,
    connected: bool,
    delivery: Delivery,
    output: Vec<u8>,
    deadline: MonoTime,
    /// Bytes may be left although no event will tell.
    unfinished: bool,
}

/// What the driver should tell the parent.
#[derive(Debug)]
pub(super) enum Report {
    /// A line for the log.
    Log(Level, String),
    /// The parent may forget a letter: delivered, or lost.
    Gone {
        /// Its number.
        number: u64,
        /// Somebody has it.
        delivered: bool,
    },
}

/// Connections at a time.
const SLOTS: usize = 4;
/// Key of the first connection in the loop; those of checks are small.
const FIRST_KEY: usize = usize::MAX - 16;
/// Most reads of one connection in one turn.
const READS: usize = 4;

impl Mailer {
    /// Uses the settings of another configuration. Where they differ all letters are tried at once; without settings none can.
    pub(super) fn configure(
        &mut self,
        settings: Option<&MailSettings>,
        now: MonoTime,
        reports: &mut Vec<Report>,
    ) {
        if self.settings.as_ref() != settings {
            self.halt();
            self.queue.hurry(now);
            self.settings = settings.cloned();
        }
        if self.settings.is_none() {
            let lost = self.queue.take_all();
            reports.extend(lost.into_iter().map(|number| Report::Gone { number, delivered: false }));
        }
    }

    /// So many letters more will come from the parent; [`Self::is_idle`] awaits them.
    pub(super) fn expect(&mut self, letters: usize) {
        self.awaited = self.awaited.saturating_add(letters);
    }

    /// Takes a letter.
    pub(super) fn add(&mut self, letter: Letter, now: MonoTime, reports: &mut Vec<Report>) {
        self.awaited = self.awaited.saturating_sub(1);
        let Some(number) = self.queue.add(letter, now) else { return };
        for slot in &mut self.slots {
            slot.take_if(|sending| sending.number == number);
        }
        reports.push(Report::Gone { number, delivered: false });
    }

    /// The connection that a key of the loop stands for.
    pub(super) fn slot_of(key: usize) -> Option<usize> {
        key.checked_sub(FIRST_KEY).filter(|slot| *slot < SLOTS)
    }

    /// When [`Self::advance`] has work without an event.
    pub(super) fn deadline(&self, now: MonoTime) -> Option<MonoTime> {
        if self.slots.iter().flatten().any(|sending| sending.unfinished) {
            return Some(now);
        }
        let running = self.slots.iter().flatten().map(|sending| sending.deadline).min();
        let has_room = self.settings.is_some() && self.slots.iter().any(Option::is_none);
        let next = if has_room { self.queue.deadline() } else { None };
        running.into_iter().chain(next).min()
    }

    /// No letter is on its way, due or expected.
    pub(super) fn is_idle(&self, now: MonoTime) -> bool {
        self.settings.is_none() || (self.awaited == 0 && !self.queue.is_busy(now))
    }

    /// Letters stay, connections don't.
    pub(super) fn halt(&mut self) {
        for sending in self.slots.iter_mut().filter_map(Option::take) {
            self.queue.put_back(sending.number);
        }
    }

    /// An event for a connection.
    pub(super) fn ready(&mut self, slot: usize, now: MonoTime, reports: &mut Vec<Report>) {
        let Self { settings: Some(settings), queue, slots, .. } = self else { return };
        let Some(Some(sending)) = slots.get_mut(slot) else { return };
        let end = match queue.letter(sending.number) {
            Some(letter) => sending.go_on(settings, letter, now, reports),
            None => Some(End::Later(Trouble::Closed)),
        };
        if let Some(end) = end {
            self.end(slot, &end, now, reports);
        }
    }

    /// Ends late attempts and starts due letters.
    pub(super) fn advance(&mut self, reactor: &Reactor, now: MonoTime, reports: &mut Vec<Report>) {
        for slot in 0..SLOTS {
            if self
                .slots
                .get(slot)
                .is_some_and(|slot| slot.as_ref().is_some_and(|sending| sending.unfinished))
            {
                self.ready(slot, now, reports);
            }
            let Some(Some(sending)) = self.slots.get(slot) else { continue };
            if now >= sending.deadline {
                let trouble = if sending.connected { Trouble::ReplyTimeout } else { Trouble::ConnectTimeout };
                self.end(slot, &End::Later(trouble), now, reports);
            }
        }
        for slot in 0..SLOTS {
            if self.slots.get(slot).is_some_and(Option::is_none) {
                self.start(slot, reactor, now, reports);
            }
        }
    }

    fn start(&mut self, slot: usize, reactor: &Reactor, now: MonoTime, reports: &mut Vec<Report>) {
        let Some(settings) = &self.settings else { return };
        let Some((number, left)) = self.queue.next(now) else { return };
        let recipients = if left.is_empty() { settings.recipients.clone() } else { left };
        let socket = connect(settings).and_then(|socket| {
            reactor.watch(socket.as_raw_fd(), FIRST_KEY.saturating_add(slot))?;
            Ok(socket)
        });
        match (socket, self.slots.get_mut(slot)) {
            (Ok(socket), Some(free)) => {
                let deadline = now + settings.timeout;
                let delivery = Delivery::new(recipients);
                *free = Some(Sending {
                    number,
                    socket,
                    connected: false,
                    delivery,
                    output: Vec::new(),
                    deadline,
                    unfinished: false,
                });
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                self.settle(number, &End::Later(Trouble::Connect(error.kind())), now, reports);
            }
        }
    }

    fn end(&mut self, slot: usize, end: &End, now: MonoTime, reports: &mut Vec<Report>) {
        if let Some(sending) = self.slots.get_mut(slot).and_then(Option::take) {
            self.settle(sending.number, end, now, reports);
        }
    }

    fn settle(&mut self, number: u64, end: &End, now: MonoTime, reports: &mut Vec<Report>) {
        let subject = self.queue.letter(number).map(|letter| letter.subject.clone()).unwrap_or_default();
        let Some(fate) = self.queue.settle(number, end, now) else { return };
        let server = self.settings.as_ref().map_or_else(String::new, name);
        match end {
            End::Delivered { later, refused, code } if *refused > 0 || !later.is_empty() => {
                let later = later.len();
                reports.push(Report::Log(
                    Level::Warning,
                    format!(
                        "SMTP alert \"{subject}\": Remote SMTP server {server} refused {refused} recipients and put \
                         off {later}, last code = {code}"
                    ),
                ));
            }
            End::Delivered { .. } => {
                reports.push(Report::Log(Level::Info, "SMTP alert successfully sent.".to_owned()));
            }
            End::Later(trouble) | End::Never(trouble) => match fate {
                Fate::Waits(true) => reports.push(Report::Log(
                    Level::Warning,
                    format!("SMTP alert \"{subject}\": {}; it is tried again", trouble.told(&server)),
                )),
                Fate::Waits(false) | Fate::Delivered => {}
                Fate::Lost => reports.push(Report::Log(
                    Level::Error,
                    format!("SMTP alert \"{subject}\" is lost: {}", trouble.told(&server)),
                )),
            },
        }
        match fate {
            Fate::Delivered => reports.push(Report::Gone { number, delivered: true }),
            Fate::Lost => reports.push(Report::Gone { number, delivered: false }),
            Fate::Waits(_) => {}
        }
    }
}

impl Sending {
    fn go_on(
        &mut self,
        settings: &MailSettings,
        letter: &Letter,
        now: MonoTime,
        reports: &mut Vec<Report>,
    ) -> Option<End> {
        if !self.connected {
            match self.socket.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Some(End::Later(Trouble::Connect(error.kind()))),
            }
            self.connected = true;
            self.deadline = now + settings.timeout;
            reports
                .push(Report::Log(Level::Info, format!("Remote SMTP server {} connected.", name(settings))));
        }
        self.unfinished = false;
        let mut buffer = [0; 2048];
        for _ in 0..READS {
            if let Err(end) = self.flush() {
                return Some(end);
            }
            let mut stream = &self.socket;
            match stream.read(&mut buffer) {
                Ok(0) => return Some(End::Later(Trouble::Closed)),
                Ok(got) => {
                    let said = self.output.len();
                    let bytes = buffer.get(..got).unwrap_or_default();
                    let end = self.delivery.receive(settings, letter, bytes, &mut self.output);
                    if end.is_some() {
                        // The last word is a courtesy: nobody waits for it.
                        let _sent = self.flush();
                        return end;
                    }
                    if self.output.len() > said {
                        self.deadline = now + settings.timeout;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(End::Later(Trouble::Closed)),
            }
        }
        self.unfinished = true;
        None
    }

    fn flush(&mut self) -> Result<(), End> {
        let mut stream = &self.socket;
        while !self.output.is_empty() {
            match stream.write(&self.output) {
                Ok(written) => {
                    self.output.drain(..written.min(self.output.len()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Later(Trouble::Closed)),
            }
        }
        Ok(())
    }
}

fn connect(settings: &MailSettings) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(settings.server), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    match socket.connect(&settings.server.into()) {
        Ok(()) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

fn name(settings: &MailSettings) -> String {
    format!("[{}]:{}", settings.server.ip(), settings.server.port())
}
