//! Settings of the kernel that a configuration asks for: written when they differ, and put back at the end, unless
//! somebody else has changed them since.
//!
//! Called by the parent after each commit, when an instance changes its state (its interface may be a new one), and when
//! it ends. Names of interfaces come from the configuration.

use std::fs;
use std::path::{Path, PathBuf};

use config::model::parts::ParentPart;

/// Settings of the network namespace.
const ROOT: &str = "/proc/sys/net/ipv4";

/// What was changed.
#[derive(Debug)]
pub struct KernelSettings {
    root: PathBuf,
    changed: Vec<Changed>,
}

/// A setting with what it was and what it has become.
#[derive(Debug)]
struct Changed {
    file: PathBuf,
    before: String,
    now: &'static str,
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self { root: ROOT.into(), changed: Vec::new() }
    }
}

impl KernelSettings {
    /// Writes what a configuration asks for; returns what could not be written. Interfaces that don't exist have no
    /// settings yet.
    pub fn want(&mut self, part: &ParentPart) -> Vec<String> {
        let is_name = |name: &&String| !name.contains('/') && !name.starts_with('.');
        let promoted = part.promoted.iter().filter(is_name);
        let mut wanted: Vec<(PathBuf, &str)> = promoted
            .map(|name| (self.root.join("conf").join(name).join("promote_secondaries"), "1"))
            .filter(|(file, _)| file.exists())
            .collect();
        if part.process.disable_local_igmp {
            wanted.push((self.root.join("igmp_link_local_mcast_reports"), "0"));
        }
        let mut problems = Vec::new();
        for (file, value) in wanted {
            if let Err(error) = self.write(&file, value) {
                problems.push(format!("{}: {error}", file.display()));
            }
        }
        problems
    }

    fn write(&mut self, file: &Path, value: &'static str) -> std::io::Result<()> {
        let before = fs::read_to_string(file)?;
        if before.trim() == value {
            return Ok(());
        }
        fs::write(file, value)?;
        if self.changed.iter().all(|known| known.file != file) {
            self.changed.push(Changed { file: file.to_owned(), before, now: value });
        }
        Ok(())
    }

    /// Puts everything back that still is as it was written; what has gone with its interface needs nothing.
    pub fn put_back(&mut self) {
        for Changed { file, before, now } in self.changed.drain(..) {
            if fs::read_to_string(&file).is_ok_and(|text| text.trim() == now) {
                let _gone_since = fs::write(&file, before.trim());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::Model;

    #[test]
    fn settings_are_written_where_they_differ_and_put_back_unless_changed_since() {
        let root = crate::scratch::Scratch::new("settings");
        for (name, value) in [("eth0", "0"), ("eth1", "1"), ("eth2", "0")] {
            fs::create_dir_all(root.join("conf").join(name)).unwrap();
            fs::write(root.join("conf").join(name).join("promote_secondaries"), value).unwrap();
        }
        fs::write(root.join("igmp_link_local_mcast_reports"), "1\n").unwrap();
        let mut part = Model::default().parent_part();
        part.process.disable_local_igmp = true;
        part.promoted = ["eth0", "eth1", "eth2", "eth3", "../eth0"].map(str::to_owned).to_vec();
        let mut settings = KernelSettings { root: root.to_path_buf(), changed: Vec::new() };
        assert_eq!(settings.want(&part), [""; 0]);
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        let promoting = |name: &str| read(&format!("conf/{name}/promote_secondaries"));
        assert_eq!(["eth0", "eth1", "eth2"].map(promoting), ["1", "1", "1"]);
        assert_eq!(read("igmp_link_local_mcast_reports"), "0");
        fs::write(root.join("conf/eth2/promote_secondaries"), "7").unwrap();
        settings.put_back();
        assert_eq!(["eth0", "eth1", "eth2"].map(promoting), ["0", "1", "7"]);
        assert_eq!(read("igmp_link_local_mcast_reports"), "1");
    }
}
