//! Leases: addresses that the kernel removes by itself are renewed at half of their time while this process lives.
//!
//! Renewals of all instances that come near go into one queue, which the kernel gets in batches between adverts.

use config::model::units::MonoTime;
use ipc::messages::Level;

use super::Driver;
use crate::kernel::{Answer, STEP};
use crate::log;
use std::time::Duration;

impl Driver {
    /// Queues what is due, together with what would be due soon.
    pub(super) fn queue_renewals(&mut self, now: MonoTime) {
        let due = |at: Option<MonoTime>| at.is_some_and(|at| now >= at);
        if !self.routers.iter().any(|router| due(router.renew_at)) {
            return;
        }
        for (position, router) in self.routers.iter_mut().enumerate() {
            let half = Duration::from_secs(u64::from(router.config.lease.unwrap_or(0))) / 2;
            if router.renew_at.is_none_or(|at| at > now + half / 2) {
                continue;
            }
            router.renew_at = None;
            if router.machine.is_master() {
                let orders = router.holdings.renewals(&router.config);
                self.renewals.extend(orders.into_iter().map(|order| (position, order)));
                router.renew_at = router.config.lease.map(|_| now + half);
            }
        }
    }

    /// Has one batch of renewals done. An address that has expired is back by that.
    pub(super) fn renew(&mut self, now: MonoTime) {
        let count = self.renewals.len().min(STEP);
        let batch: Vec<_> = self.renewals.drain(..count).map(|(_, order)| order).collect();
        for answer in self.kernel.order(&batch) {
            if let Answer::Refused(words) | Answer::Impossible(words) = answer
                && let Some(suppressed) = self.static_limits.allow(log::RESTORED, now, &mut self.budget)
            {
                let text = format!("the kernel refused to renew an address: {words}");
                self.outbox.log(Level::Error, log::with_suppressed(text, suppressed));
            }
        }
    }
}
