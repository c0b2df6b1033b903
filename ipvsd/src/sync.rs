//! Keeps the kernel's synchronisation daemons as `lvs_sync_daemon` says.
//!
//! Pure: decides what is read and written next and learns from the outcome. A daemon of another configuration or role
//! is ended before the right one is started. The kernel may leave an order unanswered, so what is there is read after
//! every order that didn't simply succeed, and about every ten seconds. Without `lvs_sync_daemon` nothing is touched but
//! what was started here. Called by [`crate::keeper`]; the role comes from the parent.

use std::time::Duration;

use config::model::ipvs as model;
use config::model::units::MonoTime;
use ipc::messages::ipvsd::SyncRole as ToldRole;
use netlink::ipvs::{SyncDaemon, SyncRole};
use netlink::socket::Outcome;
use nix::errno::Errno;

/// What is wanted and what is believed to run.
#[derive(Debug, Default)]
pub struct Sync {
    settings: Option<model::SyncDaemon>,
    told: Option<ToldRole>,
    /// A daemon was started here and may have to be ended.
    owned: bool,
    /// `None`: must be read.
    running: Option<Vec<SyncDaemon>>,
    look_at: MonoTime,
    failed: u32,
    complained: bool,
    retry_at: MonoTime,
}

/// An order to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncOperation {
    /// Start a daemon.
    Start(SyncDaemon),
    /// End the daemon of a role.
    Stop(SyncRole),
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read which daemons run; call [`Sync::found`] with them.
    Read,
    /// Give this order; call [`Sync::learn`] with what came of it.
    Write(SyncOperation),
}

impl Sync {
    /// A configuration came into use.
    pub fn configure(&mut self, settings: Option<&model::SyncDaemon>, now: MonoTime) {
        if self.settings.as_ref() != settings {
            self.settings = settings.cloned();
            self.again(now);
        }
    }

    /// The instance that is followed is Master or isn't.
    pub fn follow(&mut self, role: ToldRole, now: MonoTime) {
        if self.told != Some(role) {
            self.told = Some(role);
            self.again(now);
        }
    }

    /// Somebody else may have changed what runs.
    pub fn doubt(&mut self) {
        self.running = None;
    }

    fn again(&mut self, now: MonoTime) {
        self.failed = 0;
        self.complained = false;
        self.retry_at = now;
    }

    /// What is due now, if anything. Ask again after each step.
    #[must_use]
    pub fn due(&self, now: MonoTime) -> Option<Step> {
        if (self.settings.is_none() && !self.owned) || now < self.retry_at {
            return None;
        }
        let Some(running) = self.running.as_ref().filter(|_| now < self.look_at) else {
            return Some(Step::Read);
        };
        let wanted = self.wanted();
        let surplus = running.iter().find(|daemon| !wanted.iter().any(|wanted| fits(wanted, daemon)));
        if let Some(daemon) = surplus {
            return Some(Step::Write(SyncOperation::Stop(daemon.role)));
        }
        let missing = wanted.into_iter().find(|wanted| !running.iter().any(|daemon| fits(wanted, daemon)));
        missing.map(|daemon| Step::Write(SyncOperation::Start(daemon)))
    }

    /// When to ask [`Self::due`] again although nothing was told.
    #[must_use]
    pub fn next(&self) -> Option<MonoTime> {
        (self.settings.is_some() || self.owned).then(|| self.look_at.max(self.retry_at))
    }

    /// Learns which daemons run.
    pub fn found(&mut self, running: Vec<SyncDaemon>, now: MonoTime) {
        if self.settings.is_none() && running.is_empty() {
            self.owned = false;
        }
        self.running = Some(running);
        self.look_at = now + LOOK;
    }

    /// Learns what came of an order; returns a line for the log when there is news.
    pub fn learn(&mut self, operation: &SyncOperation, outcome: &Outcome, now: MonoTime) -> Option<String> {
        let error = match outcome {
            Outcome::Done => {
                self.failed = 0;
                self.complained = false;
                self.apply(operation);
                return None;
            }
            // The order may have been carried out: what runs is read and tells.
            Outcome::Unanswered if self.failed == 0 => {
                self.running = None;
                self.failed = 1;
                return None;
            }
            Outcome::Unanswered => "no answer in time".to_owned(),
            Outcome::Refused(error)
                if error.errno == Errno::ESRCH && matches!(operation, SyncOperation::Stop(_)) =>
            {
                self.apply(operation);
                return None;
            }
            Outcome::Refused(error) => error.to_string(),
        };
        self.running = None;
        self.failed = self.failed.saturating_add(1);
        let seconds = 1_u64.checked_shl(self.failed.saturating_sub(1)).unwrap_or(LONGEST).min(LONGEST);
        self.retry_at = now + Duration::from_secs(seconds);
        let what = match operation {
            SyncOperation::Start(daemon) => {
                format!("start {} sync daemon on {}", role_word(daemon.role), daemon.interface)
            }
            SyncOperation::Stop(role) => format!("stop {} sync daemon", role_word(*role)),
        };
        let news = !std::mem::replace(&mut self.complained, true);
        news.then(|| format!("IPVS cmd {what} error: {error}"))
    }

    /// Orders that end what was started here.
    #[must_use]
    pub fn withdrawal(&self) -> Vec<SyncOperation> {
        let is_ours = self.settings.is_some() || self.owned;
        let both = [SyncRole::Master, SyncRole::Backup].map(SyncOperation::Stop);
        if is_ours { both.to_vec() } else { Vec::new() }
    }

    fn apply(&mut self, operation: &SyncOperation) {
        let Some(running) = &mut self.running else { return };
        match operation {
            SyncOperation::Start(daemon) => {
                self.owned = true;
                running.push(daemon.clone());
            }
            SyncOperation::Stop(role) => {
                running.retain(|daemon| daemon.role != *role);
                if self.settings.is_none() && running.is_empty() {
                    self.owned = false;
                }
            }
        }
    }

    fn wanted(&self) -> Vec<SyncDaemon> {
        let Some(settings) = &self.settings else { return Vec::new() };
        let roles: &[SyncRole] = match (settings.instance, self.told) {
            (None, _) => &[SyncRole::Master, SyncRole::Backup],
            (Some(_), Some(ToldRole::Master)) => &[SyncRole::Master],
            (Some(_), Some(ToldRole::Backup)) => &[SyncRole::Backup],
            (Some(_), None) => &[],
        };
        let daemon = |role: &SyncRole| SyncDaemon {
            role: *role,
            interface: settings.interface.clone(),
            id: settings.id.into(),
            max_length: settings.max_length,
            port: settings.port,
            ttl: settings.ttl,
            group: settings.group,
        };
        roles.iter().map(daemon).collect()
    }
}

/// What the configuration leaves open is the kernel's default; the longest message depends on the interface.
fn fits(wanted: &SyncDaemon, running: &SyncDaemon) -> bool {
    wanted.role == running.role
        && wanted.interface == running.interface
        && wanted.id == running.id
        && (wanted.max_length.is_none()
            || running.max_length.is_none()
            || wanted.max_length == running.max_length)
        && wanted.port.unwrap_or(8848) == running.port.unwrap_or(8848)
        && wanted.ttl.unwrap_or(1) == running.ttl.unwrap_or(1)
        && wanted.group.unwrap_or(GROUP) == running.group.unwrap_or(GROUP)
}

fn role_word(role: SyncRole) -> &'static str {
    match role {
        SyncRole::Master => "master",
        SyncRole::Backup => "backup",
    }
}

const GROUP: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(224, 0, 0, 81));

/// From one look at what runs to the next.
const LOOK: Duration = Duration::from_secs(10);

/// Longest wait after a failure, in seconds.
const LONGEST: u64 = 60;

#[cfg(test)]
mod tests {
    use config::model::units::InstanceId;
    use netlink::frame::KernelError;

    use super::*;

    const START: MonoTime = MonoTime::from_nanos(100_000_000_000);

    fn settings(instance: Option<u32>) -> model::SyncDaemon {
        model::SyncDaemon {
            interface: "eth0".into(),
            instance: instance.map(InstanceId::new),
            id: 51,
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        }
    }

    fn daemon(role: SyncRole) -> SyncDaemon {
        SyncDaemon {
            role,
            interface: "eth0".into(),
            id: 51,
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        }
    }

    /// As the kernel tells it: every default is written out.
    fn told(role: SyncRole) -> SyncDaemon {
        SyncDaemon {
            max_length: Some(1472),
            port: Some(8848),
            ttl: Some(1),
            group: Some("224.0.0.81".parse().unwrap()),
            ..daemon(role)
        }
    }

    /// Does every step on a kernel that is a list; returns what was ordered.
    fn settle(sync: &mut Sync, kernel: &mut Vec<SyncDaemon>, now: MonoTime) -> Vec<SyncOperation> {
        let mut orders = Vec::new();
        while let Some(step) = sync.due(now) {
            match step {
                Step::Read => sync.found(kernel.clone(), now),
                Step::Write(operation) => {
                    match &operation {
                        SyncOperation::Start(daemon) => kernel.push(told(daemon.role)),
                        SyncOperation::Stop(role) => kernel.retain(|daemon| daemon.role != *role),
                    }
                    assert_eq!(sync.learn(&operation, &Outcome::Done, now), None);
                    orders.push(operation);
                }
            }
            assert!(orders.len() < 10, "{orders:?}");
        }
        orders
    }

    #[test]
    fn the_role_follows_the_instance_and_the_old_one_ends_first() {
        let (mut sync, mut kernel) = (Sync::default(), Vec::new());
        sync.configure(Some(&settings(Some(0))), START);
        assert_eq!(settle(&mut sync, &mut kernel, START), []);
        sync.follow(ToldRole::Backup, START);
        assert_eq!(settle(&mut sync, &mut kernel, START), [SyncOperation::Start(daemon(SyncRole::Backup))]);
        sync.follow(ToldRole::Master, START);
        assert_eq!(
            settle(&mut sync, &mut kernel, START),
            [SyncOperation::Stop(SyncRole::Backup), SyncOperation::Start(daemon(SyncRole::Master))]
        );
        assert_eq!(sync.withdrawal().len(), 2);
    }

    #[test]
    fn without_an_instance_both_roles_run() {
        let (mut sync, mut kernel) = (Sync::default(), Vec::new());
        sync.configure(Some(&settings(None)), START);
        assert_eq!(settle(&mut sync, &mut kernel, START).len(), 2);
    }

    #[test]
    fn what_a_predecessor_started_is_left_alone() {
        let (mut sync, mut kernel) = (Sync::default(), vec![told(SyncRole::Master)]);
        sync.configure(Some(&settings(Some(0))), START);
        sync.follow(ToldRole::Master, START);
        assert_eq!(settle(&mut sync, &mut kernel, START), []);
    }

    #[test]
    fn another_port_is_a_stop_and_a_start() {
        let (mut sync, mut kernel) = (Sync::default(), vec![told(SyncRole::Master)]);
        let settings = model::SyncDaemon { port: Some(9000), ..settings(Some(0)) };
        sync.configure(Some(&settings), START);
        sync.follow(ToldRole::Master, START);
        assert_eq!(sync.due(START), Some(Step::Read));
        sync.found(kernel.clone(), START);
        let stop = SyncOperation::Stop(SyncRole::Master);
        assert_eq!(sync.due(START), Some(Step::Write(stop.clone())));
        sync.learn(&stop, &Outcome::Done, START);
        kernel.clear();
        let start = SyncDaemon { port: Some(9000), ..daemon(SyncRole::Master) };
        assert_eq!(sync.due(START), Some(Step::Write(SyncOperation::Start(start))));
    }

    #[test]
    fn without_settings_only_what_was_started_here_is_ended() {
        let (mut sync, mut kernel) = (Sync::default(), vec![told(SyncRole::Master)]);
        assert_eq!(settle(&mut sync, &mut kernel, START), []);
        assert_eq!(sync.withdrawal(), []);
        kernel.clear();
        sync.configure(Some(&settings(None)), START);
        settle(&mut sync, &mut kernel, START);
        sync.configure(None, START);
        assert_eq!(settle(&mut sync, &mut kernel, START).len(), 2);
        assert!(kernel.is_empty());
        assert_eq!(sync.next(), None);
    }

    #[test]
    fn an_unanswered_stop_that_was_done_leads_to_no_second_one() {
        let mut sync = Sync::default();
        sync.configure(Some(&settings(Some(0))), START);
        sync.follow(ToldRole::Master, START);
        sync.found(vec![told(SyncRole::Backup)], START);
        let stop = SyncOperation::Stop(SyncRole::Backup);
        assert_eq!(sync.due(START), Some(Step::Write(stop.clone())));
        assert_eq!(sync.learn(&stop, &Outcome::Unanswered, START), None);
        assert_eq!(sync.due(START), Some(Step::Read));
        sync.found(Vec::new(), START);
        assert_eq!(sync.due(START), Some(Step::Write(SyncOperation::Start(daemon(SyncRole::Master)))));
    }

    #[test]
    fn a_missing_interface_is_told_once_and_tried_again_after_1_2_4_seconds() {
        let mut sync = Sync::default();
        sync.configure(Some(&settings(None)), START);
        let start = SyncOperation::Start(daemon(SyncRole::Master));
        let refused = Outcome::Refused(KernelError::bare(Errno::ENODEV));
        let mut now = START;
        let mut lines = Vec::new();
        for seconds in [1, 2, 4] {
            sync.found(Vec::new(), now);
            lines.extend(sync.learn(&start, &refused, now));
            assert_eq!(sync.due(now + Duration::from_millis(seconds * 1000 - 1)), None);
            now = now + Duration::from_secs(seconds);
            assert_eq!(sync.due(now), Some(Step::Read));
        }
        assert!(lines[0].starts_with("IPVS cmd start master sync daemon on eth0 error: "), "{lines:?}");
        assert_eq!(lines.len(), 1);
    }
}
