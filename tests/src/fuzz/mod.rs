//! What must hold for any bytes: nothing here panics, whatever it is given. Called by the targets in `fuzz/` with
//! bytes that libFuzzer makes up, and by the suite `replay` with the stored corpus and bounded mutations of it.

pub mod answers;
pub mod mutation;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;
use std::time::Duration;

use config::diagnostic::Tolerance;
use config::model::units::IfIndex;
use config::model::vrrp::{Family, Instance};
use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, Loaded, diff, load, print};
use ipc::messages::{checkd as checkd_messages, ctl, ipvsd as ipvsd_messages, vrrpd as vrrpd_messages};
use netlink::generic;
use netlink::ipvs::{IpFamily, Ipvs};
use vrrpd::proto::accept::{Datagram, Rules};
use vrrpd::proto::auth::Guard;
use vrrpd::proto::auth::ah::Sealed;
use vrrpd::proto::auth::stamp::{Clocks, Stamp};
use vrrpd::proto::ipv4::Packet;

/// A function that takes any bytes, and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("config", configuration),
    ("adverts", adverts),
    ("http", answers::http),
    ("smtp", answers::smtp),
    ("dns", answers::dns),
    ("datagrams", answers::datagrams),
    ("netlink", netlink_messages),
    ("frames", frames),
];

/// What came out is of no interest: that it came out is.
fn looked_at<T>(_outcome: T) {}

fn read(text: &[u8], options: &LoadOptions) -> Loaded {
    let source = Memory::new().with("/k", text).with("/part", "priority 7\n").with_environment("HOME", "/x");
    load(&source, &OfflineNames, "/k", options)
}

/// The whole way from text to the model. What is accepted reads back from its canonical text as the same model, and
/// differs in nothing from itself.
///
/// # Panics
/// When that doesn't hold.
pub fn configuration(bytes: &[u8]) {
    let plain =
        LoadOptions { config_id: "node1".to_owned(), host_name: "lab".to_owned(), ..LoadOptions::default() };
    let compatible = LoadOptions { tolerance: Tolerance::Everything, allow_inactive: true, ..plain.clone() };
    let starting = LoadOptions { tolerance: Tolerance::Values, ..plain.clone() };
    for options in [plain, starting, compatible] {
        let loaded = read(bytes, &options);
        assert!(
            loaded.missing || loaded.model.is_some() || !loaded.diagnostics.is_empty(),
            "refused in silence"
        );
        let Some(model) = loaded.model else { continue };
        assert!(diff(&model, &model).is_empty(), "a configuration differs from itself");
        let text = print(&model);
        let again = read(text.as_bytes(), &options).model;
        assert!(again.as_ref() == Some(&model), "the canonical text means something else:\n{text}");
    }
}

/// A datagram from the network, judged by instances of every kind. The first byte chooses the way it came.
///
/// # Panics
/// Never: that is what is tested.
pub fn adverts(bytes: &[u8]) {
    let (way, rest) = bytes.split_first().map_or((0, bytes), |(way, rest)| (*way, rest));
    // An hour apart: either may be the one that agrees.
    let [wall, steady] = [1_790_003_600, 1_790_000_000].map(|now| Stamp::at(Duration::from_secs(now)));
    let clocks = Clocks { wall, steady };
    for instance in INSTANCES.iter() {
        let rules = Rules::of(instance, Some(IfIndex::new(2)));
        let mut guard = Guard::default();
        let mut judge = |datagram: &Datagram<'_>| {
            for master in [None, Some(datagram.source)] {
                looked_at(rules.accept(datagram, master, clocks, &mut guard));
            }
        };
        let interface = IfIndex::new(2);
        if instance.family == Family::Inet {
            if let Some(Packet { source, destination, ttl, payload }) = Packet::parse(rest) {
                let (source, destination) = (source.into(), destination.into());
                judge(&Datagram { source, destination, ttl, interface, payload, sealed: None });
            }
            if let Some((packet, sealed)) = Sealed::parse(rest) {
                let Packet { source, destination, ttl, payload } = packet;
                let (source, destination) = (source.into(), destination.into());
                judge(&Datagram { source, destination, ttl, interface, payload, sealed: Some(sealed) });
            }
        }
        let (source, group): (IpAddr, IpAddr) = match instance.family {
            Family::Inet => (Ipv4Addr::new(192, 0, 2, 9).into(), Ipv4Addr::new(224, 0, 0, 18).into()),
            Family::Inet6 => (
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9).into(),
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
            ),
        };
        let destination = if way & 1 == 0 { group } else { source };
        let ttl = if way & 2 == 0 { 255 } else { way };
        judge(&Datagram { source, destination, ttl, interface, payload: rest, sealed: None });
    }
}

/// A datagram of the kernel, as every reader of it takes it.
///
/// # Panics
/// Never: that is what is tested.
pub fn netlink_messages(bytes: &[u8]) {
    let ipvs = Ipvs::new(generic::Family::new(0x1b));
    let objects = |kind: u16, payload: &[u8]| {
        looked_at(netlink::route::decode(kind, payload));
        looked_at(ipvs.read_service(kind, payload));
        looked_at(ipvs.read_destination(kind, payload, IpFamily::V4));
        looked_at(ipvs.read_info(kind, payload));
        looked_at(ipvs.read_timeouts(kind, payload));
        looked_at(ipvs.read_daemon(kind, payload));
    };
    for reply in netlink::frame::Replies::new(bytes).take(10_000) {
        if let netlink::frame::Content::Object { kind, payload, .. } = reply.content {
            objects(kind, payload);
        }
    }
    if let Some((kind, payload)) = bytes.split_first_chunk::<2>() {
        objects(u16::from_le_bytes(*kind), payload);
        objects(0x1b, payload);
    }
}

/// The contents of a frame between two processes, read as every message that there is, and a request of a client.
///
/// # Panics
/// When what was read does not encode to what reads back as the same.
pub fn frames(bytes: &[u8]) {
    macro_rules! each {
        ($($message:ty),* $(,)?) => {$(
            if let Ok(message) = ipc::codec::decode::<$message>(bytes) {
                let again = ipc::codec::encode(&message, 1 << 20).ok();
                let again = again.and_then(|bytes| ipc::codec::decode::<$message>(&bytes).ok());
                assert!(again.as_ref() == Some(&message), "{} changes on its way", stringify!($message));
            }
        )*};
    }
    each!(
        vrrpd_messages::ParentToVrrpd,
        vrrpd_messages::VrrpdToParent,
        checkd_messages::ParentToCheckd,
        checkd_messages::CheckdToParent,
        ipvsd_messages::ParentToIpvsd,
        ipvsd_messages::IpvsdToParent,
    );
    looked_at(serde_json::from_slice::<ctl::Request>(bytes));
}

/// Instances of every kind of authentication, version and family.
static INSTANCES: LazyLock<Vec<Instance>> = LazyLock::new(|| {
    let one = |number: usize, lines: &str, address: &str| {
        format!(
            "vrrp_instance I{number} {{\ninterface eth{number}\nvirtual_router_id 51\n{lines}\n\
             virtual_ipaddress {{ {address} }}\n}}\n"
        )
    };
    let password = |kind: &str| format!("authentication {{\nauth_type {kind}\nauth_pass secret12\n}}");
    let signed = "version 3\nauth_hmac {\nkey 7 an-ascii-key-of-thirty-two-bytes\nactive_key 7\n}";
    let text = [
        one(1, "version 2", "192.0.2.1"),
        one(2, &password("PASS"), "192.0.2.1"),
        one(3, &password("AH"), "192.0.2.1"),
        one(4, "version 3\nskip_check_adv_addr", "192.0.2.1"),
        one(5, signed, "192.0.2.1"),
        one(6, "version 3", "2001:db8::1"),
        one(7, signed, "2001:db8::1"),
        one(8, "version 3\ncheck_unicast_src\nunicast_peer { 192.0.2.9 min_ttl 7 }", "192.0.2.1"),
    ];
    let loaded =
        read(text.concat().as_bytes(), &LoadOptions { allow_inactive: true, ..LoadOptions::default() });
    let said = config::diagnostic::human(&loaded.diagnostics);
    loaded.model.map(|model| model.instances).unwrap_or_else(|| unreachable!("{said}"))
});
