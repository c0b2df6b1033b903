//! The writer of the kernel's table: takes the socket to its parent, opens one to the kernel, works until told to stop.

use std::io::{self, Write};
use std::process::ExitCode;

use ipc::daemon::Link;
use ipc::daemon::unknown_calls;
use ipc::messages::Level;
use ipc::reactor;
use ipvsd::driver::{self, DriverError, End};
use ipvsd::kernel::Netlink;
use netlink::socket::OpenError;
use sandbox::profile::IPVSD;
use sandbox::system::fd::take_channel;
use sandbox::{Grants, confine, start_daemon};

fn main() -> ExitCode {
    match work() {
        Ok(End::Stopped | End::ParentGone) => ExitCode::SUCCESS,
        Err(error) => {
            // Under the parent fd 2 is /dev/null and the link has carried the reason; by hand this is all there is.
            let _told_if_possible = writeln!(io::stderr(), "ipvsd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<End, StartError> {
    start_daemon(&IPVSD).map_err(StartError::Process)?;
    let socket = take_channel().map_err(StartError::Channel)?;
    let Ok(mut link) = Link::greet(socket) else { return Ok(End::ParentGone) };
    link.report_panics().map_err(StartError::Process)?;
    let kernel = Netlink::new(reactor::now, reactor::processor_time)
        .inspect_err(|error| link.log(Level::Error, error.to_string()))?;
    Ok(driver::run(link, kernel, || confine(&IPVSD, &Grants::default(), unknown_calls()))?)
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("can't prepare the process: {0}")]
    Process(io::Error),
    #[error("the parent, which starts this program, left no socket at fd 3: {0}")]
    Channel(io::Error),
    #[error(transparent)]
    Netlink(#[from] OpenError),
    #[error(transparent)]
    Driver(#[from] DriverError),
}
