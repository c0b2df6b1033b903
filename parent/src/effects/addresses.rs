//! Deletes addresses and routes in vrrpd's place: the last resort, when neither vrrpd nor its release can.
//!
//! Driver. Blocking but bounded to one second; used at boot, after stop, and after a failed release only.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::network::VirtualRoute;
use config::model::parts::Held;
use config::model::units::MonoTime;
use ipnetwork::IpNetwork;
use netlink::frame::Message;
use netlink::route::{self, Address, AddressSpec, RouteEvent, RouteSpec};
use netlink::socket::{OpenError, Outcome, Protocol, RequestError, Socket};

/// Why nothing is known or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// There is no socket.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The kernel doesn't answer as it should.
    #[error(transparent)]
    Request(#[from] RequestError),
}

const PATIENCE: Duration = Duration::from_secs(1);

/// Removes what of `held` is there. Returns what was removed, in words.
///
/// # Errors
/// What the kernel or its socket said.
pub fn withdraw(held: &Held, now: impl Fn() -> MonoTime) -> Result<Vec<String>, AddressError> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let deadline = now() + PATIENCE;
    let left = || deadline.since(now());
    let mut socket = Socket::open(Protocol::Route)?;
    let Here { names, addresses: present } = look(&mut socket, left)?;
    let index = |wanted: &String| names.iter().find(|(_, name)| *name == wanted).map(|(index, _)| *index);
    let routes = held.routes.iter().filter_map(|route| {
        let spec = route_spec(route, index)?;
        Some((format!("route {}", route.destination), spec.delete()))
    });
    let is_wanted = |address: &&Address| held.addresses.iter().any(|wanted| is_at(wanted, address, &names));
    let addresses = present.iter().filter(is_wanted).map(|address| {
        let spec =
            AddressSpec { peer: address.peer, ..AddressSpec::new(address.index, address.ip, address.prefix) };
        (format!("{}/{}", address.ip, address.prefix), spec.delete())
    });
    // Routes first, as vrrpd does: they may lead through the addresses.
    let (words, messages): (Vec<String>, Vec<Message>) = routes.chain(addresses).unzip();
    let outcomes = socket.request(&messages, left)?;
    let removed = words.into_iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Done));
    Ok(removed.map(|(words, _)| words).collect())
}

/// Those addresses of `held` that are there, without its routes.
///
/// # Errors
/// What the kernel or its socket said.
pub fn still_here(held: &Held, now: impl Fn() -> MonoTime) -> Result<Held, AddressError> {
    let deadline = now() + PATIENCE;
    let mut socket = Socket::open(Protocol::Route)?;
    let Here { names, addresses } = look(&mut socket, || deadline.since(now()))?;
    let here = held.addresses.iter();
    let here = here.filter(|wanted| addresses.iter().any(|address| is_at(wanted, address, &names)));
    Ok(Held { addresses: here.cloned().collect(), routes: Vec::new() })
}

/// Interfaces by number, and their addresses.
struct Here {
    names: BTreeMap<u32, String>,
    addresses: Vec<Address>,
}

/// True for an address on its interface; none means any.
fn is_at(
    (network, interface): &(IpNetwork, Option<String>),
    address: &Address,
    names: &BTreeMap<u32, String>,
) -> bool {
    network.ip() == address.ip
        && network.prefix() == address.prefix
        && interface.as_ref().is_none_or(|wanted| names.get(&address.index) == Some(wanted))
}

fn look(socket: &mut Socket, left: impl Fn() -> Duration + Copy) -> Result<Here, AddressError> {
    let mut names = BTreeMap::new();
    let mut addresses = Vec::new();
    let mut read = |kind: u16, payload: &[u8]| match route::decode(kind, payload) {
        Some(RouteEvent::LinkChanged(link)) => {
            names.insert(link.index, link.name);
        }
        Some(RouteEvent::AddressAdded(address)) => addresses.push(address),
        Some(
            RouteEvent::LinkGone(_)
            | RouteEvent::AddressRemoved(_)
            | RouteEvent::OwnRouteRemoved
            | RouteEvent::Forwarding(..),
        )
        | None => {}
    };
    socket.dump(&route::dump_links(), left, &mut read)?;
    socket.dump(&route::dump_addresses(), left, &mut read)?;
    Ok(Here { names, addresses })
}

/// What identifies a route that vrrpd made; `None` when its interface is gone, and the route with it.
fn route_spec(route: &VirtualRoute, index: impl Fn(&String) -> Option<u32>) -> Option<RouteSpec> {
    let interface = match &route.interface {
        Some(name) => Some(index(name)?),
        None => None,
    };
    Some(RouteSpec {
        // Any type, any scope: RTN_UNSPEC and RT_SCOPE_NOWHERE.
        kind: 0,
        scope: 255,
        from: route.from.map(|from| (from.ip(), from.prefix())),
        tos: route.tos,
        gateway: route.gateway,
        interface,
        table: route.table,
        protocol: route.protocol,
        metric: route.metric,
        ..RouteSpec::to(route.destination.ip(), route.destination.prefix())
    })
}
