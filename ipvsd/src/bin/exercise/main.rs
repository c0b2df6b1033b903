//! Proves ipvsd against the running kernel: the real program, confined and as another user, with this one as its parent.
//!
//! Needs root and a kernel with IPVS whose table is empty: run it in a virtual machine. It fails where the kernel has no
//! IPVS. The program is expected beside this one.

mod parent;

use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::ipvs::{Destination, Encapsulation, Forwarding, Protocol, ServiceKey, ServiceOptions};
use config::model::parts::{IpvsService, ServerRef};
use config::model::units::{MonoTime, ServerId, ServiceId, Weight};
use config::model::vrrp::Family;
use ipc::messages::checkd::DesiredEntry;
use ipc::messages::{FromDaemon, StopMode, ToDaemon};
use ipc::reactor;
use ipvsd::kernel::{KernelTable, Netlink};
use ipvsd::reconcile::Operation;
use netlink::ipvs::{Endpoint, IpFamily, Key, Service};
use netlink::socket::Outcome;
use parent::{Daemon, table};

fn main() -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?.with_file_name("ipvsd");
    let mut kernel = Netlink::new(reactor::now, reactor::processor_time)?;
    if let Err(trouble) = kernel.open() {
        without_ipvs(&program)?;
        return Err(format!("needs a kernel with IPVS: {trouble}").into());
    }
    let mut exercise = Exercise { program, kernel };
    exercise.check("the table is empty at the start", |table| table.is_empty())?;
    exercise.foreign()?;
    let daemon = exercise.every_kind()?;
    let daemon = exercise.deltas(daemon)?;
    let daemon = exercise.foreign_edits(daemon)?;
    let daemon = exercise.killed(daemon)?;
    let daemon = exercise.reload(daemon)?;
    let daemon = exercise.unknown_scheduler(daemon)?;
    let daemon = exercise.thousand(daemon)?;
    let daemon = exercise.audit_cost(daemon)?;
    exercise.withdrawn(daemon)?;
    say("ok", "done")
}

/// All that can be proved where the kernel has no IPVS: the daemon says so, stays, and obeys.
fn without_ipvs(program: &Path) -> Result<(), Box<dyn Error>> {
    let mut daemon = Daemon::start(program)?;
    daemon.configure(1, &list()?)?;
    daemon.desire(1, &whole(4)?, true)?;
    daemon.obey(ToDaemon::Ping(1), &FromDaemon::Pong(1))?;
    let why = daemon.unavailable().ok_or("the daemon doesn't say that there is no table")?;
    say("ok", &format!("the daemon stays, and reports that the table is unavailable: {why}"))?;
    daemon.obey(ToDaemon::Stop(StopMode::Withdraw), &FromDaemon::Stopped)?;
    say("ok", &format!("the daemon's end: {:?}", daemon.end()?))
}

struct Exercise {
    program: PathBuf,
    kernel: Netlink,
}

type Table = std::collections::BTreeMap<Key, std::collections::BTreeMap<Endpoint, u32>>;

/// 192.0.2.LAST:PORT.
fn at(last: u8, port: u16, protocol: Protocol) -> ServiceKey {
    ServiceKey::Address { address: std::net::Ipv4Addr::new(192, 0, 2, last).into(), port, protocol }
}

fn service(
    keys: Vec<ServiceKey>,
    forwarding: Forwarding,
    servers: &[&str],
) -> Result<IpvsService, Box<dyn Error>> {
    let destination = |text: &&str| -> Result<Destination, Box<dyn Error>> {
        Ok(Destination {
            address: text.parse()?,
            port: 8080,
            forwarding,
            upper_threshold: 0,
            lower_threshold: 0,
        })
    };
    Ok(IpvsService {
        name: "exercise".into(),
        keys,
        marked: None,
        options: ServiceOptions::plain("wlc"),
        destinations: servers.iter().map(destination).collect::<Result<_, _>>()?,
        sorry: None,
    })
}

fn list() -> Result<Vec<IpvsService>, Box<dyn Error>> {
    let v6 = |port, protocol| -> Result<ServiceKey, Box<dyn Error>> {
        Ok(ServiceKey::Address { address: "2001:db8::1".parse()?, port, protocol })
    };
    let mut persistent = service(
        vec![
            at(1, 443, Protocol::Tcp),
            at(1, 80, Protocol::Tcp),
            ServiceKey::Mark { mark: 5, family: Family::Inet },
        ],
        Forwarding::DirectRouting,
        &["10.0.0.1", "10.0.0.2"],
    )?;
    persistent.options.persistence_timeout = Some(300);
    persistent.options.persistence_prefix = Some(24);
    let mut one_packet = service(
        vec![at(1, 53, Protocol::Udp), at(1, 80, Protocol::Sctp)],
        Forwarding::Nat,
        &["10.0.1.1", "10.0.1.2"],
    )?;
    one_packet.options.scheduler = "rr".into();
    one_packet.options.one_packet = true;
    let tunnel = service(
        vec![ServiceKey::Mark { mark: 6, family: Family::Inet }],
        Forwarding::Tunnel(Encapsulation::Ipip),
        &["10.0.2.1", "10.0.2.2"],
    )?;
    let six = service(
        vec![v6(80, Protocol::Tcp)?, v6(53, Protocol::Udp)?],
        Forwarding::Nat,
        &["fd00::1", "fd00::2"],
    )?;
    Ok(vec![persistent, one_packet, tunnel, six])
}

fn entry(service: u32, server: u32, weight: Option<u32>) -> Result<DesiredEntry, Box<dyn Error>> {
    Ok(DesiredEntry {
        service: ServiceId::new(service),
        server: ServerRef::Real(ServerId::new(server)),
        presence: weight.map(Weight::new).transpose()?,
    })
}

/// Both servers of the first `services` services, weights 1 and 2.
fn whole(services: u32) -> Result<Vec<DesiredEntry>, Box<dyn Error>> {
    let pairs = (0..services).flat_map(|service| [(service, 0), (service, 1)]);
    pairs.map(|(service, server)| entry(service, server, Some(server + 1))).collect()
}

const FOREIGN: Key = Key::Mark { mark: 1000, family: IpFamily::V4 };

impl Exercise {
    fn check(&mut self, what: &str, holds: impl Fn(&Table) -> bool) -> Result<(), Box<dyn Error>> {
        let table = table(&mut self.kernel)?;
        if holds(&table) {
            return say("ok", what);
        }
        let sizes: Vec<_> = table.iter().map(|(key, servers)| (key, servers.len())).collect();
        Err(format!("not so: {what}: services and their number of servers: {sizes:?}").into())
    }

    /// Looks at the table until it is as it should be, for at most 10 s.
    fn await_table(&mut self, holds: impl Fn(&Table) -> bool) -> Result<(), Box<dyn Error>> {
        let mut reactor = reactor::Reactor::new()?;
        let end = reactor::now() + Duration::from_secs(10);
        while !holds(&table(&mut self.kernel)?) {
            let pause = reactor::now() + Duration::from_millis(2);
            if reactor.turn(Some(pause), &mut Vec::new())? > end {
                return Err("the table is not as it should be after 10 s".into());
            }
        }
        Ok(())
    }

    fn edit(&mut self, operation: Operation) -> Result<(), Box<dyn Error>> {
        match self.kernel.write(&[operation]).as_slice() {
            [Outcome::Done] => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    /// A service of somebody else, which must be there to the end.
    fn foreign(&mut self) -> Result<(), Box<dyn Error>> {
        self.edit(Operation::AddService(Service::new(FOREIGN, "rr")))
    }

    fn every_kind(&mut self) -> Result<Daemon, Box<dyn Error>> {
        let mut daemon = Daemon::start(&self.program)?;
        daemon.configure(1, &list()?)?;
        self.check("nothing is written before the whole is told", |table| table.len() == 1)?;
        daemon.desire(1, &whole(4)?, true)?;
        daemon
            .in_step(|services, destinations, repaired| (services, destinations, repaired) == (8, 16, 0))?;
        self.check("8 services of every kind, each with its two weights", |table| {
            let ours: Vec<_> = table.iter().filter(|(key, _)| **key != FOREIGN).collect();
            ours.len() == 8 && ours.iter().all(|(_, servers)| servers.values().copied().eq([1, 2]))
        })?;
        self.check("direct routing has the key's port, NAT its own, tunnel under a mark none", |table| {
            let port =
                |key: Key| table.get(&key).and_then(|servers| servers.keys().next()).map(|end| end.port);
            let mark = |mark| Key::Mark { mark, family: IpFamily::V4 };
            let vip = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
            port(Key::Address { protocol: 6, ip: vip, port: 443 }) == Some(443)
                && port(Key::Address { protocol: 17, ip: vip, port: 53 }) == Some(8080)
                && port(mark(5)) == Some(0)
                && port(mark(6)) == Some(0)
        })?;
        Ok(daemon)
    }

    fn deltas(&mut self, mut daemon: Daemon) -> Result<Daemon, Box<dyn Error>> {
        let start = reactor::now();
        daemon.desire(1, &[entry(3, 0, None)?], false)?;
        daemon.in_step(|_, destinations, _| destinations == 14)?;
        took("a server removed from two services", start)?;
        let start = reactor::now();
        daemon.desire(1, &[entry(3, 0, Some(9))?], false)?;
        daemon.in_step(|_, destinations, _| destinations == 16)?;
        took("a server put back into two services", start)?;
        self.check("its weight is 9", |table| {
            table.values().filter(|servers| servers.values().copied().eq([9, 2])).count() == 2
        })?;
        daemon.desire(1, &[entry(3, 0, Some(1))?], false)?;
        self.await_table(|table| {
            table.values().filter(|servers| servers.values().copied().eq([1, 2])).count() == 8
        })?;
        daemon.obey(ToDaemon::Ping(1), &FromDaemon::Pong(1))?;
        Ok(daemon)
    }

    /// What `ipvsadm -C` and `ipvsadm -d` do.
    fn foreign_edits(&mut self, mut daemon: Daemon) -> Result<Daemon, Box<dyn Error>> {
        let before = table(&mut self.kernel)?;
        let start = reactor::now();
        for key in before.keys().filter(|key| **key != FOREIGN) {
            self.edit(Operation::DeleteService(*key))?;
        }
        daemon.in_step(|_, destinations, repaired| destinations == 16 && repaired == 24)?;
        took("table emptied by somebody else and put back", start)?;
        self.check("it is as before", |table| *table == before)?;
        let start = reactor::now();
        let (key, servers) = before.iter().next().ok_or("no service")?;
        let endpoint = servers.keys().next().ok_or("no server")?;
        self.edit(Operation::DeleteDestination(*key, *endpoint))?;
        daemon.in_step(|_, _, repaired| repaired == 25)?;
        took("server deleted by somebody else and put back", start)?;
        self.check("it is as before again", |table| *table == before)?;
        Ok(daemon)
    }

    fn killed(&mut self, daemon: Daemon) -> Result<Daemon, Box<dyn Error>> {
        let before = table(&mut self.kernel)?;
        daemon.kill()?;
        self.check("the table outlives the daemon", |table| *table == before)?;
        // What the predecessor would have removed meanwhile: one entry that is no longer wanted.
        let mut daemon = Daemon::start(&self.program)?;
        daemon.configure(1, &list()?)?;
        let mut told = whole(4)?;
        told.retain(|entry| (entry.service.value(), entry.server) != (2, ServerRef::Real(ServerId::new(1))));
        daemon.desire(1, &told, true)?;
        daemon
            .in_step(|services, destinations, repaired| (services, destinations, repaired) == (8, 15, 0))?;
        self.check("the successor removed what is not wanted and left the rest", |table| {
            table.iter().all(|(key, servers)| match key {
                Key::Mark { mark: 6, .. } => servers.len() == 1,
                Key::Mark { .. } | Key::Address { .. } => before.get(key) == Some(servers),
            })
        })?;
        Ok(daemon)
    }

    fn reload(&mut self, mut daemon: Daemon) -> Result<Daemon, Box<dyn Error>> {
        let mut services = list()?;
        services.truncate(1);
        services.push(service(vec![at(9, 80, Protocol::Tcp)], Forwarding::Nat, &["10.0.9.1", "10.0.9.2"])?);
        daemon.configure(2, &services)?;
        self.check("the old services stay until the new whole is told", |table| table.len() == 9)?;
        daemon.desire(2, &whole(2)?, true)?;
        daemon.in_step(|services, destinations, _| (services, destinations) == (4, 8))?;
        self.check("only the new list and the foreign service are left", |table| {
            table.len() == 5 && table.contains_key(&FOREIGN)
        })?;
        Ok(daemon)
    }

    fn unknown_scheduler(&mut self, mut daemon: Daemon) -> Result<Daemon, Box<dyn Error>> {
        let mut services = list()?;
        if let Some(first) = services.first_mut() {
            first.options.scheduler = "nosuchsched".into();
        }
        let mut other = service(vec![at(8, 80, Protocol::Tcp)], Forwarding::Nat, &["10.0.8.1", "10.0.8.2"])?;
        other.options.scheduler = "nosuchsched".into();
        services.push(other);
        daemon.configure(3, &services)?;
        daemon.desire(3, &whole(5)?, true)?;
        let pending = daemon.failing()?;
        say(
            "ok",
            &format!("a scheduler that the kernel lacks: {pending} entries pending, the rest is written"),
        )?;
        self.check("services that exist keep their scheduler and servers", |table| table.len() == 9)?;
        daemon.configure(4, &list()?)?;
        daemon.desire(4, &whole(4)?, true)?;
        daemon.in_step(|services, destinations, _| (services, destinations) == (8, 16))?;
        Ok(daemon)
    }

    fn thousand(&mut self, mut daemon: Daemon) -> Result<Daemon, Box<dyn Error>> {
        let addresses: Vec<String> =
            (0..1_000).map(|number| format!("10.1.{}.{}", number / 250, number % 250 + 1)).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let big = service(vec![at(7, 80, Protocol::Tcp)], Forwarding::Nat, &addresses)?;
        daemon.configure(5, &[big])?;
        let all = |weight: u32| {
            (0..1_000).map(|server| entry(0, server, Some(weight))).collect::<Result<Vec<_>, _>>()
        };
        let start = reactor::now();
        daemon.desire(5, &all(1)?, true)?;
        daemon.in_step(|services, destinations, _| (services, destinations) == (1, 1_000))?;
        took("1000 servers added, from message to answer", start)?;
        let start = reactor::now();
        daemon.desire(5, &all(2)?, false)?;
        self.await_table(|table| {
            table
                .values()
                .any(|servers| servers.len() == 1_000 && servers.values().all(|weight| *weight == 2))
        })?;
        took("1000 weights changed, seen by polling", start)?;
        let start = reactor::now();
        daemon.desire(5, &[entry(0, 500, None)?], false)?;
        daemon.in_step(|_, destinations, _| destinations == 999)?;
        took("one of 1000 servers removed", start)?;
        Ok(daemon)
    }

    /// CPU time over ten quiet seconds, user and kernel together.
    fn audit_cost(&mut self, daemon: Daemon) -> Result<Daemon, Box<dyn Error>> {
        let mut reactor = reactor::Reactor::new()?;
        let before = cpu_ticks(daemon.pid())?;
        let end = reactor::now() + Duration::from_secs(10);
        while reactor.turn(Some(end), &mut Vec::new())? < end {}
        let used = cpu_ticks(daemon.pid())?.saturating_sub(before);
        say("time", &format!("audit of 999 servers: {used} ticks of 10 ms in 10 s (one per cent is 10)"))?;
        if used > 20 { Err("the audit costs too much".into()) } else { Ok(daemon) }
    }

    fn withdrawn(&mut self, mut daemon: Daemon) -> Result<(), Box<dyn Error>> {
        daemon.obey(ToDaemon::Stop(StopMode::Withdraw), &FromDaemon::Stopped)?;
        say("ok", &format!("the daemon's end: {:?}", daemon.end()?))?;
        self.check("only the foreign service is left", |table| table.keys().eq([&FOREIGN]))?;
        self.edit(Operation::DeleteService(FOREIGN))
    }
}

fn cpu_ticks(pid: i32) -> Result<u64, Box<dyn Error>> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = line.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |position: usize| -> Result<u64, Box<dyn Error>> {
        Ok(fields.get(position).ok_or("short stat line")?.parse()?)
    };
    Ok(number(11)?.saturating_add(number(12)?))
}

fn took(what: &str, start: MonoTime) -> Result<(), Box<dyn Error>> {
    say("time", &format!("{what}: {:.1} ms", reactor::now().since(start).as_secs_f64() * 1000.0))
}

fn say(word: &str, text: &str) -> Result<(), Box<dyn Error>> {
    writeln!(stdout(), "{word:5}{text}")?;
    Ok(())
}
