//! Nodes that are directors and real servers at once, by direct routing, with the recipe of
//! docs/directors-that-serve.md: each node dies in turn under traffic, and no packet is balanced twice.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::lab::answers::{Flow, Service};
use crate::lab::failure::require;
use crate::lab::lan::{Cable, front4, front6};
use crate::lab::web::{WebServer, get};
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, ipvs, pause, wait_until};

const EAST_WEST: &str = include_str!("../../corpus/director-and-real-server.conf");
const PROXY: &str = include_str!("../../corpus/weights-from-scripts.conf");
const SYSCTL: &str =
    include_str!("../../../packaging/examples/directors-that-serve/90-directors-that-serve.conf");
const TAKE: &str = include_str!("../../../packaging/examples/directors-that-serve/connections-primary.sh");
const LEAVE: &str = include_str!("../../../packaging/examples/directors-that-serve/connections-backup.sh");

const VIP: IpAddr = front4(50);
const VIP6: IpAddr = front6(0x50);

/// What the recipe asks of every node: it owns the service addresses without announcing them, and the kernel's
/// director rests while the node is Backup. Beside that it counts packets that came round a second time.
fn prepare(host: &Host) -> Result<(), Failure> {
    host.run("modprobe", &["-a", "ip_vs", "ip_vs_rr", "ip_vs_wrr"])?;
    for line in SYSCTL.lines().filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        host.sysctl(key, value)?;
    }
    host.ip(&format!("addr add {VIP}/32 dev lo\naddr add {VIP6}/128 dev lo nodad\n"))?;
    // A client's packet has 64; the Master takes one off. Who forwards it once more is a loop.
    for (program, vip, limit) in
        [("iptables-legacy", VIP, ["ttl", "--ttl-lt"]), ("ip6tables-legacy", VIP6, ["hl", "--hl-lt"])]
    {
        let [module, test] = limit;
        let vip = vip.to_string();
        host.run(program, &["-t", "mangle", "-A", "PREROUTING", "-d", &vip, "-m", module, test, "63"])?;
    }
    Ok(())
}

/// Packets that a node saw after they had been forwarded twice.
fn came_round(host: &Host) -> Result<u64, Failure> {
    let mut sum = 0_u64;
    for program in ["iptables-legacy", "ip6tables-legacy"] {
        let said = host.run(program, &["-t", "mangle", "-L", "PREROUTING", "-n", "-v", "-x"])?;
        let counts =
            said.lines().skip(2).filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        sum = sum.saturating_add(counts.sum());
    }
    Ok(sum)
}

fn script(name: &str, text: &str) -> Result<String, Failure> {
    let path = Path::new("/run/lab").join(name);
    fs::create_dir_all("/run/lab")
        .and_then(|()| fs::write(&path, text))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(|cause| Failure::instrument("script", cause))?;
    Ok(path.to_string_lossy().into_owned())
}

/// One question over UDP from a port of its own.
fn ask_datagram(client: &Host, port: u16) -> Option<String> {
    client
        .enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
            socket.set_read_timeout(Some(ANSWER)).ok()?;
            socket.send_to(b"?", (VIP, port)).ok()?;
            let mut buffer = [0; 64];
            let (length, from) = socket.recv_from(&mut buffer).ok()?;
            (from.ip() == VIP).then(|| String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .ok()
        .flatten()
}

/// Every way into the two nodes' services, and who answers on it.
fn ask_all(client: &Host) -> Vec<Option<String>> {
    let web = |host: &str| client.enter(|| get(host, ANSWER).ok()).ok().flatten();
    let mut answers = vec![web(&VIP.to_string()), web(&format!("[{VIP6}]"))];
    answers.extend([1812, 1813, 1814].map(|port| ask_datagram(client, port)));
    answers
}

/// Waits until exactly these nodes answer on every way, each several times in a row.
fn served_by(client: &Host, nodes: &[&str]) -> Result<(), Failure> {
    let mut last = Vec::new();
    wait_until(&format!("{nodes:?} answer over IPv4, IPv6 and UDP"), FOLLOW, || {
        let rounds: Vec<_> = (0..2 * nodes.len()).map(|_| ask_all(client)).collect();
        let ways = rounds.first().map_or(0, Vec::len);
        let served = (0..ways).all(|way| {
            let mut names: Vec<&str> = rounds
                .iter()
                .map(|round| round.get(way).and_then(|name| name.as_deref()).unwrap_or(""))
                .collect();
            names.sort_unstable();
            names.dedup();
            names == nodes
        });
        last = rounds;
        served
    })
    .map(drop)
    .map_err(|failure| Failure::new(format!("{failure}; last {last:?}")))
}

/// The configuration of east and west as node `n1` or `n2` has it.
fn east_west(node: &str, check: &str) -> String {
    let mut text = EAST_WEST
        .replace("bond0", "eth0")
        .replace("192.0.2.130", "10.77.0.1")
        .replace("192.0.2.131", "10.77.0.2")
        .replace("192.0.2.132/28", "10.77.0.50/24")
        .replace("192.0.2.133/28", "10.77.0.51/24")
        .replace("192.0.2.132", "10.77.0.50")
        .replace("2001:db8:203::132/64", "fd77::50/128")
        .replace("2001:db8:203::132", "fd77::50")
        .replace("2001:db8:203::130", "fd77::1")
        .replace("2001:db8:203::131", "fd77::2")
        .replace("/opt/test-radius.sh", check)
        .replace("lb_algo rr", "delay_loop 1\n    connect_timeout 1\n    lb_algo rr");
    if node == "n2" {
        text = text.replace("priority 200", "priority 0").replace("priority 100", "priority 200");
        text = text.replace("priority 0\n", "priority 100\n");
    }
    format!("global_defs {{\n    script_user root\n    lvs_sync_daemon eth0 inst east\n}}\n{text}")
}

/// Two nodes: each is killed in turn, and comes back.
pub(super) fn two_nodes(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let lan = Lan::new(&[("client", 100), ("n1", 1), ("n2", 2)])?;
    let client = lan.host("client")?;
    let check = script(
        "test-radius.sh",
        "#!/bin/bash\nexec 3<>/dev/udp/$1/1812\necho '?' >&3\nread -r -n 1 -t 1 <&3\n",
    )?;
    let start = |node: &str| -> Result<(WebServer, Director), Failure> {
        let host = lan.host(node)?;
        let server = WebServer::start(lab, host)?;
        Ok((server, Director::start(lab, host, subject, &east_west(node, &check), &[])?))
    };
    let mut services = Vec::new();
    for (node, own) in [("n1", front4(1)), ("n2", front4(2))] {
        let host = lan.host(node)?;
        prepare(host)?;
        let mut addresses: Vec<SocketAddr> = [1812, 1813, 1814].map(|port| (VIP, port).into()).into();
        addresses.push((own, 1812).into());
        services.push(Service::datagrams(host, &addresses)?);
    }
    let mut running = std::collections::BTreeMap::new();
    for node in ["n1", "n2"] {
        running.insert(node, start(node)?);
    }
    served_by(client, &["n1", "n2"])?;
    for (victim, other) in [("n1", "n2"), ("n2", "n1")] {
        lan.power_off(victim)?;
        running.remove(victim);
        served_by(client, &[other])?;
        // It boots: an empty table, no address of the others.
        let host = lan.host(victim)?;
        forget(host)?;
        lan.set_cable(victim, Cable::Plugged)?;
        running.insert(victim, start(victim)?);
        served_by(client, &["n1", "n2"])?;
    }
    for node in ["n1", "n2"] {
        let seen = came_round(lan.host(node)?)?;
        require(seen == 0, || format!("{node} saw {seen} packets that were balanced twice"))?;
    }
    // Without the kernel setting the Backup balances again: the counters do count.
    let backup = lan.host("n2")?;
    backup.sysctl("net.ipv4.vs.backup_only", "0")?;
    wait_until("packets come round without the recipe", FOLLOW, || {
        ask_all(client);
        ["n1", "n2"].iter().any(|node| lan.host(node).and_then(came_round).is_ok_and(|seen| seen > 0))
    })
    .map(drop)
}

/// What a node loses with its power.
fn forget(host: &Host) -> Result<(), Failure> {
    host.run("ipvsadm", &["-C"])?;
    for role in ["master", "backup"] {
        host.run("ipvsadm", &["--stop-daemon", role]).ok();
    }
    for address in ["10.77.0.50/24", "10.77.0.51/24", "fd77::50/128"] {
        host.ip(&format!("addr del {address} dev eth0\n")).ok();
    }
    Ok(())
}

/// Three nodes with weights from scripts: the table shows them, requests follow them, and an established connection
/// outlives two directors because the notify scripts hand connections over.
pub(super) fn three_nodes(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    const NODES: [&str; 3] = ["n1", "n2", "n3"];
    let lan = Lan::new(&[("client", 100), ("n1", 1), ("n2", 2), ("n3", 3)])?;
    let client = lan.host("client")?;
    // A dead server tells no weight.
    let check = script(
        "iweight.sh",
        "#!/bin/sh\nread -r weight </run/lab/weight.$1 || exit 1\nexit $((weight + 2))\n",
    )?;
    let weigh = |byte: u8, weight: u8| {
        fs::write(format!("/run/lab/weight.10.77.0.{byte}"), format!("{weight}\n"))
            .map_err(|cause| Failure::instrument("weight", cause))
    };
    let (take, leave) = (script("primary.sh", TAKE)?, script("backup.sh", LEAVE)?);
    let mut services = Vec::new();
    let mut directors = Vec::new();
    for (node, (byte, weight)) in NODES.into_iter().zip([(1_u8, 1_u8), (2, 2), (3, 4)]) {
        let host = lan.host(node)?;
        prepare(host)?;
        weigh(byte, weight)?;
        services.push(Service::streams(host, 3128)?);
    }
    for (node, priority) in NODES.into_iter().zip([150, 140, 130]) {
        let text = PROXY
            .replace("bond0", "eth0")
            .replace("192.0.2.140/28", "10.77.0.50/24")
            .replace("192.0.2.140", "10.77.0.50")
            .replace("192.0.2.14", "10.77.0.")
            .replace("priority 150", &format!("priority {priority}"))
            .replace("/opt/iweight.sh", &check)
            .replace("/opt/conntrack-primary.sh", &format!("{take} eth0"))
            .replace("/opt/conntrack-backup.sh", &format!("{leave} eth0"));
        let text = format!("global_defs {{\n    script_user root\n}}\n{text}");
        directors.push(Director::start(lab, lan.host(node)?, subject, &text, &[])?);
    }
    let weights = |node: &str, wanted: &[&str]| -> Result<(), Failure> {
        let host = lan.host(node)?;
        let mut seen = Vec::new();
        wait_until(&format!("{node} weighs {wanted:?}"), FOLLOW, || {
            seen = ipvs::destinations(host);
            seen == wanted
        })
        .map(drop)
        .map_err(|failure| Failure::new(format!("{failure}; last {seen:?}")))
    };
    weights("n1", &["10.77.0.1:3128 weight 1", "10.77.0.2:3128 weight 2", "10.77.0.3:3128 weight 4"])?;
    wait_until("n1 sends its connections, the others listen", FOLLOW, || {
        NODES.into_iter().zip(["master", "backup", "backup"]).all(|(node, role)| {
            let said = lan.host(node).and_then(|host| host.run("ipvsadm", &["-L", "-n", "--daemon"]));
            said.is_ok_and(|daemons| daemons.starts_with(role) && daemons.lines().count() == 1)
        })
    })?;
    let mut flow = Flow::open(client, (VIP, 3128).into())?;
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..14 {
        let name = Flow::open(client, (VIP, 3128).into())?.ask()?;
        *counts.entry(name).or_default() += 1;
    }
    let expected = [("n1".to_owned(), 2), ("n2".to_owned(), 4), ("n3".to_owned(), 8)].into();
    require(counts == expected, || format!("weights 1, 2, 4 gave {counts:?}"))?;
    weigh(2, 9)?;
    weights("n1", &["10.77.0.1:3128 weight 1", "10.77.0.2:3128 weight 9", "10.77.0.3:3128 weight 4"])?;
    // A connection to the node that lives longest, with enough packets that the kernel tells of it.
    while flow.ask()? != "n3" {
        flow = Flow::open(client, (VIP, 3128).into())?;
    }
    for _ in 0..12 {
        flow.ask()?;
        pause(Duration::from_millis(300));
    }
    for (victim, next, left) in [
        ("n1", "n2", &["10.77.0.2:3128 weight 9", "10.77.0.3:3128 weight 4"][..]),
        ("n2", "n3", &["10.77.0.3:3128 weight 4"]),
    ] {
        lan.power_off(victim)?;
        fs::remove_file(format!("/run/lab/weight.10.77.0.{}", victim.trim_start_matches('n')))
            .map_err(|cause| Failure::instrument("weight", cause))?;
        let name =
            flow.ask().map_err(|failure| Failure::new(format!("after the death of {victim}: {failure}")))?;
        require(name == "n3", || format!("{name} answers on a connection to n3"))?;
        weights(next, left)?;
        for _ in 0..12 {
            flow.ask()?;
            pause(Duration::from_millis(300));
        }
    }
    for node in NODES {
        let seen = came_round(lan.host(node)?)?;
        require(seen == 0, || format!("{node} saw {seen} packets that were balanced twice"))?;
    }
    Ok(())
}

const ANSWER: Duration = Duration::from_secs(1);
const FOLLOW: Duration = Duration::from_secs(25);
