//! Failover by hand: a Master gives way to its peers for a while.
//!
//! The parent keeps who does and until when, so that it lasts over reloads and deaths of vrrpd; vrrpd lowers the
//! priority. It ends by itself, by order, and with the suite.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::{InstanceId, MonoTime, Priority};
use ipc::messages::Level;
use ipc::messages::ctl::events::EventKind;
use ipc::messages::ctl::{Daemon, FailedOver, FailoverParameters, LONGEST_FAILOVER_S};
use ipc::messages::vrrpd::{GiveWay, ParentToVrrpd, VrrpState};

use super::Suite;
use crate::supervisor::Serial;

/// Who gives way, by name, and until when.
#[derive(Debug, Default)]
pub(super) struct Failovers(BTreeMap<String, MonoTime>);

impl Failovers {
    /// Seconds that are left, rounded up.
    pub(super) fn left(&self, instance: &str, now: MonoTime) -> Option<u64> {
        self.0.get(instance).map(|until| until.since(now).as_millis().div_ceil(1_000))?.try_into().ok()
    }

    pub(super) fn deadline(&self) -> Option<MonoTime> {
        self.0.values().copied().min()
    }
}

impl Suite {
    pub(super) fn order_failover(&mut self, client: usize, parameters: &FailoverParameters, now: MonoTime) {
        let members = self.broker.companions(&parameters.instance);
        let done = match parameters.seconds {
            Some(seconds) => self.begin_failover(&parameters.instance, &members, seconds, now),
            None => self.end_failover(&parameters.instance, &members),
        };
        match done {
            Ok(instances) => self.control.reply(client, FailedOver { instances }),
            Err(why) => self.control.fail(client, "org.keepalived.Control.NotFailedOver", &why),
        }
    }

    fn begin_failover(
        &mut self,
        name: &str,
        members: &[InstanceId],
        seconds: u32,
        now: MonoTime,
    ) -> Result<Vec<String>, String> {
        if !(1..=LONGEST_FAILOVER_S).contains(&seconds) {
            return Err(format!("a failover lasts 1 to {LONGEST_FAILOVER_S} seconds, not {seconds}"));
        }
        if members.is_empty() {
            return Err(format!("no instance or sync group is called {name}"));
        }
        let serial = self.running(Daemon::Vrrpd).ok_or("vrrpd does not run")?;
        let mut names = Vec::new();
        for member in members {
            let Some((name, state, priority)) = self.broker.instance(*member) else { continue };
            if state != VrrpState::Master {
                return Err(format!("{name} is {}: only a Master can give way", state.word()));
            }
            if priority == Priority::OWNER {
                return Err(format!(
                    "{name} owns its addresses (priority 255): its peers would give them back"
                ));
            }
            names.push(name.to_owned());
        }
        let until = now + Duration::from_secs(u64::from(seconds));
        for name in &names {
            self.failovers.0.insert(name.clone(), until);
            self.say(Level::Notice, &format!("({name}) gives way by order for {seconds} s"));
            self.note_event(EventKind::Instance, name, "failover", &format!("by order, for {seconds} s"));
        }
        self.tell_way(serial, members, GiveWay::Begin);
        Ok(names)
    }

    fn end_failover(&mut self, name: &str, members: &[InstanceId]) -> Result<Vec<String>, String> {
        let named = |member: &InstanceId| Some(self.broker.instance(*member)?.0.to_owned());
        let names: Vec<String> =
            members.iter().filter_map(named).filter(|name| self.failovers.0.contains_key(name)).collect();
        if names.is_empty() {
            return Err(format!("{name} does not give way"));
        }
        self.finish_failover(&names, "by order");
        Ok(names)
    }

    fn finish_failover(&mut self, names: &[String], why: &str) {
        for name in names {
            self.failovers.0.remove(name);
            self.say(Level::Notice, &format!("({name}) no longer gives way: {why}"));
            self.note_event(EventKind::Instance, name, "failover over", why);
            let found = self.broker.find(name).instances;
            if let Some(serial) = self.running(Daemon::Vrrpd) {
                self.tell_way(serial, &found, GiveWay::End);
            }
        }
    }

    pub(super) fn tick_failovers(&mut self, now: MonoTime) {
        if self.failovers.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let over = |(name, until): (&String, &MonoTime)| (now >= *until).then(|| name.clone());
        let names: Vec<String> = self.failovers.0.iter().filter_map(over).collect();
        self.finish_failover(&names, "its time is over");
    }

    /// Tells a process that uses the committed configuration who gives way.
    pub(super) fn tell_failovers(&mut self, serial: Serial) {
        let known = std::mem::take(&mut self.failovers.0);
        let kept: BTreeMap<String, MonoTime> =
            known.into_iter().filter(|(name, _)| !self.broker.find(name).instances.is_empty()).collect();
        for name in kept.keys() {
            let found = self.broker.find(name).instances;
            self.tell_way(serial, &found, GiveWay::Continue);
        }
        self.failovers.0 = kept;
    }

    fn tell_way(&mut self, serial: Serial, members: &[InstanceId], order: GiveWay) {
        let generation = self.broker.generation();
        for &instance in members {
            self.tell_vrrpd(serial, &ParentToVrrpd::GiveWay { generation, instance, order });
        }
    }
}
