//! Tests of `signature`: a vector made by another implementation, every reason once, and any bytes at all.

use super::*;
use crate::proto::auth::stamp::Pen;
use config::model::hmac::{HmacKey, HmacMode};
use proptest::prelude::*;
use std::time::Duration;

const MESSAGE: [u8; 12] = [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0x05, 0xcc, 192, 0, 2, 10];

const GOLDEN: [u8; 16] =
    [0x6b, 0xa4, 0x1b, 0x24, 0x1a, 0x65, 0x73, 0x10, 0xd5, 0xfd, 0xe0, 0x56, 0x1c, 0x20, 0x25, 0x03];

fn settings() -> HmacAuthentication {
    HmacAuthentication {
        keys: vec![
            HmacKey { id: 1, secret: b"an-ascii-key-of-thirty-two-bytes".to_vec() },
            HmacKey { id: 2, secret: vec![7; 64] },
        ],
        active: 1,
        mode: HmacMode::Enforce,
        anti_replay: AntiReplay::Time,
        window: 5,
    }
}

fn binding() -> Binding {
    Binding {
        family: Family::Inet,
        version: Version::V3,
        vrid: Vrid::new(51).unwrap(),
        source: "192.0.2.1".parse().unwrap(),
    }
}

fn at(seconds: u64) -> Stamp {
    Stamp::at(Duration::from_secs(seconds))
}

/// The signature over `MESSAGE` at this time.
fn signed(seconds: u64) -> [u8; LENGTH] {
    let mut message = MESSAGE.to_vec();
    append(&settings(), &binding(), at(seconds), &mut message);
    *message.last_chunk().unwrap()
}

fn judge(signature: &[u8; LENGTH], now: u64) -> Result<u32, Invalid> {
    verify(&settings(), &binding(), &MESSAGE, signature, at(now), &mut Marks::default())
}

/// Python: hmac.new(key, bytes([4, 3, 51, 0, 192, 0, 2, 1]) + bytes(12) + message with its checksum zeroed + head +
/// bytes(16), "sha256").digest()[:16]
#[test]
fn python_makes_the_same_signature() {
    assert_eq!(signed(1_700_000_000)[..12], [1, 1, 0, 0, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0]);
    assert_eq!(signed(1_700_000_000)[12..], GOLDEN);
}

#[test]
fn a_good_signature_tells_how_far_the_clocks_are_apart() {
    assert_eq!(judge(&signed(1_000), 1_000), Ok(0));
    assert_eq!(judge(&signed(1_000), 1_005), Ok(5));
    assert_eq!(judge(&signed(1_005), 1_000), Ok(5));
}

#[test]
fn a_signature_of_another_time_is_stale_whatever_its_digest() {
    let mut signature = signed(1_000);
    signature[27] ^= 1;
    assert_eq!(judge(&signature, 1_006), Err(Invalid::Stale { skew: 6, window: 5 }));
    let mut settings = settings();
    settings.anti_replay = AntiReplay::Monotonic;
    let judged = verify(&settings, &binding(), &MESSAGE, &signed(1_000), at(90_000), &mut Marks::default());
    assert_eq!(judged, Ok(0));
}

#[test]
fn type_and_zero_bits_are_checked_first() {
    for position in [0, 2, 3] {
        let mut signature = signed(1_000);
        signature[position] ^= 0x80;
        assert_eq!(judge(&signature, 1_000), Err(Invalid::Malformed));
    }
}

#[test]
fn unknown_keys_and_every_flipped_bit_are_refused() {
    let mut signature = signed(1_000);
    signature[1] = 9;
    assert_eq!(judge(&signature, 1_000), Err(Invalid::UnknownKey(9)));
    signature[1] = 2;
    assert_eq!(judge(&signature, 1_000), Err(Invalid::Digest), "another key");
    for position in (8..LENGTH).chain([7]) {
        let mut signature = signed(1_000);
        signature[position] ^= 1;
        assert_eq!(judge(&signature, 1_000), Err(Invalid::Digest), "byte {position}");
    }
    for position in (0..6).chain(8..MESSAGE.len()) {
        let mut message = MESSAGE;
        message[position] ^= 1;
        let judged =
            verify(&settings(), &binding(), &message, &signed(1_000), at(1_000), &mut Marks::default());
        assert_eq!(judged, Err(Invalid::Digest), "byte {position} of the message");
    }
}

#[test]
fn the_checksum_is_not_signed_since_it_differs_from_peer_to_peer() {
    let mut message = MESSAGE;
    message[7] ^= 0xff;
    let judged = verify(&settings(), &binding(), &message, &signed(1_000), at(1_000), &mut Marks::default());
    assert_eq!(judged, Ok(0));
}

#[test]
fn sender_router_version_and_family_are_bound() {
    let ours = binding();
    for other in [
        Binding { source: "192.0.2.2".parse().unwrap(), ..ours },
        Binding { vrid: Vrid::new(52).unwrap(), ..ours },
        Binding { version: Version::V2, ..ours },
        Binding { family: Family::Inet6, ..ours },
    ] {
        let judged = verify(&settings(), &other, &MESSAGE, &signed(1_000), at(1_000), &mut Marks::default());
        assert_eq!(judged, Err(Invalid::Digest));
    }
}

#[test]
fn a_signature_counts_once() {
    let mut marks = Marks::default();
    let mut hear =
        |seconds| verify(&settings(), &binding(), &MESSAGE, &signed(seconds), at(1_000), &mut marks);
    assert_eq!(hear(1_000), Ok(0));
    assert_eq!(hear(1_000), Err(Invalid::Replay));
    assert_eq!(hear(999), Err(Invalid::Replay));
    assert_eq!(hear(1_001), Ok(1));
}

/// One advert a second from a sender whose clock is `ahead` of ours, at our times `from..to`; those that were heard.
fn hear_all(
    pen: &mut Pen,
    marks: &mut Marks,
    (from, to): (u64, u64),
    (sender, receiver): (i64, i64),
) -> Vec<u64> {
    let settings = settings();
    let clock = |time: u64, ahead: i64| at(time.checked_add_signed(ahead).unwrap());
    let mut heard = Vec::new();
    for time in from..to {
        let stamp = pen.next(clock(time, sender), settings.anti_replay, settings.window);
        let mut message = MESSAGE.to_vec();
        append(&settings, &binding(), stamp, &mut message);
        let signature = message.last_chunk().unwrap();
        if verify(&settings, &binding(), &MESSAGE, signature, clock(time, receiver), marks).is_ok() {
            heard.push(time);
        }
    }
    heard
}

#[test]
fn a_clock_that_is_an_hour_wrong_deafens_no_longer_than_it_is_wrong() {
    for wrong in [3_600, -3_600, 4, -4] {
        for (sender, receiver) in [(wrong, 0), (0, wrong)] {
            let (mut pen, mut marks) = (Pen::default(), Marks::default());
            let right = (0, 0);
            let before = hear_all(&mut pen, &mut marks, (100_000, 100_010), right);
            assert_eq!(before.len(), 10);
            let meanwhile = hear_all(&mut pen, &mut marks, (100_010, 100_020), (sender, receiver));
            assert_eq!(meanwhile.len(), if wrong.abs() < 5 { 10 } else { 0 }, "wrong by {wrong} s");
            let after = hear_all(&mut pen, &mut marks, (100_020, 100_030), right);
            assert_eq!(after.len(), 10, "wrong by {wrong} s");
        }
    }
}

#[test]
fn a_wrong_digest_moves_no_mark() {
    let mut marks = Marks::default();
    let mut forged = signed(1_004);
    forged[20] ^= 1;
    let judged = verify(&settings(), &binding(), &MESSAGE, &forged, at(1_000), &mut marks);
    assert_eq!(judged, Err(Invalid::Digest));
    let judged = verify(&settings(), &binding(), &MESSAGE, &signed(1_000), at(1_000), &mut marks);
    assert_eq!(judged, Ok(0));
}

proptest! {
    #[test]
    fn no_forgery_passes(signature in any::<[u8; LENGTH]>(), message in proptest::collection::vec(any::<u8>(), 0..60)) {
        let judged = verify(&settings(), &binding(), &message, &signature, at(1_000), &mut Marks::default());
        prop_assert!(judged.is_err());
        let mut near = signature;
        near[..12].copy_from_slice(&signed(1_000)[..12]);
        let judged = verify(&settings(), &binding(), &message, &near, at(1_000), &mut Marks::default());
        prop_assert_eq!(judged, Err(Invalid::Digest));
    }
}
