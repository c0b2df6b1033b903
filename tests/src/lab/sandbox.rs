//! Where a suite runs: namespaces of its own, a private /run, and an end for everything in them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::mount::{MsFlags, mount};

use super::Failure;

/// What a scenario gets.
pub struct Lab {
    /// Name of the scenario.
    pub name: String,
    /// Directory for its logs and captures; outlives the sandbox.
    pub out: PathBuf,
}

impl Lab {
    /// The laboratory of a program that already stands in a kernel or sandbox of its own.
    pub fn here(name: &str, out: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(out).map_err(|cause| Failure::instrument("result directory", cause))?;
        Ok(Self { name: name.to_owned(), out: out.to_owned() })
    }
}

/// Runs the body of a `#[test]` in a sandbox: the test's own program starts again inside, for this test alone.
/// After `seconds`, or longer where that isn't long, everything in it is killed: that ends what hangs, and is no promise
/// of how fast a machine is.
///
/// # Panics
/// When the body fails: this is how a test fails.
pub fn sandboxed(seconds: u32, body: impl FnOnce(&Lab) -> Result<(), Failure>) {
    if let Some(out) = env::var_os(INSIDE) {
        let name = test_name();
        let lab = Lab::here(&name, Path::new(&out)).expect("the result directory can be made");
        private_run_directory().expect("the sandbox can be furnished");
        if let Err(failure) = body(&lab) {
            panic!("{failure}\n{}", excerpts(&lab.out));
        }
        return;
    }
    let name = test_name();
    let out = build_directory().join("lab-out").join(name.replace("::", "."));
    drop(fs::remove_dir_all(&out));
    let status = sandbox_command(seconds.max(LEAST_SECONDS))
        .arg(env::current_exe().expect("the path of the test program"))
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, &out)
        .status()
        .expect("unshare can be started");
    assert!(status.success(), "the scenario failed inside its sandbox ({status}); see {}", out.display());
}

/// `unshare` with everything that a run needs, for a program and its arguments to be appended.
#[must_use]
pub fn sandbox_command(seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--foreground", "--kill-after=5", &seconds.to_string()])
        .args(["unshare", "--net", "--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private", "--"])
        .env("PATH", PATH)
        .stdin(Stdio::null());
    command
}

/// Gives the sandbox a /run and a /sys of its own.
pub fn private_run_directory() -> Result<(), Failure> {
    let doing = "furnishing the sandbox (root is needed)";
    let none = None::<&str>;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .map_err(|cause| Failure::instrument(doing, cause))?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)
        .map_err(|cause| Failure::instrument(doing, cause))?;
    for directory in ["/run/netns", "/run/lock"] {
        fs::create_dir_all(directory).map_err(|cause| Failure::instrument(doing, cause))?;
    }
    Ok(())
}

/// Where cargo put the programs: the folder of this one, or the one above for a test.
#[must_use]
pub fn build_directory() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let folder = program.parent().unwrap_or(Path::new(".")).to_owned();
    match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().map_or(folder.clone(), Path::to_owned),
        _ => folder,
    }
}

/// Name of the running test: runners start the program for one test by `--exact`.
fn test_name() -> String {
    let arguments: Vec<String> = env::args().collect();
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let named = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    match (exact, named) {
        (true, Some(name)) => name.clone(),
        _ => thread::current().name().unwrap_or("unnamed").to_owned(),
    }
}

/// The last lines of each log, for the report of a failure.
#[must_use]
pub fn excerpts(out: &Path) -> String {
    let mut text = String::new();
    let Ok(entries) = fs::read_dir(out) else { return text };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "log")) {
        let log = fs::read(path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.len().saturating_sub(EXCERPT);
        text.push_str(&format!("--- {}\n{}\n", path.display(), lines[tail..].join("\n")));
    }
    text
}

const EXCERPT: usize = 30;
/// Shorter than what the runner of tests gives each.
const LEAST_SECONDS: u32 = 200;
const INSIDE: &str = "LAB_INSIDE";
/// The search path on every machine of the laboratory.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
