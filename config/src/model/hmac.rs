//! `auth_hmac`: how adverts are signed and which signatures count.
//!
//! Lengths and identifiers are checked by the parser; keys are secrets, which no `Debug` shows.

use serde::{Deserialize, Serialize};

/// One `auth_hmac` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacAuthentication {
    /// `key`, at least one, each identifier once.
    pub keys: Vec<HmacKey>,
    /// `active_key`: identifier of the one that signs; among `keys`.
    pub active: u8,
    /// `mode`.
    pub mode: HmacMode,
    /// `anti_replay`.
    pub anti_replay: AntiReplay,
    /// `time_window`, seconds, 1..=300.
    pub window: u16,
}

/// A key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// Identifier on the wire, 1..=255.
    pub id: u8,
    /// 32..=64 bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for HmacKey {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HmacKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What becomes of unsigned adverts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HmacMode {
    /// They are refused.
    Enforce,
    /// They are accepted; ours are signed.
    Permissive,
    /// They are accepted, and ours are unsigned too.
    ReceiveOnly,
}

/// What a repeated advert is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AntiReplay {
    /// Its time stamp must be near the clock, and later than the last one.
    Time,
    /// Its time stamp must be later than the last one.
    Monotonic,
}
