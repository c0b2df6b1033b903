//! Command-line client of the control socket.
//!
//! Needs no privilege of its own: the parent checks who connects. What comes back is trusted as far as it is
//! printed: control characters never reach the terminal, because names are quoted by the parent's JSON.

pub mod args;
pub mod client;
mod files;
mod host;
pub mod metrics;
pub mod show;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Args, Command, DrainArgs};
use client::{CallError, Client};
use ipc::messages::ctl::{
    DrainParameters, Drained, NoParameters, Reloaded, Request, RestartParameters, Restarted, Status,
};

/// Exit codes (keepalivectl(1)).
mod exit {
    pub(super) const REFUSED: u8 = 1;
    pub(super) const UNREACHABLE: u8 = 3;
}

/// Does what the command line says and prints the result.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = match &args.command {
        Command::Status { json } => call(args, &Request::GetStatus(NoParameters {})).and_then(|value| {
            let status: Status = decode(value.clone())?;
            let text = if *json { pretty(&value) } else { show::status(&status) };
            print(&mut out, &text)
        }),
        Command::Metrics => call(args, &Request::GetStatus(NoParameters {})).and_then(|value| {
            let status: Status = decode(value)?;
            print(&mut out, &metrics::render(&status))
        }),
        Command::Restart { daemon } => {
            let request = Request::Restart(RestartParameters { daemon: (*daemon).into() });
            call(args, &request).and_then(|value| {
                let restarted: Restarted = decode(value)?;
                print(&mut out, &show::restarted((*daemon).into(), &restarted))
            })
        }
        Command::Reload => call(args, &Request::Reload(NoParameters {})).and_then(|value| {
            let reloaded: Reloaded = decode(value)?;
            print(&mut out, &show::reloaded(&reloaded))
        }),
        Command::Stop => call(args, &Request::Stop(NoParameters {})).map(|_| ExitCode::SUCCESS),
        Command::Drain(which) => drain(args, which, true, &mut out),
        Command::Undrain(which) => drain(args, which, false, &mut out),
        Command::CheckHost { file, reading, json } => {
            Ok(ExitCode::from(match files::accepted(file, reading) {
                Ok(model) => host::run(&model, *json, &mut out),
                Err(code) => code,
            }))
        }
        Command::Config { command } => Ok(ExitCode::from(files::run(command, &mut out))),
    };
    result.unwrap_or_else(|error| {
        let _unheard = writeln!(io::stderr(), "keepalivectl: {error}");
        ExitCode::from(match error {
            CallError::Failed { .. } => exit::REFUSED,
            CallError::Connect { .. } | CallError::Io(_) | CallError::Malformed(_) => exit::UNREACHABLE,
        })
    })
}

fn drain(args: &Args, which: &DrainArgs, drained: bool, out: &mut impl Write) -> Result<ExitCode, CallError> {
    let (server, service) = (which.server.clone(), which.service.clone());
    let value = call(args, &Request::Drain(DrainParameters { server, service, drained }))?;
    let done: Drained = decode(value)?;
    let word = if drained { "drained" } else { "undrained" };
    let lines: Vec<String> =
        done.servers.iter().map(|(service, server)| format!("{word}: {server} of {service}")).collect();
    print(out, &lines.join("\n"))
}

fn call(args: &Args, request: &Request) -> Result<serde_json::Value, CallError> {
    Client::connect(&args.run_dir.join("control.sock"))?.call(request)
}

fn decode<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, CallError> {
    serde_json::from_value(value).map_err(|error| CallError::Malformed(error.to_string()))
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn print(out: &mut impl Write, text: &str) -> Result<ExitCode, CallError> {
    writeln!(out, "{}", text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
