//! Lives of a daemon, told as inputs and expected actions.

use super::*;
use sandbox::system::process::Ending;

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(5);

fn at(ms: u64) -> MonoTime {
    MonoTime::from_nanos(ms * 1_000_000)
}

struct Life {
    supervisor: Supervisor,
    out: Vec<Action>,
}

impl Life {
    fn new() -> Self {
        Self { supervisor: Supervisor::new(Daemon::Vrrpd, true, Duration::from_secs(5)), out: Vec::new() }
    }

    /// A daemon that runs as process 1 since 0.
    fn running() -> Self {
        let mut life = Self::new();
        life.supervisor.start(Serial(1), at(0), &mut life.out);
        life.bring_up(1, 0);
        life
    }

    fn bring_up(&mut self, serial: u64, ms: u64) {
        self.supervisor.greeted(Serial(serial), &mut self.out);
        self.supervisor.prepared(Serial(serial), at(ms), &mut self.out);
        self.supervisor.committed(Serial(serial), at(ms), &mut self.out);
        assert!(self.supervisor.is_running(), "{:?}", self.supervisor);
        self.out.clear();
    }

    fn die(&mut self, serial: u64, next: u64, ending: Ending, ms: u64) -> Vec<Action> {
        self.supervisor.died(Serial(serial), Serial(next), ending, Some(300 * MS), at(ms), &mut self.out);
        self.take()
    }

    /// Actions without log lines and reports.
    fn take(&mut self) -> Vec<Action> {
        let actions = std::mem::take(&mut self.out);
        actions.into_iter().filter(|action| !matches!(action, Action::Log(..) | Action::Died(..))).collect()
    }
}

#[test]
fn a_start_greets_prepares_and_commits_without_a_predecessor() {
    let mut life = Life::new();
    life.supervisor.start(Serial(1), at(0), &mut life.out);
    assert_eq!(life.take(), [Action::Spawn(Serial(1))]);
    life.supervisor.greeted(Serial(1), &mut life.out);
    assert_eq!(life.take(), [Action::Prepare { serial: Serial(1), inherited: false }]);
    life.supervisor.prepared(Serial(1), at(5), &mut life.out);
    assert_eq!(life.take(), [Action::Commit(Serial(1))]);
}

#[test]
fn a_kill_from_outside_is_answered_at_once_and_for_ever() {
    let mut life = Life::running();
    for round in 1..=20 {
        let serial = round;
        assert_eq!(
            life.die(serial, serial + 1, Ending::Signalled(9), 1_000 + round),
            [Action::Spawn(Serial(serial + 1))]
        );
        life.bring_up(serial + 1, 1_000 + round);
    }
}

#[test]
fn starts_that_are_killed_again_and_again_are_tried_once_a_second_until_one_gets_through() {
    let mut life = Life::running();
    life.die(1, 2, KILLED, 1_000);
    for round in 2..=11 {
        assert_eq!(life.die(round, round + 1, KILLED, 1_000 + round), [Action::Spawn(Serial(round + 1))]);
    }
    assert_eq!(life.die(12, 13, KILLED, 1_012), [Action::Release]);
    assert_eq!(life.supervisor.deadline(), Some(at(2_012)));
    life.supervisor.tick(Serial(13), at(2_012), &mut life.out);
    assert_eq!(life.take(), [Action::Spawn(Serial(13))]);
    life.bring_up(13, 2_020);
    assert_eq!(life.die(13, 14, KILLED, 2_030), [Action::Spawn(Serial(14))]);
    assert_eq!(life.die(14, 15, KILLED, 2_031), [Action::Spawn(Serial(15))]);
}

#[test]
fn a_successor_that_starts_at_once_is_tried_as_long_as_it_can_come_in_time() {
    for (left, expected) in
        [(6 * MS, vec![Action::Spawn(Serial(2))]), (4 * MS, vec![Action::Release, Action::Spawn(Serial(2))])]
    {
        let mut life = Life::running();
        life.supervisor.died(Serial(1), Serial(2), KILLED, Some(left), at(1_000), &mut life.out);
        assert_eq!(life.take(), expected, "{left:?}");
    }
}

#[test]
fn a_successor_inherits() {
    let mut life = Life::running();
    life.die(1, 2, Ending::Signalled(9), 1_000);
    life.supervisor.greeted(Serial(2), &mut life.out);
    assert_eq!(life.take(), [Action::Prepare { serial: Serial(2), inherited: true }]);
}

#[test]
fn the_fourth_own_death_in_a_minute_waits_a_second_and_releases_first() {
    let mut life = Life::running();
    for round in 1..=3 {
        assert_eq!(
            life.die(round, round + 1, Ending::Exited(1), 10_000 * round),
            [Action::Spawn(Serial(round + 1))]
        );
        life.bring_up(round + 1, 10_000 * round);
    }
    assert_eq!(life.die(4, 5, Ending::Exited(1), 40_000), [Action::Release]);
    assert_eq!(life.supervisor.deadline(), Some(at(41_000)));
    life.supervisor.tick(Serial(5), at(41_000), &mut life.out);
    assert_eq!(life.take(), [Action::Spawn(Serial(5))]);
}

#[test]
fn a_fault_signal_counts_wherever_it_came_from() {
    let mut life = Life::running();
    for round in 1..=3 {
        life.die(round, round + 1, Ending::Signalled(11), 10_000 * round);
        life.bring_up(round + 1, 10_000 * round);
    }
    life.die(4, 5, Ending::Signalled(11), 40_000);
    assert_eq!(life.supervisor.phase_word(), "waiting");
}

#[test]
fn two_successors_that_die_at_once_poison_the_memory() {
    let mut life = Life::running();
    life.die(1, 2, Ending::Signalled(9), 100_000);
    assert_eq!(life.die(2, 3, Ending::Signalled(6), 100_001), [Action::Spawn(Serial(3))]);
    let actions = life.die(3, 4, Ending::Signalled(6), 100_002);
    assert_eq!(actions, [Action::Release, Action::Spawn(Serial(4))]);
    life.supervisor.greeted(Serial(4), &mut life.out);
    assert_eq!(life.take(), [Action::Prepare { serial: Serial(4), inherited: false }]);
}

#[test]
fn an_ordered_restart_makes_before_it_breaks() {
    let mut life = Life::running();
    life.supervisor.replace(Serial(2), at(1_000), &mut life.out);
    assert_eq!(life.take(), [Action::Spawn(Serial(2))]);
    life.supervisor.greeted(Serial(2), &mut life.out);
    assert_eq!(life.take(), [Action::Prepare { serial: Serial(2), inherited: true }]);
    life.supervisor.prepared(Serial(2), at(1_010), &mut life.out);
    assert_eq!(life.take(), [Action::Quiesce(Serial(1))]);
    assert_eq!(life.supervisor.acting(), Some(Serial(1)));
    life.supervisor.quiesced(Serial(1), PATIENCE, at(1_011), &mut life.out);
    assert_eq!(life.take(), [Action::Commit(Serial(2))]);
    assert_eq!(life.supervisor.acting(), Some(Serial(2)));
    life.supervisor.committed(Serial(2), at(1_012), &mut life.out);
    assert_eq!(
        life.take(),
        [Action::Leave(Serial(1)), Action::Replaced { old: Serial(1), new: Serial(2), took: 12 * MS }]
    );
}

#[test]
fn a_new_process_that_can_not_be_used_changes_nothing() {
    let mut life = Life::running();
    life.supervisor.replace(Serial(2), at(1_000), &mut life.out);
    life.take();
    life.supervisor.unusable(Serial(2), "speaks protocol 9", &mut life.out);
    assert_eq!(life.take(), [Action::Kill(Serial(2)), Action::NotReplaced("speaks protocol 9".to_owned())]);
    assert_eq!(life.supervisor.acting(), Some(Serial(1)));
    assert!(life.supervisor.is_running());
}

#[test]
fn a_new_process_that_dies_after_the_old_one_quiesced_gives_the_work_back() {
    let mut life = Life::running();
    life.supervisor.replace(Serial(2), at(1_000), &mut life.out);
    life.supervisor.greeted(Serial(2), &mut life.out);
    life.supervisor.prepared(Serial(2), at(1_010), &mut life.out);
    life.supervisor.quiesced(Serial(1), PATIENCE, at(1_011), &mut life.out);
    life.take();
    let actions = life.die(2, 3, Ending::Signalled(11), 1_012);
    assert_eq!(actions.first(), Some(&Action::Resume(Serial(1))));
    assert!(life.supervisor.is_running());
}

#[test]
fn a_replacement_that_never_answers_is_given_up_after_five_seconds() {
    let mut life = Life::running();
    life.supervisor.replace(Serial(2), at(1_000), &mut life.out);
    life.take();
    assert_eq!(life.supervisor.deadline(), Some(at(6_000)));
    life.supervisor.tick(Serial(3), at(6_000), &mut life.out);
    assert_eq!(life.take().first(), Some(&Action::Kill(Serial(2))));
    assert!(life.supervisor.is_running());
}

#[test]
fn an_old_process_killed_during_its_replacement_is_succeeded_by_the_new_one() {
    let mut life = Life::running();
    life.supervisor.replace(Serial(2), at(1_000), &mut life.out);
    life.supervisor.greeted(Serial(2), &mut life.out);
    life.supervisor.prepared(Serial(2), at(1_001), &mut life.out);
    life.take();
    let actions = life.die(1, 3, Ending::Signalled(9), 1_002);
    assert_eq!(actions.first(), Some(&Action::Commit(Serial(2))));
    life.supervisor.committed(Serial(2), at(1_003), &mut life.out);
    assert!(life.supervisor.is_running());
    assert_eq!(life.supervisor.acting(), Some(Serial(2)));
}

#[test]
fn without_respawn_the_first_death_ends_the_suite() {
    let mut life = Life::running();
    life.supervisor.respawn = false;
    assert_eq!(life.die(1, 2, Ending::Signalled(9), 1_000), [Action::Release, Action::GiveUp]);
}

#[test]
fn a_stopped_process_is_killed_once_and_its_replacement_is_immediate() {
    let mut life = Life::running();
    life.supervisor.faulty(Serial(1), Fault::Stopped, &mut life.out);
    life.supervisor.faulty(Serial(1), Fault::Stopped, &mut life.out);
    assert_eq!(life.take(), [Action::Kill(Serial(1))]);
    assert_eq!(life.die(1, 2, Ending::Signalled(9), 1_000), [Action::Spawn(Serial(2))]);
}

#[test]
fn messages_of_a_process_that_is_no_longer_current_change_nothing() {
    let mut life = Life::running();
    life.supervisor.greeted(Serial(99), &mut life.out);
    life.supervisor.prepared(Serial(99), at(1), &mut life.out);
    life.supervisor.quiesced(Serial(99), PATIENCE, at(1), &mut life.out);
    life.supervisor.committed(Serial(99), at(1), &mut life.out);
    life.supervisor.faulty(Serial(99), Fault::Violation, &mut life.out);
    assert_eq!(life.take(), []);
}

const KILLED: Ending = Ending::Signalled(9);

#[test]
fn a_stop_during_a_restart_lets_the_successor_withdraw_what_its_predecessor_held() {
    let mut life = Life::running();
    assert_eq!(life.die(1, 2, KILLED, 5_000), [Action::Spawn(Serial(2))]);
    life.supervisor.stop(at(5_001), &mut life.out);
    assert_eq!(life.take(), [], "a process without a configuration could withdraw nothing");
    life.supervisor.greeted(Serial(2), &mut life.out);
    life.supervisor.prepared(Serial(2), at(5_010), &mut life.out);
    life.supervisor.committed(Serial(2), at(5_012), &mut life.out);
    assert_eq!(life.take()[2..], [Action::Withdraw(Serial(2))]);
    assert_eq!(life.die(2, 3, Ending::Exited(0), 5_020), []);
    assert!(life.supervisor.is_absent());
}

#[test]
fn a_successor_that_dies_during_a_stop_is_released_and_not_replaced() {
    let mut life = Life::running();
    life.die(1, 2, KILLED, 5_000);
    life.supervisor.stop(at(5_001), &mut life.out);
    assert_eq!(life.die(2, 3, KILLED, 5_005), [Action::Release]);
    assert!(life.supervisor.is_absent());
}

#[test]
fn a_daemon_that_dies_while_it_withdraws_is_released() {
    let mut life = Life::running();
    life.supervisor.stop(at(100), &mut life.out);
    assert_eq!(life.take(), [Action::Withdraw(Serial(1))]);
    assert_eq!(life.die(1, 2, Ending::Signalled(11), 110), [Action::Release]);
    assert!(life.supervisor.is_absent());
}

#[test]
fn a_daemon_that_does_not_stop_is_killed_first_and_released_when_it_is_dead() {
    let mut life = Life::running();
    life.supervisor.stop(at(100), &mut life.out);
    life.take();
    life.supervisor.tick(Serial(2), at(5_100), &mut life.out);
    assert_eq!(life.take(), [Action::Kill(Serial(1))]);
    assert_eq!(life.die(1, 2, KILLED, 5_101), [Action::Release]);
}

#[test]
fn a_replaced_process_that_does_not_end_is_killed() {
    let mut life = Life::running();
    life.supervisor.replace(Serial(2), at(1_000), &mut life.out);
    life.supervisor.greeted(Serial(2), &mut life.out);
    life.supervisor.prepared(Serial(2), at(1_010), &mut life.out);
    life.supervisor.quiesced(Serial(1), PATIENCE, at(1_011), &mut life.out);
    life.supervisor.committed(Serial(2), at(1_012), &mut life.out);
    life.take();
    assert_eq!(life.supervisor.deadline(), Some(at(3_012)));
    life.supervisor.tick(Serial(3), at(3_012), &mut life.out);
    assert_eq!(life.take(), [Action::Kill(Serial(1))]);
    assert_eq!(life.die(1, 3, KILLED, 3_013), []);
    assert_eq!(life.supervisor.deadline(), None);
    assert!(life.supervisor.is_running());
}

#[test]
fn a_replacement_that_hangs_after_its_commit_is_given_up_within_the_patience_of_the_peers() {
    let mut life = Life::running();
    life.supervisor.replace(Serial(2), at(1_000), &mut life.out);
    life.supervisor.greeted(Serial(2), &mut life.out);
    life.supervisor.prepared(Serial(2), at(1_010), &mut life.out);
    life.supervisor.quiesced(Serial(1), 200 * MS, at(1_011), &mut life.out);
    life.take();
    life.supervisor.tick(Serial(3), at(1_211), &mut life.out);
    let actions = life.take();
    assert_eq!(actions[..2], [Action::Kill(Serial(2)), Action::Resume(Serial(1))]);
    assert!(life.supervisor.is_running());
}

#[test]
fn a_successor_of_a_master_that_hangs_at_its_start_is_killed_after_a_second() {
    let mut life = Life::running();
    life.die(1, 2, KILLED, 5_000);
    assert_eq!(life.supervisor.deadline(), Some(at(6_000)), "peers have 300 ms of patience");
    life.supervisor.tick(Serial(3), at(6_000), &mut life.out);
    assert_eq!(life.take(), [Action::Kill(Serial(2))]);
}

#[test]
fn a_successor_that_waits_for_a_release_has_the_time_of_any_start() {
    let mut life = Life::running();
    life.supervisor.died(Serial(1), Serial(2), KILLED, Some(Duration::ZERO), at(5_000), &mut life.out);
    assert_eq!(life.take(), [Action::Release, Action::Spawn(Serial(2))]);
    assert_eq!(life.supervisor.deadline(), Some(at(10_000)));
}

#[test]
fn a_successor_that_is_late_inside_the_kernel_is_looked_at_again_and_not_killed() {
    let mut life = Life::running();
    life.die(1, 2, KILLED, 5_000);
    assert_eq!(life.supervisor.late(at(5_999)), None);
    assert_eq!(life.supervisor.late(at(6_000)), Some(Serial(2)));
    life.supervisor.excuse(at(6_000));
    life.supervisor.tick(Serial(3), at(6_000), &mut life.out);
    assert_eq!(life.take(), []);
    assert_eq!(life.supervisor.deadline(), Some(at(6_200)));
    // It comes out, and is as good as one that was in time.
    life.bring_up(2, 6_150);
    assert_eq!(life.supervisor.late(at(6_200)), None);
}

#[test]
fn an_excused_successor_that_is_not_ready_at_the_next_look_is_killed() {
    let mut life = Life::running();
    life.die(1, 2, KILLED, 5_000);
    life.supervisor.excuse(at(6_000));
    life.supervisor.tick(Serial(3), at(6_200), &mut life.out);
    assert_eq!(life.take(), [Action::Kill(Serial(2))]);
}

#[test]
fn a_process_that_was_given_up_is_no_longer_awaited() {
    let mut life = Life::running();
    life.die(1, 2, KILLED, 5_000);
    assert!(life.supervisor.awaits(Serial(2)));
    life.supervisor.stop(at(5_001), &mut life.out);
    assert!(!life.supervisor.awaits(Serial(2)));
}

#[test]
fn the_patience_of_a_stop_can_change_while_the_daemon_runs() {
    let mut life = Life::running();
    life.supervisor.set_stop_patience(Duration::from_secs(1));
    life.supervisor.stop(at(100), &mut life.out);
    assert_eq!(life.supervisor.deadline(), Some(at(1_100)));
}
