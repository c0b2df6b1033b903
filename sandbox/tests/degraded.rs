//! A parent with few capabilities, as in a usual container: what its daemons still are. Root only.
//!
//! One test in this file: it reduces its own process for good.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::profile::{CHECKD, Capability, Profile, VRRPD};
use sandbox::system::process::{Ending, wait_pidfd};
use sandbox::user::Ids;
use sandbox::{SpawnSpec, abilities, reduce_parent, spawn};

const IDS: Ids = Ids { uid: 64600, gid: 64600 };

/// Starts the probe under `profile` and returns `/proc/PID/status` of the confined process.
fn status_of(
    executable: &Path,
    place: &str,
    profile: &'static Profile,
    identity: Option<Ids>,
) -> BTreeMap<String, String> {
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    let spawned = spawn(&SpawnSpec {
        executable,
        argv0: place,
        arguments: &[place, "open-shadow", "fork"],
        profile,
        identity,
        channel: OwnedFd::from(theirs),
        realtime: Some(10),
        environment: &[],
    })
    .expect("spawned");
    let lines: Vec<String> = BufReader::new(&ours).lines().take(5).map(|line| line.expect("line")).collect();
    assert_eq!(lines[1..3], ["open-shadow ENOSYS ENOSYS", "fork ENOSYS ENOSYS"], "{place}");
    let text = fs::read_to_string(format!("/proc/{}/status", spawned.pid)).expect("status");
    drop(ours);
    let mut fds = [PollFd::new(spawned.pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(60_000_u16)).expect("poll");
    assert_eq!(wait_pidfd(spawned.pidfd.as_fd()).expect("waitid"), Some(Ending::Exited(0)));
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

fn sets(status: &BTreeMap<String, String>) -> [&str; 4] {
    ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| status[set].as_str())
}

/// Goes with the test, also when the parent that it has reduced fails.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("sandbox-degraded-{}", std::process::id()));
        fs::create_dir(&path).expect("new directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_reduced_parent_starts_daemons_that_hold_no_more_than_their_profile() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
    let directory = Directory::new();
    let probe = directory.0.join("probe");
    fs::copy(env!("CARGO_BIN_EXE_confinement-probe"), &probe).expect("copy");
    let own = || fs::read_to_string("/proc/thread-self/status").expect("status");

    // SETUID and SETGID without SETPCAP: another user, no lock on the bounding set.
    let some =
        [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];
    assert_eq!(reduce_parent(&some, true).expect("reduced"), []);
    assert!(own().contains("CapEff:\t00000000000030c0\n") && own().contains("CapBnd:\t00000000000030c0\n"));
    let status = status_of(&probe, "vrrpd", &VRRPD, Some(IDS));
    assert_eq!(sets(&status), ["0000000000003000"; 4]);
    assert_eq!(
        (status["Uid"].as_str(), status["CapBnd"].as_str()),
        ("64600\t64600\t64600\t64600", "00000000000030c0")
    );

    // NET_ADMIN and NET_RAW only: the same user, and still not a capability too many.
    let missing =
        reduce_parent(&[Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW, Capability::CAP_KILL], false);
    assert_eq!(missing.expect("reduced"), [Capability::CAP_KILL]);
    assert!(!abilities().expect("abilities").change_identity);
    let status = status_of(&probe, "vrrpd", &VRRPD, Some(IDS));
    assert_eq!(sets(&status), ["0000000000003000"; 4]);
    assert_eq!(status["Uid"], "0\t0\t0\t0");
    let status = status_of(&probe, "checkd", &CHECKD, None);
    assert_eq!(sets(&status), ["0000000000000000"; 4]);
    assert_eq!((status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()), ("1", "2"));
}
