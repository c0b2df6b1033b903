//! From the command line to the running loop: everything that may still print, block and fail loudly.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use config::diagnostic::Severity;
use config::model::parts::Held;
use ipc::messages::Level;
use ipc::reactor;
use sandbox::profile::Capability;
use sandbox::spawn::{Abilities, abilities};
use sandbox::system::process::landlock_abi;
use sandbox::user::{Ids, choose_ids};
use syslog::Facility;

use crate::args::{self, Args};
use crate::control::Control;
use crate::effects::addresses;
use crate::log_sink::{self, LogSink, Speaker};
use crate::record::{Record, RecordError, write_pid_file};
use crate::run::{Settings, Suite};
use crate::worker::{self, Loading, Parts, What};

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
    let result = if args.version {
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
        run_dir: here.join(&args.run_dir),
        pid_file: args.pid_file.as_ref().map(|path| here.join(path)),
        ..args.clone()
    }
}

/// One line on standard error; nobody is left to be told when that fails.
fn tell(text: &str) {
    let _unheard = writeln!(io::stderr(), "{}", text.trim_end());
}

fn version() -> Result<ExitCode, Failure> {
    tell(&format!("Keepalived v{} (Rust; behaves as 2.4.3)", env!("CARGO_PKG_VERSION")));
    Ok(ExitCode::SUCCESS)
}

fn signal_number(name: &str) -> Result<ExitCode, Failure> {
    let number = match name {
        "STOP" => 15,
        "RELOAD" => 1,
        other => return Err(Failure::new(exit::FATAL, format!("Unknown signal {other}"))),
    };
    writeln!(io::stdout(), "{number}").map_err(|error| Failure::new(exit::FATAL, error))?;
    Ok(ExitCode::SUCCESS)
}

/// `-t`: 0 accepted, 5 refused, 6 without a file.
fn config_test(args: &Args, log: &str) -> Result<ExitCode, Failure> {
    let loaded = worker::load_system(&what(args));
    let text = config::diagnostic::human(&loaded.diagnostics);
    if log.is_empty() {
        let _unheard = io::stderr().write_all(text.as_bytes());
    } else {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(log);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::new(exit::FATAL, format!("{log}: {error}")))?;
    }
    Ok(ExitCode::from(if loaded.missing {
        exit::NO_CONFIG
    } else if loaded.count(Severity::Error) > 0 {
        exit::TEST_FAILED
    } else {
        0
    }))
}

fn what(args: &Args) -> What {
    What { path: args.config.clone(), config_id: args.config_id.clone(), compatible: args.compatible }
}

fn claim(args: &Args) -> Result<(Record, Held), Failure> {
    Record::claim(&args.run_dir).map_err(|error| match &error {
        RecordError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(exit::PERMISSION, error)
        }
        RecordError::Io { .. } | RecordError::Running => Failure::new(exit::FATAL, error),
    })
}

fn withdraw_leftovers(args: &Args) -> Result<ExitCode, Failure> {
    let (record, left) = claim(args)?;
    let removed = addresses::withdraw(&left, reactor::now).map_err(|why| Failure::new(exit::FATAL, why))?;
    for address in removed {
        tell(&format!("withdrawn: {address}"));
    }
    record.remove();
    Ok(ExitCode::SUCCESS)
}

fn start(args: &Args) -> Result<ExitCode, Failure> {
    let facility = facility(&args.log_facility)?;
    let executable = std::env::current_exe().map_err(|error| Failure::new(exit::FATAL, error))?;
    let daemon_dir = daemon_dir(&executable)?;
    sandbox::system::process::allow_open_files(OPEN_FILES)
        .map_err(|error| Failure::new(exit::FATAL, error))?;
    let able = abilities().map_err(|error| Failure::new(exit::FATAL, error))?;
    let mut identities = choose_users(able, None)?;
    let (record, left) = claim(args)?;
    let parts = first_load(args, &executable, identities)?;
    let process = &parts.parent.process;
    if process.daemon_uid_range.is_some() {
        identities = choose_users(able, process.daemon_uid_range)?;
    }
    let degraded = degraded(able, identities);
    require(args.require_sandbox, &degraded)?;
    let control = Control::listen(&args.run_dir.join("control.sock"), process.control_group)
        .map_err(|error| Failure::new(exit::FATAL, format!("control socket: {error}")))?;
    if !args.foreground {
        nix::unistd::daemon(false, false).map_err(|error| Failure::new(exit::FATAL, error))?;
    }
    if let Some(path) = &args.pid_file {
        write_pid_file(path)
            .map_err(|error| Failure::new(exit::FATAL, format!("{}: {error}", path.display())))?;
    }
    record.note_pid().map_err(|error| Failure::new(exit::FATAL, error))?;
    let mut log = LogSink::new(log_sink::Settings {
        console: args.log_console,
        syslog: !args.no_syslog,
        facility,
        detail: args.log_detail > 0,
    });
    let mut say = |level, text: &str| log.write(Speaker::Parent, None, level, text);
    say(Level::Info, &format!("Starting Keepalived v{}", env!("CARGO_PKG_VERSION")));
    say(Level::Info, &format!("Opening file '{}'.", args.config));
    say(Level::Info, &format!("Configuration file {}", args.config));
    match addresses::withdraw(&left, reactor::now) {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => {
            say(Level::Warning, &format!("left by a killed suite, withdrawn: {}", removed.join(" ")))
        }
        Err(why) => say(Level::Error, &format!("leftovers can't be withdrawn: {why}")),
    }
    for missing in &degraded {
        say(Level::Warning, &format!("degraded confinement: {missing}"));
    }
    let bounding_reduced = able.drop_bounding && !root_scripts(&parts);
    match sandbox::reduce_parent(PARENT, bounding_reduced) {
        Ok(_) => {}
        Err(error) => say(Level::Error, &format!("own privileges can't be reduced: {error}")),
    }
    let settings = Settings {
        config: what(args),
        executable,
        daemon_dir,
        identities,
        respawn: !args.dont_respawn,
        vrrp: !args.only_checks || args.only_vrrp,
        checks: !args.only_vrrp || args.only_checks,
        keep_addresses: args.keep_addresses,
        keep_table: args.keep_table,
        ignore_interrupt: args.ignore_interrupt,
        bounding_reduced,
        degraded,
    };
    let failed = |error: io::Error| Failure::new(exit::FATAL, error);
    let code = Suite::new(settings, parts, log, control, record).map_err(failed)?.run().map_err(failed)?;
    if let Some(path) = &args.pid_file {
        let _already_gone = std::fs::remove_file(path);
    }
    Ok(code)
}

/// Descriptors for all scripts that may run at once, the vault and the control clients.
const OPEN_FILES: u64 = 4096;

/// What the parent may keep: each capability with its reason.
const PARENT: &[Capability] = &[
    Capability::CAP_SETUID,           // daemons and scripts of other users
    Capability::CAP_SETGID,           // the same
    Capability::CAP_SETPCAP,          // bounding set of the daemons
    Capability::CAP_KILL,             // daemons and scripts of other users
    Capability::CAP_NET_ADMIN,        // handed to vrrpd and ipvsd; addresses when vrrpd can't
    Capability::CAP_NET_RAW,          // handed to vrrpd
    Capability::CAP_CHOWN,            // control socket of a group
    Capability::CAP_DAC_READ_SEARCH,  // handed to the config worker
    Capability::CAP_NET_BIND_SERVICE, // sockets that checkd borrows: bind_port below 1024
];

fn root_scripts(parts: &Parts) -> bool {
    parts.parent.scripts.iter().any(|script| script.identity.is_root())
}

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

fn choose_users(able: Abilities, range: Option<(u32, u32)>) -> Result<Option<[Ids; 4]>, Failure> {
    if !able.change_identity {
        return Ok(None);
    }
    choose_ids(range).map(Some).map_err(|error| Failure::new(exit::FATAL, error))
}

/// What this machine doesn't give, in words.
fn degraded(able: Abilities, identities: Option<[Ids; 4]>) -> Vec<String> {
    let mut missing = Vec::new();
    if identities.is_none() {
        missing.push("daemons run as the parent's user: CAP_SETUID or CAP_SETGID is missing".to_owned());
    }
    if !able.drop_bounding {
        missing.push("bounding sets stay as they are: CAP_SETPCAP is missing".to_owned());
    }
    let abi = landlock_abi();
    if abi == 0 {
        missing.push("the kernel has no landlock: files are guarded by users and seccomp alone".to_owned());
    } else if abi < 4 {
        missing.push(format!("landlock ABI {abi} has no rules for TCP ports"));
    }
    missing
}

fn require(level: Option<args::Level>, degraded: &[String]) -> Result<(), Failure> {
    let Some(level) = level else { return Ok(()) };
    let own_users =
        degraded.iter().all(|missing| missing.starts_with("landlock") || missing.starts_with("the kernel"));
    if own_users && landlock_abi() >= level.landlock_abi() {
        return Ok(());
    }
    let text = format!("--require-sandbox: this machine doesn't give it: {}", degraded.join("; "));
    Err(Failure::new(exit::PERMISSION, text))
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
    let unknown = || Failure::new(exit::FATAL, format!("Unknown log facility {word}"));
    match name.strip_prefix("local") {
        Some(number) if !matches!(number, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7") => Err(unknown()),
        Some(_) => Facility::from_str(&name).map_err(|()| unknown()),
        None if name == "user" || name == "daemon" => Facility::from_str(&name).map_err(|()| unknown()),
        None => Err(unknown()),
    }
}
