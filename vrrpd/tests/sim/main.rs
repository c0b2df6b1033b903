//! Elections in virtual time, over many seeds: loss, copies, overtaking, drifting clocks, crashes, restarts with and
//! without memory, partitions, stalls. `SIM_SEEDS` in the environment sets how many seeds each scenario sees.
//!
//! Invariants after every input: addresses are held exactly by Masters, and nothing is announced without them. At the
//! end of each scenario: who is Master, and how many.

mod lan;
mod worlds;

use std::time::Duration;

use config::model::vrrp::Preempt;
use lan::Lan;
use vrrpd::proto::faults::Reason;

/// Seeds of one scenario: so many, or as `SIM_SEEDS` says.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    0..wanted.unwrap_or(usual)
}

const SEEDS: u64 = 3_000;

fn secs(value: u64) -> Duration {
    Duration::from_secs(value)
}

fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[test]
fn one_master_is_elected_and_it_is_the_highest() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let routers = [lan.router(100), lan.router(200), lan.router(150)];
        lan.run_for(secs(10));
        assert_eq!(lan.masters(), [routers[1]], "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn backup_takes_over_within_3_61_s_of_a_crash() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = (lan.router(200), lan.router(100));
        let wait = lan.pick(2_000);
        lan.run_for(secs(10) + millis(wait));
        lan.power_off(a);
        lan.run_for(millis(3_610));
        assert!(lan.is_master(b), "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn a_stopping_master_is_replaced_within_its_backups_skew() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = (lan.router(200), lan.router(100));
        lan.run_for(secs(10));
        lan.stop(a);
        lan.run_for(millis(611));
        assert!(lan.is_master(b), "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn a_healed_partition_has_one_master_within_a_second() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = (lan.router(200), lan.router(100));
        lan.run_for(secs(10));
        lan.move_to(b, 1);
        let wait = lan.pick(5_000);
        lan.run_for(secs(10) + millis(wait));
        assert_eq!(lan.masters(), [a, b], "seed {seed}\n{}", lan.trace());
        lan.move_to(b, 0);
        lan.run_for(millis(1_001));
        assert_eq!(lan.masters(), [a], "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn equal_priorities_settle_on_the_higher_address() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = (lan.router(100), lan.router(100));
        lan.move_to(b, 1);
        lan.run_for(secs(10));
        lan.move_to(b, 0);
        lan.run_for(secs(5));
        assert_eq!(lan.masters(), [b], "seed {seed}, not {a}\n{}", lan.trace());
    }
}

#[test]
fn a_tenth_of_all_adverts_lost_never_leaves_two_masters_for_long() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed).loss_percent(10);
        lan.router(200);
        lan.router(100);
        lan.router(50);
        lan.run_for(secs(20));
        let mut double = Duration::ZERO;
        for _ in 0..200 {
            lan.run_for(millis(100));
            double = if lan.masters().len() > 1 { double + millis(100) } else { Duration::ZERO };
            assert!(double < secs(6), "seed {seed}\n{}", lan.trace());
        }
    }
}

#[test]
fn nopreempt_keeps_the_service_where_it_is() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let a = lan.router_with(200, |settings| settings.preempt = Preempt::Never);
        let b = lan.router(100);
        lan.run_for(secs(10));
        lan.power_off(a);
        lan.run_for(secs(10));
        lan.start(a);
        lan.run_for(secs(30));
        assert_eq!(lan.masters(), [b], "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn a_restart_inside_the_patience_is_seen_by_nobody() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = (lan.router(200), lan.router(100));
        let wait = lan.pick(1_000);
        lan.run_for(secs(10) + millis(wait));
        lan.crash(a);
        let absence = lan.pick(1_900);
        lan.run_for(millis(absence));
        lan.succeed(a, &[]);
        for _ in 0..50 {
            assert_eq!(lan.masters(), [a], "seed {seed}\n{}", lan.trace());
            lan.run_for(millis(100));
        }
        assert!(!lan.is_master(b));
    }
}

#[test]
fn a_successor_that_comes_too_late_withdraws_first() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = (lan.router(200), lan.router(100));
        lan.run_for(secs(10));
        lan.crash(a);
        lan.run_for(secs(5));
        assert_eq!(lan.holders(), [a, b], "a dead process leaves its addresses behind");
        lan.succeed(a, &[]);
        assert_eq!(lan.holders(), [b], "seed {seed}\n{}", lan.trace());
        lan.run_for(secs(10));
        assert_eq!(lan.masters(), [a], "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn a_master_that_overslept_is_silent_after_its_peer_has_won() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let a = lan.router_with(100, |settings| settings.preempt = Preempt::Never);
        lan.run_for(secs(10));
        let b = lan.router_with(150, |settings| settings.preempt = Preempt::Never);
        lan.run_for(secs(5));
        assert_eq!(lan.masters(), [a]);
        let stall = secs(10) + millis(lan.pick(3_000));
        lan.stall(a, stall);
        lan.run_for(secs(9));
        assert!(lan.is_master(b), "seed {seed}\n{}", lan.trace());
        lan.run_for(secs(5));
        assert_eq!(lan.masters(), [b], "seed {seed}\n{}", lan.trace());
    }
}

/// Two hosts with two instances each, on two segments; host `a` has the higher priority on both.
fn two_groups(lan: &mut Lan) -> ([usize; 2], [usize; 2]) {
    let a = [lan.router(200), lan.router(200)];
    let b = [lan.router(100), lan.router(100)];
    lan.join(&a);
    lan.join(&b);
    (a, b)
}

#[test]
fn a_group_is_master_as_a_whole_or_not_at_all() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed).loss_percent(5);
        let (a, b) = two_groups(&mut lan);
        for _ in 0..20 {
            let wait = lan.pick(4_000);
            lan.run_for(millis(wait));
            let member = usize::try_from(lan.pick(2)).unwrap();
            match lan.pick(4) {
                0 => lan.move_to(a[member], 9),
                1 => lan.move_to(a[member], u8::try_from(member).unwrap()),
                2 => lan.fault(&a, Some(Reason::InterfaceDown)),
                _ => lan.fault(&a, None),
            }
            for group in [a, b] {
                assert_eq!(lan.is_master(group[0]), lan.is_master(group[1]), "seed {seed}\n{}", lan.trace());
            }
        }
        let mut lan = lan.loss_percent(0);
        lan.fault(&a, None);
        lan.move_to(a[0], 0);
        lan.move_to(a[1], 1);
        lan.run_for(secs(20));
        assert_eq!(lan.masters(), a, "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn a_fault_of_one_member_moves_the_whole_group_within_the_skew() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = two_groups(&mut lan);
        // Between two adverts: one that is overtaken by the priority 0 behind it would undo it.
        lan.run_for(millis(10_300));
        assert_eq!(lan.masters(), a, "seed {seed}\n{}", lan.trace());
        lan.fault(&a, Some(Reason::InterfaceDown));
        lan.run_for(millis(611));
        assert_eq!(lan.masters(), b, "seed {seed}\n{}", lan.trace());
    }
}

#[test]
fn a_group_that_hears_a_master_on_one_segment_stays_backup_on_all() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed);
        let (a, b) = two_groups(&mut lan);
        lan.run_for(secs(10));
        lan.move_to(a[0], 9);
        lan.run_for(secs(20));
        assert_eq!(lan.masters(), a, "a still serves the other segment: seed {seed}\n{}", lan.trace());
        assert!(!lan.is_master(b[0]));
    }
}

#[test]
fn a_stall_of_many_intervals_ends_with_one_advert() {
    let mut lan = Lan::seeded(7);
    let a = lan.router(255);
    lan.run_for(secs(10));
    let before = lan.sent();
    lan.stall(a, secs(20));
    lan.run_for(millis(20_500));
    assert_eq!(lan.sent() - before, 1, "{}", lan.trace());
}

/// A storm of everything at once must calm down to one Master, the best one that runs, whatever the seed.
#[test]
fn after_a_storm_the_best_router_that_runs_is_the_only_master() {
    for seed in seeds(SEEDS) {
        let mut lan = Lan::seeded(seed).loss_percent(5);
        let routers = [lan.router(50), lan.router(100), lan.router(150), lan.router(200)];
        for _ in 0..40 {
            let wait = lan.pick(1_500);
            lan.run_for(millis(wait));
            let id = routers[usize::try_from(lan.pick(4)).unwrap()];
            match (lan.pick(7), lan.runs(id)) {
                (0, true) => lan.crash(id),
                (1, true) => lan.power_off(id),
                (2, true) => lan.stop(id),
                (3, true) => lan.stall(id, secs(4)),
                (4, _) => lan.move_to(id, 1),
                (5, _) => lan.move_to(id, 0),
                (6, false) => lan.succeed(id, &[]),
                _ => {}
            }
        }
        let mut lan = lan.loss_percent(0);
        for id in routers {
            lan.move_to(id, 0);
            if !lan.runs(id) {
                lan.start(id);
            }
        }
        lan.run_for(secs(20));
        assert_eq!(lan.masters(), [routers[3]], "seed {seed}\n{}", lan.trace());
    }
}
