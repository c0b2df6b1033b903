//! A parent for one ipvsd: starts it confined, as another user, speaks to it, reads the kernel's table behind its back.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use config::model::parts::{IpvsHead, IpvsService};
use config::model::units::Generation;
use ipc::channel::Channel;
use ipc::memfd::{self, RecordWriter};
use ipc::messages::checkd::{DesiredEntry, MAX_BATCH};
use ipc::messages::ipvsd::{IpvsdToParent, ParentToIpvsd, TableState};
use ipc::messages::{FromDaemon, ToDaemon};
use ipc::reactor::{self, Reactor};
use ipvsd::kernel::{KernelTable, Netlink};
use netlink::ipvs::{Endpoint, Key};
use sandbox::profile::IPVSD;
use sandbox::system::process::{Ending, pidfd_send_signal, wait_pidfd};
use sandbox::user::Ids;
use sandbox::{SpawnSpec, Spawned, spawn};

/// One ipvsd and the parent's end of its channel.
pub(crate) struct Daemon {
    channel: Channel<ParentToIpvsd, IpvsdToParent>,
    reactor: Reactor,
    process: Spawned,
    /// Reason of the last message that the table isn't there.
    confined: bool,
    unavailable: Option<String>,
}

impl Daemon {
    /// Starts the program; it is confined when it has read its first list.
    pub(crate) fn start(executable: &Path) -> Result<Self, Box<dyn Error>> {
        let (ours, theirs) = UnixStream::pair()?;
        let process = spawn(&SpawnSpec {
            executable,
            argv0: "ipvsd",
            arguments: &[],
            profile: &IPVSD,
            identity: Some(Ids { uid: 64_321, gid: 64_321 }),
            channel: theirs.into(),
            realtime: None,
            environment: &[],
        })?;
        let channel = Channel::new(ours, false)?;
        let reactor = Reactor::new()?;
        reactor.watch_reads(channel.as_raw_fd(), 1)?;
        Ok(Self { channel, reactor, process, unavailable: None, confined: false })
    }

    /// Process id.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Reads messages until one is as wanted, for at most 20 s; log lines and refusals are errors.
    fn until<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&IpvsdToParent) -> Option<T>,
    ) -> Result<T, Box<dyn Error>> {
        let deadline = reactor::now() + Duration::from_secs(20);
        loop {
            while let Some((message, _)) = self.channel.receive()? {
                if let IpvsdToParent::Table(TableState::Unavailable(why)) = &message {
                    self.unavailable = Some(why.clone());
                }
                if let Some(found) = wanted(&message) {
                    return Ok(found);
                }
                if let IpvsdToParent::Common(FromDaemon::Log { text, .. }) = &message {
                    crate::say("log", text)?;
                }
                if matches!(
                    message,
                    IpvsdToParent::Common(FromDaemon::Refused { .. } | FromDaemon::UnknownCalls { .. })
                ) {
                    return Err(format!("while waiting for {what}: {message:?}").into());
                }
            }
            if self.reactor.turn(Some(deadline), &mut Vec::new())? >= deadline {
                return Err(format!("no {what} within 20 s").into());
            }
        }
    }

    /// Waits for a table that is in step as wanted.
    pub(crate) fn in_step(&mut self, wanted: impl Fn(u32, u32, u64) -> bool) -> Result<(), Box<dyn Error>> {
        self.until("table in step", |message| match message {
            IpvsdToParent::Table(TableState::InStep { services, destinations, repaired }) => {
                wanted(*services, *destinations, *repaired).then_some(())
            }
            IpvsdToParent::Table(TableState::Unavailable(_) | TableState::Failing { .. })
            | IpvsdToParent::Common(_)
            | IpvsdToParent::Written(_)
            | IpvsdToParent::RefusedEntries(_)
            | IpvsdToParent::Statistics { .. } => None,
        })
    }

    /// Waits for a table that is failing; gives the number of pending entries.
    pub(crate) fn failing(&mut self) -> Result<u32, Box<dyn Error>> {
        self.until("failing table", |message| match message {
            IpvsdToParent::Table(TableState::Failing { pending, .. }) => Some(*pending),
            IpvsdToParent::Table(TableState::Unavailable(_) | TableState::InStep { .. })
            | IpvsdToParent::Common(_)
            | IpvsdToParent::Written(_)
            | IpvsdToParent::RefusedEntries(_)
            | IpvsdToParent::Statistics { .. } => None,
        })
    }

    /// Why the table isn't there, if the daemon has said so.
    pub(crate) fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    fn answer(&mut self, expected: &FromDaemon) -> Result<(), Box<dyn Error>> {
        self.until("answer", |message| match message {
            IpvsdToParent::Common(found) => (found == expected).then_some(()),
            IpvsdToParent::Table(_)
            | IpvsdToParent::Written(_)
            | IpvsdToParent::RefusedEntries(_)
            | IpvsdToParent::Statistics { .. } => None,
        })
    }

    /// Prepares and commits a list.
    pub(crate) fn configure(
        &mut self,
        generation: u64,
        services: &[IpvsService],
    ) -> Result<(), Box<dyn Error>> {
        let generation = Generation::new(generation);
        let mut writer = RecordWriter::new(memfd::create("exercise")?);
        writer.write(&IpvsHead {
            services: u32::try_from(services.len())?,
            settings: config::model::ipvs::IpvsSettings::default(),
        })?;
        for service in services {
            writer.write(service)?;
        }
        let fd = writer.finish()?;
        memfd::seal(fd.as_fd())?;
        self.channel.send(&ParentToIpvsd::Common(ToDaemon::Prepare { generation }), &[fd.as_fd()])?;
        if !std::mem::replace(&mut self.confined, true) {
            self.until("Confined", |message| match message {
                IpvsdToParent::Common(FromDaemon::Confined(confined)) => confined.seccomp.then_some(()),
                IpvsdToParent::Common(_)
                | IpvsdToParent::Table(_)
                | IpvsdToParent::Written(_)
                | IpvsdToParent::RefusedEntries(_)
                | IpvsdToParent::Statistics { .. } => None,
            })?;
        }
        self.answer(&FromDaemon::Prepared(generation))?;
        self.order(ToDaemon::Commit(generation))?;
        self.answer(&FromDaemon::Committed(generation))
    }

    /// Sends entries in as many messages as they need.
    pub(crate) fn desire(
        &mut self,
        generation: u64,
        entries: &[DesiredEntry],
        complete: bool,
    ) -> Result<(), Box<dyn Error>> {
        let generation = Generation::new(generation);
        let last = entries.chunks(MAX_BATCH).count().saturating_sub(1);
        for (number, chunk) in entries.chunks(MAX_BATCH).enumerate() {
            let complete = complete && number == last;
            self.channel
                .send(&ParentToIpvsd::Desired { generation, entries: chunk.to_vec(), complete }, &[])?;
        }
        Ok(())
    }

    /// Sends an order and waits for its answer.
    pub(crate) fn obey(&mut self, order: ToDaemon, answer: &FromDaemon) -> Result<(), Box<dyn Error>> {
        self.order(order)?;
        self.answer(answer)
    }

    fn order(&mut self, order: ToDaemon) -> Result<(), Box<dyn Error>> {
        Ok(self.channel.send(&ParentToIpvsd::Common(order), &[])?)
    }

    /// Kills the process.
    pub(crate) fn kill(self) -> Result<Ending, Box<dyn Error>> {
        pidfd_send_signal(self.process.pidfd.as_fd(), 9)?;
        self.end()
    }

    /// Waits for the process's end, at most 20 s.
    pub(crate) fn end(mut self) -> Result<Ending, Box<dyn Error>> {
        self.reactor.watch_reads(self.process.pidfd.as_raw_fd(), 2)?;
        let deadline = reactor::now() + Duration::from_secs(20);
        loop {
            if let Some(ending) = wait_pidfd(self.process.pidfd.as_fd())? {
                return Ok(ending);
            }
            if self.reactor.turn(Some(deadline), &mut Vec::new())? >= deadline {
                return Err("the process doesn't end".into());
            }
        }
    }
}

/// The kernel's table as it is, by the exercise's own socket: weights by endpoint by key.
pub(crate) fn table(kernel: &mut Netlink) -> Result<BTreeMap<Key, BTreeMap<Endpoint, u32>>, Box<dyn Error>> {
    let services = kernel.services(&|_| true)?;
    let mut found = BTreeMap::new();
    for key in services.into_keys() {
        let servers = kernel.destinations(&key)?;
        found.insert(
            key,
            servers.iter().map(|server| (server.destination.endpoint, server.destination.weight)).collect(),
        );
    }
    Ok(found)
}
