//! Suites that need a kernel with IPVS: each test boots one and runs a group of scenarios in it.

use std::process::{Command, Stdio};

use tests::lab::guest::{self, Guest};
use tests::lab::sandbox::build_directory;

/// Ends a guest that hangs. Those that compare take a third of that where others use the machine, too.
const SECONDS: u32 = 900;

fn group(guest: Guest, group: &str, subject: &str) {
    let out = build_directory().join("lab-out").join(format!("kernel.{group}.{subject}"));
    let mut said = Vec::new();
    let passed = guest::boot(guest, SECONDS, &out, "lab-kernel", &[group, subject], &mut said)
        .expect("the other kernel can be started");
    let said = String::from_utf8_lossy(&said);
    assert!(passed, "{said}\nresults in {}", out.display());
}

macro_rules! groups {
    ($($name:ident: $group:literal with $subject:literal in $guest:expr;)*) => {
        $(#[test]
        fn $name() {
            group($guest, $group, $subject);
        })*
    };
}

groups! {
    health_checks_drive_the_table_with_c: "health" with "c" in Guest::UserMode;
    packets_reach_servers_with_c: "forwarding" with "c" in Guest::UserMode;
    the_service_survives_with_c: "restart" with "c" in Guest::UserMode;
    health_checks_drive_the_table: "health" with "ours" in Guest::UserMode;
    packets_reach_servers: "forwarding" with "ours" in Guest::UserMode;
    the_service_survives: "restart" with "ours" in Guest::UserMode;
    connections_are_spread_by_every_scheduler: "spread" with "ours" in Guest::UserMode;
    connections_and_table_survive: "traffic" with "ours" in Guest::UserMode;
    nobody_notices_chaos: "chaos" with "ours" in Guest::UserMode;
    nodes_that_direct_and_serve: "deployment" with "ours" in Guest::UserMode;
    confined_daemons_serve: "powers" with "ours" in Guest::Emulated;
    marks_equal_those_of_keepalived: "marks" with "ours" in Guest::Emulated;
    steps_of_the_clock_move_nothing: "clocks" with "ours" in Guest::UserMode;
    checks_end_as_those_of_keepalived: "checks" with "ours" in Guest::UserMode;
    tables_equal_those_of_keepalived_1: "oracle-1" with "ours" in Guest::UserMode;
    tables_equal_those_of_keepalived_2: "oracle-2" with "ours" in Guest::UserMode;
    tables_over_reloads_equal_those_of_keepalived: "oracle-3" with "ours" in Guest::UserMode;
    tables_over_reloads_with_checks_equal_those_of_keepalived: "oracle-4" with "ours" in Guest::UserMode;
    tables_over_failures_equal_those_of_keepalived: "oracle-5" with "ours" in Guest::UserMode;
}

/// `make nightly`: the kernel of Debian's backports has a scheduler more, and a newer landlock.
#[test]
#[ignore = "needs the kernel of Debian's backports: make nightly"]
fn a_newer_kernel_serves_and_spreads_by_twos() {
    group(Guest::EmulatedNewer, "newer", "ours");
}

/// Runs the demo as `make demo` does and returns what it printed and whether it exited with 0.
fn demo(options: &[&str]) -> (String, bool) {
    let output = Command::new(build_directory().join("lab-demo"))
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("the demo can be started");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

#[test]
fn the_demo_holds_every_line() {
    let (said, held) = demo(&[]);
    assert!(held, "{said}");
}

/// Broken on purpose: what dies on the Master is not replaced.
#[test]
fn a_broken_demo_exits_with_an_error() {
    let (said, held) = demo(&["--broken"]);
    assert!(!held, "{said}");
    let failed = |what: &str| said.lines().any(|line| line.starts_with("FAIL") && line.contains(what));
    assert!(failed("kill -9"), "it failed elsewhere:\n{said}");
    let held = |what: &str| said.lines().any(|line| line.starts_with("ok") && line.contains(what));
    assert!(held("election") && held("requests spread"), "it failed before it was broken:\n{said}");
}
