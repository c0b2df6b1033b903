//! The writer of the kernel's table: opens its one socket, takes the socket to its parent, works until told to stop.

use std::io::{self, Write};
use std::process::ExitCode;

use ipc::reactor;
use ipvsd::driver::{self, DriverError, End};
use ipvsd::kernel::Netlink;
use netlink::socket::OpenError;
use sandbox::profile::IPVSD;
use sandbox::system::fd::take_channel;
use sandbox::{Grants, UnknownCalls, confine, start_daemon};

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
    let kernel = Netlink::new(reactor::now)?;
    Ok(driver::run(socket, kernel, || confine(&IPVSD, &Grants::default(), UnknownCalls::Refuse))?)
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("can't forbid inspection: {0}")]
    Process(io::Error),
    #[error("the parent, which starts this program, left no socket at fd 3: {0}")]
    Channel(io::Error),
    #[error(transparent)]
    Netlink(#[from] OpenError),
    #[error(transparent)]
    Driver(#[from] DriverError),
}
