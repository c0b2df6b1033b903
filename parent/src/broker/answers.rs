//! What is told of instances and services when somebody asks, and the counters of the kernel that belong to it.

use std::collections::BTreeMap;

use config::model::parts::ServerRef;
use config::model::units::{Generation, ServerId, ServiceId};
use ipc::messages::ctl::{InstanceStatus, ServerStatus, ServiceStatus};
use ipc::messages::ipvsd::{MAX_STATISTICS, StatisticsEntry};
use ipc::messages::vrrpd::{ElectionView, InstanceCounters, REJECT_REASONS};

use super::places::Places;
use super::{Broker, Refused};

impl Broker {
    /// What was counted so far belongs to an answer that will not be completed.
    pub fn forget_counting(&mut self) {
        self.counting = Places::new(&self.layout);
    }

    /// Counters of ipvsd; they are used once the answer is complete.
    ///
    /// # Errors
    /// They name what the committed configuration doesn't have.
    pub fn count(
        &mut self,
        generation: Generation,
        entries: &[StatisticsEntry],
        complete: bool,
    ) -> Result<(), Refused> {
        if generation != self.committed.generation || entries.len() > MAX_STATISTICS {
            return Err(Refused);
        }
        for entry in entries {
            let service = self.committed.part.services.get(entry.service.index()).ok_or(Refused)?;
            match entry.server {
                Some(ServerRef::Real(server)) if server.index() >= service.servers.len() => {
                    return Err(Refused);
                }
                Some(_) | None => {}
            }
            self.counting.insert(entry.service, entry.server, entry.counters);
        }
        if complete {
            self.counted = std::mem::replace(&mut self.counting, Places::new(&self.layout));
        }
        Ok(())
    }

    /// What each instance sees of its election; `None` before its daemon has told it.
    pub fn views(&self) -> impl Iterator<Item = Option<ElectionView>> + '_ {
        self.instances.iter().map(|memory| Some(memory.counters?.view))
    }

    /// Instances for status.
    #[must_use]
    pub fn instance_status(&self) -> Vec<InstanceStatus> {
        let known = self.committed.part.instances.iter().zip(&self.instances);
        known
            .map(|(instance, memory)| InstanceStatus {
                name: instance.name.clone(),
                vrid: instance.vrid.value(),
                state: memory.state,
                priority: memory.priority.value(),
                reason: memory.fault().to_owned(),
                transitions: memory.transitions,
                sent: memory.counters.map_or(0, |counters| counters.sent),
                received: memory.counters.map_or(0, |counters| counters.received),
                rejected: memory.counters.map_or(0, |counters| {
                    counters.rejected.iter().fold(0, |sum, count| sum.saturating_add(*count))
                }),
                rejected_by: memory.counters.map(|counters| rejected_by(&counters)).unwrap_or_default(),
                became_master: memory.counters.map_or(0, |counters| counters.became_master),
                released_master: memory.released_master,
                address_mismatches: memory.counters.map_or(0, |counters| counters.address_mismatches),
                zero_received: memory.counters.map_or(0, |counters| counters.zero_received),
                zero_sent: memory.counters.map_or(0, |counters| counters.zero_sent),
                last_transition_ms: memory.changed_ms,
                failover_s: None,
            })
            .collect()
    }

    /// Virtual servers for status.
    #[must_use]
    pub fn service_status(&self) -> Vec<ServiceStatus> {
        self.service_status_from(ServiceId::new(0)).collect()
    }

    /// Virtual servers for status, from this one on; what nobody takes costs nothing.
    pub fn service_status_from(&self, first: ServiceId) -> impl Iterator<Item = ServiceStatus> + '_ {
        let services = (0_u32..).map(ServiceId::new).zip(&self.committed.part.services).skip(first.index());
        services.map(|(id, service)| {
            let servers = (0_u32..).map(ServerId::new).zip(&service.servers).map(|(server, name)| {
                let destination = ServerRef::Real(server);
                ServerStatus {
                    name: name.clone(),
                    up: self.service_up.get(id, Some(destination)),
                    weight: self.presence(id, destination),
                    drained: self.drained.contains(&(id, server)),
                    counters: self.counted.get(id, Some(destination)),
                }
            });
            ServiceStatus {
                name: service.name.clone(),
                up: self.service_up.get(id, None),
                servers: servers.collect(),
                sorry_weight: self.presence(id, ServerRef::Sorry),
                counters: self.counted.get(id, None),
                sorry_counters: self.counted.get(id, Some(ServerRef::Sorry)),
            }
        })
    }
}

fn rejected_by(counters: &InstanceCounters) -> BTreeMap<String, u64> {
    let counted = REJECT_REASONS.iter().zip(counters.rejected).filter(|(_, count)| *count > 0);
    counted.map(|(reason, count)| ((*reason).to_owned(), count)).collect()
}
