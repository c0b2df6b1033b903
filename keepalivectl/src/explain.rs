//! Why something is as it is, and what has happened, as text for people. Pure.

use std::fmt::Write;

use ipc::date;
use ipc::messages::ctl::events::Events;
use ipc::messages::ctl::explained::{
    CheckExplained, Election, Explained, InstanceExplained, ServerExplained, ServiceExplained,
};

/// Everything that has the name.
#[must_use]
pub fn explained(known: &Explained) -> String {
    let mut text = String::new();
    for instance in &known.instances {
        show_instance(&mut text, instance);
    }
    for service in &known.services {
        show_service(&mut text, service);
    }
    for server in &known.servers {
        show_server(&mut text, server);
    }
    if !known.events.is_empty() {
        line(&mut text, "lately:");
        for event in events(&Events { events: known.events.clone(), lost: 0 }).lines() {
            line(&mut text, &format!("  {event}"));
        }
    }
    text
}

/// One line each.
#[must_use]
pub fn events(known: &Events) -> String {
    let mut text = String::new();
    if known.lost > 0 {
        line(&mut text, &format!("({} earlier events are no longer kept)", known.lost));
    }
    for event in &known.events {
        let reason = if event.reason.is_empty() { String::new() } else { format!(": {}", event.reason) };
        let (number, kind) = (event.number, event.kind.word());
        line(
            &mut text,
            &format!("{} {number} {kind} {} {}{reason}", moment(event.time_ms), event.name, event.what),
        );
    }
    text
}

fn show_instance(text: &mut String, instance: &InstanceExplained) {
    let since =
        if instance.since_ms == 0 { String::new() } else { format!(" since {}", moment(instance.since_ms)) };
    let because = if instance.because.is_empty() { String::new() } else { format!(": {}", instance.because) };
    line(text, &format!("instance {} is {}{since}{because}", instance.name, instance.state));
    if let Some(seconds) = instance.failover_s {
        line(text, &format!("  gives way by order for another {seconds} s, with priority 1"));
    }
    match &instance.election {
        Some(election) => show_election(text, instance, election),
        None => line(text, "  vrrpd did not answer"),
    }
}

fn show_election(text: &mut String, instance: &InstanceExplained, election: &Election) {
    let mut sum = format!("  priority {} = {} configured", election.effective, election.base);
    for term in &election.terms {
        if let Some(adds) = term.adds.filter(|adds| *adds != 0) {
            let _ = write!(sum, " {adds:+} {} {}", term.kind, term.name);
        }
    }
    let total = election
        .terms
        .iter()
        .filter_map(|term| term.adds)
        .fold(i64::from(election.base), |sum, adds| sum.saturating_add(i64::from(adds)));
    let limited = total != i64::from(election.effective) && instance.failover_s.is_none();
    line(text, &if limited { sum + " (kept within 1 to 254)" } else { sum });
    for term in &election.terms {
        let effect = match term.adds {
            Some(adds) => format!("adds {adds}"),
            None if term.condition == "unknown" => "holds it back until it is known".to_owned(),
            None => "is a fault".to_owned(),
        };
        let weight = term.weight;
        line(
            text,
            &format!("  {} {} is {}: {effect} (weight {weight})", term.kind, term.name, term.condition),
        );
    }
    for fault in &election.faults {
        line(text, &format!("  fault: {fault}"));
    }
    if let (Some(master), Some(priority)) = (election.master, election.master_priority) {
        line(text, &format!("  last advert heard: from {master} with priority {priority}"));
    }
    match (instance.state.as_str(), election.deadline_ms) {
        ("BACKUP", Some(left)) => {
            let patience = election.patience_ms;
            line(text, &format!("  takes over when nothing is heard for {left} ms more, of {patience} ms"));
        }
        ("MASTER", Some(left)) => line(text, &format!("  next advert in {left} ms")),
        _ => {}
    }
}

fn show_service(text: &mut String, service: &ServiceExplained) {
    line(
        text,
        &format!(
            "service {} is {}: {} of {} servers up, weight {}{}",
            service.name,
            updown(service.up),
            service.alive,
            service.servers,
            service.weight,
            if service.sorry { ", the sorry server serves" } else { "" }
        ),
    );
}

fn show_server(text: &mut String, server: &ServerExplained) {
    let weight =
        server.weight.map_or_else(|| "not in the table".to_owned(), |weight| format!("weight {weight}"));
    let drained = if server.drained { ", drained by order" } else { "" };
    line(
        text,
        &format!("server {} of {} is {}: {weight}{drained}", server.name, server.service, updown(server.up)),
    );
    match &server.checks {
        Some(checks) if checks.is_empty() => line(text, "  it has no checks"),
        Some(checks) => checks.iter().for_each(|check| show_check(text, check)),
        None => line(text, "  checkd did not answer"),
    }
}

fn show_check(text: &mut String, check: &CheckExplained) {
    let mut words = format!("  {} {} is {}", check.kind, check.target, updown(Some(check.up)));
    if !check.tested {
        words.push_str(", not tested yet");
    }
    match &check.last {
        Some(last) if last.passed => {
            let _ = write!(words, ", passed {} ms ago", last.ago_ms);
        }
        Some(last) => {
            let _ = write!(words, ", failed {} ms ago: {}", last.ago_ms, last.reason);
        }
        None => {}
    }
    if check.failures > 0 {
        let _ = write!(words, ", {} of {} failures forgiven", check.failures, check.retry);
    }
    if let Some(weight) = check.weight {
        let _ = write!(words, ", sets weight {weight}");
    }
    match check.next_ms {
        Some(next) => {
            let _ = write!(words, ", again in {next} ms");
        }
        None => words.push_str(", under way"),
    }
    line(text, &words);
}

fn updown(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "UP",
        Some(false) => "DOWN",
        None => "not known yet",
    }
}

/// `2026-11-22T02:16:01.250Z`.
fn moment(time_ms: u64) -> String {
    let stamp = date::stamp(time_ms / 1_000);
    format!("{}.{:03}Z", stamp.trim_end_matches('Z'), time_ms % 1_000)
}

fn line(text: &mut String, line: &str) {
    let _infallible = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use ipc::messages::ctl::events::{Event, EventKind};
    use ipc::messages::ctl::explained::{LastRun, Term};

    use super::*;

    fn term(kind: &str, name: &str, condition: &str, weight: i16, adds: Option<i32>) -> Term {
        let (kind, name, condition) = (kind.to_owned(), name.to_owned(), condition.to_owned());
        Term { kind, name, condition, weight, adds }
    }

    #[test]
    fn an_instance_shows_its_sum_its_faults_and_its_patience() {
        let election = Election {
            base: 100,
            effective: 70,
            terms: vec![
                term("script", "chk_web", "bad", -30, Some(-30)),
                term("interface", "eth1", "up", 10, Some(0)),
                term("file", "load", "unknown", 0, None),
            ],
            faults: vec!["interface eth2 is down".to_owned()],
            master: Some("192.0.2.2".parse().unwrap()),
            master_priority: Some(90),
            deadline_ms: Some(2_100),
            patience_ms: 3_727,
        };
        let instance = InstanceExplained {
            name: "VI_1".to_owned(),
            state: "BACKUP".to_owned(),
            because: "192.0.2.2 has priority 90, this one 70".to_owned(),
            since_ms: 1_795_313_761_250,
            failover_s: None,
            election: Some(election),
        };
        let text = explained(&Explained { instances: vec![instance], ..Explained::default() });
        let expected = "\
instance VI_1 is BACKUP since 2026-11-22T02:16:01.250Z: 192.0.2.2 has priority 90, this one 70
  priority 70 = 100 configured -30 script chk_web
  script chk_web is bad: adds -30 (weight -30)
  interface eth1 is up: adds 0 (weight 10)
  file load is unknown: holds it back until it is known (weight 0)
  fault: interface eth2 is down
  last advert heard: from 192.0.2.2 with priority 90
  takes over when nothing is heard for 2100 ms more, of 3727 ms
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_server_shows_what_its_checks_found() {
        let check = CheckExplained {
            kind: "HTTP_GET".to_owned(),
            target: "203.0.113.1:80 /".to_owned(),
            up: false,
            tested: true,
            failures: 0,
            retry: 1,
            weight: None,
            last: Some(LastRun { passed: false, reason: "HTTP status code 503".to_owned(), ago_ms: 812 }),
            next_ms: Some(5_188),
        };
        let server = ServerExplained {
            service: "[192.0.2.10]:tcp:80".to_owned(),
            name: "[203.0.113.1]:tcp:80".to_owned(),
            up: Some(false),
            weight: None,
            drained: false,
            checks: Some(vec![check]),
        };
        let text = explained(&Explained { servers: vec![server], ..Explained::default() });
        let expected = "\
server [203.0.113.1]:tcp:80 of [192.0.2.10]:tcp:80 is DOWN: not in the table
  HTTP_GET 203.0.113.1:80 / is DOWN, failed 812 ms ago: HTTP status code 503, again in 5188 ms
";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_event_is_one_line_and_what_is_lost_is_said() {
        let event = Event {
            number: 7,
            time_ms: 1_795_313_761_005,
            kind: EventKind::Instance,
            name: "VI_1".to_owned(),
            what: "MASTER".to_owned(),
            reason: "192.0.2.2 fell silent".to_owned(),
        };
        let text = events(&Events { events: vec![event], lost: 6 });
        let expected = "\
(6 earlier events are no longer kept)
2026-11-22T02:16:01.005Z 7 instance VI_1 MASTER: 192.0.2.2 fell silent
";
        assert_eq!(text, expected);
    }
}
