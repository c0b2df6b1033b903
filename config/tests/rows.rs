//! Every keyword of the list by what the list says of its argument: a value inside the range is accepted, one
//! outside it is refused. The list is keepalived's, not ours, so a table with another range fails here.

use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, Loaded, load};
use support::around;

mod support;

/// Keywords of keepalived 2.4.3: block, keyword, arguments, default, and what they mean.
const LIST: &str = include_str!("keywords.tsv");

/// Values that an argument accepts and values that it refuses; `None` when its text says neither.
fn values(arguments: &str) -> Option<(Vec<String>, Vec<String>)> {
    let some = |good: &[&str], bad: &[&str]| {
        Some((good.iter().map(|s| (*s).to_owned()).collect(), bad.iter().map(|s| (*s).to_owned()).collect()))
    };
    match arguments {
        "none" => return some(&[""], &[]),
        "[<BOOL>]" => return some(&["", "on", "true", "yes", "off", "false", "no"], &["maybe", "True", "1"]),
        "<IPADDR>" => return some(&["192.0.2.7"], &["gateway", "192.0.2", "1.2.3.4.5", ""]),
        "<IFNAME>" => return some(&["eth1"], &["a-name-that-is-too-long", ""]),
        "<2|3>" => return some(&["2", "3"], &["1", "4", "x", ""]),
        "<1|2>" => return some(&["1", "2"], &["0", "3", "x", ""]),
        "<QSTRING> [<USER> [<GROUP>]]" | "<QSTRING>" => {
            return some(&["\"/opt/a 'b c'\" root root", "/opt/a root"], &["", "\"/opt/a 'b\""]);
        }
        "<UINT32>" => return some(&["0", "4294967295"], &["-1", "4294967296", "x", ""]),
        "<MD5:32 hex>" => return some(&["00112233445566778899aabbccddeeFF"], &["0", "xx", ""]),
        "1.0|1.0C|1.0c|1.1" => return some(&["1.0", "1.0C", "1.0c", "1.1"], &["2", ""]),
        "MASTER|BACKUP" => return some(&["MASTER", "BACKUP"], &["master", ""]),
        "<100..599>[-<100..599>] ..." => return some(&["200", "200-299 404"], &["99", "600", "300-200", ""]),
        "rr|wrr|lc|wlc|lblc|lblcr|sh|mh|dh|fo|ovf|sed|nq|twos" => {
            return some(&["rr", "mh", "twos"], &["RR", ""]);
        }
        _ => {}
    }
    if let Some(rest) = arguments.strip_prefix("<SECONDS:decimal ") {
        let range = rest.strip_suffix('>')?;
        if let Some(low) = range.strip_prefix("min ") {
            return some(&[low, "3600"], &["-1", "x", "", "0"]);
        }
        let (low, high) = range.split_once("..")?;
        let above = format!("{}", high.split('.').next()?.parse::<u64>().ok()? + 1);
        let mut bad = vec!["-1", "x", "", "1.2.3", above.as_str()];
        if low != "0" {
            bad.push("0");
        }
        return some(&[low, high], &bad);
    }
    if arguments == "<SECONDS:decimal>" {
        return some(&["0", "2.5"], &["-1", "x", ""]);
    }
    match arguments {
        "<STRING>" | "<NAME>" | "<PATH>" | "<DIR>" | "<EMAIL>" | "<DOMAIN>" | "<SOCKET_SPEC>"
        | "<PATH or DIR/>" => {
            return some(&["word"], &[""]);
        }
        "[<STRING>]" | "[<NAME>]" | "[<PATH>]" | "[<TABLE>]" | "[<LOG_FILE>]" => {
            return some(&["", "word"], &[]);
        }
        "flag" => return some(&[""], &[]),
        "NAT|DR|TUN [type ipip|gue|gre] [port <1..65535>] [nocsum|csum|remcsum]" | "as lb_kind" => {
            return some(&["NAT", "DR", "TUN", "TUN type ipip"], &["", "nat", "ROUTE"]);
        }
        "as lb_algo" => return some(&["wlc"], &["", "best"]),
        "TCP|UDP|SCTP (any case)" => return some(&["TCP", "udp"], &["", "ICMP"]),
        "inet|inet6" => return some(&["inet"], &["", "ipv4"]),
        "<SECONDS> (v2 integer 1..255; v3 decimal 0.01..40.95)" => {
            return some(&["1", "255", "0.01"], &["0", "256", "x", ""]);
        }
        "<USER> [[:]<GROUP>]" => return some(&["alice", "alice staff", "alice :staff"], &[""]),
        "<IPV4_MULTICAST>" => return some(&["224.0.0.99"], &["192.0.2.1", "ff02::1", "x", ""]),
        "<IPV6_MULTICAST>" => return some(&["ff02::99"], &["2001:db8::1", "224.0.0.1", "x", ""]),
        "<IPADDR> [<PORT>]" => {
            return some(&["203.0.113.9", "203.0.113.9 81"], &["", "host 80", "203.0.113.9 65536"]);
        }
        "<NETMASK> | <PREFIX:1..128>" => {
            return some(&["24", "255.255.255.0"], &["", "0", "129", "255.0.255.0"]);
        }
        "[<SECONDS:1..2678400>]" => return some(&["", "1", "2678400"], &["0", "2678401", "x"]),
        "PASS|AH" => return some(&["PASS", "AH"], &["", "pass"]),
        "<STRING:max8>" => return some(&["12345678"], &[""]),
        "<NAME:max15>" => return some(&["fifteen-letters"], &["sixteen-letters-", ""]),
        "[all] <SECONDS:uint 1..86400>" => return some(&["1", "all 86400"], &["", "0", "all", "86401"]),
        "[all] <SECONDS:uint 0..86400>" => return some(&["0", "all 86400"], &["", "-1", "all", "86401"]),
        "enforce|permissive|receive-only" => return some(&["enforce", "receive-only"], &["", "none"]),
        "time|monotonic" => return some(&["time", "monotonic"], &["", "none"]),
        "[initial|partial]" => return some(&["", "initial"], &["exact"]),
        "[never]" => return some(&["", "never"], &["always"]),
        "MTU | ADVERT | <BYTES:uint>" => return some(&["MTU", "ADVERT", "9000"], &["", "mtu"]),
        "<CPU> [<CPU> ...]" => return some(&["0", "0 1 2"], &["", "a", "-1"]),
        "<START> <MAX>" => return some(&["1 2"], &["", "a b"]),
        _ => {}
    }
    let optional = arguments.starts_with("[<");
    let inner = arguments.trim_start_matches('[').strip_prefix('<')?;
    let (inner, rest) = inner.split_once('>')?;
    if !matches!(rest, "" | "]" | " [reverse]" | " [reverse|noreverse]") {
        return None;
    }
    let range = inner.rsplit([':', ' ']).next()?;
    if range == "min1" {
        // Zero becomes one, as upstream does, with a warning.
        return some(&["0", "1", "100"], &["-1", "x", ""]);
    }
    let (low, high) = range.split_once("..")?;
    let high = if high.is_empty() { "4294967295".to_owned() } else { high.to_owned() };
    let (low, high): (i64, i64) = (low.parse().ok()?, high.parse().ok()?);
    let (below, above) = ((low - 1).to_string(), (high + 1).to_string());
    let mut bad = vec![below.as_str(), above.as_str(), "x", "1x"];
    if !optional {
        bad.push("");
    }
    some(&[&low.to_string(), &high.to_string()], &bad)
}

/// Values that upstream clamps or that mean something of their own although the range leaves them out.
const OUTSIDE_BUT_ACCEPTED: &[(&str, &str, &str)] = &[
    // Weights of 254 and -254 are brought to 253, as upstream does.
    ("vrrp_script", "weight", "254"),
    ("vrrp_script", "weight", "-254"),
    ("bfd_instance", "weight", "254"),
    ("bfd_instance", "weight", "-254"),
    // Many distributions ship files with these lines; keepalived reports them and goes on without a limit.
    ("global_defs", "vrrp_garp_interval", "0"),
    ("global_defs", "vrrp_gna_interval", "0"),
    // So do many guides with these; keepalived goes on without persistence, and with quorum 1.
    ("virtual_server", "persistence_timeout", "0"),
    ("virtual_server", "quorum", "0"),
    // Zero is the lower bound of others and becomes one second here.
    ("vrrp_script", "interval", "0"),
    ("vrrp_script", "timeout", "0"),
    ("global_defs", "smtp_connect_timeout", "0"),
];

fn read(text: String) -> Loaded {
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let source = Memory::new().with("/k", text).with("word", certificate);
    let options = LoadOptions { allow_inactive: true, ..LoadOptions::default() };
    load(&source, &OfflineNames, "/k", &options)
}

/// Codes that say that a value was refused, not that something around it is missing.
fn refused(loaded: &Loaded) -> bool {
    loaded.model.is_none()
}

#[test]
fn every_row_accepts_its_range_and_refuses_what_is_outside() {
    let mut failures = Vec::new();
    let (mut rows, mut tried) = (0, 0);
    for row in LIST.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [block, keyword, arguments, ..] = fields.as_slice() else { continue };
        let Some((good, bad)) = values(arguments) else { continue };
        // An IPv4 address stands beside it here: its own case is in conf/vrrp_instance.md.
        if (*block, *keyword) == ("virtual_server", "real_server")
            || *keyword == "native_ipv6"
            || around(block, "").is_none()
            || keyword.starts_with('<')
        {
            continue;
        }
        rows += 1;
        for (value, accept) in good.iter().map(|v| (v, true)).chain(bad.iter().map(|v| (v, false))) {
            let line = format!("{keyword} {value}");
            if !accept && OUTSIDE_BUT_ACCEPTED.contains(&(block, keyword, value.as_str())) {
                continue;
            }
            tried += 1;
            let Some(text) = around(block, &line) else { continue };
            let loaded = read(text);
            if refused(&loaded) == accept {
                let codes: Vec<&str> = loaded.diagnostics.iter().map(|d| d.message.as_str()).collect();
                let word = if accept { "refused" } else { "accepted" };
                failures.push(format!("{block}: {line} [{arguments}] is {word}: {codes:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {tried}:\n{}", failures.len(), failures.join("\n"));
    assert!(rows > 440, "only {rows} rows say what they accept");
}
