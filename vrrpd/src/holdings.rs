//! Which virtual addresses and routes an instance has in the kernel, and what is still to be done about them.
//!
//! Pure: turns "claim", "verify" and "release" into bounded steps of orders, and answers into ownership. An address
//! that was there before us and isn't marked as ours is never removed: an owner's own address must survive a stop.
//! Called by the driver. Input is configuration and what the kernel says.

use config::model::network::Statics;
use config::model::units::{IfIndex, MonoTime};
use config::model::vrrp::{Instance, VirtualAddress, VirtualRoute};
use netlink::route::{PROTOCOL_KEEPALIVED, RouteSpec};

use crate::kernel::address::{self, Order};
use crate::kernel::link::{Links, Place};
use crate::kernel::{Answer, STEP, route};

/// What shall be in the kernel.
pub trait Claims {
    /// Addresses, in the order in which they are put in place.
    fn addresses(&self) -> impl Iterator<Item = &VirtualAddress>;
    /// Routes, which come after them.
    fn routes(&self) -> &[VirtualRoute];
    /// Interface of addresses that name none.
    fn interface(&self) -> Option<&str>;
    /// Seconds after which the kernel removes an address that nobody renews.
    fn lease(&self) -> Option<u32>;
}

impl Claims for Instance {
    fn addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().chain(&self.excluded)
    }

    fn routes(&self) -> &[VirtualRoute] {
        &self.routes
    }

    fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    fn lease(&self) -> Option<u32> {
        self.lease
    }
}

impl Claims for Statics {
    fn addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter()
    }

    fn routes(&self) -> &[VirtualRoute] {
        &self.routes
    }

    fn interface(&self) -> Option<&str> {
        None
    }

    fn lease(&self) -> Option<u32> {
        None
    }
}

/// Addresses of one instance, in the order of the configuration, excluded ones after the others, then its routes.
#[derive(Debug)]
pub struct Holdings {
    owned: Vec<Ownership>,
    addresses: usize,
    complaints: Vec<String>,
    /// The first address of this claim that the kernel can't have at all.
    impossible: Option<(usize, String)>,
    tolerant: bool,
    work: Work,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ownership {
    Absent,
    Ours(Place),
    Foreign,
    Route(RouteSpec),
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
    things: Vec<(usize, Thing)>,
    end: usize,
}

/// What an order is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Address(Place),
    Route(RouteSpec),
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
    pub fn new(claims: &impl Claims) -> Self {
        let addresses = count(claims);
        let owned = vec![Ownership::Absent; addresses.saturating_add(claims.routes().len())];
        Self { owned, addresses, complaints: Vec::new(), impossible: None, tolerant: false, work: Work::Idle }
    }

    /// The same for claims of which each stands for itself: a refused address is a complaint.
    #[must_use]
    pub fn tolerant(claims: &impl Claims) -> Self {
        Self { tolerant: true, ..Self::new(claims) }
    }

    /// True when the thing at a position, addresses first, is in place.
    #[must_use]
    pub fn has(&self, position: usize) -> bool {
        self.owned.get(position).is_some_and(|owned| *owned != Ownership::Absent)
    }

    /// Takes over what is in the kernel and was put there by us. `trust` says what to think of addresses whose maker
    /// the kernel doesn't know: a predecessor's memory vouches for them.
    pub fn adopt(&mut self, claims: &impl Claims, links: &Links, trust: Trust) {
        for (position, owned) in self.owned.iter_mut().enumerate() {
            let Some(place) = place(claims, position, links) else { continue };
            let Some(address) = links.address(&place) else { continue };
            let ours = match address.protocol {
                Some(maker) => maker == PROTOCOL_KEEPALIVED,
                None => trust == Trust::Predecessor && !links.tells_makers(),
            };
            *owned = if ours { Ownership::Ours(place) } else { Ownership::Foreign };
        }
        if trust == Trust::Predecessor || self.holds_anything() {
            self.adopt_routes(claims, links);
        }
    }

    /// Where addresses were left, routes were too; removing one that isn't there does no harm.
    fn adopt_routes(&mut self, claims: &impl Claims, links: &Links) {
        for (owned, route) in self.owned.iter_mut().skip(self.addresses).zip(claims.routes()) {
            if let Some(spec) = route::spec(route, links) {
                *owned = Ownership::Route(spec);
            }
        }
    }

    /// What the kernel said of routes that it refused, since the last call.
    pub fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Carries ownership over to another configuration of the same instance. Returns orders that remove what is no
    /// longer configured.
    pub fn reconfigure<C: Claims>(&mut self, old: &C, new: &C) -> Vec<Order> {
        let mut removed = Vec::new();
        let addresses = count(new);
        let mut owned = vec![Ownership::Absent; addresses.saturating_add(new.routes().len())];
        let routes = self.owned.iter().skip(self.addresses).zip(old.routes());
        for (ownership, route) in routes {
            let kept = new.routes().iter().position(|candidate| candidate == route);
            match (kept.and_then(|kept| owned.get_mut(addresses.saturating_add(kept))), ownership) {
                (Some(slot), _) => *slot = ownership.clone(),
                (None, Ownership::Route(spec)) => removed.push(Order::RemoveRoute(spec.clone())),
                (None, Ownership::Absent | Ownership::Foreign | Ownership::Ours(_)) => {}
            }
        }
        for (position, ownership) in self.owned.iter().enumerate().take(self.addresses) {
            let Some(address) = configured(old, position) else { continue };
            let interface = interface_of(old, address);
            let kept = new.addresses().position(|candidate| {
                is_same_thing(candidate, address) && interface_of(new, candidate) == interface
            });
            match (kept.and_then(|kept| owned.get_mut(kept)), ownership) {
                (Some(slot), _) => *slot = ownership.clone(),
                (None, Ownership::Ours(place)) => {
                    removed.push(Order::Remove(address::spec(address, place.index, None)));
                }
                (None, Ownership::Absent | Ownership::Foreign | Ownership::Route(_)) => {}
            }
        }
        self.owned = owned;
        self.addresses = addresses;
        removed
    }

    /// Put everything in place.
    pub fn claim(&mut self) {
        self.impossible = None;
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

    /// Orders that renew the lease of every address of ours; the others stay as they are.
    #[must_use]
    pub fn renewals(&self, claims: &impl Claims) -> Vec<Order> {
        let owned = self.owned.iter().zip(claims.addresses());
        let ours = owned.filter_map(|(owned, address)| match owned {
            Ownership::Ours(place) if address::is_leased(address) => Some((address, place.index)),
            Ownership::Ours(_) | Ownership::Absent | Ownership::Foreign | Ownership::Route(_) => None,
        });
        ours.map(|(address, index)| Order::Renew(address::spec(address, index, claims.lease()))).collect()
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
        self.owned.iter().any(|owned| matches!(owned, Ownership::Ours(_) | Ownership::Route(_)))
    }

    /// Next orders; empty when there is nothing to do.
    #[must_use]
    pub fn step(&self, claims: &impl Claims, links: &Links) -> Step {
        let start = match &self.work {
            Work::Idle => return Step::default(),
            Work::Claim { next } | Work::Verify { next, .. } | Work::Release { next } => *next,
        };
        let mut step = Step { end: self.owned.len(), ..Step::default() };
        for turn in start..self.owned.len() {
            if step.orders.len() == STEP {
                step.end = turn;
                break;
            }
            let position = self.position(turn);
            let thing = match claims.routes().get(position.wrapping_sub(self.addresses)) {
                Some(route) => self.route_step(position, route, links),
                None => self.address_step(position, claims, links),
            };
            if let Some((thing, order)) = thing {
                step.things.push((position, thing));
                step.orders.push(order);
            }
        }
        step
    }

    /// Addresses come before routes, but routes go before addresses.
    fn position(&self, turn: usize) -> usize {
        if !matches!(self.work, Work::Release { .. }) {
            return turn;
        }
        let routes = self.owned.len().saturating_sub(self.addresses);
        if turn < routes { turn.saturating_add(self.addresses) } else { turn.saturating_sub(routes) }
    }

    fn address_step(&self, position: usize, claims: &impl Claims, links: &Links) -> Option<(Thing, Order)> {
        let address = configured(claims, position)?;
        let here = place(claims, position, links);
        let place = match (&self.work, self.owned.get(position)?) {
            (Work::Release { .. }, Ownership::Ours(place)) => *place,
            (Work::Verify { .. }, _) => here.filter(|place| links.address(place).is_none())?,
            (Work::Claim { .. }, _) => here?,
            (Work::Idle | Work::Release { .. }, _) => return None,
        };
        let spec = address::spec(address, place.index, claims.lease());
        let releases = matches!(self.work, Work::Release { .. });
        Some((Thing::Address(place), if releases { Order::Remove(spec) } else { Order::Add(spec) }))
    }

    fn route_step(&self, position: usize, route: &VirtualRoute, links: &Links) -> Option<(Thing, Order)> {
        if matches!(self.work, Work::Release { .. }) {
            let Ownership::Route(spec) = self.owned.get(position)? else { return None };
            return Some((Thing::Route(spec.clone()), Order::RemoveRoute(spec.clone())));
        }
        let spec = route::spec(route, links)?;
        Some((Thing::Route(spec.clone()), Order::AddRoute(spec)))
    }

    /// Enters the kernel's answers to a step.
    pub fn advance(&mut self, step: &Step, answers: &[Answer], links: &Links) -> Progress {
        let releasing = matches!(self.work, Work::Release { .. });
        let mut refused = None;
        let mut fresh = Vec::new();
        for ((position, thing), answer) in step.things.iter().zip(answers) {
            let Some(owned) = self.owned.get_mut(*position) else { continue };
            match (answer, thing) {
                (Answer::Done | Answer::Already, _) if releasing => *owned = Ownership::Absent,
                (Answer::Done, Thing::Address(place)) => {
                    *owned = Ownership::Ours(*place);
                    fresh.push(*position);
                }
                (Answer::Already, Thing::Address(place)) => *owned = found(owned, *place, links),
                (Answer::Done | Answer::Already, Thing::Route(spec)) => {
                    *owned = Ownership::Route(spec.clone());
                }
                (Answer::Refused(words) | Answer::Impossible(words), Thing::Address(place))
                    if self.tolerant =>
                {
                    self.complaints.push(complaint(place, words));
                }
                // The peer has the same configuration and would fare no better: the others are served without it.
                (Answer::Impossible(words), Thing::Address(place)) => {
                    self.complaints.push(complaint(place, words));
                    self.impossible.get_or_insert_with(|| (*position, words.clone()));
                }
                (Answer::Refused(words), Thing::Address(_)) => {
                    refused = refused.or(Some((*position, words.clone())));
                }
                // A missing route is no reason to give up addresses that work.
                (Answer::Refused(words) | Answer::Impossible(words), Thing::Route(spec)) => {
                    self.complaints.push(format!("route {}/{}: {words}", spec.destination, spec.prefix));
                }
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
        let held = self.owned.iter().take(self.addresses).any(|owned| *owned != Ownership::Absent);
        let impossible = if finished { self.impossible.take() } else { None };
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
            match impossible {
                Some((position, words)) if done == Progress::Claimed && !held => {
                    Progress::Refused(position, words)
                }
                _ => done,
            }
        } else {
            Progress::More
        }
    }
}

fn complaint(place: &Place, words: &str) -> String {
    format!("address {}/{}: {words}", place.ip, place.prefix)
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
fn found(before: &Ownership, place: Place, links: &Links) -> Ownership {
    let maker = links.address(&place).map(|address| address.protocol);
    match (before, maker) {
        (Ownership::Ours(_), _) | (_, None | Some(Some(PROTOCOL_KEEPALIVED))) => Ownership::Ours(place),
        (Ownership::Absent | Ownership::Foreign | Ownership::Route(_), Some(_)) => Ownership::Foreign,
    }
}

/// All addresses: of an instance the carried ones, then the excluded ones.
pub fn all<C: Claims>(claims: &C) -> impl Iterator<Item = &VirtualAddress> {
    claims.addresses()
}

/// Number of addresses.
#[must_use]
pub fn count(claims: &impl Claims) -> usize {
    claims.addresses().count()
}

/// Address at a position.
#[must_use]
pub fn configured<C: Claims>(claims: &C, position: usize) -> Option<&VirtualAddress> {
    claims.addresses().nth(position)
}

/// Name of the interface that an address lives on.
#[must_use]
pub fn interface_of<'a, C: Claims>(claims: &'a C, address: &'a VirtualAddress) -> Option<&'a str> {
    address.interface.as_deref().or(claims.interface())
}

/// Where the address at a position lives, when its interface exists.
#[must_use]
pub fn place(claims: &impl Claims, position: usize, links: &Links) -> Option<Place> {
    let address = configured(claims, position)?;
    let link = links.by_name(interface_of(claims, address)?)?;
    Some(address::place(address, IfIndex::new(link.index)))
}

/// True when the kernel's address for one is that for the other, so that nothing has to be done.
fn is_same_thing(one: &VirtualAddress, other: &VirtualAddress) -> bool {
    let bare =
        |address: &VirtualAddress| VirtualAddress { no_track: false, interface: None, ..address.clone() };
    bare(one) == bare(other)
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
