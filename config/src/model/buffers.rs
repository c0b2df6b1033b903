//! Receive buffers of sockets: what the configuration says about them.

use serde::{Deserialize, Serialize};

/// Receive buffer of a netlink socket (`*_rcv_bufs` and `*_rcv_bufs_force`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Buffer {
    /// Bytes; absent: as large as this suite thinks fit.
    pub bytes: Option<u32>,
    /// Also beyond the system's limit.
    pub forced: bool,
}

/// How much of what is heard may wait for vrrpd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffers {
    /// `vrrp_netlink_cmd_rcv_bufs`: answers of the kernel.
    pub requests: Buffer,
    /// `vrrp_netlink_monitor_rcv_bufs`: what the kernel tells of interfaces and addresses.
    pub events: Buffer,
    /// `vrrp_rx_bufs_policy`: adverts, for each instance; absent: as large as this suite thinks fit.
    pub adverts: Option<Queue>,
    /// `vrrp_rx_bufs_multiplier`: packets of [`Queue::Mtu`] and [`Queue::Advert`].
    pub multiplier: u32,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { requests: Buffer::default(), events: Buffer::default(), adverts: None, multiplier: 3 }
    }
}

/// What an instance adds to the receive buffer of the socket that hears its adverts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Queue {
    /// Packets as long as its interface takes.
    Mtu,
    /// Packets as long as its adverts.
    Advert,
    /// So many bytes.
    Bytes(u32),
}
