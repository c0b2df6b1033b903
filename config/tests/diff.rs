//! What a reload would do, in words.

use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, diff, load};

const BEFORE: &str = "
vrrp_script web { script \"/opt/web\" root
}
vrrp_instance A { interface eth0
virtual_router_id 1
virtual_ipaddress { 192.0.2.1 }
track_script { web }
}
vrrp_instance B { interface eth0
virtual_router_id 2
virtual_ipaddress { 192.0.2.2 }
}
virtual_server 192.0.2.1 80 { lb_algo rr
lb_kind NAT
protocol TCP
real_server 203.0.113.1 80 { MISC_CHECK { misc_path \"/opt/a\" root
} }
real_server 203.0.113.2 80 { MISC_CHECK { misc_path \"/opt/b\" root
} }
}
";

/// Changes from the text above to the same text with one piece replaced.
fn changes(from: &str, to: &str) -> Vec<String> {
    assert!(BEFORE.contains(from), "{from}");
    let read = |text: &str| {
        let source = Memory::new().with("/k", text);
        load(&source, &OfflineNames, "/k", &LoadOptions::default()).model.unwrap_or_default()
    };
    let lines = diff(&read(BEFORE), &read(&BEFORE.replacen(from, to, 1)));
    lines.iter().map(ToString::to_string).collect()
}

#[test]
fn the_same_configuration_changes_nothing() {
    assert_eq!(changes("", ""), [""; 0]);
}

#[test]
fn a_changed_priority_touches_one_instance() {
    assert_eq!(
        changes("virtual_router_id 1\n", "virtual_router_id 1\npriority 7\n"),
        ["vrrp_instance A changes priority"]
    );
}

#[test]
fn a_changed_interval_of_version_2_is_told_to_break_the_peers() {
    assert_eq!(
        changes("virtual_router_id 2\n", "virtual_router_id 2\nadvert_int 2\n"),
        ["vrrp_instance B changes advert_int; peers discard its adverts until they are changed too"]
    );
}

#[test]
fn a_renamed_instance_goes_and_comes() {
    assert_eq!(
        changes("vrrp_instance B", "vrrp_instance C"),
        ["vrrp_instance B is removed", "vrrp_instance C is added"]
    );
}

#[test]
fn a_server_that_goes_leaves_its_neighbours_alone() {
    assert_eq!(
        changes("real_server 203.0.113.1 80 { MISC_CHECK { misc_path \"/opt/a\" root\n} }\n", ""),
        ["real_server [192.0.2.1]:tcp:80 -> [203.0.113.1]:tcp:80 is removed"]
    );
}

#[test]
fn a_changed_command_is_a_changed_check() {
    assert_eq!(
        changes("/opt/b", "/opt/c"),
        ["real_server [192.0.2.1]:tcp:80 -> [203.0.113.2]:tcp:80 changes checks"]
    );
    assert_eq!(changes("/opt/web", "/opt/www"), ["vrrp_instance A changes track_script"]);
}

#[test]
fn global_settings_are_told_together() {
    assert_eq!(
        changes("vrrp_script", "global_defs { router_id x }\nvrrp_script"),
        ["global_defs changes process settings, VRRP settings"]
    );
}
