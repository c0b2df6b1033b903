//! Whether a virtual router may take part, and with which priority: what its trackers, its interfaces and the kernel's
//! tables say.

use config::model::units::{MonoTime, Priority};
use config::model::vrrp::{TrackScript, Transport};
use ipc::messages::vrrpd::SocketKey;

use super::Router;
use crate::holdings;
use crate::kernel::link::{Condition, Links};
use crate::proto::faults::{Faults, Reason};
use crate::proto::priority::{Effect, Health, effect, effective, file_effect};
use crate::trackers::Trackers;

/// What trackers and tables say of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Reasons not to take part.
    pub faults: Faults,
    /// Effective priority.
    pub priority: Priority,
    /// What may be a fault is not known yet: a script with weight 0 has not run, a file or the processes are unread.
    pub hold: bool,
    /// A script is among it.
    pub awaits_script: bool,
    /// Some script has not run yet: the priority may be a predecessor's.
    pub provisional: bool,
}

impl Router {
    /// Judges trackers and tables.
    #[must_use]
    pub fn judge(&self, links: &Links, trackers: &Trackers, deaf: &[SocketKey], now: MonoTime) -> Verdict {
        let mut verdict = Verdict {
            faults: Faults::none(),
            priority: self.config.priority,
            hold: false,
            awaits_script: false,
            provisional: false,
        };
        self.judge_path(links, deaf, &mut verdict.faults);
        self.judge_addresses(links, &mut verdict.faults);
        self.judge_routes(links, &mut verdict.faults);
        if self.refusal.is_some_and(|refusal| now < refusal.until) {
            verdict.faults.add(Reason::AddressRefused);
        }
        let weights = self.judge_trackers(links, trackers, &mut verdict);
        verdict.priority = match self.assumed {
            Some(_) | None if self.gives_way && self.config.priority != Priority::OWNER => Priority::new(1),
            Some(assumed) if verdict.provisional && self.config.priority != Priority::OWNER => assumed,
            Some(_) | None => effective(self.config.priority, weights),
        };
        verdict
    }

    /// Enters faults and what is not known yet; returns what is added to the priority.
    fn judge_trackers(&self, links: &Links, trackers: &Trackers, verdict: &mut Verdict) -> i32 {
        let unknown = |track: &TrackScript| trackers.scripts.health(track.tracked) == Health::Unknown;
        verdict.provisional = self.config.track_scripts.iter().any(unknown);
        let mut weights = 0_i32;
        for (effect, reason) in self.effects(links, trackers) {
            match effect {
                Effect::Weight(weight) => weights = weights.saturating_add(weight),
                Effect::Fault => verdict.faults.add(reason),
                Effect::Hold => {
                    verdict.hold = true;
                    verdict.awaits_script |= matches!(reason, Reason::Script(_));
                    verdict.provisional = true;
                }
            }
        }
        weights
    }

    /// What each tracker does to this instance, under the name that it has as a fault.
    #[must_use]
    pub fn effects(&self, links: &Links, trackers: &Trackers) -> Vec<(Effect, Reason)> {
        let config = &self.config;
        let interfaces = config.track_interfaces.iter().enumerate().filter(|(_, track)| {
            config.interface.as_ref() != Some(&track.interface) || config.dont_track_primary
        });
        let interfaces = interfaces.map(|(position, track)| {
            let health = match links.condition(&track.interface) {
                Condition::Up => Health::Good,
                Condition::Down | Condition::Missing => Health::Bad,
            };
            (effect(track.weight, track.reverse, health), Reason::Interface(position))
        });
        let scripts = config.track_scripts.iter().enumerate().map(|(position, track)| {
            let health = trackers.scripts.health(track.tracked);
            (effect(track.weight, track.reverse, health), Reason::Script(position))
        });
        let processes = config.track_processes.iter().enumerate().map(|(position, track)| {
            let effect = match trackers.processes.health(track.process) {
                Health::Unknown => Effect::Hold,
                health @ (Health::Good | Health::Bad) => effect(track.weight, track.reverse, health),
            };
            (effect, Reason::Process(position))
        });
        // Weights don't move an owner, and what can't be added is no fault either.
        let owner = config.priority == Priority::OWNER;
        let files = config.track_files.iter().enumerate().filter(|(_, track)| !owner || track.weight == 0);
        let files = files.map(|(position, track)| {
            let value = trackers.files.value(track.file);
            (file_effect(track.weight, track.reverse, value), Reason::File(position))
        });
        interfaces.chain(scripts).chain(processes).chain(files).collect()
    }

    fn judge_path(&self, links: &Links, deaf: &[SocketKey], faults: &mut Faults) {
        let multicast = matches!(self.config.transport, Transport::Multicast { .. });
        if let Some(name) = &self.config.interface {
            match links.condition(name) {
                Condition::Missing if multicast || !self.config.dont_track_primary => {
                    faults.add(Reason::InterfaceMissing);
                }
                Condition::Down if !self.config.dont_track_primary => faults.add(Reason::InterfaceDown),
                Condition::Missing | Condition::Down | Condition::Up => {}
            }
            if multicast && links.by_name(name).is_some_and(|link| !link.is_multicast()) {
                faults.add(Reason::NoMulticast);
            }
        }
        if matches!(&self.config.transport, Transport::Unicast { peers, .. } if peers.is_empty()) {
            faults.add(Reason::NoPeer);
        }
        let configured = match &self.config.transport {
            Transport::Multicast { source, .. } | Transport::Unicast { source, .. } => *source,
        };
        let is_lost = self.config.track_source && configured.is_some_and(|source| !links.has_ip(source));
        if self.path.source.is_none() || is_lost {
            faults.add(Reason::NoSourceAddress);
        }
        if !deaf.is_empty() && self.socket_key().is_some_and(|key| deaf.contains(&key)) {
            faults.add(Reason::NoSocket);
        }
    }

    fn judge_addresses(&self, links: &Links, faults: &mut Faults) {
        for (position, address) in holdings::all(&self.config).enumerate() {
            let Some(name) = holdings::interface_of(&self.config, address) else {
                faults.add(Reason::AddressInterface(position));
                continue;
            };
            if Some(name) == self.config.interface.as_deref() || address.no_track {
                continue;
            }
            if links.condition(name) != Condition::Up {
                faults.add(Reason::AddressInterface(position));
            }
        }
    }

    fn judge_routes(&self, links: &Links, faults: &mut Faults) {
        for (position, route) in self.config.routes.iter().enumerate() {
            let Some(name) = route.interface.as_deref().filter(|_| !route.no_track) else { continue };
            if Some(name) != self.config.interface.as_deref() && links.condition(name) != Condition::Up {
                faults.add(Reason::RouteInterface(position));
            }
        }
    }
}
