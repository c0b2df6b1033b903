//! `authentication` and `auth_hmac` of an instance; keys may lie in files.
//!
//! Decides which keys are in use and refuses what would sign nothing. Called by [`super::instance`]; no diagnostic
//! repeats a key.

use super::Context;
use crate::diagnostic::{Code, Problem, code};
use crate::model::hmac::{AntiReplay, HmacAuthentication, HmacKey, HmacMode};
use crate::model::units::{AdvertInterval, Priority};
use crate::model::vrrp::{Authentication, Family, Version};
use crate::schema::{AuthKind, HmacDraft, InstanceDraft, KeyText};

/// Bytes of a key.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 32..=64;
/// Longest replay window, seconds.
const LONGEST_WINDOW: u64 = 300;
/// Shortest replay window by default, seconds.
const USUAL_WINDOW: u64 = 5;

impl Context<'_> {
    /// Password or header authentication, VRRPv2 only.
    pub(super) fn authentication(
        &mut self,
        draft: &InstanceDraft,
        version: Version,
        family: Family,
        strict: bool,
    ) -> Authentication {
        let given = draft.auth_type.map(|(_, span)| span);
        let Some(span) = given.or(draft.auth_pass.as_ref().map(|(_, span)| *span)) else {
            return Authentication::None;
        };
        let ignored = match () {
            () if version == Version::V3 => Some("VRRP version 3 has no authentication; it is ignored"),
            () if strict => Some("strict_mode has no authentication (RFC 3768); it is ignored"),
            () if draft.hmac.is_some() => {
                Some("auth_hmac takes the place of authentication, which is ignored")
            }
            () => None,
        };
        if let Some(why) = ignored {
            let message = format!("{}: {why}", draft.name);
            self.report(Problem::warning(code::NO_EFFECT, span, message));
            return Authentication::None;
        }
        let password = draft.auth_pass.as_ref().filter(|(text, _)| !text.is_empty());
        match (draft.auth_type, password) {
            (Some((kind, _)), Some((text, _))) => {
                let mut password = [0; 8];
                for (slot, byte) in password.iter_mut().zip(text.bytes()) {
                    *slot = byte;
                }
                match (kind, family) {
                    (AuthKind::Pass, _) => Authentication::Pass(password),
                    (AuthKind::Ah, Family::Inet) => Authentication::Ah(password),
                    (AuthKind::Ah, Family::Inet6) => {
                        let message = format!("{}: auth_type AH is for IPv4 only", draft.name);
                        self.report(Problem::error(code::WRONG_FAMILY, span, message).fatal());
                        Authentication::None
                    }
                }
            }
            (Some(_), None) => {
                let message = format!("{}: auth_type without auth_pass", draft.name);
                self.report(Problem::error(code::MISSING_KEYWORD, span, message));
                Authentication::None
            }
            (None, _) => {
                let message =
                    format!("{}: auth_pass without auth_type: nothing is authenticated", draft.name);
                self.report(Problem::warning(code::NO_EFFECT, span, message).help("add auth_type PASS"));
                Authentication::None
            }
        }
    }

    /// `auth_type AH`: a router that isn't the owner hears the others' sequence numbers before it is Master.
    pub(super) fn hears_first(
        &mut self,
        draft: &InstanceDraft,
        priority: Priority,
        version: Version,
        strict: bool,
    ) -> bool {
        let is_ah = matches!(draft.auth_type, Some((AuthKind::Ah, _))) && draft.hmac.is_none();
        let counts = is_ah && version == Version::V2 && !strict;
        if !counts || priority == Priority::OWNER {
            return false;
        }
        if let (Some((_, span)), Some(true)) = (draft.auth_type, draft.master) {
            let message = format!("{}: state MASTER has no effect with auth_type AH", draft.name);
            let help = "it takes over when nobody with a higher priority is heard";
            self.report(Problem::warning(code::NO_EFFECT, span, message).help(help));
        }
        true
    }

    /// Signed adverts. What is wrong here refuses the configuration: unsigned adverts are no substitute.
    pub(super) fn hmac(
        &mut self,
        name: &str,
        draft: HmacDraft,
        interval: AdvertInterval,
        strict: bool,
    ) -> Option<HmacAuthentication> {
        let mut keys = Vec::with_capacity(draft.keys.len());
        for key in draft.keys {
            keys.push(self.key(name, key)?);
        }
        let (active, span) = match draft.active {
            Some(active) if !keys.is_empty() => active,
            _ => {
                let missing = if keys.is_empty() { "key" } else { "active_key" };
                let message = format!("{name}: auth_hmac has no {missing}");
                self.report(Problem::error(code::MISSING_KEYWORD, draft.span, message).fatal());
                return None;
            }
        };
        if keys.iter().all(|key: &HmacKey| key.id != active) {
            let message = format!("{name}: active_key {active} is none of the keys");
            self.report(Problem::error(code::UNDEFINED_NAME, span, message).fatal());
            return None;
        }
        let mode = match draft.mode {
            Some((mode, span)) if strict && mode != HmacMode::Enforce => {
                let message = format!("{name}: strict_mode takes auth_hmac mode enforce only");
                self.report(Problem::warning(code::ADJUSTED, span, message));
                HmacMode::Enforce
            }
            Some((mode, _)) => mode,
            None => HmacMode::Enforce,
        };
        let usual = interval.duration().as_secs().saturating_mul(3).clamp(USUAL_WINDOW, LONGEST_WINDOW);
        let window = draft.window.or_else(|| u16::try_from(usual).ok())?;
        let anti_replay = draft.anti_replay.unwrap_or(AntiReplay::Time);
        Some(HmacAuthentication { keys, active, mode, anti_replay, window })
    }

    fn key(&mut self, name: &str, key: KeyText) -> Option<HmacKey> {
        let fail = |context: &mut Self, code: Code, what: &str| -> Option<HmacKey> {
            let message = format!("{name}: auth_hmac key {}: {what}", key.id);
            context.report(Problem::error(code, key.span, message).fatal());
            None
        };
        let from_file = match key.value.strip_prefix("file:") {
            None => None,
            Some(path) => match self.key_file(name, path, &key) {
                Ok(text) => Some(text),
                Err(what) => return fail(self, code::UNREADABLE, &what),
            },
        };
        let text = from_file.as_deref().unwrap_or(&key.value);
        let secret = match text.strip_prefix("hex:") {
            Some(digits) => match from_hex(digits) {
                Some(secret) => secret,
                None => return fail(self, code::BAD_TEXT, "hex: needs an even number of hexadecimal digits"),
            },
            None if text.is_ascii() => text.as_bytes().to_vec(),
            None => return fail(self, code::BAD_TEXT, "only ASCII characters or hex: digits"),
        };
        if !KEY_LENGTH.contains(&secret.len()) {
            let what = format!("{} bytes, needs 32 to 64", secret.len());
            return fail(self, code::OUT_OF_RANGE, &what);
        }
        Some(HmacKey { id: key.id, secret })
    }

    /// Content of a key file without the white space around it.
    fn key_file(&mut self, name: &str, path: &str, key: &KeyText) -> Result<String, String> {
        if !path.starts_with('/') {
            return Err(format!("file {path} needs a full path"));
        }
        let content = self.source.read(path).map_err(|problem| format!("file {path}: {problem}"))?;
        if self.source.is_exposed(path) {
            let message = format!("{name}: auth_hmac key {}: others than its owner may read {path}", key.id);
            self.report(Problem::warning(code::EXPOSED_KEY, key.span, message).help("chmod 0400"));
        }
        let text = String::from_utf8(content).map_err(|_| format!("file {path} holds no text"))?;
        Ok(text.trim().to_owned())
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u8>> =
        digits.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let nibbles = nibbles?;
    nibbles.chunks(2).map(|pair| Some((pair.first()? << 4) | pair.get(1)?)).collect()
}
