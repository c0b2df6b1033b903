//! `make bench`: `lab-bench FILE` takes all figures, prints them and writes FILE. `inside`, `checks`, `guest` and `table`
//! are its parts: it starts them itself, in a sandbox and in user-mode kernels. `failover`, `reload` and
//! `load` are pieces of `inside`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value;
use tests::bench::table::{self, Machine};
use tests::bench::{Figure, checks, hostile, ipvs, load, measure, memory, reload};
use tests::lab::guest::{self, Guest};
use tests::lab::sandbox::{PATH, build_directory, private_run_directory, sandbox_command};
use tests::lab::{Failure, Lab};

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let outcome = match argument.as_str() {
        "" => return ExitCode::from(2),
        "inside" => inside(),
        "failover" => only(|lab| Ok(vec![measure::failover(lab)?])),
        "reload" => only(reload::figures),
        "checks" => only(checks::figures),
        "load" => only(load::figures),
        "guest" => guest(),
        "table" => ipvs_table(),
        file => whole(Path::new(file)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            writeln!(std::io::stderr(), "bench: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}

fn whole(file: &Path) -> Result<bool, Failure> {
    let out = build_directory().join("lab-out/bench");
    let [wire, checks, site, table] = ["wire", "checks", "site", "table"].map(|part| out.join(part));
    drop(std::fs::remove_dir_all(&out));
    for (argument, out) in [("inside", &wire), ("checks", &checks)] {
        in_sandbox(argument, out)?;
    }
    for (argument, seconds, out) in [("guest", 180, &site), ("table", 400, &table)] {
        if !guest::boot(Guest::UserMode, seconds, out, "lab-bench", &[argument], &mut std::io::stderr())? {
            return Err(Failure::new(format!("the measurement in the guest failed, see {}", out.display())));
        }
    }
    let mut figures = Vec::new();
    for out in [&wire, &checks, &site, &table] {
        figures.extend(read(out)?);
    }
    let noise = std::fs::read_to_string(wire.join(NOISE)).ok().and_then(|text| text.parse().ok());
    let noise = noise.ok_or_else(|| Failure::new("the noise floor wasn't measured"))?;
    let document = table::document(&machine(noise), &figures);
    writeln!(std::io::stdout(), "{document}").ok();
    table::save(file, &document)?;
    Ok(figures.iter().all(Figure::passes))
}

/// Runs this program in a sandbox, with real-time priority for everything in it: other work on the machine must not
/// count.
fn in_sandbox(argument: &str, out: &Path) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|cause| Failure::instrument("own path", cause))?;
    let sandbox = sandbox_command(900);
    let status = Command::new("chrt")
        .args(["--rr", "1"])
        .arg(sandbox.get_program())
        .args(sandbox.get_args())
        .arg(program)
        .arg(argument)
        .env("LAB_OUT", out)
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|cause| Failure::instrument("sandbox", cause))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("the measurement in the sandbox failed, see {}", out.display())))
}

fn machine(noise_ms: f64) -> Machine {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let said = Command::new("/usr/sbin/keepalived").arg("-v").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    Machine {
        kernel: kernel.trim().to_owned(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        reference: said.lines().next().unwrap_or("none").trim().to_owned(),
        noise_ms,
    }
}

/// Figures of one kind, for whoever works on it: in a sandbox, by hand.
fn only(figures: fn(&Lab) -> Result<Vec<Figure>, Failure>) -> Result<bool, Failure> {
    private_run_directory()?;
    let lab = here()?;
    let figures = figures(&lab)?;
    for figure in &figures {
        writeln!(std::io::stdout(), "{}", figure.to_json()).ok();
    }
    write(&lab, &figures)
}

fn inside() -> Result<bool, Failure> {
    private_run_directory()?;
    let lab = here()?;
    std::fs::write(lab.out.join(NOISE), measure::noise_floor().to_string())
        .map_err(|cause| Failure::instrument("noise floor", cause))?;
    let mut figures = measure::figures(&lab)?;
    figures.extend(load::figures(&lab)?);
    figures.extend(hostile::figures(&lab)?);
    figures.extend(reload::figures(&lab)?);
    figures.extend(memory::vrrp_alone(&lab)?);
    write(&lab, &figures)
}

fn guest() -> Result<bool, Failure> {
    let lab = here()?;
    write(&lab, &memory::whole_site(&lab)?)
}

fn ipvs_table() -> Result<bool, Failure> {
    let lab = here()?;
    write(&lab, &ipvs::figures(&lab)?)
}

fn here() -> Result<Lab, Failure> {
    let out = std::env::var_os("LAB_OUT").map_or(PathBuf::from("/run/out"), PathBuf::from);
    Lab::here("bench", &out)
}

fn write(lab: &Lab, figures: &[Figure]) -> Result<bool, Failure> {
    let rows: Vec<Value> = figures.iter().map(Figure::to_json).collect();
    std::fs::write(lab.out.join(FIGURES), Value::from(rows).to_string())
        .map_err(|cause| Failure::instrument("figures", cause))?;
    Ok(true)
}

fn read(out: &Path) -> Result<Vec<Figure>, Failure> {
    let text =
        std::fs::read_to_string(out.join(FIGURES)).map_err(|cause| Failure::instrument("figures", cause))?;
    let rows: Value = serde_json::from_str(&text).map_err(|cause| Failure::instrument("figures", cause))?;
    Ok(rows.as_array().into_iter().flatten().filter_map(Figure::from_json).collect())
}

const FIGURES: &str = "figures.json";
const NOISE: &str = "noise";
