//! Compatible reading: what keepalived ignores is a warning, what it can't start from stays an error.

use config::diagnostic::{Severity, Tolerance, human};
use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, Loaded, load};

fn read(text: &str) -> Loaded {
    let source = Memory::new().with("/k", text);
    let options = LoadOptions { tolerance: Tolerance::Everything, ..LoadOptions::default() };
    load(&source, &OfflineNames, "/k", &options)
}

fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{ 192.0.2.1 }}\n{lines}\n}}\n"
    )
}

#[test]
fn an_unknown_keyword_is_ignored() {
    let loaded = read(&instance("nonsense\npriority 7\nadvert_int fast"));
    let model = loaded.model.unwrap_or_default();
    assert_eq!(model.instances[0].priority.value(), 7);
    assert_eq!(model.instances[0].advert_interval.centiseconds(), 100);
    assert!(loaded.diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning));
    assert_eq!(loaded.diagnostics.len(), 2);
}

#[test]
fn a_misspelt_priority_of_a_master_is_refused_even_so() {
    let loaded = read(&instance("state MASTER\npirority 7"));
    assert!(loaded.model.is_none(), "{}", human(&loaded.diagnostics));
}

#[test]
fn a_priority_of_a_master_that_is_no_number_is_the_default() {
    let loaded = read(&instance("state MASTER\npriority 7x"));
    assert_eq!(loaded.model.unwrap_or_default().instances[0].priority.value(), 100);
}

#[test]
fn an_instance_without_an_id_is_refused_even_so() {
    assert!(read("vrrp_instance A { interface eth0\nvirtual_ipaddress { 192.0.2.1 } }").model.is_none());
}

#[test]
fn what_does_not_fit_is_left_out() {
    let text = "virtual_server 192.0.2.1 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\npersistence_granularity 33\n\
                real_server 203.0.113.1 80 { }\nreal_server 2001:db8::1 80 { }\n\
                real_server 203.0.113.2 80 { TCP_CHECK { bindto 2001:db8::2 } }\n}\n";
    let loaded = read(&(text.to_owned() + text + &instance("virtual_ipaddress { 2001:db8::9 }")));
    let model = loaded.model.unwrap_or_default();
    assert_eq!(model.virtual_servers.len(), 1);
    assert_eq!(model.virtual_servers[0].real_servers.len(), 2);
    assert_eq!(model.virtual_servers[0].options.persistence_prefix, None);
    assert!(model.virtual_servers[0].real_servers[1].checks.is_empty());
    assert_eq!(model.instances[0].addresses.len(), 1);
}

#[test]
fn checks_of_what_is_left_out_have_no_numbers() {
    let server =
        |last| format!("real_server 203.0.113.{last} 80 {{\nTCP_CHECK {{ }}\nPING_CHECK {{ }}\n}}\n");
    let service = |last, servers: String| {
        let head = format!("virtual_server 192.0.2.{last} 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n");
        head + &servers + "}\n"
    };
    let twice = service(1, server(1) + &server(1) + &server(2));
    let loaded = read(&(twice.clone() + &twice + &service(2, server(3))));
    let model = loaded.model.unwrap_or_default();
    let servers = model.virtual_servers.iter().flat_map(|service| &service.real_servers);
    let numbers: Vec<usize> =
        servers.flat_map(|server| &server.checks).map(|check| check.id.index()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_keyword_that_changes_who_is_master_is_refused_even_so() {
    assert!(read(&instance("use_vmac")).model.is_none());
}
