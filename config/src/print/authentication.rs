//! Authentication, strictness and checksums of a VRRP instance.

use super::{Page, word};
use crate::model::hmac::{AntiReplay, HmacAuthentication, HmacMode};
use crate::model::vrrp::{Authentication, ChecksumRule, Instance};

impl Page<'_> {
    pub(super) fn authentication(&mut self, instance: &Instance) {
        let password = match &instance.authentication {
            Authentication::None => None,
            Authentication::Pass(bytes) => Some(("PASS", bytes)),
            Authentication::Ah(bytes) => Some(("AH", bytes)),
        };
        if let Some((kind, bytes)) = password {
            self.open("authentication", "");
            self.set("auth_type", kind);
            let text = String::from_utf8_lossy(bytes);
            self.set("auth_pass", word(text.trim_end_matches('\0')));
            self.close();
        }
        if let Some(hmac) = &instance.hmac {
            self.hmac(hmac);
        }
        // Accepting is what the model says; the word is what strict mode needs to allow it.
        self.flag("accept", instance.strict);
        self.boolean("strict_mode", instance.strict);
        let as_v2 = instance.checksum == ChecksumRule::NoPseudoHeader;
        self.flag("v3_checksum_as_v2", as_v2);
        if self.model.process.defaults.v3_checksum_as_v2 && !as_v2 {
            self.boolean("v3_checksum_as_v2", false);
        }
        match instance.checksum {
            ChecksumRule::Detect | ChecksumRule::NoPseudoHeader => {}
            ChecksumRule::Standard => self.line("old_unicast_checksum never"),
            ChecksumRule::OldUnicast => self.line("old_unicast_checksum"),
        }
    }

    fn hmac(&mut self, hmac: &HmacAuthentication) {
        self.open("auth_hmac", "");
        for key in &hmac.keys {
            let digits: String = key.secret.iter().map(|byte| format!("{byte:02x}")).collect();
            self.line(&format!("key {} hex:{digits}", key.id));
        }
        self.set("active_key", hmac.active);
        self.set(
            "mode",
            match hmac.mode {
                HmacMode::Enforce => "enforce",
                HmacMode::Permissive => "permissive",
                HmacMode::ReceiveOnly => "receive-only",
            },
        );
        self.set(
            "anti_replay",
            match hmac.anti_replay {
                AntiReplay::Time => "time",
                AntiReplay::Monotonic => "monotonic",
            },
        );
        self.set("time_window", hmac.window);
        self.close();
    }
}
