//! The keeper with a kernel that is a map and a clock that stands still.

use std::sync::{Arc, Mutex};

use config::model::ipvs as model;
use config::model::units::Generation;
use netlink::ipvs::{IpFamily, Key, Service};

use super::*;
use crate::list::List;
use crate::reconcile::Entry;
use crate::samples::{FakeKernel, SharedKernel, entry, marked_list, service, tcp};

const START: MonoTime = MonoTime::from_nanos(1_000_000_000_000);

fn key() -> Key {
    Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port: 80 }
}

/// A keeper that has been told of one service with two servers, and its kernel.
fn told() -> (Keeper<SharedKernel>, SharedKernel) {
    let kernel = Arc::new(Mutex::new(FakeKernel { clock: START, ..FakeKernel::default() }));
    let mut keeper = Keeper::new(Arc::clone(&kernel));
    let mut list = List::new(Generation::new(1));
    list.add(service(&[tcp(1, 80)], 2)).unwrap();
    keeper.ledger.prepare(list);
    assert!(keeper.ledger.commit(Generation::new(1)));
    keeper.ledger.desire(Generation::new(1), &[entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
    (keeper, kernel)
}

fn in_step() -> (Keeper<SharedKernel>, SharedKernel) {
    let (mut keeper, kernel) = told();
    assert_eq!(keeper.turn(), []);
    assert_eq!(keeper.condition(), Some(TableState::InStep { services: 1, destinations: 2, repaired: 0 }));
    kernel.lock().unwrap().written = 0;
    (keeper, kernel)
}

fn advance(kernel: &SharedKernel, millis: u64) {
    let mut kernel = kernel.lock().unwrap();
    kernel.clock = kernel.clock + Duration::from_millis(millis);
}

#[test]
fn a_kernel_without_ipvs_costs_one_line_and_a_try_every_five_seconds() {
    let (mut keeper, kernel) = told();
    kernel.lock().unwrap().absent = true;
    let lines = keeper.turn();
    assert_eq!(lines, [(Level::Error, "IPVS: Can't initialize ipvs: No such file or directory".to_owned())]);
    assert_eq!(keeper.condition(), Some(TableState::Unavailable("No such file or directory".into())));
    assert_eq!(keeper.next(), Some(START + Duration::from_secs(5)));
    advance(&kernel, 5_000);
    assert_eq!(keeper.turn(), []);
    kernel.lock().unwrap().absent = false;
    advance(&kernel, 5_000);
    assert_eq!(keeper.turn(), [(Level::Info, "Initializing ipvs".to_owned())]);
    assert_eq!(kernel.lock().unwrap().weights(key()), [1, 2]);
}

#[test]
fn an_emptied_table_is_full_again_at_the_next_look() {
    let (mut keeper, kernel) = in_step();
    kernel.lock().unwrap().table.clear();
    assert_eq!(keeper.next(), Some(START + Duration::from_secs(1)));
    advance(&kernel, 1_000);
    keeper.turn();
    assert_eq!(keeper.next(), Some(START + Duration::from_secs(1)));
    let lines = keeper.turn();
    assert_eq!(kernel.lock().unwrap().weights(key()), [1, 2]);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].1, "IPVS: entries changed by something else were put back, count=3");
    assert_eq!(keeper.condition(), Some(TableState::InStep { services: 1, destinations: 2, repaired: 3 }));
}

#[test]
fn a_server_deleted_by_somebody_else_is_back_within_two_looks() {
    let (mut keeper, kernel) = in_step();
    let endpoint = kernel.lock().unwrap().destinations(&key())[0].destination.endpoint;
    Operation::DeleteDestination(key(), endpoint).apply(&mut kernel.lock().unwrap().table);
    advance(&kernel, 1_000);
    for _ in 0..4 {
        keeper.turn();
    }
    assert_eq!(kernel.lock().unwrap().weights(key()), [1, 2]);
}

#[test]
fn a_paused_keeper_writes_nothing_and_a_resumed_one_reads_before_it_writes() {
    let (mut keeper, kernel) = in_step();
    keeper.pause();
    keeper.ledger.desire(Generation::new(1), &[entry(0, 0, Some(9))], false);
    assert_eq!(keeper.turn(), []);
    assert_eq!(keeper.next(), None);
    assert_eq!(kernel.lock().unwrap().written, 0);
    for server in kernel.lock().unwrap().table.get_mut(&key()).unwrap().destinations.values_mut() {
        server.weight = 9;
    }
    keeper.resume();
    keeper.turn();
    assert_eq!(kernel.lock().unwrap().weights(key()), [9, 2]);
    assert_eq!(kernel.lock().unwrap().written, 1);
}

#[test]
fn a_silent_kernel_is_asked_again_later_and_then_put_in_step() {
    let (mut keeper, kernel) = in_step();
    kernel.lock().unwrap().silent = true;
    keeper.ledger.desire(Generation::new(1), &[entry(0, 0, Some(9))], false);
    let lines = keeper.turn();
    assert_eq!(lines.len(), 1);
    assert_eq!(kernel.lock().unwrap().written, 1);
    assert_eq!(keeper.next(), Some(START + Duration::from_secs(1)));
    kernel.lock().unwrap().silent = false;
    advance(&kernel, 1_000);
    keeper.turn();
    assert_eq!(kernel.lock().unwrap().weights(key()), [9, 2]);
}

#[test]
fn a_table_that_refuses_everything_costs_eight_lines() {
    let kernel = Arc::new(Mutex::new(FakeKernel { clock: START, ..FakeKernel::default() }));
    let mut keeper = Keeper::new(Arc::clone(&kernel));
    let mut list = List::new(Generation::new(1));
    for port in 1..=50 {
        list.add(service(&[tcp(1, port)], 1)).unwrap();
    }
    for key in list.keys() {
        let subject = crate::reconcile::Subject::Service(key);
        kernel.lock().unwrap().refuse.insert(subject, nix::errno::Errno::ENOENT);
    }
    keeper.ledger.prepare(list);
    keeper.ledger.commit(Generation::new(1));
    keeper.ledger.desire(Generation::new(1), &[], true);
    let lines = keeper.turn();
    assert_eq!(lines.len(), 8);
    assert!(matches!(keeper.condition(), Some(TableState::Failing { pending: 50, .. })));
}

#[test]
fn a_withdrawal_removes_our_services_and_no_other() {
    let (mut keeper, kernel) = in_step();
    let foreign = Service::new(Key::Mark { mark: 3, family: IpFamily::V4 }, "rr");
    Operation::AddService(foreign.clone()).apply(&mut kernel.lock().unwrap().table);
    assert_eq!(keeper.withdraw(), []);
    assert_eq!(kernel.lock().unwrap().table.keys().copied().collect::<Vec<_>>(), [foreign.key]);
    assert_eq!(keeper.turn(), []);
    assert_eq!(kernel.lock().unwrap().table.len(), 1);
}

/// A keeper that has committed these settings and nothing else.
fn with_settings(settings: model::IpvsSettings) -> (Keeper<SharedKernel>, SharedKernel) {
    let kernel = Arc::new(Mutex::new(FakeKernel { clock: START, ..FakeKernel::default() }));
    let mut keeper = Keeper::new(Arc::clone(&kernel));
    let mut list = List::new(Generation::new(1));
    list.set(settings).unwrap();
    keeper.ledger.prepare(list);
    assert!(keeper.commit(Generation::new(1)));
    (keeper, kernel)
}

fn foreign() -> Key {
    Key::Mark { mark: 99, family: IpFamily::V4 }
}

fn put(kernel: &SharedKernel, key: Key) {
    let entry = Entry { service: Service::new(key, "rr"), destinations: std::collections::BTreeMap::new() };
    kernel.lock().unwrap().table.insert(key, entry);
}

#[test]
fn flushing_empties_the_table_once_and_only_when_ordered() {
    let (mut keeper, kernel) = told();
    put(&kernel, foreign());
    keeper.flush();
    keeper.turn();
    assert_eq!(kernel.lock().unwrap().table.keys().copied().collect::<Vec<_>>(), [key()]);
    put(&kernel, foreign());
    keeper.turn();
    assert_eq!(kernel.lock().unwrap().table.len(), 2);
}

#[test]
fn time_outs_are_set_once_for_each_change() {
    let timeouts = model::ConnectionTimeouts { tcp: 7200, tcp_fin: 0, udp: 9 };
    let (mut keeper, kernel) = with_settings(model::IpvsSettings { timeouts, ..Default::default() });
    keeper.turn();
    assert_eq!(kernel.lock().unwrap().timeouts.take(), Some(Timeouts { tcp: 7200, tcp_fin: 0, udp: 9 }));
    keeper.turn();
    assert_eq!(kernel.lock().unwrap().timeouts, None);
    keeper.withdraw();
    let former = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
    assert_eq!(kernel.lock().unwrap().timeouts, Some(former), "a stop sets what was there before");
}

#[test]
fn a_time_out_that_is_no_longer_configured_becomes_what_it_was() {
    let wanted = Timeouts { tcp: 3600, tcp_fin: 0, udp: 0 };
    let set = Timeouts { tcp: 7200, tcp_fin: 30, udp: 0 };
    let former = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
    let sent = with_former(&wanted, &set, Some(&former));
    assert_eq!(sent, Timeouts { tcp: 3600, tcp_fin: 120, udp: 0 });
}

#[test]
fn the_receive_buffer_is_what_the_configuration_says() {
    for (forced, expected) in
        [(false, ReceiveBuffer::WithinLimit(65_536)), (true, ReceiveBuffer::Forced(65_536))]
    {
        let (_keeper, kernel) = with_settings(model::IpvsSettings {
            receive_buffer: Some(65_536),
            receive_buffer_forced: forced,
            ..Default::default()
        });
        assert_eq!(kernel.lock().unwrap().buffer, Some(expected));
    }
}

#[test]
fn a_stop_ends_the_synchronisation_and_empties_the_table_when_it_is_to() {
    let sync = model::SyncDaemon {
        interface: "eth0".into(),
        instance: None,
        id: 0,
        max_length: None,
        port: None,
        ttl: None,
        group: None,
    };
    for flush_on_stop in [false, true] {
        let settings = model::IpvsSettings { sync: Some(sync.clone()), flush_on_stop, ..Default::default() };
        let (mut keeper, kernel) = with_settings(settings);
        put(&kernel, foreign());
        keeper.turn();
        assert_eq!(kernel.lock().unwrap().daemons.len(), 2);
        keeper.withdraw();
        let kernel = kernel.lock().unwrap();
        assert_eq!((kernel.daemons.len(), kernel.table.is_empty()), (0, flush_on_stop));
    }
}

#[test]
fn counters_come_with_the_audit() {
    let (mut keeper, kernel) = in_step();
    assert_eq!(keeper.statistics().1, []);
    advance(&kernel, 1_000);
    keeper.turn();
    keeper.turn();
    let connections: Vec<_> = keeper.statistics().1.iter().map(|entry| entry.counters.connections).collect();
    assert_eq!(connections, [0, 5, 5]);
}

/// One element with another mark, made by somebody else, and a change of nftables that is none of ours.
#[test]
fn a_changed_element_of_nftables_is_put_back_at_the_next_look() {
    let kernel = Arc::new(Mutex::new(FakeKernel { clock: START, ..FakeKernel::default() }));
    let mut keeper = Keeper::new(Arc::clone(&kernel));
    let list = marked_list(1, &[("web", &[("192.0.2.1", 80), ("192.0.2.7", 80)])]);
    assert_eq!(keeper.open_for(&list, Confined::Not).ok(), Some(true));
    keeper.ledger.prepare(list);
    assert!(keeper.commit(Generation::new(1)));
    keeper.ledger.desire(Generation::new(1), &[], true);
    assert_eq!(keeper.turn(), []);
    let tables = || kernel.lock().unwrap().marks.clone().unwrap();
    let written = tables();
    let change = |change: &dyn Fn(&mut FakeKernel)| {
        advance(&kernel, 1_000);
        let mut kernel = kernel.lock().unwrap();
        kernel.marks_generation += 1;
        change(&mut kernel);
    };
    change(&|_| {});
    assert_eq!(keeper.turn(), []);
    change(&|kernel| {
        for table in kernel.marks.iter_mut().flat_map(|tables| tables.values_mut()) {
            table.maps[0].elements[1].mark += 1;
        }
    });
    assert_ne!(tables(), written);
    assert_eq!(
        keeper.turn(),
        [(Level::Warning, "nftables: table keepalived_ipvs was changed by something else".to_owned())]
    );
    assert_eq!(tables(), written);
}
