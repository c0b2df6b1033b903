//! Scenarios that need IPVS in the kernel. They run one after the other inside one user-mode kernel: see
//! `src/bin/kernel.rs` and the suite in `kernel/`.

mod chaos;
mod checks;
mod clocks;
mod deployment;
mod dumps;
mod forwarding;
mod health;
mod lasting;
mod leftovers;
mod marks;
mod oracle;
mod powers;
mod restart;
mod spread;
mod synchronised;
mod traffic;
mod tunnels;

use std::io::Write;

use crate::lab::clock::now;
use crate::lab::sandbox::excerpts;
use crate::lab::{Failure, Lab, Subject};

/// One scenario.
struct Scenario {
    group: &'static str,
    name: &'static str,
    run: fn(&Lab, Subject) -> Result<(), Failure>,
    /// False for what Debian's keepalived can't be asked.
    for_c: bool,
}

const fn both(
    group: &'static str,
    name: &'static str,
    run: fn(&Lab, Subject) -> Result<(), Failure>,
) -> Scenario {
    Scenario { group, name, run, for_c: true }
}

const fn ours(
    group: &'static str,
    name: &'static str,
    run: fn(&Lab, Subject) -> Result<(), Failure>,
) -> Scenario {
    Scenario { group, name, run, for_c: false }
}

const SCENARIOS: &[Scenario] = &[
    both("health", "requests_are_spread_over_both_servers", health::spread),
    both("health", "a_dead_server_goes_out_and_comes_back", health::out_and_back),
    both("health", "the_sorry_server_serves_without_quorum", health::sorry),
    both("health", "the_exit_status_of_a_misc_check_sets_the_weight", health::misc_dynamic),
    both("health", "an_orderly_stop_leaves_an_empty_table", health::empty_after_stop),
    both("forwarding", "nat_over_ipv6", forwarding::nat6),
    both("forwarding", "direct_routing", forwarding::direct),
    both("forwarding", "tunnel", forwarding::tunnel),
    both("forwarding", "services_by_mark", forwarding::mark),
    ours("forwarding", "direct_routing_over_ipv6", traffic::direct6),
    both("forwarding", "tunnel_through_ipv6_of_both_families", tunnels::through_ipv6),
    both("forwarding", "tunnel_of_ipv6_through_ipv4", tunnels::ipv6_through_ipv4),
    ours("spread", "tunnels_of_every_form", tunnels::every_form),
    ours("forwarding", "persistence", traffic::persistence),
    ours("spread", "persistence_by_networks", traffic::granularity),
    ours("spread", "services_of_ipv6_by_mark", traffic::mark6),
    ours("forwarding", "datagrams_with_and_without_one_packet_scheduling", traffic::datagrams),
    ours("spread", "connections_are_spread_by_every_scheduler", spread::schedulers),
    ours("newer", "connections_are_spread_by_twos", spread::twos),
    ours("newer", "daemons_under_landlock_and_seccomp_serve", powers::confined_and_serving),
    ours("newer", "requests_are_spread_by_mark", marks::packets),
    ours("traffic", "an_established_connection_survives", traffic::established),
    ours("traffic", "counters_are_those_of_the_kernel", traffic::counted),
    ours("traffic", "foreign_edits_are_undone", traffic::repair),
    ours("traffic", "a_sync_daemon_comes_and_goes", traffic::sync_comes_and_goes),
    ours("traffic", "connections_outlive_their_director", synchronised::takeover),
    ours("traffic", "an_order_that_the_kernel_leaves_unanswered", synchronised::unanswered),
    ours("traffic", "the_table_of_another_namespace", traffic::namespace),
    ours("deployment", "two_nodes_that_direct_and_serve", deployment::two_nodes),
    ours("deployment", "three_nodes_with_weights_from_scripts", deployment::three_nodes),
    both("restart", "power_failure_of_the_master", restart::power_failure),
    ours("oracle-1", "tables_equal_those_of_keepalived_1", |lab, _| oracle::compare(lab, 0)),
    ours("oracle-2", "tables_equal_those_of_keepalived_2", |lab, _| oracle::compare(lab, 1)),
    ours("oracle-3", "tables_over_reloads_equal_those_of_keepalived", |lab, _| {
        oracle::compare_reloads(lab, oracle::QUICK)
    }),
    ours("oracle-4", "tables_over_reloads_with_checks_equal_those_of_keepalived", |lab, _| {
        oracle::compare_reloads(lab, oracle::CHECKED)
    }),
    ours("oracle-5", "tables_over_failures_equal_those_of_keepalived", |lab, _| {
        oracle::compare_failures(lab)
    }),
    ours("checks", "checks_end_as_those_of_keepalived", |lab, _| checks::compare(lab)),
    ours("traffic", "state_files_say_what_those_of_keepalived_say", |lab, _| dumps::compare(lab)),
    ours("clocks", "reloads_are_told_as_by_keepalived", |lab, _| checks::compare_reloads(lab)),
    ours("traffic", "what_a_killed_c_has_left_in_the_table", |lab, _| leftovers::of_a_killed_c(lab)),
    ours("restart", "restarts_and_kills_lose_no_request", restart::nothing_lost),
    ours("restart", "a_dead_server_stays_out_over_restarts", restart::stays_out),
    ours("restart", "a_bad_reload_changes_nothing", restart::bad_reload),
    ours("chaos", "nobody_notices_chaos_in_twelve_rounds", chaos::nobody_notices),
    ours("powers", "daemons_under_landlock_and_seccomp_serve", powers::confined_and_serving),
    ours("powers", "processes_are_counted_by_events_of_the_kernel", powers::events_of_processes),
    ours("clocks", "steps_of_an_hour_move_nothing", clocks::steps_of_an_hour),
    ours("marks", "tables_of_marks_equal_those_of_keepalived", marks::equal),
    ours("marks", "requests_are_spread_by_mark", marks::packets),
    ours("restart", "a_foreign_service_is_left_alone", restart::foreign_service),
];

/// Runs every scenario of a group and reports; true when all passed.
pub fn run(group: &str, subject: Subject, out: &std::path::Path, show: &mut dyn Write) -> bool {
    let (mut passed, mut failed) = (0_u32, 0_u32);
    let chosen = SCENARIOS
        .iter()
        .filter(|scenario| scenario.group == group && (scenario.for_c || subject == Subject::Ours));
    for scenario in chosen {
        let started = now();
        let directory = out.join(format!("{}.{}", scenario.name, subject.word()));
        let outcome = Lab::here(scenario.name, &directory).and_then(|lab| (scenario.run)(&lab, subject));
        let took = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                passed += 1;
                writeln!(show, "ok     {} with {} ({took:.1} s)", scenario.name, subject.word()).ok();
            }
            Err(failure) => {
                failed += 1;
                writeln!(show, "FAILED {} with {} ({took:.1} s): {failure}", scenario.name, subject.word())
                    .ok();
                writeln!(show, "{}", excerpts(&directory)).ok();
            }
        }
        show.flush().ok();
    }
    writeln!(show, "{passed} passed, {failed} failed").ok();
    failed == 0 && passed > 0
}
