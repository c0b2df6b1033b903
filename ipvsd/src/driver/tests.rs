//! The whole conversation over a socketpair, with a kernel that is a map.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use config::model::parts::{IpvsHead, IpvsService, ServerRef};
use config::model::units::{ServerId, ServiceId, Weight};
use ipc::channel::Channel;
use ipc::memfd::{self, RecordWriter};
use ipc::messages::checkd::DesiredEntry;
use netlink::ipvs::Key;

use super::*;
use crate::samples::{FakeKernel, SharedKernel, entry, service, tcp};

/// The parent's end, the daemon's thread, its kernel.
struct Bench {
    channel: Channel<ParentToIpvsd, IpvsdToParent>,
    reactor: Reactor,
    daemon: JoinHandle<Result<End, DriverError>>,
    kernel: SharedKernel,
    /// Entries that it says to have written.
    written: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with(FakeKernel::default())
    }

    fn with(kernel: FakeKernel) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let kernel: SharedKernel = Arc::new(Mutex::new(kernel));
        let table = Arc::clone(&kernel);
        let daemon = std::thread::spawn(move || {
            run(Link::greet(theirs).unwrap(), table, || Ok(Confinement::under(0, &PAGE)))
        });
        let channel = Channel::new(ours, false).unwrap();
        let reactor = Reactor::new().unwrap();
        reactor.watch_reads(channel.as_raw_fd(), 1).unwrap();
        let mut bench = Self { channel, reactor, daemon, kernel, written: 0 };
        assert!(matches!(bench.next(), IpvsdToParent::Common(FromDaemon::Hello(_))));
        bench
    }

    /// The next message that is neither about what was written nor about the confinement.
    fn next(&mut self) -> IpvsdToParent {
        loop {
            let message = self.receive();
            if matches!(message, IpvsdToParent::Common(FromDaemon::Confined(_))) {
                continue;
            }
            let IpvsdToParent::Written(written) = message else { return message };
            self.written = written.entries;
        }
    }

    /// The number of entries written, once more than three are.
    fn next_written(&mut self) -> u64 {
        while self.written <= 3 {
            if let IpvsdToParent::Written(written) = self.receive() {
                self.written = written.entries;
            }
        }
        self.written
    }

    /// The next message; panics when none comes within a minute.
    fn receive(&mut self) -> IpvsdToParent {
        let deadline = reactor::now() + Duration::from_secs(60);
        loop {
            if let Some((message, _)) = self.channel.receive().unwrap() {
                return message;
            }
            let now = self.reactor.turn(Some(deadline), &mut Vec::new()).unwrap();
            assert!(now < deadline, "the daemon says nothing");
        }
    }

    fn order(&mut self, order: ToDaemon) {
        self.channel.send(&ParentToIpvsd::Common(order), &[]).unwrap();
    }

    fn desire(&mut self, generation: u64, entries: Vec<DesiredEntry>, complete: bool) {
        let generation = Generation::new(generation);
        self.channel.send(&ParentToIpvsd::Desired { generation, entries, complete }, &[]).unwrap();
    }

    fn prepare(&mut self, generation: u64, services: &[IpvsService]) {
        self.prepare_with(generation, config::model::ipvs::IpvsSettings::default(), services);
    }

    fn prepare_with(
        &mut self,
        generation: u64,
        settings: config::model::ipvs::IpvsSettings,
        services: &[IpvsService],
    ) {
        let mut writer = RecordWriter::new(memfd::create("model").unwrap());
        writer.write(&IpvsHead { services: u32::try_from(services.len()).unwrap(), settings }).unwrap();
        for service in services {
            writer.write(service).unwrap();
        }
        let fd = writer.finish().unwrap();
        memfd::seal(fd.as_fd()).unwrap();
        let prepare = ToDaemon::Prepare { generation: Generation::new(generation) };
        self.channel.send(&ParentToIpvsd::Common(prepare), &[fd.as_fd()]).unwrap();
    }

    /// Prepares, commits and tells one service with two servers of weight 1 and 2.
    fn in_step(&mut self) {
        self.prepare(1, &[service(&[tcp(1, 80)], 2)]);
        assert_eq!(self.next(), IpvsdToParent::Common(FromDaemon::Prepared(Generation::new(1))));
        self.order(ToDaemon::Commit(Generation::new(1)));
        assert_eq!(self.next(), IpvsdToParent::Common(FromDaemon::Committed(Generation::new(1))));
        self.desire(1, vec![entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
        assert_eq!(self.next(), in_step(1, 2));
    }

    fn weights(&self) -> Vec<u32> {
        self.kernel.lock().unwrap().weights(web())
    }
}

fn web() -> Key {
    Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port: 80 }
}

const PAGE: sandbox::profile::Profile = sandbox::profile::IPVSD;

fn in_step(services: u32, destinations: u32) -> IpvsdToParent {
    IpvsdToParent::Table(TableState::InStep { services, destinations, repaired: 0 })
}

#[test]
fn a_configuration_becomes_a_table_and_a_stop_takes_it_away() {
    let mut bench = Bench::new();
    bench.in_step();
    assert_eq!(bench.weights(), [1, 2]);
    bench.order(ToDaemon::Ping(7));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Pong(7)));
    bench.order(ToDaemon::Stop(StopMode::Withdraw));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Stopped));
    assert_eq!(bench.daemon.join().unwrap().unwrap(), End::Stopped);
    assert!(bench.kernel.lock().unwrap().table.is_empty());
}

#[test]
fn a_parent_that_is_gone_ends_the_daemon_and_leaves_the_table() {
    let mut bench = Bench::new();
    bench.in_step();
    drop(bench.channel);
    assert_eq!(bench.daemon.join().unwrap().unwrap(), End::ParentGone);
    assert_eq!(bench.kernel.lock().unwrap().table.len(), 1);
}

#[test]
fn a_quiesced_daemon_stops_writing_and_leaves_what_it_wrote() {
    let mut bench = Bench::new();
    bench.in_step();
    bench.order(ToDaemon::Quiesce);
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Quiesced));
    bench.desire(1, vec![entry(0, 0, None)], false);
    bench.order(ToDaemon::Stop(StopMode::Leave));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Stopped));
    assert_eq!(bench.daemon.join().unwrap().unwrap(), End::Stopped);
    let kernel = bench.kernel.lock().unwrap();
    assert_eq!(kernel.table.values().map(|entry| entry.destinations.len()).sum::<usize>(), 2);
}

#[test]
fn entries_that_name_nothing_are_counted_and_the_rest_is_done() {
    let mut bench = Bench::new();
    bench.in_step();
    bench.desire(1, vec![entry(4, 0, Some(1)), entry(0, 0, None), entry(0, 9, None)], false);
    assert_eq!(bench.next(), IpvsdToParent::RefusedEntries(2));
    assert_eq!(bench.next(), in_step(1, 1));
    bench.desire(99, vec![entry(0, 0, Some(1))], true);
    assert_eq!(bench.next(), IpvsdToParent::RefusedEntries(1));
    assert_eq!(bench.weights(), [2]);
}

#[test]
fn a_list_that_no_kernel_could_have_is_refused_and_the_old_one_kept() {
    let mut bench = Bench::new();
    bench.in_step();
    bench.prepare(2, &[service(&[tcp(1, 80)], 1), service(&[tcp(1, 80)], 1)]);
    let refused = FromDaemon::Refused {
        generation: Generation::new(2),
        reason: Refusal::Invalid("[192.0.2.1]:tcp:80 stands on the list twice".into()),
    };
    assert_eq!(bench.next(), IpvsdToParent::Common(refused));
    bench.order(ToDaemon::Commit(Generation::new(2)));
    assert!(matches!(bench.next(), IpvsdToParent::Common(FromDaemon::Refused { .. })));
    bench.desire(1, vec![entry(0, 0, None)], false);
    assert_eq!(bench.next(), in_step(1, 1));
}

#[test]
fn a_reload_replaces_the_table_in_one_step() {
    let mut bench = Bench::new();
    bench.in_step();
    bench.prepare(2, &[service(&[tcp(2, 80)], 3)]);
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Prepared(Generation::new(2))));
    bench.desire(2, (0..3).map(|server| entry(0, server, Some(1))).collect(), true);
    bench.order(ToDaemon::Commit(Generation::new(2)));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Committed(Generation::new(2))));
    assert_eq!(bench.next(), in_step(1, 3));
    assert_eq!(bench.weights(), [0; 0]);
}

#[test]
fn a_kernel_without_ipvs_is_told_once_and_the_daemon_stays() {
    let mut bench = Bench::with(FakeKernel { absent: true, ..FakeKernel::default() });
    bench.prepare(1, &[service(&[tcp(1, 80)], 1)]);
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Prepared(Generation::new(1))));
    let IpvsdToParent::Common(FromDaemon::Log { level, text }) = bench.next() else { panic!("no log line") };
    assert_eq!(
        (level, text.as_str()),
        (Level::Error, "IPVS: Can't initialize ipvs: No such file or directory")
    );
    let unavailable = TableState::Unavailable("No such file or directory".into());
    assert_eq!(bench.next(), IpvsdToParent::Table(unavailable));
    bench.order(ToDaemon::Commit(Generation::new(1)));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Committed(Generation::new(1))));
    bench.desire(1, vec![entry(0, 0, Some(1))], true);
    bench.order(ToDaemon::Ping(1));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Pong(1)));
}

#[test]
fn counters_are_told_when_they_are_asked_for() {
    let mut bench = Bench::new();
    bench.in_step();
    bench.channel.send(&ParentToIpvsd::AskStatistics, &[]).unwrap();
    let IpvsdToParent::Statistics { generation, complete, .. } = bench.next() else { panic!() };
    assert_eq!((generation, complete), (Generation::new(1), true));
}

#[test]
fn an_unchanged_reload_writes_nothing_and_a_changed_weight_one_entry() {
    let mut bench = Bench::new();
    bench.in_step();
    bench.kernel.lock().unwrap().written = 0;
    for (generation, weight) in [(2, 2), (3, 7)] {
        bench.prepare(generation, &[service(&[tcp(1, 80)], 2)]);
        let committed = Generation::new(generation);
        assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Prepared(committed)));
        bench.desire(generation, vec![entry(0, 0, Some(1)), entry(0, 1, Some(weight))], true);
        bench.order(ToDaemon::Commit(committed));
        assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Committed(committed)));
    }
    // Three entries at first, one since.
    assert_eq!(bench.next_written(), 4);
    assert_eq!(bench.kernel.lock().unwrap().written, 1);
    assert_eq!(bench.weights(), [1, 7]);
}

/// A checker that says anything in any order: only places of the list are filled, and the daemon says little.
#[test]
fn whatever_a_hostile_checker_says_the_table_stays_within_the_list() {
    let mut bench = Bench::new();
    bench.in_step();
    let mut state: u32 = 0x2545_f491;
    let mut any = move |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    let mut said = 0;
    for round in 0..300 {
        let entries: Vec<DesiredEntry> = (0..1000)
            .map(|_| {
                let server = match any(4) {
                    0 => ServerRef::Sorry,
                    1 => ServerRef::Real(ServerId::new(any(u32::MAX))),
                    _ => ServerRef::Real(ServerId::new(any(3))),
                };
                let weight = match any(3) {
                    0 => 0,
                    1 => any(10),
                    _ => 2_147_483_647,
                };
                DesiredEntry {
                    service: ServiceId::new(if any(3) == 0 { any(u32::MAX) } else { any(2) }),
                    server,
                    presence: if any(3) == 0 { None } else { Weight::new(weight).ok() },
                }
            })
            .collect();
        bench.desire(u64::from(any(4)), entries, any(8) == 0);
        bench.order(ToDaemon::Ping(round));
        while bench.receive() != IpvsdToParent::Common(FromDaemon::Pong(round)) {
            said += 1;
        }
        let kernel = bench.kernel.lock().unwrap();
        assert!(kernel.table.len() == 1 && kernel.weights(web()).len() <= 2, "{:?}", kernel.table);
    }
    // For each round the state of the table and what was written, and once a second how much was refused.
    assert!(said <= 3 * 300, "{said} messages");
    bench.desire(1, vec![entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
    while bench.weights() != [1, 2] {
        bench.receive();
    }
}

/// Services that nftables marks packets for need a socket, which a confined process can't open.
#[test]
fn marks_that_come_by_a_reload_need_a_successor_and_those_of_the_start_do_not() {
    let (settings, services) = marked();
    let mut bench = Bench::new();
    bench.in_step();
    bench.prepare_with(2, settings.clone(), &services);
    let refused = FromDaemon::Refused { generation: Generation::new(2), reason: Refusal::NeedsWiderSandbox };
    assert_eq!(bench.next(), IpvsdToParent::Common(refused));
    let mut bench = Bench::new();
    bench.prepare_with(2, settings, &services);
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Prepared(Generation::new(2))));
    bench.order(ToDaemon::Commit(Generation::new(2)));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Committed(Generation::new(2))));
    bench.desire(2, vec![entry(0, 0, Some(1))], true);
    assert_eq!(bench.next(), in_step(1, 1));
    let tables = |bench: &Bench| bench.kernel.lock().unwrap().marks.as_ref().map(|marks| marks.len());
    assert_eq!(tables(&bench), Some(1));
    bench.order(ToDaemon::Stop(StopMode::Withdraw));
    assert_eq!(bench.next(), IpvsdToParent::Common(FromDaemon::Stopped));
    assert_eq!(tables(&bench), Some(0));
}

fn marked() -> (config::model::ipvs::IpvsSettings, [IpvsService; 1]) {
    use config::model::ipvs::{AddressRange, IpvsSettings, MarkTable, Marked, Protocol};
    let marks =
        Some(MarkTable { name: "keepalived_ipvs".into(), priority: -1, first: 1000, counters: false });
    let address = "192.0.2.1".parse().unwrap();
    let ranges = vec![AddressRange { first: address, last: address, port: 80 }];
    let marked = Some(Marked { mark: 1000, protocol: Protocol::Tcp, ranges });
    let service = IpvsService { marked, ..service(&[crate::samples::mark(1000)], 1) };
    (IpvsSettings { marks, ..IpvsSettings::default() }, [service])
}
