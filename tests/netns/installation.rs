//! `make install`, then the suite where it was installed: the parent finds its daemons, and the unit's words fit.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::sandbox::build_directory;
use tests::lab::{Failure, Lan, process, sandboxed, wait_for, wait_until};

/// Every file that is installed, with its mode.
const FILES: [(&str, u32); 15] = [
    ("usr/bin/genhash", 0o755),
    ("usr/bin/keepalivectl", 0o755),
    ("usr/lib/sysctl.d/30-keepalived.conf", 0o644),
    ("usr/lib/systemd/system/keepalived-hardened.service", 0o644),
    ("usr/lib/systemd/system/keepalived.service", 0o644),
    ("usr/lib/sysusers.d/keepalived.conf", 0o644),
    ("usr/libexec/keepalived/checkd", 0o755),
    ("usr/libexec/keepalived/config-worker", 0o755),
    ("usr/libexec/keepalived/ipvsd", 0o755),
    ("usr/libexec/keepalived/vrrpd", 0o755),
    ("usr/sbin/keepalived", 0o755),
    ("usr/share/man/man1/genhash.1", 0o644),
    ("usr/share/man/man1/keepalivectl.1", 0o644),
    ("usr/share/man/man5/keepalived.conf.5", 0o644),
    ("usr/share/man/man8/keepalived.8", 0o644),
];

pub(super) const ROOT: &str = "/run/lab/root";

/// Installs what has been built already: the recipe is tested here, not the release profile.
pub(super) fn install() -> Result<(), Failure> {
    let doing = "make install";
    let target = Path::new("/run/lab/target");
    fs::create_dir_all(target)
        .and_then(|()| symlink(build_directory(), target.join("release")))
        .map_err(|cause| Failure::instrument(doing, cause))?;
    let output = Command::new("make")
        .arg("-C")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["-s", "install", "CARGO=true", "PREFIX=/usr"])
        .arg(format!("DESTDIR={ROOT}"))
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| Failure::instrument(doing, cause))?;
    require(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn make_install_puts_every_file_in_its_place() {
    sandboxed(60, |_| {
        install()?;
        let mut found: Vec<(String, u32)> = files(Path::new(ROOT))
            .iter()
            .map(|path| {
                let mode = fs::metadata(path).map_or(0, |data| data.permissions().mode() & 0o777);
                let name = path.strip_prefix(ROOT).unwrap_or(path);
                (name.to_string_lossy().into_owned(), mode)
            })
            .collect();
        found.sort();
        let expected = FILES.map(|(name, mode)| (name.to_owned(), mode));
        require(found == expected, || format!("installed {found:?}"))?;
        let unit = fs::read_to_string(Path::new(ROOT).join("usr/lib/systemd/system/keepalived.service"))
            .unwrap_or_default();
        require(unit.contains("ExecStart=/usr/sbin/keepalived ") && !unit.contains('@'), || unit.clone())
    });
}

#[test]
fn the_installed_suite_starts_from_its_place() {
    sandboxed(60, |lab| {
        install()?;
        let layers = format!("lowerdir={ROOT}/usr:/usr");
        mount(Some("overlay"), "/usr", Some("overlay"), MsFlags::MS_RDONLY, Some(layers.as_str()))
            .map_err(|cause| Failure::instrument("laying the installed tree over /usr", cause))?;
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let text = global("d1")
            + &VrrpInstance::new(3, "0.2", 200, front4(50)).text()
            + &tests::lab::config_text::http_service("10.77.0.50", &["10.77.0.1"]);
        fs::write("/run/lab/installed.conf", text)
            .map_err(|cause| Failure::instrument("configuration", cause))?;
        let log = fs::File::create(lab.out.join("installed.log"))
            .map_err(|cause| Failure::instrument("log", cause))?;
        let mut command = Command::new("/usr/sbin/keepalived");
        command.args(["-n", "-l", "-G", "-f", "/run/lab/installed.conf"]);
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let mut parent = d1.spawn(&mut command)?;
        let pid = i32::try_from(parent.id()).unwrap_or(0);
        wait_until("d1 holds the address", Duration::from_secs(20), || d1.has(front4(50)))?;
        for name in ["vrrpd", "checkd", "ipvsd"] {
            let (daemon, _) = wait_for(&format!("{name} runs"), Duration::from_secs(20), || {
                process::children(pid).into_iter().find(|child| child.name == name)
            })?;
            let program = fs::read_link(format!("/proc/{}/exe", daemon.pid)).unwrap_or_default();
            let place = Path::new("/usr/libexec/keepalived").join(name);
            require(program == place, || format!("{name} is {}", program.display()))?;
        }
        d1.run("/usr/bin/keepalivectl", &["status"])?;
        process::signal(pid, Signal::SIGTERM);
        let (status, _) = wait_for("it stops", Duration::from_secs(20), || parent.try_wait().ok().flatten())?;
        require(status.success(), || format!("it ended with {status}"))
    });
}
