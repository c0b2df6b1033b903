//! Sync groups: instances that are Master, Backup or in FAULT together (keepalived.conf(5), `vrrp_sync_group`).
//!
//! Decides when a group rises or falls, and who sees whose faults; the machines do the rest. Called by the driver
//! after every change of a member.

use std::collections::BTreeSet;

/// What a member is, as far as its group is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not started, or in FAULT.
    Out,
    /// Backup, and held back by a Master on its segment.
    Held,
    /// Backup whose Master has fallen silent.
    Ready,
    /// Master.
    Master,
}

/// What the group has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Stay,
    /// All members become Master.
    Rise,
    /// Members that are Master become Backup.
    Fall,
}

/// A group rises when no member is held back by a Master on its segment, and falls as soon as one member has left
/// Master. FAULT needs no move: every member sees the faults of the others.
#[must_use]
pub fn settle(members: impl Iterator<Item = Standing>) -> Move {
    let (mut masters, mut ready, mut held, mut out) = (false, false, false, false);
    for member in members {
        match member {
            Standing::Out => out = true,
            Standing::Held => held = true,
            Standing::Ready => ready = true,
            Standing::Master => masters = true,
        }
    }
    if masters && (ready || held) {
        Move::Fall
    } else if ready && !masters && !held && !out {
        Move::Rise
    } else {
        Move::Stay
    }
}

/// Who of a group keeps the others from taking part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Troubles {
    faulty: BTreeSet<usize>,
    pending: BTreeSet<usize>,
}

impl Troubles {
    /// Enters what is known of a member; true when the others see something else now.
    pub fn enter(&mut self, member: usize, faulty: bool, pending: bool) -> bool {
        let before = (view(&self.faulty), view(&self.pending));
        for (set, present) in [(&mut self.faulty, faulty), (&mut self.pending, pending)] {
            if present {
                set.insert(member);
            } else {
                set.remove(&member);
            }
        }
        before != (view(&self.faulty), view(&self.pending))
    }

    /// True when another member is in FAULT.
    #[must_use]
    pub fn others_are_faulty(&self, member: usize) -> bool {
        self.faulty.iter().any(|other| *other != member)
    }

    /// True when another member waits for a script that has not run yet.
    #[must_use]
    pub fn others_are_pending(&self, member: usize) -> bool {
        self.pending.iter().any(|other| *other != member)
    }
}

/// What the members see of a set: nobody, one whom only the others see, or several.
fn view(set: &BTreeSet<usize>) -> Option<usize> {
    match set.len() {
        0 => None,
        1 => set.first().copied(),
        _ => Some(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Held, Master, Out, Ready};
    use super::*;

    fn of(members: &[Standing]) -> Move {
        settle(members.iter().copied())
    }

    #[test]
    fn a_group_rises_when_the_last_member_is_ready() {
        assert_eq!(of(&[Ready, Held]), Move::Stay);
        assert_eq!(of(&[Ready, Ready]), Move::Rise);
        assert_eq!(of(&[Ready, Out]), Move::Stay);
        assert_eq!(of(&[Held, Held]), Move::Stay);
    }

    #[test]
    fn a_group_falls_with_its_first_member() {
        assert_eq!(of(&[Master, Held]), Move::Fall);
        assert_eq!(of(&[Master, Ready]), Move::Fall);
        assert_eq!(of(&[Master, Master]), Move::Stay);
        assert_eq!(of(&[Master, Out]), Move::Stay, "the faults of the other member end it");
    }

    #[test]
    fn a_member_sees_the_faults_of_the_others_and_not_its_own() {
        let mut troubles = Troubles::default();
        assert!(troubles.enter(1, true, false));
        assert!(!troubles.others_are_faulty(1));
        assert!(troubles.others_are_faulty(2));
        assert!(troubles.enter(2, true, false), "the first one sees the second one now");
        assert!(troubles.others_are_faulty(1));
        assert!(!troubles.enter(3, true, false), "everybody has seen somebody already");
        assert!(!troubles.enter(3, false, false));
        assert!(troubles.enter(2, false, false));
        assert!(!troubles.others_are_faulty(1));
    }
}
