//! `ha_suspend`: tells checkd which virtual servers have an address on this machine.

use std::collections::BTreeSet;

use config::model::units::{Generation, ServiceId};
use ipc::channel::SendError;
use ipc::messages::Level;
use ipc::messages::checkd::{MAX_BATCH, ParentToCheckd};
use ipc::messages::ctl::Daemon;
use ipc::reactor;

use super::link::Link;
use super::{Source, Suite};
use crate::effects::presence::{Presence, Rest};
use crate::supervisor::Serial;

/// The addresses that are watched, and what follows from them.
#[derive(Debug)]
pub(super) struct Watching {
    presence: Presence,
    key: usize,
    /// Services of the committed configuration whose address is here.
    here: BTreeSet<ServiceId>,
}

impl Suite {
    /// Watches the addresses that services of the committed configuration follow.
    pub(super) fn watch_addresses(&mut self) {
        if let Some(old) = self.watching.take() {
            self.sources.remove(&old.key);
        }
        let part = std::rc::Rc::clone(self.broker.part());
        let wanted: BTreeSet<_> =
            part.services.iter().flat_map(|service| &service.follows).copied().collect();
        if wanted.is_empty() {
            return;
        }
        let opened = Presence::open(wanted, reactor::now).map_err(|error| error.to_string());
        let opened = opened.and_then(|presence| {
            let key = self.key(Source::Addresses);
            self.reactor.watch_reads(presence.fd(), key).map_err(|error| error.to_string())?;
            Ok(Watching { presence, key, here: BTreeSet::new() })
        });
        match opened {
            Ok(mut watching) => {
                watching.here = self.services_here(&watching.presence);
                self.watching = Some(watching);
            }
            Err(why) => self.say(Level::Error, &format!("addresses of ha_suspend can't be followed: {why}")),
        }
    }

    fn services_here(&self, presence: &Presence) -> BTreeSet<ServiceId> {
        let services = (0..).zip(&self.broker.part().services);
        let here = services.filter(|(_, service)| service.follows.iter().any(|ip| presence.is_here(ip)));
        here.map(|(id, _)| ServiceId::new(id)).collect()
    }

    /// Address events have come.
    pub(super) fn on_addresses(&mut self, key: usize) {
        let Some(mut watching) = self.watching.take() else { return };
        match watching.presence.read(reactor::now) {
            Ok(Rest::More) => self.unfinished.push(key),
            Ok(Rest::Nothing) => {}
            Err(why) => self.say(Level::Error, &format!("addresses of ha_suspend: {why}")),
        }
        let here = self.services_here(&watching.presence);
        let came = here.difference(&watching.here).copied().collect();
        let gone = watching.here.difference(&here).copied().collect();
        watching.here = here;
        self.watching = Some(watching);
        let Some(serial) = self.supervisors.get(&Daemon::Checkd).and_then(|checkd| checkd.acting()) else {
            return;
        };
        let generation = self.broker.generation();
        self.tell_here(serial, generation, came, true);
        self.tell_here(serial, generation, gone, false);
    }

    /// Tells a checkd that is about to use the committed configuration which of its services have an address here.
    pub(super) fn tell_all_here(&mut self, serial: Serial) {
        let here = self.watching.as_ref().map(|watching| watching.here.iter().copied().collect());
        let generation = self.broker.generation();
        self.tell_here(serial, generation, here.unwrap_or_default(), true);
    }

    fn tell_here(&mut self, serial: Serial, generation: Generation, services: Vec<ServiceId>, here: bool) {
        let Some(process) = self.processes.get_mut(&serial) else { return };
        let Link::Checkd(channel) = &mut process.link else { return };
        let sent = services.chunks(MAX_BATCH).try_for_each(|batch| -> Result<(), SendError> {
            channel.send(&ParentToCheckd::Here { generation, services: batch.to_vec(), here }, &[])
        });
        self.check_sent(serial, sent);
    }
}
