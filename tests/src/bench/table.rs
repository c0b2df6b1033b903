//! The table of figures, for the terminal and for docs/benchmarks.md.

use std::fmt::Write as _;
use std::path::Path;

use super::Figure;
use crate::lab::Failure;

/// What the figures were taken on.
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Processors.
    pub processors: usize,
    /// Version of the reference.
    pub reference: String,
    /// [`super::measure::noise_floor`].
    pub noise_ms: f64,
}

/// The document.
#[must_use]
pub fn document(machine: &Machine, figures: &[Figure]) -> String {
    let Machine { kernel, processors, reference, noise_ms } = machine;
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `make bench`. Both suites run the same configuration on the same machine, one \
         after the other, with real-time priority so that other work doesn't count; times are read from captures on \
         the switch between the directors. Health checks run on the host's kernel, where a preloaded library confirms \
         every IPVS order of keepalived; their servers count what arrives.\n\n",
    );
    writeln!(text, "Linux {kernel}, {processors} processors; reference: {reference}.").ok();
    writeln!(
        text,
        "Noise floor: this machine wakes a sleeper up to {noise_ms:.2} ms late (99 of 100 sleeps of 5 ms); \
         differences below that mean nothing.\n"
    )
    .ok();
    text.push_str("| figure | target | ours | keepalived in C | |\n|---|---|---|---|---|\n");
    for figure in figures {
        let target = figure.target.map_or("-".to_owned(), |target| format!("≤ {target}"));
        let c = figure.c.map_or("-".to_owned(), number);
        let verdict = match (figure.target, figure.passes()) {
            (None, _) => "",
            (Some(_), true) => "PASS",
            (Some(_), false) => "FAIL",
        };
        writeln!(text, "| {} | {target} | {} | {c} | {verdict} |", figure.what, number(figure.ours)).ok();
    }
    text
}

/// Writes the document in one step.
pub fn save(file: &Path, document: &str) -> Result<(), Failure> {
    let fresh = file.with_extension("new.md");
    std::fs::write(&fresh, document)
        .and_then(|()| std::fs::rename(&fresh, file))
        .map_err(|cause| Failure::instrument("writing the document", cause))
}

fn number(value: f64) -> String {
    match value.abs() {
        small if small > 0.0 && small < 1.0 => format!("{value:.3}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
