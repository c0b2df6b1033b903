//! Suites in a network namespace of their own.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::subject::install_ours;
use tests::lab::{Director, Failure, Lan, Subject, process, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn instance() -> String {
    VrrpInstance::new(3, "0.2", 200, front4(50)).text()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_network_namespace_holds_every_process() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let config = "net_namespace d2\n".to_owned() + &global("lab") + &instance();
        let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
        wait_until("d2 holds the address", SOON, || d2.has(front4(50)))?;
        require(!d1.has(front4(50)), || "d1 holds it too".to_owned())?;
        director.stop()?;
        wait_until("d2 has given it up", SOON, || !d2.has(front4(50)) && d2.processes().is_empty())?;
        // The command line comes first.
        let director = Director::start(lab, d2, Subject::Ours, &config, &["-s", "d1"])?;
        wait_until("d1 holds the address", SOON, || d1.has(front4(50)))?;
        director.stop().map(|_| ())
    })
}

/// Interfaces of the namespace are nobody's business where the configuration is read.
#[test]
fn a_namespace_has_a_directory_for_pid_files_also_beside_an_instance_name() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let doing = |cause: std::io::Error| Failure::instrument("a suite of its own", cause);
        let text = "instance red\n".to_owned() + &global("lab") + &instance().replace("eth0", "own0");
        fs::create_dir_all("/run/lab").and_then(|()| fs::write("/run/lab/red.conf", text)).map_err(doing)?;
        d2.run("ip", &["link", "set", "eth0", "down"])?;
        d2.run("ip", &["link", "set", "eth0", "name", "own0", "up"])?;
        let log = fs::File::create(lab.out.join("red.log")).map_err(doing)?;
        let mut command = Command::new(install_ours()?.join("keepalived"));
        command.args(["-n", "-l", "-s", "d2", "-f", "/run/lab/red.conf"]);
        let mut suite = d1.spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log))?;
        wait_until("d2 holds the address", SOON, || d2.has(front4(50)))?;
        let parent = format!("{}\n", suite.id());
        require(read("/run/keepalived/d2/keepalived_red.pid") == parent, || "no pid file".to_owned())?;
        require(!read("/run/keepalived/d2/vrrp_red.pid").is_empty(), || "none of vrrpd".to_owned())?;
        process::signal(suite.id().try_into().unwrap_or(0), Signal::SIGTERM);
        suite.wait().map_err(doing)?;
        let told = fs::read_to_string(lab.out.join("red.log")).map_err(doing)?;
        require(!told.contains("own0 for vrrp_instance") && !told.contains("no pid file"), || told.clone())
    })
}
