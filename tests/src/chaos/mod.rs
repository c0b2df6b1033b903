//! Chaos: in seeded rounds something bad happens to a daemon of the Master, or an order comes, while a client asks
//! its address a thousand times a second, others open a connection for every request, and one connection stays.
//! Counts what anybody could have noticed. Used on the host's kernel and, with a real IPVS table, in another one.

mod act;
mod deed;

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use crate::lab::clients::{Clients, Seen, Targets};
use crate::lab::{
    Capture, Director, Failure, Lab, Lan, Probe, ProbeReport, capture, clock, pause, process, wait_until,
};

pub use deed::{DAEMONS, Deed, Dice, deeds};

/// Where it happens: `d1` (10.77.0.1, priority 200) holds the address and `d2` (10.77.0.2) is its peer; `client` asks.
pub struct Stage<'a> {
    /// The network.
    pub lan: &'a Lan,
    /// The suite on d1, whose daemons all run.
    pub master: &'a Director,
    /// The address that everybody asks.
    pub address: IpAddr,
    /// Time between two adverts.
    pub interval: Duration,
    /// Configuration of d1: each number gives another one.
    pub config: &'a dyn Fn(u64) -> String,
    /// Number of the one in use.
    pub generation: u64,
    /// For what isn't determined by the deeds.
    pub dice: Dice,
}

/// Who asks, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// Where.
    pub targets: Targets,
    /// Clients that open a connection for each request.
    pub clients: usize,
    /// Pause of each of them.
    pub pace: Duration,
    /// Requests per second that have to be made on average; where this machine lets them make less, five eighths of what
    /// they make while nothing happens.
    pub least_rate: f64,
}

/// What anybody noticed.
#[derive(Debug)]
pub struct Noticed {
    /// What the probe saw.
    pub probe: ProbeReport,
    /// What the other clients saw.
    pub clients: Seen,
    /// Adverts of the peer.
    pub foreign_adverts: usize,
    /// Adverts by which the Master resigned.
    pub resignations: usize,
    /// A deed that could not be done, or after which not everything ran again.
    pub undone: Option<String>,
    /// Processes that nobody has reaped, requests that were too few, what has grown.
    pub remains: Vec<String>,
}

impl Noticed {
    /// A sentence for everything that should not have been.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let (probe, clients) = (&self.probe, &self.clients);
        let failed = clients.failed.len();
        [
            (probe.lost == 0, format!("{} of {} questions lost", probe.lost, probe.sent)),
            (probe.changes == 0, format!("who answers changed: {:?}", probe.answers)),
            (self.foreign_adverts == 0, format!("the peer sent {} adverts", self.foreign_adverts)),
            (self.resignations == 0, format!("the Master resigned {} times", self.resignations)),
            (
                failed == 0,
                format!("{failed} of {} requests failed: {:?}", clients.requests, clients.failed.first()),
            ),
            (clients.flow.is_none(), format!("the connection that was to stay: {:?}", clients.flow)),
        ]
        .into_iter()
        .filter_map(|(held, sentence)| (!held).then_some(sentence))
        .chain(self.undone.clone())
        .chain(self.remains.clone())
        .collect()
    }
}

/// Runs the deeds and counts.
pub fn run(lab: &Lab, mut stage: Stage<'_>, crowd: Crowd, deeds: &[Deed]) -> Result<Noticed, Failure> {
    stage.settle()?;
    let capture = Capture::start(lab, stage.lan.switch(), "chaos")?;
    let client = stage.lan.host("client")?;
    let probe = Probe::start(client, stage.address, Duration::from_millis(1))?;
    let clients = Clients::start(client, crowd.targets, crowd.clients, crowd.pace)?;
    let calm_before = calm_rate(&clients)?;
    let (started, made) = (clock::now(), clients.requests());
    let (mut undone, mut before) = (None, None);
    let mut diary = fs::File::create(lab.out.join("deeds.log"))
        .map_err(|cause| Failure::instrument("the list of deeds", cause))?;
    for (round, deed) in deeds.iter().enumerate() {
        writeln!(diary, "{:.3} round {round}: {deed:?}", clock::epoch()).ok();
        if let Err(why) = stage.act(*deed) {
            undone = Some(format!("round {round}, {deed:?}: {why}"));
            break;
        }
        // Everything has been used by then.
        if round == deeds.len() / 2 {
            before = Some(Weight::of(stage.master));
        }
    }
    pause(stage.interval * 4);
    let parent = stage.master.status().unwrap_or_default()["parent"].clone();
    writeln!(diary, "{:.3} end: parent {parent}", clock::epoch()).ok();
    let rate = rate(clients.requests() - made, started.elapsed());
    // Others may begin or end to use the machine meanwhile.
    let least_rate = crowd.least_rate.min(calm_before.min(calm_rate(&clients)?) * 0.625);
    writeln!(diary, "{rate:.0} requests a second, {least_rate:.0} at least").ok();
    let clients = clients.finish()?;
    let probe = probe.finish()?;
    let adverts = capture::adverts_but_of(&capture.stop()?, CLIENT)?;
    let mut remains = zombies(stage.master);
    if rate < least_rate {
        remains.push(format!("only {rate:.0} requests a second, at least {least_rate:.0} were to be made"));
    }
    remains.extend(before.and_then(|before| before.growth(&Weight::of(stage.master))));
    Ok(Noticed {
        probe,
        clients,
        foreign_adverts: adverts.iter().filter(|advert| advert.source != MASTER).count(),
        resignations: adverts.iter().filter(|advert| advert.source == MASTER && advert.priority == 0).count(),
        undone,
        remains,
    })
}

/// Requests a second that the clients make while nothing happens.
fn calm_rate(clients: &Clients) -> Result<f64, Failure> {
    let (started, made) = (clock::now(), clients.requests());
    wait_until("clients ask", Duration::from_secs(30), || clients.requests() >= made + CALM)?;
    Ok(rate(clients.requests() - made, started.elapsed()))
}

#[expect(clippy::as_conversions, reason = "far below 2^52")]
fn rate(requests: u64, took: Duration) -> f64 {
    requests as f64 / took.as_secs_f64().max(f64::EPSILON)
}

fn zombies(master: &Director) -> Vec<String> {
    let all = process::all().into_iter();
    all.filter(|one| one.parent == master.pid() && one.state == 'Z')
        .map(|one| format!("{} ({}) is not reaped", one.name, one.pid))
        .collect()
}

/// What the parent and its daemons hold.
#[derive(Debug)]
struct Weight {
    descriptors: usize,
    memory_kib: u64,
}

impl Weight {
    fn of(master: &Director) -> Self {
        let pids = || {
            let daemons = master.daemons();
            std::iter::once(master.pid()).chain(daemons.into_iter().map(|daemon| daemon.pid))
        };
        let count = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Self { descriptors: pids().map(count).sum(), memory_kib: pids().filter_map(process::pss_kib).sum() }
    }

    fn growth(&self, later: &Self) -> Option<String> {
        let grown = later.descriptors > self.descriptors + SOME_DESCRIPTORS
            || later.memory_kib > self.memory_kib + SOME_MEMORY_KIB;
        grown.then(|| format!("{self:?} has become {later:?}"))
    }
}

/// Requests that show how many a machine lets clients make.
const CALM: u64 = 200;
/// A connection to a server or of a client may be open when it is counted.
const SOME_DESCRIPTORS: usize = 6;
const SOME_MEMORY_KIB: u64 = 2048;
const MASTER: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.100";
