//! Configuration texts that scenarios share. They are what an operator would write.

use std::fmt::Write as _;
use std::net::IpAddr;

/// One `vrrp_instance`.
#[derive(Debug, Clone)]
pub struct VrrpInstance {
    /// Its name.
    pub name: String,
    /// `virtual_router_id`.
    pub vrid: u8,
    /// `priority`.
    pub priority: u8,
    /// `version`: 2 or 3.
    pub version: u8,
    /// `advert_int` as it is written.
    pub advert_int: &'static str,
    /// `virtual_ipaddress`, with prefix and device: see [`on_eth0`].
    pub addresses: Vec<String>,
    /// Lines added as they are.
    pub extra: String,
}

impl VrrpInstance {
    /// Instance `VI_1` with VRID 51 on `eth0`.
    #[must_use]
    pub fn new(version: u8, advert_int: &'static str, priority: u8, address: IpAddr) -> Self {
        Self {
            name: "VI_1".to_owned(),
            vrid: 51,
            priority,
            version,
            advert_int,
            addresses: vec![on_eth0(address)],
            extra: String::new(),
        }
    }

    /// The same with more lines in the block.
    #[must_use]
    pub fn with(mut self, extra: &str) -> Self {
        self.extra.push_str(extra);
        self.extra.push('\n');
        self
    }

    /// The block.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Self { name, vrid, priority, version, advert_int, extra, .. } = self;
        writeln!(text, "vrrp_instance {name} {{").ok();
        writeln!(text, "    state BACKUP\n    interface eth0\n    virtual_router_id {vrid}").ok();
        writeln!(text, "    priority {priority}\n    version {version}\n    advert_int {advert_int}").ok();
        for line in extra.lines() {
            writeln!(text, "    {line}").ok();
        }
        writeln!(text, "    virtual_ipaddress {{").ok();
        for address in &self.addresses {
            writeln!(text, "        {address}").ok();
        }
        writeln!(text, "    }}\n}}").ok();
        text
    }
}

/// An address line of `virtual_ipaddress`.
#[must_use]
pub fn on_eth0(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("{v4}/24 dev eth0"),
        IpAddr::V6(v6) => format!("{v6}/64 dev eth0"),
    }
}

/// `global_defs` with a name.
#[must_use]
pub fn global(router: &str) -> String {
    format!("global_defs {{\n    router_id {router}\n}}\n")
}

/// A `virtual_server` by NAT with one HTTP check for each real server.
#[must_use]
pub fn http_service(vip: &str, servers: &[&str]) -> String {
    let mut text = format!(
        "virtual_server {vip} 80 {{\n    delay_loop 1\n    lvs_sched rr\n    lvs_method NAT\n    protocol TCP\n"
    );
    for server in servers {
        writeln!(
            text,
            "    real_server {server} 80 {{\n        weight 1\n        HTTP_GET {{\n            url {{\n                \
             path /\n                status_code 200\n            }}\n            connect_timeout 1\n            \
             retry 0\n            delay_before_retry 1\n        }}\n    }}"
        )
        .ok();
    }
    text.push_str("}\n");
    text
}

/// So many virtual servers of so many real servers each, which nobody checks. The first of them all has this weight, the
/// others 1.
#[must_use]
pub fn resting_services(services: u8, servers: u8, weight: u32) -> String {
    let mut text = String::new();
    let mut weight = Some(weight);
    for service in 1..=services {
        writeln!(text, "virtual_server 10.78.0.{service} 80 {{\n    lvs_sched wrr\n    lvs_method NAT").ok();
        writeln!(text, "    protocol TCP").ok();
        for server in 1..=servers {
            let weight = weight.take().unwrap_or(1);
            writeln!(text, "    real_server 10.79.0.{server} 80 {{\n        weight {weight}\n    }}").ok();
        }
        text.push_str("}\n");
    }
    text
}
