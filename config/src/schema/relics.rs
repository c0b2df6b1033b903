//! Words of old guides that keepalived passes over with a message: it has never read them where they stand, or no
//! longer does. Many published files carry them and serve well without, so they are told and change nothing.

/// Block, keyword, and what to do about it.
const RELICS: &[(&str, &str, &str)] = &[
    ("virtual_server", "nat_mask", "leave it out"),
    ("vrrp_instance", "lvs_sync_daemon_inteface", "write lvs_sync_daemon in global_defs"),
    ("TCP_CHECK", "nb_get_retry", "write retry"),
    ("SMTP_CHECK", "nb_get_retry", "write retry"),
    ("MISC_CHECK", "nb_get_retry", "write retry"),
    ("DNS_CHECK", "nb_get_retry", "write retry"),
    ("UDP_CHECK", "nb_get_retry", "write retry"),
    ("PING_CHECK", "nb_get_retry", "write retry"),
];

/// What to do about a word of a block that is no keyword of it, if it is one of these.
pub(super) fn remedy(block: &str, keyword: &str) -> Option<&'static str> {
    let found = RELICS.iter().find(|(place, name, _)| (*place, *name) == (block, keyword))?;
    Some(found.2)
}
