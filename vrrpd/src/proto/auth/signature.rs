//! Signatures of `auth_hmac`: 28 bytes behind an advert (draft-cassen-vrrp-auth-hmac).
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   Type 1      |    Key        |           zero                |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                  Seconds since 1970                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    1/65536 seconds            |        Tie breaker            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    First 16 bytes of the HMAC-SHA256, four words              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Signs and verifies; keeps only what [`Marks`] keep. Received bytes come from the network and aren't trusted.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::IpAddr;

use config::model::hmac::{AntiReplay, HmacAuthentication};
use config::model::units::Vrid;
use config::model::vrrp::{Family, Version};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Guard;
use super::replay::Marks;
use super::stamp::{Clocks, Stamp};
use crate::proto::advert;

/// Bytes of a signature.
pub const LENGTH: usize = 28;
/// Bytes of it that carry the digest.
const DIGEST: usize = 16;
/// The only type: HMAC-SHA256, first half.
const TYPE: u8 = 1;

/// What a signature binds an advert to, beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Family of the addresses.
    pub family: Family,
    /// Version of the advert.
    pub version: Version,
    /// Virtual router.
    pub vrid: Vrid,
    /// Sender.
    pub source: IpAddr,
}

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Another type, or bits that must be zero.
    #[error("malformed signature")]
    Malformed,
    /// Signed too long ago, or in the future.
    #[error("signature {skew} s away from our clock, window {window} s")]
    Stale {
        /// Seconds between its stamp and our clock.
        skew: u32,
        /// `time_window`.
        window: u16,
    },
    /// By a key that isn't configured.
    #[error("signed by unknown key {0}")]
    UnknownKey(u8),
    /// The digest is wrong.
    #[error("signature wrong")]
    Digest,
    /// Heard before.
    #[error("signature heard before")]
    Replay,
}

/// Appends the signature to a message whose checksum field is zero.
pub fn append(hmac: &HmacAuthentication, binding: &Binding, stamp: Stamp, message: &mut Vec<u8>) {
    let Some(key) = hmac.keys.iter().find(|key| key.id == hmac.active) else { return };
    let head = head(key.id, stamp);
    let Some(mac) = mac(&key.secret, binding, message, &head) else { return };
    let digest = mac.finalize().into_bytes();
    message.extend(head);
    message.extend(digest.iter().take(DIGEST));
}

/// Judges a signature; the number of seconds between its stamp and our clock when it is good.
///
/// # Errors
/// The first reason that refuses it. Staleness is judged before the digest, so that a flood of old captures costs none.
pub fn verify(
    hmac: &HmacAuthentication,
    binding: &Binding,
    message: &[u8],
    signature: &[u8; LENGTH],
    now: Stamp,
    marks: &mut Marks,
) -> Result<u32, Invalid> {
    judge(hmac, binding, message, signature, now, hmac.anti_replay, marks).map(|stamp| skew(hmac, stamp, now))
}

/// Judges a signature by the clock that agrees with it: the steady one, or, where that one finds it stale, the wall clock.
/// By the latter no sender's last stamp is forgotten: whoever sets our clock back could else replay what was sent then.
/// A good signature that is nearer to the wall clock makes the guard's watch believe it.
///
/// # Errors
/// As [`verify`].
pub fn verify_by_either(
    hmac: &HmacAuthentication,
    binding: &Binding,
    message: &[u8],
    signature: &[u8; LENGTH],
    clocks: Clocks,
    guard: &mut Guard,
) -> Result<u32, Invalid> {
    let Guard { marks, watch, .. } = guard;
    let Clocks { wall, steady } = clocks;
    let stamp = match judge(hmac, binding, message, signature, steady, hmac.anti_replay, marks) {
        Err(Invalid::Stale { .. }) if wall != steady => {
            judge(hmac, binding, message, signature, wall, AntiReplay::Monotonic, marks)?
        }
        judged => judged?,
    };
    let [to_wall, to_steady] = [wall, steady].map(|clock| skew(hmac, stamp, clock));
    if to_wall < to_steady {
        watch.believe_the_wall();
    }
    Ok(to_wall.min(to_steady))
}

fn skew(hmac: &HmacAuthentication, stamp: Stamp, now: Stamp) -> u32 {
    if hmac.anti_replay == AntiReplay::Time { stamp.distance(now) } else { 0 }
}

/// `marking` says whether a last stamp outside the window is forgotten.
fn judge(
    hmac: &HmacAuthentication,
    binding: &Binding,
    message: &[u8],
    signature: &[u8; LENGTH],
    now: Stamp,
    marking: AntiReplay,
    marks: &mut Marks,
) -> Result<Stamp, Invalid> {
    let [kind, id, zero_high, zero_low, stamp @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        *signature;
    if (kind, zero_high, zero_low) != (TYPE, 0, 0) {
        return Err(Invalid::Malformed);
    }
    let stamp = Stamp::from_bytes(stamp);
    let (skew, window) = (skew(hmac, stamp, now), hmac.window);
    if skew > u32::from(window) {
        return Err(Invalid::Stale { skew, window });
    }
    let key = hmac.keys.iter().find(|key| key.id == id).ok_or(Invalid::UnknownKey(id))?;
    let mac = mac(&key.secret, binding, message, &head(id, stamp)).ok_or(Invalid::Digest)?;
    let digest: &[u8; DIGEST] = signature.last_chunk().ok_or(Invalid::Malformed)?;
    // Compares in a time that doesn't depend on where the difference lies.
    mac.verify_truncated_left(digest).map_err(|_| Invalid::Digest)?;
    if !marks.enter(binding.source, stamp, now, marking, window) {
        return Err(Invalid::Replay);
    }
    Ok(stamp)
}

/// What stands in front of the digest.
fn head(key: u8, stamp: Stamp) -> [u8; LENGTH - DIGEST] {
    let [a, b, c, d, e, f, g, h] = stamp.to_bytes();
    [TYPE, key, 0, 0, a, b, c, d, e, f, g, h]
}

/// The digest's input: binding, message without checksum, head, and zeroes where the digest stands. No key length is
/// wrong for an HMAC, so that `None` never happens.
fn mac(
    secret: &[u8],
    binding: &Binding,
    message: &[u8],
    head: &[u8; LENGTH - DIGEST],
) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    let family = match binding.family {
        Family::Inet => 4,
        Family::Inet6 => 6,
    };
    mac.update(&[family, advert::version_number(binding.version), binding.vrid.value(), 0]);
    match binding.source {
        IpAddr::V4(source) => {
            mac.update(&source.octets());
            mac.update(&[0; 12]);
        }
        IpAddr::V6(source) => mac.update(&source.octets()),
    }
    mac.update(message.get(..advert::CHECKSUM_AT.start)?);
    mac.update(&[0; 2]);
    mac.update(message.get(advert::CHECKSUM_AT.end..)?);
    mac.update(head);
    mac.update(&[0; DIGEST]);
    Some(mac)
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
