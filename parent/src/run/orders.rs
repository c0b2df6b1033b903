//! Orders from outside: signals and control requests.
//!
//! Driver. Who may ask what is decided in [`crate::control`]; here a permitted request goes to whoever does it, a
//! bounded number of them per turn. Signals come from who may signal this process, and are trusted.

use config::model::units::MonoTime;
use ipc::messages::Level;
use ipc::messages::ctl::events::{EventKind, WatchParameters};
use ipc::messages::ctl::interface::{self, Description, Info};
use ipc::messages::ctl::{Daemon, DrainParameters, Drained, INTERFACE, Request};
use ipc::reactor::Ready;
use nix::sys::signal::Signal;

use super::questions::server_name;
use super::{Source, Suite};
use crate::control::{Access, Asked, Refused};
use crate::dump::What;

/// Requests of one client that are answered in one turn.
const REQUESTS: usize = 4;
/// Connections to one socket that are looked at in one turn, so that who knocks without pause holds up nobody.
const CONNECTIONS: usize = 16;

impl Suite {
    pub(super) fn on_signals(&mut self, now: MonoTime) {
        let realtime = sandbox::system::process::realtime_signals();
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            let signal = Signal::try_from(number).ok();
            match signal {
                Some(Signal::SIGHUP) => self.order_reload(None, now),
                Some(Signal::SIGINT) if self.settings.ignore_interrupt => {}
                Some(Signal::SIGTERM | Signal::SIGINT) => self.begin_stop(0, now),
                // What ended is reaped by its pidfd, orphans in every turn.
                Some(Signal::SIGCHLD) => {}
                Some(Signal::SIGUSR1) => self.order_dump(What::State, false, now),
                Some(Signal::SIGUSR2) => self.order_dump(What::Statistics, false, now),
                _ if number == realtime.json => self.order_dump(What::Json, false, now),
                _ if number == realtime.clear => self.order_dump(What::Statistics, true, now),
                _ => {}
            }
        }
    }

    /// As PID 1 every orphan of the machine or container ends here.
    pub(super) fn reap_orphans(&mut self) {
        if std::process::id() != 1 {
            return;
        }
        let daemons = self.processes.values().map(|process| process.pid);
        let owned: Vec<i32> = daemons.chain(self.runner.pids()).chain(self.errands.pids()).collect();
        if let Err(error) = sandbox::system::process::reap_any(&owned) {
            self.say(Level::Warning, &format!("orphans can't be reaped: {error}"));
        }
    }

    pub(super) fn on_connection(&mut self, listener: usize, access: Access) {
        for _connection in 0..CONNECTIONS {
            let key = self.key(Source::Client);
            match self.control.accept(access, key) {
                Some(Ok(fd)) => {
                    if let Err(error) = self.reactor.watch(fd, key) {
                        self.say(Level::Warning, &format!("control client: {error}"));
                    }
                }
                Some(Err(Refused)) => {
                    self.sources.remove(&key);
                }
                None => {
                    self.sources.remove(&key);
                    return;
                }
            }
        }
        self.unfinished.push(listener);
    }

    pub(super) fn on_client(&mut self, event: Ready, now: MonoTime) {
        if event.writable {
            self.control.flush(event.key);
        }
        // An answer that was taken makes room for the next request.
        for _request in 0..REQUESTS {
            match self.control.read(event.key, now) {
                Some(Asked::Request(request)) => self.obey(event.key, &request, now),
                Some(Asked::Failed) => {}
                None => return self.forget_gone(event.key),
            }
        }
        self.unfinished.push(event.key);
    }

    fn forget_gone(&mut self, client: usize) {
        if !self.control.has(client) {
            self.sources.remove(&client);
        }
    }

    fn obey(&mut self, client: usize, request: &Request, now: MonoTime) {
        match request {
            Request::GetStatus(_) => self.order_status(client, now),
            Request::Restart(parameters) => self.order_restart(client, parameters.daemon, now),
            Request::Reload(_) => self.order_reload(Some(client), now),
            Request::Drain(parameters) => self.order_drain(client, parameters, now),
            Request::Failover(parameters) => self.order_failover(client, parameters, now),
            Request::Explain(parameters) => self.order_explain(client, &parameters.name, now),
            Request::GetEvents(parameters) => {
                self.control.reply(client, self.events.latest(parameters.last));
            }
            Request::Watch(parameters) => self.order_watch(client, *parameters),
            Request::GetInfo(_) => self.control.reply(client, info()),
            Request::GetInterfaceDescription(parameters) => {
                self.describe_interface(client, &parameters.interface);
            }
            Request::Stop(_) => {
                self.stop_waiters.push(client);
                self.begin_stop(0, now);
            }
        }
    }

    /// The answers come at the end of each turn.
    fn order_watch(&mut self, client: usize, parameters: WatchParameters) {
        let known = parameters.after.unwrap_or_else(|| self.events.last());
        if !self.control.follow(client, known) {
            let why = "too many clients follow events";
            self.control.fail(client, "org.keepalived.Control.TooManyRequests", why);
        }
    }

    fn describe_interface(&mut self, client: usize, name: &str) {
        match interface::description(name) {
            Some(description) => {
                self.control.reply(client, Description { description: description.to_owned() });
            }
            None => self.control.fail_interface(client, name),
        }
    }

    fn order_drain(&mut self, client: usize, parameters: &DrainParameters, now: MonoTime) {
        let DrainParameters { server, service, drained } = parameters;
        let mut effects = Vec::new();
        let servers = self.broker.drain(server, service.as_deref(), *drained, &mut effects);
        if servers.is_empty() {
            let why = format!("no virtual server has a real server {server}");
            return self.control.fail(client, "org.keepalived.Control.NotDrained", &why);
        }
        for (service, server) in &servers {
            let word = if *drained { "drained" } else { "no longer drained" };
            self.note_event(EventKind::Server, &server_name(service, server), word, "by order");
            self.say(Level::Notice, &format!("{server} of {service} is {word} by order"));
        }
        self.apply(effects, now);
        self.control.reply(client, Drained { servers });
    }

    fn order_restart(&mut self, client: usize, daemon: Daemon, now: MonoTime) {
        let refusal = if self.restart_waiters.contains_key(&daemon) {
            Some("a restart of it is under way")
        } else if self.stage.is_some() || self.committing.is_some() {
            Some("a reload is under way")
        } else if self.stopping.is_some() {
            Some("the suite stops")
        } else if !self.settings.respawn {
            Some("restarts are switched off (--dont-respawn)")
        } else {
            None
        };
        if let Some(why) = refusal {
            return self.control.fail(client, "org.keepalived.Control.NotRestarted", why);
        }
        self.restart_waiters.insert(daemon, client);
        let serial = self.serial();
        self.with_supervisor(daemon, |supervisor, out| supervisor.replace(serial, now, out));
    }
}

fn info() -> Info {
    Info {
        vendor: "keepalived".to_owned(),
        product: "keepalived".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        url: "https://www.keepalived.org/".to_owned(),
        interfaces: vec![interface::SERVICE.to_owned(), INTERFACE.to_owned()],
    }
}
