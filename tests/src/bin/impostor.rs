//! What stands in a daemon's place and speaks to the parent as a captured one would: says what it must to be believed,
//! then whatever the file `impostor-acts` beside it names. Never installed.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use config::model::parts::ServerRef;
use config::model::units::{
    CheckId, Generation, InstanceId, Priority, ScriptId, ServerId, ServiceId, Weight,
};
use ipc::channel::{CarriesFds, ReceiveError};
use ipc::daemon::Link;
use ipc::messages::checkd::{CheckdToParent, DesiredEntry, MAX_BATCH, ParentToCheckd, ServiceState, Verdict};
use ipc::messages::ctl::explained::{CheckExplained, Election, Term};
use ipc::messages::ipvsd::{IpvsdToParent, ParentToIpvsd};
use ipc::messages::vrrpd::{
    ElectionView, InstanceCounters, ParentToVrrpd, REJECT_REASONS, SocketKey, VrrpState, VrrpdToParent,
};
use ipc::messages::{FromDaemon, Level, StopMode, ToDaemon};
use ipc::reactor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tests::lab::pause;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an impostor listens to nothing but what every daemon is told"
)]
fn main() -> io::Result<()> {
    let executable = std::env::current_exe()?;
    let acts = std::fs::read_to_string(executable.with_file_name("impostor-acts")).unwrap_or_default();
    let acts: Vec<&str> = acts.split_whitespace().collect();
    let socket = sandbox::system::fd::take_channel()?;
    let raw = socket.try_clone()?;
    match executable.file_name().and_then(|name| name.to_str()) {
        Some("vrrpd") => Impostor::new(socket, raw, &acts)?.serve(
            |message| match message {
                ParentToVrrpd::Common(common) => Some(common),
                _ => None,
            },
            strangers_of_vrrpd,
            |_| Vec::new(),
            |_| Vec::new(),
        ),
        Some("checkd") => Impostor::new(socket, raw, &acts)?.serve(
            |message| match message {
                ParentToCheckd::Common(common) => Some(common),
                _ => None,
            },
            strangers_of_checkd,
            hammering_checkd,
            wishes_of_checkd,
        ),
        _ => Impostor::new(socket, raw, &acts)?.serve(
            |message| match message {
                ParentToIpvsd::Common(common) => Some(common),
                _ => None,
            },
            |_| Vec::<IpvsdToParent>::new(),
            hammering_ipvsd,
            |_| Vec::new(),
        ),
    }
}

struct Impostor<'a, Out, In> {
    link: Link<Out, In>,
    raw: UnixStream,
    acts: &'a [&'a str],
}

impl<'a, Out, In> Impostor<'a, Out, In>
where
    Out: Serialize + CarriesFds + From<FromDaemon>,
    In: DeserializeOwned + CarriesFds,
{
    fn new(socket: UnixStream, raw: UnixStream, acts: &'a [&'a str]) -> io::Result<Self> {
        let link = Link::greet(socket).map_err(io::Error::other)?;
        Ok(Self { link, raw, acts })
    }

    /// Answers as a daemon does; once it is committed, it acts.
    fn serve(
        mut self,
        common: impl Fn(In) -> Option<ToDaemon>,
        strangers: impl Fn(Generation) -> Vec<Out>,
        hammer: impl Fn(Generation) -> Vec<Out>,
        wishes: impl Fn(Generation) -> Vec<Out>,
    ) -> io::Result<()> {
        loop {
            self.link.flush()?;
            let message = match self.link.receive() {
                Ok(Some((message, _))) => message,
                Ok(None) => {
                    pause(Duration::from_millis(5));
                    continue;
                }
                Err(ReceiveError::Closed) => return Ok(()),
                Err(error) => return Err(io::Error::other(error)),
            };
            match common(message) {
                Some(ToDaemon::Prepare { generation }) => self.tell(FromDaemon::Prepared(generation)),
                Some(ToDaemon::Commit(generation)) => {
                    self.tell(FromDaemon::Committed(generation));
                    self.act(generation, &strangers, &hammer, &wishes)?;
                }
                Some(ToDaemon::Ping(number)) => self.tell(FromDaemon::Pong(number)),
                Some(ToDaemon::Quiesce) => self.tell(FromDaemon::Quiesced),
                Some(ToDaemon::Stop(StopMode::Withdraw | StopMode::Leave)) => {
                    self.tell(FromDaemon::Stopped);
                    self.link.flush()?;
                    return Ok(());
                }
                Some(ToDaemon::Abort(_) | ToDaemon::Resume) | None => {}
            }
        }
    }

    fn act(
        &mut self,
        generation: Generation,
        strangers: &impl Fn(Generation) -> Vec<Out>,
        hammer: &impl Fn(Generation) -> Vec<Out>,
        wishes: &impl Fn(Generation) -> Vec<Out>,
    ) -> io::Result<()> {
        for act in self.acts {
            match *act {
                "strangers" => {
                    for message in strangers(generation) {
                        self.send(&message, &[]);
                    }
                    self.tell(FromDaemon::Committed(Generation::new(99)));
                }
                "forge" => {
                    self.log("harmless\nKeepalived_vrrp: (VI_1) Entering MASTER STATE, forged\x1b[2J");
                    self.log(&"long ".repeat(800));
                }
                "knock" => {
                    for socket in ["control.sock", "status.sock"] {
                        let told = match UnixStream::connect(format!("/run/lab/d1.run/{socket}")) {
                            Ok(_) => "opened".to_owned(),
                            Err(error) => error.kind().to_string(),
                        };
                        self.log(&format!("knock at {socket}: {told}"));
                    }
                }
                "long-frame" => self.raw.write_all(&[0xff, 0xff, 0xff, 0x7f, 1, 2, 3])?,
                "garbage-frame" => self.raw.write_all(&[4, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff])?,
                "trailing-frame" => {
                    // A message that is complete before its frame ends.
                    self.raw.write_all(&[9, 0, 0, 0, 0, 4, 0, 1, 2, 3, 4, 5, 6])?;
                }
                "descriptors" => {
                    let fds = [self.raw.as_fd(); 100];
                    let sent = sandbox::system::fd::send_with_fds(self.raw.as_fd(), &[0, 0], &fds);
                    self.log(&format!("descriptors sent: {}", sent.is_ok()));
                }
                "flood" => {
                    for number in 0..60_000 {
                        let text = format!("flood {number}");
                        self.insist(&Out::from(FromDaemon::Log { level: Level::Info, text }))?;
                    }
                }
                "wish" => self.wish(&wishes(generation))?,
                "deaf" => self.be_deaf()?,
                "hammer" => self.hammer(&|| hammer(generation))?,
                other => self.log(&format!("no such act: {other}")),
            }
        }
        Ok(())
    }

    /// Alive all the time, however long the parent takes for these.
    fn wish(&mut self, messages: &[Out]) -> io::Result<()> {
        for some in messages.chunks(50) {
            for message in some {
                self.insist(message)?;
            }
            self.insist(&Out::from(FromDaemon::Pong(0)))?;
        }
        if !messages.is_empty() {
            self.log("wished");
        }
        Ok(())
    }

    /// Reads nothing and says all the time that it is alive.
    fn be_deaf(&mut self) -> io::Result<()> {
        for _ in 0..600 {
            self.insist(&Out::from(FromDaemon::Pong(0)))?;
            pause(Duration::from_millis(50));
        }
        Ok(())
    }

    fn hammer(&mut self, messages: &impl Fn() -> Vec<Out>) -> io::Result<()> {
        let begin = reactor::now();
        for _ in 0..500 {
            for message in messages() {
                self.insist(&message)?;
            }
            pause(Duration::from_millis(1));
        }
        let took = reactor::now().since(begin).as_millis();
        self.log(&format!("hammered for {took} ms"));
        Ok(())
    }

    /// Sends a message, however long the parent takes to read those before it.
    fn insist(&mut self, message: &Out) -> io::Result<()> {
        while self.link.send(message, &[]).is_err() {
            self.link.flush()?;
            pause(Duration::from_millis(1));
        }
        Ok(())
    }

    fn tell(&mut self, message: FromDaemon) {
        self.send(&Out::from(message), &[]);
    }

    fn log(&mut self, text: &str) {
        self.tell(FromDaemon::Log { level: Level::Info, text: text.to_owned() });
    }

    fn send(&mut self, message: &Out, fds: &[BorrowedFd<'_>]) {
        if let Err(error) = self.link.send(message, fds) {
            // Nobody else is left to be told.
            let _unheard = writeln!(io::stderr(), "impostor {}: {error}", self.link.as_raw_fd());
        }
    }
}

/// What vrrpd may not name.
fn strangers_of_vrrpd(generation: Generation) -> Vec<VrrpdToParent> {
    let other = Generation::new(99);
    let (nobody, first) = (InstanceId::new(99), InstanceId::new(0));
    let transition = |generation, instance| VrrpdToParent::Transition {
        generation,
        instance,
        state: VrrpState::Master,
        priority: Priority::new(254),
        notify: true,
        reason: "captured\n".to_owned(),
    };
    let script = |generation, script| VrrpdToParent::RunScript { generation, script: ScriptId::new(script) };
    let counters = InstanceCounters {
        instance: nobody,
        sent: 1,
        received: 1,
        rejected: [0; REJECT_REASONS.len()],
        became_master: 1,
        address_mismatches: 0,
        zero_received: 0,
        zero_sent: 0,
        view: ElectionView::default(),
    };
    let term = Term {
        kind: "script".to_owned(),
        name: "\x1b[2J".to_owned(),
        condition: "good".to_owned(),
        weight: 0,
        adds: None,
    };
    let election = Election {
        base: 1,
        effective: 1,
        terms: vec![term],
        faults: Vec::new(),
        master: None,
        master_priority: None,
        deadline_ms: None,
        patience_ms: 0,
    };
    let explained = VrrpdToParent::Explained { generation, instance: first, election: Box::new(election) };
    vec![
        transition(generation, nobody),
        transition(other, first),
        transition(Generation::new(0), first),
        VrrpdToParent::PriorityChanged { generation, instance: nobody, priority: Priority::new(9) },
        VrrpdToParent::PriorityChanged { generation: other, instance: first, priority: Priority::new(9) },
        VrrpdToParent::LowerPriorityHeard { generation, instance: nobody },
        VrrpdToParent::LowerPriorityHeard { generation: other, instance: first },
        // Number 1 is the script of a health check.
        script(generation, 1),
        script(generation, 4_000_000),
        script(other, 0),
        VrrpdToParent::Counters(vec![counters]),
        explained,
        VrrpdToParent::Unvault(SocketKey {
            interface: "nowhere".to_owned(),
            inet6: false,
            group: String::new(),
            sealed: false,
        }),
    ]
}

/// Every script by its number, whichever of them is checkd's to have run.
fn hammering_checkd(generation: Generation) -> Vec<CheckdToParent> {
    let notify = |script| CheckdToParent::RunNotify { generation, script: ScriptId::new(script) };
    (0..4).map(notify).collect()
}

/// More for ipvsd than the parent may keep for it.
fn wishes_of_checkd(generation: Generation) -> Vec<CheckdToParent> {
    let wish = DesiredEntry {
        service: ServiceId::new(0),
        server: ServerRef::Real(ServerId::new(0)),
        presence: Some(Weight::ZERO),
    };
    let wishes = |complete| CheckdToParent::Desired { generation, entries: vec![wish; MAX_BATCH], complete };
    std::iter::once(wishes(true)).chain(std::iter::repeat_n(wishes(false), 1_000)).collect()
}

/// What the parent has to say of each, unless it counts.
fn hammering_ipvsd(_: Generation) -> Vec<IpvsdToParent> {
    vec![IpvsdToParent::RefusedEntries(1); 100]
}

/// What checkd may not name.
fn strangers_of_checkd(generation: Generation) -> Vec<CheckdToParent> {
    let other = Generation::new(99);
    let entry = |service, server| DesiredEntry {
        service: ServiceId::new(service),
        server: ServerRef::Real(ServerId::new(server)),
        presence: Some(Weight::new(7).unwrap_or(Weight::ZERO)),
    };
    let desired = |generation, entries| CheckdToParent::Desired { generation, entries, complete: false };
    let event = |generation, service, server: Option<u32>| CheckdToParent::ServiceEvent {
        generation,
        service: ServiceId::new(service),
        server: server.map(ServerId::new),
        up: true,
    };
    let state = |service| ServiceState { service: ServiceId::new(service), server: None, up: true };
    let verdict = Verdict { check: CheckId::new(999), up: true, tested: true, failures: 0, weight: None };
    let check = |generation, script| CheckdToParent::RunCheck {
        generation,
        check: CheckId::new(0),
        script: ScriptId::new(script),
    };
    let notify = |generation, script| CheckdToParent::RunNotify { generation, script: ScriptId::new(script) };
    let explained = CheckExplained {
        kind: "TCP_CHECK".to_owned(),
        target: "a\nb".to_owned(),
        up: true,
        tested: true,
        failures: 0,
        retry: 0,
        weight: None,
        last: None,
        next_ms: None,
    };
    vec![
        desired(generation, vec![entry(999, 0)]),
        desired(generation, vec![entry(0, 999)]),
        desired(other, vec![entry(0, 0)]),
        desired(Generation::new(0), vec![entry(0, 0)]),
        desired(generation, vec![entry(0, 0); 2_000]),
        CheckdToParent::Verdicts { generation, verdicts: vec![verdict] },
        CheckdToParent::Verdicts { generation: other, verdicts: vec![verdict] },
        event(generation, 999, None),
        event(generation, 0, Some(999)),
        event(other, 0, None),
        CheckdToParent::ServiceStates { generation, states: vec![state(999)] },
        CheckdToParent::ServiceStates { generation, states: vec![state(0); 2_000] },
        // Number 0 is a script of vrrpd, number 1 that of a check.
        check(generation, 0),
        check(generation, 4_000_000),
        // Its own script, for a checker that isn't.
        CheckdToParent::RunCheck { generation, check: CheckId::new(999), script: ScriptId::new(1) },
        check(other, 1),
        notify(generation, 0),
        notify(generation, 1),
        notify(generation, 4_000_000),
        CheckdToParent::Letter { subject: "x".repeat(2_000), body: String::new() },
        CheckdToParent::Explained {
            generation,
            service: ServiceId::new(0),
            server: ServerId::new(0),
            checks: vec![explained],
        },
    ]
}
