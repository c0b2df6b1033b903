//! From results to table, start, succession and reload.

use std::time::Duration;

use config::model::check::{Endpoint, FileCheck};
use config::model::ipvs::{Destination, Forwarding, Protocol, ServiceKey, ServiceOptions};
use config::model::parts::ServerRef;
use config::model::units::{ScriptId, ServerId};

use super::*;
use crate::probe::DynamicWeight;
use crate::probe::Failure;

const PASS: Outcome = Outcome::Pass(DynamicWeight::Untouched);
const FAIL: Outcome = Outcome::Fail(Failure::Connect(std::io::ErrorKind::ConnectionRefused));

fn tcp(port: u16) -> CheckKind {
    CheckKind::Tcp(Endpoint::new(([192, 0, 2, 1], port).into(), Duration::from_secs(5)))
}

fn check(kind: CheckKind) -> Check {
    Check {
        id: CheckId::new(0),
        kind,
        alpha: false,
        delay_loop: Duration::from_secs(10),
        retry: 1,
        delay_before_retry: Duration::from_secs(1),
        warmup: Duration::from_secs(10),
        log_all_failures: false,
    }
}

fn server(last: u8, checks: Vec<Check>) -> RealServer {
    RealServer {
        name: format!("[192.0.2.{last}]:tcp:80"),
        destination: Destination {
            address: std::net::Ipv4Addr::new(192, 0, 2, last).into(),
            port: 80,
            forwarding: Forwarding::Nat,
            upper_threshold: 0,
            lower_threshold: 0,
        },
        weight: Weight::new(1).unwrap(),
        inhibit_on_failure: false,
        notify_up: Some(ScriptId::new(u32::from(last) * 10)),
        notify_down: Some(ScriptId::new(u32::from(last) * 10 + 1)),
        mail: false,
        checks,
    }
}

fn service(port: u16, real_servers: Vec<RealServer>) -> VirtualServer {
    VirtualServer {
        name: format!("[198.51.100.1]:tcp:{port}"),
        keys: vec![ServiceKey::Address {
            address: "198.51.100.1".parse().unwrap(),
            port,
            protocol: Protocol::Tcp,
        }],
        options: ServiceOptions::plain("rr"),
        quorum: 1,
        hysteresis: 0,
        alpha: false,
        omega: false,
        marked: None,
        ha_suspend: false,
        quorum_up: None,
        quorum_down: None,
        sorry_server: None,
        sorry_server_inhibit: false,
        mail: false,
        real_servers,
    }
}

/// Numbers the checkers as the config worker does.
fn roster(generation: u64, mut services: Vec<VirtualServer>) -> Roster {
    let checks = services.iter_mut().flat_map(|s| &mut s.real_servers).flat_map(|server| &mut server.checks);
    for (id, check) in (0..).zip(checks) {
        check.id = CheckId::new(id);
    }
    let mut roster = Roster::new(Generation::new(generation));
    for service in services {
        roster.add(service).unwrap();
    }
    roster
}

fn started(services: Vec<VirtualServer>) -> Roster {
    let mut roster = roster(1, services);
    roster.start(&mut Vec::new());
    roster
}

fn take(roster: &mut Roster, position: usize, outcome: Outcome) -> (Taken, Vec<Effect>) {
    let mut out = Vec::new();
    (roster.take(position, outcome, &mut out).unwrap(), out)
}

fn logs(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Log(text) = effect { Some(text.as_str()) } else { None })
        .collect()
}

fn table(roster: &Roster) -> Vec<(u32, u32, u32)> {
    roster
        .table()
        .map(|entry| {
            let server = match entry.server {
                ServerRef::Real(id) => id.value(),
                ServerRef::Sorry => 999,
            };
            (entry.service.value(), server, entry.presence.unwrap().value())
        })
        .collect()
}

fn notified(effects: &[Effect]) -> Vec<u32> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Notify(script) = effect { Some(script.value()) } else { None })
        .collect()
}

#[test]
fn a_refused_connection_takes_the_server_out_with_upstreams_words() {
    let mut roster =
        started(vec![service(80, vec![server(1, vec![check(tcp(80))]), server(2, vec![check(tcp(80))])])]);
    assert_eq!(table(&roster), [(0, 0, 1), (0, 1, 1)]);
    let (taken, out) = take(&mut roster, 1, FAIL);
    assert!(taken.changed);
    assert_eq!(
        logs(&out),
        [
            "TCP_CHECK on service [192.0.2.2]:tcp:80 failed. reason=\"connection refused\"",
            "Removing service [192.0.2.2]:tcp:80 from VS [198.51.100.1]:tcp:80"
        ]
    );
    assert!(out.contains(&Effect::Desire {
        service: ServiceId::new(0),
        server: ServerRef::Real(ServerId::new(1)),
        presence: None
    }));
    assert_eq!(table(&roster), [(0, 0, 1)]);
    let (_, out) = take(&mut roster, 1, PASS);
    assert_eq!(
        logs(&out),
        [
            "TCP connection to [192.0.2.2]:tcp:80 success.",
            "Adding service [192.0.2.2]:tcp:80 to VS [198.51.100.1]:tcp:80"
        ]
    );
}

#[test]
fn retries_are_named_in_the_line_that_ends_them() {
    let mut roster = started(vec![service(80, vec![server(1, vec![check(tcp(80))])])]);
    take(&mut roster, 0, PASS);
    let (taken, out) = take(&mut roster, 0, FAIL);
    assert_eq!(taken, Taken { next: Next::Pause(Duration::from_secs(1)), changed: true });
    assert_eq!(logs(&out), Vec::<&str>::new());
    let (_, out) = take(&mut roster, 0, FAIL);
    assert!(logs(&out)[0].starts_with("TCP_CHECK on service [192.0.2.1]:tcp:80 failed after 1 retries."));
}

#[test]
fn one_failed_checker_of_two_is_enough_and_both_must_recover() {
    let mut roster = started(vec![service(80, vec![server(1, vec![check(tcp(80)), check(tcp(81))])])]);
    take(&mut roster, 0, PASS);
    take(&mut roster, 1, FAIL);
    assert_eq!(table(&roster), []);
    take(&mut roster, 0, FAIL);
    take(&mut roster, 0, FAIL);
    take(&mut roster, 1, PASS);
    assert_eq!(table(&roster), []);
    take(&mut roster, 0, PASS);
    assert_eq!(table(&roster), [(0, 0, 1)]);
}

#[test]
fn an_alpha_server_waits_for_its_first_success_and_reports_a_first_failure() {
    let alpha = || Check { alpha: true, ..check(tcp(80)) };
    let mut roster = started(vec![service(80, vec![server(1, vec![alpha()]), server(2, vec![alpha()])])]);
    assert_eq!(table(&roster), []);
    assert_eq!(notified(&take(&mut roster, 0, FAIL).1), [11]);
    assert_eq!(notified(&take(&mut roster, 0, FAIL).1), Vec::<u32>::new());
    assert_eq!(notified(&take(&mut roster, 1, PASS).1), [20]);
    assert_eq!(table(&roster), [(0, 1, 1)]);
}

#[test]
fn a_misc_check_moves_the_weight_of_its_server() {
    let misc = check(CheckKind::Misc {
        script: ScriptId::new(3),
        command: "/bin/load -v".to_owned(),
        timeout: Duration::from_secs(5),
        dynamic: true,
    });
    let mut roster = started(vec![service(80, vec![server(1, vec![misc])])]);
    let weight = Weight::new(7).unwrap();
    let (_, out) = take(&mut roster, 0, Outcome::Pass(DynamicWeight::Set(weight)));
    assert_eq!(
        logs(&out),
        [
            "Changing weight from 1 to 7 for active service [192.0.2.1]:tcp:80 of VS [198.51.100.1]:tcp:80",
            "Misc check for [[192.0.2.1]:tcp:80 VS [198.51.100.1]:tcp:80] by [/bin/load] succeeded."
        ]
    );
    assert_eq!(table(&roster), [(0, 0, 7)]);
    assert_eq!(roster.verdict(0).unwrap().weight, Some(weight));
    take(&mut roster, 0, Outcome::Pass(DynamicWeight::Configured));
    assert_eq!(table(&roster), [(0, 0, 1)]);
}

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
    assert_eq!(new.replace(old, &mut before, &mut after), [Some(0), Some(1)]);
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
    assert_eq!(new.replace(old, &mut before, &mut after), [Some(1)]);
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
    new.replace(old, &mut before, &mut Vec::new());
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
    new.replace(started(vec![service(81, vec![server(2, vec![])])]), &mut Vec::new(), &mut Vec::new());
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
    new.replace(dead, &mut Vec::new(), &mut Vec::new());
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
    new.replace(old, &mut Vec::new(), &mut after);
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
    new.replace(old, &mut Vec::new(), &mut after);
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
    let kept = new.replace(old, &mut Vec::new(), &mut Vec::new());
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
    new.replace(old, &mut Vec::new(), &mut after);
    assert_eq!(notified(&after), [10]);
    assert_eq!(table(&new), [(0, 0, 1)]);
}

#[test]
fn a_new_configured_weight_is_applied_at_a_reload() {
    let old = started(vec![service(80, vec![server(1, vec![])])]);
    let heavier = RealServer { weight: Weight::new(5).unwrap(), ..server(1, vec![]) };
    let mut new = roster(2, vec![service(80, vec![heavier])]);
    let mut after = Vec::new();
    new.replace(old, &mut Vec::new(), &mut after);
    assert_eq!(
        logs(&after),
        ["Changing weight from 1 to 5 for active service [192.0.2.1]:tcp:80 of VS [198.51.100.1]:tcp:80"]
    );
    assert_eq!(table(&new), [(0, 0, 5)]);
}

#[test]
fn inconsistent_models_are_refused() {
    let mut roster = Roster::new(Generation::new(1));
    let misnumbered = Check { id: CheckId::new(5), ..check(tcp(80)) };
    assert_eq!(
        roster.add(service(80, vec![server(1, vec![misnumbered])])),
        Err(Inconsistent::Number { expected: 0, got: CheckId::new(5) })
    );
    let mut roster = Roster::new(Generation::new(1));
    assert_eq!(
        roster.complete(&CheckHead {
            virtual_servers: 2,
            checks: 0,
            init_notifies: false,
            mail: None,
            tls: TlsFiles::default()
        }),
        Err(Inconsistent::Count { what: "virtual servers", expected: 2, got: 0 })
    );
}

/// What the table is after these changes.
fn apply(table: &mut std::collections::HashMap<(ServiceId, ServerRef), Weight>, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Desire { service, server, presence } = effect {
            match presence {
                Some(weight) => table.insert((*service, *server), *weight),
                None => table.remove(&(*service, *server)),
            };
        }
    }
}

/// Two services, one with a sorry server that may be inhibited, three servers each, one or two checkers each.
fn farm(quorum: u32, hysteresis: u32, inhibit: bool) -> Vec<VirtualServer> {
    let servers = || {
        vec![
            server(1, vec![check(tcp(80)), check(tcp(81))]),
            RealServer { inhibit_on_failure: inhibit, ..server(2, vec![check(tcp(80))]) },
            server(3, vec![Check { alpha: true, ..check(tcp(80)) }]),
        ]
    };
    let sorry = VirtualServer {
        quorum,
        hysteresis,
        sorry_server: Some(server(9, vec![]).destination),
        sorry_server_inhibit: inhibit,
        ..service(80, servers())
    };
    vec![sorry, VirtualServer { quorum, hysteresis, ..service(81, servers()) }]
}

fn outcome(number: u8) -> Outcome {
    match number {
        0 | 1 => FAIL,
        2 => Outcome::Pass(DynamicWeight::Set(Weight::clamped(3))),
        3 => Outcome::Pass(DynamicWeight::Set(Weight::ZERO)),
        4 => Outcome::Pass(DynamicWeight::Configured),
        _ => PASS,
    }
}

proptest::proptest! {
    #[test]
    fn changes_told_one_by_one_add_up_to_the_whole_table(
        quorum in 1_u32..4, hysteresis in 0_u32..2, inhibit: bool,
        outcomes in proptest::collection::vec((0_usize..8, 0_u8..8), 0..60),
    ) {
        let mut roster = roster(1, farm(quorum, hysteresis, inhibit));
        let mut out = Vec::new();
        roster.start(&mut out);
        let mut told = std::collections::HashMap::new();
        apply(&mut told, &out);
        for (position, number) in outcomes {
            let (_, out) = take(&mut roster, position, outcome(number));
            apply(&mut told, &out);
            let whole: std::collections::HashMap<_, _> = roster
                .table()
                .map(|entry| ((entry.service, entry.server), entry.presence.unwrap()))
                .collect();
            proptest::prop_assert_eq!(&told, &whole);
        }
    }

    #[test]
    fn a_reload_and_a_succession_without_changes_keep_the_table_and_say_nothing(
        quorum in 1_u32..4, inhibit: bool,
        outcomes in proptest::collection::vec((0_usize..8, 0_u8..8), 0..60),
    ) {
        let mut old = started(farm(quorum, 0, inhibit));
        for (position, number) in outcomes {
            take(&mut old, position, outcome(number));
        }
        let before = table(&old);
        let verdicts: Vec<_> = (0..8).filter_map(|position| old.verdict(position)).collect();
        let silent = |out: &[Effect]| out.iter().all(|effect| matches!(effect, Effect::Desire { .. }));

        let mut successor = roster(1, farm(quorum, 0, inhibit));
        let mut out = Vec::new();
        successor.resume(&verdicts, &[], &mut out);
        proptest::prop_assert_eq!(table(&successor), before.clone());
        proptest::prop_assert!(silent(&out), "{:?}", out);

        let mut new = roster(2, farm(quorum, 0, inhibit));
        let (mut gone, mut after) = (Vec::new(), Vec::new());
        new.replace(old, &mut gone, &mut after);
        proptest::prop_assert_eq!(table(&new), before);
        proptest::prop_assert!(gone.is_empty() && silent(&after), "{:?} {:?}", gone, after);
    }
}

/// Letters about a server with these checkers after these outcomes: what it is said to be, and why.
fn letters(checks: Vec<Check>, servers_only: bool, steps: &[(usize, Outcome)]) -> Vec<String> {
    let checked = RealServer { mail: true, ..server(1, checks) };
    let mut roster = started(vec![service(80, vec![checked])]);
    let from = config::model::mail::Mailbox::parse("a@x").unwrap();
    roster.mail = Some(Box::new(MailSettings {
        server: "192.0.2.9:25".parse().unwrap(),
        helo_name: String::new(),
        recipients: vec![from.clone()],
        from,
        timeout: std::time::Duration::from_secs(1),
        servers_only,
    }));
    let mut out = Vec::new();
    for (position, outcome) in steps {
        let (_, effects) = take(&mut roster, *position, *outcome);
        out.extend(effects.into_iter().filter_map(|effect| {
            let Effect::Mail(news) = effect else { return None };
            Some(format!("{} {}", news.subject.rsplit(' ').next().unwrap(), news.body))
        }));
    }
    out
}

#[test]
fn a_first_result_that_changes_nothing_is_mailed_of_scripts_alone() {
    let alpha = |kind: CheckKind| vec![Check { alpha: true, ..check(kind) }];
    let script = || CheckKind::Misc {
        script: ScriptId::new(7),
        command: "/bin/check".to_owned(),
        timeout: std::time::Duration::ZERO,
        dynamic: false,
    };
    assert!(letters(vec![check(tcp(80))], false, &[(0, PASS)]).is_empty());
    assert!(letters(alpha(tcp(80)), false, &[(0, FAIL), (0, FAIL)]).is_empty());
    let (passed, failed) =
        ("UP => MISC CHECK succeeded on service <=", "DOWN => MISC CHECK failed on service <=");
    assert_eq!(letters(vec![check(script())], false, &[(0, PASS), (0, PASS)]), [passed]);
    assert_eq!(letters(alpha(script()), false, &[(0, FAIL), (0, FAIL)]), [failed]);
    assert!(letters(vec![check(script())], true, &[(0, PASS)]).is_empty());
}

#[test]
fn mail_follows_each_checker_unless_only_servers_are_wanted() {
    let steps = [(0, PASS), (0, FAIL), (0, FAIL), (1, FAIL), (0, PASS), (1, PASS)];
    let mails = |servers_only| letters(vec![check(tcp(80)), check(tcp(81))], servers_only, &steps);
    let (failed, succeeded) = ("=> TCP CHECK failed on service <=", "=> TCP CHECK succeed on service <=");
    assert_eq!(
        mails(false),
        [
            format!("DOWN {failed}"),
            format!("DOWN {failed}"),
            format!("DOWN {succeeded}"),
            format!("UP {succeeded}")
        ]
    );
    assert_eq!(mails(true), [format!("DOWN {failed}"), format!("UP {succeeded}")]);
}

#[test]
fn a_server_starts_with_what_its_file_says_without_a_word() {
    let file = |weight: i32, alpha: bool| vec![Check { alpha, ..check(number(weight)) }];
    for (value, entries) in [(0, vec![(0, 0, 1), (0, 1, 1)]), (4, vec![(0, 1, 9)])] {
        let servers = vec![server(1, file(0, true)), server(2, file(2, false))];
        let mut roster = roster(1, vec![service(80, servers)]);
        roster.assume_number(FileId::new(0), value);
        let mut out = Vec::new();
        roster.start(&mut out);
        assert_eq!(table(&roster), entries);
        assert_eq!(logs(&out).len(), 1, "{out:?}");
        assert!(roster.take_number(FileId::new(0), value, &mut Vec::new()).is_empty());
    }
}

#[test]
fn nothing_is_mailed_of_files() {
    assert!(letters(vec![check(number(0))], false, &[(0, PASS), (0, FAIL), (0, PASS)]).is_empty());
}

fn number(weight: i32) -> CheckKind {
    CheckKind::File(FileCheck { file: FileId::new(0), name: "load".to_owned(), weight, reverse: false })
}
