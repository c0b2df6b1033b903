//! A network of hosts on a switch that floods multicast, and an optional second network behind the directors.
//!
//! Front network, interface `eth0`: 10.77.0.0/24 and fd77::/64. Back network, interface `eth1`: 10.78.0.0/24 and
//! fd78::/64. A host's last byte is the same everywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use super::clock::now;
use super::{Failure, Host};

/// A network; its hosts and everything on them end with it.
pub struct Lan {
    // Declared first: hosts go before the switch.
    hosts: BTreeMap<String, Host>,
    switch: Host,
}

impl Lan {
    /// A switch and these hosts: name and last byte of the address.
    pub fn new(hosts: &[(&str, u8)]) -> Result<Self, Failure> {
        let switch = Host::new("switch")?;
        switch.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n")?;
        // The switch speaks no protocol of its own.
        for bridge in ["br0", "br1"] {
            switch.sysctl(&format!("net.ipv6.conf.{bridge}.disable_ipv6"), "1")?;
        }
        switch.ip("link set br0 up\nlink set br1 up\n")?;
        let mut lan = Self { hosts: BTreeMap::new(), switch };
        for (name, byte) in hosts {
            lan.hosts.insert((*name).to_owned(), Host::new(name)?);
            lan.attach(name, *byte, Network::Front)?;
        }
        Ok(lan)
    }

    /// Puts hosts on the back network; those that are not on the front network are made.
    pub fn add_back_network(&mut self, hosts: &[(&str, u8)]) -> Result<(), Failure> {
        for (name, byte) in hosts {
            if !self.hosts.contains_key(*name) {
                self.hosts.insert((*name).to_owned(), Host::new(name)?);
            }
            self.attach(name, *byte, Network::Back)?;
        }
        Ok(())
    }

    fn attach(&self, name: &str, byte: u8, network: Network) -> Result<(), Failure> {
        let (side, bridge, interface, net) = match network {
            Network::Front => ("f", "br0", "eth0", 77),
            Network::Back => ("b", "br1", "eth1", 78),
        };
        let mut lines = String::new();
        writeln!(lines, "link add {side}-{name} type veth peer name {interface} netns {name}").ok();
        writeln!(lines, "link set {side}-{name} master {bridge} up").ok();
        self.switch.ip(&lines)?;
        let mut lines = String::new();
        writeln!(lines, "link set {interface} address 02:{net}:00:00:00:{byte:02x} up").ok();
        writeln!(lines, "addr add 10.{net}.0.{byte}/24 dev {interface}").ok();
        writeln!(lines, "addr add fd{net}::{byte}/64 dev {interface} nodad").ok();
        self.host(name)?.ip(&lines)
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> Result<&Host, Failure> {
        self.hosts.get(name).ok_or_else(|| Failure::new(format!("no host {name}")))
    }

    /// The switch: captures on its `br0` see every multicast and broadcast frame of the front network.
    #[must_use]
    pub fn switch(&self) -> &Host {
        &self.switch
    }

    /// Pulls or plugs the cables of a host, at the switch.
    pub fn set_cable(&self, name: &str, cable: Cable) -> Result<(), Failure> {
        let word = match cable {
            Cable::Plugged => "up",
            Cable::Pulled => "down",
        };
        let mut lines = String::new();
        for side in ["f", "b"] {
            let port = format!("{side}-{name}");
            if self.switch.has_interface(&port) {
                writeln!(lines, "link set {port} {word}").ok();
            }
        }
        self.switch.ip(&lines)
    }

    /// Power failure: the cables go dead and every process of the host ends, none with a chance to say goodbye.
    /// Returns the moment from which nothing of the host could be heard.
    pub fn power_off(&self, name: &str) -> Result<Instant, Failure> {
        self.set_cable(name, Cable::Pulled)?;
        let silent = now();
        self.host(name)?.kill_everything()?;
        Ok(silent)
    }
}

/// Which of the two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Front,
    Back,
}

/// State of a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cable {
    /// The link is up.
    Plugged,
    /// The link is down.
    Pulled,
}

/// Address of a host on the front network.
#[must_use]
pub const fn front4(byte: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, byte))
}

/// IPv6 address of a host on the front network, written with the same digits as the IPv4 byte.
#[must_use]
pub const fn front6(digits: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, digits))
}
