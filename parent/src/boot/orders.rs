//! What a command line orders that starts no suite: versions, numbers of signals, the test of a configuration, the hash of
//! a page, and the withdrawal of what a killed suite has left.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::diagnostic::{Severity, Tolerance};
use config::model::parts::Held;
use config::model::process::ProcessSettings;
use ipc::reactor;
use sandbox::spawn::abilities;

use super::powers::choose_users;
use super::{
    BANNER, Failure, claim, daemon_dir, enter_namespace, exit, facility, fatal, first_load, given,
    running_on, tell, what,
};
use crate::append;
use crate::args::Args;
use crate::effects::addresses;
use crate::place::Place;
use crate::record::Record;
use crate::resign;
use crate::{reader, worker};

pub(super) fn version() -> Result<ExitCode, Failure> {
    tell(&format!("{BANNER}\n\n{}", running_on()));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn signal_number(name: &str) -> Result<ExitCode, Failure> {
    let realtime = sandbox::system::process::realtime_signals();
    let number = match name {
        "STOP" => 15,
        "RELOAD" => 1,
        "DATA" => 10,
        "STATS" => 12,
        "STATS_CLEAR" => realtime.clear,
        "JSON" => realtime.json,
        "TDUMP" => realtime.threads,
        other => return Err(Failure::new(exit::FATAL, format!("Unknown sigfunc {other}"))),
    };
    writeln!(io::stdout(), "{number}").map_err(fatal)?;
    Ok(ExitCode::SUCCESS)
}

/// `-t`: this program reads no configuration, and becomes the one that does.
pub(super) fn hand_over() -> Result<ExitCode, Failure> {
    use std::os::unix::process::CommandExt;
    let executable = std::env::current_exe().map_err(fatal)?;
    let program = daemon_dir(&executable)?.join(worker::PROGRAM);
    let error = std::process::Command::new(&program).args(std::env::args_os().skip(1)).exec();
    Err(Failure::new(exit::FATAL, format!("{}: {error}", program.display())))
}

/// `-t`: 0 accepted, 5 refused, 6 without a file.
pub(super) fn config_test(args: &Args, log: &str) -> Result<ExitCode, Failure> {
    facility(&args.log_facility).map_err(|problem| Failure { code: exit::TEST_FAILED, ..problem })?;
    let loaded = reader::load_system(&what(args), Tolerance::Nothing);
    let text = config::diagnostic::human(&loaded.diagnostics);
    if log.is_empty() {
        let _unheard = io::stderr().write_all(text.as_bytes());
    } else {
        append::open(Path::new(log))
            .and_then(|mut file| file.write_all(text.as_bytes()))
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

/// `keepalived -T ..`: another program of the suite does that.
#[must_use]
pub fn genhash(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
    let bin = beside.as_ref().and_then(|beside| Some(beside.parent()?.join("bin")));
    let places = [beside, bin, Some(PathBuf::from("/usr/bin"))].into_iter().flatten();
    let Some(program) = places.map(|place| place.join("genhash")).find(|path| path.is_file()) else {
        tell("genhash is not installed");
        return ExitCode::from(exit::FATAL);
    };
    let error = std::process::Command::new(&program).args(arguments).exec();
    tell(&format!("{}: {error}", program.display()));
    ExitCode::from(exit::FATAL)
}

/// In the default run directory also what suites with a name of their own have left, unless they run.
pub(super) fn withdraw_leftovers(args: &Args) -> Result<ExitCode, Failure> {
    enter_namespace(args.namespace.as_deref())?;
    let place = Place::of(&given(args), &ProcessSettings::default());
    let mut records = vec![claim(&place.run_dir)?];
    if args.run_dir.is_none() && args.namespace.is_none() {
        let named = std::fs::read_dir(&place.run_dir).into_iter().flatten().filter_map(Result::ok);
        let named = named.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        records.extend(named.filter_map(|entry| Record::claim(&entry.path()).ok()));
    }
    if let Some((_, left)) = records.first()
        && let Err(failure) = resign(args, left)
    {
        tell(&format!("peers are not told: {}", failure.text));
    }
    for (record, left) in records {
        let removed = addresses::withdraw(&left, reactor::now).map_err(fatal)?;
        for address in removed {
            tell(&format!("withdrawn: {address}"));
        }
        record.remove();
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the peers of instances that were Master when everything was killed; the configuration says how.
fn resign(args: &Args, left: &Held) -> Result<(), Failure> {
    let here = addresses::still_here(left, reactor::now).map_err(fatal)?;
    if here.is_empty() {
        return Ok(());
    }
    let executable = std::env::current_exe().map_err(fatal)?;
    let daemon_dir = daemon_dir(&executable)?;
    let able = abilities().map_err(fatal)?;
    let identities = choose_users(able, None)?;
    let parts = first_load(args, &daemon_dir, identities)?;
    let identities = choose_users(able, parts.parent.process.daemon_uid_range)?;
    let vrrpd = identities.map(|all| all[0]);
    for line in resign::resign(&daemon_dir, vrrpd, &parts, &here, reactor::now).map_err(fatal)? {
        tell(&line);
    }
    Ok(())
}
