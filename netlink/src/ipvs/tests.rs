//! Golden bytes (for little-endian machines), round trips and hostile replies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const IPVS: Ipvs = Ipvs::new(Family::new(30));

fn web() -> Key {
    Key::Address { protocol: 6, ip: "192.0.2.1".parse().unwrap(), port: 80 }
}

fn server() -> Destination {
    Destination {
        endpoint: Endpoint { ip: "10.0.0.5".parse().unwrap(), port: 8080 },
        forwarding: Forwarding::Nat,
        weight: 3,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

#[test]
#[cfg(target_endian = "little")]
fn a_tcp_service_has_these_bytes() {
    let message = IPVS.add_service(&Service::new(web(), "wlc"));
    assert_eq!((message.kind, message.flags), (30, Flags::Ack));
    #[rustfmt::skip]
    assert_eq!(message.payload, [
        1, 1, 0, 0,
        84, 0, 1, 0x80,
        6, 0, 1, 0, 2, 0, 0, 0,
        6, 0, 2, 0, 6, 0, 0, 0,
        20, 0, 3, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        6, 0, 4, 0, 0, 80, 0, 0,
        8, 0, 6, 0, b'w', b'l', b'c', 0,
        12, 0, 7, 0, 0, 0, 0, 0, 255, 255, 255, 255,
        8, 0, 8, 0, 0, 0, 0, 0,
        8, 0, 9, 0, 255, 255, 255, 255,
    ]);
}

#[test]
#[cfg(target_endian = "little")]
fn a_service_by_mark_names_no_address() {
    let message = IPVS.delete_service(&Key::Mark { mark: 7, family: IpFamily::V6 });
    #[rustfmt::skip]
    assert_eq!(message.payload, [
        3, 1, 0, 0,
        20, 0, 1, 0x80,
        6, 0, 1, 0, 10, 0, 0, 0,
        8, 0, 5, 0, 7, 0, 0, 0,
    ]);
}

#[test]
#[cfg(target_endian = "little")]
fn a_destination_follows_the_key_of_its_service() {
    let message = IPVS.edit_destination(&Key::Mark { mark: 7, family: IpFamily::V4 }, &server());
    #[rustfmt::skip]
    assert_eq!(message.payload, [
        6, 1, 0, 0,
        20, 0, 1, 0x80,
        6, 0, 1, 0, 2, 0, 0, 0,
        8, 0, 5, 0, 7, 0, 0, 0,
        72, 0, 2, 0x80,
        6, 0, 11, 0, 2, 0, 0, 0,
        20, 0, 1, 0, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        6, 0, 2, 0, 0x1f, 0x90, 0, 0,
        8, 0, 3, 0, 0, 0, 0, 0,
        8, 0, 4, 0, 3, 0, 0, 0,
        8, 0, 5, 0, 0, 0, 0, 0,
        8, 0, 6, 0, 0, 0, 0, 0,
    ]);
}

#[test]
fn persistence_granularity_is_a_mask_for_ipv4_and_a_length_for_ipv6() {
    let v4 = Service { persistence_prefix: 24, ..Service::new(web(), "rr") };
    let bytes = IPVS.add_service(&v4).payload;
    assert_eq!(bytes[bytes.len() - 4..], [255, 255, 255, 0]);
    let key = Key::Address { protocol: 6, ip: "2001:db8::1".parse().unwrap(), port: 80 };
    let v6 = Service { persistence_prefix: 64, ..Service::new(key, "rr") };
    let bytes = IPVS.add_service(&v6).payload;
    assert_eq!(bytes[bytes.len() - 4..], 64_u32.to_ne_bytes());
}

#[test]
fn the_newer_counters_win_whatever_their_order() {
    let mut old = Writer::default();
    old.put(1, &5_u32.to_ne_bytes()).put(4, &9_u64.to_ne_bytes());
    let mut new = Writer::default();
    new.put(1, &(5_u64 + (1 << 32)).to_ne_bytes()).put(4, &9_u64.to_ne_bytes());
    for (first, second) in [((10, &old), (12, &new)), ((12, &new), (10, &old))] {
        let mut service = Service::new(web(), "rr").encode();
        service.put_nested(first.0, first.1).put_nested(second.0, second.1);
        let mut top = generic::header(NEW_SERVICE, 1);
        top.put_nested(ATTR_SERVICE, &service);
        let entry = IPVS.read_service(30, &top.into_bytes()).unwrap();
        assert_eq!((entry.stats.connections, entry.stats.bytes_in), (4_294_967_301, 9));
    }
}

#[test]
fn older_counters_are_read_where_there_are_no_newer() {
    let mut old = Writer::default();
    old.put(1, &5_u32.to_ne_bytes()).put(5, &70_000_000_000_u64.to_ne_bytes());
    let mut destination = server().encode();
    destination.put_nested(10, &old);
    let mut top = generic::header(NEW_DEST, 1);
    top.put_nested(ATTR_DEST, &destination);
    let entry = IPVS.read_destination(30, &top.into_bytes(), IpFamily::V4).unwrap();
    assert_eq!((entry.stats.connections, entry.stats.bytes_out), (5, 70_000_000_000));
}

#[test]
fn the_kernels_bookkeeping_flag_is_not_told() {
    let mut service = web().encode();
    service.put_text(6, "rr").put(7, &[3, 0, 0, 0, 255, 255, 255, 255]).put(8, &300_u32.to_ne_bytes());
    let mut top = generic::header(NEW_SERVICE, 1);
    top.put_nested(ATTR_SERVICE, &service);
    let entry = IPVS.read_service(30, &top.into_bytes()).unwrap();
    #[cfg(target_endian = "little")]
    assert_eq!(entry.service.flags, ServiceFlags::PERSISTENT);
    assert_eq!(entry.service.persistence_timeout, 300);
    assert_eq!(entry.service.persistence_prefix, 32);
}

#[test]
fn replies_of_another_family_or_command_are_not_read() {
    let mut top = generic::header(NEW_SERVICE, 1);
    top.put_nested(ATTR_SERVICE, &Service::new(web(), "rr").encode());
    let bytes = top.into_bytes();
    assert!(IPVS.read_service(30, &bytes).is_some());
    assert!(IPVS.read_service(31, &bytes).is_none());
    assert!(IPVS.read_destination(30, &bytes, IpFamily::V4).is_none());
}

#[test]
fn version_and_timeouts_are_read() {
    let mut info = generic::header(SET_INFO, 1);
    info.put(1, &0x01_0201_u32.to_ne_bytes()).put(2, &4096_u32.to_ne_bytes());
    assert_eq!(
        IPVS.read_info(30, &info.into_bytes()),
        Some(Info { version: 0x01_0201, connection_table_size: 4096 })
    );
    let timeouts = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
    assert_eq!(IPVS.read_timeouts(30, &IPVS.set_timeouts(&timeouts).payload), Some(timeouts));
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        any::<[u8; 16]>().prop_map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        (prop_oneof![Just(6_u16), Just(17), Just(132)], ip(), any::<u16>())
            .prop_map(|(protocol, ip, port)| Key::Address { protocol, ip, port }),
        (1..=u32::MAX, prop_oneof![Just(IpFamily::V4), Just(IpFamily::V6)])
            .prop_map(|(mark, family)| Key::Mark { mark, family }),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    (key(), "[a-z]{2,15}", any::<[bool; 4]>(), any::<u32>(), 0..=128_u8, proptest::option::of("[a-z]{1,15}"))
        .prop_map(|(key, scheduler, flags, timeout, prefix, engine)| {
            let all = [
                ServiceFlags::PERSISTENT,
                ServiceFlags::ONE_PACKET,
                ServiceFlags::FALLBACK,
                ServiceFlags::HASH_PORT,
            ];
            let set = all.iter().zip(flags).filter(|(_, set)| *set);
            Service {
                key,
                scheduler,
                flags: set.fold(ServiceFlags::none(), |sum, (flag, _)| sum.with(*flag)),
                persistence_timeout: timeout,
                persistence_prefix: prefix.min(key.family().bits()),
                persistence_engine: engine,
            }
        })
}

fn destination() -> impl Strategy<Value = Destination> {
    let forwarding = prop_oneof![
        Just(Forwarding::Nat),
        (0..3_u8, 1..=u16::MAX, 0..3_u16).prop_map(|(kind, port, flags)| Forwarding::Tunnel(Tunnel {
            kind,
            port,
            flags
        })),
        Just(Forwarding::DirectRouting)
    ];
    (ip(), any::<u16>(), forwarding, 0..0x8000_0000_u32, any::<u32>(), any::<u32>()).prop_map(
        |(ip, port, forwarding, weight, upper_threshold, lower_threshold)| Destination {
            endpoint: Endpoint { ip, port },
            forwarding,
            weight,
            upper_threshold,
            lower_threshold,
        },
    )
}

proptest! {
    #[test]
    fn a_written_service_reads_back(service in service()) {
        let message = IPVS.add_service(&service);
        prop_assert_eq!(IPVS.read_service(message.kind, &message.payload).unwrap().service, service);
    }

    #[test]
    fn a_written_destination_reads_back(key in key(), destination in destination()) {
        let message = IPVS.add_destination(&key, &destination);
        let read = IPVS.read_destination(message.kind, &message.payload, key.family()).unwrap();
        prop_assert_eq!(read.destination, destination);
    }

    #[test]
    fn any_reply_decodes_without_panic(
        command in 0..20_u8,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let payload = [&[command, 1, 0, 0], bytes.as_slice()].concat();
        let _either_way = IPVS.read_service(30, &payload);
        let _either_way = IPVS.read_destination(30, &payload, IpFamily::V6);
        let _either_way = (IPVS.read_info(30, &payload), IPVS.read_timeouts(30, &payload));
    }

    #[test]
    fn a_damaged_reply_decodes_without_panic(
        service in service(),
        destination in destination(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let key = service.key;
        for message in [IPVS.add_service(&service), IPVS.add_destination(&key, &destination)] {
            let mut payload = message.payload;
            let place = at.index(payload.len());
            payload[place] = byte;
            payload.truncate(cut.index(payload.len() + 1));
            let _either_way = IPVS.read_service(30, &payload);
            let _either_way = IPVS.read_destination(30, &payload, IpFamily::V4);
        }
    }
}
