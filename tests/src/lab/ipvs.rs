//! The kernel's table of virtual services, read from /proc without any code of the suite.

use super::{Failure, Host};

/// One line of the table that starts a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `TCP 10.77.0.50:80`, `FWM 7`.
    pub name: String,
    /// Scheduler.
    pub scheduler: String,
    /// Its destinations.
    pub destinations: Vec<Destination>,
}

/// One destination of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `10.78.0.11:80`.
    pub address: String,
    /// `Masq`, `Route`, `Tunnel`, `Local`.
    pub forwarding: String,
    /// Its weight.
    pub weight: u32,
}

/// The table of a host; empty when the kernel has none.
pub fn table(host: &Host) -> Result<Vec<Service>, Failure> {
    let text = host.proc_net("ip_vs").unwrap_or_default();
    parse(&text).ok_or_else(|| Failure::new(format!("/proc/net/ip_vs is not understood: {text}")))
}

/// Destinations of the first service, as `10.78.0.11:80 weight 1`, sorted: what most scenarios compare.
#[must_use]
pub fn destinations(host: &Host) -> Vec<String> {
    let services = table(host).unwrap_or_default();
    let mut lines: Vec<String> = services
        .iter()
        .take(1)
        .flat_map(|service| &service.destinations)
        .map(|destination| format!("{} weight {}", destination.address, destination.weight))
        .collect();
    lines.sort();
    lines
}

fn parse(text: &str) -> Option<Vec<Service>> {
    let mut services: Vec<Service> = Vec::new();
    for line in text.lines().skip(3) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"->") {
            services.last_mut()?.destinations.push(Destination {
                address: endpoint(words.get(1)?)?,
                forwarding: (*words.get(2)?).to_owned(),
                weight: words.get(3)?.parse().ok()?,
            });
        } else if let [protocol, key, scheduler, ..] = words.as_slice() {
            let key = if *protocol == "FWM" { mark(key)? } else { endpoint(key)? };
            services.push(Service {
                name: format!("{protocol} {key}"),
                scheduler: (*scheduler).to_owned(),
                destinations: Vec::new(),
            });
        }
    }
    Some(services)
}

fn mark(key: &str) -> Option<String> {
    u32::from_str_radix(key, 16).ok().map(|mark| mark.to_string())
}

/// `0A4E000B:0050` or `[fd78:0000:...:0011]:0050`.
fn endpoint(word: &str) -> Option<String> {
    let (address, port) = word.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if let Some(v6) = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let v6: std::net::Ipv6Addr = v6.parse().ok()?;
        return Some(format!("[{v6}]:{port}"));
    }
    let v4 = std::net::Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?);
    Some(format!("{v4}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_the_kernel_is_understood() {
        let text = "IP Virtual Server version 1.2.1 (size=4096)\n\
                    Prot LocalAddress:Port Scheduler Flags\n  \
                    -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
                    TCP  0A4D0032:0050 rr  \n  \
                    -> 0A4E000B:0050      Masq    1      0          2\n\
                    TCP  [fd77:0000:0000:0000:0000:0000:0000:0050]:0050 wlc \n  \
                    -> [fd78:0000:0000:0000:0000:0000:0000:0011]:0050      Route   3      0          0\n\
                    FWM  00000007 rr  \n";
        let services = parse(text).unwrap();
        assert_eq!(services.len(), 3);
        assert_eq!(services[0].name, "TCP 10.77.0.50:80");
        assert_eq!(services[0].destinations[0].address, "10.78.0.11:80");
        assert_eq!(services[0].destinations[0].forwarding, "Masq");
        assert_eq!(services[1].scheduler, "wlc");
        assert_eq!(services[1].destinations[0].address, "[fd78::11]:80");
        assert_eq!(services[1].destinations[0].weight, 3);
        assert_eq!(services[2].name, "FWM 7");
    }
}
