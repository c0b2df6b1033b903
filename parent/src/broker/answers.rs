//! What is told of instances and services when somebody asks, and the counters of the kernel that belong to it.

use std::collections::BTreeMap;

use config::model::parts::ServerRef;
use config::model::units::{Generation, ServerId, ServiceId};
use ipc::messages::ctl::{InstanceStatus, ServerStatus, ServiceStatus};
use ipc::messages::ipvsd::{MAX_STATISTICS, StatisticsEntry};
use ipc::messages::vrrpd::{InstanceCounters, REJECT_REASONS};

use super::{Broker, Refused};

impl Broker {
    /// What was counted so far belongs to an answer that will not be completed.
    pub fn forget_counting(&mut self) {
        self.counting.clear();
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
            self.counting.insert((entry.service, entry.server), entry.counters);
        }
        if complete {
            self.counted = std::mem::take(&mut self.counting);
        }
        Ok(())
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
        (0_u32..)
            .zip(&self.committed.part.services)
            .map(|(index, service)| {
                let id = ServiceId::new(index);
                let weight =
                    |server| self.told(id, server, self.desired.get(&(id, server)).copied().flatten());
                let counters = |server| self.counted.get(&(id, server)).copied();
                let servers = (0_u32..).zip(&service.servers).map(|(position, name)| ServerStatus {
                    name: name.clone(),
                    up: self.service_up.get(&(id, Some(ServerId::new(position)))).copied(),
                    weight: weight(ServerRef::Real(ServerId::new(position))),
                    drained: self.drained.contains(&(id, ServerId::new(position))),
                    counters: counters(Some(ServerRef::Real(ServerId::new(position)))),
                });
                ServiceStatus {
                    name: service.name.clone(),
                    up: self.service_up.get(&(id, None)).copied(),
                    servers: servers.collect(),
                    sorry_weight: weight(ServerRef::Sorry),
                    counters: counters(None),
                    sorry_counters: counters(Some(ServerRef::Sorry)),
                }
            })
            .collect()
    }
}

fn rejected_by(counters: &InstanceCounters) -> BTreeMap<String, u64> {
    let counted = REJECT_REASONS.iter().zip(counters.rejected).filter(|(_, count)| *count > 0);
    counted.map(|(reason, count)| ((*reason).to_owned(), count)).collect()
}
