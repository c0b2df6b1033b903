//! The kernel's load balancer: requests and replies of the generic netlink family `IPVS`, version 1.
//!
//! Pure: bytes in, bytes out. Knows services, destinations, their counters, the time-outs, the daemons that
//! synchronise connections, and the module's version. Doesn't know which of them are wanted: ipvsd decides.
//!
//! What the kernel does: it fails a duplicate with EEXIST, an unknown scheduler with ENOENT, a destination of
//! another family that isn't tunnelled with EINVAL, an unknown service with ESRCH, an unknown destination with
//! ENOENT. It loads a scheduler's module when the name is first used.

mod destination;
mod service;
mod stats;
mod sync;

pub use destination::{Destination, DestinationEntry, Endpoint, Forwarding, Tunnel};
pub use service::{IpFamily, Key, Service, ServiceEntry, ServiceFlags};
pub use stats::Stats;
pub use sync::{SyncDaemon, SyncRole};

use crate::attribute::Writer;
use crate::frame::{Flags, Message};
use crate::generic::{self, Family};

/// Name of the generic netlink family.
pub const FAMILY: &str = "IPVS";

/// Builder and reader of messages for the family number of the running kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipvs {
    family: Family,
}

impl Ipvs {
    /// For a family number from [`generic::resolve`].
    #[must_use]
    pub const fn new(family: Family) -> Self {
        Self { family }
    }

    /// Makes a service.
    #[must_use]
    pub fn add_service(self, service: &Service) -> Message {
        self.order(NEW_SERVICE, |top| top.put_nested(ATTR_SERVICE, &service.encode()))
    }

    /// Changes scheduler, flags and persistence of a service; its destinations and connections stay.
    #[must_use]
    pub fn edit_service(self, service: &Service) -> Message {
        self.order(SET_SERVICE, |top| top.put_nested(ATTR_SERVICE, &service.encode()))
    }

    /// Removes a service with its destinations.
    #[must_use]
    pub fn delete_service(self, key: &Key) -> Message {
        self.order(DEL_SERVICE, |top| top.put_nested(ATTR_SERVICE, &key.encode()))
    }

    /// Gives a service a destination.
    #[must_use]
    pub fn add_destination(self, key: &Key, destination: &Destination) -> Message {
        self.destination(NEW_DEST, key, &destination.encode())
    }

    /// Changes weight, forwarding and thresholds of a destination; its connections stay.
    #[must_use]
    pub fn edit_destination(self, key: &Key, destination: &Destination) -> Message {
        self.destination(SET_DEST, key, &destination.encode())
    }

    /// Takes a destination from a service.
    #[must_use]
    pub fn delete_destination(self, key: &Key, endpoint: &Endpoint) -> Message {
        self.destination(DEL_DEST, key, &endpoint.encode())
    }

    /// Asks for all services; each reply decodes with [`Self::read_service`].
    #[must_use]
    pub fn dump_services(self) -> Message {
        self.family.message(generic::header(GET_SERVICE, VERSION), Flags::Dump)
    }

    /// Asks for the destinations of a service; each reply decodes with [`Self::read_destination`]. A service that
    /// doesn't exist has none.
    #[must_use]
    pub fn dump_destinations(self, key: &Key) -> Message {
        let mut top = generic::header(GET_DEST, VERSION);
        top.put_nested(ATTR_SERVICE, &key.encode());
        self.family.message(top, Flags::Dump)
    }

    /// Asks for the module's version; the reply decodes with [`Self::read_info`].
    #[must_use]
    pub fn ask_info(self) -> Message {
        self.family.message(generic::header(GET_INFO, VERSION), Flags::Ack)
    }

    /// Asks for the connection time-outs; the reply decodes with [`Self::read_timeouts`].
    #[must_use]
    pub fn ask_timeouts(self) -> Message {
        self.family.message(generic::header(GET_CONFIG, VERSION), Flags::Ack)
    }

    /// Sets the connection time-outs; 0 leaves one as it is.
    #[must_use]
    pub fn set_timeouts(self, timeouts: &Timeouts) -> Message {
        self.order(SET_CONFIG, |top| {
            top.put(ATTR_TIMEOUT_TCP, &timeouts.tcp.to_ne_bytes())
                .put(ATTR_TIMEOUT_TCP_FIN, &timeouts.tcp_fin.to_ne_bytes())
                .put(ATTR_TIMEOUT_UDP, &timeouts.udp.to_ne_bytes())
        })
    }

    /// Empties the whole table, other people's services included.
    #[must_use]
    pub fn flush(self) -> Message {
        self.order(FLUSH, |top| top)
    }

    /// Starts a synchronisation daemon. EEXIST when one of its role runs, ENODEV without its interface, EINVAL while
    /// a destination is of another family than its service.
    #[must_use]
    pub fn start_daemon(self, daemon: &SyncDaemon) -> Message {
        self.order(NEW_DAEMON, |top| top.put_nested(ATTR_DAEMON, &daemon.encode()))
    }

    /// Ends the synchronisation daemon of a role; ESRCH when none runs. There may be no answer.
    #[must_use]
    pub fn stop_daemon(self, role: SyncRole) -> Message {
        self.order(DEL_DAEMON, |top| top.put_nested(ATTR_DAEMON, &sync::encode_role(role)))
    }

    /// Asks for the synchronisation daemons; each reply decodes with [`Self::read_daemon`].
    #[must_use]
    pub fn dump_daemons(self) -> Message {
        self.family.message(generic::header(GET_DAEMON, VERSION), Flags::Dump)
    }

    /// Reads one reply of [`Self::dump_daemons`].
    #[must_use]
    pub fn read_daemon(self, kind: u16, payload: &[u8]) -> Option<SyncDaemon> {
        SyncDaemon::decode(self.find(kind, payload, NEW_DAEMON, ATTR_DAEMON)?)
    }

    /// Reads one reply of [`Self::dump_services`].
    #[must_use]
    pub fn read_service(self, kind: u16, payload: &[u8]) -> Option<ServiceEntry> {
        ServiceEntry::decode(self.find(kind, payload, NEW_SERVICE, ATTR_SERVICE)?)
    }

    /// Reads one reply of [`Self::dump_destinations`]; `family` is the service's, for kernels before 3.18, whose
    /// destinations don't tell theirs.
    #[must_use]
    pub fn read_destination(self, kind: u16, payload: &[u8], family: IpFamily) -> Option<DestinationEntry> {
        DestinationEntry::decode(self.find(kind, payload, NEW_DEST, ATTR_DEST)?, family)
    }

    /// Reads the reply of [`Self::ask_info`].
    #[must_use]
    pub fn read_info(self, kind: u16, payload: &[u8]) -> Option<Info> {
        let (command, attributes) = generic::split(payload)?;
        if !self.family.sent(kind) || command != SET_INFO {
            return None;
        }
        let mut info = Info::default();
        for attribute in attributes {
            match attribute.kind {
                1 => info.version = attribute.u32()?,
                2 => info.connection_table_size = attribute.u32()?,
                _ => {}
            }
        }
        Some(info)
    }

    /// Reads the reply of [`Self::ask_timeouts`].
    #[must_use]
    pub fn read_timeouts(self, kind: u16, payload: &[u8]) -> Option<Timeouts> {
        let (command, attributes) = generic::split(payload)?;
        if !self.family.sent(kind) || command != SET_CONFIG {
            return None;
        }
        let mut timeouts = Timeouts::default();
        for attribute in attributes {
            match attribute.kind {
                ATTR_TIMEOUT_TCP => timeouts.tcp = attribute.u32()?,
                ATTR_TIMEOUT_TCP_FIN => timeouts.tcp_fin = attribute.u32()?,
                ATTR_TIMEOUT_UDP => timeouts.udp = attribute.u32()?,
                _ => {}
            }
        }
        Some(timeouts)
    }

    fn order(self, command: u8, fill: impl FnOnce(&mut Writer) -> &mut Writer) -> Message {
        let mut top = generic::header(command, VERSION);
        fill(&mut top);
        self.family.message(top, Flags::Ack)
    }

    fn destination(self, command: u8, key: &Key, destination: &Writer) -> Message {
        self.order(command, |top| {
            top.put_nested(ATTR_SERVICE, &key.encode()).put_nested(ATTR_DEST, destination)
        })
    }

    fn find(
        self,
        kind: u16,
        payload: &[u8],
        expected: u8,
        attribute: u16,
    ) -> Option<crate::attribute::Attributes<'_>> {
        let (command, mut attributes) = generic::split(payload)?;
        if !self.family.sent(kind) || command != expected {
            return None;
        }
        attributes.find(|found| found.kind == attribute).map(|found| found.nested())
    }
}

/// The module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// Version as 0x00MMmmpp.
    pub version: u32,
    /// Buckets of the connection table.
    pub connection_table_size: u32,
}

/// Seconds after which the kernel forgets an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Of TCP.
    pub tcp: u32,
    /// Of TCP after a FIN.
    pub tcp_fin: u32,
    /// Of UDP.
    pub udp: u32,
}

const VERSION: u8 = 1;
const NEW_SERVICE: u8 = 1;
const SET_SERVICE: u8 = 2;
const DEL_SERVICE: u8 = 3;
const GET_SERVICE: u8 = 4;
const NEW_DEST: u8 = 5;
const SET_DEST: u8 = 6;
const DEL_DEST: u8 = 7;
const GET_DEST: u8 = 8;
const NEW_DAEMON: u8 = 9;
const DEL_DAEMON: u8 = 10;
const GET_DAEMON: u8 = 11;
const SET_CONFIG: u8 = 12;
const GET_CONFIG: u8 = 13;
const SET_INFO: u8 = 14;
const GET_INFO: u8 = 15;
const FLUSH: u8 = 17;
const ATTR_SERVICE: u16 = 1;
const ATTR_DEST: u16 = 2;
const ATTR_DAEMON: u16 = 3;
const ATTR_TIMEOUT_TCP: u16 = 4;
const ATTR_TIMEOUT_TCP_FIN: u16 = 5;
const ATTR_TIMEOUT_UDP: u16 = 6;

#[cfg(test)]
mod tests;
