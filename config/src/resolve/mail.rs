//! Where mail goes, and what is mailed by default.

use std::net::SocketAddr;
use std::time::Duration;

use super::Context;
use crate::LoadOptions;
use crate::diagnostic::{Problem, code};
use crate::model::mail::{MailSettings, Mailbox};
use crate::schema::MailDraft;

/// What `smtp_alert` says where a block says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MailDefaults {
    /// There is a server and somebody to write to.
    possible: bool,
    vrrp: bool,
    services: bool,
    servers: bool,
}

impl MailDefaults {
    /// For instances and sync groups.
    pub(super) fn vrrp(self, block: Option<bool>) -> bool {
        self.possible && block.unwrap_or(self.vrrp)
    }

    /// For virtual servers.
    pub(super) fn service(self, block: Option<bool>) -> bool {
        self.possible && block.unwrap_or(self.services)
    }

    /// For real servers, which are mailed unless somebody says otherwise.
    pub(super) fn server(self, block: Option<bool>) -> bool {
        self.possible && block.unwrap_or(self.servers)
    }
}

impl Context<'_> {
    /// Settings of mail, and the defaults of the blocks that follow.
    pub(super) fn mail(&mut self, options: &LoadOptions) -> Option<MailSettings> {
        let draft = std::mem::take(&mut self.globals.mail);
        let checker = draft.alert_checker.or(draft.alert);
        let mut defaults = MailDefaults {
            possible: false,
            vrrp: draft.alert_vrrp.or(draft.alert).unwrap_or(false),
            services: checker.unwrap_or(false),
            servers: checker.unwrap_or(true),
        };
        let settings = self.mail_settings(draft, options);
        defaults.possible = settings.is_some();
        self.mail_defaults = defaults;
        settings
    }

    fn mail_settings(&mut self, draft: MailDraft, options: &LoadOptions) -> Option<MailSettings> {
        let (host, port) = draft.server?;
        if draft.recipients.is_empty() {
            return None;
        }
        let Some(address) = host.text.parse().ok().or_else(|| self.names.host(&host.text)) else {
            let message =
                format!("smtp_server {} has no address that can be found; no mail is sent", host.text);
            self.report(Problem::warning(code::NO_EFFECT, host.span, message));
            return None;
        };
        let local = if options.host_name.is_empty() { "localhost" } else { &options.host_name };
        Some(MailSettings {
            server: SocketAddr::new(address, port),
            helo_name: draft.helo_name.unwrap_or_else(|| local.to_owned()),
            from: draft
                .from
                .unwrap_or_else(|| Mailbox { name: String::new(), address: format!("root@{local}") }),
            recipients: draft.recipients,
            timeout: draft.timeout.unwrap_or(Duration::from_secs(30)),
            servers_only: draft.servers_only,
        })
    }
}
