//! Sync groups: gives members the moves that `proto::sync_group` decides on, and keeps successors together.
//!
//! Called by the loop after every change of a member's state. Its input is our own machines' alone.

use config::model::units::MonoTime;
use config::model::vrrp::SyncGroup;
use ipc::messages::Level;
use ipc::messages::vrrpd::VrrpState;

use super::Driver;
use crate::log;
use crate::proto::faults::Reason;
use crate::proto::machine::{Entered, Input, Memory, State};
use crate::proto::sync_group::{Move, Troubles, settle};
use crate::router::{Membership, Router, Verdict};

/// A sync group at run time.
#[derive(Debug)]
pub(super) struct Group {
    name: String,
    members: Vec<usize>,
    troubles: Troubles,
}

/// Moves that one change of a member may bring about; a group that rises or falls has settled by then.
const MAX_MOVES: usize = 2;

impl Driver {
    /// Takes the groups of a new configuration; members learn where they belong.
    pub(super) fn form_groups(&mut self, configs: &[SyncGroup], now: MonoTime) {
        self.groups.clear();
        let mut memberships: Vec<Option<Membership>> = vec![None; self.routers.len()];
        for (group, config) in configs.iter().enumerate() {
            let members: Vec<usize> = config.members.iter().map(|member| member.index()).collect();
            let eager = members.iter().all(|member| self.routers.get(*member).is_some_and(is_eager));
            for member in &members {
                if let Some(membership) = memberships.get_mut(*member) {
                    *membership = Some(Membership { group, eager });
                }
            }
            self.groups.push(Group { name: config.name.clone(), members, troubles: Troubles::default() });
        }
        for (router, membership) in self.routers.iter_mut().zip(memberships) {
            router.group = membership;
            let settings = router.settings();
            let mut unsaid = Vec::new();
            // Other settings move deadlines and cause no action.
            router.machine.handle(Input::Configure(settings), now, &mut unsaid);
        }
    }

    /// Enters what is known of all members, so that the first one to be judged sees the others.
    pub(super) fn survey_groups(&mut self, now: MonoTime) {
        for group in &mut self.groups {
            for member in &group.members {
                let Some(router) = self.routers.get(*member) else { continue };
                let verdict = router.judge(self.kernel.links(), &self.trackers, self.receivers.deaf(), now);
                group.troubles.enter(*member, !verdict.faults.is_empty(), verdict.hold);
            }
        }
    }

    /// Members of the group of an instance, itself included; nobody for an instance without group.
    pub(super) fn companions(&self, position: usize) -> Vec<usize> {
        let membership = self.routers.get(position).and_then(|router| router.group);
        membership
            .and_then(|membership| self.groups.get(membership.group))
            .map_or_else(Vec::new, |group| group.members.clone())
    }

    /// Lets a group follow its members.
    pub(super) fn settle_group(&mut self, position: usize, now: MonoTime) {
        if self.settling || self.routers.get(position).is_none_or(|router| router.group.is_none()) {
            return;
        }
        let members = self.companions(position);
        self.settling = true;
        for _ in 0..MAX_MOVES {
            let standings = members.iter().filter_map(|member| Some(self.routers.get(*member)?.standing()));
            let (input, state) = match settle(standings) {
                Move::Stay => break,
                Move::Rise => (Input::Promote, VrrpState::Master),
                Move::Fall => (Input::Demote, VrrpState::Backup),
            };
            // Who has brought it about comes first, with its news: scripts and pipes see the group follow it.
            self.next_step = position;
            self.give(position, input.clone(), now);
            self.say_syncing(position, state);
            for member in members.iter().filter(|member| **member != position) {
                self.give(*member, input.clone(), now);
            }
        }
        self.settling = false;
    }

    /// The first member that falls into FAULT takes the others with it, and the first one that leaves it, too.
    pub(super) fn say_group_follows(&mut self, position: usize, state: Entered) {
        let faulty = |member: &usize| {
            let router = self.routers.get(*member).filter(|_| *member != position);
            router.map(|router| matches!(router.machine.state(), State::Fault(_)))
        };
        let others: Vec<bool> = self.companions(position).iter().filter_map(faulty).collect();
        if others.is_empty() {
            return;
        }
        match state {
            Entered::Fault if others.iter().all(|faulty| !faulty) => {
                self.say_syncing(position, VrrpState::Fault);
            }
            Entered::Backup if others.iter().all(|faulty| *faulty) => {
                self.say_syncing(position, VrrpState::Backup);
            }
            Entered::Fault | Entered::Backup | Entered::BackupAtStart | Entered::Master => {}
        }
    }

    fn say_syncing(&mut self, position: usize, state: VrrpState) {
        let membership = self.routers.get(position).and_then(|router| router.group);
        if let Some(group) = membership.and_then(|membership| self.groups.get(membership.group)) {
            self.outbox.log(Level::Info, log::syncing(&group.name, state));
        }
    }

    /// Adds what the other members of its group mean to an instance; they are judged again when they see another
    /// picture than before.
    pub(super) fn judge_in_group(&mut self, position: usize, verdict: &mut Verdict) {
        let membership = self.routers.get(position).and_then(|router| router.group);
        let Some(group) = membership.and_then(|membership| self.groups.get_mut(membership.group)) else {
            return;
        };
        let changed = group.troubles.enter(position, !verdict.faults.is_empty(), verdict.hold);
        if group.troubles.others_are_faulty(position) {
            verdict.faults.add(Reason::SyncGroup);
        }
        let others_are_pending = group.troubles.others_are_pending(position);
        verdict.hold |= others_are_pending;
        verdict.awaits_script |= others_are_pending;
        if changed {
            let others: Vec<usize> =
                group.members.iter().copied().filter(|member| *member != position).collect();
            self.judge_later.extend(others);
        }
    }

    /// A successor's group is Master only when every member still may be; otherwise all start afresh.
    pub(super) fn keep_together(&self, memories: &mut [Option<Memory>], now: MonoTime) {
        for group in &self.groups {
            let is_alive = |member: &usize| {
                let adverts = self.routers.get(*member).map(|router| router.config.down_timer_adverts);
                match (memories.get(*member).copied().flatten(), adverts) {
                    (Some(Memory::Master { last_advert, interval }), Some(adverts)) => {
                        now < last_advert + interval.duration() * u32::from(adverts)
                    }
                    _ => false,
                }
            };
            if group.members.iter().all(is_alive) {
                continue;
            }
            for member in &group.members {
                if let Some(Some(Memory::Master { last_advert, .. })) = memories.get_mut(*member) {
                    *last_advert = MonoTime::default();
                }
            }
        }
    }
}

/// True for an owner that is configured as Master.
fn is_eager(router: &Router) -> bool {
    router.config.wants_master && router.config.priority == config::model::units::Priority::OWNER
}
