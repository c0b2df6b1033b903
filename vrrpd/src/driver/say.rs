//! Lines of the log about the machine around the instances, and those that only a detailed log has.
//!
//! Says and decides nothing else. Called by the other modules of the driver.

use std::collections::BTreeSet;
use std::net::IpAddr;

use config::model::units::{IfIndex, MonoTime};
use config::model::vrrp::Family;
use ipc::messages::Level;
use netlink::route::{Address, PROTOCOL_KEEPALIVED, RouteEvent};

use super::act::Words;
use super::{Driver, Purpose};
use crate::holdings;
use crate::kernel::link::{Condition, Place, Reach};
use crate::log;
use crate::proto::machine::{Entered, Note};

/// Addresses of an instance whose announcements the log names: everybody's, but not thousands.
const NAMED_ADDRESSES: usize = 20;

impl Driver {
    /// With `-a`: the addresses of all interfaces when the process starts.
    pub(super) fn say_present_addresses(&mut self) {
        if !self.tells_addresses {
            return;
        }
        let links = self.kernel.links();
        let named = links.present_addresses().filter_map(|(ip, index)| Some((ip, links.name_of(index)?)));
        let lines: Vec<String> = named.map(|(ip, name)| log::address(ip, name, "added to")).collect();
        for line in lines {
            self.outbox.log(Level::Info, line);
        }
    }

    /// With `-a`: an address that somebody else has added or removed. What we do ourselves has its own lines.
    pub(super) fn say_address(&mut self, event: &RouteEvent) {
        if !self.tells_addresses {
            return;
        }
        let links = self.kernel.links();
        let ours = |address: &Address| address.protocol == Some(PROTOCOL_KEEPALIVED);
        let (address, word) = match event {
            RouteEvent::AddressAdded(address) if !links.knows(address) && !ours(address) => {
                (address, "added to")
            }
            RouteEvent::AddressRemoved(address) if !ours(address) || self.is_held(&Place::of(address)) => {
                (address, "removed from")
            }
            RouteEvent::AddressAdded(_)
            | RouteEvent::AddressRemoved(_)
            | RouteEvent::LinkChanged(_)
            | RouteEvent::LinkGone(_)
            | RouteEvent::OwnRouteRemoved
            | RouteEvent::Forwarding(..) => return,
        };
        if let Some(name) = links.name_of(address.index) {
            let line = log::address(address.ip, name, word);
            self.outbox.log(Level::Info, line);
        }
    }

    fn is_held(&self, place: &Place) -> bool {
        self.statics.holdings.holds(place) || self.routers.iter().any(|router| router.holdings.holds(place))
    }

    /// Interfaces that some instance has to do with are told of when they come, are renamed, come up or go down.
    /// `former` is the name that the interface had, if it was there.
    pub(super) fn say_link(&mut self, name: &str, former: Option<&str>, before: Condition) {
        let condition = self.kernel.links().present_condition(name);
        let renamed = former.filter(|former| *former != name);
        if (condition == before && renamed.is_none()) || !self.concerns_us(&[Some(name), renamed]) {
            return;
        }
        if let Some(former) = renamed {
            self.outbox.log(Level::Info, format!("Interface name has changed from {former} to {name}"));
        }
        if before == Condition::Missing {
            self.outbox.log(Level::Debug, format!("Interface {name} added"));
        }
        let is_news = condition != before && (before, condition) != (Condition::Missing, Condition::Down);
        if let Some(text) = log::link(name, condition).filter(|_| is_news) {
            self.outbox.log(Level::Info, text);
        }
    }

    /// An interface is gone; those are told of that some instance has to do with.
    pub(super) fn say_link_gone(&mut self, index: u32) {
        let Some(name) = self.kernel.links().name_of(index).map(str::to_owned) else { return };
        if self.concerns_us(&[Some(&name)]) {
            self.outbox.log(Level::Info, format!("Interface {name} deleted"));
        }
    }

    fn concerns_us(&self, names: &[Option<&str>]) -> bool {
        let is_meant = |name: Option<&str>| name.is_some() && names.contains(&name);
        self.routers.iter().any(|router| {
            let mut tracked = router.config.track_interfaces.iter();
            tracked.any(|track| is_meant(Some(&track.interface)))
                || is_meant(router.config.interface.as_deref())
                || holdings::all(&router.config).any(|one| is_meant(one.interface.as_deref()))
        })
    }

    /// The sockets of a process that serves.
    pub(super) fn say_channels(&mut self) {
        if self.purpose == Purpose::Serve {
            for what in ["reflector", "command channel"] {
                self.outbox.log(Level::Debug, format!("Registering Kernel netlink {what}"));
            }
        }
    }

    /// Nobody takes part for a while.
    pub(super) fn say_delay(&mut self, now: MonoTime) {
        if let Some(end) = self.startup_ends {
            let seconds = end.since(now).as_secs_f64();
            self.outbox.log(Level::Info, format!("Delaying startup for {seconds} seconds"));
        }
    }

    /// Everybody takes part from now on.
    pub(super) fn end_delay(&mut self, now: MonoTime) {
        if self.startup_ends.take_if(|end| now >= *end).is_some() {
            self.outbox.log(Level::Info, "Delayed start completed".to_owned());
        }
    }

    /// Addresses that adverts of our interfaces may come from, as far as they have come or gone since the last time.
    pub(super) fn say_sources(&mut self) {
        if !self.outbox.is_detailed() {
            return;
        }
        let names: BTreeSet<&str> =
            self.routers.iter().filter_map(|router| router.config.interface.as_deref()).collect();
        let links = self.kernel.links();
        let mut sources: Vec<(String, IpAddr)> = Vec::new();
        for name in names {
            let Some(link) = links.by_name(name) else { continue };
            for (family, reach) in [(Family::Inet, Reach::Global), (Family::Inet6, Reach::Link)] {
                let source = links.source(IfIndex::new(link.index), family, reach, &[]);
                sources.extend(source.map(|source| (name.to_owned(), source)));
            }
        }
        let told = std::mem::replace(&mut self.told_sources, sources);
        let gone = told.iter().filter(|one| !self.told_sources.contains(one)).map(|one| (one, false));
        let come = self.told_sources.iter().filter(|one| !told.contains(one)).map(|one| (one, true));
        for ((name, address), present) in gone.chain(come) {
            self.outbox.log(Level::Debug, log::source(*address, name, present));
        }
    }

    /// What an instance starts with: a priority that what it tracks has changed already, and none of its addresses.
    pub(super) fn say_start(&mut self, position: usize) {
        let Some(router) = self.routers.get(position) else { return };
        let (from, to) = (router.config.priority, router.machine.priority());
        if from != to {
            let (level, text) = log::note(&router.config.name, Note::PriorityChanged { from, to }, to);
            self.outbox.log(level, text);
        }
        for line in log::holding(&router.config, Entered::BackupAtStart, true) {
            self.outbox.log(Level::Debug, line);
        }
    }

    /// The farewell of an instance that enters no other state.
    pub(super) fn say_farewell(&mut self, position: usize) {
        let Some(router) = self.routers.get_mut(position) else { return };
        if !std::mem::take(&mut router.untold_farewell) {
            return;
        }
        self.outbox.log(Level::Debug, log::resigned(&router.config.name));
        for line in log::holding(&router.config, Entered::Backup, router.holdings.holds_anything()) {
            self.outbox.log(Level::Debug, line);
        }
    }

    /// An address was announced, or is about to be.
    pub(super) fn say_announced(&mut self, position: usize, address: usize, words: Words) {
        if address >= NAMED_ADDRESSES || !self.outbox.is_detailed() {
            return;
        }
        let Some(router) = self.routers.get(position) else { return };
        let links = self.kernel.links();
        let Some(place) = holdings::place(&router.config, address, links) else { return };
        let Some(link) = links.name_of(place.index.value()) else { return };
        if matches!(words, Words::All | Words::Queued) {
            self.outbox.log(Level::Debug, log::queueing(&router.config.name, place.ip, link));
        }
        if matches!(words, Words::All | Words::Sent) {
            self.outbox.log(Level::Debug, log::announced(place.ip, link));
        }
    }
}
