//! The parent's side of the conversation, and models to send.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use checkd::driver::{self, DriverError, End};
use config::model::check::{
    Check, CheckKind, Endpoint, HttpCheck, HttpProtocol, HttpUrl, RealServer, VirtualServer,
};
use config::model::ipvs::{Destination, Forwarding, Protocol, ServiceKey, ServiceOptions};
use config::model::mail::MailSettings;
use config::model::parts::{CheckHead, ServerRef};
use config::model::tls::TlsFiles;
use config::model::units::{CheckId, Generation, MonoTime, ScriptId, Weight};
use ipc::channel::Channel;
use ipc::memfd::{self, RecordWriter};
use ipc::messages::checkd::{CheckdToParent, ParentToCheckd};
use ipc::messages::{FromDaemon, ToDaemon};
use ipc::reactor;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::profile::CHECKD;
use sandbox::system::process::{Ending, wait_pidfd};
use sandbox::{Confinement, SpawnSpec, Spawned};

/// How long a test waits for a message before it fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a check waits for an answer that comes: however busy this machine is, no such answer is late.
pub const AMPLE: Duration = Duration::from_secs(30);
/// How long a check waits for an answer that never comes.
pub const SHORT: Duration = Duration::from_secs(1);

enum Daemon {
    /// On a thread, not confined.
    Thread(JoinHandle<Result<End, DriverError>>),
    /// The program itself, in its sandbox.
    Process(Spawned),
}

/// A driver, and what it said so far.
pub struct Parent {
    channel: Channel<ParentToCheckd, CheckdToParent>,
    daemon: Daemon,
    /// The table as the messages describe it.
    pub table: BTreeMap<(u32, Option<u32>), u32>,
    /// Entries of a whole that is not complete yet.
    whole: BTreeMap<(u32, Option<u32>), u32>,
    fresh: bool,
    /// Everything that came.
    pub seen: Vec<CheckdToParent>,
}

impl Parent {
    /// Starts a driver; `tcp` pretends that landlock restricts ports.
    pub fn start(tcp: bool) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            driver::run(driver::Link::greet(theirs).unwrap(), move |_grants| {
                Ok(Confinement { landlock_abi: 0, file_system: false, tcp, scopes: false, seccomp: false })
            })
        });
        Self::of(ours, Daemon::Thread(thread))
    }

    /// Starts the program as the parent does, so that it confines itself.
    pub fn start_confined() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let spawned = sandbox::spawn(&SpawnSpec {
            executable: Path::new(env!("CARGO_BIN_EXE_checkd")),
            argv0: "checkd",
            arguments: &[],
            profile: &CHECKD,
            identity: None,
            channel: theirs.into(),
            realtime: None,
            environment: &[],
        })
        .unwrap();
        Self::of(ours, Daemon::Process(spawned))
    }

    fn of(socket: UnixStream, daemon: Daemon) -> Self {
        Self {
            channel: Channel::new(socket, false).unwrap(),
            daemon,
            table: BTreeMap::new(),
            whole: BTreeMap::new(),
            fresh: true,
            seen: Vec::new(),
        }
    }

    pub fn send(&mut self, message: impl Into<ParentToCheckd>) {
        self.channel.send(&message.into(), &[]).unwrap();
    }

    pub fn prepare(&mut self, generation: u64, services: &[VirtualServer]) {
        self.prepare_file(generation, sealed(services));
    }

    pub fn prepare_file(&mut self, generation: u64, file: OwnedFd) {
        let generation = Generation::new(generation);
        let message = ParentToCheckd::Common(ToDaemon::Prepare { generation });
        self.channel.send(&message, &[file.as_fd()]).unwrap();
    }

    /// Prepare, commit, and the whole table.
    pub fn load(&mut self, generation: u64, services: &[VirtualServer]) {
        self.load_file(generation, sealed(services));
    }

    /// The same for a sealed model.
    pub fn load_file(&mut self, generation: u64, file: OwnedFd) {
        let number = Generation::new(generation);
        self.prepare_file(generation, file);
        self.until(|message| *message == CheckdToParent::Common(FromDaemon::Prepared(number)));
        self.send(ToDaemon::Commit(number));
        self.until(
            |message| matches!(message, CheckdToParent::Desired { generation, complete: true, .. } if *generation == number),
        );
    }

    /// Waits for a message; everything before it is taken into account.
    pub fn until(&mut self, wanted: impl Fn(&CheckdToParent) -> bool) -> CheckdToParent {
        let deadline = reactor::now() + PATIENCE;
        loop {
            let message = self.next(deadline);
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Waits until the table is as wanted.
    pub fn until_table(&mut self, wanted: &[(u32, Option<u32>, u32)]) {
        let wanted: BTreeMap<_, _> =
            wanted.iter().map(|&(service, server, weight)| ((service, server), weight)).collect();
        let deadline = reactor::now() + PATIENCE;
        while self.table != wanted {
            assert!(
                reactor::now() < deadline,
                "table is {:?}, wanted {wanted:?}\n{:#?}",
                self.table,
                self.logs()
            );
            self.next(deadline);
        }
    }

    /// Waits for a log line that contains `text`.
    pub fn until_log(&mut self, text: &str) {
        self.until(|message| {
            matches!(message, CheckdToParent::Common(FromDaemon::Log { text: line, .. }) if line.contains(text))
        });
    }

    /// Waits for a log line like that, unless one has come already.
    pub fn until_told(&mut self, like: impl Fn(&str) -> bool) {
        let deadline = reactor::now() + PATIENCE;
        while !self.logs().iter().any(|line| like(line)) {
            self.next(deadline);
        }
    }

    /// Waits until the checks below this number have all given a result, and the table is as wanted.
    pub fn until_judged(&mut self, checks: u32, wanted: &[(u32, Option<u32>, u32)]) {
        let deadline = reactor::now() + PATIENCE;
        let mut open: BTreeSet<u32> = (0..checks).collect();
        let mut looked_at = 0;
        loop {
            for message in &self.seen[looked_at..] {
                let CheckdToParent::Verdicts { verdicts, .. } = message else { continue };
                for verdict in verdicts.iter().filter(|verdict| verdict.tested) {
                    open.remove(&verdict.check.value());
                }
            }
            looked_at = self.seen.len();
            if open.is_empty() {
                return self.until_table(wanted);
            }
            self.next(deadline);
        }
    }

    pub fn logs(&self) -> Vec<&str> {
        self.seen
            .iter()
            .filter_map(|message| match message {
                CheckdToParent::Common(FromDaemon::Log { text, .. }) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub fn notified(&self) -> Vec<u32> {
        self.seen
            .iter()
            .filter_map(|message| match message {
                CheckdToParent::RunNotify { script, .. } => Some(script.value()),
                _ => None,
            })
            .collect()
    }

    /// Answers that come before the answer to a ping.
    pub fn settle(&mut self) {
        self.send(ToDaemon::Ping(4711));
        self.until(|message| *message == CheckdToParent::Common(FromDaemon::Pong(4711)));
    }

    /// Process id of a confined daemon.
    pub fn pid(&self) -> i32 {
        match &self.daemon {
            Daemon::Thread(_) => unreachable!(),
            Daemon::Process(process) => process.pid,
        }
    }

    /// Closes the socket: how the daemon on its thread ends then.
    pub fn end(self) -> End {
        drop(self.channel);
        match self.daemon {
            Daemon::Thread(thread) => thread.join().unwrap().unwrap(),
            Daemon::Process(_) => unreachable!(),
        }
    }

    /// Closes the socket: how the process ends then.
    pub fn exit(self) -> Ending {
        drop(self.channel);
        match self.daemon {
            Daemon::Thread(_) => unreachable!(),
            Daemon::Process(process) => {
                let pidfd = process.pidfd.as_fd();
                loop {
                    poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::MAX).unwrap();
                    // Whoever traces it hears of its end before its parent does.
                    if let Some(ending) = wait_pidfd(pidfd).unwrap() {
                        return ending;
                    }
                }
            }
        }
    }

    /// How the daemon on its thread ended, without closing the socket.
    pub fn ended(self) -> Result<End, DriverError> {
        match self.daemon {
            Daemon::Thread(thread) => thread.join().unwrap(),
            Daemon::Process(_) => unreachable!(),
        }
    }

    fn next(&mut self, deadline: MonoTime) -> CheckdToParent {
        loop {
            self.channel.flush().unwrap();
            if let Some((message, _)) = self.channel.receive().unwrap_or_else(|error| {
                panic!("{error}; so far: {:#?}", self.seen);
            }) {
                self.take(&message);
                self.seen.push(message.clone());
                return message;
            }
            let left = deadline.since(reactor::now());
            assert!(!left.is_zero(), "no message in time; so far: {:#?}", self.seen);
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            poll(&mut [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)], timeout).unwrap();
        }
    }

    fn take(&mut self, message: &CheckdToParent) {
        let CheckdToParent::Desired { entries, complete, .. } = message else {
            if matches!(message, CheckdToParent::Common(FromDaemon::Committed(_))) {
                self.fresh = true;
                self.whole.clear();
            }
            return;
        };
        let table = if self.fresh { &mut self.whole } else { &mut self.table };
        for entry in entries {
            let server = match entry.server {
                ServerRef::Real(id) => Some(id.value()),
                ServerRef::Sorry => None,
            };
            let key = (entry.service.value(), server);
            match entry.presence {
                Some(weight) => table.insert(key, weight.value()),
                None => table.remove(&key),
            };
        }
        if *complete {
            self.fresh = false;
            self.table = std::mem::take(&mut self.whole);
        }
    }
}

impl AsRawFd for Parent {
    fn as_raw_fd(&self) -> i32 {
        self.channel.as_raw_fd()
    }
}

/// A sealed model, its checkers numbered as the config worker does.
pub fn sealed(services: &[VirtualServer]) -> OwnedFd {
    sealed_all(services, false, None)
}

/// The same with `rs_init_notifies`.
pub fn sealed_with(services: &[VirtualServer], init_notifies: bool) -> OwnedFd {
    sealed_all(services, init_notifies, None)
}

/// The same, with certificates and keys.
pub fn sealed_tls(services: &[VirtualServer], tls: TlsFiles) -> OwnedFd {
    sealed_head(services, false, None, tls)
}

/// The same, with settings of mail.
pub fn sealed_mail(services: &[VirtualServer], mail: Option<MailSettings>) -> OwnedFd {
    sealed_all(services, false, mail)
}

fn sealed_all(services: &[VirtualServer], init_notifies: bool, mail: Option<MailSettings>) -> OwnedFd {
    sealed_head(services, init_notifies, mail, TlsFiles::default())
}

fn sealed_head(
    services: &[VirtualServer],
    init_notifies: bool,
    mail: Option<MailSettings>,
    tls: TlsFiles,
) -> OwnedFd {
    let mut services = services.to_vec();
    let checks = services.iter_mut().flat_map(|s| &mut s.real_servers).flat_map(|s| &mut s.checks);
    let mut count = 0;
    for check in checks {
        check.id = CheckId::new(count);
        count += 1;
    }
    let mut writer = RecordWriter::new(memfd::create("test").unwrap());
    let virtual_servers = u32::try_from(services.len()).unwrap();
    writer
        .write(&CheckHead { virtual_servers, checks: count, init_notifies, mail: mail.map(Box::new), tls })
        .unwrap();
    for service in &services {
        writer.write(service).unwrap();
    }
    let fd = writer.finish().unwrap();
    memfd::seal(fd.as_fd()).unwrap();
    fd
}

pub fn service(real_servers: Vec<RealServer>) -> VirtualServer {
    VirtualServer {
        name: "[198.51.100.1]:tcp:80".to_owned(),
        keys: vec![ServiceKey::Address {
            address: "198.51.100.1".parse().unwrap(),
            port: 80,
            protocol: Protocol::Tcp,
        }],
        options: ServiceOptions::plain("rr"),
        quorum: 1,
        hysteresis: 0,
        alpha: false,
        omega: false,
        marked: None,
        ha_suspend: false,
        quorum_up: Some(ScriptId::new(1000)),
        quorum_down: Some(ScriptId::new(1001)),
        sorry_server: None,
        sorry_server_inhibit: false,
        mail: false,
        real_servers,
    }
}

/// Real server number `index`, with notify scripts 10 and 11 times its number.
pub fn server(index: u16, checks: Vec<Check>) -> RealServer {
    RealServer {
        name: format!("[192.0.2.1]:tcp:{}", 1000 + index),
        destination: Destination {
            address: "192.0.2.1".parse().unwrap(),
            port: 1000 + index,
            forwarding: Forwarding::Nat,
            upper_threshold: 0,
            lower_threshold: 0,
        },
        weight: Weight::new(1).unwrap(),
        inhibit_on_failure: false,
        notify_up: Some(ScriptId::new(u32::from(index) * 10)),
        notify_down: Some(ScriptId::new(u32::from(index) * 10 + 1)),
        mail: false,
        checks,
    }
}

pub fn check(kind: CheckKind) -> Check {
    Check {
        id: CheckId::new(0),
        kind,
        alpha: false,
        delay_loop: Duration::from_millis(100),
        retry: 0,
        delay_before_retry: Duration::from_millis(50),
        warmup: Duration::ZERO,
        log_all_failures: false,
    }
}

pub fn endpoint(target: SocketAddr) -> Endpoint {
    Endpoint::new(target, AMPLE)
}

/// That check for a server that never answers, or never stops to.
pub fn impatient(mut check: Check) -> Check {
    check.kind.endpoint_mut().unwrap().timeout = SHORT;
    check
}

pub fn tcp(target: SocketAddr) -> Check {
    check(CheckKind::Tcp(endpoint(target)))
}

pub fn http(target: SocketAddr, digest: Option<[u8; 16]>) -> Check {
    let url = HttpUrl { digest, ..HttpUrl::new("/") };
    check(CheckKind::Http(HttpCheck {
        endpoint: endpoint(target),
        tls: None,
        protocol: HttpProtocol::Http10,
        urls: vec![url],
        fast_recovery: false,
    }))
}

pub fn misc(script: u32) -> Check {
    misc_within(script, AMPLE)
}

pub fn misc_within(script: u32, timeout: Duration) -> Check {
    check(CheckKind::Misc {
        script: ScriptId::new(script),
        command: format!("/bin/check {script}"),
        timeout,
        dynamic: true,
    })
}
