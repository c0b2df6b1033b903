//! What an operator means by a name, and what is known of it without asking a daemon.

use config::model::parts::{Presence, ServerRef};
use config::model::units::{InstanceId, Priority, ServerId, ServiceId};
use ipc::messages::ctl::explained::{InstanceExplained, MAX_SERVERS, ServerExplained, ServiceExplained};
use ipc::messages::vrrpd::VrrpState;

use super::{Broker, drain};

/// What has a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// An instance, or the members of a sync group.
    pub instances: Vec<InstanceId>,
    /// A virtual server.
    pub services: Vec<ServiceId>,
    /// A real server, in each virtual server that has it.
    pub servers: Vec<(ServiceId, ServerId)>,
}

impl Broker {
    /// Everything of the committed configuration that has this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Found {
        let part = &self.committed.part;
        let services =
            (0_u32..).zip(&part.services).filter(|(_, service)| drain::is_named(&service.name, name));
        let servers = drain::servers(part).filter(|(.., server)| drain::is_named(server, name));
        Found {
            instances: self.instances_named(name),
            services: services.map(|(id, _)| ServiceId::new(id)).take(MAX_SERVERS).collect(),
            servers: servers.map(|(service, server, ..)| (service, server)).take(MAX_SERVERS).collect(),
        }
    }

    /// The instance of this name, or the members of the sync group of this name.
    fn instances_named(&self, name: &str) -> Vec<InstanceId> {
        let part = &self.committed.part;
        let own = (0_u32..).zip(&part.instances).find(|(_, instance)| instance.name == name);
        match (own, part.groups.iter().find(|known| known.group.name == name)) {
            (Some((id, _)), _) => vec![InstanceId::new(id)],
            (None, Some(known)) => known.group.members.clone(),
            (None, None) => Vec::new(),
        }
    }

    /// The instance of this name and everybody who changes state with it; empty when nobody has the name.
    #[must_use]
    pub fn companions(&self, name: &str) -> Vec<InstanceId> {
        let found = self.instances_named(name);
        let groups = &self.committed.part.groups;
        let group = groups.iter().find(|known| found.iter().any(|id| known.group.members.contains(id)));
        group.map_or(found, |known| known.group.members.clone())
    }

    /// Name, state and effective priority of an instance of the committed configuration.
    #[must_use]
    pub fn instance(&self, id: InstanceId) -> Option<(&str, VrrpState, Priority)> {
        let memory = self.instances.get(id.index())?;
        let known = self.committed.part.instances.get(id.index())?;
        Some((&known.name, memory.state, memory.priority))
    }

    /// What led to the state of an instance.
    #[must_use]
    pub fn because(&self, name: &str) -> Option<&str> {
        let part = &self.committed.part;
        let position = part.instances.iter().position(|instance| instance.name == name)?;
        self.instances.get(position).map(|memory| memory.because.as_str())
    }

    /// What is known of an instance here.
    #[must_use]
    pub fn explain_instance(&self, id: InstanceId) -> Option<InstanceExplained> {
        let memory = self.instances.get(id.index())?;
        Some(InstanceExplained {
            name: self.committed.part.instances.get(id.index())?.name.clone(),
            state: memory.state.word().to_owned(),
            because: memory.because.clone(),
            since_ms: memory.changed_ms,
            failover_s: None,
            election: None,
        })
    }

    /// What is known of a virtual server here.
    #[must_use]
    pub fn explain_service(&self, id: ServiceId) -> Option<ServiceExplained> {
        let known = self.committed.part.services.get(id.index())?;
        let servers = (0_u32..).zip(&known.servers).map(|(position, _)| ServerId::new(position));
        let alive = servers.clone().filter(|server| self.is_up(id, *server) == Some(true));
        let weights = servers.filter_map(|server| self.presence(id, ServerRef::Real(server)));
        Some(ServiceExplained {
            name: known.name.clone(),
            up: self.service_up.get(id, None),
            alive: u32::try_from(alive.count()).unwrap_or(u32::MAX),
            servers: u32::try_from(known.servers.len()).unwrap_or(u32::MAX),
            weight: weights.fold(0_u64, |sum, weight| sum.saturating_add(u64::from(weight.value()))),
            sorry: self.presence(id, ServerRef::Sorry).is_some(),
        })
    }

    /// What is known of a real server here.
    #[must_use]
    pub fn explain_server(&self, service: ServiceId, server: ServerId) -> Option<ServerExplained> {
        let known = self.committed.part.services.get(service.index())?;
        Some(ServerExplained {
            service: known.name.clone(),
            name: known.servers.get(server.index())?.clone(),
            up: self.is_up(service, server),
            weight: self.presence(service, ServerRef::Real(server)),
            drained: self.drained.contains(&(service, server)),
            checks: None,
        })
    }

    fn is_up(&self, service: ServiceId, server: ServerId) -> Option<bool> {
        self.service_up.get(service, Some(ServerRef::Real(server)))
    }

    /// What the table should say of a destination.
    pub(super) fn presence(&self, service: ServiceId, server: ServerRef) -> Presence {
        self.told(service, server, self.desired.get(service, Some(server)).flatten())
    }
}
