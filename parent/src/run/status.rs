//! The answer to `GetStatus`: everything that the parent knows. Only for counters a daemon is asked, see `table`.

use config::model::units::MonoTime;
use ipc::messages::Confined;
use ipc::messages::ctl::{Daemon, DaemonStatus, InstanceStatus, ParentCounters, Status};

use super::Suite;
use super::processes::identity;

impl Suite {
    pub(super) fn status(&self, now: MonoTime) -> Status {
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
            services: self.broker.service_status(),
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
