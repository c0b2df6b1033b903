//! What operators ask of single instances, through the parent: why it is what it is, and to give way.

use config::model::units::{InstanceId, MonoTime, Priority};
use ipc::messages::vrrpd::{GiveWay, VrrpdToParent};

use super::Driver;
use crate::explain;
use crate::proto::machine::Input;

impl Driver {
    /// A Master resigns, and keeps the least priority until the order ends.
    pub(super) fn give_way(&mut self, position: usize, order: GiveWay, now: MonoTime) {
        let Some(router) = self.routers.get_mut(position) else { return };
        if router.config.priority == Priority::OWNER {
            return;
        }
        router.gives_way = order != GiveWay::End;
        let resigns = order == GiveWay::Begin && router.machine.is_master();
        if resigns {
            router.trail.order();
        }
        self.judge(position, now);
        if resigns {
            self.give(position, Input::Demote, now);
        }
    }

    pub(super) fn explain(&mut self, instance: InstanceId, now: MonoTime) {
        let Some(router) = self.routers.get(instance.index()) else { return };
        let links = self.kernel.links();
        let verdict = router.judge(links, &self.trackers, self.receivers.deaf(), now);
        let election = Box::new(explain::election(router, links, &self.trackers, &verdict, now));
        self.outbox.send(VrrpdToParent::Explained { generation: self.generation, instance, election });
    }
}
