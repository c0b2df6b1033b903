//! Timeline and summary table.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::lab::Failure;
use crate::lab::clock::now;

/// One promise and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What was done.
    pub what: String,
    /// What must hold.
    pub promise: String,
    /// What was seen.
    pub seen: String,
    /// Whether it held.
    pub held: bool,
}

/// Tells what happens as it happens, and collects the lines.
pub struct Report {
    started: Instant,
    lines: Vec<Line>,
}

impl Default for Report {
    fn default() -> Self {
        Self { started: now(), lines: Vec::new() }
    }
}

impl Report {
    /// Says what happens now.
    pub fn say(&self, text: &str) {
        let mut out = std::io::stdout();
        writeln!(out, "{:7.2} s  {text}", self.started.elapsed().as_secs_f64()).ok();
        out.flush().ok();
    }

    /// Does one step and records its line. `step` returns what was seen and whether the promise held; a failure
    /// is a promise that did not hold.
    pub fn step(
        &mut self,
        what: &str,
        promise: &str,
        step: impl FnOnce(&Self) -> Result<(String, bool), Failure>,
    ) {
        let (seen, held) = step(self).unwrap_or_else(|failure| (failure.to_string(), false));
        self.say(&format!("{} {what}: {seen}", mark(held)));
        self.lines.push(Line { what: what.to_owned(), promise: promise.to_owned(), seen, held });
    }

    /// Leaves the lines for the program that started this one.
    pub fn save(&self, file: &Path) -> Result<(), Failure> {
        let lines: Vec<Value> =
            self.lines.iter().map(|line| json!([line.what, line.promise, line.seen, line.held])).collect();
        fs::write(file, Value::from(lines).to_string())
            .map_err(|cause| Failure::instrument("saving the lines", cause))
    }
}

/// Reads what [`Report::save`] left.
pub fn load(file: &Path) -> Result<Vec<Line>, Failure> {
    let text = fs::read_to_string(file).map_err(|cause| Failure::instrument("reading the lines", cause))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|cause| Failure::instrument("reading the lines", cause))?;
    let rows = value.as_array().ok_or_else(|| Failure::new("the lines are no list"))?;
    Ok(rows
        .iter()
        .map(|row| {
            let word = |index: usize| row[index].as_str().unwrap_or_default().to_owned();
            Line { what: word(0), promise: word(1), seen: word(2), held: row[3] == true }
        })
        .collect())
}

/// Prints the table; true when every line held and there is at least one.
pub fn summarize(lines: &[Line]) -> bool {
    let mut out = std::io::stdout();
    let what = lines.iter().map(|line| line.what.chars().count()).max().unwrap_or(0);
    let promise = lines.iter().map(|line| line.promise.chars().count()).max().unwrap_or(0);
    writeln!(out, "\n      {:what$}  {:promise$}  seen", "what", "promised").ok();
    for line in lines {
        writeln!(out, "{}  {:what$}  {:promise$}  {}", mark(line.held), line.what, line.promise, line.seen)
            .ok();
    }
    let held = lines.iter().filter(|line| line.held).count();
    writeln!(out, "\n{held} of {} lines held", lines.len()).ok();
    held == lines.len() && held > 0
}

fn mark(held: bool) -> &'static str {
    if held { "ok  " } else { "FAIL" }
}
