//! Tests of `signature`: a vector made by another implementation, every reason once, and any bytes at all.

use super::*;
use config::model::hmac::{HmacKey, HmacMode};
use config::model::units::MonoTime;
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

/// A router with a wall clock that may be wrong.
#[derive(Default)]
struct Node {
    guard: Guard,
    ahead: i64,
}

impl Node {
    fn wrong_by(ahead: i64) -> Self {
        Self { ahead, ..Self::default() }
    }

    fn clocks(&mut self, time: u64) -> Clocks {
        let wall = Duration::from_secs(time.checked_add_signed(self.ahead).unwrap());
        // Both machines were started at the same time.
        let since_boot = MonoTime::from_nanos(time.saturating_sub(90_000).saturating_mul(1_000_000_000));
        self.guard.watch.read(wall, since_boot)
    }

    /// One advert a second at these times; those that `other` hears.
    fn tell(&mut self, other: &mut Self, times: std::ops::Range<u64>) -> Vec<u64> {
        let settings = settings();
        let mut heard = Vec::new();
        for time in times {
            let steady = self.clocks(time).steady;
            let stamp = self.guard.pen.next(steady, settings.anti_replay, settings.window);
            let mut message = MESSAGE.to_vec();
            append(&settings, &binding(), stamp, &mut message);
            let signature = message.last_chunk().unwrap();
            let clocks = other.clocks(time);
            let judged =
                verify_by_either(&settings, &binding(), &MESSAGE, signature, clocks, &mut other.guard);
            if judged.is_ok() {
                heard.push(time);
            }
        }
        heard
    }
}

#[test]
fn a_clock_that_is_set_by_an_hour_on_one_node_alone_deafens_nobody() {
    for wrong in [3_600, -3_600, 30, -30, 4, -4] {
        for (sender_is_wrong, receiver_is_wrong) in [(true, false), (false, true), (true, true)] {
            let (mut sender, mut receiver) = (Node::default(), Node::default());
            assert_eq!(sender.tell(&mut receiver, 100_000..100_010).len(), 10);
            sender.ahead = if sender_is_wrong { wrong } else { 0 };
            receiver.ahead = if receiver_is_wrong { wrong } else { 0 };
            assert_eq!(sender.tell(&mut receiver, 100_010..100_020).len(), 10, "wrong by {wrong} s");
            (sender.ahead, receiver.ahead) = (0, 0);
            assert_eq!(sender.tell(&mut receiver, 100_020..100_030).len(), 10, "wrong by {wrong} s");
            assert_eq!(receiver.tell(&mut sender, 100_030..100_040).len(), 10, "wrong by {wrong} s");
        }
    }
}

#[test]
fn a_clock_that_was_wrong_from_the_start_is_followed_when_it_is_set_right() {
    for wrong in [3_600, -3_600] {
        let (mut late, mut peer) = (Node::wrong_by(wrong), Node::default());
        assert_eq!(late.tell(&mut peer, 100_000..100_005), [0; 0], "nobody knows better");
        assert_eq!(peer.tell(&mut late, 100_005..100_010), [0; 0]);
        late.ahead = 0;
        assert_eq!(peer.tell(&mut late, 100_010..100_012), [100_010, 100_011]);
        assert_eq!(late.tell(&mut peer, 100_012..100_014), [100_012, 100_013]);
    }
}

#[test]
fn who_sets_a_clock_back_can_not_replay_what_was_sent_then() {
    let settings = settings();
    let mut receiver = Node::default();
    let mut message = MESSAGE.to_vec();
    append(&settings, &binding(), at(100_000), &mut message);
    let captured: [u8; LENGTH] = *message.last_chunk().unwrap();
    assert_eq!(Node::default().tell(&mut receiver, 103_590..103_600).len(), 10);
    receiver.ahead = -3_600;
    let clocks = receiver.clocks(103_600);
    let judged = verify_by_either(&settings, &binding(), &MESSAGE, &captured, clocks, &mut receiver.guard);
    assert_eq!(judged, Err(Invalid::Replay));
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
