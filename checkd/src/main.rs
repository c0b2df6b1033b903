//! The health checker: takes the socket to its parent and works until told to stop.

use std::process::ExitCode;

use checkd::driver::{self, DriverError, End};
use ipc::daemon::{Link, unknown_calls};
use sandbox::profile::CHECKD;
use sandbox::system::fd::take_channel;
use sandbox::{confine, start_daemon};

fn main() -> ExitCode {
    match work() {
        Ok(End::Stopped | End::ParentGone) => ExitCode::SUCCESS,
        Err(_told_over_the_link) => ExitCode::FAILURE,
    }
}

fn work() -> Result<End, DriverError> {
    start_daemon(&CHECKD)?;
    let Ok(link) = Link::greet(take_channel()?) else { return Ok(End::ParentGone) };
    link.report_panics()?;
    checkd::probe::body::prepare();
    driver::run(link, |grants| confine(&CHECKD, grants, unknown_calls()))
}
