//! What is told of instances and services when somebody asks, and the counters of the kernel that belong to it.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;

use config::model::parts::ServerRef;
use config::model::units::{Generation, ServerId, ServiceId};
use ipc::messages::ctl::{InstanceStatus, ServerStatus, ServiceStatus};
use ipc::messages::ipvsd::{MAX_STATISTICS, StatisticsEntry};
use ipc::messages::vrrpd::{ElectionView, InstanceCounters, REJECT_REASONS};

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
        let mut up = Cursor::new(self.service_up.range((first, None)..));
        let mut wishes = Cursor::new(self.desired.range((first, ServerRef::Real(ServerId::new(0)))..));
        let mut counters = Cursor::new(self.counted.range((first, None)..));
        let services = (0_u32..).map(ServiceId::new).zip(&self.committed.part.services).skip(first.index());
        services.map(move |(id, service)| {
            let (is_up, counted) = (up.at((id, None)), counters.at((id, None)));
            let mut weight = |server| self.told(id, server, wishes.at((id, server)).flatten());
            let servers = (0_u32..).map(ServerId::new).zip(&service.servers).map(|(server, name)| {
                let destination = ServerRef::Real(server);
                ServerStatus {
                    name: name.clone(),
                    up: up.at((id, Some(server))),
                    weight: weight(destination),
                    drained: self.drained.contains(&(id, server)),
                    counters: counters.at((id, Some(destination))),
                }
            });
            let servers = servers.collect();
            ServiceStatus {
                name: service.name.clone(),
                up: is_up,
                servers,
                sorry_weight: weight(ServerRef::Sorry),
                counters: counted,
                sorry_counters: counters.at((id, Some(ServerRef::Sorry))),
            }
        })
    }
}

/// Goes through a table beside keys that only grow: ten thousand servers are no ten thousand searches.
struct Cursor<'t, K, V>(Peekable<Range<'t, K, V>>);

impl<'t, K: Ord, V: Copy> Cursor<'t, K, V> {
    fn new(entries: Range<'t, K, V>) -> Self {
        Self(entries.peekable())
    }

    /// The value of a key, which is greater than the one asked for before.
    fn at(&mut self, key: K) -> Option<V> {
        while self.0.next_if(|(known, _)| **known < key).is_some() {}
        self.0.next_if(|(known, _)| **known == key).map(|(_, value)| *value)
    }
}

fn rejected_by(counters: &InstanceCounters) -> BTreeMap<String, u64> {
    let counted = REJECT_REASONS.iter().zip(counters.rejected).filter(|(_, count)| *count > 0);
    counted.map(|(reason, count)| ((*reason).to_owned(), count)).collect()
}
