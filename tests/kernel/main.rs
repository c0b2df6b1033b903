//! Suites that need a kernel with IPVS: each test boots user-mode Linux once and runs a group of scenarios in it.

use tests::lab::sandbox::build_directory;
use tests::lab::uml;

fn group(group: &str, subject: &str) {
    let out = build_directory().join("lab-out").join(format!("kernel.{group}.{subject}"));
    let mut said = Vec::new();
    let passed = uml::boot(230, &out, "lab-kernel", &[group, subject], &mut said)
        .expect("the user-mode kernel can be started");
    let said = String::from_utf8_lossy(&said);
    assert!(passed, "{said}\nresults in {}", out.display());
}

#[test]
fn health_checks_drive_the_table_with_c() {
    group("health", "c");
}

#[test]
fn packets_reach_servers_with_c() {
    group("forwarding", "c");
}
