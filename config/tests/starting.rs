//! What a daemon starts with although `-t` refuses it: values that keepalived passes over with a complaint.

use config::diagnostic::{Diagnostic, Severity, Tolerance, human};
use config::model::ipvs::{Forwarding, Protocol, ServiceKey};
use config::model::vrrp::Instance;
use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, Loaded, load};

fn read(text: &str, tolerance: Tolerance) -> Loaded {
    let source = Memory::new().with("/k", text);
    load(&source, &OfflineNames, "/k", &LoadOptions { tolerance, ..LoadOptions::default() })
}

/// The complaints of a start, each of which refuses the same text in a test.
fn complaints(text: &str) -> (Loaded, Vec<String>) {
    let tested = read(text, Tolerance::Nothing);
    assert!(tested.model.is_none(), "{text}");
    let started = read(text, Tolerance::Values);
    let told = |loaded: &Loaded, counts: fn(&Diagnostic) -> bool| -> Vec<String> {
        let counted = loaded.diagnostics.iter().filter(|diagnostic| counts(diagnostic));
        counted.map(|diagnostic| diagnostic.message.clone()).collect()
    };
    let said = told(&started, |diagnostic| diagnostic.is_passed_over);
    assert_eq!(said, told(&tested, |diagnostic| diagnostic.severity == Severity::Error), "{text}");
    (started, said)
}

fn block(lines: &str) -> String {
    format!(
        "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{ 192.0.2.1 }}\n{lines}\n}}\n"
    )
}

fn instance(lines: &str) -> (Instance, Vec<String>) {
    let (loaded, said) = complaints(&block(lines));
    let model = loaded.model.unwrap_or_else(|| panic!("{}", human(&loaded.diagnostics)));
    (model.instances[0].clone(), said)
}

fn service(lines: &str) -> String {
    format!("virtual_server 192.0.2.1 80 {{\n{lines}\nreal_server 203.0.113.1 80 {{ }}\n}}\n")
}

#[test]
fn an_unknown_state_is_backup() {
    for word in ["master", "SLAVE", "Backup", "MASTER,"] {
        let (instance, said) = instance(&format!("state {word}\npriority 255"));
        assert!(!instance.wants_master, "{word}");
        assert_eq!(instance.priority.value(), 255);
        assert_eq!(said, [format!("(A) unknown state '{word}', defaulting to BACKUP")]);
    }
    assert_eq!(instance("state SLAVE").0.priority.value(), 100);
}

#[test]
fn a_priority_that_is_none_is_100_and_never_that_of_an_owner() {
    for word in ["300", "0", "-1", "100,", "abc"] {
        let (instance, said) = instance(&format!("state MASTER\npriority {word}"));
        assert_eq!(instance.priority.value(), 100, "{word}");
        assert_eq!(said.len(), 1, "{said:?}");
    }
}

#[test]
fn times_and_words_of_an_instance_have_their_defaults() {
    let (instance, said) = instance(
        "priority 50\nadvert_int 1s\nversion 4\npreempt_delay 1001\nsmtp_alert maybe\ngarp_master_delay x\ndebug 9",
    );
    assert_eq!((instance.priority.value(), instance.advert_interval.centiseconds()), (50, 100));
    assert_eq!(said.len(), 6, "{said:?}");
}

#[test]
fn an_unknown_authentication_is_none_but_one_that_was_to_sign_refuses() {
    let (_, said) = instance("authentication {\nauth_type pass\nauth_pass 1111\n}");
    assert_eq!(said, ["(A) unknown authentication type 'pass'"]);
    let signed = block("authentication {\nauth_type ah\nauth_pass 1111\n}");
    assert!(read(&signed, Tolerance::Values).model.is_none());
}

#[test]
fn a_prefix_that_is_none_is_the_longest() {
    for word in ["33", "255.255.255.0", "24;", "abc"] {
        let text = block("").replace("192.0.2.1", &format!("192.0.2.1/{word}"));
        let (loaded, said) = complaints(&text);
        assert_eq!(loaded.model.unwrap_or_default().instances[0].addresses[0].network.prefix(), 32, "{word}");
        assert_eq!(
            said,
            [format!("Invalid address prefix len {word} for address 192.0.2.1/{word} - using 32")]
        );
    }
}

#[test]
fn an_unknown_scheduler_is_wlc_an_unknown_method_nat_and_an_unknown_protocol_udp() {
    let (loaded, said) = complaints(&service("lb_algo loadbalance\nlb_kind dr\nprotocol HTTP"));
    let model = loaded.model.unwrap_or_default();
    let service = &model.virtual_servers[0];
    assert_eq!(service.options.scheduler, "wlc");
    assert_eq!(service.real_servers[0].destination.forwarding, Forwarding::Nat);
    assert!(matches!(service.keys[0], ServiceKey::Address { protocol: Protocol::Udp, .. }));
    assert_eq!(
        said,
        [
            "Invalid lvs_scheduler 'loadbalance' - ignoring",
            "PARSER : unknown [dr] routing method for virtual server.",
            "Unknown protocol HTTP - ignoring"
        ]
    );
}

#[test]
fn numbers_of_services_and_checks_have_their_defaults() {
    let lines = "lb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop 6s\nquorum x\nhysteresis -1\npersistence_timeout 50s\n\
                 retry x";
    let (loaded, said) = complaints(&service(lines));
    let model = loaded.model.unwrap_or_default();
    assert_eq!(model.virtual_servers[0].options.persistence_timeout, None);
    assert_eq!(model.virtual_servers[0].quorum, 1);
    assert_eq!(said.len(), 5, "{said:?}");
}

#[test]
fn what_has_no_default_refuses_a_start_as_well() {
    for text in [
        block("nonsense 5"),
        block("priority"),
        block("").replace("192.0.2.1", "192.0.2.300"),
        block("").replace("virtual_router_id 1", "virtual_router_id 300"),
        block("state SLAVE {\n}"),
        service("lb_algo rr").replace("192.0.2.1 80", "192.0.2.1 99999"),
    ] {
        assert!(read(&text, Tolerance::Values).model.is_none(), "{text}");
    }
}

#[test]
fn a_start_without_faults_has_no_other_model() {
    let text = block("state MASTER\npriority 100") + &service("lb_algo rr\nlb_kind DR\nprotocol TCP");
    let (tested, started) = (read(&text, Tolerance::Nothing), read(&text, Tolerance::Values));
    assert_eq!(tested, started);
    assert_eq!(started.count(Severity::Error), 0);
}
