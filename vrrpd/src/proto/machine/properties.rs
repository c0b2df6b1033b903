//! Any sequence of inputs: the machine never contradicts itself, whatever its peers and its driver do.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::model::units::{AdvertInterval, MonoTime, Priority};
use config::model::vrrp::{Preempt, Version};
use proptest::prelude::*;

use super::{Action, Entered, Input, Machine, Memory, Notify, Settings, State};
use crate::proto::accept::Heard;
use crate::proto::faults::{Faults, Reason};

/// Something that happens, and how long after the thing before, in milliseconds.
type Step = (u64, Input);

fn interval() -> impl Strategy<Value = AdvertInterval> {
    (1..=4095_u16).prop_map(|centiseconds| AdvertInterval::from_centiseconds(centiseconds).unwrap())
}

fn heard() -> impl Strategy<Value = Heard> {
    (1..=4_u8, any::<u8>(), interval()).prop_map(|(host, priority, interval)| Heard {
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
        priority: Priority::new(priority),
        interval,
    })
}

fn faults() -> impl Strategy<Value = Faults> {
    any::<bool>().prop_map(|down| down.then_some(Reason::InterfaceDown).into_iter().collect())
}

fn settings() -> impl Strategy<Value = Settings> {
    let preempt = prop_oneof![
        Just(Preempt::Never),
        (0..5_u64).prop_map(|seconds| Preempt::After(Duration::from_secs(seconds))),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let late = proptest::option::of((1..=254_u8).prop_map(Priority::new));
    let numbers = (1..=255_u8, interval(), 1..=100_u8);
    (preempt, flags, late, numbers).prop_map(|(preempt, flags, late, (priority, interval, adverts))| {
        Settings {
            version: if flags.0 { Version::V2 } else { Version::V3 },
            priority: Priority::new(priority),
            wants_master: flags.1,
            interval,
            down_timer_adverts: adverts,
            preempt,
            lower_priority_no_advert: flags.2,
            higher_priority_send_advert: flags.3,
            timer_expired_backup: late,
            grouped: flags.4,
            address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))),
        }
    })
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => heard().prop_map(Input::Advert),
        6 => Just(Input::Tick),
        1 => faults().prop_map(Input::Faults),
        1 => (1..=255_u8).prop_map(|priority| Input::Priority(Priority::new(priority))),
        1 => settings().prop_map(Input::Configure),
        1 => Just(Input::Promote),
        1 => Just(Input::Demote),
        1 => Just(Input::StepDown),
        1 => Just(Input::Shutdown),
        1 => (0..10_u64, faults())
            .prop_map(|(delay, faults)| Input::Startup { delay: Duration::from_secs(delay), faults }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0..3_000_u64, input()), 0..120)
}

/// What the driver would hold and have told.
#[derive(Debug, Default)]
struct Witness {
    holds: bool,
    told: Option<Entered>,
}

impl Witness {
    /// Checks what one input brought about.
    fn see(&mut self, machine: &Machine, actions: &[Action]) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                Action::ClaimAddresses => {
                    prop_assert!(!self.holds, "claimed twice");
                    self.holds = true;
                }
                Action::VerifyAddresses => self.holds = true,
                Action::ReleaseAddresses => self.holds = false,
                Action::AnnounceConflict | Action::AnnounceLate => {
                    prop_assert!(self.holds, "announced without addresses");
                }
                Action::Entered { state, notify: Notify::News } => {
                    prop_assert_ne!(self.told, Some(*state), "told twice");
                    self.told = Some(*state);
                }
                Action::SendAdvert(_) | Action::Entered { .. } | Action::Note(_) => {}
            }
        }
        prop_assert_eq!(machine.is_master(), self.holds);
        let waits = matches!(machine.state(), State::Backup(_) | State::Master { .. });
        prop_assert_eq!(machine.poll_deadline().is_some(), waits);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_inputs_makes_it_contradict_itself(settings in settings(), steps in steps()) {
        let mut machine = Machine::new(settings);
        let (mut witness, mut now, mut out) = (Witness::default(), MonoTime::from_nanos(1 << 40), Vec::new());
        machine.handle(Input::Startup { delay: Duration::ZERO, faults: Faults::none() }, now, &mut out);
        witness.see(&machine, &out)?;
        for (pause, input) in steps {
            now = now + Duration::from_millis(pause);
            // A driver starts a machine once, and ends it once.
            let starts = matches!(input, Input::Startup { .. });
            if starts != matches!(machine.state(), State::Init) {
                continue;
            }
            if starts {
                witness.told = None;
            }
            out.clear();
            machine.handle(input, now, &mut out);
            witness.see(&machine, &out)?;
        }
    }

    #[test]
    fn a_flood_of_lower_priorities_is_answered_once_per_interval(
        settings in settings(),
        adverts in proptest::collection::vec((0..3_u64, heard()), 1..2_000),
    ) {
        let mut machine = Machine::new(Settings { grouped: false, ..settings });
        let mut now = MonoTime::from_nanos(1 << 40);
        let last_advert = now;
        let (interval, mut out) = (machine.settings().interval, Vec::new());
        machine.handle(Input::Resume(Memory::Master { last_advert, interval }), now, &mut out);
        let begin = now;
        let (mut sent, mut announced) = (0_u64, 0_u64);
        for (pause, heard) in adverts {
            now = now + Duration::from_millis(pause);
            let lower = Heard { priority: Priority::new(1), source: Ipv4Addr::new(192, 0, 2, 1).into(), ..heard };
            if lower.priority >= machine.priority() {
                return Ok(());
            }
            out.clear();
            machine.handle(Input::Advert(lower), now, &mut out);
            prop_assert!(machine.is_master());
            for action in &out {
                sent += u64::from(matches!(action, Action::SendAdvert(_)));
                announced += u64::from(matches!(action, Action::AnnounceConflict));
            }
        }
        let intervals = u64::try_from(now.since(begin).as_nanos() / interval.duration().as_nanos()).unwrap() + 1;
        prop_assert!(sent <= intervals, "{} adverts in {} intervals", sent, intervals);
        prop_assert!(announced <= intervals);
    }
}
