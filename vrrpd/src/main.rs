//! Wiring of the VRRP daemon: take the channel, greet, confine, run. `vrrpd --release` withdraws what a predecessor
//! held, and ends.

use std::process::ExitCode;

use ipc::daemon::{Link, unknown_calls};
use ipc::messages::vrrpd::{ParentToVrrpd, VrrpdToParent};
use ipc::messages::{Confined, FromDaemon, Level};
use ipc::reactor::Reactor;
use sandbox::profile::VRRPD;
use sandbox::system::fd::take_channel;
use sandbox::{Grants, confine, start_daemon};
use vrrpd::driver::{Driver, Purpose};
use vrrpd::kernel::Kernel;

fn main() -> ExitCode {
    let release = std::env::args_os().any(|option| option == "--release");
    let purpose = if release { Purpose::Release } else { Purpose::Serve };
    let tells_addresses = std::env::args_os().any(|option| option == "--address-monitoring");
    if start_daemon(&VRRPD).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(mut link) = take_channel().map_err(Into::into).and_then(Link::greet) else {
        return ExitCode::FAILURE;
    };
    if link.report_panics().is_err() {
        return ExitCode::FAILURE;
    }
    match open(&mut link) {
        Ok((reactor, kernel)) => {
            let driver = Driver::new(purpose, link, reactor, kernel);
            if tells_addresses { driver.telling_addresses().run() } else { driver.run() }
        }
        Err(error) => {
            link.log(Level::Error, format!("can't start: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Confinement first, then what needs the kernel.
fn open(
    link: &mut Link<VrrpdToParent, ParentToVrrpd>,
) -> Result<(Reactor, Kernel), Box<dyn std::error::Error>> {
    link.report_panics()?;
    let confinement = confine(&VRRPD, &Grants::default(), unknown_calls())?;
    link.tell(FromDaemon::Confined(Confined {
        landlock_abi: confinement.landlock_abi,
        file_system: confinement.file_system,
        tcp: confinement.tcp,
        scopes: confinement.scopes,
        seccomp: confinement.seccomp,
    }))?;
    Ok((Reactor::new()?, Kernel::open()?))
}
