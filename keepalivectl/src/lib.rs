//! Command-line client of the control sockets.
//!
//! Needs no privilege of its own: the parent checks who connects. What comes back may be a captured daemon's words:
//! control characters never reach the terminal.

pub mod args;
pub mod client;
pub mod explain;
mod files;
mod host;
pub mod metrics;
pub mod show;
pub mod stats;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Args, Command, DrainArgs};
use clap::CommandFactory;
use client::{CallError, Client};
use ipc::messages::ctl::events::{Events, EventsParameters, WatchParameters};
use ipc::messages::ctl::explained::{ExplainParameters, Explained};
use ipc::messages::ctl::{
    DrainParameters, Drained, FailedOver, FailoverParameters, NoParameters, Reloaded, Request,
    RestartParameters, Restarted, Status,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Exit codes (keepalivectl(1)).
mod exit {
    pub(super) const REFUSED: u8 = 1;
    pub(super) const UNREACHABLE: u8 = 3;
}

/// Does what the command line says and prints the result.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let mut out = io::stdout().lock();
    obey(args, &mut out).unwrap_or_else(|error| {
        let _unheard = writeln!(io::stderr(), "keepalivectl: {error}");
        ExitCode::from(match error {
            CallError::Failed { .. } => exit::REFUSED,
            CallError::Connect { .. } | CallError::Io(_) | CallError::Malformed(_) => exit::UNREACHABLE,
        })
    })
}

fn obey(args: &Args, out: &mut impl Write) -> Result<ExitCode, CallError> {
    let status = || Request::GetStatus(NoParameters {});
    match &args.command {
        Command::Status => ask(args, &status(), out, |known: &Status| show::status(known)),
        Command::Why { name } => {
            let request = Request::Explain(ExplainParameters { name: name.clone() });
            ask(args, &request, out, |known: &Explained| explain::explained(known))
        }
        Command::Events { last } => {
            let request = Request::GetEvents(EventsParameters { last: *last });
            ask(args, &request, out, |known: &Events| explain::events(known))
        }
        Command::Watch { after } => watch(args, *after, out),
        Command::Stats => ask(args, &status(), out, |known: &Status| stats::render(known)),
        Command::Metrics => {
            let known: Status = decode(call(args, &status())?)?;
            print(out, &metrics::render(&known))
        }
        Command::Restart { daemon } => {
            let daemon = (*daemon).into();
            let request = Request::Restart(RestartParameters { daemon });
            ask(args, &request, out, |done: &Restarted| show::restarted(daemon, done))
        }
        Command::Reload => {
            ask(args, &Request::Reload(NoParameters {}), out, |done: &Reloaded| show::reloaded(done))
        }
        Command::Stop => {
            ask(args, &Request::Stop(NoParameters {}), out, |_: &NoParameters| "stopped".to_owned())
        }
        Command::Drain(which) => drain(args, which, true, out),
        Command::Undrain(which) => drain(args, which, false, out),
        Command::Failover { instance, seconds, undo } => {
            let (instance, seconds) = (instance.clone(), (!undo).then_some(*seconds));
            let request = Request::Failover(FailoverParameters { instance, seconds });
            ask(args, &request, out, |done: &FailedOver| show::failed_over(done, seconds))
        }
        Command::CheckHost { file, reading } => Ok(ExitCode::from(match files::accepted(file, reading) {
            Ok(model) => host::run(&model, args.json, out),
            Err(code) => code,
        })),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Args::command(), "keepalivectl", out);
            Ok(ExitCode::SUCCESS)
        }
        Command::Config { command } => Ok(ExitCode::from(files::run(command, args.json, out))),
    }
}

fn drain(args: &Args, which: &DrainArgs, drained: bool, out: &mut impl Write) -> Result<ExitCode, CallError> {
    let (server, service) = (which.server.clone(), which.service.clone());
    let request = Request::Drain(DrainParameters { server, service, drained });
    let word = if drained { "drained" } else { "undrained" };
    ask(args, &request, out, |done: &Drained| {
        let line = |(service, server): &(String, String)| format!("{word}: {server} of {service}");
        done.servers.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// Prints events until the suite ends or nobody reads what is printed.
fn watch(args: &Args, after: Option<u64>, out: &mut impl Write) -> Result<ExitCode, CallError> {
    let request = Request::Watch(WatchParameters { after });
    Client::with(&args.run_dir, &request, |client| {
        client.follow(&request, |value| {
            let known: Events = decode(value.clone())?;
            let text = if args.json { value.to_string() } else { explain::events(&known) };
            Ok(writeln!(out, "{}", harmless(text.trim_end())).and_then(|()| out.flush()).is_ok())
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Calls and prints the answer, as JSON or in words.
fn ask<T: DeserializeOwned>(
    args: &Args,
    request: &Request,
    out: &mut impl Write,
    words: impl FnOnce(&T) -> String,
) -> Result<ExitCode, CallError> {
    let value = call(args, request)?;
    let known: T = decode(value.clone())?;
    print(out, &if args.json { pretty(&value) } else { words(&known) })
}

fn call(args: &Args, request: &Request) -> Result<Value, CallError> {
    Client::with(&args.run_dir, request, |client| client.call(request))
}

fn decode<T: DeserializeOwned>(value: Value) -> Result<T, CallError> {
    serde_json::from_value(value).map_err(|error| CallError::Malformed(error.to_string()))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A reader that has seen enough, as `head` has, is no failure.
fn print(out: &mut impl Write, text: &str) -> Result<ExitCode, CallError> {
    let text = text.trim_end();
    if text.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    match writeln!(out, "{}", harmless(text)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Nothing that a terminal would obey, whoever wrote it.
fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { ' ' } else { letter }).collect()
}
