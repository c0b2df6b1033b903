//! Which virtual addresses an instance has in the kernel, and what is still to be done about them.
//!
//! Pure: turns "claim", "verify" and "release" into bounded steps of orders, and answers into ownership. An address
//! that was there before us and isn't marked as ours is never removed: an owner's own address must survive a stop.
//! Called by the driver. Input is configuration and what the kernel says.

use config::model::units::{IfIndex, MonoTime};
use config::model::vrrp::{Instance, VirtualAddress};
use netlink::route::PROTOCOL_KEEPALIVED;

use crate::kernel::address::{self, Order};
use crate::kernel::link::{Links, Place};
use crate::kernel::{Answer, STEP};

/// Addresses of one instance, in the order of the configuration, excluded ones after the others.
#[derive(Debug)]
pub struct Holdings {
    owned: Vec<Ownership>,
    work: Work,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Absent,
    Ours(Place),
    Foreign,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    Idle,
    Claim { next: usize },
    Verify { next: usize, added: Vec<usize> },
    Release { next: usize },
}

/// Orders of one step and the addresses that they concern.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Orders for the kernel, at most [`STEP`].
    pub orders: Vec<Order>,
    places: Vec<(usize, Place)>,
    end: usize,
}

/// What a step has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to be done.
    More,
    /// All addresses are in place.
    Claimed,
    /// What was missing is in place again; positions of what had to be added.
    Verified(Vec<usize>),
    /// No address of ours is left.
    Released,
    /// The kernel refused an address; position and its words.
    Refused(usize, String),
}

impl Holdings {
    /// Nothing is held.
    #[must_use]
    pub fn new(instance: &Instance) -> Self {
        Self { owned: vec![Ownership::Absent; count(instance)], work: Work::Idle }
    }

    /// Takes over what is in the kernel and was put there by us. `trust` says what to think of addresses whose maker
    /// the kernel doesn't know: a predecessor's memory vouches for them.
    pub fn adopt(&mut self, instance: &Instance, links: &Links, trust: Trust) {
        for (position, owned) in self.owned.iter_mut().enumerate() {
            let Some(place) = place(instance, position, links) else { continue };
            let Some(address) = links.address(&place) else { continue };
            let ours = match address.protocol {
                Some(maker) => maker == PROTOCOL_KEEPALIVED,
                None => trust == Trust::Predecessor && !links.tells_makers(),
            };
            *owned = if ours { Ownership::Ours(place) } else { Ownership::Foreign };
        }
    }

    /// Carries ownership over to another configuration of the same instance. Returns orders that remove what is no
    /// longer configured.
    pub fn reconfigure(&mut self, old: &Instance, new: &Instance) -> Vec<Order> {
        let mut removed = Vec::new();
        let mut owned = vec![Ownership::Absent; count(new)];
        for (position, ownership) in self.owned.iter().enumerate() {
            let Some(address) = configured(old, position) else { continue };
            let interface = address.interface.as_ref().or(old.interface.as_ref());
            let kept = all(new).position(|candidate| {
                candidate.network == address.network
                    && candidate.interface.as_ref().or(new.interface.as_ref()) == interface
            });
            match (kept.and_then(|kept| owned.get_mut(kept)), ownership) {
                (Some(slot), _) => *slot = *ownership,
                (None, Ownership::Ours(place)) => {
                    removed.push(Order::Remove(address::spec(address, place.index)));
                }
                (None, Ownership::Absent | Ownership::Foreign) => {}
            }
        }
        self.owned = owned;
        removed
    }

    /// Put everything in place.
    pub fn claim(&mut self) {
        self.work = Work::Claim { next: 0 };
    }

    /// Put back what is missing.
    pub fn verify(&mut self) {
        if !matches!(self.work, Work::Claim { .. }) {
            self.work = Work::Verify { next: 0, added: Vec::new() };
        }
    }

    /// Take everything of ours away.
    pub fn release(&mut self) {
        self.work = Work::Release { next: 0 };
    }

    /// True while steps are left.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.work != Work::Idle
    }

    /// True when this place is ours.
    #[must_use]
    pub fn holds(&self, place: &Place) -> bool {
        self.owned.contains(&Ownership::Ours(*place))
    }

    /// True when anything is ours.
    #[must_use]
    pub fn holds_anything(&self) -> bool {
        self.owned.iter().any(|owned| matches!(owned, Ownership::Ours(_)))
    }

    /// Next orders; empty when there is nothing to do.
    #[must_use]
    pub fn step(&self, instance: &Instance, links: &Links) -> Step {
        let start = match &self.work {
            Work::Idle => return Step::default(),
            Work::Claim { next } | Work::Verify { next, .. } | Work::Release { next } => *next,
        };
        let mut step = Step { end: self.owned.len(), ..Step::default() };
        for (position, owned) in self.owned.iter().enumerate().skip(start) {
            if step.orders.len() == STEP {
                step.end = position;
                break;
            }
            let Some(address) = configured(instance, position) else { continue };
            let wanted = match self.work {
                Work::Release { .. } => match owned {
                    Ownership::Ours(place) => Some(*place),
                    Ownership::Absent | Ownership::Foreign => None,
                },
                Work::Verify { .. } => {
                    place(instance, position, links).filter(|place| links.address(place).is_none())
                }
                Work::Claim { .. } => place(instance, position, links),
                Work::Idle => None,
            };
            let Some(place) = wanted else { continue };
            let spec = address::spec(address, place.index);
            step.places.push((position, place));
            step.orders.push(if matches!(self.work, Work::Release { .. }) {
                Order::Remove(spec)
            } else {
                Order::Add(spec)
            });
        }
        step
    }

    /// Enters the kernel's answers to a step.
    pub fn advance(&mut self, step: &Step, answers: &[Answer], links: &Links) -> Progress {
        let releasing = matches!(self.work, Work::Release { .. });
        let mut refused = None;
        let mut fresh = Vec::new();
        for ((position, place), answer) in step.places.iter().zip(answers) {
            let Some(owned) = self.owned.get_mut(*position) else { continue };
            match answer {
                Answer::Done if releasing => *owned = Ownership::Absent,
                Answer::Already if releasing => *owned = Ownership::Absent,
                Answer::Done => {
                    *owned = Ownership::Ours(*place);
                    fresh.push(*position);
                }
                Answer::Already => *owned = found(*owned, *place, links),
                Answer::Refused(words) => refused = refused.or(Some((*position, words.clone()))),
            }
        }
        if let Some((position, words)) = refused.filter(|_| !releasing) {
            self.work = Work::Idle;
            return Progress::Refused(position, words);
        }
        self.proceed(step.end, fresh)
    }

    fn proceed(&mut self, end: usize, fresh: Vec<usize>) -> Progress {
        let finished = end >= self.owned.len();
        let done = match &mut self.work {
            Work::Idle => return Progress::More,
            Work::Claim { next } => {
                *next = end;
                Progress::Claimed
            }
            Work::Verify { next, added } => {
                *next = end;
                added.extend(fresh);
                Progress::Verified(added.clone())
            }
            Work::Release { next } => {
                *next = end;
                Progress::Released
            }
        };
        if finished {
            self.work = Work::Idle;
            done
        } else {
            Progress::More
        }
    }
}

/// What to think of an address whose maker the kernel doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A predecessor says that it held the addresses.
    Predecessor,
    /// Nobody does.
    Nobody,
}

/// An address was there before we added it: ours when we thought so, or when the kernel says that we made it.
fn found(before: Ownership, place: Place, links: &Links) -> Ownership {
    let maker = links.address(&place).map(|address| address.protocol);
    match (before, maker) {
        (Ownership::Ours(_), _) | (_, None | Some(Some(PROTOCOL_KEEPALIVED))) => Ownership::Ours(place),
        (Ownership::Absent | Ownership::Foreign, Some(_)) => Ownership::Foreign,
    }
}

/// All addresses of an instance: carried ones, then excluded ones.
pub fn all(instance: &Instance) -> impl Iterator<Item = &VirtualAddress> {
    instance.addresses.iter().chain(&instance.excluded)
}

/// Number of addresses of an instance.
#[must_use]
pub fn count(instance: &Instance) -> usize {
    instance.addresses.len().saturating_add(instance.excluded.len())
}

/// Address at a position.
#[must_use]
pub fn configured(instance: &Instance, position: usize) -> Option<&VirtualAddress> {
    all(instance).nth(position)
}

/// Name of the interface that an address lives on.
#[must_use]
pub fn interface_of<'a>(instance: &'a Instance, address: &'a VirtualAddress) -> Option<&'a str> {
    address.interface.as_deref().or(instance.interface.as_deref())
}

/// Where the address at a position lives, when its interface exists.
#[must_use]
pub fn place(instance: &Instance, position: usize, links: &Links) -> Option<Place> {
    let address = configured(instance, position)?;
    let link = links.by_name(interface_of(instance, address)?)?;
    Some(address::place(address, IfIndex::new(link.index)))
}

/// How often removed addresses are put back: a tool that removes them in a loop costs [`Restores::LIMIT`] rounds a
/// second, no more.
#[derive(Debug, Default)]
pub struct Restores {
    window_ends: MonoTime,
    used: u32,
}

impl Restores {
    /// Rounds in a second.
    pub const LIMIT: u32 = 20;

    /// When the next round may run: now, or at the end of the second.
    pub fn next(&mut self, now: MonoTime) -> MonoTime {
        if now >= self.window_ends {
            self.window_ends = now + std::time::Duration::from_secs(1);
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        if self.used <= Self::LIMIT { now } else { self.window_ends }
    }
}

#[cfg(test)]
#[path = "holdings_tests.rs"]
mod tests;
