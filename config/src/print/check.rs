//! Checks of real servers.

use super::{Page, quoted, word};
use std::time::Duration;

use crate::model::check::{Check, CheckKind, Endpoint, HttpCheck, HttpProtocol, HttpUrl, Sni, UdpCheck};

impl Page<'_> {
    /// The `SSL` block; whom checks trust stands in each of them.
    pub(super) fn tls(&mut self) {
        let Some(identity) = &self.model.tls.identity else { return };
        self.open("SSL", "");
        self.set("certificate", word(&identity.certificate));
        self.set("key", word(&identity.key));
        self.close();
    }

    pub(super) fn check(&mut self, check: &Check) {
        match &check.kind {
            CheckKind::Tcp(endpoint) => {
                self.open("TCP_CHECK", "");
                self.endpoint(endpoint);
            }
            CheckKind::Http(http) => self.http_check(http),
            CheckKind::Ping(endpoint) => {
                self.open("PING_CHECK", "");
                self.endpoint(endpoint);
            }
            CheckKind::Smtp(smtp) => {
                self.open("SMTP_CHECK", "");
                self.endpoint(&smtp.endpoint);
                self.set("helo_name", word(&smtp.helo_name));
            }
            CheckKind::Dns(dns) => {
                self.open("DNS_CHECK", "");
                self.endpoint(&dns.endpoint);
                self.set("type", dns.record.name());
                self.set("name", word(&format!("{}.", dns.name)));
            }
            CheckKind::Udp(udp) => {
                self.open("UDP_CHECK", "");
                self.endpoint(&udp.endpoint);
                self.udp_check(udp);
            }
            CheckKind::File(file) => {
                self.open("FILE_CHECK", "");
                self.set("track_file", word(&file.name));
                let direction = if file.reverse { "reverse" } else { "noreverse" };
                self.set("weight", format!("{} {direction}", file.weight));
                return self.close();
            }
            CheckKind::Misc { script, timeout, dynamic, command: _ } => {
                self.open("MISC_CHECK", "");
                self.command("misc_path", Some(*script));
                if is_writable_limit(*timeout) {
                    self.set("misc_timeout", timeout.as_secs());
                }
                self.flag("misc_dynamic", *dynamic);
            }
        }
        self.boolean("alpha", check.alpha);
        self.time("delay_loop", check.delay_loop);
        self.set("retry", check.retry);
        self.time("delay_before_retry", check.delay_before_retry);
        self.time("warmup", check.warmup);
        self.boolean("log_all_failures", check.log_all_failures);
        self.close();
    }

    pub(super) fn http_check(&mut self, http: &HttpCheck) {
        self.open(if http.tls.is_some() { "SSL_GET" } else { "HTTP_GET" }, "");
        self.endpoint(&http.endpoint);
        self.set(
            "http_protocol",
            match http.protocol {
                HttpProtocol::Http10 => "1.0",
                HttpProtocol::Http10Close => "1.0C",
                HttpProtocol::Http11 => "1.1",
            },
        );
        self.boolean("fast_recovery", http.fast_recovery);
        match http.tls.as_ref().map(|tls| &tls.sni) {
            Some(Sni::Name(name)) => self.set("sni_name", word(name)),
            Some(Sni::VirtualHost) => self.line("enable_sni"),
            Some(Sni::Off) | None => {}
        }
        if let Some(verify) = http.tls.as_ref().and_then(|tls| tls.verify) {
            let known = self.model.tls.authorities.get(usize::from(verify.authorities));
            self.line("tls_verify");
            if let Some(authorities) = known {
                self.set("ca_path", word(&authorities.path));
            }
            self.set("min_cert_days", verify.min_days);
        }
        for url in &http.urls {
            self.url(url, http.tls.is_some());
        }
    }

    pub(super) fn url(&mut self, url: &HttpUrl, tls: bool) {
        self.open("url", "");
        self.set("path", word(&url.path));
        if let Some(host) = &url.virtual_host {
            self.set("virtualhost", word(host));
        }
        let status: Vec<String> = url.status.iter().map(|(low, high)| format!("{low}-{high}")).collect();
        self.set("status_code", status.join(" "));
        if let Some(digest) = url.digest {
            self.set("digest", format!("{:032x}", u128::from_be_bytes(digest)));
        }
        if let Some(regex) = &url.regex {
            self.set("regex", quoted(&regex.pattern));
            self.flag("regex_no_match", regex.inverted);
            let options = &regex.options;
            for (name, on) in [
                ("caseless", options.caseless),
                ("dollar_endonly", options.dollar_end_only),
                ("dotall", options.dot_all),
                ("firstline", options.first_line),
                ("extended", options.extended),
                ("multiline", options.multi_line),
                ("ungreedy", options.ungreedy),
                ("utf", options.unicode),
                ("allow_empty_class", options.allow_empty_class),
                ("alt_bsux", options.alt_bsux),
                ("alt_circumflex", options.alt_circumflex),
                ("dupnames", options.dup_names),
                ("match_unset_backref", options.match_unset_backref),
                ("no_auto_capture", options.no_auto_capture),
            ] {
                self.flag(&format!("regex_options {name}"), on);
            }
            self.set("regex_min_offset", regex.min_offset);
            if let Some(last) = regex.max_offset {
                self.set("regex_max_offset", last);
            }
        }
        if tls {
            self.boolean("tls_compliant", url.tls_compliant);
        }
        self.close();
    }

    pub(super) fn udp_check(&mut self, udp: &UdpCheck) {
        if !udp.payload.is_empty() {
            let bytes: Vec<String> = udp.payload.iter().map(|byte| format!("{byte:02x}")).collect();
            self.set("payload", bytes.concat());
        }
        let Some(reply) = &udp.reply else { return };
        let nibble = |value: u8, mask: u8| {
            if mask == 0 { 'X' } else { char::from_digit(u32::from(value), 16).unwrap_or('X') }
        };
        let bytes: Vec<String> = reply
            .bytes
            .iter()
            .map(|(value, mask)| {
                [nibble(value >> 4, mask >> 4), nibble(value & 15, mask & 15)].iter().collect()
            })
            .collect();
        self.line(format!("require_reply {}", bytes.concat()).trim_end());
        self.set("min_reply_length", reply.min_length);
        self.set("max_reply_length", reply.max_length);
    }

    pub(super) fn endpoint(&mut self, endpoint: &Endpoint) {
        self.set("connect_ip", endpoint.target.ip());
        if endpoint.target.port() != 0 {
            self.set("connect_port", endpoint.target.port());
        }
        if let Some(source) = endpoint.bind_to {
            self.set("bindto", source);
        }
        if let Some(port) = endpoint.bind_port {
            self.set("bind_port", port);
        }
        if let Some(interface) = &endpoint.bind_interface {
            self.set("bind_if", word(interface));
        }
        if endpoint.mark != 0 {
            self.set("fwmark", endpoint.mark);
        }
        self.time("connect_timeout", endpoint.timeout);
    }
}

/// `misc_timeout` takes whole seconds; other limits came from the virtual server's delay_loop.
pub(super) fn is_writable_limit(timeout: Duration) -> bool {
    timeout.subsec_nanos() == 0 && (1..=4294).contains(&timeout.as_secs())
}
