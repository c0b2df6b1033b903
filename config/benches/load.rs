//! CPU time and memory of reading, checking and modelling large configurations.
//!
//! Prints one line per case: what, target, value, verdict. Each case runs in a process of its own, so that its
//! peak memory is its own; the time is the least of several runs, as the machine may be shared.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, ExitCode};

use config::names::OfflineNames;
use config::source::Files;
use config::{LoadOptions, load};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Name, size, target in milliseconds of CPU, target in KiB at the peak.
const CASES: &[(&str, usize, Option<i64>, Option<i64>)] = &[
    ("servers", 10_000, Some(30), Some(16 * 1024)),
    ("servers", 20_000, None, None),
    ("servers", 40_000, None, None),
    ("one-service", 10_000, None, None),
    ("one-service", 20_000, Some(60), None),
    ("one-service", 40_000, None, None),
    ("instances", 4_000, Some(45), None),
    ("instances", 16_000, None, None),
];

/// Runs of one case.
const RUNS: usize = 15;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, flag, case, size] if flag == "--case" => one(case, size.parse().unwrap_or(0)),
        _ => all(),
    }
}

/// Runs every case in a child and judges what it prints.
fn all() -> ExitCode {
    let mut out = std::io::stdout();
    let mut failed = false;
    let Ok(this) = std::env::current_exe() else { return ExitCode::FAILURE };
    for (case, size, milliseconds, kibibytes) in CASES {
        let run = Command::new(&this).args(["--case", case, &size.to_string()]).output();
        let text = run.map(|run| String::from_utf8_lossy(&run.stdout).into_owned()).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse::<i64>().unwrap_or(i64::MAX));
        let (micros, peak) = (numbers.next().unwrap_or(i64::MAX), numbers.next().unwrap_or(i64::MAX));
        let slow = milliseconds.is_some_and(|target| micros > target.saturating_mul(1_000));
        let large = kibibytes.is_some_and(|target| peak > target);
        failed |= slow || large;
        let target = |target: &Option<i64>, unit: &str| {
            target.map_or_else(|| "-".to_owned(), |target| format!("{target} {unit}"))
        };
        let verdict = if slow || large { "FAIL" } else { "PASS" };
        let _ = writeln!(
            out,
            "config {case} {size}: {}.{:01} ms CPU (target {}), peak {peak} KiB (target {}) {verdict}",
            micros / 1_000,
            micros % 1_000 / 100,
            target(milliseconds, "ms"),
            target(kibibytes, "KiB"),
        );
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One case: prints microseconds of CPU and the peak in KiB.
fn one(case: &str, size: usize) -> ExitCode {
    let path = std::env::temp_dir().join(format!("config-bench-{}.conf", std::process::id()));
    let text = match case {
        "servers" => (0..size / 10).fold(String::new(), |out, service| service_text(out, service, 10)),
        "one-service" => service_text(String::new(), 0, size),
        _ => instances_text(size),
    };
    if std::fs::write(&path, text).is_err() {
        return ExitCode::FAILURE;
    }
    let mut best = i64::MAX;
    let mut peak = i64::MAX;
    let mut good = true;
    for run in 0..RUNS {
        let before = micros();
        let loaded = load(&Files, &OfflineNames, &path.to_string_lossy(), &LoadOptions::default());
        best = best.min(micros().saturating_sub(before));
        good &= loaded.model.is_some();
        if run == 0 {
            peak = getrusage(UsageWho::RUSAGE_SELF).map_or(i64::MAX, |usage| usage.max_rss());
        }
    }
    let _ = std::fs::remove_file(&path);
    let _ = writeln!(std::io::stdout(), "{best} {peak}");
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn micros() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        usage.user_time().num_microseconds().saturating_add(usage.system_time().num_microseconds())
    })
}

/// A virtual server with so many real servers of seven lines each.
fn service_text(mut out: String, service: usize, servers: usize) -> String {
    let (a, b) = (service / 256, service % 256);
    let _ =
        write!(out, "virtual_server 10.{a}.{b}.1 80 {{\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n");
    for server in 0..servers {
        let (a, b, c) = (16 + server / 65_536, server / 256 % 256, server % 256);
        let _ = write!(
            out,
            "    real_server 172.{a}.{b}.{c} 80 {{\n        weight 1\n        TCP_CHECK {{\n            \
             connect_timeout 3\n            connect_port 80\n        }}\n    }}\n"
        );
    }
    out.push_str("}\n");
    out
}

fn instances_text(count: usize) -> String {
    let mut out = String::new();
    for index in 0..count {
        let (interface, vrid) = (index / 255, index % 255 + 1);
        let (a, b) = (index / 256, index % 256);
        let _ = write!(
            out,
            "vrrp_instance VI_{index} {{\n    state BACKUP\n    interface eth{interface}\n    \
             virtual_router_id {vrid}\n    priority 100\n    advert_int 1\n    virtual_ipaddress {{\n        \
             10.1.{a}.{b}/24\n    }}\n}}\n"
        );
    }
    out
}
