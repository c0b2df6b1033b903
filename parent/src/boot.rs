//! From the command line to the running loop: everything that may still print, block and fail loudly.

mod orders;
mod powers;

use std::fmt;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use config::model::parts::Held;
use config::model::process::ProcessSettings;
use ipc::messages::Level;
use ipc::messages::ctl::Daemon;
use ipc::reactor;
use sandbox::spawn::abilities;
use sandbox::user::Ids;
use syslog::Facility;

use crate::args::Args;
use crate::control::{self, Control};
use crate::effects::addresses;
use crate::effects::ping_range::PingRange;
use crate::environment::{self, CorePattern};
use crate::log_sink::{self, LogSink, Speaker};
use crate::pid_file::{self, PidFile};
use crate::place::{self, Given, Place};
use crate::predecessor;
use crate::record::{Record, RecordError};
use crate::run::{self, Settings, Suite};
use crate::worker::{Loading, Parts, What};

pub use orders::genhash;
use orders::{config_test, signal_number, version, withdraw_leftovers};
use powers::{choose_users, degraded, kept, require, root_scripts};

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
    } else if let Some(log) = &args.config_test {
        config_test(args, log)
    } else if args.withdraw_leftovers {
        withdraw_leftovers(args)
    } else {
        start(args)
    };
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

fn runs_vrrp(args: &Args) -> bool {
    !args.only_checks || args.only_vrrp || args.all
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

/// What is accepted for keepalived's sake, told once at start.
fn outside(args: &Args) -> Vec<&'static str> {
    let told = [
        (
            args.snmp || args.snmp_socket.is_some(),
            "SNMP (-x, -A) is not part of this suite: ask keepalivectl",
        ),
        (args.no_bfd || args.bfd_pid_file.is_some(), "BFD (-B, -b) is not part of this suite"),
        (
            args.core_dump || args.core_pattern.is_some(),
            "core files (-m, -M) are the parent's only: daemons hold secrets",
        ),
    ];
    told.into_iter().filter(|(given, _)| *given).map(|(_, text)| text).collect()
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

fn command_line() -> String {
    let words: Vec<String> =
        std::env::args_os().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    format!("Command line: {}", words.join(" "))
}

fn enter_namespace(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    environment::enter_namespace(name)
        .map_err(|error| Failure::new(exit::PERMISSION, format!("network namespace {name}: {error}")))
}

/// The lock on the parent's pid file. A default place that can't be written is no reason not to start.
fn claim_pid_file(args: &Args, place: &Place) -> Result<Result<PidFile, String>, Failure> {
    place.pid_dir.iter().for_each(|directory| pid_file::make_directory(directory));
    PidFile::claim(&place.parent).map(Ok).or_else(|error| {
        let text = format!("{}: {error}", place.parent.display());
        if error.kind() == io::ErrorKind::AddrInUse || args.pid_file.is_some() {
            return Err(Failure::new(exit::FATAL, text));
        }
        Ok(Err(text))
    })
}

/// Where this suite keeps its files. Two that name pid files of their own run side by side, as upstream's do.
fn own_place(args: &Args, process: &ProcessSettings) -> Place {
    let place = Place::of(&given(args), process);
    let Some(pid_file) = args.pid_file.as_ref().filter(|_| args.run_dir.is_none()) else { return place };
    let beside = place.clone().beside_another(pid_file);
    // Where it was before it looks for what it left.
    if beside.run_dir.is_dir() || control::is_served(&place.run_dir) { beside } else { place }
}

fn start(args: &Args) -> Result<ExitCode, Failure> {
    let fatal = |error: io::Error| Failure::new(exit::FATAL, error);
    // From here on no signal of keepalived's ends the process before the loop can obey it.
    let signals = run::block_signals().map_err(fatal)?;
    let facility = facility(&args.log_facility)?;
    let executable = std::env::current_exe().map_err(fatal)?;
    let daemon_dir = daemon_dir(&executable)?;
    sandbox::system::process::allow_open_files(OPEN_FILES).map_err(fatal)?;
    let able = abilities().map_err(fatal)?;
    let mut identities = choose_users(able, None)?;
    let parts = first_load(args, &executable, identities)?;
    let process = parts.parent.process.clone();
    if process.daemon_uid_range.is_some() {
        identities = choose_users(able, process.daemon_uid_range)?;
    }
    let degraded = degraded(able, identities);
    require(args.require_sandbox, &degraded)?;
    let namespace = args.namespace.clone().or_else(|| process.namespace.clone());
    let ipvs_network = match process.ipvs_namespace.as_ref().map(environment::ipvs_namespace).transpose() {
        Ok(file) => file.map(OwnedFd::from),
        Err(error) => return Err(Failure::new(exit::FATAL, format!("net_namespace_ipvs: {error}"))),
    };
    enter_namespace(namespace.as_deref())?;
    let place = own_place(args, &process);
    let (record, mut left) = claim(&place.run_dir)?;
    let mut pid_file = claim_pid_file(args, &place)?;
    let vrrp_was_killed = predecessor::was_killed(&place.vrrp);
    let old_vrrpd = predecessor::await_end(&place.vrrp, &daemon_dir.join(Daemon::Vrrpd.name()));
    let control = Control::listen(&place.run_dir, process.control_group, process.status_group)
        .map_err(|error| Failure::new(exit::FATAL, format!("control socket: {error}")))?;
    let_in(&place.run_dir, &process)
        .map_err(|error| Failure::new(exit::FATAL, format!("run directory: {error}")))?;
    if !args.foreground {
        nix::unistd::daemon(false, false).map_err(|error| Failure::new(exit::FATAL, error))?;
    }
    if let Ok(file) = &mut pid_file {
        file.write().map_err(fatal)?;
    }
    record.note_pid().map_err(fatal)?;
    let mut log = LogSink::new(log_sink::Settings {
        console: args.log_console,
        syslog: !args.no_syslog,
        facility,
        detail: args.log_detail > 0,
        suffix: place::log_suffix(namespace.as_deref(), process.instance.as_deref()),
        file: args.log_file.as_ref().map(PathBuf::from),
    });
    let mut say = |level, text: &str| log.write(Speaker::Parent, None, level, text);
    say(Level::Info, &format!("Starting {BANNER}"));
    say(Level::Info, &running_on());
    say(Level::Info, &command_line());
    for line in opening(&args.config) {
        say(Level::Info, &line);
    }
    for line in parts.canonical.lines() {
        say(Level::Info, line);
    }
    for text in outside(args) {
        say(Level::Warning, text);
    }
    if let Err(why) = &pid_file {
        say(Level::Warning, &format!("no pid file: {why}"));
    }
    match old_vrrpd {
        Some(predecessor::End::Own) => say(Level::Info, "waited for the vrrpd of a killed keepalived to end"),
        Some(predecessor::End::Killed) => {
            say(Level::Warning, "the vrrpd of a killed keepalived didn't end by itself: killed")
        }
        None => {}
    }
    // Whoever was killed and has left no record of ours was another keepalived: what it left is what it was to hold.
    // A service manager removes the file of the main process, and nobody that of its VRRP process.
    let was_killed = vrrp_was_killed || pid_file.as_ref().is_ok_and(PidFile::was_stale);
    // Beside a suite of checks alone addresses and routes may be those of another one that lives.
    let vrrp = runs_vrrp(args);
    let killed = was_killed || !left.is_empty();
    let whose = if killed { "left by a killed suite" } else { "there before the start" };
    if vrrp {
        // Whatever made it: what only a Master holds, nobody holds before the first election.
        left.add(&parts.parent.leftovers(args.release_addresses));
    }
    match addresses::withdraw(&left, reactor::now) {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => say(Level::Warning, &format!("{whose}, withdrawn: {}", removed.join(" "))),
        Err(why) => say(Level::Error, &format!("leftovers can't be withdrawn: {why}")),
    }
    if let Err(error) = PingRange::of(&place.run_dir).restore() {
        say(Level::Warning, &format!("ping_group_range was left changed by a killed suite: {error}"));
    }
    for missing in &degraded {
        say(Level::Warning, &format!("degraded confinement: {missing}"));
    }
    let core = core_files(args);
    if let Err(why) = &core {
        say(Level::Warning, why);
    }
    if let Some(name) = &process.names.parent
        && let Err(error) = sandbox::name_process(name)
    {
        say(Level::Warning, &format!("process_name: {error}"));
    }
    let bounding_reduced = able.drop_bounding && !root_scripts(&parts);
    match sandbox::reduce_parent(&kept(&process), bounding_reduced) {
        Ok(_) => {}
        Err(error) => say(Level::Error, &format!("own privileges can't be reduced: {error}")),
    }
    environment::set_umask(args.umask.or(process.umask).unwrap_or(environment::UMASK));
    let settings = Settings {
        config: What { canonical: false, ..what(args) },
        executable,
        daemon_dir,
        identities,
        respawn: !args.dont_respawn,
        vrrp,
        checks: runs_checks(args),
        all: args.all,
        keep_addresses: args.keep_addresses,
        keep_table: args.keep_table,
        ignore_interrupt: args.ignore_interrupt,
        bounding_reduced,
        ipvs_network,
        degraded,
        dump_dir: if args.compatible_dumps { std::env::temp_dir() } else { place.run_dir.clone() },
        place,
        umask: args.umask,
        address_monitoring: args.address_monitoring,
    };
    let files = (record, pid_file.ok());
    let suite = Suite::new(settings, parts, log, control, files, signals).map_err(fatal)?;
    let code = suite.run().map_err(fatal)?;
    drop(core);
    Ok(code)
}

/// Members of the groups must get as far as their sockets. Two groups don't fit on one directory: with both, everybody
/// may pass through it, and its files and sockets guard themselves.
fn let_in(run_dir: &Path, process: &ProcessSettings) -> io::Result<()> {
    let group = process.control_group.or(process.status_group);
    if group.is_some() {
        std::os::unix::fs::chown(run_dir, None, group)?;
    }
    if process.status_group.is_some_and(|readers| group != Some(readers)) {
        std::fs::set_permissions(run_dir, Permissions::from_mode(0o751))?;
    }
    Ok(())
}

/// `-m` and `-M`.
fn core_files(args: &Args) -> Result<Option<CorePattern>, String> {
    if !args.core_dump && args.core_pattern.is_none() {
        return Ok(None);
    }
    environment::allow_core_files().map_err(|error| format!("core files: {error}"))?;
    let pattern = args.core_pattern.as_deref().map(CorePattern::set);
    pattern.transpose().map_err(|error| format!("pattern of core files: {error}"))
}

/// Descriptors for all scripts that may run at once, the vault and the control clients.
const OPEN_FILES: u64 = 4096;

fn first_load(args: &Args, executable: &Path, identities: Option<[Ids; 4]>) -> Result<Parts, Failure> {
    let worker = identities.map(|all| all[3]);
    let mut loading = Loading::start(executable, worker, &what(args), reactor::now())
        .map_err(|error| Failure::new(exit::FATAL, chain(&error)))?;
    let outcome = loading.wait(reactor::now).map_err(|error| Failure::new(exit::FATAL, chain(&error)));
    loading.end_and_reap();
    let outcome = outcome?;
    let _unheard = io::stderr().write_all(outcome.text.as_bytes());
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
