//! `keepalivectl config`: work on configuration files, without a running suite.
//!
//! Exit codes: 0 accepted (and for `diff`: nothing changes), 1 `diff` found changes, 5 refused, 6 no such file.

use std::io::{self, Write};

use config::diagnostic::{self, Severity, Tolerance};
use config::model::Model;
use config::names::{OfflineNames, SystemNames};
use config::{LoadOptions, Loaded, load};

use crate::args::{ConfigCommand, Reading};

const CHANGED: u8 = 1;
const REFUSED: u8 = 5;
const MISSING: u8 = 6;

/// Does what the command line says; returns the exit code.
pub(crate) fn run(command: &ConfigCommand, json: bool, out: &mut impl Write) -> u8 {
    match command {
        ConfigCommand::Check { file, reading } => check(file, reading, json, out),
        ConfigCommand::Print { file, reading } => match accepted(file, reading) {
            Ok(model) => {
                let text = if json { config::print_json(model) } else { config::print(&model) };
                show(out, &text);
                0
            }
            Err(code) => code,
        },
        ConfigCommand::Privileges { file, reading } => match accepted(file, reading) {
            Ok(model) => {
                let lines = config::privileges(&model).into_iter().map(|privilege| privilege.to_string());
                show_list(out, lines.collect(), json);
                0
            }
            Err(code) => code,
        },
        ConfigCommand::Diff { old, new, reading } => match (accepted(old, reading), accepted(new, reading)) {
            (Ok(old), Ok(new)) => diff(&old, &new, json, out),
            (Err(code), _) | (_, Err(code)) => code,
        },
    }
}

fn check(file: &str, reading: &Reading, json: bool, out: &mut impl Write) -> u8 {
    let loaded = read(file, reading);
    let text =
        if json { diagnostic::json(&loaded.diagnostics) } else { diagnostic::human(&loaded.diagnostics) };
    show(out, &text);
    verdict(&loaded)
}

fn diff(old: &Model, new: &Model, json: bool, out: &mut impl Write) -> u8 {
    let changes: Vec<String> = config::diff(old, new).into_iter().map(|change| change.to_string()).collect();
    let code = if changes.is_empty() { 0 } else { CHANGED };
    show_list(out, changes, json);
    code
}

/// One line each, or an array of them.
fn show_list(out: &mut impl Write, lines: Vec<String>, json: bool) {
    let text = if json {
        serde_json::to_string_pretty(&lines).unwrap_or_default() + "\n"
    } else {
        lines.into_iter().map(|line| line + "\n").collect()
    };
    show(out, &text);
}

/// The model of an accepted file; problems of a refused one go to standard error.
pub(crate) fn accepted(file: &str, reading: &Reading) -> Result<Model, u8> {
    let loaded = read(file, reading);
    let code = verdict(&loaded);
    match loaded.model {
        Some(model) if code == 0 => Ok(model),
        _ => {
            show(&mut io::stderr(), &diagnostic::human(&loaded.diagnostics));
            Err(if code == 0 { REFUSED } else { code })
        }
    }
}

fn read(file: &str, reading: &Reading) -> Loaded {
    let options = LoadOptions {
        tolerance: if reading.compatible { Tolerance::Everything } else { Tolerance::Nothing },
        ..LoadOptions::on(config::names::this_node(), reading.config_id.clone())
    };
    if reading.offline {
        load(&config::source::Files, &OfflineNames, file, &options)
    } else {
        load(&config::source::Files, &SystemNames::default(), file, &options)
    }
}

fn verdict(loaded: &Loaded) -> u8 {
    if loaded.missing {
        MISSING
    } else if loaded.count(Severity::Error) > 0 {
        REFUSED
    } else {
        0
    }
}

/// A closed pipe ends the output, not the verdict.
fn show(out: &mut impl Write, text: &str) {
    let _closed_pipe = out.write_all(text.as_bytes());
}
