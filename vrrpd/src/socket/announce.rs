//! Packet socket that sends gratuitous ARP and neighbour advertisements, and hears nothing.
//!
//! Sends whole frames; `arp` and `ndp` build them. Called by the driver.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use config::model::units::IfIndex;
use sandbox::system::fd::send_link_layer;
use socket2::{Domain, Socket, Type};

use crate::proto::{arp, ndp};

/// The socket, opened when first needed.
#[derive(Debug, Default)]
pub struct Herald {
    socket: Option<Socket>,
}

impl Herald {
    /// Opens the socket, so that the first announcement doesn't wait for it.
    ///
    /// # Errors
    /// The kernel refuses; the next announcement tries again.
    pub fn open(&mut self) -> io::Result<&Socket> {
        match &mut self.socket {
            Some(socket) => Ok(socket),
            none => {
                Ok(none.insert(Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?))
            }
        }
    }

    /// Announces `address` at `hardware` on the interface, as that of a router where it is one.
    ///
    /// # Errors
    /// What the kernel says: interface down, no buffer.
    pub fn announce(
        &mut self,
        interface: IfIndex,
        hardware: [u8; 6],
        address: IpAddr,
        router: bool,
    ) -> io::Result<()> {
        let socket = self.open()?;
        match address {
            IpAddr::V4(address) => {
                send_link_layer(socket.as_fd(), &arp::gratuitous(hardware, address), interface.value())?
            }
            IpAddr::V6(address) => send_link_layer(
                socket.as_fd(),
                &ndp::unsolicited(hardware, address, router),
                interface.value(),
            )?,
        };
        Ok(())
    }
}
