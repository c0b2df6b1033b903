//! Every keyword that the tables know: for tests, documentation and `docs/compatibility.md`.
//!
//! Reads the tables of this folder and no configuration.

use super::vocabulary::{self as words, Vocabulary};
use super::*;

/// What becomes of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeywordUse {
    /// It works.
    Active,
    /// It is accepted with one warning and does nothing yet.
    Inactive,
    /// It is refused until it works, because the service would be wrong without it.
    Refused,
}

/// One keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyword {
    /// Path of its block, such as `virtual_server/real_server`; `root` outside every block.
    pub block: &'static str,
    /// Its name, or what stands in its place in angle brackets.
    pub name: &'static str,
    /// What becomes of it.
    pub usage: KeywordUse,
}

/// Every keyword of every table.
#[must_use]
pub fn keywords() -> Vec<Keyword> {
    let mut out = Vec::with_capacity(800);
    rows(&mut out, "root", root::TABLE);
    rows(&mut out, "global_defs", global_defs::TABLE);
    rows(&mut out, "vrrp_script", vrrp_script::TABLE);
    rows(&mut out, "vrrp_track_process", track_process::TABLE);
    rows(&mut out, "track_file", track_file::TABLE);
    rows(&mut out, "vrrp_track_file", track_file::TABLE);
    rows(&mut out, "vrrp_sync_group", vrrp_sync_group::TABLE);
    rows(&mut out, "track_group", statics::TRACK_GROUP);
    rows(&mut out, "garp_group", garp::GARP_GROUP);
    rows(&mut out, "SSL", ssl::TABLE);
    rows(&mut out, "vrrp_instance", vrrp_instance::TABLE);
    rows(&mut out, "vrrp_instance/authentication", vrrp_instance::AUTHENTICATION);
    rows(&mut out, "vrrp_instance/auth_hmac", auth_hmac::TABLE);
    rows(&mut out, "virtual_server", virtual_server::TABLE);
    rows(&mut out, "virtual_server/real_server", real_server::TABLE);
    rows(&mut out, "virtual_server/real_server/TCP_CHECK", &checker::TCP_CHECK);
    rows(&mut out, "virtual_server/real_server/PING_CHECK", &checker::PING_CHECK);
    rows(&mut out, "virtual_server/real_server/FILE_CHECK", checker::FILE_CHECK);
    rows(&mut out, "virtual_server/real_server/HTTP_GET", &checker::HTTP_GET);
    rows(&mut out, "virtual_server/real_server/HTTP_GET/url", url::TABLE);
    rows(&mut out, "virtual_server/real_server/SSL_GET", &checker::SSL_GET);
    rows(&mut out, "virtual_server/real_server/SSL_GET/url", url::SSL_TABLE);
    rows(&mut out, "virtual_server/real_server/SMTP_CHECK", &checker::SMTP_CHECK);
    rows(&mut out, "virtual_server/real_server/SMTP_CHECK/host", &checker::SMTP_HOST);
    rows(&mut out, "virtual_server/real_server/DNS_CHECK", &checker::DNS_CHECK);
    rows(&mut out, "virtual_server/real_server/UDP_CHECK", &checker::UDP_CHECK);
    rows(&mut out, "virtual_server/real_server/MISC_CHECK", checker::MISC_CHECK);
    for table in inert::TABLES {
        rows(&mut out, table.block, table.rows);
    }
    for vocabulary in VOCABULARIES.iter().copied().chain(words::TRACKED) {
        let names = vocabulary.free.iter().copied().chain(vocabulary.options.iter().map(|(name, _)| *name));
        out.extend(names.map(|name| Keyword {
            block: vocabulary.block,
            name,
            usage: vocabulary_use(vocabulary.block, name),
        }));
    }
    let directives = crate::preprocess::DIRECTIVES.iter().map(|name| ("root:directive", *name));
    let definitions = crate::preprocess::DEFINITIONS.iter().map(|name| ("root:definition", *name));
    out.extend(directives.chain(definitions).map(|(block, name)| Keyword {
        block,
        name,
        usage: KeywordUse::Active,
    }));
    out
}

/// The keywords of `docs/compatibility.md`; the parent adds its options.
#[must_use]
pub fn compatibility_page() -> String {
    format!("{INTRODUCTION}{}", compatibility())
}

const INTRODUCTION: &str = "\
# Compatibility

Every keyword of keepalived 2.4.3, block by block. *active*: it does here what it does there, apart from what
`docs/differences.md` says, and the test that is named drives a daemon with it. *accepted, not active yet*: it is read and checked, and draws one warning. *refused until
it is active*: its silent absence would weaken security or change who is Master. Options of the command line
stand at the end. Made from the tables by `cargo run -p parent --example compatibility`.

Keywords of our own, which keepalived reports as unknown: `daemon_uid_range`, `control_group`, `status_group`, `seccomp_unknown`
(`global_defs`), `vip_lease` and `vip_restore` (there and in `vrrp_instance`; `no_lease` behind an address).
";

/// Every keyword and what becomes of it, as a Markdown table per block.
#[must_use]
pub fn compatibility() -> String {
    let mut out = String::new();
    let mut block = "";
    for keyword in keywords() {
        if keyword.block != block {
            block = keyword.block;
            out.push_str(&format!("\n## {block}\n\n| keyword | | |\n|---|---|---|\n"));
        }
        let usage = match keyword.usage {
            KeywordUse::Active => "active",
            KeywordUse::Inactive => "accepted, not active yet",
            KeywordUse::Refused => "refused until it is active",
        };
        let test = match (keyword.usage, driven_by(keyword.block, keyword.name)) {
            (KeywordUse::Active, Some((file, test))) => format!(" `{test}` in {file} "),
            (KeywordUse::Active | KeywordUse::Inactive | KeywordUse::Refused, _) => String::new(),
        };
        out.push_str(&format!("| `{}` | {usage} |{test}|\n", keyword.name));
    }
    out
}

/// File and name of the test that drives a daemon with a keyword, from `driven.tsv`.
#[must_use]
pub fn driven_by(block: &str, name: &str) -> Option<(&'static str, &'static str)> {
    let mut lines = DRIVEN.lines().filter(|line| !line.starts_with('#'));
    lines.find_map(|line| {
        let mut fields = line.split('\t');
        let found = fields.next() == Some(block) && fields.next() == Some(name);
        if found { fields.next()?.split_once("::") } else { None }
    })
}

/// Block, keyword and `FILE::TEST` of every active keyword.
const DRIVEN: &str = include_str!("driven.tsv");

static VOCABULARIES: &[&Vocabulary] = &[
    &words::ROUTE,
    &words::STATIC_ROUTE,
    &words::ENCAP,
    &words::RULE,
    &words::STATIC_RULE,
    &words::ADDRESS,
    &words::EXCLUDED,
    &words::STATIC_ADDRESS,
    &words::PEER,
    &words::LINKBEAT,
    &words::DELAYS,
    &words::USE_VMAC,
    &words::USE_IPVLAN,
    &words::LB_KIND,
    &words::SYNC_DAEMON,
    &words::LVS_TIMEOUTS,
    &words::INCLUDE_CHECK,
    &words::REGEX_OPTIONS,
    &words::GROUP_ENTRY,
];

fn rows<B>(out: &mut Vec<Keyword>, block: &'static str, table: &'static [Row<B>]) {
    out.extend(table.iter().map(|row| Keyword {
        block,
        name: row.name,
        usage: match &row.usage {
            // A checker whose block does nothing yet: its row reads the block only to warn.
            Use::Active(_) if is_inert(block, row.name) => KeywordUse::Inactive,
            Use::Active(_) | Use::Silent(_) => KeywordUse::Active,
            Use::Inactive(_) => KeywordUse::Inactive,
            Use::Refused(..) => KeywordUse::Refused,
        },
    }));
}

fn is_inert(block: &str, name: &str) -> bool {
    let parts = |table: &&&inert::InertTable| table.block.rsplit_once('/') == Some((block, name));
    inert::TABLES.iter().any(|table| parts(&table))
}

fn vocabulary_use(block: &str, name: &str) -> KeywordUse {
    match block {
        "vrrp_instance/virtual_ipaddress:entry" if name == virtual_address::INACTIVE_OPTION => {
            KeywordUse::Inactive
        }
        "vrrp_instance/virtual_routes:entry" if virtual_route::INACTIVE.contains(&name) => {
            KeywordUse::Inactive
        }
        "vrrp_instance/virtual_ipaddress:entry"
        | "vrrp_instance/virtual_ipaddress_excluded:entry"
        | "vrrp_instance/virtual_routes:entry"
        | "static_ipaddress:entry"
        | "static_routes:entry" => KeywordUse::Active,
        "vrrp_instance/unicast_peer:entry"
        | "vrrp_instance/track_interface:entry"
        | "interface_up_down_delays:entry"
        | "vrrp_instance/track_script:entry"
        | "vrrp_instance/track_process:entry"
        | "vrrp_sync_group/track_process:entry"
        | "vrrp_instance/track_file:entry"
        | "vrrp_sync_group/track_file:entry"
        | "vrrp_sync_group/track_interface:entry"
        | "vrrp_sync_group/track_script:entry"
        | "virtual_server_group:entry"
        | "virtual_server/lb_kind:option"
        | "global_defs/lvs_sync_daemon:option"
        | "global_defs/lvs_timeouts:option"
        | "global_defs/include_check:option"
        | "virtual_server/real_server/HTTP_GET/url/regex_options:option"
        | "linkbeat_interfaces:entry" => KeywordUse::Active,
        "vrrp_instance/track_bfd:entry"
        | "vrrp_sync_group/track_bfd:entry"
        | "vrrp_instance/use_vmac:option"
        | "vrrp_instance/use_ipvlan:option" => KeywordUse::Refused,
        _ => KeywordUse::Inactive,
    }
}
