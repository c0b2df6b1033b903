//! A LAN of real state machines in virtual time: no clock, no socket, no thread. Everything random comes from one
//! seed, so that a failing run can be repeated; its trace says what happened.

#![expect(clippy::unwrap_used, reason = "a harness of tests: a panic is a failed test")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::model::units::{AdvertInterval, MonoTime, Priority};
use config::model::vrrp::{Preempt, Version};
use vrrpd::proto::accept::Heard;
use vrrpd::proto::faults::{Faults, Reason};
use vrrpd::proto::machine::{Action, Input, Machine, Memory, Settings, State};
use vrrpd::proto::sync_group::{self, Move, Standing};

/// Generator of one seed (xorshift64*): repeatable everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Seed 0 is as good as any other.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }
}

/// One router.
#[derive(Debug)]
struct Node {
    settings: Settings,
    machine: Option<Machine>,
    island: u8,
    holds: bool,
    stalled_until: MonoTime,
    waiting: Vec<Heard>,
    last_advert: Option<MonoTime>,
    was_master: bool,
    /// How much faster its clock runs, parts per million.
    drift: i64,
}

/// An advert under way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: MonoTime,
    number: u64,
    to: usize,
    source: IpAddr,
    priority: u8,
    centiseconds: u16,
}

/// The LAN.
#[derive(Debug)]
pub(crate) struct Lan {
    now: MonoTime,
    random: Random,
    nodes: Vec<Node>,
    flights: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    loss_percent: u64,
    double_percent: u64,
    jitter: u64,
    trace: String,
    rounds: u64,
    groups: Vec<Vec<usize>>,
}

const INTERVAL: u16 = 100;
const START: MonoTime = MonoTime::from_nanos(1_000_000_000_000);

impl Lan {
    /// An empty LAN.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            now: START,
            random: Random::seeded(seed),
            nodes: Vec::new(),
            flights: BinaryHeap::new(),
            sent: 0,
            loss_percent: 0,
            double_percent: 0,
            jitter: 500,
            trace: String::new(),
            rounds: 0,
            groups: Vec::new(),
        }
    }

    /// Joins routers of one host, each on an island of its own, in a sync group.
    pub(crate) fn join(&mut self, members: &[usize]) {
        for (island, id) in (0..).zip(members) {
            self.nodes[*id].island = island;
            let settings = self.nodes[*id].settings.clone().in_group(false);
            self.nodes[*id].settings = settings.clone();
            self.give(*id, Input::Configure(settings));
        }
        self.groups.push(members.to_vec());
    }

    /// All members of a group can or can't take part.
    pub(crate) fn fault(&mut self, members: &[usize], reason: Option<Reason>) {
        for id in members {
            self.give(*id, Input::Faults(reason.into_iter().collect()));
        }
    }

    /// The moves of sync groups after a change of a member.
    fn settle(&mut self, id: usize) {
        let Some(group) = self.groups.iter().find(|group| group.contains(&id)).cloned() else { return };
        let standing = |id: &usize| match self.nodes[*id].machine.as_ref() {
            None => Standing::Out,
            Some(machine) if machine.is_master() => Standing::Master,
            Some(machine) if machine.is_ready() => Standing::Ready,
            Some(machine) if matches!(machine.state(), State::Backup(_)) => Standing::Held,
            Some(_) => Standing::Out,
        };
        let input = match sync_group::settle(group.iter().map(standing)) {
            Move::Stay => return,
            Move::Rise => Input::Promote,
            Move::Fall => Input::Demote,
        };
        for member in group {
            self.act(member, input.clone());
        }
    }

    /// Loses this share of adverts.
    pub(crate) fn loss_percent(mut self, percent: u64) -> Self {
        self.loss_percent = percent;
        self
    }

    /// Delivers this share of adverts twice.
    pub(crate) fn double_percent(mut self, percent: u64) -> Self {
        self.double_percent = percent;
        self
    }

    /// Delays each advert by up to so many microseconds, so that some overtake others.
    pub(crate) fn jitter(mut self, micros: u64) -> Self {
        self.jitter = micros.max(1);
        self
    }

    /// Lets a router's clock run faster by so many parts per million.
    pub(crate) fn drift(&mut self, id: usize, ppm: i64) {
        self.nodes[id].drift = ppm;
    }

    /// What a router's own clock says.
    fn clock(&self, id: usize) -> MonoTime {
        let elapsed = i128::from(self.now.nanos() - START.nanos());
        let shown = elapsed + elapsed * i128::from(self.nodes[id].drift) / 1_000_000;
        MonoTime::from_nanos(START.nanos() + u64::try_from(shown).unwrap())
    }

    /// When a router's clock shows a time, or at most three nanoseconds later.
    fn moment(&self, id: usize, shown: MonoTime) -> MonoTime {
        let shown = i128::from(shown.nanos()) - i128::from(START.nanos());
        let elapsed = shown * 1_000_000 / (1_000_000 + i128::from(self.nodes[id].drift)) + 3;
        MonoTime::from_nanos(START.nanos() + u64::try_from(elapsed.max(0)).unwrap())
    }

    /// Adds a router at 1 s intervals and starts it.
    pub(crate) fn router(&mut self, priority: u8) -> usize {
        self.router_with(priority, |_| {})
    }

    /// Adds a router with other settings and starts it.
    pub(crate) fn router_with(&mut self, priority: u8, change: impl FnOnce(&mut Settings)) -> usize {
        let number = u8::try_from(self.nodes.len() + 1).unwrap();
        let mut settings = Settings {
            version: Version::V3,
            priority: Priority::new(priority),
            wants_master: priority == 255,
            interval: AdvertInterval::from_centiseconds(INTERVAL).unwrap(),
            down_timer_adverts: 3,
            preempt: Preempt::After(Duration::ZERO),
            lower_priority_no_advert: false,
            higher_priority_send_advert: true,
            timer_expired_backup: None,
            grouped: false,
            address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))),
        };
        change(&mut settings);
        self.nodes.push(Node {
            settings,
            machine: None,
            island: 0,
            holds: false,
            stalled_until: MonoTime::default(),
            waiting: Vec::new(),
            last_advert: None,
            was_master: false,
            drift: 0,
        });
        let id = self.nodes.len() - 1;
        self.start(id);
        id
    }

    /// Starts a router that isn't running, without memory.
    pub(crate) fn start(&mut self, id: usize) {
        self.nodes[id].machine = Some(Machine::new(self.nodes[id].settings.clone()));
        self.nodes[id].holds = false;
        self.note(id, "start, what was left is withdrawn");
        self.give(id, Input::Startup { delay: Duration::ZERO, faults: Faults::none() });
    }

    /// The process dies; addresses stay where they are, as in a real kernel.
    pub(crate) fn crash(&mut self, id: usize) {
        self.note(id, "crash");
        self.nodes[id].was_master = self.is_master(id);
        self.nodes[id].machine = None;
        self.nodes[id].waiting.clear();
    }

    /// The node loses power: its addresses are gone too.
    pub(crate) fn power_off(&mut self, id: usize) {
        self.crash(id);
        self.nodes[id].holds = false;
        self.nodes[id].was_master = false;
    }

    /// A successor takes over with its predecessor's memory and whatever was queued meanwhile.
    pub(crate) fn succeed(&mut self, id: usize, queued: &[Heard]) {
        let node = &mut self.nodes[id];
        let memory = match (node.was_master, node.last_advert) {
            (true, Some(last_advert)) => Memory::Master { last_advert, interval: node.settings.interval },
            _ => Memory::Backup,
        };
        node.machine = Some(Machine::new(node.settings.clone()));
        self.note(id, "successor");
        self.give(id, Input::Resume(memory));
        for heard in queued {
            self.give(id, Input::Advert(*heard));
        }
    }

    /// The process gets no processor for a while; adverts queue up.
    pub(crate) fn stall(&mut self, id: usize, length: Duration) {
        self.note(id, "stall");
        self.nodes[id].stalled_until = self.now + length;
    }

    /// Puts a router on an island of its own number.
    pub(crate) fn move_to(&mut self, id: usize, island: u8) {
        self.note(id, if island == 0 { "heal" } else { "cut off" });
        self.nodes[id].island = island;
    }

    /// Ends a router in an orderly way.
    pub(crate) fn stop(&mut self, id: usize) {
        self.note(id, "stop");
        self.give(id, Input::Shutdown);
        self.nodes[id].machine = None;
        self.nodes[id].was_master = false;
    }

    /// True when the router is running and Master.
    pub(crate) fn is_master(&self, id: usize) -> bool {
        self.nodes[id].machine.as_ref().is_some_and(Machine::is_master)
    }

    /// True when the router is running.
    pub(crate) fn runs(&self, id: usize) -> bool {
        self.nodes[id].machine.is_some()
    }

    /// Routers that are Master.
    pub(crate) fn masters(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|id| self.is_master(*id)).collect()
    }

    /// Routers that hold the addresses.
    pub(crate) fn holders(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|id| self.nodes[*id].holds).collect()
    }

    /// Adverts sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// A number below `limit` from the run's seed.
    pub(crate) fn pick(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    /// What has happened.
    pub(crate) fn trace(&self) -> &str {
        &self.trace
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, length: Duration) -> &mut Self {
        let end = self.now + length;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.deliver();
            self.tick();
            self.rounds += 1;
            assert!(self.rounds < 10_000_000, "time stands still\n{}", self.trace);
        }
        self.now = end;
        self
    }

    fn next_event(&self) -> Option<MonoTime> {
        let flight = self.flights.peek().map(|Reverse(flight)| flight.at);
        let deadlines = self.nodes.iter().enumerate().filter_map(|(id, node)| {
            let deadline = node.machine.as_ref()?.poll_deadline()?;
            Some(self.moment(id, deadline).max(node.stalled_until))
        });
        let wakeups =
            self.nodes.iter().filter(|node| !node.waiting.is_empty()).map(|node| node.stalled_until);
        flight.into_iter().chain(deadlines).chain(wakeups).min()
    }

    fn deliver(&mut self) {
        while let Some(Reverse(flight)) = self.flights.peek()
            && flight.at <= self.now
        {
            let Some(Reverse(flight)) = self.flights.pop() else { break };
            let heard = Heard {
                source: flight.source,
                priority: Priority::new(flight.priority),
                interval: AdvertInterval::from_centiseconds(flight.centiseconds).unwrap(),
            };
            if self.nodes[flight.to].machine.is_some() {
                self.nodes[flight.to].waiting.push(heard);
            }
        }
    }

    /// Every router that isn't stalled listens, then looks at its deadline.
    fn tick(&mut self) {
        for id in 0..self.nodes.len() {
            if self.nodes[id].stalled_until > self.now {
                continue;
            }
            for heard in std::mem::take(&mut self.nodes[id].waiting) {
                self.give(id, Input::Advert(heard));
            }
            let due = self.nodes[id].machine.as_ref().and_then(Machine::poll_deadline);
            if due.is_some_and(|at| at <= self.clock(id)) {
                self.give(id, Input::Tick);
            }
        }
    }

    fn give(&mut self, id: usize, input: Input) {
        self.act(id, input);
        self.settle(id);
    }

    fn act(&mut self, id: usize, input: Input) {
        let mut actions = Vec::new();
        let now = self.clock(id);
        let Some(machine) = &mut self.nodes[id].machine else { return };
        machine.handle(input, now, &mut actions);
        let mut claimed = self.nodes[id].holds;
        for action in actions {
            match action {
                Action::SendAdvert(priority) => self.send(id, priority),
                Action::ClaimAddresses | Action::VerifyAddresses => claimed = true,
                Action::ReleaseAddresses => claimed = false,
                Action::AnnounceConflict | Action::AnnounceLate => {
                    assert!(claimed, "announced without addresses\n{}", self.trace);
                }
                Action::Entered { state, .. } => self.note(id, &format!("{state:?}")),
                Action::Note(_) => {}
            }
        }
        self.nodes[id].holds = claimed;
        let master = self.is_master(id);
        assert_eq!(master, claimed, "addresses and state differ on {id}\n{}", self.trace);
    }

    fn send(&mut self, from: usize, priority: Priority) {
        self.sent += 1;
        self.nodes[from].last_advert = Some(self.clock(from));
        let (island, settings) = (self.nodes[from].island, self.nodes[from].settings.clone());
        for to in 0..self.nodes.len() {
            let lost = self.random.below(100) < self.loss_percent;
            let copies = if self.random.below(100) < self.double_percent { 2 } else { 1 };
            if to == from || self.nodes[to].island != island || lost {
                continue;
            }
            for _ in 0..copies {
                let delay = Duration::from_micros(20 + self.random.below(self.jitter));
                self.flights.push(Reverse(Flight {
                    at: self.now + delay,
                    number: self.sent,
                    to,
                    source: settings.address.unwrap(),
                    priority: priority.value(),
                    centiseconds: settings.interval.centiseconds(),
                }));
            }
        }
    }

    fn note(&mut self, id: usize, what: &str) {
        let at = self.now.since(START);
        writeln!(self.trace, "{:>12.6} router {id}: {what}", at.as_secs_f64()).unwrap();
    }
}
