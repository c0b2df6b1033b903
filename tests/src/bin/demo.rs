//! `make demo`. Without arguments it starts its two parts and sums up; `--broken` runs it with one promise broken on
//! purpose. `stage` and `confinement` are the parts: it starts them itself, where they belong.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use tests::demo::stage::Restarts;
use tests::demo::{Report, confinement, report, stage};
use tests::lab::guest::{self, Guest};
use tests::lab::sandbox::{build_directory, private_run_directory, sandbox_command};
use tests::lab::{Failure, Lab};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let restarts = match arguments.iter().any(|word| word == "--broken") {
        true => Restarts::Off,
        false => Restarts::On,
    };
    let outcome = match arguments.first().map(String::as_str) {
        Some("stage") => play_stage(restarts),
        Some("confinement") => play_confinement(),
        Some("--broken") | None => whole(restarts),
        Some(_) => return ExitCode::from(2),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            use std::io::Write;
            writeln!(std::io::stderr(), "demo: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Both parts, then the table.
fn whole(restarts: Restarts) -> Result<bool, Failure> {
    let kind = if restarts == Restarts::Off { "lab-out/demo-broken" } else { "lab-out/demo" };
    let out = build_directory().join(kind);
    let (site, powers) = (out.join("site"), out.join("powers"));
    let words: &[&str] = if restarts == Restarts::Off { &["stage", "--broken"] } else { &["stage"] };
    if host_has_ipvs() {
        sandboxed(300, &site, words)?;
    } else {
        guest::boot(Guest::UserMode, 300, &site, "lab-demo", words, &mut std::io::stdout())?;
    }
    sandboxed(120, &powers, &["confinement"])?;
    let mut lines = report::load(&site.join(LINES))?;
    lines.extend(report::load(&powers.join(LINES))?);
    Ok(report::summarize(&lines))
}

fn host_has_ipvs() -> bool {
    let loaded = || Path::new("/proc/net/ip_vs").exists();
    loaded() || (Command::new("modprobe").args(["-q", "ip_vs"]).status().is_ok() && loaded())
}

/// Starts a part of this program in a sandbox on the host's kernel.
fn sandboxed(seconds: u32, out: &Path, words: &[&str]) -> Result<bool, Failure> {
    drop(std::fs::remove_dir_all(out));
    let program = std::env::current_exe().map_err(|cause| Failure::instrument("own path", cause))?;
    let mut command = sandbox_command(seconds);
    command.arg(program).args(words).env("LAB_OUT", out).env("LAB_SANDBOX", "1");
    if confinement::kernel_without_landlock() {
        command.env(confinement::NO_LANDLOCK, "1");
    }
    let status = command.status().map_err(|cause| Failure::instrument("sandbox", cause))?;
    Ok(status.success())
}

fn furnished(name: &str) -> Result<Lab, Failure> {
    if std::env::var_os("LAB_SANDBOX").is_some() {
        private_run_directory()?;
    }
    let out = std::env::var_os("LAB_OUT").map_or(PathBuf::from("/run/out"), PathBuf::from);
    Lab::here(name, &out)
}

fn play_stage(restarts: Restarts) -> Result<bool, Failure> {
    let lab = furnished("site")?;
    let mut report = Report::default();
    let played = stage::play(&lab, restarts, &mut report);
    finish(&lab, report, played, "the site starts")
}

fn play_confinement() -> Result<bool, Failure> {
    let lab = furnished("powers")?;
    let mut report = Report::default();
    let played = confinement::play(&lab, &mut report);
    finish(&lab, report, played, "a director starts on this kernel")
}

/// A part that could not even be played is a line that did not hold.
fn finish(lab: &Lab, mut report: Report, played: Result<(), Failure>, what: &str) -> Result<bool, Failure> {
    let complete = played.is_ok();
    if let Err(failure) = played {
        report.step(what, "yes", |_| Err(failure));
    }
    report.save(&lab.out.join(LINES))?;
    Ok(complete)
}

const LINES: &str = "lines.json";
