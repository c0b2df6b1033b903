//! Why an instance is what it is, in words: what led to its last change of state, and the sum behind its priority.
//!
//! Pure. Called by the driver at each change of state, and when somebody asks.

use std::time::Duration;

use config::model::units::{AdvertInterval, MonoTime, Priority};
use ipc::messages::ctl::explained::{Election, MAX_TERMS, MAX_TEXT, Term};
use ipc::messages::vrrpd::{ElectionView, FaultKinds};

use crate::kernel::link::Links;
use crate::proto::accept::Heard;
use crate::proto::faults::{Reason, TrackedNames};
use crate::proto::machine::{Entered, Note, State};
use crate::proto::priority::{Effect, Health};
use crate::proto::timers;
use crate::router::{Router, Verdict};
use crate::trackers::Trackers;

/// What is remembered for the next explanation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trail {
    /// What the machine noted last, until the next change of state.
    led: Option<Led>,
    /// State before.
    before: Option<Entered>,
    /// The last accepted advert.
    pub heard: Option<Heard>,
    /// What led to the present state; empty in FAULT, which has reasons of its own.
    pub because: String,
}

/// What may lead to a change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Led {
    Note(Note),
    /// The Master resigned, then nobody spoke up.
    Resigned(Heard),
    Order,
}

impl Trail {
    /// The machine found something worth a line.
    pub fn note(&mut self, note: Note) {
        self.led = match (note, self.led) {
            (Note::Resigned(heard), _) => Some(Led::Resigned(heard)),
            // The silence that follows a farewell is explained by it.
            (Note::AdvertTimeout, Some(Led::Resigned(heard))) => Some(Led::Resigned(heard)),
            (
                Note::PriorityChanged { .. }
                | Note::LowerDiscarded(_)
                | Note::LowerAnswered { .. }
                | Note::RivalResigned
                | Note::IntervalLearned { .. }
                | Note::IntervalRestored { .. }
                | Note::PreemptDelay(_),
                led,
            ) => led,
            (note, _) => Some(Led::Note(note)),
        };
    }

    /// An operator orders what follows.
    pub fn order(&mut self) {
        self.led = Some(Led::Order);
    }

    /// An advert was accepted.
    pub fn hear(&mut self, heard: Heard) {
        self.heard = Some(heard);
        if heard.priority != Priority::RESIGN && matches!(self.led, Some(Led::Resigned(_))) {
            self.led = None;
        }
    }

    /// The state has changed.
    pub fn entered(&mut self, state: Entered, own: Priority, grouped: bool) {
        self.because = self.cause(state, own, grouped);
    }

    fn cause(&mut self, state: Entered, own: Priority, grouped: bool) -> String {
        let before = self.before.replace(state);
        let led = self.led.take();
        match (state, led) {
            (Entered::BackupAtStart, _) => "it has started".to_owned(),
            (_, Some(Led::Order)) => "failover by order".to_owned(),
            (Entered::Master, Some(Led::Resigned(heard))) => format!("{} resigned", heard.source),
            (Entered::Master, Some(Led::Note(Note::AdvertTimeout))) => match self.heard {
                Some(heard) => format!("{} fell silent", heard.source),
                None => "no other router was heard".to_owned(),
            },
            (Entered::Backup, Some(Led::Note(Note::HigherHeard(heard)))) => {
                format!("{} has priority {}, this one {own}", heard.source, heard.priority)
            }
            (Entered::Backup, Some(Led::Note(Note::HigherAddressHeard(heard)))) => {
                format!("{} has the same priority {own} and the higher address", heard.source)
            }
            (Entered::Backup, Some(Led::Note(Note::TimerExpired))) => "it woke up too late".to_owned(),
            (Entered::Backup, _) if before == Some(Entered::Fault) => "no fault is left".to_owned(),
            (Entered::Master | Entered::Backup, _) if grouped => "its sync group moved".to_owned(),
            (Entered::Master, _) if own == Priority::OWNER => "it owns the addresses".to_owned(),
            (Entered::Master | Entered::Backup | Entered::Fault, _) => String::new(),
        }
    }
}

/// Everything that decides the next election.
#[must_use]
pub fn election(
    router: &Router,
    links: &Links,
    trackers: &Trackers,
    verdict: &Verdict,
    now: MonoTime,
) -> Election {
    let names = trackers.names();
    let term = |(effect, reason)| term(router, trackers, &names, effect, reason);
    let terms = router.effects(links, trackers).into_iter().filter_map(term).take(MAX_TERMS).collect();
    let faults = verdict.faults.list(&router.config, &names);
    let heard = router.trail.heard;
    let (interval, deadline) = match router.machine.state() {
        State::Backup(backup) => (backup.learned, Some(backup.down_at)),
        State::Master { advert_at } => (router.config.advert_interval, Some(*advert_at)),
        State::Init | State::Fault(_) => (router.config.advert_interval, None),
    };
    Election {
        base: router.config.priority.value(),
        effective: router.machine.priority().value(),
        terms,
        faults: faults.into_iter().take(MAX_TERMS).map(bounded).collect(),
        master: heard.map(|heard| heard.source),
        master_priority: heard.map(|heard| heard.priority.value()),
        deadline_ms: deadline.map(|deadline| millis(deadline.since(now))),
        patience_ms: millis(patience(router, interval)),
    }
}

/// What it sees of the election, as state files show it.
#[must_use]
pub fn view(router: &Router) -> ElectionView {
    let (interval, faults) = match router.machine.state() {
        State::Backup(backup) => (backup.learned, FaultKinds::default()),
        State::Fault(faults) => (router.config.advert_interval, faults.kinds()),
        State::Init | State::Master { .. } => (router.config.advert_interval, FaultKinds::default()),
    };
    ElectionView {
        heard: router.trail.heard.map(|heard| (heard.source, heard.priority)),
        interval_us: micros(interval.duration()),
        patience_us: micros(patience(router, interval)),
        source: router.path.source,
        faults,
    }
}

/// How long a Master with this interval may be silent.
fn patience(router: &Router, interval: AdvertInterval) -> Duration {
    let config = &router.config;
    timers::master_down_interval(
        config.version,
        router.machine.priority(),
        interval,
        config.down_timer_adverts,
    )
}

fn term(
    router: &Router,
    trackers: &Trackers,
    names: &TrackedNames,
    effect: Effect,
    reason: Reason,
) -> Option<Term> {
    let config = &router.config;
    let word = |health: Health| match health {
        Health::Good => "good",
        Health::Bad => "bad",
        Health::Unknown => "unknown",
    };
    let (kind, name, condition, weight) = match reason {
        Reason::Interface(position) => {
            let track = config.track_interfaces.get(position)?;
            let down = match effect {
                Effect::Weight(adds) => (adds == 0) == (track.weight > 0) && track.weight != 0,
                Effect::Fault => true,
                Effect::Hold => false,
            };
            ("interface", Some(&track.interface), if down { "down" } else { "up" }.to_owned(), track.weight)
        }
        Reason::Script(position) => {
            let track = config.track_scripts.get(position)?;
            let name = names.scripts.get(usize::try_from(track.tracked).ok()?);
            ("script", name, word(trackers.scripts.health(track.tracked)).to_owned(), track.weight)
        }
        Reason::Process(position) => {
            let track = config.track_processes.get(position)?;
            let name = names.processes.get(track.process.index());
            ("process", name, word(trackers.processes.health(track.process)).to_owned(), track.weight)
        }
        Reason::File(position) => {
            let track = config.track_files.get(position)?;
            let value = trackers.files.value(track.file);
            let condition = value.map_or("unknown".to_owned(), |value| value.to_string());
            ("file", names.files.get(track.file.index()), condition, track.weight)
        }
        Reason::InterfaceMissing
        | Reason::InterfaceDown
        | Reason::NoSourceAddress
        | Reason::NoMulticast
        | Reason::NoPeer
        | Reason::NoSocket
        | Reason::AddressInterface(_)
        | Reason::RouteInterface(_)
        | Reason::AddressRefused
        | Reason::StaticItem
        | Reason::SyncGroup => return None,
    };
    let adds = match effect {
        Effect::Weight(weight) => Some(weight),
        Effect::Fault | Effect::Hold => None,
    };
    let name = bounded(name.cloned().unwrap_or_default());
    Some(Term { kind: kind.to_owned(), name, condition, weight, adds })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn bounded(text: String) -> String {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let kept = text.get(..end).unwrap_or_default();
    kept.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use config::model::vrrp::TrackInterface;

    use super::*;
    use crate::fixtures;

    fn heard(priority: u8) -> Heard {
        Heard {
            source: "192.0.2.2".parse().unwrap(),
            priority: Priority::new(priority),
            interval: AdvertInterval::from_centiseconds(100).unwrap(),
        }
    }

    fn master_after(notes: &[Note]) -> String {
        let mut trail = Trail::default();
        trail.hear(heard(120));
        for note in notes {
            trail.note(*note);
        }
        trail.cause(Entered::Master, Priority::new(100), false)
    }

    #[test]
    fn a_takeover_is_explained_by_silence_or_by_the_farewell_before_it() {
        assert_eq!(master_after(&[Note::AdvertTimeout]), "192.0.2.2 fell silent");
        let resigned = Note::Resigned(heard(0));
        assert_eq!(master_after(&[resigned, Note::AdvertTimeout]), "192.0.2.2 resigned");
        let mut alone = Trail::default();
        alone.note(Note::AdvertTimeout);
        assert_eq!(alone.cause(Entered::Master, Priority::new(100), false), "no other router was heard");
    }

    #[test]
    fn a_master_that_yields_says_to_whom() {
        let mut trail = Trail::default();
        trail.note(Note::HigherHeard(heard(200)));
        let why = trail.cause(Entered::Backup, Priority::new(100), false);
        assert_eq!(why, "192.0.2.2 has priority 200, this one 100");
        assert_eq!(trail.cause(Entered::Backup, Priority::new(100), true), "its sync group moved");
        trail.order();
        assert_eq!(trail.cause(Entered::Backup, Priority::new(1), true), "failover by order");
    }

    #[test]
    fn the_terms_are_those_that_the_priority_is_the_sum_of() {
        let mut config = fixtures::instance(&["10.0.0.1/24"]);
        let track =
            |name: &str, weight| TrackInterface { interface: name.to_owned(), weight, reverse: false };
        config.track_interfaces = vec![track("eth1", 20), track("eth2", -30), track("eth3", 0)];
        let mut links = Links::default();
        links.apply(fixtures::link_up(1, "eth0"));
        links.apply(fixtures::link_up(2, "eth1"));
        let router = Router::new(config, &links);
        let now = MonoTime::from_nanos(0);
        let trackers = Trackers::default();
        let verdict = router.judge(&links, &trackers, &[], now);
        assert_eq!(verdict.priority, Priority::new(90));
        let election = election(&router, &links, &trackers, &verdict, now + Duration::from_secs(1));
        let terms: Vec<_> = election
            .terms
            .iter()
            .map(|term| (term.name.as_str(), term.condition.as_str(), term.adds))
            .collect();
        assert_eq!(terms, [("eth1", "up", Some(20)), ("eth2", "down", Some(-30)), ("eth3", "down", None)]);
        assert_eq!((election.base, election.patience_ms), (100, 3_609));
    }
}
