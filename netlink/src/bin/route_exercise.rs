//! Proves the rtnetlink helpers against the running kernel: addresses on `lo`, made, renewed, told and removed.
//!
//! Needs CAP_NET_ADMIN in a network namespace of its own (`unshare --net`), which it changes.

use std::error::Error;
use std::io::{Write, stdout};
use std::net::IpAddr;
use std::time::Duration;

use netlink::route::{
    Address, AddressFlags, AddressSpec, Group, HardwareKind, Lifetime, Link, RouteEvent, decode,
    dump_addresses, dump_links,
};
use netlink::socket::{Outcome, Protocol, Socket};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

fn main() -> Result<(), Box<dyn Error>> {
    let mut requests = Socket::open(Protocol::Route)?;
    let mut events = Socket::open(Protocol::Route)?;
    events.enlarge(1024 * 1024);
    for group in Group::LINKS_AND_ADDRESSES {
        events.join(group.number())?;
    }
    let lo = links(&mut requests)?.into_iter().find(Link::is_loopback).ok_or("no loopback")?;
    check("lo is the loopback", lo.hardware == HardwareKind::Loopback && lo.index == 1 && lo.name == "lo")?;

    let spec4 = AddressSpec {
        lifetime: Lifetime::new(2, 2)?,
        flags: AddressFlags::Noprefixroute,
        label: Some("lo:vip".into()),
        ..AddressSpec::new(lo.index, "192.0.2.10".parse()?, 32)
    };
    let spec6 = AddressSpec {
        lifetime: Lifetime::new(60, 0)?,
        flags: AddressFlags::Nodad,
        ..AddressSpec::new(lo.index, "2001:db8::10".parse()?, 128)
    };
    let batch = [spec4.add(), spec6.add(), spec4.add(), spec4.replace()];
    let outcomes = requests.request(&batch, patience)?;
    check("both are added, a second time is EEXIST, renewal is done", {
        let refused =
            |outcome: &Outcome| matches!(outcome, Outcome::Refused(error) if error.errno == Errno::EEXIST);
        matches!(outcomes.as_slice(), [Outcome::Done, Outcome::Done, third, Outcome::Done] if refused(third))
    })?;

    let found = addresses(&mut requests)?;
    let v4 = of(&found, spec4.ip)?;
    check("the lease is read back", v4.lifetime.valid().is_some_and(|left| (1..=2).contains(&left)))?;
    check("the label is read back", v4.label.as_deref() == Some("lo:vip"))?;
    check("our mark is read back (kernel 5.18 or later)", v4.protocol == Some(18))?;
    check("noprefixroute is read back", v4.flags.contains(AddressFlags::Noprefixroute))?;
    let v6 = of(&found, spec6.ip)?;
    check("an IPv6 address is not tentative and is deprecated", !v6.is_tentative() && v6.is_deprecated())?;

    check("the deletion is done", requests.request(&[spec6.delete()], patience)? == [Outcome::Done])?;
    let again = requests.request(&[spec6.delete()], patience)?;
    check(
        "a second deletion is EADDRNOTAVAIL",
        matches!(again.as_slice(), [Outcome::Refused(error)] if error.errno == Errno::EADDRNOTAVAIL),
    )?;
    let invalid = AddressSpec { prefix: 33, ..spec4.clone() };
    let words = requests.request(&[invalid.add()], patience)?;
    say(&format!("the kernel's words for a prefix of 33: {words:?}"))?;

    check(
        "events tell of the addition",
        told(
            &mut events,
            |event| matches!(event, RouteEvent::AddressAdded(address) if address.ip == spec4.ip),
        )?,
    )?;
    check(
        "events tell of the deletion",
        told(
            &mut events,
            |event| matches!(event, RouteEvent::AddressRemoved(address) if address.ip == spec6.ip),
        )?,
    )?;
    check(
        "the kernel ends the lease by itself",
        told(
            &mut events,
            |event| matches!(event, RouteEvent::AddressRemoved(address) if address.ip == spec4.ip),
        )?,
    )?;
    say("ok")
}

fn links(socket: &mut Socket) -> Result<Vec<Link>, Box<dyn Error>> {
    let mut found = Vec::new();
    socket.dump(&dump_links(), patience, |kind, payload| {
        if let Some(RouteEvent::LinkChanged(link)) = decode(kind, payload) {
            found.push(link);
        }
    })?;
    Ok(found)
}

fn addresses(socket: &mut Socket) -> Result<Vec<Address>, Box<dyn Error>> {
    let mut found = Vec::new();
    socket.dump(&dump_addresses(), patience, |kind, payload| {
        if let Some(RouteEvent::AddressAdded(address)) = decode(kind, payload) {
            found.push(address);
        }
    })?;
    Ok(found)
}

fn of(found: &[Address], ip: IpAddr) -> Result<&Address, Box<dyn Error>> {
    found.iter().find(|address| address.ip == ip).ok_or_else(|| format!("{ip} is missing").into())
}

/// Reads events until one is as expected, for at most five quiet seconds.
fn told(events: &mut Socket, expected: impl Fn(&RouteEvent) -> bool) -> Result<bool, Box<dyn Error>> {
    loop {
        while let Some(replies) = events.receive()? {
            for reply in replies {
                if let netlink::frame::Content::Object { kind, payload, .. } = reply.content
                    && decode(kind, payload).as_ref().is_some_and(&expected)
                {
                    return Ok(true);
                }
            }
        }
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(5_000_u16))? == 0 {
            return Ok(false);
        }
    }
}

fn check(what: &str, holds: bool) -> Result<(), Box<dyn Error>> {
    if holds { say(what) } else { Err(format!("not so: {what}").into()) }
}

fn say(text: &str) -> Result<(), Box<dyn Error>> {
    writeln!(stdout(), "{text}")?;
    Ok(())
}

fn patience() -> Duration {
    Duration::from_secs(2)
}
