//! Frames that are no adverts: they are counted, cost at most a few log lines, and move nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::forged;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lan, Subject, sandboxed, wait_until};

const ADDRESS: IpAddr = front4(50);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// An advert of version 3, VRID 51, priority 250, which would win if it were good; then spoiled.
fn advert(spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = forged::advert(250);
    spoil(&mut bytes);
    bytes
}

fn send(host: &Host, ttl: u32, frames: &[Vec<u8>]) -> Result<(), Failure> {
    host.enter(|| -> std::io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
        socket.bind(&SocketAddrV4::new(SOURCE, 0).into())?;
        socket.set_multicast_if_v4(&SOURCE)?;
        socket.set_multicast_ttl_v4(ttl)?;
        for frame in frames {
            socket.send_to(frame, &SocketAddrV4::new(GROUP, 0).into())?;
        }
        Ok(())
    })?
    .map_err(|cause| Failure::instrument("sending frames", cause))
}

#[test]
fn spoiled_adverts_are_counted_and_move_nothing() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let (client, d1) = (lan.host("client")?, lan.host("d1")?);
        let config = global("lab") + &VrrpInstance::new(3, "0.2", 200, ADDRESS).text();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
        let transitions = director.transitions_in("Master")?;
        let before = director.status()?;
        let lines = director.log().lines().count();

        let spoiled = [
            advert(|bytes| bytes.truncate(10)),
            advert(|bytes| bytes.resize(1400, 0)),
            advert(|bytes| bytes[6] ^= 1),
            advert(|bytes| bytes[0] = 0x51),
            advert(|bytes| bytes[0] = 0x32),
            advert(|bytes| bytes[3] = 200),
        ];
        // Without a VRID it is nobody's: the kernel's filter drops it before it costs anything.
        send(client, 255, &[advert(|bytes| bytes.truncate(1))])?;
        for _ in 0..20 {
            send(client, 255, &spoiled)?;
        }
        for _ in 0..20 {
            send(client, 64, &[advert(|_| ())])?;
        }

        let rejected = |status: &serde_json::Value| status["instances"][0]["rejected"].as_u64().unwrap_or(0);
        let mut counted = 0;
        wait_until("140 rejected adverts are counted", Duration::from_secs(20), || {
            counted = director.status().map_or(0, |status| rejected(&status)) - rejected(&before);
            counted >= 140
        })
        .map_err(|failure| Failure::new(format!("{failure}, counted {counted}")))?;
        require(director.transitions_in("Master")? == transitions, || "a transition was made".to_owned())?;
        require(d1.has(ADDRESS), || "the address is gone".to_owned())?;
        let more = director.log().lines().count() - lines;
        require(more < 20, || format!("140 frames cost {more} log lines"))
    });
}

/// The control: the same frame unspoiled is obeyed.
#[test]
fn the_same_advert_unspoiled_wins() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let (client, d1) = (lan.host("client")?, lan.host("d1")?);
        let config = global("lab") + &VrrpInstance::new(3, "0.2", 200, ADDRESS).text();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(ADDRESS))?;
        send(client, 255, &[advert(|_| ())])?;
        // It comes back when nobody is heard any more: the log remembers.
        let yields = "(VI_1) Master received advert from 10.77.0.100 with higher priority 250, ours 200";
        wait_until("d1 yields", Duration::from_secs(20), || director.logged(yields) == 1).map(|_| ())
    });
}
