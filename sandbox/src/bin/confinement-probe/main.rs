//! Stands in a daemon's place and tries every forbidden act. Never installed.
//!
//! `confinement-probe PLACE [ACT...]`, PLACE being `unconfined`, `spawned`, `vrrpd`, `checkd`, `ipvsd` or `worker`.
//! Started under another program's name without a known PLACE (a copy of the probe in the place of a daemon, started
//! by the real parent), the file name is the place, and the acts are the words of the file `acts` in the directory
//! `probe-results` beside the executable. Without acts, all that the process survives are tried.
//! `confinement-probe list` names the acts. More words may stand among the acts: `strict` (an unlisted system call ends
//! the process), `panic` (panics before the first act), `abort` (aborts then), `no-landlock` (as on a kernel without it).
//!
//! It opens what the acts need, confines itself as the daemon of that name would, and writes one line for each act:
//! name, expected, got. An act that must end the process is announced with `trying` instead of a result, so that the
//! watcher compares the way it ended. Then `refused COUNT LAST` and `done`; it ends when its fd 3 does. Lines go to a
//! file in the directory `probe-results` beside the executable if there is one, else to fd 3 if that is a socket, else
//! to standard output.

mod acts;
mod fixture;
mod raw;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use sandbox::profile::{CHECKD, IPVSD, Profile, VRRPD, WORKER};
use sandbox::system::{fd, trap};
use sandbox::{Confinement, Grants, UnknownCalls, confine, start_daemon};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use acts::{ACTS, Act, Outcome, Place};
use fixture::Fixture;

/// Directory for results beside the executable.
const RESULTS: &str = "probe-results";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads standard error, the exit status has to do.
            let _ = writeln!(io::stderr(), "confinement-probe: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<()> {
    let executable = std::env::current_exe()?;
    let mut arguments = std::env::args().skip(1);
    let named = arguments.next();
    if named.as_deref() == Some("list") {
        return list();
    }
    let own_name = executable.file_name().and_then(|name| name.to_str());
    let (place, wanted) = match (named.as_deref().and_then(place), own_name.and_then(place)) {
        (Some(place), _) => (place, arguments.collect()),
        (None, Some(place)) => (place, acts_of_file(&executable)),
        (None, None) => return Err(io::Error::other("no such place")),
    };
    let channel = fd::take_channel().ok();
    // No profile lets it change that later.
    if let Some(channel) = &channel {
        channel.set_nonblocking(false)?;
    }
    let mut output = Output::choose(&executable, place, channel.as_ref())?;
    let fixture = Fixture::open()?;
    if place == Place::Unconfined {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        let (nothing, private) =
            (None::<&str>, nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE);
        nix::mount::mount(nothing, "/", nothing, private, nothing)?;
    }
    let has_word = |word: &str| wanted.iter().any(|name| name == word);
    if let Some(profile) = profile(place) {
        let confinement = confine_as_daemon(place, profile, &fixture, &has_word)?;
        output.line(format_args!("landlock {} {}", confinement.landlock_abi, confinement.scopes))?;
    }
    assert!(!has_word("panic"), "as asked\nin two lines");
    if has_word("abort") {
        std::process::abort();
    }
    for act in ACTS.iter().filter(|act| is_wanted(act, place, &wanted)) {
        attempt(act, place, &fixture, &mut output)?;
    }
    let (count, last) = trap::unknown_calls();
    output.line(format_args!("refused {count} {last}"))?;
    output.line(format_args!("done"))?;
    channel.as_ref().map_or(Ok(()), wait_for_end)
}

/// The words of the file that chooses the acts where the command line belongs to somebody else.
fn acts_of_file(executable: &Path) -> Vec<String> {
    let file = executable.with_file_name(RESULTS).join("acts");
    std::fs::read_to_string(file).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Writes the name of every act.
fn list() -> io::Result<()> {
    for act in ACTS {
        writeln!(io::stdout(), "{}", act.name)?;
    }
    Ok(())
}

fn place(name: &str) -> Option<Place> {
    match name {
        "unconfined" => Some(Place::Unconfined),
        "spawned" => Some(Place::Spawned),
        "vrrpd" => Some(Place::Vrrpd),
        "checkd" => Some(Place::Checkd),
        "ipvsd" => Some(Place::Ipvsd),
        "worker" => Some(Place::Worker),
        _ => None,
    }
}

fn profile(place: Place) -> Option<&'static Profile> {
    match place {
        Place::Unconfined | Place::Spawned => None,
        Place::Vrrpd => Some(&VRRPD),
        Place::Checkd => Some(&CHECKD),
        Place::Ipvsd => Some(&IPVSD),
        Place::Worker => Some(&WORKER),
    }
}

/// The same two calls that a daemon's main makes; checkd alone has a port to connect to.
fn confine_as_daemon(
    place: Place,
    profile: &'static Profile,
    fixture: &Fixture,
    has_word: &dyn Fn(&str) -> bool,
) -> io::Result<Confinement> {
    start_daemon(profile)?;
    if has_word("no-landlock") {
        hide_landlock().map_err(io::Error::other)?;
    }
    let ports = [fixture.granted.port];
    let tcp_connect_ports: &[u16] = if place == Place::Checkd { &ports } else { &[] };
    let grants = Grants { tcp_connect_ports, tcp_bind_ports: &[], udp: false };
    let unknown = if has_word("strict") { UnknownCalls::Exit } else { UnknownCalls::Refuse };
    confine(profile, &grants, unknown).map_err(io::Error::other)
}

/// Makes the kernel answer as one without landlock does.
fn hide_landlock() -> Result<(), seccompiler::Error> {
    let call = (libc::SYS_landlock_create_ruleset, Vec::new());
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new([call].into(), SeccompAction::Allow, refused, architecture)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

fn is_wanted(act: &Act, place: Place, wanted: &[String]) -> bool {
    if wanted.is_empty() {
        act.expected(place).is_survived()
    } else {
        wanted.iter().any(|name| name == act.name)
    }
}

fn attempt(act: &Act, place: Place, fixture: &Fixture, output: &mut Output) -> io::Result<()> {
    let expected = act.expected(place);
    if !expected.is_survived() {
        output.line(format_args!("{} {expected} trying", act.name))?;
    }
    let got = match (act.attempt)(fixture) {
        Ok(()) => Outcome::Works,
        Err(error) => Outcome::Fails(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    };
    output.line(format_args!("{} {expected} {got}", act.name))
}

/// Where the lines go.
enum Output {
    File(File),
    Channel(UnixStream),
    Standard(io::Stdout),
}

impl Output {
    fn choose(executable: &Path, place: Place, channel: Option<&UnixStream>) -> io::Result<Self> {
        let directory: PathBuf = executable.with_file_name(RESULTS);
        if directory.is_dir() {
            let name = format!("{place:?}-{}", std::process::id()).to_lowercase();
            return Ok(Self::File(File::create(directory.join(name))?));
        }
        match channel {
            Some(channel) => Ok(Self::Channel(channel.try_clone()?)),
            None => Ok(Self::Standard(io::stdout())),
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        let line = format!("{text}\n");
        match self {
            Self::File(file) => file.write_all(line.as_bytes()),
            Self::Channel(channel) => channel.write_all(line.as_bytes()),
            Self::Standard(standard) => standard.write_all(line.as_bytes()).and_then(|()| standard.flush()),
        }
    }
}

/// Stays to be looked at until the other end closes.
fn wait_for_end(channel: &UnixStream) -> io::Result<()> {
    let mut buffer = [0_u8; 64];
    while recv(channel.as_raw_fd(), &mut buffer, MsgFlags::empty())? > 0 {}
    Ok(())
}
