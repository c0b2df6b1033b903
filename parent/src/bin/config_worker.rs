//! `config-worker`: reads a configuration for the parent, which starts it without arguments and waits at fd 3. With
//! arguments it is what `keepalived -t` becomes.

use std::process::ExitCode;

use clap::Parser;
use parent::args::{Args, attached};
use parent::{boot, reader};

fn main() -> ExitCode {
    if std::env::args_os().len() < 2 {
        return reader::serve();
    }
    match Args::try_parse_from(attached(std::env::args_os())) {
        Ok(args) => boot::config_test(&args),
        // `keepalived` has taken the same words.
        Err(_) => ExitCode::FAILURE,
    }
}
