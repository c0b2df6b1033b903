//! Who runs with which powers, read from the processes themselves on the host's kernel.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::Report;
use crate::lab::site::{Site, VIP};
use crate::lab::{Director, Failure, Lab, Lan, Subject, process, wait_until};

const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;

/// What each daemon may hold, in every capability set.
pub const EXPECTED: [(&str, u64, &str); 3] = [
    ("vrrpd", NET_ADMIN | NET_RAW, "net_admin, net_raw"),
    ("checkd", 0, "none"),
    ("ipvsd", NET_ADMIN, "net_admin"),
];

/// The five sets of `/proc/PID/status`.
pub const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// Starts a director on this kernel and looks at its processes.
pub fn play(lab: &Lab, report: &mut Report) -> Result<(), Failure> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    report.say(&format!("confinement, on the host's own kernel {}", kernel.trim()));
    let mut lan = Lan::new(&[("d1", 1)])?;
    lan.add_back_network(&[("d1", 1)])?;
    let host = lan.host("d1")?;
    let director = Director::start(lab, host, Subject::Ours, &Site::config("d1", 200, "0.5"), &[])?;
    wait_until("d1 holds the address", Duration::from_secs(15), || host.has(VIP))?;
    for (name, capabilities, words) in EXPECTED {
        director.wait_daemon(name)?;
        wait_until(&format!("{name} is confined"), Duration::from_secs(10), || {
            daemon_status(&director, name).is_some_and(|status| status["confined"]["seccomp"] == true)
        })?;
        report.step(&format!("powers of {name}"), &format!("capabilities: {words}"), |_| {
            let pid = director.wait_daemon(name)?;
            let status = daemon_status(&director, name).ok_or_else(|| Failure::new("no status"))?;
            Ok((describe(pid, &status), holds_exactly(pid, capabilities) && is_locked(pid, &status)))
        });
    }
    report.step("users of the daemons", "all different, none root", |_| {
        let uids: Vec<String> =
            EXPECTED.iter().filter_map(|(name, ..)| uid(director.daemon(name)?)).collect();
        let distinct: BTreeSet<&String> = uids.iter().collect();
        let held = distinct.len() == 3 && uids.iter().all(|uid| uid != "0" && uid != "65534");
        Ok((format!("uid {}", uids.join(", ")), held))
    });
    Ok(())
}

/// What `status --json` says of a daemon.
#[must_use]
pub fn daemon_status(director: &Director, name: &str) -> Option<Value> {
    let status = director.status().ok()?;
    status["daemons"].as_array()?.iter().find(|daemon| daemon["daemon"] == name).cloned()
}

/// True when every capability set of the process is exactly this.
#[must_use]
pub fn holds_exactly(pid: i32, capabilities: u64) -> bool {
    SETS.iter().all(|set| {
        process::status_field(pid, set).and_then(|hex| u64::from_str_radix(&hex, 16).ok())
            == Some(capabilities)
    })
}

/// Real user id of a process.
#[must_use]
pub fn uid(pid: i32) -> Option<String> {
    process::status_field(pid, "Uid")?.split_whitespace().next().map(str::to_owned)
}

/// seccomp filter, no new privileges, and landlock unless the kernel says that it has none.
fn is_locked(pid: i32, status: &Value) -> bool {
    let field = |name| process::status_field(pid, name).unwrap_or_default();
    let landlock = std::env::var_os(NO_LANDLOCK).is_none();
    field("Seccomp") == "2"
        && field("NoNewPrivs") == "1"
        && (!landlock || status["confined"]["file_system"] == true)
}

/// Set by [`kernel_without_landlock`]'s caller for the sandbox, which can't see the list of security modules.
pub const NO_LANDLOCK: &str = "LAB_NO_LANDLOCK";

/// True when the kernel lists its security modules and landlock is not among them.
#[must_use]
pub fn kernel_without_landlock() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lsm")
        .is_ok_and(|list| !list.split(',').any(|module| module.trim() == "landlock"))
}

fn describe(pid: i32, status: &Value) -> String {
    let field = |name| process::status_field(pid, name).unwrap_or_default();
    format!(
        "uid {}, all sets {}, seccomp {}, no_new_privs {}, landlock ABI {}",
        uid(pid).unwrap_or_default(),
        field("CapEff").trim_start_matches("000000000000"),
        field("Seccomp"),
        field("NoNewPrivs"),
        status["confined"]["landlock_abi"]
    )
}
