//! Words of log lines, keepalived's own where it has them, and which of them are limited.
//!
//! Pure: makes text, writes none.

use std::io;
use std::net::IpAddr;

use config::model::units::Priority;
use config::model::vrrp::Instance;
use ipc::messages::Level;
use ipc::messages::vrrpd::VrrpState;
use netlink::route::AddressSpec;
use nix::errno::Errno;

use crate::kernel::address::Order;
use crate::kernel::link::{Condition, Links};
use crate::proto::accept::Reject;
use crate::proto::machine::{Entered, Note};

/// Line for a state that was entered.
#[must_use]
pub fn entered(name: &str, state: Entered) -> String {
    match state {
        Entered::BackupAtStart => format!("({name}) Entering BACKUP STATE (init)"),
        Entered::Backup => format!("({name}) Entering BACKUP STATE"),
        Entered::Master => format!("({name}) Entering MASTER STATE"),
        Entered::Fault => format!("({name}) Entering FAULT STATE"),
    }
}

/// Line for why it is FAULT, of its own: programs look for the end of the other one.
#[must_use]
pub fn faulty(name: &str, reasons: &str) -> String {
    format!("({name}) FAULT reasons: {reasons}")
}

/// Lines for addresses that a reload removes.
#[must_use]
pub fn gone(name: &str, removed: &[Order], links: &Links) -> Vec<String> {
    let addresses = removed.iter().filter_map(|order| match order {
        Order::Remove(spec) => Some(spec),
        Order::Add(_) | Order::Renew(_) | Order::AddRoute(_) | Order::RemoveRoute(_) => None,
    });
    let line = |spec: &AddressSpec| {
        let device = links.name_of(spec.index).unwrap_or("?");
        format!("({name}) ip address {}/{} dev {device}, no longer exist", spec.ip, spec.prefix)
    };
    addresses.map(line).collect()
}

/// Lines for what a state means for addresses and routes; `held` says whether there is anything to remove.
#[must_use]
pub fn holding(config: &Instance, state: Entered, held: bool) -> Vec<String> {
    let name = &config.name;
    let kinds = [
        (config.addresses.is_empty(), "VIPs."),
        (config.excluded.is_empty(), "E-VIPs."),
        (config.routes.is_empty(), "Virtual Routes"),
    ];
    let mut kinds: Vec<&str> = kinds.into_iter().filter(|(none, _)| !none).map(|(_, kind)| kind).collect();
    let word = match state {
        Entered::Master => "setting",
        Entered::BackupAtStart | Entered::Backup | Entered::Fault => {
            // Routes go first.
            let routes = usize::from(!config.routes.is_empty());
            kinds.rotate_right(routes);
            "removing"
        }
    };
    if state != Entered::Master && !held {
        return Vec::new();
    }
    kinds.into_iter().map(|kind| format!("({name}) {word} {kind}")).collect()
}

/// Line for an interface that matters.
#[must_use]
pub fn link(name: &str, condition: Condition) -> Option<String> {
    match condition {
        Condition::Up => Some(format!("Netlink reports {name} up")),
        Condition::Down => Some(format!("Netlink reports {name} down")),
        Condition::Missing => None,
    }
}

/// Line for a sync group whose members follow each other.
#[must_use]
pub fn syncing(group: &str, state: VrrpState) -> String {
    format!("VRRP_Group({group}) Syncing instances to {} state", state.word())
}

/// Line for an address that is about to be announced on an interface.
#[must_use]
pub fn queueing(name: &str, address: IpAddr, interface: &str) -> String {
    let what = match address {
        IpAddr::V4(_) => "gratuitous ARPs",
        IpAddr::V6(_) => "Unsolicited Neighbour Adverts",
    };
    format!("({name}) Sending/queueing {what} on {interface} for {address}")
}

/// Line for one announcement of an address.
#[must_use]
pub fn announced(address: IpAddr, interface: &str) -> String {
    let what = match address {
        IpAddr::V4(_) => "gratuitous ARP",
        IpAddr::V6(_) => "unsolicited Neighbour Advert",
    };
    format!("Sending {what} on {interface} for {address}")
}

/// Line for the announcement of the address that adverts come from.
#[must_use]
pub fn introducing(name: &str, source: IpAddr) -> String {
    let what = if source.is_ipv4() { "ARP" } else { "NA" };
    format!("{name}: sending gratuitous {what} for {source}")
}

/// Line for an advert of priority 0.
#[must_use]
pub fn resigned(name: &str) -> String {
    format!("({name}) sent 0 priority")
}

/// Line for an advert that could not be sent, to the group or to one of several peers.
#[must_use]
pub fn unsent(name: &str, to_group: bool, destination: IpAddr, error: &io::Error) -> String {
    let number = error.raw_os_error().unwrap_or_default();
    let words = Errno::from_raw(number).desc();
    if to_group {
        format!("({name}): send advert error {number} ({words})")
    } else {
        format!("({name}) Cant send advert to {destination} ({words})")
    }
}

/// Line for an address that adverts of an interface may come from now, or no longer.
#[must_use]
pub fn source(address: IpAddr, interface: &str, present: bool) -> String {
    if present {
        format!("Assigned address {address} for interface {interface}")
    } else {
        format!("Deassigned address {address} from interface {interface}")
    }
}

/// Line for an address that somebody else has `added to` an interface or `removed from` it.
#[must_use]
pub fn address(address: IpAddr, interface: &str, word: &str) -> String {
    format!("Netlink reflector reports IP {address} {word} {interface}")
}

/// Line for an advert that a Backup hears from another router than the one before; `None` when it is the same.
#[must_use]
pub fn master_heard(name: &str, before: Option<IpAddr>, now: IpAddr) -> Option<String> {
    match before {
        Some(before) if before == now => None,
        Some(before) => Some(format!("({name}) master changed from {before} to {now}")),
        None => Some(format!("({name}) master set to {now}")),
    }
}

/// Line for a note.
#[must_use]
pub fn note(name: &str, note: Note, ours: Priority) -> (Level, String) {
    match note {
        Note::LowerDiscarded(heard) => (
            Level::Info,
            format!(
                "({name}) received lower priority ({}) advert from {} - discarding",
                heard.priority, heard.source
            ),
        ),
        Note::LowerAnswered { heard, answered } => (
            Level::Info,
            format!(
                "({name}) Received advert from {} with lower priority {}, ours {ours}{}",
                heard.source,
                heard.priority,
                if answered { ", forcing new election" } else { "" }
            ),
        ),
        Note::HigherHeard(heard) => (
            Level::Info,
            format!(
                "({name}) Master received advert from {} with higher priority {}, ours {ours}",
                heard.source, heard.priority
            ),
        ),
        Note::HigherAddressHeard(heard) => (
            Level::Info,
            format!(
                "({name}) Master received advert from {} with same priority {} but higher IP address than ours",
                heard.source, heard.priority
            ),
        ),
        Note::OwnAddressHeard(heard) => (
            Level::Warning,
            format!(
                "({name}) received advert with priority {} from our own address {}",
                heard.priority, heard.source
            ),
        ),
        Note::RivalOwner(heard) => {
            (Level::Warning, format!("({name}) {} claims to own the addresses, too", heard.source))
        }
        Note::TimerExpired => (
            Level::Warning,
            format!(
                "({name}) woke up too late for timer_expired_backup, leaving the addresses to the others"
            ),
        ),
        Note::Resigned(heard) => {
            (Level::Debug, format!("({name}) Backup received priority 0 advertisement from {}", heard.source))
        }
        Note::RivalResigned => (Level::Debug, format!("({name}) Master received priority 0 message")),
        Note::IntervalLearned { from, to } => {
            let (from, to) = (from.duration().as_millis(), to.duration().as_millis());
            (
                Level::Debug,
                format!("({name}) advertisement interval updated from {from}ms to {to}ms by master"),
            )
        }
        Note::IntervalRestored { from, to } => {
            let (from, to) = (from.duration().as_millis(), to.duration().as_millis());
            (
                Level::Debug,
                format!("({name}) changing advert interval from {from}ms to locally configured {to}ms"),
            )
        }
        Note::PreemptDelay(delay) => {
            let (seconds, micros) = (delay.as_secs(), delay.subsec_micros());
            (Level::Info, format!("({name}) start preempt delay ({seconds}.{micros:06})"))
        }
        Note::AdvertTimeout => (Level::Debug, format!("({name}) Receive advertisement timeout")),
        Note::PriorityChanged { from, to } => {
            (Level::Info, format!("({name}) Changing effective priority from {from} to {to}"))
        }
    }
}

/// How a note is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Not at all: no packet causes it.
    None,
    /// By the instance's budget for changes of state.
    Transition,
    /// Once a minute, under this number.
    Reason(usize),
}

/// How a note is limited.
#[must_use]
pub fn limit(note: Note) -> Limit {
    match note {
        Note::PriorityChanged { .. } | Note::TimerExpired => Limit::None,
        Note::AdvertTimeout
        | Note::PreemptDelay(_)
        | Note::HigherHeard(_)
        | Note::HigherAddressHeard(_)
        | Note::IntervalRestored { .. }
        | Note::Resigned(_) => Limit::Transition,
        Note::RivalResigned => Limit::Reason(RIVAL_RESIGNED),
        Note::IntervalLearned { .. } => Limit::Reason(INTERVAL_LEARNED),
        Note::LowerDiscarded(_) => Limit::Reason(LOWER_DISCARDED),
        Note::LowerAnswered { .. } => Limit::Reason(LOWER_ANSWERED),
        Note::OwnAddressHeard(_) => Limit::Reason(OWN_ADDRESS),
        Note::RivalOwner(_) => Limit::Reason(RIVAL_OWNER),
    }
}

/// Appends how many lines were kept back.
#[must_use]
pub fn with_suppressed(mut text: String, suppressed: u64) -> String {
    if suppressed > 0 {
        text.push_str(&format!(" suppressed={suppressed}"));
    }
    text
}

const LOWER_DISCARDED: usize = Reject::KINDS;
const LOWER_ANSWERED: usize = Reject::KINDS + 1;
const OWN_ADDRESS: usize = Reject::KINDS + 2;
/// Number of the line for other addresses in an advert.
pub const MISMATCH: usize = Reject::KINDS + 3;
/// Number of the line for an advert that could not be sent.
pub const SEND_FAILED: usize = Reject::KINDS + 4;
/// Number of the line for an announcement that could not be sent.
pub const ANNOUNCE_FAILED: usize = Reject::KINDS + 5;
/// Number of the line for an address that was put back.
pub const RESTORED: usize = Reject::KINDS + 6;
/// Number of the line for a route that the kernel refused.
pub const ROUTE_REFUSED: usize = Reject::KINDS + 7;
/// Number of the line for what is strange about an accepted advert.
pub const REMARK: usize = Reject::KINDS + 8;
const RIVAL_OWNER: usize = Reject::KINDS + 9;
const RIVAL_RESIGNED: usize = Reject::KINDS + 10;
const INTERVAL_LEARNED: usize = Reject::KINDS + 11;
/// Number of the line for another Master.
pub const MASTER_HEARD: usize = Reject::KINDS + 12;
/// Number of limited lines per instance.
pub const KINDS: usize = Reject::KINDS + 13;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::accept::Heard;
    use config::model::units::AdvertInterval;

    #[test]
    fn lines_are_worded_as_keepalived_words_them() {
        assert_eq!(entered("VI_1", Entered::BackupAtStart), "(VI_1) Entering BACKUP STATE (init)");
        assert_eq!(entered("VI_1", Entered::Master), "(VI_1) Entering MASTER STATE");
        assert_eq!(entered("VI_1", Entered::Fault), "(VI_1) Entering FAULT STATE");
        let heard = Heard {
            source: "192.0.2.1".parse().unwrap(),
            priority: Priority::new(50),
            interval: AdvertInterval::from_centiseconds(100).unwrap(),
        };
        assert_eq!(
            note("VI_1", Note::LowerDiscarded(heard), Priority::new(100)).1,
            "(VI_1) received lower priority (50) advert from 192.0.2.1 - discarding"
        );
        assert_eq!(
            note("VI_1", Note::LowerAnswered { heard, answered: true }, Priority::new(100)).1,
            "(VI_1) Received advert from 192.0.2.1 with lower priority 50, ours 100, forcing new election"
        );
        assert_eq!(
            note("VI_1", Note::LowerAnswered { heard, answered: false }, Priority::new(100)).1,
            "(VI_1) Received advert from 192.0.2.1 with lower priority 50, ours 100"
        );
        let (from, to) =
            (AdvertInterval::from_centiseconds(200).unwrap(), AdvertInterval::from_centiseconds(50).unwrap());
        assert_eq!(
            note("VI_1", Note::IntervalLearned { from, to }, Priority::new(100)).1,
            "(VI_1) advertisement interval updated from 2000ms to 500ms by master"
        );
        assert_eq!(
            note("VI_1", Note::IntervalRestored { from: to, to: from }, Priority::new(100)).1,
            "(VI_1) changing advert interval from 500ms to locally configured 2000ms"
        );
    }

    #[test]
    fn a_preempt_delay_is_told_with_six_decimals() {
        let delay = Note::PreemptDelay(std::time::Duration::from_millis(2500));
        assert_eq!(note("VI_1", delay, Priority::new(100)).1, "(VI_1) start preempt delay (2.500000)");
    }

    #[test]
    fn addresses_that_are_set_and_removed_are_told_by_kind() {
        let mut instance = crate::fixtures::instance(&["192.0.2.10/24"]);
        instance.excluded = instance.addresses.clone();
        let name = instance.name.clone();
        assert_eq!(
            holding(&instance, Entered::Master, false),
            [format!("({name}) setting VIPs."), format!("({name}) setting E-VIPs.")]
        );
        assert_eq!(
            holding(&instance, Entered::Backup, true),
            [format!("({name}) removing VIPs."), format!("({name}) removing E-VIPs.")]
        );
        assert_eq!(holding(&instance, Entered::Backup, false), Vec::<String>::new());
    }

    #[test]
    fn a_suppressed_count_stands_at_the_end() {
        assert_eq!(with_suppressed("line".to_owned(), 0), "line");
        assert_eq!(with_suppressed("line".to_owned(), 7), "line suppressed=7");
    }
}
