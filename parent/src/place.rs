//! Where a suite keeps its files: run directory and pid files, by keepalived's rules.
//!
//! Pure. Decided once at start from command line and configuration.

use std::path::{Path, PathBuf};

use config::model::process::ProcessSettings;

/// Default run directory, and that of pid files with `use_pid_dir`.
pub const RUN_DIR: &str = "/run/keepalived";

/// The files of one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Socket, lock, record and state files.
    pub run_dir: PathBuf,
    /// Pid file of the parent.
    pub parent: PathBuf,
    /// Pid file of vrrpd.
    pub vrrp: PathBuf,
    /// Pid file of checkd.
    pub checkers: PathBuf,
    /// What `reload_file` without a path names.
    pub reload: PathBuf,
    /// Where pid files lie, if that is a directory of the network namespace, which nobody else makes.
    pub pid_dir: Option<PathBuf>,
}

/// Paths of the command line.
#[derive(Debug, Clone, Default)]
pub struct Given<'a> {
    /// `--run-dir`.
    pub run_dir: Option<&'a Path>,
    /// `-p`.
    pub parent: Option<&'a Path>,
    /// `-r`.
    pub vrrp: Option<&'a Path>,
    /// `-c`.
    pub checkers: Option<&'a Path>,
    /// `-s`.
    pub namespace: Option<&'a str>,
}

impl Place {
    /// The run directory of a suite that has a pid file of its own, where another suite listens in the default one: named
    /// after that file, so that it is the same at the next start. Upstream needs no more than `-p` for two of them.
    #[must_use]
    pub fn beside_another(self, pid_file: &Path) -> Self {
        let name = pid_file.to_string_lossy().trim_start_matches('/').replace('/', "-");
        Self { run_dir: self.run_dir.join(name), ..self }
    }

    /// With a network namespace or an instance name every file lies in a place of its own, so that several suites can
    /// run side by side.
    #[must_use]
    pub fn of(given: &Given<'_>, process: &ProcessSettings) -> Self {
        let namespace = given.namespace.or(process.namespace.as_deref());
        let instance = process.instance.as_deref();
        let own: Vec<&str> = namespace.into_iter().chain(instance).collect();
        let run_dir = match given.run_dir {
            Some(run_dir) => run_dir.to_owned(),
            None if own.is_empty() => RUN_DIR.into(),
            None => Path::new(RUN_DIR).join(own.join("_")),
        };
        let pid_dir = match (given.run_dir, namespace) {
            (Some(run_dir), _) => run_dir.to_owned(),
            (None, Some(namespace)) => Path::new(RUN_DIR).join(namespace),
            (None, None) if process.use_pid_dir || instance.is_some() => RUN_DIR.into(),
            (None, None) => "/run".into(),
        };
        let suffix = instance.map(|instance| format!("_{instance}")).unwrap_or_default();
        let named = |name: &str, ending: &str| pid_dir.join(format!("{name}{suffix}.{ending}"));
        let chosen =
            |path: Option<&Path>, name: &str| path.map_or_else(|| named(name, "pid"), Path::to_owned);
        Self {
            run_dir,
            parent: chosen(given.parent, "keepalived"),
            vrrp: chosen(given.vrrp, "vrrp"),
            checkers: chosen(given.checkers, "checkers"),
            reload: named("keepalived", "reload"),
            pid_dir: namespace.filter(|_| given.run_dir.is_none()).map(|_| pid_dir.clone()),
        }
    }
}

/// Names in front of log lines carry these: `Keepalived_vrrp_blue_a`.
#[must_use]
pub fn log_suffix(namespace: Option<&str>, instance: Option<&str>) -> String {
    namespace.into_iter().chain(instance).map(|name| format!("_{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(process: &ProcessSettings) -> Place {
        Place::of(&Given::default(), process)
    }

    #[test]
    fn a_suite_alone_has_upstreams_pid_files() {
        let place = place(&ProcessSettings::default());
        assert_eq!(place.run_dir, Path::new("/run/keepalived"));
        assert_eq!(place.parent, Path::new("/run/keepalived.pid"));
        assert_eq!(place.vrrp, Path::new("/run/vrrp.pid"));
        assert_eq!(place.checkers, Path::new("/run/checkers.pid"));
        assert_eq!(place.reload, Path::new("/run/keepalived.reload"));
    }

    #[test]
    fn use_pid_dir_keeps_pid_files_in_the_run_directory() {
        let process = ProcessSettings { use_pid_dir: true, ..ProcessSettings::default() };
        assert_eq!(place(&process).parent, Path::new("/run/keepalived/keepalived.pid"));
        assert_eq!(place(&process).checkers, Path::new("/run/keepalived/checkers.pid"));
    }

    #[test]
    fn an_instance_has_its_name_in_every_path() {
        let process = ProcessSettings { instance: Some("a".to_owned()), ..ProcessSettings::default() };
        let place = place(&process);
        assert_eq!(place.run_dir, Path::new("/run/keepalived/a"));
        assert_eq!(place.parent, Path::new("/run/keepalived/keepalived_a.pid"));
        assert_eq!(place.vrrp, Path::new("/run/keepalived/vrrp_a.pid"));
        assert_eq!(place.reload, Path::new("/run/keepalived/keepalived_a.reload"));
    }

    #[test]
    fn a_namespace_has_a_directory_and_the_command_line_comes_first() {
        let process = ProcessSettings { namespace: Some("blue".to_owned()), ..ProcessSettings::default() };
        assert_eq!(place(&process).parent, Path::new("/run/keepalived/blue/keepalived.pid"));
        assert_eq!(place(&process).pid_dir.as_deref(), Some(Path::new("/run/keepalived/blue")));
        let given = Given {
            run_dir: Some(Path::new("/run/x")),
            vrrp: Some(Path::new("/run/v.pid")),
            ..Given::default()
        };
        let place = Place::of(&given, &process);
        assert_eq!(place.run_dir, Path::new("/run/x"));
        assert_eq!(place.pid_dir, None);
        assert_eq!(place.parent, Path::new("/run/x/keepalived.pid"));
        assert_eq!(place.vrrp, Path::new("/run/v.pid"));
    }

    #[test]
    fn a_suite_beside_another_is_named_after_its_pid_file() {
        let pid_file = Path::new("/run/blue/keepalived.pid");
        let given = Given { parent: Some(pid_file), ..Given::default() };
        let place = Place::of(&given, &ProcessSettings::default()).beside_another(pid_file);
        assert_eq!(place.run_dir, Path::new("/run/keepalived/run-blue-keepalived.pid"));
        assert_eq!(place.parent, pid_file);
        assert_eq!(place.vrrp, Path::new("/run/vrrp.pid"));
    }

    #[test]
    fn log_lines_name_namespace_and_instance() {
        assert_eq!(log_suffix(Some("blue"), Some("a")), "_blue_a");
        assert_eq!(log_suffix(None, None), "");
    }
}
