//! FRR's vrrpd as another neighbour: an implementation of VRRP that shares nothing with keepalived or with us.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::process;
use super::{Failure, Host, Lab, wait_until};

/// What FRR is to be.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// 2 or 3.
    pub version: u8,
    /// Priority of all its virtual routers.
    pub priority: u8,
    /// Milliseconds between adverts.
    pub interval: u32,
    /// Addresses of virtual router 51, IPv4 ones and IPv6 ones, a link-local one first among those.
    pub addresses: &'a [IpAddr],
}

/// zebra and vrrpd on a host.
pub struct Frr {
    zebra: Child,
    vrrpd: Child,
}

impl Frr {
    /// Starts both. FRR makes no devices: one for each family must carry the virtual MAC and the addresses.
    pub fn start(lab: &Lab, host: &Host, settings: &Settings<'_>) -> Result<Self, Failure> {
        for (name, device, inet6, mac) in
            [("4", "vr4-51", false, "00:00:5e:00:01:33"), ("6", "vr6-51", true, "00:00:5e:00:02:33")]
        {
            let own = settings.addresses.iter().filter(|address| address.is_ipv6() == inet6);
            let mut lines = String::new();
            for address in own {
                let length = if inet6 { "64 nodad" } else { "24" };
                writeln!(lines, "addr add {address}/{length} dev {device}").ok();
            }
            if lines.is_empty() || host.has_interface(device) {
                continue;
            }
            host.ip(&format!("link add link eth0 name {device} type macvlan mode bridge\n"))
                .map_err(|cause| Failure::instrument(&format!("device of family {name}"), cause))?;
            host.ip(&format!(
                "link set {device} address {mac} addrgenmode none\n{lines}link set {device} up\n"
            ))?;
            host.sysctl(&format!("net.ipv4.conf.{device}.rp_filter"), "0")?;
        }
        let directory = Path::new("/run/frr");
        host.run("install", &["-d", "-o", "frr", "-g", "frr", "-m", "755", "/run/frr"])?;
        fs::write(directory.join("frr.conf"), settings.text())
            .map_err(|cause| Failure::instrument("frr.conf", cause))?;
        // An earlier one may have left its socket.
        drop(fs::remove_file(directory.join("zserv.api")));
        let zebra = program(lab, host, "zebra")?;
        wait_until("zebra listens", PATIENCE, || directory.join("zserv.api").exists())?;
        let vrrpd = program(lab, host, "vrrpd")?;
        wait_until("FRR's vrrpd listens", PATIENCE, || directory.join("vrrpd.vty").exists())?;
        Ok(Self { zebra, vrrpd })
    }

    /// True when every one of its virtual routers is in this state: `Master`, `Backup`.
    #[must_use]
    pub fn is(&self, host: &Host, state: &str) -> bool {
        let said = host.run("vtysh", &["--vty_socket", "/run/frr", "-c", "show vrrp"]).unwrap_or_default();
        let lines: Vec<&str> =
            said.lines().filter(|line| line.trim_start().starts_with("Status (v")).collect();
        let active = lines.iter().filter(|line| !line.trim_end().ends_with("Initialize"));
        let mut states = active.filter_map(|line| line.split_whitespace().last()).peekable();
        states.peek().is_some() && states.all(|word| word == state)
    }

    /// Ends both in order, vrrpd first, so that it can resign.
    pub fn stop(mut self) -> Result<(), Failure> {
        for child in [&mut self.vrrpd, &mut self.zebra] {
            process::signal(i32::try_from(child.id()).unwrap_or(0), Signal::SIGTERM);
            child.wait().map_err(|cause| Failure::instrument("ending FRR", cause))?;
        }
        Ok(())
    }
}

impl Settings<'_> {
    fn text(&self) -> String {
        let Self { version, priority, interval, addresses } = self;
        let mut text = String::from("hostname lab\ninterface eth0\n");
        writeln!(text, " vrrp 51 version {version}").ok();
        writeln!(text, " vrrp 51 priority {priority}").ok();
        writeln!(text, " vrrp 51 advertisement-interval {interval}").ok();
        for address in *addresses {
            let family = if address.is_ipv4() { "ip" } else { "ipv6" };
            writeln!(text, " vrrp 51 {family} {address}").ok();
        }
        text
    }
}

fn program(lab: &Lab, host: &Host, name: &str) -> Result<Child, Failure> {
    let doing = format!("starting FRR's {name}");
    let sink = File::create(lab.out.join(format!("frr-{name}.log")))
        .map_err(|cause| Failure::instrument(&doing, cause))?;
    let errors = sink.try_clone().map_err(|cause| Failure::instrument(&doing, cause))?;
    let mut command = Command::new(format!("/usr/lib/frr/{name}"));
    command
        .args(["-u", "frr", "-g", "frr", "--vty_socket", "/run/frr", "-z", "/run/frr/zserv.api"])
        .args(["-i", &format!("/run/frr/{name}.pid"), "-f", "/run/frr/frr.conf", "--log", "stdout"])
        .stdin(Stdio::null())
        .stdout(sink)
        .stderr(errors);
    host.spawn(&mut command)
}

const PATIENCE: Duration = Duration::from_secs(30);
