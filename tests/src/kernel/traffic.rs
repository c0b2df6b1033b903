//! Packets by every way to a server, and connections that outlive what happens to the suite meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::answers::{Flow, Service};
use crate::lab::failure::require;
use crate::lab::lan::{front4, front6};
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, ipvs, pause, process, wait_until};

pub(super) const VIP: IpAddr = front4(50);
pub(super) const VIP6: IpAddr = front6(0x50);
const PORT: u16 = 3000;

/// A client, a director, two servers `w1` and `w2` on one network, with services over TCP and UDP.
pub(super) struct Place {
    // Declared first: services end before their hosts.
    services: Vec<Service>,
    lan: Lan,
}

impl Place {
    pub(super) fn new() -> Result<Self, Failure> {
        let lan = Lan::new(&[("client", 100), ("d1", 1), ("w1", 11), ("w2", 12)])?;
        // No source of the director's own packets, as when keepalived holds it: the servers have the same address
        // and take no tunnelled packet that comes from themselves.
        let vip6 = format!("addr add {VIP6}/128 dev eth0 nodad preferred_lft 0\n");
        lan.host("d1")?.ip(&format!("addr add {VIP}/32 dev eth0\n{vip6}"))?;
        Ok(Self { services: Vec::new(), lan })
    }

    /// Prepares both servers and starts their services over TCP.
    pub(super) fn serve(mut self, prepare: impl Fn(&Host) -> Result<(), Failure>) -> Result<Self, Failure> {
        for name in ["w1", "w2"] {
            let host = self.lan.host(name)?;
            host.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
            host.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
            prepare(host)?;
            let service = Service::streams(host, PORT)?;
            self.services.push(service);
        }
        Ok(self)
    }

    /// Servers that stand behind the director and answer through it.
    pub(super) fn behind() -> Result<Self, Failure> {
        let mut place = Self::new()?;
        place.lan.add_back_network(&[("d1", 1), ("w1", 11), ("w2", 12)])?;
        place.serve(|host| host.ip("route replace 10.77.0.100/32 via 10.78.0.1 dev eth1\n"))
    }

    /// The client.
    pub(super) fn client(&self) -> Result<&Host, Failure> {
        self.lan.host("client")
    }

    /// The director.
    pub(super) fn host(&self) -> Result<&Host, Failure> {
        self.lan.host("d1")
    }

    pub(super) fn start(&self, lab: &Lab, subject: Subject, text: &str) -> Result<Director, Failure> {
        Director::start(lab, self.lan.host("d1")?, subject, text, &[])
    }

    /// Who answers so many connections, once the first of them is answered.
    fn ask(&self, vip: IpAddr, count: usize) -> Result<BTreeMap<String, usize>, Failure> {
        let client = self.lan.host("client")?;
        let target = SocketAddr::new(vip, PORT);
        wait_until(&format!("an answer from {target}"), START, || {
            Flow::open(client, target).and_then(|mut flow| flow.ask()).is_ok()
        })?;
        self.ask_now(vip, count)
    }

    fn ask_now(&self, vip: IpAddr, count: usize) -> Result<BTreeMap<String, usize>, Failure> {
        let (client, target) = (self.lan.host("client")?, SocketAddr::new(vip, PORT));
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            *answers.entry(Flow::open(client, target)?.ask()?).or_default() += 1;
        }
        Ok(answers)
    }

    /// Round robin over both servers, without waiting for a first answer.
    pub(super) fn both_now(&self, vip: IpAddr) -> Result<(), Failure> {
        evenly(&self.ask_now(vip, 4)?, 2)
    }

    /// Round robin over both servers, by this way, once both have answered.
    pub(super) fn both(&self, vip: IpAddr) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        wait_until(&format!("answers of both servers at {vip}"), START, || {
            seen.extend(self.ask_now(vip, 1).unwrap_or_default().into_keys());
            seen.len() == 2
        })?;
        evenly(&self.ask_now(vip, 6)?, 3)
    }
}

fn evenly(answers: &BTreeMap<String, usize>, each: usize) -> Result<(), Failure> {
    let expected: BTreeMap<String, usize> = [("w1".to_owned(), each), ("w2".to_owned(), each)].into();
    require(*answers == expected, || format!("round robin over two servers gave {answers:?}"))
}

/// A virtual server without checks.
pub(super) fn service(key: &str, lines: &str, servers: &[&str]) -> String {
    let mut text = format!("virtual_server {key} {{\n{lines}");
    for server in servers {
        writeln!(text, "    real_server {server} {{\n        weight 1\n    }}").ok();
    }
    text.push_str("}\n");
    text
}

pub(super) const FRONT4: [&str; 2] = ["10.77.0.11 3000", "10.77.0.12 3000"];
pub(super) const FRONT6: [&str; 2] = ["fd77::11 3000", "fd77::12 3000"];

/// The servers own the addresses on this device.
pub(super) fn owns(host: &Host, device: &str) -> Result<(), Failure> {
    host.ip(&format!("addr add {VIP}/32 dev {device}\naddr add {VIP6}/128 dev {device} nodad\n"))
}

pub(super) fn direct6(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::new()?.serve(|host| owns(host, "lo"))?;
    let text = service("fd77::50 3000", "    lb_algo rr\n    lb_kind DR\n    protocol TCP\n", &FRONT6);
    let _director = place.start(lab, subject, &text)?;
    place.both(VIP6)
}

pub(super) fn persistence(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::new()?.serve(|host| owns(host, "lo"))?;
    let lines = "    lb_algo rr\n    lb_kind DR\n    persistence_timeout 60\n    protocol TCP\n";
    let _director = place.start(lab, subject, &service("10.77.0.50 3000", lines, &FRONT4))?;
    let answers = place.ask(VIP, 6)?;
    require(answers.len() == 1, || format!("one client was sent to {answers:?}"))
}

/// Clients of one network go to one server, and the next network to the next, over both families.
pub(super) fn granularity(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let mut place = Place::new()?.serve(|host| owns(host, "lo"))?;
    for name in ["w1", "w2"] {
        let own = Service::datagrams(place.lan.host(name)?, &[(VIP, PORT).into(), (VIP6, PORT).into()])?;
        place.services.push(own);
    }
    let lines = "    lb_algo rr\n    lb_kind DR\n    protocol UDP\n    persistence_timeout 60\n";
    let by = |network: &str| format!("{lines}    persistence_granularity {network}\n");
    let text = service("10.77.0.50 3000", &by("255.255.255.240"), &FRONT4)
        + &service("fd77::50 3000", &by("124"), &FRONT6);
    let _director = place.start(lab, subject, &text)?;
    let client = place.client()?;
    // Three of one network, two of the next.
    let sources: [&[IpAddr]; 2] = [
        &[front4(0x81), front4(0x82), front4(0x8e), front4(0x91), front4(0x92)],
        &[front6(0x81), front6(0x82), front6(0x8e), front6(0x91), front6(0x92)],
    ];
    for source in sources.into_iter().flatten() {
        let rest = if source.is_ipv4() { "/24 dev eth0" } else { "/64 dev eth0 nodad" };
        client.ip(&format!("addr add {source}{rest}\n"))?;
    }
    let ask = |source: IpAddr, vip: IpAddr| -> String {
        let answer = client.enter(|| {
            let socket = UdpSocket::bind((source, 0)).ok()?;
            socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            socket.send_to(b"?", (vip, PORT)).ok()?;
            let mut name = [0; 2];
            socket.recv_from(&mut name).ok()?;
            Some(String::from_utf8_lossy(&name).into_owned())
        });
        answer.ok().flatten().unwrap_or_default()
    };
    for (vip, sources) in [VIP, VIP6].into_iter().zip(sources) {
        wait_until(&format!("an answer from {vip}"), START, || {
            sources.first().is_some_and(|source| !ask(*source, vip).is_empty())
        })?;
        let names: Vec<String> = sources.iter().map(|source| ask(*source, vip)).collect();
        let (first, second) = names.split_at(3);
        let one = |names: &[String]| names.iter().all(|name| Some(name) == names.first());
        let apart = one(first) && one(second) && first.first() != second.first();
        require(apart, || format!("by networks of sixteen at {vip}: {names:?}"))?;
    }
    Ok(())
}

/// Packets of IPv6 that have a mark, whatever their address.
pub(super) fn mark6(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::new()?.serve(|host| owns(host, "lo"))?;
    let rule = ["-t", "mangle", "-A", "PREROUTING", "-d", "fd77::50", "-p", "tcp"];
    let rule = [&rule[..], &["-j", "MARK", "--set-mark", "9"]].concat();
    place.host()?.run("ip6tables-legacy", &rule)?;
    let lines = "    ip_family inet6\n    lb_algo rr\n    lb_kind DR\n";
    let _director = place.start(lab, subject, &service("fwmark 9", lines, &["fd77::11 0", "fd77::12 0"]))?;
    place.both(VIP6)
}

/// Datagrams from one port: those of a flow go one way, with `ops` each goes its own.
pub(super) fn datagrams(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let mut place = Place::new()?.serve(|host| owns(host, "lo"))?;
    let ports = [PORT, PORT + 1];
    for name in ["w1", "w2"] {
        let own = Service::datagrams(place.lan.host(name)?, &ports.map(|port| (VIP, port).into()))?;
        place.services.push(own);
    }
    let lines = "    lb_algo rr\n    lb_kind DR\n    protocol UDP\n";
    let text = service("10.77.0.50 3000", lines, &FRONT4)
        + &service("10.77.0.50 3001", &format!("{lines}    ops\n"), &["10.77.0.11 3001", "10.77.0.12 3001"]);
    let _director = place.start(lab, subject, &text)?;
    let client = place.lan.host("client")?;
    let ask = |port: u16| -> BTreeMap<String, usize> {
        let answers = client.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
            socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            let mut answers = BTreeMap::new();
            for _ in 0..8 {
                socket.send_to(b"?", (VIP, port)).ok()?;
                let mut name = [0; 2];
                socket.recv_from(&mut name).ok()?;
                *answers.entry(String::from_utf8_lossy(&name).into_owned()).or_default() += 1;
            }
            Some(answers)
        });
        answers.ok().flatten().unwrap_or_default()
    };
    wait_until("a flow of datagrams reaches one server", START, || ask(PORT).values().eq(&[8]))?;
    wait_until("with ops datagrams are spread", START, || ask(PORT + 1).values().eq(&[4, 4])).map(drop)
}

/// The status tells of each service and server what `ipvsadm` does: connections, packets, bytes, and what is open.
pub(super) fn counted(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::behind()?;
    let lines = "    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n";
    let servers = ["10.78.0.11 3000", "10.78.0.12 3000", "10.78.0.13 3000"];
    let text =
        service("10.77.0.50 3000", lines, &servers[..2]) + &service("10.77.0.51 3000", lines, &servers[2..]);
    let director = place.start(lab, subject, &text)?;
    place.both(VIP)?;
    let mut open = Flow::open(place.client()?, (VIP, PORT).into())?;
    open.ask()?;
    let host = place.host()?;
    let of_kernel = || -> Result<Vec<String>, Failure> {
        let said = host.run("ipvsadm", &["-L", "-n", "--stats", "--exact"])?;
        let counts = |line: &str| line.split_whitespace().skip(2).map(str::to_owned).collect::<Vec<_>>();
        Ok(said.lines().skip(3).map(|line| counts(line).join(" ")).collect())
    };
    let of_suite = || -> Vec<String> {
        let status = director.status().unwrap_or_default();
        let counts = |entry: &serde_json::Value| {
            ["connections", "packets_in", "packets_out", "bytes_in", "bytes_out"]
                .map(|what| entry["counters"][what].to_string())
                .join(" ")
        };
        let services = status["services"].as_array().cloned().unwrap_or_default();
        let with_servers = |service: &serde_json::Value| {
            let servers = service["servers"].as_array().cloned().unwrap_or_default();
            [counts(service)].into_iter().chain(servers.iter().map(counts)).collect::<Vec<_>>()
        };
        services.iter().flat_map(with_servers).collect()
    };
    let (mut kernel, mut suite) = (Vec::new(), Vec::new());
    wait_until("the status tells what the kernel counts", REPAIRED, || {
        kernel = of_kernel().unwrap_or_default();
        suite = of_suite();
        // The kernel lists what was made last first.
        kernel.sort();
        suite.sort();
        kernel.len() == 5 && kernel == suite
    })
    .map_err(|failure| Failure::new(format!("{failure}: {kernel:?} and {suite:?}")))?;
    let connections = |line: &String| line.split(' ').next().and_then(|count| count.parse::<u32>().ok());
    let most = kernel.iter().filter_map(connections).max();
    require(most >= Some(9), || format!("nine connections at least: {kernel:?}"))?;
    let active = |status: &serde_json::Value| {
        let servers = [0, 1].map(|server| &status["services"][0]["servers"][server]["counters"]["active"]);
        servers.into_iter().filter_map(serde_json::Value::as_u64).sum::<u64>()
    };
    wait_until("the status shows the connection that is open", REPAIRED, || {
        director.status().is_ok_and(|status| active(&status) == 1)
    })
    .map(drop)
}

/// An established connection by NAT goes on over a reload, another weight, and the restart and death of each daemon.
pub(super) fn established(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let place = Place::behind()?;
    // The suite holds the address here.
    place.host()?.ip(&format!("addr del {VIP}/32 dev eth0\n"))?;
    let text = |weight: u8| {
        let lines = format!("    lb_algo wrr\n    lb_kind NAT\n    weight {weight}\n    protocol TCP\n");
        "vrrp_instance front {\n    interface eth0\n    virtual_router_id 51\n    version 3\n    advert_int 0.3\n    \
         virtual_ipaddress {\n        10.77.0.50/24\n    }\n}\nvirtual_server 10.77.0.50 3000 {\n"
            .to_owned()
            + &lines
            + "    real_server 10.78.0.11 3000 {\n    }\n    real_server 10.78.0.12 3000 {\n        weight 2\n    }\n}\n"
    };
    let director = place.start(lab, subject, &text(1))?;
    place.ask(VIP, 3)?;
    let (host, client) = (place.lan.host("d1")?, place.lan.host("client")?);
    let mut flow = Flow::open(client, (VIP, PORT).into())?;
    let name = flow.ask()?;
    let mut still = |what: &str| -> Result<(), Failure> {
        let now = flow.ask().map_err(|failure| Failure::new(format!("after {what}: {failure}")))?;
        require(now == name, || format!("after {what}: {now} answers instead of {name}"))
    };
    director.ctl(&["reload"])?;
    still("a reload")?;
    director.write_config(host, &text(5))?;
    director.ctl(&["reload"])?;
    wait_until("the new weight is in the table", START, || {
        ipvs::destinations(host) == ["10.78.0.11:3000 weight 5", "10.78.0.12:3000 weight 2"]
    })?;
    still("another weight")?;
    for daemon in ["ipvsd", "checkd", "vrrpd"] {
        let old = director.wait_daemon(daemon)?;
        director.ctl(&["restart", daemon])?;
        let new = director.wait_successor(daemon, old)?;
        still(&format!("the restart of {daemon}"))?;
        process::signal(new, Signal::SIGKILL);
        director.wait_successor(daemon, new)?;
        still(&format!("the death of {daemon}"))?;
    }
    Ok(())
}

/// Whatever somebody does to the table of 1 000 destinations is undone; what isn't ours stays.
pub(super) fn repair(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let host = lan.host("d1")?;
    let mut text = String::new();
    for number in 0..20 {
        let servers: Vec<String> = (1..=50).map(|server| format!("10.79.{number}.{server} 80")).collect();
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        let lines = "    lb_algo wlc\n    lb_kind DR\n    protocol TCP\n";
        text.push_str(&service(&format!("10.77.1.{number} 80"), lines, &servers));
    }
    let director = Director::start(lab, host, subject, &text, &[])?;
    let table = || host.run("ipvsadm", &["-S", "-n"]).unwrap_or_default();
    wait_until("the table is full", START, || table().lines().count() == 1020)?;
    let whole = table();
    let repaired = || {
        let status = director.status().unwrap_or_default();
        status["table"]["InStep"]["repaired"].as_u64().unwrap_or(0)
    };
    // A destination may be looked at just before it is edited, and a look at all of them takes a round.
    pause(Duration::from_secs(1));
    for edit in [
        &["-C"][..],
        &["-D", "-t", "10.77.1.7:80"],
        &["-e", "-t", "10.77.1.11:80", "-r", "10.79.11.11:80", "-g", "-w", "77"],
        &["-a", "-t", "10.77.1.13:80", "-r", "10.79.99.99:80", "-g"],
    ] {
        let before = repaired();
        host.run("ipvsadm", edit)?;
        wait_until(&format!("ipvsadm {edit:?} is undone"), REPAIRED, || {
            repaired() > before && table() == whole
        })?;
    }
    host.run("ipvsadm", &["-A", "-t", "10.77.0.99:81", "-s", "wlc"])?;
    pause(Duration::from_secs(3));
    require(table().contains("10.77.0.99:81"), || "somebody else's service was removed".to_owned())
}

/// `net_namespace_ipvs`: the table stands elsewhere, before and after a restart of its writer, and goes with the suite.
pub(super) fn namespace(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("table", 2)])?;
    let (here, there) = (lan.host("d1")?, lan.host("table")?);
    let lines = "    lb_algo rr\n    lb_kind DR\n    protocol TCP\n";
    let text = "net_namespace_ipvs table\n".to_owned() + &service("10.77.0.50 3000", lines, &FRONT4);
    let director = Director::start(lab, here, subject, &text, &[])?;
    let full = |host: &Host| ipvs::destinations(host).len() == 2;
    wait_until("the table stands in the other namespace", START, || full(there))?;
    let old = director.wait_daemon("ipvsd")?;
    process::signal(old, Signal::SIGKILL);
    director.wait_successor("ipvsd", old)?;
    there.run("ipvsadm", &["-C"])?;
    wait_until("its successor keeps it there", START, || full(there))?;
    require(ipvs::table(here)?.is_empty(), || "the table of the own namespace was written".to_owned())?;
    director.stop()?;
    require(ipvs::table(there)?.is_empty(), || "a stop left the table".to_owned())
}

/// A synchronisation daemon that comes and goes by reloads as fast as they can follow each other: the kernel may leave
/// an order without an answer, and what runs at the end is what is configured.
pub(super) fn sync_comes_and_goes(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let host = lan.host("d1")?;
    let with = "global_defs {\n    lvs_sync_daemon eth0 id 7\n}\n";
    let lines = "    lb_algo rr\n    lb_kind DR\n    protocol TCP\n";
    let service = service("10.77.0.50 3000", lines, &FRONT4);
    let director = Director::start(lab, host, subject, &service, &[])?;
    let daemons = || host.run("ipvsadm", &["-L", "-n", "--daemon"]).map_or(99, |said| said.lines().count());
    wait_until("the table is full", START, || ipvs::destinations(host).len() == 2)?;
    for _ in 0..3 {
        for (text, running) in [(with, 2), ("", 0), (with, 2), ("", 0)] {
            director.write_config(host, &format!("{text}{service}"))?;
            director.ctl(&["reload"])?;
            if text.is_empty() {
                wait_until("the daemons are those of the configuration", START, || daemons() == running)?;
            }
        }
    }
    director.write_config(host, &format!("{with}{service}"))?;
    director.ctl(&["reload"])?;
    wait_until("both daemons run", START, || daemons() == 2)?;
    director.stop()?;
    require(daemons() == 0, || "a stop left a synchronisation daemon".to_owned())
}

const START: Duration = Duration::from_secs(30);
/// Two seconds is the aim; looks take at most one per cent of the time, and in this kernel each takes long.
const REPAIRED: Duration = Duration::from_secs(30);
