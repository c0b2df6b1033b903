//! Questions that daemons help to answer: why something is as it is.
//!
//! Driver. Asks the daemon that knows, waits for it briefly and answers without it otherwise; what this process knows
//! itself is [`crate::broker`]'s. Clients and daemons are not trusted: names are looked up, texts are made plain.

use std::collections::BTreeSet;
use std::time::Duration;

use config::model::units::{Generation, InstanceId, MonoTime, ServerId, ServiceId};
use ipc::messages::checkd::ParentToCheckd;
use ipc::messages::ctl::Daemon;
use ipc::messages::ctl::events::{Event, EventKind};
use ipc::messages::ctl::explained::{
    CheckExplained, Election, Explained, MAX_CHECKS, MAX_TERMS, MAX_TEXT, ServerExplained,
};
use ipc::messages::vrrpd::ParentToVrrpd;

use super::Suite;
use super::link::Link;
use crate::plain::is_plain;
use crate::supervisor::Serial;

/// Questions that wait for daemons; each client has one at most.
#[derive(Debug, Default)]
pub(super) struct Questions(Vec<Question>);

#[derive(Debug)]
struct Question {
    client: usize,
    generation: Generation,
    answer: Explained,
    instances: Vec<InstanceId>,
    servers: Vec<(ServiceId, ServerId)>,
    /// Of those, the ones that nothing has come of.
    open_instances: BTreeSet<InstanceId>,
    open_servers: BTreeSet<(ServiceId, ServerId)>,
    deadline: MonoTime,
}

/// Longest wait for a daemon.
const PATIENCE: Duration = Duration::from_millis(500);
/// Events in an answer.
const EVENTS: usize = 10;

impl Questions {
    pub(super) fn deadline(&self) -> Option<MonoTime> {
        self.0.iter().map(|question| question.deadline).min()
    }
}

impl Suite {
    pub(super) fn order_explain(&mut self, client: usize, name: &str, now: MonoTime) {
        let found = self.broker.find(name);
        let instances = found.instances.iter().filter_map(|id| {
            let mut known = self.broker.explain_instance(*id)?;
            known.failover_s = self.failovers.left(&known.name, now);
            Some(known)
        });
        let mut answer = Explained {
            instances: instances.collect(),
            services: found.services.iter().filter_map(|id| self.broker.explain_service(*id)).collect(),
            servers: found
                .servers
                .iter()
                .filter_map(|(service, server)| self.broker.explain_server(*service, *server))
                .collect(),
            events: Vec::new(),
        };
        if answer == Explained::default() {
            let why = format!("no instance, sync group, virtual server or real server is called {name}");
            return self.control.fail(client, "org.keepalived.Control.NotExplained", &why);
        }
        answer.events = self.events.of(|event| concerns(&answer, event), EVENTS);
        let generation = self.broker.generation();
        let question = Question {
            client,
            generation,
            answer,
            open_instances: self.ask_vrrpd(generation, &found.instances),
            open_servers: self.ask_checkd(generation, &found.servers),
            instances: found.instances,
            servers: found.servers,
            deadline: now + PATIENCE,
        };
        self.questions.0.push(question);
        self.answer_questions(now);
    }

    fn ask_vrrpd(&mut self, generation: Generation, instances: &[InstanceId]) -> BTreeSet<InstanceId> {
        let Some(serial) = self.running(Daemon::Vrrpd) else { return BTreeSet::new() };
        for &instance in instances {
            self.tell_vrrpd(serial, &ParentToVrrpd::Explain { generation, instance });
        }
        instances.iter().copied().collect()
    }

    fn ask_checkd(
        &mut self,
        generation: Generation,
        servers: &[(ServiceId, ServerId)],
    ) -> BTreeSet<(ServiceId, ServerId)> {
        let Some(serial) = self.running(Daemon::Checkd) else { return BTreeSet::new() };
        for &(service, server) in servers {
            let Some(process) = self.processes.get_mut(&serial) else { break };
            let Link::Checkd(channel) = &mut process.link else { break };
            let sent = channel.send(&ParentToCheckd::Explain { generation, service, server }, &[]);
            self.check_sent(serial, sent);
        }
        servers.iter().copied().collect()
    }

    /// The process that acts as this daemon and has a configuration.
    pub(super) fn running(&self, daemon: Daemon) -> Option<Serial> {
        let supervisor = self.supervisors.get(&daemon)?;
        supervisor.acting().filter(|_| supervisor.is_running())
    }

    pub(super) fn tell_vrrpd(&mut self, serial: Serial, message: &ParentToVrrpd) {
        let Some(process) = self.processes.get_mut(&serial) else { return };
        if let Link::Vrrpd(channel) = &mut process.link {
            let sent = channel.send(message, &[]);
            self.check_sent(serial, sent);
        }
    }

    /// vrrpd has answered. What nobody waits for is late and no offence.
    pub(super) fn on_election(
        &mut self,
        serial: Serial,
        generation: Generation,
        instance: InstanceId,
        election: &Election,
        now: MonoTime,
    ) {
        let short = |text: &String| is_plain(text, MAX_TEXT);
        let fits = election.terms.len() <= MAX_TERMS
            && election.faults.len() <= MAX_TERMS
            && election.faults.iter().all(short)
            && election
                .terms
                .iter()
                .all(|term| short(&term.kind) && short(&term.name) && short(&term.condition));
        if !fits {
            return self.refuse(serial);
        }
        for question in self.questions.0.iter_mut().filter(|question| question.generation == generation) {
            if question.open_instances.remove(&instance)
                && let Some(at) = question.instances.iter().position(|known| *known == instance)
                && let Some(known) = question.answer.instances.get_mut(at)
            {
                known.election = Some(election.clone());
            }
        }
        self.answer_questions(now);
    }

    /// checkd has answered.
    pub(super) fn on_checks(
        &mut self,
        serial: Serial,
        generation: Generation,
        server: (ServiceId, ServerId),
        checks: &[CheckExplained],
        now: MonoTime,
    ) {
        let short = |check: &CheckExplained| {
            let reason = check.last.iter().map(|last| &last.reason);
            [&check.kind, &check.target].into_iter().chain(reason).all(|text| is_plain(text, MAX_TEXT))
        };
        if checks.len() > MAX_CHECKS || !checks.iter().all(short) {
            return self.refuse(serial);
        }
        for question in self.questions.0.iter_mut().filter(|question| question.generation == generation) {
            if question.open_servers.remove(&server)
                && let Some(at) = question.servers.iter().position(|known| *known == server)
                && let Some(known) = question.answer.servers.get_mut(at)
            {
                known.checks = Some(checks.to_vec());
            }
        }
        self.answer_questions(now);
    }

    /// Answers what is complete or has waited long enough.
    pub(super) fn answer_questions(&mut self, now: MonoTime) {
        let (ripe, waiting) =
            std::mem::take(&mut self.questions.0).into_iter().partition(|question: &Question| {
                let complete = question.open_instances.is_empty() && question.open_servers.is_empty();
                complete || now >= question.deadline
            });
        self.questions.0 = waiting;
        let ripe: Vec<Question> = ripe;
        for question in ripe {
            self.control.reply(question.client, question.answer);
        }
    }
}

fn concerns(answer: &Explained, event: &Event) -> bool {
    let of_server = |server: &ServerExplained| event.name == server_name(&server.service, &server.name);
    match event.kind {
        EventKind::Instance => answer.instances.iter().any(|instance| instance.name == event.name),
        EventKind::Service => answer.services.iter().any(|service| service.name == event.name),
        EventKind::Server => answer.servers.iter().any(of_server),
        EventKind::Group | EventKind::Daemon | EventKind::Suite => false,
    }
}

/// How events name a real server.
pub(super) fn server_name(service: &str, server: &str) -> String {
    format!("{server} of {service}")
}
