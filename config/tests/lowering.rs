//! What each keyword makes of the model: `lowering.tsv` says for a line what it changes and what stands there by
//! default, keyword by keyword. The values are those of keepalived's own list, not of our tables.
//!
//! A keyword that becomes active needs a line there: block, keyword, the line as written (`\\n` ends a line), and each
//! change that matters as `path: default -> value`, or `nothing`. To see what a line changes, give it `?` there and run
//! the test: it prints what it finds, which is then to be judged by `keywords.tsv`.

use std::collections::{BTreeMap, BTreeSet};

use config::names::OfflineNames;
use config::source::Memory;
use config::{KeywordUse, LoadOptions, keywords, load};
use serde_json::Value;
use support::around;

mod support;

const LOWERING: &str = include_str!("lowering.tsv");

/// Words of the language, which are gone before there is a model: `tests/conf/language.md` shows what becomes of them.
const LANGUAGE: &[&str] = &["root:directive", "root:definition", "global_defs/include_check:option"];

/// Leaves of the model that a configuration makes, by their path.
fn leaves(text: &str) -> Result<BTreeMap<String, String>, String> {
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";
    let locked = include_str!("keys/aes128.pem");
    let files = [("/k", text), ("/c.pem", certificate), ("/c.key", key), ("/locked.key", locked)];
    let source = files.iter().fold(Memory::new(), |source, (path, text)| source.with(path, *text));
    let options = LoadOptions { allow_inactive: true, host_name: "lab".to_owned(), ..LoadOptions::default() };
    let loaded = load(&source, &OfflineNames, "/k", &options);
    let model = loaded.model.ok_or_else(|| config::diagnostic::human(&loaded.diagnostics))?;
    let value = serde_json::to_value(&model).map_err(|error| error.to_string())?;
    let mut out = BTreeMap::new();
    flatten("", &value, &mut out);
    Ok(out)
}

fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if fields.len() == 2 && fields.contains_key("nanos") => {
            let part = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or(0);
            let text = format!("{}.{:09}", part("secs"), part("nanos"));
            let text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
            out.insert(path.to_owned(), format!("{text}s"));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(&join(path, name), value, out));
        }
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(at, value)| flatten(&join(path, &at.to_string()), value, out));
        }
        leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            out.insert(path.to_owned(), leaf.to_string());
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A configuration in which the keywords of a block have something to act on.
fn stage(block: &str, line: &str) -> Option<String> {
    let instance = |lines: &str| {
        format!(
            "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {{ 192.0.2.1 }}\n{lines}\n}}\n"
        )
    };
    let service = |lines: &str, server: &str| {
        format!(
            "virtual_server 192.0.2.1 80 {{\nprotocol UDP\nlb_algo sh\nlb_kind NAT\nsorry_server 203.0.113.9 80\n\
             {lines}\nreal_server 203.0.113.1 80 {{\nHTTP_GET {{\nurl {{ path / }}\n}}\n{server}\n}}\n}}\n"
        )
    };
    Some(match block {
        "global_defs" => around(block, line)? + &instance("") + &service("", ""),
        "vrrp_script" => around(block, line)? + &instance("track_script { S }"),
        "vrrp_instance" if line.starts_with("native_ipv6") => {
            instance(line).replace("192.0.2.1", "2001:db8::1")
        }
        "vrrp_instance" => instance(line),
        "root" => format!("{}{}{line}\n", instance(""), service("", "")),
        "garp_group" => {
            let interface = if line.starts_with("interface") { "gna_interval 2" } else { "interface eth0" };
            format!("garp_group {{\ngarp_interval 1\n{interface}\n{line}\n}}\n")
        }
        "track_group" => {
            let other = instance("").replace("instance A", "instance B").replace("id 9", "id 8");
            format!("{}{other}track_group T {{\ngroup {{ A }}\n{line}\n}}\n", instance(""))
        }
        "vrrp_track_process" => around(block, line)? + &instance("track_process { N }"),
        "track_file" | "vrrp_track_file" => around(block, line)? + &instance("track_file { N }"),
        "vrrp_instance/virtual_routes:entry" => instance(&format!("virtual_routes {{\n{line}\n}}")),
        "vrrp_instance/virtual_ipaddress:entry" => {
            let line = if line.is_empty() { "192.0.2.1" } else { line };
            instance("").replace("192.0.2.1", line)
        }
        "vrrp_instance/virtual_ipaddress_excluded:entry" => {
            instance(&format!("virtual_ipaddress_excluded {{\n{line}\n}}"))
        }
        "vrrp_instance/unicast_peer:entry" => {
            instance(&format!("unicast_src_ip 192.0.2.8\nunicast_peer {{\n192.0.2.7\n{line}\n}}"))
        }
        "static_ipaddress:entry" => instance("") + &statics("static_ipaddress", line),
        "static_routes:entry" => instance("") + &statics("static_routes", line),
        "virtual_server/lb_kind:option" => {
            service("", "").replace("lb_kind NAT", &format!("lb_kind TUN {line}"))
        }
        "virtual_server_group:entry" => {
            let group = format!("virtual_server_group G {{\n192.0.2.1 80\n{line}\n}}\n");
            group + &service("", "").replace("192.0.2.1 80", "group G")
        }
        "interface_up_down_delays:entry" => {
            instance("") + &format!("interface_up_down_delays {{\n{line}\n}}\n")
        }
        "linkbeat_interfaces:entry" => instance("") + &format!("linkbeat_interfaces {{\n{line}\n}}\n"),
        "virtual_server/real_server/HTTP_GET/url/regex_options:option" => {
            let options = if line.is_empty() { "" } else { "regex_options " };
            let url = format!("url {{\npath /a\nregex a\n{options}{line}\n}}");
            service("", &format!("HTTP_GET {{\nurl {{ path / }}\n{url}\n}}"))
        }
        "global_defs/lvs_sync_daemon:option" => {
            instance("") + &format!("global_defs {{\nlvs_sync_daemon eth0 {line}\n}}\n")
        }
        "global_defs/lvs_timeouts:option" => {
            format!("global_defs {{\nlvs_timeouts tcp 1 {line}\n}}\n") + &service("", "")
        }
        _ if block.contains("/track_") => tracking(block, line, &instance)?,
        "vrrp_sync_group" => {
            let other = instance("").replace("instance A", "instance B").replace("id 9", "id 8");
            let group =
                if line.starts_with("group") { line.to_owned() } else { format!("group {{ A }}\n{line}") };
            format!(
                "{}{other}vrrp_sync_group G {{\n{group}\n}}\n",
                instance("track_interface { eth4 weight 5 }")
            )
        }
        "virtual_server" if line.starts_with("smtp_alert") => MAIL.to_owned() + &service(line, ""),
        "virtual_server/real_server" if line.starts_with("smtp_alert") => {
            MAIL.to_owned() + &service("", line)
        }
        // A certificate means nothing without its key, and authorities nothing before a check asks for them.
        "SSL" if line.starts_with("ca ") => {
            format!("SSL {{\n{line}\n}}\n")
                + &service("", "SSL_GET {\nconnect_port 443\ntls_verify\nurl { path / }\n}")
        }
        "virtual_server" => service(line, ""),
        "virtual_server/real_server" => service("", line),
        _ => around(block, line)?,
    })
}

/// Whom letters go to, without which nobody is sent one.
const MAIL: &str = "global_defs {\nnotification_email { a@b.example }\nsmtp_server 192.0.2.25\n}\n";

/// A block of what follows no instance.
fn statics(block: &str, line: &str) -> String {
    format!("track_group T {{\ngroup {{ A }}\n}}\n{block} {{\n{line}\n}}\n")
}

/// A list of what an instance or its group tracks.
fn tracking(block: &str, line: &str, instance: &impl Fn(&str) -> String) -> Option<String> {
    let (owner, list) = block.strip_suffix(":entry")?.split_once('/')?;
    let defined = "vrrp_script S {\nscript \"/opt/x\" root\nweight 3\n}\n\
                   track_file F {\nfile /run/x\nweight 3\n}\n\
                   vrrp_track_process P {\nprocess x\nweight 3\n}\n";
    let lines = format!("{list} {{\n{line}\n}}");
    Some(match owner {
        "vrrp_instance" => defined.to_owned() + &instance(&lines),
        _ => format!(
            "{defined}{}vrrp_sync_group G {{\ngroup {{ A }}\nsync_group_tracking_weight\n{lines}\n}}\n",
            instance("")
        ),
    })
}

/// What a line changes, as the list writes it.
fn changes(block: &str, line: &str) -> Result<String, String> {
    let of = |line: &str| leaves(&stage(block, line).ok_or("no such block")?);
    let (before, after) = (of("")?, of(line)?);
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let shown = |leaf: Option<&String>| leaf.map_or("-", String::as_str).to_owned();
    let different = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    let texts: Vec<String> = different
        .map(|path| format!("{path}: {} -> {}", shown(before.get(path)), shown(after.get(path))))
        .collect();
    Ok(if texts.is_empty() { "nothing".to_owned() } else { texts.join("; ") })
}

struct Row<'a> {
    block: &'a str,
    keyword: &'a str,
    line: &'a str,
    changes: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let lines = LOWERING.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.splitn(4, '\t');
            let mut next = || fields.next().unwrap_or("");
            Row { block: next(), keyword: next(), line: next(), changes: next() }
        })
        .collect()
}

#[test]
fn every_line_changes_what_the_list_says() {
    let mut wrong = Vec::new();
    for row in rows() {
        let line = row.line.replace("\\n", "\n");
        let found = changes(row.block, &line).unwrap_or_else(|error| format!("refused: {error}"));
        let found_changes: BTreeSet<&str> = found.split("; ").collect();
        if !row.changes.split("; ").all(|change| found_changes.contains(change)) {
            wrong.push(format!(
                "{}\t{}\t{}\nlisted\t{}\nfound\t{found}\n",
                row.block, row.keyword, row.line, row.changes
            ));
        }
        let first = line.split(['\n', ' ']).next().unwrap_or("");
        let is_value = row.keyword.starts_with('<');
        assert!(is_value || row.keyword == first || line.contains(row.keyword), "{}: {line}", row.keyword);
    }
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_active_keyword_has_a_line() {
    let listed: BTreeSet<(&str, &str)> = rows().iter().map(|row| (row.block, row.keyword)).collect();
    let missing: Vec<String> = keywords()
        .iter()
        .filter(|keyword| keyword.usage == KeywordUse::Active && !LANGUAGE.contains(&keyword.block))
        .filter(|keyword| !listed.contains(&(keyword.block, keyword.name)))
        .map(|keyword| format!("{}\t{}", keyword.block, keyword.name))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
