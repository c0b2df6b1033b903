//! The suite with less power than root has: in a container, as its first process, and in the hardened unit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::{Failure, Host, Lab, Lan, process, sandboxed, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn instance(extra: &str) -> String {
    VrrpInstance::new(3, "0.2", 255, front4(50)).with(extra).text().replace("state BACKUP", "state MASTER")
}

/// Starts our keepalived behind the words of another program.
fn start_behind(
    lab: &Lab,
    host: &Host,
    words: &[&str],
    config: &str,
    options: &[&str],
) -> Result<std::process::Child, Failure> {
    let doing = |cause: std::io::Error| Failure::instrument("starting keepalived", cause);
    fs::create_dir_all("/run/lab").map_err(doing)?;
    fs::write("/run/lab/d1.conf", config).map_err(doing)?;
    let log = fs::File::create(lab.out.join("d1.log")).map_err(doing)?;
    let errors = log.try_clone().map_err(doing)?;
    let (program, rest) = words.split_first().ok_or_else(|| Failure::new("no program"))?;
    let mut command = Command::new(program);
    command
        .args(rest)
        .arg(install_ours()?.join("keepalived"))
        .args(["-n", "-l", "-G", "-f", "/run/lab/d1.conf", "--run-dir", "/run/lab/d1.run"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    host.spawn(&mut command)
}

fn pid(child: &std::process::Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(0)
}

const CONTAINER: [&str; 4] = ["setpriv", "--bounding-set", "-setuid,-setgid,-setpcap,-sys_admin", "--"];

#[test]
fn a_container_without_the_right_to_change_users_still_confines_every_daemon() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let config = global("lab") + &instance("") + &http_service("10.77.0.50", &["10.77.0.1"]);
        let mut parent = start_behind(lab, d1, &CONTAINER, &config, &[])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let field = |pid, name| process::status_field(pid, name).unwrap_or_default();
        for (name, capabilities) in
            [("vrrpd", "0000000000003000"), ("checkd", "0000000000000000"), ("ipvsd", "0000000000001000")]
        {
            let (daemon, _) = wait_for(&format!("{name} is confined"), SOON, || {
                let found = process::children(pid(&parent)).into_iter().find(|child| child.name == name)?;
                (field(found.pid, "Seccomp") == "2").then_some(found.pid)
            })?;
            let holds = (field(daemon, "NoNewPrivs"), field(daemon, "CapEff"));
            require(holds == ("1".to_owned(), capabilities.to_owned()), || format!("{name}: {holds:?}"))?;
        }
        let ctl = install_ours()?.join("keepalivectl");
        let ask = ["--run-dir", "/run/lab/d1.run", "status", "--json"];
        for missing in ["CAP_SETUID", "CAP_SETPCAP"] {
            wait_until(&format!("{missing} is told"), SOON, || {
                d1.run(&ctl.to_string_lossy(), &ask).is_ok_and(|status| status.contains(missing))
            })?;
        }
        process::signal(pid(&parent), Signal::SIGTERM);
        wait_for("it stops", SOON, || parent.try_wait().ok().flatten())?;
        require(!d1.has(front4(50)), || "the address has stayed".to_owned())?;
        // Who asks for full confinement doesn't get less.
        let mut refused = start_behind(lab, d1, &CONTAINER, &config, &["--require-sandbox=fs"])?;
        let (status, _) = wait_for("it refuses", SOON, || refused.try_wait().ok().flatten())?;
        require(status.code() == Some(4), || format!("it ended with {status}"))
    })
}

#[test]
fn as_the_first_process_of_a_container_it_reaps_every_orphan() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let script = "vrrp_script orphans {\n    script \"/bin/sh -c '(/bin/sleep 0.5 &)'\"\n    user root\n    \
                      interval 1\n}\n";
        let config = script.to_owned() + &global("lab") + &instance("track_script {\n orphans\n}");
        let words = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"];
        let unshare = start_behind(lab, d1, &words, &config, &[])?;
        let (first, _) = wait_for("it runs", SOON, || {
            process::children(pid(&unshare)).into_iter().find(|child| child.name == "keepalived")
        })?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        let mut seen = Vec::new();
        wait_until("three orphans have come to it", SOON, || {
            let orphans = process::all().into_iter().filter(|child| child.parent == first.pid);
            for orphan in orphans.filter(|child| child.name == "sleep") {
                if !seen.contains(&orphan.pid) {
                    seen.push(orphan.pid);
                }
            }
            seen.len() >= 3
        })?;
        wait_until("all of them are reaped", SOON, || seen.iter().all(|pid| process::read(*pid).is_none()))?;
        process::signal(first.pid, Signal::SIGTERM);
        wait_until("it has stopped in order", SOON, || !process::is_alive(first.pid) && !d1.has(front4(50)))
            .map(|_| ())
    })
}

fn unit() -> Result<PathBuf, Failure> {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/keepalived-hardened.service.in");
    let doing = |cause: std::io::Error| Failure::instrument("the hardened unit", cause);
    let text = fs::read_to_string(source).map_err(doing)?;
    let text = text.replace("@SBINDIR@", "/usr/sbin").replace("@SYSCONFDIR@", "/etc");
    let path = Path::new("/run/lab/keepalived-hardened.service");
    fs::create_dir_all("/run/lab").and_then(|()| fs::write(path, text)).map_err(doing)?;
    Ok(path.to_owned())
}

/// Exposure as systemd counts it, times ten.
#[test]
fn the_hardened_unit_scores_3_0_or_better() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let path = unit()?;
        let arguments =
            ["security", "--offline=true", "--no-pager", "--threshold=30", &path.to_string_lossy()];
        lan.host("d1")?.run("/usr/bin/systemd-analyze", &arguments).map(|_| ())
    })
}

#[test]
fn with_the_power_of_the_hardened_unit_daemons_and_scripts_of_users_do_their_work() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let text = fs::read_to_string(unit()?).map_err(|cause| Failure::instrument("unit", cause))?;
        let names = text.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        let names: Vec<String> = names
            .flat_map(str::split_whitespace)
            .map(|name| format!("+{}", name.trim_start_matches("CAP_").to_lowercase()))
            .collect();
        let set = format!("-all,{}", names.join(","));
        let words = ["setpriv", "--no-new-privs", "--bounding-set", &set, "--"];
        let doing = |cause: std::io::Error| Failure::instrument("a place for the script", cause);
        fs::create_dir_all("/run/open").map_err(doing)?;
        std::os::unix::fs::chown("/run/open", Some(65534), Some(65534)).map_err(doing)?;
        let notify = "notify_master \"/bin/sh -c 'id -u > /run/open/who'\" nobody nogroup";
        let config = global("lab") + &instance(notify) + &http_service("10.77.0.50", &["10.77.0.1"]);
        let mut parent = start_behind(lab, d1, &words, &config, &["--require-sandbox=fs"])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        wait_until("the script has run as its user", SOON, || {
            fs::read_to_string("/run/open/who").is_ok_and(|who| who == "65534\n")
        })?;
        let users = || -> std::collections::BTreeSet<String> {
            process::children(pid(&parent))
                .iter()
                .filter(|child| ["vrrpd", "checkd", "ipvsd"].contains(&child.name.as_str()))
                .filter_map(|child| process::status_field(child.pid, "Uid"))
                .collect()
        };
        wait_until("three daemons run", SOON, || users().len() == 3)?;
        let users = users();
        require(users.len() == 3 && !users.iter().any(|uid| uid.starts_with("0\t")), || {
            format!("{users:?}")
        })?;
        process::signal(pid(&parent), Signal::SIGTERM);
        let (status, _) = wait_for("it stops", SOON, || parent.try_wait().ok().flatten())?;
        require(status.success(), || format!("it ended with {status}"))
    })
}
