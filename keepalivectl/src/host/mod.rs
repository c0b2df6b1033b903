//! `keepalivectl check-host`: are the kernel's settings those that a configuration needs?
//!
//! Reads `/proc/sys`, changes nothing, needs neither root nor a running suite. `advice` decides.

mod advice;

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use config::model::Model;
use serde_json::json;

use advice::{Finding, Host, advise};

const FOUND: u8 = 1;

/// Prints what should be changed; 0 when nothing must be.
pub(crate) fn run(model: &Model, json: bool, out: &mut impl Write) -> u8 {
    let findings = advise(model, &Machine::default());
    let must = findings.iter().any(|finding| finding.needed);
    let text = if json { as_json(&findings) } else { as_text(&findings) };
    // A closed pipe ends the output, not the verdict.
    let _closed_pipe = out.write_all(text.as_bytes());
    if must { FOUND } else { 0 }
}

fn as_text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing to change\n".to_owned();
    }
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn as_json(findings: &[Finding]) -> String {
    let list: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "setting": finding.setting,
                "value": finding.value,
                "wanted": finding.wanted,
                "needed": finding.needed,
                "reason": finding.reason,
            })
        })
        .collect();
    serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"
}

/// This machine, in the network namespace of the caller.
#[derive(Debug)]
struct Machine {
    sysctl: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { sysctl: PathBuf::from("/proc/sys") }
    }
}

impl Host for Machine {
    fn setting(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.sysctl.join(path)).ok()?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn has_ipvs(&self) -> bool {
        Path::new("/proc/net/ip_vs").exists()
    }

    fn addresses_of(&self, interface: &str) -> Vec<IpAddr> {
        let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
        all.filter(|entry| entry.interface_name == interface)
            .filter_map(|entry| {
                let address = entry.address?;
                let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            })
            .collect()
    }
}
