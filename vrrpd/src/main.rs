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
use vrrpd::driver::{Driver, Purpose, Telling};
use vrrpd::kernel::Kernel;

fn main() -> ExitCode {
    let given = |wanted: &str| std::env::args_os().any(|option| option == wanted);
    let purpose = if given("--release") { Purpose::Release } else { Purpose::Serve };
    let telling = Telling { addresses: given("--address-monitoring"), details: given("--log-detail") };
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
        Ok((reactor, kernel)) => Driver::new(purpose, link, reactor, kernel).telling(telling).run(),
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
