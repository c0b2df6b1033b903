//! Which four unprivileged users the processes run as.
//!
//! [`find_ids`] decides, [`choose_ids`] reads `/etc/passwd` and `/proc` for it, without name service modules. Called by
//! the parent at start. A distinct user for each process keeps one of them from signalling or tracing another, and a
//! user without any other process keeps the rest of the machine out of reach.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use thiserror::Error;

use crate::profile::{CHECKD, IPVSD, VRRPD, WORKER};

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Users that a package creates, in the order in which ids are returned: vrrpd, checkd, ipvsd, worker.
pub const PACKAGED_USERS: [&str; 4] = [VRRPD.user, CHECKD.user, IPVSD.user, WORKER.user];

/// Numeric users tried without packaged ones, first and last: 128 groups of four.
pub const DEFAULT_RANGE: (u32, u32) = (64540, 65051);

/// Why no users could be chosen.
#[derive(Debug, Error)]
pub enum UserError {
    /// A packaged user is root, nobody, or shares its ids with another one.
    #[error("system user {name} has uid {uid} and gid {gid}: each needs its own, and neither 0 nor nobody's")]
    Unfit {
        /// The user.
        name: String,
        /// Its uid.
        uid: u32,
        /// Its gid.
        gid: u32,
    },
    /// Every group of four in the range has a user, a group or a process.
    #[error("no four free users in a row in daemon_uid_range {first}-{last}")]
    NoneFree {
        /// Start of the range.
        first: u32,
        /// End of the range.
        last: u32,
    },
    /// The list of users or processes cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// What was read.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Chooses the users of vrrpd, checkd, ipvsd and the worker, in this order.
///
/// With a `range` the numeric users in it; otherwise the system users named in `users`, if `etc_passwd` has all of
/// them, else numeric users from [`DEFAULT_RANGE`]. Numeric users are four in a row without an entry in `etc_passwd`
/// (neither as user nor as group) and without a running process, never root or nobody. Should all of [`DEFAULT_RANGE`]
/// have processes, its first four are shared, as packaged users are by all suites of a machine; a configured range is
/// never shared.
///
/// # Errors
/// [`UserError::Unfit`], [`UserError::NoneFree`].
pub fn find_ids(
    etc_passwd: &str,
    running_uids: &BTreeSet<u32>,
    range: Option<(u32, u32)>,
    users: [&str; 4],
) -> Result<[Ids; 4], UserError> {
    let entries: Vec<(&str, Ids)> = etc_passwd.lines().filter_map(passwd_entry).collect();
    if range.is_none()
        && let Some(ids) = packaged(&entries, users)?
    {
        return Ok(ids);
    }
    let (first, last) = range.unwrap_or(DEFAULT_RANGE);
    let unnamed = |id: u32| is_fit(id) && !entries.iter().any(|(_, ids)| ids.uid == id || ids.gid == id);
    let idle = |id: u32| unnamed(id) && !running_uids.contains(&id);
    four_in_a_row(first, last, idle)
        .or_else(|| range.is_none().then(|| four_in_a_row(first, last, unnamed)).flatten())
        .ok_or(UserError::NoneFree { first, last })
}

/// The first group of four from `first` to `last` of which each member is `good`.
fn four_in_a_row(first: u32, last: u32, good: impl Fn(u32) -> bool) -> Option<[Ids; 4]> {
    let mut start = first;
    loop {
        let end = start.checked_add(3).filter(|end| *end <= last)?;
        if (start..=end).all(&good) {
            return Some([0, 1, 2, 3].map(|offset| Ids { uid: start + offset, gid: start + offset }));
        }
        start = end.checked_add(1)?;
    }
}

/// The ids of all four users, `None` if one of them is missing.
fn packaged(entries: &[(&str, Ids)], users: [&str; 4]) -> Result<Option<[Ids; 4]>, UserError> {
    let found = users.map(|user| entries.iter().find(|(name, _)| *name == user).map(|(_, ids)| *ids));
    let [Some(vrrpd), Some(checkd), Some(ipvsd), Some(worker)] = found else { return Ok(None) };
    let all = [vrrpd, checkd, ipvsd, worker];
    let mut seen = BTreeSet::new();
    for (name, ids) in users.iter().zip(all) {
        if !is_fit(ids.uid) || !is_fit(ids.gid) || !seen.insert(ids.uid) {
            return Err(UserError::Unfit { name: (*name).to_owned(), uid: ids.uid, gid: ids.gid });
        }
    }
    Ok(Some(all))
}

/// Neither root, nor nobody (65534), nor the 16-bit and 32-bit values that mean "no user".
fn is_fit(id: u32) -> bool {
    !matches!(id, 0 | 65534 | 65535 | u32::MAX)
}

/// Name and ids of one line of passwd(5); `None` for anything else.
fn passwd_entry(line: &str) -> Option<(&str, Ids)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((name, Ids { uid, gid }))
}

/// [`find_ids`] on this machine.
///
/// # Errors
/// [`UserError`].
pub fn choose_ids(range: Option<(u32, u32)>) -> Result<[Ids; 4], UserError> {
    let path = "/etc/passwd";
    let passwd = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(UserError::Read { path, source }),
    };
    let running = running_uids().map_err(|source| UserError::Read { path: "/proc", source })?;
    find_ids(&passwd, &running, range, PACKAGED_USERS)
}

/// Real, effective, saved and file-system uid of every process that lives. One that ends meanwhile is passed over.
fn running_uids() -> io::Result<BTreeSet<u32>> {
    let mut uids = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if is_process && let Ok(status) = fs::read_to_string(entry.path().join("status")) {
            uids.extend(status_uids(&status));
        }
    }
    Ok(uids)
}

/// The numbers of the `Uid:` line of proc_pid_status(5); none of a process that only waits for its parent's attention.
fn status_uids(status: &str) -> impl Iterator<Item = u32> {
    let dead = status.lines().any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX"));
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).filter(|_| !dead).unwrap_or("");
    line.split_whitespace().filter_map(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        _ka_vrrp:x:981:971::/:/usr/sbin/nologin\n\
        _ka_check:x:982:972::/:/usr/sbin/nologin\n\
        _ka_ipvs:x:983:973::/:/usr/sbin/nologin\n\
        _ka_config:x:984:974::/:/usr/sbin/nologin\n\
        nobody:x:65534:65534::/:/usr/sbin/nologin\n";

    fn uids(found: Result<[Ids; 4], UserError>) -> [(u32, u32); 4] {
        found.expect("users found").map(|ids| (ids.uid, ids.gid))
    }

    #[test]
    fn packaged_users_are_taken_when_all_four_exist() {
        let found = find_ids(PASSWD, &BTreeSet::from([981]), None, PACKAGED_USERS);
        assert_eq!(uids(found), [(981, 971), (982, 972), (983, 973), (984, 974)]);
    }

    #[test]
    fn one_missing_packaged_user_means_numeric_users() {
        let passwd = PASSWD.replace("_ka_ipvs", "other");
        let found = find_ids(&passwd, &BTreeSet::new(), None, PACKAGED_USERS);
        assert_eq!(uids(found), [(64540, 64540), (64541, 64541), (64542, 64542), (64543, 64543)]);
    }

    #[test]
    fn a_configured_range_wins_over_packaged_users() {
        let found = find_ids(PASSWD, &BTreeSet::new(), Some((5000, 5003)), PACKAGED_USERS);
        assert_eq!(uids(found), [(5000, 5000), (5001, 5001), (5002, 5002), (5003, 5003)]);
    }

    #[test]
    fn a_user_a_group_or_a_process_moves_the_choice_four_on() {
        let passwd = "a:x:64541:1::/:\nb:x:1:64547::/:\n";
        let found = find_ids(passwd, &BTreeSet::from([64551]), None, PACKAGED_USERS);
        assert_eq!(uids(found).map(|(uid, _)| uid), [64552, 64553, 64554, 64555]);
    }

    #[test]
    fn a_packaged_user_that_is_root_nobody_or_twice_is_refused() {
        for (from, to) in [(":981:", ":0:"), (":981:", ":65534:"), (":982:", ":981:"), (":971:", ":0:")] {
            let passwd = PASSWD.replace(from, to);
            let found = find_ids(&passwd, &BTreeSet::new(), None, PACKAGED_USERS);
            assert!(matches!(found, Err(UserError::Unfit { .. })), "{from} as {to}");
        }
    }

    #[test]
    fn root_and_nobody_are_never_chosen_and_a_short_range_is_an_error() {
        for range in [(0, 3), (65532, 65535), (u32::MAX - 3, u32::MAX), (7000, 7002), (9, 1)] {
            let found = find_ids("", &BTreeSet::new(), Some(range), PACKAGED_USERS);
            assert!(matches!(found, Err(UserError::NoneFree { .. })), "{range:?}");
        }
    }

    #[test]
    fn broken_lines_are_passed_over() {
        let passwd = "\n:::\nx\nx:y\n# c\nz:x:-1:0\n64540:x:nine:64540:\n";
        let found = find_ids(passwd, &BTreeSet::new(), None, PACKAGED_USERS);
        assert_eq!(uids(found)[0], (64540, 64540));
    }

    #[test]
    fn every_uid_of_a_status_file_counts() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t9\t9\t9\t9\n";
        assert_eq!(status_uids(status).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_dead_process_holds_no_user() {
        let status = "Name:\tx\nState:\tZ (zombie)\nUid:\t1\t2\t3\t4\n";
        assert_eq!(status_uids(status).count(), 0);
    }

    #[test]
    fn a_full_default_range_is_shared_and_a_full_configured_one_is_not() {
        let all: BTreeSet<u32> = (64540..=65051).collect();
        let found = find_ids("a:x:64541:1::/:\n", &all, None, PACKAGED_USERS);
        assert_eq!(uids(found)[0], (64544, 64544));
        let refused = find_ids("", &all, Some((64540, 64547)), PACKAGED_USERS);
        assert!(matches!(refused, Err(UserError::NoneFree { .. })));
    }

    #[test]
    fn this_machine_has_four_users_to_choose() {
        let found = choose_ids(None).expect("users found");
        assert!(found.iter().all(|ids| is_fit(ids.uid) && is_fit(ids.gid)));
    }
}
