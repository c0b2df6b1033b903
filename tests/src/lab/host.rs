//! One machine of the laboratory: a network namespace, and what is looked at or started in it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;

use super::process;
use super::{Failure, wait_until};

/// A machine: made by [`super::Lan`], gone when dropped together with every process in it.
pub struct Host {
    name: String,
    namespace: File,
    inode: u64,
}

impl Host {
    /// A machine without any network device but a loopback that is up.
    pub(super) fn new(name: &str) -> Result<Self, Failure> {
        let path = mount_point(name);
        let doing = format!("making host {name}");
        fs::create_dir_all("/run/netns").map_err(|cause| Failure::instrument(&doing, cause))?;
        File::create(&path).map_err(|cause| Failure::instrument(&doing, cause))?;
        let target = path.clone();
        let inode = thread::spawn(move || -> Result<u64, std::io::Error> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = Path::new("/proc/thread-self/ns/net");
            mount(Some(own), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            process::network_of(own).ok_or_else(|| std::io::Error::other("no namespace"))
        })
        .join()
        .map_err(|_| Failure::new("the thread that makes a namespace ended"))?
        .map_err(|cause| Failure::instrument(&doing, cause))?;
        let namespace = File::open(&path).map_err(|cause| Failure::instrument(&doing, cause))?;
        let host = Self { name: name.to_owned(), namespace, inode };
        for (key, value) in SYSCTLS {
            host.sysctl(key, value)?;
        }
        host.ip("link set lo up\n")?;
        Ok(host)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `body` in a thread that stands on this machine's network.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        thread::scope(|scope| {
            scope
                .spawn(|| setns(&self.namespace, CloneFlags::CLONE_NEWNET).map(|()| body()))
                .join()
                .map_err(|_| Failure::new(format!("a thread on {} ended", self.name)))?
                .map_err(|cause| Failure::instrument(&format!("entering {}", self.name), cause))
        })
    }

    /// Starts a thread that stays on this machine's network.
    pub fn spawn_thread<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<Result<T, Failure>>, Failure> {
        let namespace = self.namespace.try_clone().map_err(|cause| Failure::instrument("clone", cause))?;
        Ok(thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)
                .map_err(|cause| Failure::instrument("entering a host", cause))?;
            Ok(body())
        }))
    }

    /// Starts a program here.
    pub fn spawn(&self, command: &mut Command) -> Result<Child, Failure> {
        let what = command.get_program().to_string_lossy().into_owned();
        self.enter(|| command.spawn())?
            .map_err(|cause| Failure::instrument(&format!("starting {what} on {}", self.name), cause))
    }

    /// Runs a program here to its end and returns what it printed. Fails when it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        let doing = format!("{program} {} on {}", arguments.join(" "), self.name);
        let output = self.enter(|| command.output())?.map_err(|cause| Failure::instrument(&doing, cause))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Failure::instrument(&doing, String::from_utf8_lossy(&output.stderr).trim()))
        }
    }

    /// Runs lines of `ip -batch` here.
    pub fn ip(&self, lines: &str) -> Result<(), Failure> {
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.spawn(&mut command)?;
        let doing = format!("ip on {}", self.name);
        if let Some(mut input) = child.stdin.take() {
            input.write_all(lines.as_bytes()).map_err(|cause| Failure::instrument(&doing, cause))?;
        }
        let output = child.wait_with_output().map_err(|cause| Failure::instrument(&doing, cause))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(Failure::instrument(&doing, String::from_utf8_lossy(&output.stderr).trim()))
        }
    }

    /// Sets a kernel setting of this machine: `net.ipv4.ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), Failure> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        self.enter(|| fs::write(&path, value))?
            .map_err(|cause| Failure::instrument(&format!("{key}={value} on {}", self.name), cause))
    }

    /// Reads a file of this machine's view of the network: `ip_vs` for `/proc/net/ip_vs`.
    pub fn proc_net(&self, file: &str) -> Result<String, Failure> {
        self.enter(|| fs::read_to_string(Path::new("/proc/thread-self/net").join(file)))?
            .map_err(|cause| Failure::instrument(&format!("/proc/net/{file} on {}", self.name), cause))
    }

    /// Every address of this machine.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.enter(|| {
            let Ok(list) = nix::ifaddrs::getifaddrs() else { return BTreeSet::new() };
            list.filter_map(|interface| {
                let address = interface.address?;
                address
                    .as_sockaddr_in()
                    .map(|v4| IpAddr::V4(v4.ip()))
                    .or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            })
            .collect()
        })
        .unwrap_or_default()
    }

    /// True while the address is on one of its interfaces.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses().contains(&address)
    }

    /// True when it has a network device of this name.
    #[must_use]
    pub fn has_interface(&self, name: &str) -> bool {
        self.enter(|| nix::net::if_::if_nametoindex(name).is_ok()).unwrap_or(false)
    }

    /// Living processes of this machine (threads of the laboratory itself don't count).
    #[must_use]
    pub fn processes(&self) -> Vec<process::Process> {
        process::in_network(self.inode)
    }

    /// Ends every process at once, as a power failure does. The caller cuts the link first.
    pub(super) fn kill_everything(&self) -> Result<(), Failure> {
        wait_until(&format!("all processes of {} gone", self.name), KILL_PATIENCE, || {
            let living = self.processes();
            for process in &living {
                process::signal(process.pid, Signal::SIGKILL);
            }
            living.is_empty()
        })
        .map(|_| ())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.kill_everything());
        let path = mount_point(&self.name);
        umount2(&path, MntFlags::MNT_DETACH).ok();
        drop(fs::remove_file(path));
    }
}

fn mount_point(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Set before any interface exists: `default` is copied when one appears.
const SYSCTLS: [(&str, &str); 9] = [
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv4.conf.default.rp_filter", "0"),
];

const KILL_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
