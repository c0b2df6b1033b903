//! Addresses and routes of instances: steps of all of them in as few requests as the kernel takes, and what follows.

use std::time::Duration;

use config::model::units::MonoTime;
use ipc::messages::Level;
use ipc::reactor::now as clock;

use super::Driver;
use crate::holdings::{self, Progress, Step};
use crate::log;
use crate::proto::machine::{Entered, Notify};
use crate::router::Refusal;

/// Most orders of several instances in one request: about a millisecond of the kernel's time.
const TOGETHER: usize = 32;

impl Driver {
    /// A step of every instance that has something to do, as far as the time goes; those that are left come first
    /// in the next turn. Many that become Master together share requests.
    pub(super) fn step_addresses(&mut self, now: MonoTime, end: MonoTime) {
        let mut left = self.routers.len();
        while left > 0 {
            let mut orders = Vec::new();
            let mut steps: Vec<(usize, Step, usize)> = Vec::new();
            while left > 0 {
                if self.next_step >= self.routers.len() {
                    self.next_step = 0;
                }
                let Some(router) = self.routers.get_mut(self.next_step) else { return };
                if router.holdings.is_busy() {
                    let mut step = router.holdings.step(&router.config, self.kernel.links());
                    let count = step.orders.len();
                    if !steps.is_empty() && orders.len().saturating_add(count) > TOGETHER {
                        break;
                    }
                    orders.append(&mut step.orders);
                    steps.push((self.next_step, step, count));
                }
                self.next_step = self.next_step.saturating_add(1);
                left = left.saturating_sub(1);
            }
            if steps.is_empty() {
                return;
            }
            let mut answers = self.kernel.order(&orders).into_iter();
            // All are entered before any has consequences: those may turn around what another one does.
            let mut outcomes = Vec::with_capacity(steps.len());
            for (position, step, count) in steps {
                let own: Vec<_> = answers.by_ref().take(count).collect();
                if let Some(router) = self.routers.get_mut(position) {
                    outcomes.push((position, router.holdings.advance(&step, &own, self.kernel.links())));
                }
            }
            for (position, progress) in outcomes {
                self.follow(position, progress, now);
            }
            if clock() >= end {
                return;
            }
        }
    }

    fn follow(&mut self, position: usize, progress: Progress, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        for complaint in router.holdings.complaints() {
            if let Some(suppressed) = router.limits.allow(log::ROUTE_REFUSED, now, &mut self.budget) {
                let text = format!("({}) the kernel refused {complaint}", router.config.name);
                self.outbox.log(Level::Error, log::with_suppressed(text, suppressed));
            }
        }
        match progress {
            Progress::More | Progress::Released => {}
            Progress::Claimed if !router.machine.is_master() => {}
            Progress::Claimed => {
                router.refusal = None;
                router.announcer.claimed(now);
                router.renew_at = router.config.lease.map(|lease| now + lease_half(lease));
                let news = std::mem::take(&mut router.master_news);
                let because = router.trail.because.clone();
                if news {
                    self.tell_transition(position, Notify::News, because);
                }
            }
            Progress::Verified(added) => {
                router.announcer.resumed(now);
                router.renew_at = router.config.lease.map(|_| now);
                let configured = std::mem::take(&mut router.sets_addresses);
                if configured {
                    for line in log::holding(&router.config, Entered::Master, true) {
                        self.outbox.log(Level::Debug, line);
                    }
                }
                for address in added {
                    if !configured {
                        self.say_put_back(position, address, now);
                    }
                    self.announce_added(position, address, now);
                }
            }
            Progress::Refused(address, words) => self.address_refused(position, address, &words, now),
        }
    }

    /// An address that somebody else had removed is in place again.
    fn say_put_back(&mut self, position: usize, address: usize, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        if let Some(suppressed) = router.limits.allow(log::RESTORED, now, &mut self.budget)
            && let Some(configured) = holdings::configured(&router.config, address)
        {
            let text = format!("({}) put back address {}", router.config.name, configured.network);
            self.outbox.log(Level::Warning, log::with_suppressed(text, suppressed));
        }
    }

    /// An address that has come to those that were there: that one alone is announced.
    fn announce_added(&mut self, position: usize, address: usize, now: MonoTime) {
        let Some(router) = self.routers.get(position) else { return };
        let repeat = router.config.announce.repeat;
        for round in 0..repeat.min(MAX_REPEAT) {
            self.announce(position, address, (round == 0).into(), now);
        }
    }

    /// The instance goes to FAULT, so that a peer takes over, and tries again later.
    fn address_refused(&mut self, position: usize, address: usize, words: &str, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        router.refusal = Some(Refusal::after(router.refusal, now));
        router.master_news = false;
        let name = &router.config.name;
        let network =
            holdings::configured(&router.config, address).map(|address| address.network.to_string());
        let network = network.unwrap_or_default();
        self.outbox.log(Level::Error, format!("({name}) the kernel refused address {network}: {words}"));
        self.judge(position, now);
    }
}

/// Half of a lease.
fn lease_half(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds)) / 2
}

/// Announcements of one address that was put back.
const MAX_REPEAT: u32 = 10;
