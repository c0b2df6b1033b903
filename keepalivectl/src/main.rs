//! `keepalivectl`: wiring.

use std::process::ExitCode;

use clap::Parser;
use keepalivectl::args::Args;

fn main() -> ExitCode {
    keepalivectl::run(&Args::parse())
}
