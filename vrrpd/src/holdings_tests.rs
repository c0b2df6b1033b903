//! Tests of `holdings`: steps are bounded, foreign addresses survive, what is put back is known.

use super::*;
use crate::fixtures::{address_added, instance, links};

const OURS: Option<u8> = Some(18);

/// Lets the kernel do everything that is asked for; returns orders and the last progress.
fn finish(holdings: &mut Holdings, instance: &Instance, links: &Links, answer: &Answer) -> (usize, Progress) {
    let mut orders = 0;
    loop {
        let step = holdings.step(instance, links);
        assert!(step.orders.len() <= 64);
        orders += step.orders.len();
        let answers = vec![answer.clone(); step.orders.len()];
        let progress = holdings.advance(&step, &answers, links);
        if progress != Progress::More {
            return (orders, progress);
        }
    }
}

#[test]
fn a_hundred_addresses_are_claimed_in_two_steps_and_released_again() {
    let texts: Vec<String> = (1..=100).map(|last| format!("198.51.100.{last}/32")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let instance = instance(&texts);
    let mut holdings = Holdings::new(&instance);
    holdings.claim();
    assert_eq!(holdings.step(&instance, &links()).orders.len(), 64);
    let (orders, progress) = finish(&mut holdings, &instance, &links(), &Answer::Done);
    assert_eq!((orders, progress), (100, Progress::Claimed));
    assert!(!holdings.is_busy());
    holdings.release();
    let (orders, progress) = finish(&mut holdings, &instance, &links(), &Answer::Done);
    assert_eq!((orders, progress), (100, Progress::Released));
    assert!(!holdings.holds_anything());
}

#[test]
fn an_owners_own_address_is_claimed_but_never_removed() {
    let instance = instance(&["192.0.2.1/24"]);
    let mut links = links();
    links.apply(address_added(1, "127.0.0.1/8", Some(1)));
    let mut holdings = Holdings::new(&instance);
    holdings.claim();
    assert_eq!(finish(&mut holdings, &instance, &links, &Answer::Already).1, Progress::Claimed);
    holdings.release();
    assert_eq!(finish(&mut holdings, &instance, &links, &Answer::Done).0, 0);
}

#[test]
fn leftovers_that_the_kernel_calls_ours_are_adopted() {
    let instance = instance(&["192.0.2.10/24", "192.0.2.11/24"]);
    let mut links = links();
    links.apply(address_added(2, "192.0.2.10/24", OURS));
    links.apply(address_added(2, "192.0.2.11/24", None));
    let mut holdings = Holdings::new(&instance);
    holdings.adopt(&instance, &links, Trust::Predecessor);
    holdings.release();
    assert_eq!(finish(&mut holdings, &instance, &links, &Answer::Done).0, 1);
}

#[test]
fn on_an_old_kernel_a_predecessors_word_makes_addresses_ours() {
    let instance = instance(&["192.0.2.10/24"]);
    let mut links = links();
    links.apply(address_added(2, "192.0.2.10/24", None));
    let mut holdings = Holdings::new(&instance);
    holdings.adopt(&instance, &links, Trust::Nobody);
    assert!(!holdings.holds_anything());
    holdings.adopt(&instance, &links, Trust::Predecessor);
    assert!(holdings.holds_anything());
}

#[test]
fn verification_adds_only_what_is_missing_and_names_it() {
    let instance = instance(&["192.0.2.10/24", "192.0.2.11/24"]);
    let mut links = links();
    links.apply(address_added(2, "192.0.2.10/24", OURS));
    let mut holdings = Holdings::new(&instance);
    holdings.verify();
    let (orders, progress) = finish(&mut holdings, &instance, &links, &Answer::Done);
    assert_eq!((orders, progress), (1, Progress::Verified(vec![1])));
}

#[test]
fn a_refused_address_stops_the_claim_with_the_kernels_words() {
    let instance = instance(&["192.0.2.10/24"]);
    let mut holdings = Holdings::new(&instance);
    holdings.claim();
    let refused = Answer::Refused("no memory".to_owned());
    let (_, progress) = finish(&mut holdings, &instance, &links(), &refused);
    assert_eq!(progress, Progress::Refused(0, "no memory".to_owned()));
    assert!(!holdings.is_busy());
}

#[test]
fn an_address_that_the_kernel_can_not_have_is_told_and_the_others_are_served() {
    let instance = instance(&["192.0.2.10/24", "192.0.2.11/24"]);
    let mut holdings = Holdings::new(&instance);
    holdings.claim();
    let step = holdings.step(&instance, &links());
    let answers = [Answer::Impossible("Invalid argument".to_owned()), Answer::Done];
    assert_eq!(holdings.advance(&step, &answers, &links()), Progress::Claimed);
    assert_eq!(holdings.complaints(), ["address 192.0.2.10/24: Invalid argument"]);
    assert_eq!((holdings.has(0), holdings.has(1)), (false, true));
}

#[test]
fn an_instance_of_which_the_kernel_can_have_no_address_is_refused() {
    let instance = instance(&["192.0.2.10/24", "192.0.2.11/24"]);
    let mut holdings = Holdings::new(&instance);
    holdings.claim();
    let never = Answer::Impossible("Permission denied".to_owned());
    let (_, progress) = finish(&mut holdings, &instance, &links(), &never);
    assert_eq!(progress, Progress::Refused(0, "Permission denied".to_owned()));
}

#[test]
fn a_reload_keeps_what_stays_and_removes_what_went() {
    let old = instance(&["192.0.2.10/24", "192.0.2.11/24"]);
    let new = instance(&["192.0.2.12/24", "192.0.2.11/24"]);
    let mut holdings = Holdings::new(&old);
    holdings.claim();
    finish(&mut holdings, &old, &links(), &Answer::Done);
    let removed = holdings.reconfigure(&old, &new);
    assert_eq!(removed.len(), 1);
    assert!(matches!(&removed[0], Order::Remove(spec) if spec.ip.to_string() == "192.0.2.10"));
    assert!(holdings.holds(&place(&new, 1, &links()).unwrap()));
    assert!(!holdings.holds(&place(&new, 0, &links()).unwrap()));
}

#[test]
fn a_tool_that_removes_addresses_in_a_loop_is_answered_20_times_a_second() {
    let at = |ms: u64| MonoTime::from_nanos(ms * 1_000_000);
    let mut restores = Restores::default();
    for round in 0..20 {
        assert_eq!(restores.next(at(5_000 + round)), at(5_000 + round));
    }
    assert_eq!(restores.next(at(5_500)), at(6_000));
    assert_eq!(restores.next(at(6_000)), at(6_000));
}

/// Two routes beside one address: a default route and a black hole.
fn with_routes() -> Instance {
    let mut instance = instance(&["192.0.2.10/24"]);
    let default = VirtualRoute {
        gateway: Some("192.0.2.254".parse().unwrap()),
        ..VirtualRoute::to("0.0.0.0/0".parse().unwrap())
    };
    let hole = VirtualRoute {
        kind: config::model::vrrp::RouteKind::Blackhole,
        ..VirtualRoute::to("198.51.100.0/24".parse().unwrap())
    };
    instance.routes = vec![default, hole];
    instance
}

/// Kinds of the orders of a step.
fn kinds(step: &Step) -> Vec<&'static str> {
    let kind = |order: &Order| match order {
        Order::Add(_) => "add address",
        Order::Renew(_) => "renew address",
        Order::Remove(_) => "remove address",
        Order::AddRoute(_) => "add route",
        Order::RemoveRoute(_) => "remove route",
    };
    step.orders.iter().map(kind).collect()
}

#[test]
fn routes_come_after_the_addresses_and_go_before_them() {
    let instance = with_routes();
    let mut holdings = Holdings::new(&instance);
    holdings.claim();
    assert_eq!(kinds(&holdings.step(&instance, &links())), ["add address", "add route", "add route"]);
    assert_eq!(finish(&mut holdings, &instance, &links(), &Answer::Done).1, Progress::Claimed);
    holdings.release();
    assert_eq!(
        kinds(&holdings.step(&instance, &links())),
        ["remove route", "remove route", "remove address"]
    );
    assert_eq!(finish(&mut holdings, &instance, &links(), &Answer::Done).1, Progress::Released);
    assert!(!holdings.holds_anything());
}

#[test]
fn a_route_that_the_kernel_refuses_is_told_and_the_address_stays() {
    let instance = with_routes();
    let mut holdings = Holdings::new(&instance);
    holdings.claim();
    let step = holdings.step(&instance, &links());
    let answers = [Answer::Done, Answer::Refused("no way".to_owned()), Answer::Done];
    assert_eq!(holdings.advance(&step, &answers, &links()), Progress::Claimed);
    assert_eq!(holdings.complaints(), ["route 0.0.0.0/0: no way"]);
    assert_eq!(holdings.complaints(), Vec::<String>::new());
}

#[test]
fn a_reload_removes_the_route_that_is_gone_and_keeps_the_other() {
    let old = with_routes();
    let mut holdings = Holdings::new(&old);
    holdings.claim();
    finish(&mut holdings, &old, &links(), &Answer::Done);
    let mut new = with_routes();
    new.routes.remove(0);
    let removed = holdings.reconfigure(&old, &new);
    assert!(matches!(removed.as_slice(), [Order::RemoveRoute(spec)] if spec.prefix == 0));
    holdings.release();
    assert_eq!(kinds(&holdings.step(&new, &links())), ["remove route", "remove address"]);
}

#[test]
fn a_successor_removes_the_routes_of_its_predecessor() {
    let instance = with_routes();
    let mut holdings = Holdings::new(&instance);
    holdings.adopt(&instance, &links(), Trust::Predecessor);
    holdings.release();
    assert_eq!(kinds(&holdings.step(&instance, &links())), ["remove route", "remove route"]);
}
