//! `keepalived`: the parent, and in another process of the same executable the config worker.

use std::process::ExitCode;

use clap::Parser;
use parent::{args::Args, boot, worker};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == worker::ARGUMENT) {
        return worker::main();
    }
    boot::boot(&Args::parse())
}
