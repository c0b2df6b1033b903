//! Proves the IPVS codec against the running kernel: everything written is dumped and compared.
//!
//! Needs CAP_NET_ADMIN and a kernel with IPVS whose table is empty: run it in a virtual machine. It fails where
//! the kernel has no IPVS, and it leaves the table empty.

use std::error::Error;
use std::io::{Write, stdout};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use netlink::frame::Message;
use netlink::generic::resolve;
use netlink::ipvs::{
    Destination, Endpoint, FAMILY, Forwarding, IpFamily, Ipvs, Key, Service, ServiceFlags, Timeouts, Tunnel,
};
use netlink::socket::{Outcome, Protocol, Socket};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut socket = Socket::open(Protocol::Generic)?;
    let ipvs = Ipvs::new(resolve(&mut socket, FAMILY, patience)?);
    let mut bench = Bench { socket, ipvs };
    say("info", &format!("{:x?}", bench.info()?))?;
    bench.expect_table("the table is empty at the start", &[])?;
    for (name, service, destinations) in cases()? {
        bench.service_round_trip(name, &service, &destinations)?;
    }
    bench.refusals()?;
    bench.timeouts()?;
    bench.many(1_000)?;
    bench.expect_table("the table is empty at the end", &[])?;
    say("ok", "every entry read back as it was written")
}

struct Bench {
    socket: Socket,
    ipvs: Ipvs,
}

type Case = (&'static str, Service, Vec<Destination>);

fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let v4: IpAddr = "192.0.2.1".parse()?;
    let v6: IpAddr = "2001:db8::1".parse()?;
    let address = |protocol, ip, port| Key::Address { protocol, ip, port };
    let nat = vec![
        destination("10.0.0.1", 8080, Forwarding::Nat, 1)?,
        destination("10.0.0.2", 8080, Forwarding::Nat, 0)?,
    ];
    let persistent = Service {
        flags: ServiceFlags::PERSISTENT,
        persistence_timeout: 300,
        persistence_prefix: 24,
        ..Service::new(address(6, v4, 443), "wlc")
    };
    let persistent_6 = Service {
        flags: ServiceFlags::PERSISTENT,
        persistence_timeout: 60,
        persistence_prefix: 64,
        ..Service::new(address(6, v6, 443), "rr")
    };
    let one_packet = Service { flags: ServiceFlags::ONE_PACKET, ..Service::new(address(17, v4, 53), "wrr") };
    let hashed = Service {
        flags: ServiceFlags::FALLBACK.with(ServiceFlags::HASH_PORT),
        ..Service::new(address(6, v4, 81), "sh")
    };
    let direct = vec![destination("10.0.0.1", 80, Forwarding::DirectRouting, 5)?];
    let direct_6 = vec![destination("fd00::1", 443, Forwarding::DirectRouting, 5)?];
    let tunnel = vec![destination("10.0.0.9", 0, Forwarding::Tunnel(Tunnel::ipip()), 2_147_483_647)?];
    let thresholds = vec![Destination {
        upper_threshold: 1000,
        lower_threshold: 10,
        ..destination("10.0.0.1", 1812, Forwarding::Nat, 1)?
    }];
    Ok(vec![
        ("tcp, NAT, two servers", Service::new(address(6, v4, 80), "rr"), nat),
        ("udp, thresholds", Service::new(address(17, v4, 1812), "lc"), thresholds),
        ("udp, one-packet scheduling", one_packet, Vec::new()),
        ("sctp, DR", Service::new(address(132, v4, 80), "sed"), direct.clone()),
        ("tcp, persistence by /24, DR", persistent, direct.clone()),
        ("IPv6, persistence by /64, DR", persistent_6, direct_6),
        ("IPv6, udp, NAT", Service::new(address(17, v6, 53), "nq"), Vec::new()),
        ("source hashing with both flags", hashed, direct),
        ("mark, TUN", Service::new(Key::Mark { mark: 7, family: IpFamily::V4 }, "wrr"), tunnel),
        ("mark of IPv6", Service::new(Key::Mark { mark: 7, family: IpFamily::V6 }, "dh"), Vec::new()),
    ])
}

fn destination(
    ip: &str,
    port: u16,
    forwarding: Forwarding,
    weight: u32,
) -> Result<Destination, Box<dyn Error>> {
    let endpoint = Endpoint { ip: ip.parse()?, port };
    Ok(Destination { endpoint, forwarding, weight, upper_threshold: 0, lower_threshold: 0 })
}

impl Bench {
    fn service_round_trip(
        &mut self,
        name: &str,
        service: &Service,
        destinations: &[Destination],
    ) -> Result<(), Box<dyn Error>> {
        let ipvs = self.ipvs;
        let key = service.key;
        self.done(&[ipvs.add_service(service)])?;
        let adds: Vec<_> = destinations.iter().map(|entry| ipvs.add_destination(&key, entry)).collect();
        self.done(&adds)?;
        self.expect_table(name, std::slice::from_ref(service))?;
        self.expect_destinations(&key, destinations)?;

        let heavier: Vec<_> =
            destinations.iter().map(|entry| Destination { weight: entry.weight / 2 + 7, ..*entry }).collect();
        let edits: Vec<_> = heavier.iter().map(|entry| ipvs.edit_destination(&key, entry)).collect();
        self.done(&edits)?;
        self.expect_destinations(&key, &heavier)?;

        let changed = Service { scheduler: "lblc".into(), ..service.clone() };
        if key.family() == IpFamily::V4 && service.scheduler == "rr" {
            self.done(&[ipvs.edit_service(&changed)])?;
            self.expect_table("scheduler changed", &[changed])?;
            self.expect_destinations(&key, &heavier)?;
        }
        if let Some(first) = destinations.first() {
            self.done(&[ipvs.delete_destination(&key, &first.endpoint)])?;
            self.expect_destinations(&key, heavier.get(1..).unwrap_or_default())?;
        }
        self.done(&[ipvs.delete_service(&key)])
    }

    fn refusals(&mut self) -> Result<(), Box<dyn Error>> {
        let ipvs = self.ipvs;
        let key = Key::Address { protocol: 6, ip: "192.0.2.9".parse()?, port: 80 };
        let service = Service::new(key, "rr");
        let server = destination("10.0.0.1", 80, Forwarding::Nat, 1)?;
        let batch = [
            ipvs.add_destination(&key, &server),
            ipvs.add_service(&Service::new(key, "nosuchsched")),
            ipvs.add_service(&service),
            ipvs.add_service(&service),
            ipvs.edit_destination(&key, &server),
            ipvs.add_destination(&key, &server),
            ipvs.add_destination(&key, &server),
            ipvs.delete_service(&key),
            ipvs.delete_service(&key),
        ];
        let numbers: Vec<Option<Errno>> = self
            .socket
            .request(&batch, patience)?
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Refused(error) => Some(error.errno),
                Outcome::Done => None,
                Outcome::Unanswered => Some(Errno::ETIMEDOUT),
            })
            .collect();
        let expected = [
            Some(Errno::ESRCH),
            Some(Errno::ENOENT),
            None,
            Some(Errno::EEXIST),
            Some(Errno::ENOENT),
            None,
            Some(Errno::EEXIST),
            None,
            Some(Errno::ESRCH),
        ];
        if numbers != expected {
            return Err(format!("refusals in one batch: {numbers:?}").into());
        }
        say("ok", "a batch goes on after a request that is refused")
    }

    fn timeouts(&mut self) -> Result<(), Box<dyn Error>> {
        let (ipvs, mut before, mut after) = (self.ipvs, None, None);
        self.socket.dump(&ipvs.ask_timeouts(), patience, |kind, payload| {
            before = ipvs.read_timeouts(kind, payload);
        })?;
        let before = before.ok_or("no time-outs")?;
        let wanted = Timeouts { tcp: before.tcp, tcp_fin: before.tcp_fin + 1, udp: before.udp };
        self.done(&[ipvs.set_timeouts(&wanted)])?;
        self.socket.dump(&ipvs.ask_timeouts(), patience, |kind, payload| {
            after = ipvs.read_timeouts(kind, payload);
        })?;
        self.done(&[ipvs.set_timeouts(&before)])?;
        if after == Some(wanted) { say("ok", "time-outs") } else { Err("time-outs differ".into()) }
    }

    fn many(&mut self, count: u32) -> Result<(), Box<dyn Error>> {
        let ipvs = self.ipvs;
        let key = Key::Mark { mark: 99, family: IpFamily::V4 };
        let servers: Vec<_> = (0..count)
            .map(|number| Destination {
                endpoint: Endpoint { ip: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)), port: 80 },
                forwarding: Forwarding::Nat,
                weight: 1,
                upper_threshold: 0,
                lower_threshold: 0,
            })
            .collect();
        self.done(&[ipvs.add_service(&Service::new(key, "rr"))])?;
        let adds: Vec<_> = servers.iter().map(|server| ipvs.add_destination(&key, server)).collect();
        self.timed(&format!("{count} destinations added"), |bench| bench.done(&adds))?;
        let heavier: Vec<_> = servers.iter().map(|server| Destination { weight: 2, ..*server }).collect();
        let edits: Vec<_> = heavier.iter().map(|server| ipvs.edit_destination(&key, server)).collect();
        self.timed(&format!("{count} weights changed"), |bench| bench.done(&edits))?;
        self.timed(&format!("{count} destinations dumped and compared"), |bench| {
            bench.expect_destinations(&key, &heavier)
        })?;
        self.timed("service with all of them deleted", |bench| bench.done(&[ipvs.delete_service(&key)]))
    }

    fn timed(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let start = now();
        work(self)?;
        let took = now().saturating_sub(start);
        say("time", &format!("{what}: {:.1} ms", took.as_secs_f64() * 1000.0))
    }

    fn info(&mut self) -> Result<netlink::ipvs::Info, Box<dyn Error>> {
        let (ipvs, mut info) = (self.ipvs, None);
        self.socket.dump(&ipvs.ask_info(), patience, |kind, payload| info = ipvs.read_info(kind, payload))?;
        info.ok_or_else(|| "no information".into())
    }

    fn done(&mut self, messages: &[Message]) -> Result<(), Box<dyn Error>> {
        let outcomes = self.socket.request(messages, patience)?;
        match outcomes.iter().position(|outcome| *outcome != Outcome::Done) {
            None => Ok(()),
            Some(position) => Err(format!("request {position}: {:?}", outcomes.get(position)).into()),
        }
    }

    fn expect_table(&mut self, name: &str, expected: &[Service]) -> Result<(), Box<dyn Error>> {
        let (ipvs, mut found) = (self.ipvs, Vec::new());
        self.socket.dump(&ipvs.dump_services(), patience, |kind, payload| {
            found.extend(ipvs.read_service(kind, payload).map(|entry| entry.service));
        })?;
        if found != expected {
            return Err(format!("{name}: wrote {expected:?}, read {found:?}").into());
        }
        say("ok", name)
    }

    fn expect_destinations(&mut self, key: &Key, expected: &[Destination]) -> Result<(), Box<dyn Error>> {
        let (ipvs, mut found) = (self.ipvs, Vec::new());
        self.socket.dump(&ipvs.dump_destinations(key), patience, |kind, payload| {
            found.extend(ipvs.read_destination(kind, payload, key.family()).map(|entry| entry.destination));
        })?;
        found.sort_by_key(|entry| entry.endpoint);
        if found != expected {
            return Err(format!("{key:?}: wrote {expected:?}, read {found:?}").into());
        }
        Ok(())
    }
}

fn say(word: &str, text: &str) -> Result<(), Box<dyn Error>> {
    writeln!(stdout(), "{word:5}{text}")?;
    Ok(())
}

fn patience() -> Duration {
    Duration::from_secs(2)
}

fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(TimeSpec::into).unwrap_or_default()
}
