//! The ledger against a kernel that is a map and refuses as the real one does.

use netlink::ipvs::IpFamily;
use proptest::prelude::*;

use super::*;
use crate::samples::{FakeKernel, entry, mark, service, tcp};

const START: MonoTime = MonoTime::from_nanos(1_000_000_000_000);

fn after(seconds: u64) -> MonoTime {
    START + Duration::from_secs(seconds)
}

/// Learns as the keeper does.
fn read(kernel: &FakeKernel, ledger: &mut Ledger, purpose: Purpose) {
    let found = kernel.services(&|key| ledger.concerns(key));
    let found = found.into_iter().map(|(key, entry)| (key, entry.service)).collect();
    for service in ledger.found_services(&found, purpose) {
        let servers = kernel.destinations(&service.key).iter().map(|entry| entry.destination).collect();
        ledger.found_destinations(service, servers, purpose);
    }
}

/// Brings the table into step as the keeper does; returns what would be logged.
fn serve(kernel: &mut FakeKernel, ledger: &mut Ledger, now: MonoTime) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..20 {
        if ledger.must_read() {
            read(kernel, ledger, Purpose::Learn);
        }
        let operations = ledger.operations(now, 1000);
        if operations.is_empty() && !ledger.must_read() {
            return lines;
        }
        let outcomes: Vec<_> = operations.iter().map(|operation| kernel.write(operation)).collect();
        lines.extend(ledger.learn(&operations, &outcomes, now));
    }
    panic!("the ledger doesn't come to rest");
}

fn key(port: u16) -> Key {
    Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port }
}

fn list(generation: u64, ports: &[u16]) -> List {
    let mut list = List::new(Generation::new(generation));
    for port in ports {
        list.add(service(&[tcp(1, *port)], 2)).unwrap();
    }
    list
}

fn commit(ledger: &mut Ledger, list: List) {
    let generation = list.generation();
    ledger.prepare(list);
    assert!(ledger.commit(generation));
}

/// A ledger with one service on port 80 and two servers of weight 1 and 2, in step with its kernel.
fn in_step() -> (Ledger, FakeKernel) {
    let (mut ledger, mut kernel) = (Ledger::default(), FakeKernel::default());
    commit(&mut ledger, list(1, &[80]));
    assert_eq!(ledger.desire(Generation::new(1), &[entry(0, 0, Some(1)), entry(0, 1, Some(2))], true), 0);
    serve(&mut kernel, &mut ledger, START);
    kernel.written = 0;
    (ledger, kernel)
}

fn in_step_state(services: u32, destinations: u32, repaired: u64) -> Option<TableState> {
    Some(TableState::InStep { services, destinations, repaired })
}

#[test]
fn nothing_is_written_before_the_first_whole() {
    let (mut ledger, mut kernel) = (Ledger::default(), FakeKernel::default());
    commit(&mut ledger, list(1, &[80]));
    ledger.desire(Generation::new(1), &[entry(0, 0, Some(1))], false);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.written, 0);
    assert_eq!(ledger.condition(), None);
    ledger.desire(Generation::new(1), &[], true);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [1]);
    assert_eq!(ledger.condition(), in_step_state(1, 1, 0));
}

#[test]
fn a_restart_writes_nothing_when_the_table_says_what_it_should() {
    let (_, mut kernel) = in_step();
    let mut successor = Ledger::default();
    commit(&mut successor, list(1, &[80]));
    successor.desire(Generation::new(1), &[entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
    serve(&mut kernel, &mut successor, START);
    assert_eq!(kernel.written, 0);
    assert_eq!(successor.condition(), in_step_state(1, 2, 0));
}

#[test]
fn a_restart_removes_the_servers_that_are_not_wanted() {
    let (_, mut kernel) = in_step();
    let mut successor = Ledger::default();
    commit(&mut successor, list(1, &[80]));
    successor.desire(Generation::new(1), &[entry(0, 1, Some(2))], true);
    serve(&mut kernel, &mut successor, START);
    assert_eq!(kernel.weights(key(80)), [2]);
    assert_eq!(kernel.written, 1);
}

#[test]
fn a_delta_changes_one_entry_with_one_operation() {
    let (mut ledger, mut kernel) = in_step();
    ledger.desire(Generation::new(1), &[entry(0, 0, None)], false);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [2]);
    assert_eq!(kernel.written, 1);
}

#[test]
fn deltas_of_one_turn_cost_one_operation() {
    let (mut ledger, mut kernel) = in_step();
    for weight in 3..50 {
        ledger.desire(Generation::new(1), &[entry(0, 0, Some(weight))], false);
    }
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [49, 2]);
    assert_eq!(kernel.written, 1);
}

#[test]
fn services_of_others_are_never_touched() {
    let (mut ledger, mut kernel) = in_step();
    let foreign = Key::Mark { mark: 9, family: IpFamily::V6 };
    let theirs = Entry { service: Service::new(foreign, "lc"), destinations: BTreeMap::new() };
    kernel.table.insert(foreign, theirs.clone());
    read(&kernel, &mut ledger, Purpose::Audit);
    commit(&mut ledger, list(2, &[443]));
    ledger.desire(Generation::new(2), &[], true);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.table.keys().copied().collect::<Vec<_>>(), [key(443), foreign]);
    assert_eq!(kernel.table[&foreign], theirs);
    assert_eq!(ledger.withdrawal(), [Operation::DeleteService(key(443))]);
}

#[test]
fn entries_of_a_prepared_list_wait_for_its_commit() {
    let (mut ledger, mut kernel) = in_step();
    ledger.prepare(list(2, &[80, 443]));
    assert_eq!(ledger.desire(Generation::new(2), &[entry(0, 0, Some(7)), entry(1, 0, Some(8))], true), 0);
    ledger.desire(Generation::new(1), &[entry(0, 1, Some(3))], false);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [1, 3]);
    assert!(ledger.commit(Generation::new(2)));
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [7]);
    assert_eq!(kernel.weights(key(443)), [8]);
}

#[test]
fn a_service_that_the_new_list_lacks_goes_only_after_the_new_whole() {
    let (mut ledger, mut kernel) = in_step();
    commit(&mut ledger, list(2, &[443]));
    serve(&mut kernel, &mut ledger, START);
    assert!(kernel.table.contains_key(&key(80)));
    ledger.desire(Generation::new(2), &[entry(0, 0, Some(1))], true);
    let first = {
        read(&kernel, &mut ledger, Purpose::Learn);
        ledger.operations(START, 1000)
    };
    assert!(!first.contains(&Operation::DeleteService(key(80))));
    serve(&mut kernel, &mut ledger, START);
    assert!(!kernel.table.contains_key(&key(80)));
    assert_eq!(ledger.condition(), in_step_state(1, 1, 0));
}

#[test]
fn a_service_that_comes_back_with_the_next_list_is_not_removed() {
    let (mut ledger, mut kernel) = in_step();
    commit(&mut ledger, list(2, &[443]));
    commit(&mut ledger, list(3, &[80]));
    ledger.desire(Generation::new(3), &[entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.written, 0);
    assert_eq!(kernel.weights(key(80)), [1, 2]);
}

#[test]
fn an_aborted_list_leaves_no_trace() {
    let (mut ledger, mut kernel) = in_step();
    ledger.prepare(list(2, &[443]));
    ledger.abort(Generation::new(2));
    assert!(!ledger.commit(Generation::new(2)));
    assert_eq!(ledger.desire(Generation::new(2), &[entry(0, 0, Some(1))], true), 1);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.written, 0);
}

#[test]
fn entries_of_an_unknown_generation_or_place_are_counted_and_dropped() {
    let (mut ledger, mut kernel) = in_step();
    assert_eq!(ledger.desire(Generation::new(9), &[entry(0, 0, Some(9)); 3], true), 3);
    let mixed = [entry(5, 0, Some(9)), entry(0, 9, Some(9)), entry(0, 0, Some(4))];
    assert_eq!(ledger.desire(Generation::new(1), &mixed, false), 2);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [4, 2]);
}

#[test]
fn entries_that_were_on_their_way_at_a_commit_are_dropped_without_a_count() {
    let (mut ledger, mut kernel) = in_step();
    commit(&mut ledger, list(2, &[80]));
    assert_eq!(ledger.desire(Generation::new(1), &[entry(0, 0, Some(9))], true), 0);
    ledger.desire(Generation::new(2), &[entry(0, 0, Some(4))], true);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [4]);
}

#[test]
fn a_refused_server_is_held_back_alone_and_tried_after_1_2_and_4_seconds() {
    let (mut ledger, mut kernel) = (Ledger::default(), FakeKernel::default());
    let bad = netlink::ipvs::Endpoint { ip: "10.0.0.1".parse().unwrap(), port: 8080 };
    kernel.refuse.insert(Subject::Destination(key(80), bad), Errno::EINVAL);
    commit(&mut ledger, list(1, &[80]));
    ledger.desire(Generation::new(1), &[entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
    let lines = serve(&mut kernel, &mut ledger, START);
    assert_eq!(lines, ["IPVS cmd add server [10.0.0.1]:8080 to [192.0.2.1]:tcp:80 error: Invalid argument"]);
    assert_eq!(kernel.weights(key(80)), [2]);
    assert!(matches!(ledger.condition(), Some(TableState::Failing { pending: 1, .. })));
    assert_eq!(ledger.next_retry(), Some(after(1)));
    for (at, next) in [(1, 3), (3, 7), (7, 15)] {
        assert_eq!(serve(&mut kernel, &mut ledger, after(at)), [""; 0]);
        assert_eq!(ledger.next_retry(), Some(after(next)));
    }
    kernel.refuse.clear();
    serve(&mut kernel, &mut ledger, after(15));
    assert_eq!(ledger.condition(), in_step_state(1, 2, 0));
    assert_eq!(ledger.next_retry(), None);
}

#[test]
fn a_service_that_the_kernel_refuses_costs_one_line_and_not_one_per_server() {
    let (mut ledger, mut kernel) = (Ledger::default(), FakeKernel::default());
    kernel.refuse.insert(Subject::Service(key(80)), Errno::ENOENT);
    commit(&mut ledger, list(1, &[80]));
    ledger.desire(Generation::new(1), &[entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
    let lines = serve(&mut kernel, &mut ledger, START);
    assert_eq!(lines, ["IPVS cmd add service [192.0.2.1]:tcp:80 error: No such file or directory"]);
    assert!(matches!(ledger.condition(), Some(TableState::Failing { pending: 1, .. })));
}

#[test]
fn a_failure_ends_when_its_entry_is_no_longer_wanted() {
    let (mut ledger, mut kernel) = (Ledger::default(), FakeKernel::default());
    let bad = netlink::ipvs::Endpoint { ip: "10.0.0.1".parse().unwrap(), port: 8080 };
    kernel.refuse.insert(Subject::Destination(key(80), bad), Errno::EINVAL);
    commit(&mut ledger, list(1, &[80]));
    ledger.desire(Generation::new(1), &[entry(0, 0, Some(1))], true);
    serve(&mut kernel, &mut ledger, START);
    ledger.desire(Generation::new(1), &[entry(0, 0, None)], false);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(ledger.condition(), in_step_state(1, 0, 0));
}

#[test]
fn a_table_emptied_by_somebody_else_is_put_back_and_counted() {
    let (mut ledger, mut kernel) = in_step();
    kernel.table.clear();
    read(&kernel, &mut ledger, Purpose::Audit);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [1, 2]);
    assert_eq!(ledger.condition(), in_step_state(1, 2, 3));
}

#[test]
fn a_server_edited_by_somebody_else_is_put_right_when_its_service_is_audited() {
    let (mut ledger, mut kernel) = in_step();
    for server in kernel.table.get_mut(&key(80)).unwrap().destinations.values_mut() {
        server.weight = 77;
    }
    assert_eq!(ledger.next_key(None), Some(key(80)));
    assert_eq!(ledger.next_key(Some(key(80))), Some(key(80)));
    let service = ledger.believed_service(&key(80)).unwrap();
    let servers = kernel.table[&key(80)].destinations.values().copied().collect();
    ledger.found_destinations(service, servers, Purpose::Audit);
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.weights(key(80)), [1, 2]);
    assert_eq!(ledger.repaired(), 2);
}

#[test]
fn a_surprise_of_the_kernel_is_read_and_put_right_without_a_word() {
    let (mut ledger, mut kernel) = in_step();
    kernel.table.clear();
    ledger.desire(Generation::new(1), &[entry(0, 0, Some(5))], false);
    assert_eq!(serve(&mut kernel, &mut ledger, START), [""; 0]);
    assert_eq!(kernel.weights(key(80)), [5, 2]);
    assert_eq!(ledger.condition(), in_step_state(1, 2, 3));
}

#[test]
fn an_unanswered_request_is_read_again_before_it_is_repeated() {
    let (mut ledger, mut kernel) = in_step();
    ledger.desire(Generation::new(1), &[entry(0, 0, Some(5))], false);
    let operations = ledger.operations(START, 1000);
    operations[0].apply(&mut kernel.table);
    let lines = ledger.learn(&operations, &[Outcome::Unanswered], START);
    assert_eq!(
        lines,
        ["IPVS cmd edit server [10.0.0.1]:8080 of [192.0.2.1]:tcp:80 error: no answer in time"]
    );
    assert!(ledger.must_read());
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.written, 0);
    assert_eq!(ledger.condition(), in_step_state(1, 2, 0));
}

#[test]
fn a_service_that_is_gone_after_an_unanswered_change_comes_back_with_all_its_servers_at_once() {
    let (mut ledger, mut kernel) = in_step();
    ledger.desire(Generation::new(1), &[entry(0, 1, None)], false);
    serve(&mut kernel, &mut ledger, START);
    ledger.desire(Generation::new(1), &[entry(0, 1, Some(2))], false);
    let operations = ledger.operations(START, 10);
    assert_eq!(operations.len(), 1);
    ledger.learn(&operations, &[Outcome::Unanswered], START);
    serve(&mut kernel, &mut ledger, START);
    kernel.table.clear();
    let lines = serve(&mut kernel, &mut ledger, START + Duration::from_secs(1));
    assert_eq!((kernel.weights(key(80)), lines), (vec![1, 2], vec![]));
    assert!(matches!(ledger.condition(), Some(TableState::InStep { .. })));
}

#[test]
fn after_a_doubt_everything_is_read_and_only_the_difference_written() {
    let (mut ledger, mut kernel) = in_step();
    let endpoint = *kernel.table[&key(80)].destinations.keys().next().unwrap();
    Operation::DeleteDestination(key(80), endpoint).apply(&mut kernel.table);
    ledger.doubt_everything();
    serve(&mut kernel, &mut ledger, START);
    assert_eq!(kernel.written, 1);
    assert_eq!(kernel.weights(key(80)), [1, 2]);
}

#[test]
fn slices_of_one_operation_finish_a_service_in_order_before_the_next() {
    let (mut ledger, mut kernel) = (Ledger::default(), FakeKernel::default());
    let mut list = List::new(Generation::new(1));
    list.add(service(&[tcp(1, 80), mark(7)], 2)).unwrap();
    commit(&mut ledger, list);
    ledger.desire(Generation::new(1), &[entry(0, 0, Some(1)), entry(0, 1, Some(2))], true);
    read(&kernel, &mut ledger, Purpose::Learn);
    let mut seen = Vec::new();
    loop {
        let slice = ledger.operations(START, 1);
        if slice.is_empty() {
            break;
        }
        let outcomes: Vec<_> = slice.iter().map(|operation| kernel.write(operation)).collect();
        ledger.learn(&slice, &outcomes, START);
        seen.extend(slice.iter().map(Operation::phase));
    }
    assert_eq!(seen, [0, 2, 2, 0, 2, 2]);
}

/// One thing that happens to the ledger or to its kernel.
#[derive(Debug, Clone)]
enum Event {
    Desire(u32, u32, Option<u32>),
    Whole(Vec<(u32, u32)>),
    Commit(Vec<u16>),
    ForeignDelete(u16),
    ForeignWeight(u16, u32),
    ForeignAdd(u16),
    Refuse(u16, bool),
    Unanswered,
    Audit,
    Doubt,
    Serve(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let port = 80..84_u16;
    let ports = proptest::collection::btree_set(port.clone(), 0..4);
    prop_oneof![
        6 => (0..4_u32, 0..2_u32, proptest::option::of(0..3_u32)).prop_map(|(a, b, c)| Event::Desire(a, b, c)),
        2 => proptest::collection::vec((0..4_u32, 0..2_u32), 0..6).prop_map(Event::Whole),
        2 => ports.prop_map(|ports| Event::Commit(ports.into_iter().collect())),
        1 => port.clone().prop_map(Event::ForeignDelete),
        1 => (port.clone(), 5..9_u32).prop_map(|(port, weight)| Event::ForeignWeight(port, weight)),
        1 => port.clone().prop_map(Event::ForeignAdd),
        1 => (port, any::<bool>()).prop_map(|(port, refuse)| Event::Refuse(port, refuse)),
        1 => Just(Event::Unanswered),
        2 => Just(Event::Audit),
        1 => Just(Event::Doubt),
        6 => (0..10_u64).prop_map(Event::Serve),
    ]
}

struct Story {
    ledger: Ledger,
    kernel: FakeKernel,
    generation: u64,
    now: MonoTime,
}

impl Story {
    fn happen(&mut self, event: &Event) {
        let Self { ledger, kernel, .. } = self;
        match event {
            Event::Desire(service, server, weight) => {
                ledger.desire(Generation::new(self.generation), &[entry(*service, *server, *weight)], false);
            }
            Event::Whole(present) => {
                let told: Vec<_> =
                    present.iter().map(|(service, server)| entry(*service, *server, Some(1))).collect();
                ledger.desire(Generation::new(self.generation), &told, true);
            }
            Event::Commit(ports) => {
                self.generation += 1;
                commit(ledger, list(self.generation, ports));
            }
            Event::ForeignDelete(port) => {
                kernel.table.remove(&key(*port));
            }
            Event::ForeignWeight(port, weight) => {
                for server in
                    kernel.table.get_mut(&key(*port)).iter_mut().flat_map(|it| it.destinations.values_mut())
                {
                    server.weight = *weight;
                }
            }
            Event::ForeignAdd(port) => {
                kernel.table.entry(key(*port)).or_insert_with(|| Entry {
                    service: Service::new(key(*port), "lc"),
                    destinations: BTreeMap::new(),
                });
            }
            Event::Refuse(port, true) => {
                kernel.refuse.insert(Subject::Service(key(*port)), Errno::ENOENT);
            }
            Event::Refuse(port, false) => {
                kernel.refuse.remove(&Subject::Service(key(*port)));
            }
            Event::Unanswered => {
                let operations = ledger.operations(self.now, 2);
                for operation in operations.iter().take(1) {
                    kernel.write(operation);
                }
                ledger.learn(&operations, &vec![Outcome::Unanswered; operations.len()], self.now);
            }
            Event::Audit => read(kernel, ledger, Purpose::Audit),
            Event::Doubt => ledger.doubt_everything(),
            Event::Serve(seconds) => {
                self.now = self.now + Duration::from_secs(*seconds);
                serve(kernel, ledger, self.now);
            }
        }
    }

    /// Faults are over; a last whole has been told; everything is audited once.
    fn ends_well(mut self) {
        self.kernel.refuse.clear();
        self.happen(&Event::Whole(vec![(0, 0), (1, 1)]));
        self.happen(&Event::Serve(120));
        self.happen(&Event::Audit);
        let believed: Vec<_> = self.ledger.believed.services().cloned().collect();
        for service in believed {
            let servers = self.kernel.destinations(&service.key);
            let servers = servers.iter().map(|entry| entry.destination).collect();
            self.ledger.found_destinations(service, servers, Purpose::Audit);
        }
        // What the kernel has contradicted more than once waits a minute at most.
        self.happen(&Event::Serve(60));
        let list = self.ledger.committed.as_ref().unwrap();
        for key in list.keys() {
            assert_eq!(self.kernel.table.get(&key), list.entry(&key).as_ref());
        }
        assert!(matches!(self.ledger.condition(), Some(TableState::InStep { .. })));
        assert!(self.ledger.retiring.is_empty());
        assert_eq!(self.ledger.next_retry(), None);
    }
}

proptest! {
    #[test]
    fn whatever_happened_the_table_ends_as_it_should_be(events in proptest::collection::vec(event(), 0..40)) {
        let (ledger, kernel) = in_step();
        let mut story = Story { ledger, kernel, generation: 1, now: START };
        for event in &events {
            story.happen(event);
        }
        story.ends_well();
    }
}
