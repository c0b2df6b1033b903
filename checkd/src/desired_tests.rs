//! Quorum, hysteresis, sorry server and inhibition, told as what goes out.

use config::model::ipvs::{Forwarding, Protocol, ServiceOptions};

use super::*;

fn server(last: u8) -> RealServer {
    RealServer {
        name: format!("[192.0.2.{last}]:tcp:80"),
        destination: destination(last),
        weight: Weight::new(1).unwrap(),
        inhibit_on_failure: false,
        notify_up: Some(ScriptId::new(u32::from(last) * 10)),
        notify_down: Some(ScriptId::new(u32::from(last) * 10 + 1)),
        mail: false,
        checks: Vec::new(),
    }
}

fn destination(last: u8) -> Destination {
    Destination {
        address: std::net::Ipv4Addr::new(192, 0, 2, last).into(),
        port: 80,
        forwarding: Forwarding::Nat,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

fn config(quorum: u32, hysteresis: u32) -> VirtualServer {
    VirtualServer {
        name: "[198.51.100.1]:tcp:80".to_owned(),
        keys: vec![ServiceKey::Address {
            address: "198.51.100.1".parse().unwrap(),
            port: 80,
            protocol: Protocol::Tcp,
        }],
        options: ServiceOptions::plain("rr"),
        quorum,
        hysteresis,
        alpha: false,
        omega: false,
        marked: None,
        ha_suspend: false,
        quorum_up: Some(ScriptId::new(100)),
        quorum_down: Some(ScriptId::new(101)),
        sorry_server: None,
        sorry_server_inhibit: false,
        mail: false,
        real_servers: vec![server(1), server(2), server(3)],
    }
}

fn with_sorry(quorum: u32, inhibit: bool) -> VirtualServer {
    VirtualServer { sorry_server: Some(destination(99)), sorry_server_inhibit: inhibit, ..config(quorum, 0) }
}

fn start(config: VirtualServer, alive: [bool; 3]) -> (Service, Vec<String>) {
    let mut service = Service::new(ServiceId::new(0), config);
    for (index, alive) in alive.into_iter().enumerate() {
        service.assume(index, alive, Weight::new(1).unwrap());
    }
    let mut out = Vec::new();
    service.settle(Occasion::Start, &mut out);
    (service, words(out))
}

fn set(service: &mut Service, server: usize, alive: bool) -> Vec<String> {
    let mut out = Vec::new();
    service.set_alive(server, alive, &mut out);
    words(out)
}

/// Effects in a form that reads well in an assertion.
fn words(effects: Vec<Effect>) -> Vec<String> {
    effects
        .into_iter()
        .map(|effect| match effect {
            Effect::Desire { server, presence, .. } => {
                let server = match server {
                    ServerRef::Real(id) => id.to_string(),
                    ServerRef::Sorry => "sorry".to_owned(),
                };
                let presence = presence.map_or("absent".to_owned(), |weight| weight.to_string());
                format!("{server}={presence}")
            }
            Effect::Event { server: Some(server), up, .. } => format!("server {server} up={up}"),
            Effect::Event { server: None, up, .. } => format!("quorum up={up}"),
            Effect::Notify(script) => format!("run {script}"),
            Effect::Log(text) => text,
            Effect::Mail(news) => format!("mail {}: {}", news.subject, news.body),
        })
        .collect()
}

#[test]
fn a_start_with_enough_servers_runs_quorum_up_at_once() {
    let (_, out) = start(config(1, 0), [true, true, true]);
    assert_eq!(
        out,
        [
            "Gained quorum 1+0=1 <= 3 for VS [198.51.100.1]:tcp:80",
            "run 100",
            "quorum up=true",
            "0=1",
            "1=1",
            "2=1"
        ]
    );
}

#[test]
fn an_alpha_start_without_a_sorry_server_says_nothing() {
    let (_, out) = start(config(1, 0), [false, false, false]);
    assert_eq!(out, Vec::<String>::new());
}

#[test]
fn an_alpha_start_with_a_sorry_server_puts_it_in() {
    let (_, out) = start(with_sorry(1, false), [false, false, false]);
    assert_eq!(
        out,
        [
            "Starting with quorum down 1-0=1 > 0 for VS [198.51.100.1]:tcp:80",
            "Adding sorry server [192.0.2.99]:tcp:80 to VS [198.51.100.1]:tcp:80",
            "Removing alive servers from the pool for VS [198.51.100.1]:tcp:80",
            "run 101",
            "quorum up=false",
            "sorry=1"
        ]
    );
}

#[test]
fn a_quorum_that_was_never_there_is_missed_by_its_sum_with_hysteresis() {
    let config = VirtualServer { hysteresis: 1, ..with_sorry(2, false) };
    let (_, out) = start(config, [true, true, false]);
    assert_eq!(out[0], "Starting with quorum down 2-1=3 > 2 for VS [198.51.100.1]:tcp:80");
}

#[test]
fn a_dead_server_leaves_the_table_and_its_down_script_runs() {
    let (mut service, _) = start(config(1, 0), [true, true, true]);
    assert_eq!(
        set(&mut service, 1, false),
        [
            "Removing service [192.0.2.2]:tcp:80 from VS [198.51.100.1]:tcp:80",
            "run 21",
            "server 1 up=false",
            "1=absent"
        ]
    );
    assert_eq!(
        set(&mut service, 1, true),
        [
            "Adding service [192.0.2.2]:tcp:80 to VS [198.51.100.1]:tcp:80",
            "run 20",
            "server 1 up=true",
            "1=1"
        ]
    );
    assert_eq!(set(&mut service, 1, true), Vec::<String>::new());
}

#[test]
fn inhibit_on_failure_keeps_a_dead_server_with_weight_0() {
    let mut config = config(1, 0);
    config.real_servers[0].inhibit_on_failure = true;
    let (mut service, out) = start(config, [false, true, true]);
    assert!(out.contains(&"0=0".to_owned()), "{out:?}");
    assert_eq!(
        set(&mut service, 0, true),
        [
            "Enabling service [192.0.2.1]:tcp:80 of VS [198.51.100.1]:tcp:80",
            "run 10",
            "server 0 up=true",
            "0=1"
        ]
    );
    assert_eq!(set(&mut service, 0, false).last().unwrap(), "0=0");
    let mut out = Vec::new();
    service.stop(&mut out);
    assert_eq!(
        words(out)[..2],
        [
            "Shutting down (inhibited) service [192.0.2.1]:tcp:80 from VS [198.51.100.1]:tcp:80",
            "Shutting down service [192.0.2.2]:tcp:80 from VS [198.51.100.1]:tcp:80"
        ]
    );
}

#[test]
fn hysteresis_moves_both_thresholds() {
    let (mut service, out) = start(config(2, 1), [true, true, false]);
    assert!(out.iter().all(|line| !line.contains("quorum")), "{out:?}");
    let out = set(&mut service, 2, true);
    assert!(out.contains(&"Gained quorum 2+1=3 <= 3 for VS [198.51.100.1]:tcp:80".to_owned()), "{out:?}");
    set(&mut service, 2, false);
    let out = set(&mut service, 1, false);
    assert!(!out.contains(&"quorum up=false".to_owned()), "{out:?}");
    let out = set(&mut service, 0, false);
    assert!(out.contains(&"Lost quorum 2-1=1 > 0 for VS [198.51.100.1]:tcp:80".to_owned()), "{out:?}");
}

#[test]
fn losing_quorum_replaces_live_servers_by_the_sorry_server() {
    let (mut service, _) = start(with_sorry(2, false), [true, true, false]);
    let out = set(&mut service, 0, false);
    assert_eq!(
        out,
        [
            "Removing service [192.0.2.1]:tcp:80 from VS [198.51.100.1]:tcp:80",
            "run 11",
            "server 0 up=false",
            "Lost quorum 2-0=2 > 1 for VS [198.51.100.1]:tcp:80",
            "Adding sorry server [192.0.2.99]:tcp:80 to VS [198.51.100.1]:tcp:80",
            "Removing alive servers from the pool for VS [198.51.100.1]:tcp:80",
            "run 101",
            "quorum up=false",
            "0=absent",
            "1=absent",
            "sorry=1"
        ]
    );
    let out = set(&mut service, 2, true);
    assert_eq!(
        out,
        [
            "Adding service [192.0.2.3]:tcp:80 to VS [198.51.100.1]:tcp:80",
            "run 30",
            "server 2 up=true",
            "Gained quorum 2+0=2 <= 2 for VS [198.51.100.1]:tcp:80",
            "Removing sorry server [192.0.2.99]:tcp:80 from VS [198.51.100.1]:tcp:80",
            "Adding alive servers to the pool for VS [198.51.100.1]:tcp:80",
            "run 100",
            "quorum up=true",
            "1=1",
            "2=1",
            "sorry=absent"
        ]
    );
}

#[test]
fn while_the_sorry_server_serves_changes_are_bookkeeping() {
    let (mut service, _) = start(with_sorry(3, false), [true, false, false]);
    let out = set(&mut service, 1, true);
    assert!(out.iter().all(|line| !line.contains('=') || line.contains("up=")), "{out:?}");
}

#[test]
fn sorry_server_inhibit_keeps_it_with_weight_0() {
    let (mut service, out) = start(with_sorry(1, true), [true, false, false]);
    assert_eq!(out.last().unwrap(), "sorry=0");
    let out = set(&mut service, 0, false);
    assert!(
        out.contains(&"Enabling sorry server [192.0.2.99]:tcp:80 to VS [198.51.100.1]:tcp:80".to_owned())
    );
    assert_eq!(out.last().unwrap(), "sorry=1");
    assert_eq!(set(&mut service, 0, true).last().unwrap(), "sorry=0");
}

#[test]
fn a_weight_change_is_told_and_counts_for_the_quorum() {
    let (mut service, _) = start(config(3, 0), [true, true, true]);
    let mut out = Vec::new();
    service.set_weight(0, Weight::ZERO, &mut out);
    assert_eq!(
        words(out),
        [
            "Changing weight from 1 to 0 for active service [192.0.2.1]:tcp:80 of VS [198.51.100.1]:tcp:80",
            "Lost quorum 3-0=3 > 2 for VS [198.51.100.1]:tcp:80",
            "run 101",
            "quorum up=false",
            "0=0"
        ]
    );
}

#[test]
fn only_omega_runs_down_scripts_at_a_stop() {
    let (mut service, _) = start(config(1, 0), [true, false, false]);
    let mut out = Vec::new();
    service.stop(&mut out);
    assert!(words(out).iter().all(|line| line.starts_with("Shutting down service")));
    let (mut service, _) = start(VirtualServer { omega: true, ..config(1, 0) }, [true, false, false]);
    let mut out = Vec::new();
    service.stop(&mut out);
    let out = words(out);
    assert!(out.contains(&"run 11".to_owned()) && !out.contains(&"run 21".to_owned()), "{out:?}");
    assert!(out.contains(&"run 101".to_owned()), "{out:?}");
}

#[test]
fn a_predecessors_quorum_is_taken_over_in_silence() {
    let mut service = Service::new(ServiceId::new(0), with_sorry(1, false));
    service.assume(0, false, Weight::ZERO);
    service.assume_quorum();
    let table: Vec<_> = service.table().collect();
    assert_eq!(table, [(ServerRef::Sorry, Weight::new(1).unwrap())]);
    let mut out = Vec::new();
    service.settle(Occasion::Start, &mut out);
    assert_eq!(words(out), ["sorry=1"]);
}

#[test]
fn quorums_and_farewells_are_mailed_where_that_is_wanted() {
    let mut mailed = VirtualServer { mail: true, omega: true, ..config(2, 1) };
    if let Some(first) = mailed.real_servers.first_mut() {
        first.mail = true;
    }
    let (mut service, out) = start(mailed, [true, true, true]);
    let mails = |out: Vec<String>| -> Vec<String> {
        out.into_iter().filter_map(|word| Some(word.strip_prefix("mail ")?.to_owned())).collect()
    };
    let vs = "Virtualserver [198.51.100.1]:tcp:80";
    assert_eq!(mails(out), [format!("{vs} - UP: => Starting with quorum up 2+1=3 <= 3 <=")]);
    assert_eq!(mails(set(&mut service, 1, false)), [""; 0]);
    set(&mut service, 2, false);
    let lost = mails(set(&mut service, 0, false));
    assert_eq!(lost, [format!("{vs} - DOWN: => Lost quorum 2+1=1 <= 0 <=")]);
    set(&mut service, 0, true);
    let mut out = Vec::new();
    service.stop(&mut out);
    assert_eq!(
        mails(words(out)),
        [
            "Realserver [192.0.2.1]:tcp:80 of virtual server [198.51.100.1]:tcp:80 - DOWN: => Shutting down <=",
            "Virtualserver [198.51.100.1]:tcp:80 - DOWN: => Lost quorum 2+1=1 <= 0 <=",
        ]
    );
}
