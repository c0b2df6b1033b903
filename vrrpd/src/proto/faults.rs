//! Why an instance can't take part: a set of reasons, recomputed from what is known, never a counter.
//!
//! Holds and names reasons; the driver finds them, `machine` obeys them. Input is the state of interfaces, addresses
//! and trackers as the kernel and the parent tell it.

use std::collections::BTreeSet;
use std::fmt::Write;

use config::model::vrrp::Instance;
use ipc::messages::vrrpd::FaultKinds;

/// One reason. Trackers are named by their position in the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The instance's interface doesn't exist.
    InterfaceMissing,
    /// The instance's interface is down or has no carrier.
    InterfaceDown,
    /// No address to send adverts from.
    NoSourceAddress,
    /// The interface of a multicast instance can't do multicast.
    NoMulticast,
    /// A unicast instance has no peer (`unicast_fault_no_peer`).
    NoPeer,
    /// The socket for adverts could not be opened.
    NoSocket,
    /// The interface of a virtual address is missing or down; its position, excluded ones after the others.
    AddressInterface(usize),
    /// The interface of a virtual route is missing or down; its position.
    RouteInterface(usize),
    /// The kernel refused a virtual address.
    AddressRefused,
    /// A tracked interface with weight 0 is down.
    Interface(usize),
    /// A tracked script with weight 0 fails.
    Script(usize),
    /// A static address or route of its `track_group` is missing.
    StaticItem,
    /// The number of a tracked file is a fault.
    File(usize),
    /// Tracked processes with weight 0 have no quorum.
    Process(usize),
    /// Another member of the sync group is in FAULT.
    SyncGroup,
}

/// Set of reasons; empty means that the instance may take part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(BTreeSet<Reason>);

/// Names of what instances track, indexed as the model's tables are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackedNames {
    /// Scripts.
    pub scripts: Vec<String>,
    /// Files.
    pub files: Vec<String>,
    /// Processes.
    pub processes: Vec<String>,
}

/// Longest text that [`Faults::describe`] makes, in bytes.
pub const DESCRIPTION_LENGTH: usize = 256;

impl Faults {
    /// No reason.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Adds a reason.
    pub fn add(&mut self, reason: Reason) {
        self.0.insert(reason);
    }

    /// True when the instance may take part.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when this reason is among them.
    #[must_use]
    pub fn contains(&self, reason: Reason) -> bool {
        self.0.contains(&reason)
    }

    /// How many there are of each kind.
    #[must_use]
    pub fn kinds(&self) -> FaultKinds {
        let mut kinds = FaultKinds::default();
        for reason in &self.0 {
            match reason {
                Reason::InterfaceMissing
                | Reason::InterfaceDown
                | Reason::AddressInterface(_)
                | Reason::RouteInterface(_) => kinds.interface_down = true,
                Reason::NoSourceAddress => kinds.no_source = true,
                Reason::Interface(_) | Reason::Script(_) | Reason::File(_) | Reason::Process(_) => {
                    kinds.trackers = kinds.trackers.saturating_add(1);
                    kinds.other = true;
                }
                Reason::NoMulticast
                | Reason::NoPeer
                | Reason::NoSocket
                | Reason::AddressRefused
                | Reason::StaticItem
                | Reason::SyncGroup => kinds.other = true,
            }
        }
        kinds
    }

    /// Each reason in words.
    #[must_use]
    pub fn list(&self, instance: &Instance, names: &TrackedNames) -> Vec<String> {
        let word = |reason: &Reason| {
            let mut text = String::new();
            // Writing to a String can't fail.
            let _ = describe(*reason, instance, names, &mut text);
            text
        };
        self.0.iter().map(word).collect()
    }

    /// The reasons in words, at most [`DESCRIPTION_LENGTH`] bytes.
    #[must_use]
    pub fn describe(&self, instance: &Instance, names: &TrackedNames) -> String {
        let mut text = String::new();
        let mut last = String::new();
        for reason in &self.0 {
            let mut words = String::new();
            // Writing to a String can't fail.
            let _ = describe(*reason, instance, names, &mut words);
            // Ten addresses on one interface that is down are one reason.
            if words == last {
                continue;
            }
            let separator = if text.is_empty() { "" } else { ", " };
            let next = format!("{separator}{words}");
            last = words;
            if text.len().saturating_add(next.len()) > DESCRIPTION_LENGTH {
                break;
            }
            text.push_str(&next);
        }
        text
    }
}

impl FromIterator<Reason> for Faults {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Self {
        Self(reasons.into_iter().collect())
    }
}

fn describe(reason: Reason, instance: &Instance, names: &TrackedNames, out: &mut String) -> std::fmt::Result {
    let own = instance.interface.as_deref().unwrap_or("(none)");
    match reason {
        Reason::InterfaceMissing => write!(out, "interface {own} does not exist"),
        Reason::InterfaceDown => write!(out, "interface {own} is down"),
        Reason::NoSourceAddress => write!(out, "no source address on {own}"),
        Reason::NoMulticast => write!(out, "interface {own} has no multicast"),
        Reason::NoPeer => write!(out, "no unicast_peer"),
        Reason::NoSocket => write!(out, "no socket for adverts on {own}"),
        Reason::AddressInterface(position) => {
            let address = instance.addresses.iter().chain(&instance.excluded).nth(position);
            let name = address.and_then(|address| address.interface.as_deref()).unwrap_or(own);
            write!(out, "address interface {name} is missing or down")
        }
        Reason::RouteInterface(position) => {
            let route = instance.routes.get(position);
            let name = route.and_then(|route| route.interface.as_deref()).unwrap_or("?");
            write!(out, "route interface {name} is missing or down")
        }
        Reason::AddressRefused => write!(out, "the kernel refused an address"),
        Reason::Interface(position) => {
            let name = instance.track_interfaces.get(position).map_or("?", |track| track.interface.as_str());
            write!(out, "tracked interface {name}")
        }
        Reason::StaticItem => write!(out, "a static address or route is missing"),
        Reason::SyncGroup => write!(out, "another member of the sync group"),
        Reason::Script(position) => {
            let tracked = instance.track_scripts.get(position).map(|track| track.tracked);
            let script = tracked.and_then(|tracked| names.scripts.get(usize::try_from(tracked).ok()?));
            write!(out, "script {}", script.map_or("?", String::as_str))
        }
        Reason::Process(position) => {
            let tracked = instance.track_processes.get(position);
            let process = tracked.and_then(|track| names.processes.get(track.process.index()));
            write!(out, "process {}", process.map_or("?", String::as_str))
        }
        Reason::File(position) => {
            let file =
                instance.track_files.get(position).and_then(|track| names.files.get(track.file.index()));
            write!(out, "file {}", file.map_or("?", String::as_str))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_added_twice_leaves_with_one_removal() {
        let mut faults = Faults::none();
        faults.add(Reason::InterfaceDown);
        faults.add(Reason::InterfaceDown);
        assert_eq!(faults, Faults::from_iter([Reason::InterfaceDown]));
        assert!(faults.contains(Reason::InterfaceDown));
        assert!(!faults.is_empty());
    }

    #[test]
    fn addresses_on_one_interface_that_is_down_are_told_as_one_reason() {
        let mut instance = crate::fixtures::instance(&["192.0.2.10/24", "192.0.2.11/24"]);
        for address in &mut instance.addresses {
            address.interface = Some("eth9".to_owned());
        }
        let faults = Faults::from_iter([
            Reason::AddressInterface(0),
            Reason::AddressInterface(1),
            Reason::Interface(0),
        ]);
        let names = TrackedNames::default();
        assert_eq!(
            faults.describe(&instance, &names),
            "address interface eth9 is missing or down, tracked interface ?"
        );
    }
}
