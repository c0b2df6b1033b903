//! What daemons may name, and what is remembered of it.

use super::*;
use std::time::Duration;

use config::model::parts::{CheckKey, ParentInstance, ParentService, ServerRef};
use config::model::process::{Identity, Script};
use config::model::units::{InstanceId, ServerId, ServiceId, Vrid, Weight};
use config::model::vrrp::{Family, SyncGroup};
use ipc::messages::checkd::{CheckdToParent, QuorumState, ServiceState};
use ipc::messages::ipvsd::{StatisticsEntry, SyncRole};
use ipc::messages::vrrpd::{ElectionView, InstanceCounters, REJECT_REASONS, VrrpdToParent};

fn script(purpose: Purpose) -> Script {
    Script {
        name: "s".to_owned(),
        argv: vec!["/bin/true".to_owned()],
        identity: Identity { uid: 0, gid: 0, groups: vec![] },
        purpose,
        timeout: None,
    }
}

fn part(names: &[&str]) -> Rc<ParentPart> {
    Rc::new(ParentPart {
        process: config::model::process::ProcessSettings::default(),
        scripts: vec![script(Purpose::Tracked), script(Purpose::MiscCheck), script(Purpose::ServerNotify)],
        files: vec![],
        processes: vec![],
        instances: names
            .iter()
            .map(|name| ParentInstance {
                name: (*name).to_owned(),
                vrid: Vrid::new(1).unwrap(),
                family: Family::Inet,
                identity: config::model::vrrp::RouterIdentity {
                    vrid: Vrid::new(1).unwrap(),
                    family: Family::Inet,
                    interface: None,
                    group: None,
                },
                patience: Duration::from_secs(3),
                held: config::model::parts::Held::default(),
                owner: false,
                notify: InstanceNotify::default(),
            })
            .collect(),
        promoted: vec![],
        groups: vec![],
        statics: config::model::parts::Held::default(),
        services: vec![ParentService {
            name: "v".to_owned(),
            servers: vec!["r".to_owned()],
            follows: vec![],
        }],
        sockets: Vec::new(),
        checks: vec![CheckKey::of("a")],
        flush_at_start: false,
        sync_follows: Some(InstanceId::new(0)),
    })
}

const G1: Generation = Generation::new(1);
const G2: Generation = Generation::new(2);

fn transition(generation: Generation, instance: u32, state: VrrpState) -> VrrpdToParent {
    VrrpdToParent::Transition {
        generation,
        instance: InstanceId::new(instance),
        state,
        priority: Priority::new(100),
        notify: true,
        reason: String::new(),
    }
}

fn entry(service: u32, server: u32) -> CheckdToParent {
    CheckdToParent::Desired {
        generation: G1,
        entries: vec![DesiredEntry {
            service: ServiceId::new(service),
            server: ServerRef::Real(ServerId::new(server)),
            presence: Some(Weight::new(1).unwrap()),
        }],
        complete: true,
    }
}

/// What an ipvsd that starts now is told, in parts of one entry.
fn whole(broker: &Broker) -> Option<Vec<DesiredEntry>> {
    let (mut all, mut next) = (Vec::new(), broker.has_whole().then_some(0)?.into());
    while let Some(place) = next {
        let (entries, rest) = broker.whole_from(place, 1);
        all.extend(entries);
        next = rest;
    }
    Some(all)
}

#[test]
fn an_instance_outside_the_table_is_refused() {
    let mut broker = Broker::new(G1, part(&["a"]));
    assert_eq!(broker.vrrpd(transition(G1, 1, VrrpState::Master), &mut vec![]), Err(Refused));
    assert_eq!(broker.vrrpd(transition(G1, 0, VrrpState::Master), &mut vec![]), Ok(()));
    assert_eq!(broker.masters().count(), 1);
}

#[test]
fn states_after_a_commit_show_in_status_and_are_told_to_nobody() {
    let mut broker = Broker::new(G1, part(&[]));
    let state = |service, server: Option<u32>| ServiceState {
        service: ServiceId::new(service),
        server: server.map(ServerId::new),
        up: true,
    };
    let states = |states| CheckdToParent::ServiceStates { generation: G1, states };
    let mut out = vec![];
    assert_eq!(broker.checkd(states(vec![state(0, None), state(0, Some(0))]), &mut out), Ok(()));
    assert_eq!(broker.checkd(states(vec![state(0, Some(1))]), &mut out), Err(Refused));
    assert_eq!(broker.checkd(states(vec![state(1, None)]), &mut out), Err(Refused));
    assert_eq!(out, []);
    let status = broker.service_status();
    assert_eq!((status[0].up, status[0].servers[0].up), (Some(true), Some(true)));
    assert_eq!(broker.quorums().collect::<Vec<_>>(), [QuorumState { service: ServiceId::new(0), up: true }]);
}

#[test]
fn vrrpd_can_not_run_a_checkers_script() {
    let mut broker = Broker::new(G1, part(&["a"]));
    let mut out = vec![];
    let ask = |script| VrrpdToParent::RunScript { generation: G1, script: ScriptId::new(script) };
    assert_eq!(broker.vrrpd(ask(1), &mut out), Err(Refused));
    assert_eq!(broker.vrrpd(ask(9), &mut out), Err(Refused));
    assert_eq!(out, []);
    assert_eq!(broker.vrrpd(ask(0), &mut out), Ok(()));
    assert_eq!(out, [Effect::RunTracked(G1, ScriptId::new(0))]);
}

#[test]
fn checkd_can_not_name_a_server_that_is_not_configured() {
    let mut broker = Broker::new(G1, part(&[]));
    let mut out = vec![];
    assert_eq!(broker.checkd(entry(0, 1), &mut out), Err(Refused));
    assert_eq!(broker.checkd(entry(1, 0), &mut out), Err(Refused));
    assert_eq!(out, []);
    assert_eq!(whole(&broker), None);
    assert_eq!(broker.checkd(entry(0, 0), &mut out), Ok(()));
    assert_eq!(whole(&broker).unwrap().len(), 1);
}

#[test]
fn the_previous_generation_is_valid_until_the_daemon_confirms_the_new_one() {
    let mut broker = Broker::new(G1, part(&["a"]));
    broker.commit(G2, part(&["b", "a"]));
    assert_eq!(broker.vrrpd(transition(G1, 0, VrrpState::Master), &mut vec![]), Ok(()));
    assert_eq!(broker.masters().collect::<Vec<_>>(), [InstanceId::new(1)], "found by name");
    broker.confirmed(Daemon::Vrrpd);
    assert_eq!(broker.vrrpd(transition(G1, 0, VrrpState::Backup), &mut vec![]), Err(Refused));
}

#[test]
fn a_generation_that_was_never_handed_out_is_refused() {
    let mut broker = Broker::new(G1, part(&["a"]));
    let never = Generation::new(7);
    assert_eq!(broker.vrrpd(transition(never, 0, VrrpState::Master), &mut vec![]), Err(Refused));
}

#[test]
fn states_survive_a_reload_by_name() {
    let mut broker = Broker::new(G1, part(&["a", "b"]));
    broker.vrrpd(transition(G1, 1, VrrpState::Master), &mut vec![]).unwrap();
    broker.commit(G2, part(&["b"]));
    assert_eq!(broker.masters().collect::<Vec<_>>(), [InstanceId::new(0)]);
}

#[test]
fn a_verdict_of_an_unknown_checker_is_refused() {
    let mut broker = Broker::new(G1, part(&[]));
    let verdict =
        |check| Verdict { check: CheckId::new(check), up: true, tested: true, failures: 0, weight: None };
    let told = |check| CheckdToParent::Verdicts { generation: G1, verdicts: vec![verdict(check)] };
    assert_eq!(broker.checkd(told(1), &mut vec![]), Err(Refused));
    assert_eq!(broker.checkd(told(0), &mut vec![]), Ok(()));
    assert_eq!(broker.verdicts().count(), 1);
}

#[test]
fn a_successor_that_repeats_its_state_notifies_nobody() {
    let mut broker = Broker::new(G1, part(&["a"]));
    let mut out = vec![];
    let VrrpdToParent::Transition { generation, instance, state, priority, reason, .. } =
        transition(G1, 0, VrrpState::Master)
    else {
        panic!()
    };
    let repeat = VrrpdToParent::Transition { generation, instance, state, priority, notify: false, reason };
    broker.vrrpd(repeat, &mut out).unwrap();
    assert_eq!(out, []);
}

#[test]
fn refused_adverts_are_counted_by_reason() {
    let mut broker = Broker::new(G1, part(&["a"]));
    let mut rejected = [0; REJECT_REASONS.len()];
    rejected[1] = 3;
    rejected[7] = 4;
    let counters = InstanceCounters {
        instance: InstanceId::new(0),
        sent: 1,
        received: 2,
        rejected,
        became_master: 0,
        address_mismatches: 0,
        zero_received: 0,
        zero_sent: 0,
        view: ElectionView::default(),
    };
    broker.vrrpd(VrrpdToParent::Counters(vec![counters]), &mut vec![]).unwrap();
    let status = broker.instance_status().remove(0);
    assert_eq!(status.rejected, 7);
    assert_eq!(status.rejected_by, BTreeMap::from([("ttl".to_owned(), 3), ("checksum".to_owned(), 4)]));
}

fn part_with_checks(checks: &[&str]) -> Rc<ParentPart> {
    let checks = checks.iter().map(CheckKey::of).collect();
    Rc::new(ParentPart { checks, ..(*part(&[])).clone() })
}

fn dead(check: u32) -> Verdict {
    Verdict { check: CheckId::new(check), up: false, tested: true, failures: 3, weight: None }
}

fn verdicts(generation: Generation, verdicts: Vec<Verdict>) -> CheckdToParent {
    CheckdToParent::Verdicts { generation, verdicts }
}

#[test]
fn a_verdict_follows_its_checker_into_the_next_configuration() {
    let mut broker = Broker::new(G1, part_with_checks(&["a", "b", "c"]));
    broker.checkd(verdicts(G1, vec![dead(0), dead(2)]), &mut vec![]).unwrap();
    broker.commit(G2, part_with_checks(&["new", "c", "b"]));
    assert_eq!(broker.verdicts().collect::<Vec<_>>(), [dead(1)], "a is gone, c has another number");
}

#[test]
fn a_verdict_on_its_way_during_a_commit_is_kept_for_the_successor() {
    let mut broker = Broker::new(G1, part_with_checks(&["a", "b"]));
    broker.commit(G2, part_with_checks(&["b", "a"]));
    broker.checkd(verdicts(G1, vec![dead(0)]), &mut vec![]).unwrap();
    assert_eq!(broker.verdicts().collect::<Vec<_>>(), [dead(1)]);
    broker.confirmed(Daemon::Checkd);
    assert_eq!(broker.checkd(verdicts(G1, vec![dead(1)]), &mut vec![]), Err(Refused));
}

fn table(server: u32, complete: bool) -> CheckdToParent {
    let CheckdToParent::Desired { generation, entries, .. } = entry(0, server) else { panic!() };
    CheckdToParent::Desired { generation, entries, complete }
}

fn two_servers() -> Rc<ParentPart> {
    let services = vec![ParentService {
        name: "v".to_owned(),
        servers: vec!["r".to_owned(), "s".to_owned()],
        follows: vec![],
    }];
    Rc::new(ParentPart { services, ..(*part(&[])).clone() })
}

#[test]
fn a_whole_in_two_messages_is_handed_on_as_one() {
    let mut broker = Broker::new(G1, two_servers());
    let mut out = vec![];
    broker.checkd(table(0, false), &mut out).unwrap();
    assert_eq!((whole(&broker), out.len()), (None, 0), "an ipvsd that starts now is told nothing");
    broker.checkd(table(1, true), &mut out).unwrap();
    assert_eq!(out, [Effect::Whole]);
    assert_eq!(whole(&broker).unwrap().len(), 2);
}

#[test]
fn changes_after_the_whole_are_handed_on_one_by_one() {
    let mut broker = Broker::new(G1, two_servers());
    let mut out = vec![];
    broker.checkd(table(0, true), &mut out).unwrap();
    out.clear();
    broker.checkd(table(1, false), &mut out).unwrap();
    assert!(matches!(out.as_slice(), [Effect::Desired(G1, entries)] if entries.len() == 1));
    assert_eq!(whole(&broker).unwrap().len(), 2);
}

#[test]
fn the_whole_of_a_successor_replaces_that_of_its_predecessor() {
    let mut broker = Broker::new(G1, two_servers());
    broker.checkd(table(0, true), &mut vec![]).unwrap();
    broker.confirmed(Daemon::Checkd);
    broker.checkd(table(1, false), &mut vec![]).unwrap();
    assert_eq!(whole(&broker).unwrap().len(), 1, "what is known stays until the new whole is complete");
    let CheckdToParent::Desired { generation, .. } = table(1, true) else { panic!() };
    broker
        .checkd(CheckdToParent::Desired { generation, entries: vec![], complete: true }, &mut vec![])
        .unwrap();
    assert_eq!(whole(&broker).unwrap()[0].server, ServerRef::Real(ServerId::new(1)));
}

#[test]
fn the_synchronisation_daemon_follows_its_instance() {
    let mut broker = Broker::new(G1, part(&["a", "b"]));
    assert_eq!(broker.sync_role(), None);
    let tell = |broker: &mut Broker, instance, state| {
        broker.vrrpd(transition(G1, instance, state), &mut Vec::new()).unwrap();
        broker.sync_role()
    };
    assert_eq!(tell(&mut broker, 1, VrrpState::Master), None);
    assert_eq!(tell(&mut broker, 0, VrrpState::Backup), Some(SyncRole::Backup));
    assert_eq!(tell(&mut broker, 0, VrrpState::Master), Some(SyncRole::Master));
    assert_eq!(tell(&mut broker, 0, VrrpState::Fault), Some(SyncRole::Backup));
}

#[test]
fn a_script_runs_for_no_checker_that_is_not_configured() {
    let mut broker = Broker::new(G1, part(&["a"]));
    let mut out = vec![];
    let run = |check| CheckdToParent::RunCheck {
        generation: G1,
        check: CheckId::new(check),
        script: ScriptId::new(1),
    };
    assert_eq!(broker.checkd(run(1), &mut out), Err(Refused));
    assert_eq!(broker.checkd(run(0), &mut out), Ok(()));
    assert_eq!(out, [Effect::RunCheck(G1, CheckId::new(0), ScriptId::new(1))]);
}

#[test]
fn counters_of_what_is_not_configured_are_refused() {
    let mut broker = Broker::new(G1, part(&["a"]));
    let counters = Counters { connections: 7, ..Counters::default() };
    let entry = |service, server: Option<u32>| StatisticsEntry {
        service: ServiceId::new(service),
        server: server.map(|server| ServerRef::Real(ServerId::new(server))),
        counters,
    };
    assert_eq!(broker.count(G1, &[entry(1, None)], true), Err(Refused));
    assert_eq!(broker.count(G1, &[entry(0, Some(1))], true), Err(Refused));
    assert_eq!(broker.count(G2, &[entry(0, None)], true), Err(Refused));
    assert_eq!(broker.count(G1, &vec![entry(0, None); 257], true), Err(Refused));
    broker.forget_counting();
    assert_eq!(broker.count(G1, &[entry(0, None)], false), Ok(()));
    assert_eq!(broker.service_status()[0].counters, None);
    assert_eq!(broker.count(G1, &[entry(0, Some(0))], true), Ok(()));
    let status = broker.service_status();
    assert_eq!((status[0].counters, status[0].servers[0].counters), (Some(counters), Some(counters)));
}

#[test]
fn a_status_from_a_later_service_on_is_the_rest_of_the_whole() {
    let service = |name: &str, servers: &[&str]| ParentService {
        name: name.to_owned(),
        follows: Vec::new(),
        servers: servers.iter().map(|name| (*name).to_owned()).collect(),
    };
    let services = vec![service("a", &["a1", "a2"]), service("b", &[]), service("c", &["c1"])];
    let mut broker = Broker::new(G1, Rc::new(ParentPart { services, ..(*part(&[])).clone() }));
    let counters = Counters { connections: 7, ..Counters::default() };
    for (service, server) in [(0, Some(1)), (1, None), (2, Some(0))] {
        let (service, server) = (ServiceId::new(service), server.map(ServerId::new));
        let states = vec![ServiceState { service, server, up: true }];
        let message = CheckdToParent::ServiceStates { generation: G1, states };
        assert_eq!(broker.checkd(message, &mut vec![]), Ok(()));
        let entry = StatisticsEntry { service, server: server.map(ServerRef::Real), counters };
        assert_eq!(broker.count(G1, &[entry], service.value() == 2), Ok(()));
    }
    let whole = broker.service_status();
    assert_eq!((whole[2].servers[0].up, whole[2].servers[0].counters), (Some(true), Some(counters)));
    for first in 0..4 {
        let rest: Vec<_> = broker.service_status_from(ServiceId::new(first)).collect();
        assert_eq!(rest, whole[usize::try_from(first).unwrap()..]);
    }
}

/// Instances a, b and c, the first two in group G.
fn grouped() -> Rc<ParentPart> {
    let group = SyncGroup { name: "G".to_owned(), members: vec![InstanceId::new(0), InstanceId::new(1)] };
    let mut whole = (*part(&["a", "b", "c"])).clone();
    whole.groups = vec![ParentGroup { group, notify: InstanceNotify::default() }];
    Rc::new(whole)
}

/// Whose change each effect tells, and of which state.
fn told(effects: &[Effect]) -> Vec<(Whose, &str, VrrpState)> {
    let news = effects.iter().filter_map(|effect| match effect {
        Effect::Notify { whose, name, state, .. } => Some((*whose, name.as_str(), *state)),
        Effect::RunTracked(..)
        | Effect::RunCheck(..)
        | Effect::RunNotify(..)
        | Effect::ServiceChanged { .. }
        | Effect::PriorityChanged { .. }
        | Effect::LowerPriorityHeard { .. }
        | Effect::Desired(..)
        | Effect::Whole => None,
    });
    news.collect()
}

#[test]
fn a_group_is_told_once_after_its_last_member() {
    let mut broker = Broker::new(G1, grouped());
    let mut out = vec![];
    for instance in [0, 2, 1, 1] {
        broker.vrrpd(transition(G1, instance, VrrpState::Master), &mut out).unwrap();
    }
    let instance = |name| (Whose::Instance, name, VrrpState::Master);
    let group = (Whose::Group, "G", VrrpState::Master);
    assert_eq!(told(&out), [instance("a"), instance("c"), instance("b"), group, instance("b")]);
}

#[test]
fn a_group_that_a_reload_keeps_is_not_told_again() {
    let mut broker = Broker::new(G1, grouped());
    for instance in [0, 1] {
        broker.vrrpd(transition(G1, instance, VrrpState::Backup), &mut vec![]).unwrap();
    }
    broker.commit(G2, grouped());
    let mut out = vec![];
    broker.vrrpd(transition(G2, 0, VrrpState::Backup), &mut out).unwrap();
    assert_eq!(told(&out), [(Whose::Instance, "a", VrrpState::Backup)]);
}

#[test]
fn a_release_tells_groups_too() {
    let mut broker = Broker::new(G1, grouped());
    for instance in [0, 1] {
        broker.vrrpd(transition(G1, instance, VrrpState::Master), &mut vec![]).unwrap();
    }
    let mut out = vec![];
    broker.released(&mut out);
    let fault = |whose, name| (whose, name, VrrpState::Fault);
    let expected = [fault(Whose::Instance, "a"), fault(Whose::Instance, "b"), fault(Whose::Group, "G")];
    assert_eq!(told(&out), expected);
}

#[test]
fn a_server_that_a_reload_has_taken_away_is_told_to_be_down() {
    let mut broker = Broker::new(G1, two_servers());
    broker.commit(G2, part(&[]));
    let server = Some(ServerId::new(1));
    let down = CheckdToParent::ServiceEvent { generation: G1, service: ServiceId::new(0), server, up: false };
    let mut out = vec![];
    broker.checkd(down.clone(), &mut out).unwrap();
    let told = Effect::ServiceChanged { service: "v".to_owned(), server: Some("s".to_owned()), up: false };
    assert_eq!(out, [told]);
    broker.confirmed(Daemon::Checkd);
    assert_eq!(broker.checkd(down, &mut out), Err(Refused));
}

#[test]
fn a_server_that_was_told_to_be_down_is_shown_as_down_after_a_reload() {
    let mut broker = Broker::new(G1, two_servers());
    let down = CheckdToParent::ServiceEvent {
        generation: G1,
        service: ServiceId::new(0),
        server: Some(ServerId::new(1)),
        up: false,
    };
    broker.checkd(down, &mut vec![]).unwrap();
    let services = vec![ParentService {
        name: "v".to_owned(),
        servers: vec!["s".to_owned(), "r".to_owned()],
        follows: vec![],
    }];
    broker.commit(G2, Rc::new(ParentPart { services, ..(*part(&[])).clone() }));
    let servers = broker.service_status().remove(0).servers;
    assert_eq!(servers.iter().map(|server| server.up).collect::<Vec<_>>(), [Some(false), None]);
}

/// What ipvsd is told of the two servers, in order.
fn weights(broker: &Broker) -> Vec<Presence> {
    whole(broker).unwrap_or_default().into_iter().map(|entry| entry.presence).collect()
}

#[test]
fn a_drained_server_has_weight_0_until_it_is_given_back() {
    let mut broker = Broker::new(G1, two_servers());
    broker.checkd(table(0, false), &mut vec![]).unwrap();
    broker.checkd(table(1, true), &mut vec![]).unwrap();
    let before = weights(&broker);
    let mut out = vec![];
    assert_eq!(broker.drain("s", None, true, &mut out), [("v".to_owned(), "s".to_owned())]);
    let told = DesiredEntry {
        service: ServiceId::new(0),
        server: ServerRef::Real(ServerId::new(1)),
        presence: Some(Weight::ZERO),
    };
    assert_eq!(out, [Effect::Desired(G1, vec![told])]);
    // What checkd wishes meanwhile changes nothing in the table.
    let mut out = vec![];
    broker.checkd(table(1, false), &mut out).unwrap();
    assert_eq!(out, [Effect::Desired(G1, vec![told])]);
    assert_eq!(weights(&broker), [before[0], Some(Weight::ZERO)]);
    assert!(broker.service_status()[0].servers[1].drained);
    let mut out = vec![];
    broker.drain("s", Some("v"), false, &mut out);
    assert_eq!(out, [Effect::Desired(G1, vec![DesiredEntry { presence: before[1], ..told }])]);
    assert_eq!(weights(&broker), before);
}

#[test]
fn a_reload_keeps_what_is_drained_by_name() {
    let mut broker = Broker::new(G1, two_servers());
    broker.drain("s", None, true, &mut vec![]);
    let services = vec![ParentService {
        name: "v".to_owned(),
        servers: vec!["s".to_owned(), "r".to_owned()],
        follows: vec![],
    }];
    broker.commit(G2, Rc::new(ParentPart { services, ..(*part(&[])).clone() }));
    let servers = broker.service_status().remove(0).servers;
    assert_eq!(servers.iter().map(|server| server.drained).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_server_that_nobody_has_is_not_drained() {
    let mut broker = Broker::new(G1, two_servers());
    assert_eq!(broker.drain("x", None, true, &mut vec![]), []);
    assert_eq!(broker.drain("s", Some("w"), true, &mut vec![]), []);
}

#[test]
fn only_a_master_hears_lower_priorities() {
    let mut broker = Broker::new(G1, grouped());
    let heard = || VrrpdToParent::LowerPriorityHeard { generation: G1, instance: InstanceId::new(0) };
    let mut out = vec![];
    broker.vrrpd(heard(), &mut out).unwrap();
    assert_eq!(out, []);
    broker.vrrpd(transition(G1, 0, VrrpState::Master), &mut out).unwrap();
    out.clear();
    broker.vrrpd(heard(), &mut out).unwrap();
    assert!(matches!(out.as_slice(), [Effect::LowerPriorityHeard { .. }]), "{out:?}");
    let unknown = VrrpdToParent::LowerPriorityHeard { generation: G1, instance: InstanceId::new(99) };
    assert_eq!(broker.vrrpd(unknown, &mut out), Err(Refused));
}

#[test]
fn states_of_services_and_checkers_go_on_wherever_they_stand_now() {
    let with = |services: &[(&str, &[&str])], checks: &[&str]| {
        let services = services.iter().map(|(name, servers)| ParentService {
            name: (*name).to_owned(),
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            follows: vec![],
        });
        let checks = checks.iter().copied().map(CheckKey::of).collect();
        Rc::new(ParentPart { services: services.collect(), checks, ..(*part(&["VI_1"])).clone() })
    };
    let before = with(&[("a", &["1", "2", "3"]), ("b", &["1"])], &["x", "y", "z"]);
    let mut broker = Broker::new(G1, before);
    let up = |service: u32, server: Option<u32>| {
        (ServiceId::new(service), server.map(|server| ServerRef::Real(ServerId::new(server))))
    };
    for (place, state) in
        [(up(0, None), true), (up(0, Some(1)), false), (up(0, Some(2)), true), (up(1, Some(0)), false)]
    {
        broker.service_up.insert(place.0, place.1, state);
    }
    broker.commit(G2, with(&[("n", &[]), ("b", &["1"]), ("a", &["3", "2"])], &["x", "n", "z", "y"]));
    let known: Vec<_> =
        broker.service_up.iter().map(|(service, server, state)| ((service, server), state)).collect();
    assert_eq!(
        known,
        [(up(1, Some(0)), false), (up(2, None), true), (up(2, Some(0)), true), (up(2, Some(1)), false)]
    );
    let numbers = |new: &[u32]| new.iter().copied().map(CheckId::new).map(Some).collect::<Vec<_>>();
    assert_eq!(broker.carried, numbers(&[0, 3, 2]));
}
