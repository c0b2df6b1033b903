//! The model as canonical text, which reads back as the same model.
//!
//! Every default is written out, every inherited value stands where it counts, every script names its user.
//! Serves `keepalivectl config print` and the property that nothing is lost between text and model. Shows
//! passwords, as the text that it was read from did.

use std::fmt::Write;
use std::time::Duration;

use crate::model::Model;
use crate::model::process::Script;
use crate::model::tls::Secret;
use crate::model::vrrp::Family;
use crate::schema::shown_seconds;

/// Canonical text of a model.
#[must_use]
pub fn print(model: &Model) -> String {
    let mut page = Page { model, text: String::new(), depth: 0 };
    page.globals();
    page.garp_groups();
    page.link_delays();
    page.tls();
    for script in &model.tracked_scripts {
        page.tracked_script(script);
    }
    for file in &model.files {
        page.file(file);
    }
    for (pattern, tracked) in model.process_patterns.iter().zip(&model.tracked_processes) {
        page.process(pattern, tracked);
    }
    for (instance, notify) in model.instances.iter().zip(&model.instance_notify) {
        page.open("vrrp_instance", &instance.name);
        page.instance(instance);
        page.notify(notify);
        page.close();
    }
    page.statics();
    for (group, notify) in model.sync_groups.iter().zip(&model.group_notify) {
        page.sync_group(group, notify);
    }
    for service in &model.virtual_servers {
        page.service(service);
    }
    page.text
}

/// The model as one JSON object and a line break: for programs, with names of the model and not of the language. What
/// certificate and key files hold is left out, as canonical text leaves it out.
#[must_use]
pub fn print_json(mut model: Model) -> String {
    for authorities in &mut model.tls.authorities {
        authorities.certificates.clear();
    }
    if let Some(identity) = &mut model.tls.identity {
        identity.chain.clear();
        identity.secret = Secret::Pkcs8(Vec::new());
    }
    serde_json::to_string_pretty(&model).unwrap_or_else(|_| "{}".to_owned()) + "\n"
}

mod authentication;
mod check;
mod global;
mod network;
mod service;
mod vrrp;

struct Page<'m> {
    model: &'m Model,
    text: String,
    depth: usize,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = self.depth.saturating_mul(4));
    }

    fn set(&mut self, keyword: &str, value: impl std::fmt::Display) {
        self.line(&format!("{keyword} {value}"));
    }

    fn flag(&mut self, keyword: &str, on: bool) {
        if on {
            self.line(keyword);
        }
    }

    fn boolean(&mut self, keyword: &str, on: bool) {
        self.set(keyword, if on { "true" } else { "false" });
    }

    fn time(&mut self, keyword: &str, time: Duration) {
        self.set(keyword, shown_seconds(time));
    }

    fn open(&mut self, keyword: &str, name: &str) {
        if name.is_empty() {
            self.line(&format!("{keyword} {{"));
        } else {
            self.line(&format!("{keyword} {} {{", word(name)));
        }
        self.depth = self.depth.saturating_add(1);
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.line("}");
    }
}

/// A word, in quotes where it would not be read as one.
fn word(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '+' | '=' | '%' | ',')
    };
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("\"{text}\"") }
}

/// A word in quotes whose escapes are decoded once.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' | '"' | '$' | '\x00'..='\x1f' | '\x7f' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A command in one pair of double quotes, each argument in single quotes.
fn command(argv: &[String]) -> String {
    let mut out = String::from("\"");
    for (index, argument) in argv.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=+,%@".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            out.push_str(argument);
            continue;
        }
        out.push('\'');
        for c in argument.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\'' | '"' | '$' | '\x00'..='\x1f' | '\x7f' => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        out.push('\'');
    }
    out.push('"');
    out
}

fn user(script: &Script) -> String {
    let identity = &script.identity;
    let colon = if identity.groups.is_empty() { "" } else { ":" };
    format!("{} {colon}{}", identity.uid, identity.gid)
}

fn family_word(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tls::{Authorities, Identity, TlsFiles};

    #[test]
    fn what_key_files_hold_is_not_shown() {
        let tls = TlsFiles {
            authorities: vec![Authorities { path: "/ca.pem".to_owned(), certificates: vec![vec![201, 202]] }],
            identity: Some(Identity {
                certificate: "/own.pem".to_owned(),
                key: "/own.key".to_owned(),
                chain: vec![vec![203, 204]],
                secret: Secret::Sec1(vec![205, 206]),
            }),
        };
        let text = print_json(Model { tls, ..Model::default() });
        let shown = |word: &str| text.contains(word);
        assert!(shown("/ca.pem") && shown("/own.pem") && shown("/own.key"), "{text}");
        assert!(!["201", "203", "205"].into_iter().any(shown), "{text}");
    }
}
