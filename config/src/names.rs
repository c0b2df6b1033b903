//! What a configuration names on this machine: users, groups, programs.
//!
//! [`Names`] is what `resolve` asks. [`SystemNames`] answers from the user database and the file system and
//! belongs in the config worker; [`OfflineNames`] judges nothing and serves checks on another machine and tests.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::process::Identity;
use crate::numbers::NumberTable;

/// Directories in which a program without a path is looked for.
pub const SAFE_PATH: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Login name.
    pub name: String,
}

/// Why a program may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptProblem {
    /// There is no such file.
    #[error("{path} does not exist")]
    Missing {
        /// The component that is missing.
        path: String,
    },
    /// It is a directory or something stranger.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// Its path.
        path: String,
    },
    /// Its user can't execute it.
    #[error("{path} is not executable by user id {uid}")]
    NotExecutable {
        /// Its path or the directory that can't be entered.
        path: String,
        /// Who would run it.
        uid: u32,
    },
    /// It would run as root, and this component isn't root's.
    #[error("{component} belongs to user id {owner}, who could replace what root runs")]
    NotOwnedByRoot {
        /// The component of the path.
        component: String,
        /// Its owner.
        owner: u32,
    },
    /// It would run as root, and others may write this component.
    #[error("{component} is writable by others than root, who could replace what root runs")]
    Writable {
        /// The component of the path.
        component: String,
    },
}

/// What the resolver asks of the machine.
pub trait Names {
    /// A user by name or number.
    fn user(&self, name: &str) -> Option<KnownUser>;
    /// A group by name or number.
    fn group(&self, name: &str) -> Option<u32>;
    /// Supplementary groups of a user.
    fn supplementary(&self, user: &KnownUser) -> Vec<u32>;
    /// Whether a program may run as somebody; for root, whether only root can change what runs.
    ///
    /// # Errors
    /// What is against it, with the component of the path that is to blame.
    fn script(&self, path: &str, identity: &Identity) -> Result<(), ScriptProblem>;
    /// Number of a name in a table of iproute2; the first of the directories that has it counts.
    fn number(&self, table: NumberTable, name: &str, directories: &[&str]) -> Option<u32>;
    /// Full path of a program without one, from [`SAFE_PATH`].
    fn find_in_path(&self, program: &str) -> Option<String>;
    /// Address of a host; may wait for the name service.
    fn host(&self, name: &str) -> Option<IpAddr>;
    /// Whether this machine has an interface now.
    fn interface(&self, name: &str) -> bool;
}

/// Name of this machine as uname(2) has it; empty when it is no text.
#[must_use]
pub fn this_node() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// This machine. Answers are kept, so that ten thousand checks of one program look once.
#[derive(Debug, Default)]
pub struct SystemNames {
    scripts: RefCell<HashMap<(String, u32), Result<(), ScriptProblem>>>,
    interfaces: OnceCell<Option<HashSet<String>>>,
}

impl Names for SystemNames {
    fn user(&self, name: &str) -> Option<KnownUser> {
        let found = match name.parse::<u32>() {
            Ok(uid) => nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)),
            Err(_) => nix::unistd::User::from_name(name),
        };
        let user = found.ok().flatten()?;
        Some(KnownUser { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name })
    }

    fn group(&self, name: &str) -> Option<u32> {
        match name.parse::<u32>() {
            Ok(gid) => Some(gid),
            Err(_) => Some(nix::unistd::Group::from_name(name).ok().flatten()?.gid.as_raw()),
        }
    }

    fn supplementary(&self, user: &KnownUser) -> Vec<u32> {
        let Ok(name) = std::ffi::CString::new(user.name.as_str()) else { return Vec::new() };
        let gid = nix::unistd::Gid::from_raw(user.gid);
        let groups = nix::unistd::getgrouplist(&name, gid).unwrap_or_default();
        groups.into_iter().map(nix::unistd::Gid::as_raw).filter(|group| *group != user.gid).collect()
    }

    fn script(&self, path: &str, identity: &Identity) -> Result<(), ScriptProblem> {
        let key = (path.to_owned(), identity.uid);
        if let Some(known) = self.scripts.borrow().get(&key) {
            return known.clone();
        }
        let judged = judge(path, identity);
        self.scripts.borrow_mut().insert(key, judged.clone());
        judged
    }

    fn number(&self, table: NumberTable, name: &str, directories: &[&str]) -> Option<u32> {
        let found = directories.iter().find_map(|directory| {
            let mut files = vec![PathBuf::from(format!("{directory}/{}", table.file()))];
            let more = fs::read_dir(format!("{directory}/{}.d", table.file()));
            files.extend(
                more.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| is_table(path)),
            );
            files.iter().find_map(|file| table.find(&read_table(file)?, name))
        });
        found.or_else(|| table.standard(name))
    }

    fn find_in_path(&self, program: &str) -> Option<String> {
        let candidates = SAFE_PATH.iter().map(|directory| format!("{directory}/{program}"));
        candidates
            .into_iter()
            .find(|path| fs::metadata(path).is_ok_and(|about| about.is_file() && about.mode() & 0o111 != 0))
    }

    fn host(&self, name: &str) -> Option<IpAddr> {
        (name, 0).to_socket_addrs().ok()?.next().map(|address| address.ip())
    }

    fn interface(&self, name: &str) -> bool {
        // Of this process's own network namespace; where it can't be read, nothing is said to be missing.
        let known = self.interfaces.get_or_init(|| Some(device_names(&read_table(Path::new(DEVICES))?)));
        known.as_ref().is_none_or(|known| known.contains(name))
    }
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "conf")
}

/// List of the kernel's interfaces.
const DEVICES: &str = "/proc/self/net/dev";

/// Names in the kernel's list of interfaces: what stands in front of the last colon that a blank follows, behind two
/// lines of headings. A name itself may hold colons.
fn device_names(list: &str) -> HashSet<String> {
    let lines = list.lines().skip(2);
    lines.filter_map(|line| Some(line.rsplit_once(':')?.0.trim().to_owned())).collect()
}

/// Text of a table of at most 1 MiB.
fn read_table(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(1024 * 1024).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Follows links first: what counts is the file that would run and the directories that lead to it.
fn judge(path: &str, identity: &Identity) -> Result<(), ScriptProblem> {
    let missing = |path: &Path| ScriptProblem::Missing { path: path.display().to_string() };
    let written = Path::new(path);
    if identity.is_root() {
        judge_components(written)?;
    }
    let real: PathBuf = fs::canonicalize(written).map_err(|_| missing(written))?;
    let about = fs::metadata(&real).map_err(|_| missing(&real))?;
    if !about.is_file() {
        return Err(ScriptProblem::NotAFile { path: path.to_owned() });
    }
    if !may_execute(&about, identity) {
        return Err(ScriptProblem::NotExecutable { path: path.to_owned(), uid: identity.uid });
    }
    for parent in real.ancestors().skip(1) {
        let about = fs::metadata(parent).map_err(|_| missing(parent))?;
        if !may_execute(&about, identity) {
            return Err(ScriptProblem::NotExecutable {
                path: parent.display().to_string(),
                uid: identity.uid,
            });
        }
    }
    if identity.is_root() { judge_components(&real) } else { Ok(()) }
}

/// Every component, links included, belongs to root and only root may write it. A link's own mode says
/// nothing; a sticky directory is writable all the same, as others may put a file there first.
fn judge_components(path: &Path) -> Result<(), ScriptProblem> {
    for part in path.ancestors().filter(|part| !part.as_os_str().is_empty()) {
        let component = part.display().to_string();
        let about =
            fs::symlink_metadata(part).map_err(|_| ScriptProblem::Missing { path: component.clone() })?;
        if about.uid() != 0 {
            return Err(ScriptProblem::NotOwnedByRoot { component, owner: about.uid() });
        }
        let by_group = about.mode() & 0o020 != 0 && about.gid() != 0;
        if !about.is_symlink() && (by_group || about.mode() & 0o002 != 0) {
            return Err(ScriptProblem::Writable { component });
        }
    }
    Ok(())
}

fn may_execute(about: &fs::Metadata, identity: &Identity) -> bool {
    let mode = about.mode();
    if identity.is_root() {
        return about.is_dir() || mode & 0o111 != 0;
    }
    let in_group = identity.gid == about.gid() || identity.groups.contains(&about.gid());
    let bit = if identity.uid == about.uid() {
        0o100
    } else if in_group {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// No machine: every name exists, every program may run. Numbers are placeholders that never run anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfflineNames;

/// User and group id that [`OfflineNames`] gives to every name but root.
pub const PLACEHOLDER_ID: u32 = 65_533;

/// Number that [`OfflineNames`] gives to names of iproute2 that every machine may number differently.
pub const PLACEHOLDER_NUMBER: u32 = 251;

/// Address that [`OfflineNames`] gives to every host: one that is reserved for documentation (RFC 5737).
pub const PLACEHOLDER_HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 25);

impl Names for OfflineNames {
    fn user(&self, name: &str) -> Option<KnownUser> {
        // The default user of upstream: whether it exists elsewhere can't be known here.
        if name == "keepalived_script" {
            return None;
        }
        let id = name.parse().unwrap_or(if name == "root" { 0 } else { PLACEHOLDER_ID });
        Some(KnownUser { uid: id, gid: id, name: name.to_owned() })
    }

    fn group(&self, name: &str) -> Option<u32> {
        Some(name.parse().unwrap_or(if name == "root" { 0 } else { PLACEHOLDER_ID }))
    }

    fn supplementary(&self, _user: &KnownUser) -> Vec<u32> {
        Vec::new()
    }

    fn script(&self, _path: &str, _identity: &Identity) -> Result<(), ScriptProblem> {
        Ok(())
    }

    fn number(&self, table: NumberTable, name: &str, _directories: &[&str]) -> Option<u32> {
        Some(table.standard(name).unwrap_or(PLACEHOLDER_NUMBER))
    }

    fn find_in_path(&self, program: &str) -> Option<String> {
        Some(program.to_owned())
    }

    fn host(&self, _name: &str) -> Option<IpAddr> {
        Some(PLACEHOLDER_HOST.into())
    }

    fn interface(&self, _name: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Identity = Identity { uid: 0, gid: 0, groups: Vec::new() };

    #[test]
    fn a_system_program_may_run_as_root() {
        assert_eq!(SystemNames::default().script("/usr/bin/true", &ROOT), Ok(()));
    }

    #[test]
    fn a_missing_program_is_named() {
        assert_eq!(
            SystemNames::default().script("/usr/bin/no-such-program", &ROOT),
            Err(ScriptProblem::Missing { path: "/usr/bin/no-such-program".into() })
        );
    }

    #[test]
    fn interfaces_are_those_of_the_kernels_list() {
        let list = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3\n  eth0:4 5 6\nveth@x: 0 0 0\n";
        let names: Vec<String> = ["eth0", "lo", "veth@x"].map(str::to_owned).to_vec();
        let mut found: Vec<String> = device_names(list).into_iter().collect();
        found.sort();
        assert_eq!(found, names);
        assert!(SystemNames::default().interface("lo"));
        assert!(!SystemNames::default().interface("no-such-if"));
    }

    #[test]
    fn a_directory_is_no_program() {
        assert_eq!(
            SystemNames::default().script("/usr/bin", &ROOT),
            Err(ScriptProblem::NotAFile { path: "/usr/bin".into() })
        );
    }
}
