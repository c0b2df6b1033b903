//! What the suites over all keywords share.

/// A configuration whose only peculiarity is one line in one block.
pub(crate) fn around(block: &str, line: &str) -> Option<String> {
    let instance = |line: &str| {
        // Strict mode needs a packet filter for all but those who accept.
        let accept = if line.starts_with("strict_mode") { "accept" } else { "" };
        format!(
            "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {{ 192.0.2.1 }}\n{accept}\n{line}\n}}\n"
        )
    };
    let service = |line: &str, server: &str| {
        format!(
            "virtual_server 192.0.2.1 80 {{\nprotocol UDP\nlb_algo sh\nlb_kind NAT\nsorry_server 203.0.113.9 80\n\
             {line}\nreal_server 203.0.113.1 80 {{\n{server}\n}}\n}}\n"
        )
    };
    let checker = |kind: &str, line: &str| {
        let needed = match kind {
            "MISC_CHECK" => "misc_path \"/opt/x\" root",
            "HTTP_GET" | "SSL_GET" => "url { path / }",
            "FILE_CHECK" => "track_file F",
            "BFD_CHECK" => "name B",
            _ => "",
        };
        let file = |name: &str| format!("track_file {name} {{\nfile /run/{name}\n}}\n");
        let files = if kind == "FILE_CHECK" { file("F") + &file("word") } else { String::new() };
        files + &service("", &format!("{kind} {{\n{needed}\n{line}\n}}"))
    };
    Some(match block {
        "root" => format!("{line}\n"),
        "global_defs" => format!("global_defs {{\n{line}\n}}\n"),
        "vrrp_instance" => instance(line),
        "vrrp_instance/authentication" => instance(&format!("authentication {{\nauth_pass x\n{line}\n}}")),
        "vrrp_instance/auth_hmac" => {
            let number = line.strip_prefix("active_key ").filter(|number| number.parse::<u8>().is_ok());
            let id = number.filter(|number| *number != "0").unwrap_or("7");
            let key = "an-ascii-key-of-thirty-two-bytes";
            let active = if line.starts_with("active_key") { "" } else { "active_key 7" };
            instance(&format!("auth_hmac {{\nkey {id} {key}\n{active}\n{line}\n}}"))
        }
        "vrrp_instance/unicast_peer:entry" => instance(&format!("unicast_peer {{\n192.0.2.77 {line}\n}}")),
        "vrrp_instance/virtual_routes:entry" => {
            instance(&format!("virtual_routes {{\n198.51.100.0/24 dev eth0 {line}\n}}"))
        }
        "vrrp_instance/virtual_rules:entry" => instance(&format!("virtual_rules {{\n{line}\n}}")),
        "vrrp_sync_group" => {
            format!("{}vrrp_sync_group G {{\ngroup {{ A }}\n{line}\n}}\n", instance(""))
        }
        "garp_group" => format!("garp_group {{\n{line}\n}}\n"),
        "vrrp_script" => format!("vrrp_script S {{\nscript \"/opt/x\" root\n{line}\n}}\n"),
        // Of these the first counts.
        "vrrp_track_process" if line.starts_with("process") => format!("{block} N {{\n{line}\n}}\n"),
        "vrrp_track_process" => format!("{block} N {{\nprocess /opt/x\n{line}\n}}\n"),
        "track_file" | "vrrp_track_file" if line.starts_with("file") => {
            format!("{block} N {{\n{line}\n}}\n")
        }
        "track_file" | "vrrp_track_file" => format!("{block} N {{\nfile /run/x\n{line}\n}}\n"),
        "bfd_instance" => format!("{block} N {{\n{line}\n}}\n"),
        "virtual_server/real_server/SMTP_CHECK/host" => {
            checker("SMTP_CHECK", &format!("host {{\n{line}\n}}"))
        }
        "SSL" => format!("SSL {{\n{line}\n}}\n"),
        "virtual_server" => service(line, ""),
        "virtual_server/real_server" => service("", line),
        "virtual_server/real_server/HTTP_GET/url" => {
            checker("HTTP_GET", &format!("url {{\npath /\n{line}\n}}"))
        }
        "virtual_server/real_server/SSL_GET/url" => {
            checker("SSL_GET", &format!("url {{\npath /\n{line}\n}}"))
        }
        _ => checker(
            block
                .strip_prefix("virtual_server/real_server/")?
                .split_once('/')
                .map_or_else(|| block.rsplit('/').next(), |_| None)?,
            line,
        ),
    })
}
