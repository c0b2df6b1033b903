//! Status as OpenMetrics text (version 1.0), for a collector.
//!
//! Pure. Every family has its type and help line once; label values are escaped. Called by `run`.

use std::fmt::Write;

use ipc::messages::ctl::{DaemonStatus, InstanceStatus, ServerStatus, ServiceStatus, Status};
use ipc::messages::ipvsd::{Counters, TableState};

/// Everything that a collector may want, ending with `# EOF`.
#[must_use]
pub fn render(status: &Status) -> String {
    let mut page = Page(String::new());
    suite(&mut page, status);
    daemons(&mut page, &status.daemons);
    instances(&mut page, &status.instances);
    services(&mut page, &status.services);
    page.0.push_str("# EOF\n");
    page.0
}

/// Pairs of a label and its value.
type Labels<'l> = &'l [(&'static str, &'l str)];

/// Name, help and value of a counter of a `T`.
type Counter<T> = (&'static str, &'static str, fn(&T) -> u64);

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let pairs: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let _ = write!(self.0, "{{{}}}", pairs.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn seconds(&mut self, name: &str, micros: u64) {
        let _ = writeln!(self.0, "{name} {}.{:06}", micros / 1_000_000, micros % 1_000_000);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn suite(page: &mut Page, status: &Status) {
    page.family("keepalived_build", "info", "Version of the parent.");
    page.sample("keepalived_build_info", &[("version", &status.version)], 1);
    page.family("keepalived_uptime_seconds", "gauge", "Seconds since the suite started.");
    page.sample("keepalived_uptime_seconds", &[], status.uptime_s);
    page.family("keepalived_generation", "gauge", "Number of the configuration in use.");
    page.sample("keepalived_generation", &[], status.generation.value());
    page.family("keepalived_degraded", "gauge", "Parts of the confinement that are missing.");
    page.sample("keepalived_degraded", &[], count(status.degraded.len()));
    page.family("keepalived_log_lines_dropped", "counter", "Log lines that nobody took.");
    page.sample("keepalived_log_lines_dropped_total", &[], status.parent.dropped_lines);
    page.family("keepalived_scripts_run", "counter", "Scripts that were started.");
    page.sample("keepalived_scripts_run_total", &[], status.parent.scripts_run);
    page.family("keepalived_longest_turn_seconds", "gauge", "Longest turn of the parent's loop.");
    page.seconds("keepalived_longest_turn_seconds", status.parent.longest_turn_us);
    let most = "Most processor time that one turn of the parent's loop took.";
    page.family("keepalived_dearest_turn_seconds", "gauge", most);
    page.seconds("keepalived_dearest_turn_seconds", status.parent.dearest_turn_us);
    let Some(table) = &status.table else { return };
    page.family("keepalived_table_in_step", "gauge", "1 when the kernel's table says what it should.");
    let (in_step, repaired) = match table {
        TableState::InStep { repaired, .. } => (1, Some(*repaired)),
        TableState::Unavailable(_) | TableState::Failing { .. } => (0, None),
    };
    page.sample("keepalived_table_in_step", &[], in_step);
    if let Some(repaired) = repaired {
        page.family("keepalived_table_repaired", "counter", "Entries that somebody else had edited.");
        page.sample("keepalived_table_repaired_total", &[], repaired);
    }
}

fn daemons(page: &mut Page, daemons: &[DaemonStatus]) {
    page.family("keepalived_daemon_up", "gauge", "1 while the daemon runs.");
    for daemon in daemons {
        let labels = [("daemon", daemon.daemon.name()), ("phase", daemon.phase.as_str())];
        page.sample("keepalived_daemon_up", &labels, u64::from(daemon.pid.is_some()));
    }
    let counters: [Counter<DaemonStatus>; 3] = [
        ("keepalived_daemon_restarts", "Times that the daemon was succeeded.", |daemon| daemon.restarts),
        ("keepalived_daemon_refused_calls", "System calls that its filter refused.", |daemon| {
            daemon.unknown_calls
        }),
        ("keepalived_daemon_refused_messages", "Messages that named what they may not.", |daemon| {
            daemon.refused_messages
        }),
    ];
    for (name, help, value) in counters {
        page.family(name, "counter", help);
        for daemon in daemons {
            page.sample(&format!("{name}_total"), &[("daemon", daemon.daemon.name())], value(daemon));
        }
    }
}

fn instances(page: &mut Page, instances: &[InstanceStatus]) {
    page.family("keepalived_vrrp_state", "stateset", "State of the instance.");
    for instance in instances {
        for state in ["INIT", "BACKUP", "MASTER", "FAULT"] {
            let labels = [("instance", instance.name.as_str()), ("keepalived_vrrp_state", state)];
            page.sample("keepalived_vrrp_state", &labels, u64::from(instance.state.word() == state));
        }
    }
    page.family("keepalived_vrrp_priority", "gauge", "Effective priority of the instance.");
    for instance in instances {
        let labels = [("instance", instance.name.as_str())];
        page.sample("keepalived_vrrp_priority", &labels, u64::from(instance.priority));
    }
    let counters: [Counter<InstanceStatus>; 3] = [
        ("keepalived_vrrp_transitions", "Changes of state.", |instance| instance.transitions),
        ("keepalived_vrrp_adverts_sent", "Adverts sent.", |instance| instance.sent),
        ("keepalived_vrrp_adverts_received", "Adverts heard and accepted.", |instance| instance.received),
    ];
    for (name, help, value) in counters {
        page.family(name, "counter", help);
        for instance in instances {
            page.sample(&format!("{name}_total"), &[("instance", instance.name.as_str())], value(instance));
        }
    }
    page.family("keepalived_vrrp_adverts_rejected", "counter", "Packets refused, by reason.");
    for instance in instances {
        for (reason, times) in &instance.rejected_by {
            let labels = [("instance", instance.name.as_str()), ("reason", reason.as_str())];
            page.sample("keepalived_vrrp_adverts_rejected_total", &labels, *times);
        }
    }
}

fn services(page: &mut Page, services: &[ServiceStatus]) {
    let servers =
        || services.iter().flat_map(|service| service.servers.iter().map(move |server| (service, server)));
    page.family("keepalived_virtual_server_up", "gauge", "1 while the virtual server has its quorum.");
    for service in services {
        if let Some(up) = service.up {
            page.sample("keepalived_virtual_server_up", &[("virtual_server", &service.name)], u64::from(up));
        }
    }
    page.family("keepalived_real_server_up", "gauge", "1 while the real server passes its checks.");
    for (service, server) in servers() {
        if let Some(up) = server.up {
            page.sample("keepalived_real_server_up", &names(service, server), u64::from(up));
        }
    }
    page.family("keepalived_real_server_weight", "gauge", "Weight in the kernel's table.");
    for (service, server) in servers() {
        if let Some(weight) = server.weight {
            page.sample("keepalived_real_server_weight", &names(service, server), u64::from(weight.value()));
        }
    }
    let counters: [Counter<Counters>; 5] = [
        ("connections", "Connections scheduled.", |counters| counters.connections),
        ("packets_in", "Packets from clients.", |counters| counters.packets_in),
        ("packets_out", "Packets to clients.", |counters| counters.packets_out),
        ("bytes_in", "Bytes from clients.", |counters| counters.bytes_in),
        ("bytes_out", "Bytes to clients.", |counters| counters.bytes_out),
    ];
    for (name, help, value) in counters {
        let family = format!("keepalived_virtual_server_{name}");
        page.family(&family, "counter", help);
        for service in services {
            if let Some(counters) = &service.counters {
                let labels = [("virtual_server", service.name.as_str())];
                page.sample(&format!("{family}_total"), &labels, value(counters));
            }
        }
        let family = format!("keepalived_real_server_{name}");
        page.family(&family, "counter", help);
        for (service, server) in servers() {
            if let Some(counters) = &server.counters {
                page.sample(&format!("{family}_total"), &names(service, server), value(counters));
            }
        }
    }
    page.family("keepalived_real_server_connections_open", "gauge", "Connections that are open now.");
    for (service, server) in servers() {
        if let Some(counters) = &server.counters {
            page.sample("keepalived_real_server_connections_open", &names(service, server), counters.active);
        }
    }
}

fn names<'n>(service: &'n ServiceStatus, server: &'n ServerStatus) -> [(&'static str, &'n str); 2] {
    [("virtual_server", &service.name), ("real_server", &server.name)]
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use config::model::units::{Generation, Weight};
    use ipc::messages::ctl::ParentCounters;
    use ipc::messages::vrrpd::VrrpState;

    use super::*;

    fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            pid: 7,
            uptime_s: 61,
            generation: Generation::new(1),
            config: "/k".to_owned(),
            last_reload: None,
            degraded: Vec::new(),
            daemons: Vec::new(),
            instances: vec![InstanceStatus {
                name: "VI \"1\"".to_owned(),
                vrid: 51,
                state: VrrpState::Master,
                priority: 150,
                reason: String::new(),
                transitions: 2,
                sent: 60,
                received: 1,
                rejected: 4,
                rejected_by: BTreeMap::from([("checksum".to_owned(), 4)]),
                became_master: 1,
                released_master: 0,
                address_mismatches: 0,
                zero_received: 0,
                zero_sent: 0,
                last_transition_ms: 0,
                failover_s: None,
            }],
            services: vec![ServiceStatus {
                name: "[192.0.2.1]:tcp:80".to_owned(),
                up: Some(true),
                servers: vec![ServerStatus {
                    name: "[203.0.113.1]:tcp:80".to_owned(),
                    up: Some(false),
                    weight: Some(Weight::ZERO),
                    drained: false,
                    counters: Some(Counters { connections: 9, active: 3, ..Counters::default() }),
                }],
                sorry_weight: None,
                counters: None,
                sorry_counters: None,
            }],
            table: Some(TableState::InStep { services: 1, destinations: 1, repaired: 5 }),
            written: None,
            parent: ParentCounters {
                longest_turn_us: 1_400,
                dearest_turn_us: 900,
                ..ParentCounters::default()
            },
        }
    }

    #[test]
    fn state_counters_and_table_are_told_with_escaped_names() {
        let text = render(&status());
        for line in [
            "keepalived_uptime_seconds 61",
            "keepalived_longest_turn_seconds 0.001400",
            "keepalived_dearest_turn_seconds 0.000900",
            "keepalived_table_in_step 1",
            "keepalived_table_repaired_total 5",
            r#"keepalived_vrrp_state{instance="VI \"1\"",keepalived_vrrp_state="MASTER"} 1"#,
            r#"keepalived_vrrp_state{instance="VI \"1\"",keepalived_vrrp_state="BACKUP"} 0"#,
            r#"keepalived_vrrp_adverts_sent_total{instance="VI \"1\""} 60"#,
            r#"keepalived_vrrp_adverts_rejected_total{instance="VI \"1\"",reason="checksum"} 4"#,
            r#"keepalived_virtual_server_up{virtual_server="[192.0.2.1]:tcp:80"} 1"#,
            r#"keepalived_real_server_up{virtual_server="[192.0.2.1]:tcp:80",real_server="[203.0.113.1]:tcp:80"} 0"#,
            r#"keepalived_real_server_connections_total{virtual_server="[192.0.2.1]:tcp:80",real_server="[203.0.113.1]:tcp:80"} 9"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_sample_belongs_to_the_family_above_it_and_each_family_comes_once() {
        let text = render(&status());
        let mut families = std::collections::BTreeSet::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} twice");
            } else if !line.starts_with('#') {
                assert!(line.starts_with(family), "{line} below {family}");
            }
        }
        assert!(families.len() > 20);
    }
}
