//! Static items: has `statics` decide, tells the kernel, logs what it refuses.

use config::model::network::Statics;
use config::model::units::MonoTime;
use ipc::messages::Level;

use super::Driver;
use crate::kernel::STEP;
use crate::log;

impl Driver {
    /// Takes the static items of a configuration. Those of a first one are put in place at once: an instance may send
    /// from one of them.
    pub(super) fn take_statics(&mut self, statics: Statics, first: bool, inherited: bool, now: MonoTime) {
        let removed = self.statics.reconfigure(statics);
        for orders in removed.chunks(STEP) {
            self.kernel.order(orders);
        }
        self.kernel.follow_statics(&self.statics.config);
        if inherited {
            self.statics.adopt(self.kernel.links());
        }
        if self.statics.config.is_empty() {
            return;
        }
        if !self.statics.config.routes.is_empty() {
            self.follow_routes();
        }
        self.statics.holdings.claim();
        while first && self.statics.holdings.is_busy() {
            self.step_statics(now);
        }
        if first {
            self.read_tables(now);
        }
    }

    /// One step of static items; instances that depend on them are judged when all are done.
    pub(super) fn step_statics(&mut self, now: MonoTime) {
        let statics = &mut self.statics;
        let step = statics.holdings.step(&statics.config, self.kernel.links());
        let answers = self.kernel.order(&step.orders);
        statics.holdings.advance(&step, &answers, self.kernel.links());
        for complaint in statics.holdings.complaints() {
            if let Some(suppressed) = self.static_limits.allow(log::ROUTE_REFUSED, now, &mut self.budget) {
                let text = format!("the kernel refused static {complaint}");
                self.outbox.log(Level::Error, log::with_suppressed(text, suppressed));
            }
        }
        self.judge_all |= !statics.holdings.is_busy() && !statics.config.groups.is_empty();
    }
}
