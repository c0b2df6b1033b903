//! The start of a suite, step by step, each with what the ones before have found.
//!
//! Driver. Until the log is open a failure ends the start; from then on what is missing is a line of the log. What stands
//! in files of an earlier suite is trusted as far as [`crate::record`] and [`crate::pid_file`] say.

use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::model::parts::Held;
use config::model::process::ProcessSettings;
use ipc::messages::Level;
use ipc::messages::ctl::Daemon;
use ipc::reactor;
use sandbox::spawn::{Abilities, abilities};
use sandbox::user::Ids;
use syslog::Facility;

use super::powers::{choose_users, degraded, kept, require, root_scripts};
use super::{
    BANNER, Failure, claim, daemon_dir, enter_namespace, exit, facility, fatal, first_load, given, opening,
    running_on, runs_checks, what,
};
use crate::args::Args;
use crate::control::{self, Control};
use crate::effects::addresses;
use crate::effects::ping_range::PingRange;
use crate::environment::{self, CorePattern};
use crate::log_sink::{self, LogSink, Speaker};
use crate::pid_file::{self, PidFile};
use crate::place::{self, Place};
use crate::predecessor;
use crate::record::Record;
use crate::run::{self, Settings, Suite};
use crate::worker::{Parts, What};

/// Starts the suite and runs it to its end.
pub(super) fn start(args: &Args) -> Result<ExitCode, Failure> {
    // From here on no signal of keepalived's ends the process before the loop can obey it.
    let signals = run::block_signals().map_err(fatal)?;
    let machine = Machine::look(args)?;
    let Loaded { parts, identities, degraded } = Loaded::read(args, &machine)?;
    let process = parts.parent.process.clone();
    let networks = Networks::enter(args, &process)?;
    let mut ground = Ground::take(args, &process, &machine.daemon_dir)?;
    if !args.foreground {
        nix::unistd::daemon(false, false).map_err(fatal)?;
    }
    ground.sign()?;
    let mut log = open_log(args, &process, &networks, machine.facility);
    introduce(args, &parts, &ground, &mut log);
    withdraw_left(args, &parts, &mut ground, &mut log);
    for missing in &degraded {
        say(&mut log, Level::Warning, &format!("degraded confinement: {missing}"));
    }
    // Put back when the suite has ended.
    let _core_pattern =
        core_files(args).inspect_err(|why| say(&mut log, Level::Warning, why)).unwrap_or_default();
    let bounding_reduced = machine.able.drop_bounding && !root_scripts(&parts);
    reduce_self(args, &process, bounding_reduced, &mut log);
    let Ground { place, record, pid_file, control, .. } = ground;
    let settings = Settings {
        config: What { canonical: false, ..what(args) },
        daemon_dir: machine.daemon_dir,
        identities,
        respawn: !args.dont_respawn,
        vrrp: runs_vrrp(args),
        checks: runs_checks(args),
        all: args.all,
        keep_addresses: args.keep_addresses,
        keep_table: args.keep_table,
        ignore_interrupt: args.ignore_interrupt,
        bounding_reduced,
        ipvs_network: networks.ipvs,
        degraded,
        dump_dir: if args.compatible_dumps { std::env::temp_dir() } else { place.run_dir.clone() },
        place,
        umask: args.umask,
        address_monitoring: args.address_monitoring,
    };
    let files = (record, pid_file.ok());
    let suite = Suite::new(settings, parts, log, control, files, signals).map_err(fatal)?;
    suite.run().map_err(fatal)
}

fn runs_vrrp(args: &Args) -> bool {
    !args.only_checks || args.only_vrrp || args.all
}

/// One line of the parent's.
fn say(log: &mut LogSink, level: Level, text: &str) {
    log.write(Speaker::Parent, None, level, text);
}

/// What is known before a configuration is read.
struct Machine {
    facility: Facility,
    daemon_dir: PathBuf,
    able: Abilities,
}

impl Machine {
    fn look(args: &Args) -> Result<Self, Failure> {
        let facility = facility(&args.log_facility)?;
        let executable = std::env::current_exe().map_err(fatal)?;
        let daemon_dir = daemon_dir(&executable)?;
        sandbox::system::process::allow_open_files(OPEN_FILES).map_err(fatal)?;
        let able = abilities().map_err(fatal)?;
        Ok(Self { facility, daemon_dir, able })
    }
}

/// Descriptors for all scripts that may run at once, the vault and the control clients.
const OPEN_FILES: u64 = 4096;

/// The configuration, and what its daemons can run as here.
struct Loaded {
    parts: Parts,
    identities: Option<[Ids; 4]>,
    /// In words, what this machine doesn't give.
    degraded: Vec<String>,
}

impl Loaded {
    /// The worker runs as one of the users that are chosen without the configuration, which may name a range of its own.
    fn read(args: &Args, machine: &Machine) -> Result<Self, Failure> {
        let mut identities = choose_users(machine.able, None)?;
        let parts = first_load(args, &machine.daemon_dir, identities)?;
        let range = parts.parent.process.daemon_uid_range;
        if range.is_some() {
            identities = choose_users(machine.able, range)?;
        }
        let degraded = degraded(machine.able, identities);
        require(args.require_sandbox, &degraded)?;
        Ok(Self { parts, identities, degraded })
    }
}

/// Network namespaces of the suite.
struct Networks {
    /// Name of the one that this process has entered, if any.
    own: Option<String>,
    /// The one of the table of IPVS, where it is another.
    ipvs: Option<OwnedFd>,
}

impl Networks {
    fn enter(args: &Args, process: &ProcessSettings) -> Result<Self, Failure> {
        let own = args.namespace.clone().or_else(|| process.namespace.clone());
        let ipvs = match process.ipvs_namespace.as_ref().map(environment::ipvs_namespace).transpose() {
            Ok(file) => file.map(OwnedFd::from),
            Err(error) => return Err(Failure::new(exit::FATAL, format!("net_namespace_ipvs: {error}"))),
        };
        enter_namespace(own.as_deref())?;
        Ok(Self { own, ipvs })
    }
}

/// What no other suite may have, and what the one before has left there.
struct Ground {
    place: Place,
    record: Record,
    /// By the record.
    left: Held,
    /// Why there is none, in words.
    pid_file: Result<PidFile, String>,
    control: Control,
    /// How a vrrpd without a parent ended, if there was one.
    old_vrrpd: Option<predecessor::End>,
    /// The pid file of the VRRP process names one that is gone. A service manager removes the file of the main process,
    /// and nobody that one.
    vrrp_was_killed: bool,
}

impl Ground {
    fn take(args: &Args, process: &ProcessSettings, daemon_dir: &Path) -> Result<Self, Failure> {
        let place = own_place(args, process);
        let (record, left) = claim(&place.run_dir)?;
        let pid_file = claim_pid_file(args, &place)?;
        let vrrp_was_killed = predecessor::was_killed(&place.vrrp);
        let old_vrrpd = predecessor::await_end(&place.vrrp, &daemon_dir.join(Daemon::Vrrpd.name()));
        let control = Control::listen(&place.run_dir, process.control_group, process.status_group)
            .map_err(|error| Failure::new(exit::FATAL, format!("control socket: {error}")))?;
        let_in(&place.run_dir, process)
            .map_err(|error| Failure::new(exit::FATAL, format!("run directory: {error}")))?;
        Ok(Self { place, record, left, pid_file, control, old_vrrpd, vrrp_was_killed })
    }

    /// Writes the number of this process, which is the last that it has.
    fn sign(&mut self) -> Result<(), Failure> {
        if let Ok(file) = &mut self.pid_file {
            file.write().map_err(fatal)?;
        }
        self.record.note_pid().map_err(fatal)
    }

    /// Whoever was killed and has left no record of ours was another keepalived: what it left is what it was to hold.
    fn was_left_by_a_killed_one(&self) -> bool {
        let parent_was_killed = self.pid_file.as_ref().is_ok_and(PidFile::was_stale);
        self.vrrp_was_killed || parent_was_killed || !self.left.is_empty()
    }
}

/// Where this suite keeps its files. Two that name pid files of their own run side by side, as upstream's do.
fn own_place(args: &Args, process: &ProcessSettings) -> Place {
    let place = Place::of(&given(args), process);
    let Some(pid_file) = args.pid_file.as_ref().filter(|_| args.run_dir.is_none()) else { return place };
    let beside = place.clone().beside_another(pid_file);
    // Where it was before it looks for what it left.
    if beside.run_dir.is_dir() || control::is_served(&place.run_dir) { beside } else { place }
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

fn open_log(args: &Args, process: &ProcessSettings, networks: &Networks, facility: Facility) -> LogSink {
    LogSink::new(log_sink::Settings {
        console: args.log_console,
        syslog: !args.no_syslog,
        facility,
        detail: args.log_detail > 0,
        suffix: place::log_suffix(networks.own.as_deref(), process.instance.as_deref()),
        file: args.log_file.as_ref().map(PathBuf::from),
    })
}

/// The first lines of the log: what starts, from which file, and what is passed over or was found.
fn introduce(args: &Args, parts: &Parts, ground: &Ground, log: &mut LogSink) {
    say(log, Level::Info, &format!("Starting {BANNER}"));
    say(log, Level::Info, &running_on());
    say(log, Level::Info, &command_line());
    for line in opening(&args.config) {
        say(log, Level::Info, &line);
    }
    for complaint in &parts.complaints {
        say(log, Level::Warning, &complaint.to_string());
    }
    for line in parts.canonical.lines() {
        say(log, Level::Info, line);
    }
    for text in outside(args) {
        say(log, Level::Warning, text);
    }
    if let Err(why) = &ground.pid_file {
        say(log, Level::Warning, &format!("no pid file: {why}"));
    }
    match ground.old_vrrpd {
        Some(predecessor::End::Own) => {
            say(log, Level::Info, "waited for the vrrpd of a killed keepalived to end")
        }
        Some(predecessor::End::Killed) => {
            say(log, Level::Warning, "the vrrpd of a killed keepalived didn't end by itself: killed")
        }
        None => {}
    }
}

fn command_line() -> String {
    let words: Vec<String> =
        std::env::args_os().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    format!("Command line: {}", words.join(" "))
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

/// Withdraws what a suite before has left in the kernel.
fn withdraw_left(args: &Args, parts: &Parts, ground: &mut Ground, log: &mut LogSink) {
    let killed = ground.was_left_by_a_killed_one();
    let whose = if killed { "left by a killed suite" } else { "there before the start" };
    // Beside a suite of checks alone addresses and routes may be those of another one that lives.
    if runs_vrrp(args) {
        // Whatever made it: what only a Master holds, nobody holds before the first election.
        ground.left.add(&parts.parent.leftovers(args.release_addresses));
    }
    match addresses::withdraw(&ground.left, reactor::now) {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => {
            say(log, Level::Warning, &format!("{whose}, withdrawn: {}", removed.join(" ")));
        }
        Err(why) => say(log, Level::Error, &format!("leftovers can't be withdrawn: {why}")),
    }
    if let Err(error) = PingRange::of(&ground.place.run_dir).restore() {
        let text = format!("ping_group_range was left changed by a killed suite: {error}");
        say(log, Level::Warning, &text);
    }
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

/// Takes its name and its umask, and gives up what the suite doesn't need.
fn reduce_self(args: &Args, process: &ProcessSettings, bounding_reduced: bool, log: &mut LogSink) {
    if let Some(name) = &process.names.parent
        && let Err(error) = sandbox::name_process(name)
    {
        say(log, Level::Warning, &format!("process_name: {error}"));
    }
    if let Err(error) = sandbox::reduce_parent(&kept(process), bounding_reduced) {
        say(log, Level::Error, &format!("own privileges can't be reduced: {error}"));
    }
    environment::set_umask(args.umask.or(process.umask).unwrap_or(environment::UMASK));
}
