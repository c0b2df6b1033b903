//! What vrrpd tells: changes of its instances, and scripts that it wants.

use config::model::parts::ParentInstance;
use config::model::process::Purpose;
use config::model::units::{Generation, InstanceId};
use ipc::messages::vrrpd::{InstanceCounters, VrrpState, VrrpdToParent};

use super::memory::LONGEST_REASON;
use super::{Broker, Effect, Refused, Whose};
use crate::plain::plain;

impl Broker {
    /// A message of vrrpd, other than the common ones and those about sockets.
    ///
    /// # Errors
    /// It names what it may not name.
    pub fn vrrpd(&mut self, message: VrrpdToParent, out: &mut Vec<Effect>) -> Result<(), Refused> {
        match message {
            VrrpdToParent::Transition { generation, instance, state, priority, notify, reason } => {
                let wall_ms = self.wall_ms;
                let known = self.instance_of(generation, instance)?;
                let (name, scripts) = (known.name.clone(), known.notify.clone());
                if let Some(memory) = self.memory(&name) {
                    memory.enter(state, wall_ms);
                    memory.priority = priority;
                    memory.because = plain(&reason, LONGEST_REASON);
                    memory.transitions = memory.transitions.saturating_add(u64::from(notify));
                }
                if notify {
                    let (whose, name) = (Whose::Instance, name.clone());
                    out.push(Effect::Notify { whose, name, state, priority, scripts, generation });
                }
                self.follow_group(&name, notify, out);
                Ok(())
            }
            VrrpdToParent::PriorityChanged { generation, instance, priority } => {
                let known = self.instance_of(generation, instance)?;
                let (name, wanted) = (known.name.clone(), known.notify.priority_changes);
                if let Some(memory) = self.memory(&name) {
                    memory.priority = priority;
                    let state = memory.state;
                    if wanted {
                        out.push(Effect::PriorityChanged { name, state, priority });
                    }
                }
                Ok(())
            }
            VrrpdToParent::LowerPriorityHeard { generation, instance } => {
                let known = self.instance_of(generation, instance)?;
                let (name, scripts) = (known.name.clone(), known.notify.clone());
                let memory = self.memory(&name).filter(|memory| memory.state == VrrpState::Master);
                if let Some(priority) = memory.map(|memory| memory.priority) {
                    out.push(Effect::LowerPriorityHeard { name, priority, scripts, generation });
                }
                Ok(())
            }
            VrrpdToParent::RunScript { generation, script } => {
                self.may_run(generation, script, Purpose::Tracked, self.vrrpd_confirmed)?;
                out.push(Effect::RunTracked(generation, script));
                Ok(())
            }
            VrrpdToParent::Counters(counters) => self.note_counters(counters),
            VrrpdToParent::Common(_)
            | VrrpdToParent::Vault(_)
            | VrrpdToParent::Unvault(_)
            | VrrpdToParent::Explained { .. } => Err(Refused),
        }
    }

    fn instance_of(&self, generation: Generation, instance: InstanceId) -> Result<&ParentInstance, Refused> {
        let part = self.era(generation, self.vrrpd_confirmed)?;
        part.instances.get(instance.index()).ok_or(Refused)
    }

    /// Counters name no generation: those of the previous one are dropped.
    fn note_counters(&mut self, counters: Vec<InstanceCounters>) -> Result<(), Refused> {
        if !self.vrrpd_confirmed {
            return Ok(());
        }
        for counter in counters.into_iter().take(self.instances.len()) {
            let memory = self.instances.get_mut(counter.instance.index()).ok_or(Refused)?;
            memory.counters = Some(counter);
        }
        Ok(())
    }
}
