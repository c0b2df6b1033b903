//! Deletes addresses in vrrpd's place: the last resort, when neither vrrpd nor its release can.
//!
//! Driver. Blocking but bounded to one second; used at boot, after stop, and after a failed release only.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::units::MonoTime;
use ipnetwork::IpNetwork;
use netlink::route::{self, AddressSpec, RouteEvent};
use netlink::socket::{Outcome, Protocol, Socket};

/// An address and the interface that it may stand on; no interface means any.
pub type Held = (IpNetwork, Option<String>);

const PATIENCE: Duration = Duration::from_secs(1);

/// Removes those of `addresses` that are there. Returns what was removed, in words.
///
/// # Errors
/// What the kernel or its socket said, in words.
pub fn withdraw(addresses: &[Held], now: impl Fn() -> MonoTime) -> Result<Vec<String>, String> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let deadline = now() + PATIENCE;
    let left = || deadline.since(now());
    let mut socket = Socket::open(Protocol::Route).map_err(|error| error.to_string())?;
    let mut names = BTreeMap::new();
    let mut present = Vec::new();
    let mut read = |kind: u16, payload: &[u8]| match route::decode(kind, payload) {
        Some(RouteEvent::LinkChanged(link)) => {
            names.insert(link.index, link.name);
        }
        Some(RouteEvent::AddressAdded(address)) => present.push((address.index, address.ip, address.prefix)),
        Some(
            RouteEvent::LinkGone(_)
            | RouteEvent::AddressRemoved(_)
            | RouteEvent::OwnRouteRemoved
            | RouteEvent::Forwarding(..),
        )
        | None => {}
    };
    socket.dump(&route::dump_links(), left, &mut read).map_err(|error| error.to_string())?;
    socket.dump(&route::dump_addresses(), left, &mut read).map_err(|error| error.to_string())?;
    let is_wanted = |index: &u32, interface: &Option<String>| {
        interface.as_ref().is_none_or(|wanted| names.get(index).is_some_and(|name| name == wanted))
    };
    let doomed: Vec<_> = present
        .iter()
        .filter(|(index, ip, prefix)| {
            addresses.iter().any(|(network, interface)| {
                network.ip() == *ip && network.prefix() == *prefix && is_wanted(index, interface)
            })
        })
        .collect();
    let messages: Vec<_> =
        doomed.iter().map(|(index, ip, prefix)| AddressSpec::new(*index, *ip, *prefix).delete()).collect();
    let outcomes = socket.request(&messages, left).map_err(|error| error.to_string())?;
    let removed = doomed.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Done));
    Ok(removed.map(|((_, ip, prefix), _)| format!("{ip}/{prefix}")).collect())
}
