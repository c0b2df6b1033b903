//! Release: withdraws in a dead vrrpd's place what it held, by a one-shot `vrrpd --release`, and by hand if that fails.
//!
//! Driver. That it has to be is [`crate::supervisor`]'s decision. What is withdrawn stands in the committed model; the slots
//! that the dead one has left say no more than who was Master, and when it spoke.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use config::model::units::{InstanceId, MonoTime};
use ipc::channel::Channel;
use ipc::messages::ctl::Daemon;
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpdToParent};
use ipc::messages::{FromDaemon, Level};
use ipc::reactor::{self, Ready};
use sandbox::spawn::Spawned;
use sandbox::system::process::{pidfd_send_signal, wait_pidfd};

use super::launch::launch;
use super::{Source, Suite};
use crate::effects::addresses;
use crate::resign::{self, ResignError};

/// A release that is under way.
#[derive(Debug)]
pub(super) struct Releasing {
    process: Spawned,
    channel: Channel<ParentToVrrpd, VrrpdToParent>,
    keys: [usize; 2],
    pub(super) deadline: MonoTime,
    done: bool,
}

const PATIENCE: Duration = Duration::from_millis(1_500);

/// Messages of one turn; who has more to say is not listened to.
const MESSAGES: usize = 1_024;

impl Suite {
    /// A daemon can't be succeeded in time: what it held is withdrawn. Only vrrpd holds anything that may not stay.
    pub(super) fn release(&mut self, daemon: Daemon, now: MonoTime) {
        if daemon != Daemon::Vrrpd || self.releasing.is_some() || self.vault.shortest_patience().is_none() {
            return;
        }
        if self.stopping.is_some() && self.settings.keep_addresses {
            return;
        }
        self.say(Level::Warning, "releasing the addresses of the dead VRRP process");
        match self.try_release(now) {
            Ok(releasing) => self.releasing = Some(releasing),
            Err(why) => {
                self.say(Level::Error, &format!("release: {why}"));
                self.withdraw_by_hand();
                self.forget_masters(now);
            }
        }
    }

    fn try_release(&mut self, now: MonoTime) -> Result<Releasing, ResignError> {
        let (process, socket) =
            launch(&self.settings, &self.broker.part().process, Daemon::Vrrpd, &["--release"])?;
        let keys = [self.key(Source::Release), self.key(Source::ReleasePidfd)];
        match self.order_release(&process, socket, keys) {
            Ok(channel) => Ok(Releasing { process, channel, keys, deadline: now + PATIENCE, done: false }),
            Err(why) => {
                self.abandon(process, keys);
                Err(why)
            }
        }
    }

    fn order_release(
        &self,
        process: &Spawned,
        socket: UnixStream,
        keys: [usize; 2],
    ) -> Result<Channel<ParentToVrrpd, VrrpdToParent>, ResignError> {
        let mut channel: Channel<ParentToVrrpd, VrrpdToParent> = Channel::new(socket, true)?;
        let (slots, model) = (self.vault.slots().as_fd(), self.parts.vrrpd.as_fd());
        resign::order(&mut channel, self.broker.generation(), slots, model)?;
        self.reactor.watch(channel.as_raw_fd(), keys[0])?;
        self.reactor.watch_reads(process.pidfd.as_raw_fd(), keys[1])?;
        Ok(channel)
    }

    /// The release process speaks.
    pub(super) fn on_release(&mut self, event: Ready, _now: MonoTime) {
        let mut lines = Vec::new();
        let Some(releasing) = &mut self.releasing else { return };
        if event.writable {
            let _gone_is_seen_by_pidfd = releasing.channel.flush();
        }
        for _message in 0..MESSAGES {
            let Ok(Some((message, _))) = releasing.channel.receive() else { break };
            if let VrrpdToParent::Common(FromDaemon::Log { level, text }) = message {
                lines.push((level, text));
            } else if message == VrrpdToParent::Common(FromDaemon::Stopped) {
                releasing.done = true;
            }
        }
        let pid = releasing.process.pid;
        for (level, text) in lines {
            self.relay(Daemon::Vrrpd, pid, level, &text);
        }
    }

    /// The release process has ended.
    pub(super) fn on_release_end(&mut self, now: MonoTime) {
        self.on_release(Ready::again(0), now);
        let Some(releasing) = &self.releasing else { return };
        if matches!(wait_pidfd(releasing.process.pidfd.as_fd()), Ok(None)) {
            return;
        }
        let (done, keys) = (releasing.done, releasing.keys);
        self.releasing = None;
        for key in keys {
            self.sources.remove(&key);
        }
        if !done {
            self.say(Level::Error, "release failed: addresses are deleted one by one");
            self.withdraw_by_hand();
        }
        self.forget_masters(now);
        for (daemon, serial) in std::mem::take(&mut self.after_release) {
            self.actions.push_back((daemon, crate::supervisor::Action::Spawn(serial)));
        }
    }

    pub(super) fn tick_release(&mut self, now: MonoTime) {
        if let Some(releasing) = &mut self.releasing
            && now >= releasing.deadline
        {
            let _already_gone = pidfd_send_signal(releasing.process.pidfd.as_fd(), 9);
            releasing.deadline = now + PATIENCE;
        }
    }

    fn withdraw_by_hand(&mut self) {
        match addresses::withdraw(&self.broker.part().held(), reactor::now) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => self.say(Level::Warning, &format!("withdrawn: {}", removed.join(" "))),
            Err(why) => self.say(Level::Alert, &format!("addresses can't be withdrawn: {why}")),
        }
    }

    /// Slots of released instances are empty, their scripts are told FAULT: this node serves them no more.
    fn forget_masters(&mut self, now: MonoTime) {
        for index in 0..self.vault.slots().count() {
            let _never_fails_below_count = self.vault.slots().clear(InstanceId::new(index));
        }
        self.vault.empty();
        let mut effects = Vec::new();
        self.broker.released(&mut effects);
        self.apply(effects, now);
    }
}
