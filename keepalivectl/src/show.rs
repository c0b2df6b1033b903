//! Answers as text for people.

use std::fmt::Write;

use ipc::messages::ctl::{Daemon, DaemonStatus, FailedOver, Reloaded, Restarted, ServiceStatus, Status};
use ipc::messages::ipvsd::TableState;

/// The whole status, one thing per line.
#[must_use]
pub fn status(status: &Status) -> String {
    let mut text = format!(
        "keepalived {} pid {} up {} s, generation {} of {}\n",
        status.version, status.pid, status.uptime_s, status.generation, status.config
    );
    if let Some(reload) = &status.last_reload {
        line(&mut text, &format!("last reload: {reload}"));
    }
    for missing in &status.degraded {
        line(&mut text, &format!("degraded: {missing}"));
    }
    for daemon in &status.daemons {
        show_daemon(&mut text, daemon);
    }
    for instance in &status.instances {
        let reason =
            if instance.reason.is_empty() { String::new() } else { format!(" ({})", instance.reason) };
        let counters =
            format!("sent {} received {} rejected {}", instance.sent, instance.received, instance.rejected);
        let state = instance.state.word();
        line(
            &mut text,
            &format!(
                "instance {} vrid {} {state}{reason} priority {} {counters}",
                instance.name, instance.vrid, instance.priority
            ),
        );
        if let Some(seconds) = instance.failover_s {
            line(&mut text, &format!("  gives way by order for another {seconds} s"));
        }
        for (reason, count) in &instance.rejected_by {
            line(&mut text, &format!("  rejected {reason} {count}"));
        }
    }
    for service in &status.services {
        show_service(&mut text, service);
    }
    if let Some(table) = &status.table {
        line(&mut text, &format!("table: {}", describe_table(table)));
    }
    text
}

fn show_daemon(text: &mut String, daemon: &DaemonStatus) {
    let pid = daemon.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let confined = &daemon.confined;
    let landlock = if confined.landlock_abi == 0 {
        "no landlock".to_owned()
    } else {
        format!("landlock ABI {}", confined.landlock_abi)
    };
    let seccomp = if confined.seccomp { "seccomp" } else { "no seccomp" };
    line(
        text,
        &format!(
            "daemon {} pid {pid} {} up {} s restarts {} uid {} {landlock} {seccomp}",
            daemon.daemon.name(),
            daemon.phase,
            daemon.uptime_s,
            daemon.restarts,
            daemon.uid
        ),
    );
    if let Some(last) = &daemon.last_restart {
        line(text, &format!("  last restart: {last}"));
    }
    if daemon.unknown_calls > 0 {
        line(
            text,
            &format!("  refused system calls: {} (last {})", daemon.unknown_calls, daemon.last_unknown_call),
        );
    }
}

fn show_service(text: &mut String, service: &ServiceStatus) {
    line(text, &format!("service {} {}", service.name, updown(service.up)));
    for server in &service.servers {
        let weight = server.weight.map_or_else(|| "absent".to_owned(), |weight| format!("weight {weight}"));
        let drained = if server.drained { " drained" } else { "" };
        line(text, &format!("  server {} {} {weight}{drained}", server.name, updown(server.up)));
    }
    if let Some(weight) = service.sorry_weight {
        line(text, &format!("  sorry server weight {weight}"));
    }
}

fn updown(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "UP",
        Some(false) => "DOWN",
        None => "-",
    }
}

fn describe_table(table: &TableState) -> String {
    match table {
        TableState::Unavailable(why) => format!("unavailable: {why}"),
        TableState::InStep { services, destinations, repaired } => {
            format!("in step, {services} services, {destinations} destinations, {repaired} entries repaired")
        }
        TableState::Failing { last, pending } => format!("{pending} entries fail: {last}"),
    }
}

fn line(text: &mut String, line: &str) {
    let _infallible = writeln!(text, "{line}");
}

/// One line about an ordered restart.
#[must_use]
pub fn restarted(daemon: Daemon, restarted: &Restarted) -> String {
    let old = restarted.old_pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    format!(
        "{} replaced: pid {old} -> {}, build {}, {} ms",
        daemon.name(),
        restarted.new_pid,
        restarted.build,
        restarted.took_ms
    )
}

/// One line about a reload, after its warnings.
#[must_use]
pub fn reloaded(reloaded: &Reloaded) -> String {
    format!("{}generation {} is in use", reloaded.warnings, reloaded.generation)
}

/// One line for each instance that gives way, or no longer does.
#[must_use]
pub fn failed_over(done: &FailedOver, seconds: Option<u32>) -> String {
    let words = seconds.map_or_else(|| "no longer gives way".to_owned(), |s| format!("gives way for {s} s"));
    done.instances.iter().map(|name| format!("{name} {words}")).collect::<Vec<_>>().join("\n")
}
