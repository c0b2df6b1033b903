//! From results to the table, and what a start begins with.

use config::model::check::{HttpCheck, HttpProtocol, HttpUrl};

use super::*;
use crate::probe::http::BodyLength;

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

#[test]
fn a_body_of_another_length_than_stated_is_told_until_it_is_the_same_again() {
    let web = HttpCheck {
        endpoint: Endpoint::new(([192, 0, 2, 1], 80).into(), Duration::from_secs(5)),
        tls: None,
        protocol: HttpProtocol::Http10,
        urls: vec![HttpUrl::new("/a")],
        fast_recovery: false,
    };
    let mut roster = started(vec![service(80, vec![server(1, vec![check(CheckKind::Http(web))])])]);
    let mut told = |length| roster.measure(0, length);
    let (short, long) = (BodyLength::Odd { said: 5, received: 3 }, BodyLength::Odd { said: 2, received: 3 });
    assert_eq!(
        told(short).unwrap(),
        "http_check for RS [192.0.2.1]:tcp:80 VS [198.51.100.1]:tcp:80 url /a: content_length (5) does not match \
         received bytes (3)"
    );
    assert_eq!(told(short), None);
    assert!(told(long).unwrap().ends_with("content_length (2) does not match received bytes (3)"));
    assert_eq!(told(BodyLength::AsSaid), None);
    assert!(told(long).is_some());
}
