//! `keepalived`: the parent.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use parent::args::{self, Args, attached};
use parent::boot;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "-T" || argument == "--genhash") {
        return boot::genhash(std::env::args_os().skip(2));
    }
    match Args::try_parse_from(attached(std::env::args_os())) {
        Ok(args) => boot::boot(&args),
        // Help is no mistake; everything else is, with upstream's exit code. Both are on standard error, as there.
        Err(told) => {
            let _unheard = match args::unknown_option(&told) {
                Some(option) => writeln!(std::io::stderr(), "Unknown option {option}"),
                None => write!(std::io::stderr(), "{}", told.render()),
            };
            ExitCode::from(u8::from(told.use_stderr()))
        }
    }
}
