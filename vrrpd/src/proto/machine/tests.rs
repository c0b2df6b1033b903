//! Tests of `machine`, in the order of RFC 9568 section 6.4. All durations are literals.

use config::model::vrrp::Preempt;

use super::*;
use crate::proto::accept::Heard;
use crate::proto::faults::Reason;
use std::time::Duration;

const OURS: &str = "192.0.2.2";
const LOWER: &str = "192.0.2.1";
const HIGHER: &str = "192.0.2.3";

fn us(value: u64) -> MonoTime {
    MonoTime::from_nanos(1_000_000_000_000 + value * 1_000)
}

fn settings(priority: u8) -> Settings {
    Settings {
        version: Version::V3,
        priority: Priority::new(priority),
        wants_master: priority == 255,
        interval: AdvertInterval::from_centiseconds(100).unwrap(),
        down_timer_adverts: 3,
        preempt: Preempt::After(Duration::ZERO),
        lower_priority_no_advert: false,
        higher_priority_send_advert: true,
        timer_expired_backup: None,
        grouped: false,
        address: Some(OURS.parse().unwrap()),
    }
}

fn heard(priority: u8, source: &str) -> Heard {
    Heard {
        source: source.parse().unwrap(),
        priority: Priority::new(priority),
        interval: AdvertInterval::from_centiseconds(100).unwrap(),
    }
}

struct Bench {
    machine: Machine,
}

impl Bench {
    fn started(settings: Settings) -> Self {
        let mut bench = Self { machine: Machine::new(settings) };
        bench.give(Input::Startup { delay: Duration::ZERO, faults: Faults::none() }, us(0));
        bench
    }

    fn master(settings: Settings) -> Self {
        let mut bench = Self::started(settings);
        let at = bench.machine.poll_deadline().unwrap();
        bench.give(Input::Tick, at);
        assert!(bench.machine.is_master());
        bench
    }

    fn give(&mut self, input: Input, now: MonoTime) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.handle(input, now, &mut out);
        out
    }

    fn hear(&mut self, priority: u8, source: &str, now: MonoTime) -> Vec<Action> {
        self.give(Input::Advert(heard(priority, source)), now)
    }

    fn deadline(&self) -> MonoTime {
        self.machine.poll_deadline().unwrap()
    }
}

fn news(state: Entered) -> Action {
    Action::Entered { state, notify: Notify::News }
}

#[test]
fn priority_100_starts_as_backup_and_waits_3_609375_s() {
    let mut bench = Bench { machine: Machine::new(settings(100)) };
    let out = bench.give(Input::Startup { delay: Duration::ZERO, faults: Faults::none() }, us(0));
    assert_eq!(out, [news(Entered::BackupAtStart)]);
    assert_eq!(bench.deadline(), us(3_609_375));
}

#[test]
fn state_master_below_255_starts_as_backup_too() {
    let bench = Bench::started(Settings { wants_master: true, ..settings(254) });
    assert_eq!(bench.deadline(), us(3_007_812) + Duration::from_nanos(500));
}

#[test]
fn an_owner_is_master_at_once_and_sends_before_it_claims() {
    let mut bench = Bench { machine: Machine::new(settings(255)) };
    let out = bench.give(Input::Startup { delay: Duration::ZERO, faults: Faults::none() }, us(0));
    let note = Action::Note(Note::AdvertTimeout);
    let sent = Action::SendAdvert(Priority::new(255));
    assert_eq!(out, [note, sent, Action::ClaimAddresses, news(Entered::Master)]);
    assert_eq!(bench.deadline(), us(1_000_000));
}

#[test]
fn startup_delay_comes_before_the_timers() {
    let mut bench = Bench { machine: Machine::new(settings(100)) };
    bench.give(Input::Startup { delay: Duration::from_secs(10), faults: Faults::none() }, us(0));
    assert_eq!(bench.deadline(), us(13_609_375));
    let mut owner = Bench { machine: Machine::new(settings(255)) };
    owner.give(Input::Startup { delay: Duration::from_secs(10), faults: Faults::none() }, us(0));
    assert_eq!(owner.deadline(), us(10_000_000));
}

#[test]
fn a_silent_master_is_replaced_at_the_deadline_and_not_before() {
    let mut bench = Bench::started(settings(100));
    assert_eq!(bench.give(Input::Tick, us(3_609_374)), []);
    let out = bench.give(Input::Tick, us(3_609_375));
    let note = Action::Note(Note::AdvertTimeout);
    let sent = Action::SendAdvert(Priority::new(100));
    assert_eq!(out, [note, sent, Action::ClaimAddresses, news(Entered::Master)]);
}

#[test]
fn an_advert_of_a_higher_priority_restarts_the_wait() {
    let mut bench = Bench::started(settings(100));
    assert_eq!(bench.hear(150, HIGHER, us(1_000_000)), []);
    assert_eq!(bench.deadline(), us(4_609_375));
    assert_eq!(bench.machine.master(), Some(HIGHER.parse().unwrap()));
}

#[test]
fn a_backup_learns_the_masters_interval() {
    let mut bench = Bench::started(settings(100));
    let mut advert = heard(150, HIGHER);
    advert.interval = AdvertInterval::from_centiseconds(10).unwrap();
    let (ours, theirs) = (settings(100).interval, advert.interval);
    let learned = Note::IntervalLearned { from: ours, to: theirs };
    assert_eq!(bench.give(Input::Advert(advert), us(1_000_000)), [Action::Note(learned)]);
    assert_eq!(bench.give(Input::Advert(advert), us(1_000_000)), []);
    assert_eq!(bench.deadline(), us(1_360_937) + Duration::from_nanos(500));
    let out = bench.give(Input::Tick, us(1_360_938));
    assert_eq!(out.last(), Some(&Action::Note(Note::IntervalRestored { from: theirs, to: ours })));
}

#[test]
fn a_resigning_master_is_replaced_after_the_skew() {
    let mut bench = Bench::started(settings(100));
    bench.hear(150, HIGHER, us(1_000_000));
    bench.hear(0, HIGHER, us(1_500_000));
    assert_eq!(bench.deadline(), us(2_109_375));
}

#[test]
fn a_lower_priority_does_not_restart_the_wait() {
    let mut bench = Bench::started(settings(100));
    let out = bench.hear(50, LOWER, us(1_000_000));
    assert_eq!(out, [Action::Note(Note::LowerDiscarded(heard(50, LOWER)))]);
    assert_eq!(bench.deadline(), us(3_609_375));
}

#[test]
fn nopreempt_respects_a_lower_priority() {
    let mut bench = Bench::started(Settings { preempt: Preempt::Never, ..settings(100) });
    assert_eq!(bench.hear(50, LOWER, us(1_000_000)), []);
    assert_eq!(bench.deadline(), us(4_609_375));
}

#[test]
fn preempt_delay_runs_from_the_first_lower_advert_and_is_cancelled_by_a_higher_one() {
    let preempt = Preempt::After(Duration::from_secs(5));
    let mut bench = Bench::started(Settings { preempt, ..settings(100) });
    let begins = [Action::Note(Note::PreemptDelay(Duration::from_secs(5)))];
    assert_eq!(bench.hear(50, LOWER, us(1_000_000)), begins);
    assert_eq!(bench.deadline(), us(4_609_375));
    bench.hear(150, HIGHER, us(2_000_000));
    assert_eq!(bench.hear(50, LOWER, us(3_000_000)), begins);
    bench.hear(50, LOWER, us(7_999_999));
    assert_eq!(bench.deadline(), us(11_609_374));
    bench.hear(50, LOWER, us(8_000_000));
    assert_eq!(bench.deadline(), us(11_609_374), "the delay is over: the wait runs out");
}

#[test]
fn a_change_of_priority_shifts_the_running_wait_by_the_difference_of_the_skews() {
    let mut bench = Bench::started(settings(100));
    let out = bench.give(Input::Priority(Priority::new(228)), us(1_000_000));
    let (from, to) = (Priority::new(100), Priority::new(228));
    assert_eq!(out, [Action::Note(Note::PriorityChanged { from, to })]);
    assert_eq!(bench.deadline(), us(3_109_375));
}

#[test]
fn adverts_keep_their_instants_when_a_wakeup_is_40_ms_late() {
    let mut bench = Bench::started(settings(255));
    assert_eq!(bench.give(Input::Tick, us(1_040_000)), [Action::SendAdvert(Priority::new(255))]);
    assert_eq!(bench.deadline(), us(2_000_000));
    bench.give(Input::Tick, us(2_010_000));
    assert_eq!(bench.deadline(), us(3_000_000));
}

#[test]
fn a_stalled_master_sends_one_advert_and_one_announcement() {
    let mut bench = Bench::started(settings(255));
    let out = bench.give(Input::Tick, us(9_300_000));
    assert_eq!(out, [Action::SendAdvert(Priority::new(255)), Action::AnnounceLate]);
    assert_eq!(bench.deadline(), us(10_300_000));
    assert_eq!(bench.give(Input::Tick, us(9_300_001)), []);
}

#[test]
fn a_master_yields_aloud_to_a_higher_priority() {
    let mut bench = Bench::master(settings(100));
    let out = bench.hear(150, LOWER, us(4_000_000));
    assert_eq!(
        out,
        [
            Action::Note(Note::HigherHeard(heard(150, LOWER))),
            Action::SendAdvert(Priority::new(100)),
            Action::ReleaseAddresses,
            news(Entered::Backup),
        ]
    );
    assert_eq!(bench.deadline(), us(7_609_375));
}

#[test]
fn a_master_that_overslept_yields_silently() {
    let mut bench = Bench::master(settings(100));
    // Due at 4.609375 s; a whole interval later the winner has announced itself.
    let out = bench.hear(150, HIGHER, us(5_609_375));
    assert!(!out.contains(&Action::SendAdvert(Priority::new(100))), "{out:?}");
    assert!(out.contains(&Action::ReleaseAddresses));
}

#[test]
fn equal_priority_is_decided_by_the_higher_address() {
    let mut bench = Bench::master(settings(100));
    bench.hear(100, LOWER, us(4_000_000));
    assert!(bench.machine.is_master());
    bench.hear(100, HIGHER, us(4_100_000));
    assert!(!bench.machine.is_master());
}

#[test]
fn our_own_address_from_elsewhere_is_only_noted() {
    let mut bench = Bench::master(settings(100));
    let out = bench.hear(150, OURS, us(4_000_000));
    assert_eq!(out, [Action::Note(Note::OwnAddressHeard(heard(150, OURS)))]);
}

#[test]
fn a_lower_priority_is_answered_once_per_interval_and_the_schedule_goes_on() {
    let mut bench = Bench::master(settings(100));
    let mut sent = 0;
    let mut announced = 0;
    for step in 0..100 {
        for action in bench.hear(50, HIGHER, us(3_700_000 + step * 5_000)) {
            sent += u32::from(matches!(action, Action::SendAdvert(_)));
            announced += u32::from(action == Action::AnnounceConflict);
        }
    }
    assert_eq!((sent, announced), (1, 1));
    assert_eq!(bench.deadline(), us(4_609_375));
}

#[test]
fn lower_prio_no_advert_announces_without_an_advert() {
    let mut bench = Bench::master(Settings { lower_priority_no_advert: true, ..settings(100) });
    let out = bench.hear(50, LOWER, us(4_000_000));
    assert_eq!(
        out,
        [
            Action::Note(Note::LowerAnswered { heard: heard(50, LOWER), answered: false }),
            Action::AnnounceConflict
        ]
    );
}

#[test]
fn a_master_answers_priority_zero_with_an_advert_and_stays() {
    let mut bench = Bench::master(settings(100));
    let out = bench.hear(0, HIGHER, us(4_000_000));
    assert_eq!(out, [Action::Note(Note::RivalResigned), Action::SendAdvert(Priority::new(100))]);
    assert_eq!(bench.deadline(), us(5_000_000));
}

#[test]
fn a_stopping_master_resigns_before_it_releases() {
    let mut bench = Bench::master(settings(100));
    let out = bench.give(Input::Shutdown, us(4_000_000));
    assert_eq!(out, [Action::SendAdvert(Priority::RESIGN), Action::ReleaseAddresses]);
    assert_eq!(bench.machine.poll_deadline(), None);
}

#[test]
fn a_stopping_backup_says_nothing() {
    let mut bench = Bench::started(settings(100));
    assert_eq!(bench.give(Input::Shutdown, us(1_000_000)), []);
}

#[test]
fn a_fault_makes_a_master_resign_and_its_end_starts_fresh_timers() {
    let mut bench = Bench::master(settings(100));
    let faults = Faults::from_iter([Reason::InterfaceDown]);
    let out = bench.give(Input::Faults(faults.clone()), us(4_000_000));
    let resign = Action::SendAdvert(Priority::RESIGN);
    assert_eq!(out, [resign, Action::ReleaseAddresses, news(Entered::Fault)]);
    assert_eq!(bench.machine.poll_deadline(), None);
    assert_eq!(bench.hear(200, HIGHER, us(4_500_000)), []);

    let more = Faults::from_iter([Reason::InterfaceDown, Reason::Script(0)]);
    assert_eq!(bench.give(Input::Faults(more.clone()), us(5_000_000)), []);
    assert_eq!(bench.machine.state(), &State::Fault(more));
    let out = bench.give(Input::Faults(Faults::none()), us(6_000_000));
    assert_eq!(out, [news(Entered::Backup)]);
    assert_eq!(bench.deadline(), us(9_609_375));
}

#[test]
fn an_owner_leaves_fault_as_master() {
    let mut bench = Bench::started(settings(255));
    bench.give(Input::Faults(Faults::from_iter([Reason::InterfaceDown])), us(100));
    bench.give(Input::Faults(Faults::none()), us(200));
    assert!(bench.machine.is_master());
}

#[test]
fn a_start_with_a_fault_enters_fault_and_nothing_else() {
    let mut bench = Bench { machine: Machine::new(settings(255)) };
    let faults = Faults::from_iter([Reason::InterfaceMissing]);
    let out = bench.give(Input::Startup { delay: Duration::ZERO, faults }, us(0));
    assert_eq!(out, [news(Entered::Fault)]);
}

fn was_master(last_advert: MonoTime) -> Input {
    let interval = AdvertInterval::from_centiseconds(100).unwrap();
    Input::Resume(Memory::Master { last_advert, interval })
}

#[test]
fn a_successor_inside_the_patience_stays_master_and_keeps_the_schedule() {
    let mut bench = Bench { machine: Machine::new(settings(100)) };
    let out = bench.give(was_master(us(0)), us(300_000));
    let repeated = Action::Entered { state: Entered::Master, notify: Notify::Repetition };
    assert_eq!(out, [repeated, Action::VerifyAddresses]);
    assert_eq!(bench.deadline(), us(1_000_000));
}

#[test]
fn a_successor_that_missed_one_advert_sends_at_once() {
    let mut bench = Bench { machine: Machine::new(settings(100)) };
    bench.give(was_master(us(0)), us(1_300_000));
    assert_eq!(bench.give(Input::Tick, us(1_300_000)), [Action::SendAdvert(Priority::new(100))]);
    assert_eq!(bench.deadline(), us(2_000_000));
}

#[test]
fn a_successor_outside_the_patience_withdraws_and_starts_as_backup() {
    let mut bench = Bench { machine: Machine::new(settings(100)) };
    let out = bench.give(was_master(us(0)), us(3_000_000));
    assert_eq!(out, [Action::ReleaseAddresses, news(Entered::Backup)]);
    assert_eq!(bench.deadline(), us(6_609_375));
}

#[test]
fn a_successor_yields_to_a_better_master_that_spoke_meanwhile() {
    let mut bench = Bench { machine: Machine::new(settings(100)) };
    bench.give(was_master(us(0)), us(300_000));
    let out = bench.hear(150, HIGHER, us(300_000));
    assert!(out.contains(&Action::ReleaseAddresses));
    assert!(!bench.machine.is_master());
}

#[test]
fn a_backups_successor_is_backup_with_a_fresh_wait_and_no_news() {
    let mut bench = Bench { machine: Machine::new(settings(100)) };
    let out = bench.give(Input::Resume(Memory::Backup), us(500_000));
    assert_eq!(out, [Action::Entered { state: Entered::Backup, notify: Notify::Repetition }]);
    assert_eq!(bench.deadline(), us(4_109_375));
}

#[test]
fn a_shorter_interval_at_a_reload_brings_the_next_advert_forward() {
    let mut bench = Bench::started(settings(255));
    let interval = AdvertInterval::from_centiseconds(10).unwrap();
    bench.give(Input::Configure(Settings { interval, ..settings(255) }), us(200_000));
    assert_eq!(bench.deadline(), us(300_000));
}

#[test]
fn a_reload_that_changes_nothing_moves_no_deadline() {
    let mut bench = Bench::started(settings(100));
    bench.hear(150, HIGHER, us(1_000_000));
    bench.give(Input::Configure(settings(100)), us(1_500_000));
    assert_eq!(bench.deadline(), us(4_609_375));
}

#[test]
fn version_2_keeps_its_own_interval_at_a_reload() {
    let v2 = Settings { version: Version::V2, ..settings(100) };
    let mut bench = Bench::started(v2.clone());
    let interval = AdvertInterval::from_centiseconds(200).unwrap();
    bench.give(Input::Configure(Settings { interval, ..v2 }), us(1_000_000));
    assert_eq!(bench.deadline(), us(7_609_375));
}

#[test]
fn a_member_of_a_group_waits_for_the_group_when_its_master_is_silent() {
    let mut bench = Bench::started(settings(100).in_group(false));
    let out = bench.give(Input::Tick, us(3_609_375));
    assert_eq!(out, [Action::Note(Note::AdvertTimeout)]);
    assert!(bench.machine.is_ready());
    assert_eq!(bench.deadline(), us(7_218_750));
    assert_eq!(bench.give(Input::Tick, us(7_218_750)), [], "told once");
    bench.hear(150, "192.0.2.9", us(7_300_000));
    assert!(!bench.machine.is_ready());
}

#[test]
fn a_group_lifts_its_members_and_lowers_them_with_priority_0() {
    let mut bench = Bench::started(settings(100).in_group(false));
    let out = bench.give(Input::Promote, us(4_000_000));
    let rise = [Action::SendAdvert(Priority::new(100)), Action::ClaimAddresses, news(Entered::Master)];
    assert_eq!(out, rise);
    let out = bench.give(Input::Demote, us(5_000_000));
    assert_eq!(out, [Action::SendAdvert(Priority::RESIGN), Action::ReleaseAddresses, news(Entered::Backup)]);
    assert_eq!(bench.give(Input::Demote, us(5_000_000)), []);
}

#[test]
fn a_master_that_steps_down_resigns_and_is_elected_after_its_skew() {
    let mut bench = Bench::started(settings(100));
    bench.give(Input::Tick, us(3_609_375));
    let out = bench.give(Input::StepDown, us(5_000_000));
    assert_eq!(out, [Action::SendAdvert(Priority::RESIGN), Action::ReleaseAddresses, news(Entered::Backup)]);
    assert_eq!(bench.deadline(), us(5_609_375));
}

#[test]
fn owners_of_a_group_are_ready_at_once_when_all_are_owners() {
    let mut bench = Bench::started(settings(255).in_group(true));
    bench.give(Input::Tick, us(0));
    assert!(bench.machine.is_ready());
    let bench = Bench::started(settings(255).in_group(false));
    assert_eq!(bench.deadline(), us(3_003_906) + Duration::from_nanos(250));
}

#[test]
fn of_two_owners_that_listen_the_lower_address_yields() {
    let mut bench = Bench::master(settings(255));
    bench.hear(255, HIGHER, us(500_000));
    assert!(!bench.machine.is_master());
    assert_eq!(bench.machine.priority(), Priority::OWNER);
}

#[test]
fn an_owner_gives_way_to_one_that_does_not_listen_after_two_adverts_and_1_2_intervals() {
    let mut bench = Bench::master(settings(255));
    let out = bench.hear(255, LOWER, us(400_000));
    assert!(out.contains(&Action::Note(Note::RivalOwner(heard(255, LOWER)))));
    for at in [1_400_000, 2_400_000, 3_400_000] {
        bench.hear(255, LOWER, us(at));
        assert!(bench.machine.is_master());
    }
    bench.hear(255, LOWER, us(3_600_000));
    assert!(!bench.machine.is_master());
    assert_eq!(bench.machine.priority(), Priority::new(254));
}

/// An owner that has given way at 3.6 s.
fn lowered() -> Bench {
    let mut bench = Bench::master(settings(255));
    for at in [400_000, 1_400_000, 2_400_000, 3_600_000] {
        bench.hear(255, LOWER, us(at));
    }
    assert_eq!(bench.machine.priority(), Priority::new(254));
    bench
}

#[test]
fn an_owner_that_gave_way_is_the_owner_again_when_the_other_one_is_gone() {
    let mut bench = lowered();
    bench.hear(255, LOWER, us(4_600_000));
    assert!(!bench.machine.is_master());
    let at = bench.deadline();
    bench.give(Input::Tick, at);
    assert!(bench.machine.is_master());
    assert_eq!(bench.machine.priority(), Priority::OWNER);
}

#[test]
fn an_owner_that_gave_way_takes_its_addresses_from_anybody_else() {
    let mut bench = lowered();
    bench.hear(200, HIGHER, us(4_000_000));
    assert_eq!(bench.machine.priority(), Priority::OWNER);
    let at = bench.deadline();
    bench.give(Input::Priority(Priority::OWNER), us(4_000_001));
    assert_eq!(bench.deadline(), at);
}

#[test]
fn a_tracker_does_not_lift_an_owner_that_gave_way() {
    let mut bench = lowered();
    bench.give(Input::Priority(Priority::OWNER), us(3_700_000));
    assert_eq!(bench.machine.priority(), Priority::new(254));
    bench.give(Input::Faults([Reason::InterfaceDown].into_iter().collect()), us(3_800_000));
    assert_eq!(bench.machine.priority(), Priority::OWNER);
}

#[test]
fn timer_expired_backup_leaves_in_silence_once_a_backup_of_its_priority_has_won() {
    let late = |priority: u8| Settings {
        timer_expired_backup: Some(Priority::new(priority)),
        preempt: Preempt::Never,
        ..settings(100)
    };
    // Three intervals and the skew of 128, 0.5 s, after the advert before the one that was due.
    let mut bench = Bench::master(late(128));
    let due = bench.deadline();
    bench.give(Input::Tick, due + Duration::from_micros(2_499_999));
    assert!(bench.machine.is_master());
    let mut bench = Bench::master(late(128));
    let out = bench.give(Input::Tick, due + Duration::from_micros(2_500_000));
    let expired = Action::Note(Note::TimerExpired);
    assert_eq!(out, [expired, Action::ReleaseAddresses, news(Entered::Backup)]);
}
