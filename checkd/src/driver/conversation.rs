//! What the parent says: orders, answers, and what it knows of files, addresses and letters.
//!
//! Takes in messages of one turn, at most [`MESSAGES`] of them. Its types are trusted; what names nothing that is known
//! here is dropped and counted. Called by the loop.

use std::os::fd::OwnedFd;
use std::time::Duration;

use config::model::units::{FileId, Generation, MonoTime, ServerId, ServiceId};
use ipc::channel::ReceiveError;
use ipc::messages::checkd::{CheckdToParent, ParentToCheckd};
use ipc::messages::{FromDaemon, Level, StopMode, ToDaemon};
use sandbox::{ConfineError, Confinement, Grants};

use super::load::Loading;
use super::outbox::Deltas;
use super::runs::Step;
use super::{Driver, DriverError, End, Halt, Memory, Phase};
use crate::desired::Effect;

/// Most messages taken from the parent in one turn.
const MESSAGES: usize = 64;
/// How long a parent that does not read may hold up the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl<C: FnOnce(&Grants<'_>) -> Result<Confinement, ConfineError>> Driver<C> {
    pub(super) fn receive(&mut self, now: MonoTime, steps: &mut Vec<Step>) -> Result<(), Halt> {
        for _ in 0..MESSAGES {
            match self.link.receive() {
                Ok(Some((message, fds))) => self.take(message, fds, now, steps)?,
                Ok(None) => return Ok(()),
                Err(ReceiveError::Closed) => return Err(Halt::End(End::ParentGone)),
                Err(error) => return Err(DriverError::Parent(error).into()),
            }
        }
        self.unread = true;
        Ok(())
    }

    fn take(
        &mut self,
        message: ParentToCheckd,
        fds: Vec<OwnedFd>,
        now: MonoTime,
        steps: &mut Vec<Step>,
    ) -> Result<(), Halt> {
        match message {
            ParentToCheckd::Common(message) => self.obey(message, fds, now),
            ParentToCheckd::Remembered { generation, verdicts, quorums } => {
                let memory = self.remembered.get_or_insert_with(|| Memory::new(generation));
                if !memory.extend(generation, verdicts, quorums) {
                    self.strays = self.strays.saturating_add(1);
                }
                Ok(())
            }
            ParentToCheckd::Sockets { generation, kind, count: _ } if self.is_live(generation) => {
                if !self.runs.renew(&kind, fds, &self.reactor).map_err(DriverError::from)? {
                    self.strays = self.strays.saturating_add(1);
                }
                Ok(())
            }
            ParentToCheckd::Sockets { generation, kind, count: _ } => {
                self.lent.retain(|(of, ..)| *of == generation);
                self.lent.extend(fds.into_iter().map(|fd| (generation, kind.clone(), fd)));
                Ok(())
            }
            ParentToCheckd::FileValue { generation, file, value } => {
                self.take_number(generation, file, value);
                Ok(())
            }
            ParentToCheckd::Here { generation, services, here } => {
                self.take_here(generation, services, here);
                Ok(())
            }
            ParentToCheckd::Explain { generation, service, server } => {
                self.explain(generation, service, server, now);
                Ok(())
            }
            ParentToCheckd::Deliver(letter) => {
                let mut reports = Vec::new();
                self.mailer.add(letter, now, &mut reports);
                self.tell(reports);
                Ok(())
            }
            ParentToCheckd::ScriptResult { generation, check, outcome } => {
                let known = match &self.live {
                    Some(roster) if roster.generation() == generation => {
                        self.runs.script_ended(check.index(), outcome, roster, now, steps)
                    }
                    Some(_) | None => false,
                };
                if !known {
                    self.strays = self.strays.saturating_add(1);
                }
                self.settle(steps, now);
                Ok(())
            }
        }
    }

    fn is_live(&self, generation: Generation) -> bool {
        self.live.as_ref().is_some_and(|roster| roster.generation() == generation)
    }

    fn take_number(&mut self, generation: Generation, file: FileId, value: i64) {
        let Some(roster) = self.live.as_mut().filter(|roster| roster.generation() == generation) else {
            self.numbers.retain(|(of, known, _)| *of == generation && *known != file);
            self.numbers.push((generation, file, value));
            return;
        };
        let mut effects = Vec::new();
        for position in roster.take_number(file, value, &mut effects) {
            self.outbox.verdict(position);
        }
        self.outbox.take(effects, generation, Deltas::Sent);
    }

    fn explain(&mut self, generation: Generation, service: ServiceId, server: ServerId, now: MonoTime) {
        let Some(roster) = self.live.as_ref().filter(|roster| roster.generation() == generation) else {
            return;
        };
        let checks = roster.explain(service, server, now, |position| self.runs.next_at(position));
        self.outbox.first(CheckdToParent::Explained { generation, service, server, checks });
    }

    fn take_here(&mut self, generation: Generation, services: Vec<ServiceId>, here: bool) {
        match &mut self.live {
            Some(roster) if roster.generation() == generation => {
                let mut effects = Vec::new();
                roster.set_here(&services, here, &mut effects);
                self.outbox.take(effects, generation, Deltas::Sent);
            }
            Some(_) | None => {
                self.here.retain(|(of, _)| *of == generation);
                self.here.extend(services.into_iter().filter(|_| here).map(|service| (generation, service)));
            }
        }
    }

    fn obey(&mut self, message: ToDaemon, fds: Vec<OwnedFd>, now: MonoTime) -> Result<(), Halt> {
        match message {
            ToDaemon::Prepare { generation } => {
                self.prepared = None;
                self.loading = None;
                let Some(fd) = fds.into_iter().next() else { return Ok(()) };
                match Loading::new(generation, fd) {
                    Ok(loading) => self.loading = Some(loading),
                    Err(error) => self.refuse(generation, &error)?,
                }
                Ok(())
            }
            ToDaemon::Commit(generation) => self.commit(generation, now),
            ToDaemon::Abort(generation) => {
                self.loading = self.loading.take().filter(|loading| loading.generation() != generation);
                self.prepared = self.prepared.take().filter(|roster| roster.generation() != generation);
                self.lent.retain(|(of, ..)| *of != generation);
                Ok(())
            }
            ToDaemon::Ping(number) => Ok(self.link.tell(FromDaemon::Pong(number))?),
            ToDaemon::Quiesce => {
                self.quiesce(now);
                self.mailer.halt();
                self.phase = Phase::Quiet;
                self.outbox.last(FromDaemon::Quiesced);
                Ok(())
            }
            ToDaemon::Resume => {
                self.phase = Phase::Working;
                Ok(())
            }
            ToDaemon::Stop(mode) => {
                self.stop(mode, now);
                Ok(())
            }
        }
    }

    fn quiesce(&mut self, now: MonoTime) {
        if let Some(roster) = &self.live {
            self.runs.cancel(roster, now);
        }
    }

    fn stop(&mut self, mode: StopMode, now: MonoTime) {
        self.quiesce(now);
        if let (StopMode::Withdraw, Some(roster)) = (mode, &mut self.live) {
            let mut effects = Vec::new();
            roster.stop(&mut effects);
            self.mailer.expect(effects.iter().filter(|effect| matches!(effect, Effect::Mail(_))).count());
            self.outbox.take(effects, roster.generation(), Deltas::Dropped);
        }
        if self.strays > 0 {
            self.link.log(Level::Info, format!("{} results for unknown checks were dropped", self.strays));
        }
        self.announced = usize::MAX;
        self.outbox.last(FromDaemon::Stopped);
        self.phase = Phase::Ending(now + LAST_WORDS);
    }
}
