//! What a command line orders: one of the short [`orders`], or the [`start`] of a suite.
//!
//! Driver. Everything in here may still print, block and fail loudly: no loop runs yet. The command line is its user's,
//! who is trusted; a configuration is read by the worker alone.

mod orders;
mod powers;
mod start;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use config::model::parts::Held;
use ipc::reactor;
use sandbox::user::Ids;
use syslog::Facility;

use crate::args::Args;
use crate::environment;
use crate::place::Given;
use crate::record::{Record, RecordError};
use crate::worker::{Loading, Parts, What};

pub use orders::genhash;
use orders::{signal_number, version, withdraw_leftovers};
use start::start;

/// Exit codes (keepalived(8)).
mod exit {
    pub(super) const FATAL: u8 = 1;
    pub(super) const CONFIG: u8 = 2;
    pub(super) const PERMISSION: u8 = 4;
    pub(super) const TEST_FAILED: u8 = 5;
    pub(super) const NO_CONFIG: u8 = 6;
}

/// What ends the start, and with which exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn new(code: u8, text: impl fmt::Display) -> Self {
        Self { code, text: text.to_string() }
    }
}

fn fatal(error: impl fmt::Display) -> Failure {
    Failure::new(exit::FATAL, error)
}

/// Does what the command line says.
#[must_use]
pub fn boot(args: &Args) -> ExitCode {
    let args = &absolute(args);
    if !args.operands.is_empty() {
        tell(&format!("Unexpected argument(s): {}", args.operands.join(" ")));
    }
    let result = if args.genhash {
        Err(Failure::new(exit::FATAL, "--genhash must be the first option"))
    } else if args.version {
        version()
    } else if let Some(name) = &args.signal_number {
        signal_number(name)
    } else if args.config_test.is_some() {
        orders::hand_over()
    } else if args.withdraw_leftovers {
        withdraw_leftovers(args)
    } else {
        start(args)
    };
    exit_code(result)
}

/// What `keepalived -t` does, in the executable that can read a configuration.
#[must_use]
pub fn config_test(args: &Args) -> ExitCode {
    exit_code(orders::config_test(&absolute(args), args.config_test.as_deref().unwrap_or_default()))
}

fn exit_code(result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        tell(&failure.text);
        ExitCode::from(failure.code)
    })
}

/// Paths as they are meant where the command was given: this process and its worker go to the root directory.
fn absolute(args: &Args) -> Args {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    Args {
        config: here.join(&args.config).display().to_string(),
        run_dir: args.run_dir.as_ref().map(|path| here.join(path)),
        pid_file: args.pid_file.as_ref().map(|path| here.join(path)),
        vrrp_pid_file: args.vrrp_pid_file.as_ref().map(|path| here.join(path)),
        checkers_pid_file: args.checkers_pid_file.as_ref().map(|path| here.join(path)),
        log_file: args.log_file.as_ref().map(|path| log_file(&here, path)),
        ..args.clone()
    }
}

/// `-g` without a path means keepalived.log among the temporary files.
fn log_file(here: &Path, path: &str) -> String {
    let path = if path.is_empty() { std::env::temp_dir().join("keepalived.log") } else { here.join(path) };
    path.display().to_string()
}

/// One line on standard error; nobody is left to be told when that fails.
fn tell(text: &str) {
    let _unheard = writeln!(io::stderr(), "{}", text.trim_end());
}

/// Name and versions, as `-v` and the log say them: first that of the keepalived whose behaviour this is, from which
/// programs read what they may expect, then the suite's own.
pub const BANNER: &str = concat!("Keepalived v2.4.3 (this suite: ", env!("CARGO_PKG_VERSION"), ", in Rust)");

/// What the log says of a configuration that is about to be read.
#[must_use]
pub fn opening(file: &str) -> [String; 2] {
    [format!("Opening file '{file}'."), format!("Configuration file {file}")]
}

fn runs_checks(args: &Args) -> bool {
    !args.only_vrrp || args.only_checks || args.all
}

fn what(args: &Args) -> What {
    What {
        path: args.config.clone(),
        config_id: args.config_id.clone(),
        compatible: args.compatible,
        strict_includes: args.strict_includes,
        canonical: args.dump_config,
        checks: runs_checks(args),
        elsewhere: args.namespace.is_some(),
    }
}

fn claim(run_dir: &Path) -> Result<(Record, Held), Failure> {
    Record::claim(run_dir).map_err(|error| match &error {
        RecordError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(exit::PERMISSION, error)
        }
        RecordError::Io { .. } | RecordError::Running => Failure::new(exit::FATAL, error),
    })
}

fn given(args: &Args) -> Given<'_> {
    Given {
        run_dir: args.run_dir.as_deref(),
        parent: args.pid_file.as_deref(),
        vrrp: args.vrrp_pid_file.as_deref(),
        checkers: args.checkers_pid_file.as_deref(),
        namespace: args.namespace.as_deref(),
    }
}

/// Kernel and its build.
fn running_on() -> String {
    let words = ["ostype", "osrelease", "version"].map(|name| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim_end().to_owned()
    });
    format!("Running on {}", words.join(" "))
}

fn enter_namespace(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    environment::enter_namespace(name)
        .map_err(|error| Failure::new(exit::PERMISSION, format!("network namespace {name}: {error}")))
}

fn first_load(args: &Args, daemon_dir: &Path, identities: Option<[Ids; 4]>) -> Result<Parts, Failure> {
    let worker = identities.map(|all| all[3]);
    let mut loading = Loading::start(daemon_dir, worker, &what(args), reactor::now())
        .map_err(|error| Failure::new(exit::FATAL, chain(&error)))?;
    let outcome = loading.wait(reactor::now).map_err(|error| Failure::new(exit::FATAL, chain(&error)));
    loading.end_and_reap();
    let outcome = outcome?;
    let _unheard = io::stderr().write_all(outcome.report.text.as_bytes());
    match outcome.parts {
        Some(parts) => Ok(parts),
        None if outcome.missing => {
            Err(Failure::new(exit::NO_CONFIG, format!("Unable to find configuration file {}", args.config)))
        }
        None => Err(Failure::new(exit::CONFIG, "Configuration refused")),
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Beside the own executable in a build tree, else where packages put them.
fn daemon_dir(executable: &Path) -> Result<PathBuf, Failure> {
    let beside = executable.parent().map(Path::to_owned).unwrap_or_default();
    let installed = beside.parent().map(|prefix| prefix.join("libexec/keepalived")).unwrap_or_default();
    let candidates = [beside, installed, PathBuf::from("/usr/libexec/keepalived")];
    let found = candidates.into_iter().find(|directory| directory.join("vrrpd").is_file());
    found.ok_or_else(|| Failure::new(exit::FATAL, "the daemons' executables are missing"))
}

fn facility(word: &str) -> Result<Facility, Failure> {
    let name = if word.len() == 1 { format!("local{word}") } else { word.to_lowercase() };
    let unknown = || Failure::new(exit::FATAL, format!("Invalid log facility '{word}'"));
    match name.strip_prefix("local") {
        Some(number) if !matches!(number, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7") => Err(unknown()),
        Some(_) => Facility::from_str(&name).map_err(|()| unknown()),
        None if name == "user" || name == "daemon" => Facility::from_str(&name).map_err(|()| unknown()),
        None => Err(unknown()),
    }
}
