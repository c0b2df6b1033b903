//! Counters as text: those of instances in the words of keepalived's statistics file, those of services behind them.

use std::fmt::Write;

use ipc::messages::ctl::{InstanceStatus, ServiceStatus, Status};
use ipc::messages::ipvsd::Counters;

/// Everything that is counted.
#[must_use]
pub fn render(status: &Status) -> String {
    let mut text = String::new();
    for instance in &status.instances {
        show_instance(&mut text, instance);
    }
    for service in &status.services {
        show_service(&mut text, service);
    }
    text
}

fn show_instance(text: &mut String, instance: &InstanceStatus) {
    let refused = |reason: &str| instance.rejected_by.get(reason).copied().unwrap_or(0);
    let sections: [(&str, &[(&str, u64)]); 4] = [
        ("Advertisements", &[("Received", instance.received), ("Sent", instance.sent)]),
        (
            "Packet Errors",
            &[
                ("Length", refused("length")),
                ("TTL", refused("ttl")),
                ("Invalid Type", refused("type")),
                ("Advertisement Interval", refused("interval")),
                ("Address List", instance.address_mismatches),
            ],
        ),
        (
            "Authentication Errors",
            &[
                ("Invalid Type", 0),
                ("Type Mismatch", refused("auth_type")),
                ("Failure", refused("auth_failure")),
            ],
        ),
        ("Priority Zero", &[("Received", instance.zero_received), ("Sent", instance.zero_sent)]),
    ];
    line(text, &format!("VRRP Instance: {}", instance.name));
    for (position, (title, counters)) in sections.iter().enumerate() {
        line(text, &format!("  {title}:"));
        for (name, count) in *counters {
            line(text, &format!("    {name}: {count}"));
        }
        if position == 0 {
            line(text, &format!("  Became master: {}", instance.became_master));
            line(text, &format!("  Released master: {}", instance.released_master));
        }
    }
    let told = ["length", "ttl", "type", "interval", "auth_type", "auth_failure"];
    let others = instance.rejected_by.iter().filter(|(reason, _)| !told.contains(&reason.as_str()));
    for (position, (reason, count)) in others.enumerate() {
        if position == 0 {
            line(text, "  Other Errors:");
        }
        line(text, &format!("    {reason}: {count}"));
    }
}

fn show_service(text: &mut String, service: &ServiceStatus) {
    line(text, &format!("Virtual Server: {}", service.name));
    if let Some(counters) = &service.counters {
        line(text, &format!("  {}", words(counters)));
    }
    for server in &service.servers {
        if let Some(counters) = &server.counters {
            line(text, &format!("  {}: {}", server.name, words(counters)));
        }
    }
    if let Some(counters) = &service.sorry_counters {
        line(text, &format!("  sorry server: {}", words(counters)));
    }
}

fn words(counters: &Counters) -> String {
    format!(
        "connections {} packets {} in {} out bytes {} in {} out",
        counters.connections,
        counters.packets_in,
        counters.packets_out,
        counters.bytes_in,
        counters.bytes_out
    )
}

fn line(text: &mut String, line: &str) {
    let _infallible = writeln!(text, "{line}");
}
