//! Starts the confinement probe in each daemon's place through [`sandbox::spawn`] and looks at it from inside and
//! outside. Root only: without root these tests fail, they are never passed over.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::profile::{CHECKD, IPVSD, Profile, VRRPD, WORKER};
use sandbox::system::process::{Ending, pidfd_send_signal, wait_pidfd};
use sandbox::user::{Ids, choose_ids};
use sandbox::{SpawnError, SpawnSpec, Spawned, spawn};

/// The probe where an unprivileged user can execute it, removed at the end.
struct Probe {
    directory: PathBuf,
    ids: [Ids; 4],
}

impl Probe {
    fn new(test: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        let directory = std::env::temp_dir().join(format!("sandbox-{test}-{}", std::process::id()));
        fs::create_dir(&directory).expect("new directory");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("mode");
        fs::copy(env!("CARGO_BIN_EXE_confinement-probe"), directory.join("probe")).expect("copy");
        Self { directory, ids: choose_ids(None).expect("users") }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("probe")
    }

    /// Starts the probe as the daemon of `profile` and returns our end of its channel.
    fn start(&self, profile: &'static Profile, arguments: &[&str]) -> (Spawned, UnixStream) {
        let index = PLACES.iter().position(|(_, known)| known.name == profile.name).expect("a place");
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        let spec = SpawnSpec {
            executable: &self.path(),
            argv0: profile.name,
            arguments,
            profile,
            identity: Some(self.ids[index]),
            channel: OwnedFd::from(theirs),
            realtime: None,
            environment: &[("PROBE", "1")],
        };
        (spawn(&spec).expect("spawned"), ours)
    }

    /// Names of the acts.
    fn acts(&self) -> Vec<String> {
        let output = Command::new(self.path()).arg("list").output().expect("probe runs");
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).expect("removed");
    }
}

/// Name of the place and its profile, in the order of the chosen users.
const PLACES: [(&str, &Profile); 4] =
    [("vrrpd", &VRRPD), ("checkd", &CHECKD), ("ipvsd", &IPVSD), ("worker", &WORKER)];

/// Reads lines up to `done`.
fn results(channel: &UnixStream) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(channel).lines() {
        let line = line.expect("a line");
        if line == "done" {
            return lines;
        }
        lines.push(line);
    }
    panic!("ended early, after {lines:?}");
}

fn wait(spawned: &Spawned) -> Ending {
    let mut fds = [PollFd::new(spawned.pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(60_000_u16)).expect("poll");
    wait_pidfd(spawned.pidfd.as_fd()).expect("waitid").expect("ended within a minute")
}

/// Every line `act expected got` of which the two last differ.
fn surprises(lines: &[String]) -> Vec<String> {
    let is_surprise = |line: &&String| {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["landlock" | "refused", ..] | [_, "any", _] => false,
            [_, expected, got] => expected != got,
            _ => true,
        }
    };
    lines.iter().filter(is_surprise).cloned().collect()
}

#[test]
fn every_act_is_possible_before_it_is_refused() {
    let probe = Probe::new("possible");
    for act in probe.acts() {
        let mut command = Command::new(probe.path());
        let output = command.args(["unconfined", &act]).stdin(Stdio::null()).output().expect("probe runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let line = text.lines().next().unwrap_or_default();
        if line.ends_with(" replaced trying") {
            assert_eq!((text.lines().count(), output.status.code()), (1, Some(0)), "{text}");
        } else {
            assert_eq!(surprises(&[line.to_owned()]), [""; 0], "{act}");
        }
    }
}

#[test]
fn every_survivable_act_ends_as_the_table_says() {
    let probe = Probe::new("survivable");
    for (place, profile) in PLACES.into_iter().chain([("spawned", &CHECKD)]) {
        let (spawned, channel) = probe.start(profile, &[place]);
        let lines = results(&channel);
        assert!(lines.len() > 30, "{lines:?}");
        assert_eq!(surprises(&lines), [""; 0], "{place}");
        drop(channel);
        assert_eq!(wait(&spawned), Ending::Exited(0), "{place}");
    }
}

#[test]
fn a_fault_signal_ends_each_daemon() {
    let probe = Probe::new("fault");
    for (place, profile) in PLACES {
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT] {
            let (spawned, channel) = probe.start(profile, &[place, "socket-udp"]);
            results(&channel);
            pidfd_send_signal(spawned.pidfd.as_fd(), signal).expect("signal");
            assert_eq!(wait(&spawned), Ending::Signalled(signal), "{place}");
        }
    }
}

#[test]
fn every_act_of_the_never_list_kills_each_daemon() {
    let probe = Probe::new("never");
    for (place, profile) in PLACES {
        let mut killed = 0;
        for act in probe.acts() {
            let (spawned, mut channel) = probe.start(profile, &[place, &act]);
            channel.shutdown(std::net::Shutdown::Write).expect("shutdown");
            let mut output = String::new();
            channel.read_to_string(&mut output).expect("text");
            if output.ends_with(" killed trying\n") {
                assert_eq!(wait(&spawned), Ending::Signalled(31), "{place}: {act}");
                killed += 1;
            } else {
                assert!(output.ends_with("done\n") && !output.contains("trying"), "{place}: {act}: {output}");
                assert_eq!(wait(&spawned), Ending::Exited(0), "{place}: {act}");
            }
        }
        assert_eq!(killed, 19, "{place}");
    }
}

/// `/proc/PID/status` as a map.
fn status(pid: i32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

#[test]
fn the_kernel_shows_exactly_the_profile() {
    let probe = Probe::new("status");
    let capabilities = ["0000000000003000", "0000000000000000", "0000000000001000", "0000000000000004"];
    for ((place, profile), (capabilities, ids)) in
        PLACES.into_iter().zip(capabilities.into_iter().zip(probe.ids))
    {
        let (spawned, channel) = probe.start(profile, &[place, "list-root"]);
        results(&channel);
        let status = status(spawned.pid);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status[set], capabilities, "{place} {set}");
        }
        assert_eq!(status["Uid"], [ids.uid.to_string().as_str(); 4].join("\t"), "{place}");
        assert_eq!(status["Gid"], [ids.gid.to_string().as_str(); 4].join("\t"), "{place}");
        assert_eq!(status["Groups"], "", "{place}");
        assert_eq!((status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()), ("1", "2"), "{place}");
        assert_eq!(status["Umask"], "0077", "{place}");
        assert_eq!(status["SigBlk"], "0000000000000000", "{place}");
        // HUP 1, INT 2, USR1 10, USR2 12, PIPE 13, TERM 15.
        assert_eq!(status["SigIgn"], "0000000000805a03", "{place}");
        assert_eq!(status["Threads"], "1", "{place}");
        drop(channel);
        assert_eq!(wait(&spawned), Ending::Exited(0), "{place}");
    }
    let mut uids: Vec<u32> = probe.ids.iter().map(|ids| ids.uid).collect();
    uids.dedup();
    assert!(uids.len() == 4 && !uids.contains(&0) && !uids.contains(&65534), "{uids:?}");
}

#[test]
fn a_started_daemon_has_its_channel_its_environment_and_its_own_session() {
    let probe = Probe::new("start");
    let leaked = fs::File::open("/dev/zero").expect("open");
    nix::fcntl::fcntl(&leaked, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))
        .expect("inheritable");
    let (spawned, channel) = probe.start(&CHECKD, &["spawned", "none"]);
    results(&channel);
    let process = PathBuf::from(format!("/proc/{}", spawned.pid));
    let target = |fd: &str| fs::read_link(process.join("fd").join(fd)).expect("link");
    for standard in ["0", "1", "2"] {
        assert_eq!(target(standard), Path::new("/dev/null"));
    }
    assert!(target("3").to_string_lossy().starts_with("socket:"));
    let fds = fs::read_dir(process.join("fd")).expect("fds").map(|fd| fd.expect("fd").path());
    assert_eq!(fds.filter(|fd| fs::read_link(fd).is_ok_and(|to| to == Path::new("/dev/zero"))).count(), 0);
    assert_eq!(fs::read(process.join("environ")).expect("environ"), b"PROBE=1\0");
    assert_eq!(fs::read(process.join("cmdline")).expect("cmdline"), b"checkd\0spawned\0none\0");
    assert_eq!(fs::read_link(process.join("cwd")).expect("cwd"), Path::new("/"));
    let stat = fs::read_to_string(process.join("stat")).expect("stat");
    let after_name: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    assert_eq!(after_name[3], spawned.pid.to_string(), "session");
    let limits = fs::read_to_string(process.join("limits")).expect("limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("limit");
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max open files"), ["16384", "16384"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max address space"), ["1073741824", "1073741824"]);
    drop(channel);
    assert_eq!(wait(&spawned), Ending::Exited(0));
}

#[test]
fn refused_calls_are_counted_with_the_number_of_the_last() {
    let probe = Probe::new("count");
    let (spawned, channel) = probe.start(&IPVSD, &["ipvsd", "socket-udp", "clone3"]);
    let lines = results(&channel);
    // clone3 is refused quietly; socket is call 41 on x86_64 and 198 on aarch64.
    let last = if cfg!(target_arch = "x86_64") { "refused 1 41" } else { "refused 1 198" };
    assert_eq!(lines.last().map(String::as_str), Some(last));
    drop(channel);
    assert_eq!(wait(&spawned), Ending::Exited(0));
}

#[test]
fn a_signal_for_the_whole_group_does_not_end_a_daemon() {
    let probe = Probe::new("signal");
    let (spawned, channel) = probe.start(&VRRPD, &["vrrpd"]);
    results(&channel);
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2] {
        pidfd_send_signal(spawned.pidfd.as_fd(), signal).expect("sent");
    }
    assert_eq!(wait_pidfd(spawned.pidfd.as_fd()).expect("waitid"), None);
    drop(channel);
    assert_eq!(wait(&spawned), Ending::Exited(0));
}

/// Why a start of vrrpd that must fail has failed.
fn failure(executable: &Path, realtime: Option<u8>) -> SpawnError {
    let (_ours, theirs) = UnixStream::pair().expect("socketpair");
    let spec = SpawnSpec {
        executable,
        argv0: "vrrpd",
        arguments: &[],
        profile: &VRRPD,
        identity: Some(Ids { uid: 64540, gid: 64540 }),
        channel: OwnedFd::from(theirs),
        realtime,
        environment: &[],
    };
    let spawned = spawn(&spec).expect("forked");
    assert_eq!(wait(&spawned), Ending::Exited(127));
    spawned.attempt.failure().expect("refused")
}

#[test]
fn a_missing_program_is_an_error_that_names_it() {
    let error = failure(Path::new("/nonexistent/vrrpd"), None);
    assert_eq!(error.to_string(), "cannot execute /nonexistent/vrrpd");
    assert!(
        matches!(error, SpawnError::Execute { source, .. } if source.raw_os_error() == Some(libc::ENOENT))
    );
}

#[test]
fn a_refused_step_is_an_error_that_names_it() {
    let error = failure(Path::new("/bin/true"), Some(200));
    assert_eq!(error.to_string(), "cannot prepare vrrpd for its start: Realtime");
    assert!(
        matches!(error, SpawnError::Prepare { source, .. } if source.raw_os_error() == Some(libc::EINVAL))
    );
}

#[test]
fn without_landlock_the_filters_still_hold_and_the_lack_is_told() {
    let probe = Probe::new("no-landlock");
    let (spawned, channel) = probe.start(
        &CHECKD,
        &["checkd", "no-landlock", "open-shadow", "open-passwd", "fork", "connect-other", "connect-abstract"],
    );
    let lines = results(&channel);
    // The table speaks of a kernel with landlock; what counts here is the last word.
    assert_eq!(
        lines[..6],
        [
            "landlock 0 false",
            "open-shadow ENOSYS ENOSYS",
            "open-passwd ENOSYS ENOSYS",
            "fork ENOSYS ENOSYS",
            "connect-other EACCES ok",
            "connect-abstract EPERM ok",
        ]
    );
    drop(channel);
    assert_eq!(wait(&spawned), Ending::Exited(0));
}

#[test]
fn the_channel_arrives_at_fd_3_whatever_its_number_was() {
    let probe = Probe::new("channel");
    // Low numbers are free, then taken one by one: the channel is once 3 itself, once above it with 3 free.
    for fillers in 0..4 {
        let mut filler: Vec<fs::File> =
            (0..fillers).map(|_| fs::File::open("/dev/zero").expect("open")).collect();
        let (theirs, ours) = UnixStream::pair().expect("socketpair");
        filler.clear();
        let spec = SpawnSpec {
            executable: &probe.path(),
            argv0: "checkd",
            arguments: &["checkd", "fork"],
            profile: &CHECKD,
            identity: Some(probe.ids[1]),
            channel: OwnedFd::from(theirs),
            realtime: None,
            environment: &[],
        };
        let spawned = spawn(&spec).expect("spawned");
        drop(spec);
        assert_eq!(results(&ours)[1], "fork ENOSYS ENOSYS");
        drop(ours);
        assert_eq!(wait(&spawned), Ending::Exited(0));
    }
}

#[test]
fn under_the_name_of_a_daemon_the_probe_takes_its_place_and_writes_to_a_directory() {
    let probe = Probe::new("named");
    let (executable, results) = (probe.directory.join("ipvsd"), probe.directory.join("probe-results"));
    fs::copy(probe.path(), &executable).expect("copy");
    fs::create_dir(&results).expect("directory");
    fs::set_permissions(&results, fs::Permissions::from_mode(0o777)).expect("mode");
    fs::write(results.join("acts"), "fork\nsocket-tcp\n").expect("acts");
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    let spec = SpawnSpec {
        executable: &executable,
        argv0: "ipvsd",
        arguments: &["--anything"],
        profile: &IPVSD,
        identity: Some(probe.ids[2]),
        channel: OwnedFd::from(theirs),
        realtime: None,
        environment: &[],
    };
    let spawned = spawn(&spec).expect("spawned");
    drop(ours);
    assert_eq!(wait(&spawned), Ending::Exited(0));
    let text = fs::read_to_string(results.join(format!("ipvsd-{}", spawned.pid))).expect("results");
    assert!(text.contains("\nfork ENOSYS ENOSYS\nsocket-tcp ENOSYS ENOSYS\nrefused 2 "), "{text}");
    assert!(text.ends_with("\ndone\n"), "{text}");
}

/// Runs the probe with its standard error open; the probe stays root but is confined as ipvsd.
fn standard_error(probe: &Probe, word: &str) -> (String, Option<i32>) {
    let mut command = Command::new(probe.path());
    command.args(["ipvsd", word, "socket-udp"]).env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    let output = command.output().expect("probe runs");
    (String::from_utf8(output.stderr).expect("text"), output.status.code())
}

#[test]
fn strict_mode_exits_at_an_unlisted_call_with_its_number() {
    let (text, status) = standard_error(&Probe::new("strict"), "strict");
    let number = if cfg!(target_arch = "x86_64") { 41 } else { 198 };
    assert_eq!(text, format!("system call not in the profile, number {number}\n"));
    assert_eq!(status, Some(159));
}

#[test]
fn a_panic_in_a_confined_daemon_is_one_line_and_an_exit() {
    let (text, status) = standard_error(&Probe::new("panic"), "panic");
    assert!(text.starts_with("ipvsd: panicked at "), "{text}");
    assert!(text.ends_with(": as asked in two lines\n"), "{text}");
    assert_eq!((text.lines().count(), status), (1, Some(134)));
}
