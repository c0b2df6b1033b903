//! The answer to `GetStatus`: everything that the parent knows. Only for counters a daemon is asked, see `table`. That of
//! many servers is written in parts, one in each turn.

use config::model::units::{Generation, MonoTime, ServiceId};
use ipc::messages::ctl::{Daemon, DaemonStatus, InstanceStatus, ParentCounters, Reply, Status};
use ipc::messages::{Confined, Level};

use super::Suite;
use super::launch::identity;

/// An answer that is being written.
#[derive(Debug)]
pub(super) struct Answering {
    clients: Vec<usize>,
    generation: Generation,
    text: Vec<u8>,
    next: ServiceId,
}

/// Servers in one part, give or take those of one virtual server.
const PART: usize = 1_000;
/// What an answer without virtual servers ends with: they go ahead of it.
const END: &[u8] = b"]}}";

impl Suite {
    /// Answers clients that asked for the status: at once, unless there are many servers.
    pub(super) fn answer_with_status(&mut self, clients: Vec<usize>, now: MonoTime) {
        let is_alone = self.answering.is_empty();
        match self.begin_status(clients, now) {
            Ok(answer) => self.answering.push_back(answer),
            Err(error) => self.say(Level::Error, &format!("status: {error}")),
        }
        if is_alone {
            self.tick_status(now);
        }
    }

    /// Writes a part of an answer, and sends it when it was the last one.
    pub(super) fn tick_status(&mut self, now: MonoTime) {
        let Some(answer) = self.answering.pop_front() else { return };
        // Another configuration has other servers.
        let is_current = answer.generation == self.broker.generation();
        let answer = if is_current { Ok(answer) } else { self.begin_status(answer.clients, now) };
        match answer.and_then(|answer| self.write_part(answer)) {
            Ok(Some(unfinished)) => self.answering.push_front(unfinished),
            Ok(None) => {}
            Err(error) => self.say(Level::Error, &format!("status: {error}")),
        }
    }

    fn begin_status(&self, clients: Vec<usize>, now: MonoTime) -> serde_json::Result<Answering> {
        let mut text = serde_json::to_vec(&Reply { parameters: self.status(now) })?;
        text.truncate(text.len().saturating_sub(END.len()));
        Ok(Answering { clients, generation: self.broker.generation(), text, next: ServiceId::new(0) })
    }

    fn write_part(&mut self, mut answer: Answering) -> serde_json::Result<Option<Answering>> {
        let mut servers = 0_usize;
        let mut next = answer.next.value();
        for service in self.broker.service_status_from(answer.next) {
            if servers >= PART {
                answer.next = ServiceId::new(next);
                return Ok(Some(answer));
            }
            if next > 0 {
                answer.text.push(b',');
            }
            serde_json::to_writer(&mut answer.text, &service)?;
            servers = servers.saturating_add(service.servers.len());
            next = next.saturating_add(1);
        }
        answer.text.extend_from_slice(END);
        if let Some((last, others)) = answer.clients.split_last() {
            others.iter().for_each(|client| self.control.answer(*client, answer.text.clone()));
            self.control.answer(*last, answer.text);
        }
        Ok(None)
    }

    /// Everything but the virtual servers.
    fn status(&self, now: MonoTime) -> Status {
        let table = self.acting(Daemon::Ipvsd).and_then(|process| process.table.clone());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            uptime_s: now.since(self.started).as_secs(),
            generation: self.broker.generation(),
            config: self.settings.config.path.clone(),
            last_reload: self.last_reload.clone(),
            degraded: self.settings.degraded.clone(),
            daemons: Daemon::ALL
                .into_iter()
                .filter(|daemon| self.is_needed(*daemon))
                .map(|daemon| self.daemon_status(daemon, now))
                .collect(),
            instances: self.instance_status(now),
            services: Vec::new(),
            table,
            written: self.acting(Daemon::Ipvsd).and_then(|process| process.written),
            parent: ParentCounters {
                dropped_lines: self.log.dropped(),
                scripts_running: u32::try_from(self.runner.running()).unwrap_or(u32::MAX),
                scripts_run: self.runner.started(),
                refused_requests: self.control.refused(),
                ..self.counters
            },
        }
    }

    fn instance_status(&self, now: MonoTime) -> Vec<InstanceStatus> {
        let mut instances = self.broker.instance_status();
        for instance in &mut instances {
            instance.failover_s = self.failovers.left(&instance.name, now);
        }
        instances
    }

    fn acting(&self, daemon: Daemon) -> Option<&super::processes::Process> {
        let serial = self.supervisors.get(&daemon)?.acting()?;
        self.processes.get(&serial)
    }

    fn daemon_status(&self, daemon: Daemon, now: MonoTime) -> DaemonStatus {
        let process = self.acting(daemon);
        let supervisor = self.supervisors.get(&daemon);
        DaemonStatus {
            daemon,
            pid: process.map(|process| process.pid),
            phase: supervisor.map_or("stopped", |supervisor| supervisor.phase_word()).to_owned(),
            uptime_s: process.map_or(0, |process| now.since(process.started).as_secs()),
            restarts: supervisor.map_or(0, |supervisor| supervisor.restarts()),
            last_restart: supervisor.and_then(|supervisor| supervisor.last_restart()).map(str::to_owned),
            build: process.map(|process| process.build.clone()).unwrap_or_default(),
            uid: identity(&self.settings, daemon).map_or(0, |ids| ids.uid),
            confined: process.map_or_else(Confined::default, |process| process.confined.clone()),
            unknown_calls: process.map_or(0, |process| process.unknown_calls.0),
            last_unknown_call: process.map_or(0, |process| process.unknown_calls.1),
            dropped_lines: process.map_or(0, |process| process.dropped_lines),
            refused_messages: process.map_or(0, |process| process.refused),
        }
    }
}
