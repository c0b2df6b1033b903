//! What the parent says and hears: loading, succession, reload, scripts, ending.

use std::net::TcpListener;
use std::time::Duration;

use checkd::driver::{DriverError, End};
use config::model::check::{Check, CheckKind, VirtualServer};
use config::model::units::{CheckId, Generation, ScriptId, ServerId, ServiceId};
use ipc::messages::checkd::{CheckdToParent, ParentToCheckd, ServiceState, Verdict};
use ipc::messages::{Confined, FromDaemon, Refusal, RunOutcome, StopMode, ToDaemon};
use ipc::reactor;

use crate::servers::closed;
use crate::support::{Parent, misc, misc_within, sealed, sealed_with, server, service, tcp};

fn result(generation: u64, check: u32, outcome: RunOutcome) -> ParentToCheckd {
    ParentToCheckd::ScriptResult {
        generation: Generation::new(generation),
        check: CheckId::new(check),
        outcome,
    }
}

fn is_run(message: &CheckdToParent) -> bool {
    matches!(message, CheckdToParent::RunCheck { .. })
}

#[test]
fn the_first_configuration_confines_before_it_is_prepared() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![])])]);
    parent.settle();
    let order: Vec<_> = parent
        .seen
        .iter()
        .filter_map(|message| match message {
            CheckdToParent::Common(FromDaemon::Hello(_)) => Some("hello"),
            CheckdToParent::Common(FromDaemon::Confined(Confined { .. })) => Some("confined"),
            CheckdToParent::Common(FromDaemon::Prepared(_)) => Some("prepared"),
            CheckdToParent::Common(FromDaemon::Committed(_)) => Some("committed"),
            CheckdToParent::Desired { .. } => Some("desired"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["hello", "confined", "prepared", "committed", "desired"]);
    let state = |server: Option<u32>| ServiceState {
        service: ServiceId::new(0),
        server: server.map(ServerId::new),
        up: true,
    };
    assert!(parent.seen.contains(&CheckdToParent::ServiceStates {
        generation: Generation::new(1),
        states: vec![state(None), state(Some(0))]
    }));
    assert_eq!(parent.notified(), [1000]);
}

#[test]
fn a_large_table_travels_in_batches_of_1024() {
    let servers = (0..2500).map(|index| server(index, vec![])).collect();
    let mut parent = Parent::start(false);
    parent.load(1, &[service(servers)]);
    let batches: Vec<_> = parent
        .seen
        .iter()
        .filter_map(|message| match message {
            CheckdToParent::Desired { entries, complete, .. } => Some((entries.len(), *complete)),
            _ => None,
        })
        .collect();
    assert_eq!(batches, [(1024, false), (1024, false), (452, true)]);
    assert_eq!(parent.table.len(), 2500);
}

#[test]
fn a_configuration_without_services_has_an_empty_whole_table() {
    let mut parent = Parent::start(false);
    parent.load(1, &[]);
    assert_eq!(parent.table.len(), 0);
}

#[test]
fn scripts_run_at_the_parent_and_their_status_is_the_weight() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![misc(5)])])]);
    assert_eq!(
        parent.until(is_run),
        CheckdToParent::RunCheck {
            generation: Generation::new(1),
            check: CheckId::new(0),
            script: ScriptId::new(5)
        }
    );
    parent.send(result(1, 0, RunOutcome::Exited(42)));
    parent.until_table(&[(0, Some(0), 40)]);
    parent.until(is_run);
    parent.send(result(1, 0, RunOutcome::Exited(1)));
    parent.until_table(&[]);
    let failed = "by [/bin/check] failed with retry disabled (exited with status 1).";
    assert!(parent.logs().iter().any(|line| line.ends_with(failed)), "{:?}", parent.logs());
}

#[test]
fn results_that_name_nothing_known_are_dropped_and_counted() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![misc(5)])])]);
    parent.until(is_run);
    for stray in [
        result(0, 0, RunOutcome::Exited(1)),
        result(2, 0, RunOutcome::Exited(1)),
        result(1, 7, RunOutcome::Exited(1)),
    ] {
        parent.send(stray);
    }
    parent.settle();
    assert_eq!(parent.table.len(), 1);
    parent.send(ToDaemon::Stop(StopMode::Leave));
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Stopped));
    assert!(parent.logs().contains(&"3 results for unknown checks were dropped"));
    assert_eq!(parent.ended().unwrap(), End::Stopped);
}

#[test]
fn a_script_whose_end_is_never_reported_counts_as_timed_out() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![misc_within(5, Duration::from_millis(100))])])]);
    parent.until(is_run);
    parent.until_table(&[]);
    let late = "by [/bin/check] timed out with retry disabled.";
    assert!(parent.logs().iter().any(|line| line.ends_with(late)), "{:?}", parent.logs());
}

#[test]
fn a_script_that_took_longer_than_delay_loop_runs_again_at_once() {
    let every = |script, milliseconds| {
        let mut check = misc(script);
        check.delay_loop = Duration::from_millis(milliseconds);
        check
    };
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![every(5, 2_000)]), server(2, vec![every(6, 2_400)])])]);
    let runs = |script: u32| move |message: &CheckdToParent| matches!(message, CheckdToParent::RunCheck { script: of, .. } if of.value() == script);
    parent.until(is_run);
    parent.until(is_run);
    parent.send(result(1, 1, RunOutcome::Exited(0)));
    // The first one has missed a run meanwhile, and its next would be due in more than a second.
    parent.until(runs(6));
    let answered = reactor::now();
    parent.send(result(1, 0, RunOutcome::Exited(0)));
    parent.until(runs(5));
    let waited = reactor::now().since(answered);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[test]
fn a_server_remembered_as_dead_stays_out_until_it_answers() {
    // Nobody else takes a port of this address while it is free.
    let listener = TcpListener::bind("127.0.0.6:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut parent = Parent::start(false);
    let remembered =
        |check, up| Verdict { check: CheckId::new(check), up, tested: true, failures: 0, weight: None };
    parent.send(ParentToCheckd::Remembered {
        generation: Generation::new(3),
        verdicts: vec![remembered(0, false), remembered(1, true)],
        quorums: vec![],
    });
    let alive = TcpListener::bind("127.0.0.1:0").unwrap();
    parent.load(
        3,
        &[service(vec![server(1, vec![tcp(address)]), server(2, vec![tcp(alive.local_addr().unwrap())])])],
    );
    assert_eq!(parent.table.keys().copied().collect::<Vec<_>>(), [(0, Some(1))]);
    let _listener = TcpListener::bind(address).unwrap();
    parent.until_table(&[(0, Some(0), 1), (0, Some(1), 1)]);
    parent.settle();
    assert_eq!(parent.notified(), [10]);
}

#[test]
fn a_reload_keeps_states_and_runs_the_scripts_of_what_is_gone_before_it_is_committed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let alive = tcp(listener.local_addr().unwrap());
    let dead = tcp(closed());
    let first = || server(1, vec![alive.clone()]);
    let second = || server(2, vec![dead.clone()]);
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![first(), second(), server(3, vec![])])]);
    parent.until_table(&[(0, Some(0), 1), (0, Some(2), 1)]);
    parent.load(2, &[service(vec![second(), first(), server(4, vec![])])]);
    parent.settle();
    assert_eq!(parent.table.keys().copied().collect::<Vec<_>>(), [(0, Some(1)), (0, Some(2))]);
    let committed = |message: &CheckdToParent| {
        *message == CheckdToParent::Common(FromDaemon::Committed(Generation::new(2)))
    };
    let gone = CheckdToParent::RunNotify { generation: Generation::new(1), script: ScriptId::new(31) };
    let position = |wanted: &dyn Fn(&CheckdToParent) -> bool| parent.seen.iter().position(wanted).unwrap();
    assert!(position(&|message| *message == gone) < position(&committed));
    assert_eq!(parent.notified(), [1000, 21, 31]);
}

#[test]
fn an_abandoned_configuration_leaves_the_old_one_in_use() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![])])]);
    parent.prepare(2, &[]);
    let prepared = CheckdToParent::Common(FromDaemon::Prepared(Generation::new(2)));
    parent.until(|message| *message == prepared);
    parent.send(ToDaemon::Abort(Generation::new(2)));
    parent.send(ToDaemon::Commit(Generation::new(2)));
    parent.settle();
    assert_eq!(parent.table.len(), 1);
    assert!(!parent.seen.contains(&CheckdToParent::Common(FromDaemon::Committed(Generation::new(2)))));
}

fn refusal(parent: &mut Parent) -> Refusal {
    match parent.until(|message| matches!(message, CheckdToParent::Common(FromDaemon::Refused { .. }))) {
        CheckdToParent::Common(FromDaemon::Refused { reason, .. }) => reason,
        _ => unreachable!(),
    }
}

fn to_port(port: u16) -> Vec<VirtualServer> {
    vec![service(vec![server(1, vec![tcp(([127, 0, 0, 1], port).into())])])]
}

#[test]
fn a_port_outside_the_confinement_needs_a_new_process() {
    let mut parent = Parent::start(true);
    parent.load(1, &to_port(7));
    parent.prepare(2, &to_port(9));
    assert_eq!(refusal(&mut parent), Refusal::NeedsWiderSandbox);
    parent.load(3, &to_port(7));
}

#[test]
fn what_a_configuration_for_a_wider_sandbox_changes_is_told_by_the_process_that_it_outgrows() {
    let mut parent = Parent::start(true);
    let server_of = |port: u16| server(port, vec![tcp(([127, 0, 0, 1], port).into())]);
    parent.load(1, &[service(vec![server_of(7), server_of(8)])]);
    parent.prepare(2, &[service(vec![server_of(7), server_of(9)])]);
    assert_eq!(refusal(&mut parent), Refusal::NeedsWiderSandbox);
    parent.send(ToDaemon::Commit(Generation::new(2)));
    parent.until(|message| matches!(message, CheckdToParent::Desired { generation, complete: true, .. } if *generation == Generation::new(2)));
    parent.settle();
    let removed = "Removing service [192.0.2.1]:tcp:1008 from VS [198.51.100.1]:tcp:80";
    assert!(parent.logs().contains(&removed), "{:?}", parent.logs());
    let down = |message: &CheckdToParent| {
        matches!(message, CheckdToParent::ServiceEvent { generation, server: Some(server), up: false, .. }
            if (*generation, *server) == (Generation::new(1), ServerId::new(1)))
    };
    assert!(parent.seen.iter().any(down));
    let checked = |line: &&&str| line.contains("]:tcp:1009 ");
    assert_eq!(parent.logs().iter().filter(checked).count(), 0);
    assert!(!parent.seen.contains(&CheckdToParent::Common(FromDaemon::Committed(Generation::new(2)))));
}

#[test]
fn without_port_rules_in_force_any_port_will_do() {
    let mut parent = Parent::start(false);
    parent.load(1, &to_port(7));
    parent.load(2, &to_port(9));
}

#[test]
fn files_that_are_not_sealed_or_not_consistent_are_refused() {
    let mut parent = Parent::start(false);
    parent.prepare_file(1, ipc::memfd::create("test").unwrap());
    assert_eq!(refusal(&mut parent), Refusal::Invalid("memfd is not sealed".to_owned()));
    let mut check = tcp(([127, 0, 0, 1], 7).into());
    if let CheckKind::Tcp(endpoint) = check.kind.clone() {
        check.kind = CheckKind::Http(config::model::check::HttpCheck {
            endpoint,
            tls: None,
            protocol: config::model::check::HttpProtocol::Http11,
            urls: vec![],
            fast_recovery: false,
        });
    }
    parent.prepare_file(2, sealed(&[service(vec![server(1, vec![check])])]));
    assert_eq!(refusal(&mut parent), Refusal::Invalid("checker 0 has no url".to_owned()));
    parent.load(3, &[]);
}

#[test]
fn a_reload_announces_the_checks_that_it_brings_and_no_other() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![misc(5)])])]);
    let of = |server: u8| format!("Activating healthchecker for service [192.0.2.1]:tcp:100{server} ");
    parent.until(is_run);
    let announced =
        |parent: &Parent, server| parent.logs().iter().filter(|line| line.starts_with(&of(server))).count();
    assert_eq!(announced(&parent, 1), 1);
    parent.load(2, &[service(vec![server(1, vec![misc(5)]), server(2, vec![misc(6)])])]);
    parent.settle();
    assert_eq!((announced(&parent, 1), announced(&parent, 2)), (1, 1));
}

#[test]
fn a_quiet_daemon_checks_nothing_until_it_is_resumed() {
    let mut parent = Parent::start(false);
    parent.load(1, &[service(vec![server(1, vec![misc(5)])])]);
    parent.until(is_run);
    parent.send(ToDaemon::Quiesce);
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Quiesced));
    parent.send(result(1, 0, RunOutcome::Exited(1)));
    parent.settle();
    assert_eq!(parent.table.len(), 1);
    parent.send(ToDaemon::Resume);
    parent.until(is_run);
}

#[test]
fn checks_rest_while_the_address_of_their_service_is_elsewhere() {
    let mut follower = VirtualServer { ha_suspend: true, ..service(vec![server(1, vec![misc(5)])]) };
    follower.name = "[198.51.100.2]:tcp:80".to_owned();
    let services = [follower, service(vec![server(2, vec![misc(6)])])];
    let here = |generation, here| ParentToCheckd::Here {
        generation: Generation::new(generation),
        services: vec![ServiceId::new(0), ServiceId::new(1), ServiceId::new(9)],
        here,
    };
    let runs = |parent: &Parent, script| {
        let asked = parent.seen.iter().filter(
            |message| matches!(message, CheckdToParent::RunCheck { script: of, .. } if of.value() == script),
        );
        asked.count()
    };
    let mut parent = Parent::start(false);
    parent.load(1, &services);
    // The other service's checks show that time went on.
    while runs(&parent, 6) < 3 {
        let CheckdToParent::RunCheck { check, .. } = parent.until(is_run) else { unreachable!() };
        parent.send(result(1, check.value(), RunOutcome::Exited(0)));
    }
    assert_eq!(runs(&parent, 5), 0);
    parent.send(here(1, true));
    parent
        .until_log("Activating healthchecker for service [192.0.2.1]:tcp:1001 for VS [198.51.100.2]:tcp:80");
    parent.until(|message| matches!(message, CheckdToParent::RunCheck { script, .. } if script.value() == 5));
    // The address goes while its check is under way: what that finds counts for nothing.
    parent.send(here(1, false));
    parent
        .until_log("Suspending healthchecker for service [192.0.2.1]:tcp:1001 for VS [198.51.100.2]:tcp:80");
    parent.send(result(1, 0, RunOutcome::Exited(1)));
    parent.settle();
    assert_eq!(parent.table.get(&(0, Some(0))), Some(&1));
    // What is said ahead of a commit holds from its first moment on.
    parent.prepare(2, &services);
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Prepared(Generation::new(2))));
    parent.send(here(2, true));
    parent.send(ToDaemon::Commit(Generation::new(2)));
    parent.until(|message| {
        matches!(message, CheckdToParent::RunCheck { script, generation, .. }
            if script.value() == 5 && generation.value() == 2)
    });
}

#[test]
fn servers_that_are_up_at_the_start_are_told_of_where_that_is_asked_for() {
    let mut parent = Parent::start(false);
    let alpha = Check { alpha: true, ..misc(5) };
    let services = [service(vec![server(1, vec![misc(4)]), server(2, vec![alpha]), server(3, vec![])])];
    parent.prepare_file(1, sealed_with(&services, true));
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Prepared(Generation::new(1))));
    parent.send(ToDaemon::Commit(Generation::new(1)));
    parent.until(
        |message| matches!(message, CheckdToParent::RunNotify { script, .. } if script.value() == 1000),
    );
    assert_eq!(parent.notified(), [10, 30, 1000]);
}

#[test]
fn a_withdrawing_stop_with_omega_runs_the_down_scripts_first() {
    let omega = VirtualServer { omega: true, ..service(vec![server(1, vec![]), server(2, vec![])]) };
    let mut parent = Parent::start(false);
    parent.load(1, &[omega]);
    parent.send(ToDaemon::Stop(StopMode::Withdraw));
    parent.until(|message| *message == CheckdToParent::Common(FromDaemon::Stopped));
    assert_eq!(parent.notified(), [1000, 11, 21, 1001]);
    assert_eq!(parent.ended().unwrap(), End::Stopped);
}

#[test]
fn a_parent_that_closes_its_end_ends_the_daemon() {
    let mut parent = Parent::start(false);
    parent.load(1, &to_port(7));
    assert_eq!(parent.end(), End::ParentGone);
}

#[test]
fn a_parent_that_breaks_the_protocol_ends_the_daemon() {
    let parent = Parent::start(false);
    nix::sys::socket::send(
        std::os::fd::AsRawFd::as_raw_fd(&parent),
        &[255; 8],
        nix::sys::socket::MsgFlags::empty(),
    )
    .unwrap();
    assert!(matches!(parent.ended(), Err(DriverError::Parent(_))));
}
