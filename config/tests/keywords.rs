//! The keyword tables and the list of keepalived's keywords, compared both ways.

use std::collections::BTreeSet;

use config::{KeywordUse, compatibility, driven_by, keywords};

/// Keywords of keepalived 2.4.3: block, keyword, arguments, default.
const LIST: &str = include_str!("keywords.tsv");

/// Our own keywords, which no keepalived knows.
const OWN: &[(&str, &str)] = &[
    ("global_defs", "control_group"),
    ("global_defs", "daemon_uid_range"),
    ("global_defs", "seccomp_unknown"),
    ("global_defs", "status_group"),
    ("global_defs", "vip_lease"),
    ("global_defs", "vip_restore"),
    ("virtual_server/real_server/SSL_GET", "ca_path"),
    ("virtual_server/real_server/SSL_GET", "min_cert_days"),
    ("virtual_server/real_server/SSL_GET", "tls_verify"),
    ("vrrp_instance", "vip_lease"),
    ("vrrp_instance", "vip_restore"),
];

/// Block and keyword of every row.
fn listed() -> BTreeSet<(String, String)> {
    let rows = LIST.lines().skip(1).filter_map(|line| {
        let mut fields = line.split('\t');
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    });
    rows.collect()
}

fn known() -> BTreeSet<(String, String)> {
    let keywords = keywords().into_iter();
    keywords.map(|keyword| (keyword.block.to_owned(), keyword.name.to_owned())).collect()
}

#[test]
fn every_keyword_of_the_list_is_in_a_table() {
    let missing: Vec<_> = listed().difference(&known()).cloned().collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_keyword_of_the_tables_is_in_the_list_or_our_own() {
    let own: BTreeSet<(String, String)> =
        OWN.iter().map(|(block, name)| ((*block).to_owned(), (*name).to_owned())).collect();
    let extra: BTreeSet<_> = known().difference(&listed()).cloned().collect();
    assert_eq!(extra, own);
}

#[test]
fn no_keyword_stands_twice_in_a_table() {
    assert_eq!(keywords().len(), known().len());
}

#[test]
fn the_compatibility_table_has_a_line_for_each_keyword() {
    let text = compatibility();
    assert_eq!(text.lines().filter(|line| line.starts_with("| `")).count(), keywords().len());
    assert!(text.contains("## vrrp_instance\n\n| keyword | | |\n|---|---|---|\n"));
    assert!(text.contains("| `virtual_router_id` | active |"));
}

#[test]
fn every_active_keyword_names_a_test_that_exists() {
    let mut missing = Vec::new();
    for keyword in keywords().into_iter().filter(|keyword| keyword.usage == KeywordUse::Active) {
        let Some((file, test)) = driven_by(keyword.block, keyword.name) else {
            missing.push(format!("{}\t{}", keyword.block, keyword.name));
            continue;
        };
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../").to_owned() + file;
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        // A function, or a line of a macro that makes one.
        let is_there = source.contains(&format!("fn {test}(")) || source.contains(&format!("    {test}: "));
        assert!(is_there, "{}/{}: there is no {test} in {file}", keyword.block, keyword.name);
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn each_keyword_that_a_test_is_named_for_is_in_a_table_and_stands_once() {
    let list = include_str!("../src/schema/driven.tsv").lines().filter(|line| !line.starts_with('#'));
    let lines = list.clone().count();
    let named: BTreeSet<(String, String)> = list
        .filter_map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    let known = known();
    let stray: Vec<_> = named.difference(&known).collect();
    assert!(stray.is_empty(), "{stray:#?}");
    assert_eq!(named.len(), lines, "a keyword stands twice, or a line is empty");
}
