//! Real servers that get no new connections because an operator says so, whatever their checks say.
//!
//! What checkd wishes is kept beside it: a server that is given back gets the weight that it has by then.

use std::collections::BTreeSet;

use config::model::parts::{ParentPart, Presence, ServerRef};
use config::model::units::{ServerId, ServiceId, Weight};
use ipc::messages::checkd::DesiredEntry;

use super::{Broker, Effect};

/// Servers of the committed configuration that are drained.
pub(super) type DrainedSet = BTreeSet<(ServiceId, ServerId)>;

impl Broker {
    /// Drains the servers that `server` names, or gives them back. Returns virtual and real server of each.
    pub fn drain(
        &mut self,
        server: &str,
        service: Option<&str>,
        drained: bool,
        out: &mut Vec<Effect>,
    ) -> Vec<(String, String)> {
        let mut changed = Vec::new();
        let mut entries = Vec::new();
        for (service_id, server_id, service_name, name) in servers(&self.committed.part) {
            if service.is_some_and(|service| service != service_name) || !is_named(name, server) {
                continue;
            }
            changed.push((service_name.to_owned(), name.to_owned()));
            let place = ServerRef::Real(server_id);
            let differs = if drained {
                self.drained.insert((service_id, server_id))
            } else {
                self.drained.remove(&(service_id, server_id))
            };
            if let Some(presence) = self.desired.get(service_id, Some(place)).filter(|_| differs) {
                entries.push(DesiredEntry { service: service_id, server: place, presence });
            }
        }
        if self.whole && !entries.is_empty() {
            let entries = self.as_told(entries);
            out.push(Effect::Desired(self.committed.generation, entries));
        }
        changed
    }

    /// What ipvsd is told instead of what checkd wishes.
    pub(super) fn as_told(&self, mut entries: Vec<DesiredEntry>) -> Vec<DesiredEntry> {
        for entry in &mut entries {
            entry.presence = self.told(entry.service, entry.server, entry.presence);
        }
        entries
    }

    /// A drained server stays in the table, for the connections that it has, with weight 0.
    pub(super) fn told(&self, service: ServiceId, server: ServerRef, wish: Presence) -> Presence {
        match server {
            ServerRef::Real(server) if self.drained.contains(&(service, server)) => {
                wish.map(|_| Weight::ZERO)
            }
            ServerRef::Real(_) | ServerRef::Sorry => wish,
        }
    }

    /// What was drained of `old` is drained in the committed configuration, by name.
    pub(super) fn carry_drained(&mut self, old: &ParentPart) {
        if self.drained.is_empty() {
            return;
        }
        let drained = std::mem::take(&mut self.drained);
        let names: BTreeSet<(&str, &str)> = servers(old)
            .filter(|(service, server, ..)| drained.contains(&(*service, *server)))
            .map(|(_, _, service, server)| (service, server))
            .collect();
        self.drained = servers(&self.committed.part)
            .filter(|(_, _, service, server)| names.contains(&(*service, *server)))
            .map(|(service, server, ..)| (service, server))
            .collect();
    }
}

pub(super) fn servers(part: &ParentPart) -> impl Iterator<Item = (ServiceId, ServerId, &str, &str)> {
    (0_u32..).zip(&part.services).flat_map(|(id, service)| {
        (0_u32..).zip(&service.servers).map(move |(position, server)| {
            (ServiceId::new(id), ServerId::new(position), service.name.as_str(), server.as_str())
        })
    })
}

/// `[203.0.113.1]:tcp:80` is meant by itself, by `203.0.113.1`, `203.0.113.1:80` and `[203.0.113.1]:80`.
pub(super) fn is_named(name: &str, asked: &str) -> bool {
    let Some((address, rest)) = name.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return name == asked;
    };
    let port = rest.rsplit(':').next().unwrap_or_default();
    let bare = asked.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match bare {
        _ if name == asked || address == asked => true,
        Some((asked, rest)) => asked == address && (rest.is_empty() || rest.strip_prefix(':') == Some(port)),
        None => asked.rsplit_once(':') == Some((address, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_meant_by_its_name_its_address_and_its_port() {
        let v4 = |asked| is_named("[203.0.113.1]:tcp:80", asked);
        assert!(
            v4("[203.0.113.1]:tcp:80") && v4("203.0.113.1") && v4("203.0.113.1:80") && v4("[203.0.113.1]:80")
        );
        assert!(!v4("203.0.113.1:8") && !v4("203.0.113.11") && !v4("") && !v4("[203.0.113.1]:udp:80"));
        let v6 = |asked| is_named("[2001:db8::1]:tcp:80", asked);
        assert!(v6("2001:db8::1") && v6("[2001:db8::1]:80") && !v6("2001:db8:") && !v6("[2001:db8::1]:81"));
    }
}
