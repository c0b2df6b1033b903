//! Tests of `router`: paths, faults, priority.

use super::*;
use crate::fixtures::{address_added, instance, link, link_up, link_with_mtu, links};
use crate::proto::faults::Faults;
use crate::proto::machine::Input;
use crate::trackers::Trackers;
use config::model::Model;
use config::model::buffers::{Buffers, Queue};
use config::model::parts::VrrpHead;
use config::model::track::TrackFile;
use config::model::units::{FileId, ScriptId};
use config::model::vrrp::{Peer, TrackInterface, TrackScript, TrackedScript, Version};
use ipc::messages::RunOutcome;
use netlink::route::LinkFlags;

fn now() -> MonoTime {
    MonoTime::from_nanos(1_000_000_000)
}

fn judge(router: &Router, links: &Links) -> Verdict {
    router.judge(links, &Trackers::default(), &[], now())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_multicast_router_sends_from_the_interfaces_address_to_the_group() {
    let router = Router::new(instance(&["192.0.2.10/24"]), &links());
    let interface = Some(IfIndex::new(2));
    let way = Way { source: ip("192.0.2.1"), destination: ip("224.0.0.18"), interface, ttl: 255 };
    assert_eq!(router.ways(), [way]);
    assert!(judge(&router, &links()).faults.is_empty());
}

#[test]
fn ipv6_adverts_come_from_the_link_local_address() {
    let mut config = instance(&["fe80::50/128", "2001:db8::50/64"]);
    config.family = Family::Inet6;
    config.transport = Transport::Multicast { group: ip("ff02::12"), source: None };
    let router = Router::new(config, &links());
    assert_eq!(router.path.source, Some(ip("fe80::1")));
}

#[test]
fn unicast_without_an_interface_works_while_its_source_exists() {
    let mut config = instance(&["192.0.2.10/24"]);
    config.interface = None;
    config.addresses[0].interface = Some("eth0".to_owned());
    config.transport = Transport::Unicast {
        source: Some(ip("192.0.2.1")),
        peers: vec![Peer::new(ip("192.0.2.2"))],
        ttl: 64,
        group: "224.0.0.18".parse().unwrap(),
    };
    let router = Router::new(config, &links());
    let way = Way { source: ip("192.0.2.1"), destination: ip("192.0.2.2"), interface: None, ttl: 64 };
    assert_eq!(router.ways(), [way]);
    assert!(judge(&router, &links()).faults.is_empty());
    let mut gone = Links::default();
    gone.apply(link_up(2, "eth0"));
    let mut router = router;
    assert!(router.refresh_path(&gone));
    assert!(judge(&router, &gone).faults.contains(Reason::NoSourceAddress));
}

#[test]
fn a_source_address_that_is_gone_still_says_farewell() {
    let mut router = Router::new(instance(&["192.0.2.10/24"]), &links());
    let before = router.ways();
    assert_eq!(before.len(), 1);
    let mut gone = Links::default();
    gone.apply(link_up(2, "eth0"));
    assert!(router.refresh_path(&gone));
    assert!(judge(&router, &gone).faults.contains(Reason::NoSourceAddress));
    assert_eq!(router.ways(), before);
}

#[test]
fn what_the_mtu_has_no_room_for_is_held_and_not_advertised() {
    let addresses: Vec<String> = (1..=200).map(|host| format!("198.51.100.{host}/32")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut router = Router::new(instance(&addresses), &links());
    assert_eq!(router.carried().len(), 200);
    let mut small = links();
    small.apply(link_with_mtu(2, "eth0", 576));
    assert!(router.refresh_path(&small));
    // (576 - 14 - 20 - 8) / 4
    assert_eq!((router.carried().len(), router.rules.addresses.len()), (133, 133));
    assert!(router.refresh_path(&links()));
    assert_eq!(router.carried().len(), 200);
}

#[test]
fn a_unicast_router_without_a_peer_is_faulty() {
    let mut config = instance(&["192.0.2.10/24"]);
    config.transport = Transport::Unicast {
        source: None,
        peers: Vec::new(),
        ttl: 255,
        group: "224.0.0.18".parse().unwrap(),
    };
    let router = Router::new(config, &links());
    assert_eq!(judge(&router, &links()).faults, Faults::from_iter([Reason::NoPeer]));
}

#[test]
fn a_missing_interface_and_one_that_is_down_are_faults_that_heal() {
    let mut router = Router::new(instance(&["192.0.2.10/24"]), &Links::default());
    assert!(judge(&router, &Links::default()).faults.contains(Reason::InterfaceMissing));
    let mut table = links();
    table.apply(link(2, "eth0", LinkFlags::Multicast));
    router.refresh_path(&table);
    assert_eq!(judge(&router, &table).faults, Faults::from_iter([Reason::InterfaceDown]));
    assert!(judge(&router, &links()).faults.is_empty());
}

#[test]
fn dont_track_primary_ignores_a_link_that_is_down() {
    let mut config = instance(&["192.0.2.10/24"]);
    config.dont_track_primary = true;
    let mut table = links();
    table.apply(link(2, "eth0", LinkFlags::Multicast));
    let router = Router::new(config, &table);
    assert!(judge(&router, &table).faults.is_empty());
}

#[test]
fn an_interface_without_multicast_is_a_fault_of_a_multicast_router() {
    let mut table = links();
    table.apply(link(2, "eth0", LinkFlags::Up | LinkFlags::Running));
    let router = Router::new(instance(&["192.0.2.10/24"]), &table);
    assert_eq!(judge(&router, &table).faults, Faults::from_iter([Reason::NoMulticast]));
}

#[test]
fn the_interface_of_an_address_counts_unless_no_track() {
    let mut config = instance(&["192.0.2.10/24", "198.51.100.1/24"]);
    config.addresses[1].interface = Some("eth9".to_owned());
    let router = Router::new(config.clone(), &links());
    assert_eq!(judge(&router, &links()).faults, Faults::from_iter([Reason::AddressInterface(1)]));
    config.addresses[1].no_track = true;
    assert!(judge(&Router::new(config, &links()), &links()).faults.is_empty());
}

#[test]
fn tracked_interfaces_weigh_or_fault() {
    let track = |weight| TrackInterface { interface: "eth1".to_owned(), weight, reverse: false };
    let mut config = instance(&["192.0.2.10/24"]);
    config.track_interfaces = vec![track(-20)];
    let router = Router::new(config.clone(), &links());
    assert_eq!(judge(&router, &links()).priority, Priority::new(80));
    let mut table = links();
    table.apply(link_up(3, "eth1"));
    assert_eq!(judge(&router, &table).priority, Priority::new(100));
    config.track_interfaces = vec![track(0)];
    let router = Router::new(config, &links());
    assert_eq!(judge(&router, &links()).faults, Faults::from_iter([Reason::Interface(0)]));
}

fn head(tracked_scripts: Vec<TrackedScript>, files: Vec<String>) -> VrrpHead {
    VrrpHead { tracked_scripts, files, ..Model::default().vrrp_head() }
}

fn scripted(weight: i16) -> (Router, Trackers) {
    let mut config = instance(&["192.0.2.10/24"]);
    config.track_scripts = vec![TrackScript { tracked: 0, weight, reverse: false }];
    let script = TrackedScript {
        name: "chk".to_owned(),
        script: ScriptId::new(7),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 1,
        init_fail: false,
        weight: 0,
        reverse: false,
    };
    (Router::new(config, &links()), Trackers::default().replaced(&head(vec![script], Vec::new()), now()))
}

#[test]
fn a_script_of_weight_zero_holds_until_its_first_result() {
    let (router, mut trackers) = scripted(0);
    let verdict = router.judge(&links(), &trackers, &[], now());
    assert!(verdict.hold && verdict.awaits_script);
    trackers.scripts.record(ScriptId::new(7), RunOutcome::Exited(1));
    let verdict = router.judge(&links(), &trackers, &[], now());
    assert_eq!((verdict.hold, verdict.faults), (false, Faults::from_iter([Reason::Script(0)])));
}

#[test]
fn a_file_holds_until_its_number_is_known_and_moves_the_priority_or_is_a_fault() {
    let mut config = instance(&["192.0.2.10/24"]);
    let track = |weight| TrackFile { file: FileId::new(0), weight, reverse: false };
    config.track_files = vec![track(-2)];
    let mut router = Router::new(config, &links());
    let mut trackers = Trackers::default().replaced(&head(Vec::new(), vec!["load".to_owned()]), now());
    let verdict = router.judge(&links(), &trackers, &[], now());
    assert!(verdict.hold && !verdict.awaits_script);
    trackers.files.record(FileId::new(0), 30);
    let verdict = router.judge(&links(), &trackers, &[], now());
    assert_eq!((verdict.hold, verdict.priority), (false, Priority::new(40)));
    trackers.files.record(FileId::new(0), 127);
    let verdict = router.judge(&links(), &trackers, &[], now());
    assert_eq!(verdict.faults, Faults::from_iter([Reason::File(0)]));
    assert_eq!(verdict.faults.describe(&router.config, &trackers.names()), "file load");
    router.config.priority = Priority::OWNER;
    assert!(router.judge(&links(), &trackers, &[], now()).faults.is_empty());
    router.config.track_files = vec![track(0)];
    assert!(!router.judge(&links(), &trackers, &[], now()).faults.is_empty());
}

#[test]
fn a_successor_keeps_its_predecessors_priority_until_scripts_have_reported() {
    let (mut router, mut trackers) = scripted(50);
    router.assumed = Some(Priority::new(150));
    assert_eq!(router.judge(&links(), &trackers, &[], now()).priority, Priority::new(150));
    trackers.scripts.record(ScriptId::new(7), RunOutcome::Exited(1));
    assert_eq!(router.judge(&links(), &trackers, &[], now()).priority, Priority::new(100));
}

#[test]
fn refusals_wait_twice_as_long_each_time_up_to_ten_minutes() {
    let mut refusal = Refusal::after(None, now());
    assert_eq!(refusal.wait, Duration::from_secs(1));
    refusal = Refusal::after(Some(refusal), now());
    assert_eq!(refusal.wait, Duration::from_secs(2));
    for _ in 0..10 {
        refusal = Refusal::after(Some(refusal), now());
    }
    assert_eq!(refusal.wait, Duration::from_secs(600));
}

#[test]
fn another_vrid_is_another_router_and_another_priority_is_not() {
    let router = Router::new(instance(&["192.0.2.10/24"]), &links());
    let mut other = instance(&["192.0.2.10/24"]);
    other.priority = Priority::new(50);
    assert_eq!(router.config.identity(), other.identity());
    other.version = Version::V2;
    assert_eq!(router.config.identity(), other.identity());
    other.vrid = config::model::units::Vrid::new(52).unwrap();
    assert_ne!(router.config.identity(), other.identity());
}

#[test]
fn an_ipv6_source_is_no_virtual_address() {
    let mut table = links();
    table.apply(address_added(2, "fe80::50/128", Some(18)));
    let mut config = instance(&["fe80::50/128"]);
    config.family = Family::Inet6;
    config.transport = Transport::Multicast { group: ip("ff02::12"), source: None };
    assert_eq!(Router::new(config, &table).path.source, Some(ip("fe80::1")));
}

#[test]
fn the_queue_is_what_the_instance_says_or_else_the_policy() {
    let mut router = Router::new(instance(&["192.0.2.10/24"]), &links());
    let mut buffers = Buffers::default();
    assert_eq!(router.queue(&buffers), None);
    buffers.adverts = Some(Queue::Mtu);
    assert_eq!(router.queue(&buffers), Some(4500));
    buffers.adverts = Some(Queue::Advert);
    buffers.multiplier = 10;
    assert_eq!(router.queue(&buffers), Some(320));
    buffers.adverts = Some(Queue::Bytes(7000));
    assert_eq!(router.queue(&buffers), Some(7000));
    router.config.receive_buffer = Some(8000);
    assert_eq!(router.queue(&buffers), Some(8000));
}

#[test]
fn a_backup_is_awake_before_its_wait_ends_and_a_master_when_its_advert_is_due() {
    let mut router = Router::new(instance(&["192.0.2.10/24"]), &links());
    let startup = Input::Startup { delay: Duration::ZERO, faults: Faults::none() };
    router.machine.handle(startup, now(), &mut Vec::new());
    let down_at = router.machine.poll_deadline().unwrap();
    assert_eq!(router.wakes_at(), Some(down_at - Duration::from_micros(300)));
    assert!(!router.is_about_to_act(down_at - Duration::from_micros(301)));
    assert!(router.is_about_to_act(down_at - Duration::from_micros(300)));
    assert!(!router.is_about_to_act(down_at), "the end of the wait is no time to rehearse");
    router.machine.handle(Input::Tick, down_at, &mut Vec::new());
    assert!(router.machine.is_master());
    assert_eq!(router.wakes_at(), Some(down_at + Duration::from_secs(1)));
    assert!(!router.is_about_to_act(down_at + Duration::from_micros(999_900)), "a Master has no wait");
}
