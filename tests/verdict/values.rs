//! The values that keepalived makes of a configuration and those of our model, fact by fact.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use config::diagnostic::Tolerance;
use config::names::SystemNames;
use config::source::Files;
use config::{LoadOptions, load};
use tests::lab::failure::require;
use tests::lab::sandbox::{PATH, sandboxed};
use tests::lab::{Failure, Lab, wait_until};
use tests::values::{Facts, dump, vrrp};

use super::{entries, make_interfaces};

/// Facts that are told otherwise for a reason: file, and what the fact begins with.
const MEANT: &[(&str, &str)] = &[
    // docs/differences.md
    ("every-form.conf", "VRRP Instance OWNER: Gratuitous ARP refresh repeat"),
    ("every-form.conf", "VRRP Instance SECOND: Gratuitous ARP refresh repeat"),
    ("every-form.conf", "VRRP Instance SIXTH: Gratuitous ARP refresh repeat"),
    ("every-form.conf", "VRRP Instance THIRD: Gratuitous ARP refresh repeat"),
    ("address-given-twice.conf", "VRRP Instance VI_1: Virtual IP"),
    ("condition-twice.conf", "VRRP Instance VI_1: Preempt"),
    ("line-of-1100-bytes.conf", "VRRP Instance VI_1: Generic"),
    ("notify-missing.conf", "VRRP Instance VI_1: Master"),
    ("numbers-of-no-kind.conf", "VRRP Instance VI_1: Gratuitous ARP"),
    ("script-numbers-of-no-kind.conf", "VRRP Instance VI_1: Gratuitous ARP"),
    ("script-after-its-use.conf", "VRRP "),
    // As 2.4.3, and not as 2.2.7, which is asked here.
    ("built-in-environment.conf", "VRRP Instance VI_1: Virtual IP"),
    ("commands.conf", "VRRP Instance VI_1: Master"),
    ("every-form.conf", "VRRP Script numbers: Command"),
    ("escaped-comment.conf", "VRRP Instance VI_1: Password"),
    ("reverse-without-weight.conf", "VRRP Instance A: Tracked interfaces"),
    ("script-interval-fraction.conf", "VRRP Script chk: Interval"),
    ("script-weight-254.conf", "VRRP Instance VI_1: Tracked scripts"),
    // Not here yet.
    ("neighbour-detection.conf", ""),
    ("virtual-mac-with-a-name.conf", "VRRP Instance VI_1: "),
    ("virtual-mac.conf", "VRRP Instance VI_1: "),
    // A number that nobody chose, and a command that no program can be.
    ("built-in-random.conf", "VRRP Instance VI_1: Priority"),
    ("shell-test-of-a-path.conf", "VRRP Script web: Command"),
];

/// Folders below `tests/corpus`; files without an instance, that either side refuses or that no dump comes of have
/// their own tests.
const FOLDERS: [&str; 5] = ["", "habits", "language", "models", "values"];

/// What keepalived 2.2.7 makes of a file; `None` when its VRRP process tells nothing.
fn theirs(lab: &Lab, run: usize, path: &Path) -> Result<Option<Facts>, Failure> {
    let log = lab.out.join(format!("{run}.dump"));
    let failed = |cause| Failure::instrument("running keepalived", cause);
    let output = fs::File::create(&log).map_err(failed)?;
    let mut child = Command::new("/usr/sbin/keepalived")
        .args(["-P", "-n", "-d", "-l", "-R", "-i", "node1", "-f"])
        .arg(path)
        // Each is killed, and what it leaves must not keep the next from starting.
        .args(["-p", &format!("/run/{run}.pid"), "-r", &format!("/run/{run}.vrrp")])
        .env("PATH", PATH)
        .current_dir(&lab.out)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        .spawn()
        .map_err(failed)?;
    let text = || String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    let mut ended = false;
    let told = wait_until("the dump is complete", Duration::from_secs(5), || {
        ended = child.try_wait().is_ok_and(|status| status.is_some());
        ended || text().contains(dump::END)
    });
    let _gone = child.kill();
    child.wait().map_err(failed)?;
    let text = text();
    // A process that dies is started again, and tells everything twice.
    Ok((told.is_ok() && text.matches(dump::END).count() == 1).then(|| dump::facts(&text)))
}

fn ours(path: &Path) -> Option<Facts> {
    let options = LoadOptions {
        config_id: "node1".to_owned(),
        host_name: nix::unistd::gethostname().ok()?.into_string().ok()?,
        allow_inactive: true,
        // As a start reads it.
        tolerance: Tolerance::Values,
        ..LoadOptions::default()
    };
    let loaded = load(&Files, &SystemNames::default(), &path.display().to_string(), &options);
    loaded.model.as_ref().filter(|model| !model.instances.is_empty()).map(vrrp::facts)
}

#[test]
fn instances_groups_and_trackers_have_the_values_that_keepalived_gives_them() {
    sandboxed(170, |lab| {
        make_interfaces()?;
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let mut files: Vec<PathBuf> = Vec::new();
        for folder in FOLDERS {
            files.extend(entries(&corpus.join(folder))?.into_iter().filter(|path| path.is_file()));
        }
        files.sort();
        let (mut wrong, mut compared) = (Vec::new(), 0);
        for (run, file) in files.iter().enumerate() {
            let Some(ours) = ours(file) else { continue };
            let Some(theirs) = theirs(lab, run, file)? else { continue };
            compared += ours.len();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_meant =
                |line: &String| MEANT.iter().any(|(file, fact)| *file == name && line.starts_with(fact));
            let differences = ours.differences(&theirs).into_iter();
            let strange = differences.filter(|line| !is_meant(line));
            wrong.extend(strange.map(|line| format!("{name}: {line}")));
        }
        require(wrong.is_empty(), || format!("{} of {compared}:\n{}", wrong.len(), wrong.join("\n")))?;
        require(compared > 8_000, || format!("only {compared} facts were compared"))
    });
}
