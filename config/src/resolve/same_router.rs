//! Instances that would be one virtual router on the wire: no advert could tell them apart.
//!
//! Adverts of a multicast group belong to an interface; those to unicast peers to their sender and destination, so
//! that one VRID serves several pairs of routers over one interface. Called while instances are resolved.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::Context;
use crate::diagnostic::{Problem, code};
use crate::model::units::Vrid;
use crate::model::vrrp::{Family, Instance, Transport};
use crate::text::Span;

/// Where the adverts of an instance come from.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Place {
    Group { interface: Option<String>, group: IpAddr },
    Address { own: Option<IpAddr>, interface: Option<String> },
}

/// Whom an instance speaks to: the group, or its peers.
#[derive(Debug)]
struct Speaker {
    name: String,
    peers: HashSet<IpAddr>,
}

/// The instances that were seen.
#[derive(Debug, Default)]
pub(super) struct OnWire(HashMap<(Vrid, Family, Place), Vec<Speaker>>);

impl Context<'_> {
    /// Tells of an instance that an earlier one can't be told apart from.
    pub(super) fn distinct(&mut self, known: &mut OnWire, instance: &Instance, span: Span) {
        let interface = instance.interface.clone();
        let (place, peers) = match &instance.transport {
            Transport::Multicast { group, .. } => {
                (Place::Group { interface, group: *group }, HashSet::from([*group]))
            }
            Transport::Unicast { source, peers, .. } => {
                let peers = peers.iter().map(|peer| peer.address).collect();
                // Whose source is not written has that of its interface.
                let interface = interface.filter(|_| source.is_none());
                (Place::Address { own: *source, interface }, peers)
            }
        };
        let key = (instance.vrid, instance.family, place);
        let others = known.0.entry(key).or_default();
        if let Some(same) = others.iter().find(|other| !other.peers.is_disjoint(&peers)) {
            let (name, other, vrid) = (&instance.name, &same.name, instance.vrid);
            let what = match instance.transport {
                Transport::Multicast { .. } => "on the same interface",
                Transport::Unicast { .. } => "with the same peer",
            };
            let message = format!("{name} and {other} use virtual_router_id {vrid} {what}");
            self.report(Problem::error(code::DUPLICATE, span, message).fatal());
        }
        others.push(Speaker { name: instance.name.clone(), peers });
    }
}
