//! What checkd tells: verdicts, what the table of IPVS is to hold, services that went up or down, and scripts that it
//! wants.

use config::model::parts::ServerRef;
use config::model::process::Purpose;
use config::model::units::{Generation, ServerId, ServiceId};
use ipc::messages::checkd::{CheckdToParent, DesiredEntry, MAX_BATCH, ServiceState, Verdict};

use super::{Broker, Effect, Refused};

impl Broker {
    /// A message of checkd, other than the common ones.
    ///
    /// # Errors
    /// It names what it may not name.
    pub fn checkd(&mut self, message: CheckdToParent, out: &mut Vec<Effect>) -> Result<(), Refused> {
        match message {
            CheckdToParent::Desired { generation, entries, complete } => {
                if generation != self.committed.generation || entries.len() > MAX_BATCH {
                    return Err(Refused);
                }
                for entry in &entries {
                    self.check_entry(entry)?;
                }
                self.desire(generation, entries, complete, out);
                Ok(())
            }
            CheckdToParent::Verdicts { generation, verdicts } => self.note_verdicts(generation, verdicts),
            CheckdToParent::ServiceEvent { generation, service, server, up } => {
                self.note_event(generation, service, server, up, out)
            }
            CheckdToParent::ServiceStates { generation, states } => self.note_states(generation, &states),
            CheckdToParent::RunCheck { generation, check, script } => {
                self.may_run(generation, script, Purpose::MiscCheck, self.checkd_confirmed)?;
                if check.index() >= self.era(generation, self.checkd_confirmed)?.checks.len() {
                    return Err(Refused);
                }
                out.push(Effect::RunCheck(generation, check, script));
                Ok(())
            }
            CheckdToParent::RunNotify { generation, script } => {
                self.may_run(generation, script, Purpose::ServerNotify, self.checkd_confirmed)?;
                out.push(Effect::RunNotify(generation, script));
                Ok(())
            }
            CheckdToParent::Common(_)
            | CheckdToParent::Explained { .. }
            | CheckdToParent::Renew { .. }
            | CheckdToParent::Letter { .. }
            | CheckdToParent::LetterGone { .. } => Err(Refused),
        }
    }

    fn note_verdicts(&mut self, generation: Generation, verdicts: Vec<Verdict>) -> Result<(), Refused> {
        let checks = self.era(generation, self.checkd_confirmed)?.checks.len();
        let current = generation == self.committed.generation;
        for verdict in verdicts {
            if verdict.check.index() >= checks {
                return Err(Refused);
            }
            let carried = if current { Some(verdict) } else { self.carried(verdict) };
            if let Some(verdict) = carried {
                self.remember(verdict);
            }
        }
        Ok(())
    }

    fn note_event(
        &mut self,
        generation: Generation,
        service: ServiceId,
        server: Option<ServerId>,
        up: bool,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let part = self.era(generation, self.checkd_confirmed)?;
        let known = part.services.get(service.index()).ok_or(Refused)?;
        let server_name = server.map(|server| known.servers.get(server.index()).cloned().ok_or(Refused));
        let (name, server_name) = (known.name.clone(), server_name.transpose()?);
        let place = server.map(ServerRef::Real);
        // A server that started as down and is confirmed, or a quorum that a stop ends, is told all the same;
        // so is what the previous configuration had.
        let current = generation == self.committed.generation;
        if !current || self.service_up.insert(service, place, up) != Some(up) || !up {
            out.push(Effect::ServiceChanged { service: name, server: server_name, up });
        }
        Ok(())
    }

    fn note_states(&mut self, generation: Generation, states: &[ServiceState]) -> Result<(), Refused> {
        if generation != self.committed.generation || states.len() > MAX_BATCH {
            return Err(Refused);
        }
        for state in states {
            let known = self.committed.part.services.get(state.service.index()).ok_or(Refused)?;
            if state.server.is_some_and(|server| server.index() >= known.servers.len()) {
                return Err(Refused);
            }
            self.service_up.insert(state.service, state.server.map(ServerRef::Real), state.up);
        }
        Ok(())
    }

    fn check_entry(&self, entry: &DesiredEntry) -> Result<(), Refused> {
        let service = self.committed.part.services.get(entry.service.index()).ok_or(Refused)?;
        match entry.server {
            ServerRef::Real(server) if server.index() < service.servers.len() => Ok(()),
            ServerRef::Real(_) => Err(Refused),
            ServerRef::Sorry => Ok(()),
        }
    }
}
