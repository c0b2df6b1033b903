//! Tests of `accept`: every reason once, the order of the checks, and any bytes at all.

use super::*;
use crate::proto::advert::Outgoing;
use crate::proto::auth::stamp::Stamp;
use config::model::vrrp::Peer;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Rules {
    /// Without memory, at no particular time.
    fn judge(&self, datagram: &Datagram<'_>, master: Option<IpAddr>) -> Result<Accepted, Reject> {
        self.accept(datagram, master, Clocks::agreed(Stamp::from_number(0)), &mut Guard::default())
    }
}

fn rules(version: Version) -> Rules {
    Rules {
        vrid: Vrid::new(51).unwrap(),
        version,
        family: Family::Inet,
        interval: AdvertInterval::from_centiseconds(100).unwrap(),
        authentication: Authentication::None,
        hmac: None,
        checksum: ChecksumRule::Detect,
        transport: Transport::Multicast { group: ip("224.0.0.18"), source: None },
        interface: Some(IfIndex::new(2)),
        addresses: vec![ip("192.0.2.10"), ip("192.0.2.11")],
        check_unicast_source: false,
        skip_check_addresses: false,
        owner_ignores_adverts: false,
    }
}

fn message(rules: &Rules, source: &str, destination: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Outgoing {
        version: rules.version,
        vrid: rules.vrid,
        priority: Priority::new(100),
        interval: rules.interval,
        addresses: &rules.addresses,
        authentication: rules.authentication,
    }
    .encode(&mut out);
    advert::set_checksum(rules.version, ip(source), ip(destination), out.len(), &mut out);
    out
}

fn datagram(payload: &[u8]) -> Datagram<'_> {
    Datagram {
        source: ip("192.0.2.1"),
        destination: ip("224.0.0.18"),
        ttl: 255,
        interface: IfIndex::new(2),
        payload,
        sealed: None,
    }
}

fn multicast(rules: &Rules) -> Vec<u8> {
    message(rules, "192.0.2.1", "224.0.0.18")
}

#[test]
fn a_good_advert_is_heard() {
    for version in [Version::V2, Version::V3] {
        let rules = rules(version);
        let accepted = rules.judge(&datagram(&multicast(&rules)), None).unwrap();
        assert_eq!(accepted.heard.priority, Priority::new(100));
        assert_eq!(accepted.heard.interval.centiseconds(), 100);
        assert_eq!(accepted.mismatch, None);
    }
}

#[test]
fn version_3_learns_an_interval_that_version_2_refuses() {
    let ours = rules(Version::V3);
    let mut theirs = ours.clone();
    theirs.interval = AdvertInterval::from_centiseconds(25).unwrap();
    let accepted = ours.judge(&datagram(&multicast(&theirs)), None).unwrap();
    assert_eq!(accepted.heard.interval.centiseconds(), 25);

    let ours = rules(Version::V2);
    let mut theirs = ours.clone();
    theirs.interval = AdvertInterval::from_centiseconds(200).unwrap();
    let refused = ours.judge(&datagram(&multicast(&theirs)), None);
    assert_eq!(refused, Err(Reject::Interval { expected: 1, got: 2 }));
}

#[test]
fn an_interval_of_zero_is_refused() {
    let rules = rules(Version::V3);
    let mut bytes = multicast(&rules);
    bytes[5] = 0;
    assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::NoInterval));
}

#[test]
fn a_multicast_advert_that_crossed_a_router_is_refused() {
    for rules in [Version::V2, Version::V3].map(rules) {
        let bytes = multicast(&rules);
        for ttl in [0, 1, 64, 254] {
            let routed = Datagram { ttl, ..datagram(&bytes) };
            assert_eq!(rules.judge(&routed, None), Err(Reject::Ttl(ttl)));
        }
    }
    let rules = Rules {
        family: Family::Inet6,
        addresses: vec![ip("fe80::10")],
        transport: Transport::Multicast { group: ip("ff02::12"), source: None },
        ..rules(Version::V3)
    };
    let bytes = message(&rules, "fe80::1", "ff02::12");
    let sent = Datagram { source: ip("fe80::1"), destination: ip("ff02::12"), ..datagram(&bytes) };
    assert!(rules.judge(&sent, None).is_ok());
    assert_eq!(rules.judge(&Datagram { ttl: 254, ..sent }, None), Err(Reject::Ttl(254)));
}

#[test]
fn the_version_is_judged_before_the_checksum() {
    let rules = rules(Version::V3);
    let mut bytes = multicast(&rules);
    bytes[0] = 0x21;
    assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Version { expected: 3, got: 2 }));
    bytes[0] = 0x41;
    assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Version { expected: 3, got: 4 }));
    let rules = Rules { version: Version::V2, ..rules };
    bytes[0] = 0x31;
    assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Version { expected: 2, got: 3 }));
}

#[test]
fn a_flipped_bit_breaks_the_checksum() {
    for rules in [Version::V2, Version::V3].map(rules) {
        let good = multicast(&rules);
        // Priority, checksum, and addresses; other fields have checks of their own before it.
        for at in [2, 6, 7, 8, 15] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Checksum(rules.version)));
        }
    }
}

#[test]
fn truncated_and_padded_adverts_are_refused_by_length() {
    let rules = rules(Version::V3);
    let mut bytes = multicast(&rules);
    bytes.push(0);
    assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Length { expected: 16, got: 17 }));
    assert_eq!(rules.judge(&datagram(&bytes[..15]), None), Err(Reject::Length { expected: 16, got: 15 }));
    assert_eq!(rules.judge(&datagram(&bytes[..7]), None), Err(Reject::Length { expected: 8, got: 7 }));
    // Version 2 ends with eight bytes of authentication.
    let rules = Rules { version: Version::V2, ..rules };
    let mut bytes = multicast(&rules);
    assert_eq!(rules.judge(&datagram(&bytes[..16]), None), Err(Reject::Length { expected: 24, got: 16 }));
    bytes.push(0);
    assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Length { expected: 24, got: 25 }));
}

#[test]
fn another_type_is_refused() {
    for (rules, first) in [(rules(Version::V2), 0x20), (rules(Version::V3), 0x30)] {
        let mut bytes = multicast(&rules);
        for kind in [0, 2, 15] {
            bytes[0] = first | kind;
            assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Kind(kind)));
        }
    }
}

#[test]
fn another_vrid_is_refused() {
    for ours in [Version::V2, Version::V3].map(rules) {
        let mut theirs = ours.clone();
        theirs.vrid = Vrid::new(52).unwrap();
        assert_eq!(ours.judge(&datagram(&multicast(&theirs)), None), Err(Reject::Vrid(52)));
    }
}

#[test]
fn password_and_type_of_authentication_must_match() {
    let mut ours = rules(Version::V2);
    let open = multicast(&ours);
    ours.authentication = Authentication::Pass(*b"right\0\0\0");
    let refused = ours.judge(&datagram(&open), None);
    assert_eq!(refused, Err(Reject::AuthenticationType { expected: 1, got: 0 }));
    let mut theirs = ours.clone();
    theirs.authentication = Authentication::Pass(*b"wrong\0\0\0");
    assert_eq!(ours.judge(&datagram(&multicast(&theirs)), None), Err(Reject::Password));
    assert!(ours.judge(&datagram(&multicast(&ours)), None).is_ok());
}

#[test]
fn other_addresses_are_noted_and_still_accepted() {
    let ours = rules(Version::V3);
    let mut theirs = ours.clone();
    theirs.addresses = vec![ip("192.0.2.10")];
    let accepted = ours.judge(&datagram(&multicast(&theirs)), None).unwrap();
    assert_eq!(accepted.mismatch, Some(Mismatch::Count { ours: 2, got: 1 }));
    theirs.addresses = vec![ip("192.0.2.10"), ip("192.0.2.10")];
    let accepted = ours.judge(&datagram(&multicast(&theirs)), None).unwrap();
    assert_eq!(accepted.mismatch, Some(Mismatch::Set { vrid: ours.vrid, missing: ip("192.0.2.11") }));
}

#[test]
fn skip_check_adv_addr_trusts_only_the_known_master() {
    let mut ours = rules(Version::V3);
    ours.skip_check_addresses = true;
    let mut theirs = ours.clone();
    theirs.addresses = vec![ip("192.0.2.10")];
    let bytes = multicast(&theirs);
    let known = ours.judge(&datagram(&bytes), Some(ip("192.0.2.1"))).unwrap();
    assert_eq!(known.mismatch, None);
    let other = ours.judge(&datagram(&bytes), Some(ip("192.0.2.9"))).unwrap();
    assert_eq!(other.mismatch, Some(Mismatch::Count { ours: 2, got: 1 }));
}

#[test]
fn a_multicast_instance_refuses_unicast_and_other_groups() {
    let rules = rules(Version::V3);
    for destination in ["192.0.2.2", "224.0.0.19"] {
        let bytes = message(&rules, "192.0.2.1", destination);
        let sent = Datagram { destination: ip(destination), ..datagram(&bytes) };
        assert_eq!(rules.judge(&sent, None), Err(Reject::Destination(ip(destination))));
    }
}

#[test]
fn a_unicast_instance_takes_any_ttl_and_asks_for_the_peer_only_when_told() {
    let mut rules = rules(Version::V3);
    rules.transport = Transport::Unicast {
        source: Some(ip("192.0.2.2")),
        peers: vec![Peer::new(ip("192.0.2.3"))],
        ttl: 255,
        group: ip("224.0.0.18"),
    };
    let bytes = message(&rules, "192.0.2.1", "192.0.2.2");
    let sent = Datagram { destination: ip("192.0.2.2"), ttl: 63, ..datagram(&bytes) };
    assert!(rules.judge(&sent, None).is_ok());
    rules.check_unicast_source = true;
    assert_eq!(rules.judge(&sent, None), Err(Reject::UnknownPeer(ip("192.0.2.1"))));
}

#[test]
fn a_peer_beyond_its_ttl_bounds_is_refused() {
    let mut rules = rules(Version::V3);
    let peer = Peer { min_ttl: 254, ..Peer::new(ip("192.0.2.1")) };
    rules.transport = Transport::Unicast {
        source: Some(ip("192.0.2.2")),
        peers: vec![peer],
        ttl: 255,
        group: ip("224.0.0.18"),
    };
    let bytes = message(&rules, "192.0.2.1", "192.0.2.2");
    let sent = |ttl| Datagram { destination: ip("192.0.2.2"), ttl, ..datagram(&bytes) };
    assert!(rules.judge(&sent(254), None).is_ok());
    let refused = Reject::PeerTtl { least: 254, most: 255, got: 253 };
    assert_eq!(rules.judge(&sent(253), None), Err(refused));
}

#[test]
fn another_interface_and_another_family_are_refused() {
    let rules = rules(Version::V3);
    let bytes = multicast(&rules);
    let other = Datagram { interface: IfIndex::new(3), ..datagram(&bytes) };
    assert_eq!(rules.judge(&other, None), Err(Reject::Interface));
    let other = Datagram { source: ip("fe80::1"), ..datagram(&bytes) };
    assert_eq!(rules.judge(&other, None), Err(Reject::Interface));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_accepted_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..1200),
        ttl: u8,
        version in prop_oneof![Just(Version::V2), Just(Version::V3)],
    ) {
        let rules = rules(version);
        let sent = Datagram { ttl, ..datagram(&bytes) };
        if let Err(reject) = rules.judge(&sent, None) {
            prop_assert!(reject.kind() < Reject::KINDS);
        }
    }

    #[test]
    fn random_changes_of_a_good_advert_are_never_heard_as_another_one(at in 0usize..16, value: u8) {
        let rules = rules(Version::V3);
        let good = multicast(&rules);
        let mut bytes = good.clone();
        bytes[at] = value;
        let sent = datagram(&bytes);
        prop_assert_eq!(rules.judge(&sent, None).is_ok(), bytes == good);
    }
}

/// What an instance with `auth_hmac` hears of a multicast advert with this signature.
fn signed(rules: &Rules, seconds: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let hmac = rules.hmac.clone().unwrap();
    Outgoing {
        version: rules.version,
        vrid: rules.vrid,
        priority: Priority::new(100),
        interval: rules.interval,
        addresses: &rules.addresses,
        authentication: rules.authentication,
    }
    .encode(&mut bytes);
    let length = bytes.len();
    let Rules { family, version, vrid, .. } = *rules;
    let binding = Binding { family, version, vrid, source: ip("192.0.2.1") };
    signature::append(&hmac, &binding, at(seconds).wall, &mut bytes);
    advert::set_checksum(version, ip("192.0.2.1"), ip("224.0.0.18"), length, &mut bytes);
    bytes
}

fn at(seconds: u64) -> Clocks {
    Clocks::agreed(Stamp::at(std::time::Duration::from_secs(seconds)))
}

fn with_hmac(version: Version, mode: HmacMode) -> Rules {
    let secret = b"an-ascii-key-of-thirty-two-bytes".to_vec();
    let hmac = HmacAuthentication {
        keys: vec![config::model::hmac::HmacKey { id: 1, secret }],
        active: 1,
        mode,
        anti_replay: config::model::hmac::AntiReplay::Time,
        window: 5,
    };
    Rules { hmac: Some(Box::new(hmac)), ..rules(version) }
}

#[test]
fn a_signed_advert_is_heard_once_and_an_old_one_never() {
    for version in [Version::V2, Version::V3] {
        let rules = with_hmac(version, HmacMode::Enforce);
        let mut guard = Guard::default();
        let bytes = signed(&rules, 1_000);
        let mut hear = |now| rules.accept(&datagram(&bytes), None, at(now), &mut guard);
        assert_eq!(hear(1_000).unwrap().remark, None);
        assert_eq!(hear(1_000), Err(Reject::Signature(Invalid::Replay)));
        let stale = Invalid::Stale { skew: 6, window: 5 };
        assert_eq!(hear(1_006), Err(Reject::Signature(stale)));
    }
}

#[test]
fn clocks_that_drift_apart_are_remarked_before_it_is_too_late() {
    let rules = with_hmac(Version::V3, HmacMode::Enforce);
    let bytes = signed(&rules, 1_000);
    let hear = |now| rules.accept(&datagram(&bytes), None, at(now), &mut Guard::default()).unwrap().remark;
    assert_eq!(hear(1_002), None);
    assert_eq!(hear(1_003), Some(Remark::ClockSkew(3)));
}

#[test]
fn unsigned_adverts_are_heard_until_signatures_are_enforced() {
    let rules = with_hmac(Version::V3, HmacMode::Enforce);
    let bytes = multicast(&rules);
    assert_eq!(rules.judge(&datagram(&bytes), None), Err(Reject::Unsigned));
    for mode in [HmacMode::Permissive, HmacMode::ReceiveOnly] {
        let rules = with_hmac(Version::V3, mode);
        assert_eq!(rules.judge(&datagram(&bytes), None).unwrap().remark, Some(Remark::Unsigned));
    }
}

#[test]
fn a_signature_is_a_wrong_length_to_who_has_no_auth_hmac() {
    let bytes = signed(&with_hmac(Version::V3, HmacMode::Enforce), 1_000);
    let refused = Reject::Length { expected: 16, got: 44 };
    assert_eq!(rules(Version::V3).judge(&datagram(&bytes), None), Err(refused));
    let mut rules = with_hmac(Version::V3, HmacMode::Enforce);
    rules.hmac.as_mut().unwrap().anti_replay = config::model::hmac::AntiReplay::Monotonic;
    let cut = &bytes[..bytes.len() - 1];
    let refused = Reject::Length { expected: 16, got: 43 };
    assert_eq!(rules.judge(&datagram(cut), None), Err(refused));
}

#[test]
fn a_sealed_advert_is_heard_once_by_who_has_its_key() {
    let rules = Rules { authentication: Authentication::Ah(*b"secret\0\0"), ..rules(Version::V2) };
    let message = multicast(&rules);
    let route = auth::ah::Route {
        source: std::net::Ipv4Addr::new(192, 0, 2, 1),
        destination: std::net::Ipv4Addr::new(224, 0, 0, 18),
        ttl: 255,
    };
    let mut packet = Vec::new();
    auth::ah::seal(b"secret\0\0", &route, 7, &message, &mut packet);
    let (inner, sealed) = Sealed::parse(&packet).unwrap();
    let sent = Datagram { sealed: Some(sealed), ..datagram(inner.payload) };
    let mut guard = Guard::default();
    assert!(rules.accept(&sent, None, at(0), &mut guard).is_ok());
    let again = rules.accept(&sent, None, at(0), &mut guard);
    assert_eq!(again, Err(Reject::Sequence { last: 7, got: 7 }));
    let other = Rules { authentication: Authentication::Ah(*b"secreT\0\0"), ..rules.clone() };
    assert_eq!(other.judge(&sent, None), Err(Reject::Seal));
    let bare = Reject::AuthenticationType { expected: 2, got: 0 };
    assert_eq!(rules.judge(&datagram(&message), None), Err(bare));
    let open = Rules { authentication: Authentication::None, ..rules };
    assert_eq!(open.judge(&sent, None), Err(Reject::AuthenticationType { expected: 0, got: 2 }));
}

#[test]
fn old_checksums_of_unicast_peers_are_recognised_unless_never() {
    let mut rules = rules(Version::V3);
    rules.transport = Transport::Unicast {
        source: Some(ip("192.0.2.2")),
        peers: vec![Peer::new(ip("192.0.2.1"))],
        ttl: 255,
        group: ip("224.0.0.18"),
    };
    let old = message(&rules, "192.0.2.1", "224.0.0.18");
    let sent = Datagram { destination: ip("192.0.2.2"), ..datagram(&old) };
    assert_eq!(rules.judge(&sent, None).unwrap().remark, Some(Remark::OldChecksum));
    rules.checksum = ChecksumRule::Standard;
    assert_eq!(rules.judge(&sent, None), Err(Reject::Checksum(rules.version)));
    rules.checksum = ChecksumRule::NoPseudoHeader;
    assert_eq!(rules.judge(&sent, None).unwrap().remark, None);
}

#[test]
fn an_owner_may_hear_nobody() {
    for rules in [Version::V2, Version::V3].map(rules) {
        let rules = Rules { owner_ignores_adverts: true, ..rules };
        assert_eq!(rules.judge(&datagram(&multicast(&rules)), None), Err(Reject::OwnerIgnores));
    }
}

proptest! {
    #[test]
    fn any_bytes_under_any_authentication_are_judged(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        wrapped in any::<bool>(),
        which in 0..3_u8,
    ) {
        let rules = match which {
            0 => with_hmac(Version::V3, HmacMode::Enforce),
            1 => with_hmac(Version::V2, HmacMode::Permissive),
            _ => Rules { authentication: Authentication::Ah(*b"secret\0\0"), ..rules(Version::V2) },
        };
        let sealed = Sealed::parse(&bytes).filter(|_| wrapped);
        let payload = sealed.map_or(&bytes[..], |(packet, _)| packet.payload);
        let sent = Datagram { sealed: sealed.map(|(_, sealed)| sealed), ..datagram(payload) };
        if let Err(reject) = rules.judge(&sent, None) {
            prop_assert!(reject.kind() < Reject::KINDS);
        }
    }
}

#[test]
fn reserved_bits_mean_nothing() {
    let rules = rules(Version::V3);
    let mut bytes = multicast(&rules);
    bytes[4] |= 0xf0;
    let length = bytes.len();
    advert::set_checksum(Version::V3, ip("192.0.2.1"), ip("224.0.0.18"), length, &mut bytes);
    assert_eq!(rules.judge(&datagram(&bytes), None).unwrap().heard.interval.centiseconds(), 100);
}

#[test]
fn refusals_are_worded_as_keepalived_words_them() {
    let source = ip("192.0.2.9");
    let words = [
        (Reject::Ttl(64), "invalid TTL/HL from 192.0.2.9. Received 64 and expect 255"),
        (
            Reject::PeerTtl { least: 250, most: 255, got: 64 },
            "TTL/HL 64 from 192.0.2.9 not in range [250, 255]",
        ),
        (
            Reject::Version { expected: 2, got: 3 },
            "wrong VRRP version from 192.0.2.9. Received 3 and expect 2",
        ),
        (Reject::Checksum(Version::V2), "Invalid VRRPv2 checksum from 192.0.2.9"),
        (Reject::Kind(2), "Invalid packet type from 192.0.2.9. 2 and expect 1"),
        (
            Reject::AuthenticationType { expected: 0, got: 1 },
            "received a 1 auth from 192.0.2.9, expecting 0!",
        ),
        (Reject::Password, "received an invalid passwd from 192.0.2.9!"),
        (
            Reject::Interval { expected: 1, got: 3 },
            "advertisement interval mismatch with 192.0.2.9 mine=1 sec rcv'd=3 sec",
        ),
        (
            Reject::Length { expected: 20, got: 17 },
            "vrrp packet from 192.0.2.9 too short, length 17 and expect 20",
        ),
        (
            Reject::Length { expected: 20, got: 22 },
            "vrrp packet from 192.0.2.9 too long, length 22 and expect 20",
        ),
    ];
    for (reject, expected) in words {
        assert_eq!(reject.told(source), expected);
    }
    let counted = Mismatch::Count { ours: 2, got: 1 };
    assert_eq!(counted.told(source), "expected 2 VIPs but received 1 source=192.0.2.9");
}
