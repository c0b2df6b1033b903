//! Files that text is appended to: logs, and what a configuration draws.
//!
//! They are opened with the rights of root at paths that may lie in directories of others, so no link is followed, and
//! a file that somebody else put there, or that is known under a second name, is not written to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// Everybody may make files here.
const SHARED: u32 = 0o002;

/// Opens a file to append to; it is made, its owner's alone, when it isn't there.
///
/// # Errors
/// It can't be opened, or isn't safe to write to.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).custom_flags(flags.bits()).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(file);
    }
    if found.nlink() != 1 {
        return Err(io::Error::other("it has another name elsewhere"));
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let shared = std::fs::metadata(directory.unwrap_or(Path::new(".")))?.mode() & SHARED != 0;
    if shared && found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other(
            "it belongs to somebody else, in a directory that everybody may write to",
        ));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_of_both_kinds_are_refused_and_a_file_of_ones_own_grows() {
        let directory = crate::scratch::Scratch::new("append");
        fs::set_permissions(&*directory, fs::Permissions::from_mode(0o777)).unwrap();
        let at = |name: &str| directory.join(name);
        for text in ["a", "b"] {
            open(&at("log")).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(at("log")).unwrap(), "ab");
        symlink(at("log"), at("symbolic")).unwrap();
        assert!(open(&at("symbolic")).is_err());
        fs::hard_link(at("log"), at("hard")).unwrap();
        let error = open(&at("hard")).unwrap_err();
        assert_eq!(error.to_string(), "it has another name elsewhere");
    }
}
