//! Does to a running suite what a deed says, and waits until everything runs again.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, Socket, Type};

use super::Stage;
use super::deed::{DAEMONS, Deed, Dice};
use crate::lab::failure::require;
use crate::lab::subject::install_ours;
use crate::lab::{Director, Failure, Host, pause, process, wait_until};

impl Stage<'_> {
    /// Does it to the Master.
    pub(super) fn act(&mut self, deed: Deed) -> Result<(), Failure> {
        let master = self.master;
        match deed {
            Deed::Kill(name) => self.strike(name, Signal::SIGKILL)?,
            Deed::Terminate(name) => {
                let pid = master.wait_daemon(name)?;
                process::signal(pid, Signal::SIGTERM);
                pause(self.interval);
                require(master.daemon(name) == Some(pid), || format!("{name} ended by SIGTERM"))?;
            }
            // Only vrrpd is found out within a round; the others are let go on.
            Deed::Stop("vrrpd") => self.strike("vrrpd", Signal::SIGSTOP)?,
            Deed::Stop(name) => {
                let pid = master.wait_daemon(name)?;
                process::signal(pid, Signal::SIGSTOP);
                pause(self.interval * 3);
                process::signal(pid, Signal::SIGCONT);
            }
            Deed::Restart(name) => self.restart(name)?,
            Deed::Upgrade(name) => {
                let program = install_ours()?.join(name);
                let new = program.with_extension("new");
                fs::copy(&program, &new)
                    .and_then(|_| fs::rename(&new, &program))
                    .map_err(|cause| Failure::instrument("a new build", cause))?;
                self.restart(name)?;
            }
            Deed::StarveAndKill(name) => {
                let _busy = Busy::start()?;
                self.strike(name, Signal::SIGKILL)?;
                pause(self.interval * 3);
            }
            Deed::GoodReload => {
                self.generation += 1;
                self.write(&(self.config)(self.generation))?;
                let before = master.status()?["generation"].clone();
                master.ctl(&["reload"])?;
                let after = master.status()?["generation"].clone();
                require(before != after, || format!("the generation is still {after}"))?;
            }
            Deed::BadReload => {
                let good = (self.config)(self.generation);
                self.write(&(good.clone() + "vrrp_instance X {\n    virtual_router_id 300\n}\n"))?;
                let refused = master.ctl(&["reload"]).is_err();
                self.write(&good)?;
                require(refused, || "a configuration with a mistake was taken".to_owned())?;
            }
            Deed::Garbage => {
                garbage_on_the_network(self.lan.host("client")?, &mut self.dice)?;
                garbage_for_the_control_socket(master);
            }
        }
        self.settle()?;
        pause(self.interval * 3);
        Ok(())
    }

    fn write(&self, config: &str) -> Result<(), Failure> {
        self.master.write_config(self.lan.host("d1")?, config)
    }

    fn strike(&self, name: &str, signal: Signal) -> Result<(), Failure> {
        let old = self.master.wait_daemon(name)?;
        process::signal(old, signal);
        self.master.wait_successor(name, old).map(|_| ())
    }

    fn restart(&self, name: &str) -> Result<(), Failure> {
        let old = self.master.wait_daemon(name)?;
        self.master.ctl(&["restart", name])?;
        self.master.wait_successor(name, old).map(|_| ())
    }

    /// Waits until all daemons run, each for itself, and nothing is under way.
    pub(super) fn settle(&self) -> Result<(), Failure> {
        let mut seen = serde_json::Value::Null;
        wait_until("every daemon runs", SETTLED, || {
            seen = self.master.status().unwrap_or_default();
            let running = |name| {
                let daemons = seen["daemons"].as_array().into_iter().flatten();
                daemons.filter(|daemon| daemon["daemon"] == name).any(|daemon| daemon["phase"] == "running")
            };
            DAEMONS.into_iter().all(running) && self.master.daemons().len() == DAEMONS.len()
        })
        .map(|_| ())
        .map_err(|failure| Failure::new(format!("{failure}: {}", seen["daemons"])))
    }
}

/// Frames of the right protocol, for the right router where they are long enough to name one, and nothing else right.
fn garbage_on_the_network(host: &Host, dice: &mut Dice) -> Result<(), Failure> {
    host.enter(|| -> std::io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
        socket.set_multicast_if_v4(&CLIENT)?;
        socket.set_multicast_ttl_v4(255)?;
        for _ in 0..200 {
            let mut frame: Vec<u8> = (0..dice.throw(64)).map(|_| low_byte(dice)).collect();
            if let Some([kind, vrid]) = frame.first_chunk_mut() {
                (*kind, *vrid) = (0x31, 51);
            }
            // An address of nobody: no checksum can fit by chance.
            if let Some(sum) = frame.get_mut(6..8) {
                sum.fill(0);
            }
            socket.send_to(&frame, &SocketAddrV4::new(GROUP, 0).into())?;
        }
        Ok(())
    })?
    .map_err(|cause| Failure::instrument("sending frames", cause))
}

fn low_byte(dice: &mut Dice) -> u8 {
    u8::try_from(dice.throw(256)).unwrap_or(0)
}

fn garbage_for_the_control_socket(master: &Director) {
    for bytes in [&b"\0\0\0\0"[..], &[0xff; 4096], b"{\"method\":", &[b'{'; 70_000]] {
        if let Ok(mut stream) = UnixStream::connect(master.run_dir().join("control.sock")) {
            drop(stream.set_write_timeout(Some(Duration::from_millis(200))));
            drop(stream.write_all(bytes));
        }
    }
}

/// Eight processes of another program that do nothing but use the processors.
struct Busy(Child);

impl Busy {
    fn start() -> Result<Self, Failure> {
        let loops = "for one in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait";
        // A session of its own, as another service or a user has.
        let child = Command::new("setsid").args(["sh", "-c", loops]).stdin(Stdio::null()).spawn();
        child.map(Self).map_err(|cause| Failure::instrument("busy loops", cause))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let leader = Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(i32::MAX));
        // Until it has become the leader of a session there is nobody else.
        if killpg(leader, Signal::SIGKILL).is_err() {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const SETTLED: Duration = Duration::from_secs(15);
