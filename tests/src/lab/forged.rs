//! Adverts of nobody, sent by a machine that takes part in no election.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::{Failure, Host, pause};

/// Group of VRRP.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Address of the sender.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// The internet checksum (RFC 1071).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// A good advert of version 3 for VRID 51 and 10.77.0.50 with this priority.
#[must_use]
pub fn advert(priority: u8) -> Vec<u8> {
    let mut bytes = vec![0x31, 51, priority, 1, 0, 20, 0, 0, 10, 77, 0, 50];
    let pseudo = [&SOURCE.octets()[..], &GROUP.octets(), &[0, 112, 0, 12]].concat();
    let sum = checksum(&[pseudo, bytes.clone()].concat());
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// An advert of version 3 with one address.
#[derive(Debug, Clone, Copy)]
pub struct Forged {
    /// Virtual router.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// The address that it carries.
    pub address: Ipv4Addr,
    /// Where it is sent; the group of VRRP unless it is said.
    pub to: Ipv4Addr,
    /// What the checksum covers.
    pub sum: Sum,
}

/// What a checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// Message and addresses, as version 3 has it.
    Whole,
    /// The message alone, as version 2 has it.
    Message,
}

impl Forged {
    /// Multicast with a good checksum.
    #[must_use]
    pub fn new(vrid: u8, priority: u8, address: Ipv4Addr) -> Self {
        Self { vrid, priority, address, to: GROUP, sum: Sum::Whole }
    }

    /// The message; its interval of 40 s keeps who believes it quiet for two minutes.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x31, self.vrid, self.priority, 1, 0x0f, 0xa0, 0, 0];
        bytes.extend(self.address.octets());
        let pseudo = match self.sum {
            Sum::Whole => [&SOURCE.octets()[..], &self.to.octets(), &[0, 112, 0, 12]].concat(),
            Sum::Message => Vec::new(),
        };
        let sum = checksum(&[pseudo, bytes.clone()].concat());
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Sends it once from [`SOURCE`], which `host` has.
    pub fn send(&self, host: &Host) -> Result<(), Failure> {
        host.enter(|| -> std::io::Result<()> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
            socket.bind(&SocketAddrV4::new(SOURCE, 0).into())?;
            socket.set_multicast_if_v4(&SOURCE)?;
            socket.set_multicast_ttl_v4(255)?;
            socket.send_to(&self.bytes(), &SocketAddrV4::new(self.to, 0).into()).map(|_| ())
        })?
        .map_err(|cause| Failure::instrument("sending an advert", cause))
    }
}

/// Sends a frame so many times in a row, spread over a second.
pub fn flood(host: &Host, frame: &[u8], ttl: u32, count: u32) -> Result<(), Failure> {
    host.enter(|| -> std::io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
        socket.bind(&SocketAddrV4::new(SOURCE, 0).into())?;
        socket.set_multicast_if_v4(&SOURCE)?;
        socket.set_multicast_ttl_v4(ttl)?;
        for number in 0..count {
            socket.send_to(frame, &SocketAddrV4::new(GROUP, 0).into())?;
            if number % (count / 100).max(1) == 0 {
                pause(Duration::from_millis(10));
            }
        }
        Ok(())
    })?
    .map_err(|cause| Failure::instrument("sending frames", cause))
}
