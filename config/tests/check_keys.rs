//! What a checker is stays the same in the next configuration, whatever its number becomes.

use config::model::Model;
use config::model::parts::CheckKey;
use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, load};

fn keys(text: &str) -> Vec<CheckKey> {
    let source = Memory::new().with("/k", text);
    let loaded = load(&source, &OfflineNames, "/k", &LoadOptions::default());
    loaded.model.as_ref().map(Model::parent_part).expect("the text is valid").checks
}

fn server(address: &str, checks: &str) -> String {
    format!("real_server {address} 80 {{ weight 1\n{checks} }}\n")
}

fn service(servers: &str) -> String {
    format!("virtual_server 192.0.2.1 80 {{ lb_algo rr\nlb_kind DR\nprotocol TCP\n{servers} }}\n")
}

const TCP: &str = "TCP_CHECK { connect_timeout 3\n }\n";
const SCRIPT: &str = "MISC_CHECK { misc_path \"/bin/check a\"\n }\n";

#[test]
fn a_checker_keeps_its_key_when_others_come_before_it() {
    let before = keys(&service(&(server("198.51.100.1", TCP) + &server("198.51.100.2", SCRIPT))));
    let added = "MISC_CHECK { misc_path \"/bin/another\"\n }\n";
    let after = keys(&service(&(server("198.51.100.3", added) + &server("198.51.100.2", SCRIPT))));
    assert_eq!(before[1], after[1]);
    assert_ne!(before[0], after[0]);
}

#[test]
fn another_server_or_another_limit_is_another_checker() {
    let here = keys(&service(&server("198.51.100.1", TCP)))[0];
    assert_ne!(here, keys(&service(&server("198.51.100.2", TCP)))[0]);
    let slower = TCP.replace('3', "4");
    assert_ne!(here, keys(&service(&server("198.51.100.1", &slower)))[0]);
}

#[test]
fn two_equal_checks_of_one_server_have_two_keys() {
    let both = keys(&service(&server("198.51.100.1", &(TCP.to_owned() + TCP))));
    assert_ne!(both[0], both[1]);
}
