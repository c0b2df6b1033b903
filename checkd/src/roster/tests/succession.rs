//! What a successor and a reload keep, tell and take out.

use super::*;

#[test]
fn between_the_thresholds_of_hysteresis_a_successor_keeps_the_quorum_it_is_told() {
    let config = || VirtualServer {
        quorum: 2,
        hysteresis: 1,
        ..service(80, vec![server(1, vec![]), server(2, vec![check(tcp(80))])])
    };
    for up in [true, false] {
        let mut roster = Roster::new(Generation::new(1));
        roster.add(config()).unwrap();
        let quorum = QuorumState { service: ServiceId::new(0), up };
        let mut out = Vec::new();
        roster.resume(&[], &[quorum], &mut out);
        assert_eq!(roster.service_state(ServiceId::new(0), None).unwrap().up, up);
        assert_eq!(out.iter().filter(|effect| matches!(effect, Effect::Event { .. })).count(), 0);
    }
}

#[test]
fn a_successor_keeps_verdicts_and_repeats_no_notify() {
    let services =
        || vec![service(80, vec![server(1, vec![check(tcp(80))]), server(2, vec![check(tcp(80))])])];
    let mut first = started(services());
    take(&mut first, 0, PASS);
    take(&mut first, 1, FAIL);
    let verdicts = [first.verdict(0).unwrap(), first.verdict(1).unwrap()];
    let mut second = roster(1, services());
    let mut out = Vec::new();
    second.resume(&verdicts, &[], &mut out);
    assert_eq!(table(&second), [(0, 0, 1)]);
    assert!(out.iter().all(|effect| matches!(effect, Effect::Desire { .. })), "{out:?}");
    let (taken, out) = take(&mut second, 1, FAIL);
    assert_eq!((taken.changed, out), (false, vec![]));
    assert_eq!(notified(&take(&mut second, 1, PASS).1), [20]);
}

#[test]
fn a_reload_without_changes_changes_nothing() {
    let services =
        || vec![service(80, vec![server(1, vec![check(tcp(80))]), server(2, vec![check(tcp(80))])])];
    let mut old = started(services());
    take(&mut old, 0, PASS);
    take(&mut old, 1, FAIL);
    let mut new = roster(2, services());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    assert_eq!(new.replace(old, &[], &mut before, &mut after), [Some(0), Some(1)]);
    assert_eq!(before, []);
    assert!(after.iter().all(|effect| matches!(effect, Effect::Desire { .. })), "{after:?}");
    assert_eq!(table(&new), [(0, 0, 1)]);
    assert!(!new.verdict(1).unwrap().up);
}

#[test]
fn what_a_reload_removes_runs_its_down_scripts_under_the_old_numbers() {
    let mut old = started(vec![
        service(80, vec![server(1, vec![check(tcp(80))]), server(2, vec![check(tcp(80))])]),
        service(81, vec![server(3, vec![])]),
    ]);
    take(&mut old, 0, PASS);
    let mut new = roster(2, vec![service(80, vec![server(2, vec![check(tcp(80))])])]);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    assert_eq!(new.replace(old, &[], &mut before, &mut after), [Some(1)]);
    assert_eq!(notified(&before), [11, 31]);
    assert_eq!(notified(&after), Vec::<u32>::new());
    assert!(logs(&before).contains(&"Removing Virtual Server [198.51.100.1]:tcp:81"));
    assert_eq!(table(&new), [(0, 0, 1)]);
}

#[test]
fn a_reload_tells_which_servers_are_gone_and_takes_out_those_that_stood_in_the_table() {
    let down = || server(2, vec![check(tcp(80))]);
    let mut old = started(vec![service(80, vec![server(1, vec![]), down(), server(3, vec![])])]);
    take(&mut old, 0, FAIL);
    let mut new = roster(2, vec![service(80, vec![server(3, vec![])])]);
    let mut before = Vec::new();
    new.replace(old, &[], &mut before, &mut Vec::new());
    assert_eq!(
        logs(&before),
        [
            "service [192.0.2.1]:tcp:80 no longer exist",
            "Removing service [192.0.2.1]:tcp:80 from VS [198.51.100.1]:tcp:80",
            "service [192.0.2.2]:tcp:80 no longer exist",
        ]
    );
}

#[test]
fn the_first_failure_of_a_checker_that_a_reload_brings_is_forgiven_and_that_of_a_start_is_not() {
    let services = || vec![service(80, vec![server(1, vec![check(tcp(80))])])];
    let mut at_start = started(services());
    assert_eq!(notified(&take(&mut at_start, 0, FAIL).1), [11]);
    let mut new = roster(2, services());
    new.replace(started(vec![service(81, vec![server(2, vec![])])]), &[], &mut Vec::new(), &mut Vec::new());
    // A reload that needs a wider sandbox goes on in another process.
    let mut successor = roster(2, services());
    successor.resume(&[new.verdict(0).unwrap()], &[], &mut Vec::new());
    for mut after_reload in [new, successor] {
        assert_eq!(notified(&take(&mut after_reload, 0, FAIL).1), Vec::<u32>::new());
        assert_eq!(notified(&take(&mut after_reload, 0, FAIL).1), [11]);
    }
}

#[test]
fn the_first_failure_of_a_checker_that_a_reload_brings_to_a_dead_server_decides() {
    let mut dead = started(vec![service(80, vec![server(1, vec![check(tcp(80))])])]);
    take(&mut dead, 0, FAIL);
    let mut new = roster(2, vec![service(80, vec![server(1, vec![check(tcp(81))])])]);
    new.replace(dead, &[], &mut Vec::new(), &mut Vec::new());
    let mut successor = roster(2, vec![service(80, vec![server(1, vec![check(tcp(81))])])]);
    successor.resume(&[new.verdict(0).unwrap()], &[], &mut Vec::new());
    for mut after_reload in [new, successor] {
        assert_eq!(notified(&take(&mut after_reload, 0, FAIL).1), [11]);
    }
}

#[test]
fn servers_that_a_reload_brings_are_told_where_starts_are() {
    let old = started(vec![service(80, vec![server(1, vec![])])]);
    let mut new = roster(
        2,
        vec![service(80, vec![server(1, vec![]), server(2, vec![])]), service(81, vec![server(3, vec![])])],
    );
    new.init_notifies = true;
    let mut after = Vec::new();
    new.replace(old, &[], &mut Vec::new(), &mut after);
    assert_eq!(notified(&after), [20, 30]);
}

#[test]
fn another_sorry_server_is_called_anew() {
    let with_sorry = |last: u8| {
        let dead = server(1, vec![Check { alpha: true, ..check(tcp(80)) }]);
        vec![VirtualServer {
            sorry_server: Some(server(last, vec![]).destination),
            ..service(80, vec![dead])
        }]
    };
    let old = started(with_sorry(8));
    let mut new = roster(2, with_sorry(9));
    let mut after = Vec::new();
    new.replace(old, &[], &mut Vec::new(), &mut after);
    let lines = logs(&after);
    assert_eq!(
        lines.first(),
        Some(&"Removing sorry server [192.0.2.8]:tcp:80 from VS [198.51.100.1]:tcp:80")
    );
    assert!(lines.contains(&"Adding sorry server [192.0.2.9]:tcp:80 to VS [198.51.100.1]:tcp:80"));
}

#[test]
fn new_checkers_start_good_on_a_live_server_and_alpha_ones_bad_on_a_failed_one() {
    let alpha = || Check { alpha: true, ..check(tcp(81)) };
    let before = || vec![service(80, vec![server(1, vec![check(tcp(80))]), server(2, vec![check(tcp(80))])])];
    let after = vec![service(
        80,
        vec![server(1, vec![check(tcp(80)), alpha()]), server(2, vec![alpha(), check(tcp(80))])],
    )];
    let mut old = started(before());
    take(&mut old, 0, PASS);
    take(&mut old, 1, FAIL);
    let mut new = roster(2, after);
    let kept = new.replace(old, &[], &mut Vec::new(), &mut Vec::new());
    assert_eq!(kept, [Some(0), None, None, Some(1)]);
    assert!(new.verdict(1).unwrap().up);
    assert!(!new.verdict(2).unwrap().up);
    assert_eq!(table(&new), [(0, 0, 1)]);
}

#[test]
fn a_failed_checker_that_is_removed_brings_its_server_back() {
    let mut old = started(vec![service(80, vec![server(1, vec![check(tcp(80)), check(tcp(81))])])]);
    take(&mut old, 0, PASS);
    take(&mut old, 1, FAIL);
    let mut new = roster(2, vec![service(80, vec![server(1, vec![check(tcp(80))])])]);
    let mut after = Vec::new();
    new.replace(old, &[], &mut Vec::new(), &mut after);
    assert_eq!(notified(&after), [10]);
    assert_eq!(table(&new), [(0, 0, 1)]);
}

#[test]
fn a_new_configured_weight_is_applied_at_a_reload() {
    let old = started(vec![service(80, vec![server(1, vec![])])]);
    let heavier = RealServer { weight: Weight::new(5).unwrap(), ..server(1, vec![]) };
    let mut new = roster(2, vec![service(80, vec![heavier])]);
    let mut after = Vec::new();
    new.replace(old, &[], &mut Vec::new(), &mut after);
    assert_eq!(
        logs(&after),
        ["Changing weight from 1 to 5 for active service [192.0.2.1]:tcp:80 of VS [198.51.100.1]:tcp:80"]
    );
    assert_eq!(table(&new), [(0, 0, 5)]);
}
